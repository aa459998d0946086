"""A Program as a NIR file."""
