"""NIR files, opened with care: whatever is in them, a reader gets a graph or a sentence."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import nir

from tdd_deploy.errors import BadFile, TddDeployError, UnsupportedGraph
from tdd_deploy.files import sha256
from tdd_deploy.program import Program

from .choices import foreign
from .hdf5 import has_whole_heaps, holds_texts_and_numbers
from .lower import lower
from .rules import unknown_kinds

REMEDY = "name a NIR file written by tdd-deploy"


def read(path: Path) -> Program:
    """Read a NIR file written by tdd-deploy; its name and SHA-256 go into the provenance.

    Raises:
        BadFile: it cannot be read, or is not a NIR file, or is damaged.
        UnsupportedGraph: it holds what no Program can hold, or leaves a choice open.
        BadProgram: its graph breaks a rule of ``program/verify.py``.
    """
    digest = _digest(path)
    program = lower(_graph(path), subject=str(path))
    return replace(program, provenance={**program.provenance, "file": path.name, "sha256": digest})


def _digest(path: Path) -> str:
    try:
        if not path.is_file():
            raise BadFile(path, "is a folder" if path.is_dir() else "there is no such file", REMEDY)
        return sha256(path)
    except OSError as error:
        raise BadFile(path, f"cannot be read ({error.strerror})", REMEDY) from error


def _graph(path: Path) -> nir.NIRGraph:
    if not h5py.is_hdf5(path):
        raise BadFile(path, "is not a NIR file, as it is not HDF5", REMEDY)
    if not has_whole_heaps(path):
        raise BadFile(path, "is damaged (a heap of texts does not end)", "write it again")
    try:
        with h5py.File(path, "r") as file:
            _check(path, file)
        return nir.read(path, type_check=False)
    except TddDeployError:
        raise
    except Exception as error:  # h5py and nir raise anything on a damaged file
        raise BadFile(path, f"is damaged ({_reason(error)})", "write it again") from error


def _check(path: Path, file: h5py.File) -> None:
    """Refuse what nir.read cannot name, or would read although nobody can say what it computes."""
    if not holds_texts_and_numbers(file):
        raise BadFile(path, "holds more than groups, texts and numbers, or links to other files", REMEDY)
    root = file.get("node")
    if _kind(root) != "NIRGraph":
        raise BadFile(path, "is an HDF5 file without a NIR graph", REMEDY)
    kinds = {name: _kind(node) for name, node in root["nodes"].items()}
    metadata: Mapping[str, Any] = root.get("metadata", {})
    violations = (*foreign(metadata),) or (*unknown_kinds(kinds),)
    if violations:
        raise UnsupportedGraph(str(path), violations)


def _kind(node: Any) -> str:
    """Return the name of a node's class, empty when it has none."""
    kind = node["type"][()] if isinstance(node, h5py.Group) and "type" in node else ""
    return kind.decode() if isinstance(kind, bytes) else ""


def _reason(error: Exception) -> str:
    first_line = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
