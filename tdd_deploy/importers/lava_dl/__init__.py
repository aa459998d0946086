"""Files of lava-dl become Programs."""
