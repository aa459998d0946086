"""Reports of a simulation: JSON, tables, HTML, pictures."""
