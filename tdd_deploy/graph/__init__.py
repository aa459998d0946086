"""Graphs in: a file or a graph of NIR, or a file of lava-dl, becomes a Program."""

from pathlib import Path

from tdd_deploy.program import Program

from .file import read as read_nir
from .lava_dl import is_net, read_net
from .lower import lower


def read(path: Path) -> Program:
    """Read a NIR file, or a .net file of lava-dl; see ``file.read`` and ``lava_dl.read_net``."""
    return read_net(path) if is_net(path) else read_nir(path)


__all__ = ["lower", "read"]
