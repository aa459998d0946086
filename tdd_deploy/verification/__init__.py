"""The same samples on several backends, compared."""
