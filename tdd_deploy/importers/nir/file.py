"""NIR files, opened with care: whatever they hold, the result is a graph or a sentence about the fault."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

from tdd_deploy.errors import BadFile
from tdd_deploy.files import is_special, sha256
from tdd_deploy.importers.hdf5 import open_hdf5
from tdd_deploy.importers.probe import reason
from tdd_deploy.memory import ran_out
from tdd_deploy.program import Program

from .choices import WRITER
from .lower import lower, lower_plain, restore
from .plain import GRAPH, kind_of, missing_parts, read_group
from .rules import refuse, unknown_kinds
from .survey import survey_graph

REMEDY = "name a .nir, .net or .onnx file"
NAMED = 5  # missing parts of a file


def read(path: Path, *, dialect: str | None = None, strict: bool = False) -> Program:
    """Read a NIR file, and write its name and SHA-256 into the provenance.

    Args:
        path: the file.
        dialect: ``NAME[,KEY=VALUE...]`` of ``dialects.py``: what a file of another tool means.
        strict: refuse what would have to be repaired.

    Raises:
        BadFile: it cannot be read, or is not a NIR file, or is damaged.
        BadOptions: the dialect is unknown, or one of its choices is not allowed.
        AmbiguousGraph: another tool wrote it, and no dialect was named.
        UnsupportedGraph: it holds what no Program can hold, or leaves a choice open.
        BadProgram: its graph breaks a rule of ``program/verify.py``.
    """
    digest = _digest(path)
    with _graph_in(path) as group:
        kinds = {name: kind_of(node) for name, node in group["nodes"].items()}
        plain = None if WRITER in group.get("metadata", {}) else read_group(group)
    if plain is None:
        refuse(str(path), unknown_kinds(kinds))
        program = lower(_graph(path), subject=str(path), dialect=dialect)
    else:
        program = lower_plain(plain, subject=str(path), dialect=dialect, strict=strict)
    return replace(program, provenance={**program.provenance, "file": path.name, "sha256": digest})


def _digest(path: Path) -> str:
    try:
        if not path.is_file():
            found = "is a folder" if path.is_dir() else "is a pipe or a device" if is_special(path) else "is missing"
            raise BadFile(path, found, REMEDY)
        return sha256(path)
    except OSError as error:
        raise BadFile(path, f"cannot be read ({error.strerror})", REMEDY) from error


def survey(path: Path, *, strict: bool = False) -> dict[str, Any]:
    """Describe a file of another tool and what each dialect would make of it, as plain values.

    Raises:
        BadFile: it cannot be read, or is not a NIR file, or is damaged.
        UnsupportedGraph: it cannot be settled; with ``strict``, it would have to be repaired.
    """
    with _graph_in(path) as group:
        plain = read_group(group)
    return survey_graph(restore(plain, subject=str(path), strict=strict))


@contextmanager
def _graph_in(path: Path) -> Iterator[h5py.Group]:
    """Open the graph of a NIR file of any tool."""
    if not h5py.is_hdf5(path):
        what = "it is a zip archive, such as PyTorch saves" if zipfile.is_zipfile(path) else "it is not HDF5"
        what = what if path.stat().st_size else "it is empty"
        raise BadFile(path, f"is not a NIR file, as {what}", REMEDY)
    with open_hdf5(path, remedy=REMEDY) as file:
        root = file.get("node")
        parts = {"type", "nodes", "edges"} & set(root) if isinstance(root, h5py.Group) else set()
        if not parts:
            half = ", or is a half-written NIR file" if "version" in file or root is not None else ""
            raise BadFile(path, f"is an HDF5 file without a NIR graph{half}", REMEDY)
        if missing := list(missing_parts(root, "node")):
            found = ", ".join(missing[:NAMED]) + (", and more" if len(missing) > NAMED else "")
            raise BadFile(path, f"is a half-written NIR file: it has no {found}", "write it again")
        if kind_of(root) != GRAPH:
            raise BadFile(path, f"holds a {kind_of(root) or 'node'} instead of a NIR graph", REMEDY)
        yield root


def _graph(path: Path) -> nir.NIRGraph:
    try:
        graph = nir.read(path, type_check=False)
        for node in graph.nodes.values():
            for value in vars(node).values():
                if isinstance(value, np.ndarray):
                    value.setflags(write=False)  # so that a Program takes it without a copy
        return graph
    except Exception as error:  # h5py and nir raise anything on a damaged file
        if ran_out(error):
            raise
        raise BadFile(path, f"is damaged ({reason(error)})", "write it again") from error
