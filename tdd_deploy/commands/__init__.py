"""The commands as functions: each does one whole job and returns what it found."""
