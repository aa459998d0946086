"""NIR in: a file or a graph of NIR becomes a Program."""

from .file import read, survey
from .lower import lower
from .survey import AmbiguousGraph

__all__ = ["AmbiguousGraph", "lower", "read", "survey"]
