"""NIR graphs, in every dialect, become Programs."""
