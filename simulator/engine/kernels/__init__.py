"""The loops of the event engine, compiled by numba."""
