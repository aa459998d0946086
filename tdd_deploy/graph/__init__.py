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
    """Read a NIR file, or a .net file of lava-dl; see ``file.read`` and ``lava_dl.read_net``.

    Raises:
        BadOption: a dialect was named for a file that has one meaning.
    """
    if not is_net(path):
        return read_nir(path, dialect=dialect, strict=strict)
    if dialect is not None:
        raise BadOption("--dialect", f"{dialect}, for a .net file", "only with a NIR file of another tool")
    return read_net(path)


__all__ = ["AmbiguousGraph", "lower", "read", "survey"]
