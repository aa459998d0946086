"""Importers: a NIR file or graph, a file of lava-dl or an ONNX file becomes a Program."""

from pathlib import Path

from tdd_deploy.errors import BadOption
from tdd_deploy.program import Program

from .lava_dl.read import is_net, read_net
from .nir.file import read as read_nir
from .nir.file import survey
from .nir.lower import lower
from .nir.survey import AmbiguousGraph
from .onnx.read import is_onnx, read_onnx


def read(path: Path, *, dialect: str | None = None, strict: bool = False) -> Program:
    """Read a NIR file, a .net file of lava-dl, or an .onnx file; see ``file.read``, ``read_net`` and ``read_onnx``.

    Raises:
        BadOption: a dialect is named for a file that is not NIR, and so has only one meaning.
    """
    others = {"lava-dl": (is_net, read_net), "ONNX": (is_onnx, read_onnx)}
    for kind, (is_such, read_such) in others.items():
        if is_such(path):
            if dialect is not None:
                found = f"cannot be combined with a file of {kind}, which has only one meaning"
                raise BadOption("dialect", found, remedy="Omit `dialect`.")
            return read_such(path)
    return read_nir(path, dialect=dialect, strict=strict)


__all__ = ["AmbiguousGraph", "lower", "read", "survey"]
