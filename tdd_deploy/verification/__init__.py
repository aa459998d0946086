"""The same samples on several backends, recorded and compared."""
