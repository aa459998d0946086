"""Samples as inputs of a program, and a simulation in shards."""
