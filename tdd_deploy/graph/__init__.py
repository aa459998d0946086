"""NIR in: a file or a graph of NIR becomes a Program."""

from .file import read
from .lower import lower

__all__ = ["lower", "read"]
