"""The ends of a network in Lava: frames go in, rows come out, both through memory shared with run.py."""

from .process import Frames, Recorder

__all__ = ["Frames", "Recorder"]
