"""Floats become the integers of Loihi 2."""
