"""Graphs in: a file or a graph of NIR, or a file of lava-dl or of ONNX, becomes a Program."""

from pathlib import Path

from tdd_deploy.program import Program

from .file import read as read_nir
from .lava_dl import is_net, read_net
from .lower import lower
from .onnx import is_onnx, read_onnx


def read(path: Path) -> Program:
    """Read a NIR file, a .net file of lava-dl, or an .onnx file; see ``file.read``, ``read_net`` and ``read_onnx``."""
    if is_onnx(path):
        return read_onnx(path)
    return read_net(path) if is_net(path) else read_nir(path)


__all__ = ["lower", "read"]
