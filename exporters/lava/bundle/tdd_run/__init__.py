"""What run.py is made of: the bundle's files, the network in Lava, and a guard over Lava's processes."""
