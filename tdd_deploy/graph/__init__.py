"""Graphs in: a file or a graph of NIR, or a file of lava-dl, becomes a Program."""

from pathlib import Path

from tdd_deploy.errors import BadOption
from tdd_deploy.program import Program

from .file import read as read_nir
from .file import survey
from .lava_dl import is_net, read_net
from .lower import lower
from .survey import AmbiguousGraph


def read(path: Path, *, dialect: str | None = None, strict: bool = False) -> Program:
    """Read a NIR file, or one of lava-dl, which needs no dialect; see ``file.read`` and ``lava_dl.read_net``."""
    if not is_net(path):
        return read_nir(path, dialect=dialect, strict=strict)
    if dialect is not None:
        raise BadOption("--dialect", f"{dialect}, of a file of lava-dl", "none: it has one meaning")
    return read_net(path)


__all__ = ["AmbiguousGraph", "lower", "read", "survey"]
