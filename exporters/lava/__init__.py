"""A Program as a bundle that Lava runs, and the environment to run it in."""
