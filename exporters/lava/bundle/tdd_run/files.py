"""The files of a bundle and the inputs, read and checked before Lava starts; and the outputs."""

import hashlib
import io
import json
import os
import tempfile
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from .guard import Guard

SCHEMA_VERSION = 1
KIND = "tdd-deploy lava bundle"


class Refused(Exception):
    """The bundle or the input cannot be used; the message is one sentence."""


@dataclass(frozen=True)
class Signal:
    """The input or the output."""

    name: str
    shape: tuple[int, ...]
    latency: int = 0
    bias: str | None = None
    largest: int | None = None


@dataclass(frozen=True)
class Synapse:
    """A linear map; weights in torch's layout."""

    name: str
    kind: str
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    weight: str | None = None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclass(frozen=True)
class Neurons:
    """A layer; parameters are names of arrays, du and dv numbers or names."""

    name: str
    shape: tuple[int, ...]
    latency: int
    reset: str
    v_threshold: str
    v_reset: str
    bias: str
    du: float | str
    dv: float | str


@dataclass(frozen=True)
class Edge:
    """A connection from a source to a target, and its code."""

    source: str
    target: str
    code: str
    flatten: bool = False


@dataclass(frozen=True)
class Bundle:
    """manifest.json and weights.npz."""

    arithmetic: str
    mapping: str
    n_steps: int
    restart: bool
    input: Signal
    output: Signal
    synapses: tuple[Synapse, ...]
    neurons: tuple[Neurons, ...]
    edges: tuple[Edge, ...]
    arrays: dict[str, np.ndarray]

    def __post_init__(self) -> None:
        _check(self.arithmetic in ("fixed_pt", "floating_pt"), f"arithmetic {self.arithmetic!r}")
        _check(self.mapping in ("fused", "stock", "spike"), f"mapping {self.mapping!r}")
        nodes = {self.input.name, self.output.name, *(node.name for node in (*self.synapses, *self.neurons))}
        for edge in self.edges:
            _check({edge.source, edge.target} <= nodes, f"edge from {edge.source} to {edge.target}")
        for synapse in self.synapses:
            _check(synapse.kind in ("dense", "conv", "identity"), f"{synapse.name} of kind {synapse.kind!r}")
            _check(synapse.kind == "identity" or synapse.weight in self.arrays, f"{synapse.name} without its weight")
        for layer in self.neurons:
            for name in ("v_threshold", "v_reset", "bias", "du", "dv"):
                self.value(getattr(layer, name), layer.shape)

    @property
    def fixed(self) -> bool:
        """Whether it computes with whole numbers."""
        return self.arithmetic == "fixed_pt"

    @property
    def dtype(self) -> type:
        """The type of outputs."""
        return np.int64 if self.fixed else np.float64

    @property
    def longest_latency(self) -> int:
        """The Lava steps after the last frame until everything has come out."""
        return max(self.output.latency, *(layer.latency for layer in self.neurons), 0)

    def value(self, parameter: float | str, shape: tuple[int, ...]) -> np.ndarray:
        """Return a parameter for every neuron of ``shape``, axes in Lava's order."""
        number = self.arrays[parameter] if isinstance(parameter, str) else np.asarray(parameter)
        return np.broadcast_to(number, shape).T

    def codes_into(self, target: str) -> list[str]:
        """Return the codes of a node's incoming edges, each once."""
        return sorted({edge.code for edge in self.edges if edge.target == target})

    def codes_from(self, source: str) -> list[str]:
        """Return the codes of a node's outgoing edges, each once."""
        return sorted({edge.code for edge in self.edges if edge.source == source})


def read_bundle(folder: Path) -> Bundle:
    """Read the bundle.

    Raises:
        Refused: a file is missing or damaged, or of another version.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        _check_version(manifest)
        arrays = _arrays(folder / "weights.npz", manifest["sha256"]["weights.npz"])
        return _bundle(manifest, arrays)
    except OSError as error:
        raise Refused(f"{error.filename}: {error.strerror}; export the bundle again.") from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise Refused(f"{folder / 'manifest.json'} is damaged ({error!r}); export the bundle again.") from error


def read_input(path: Path, bundle: Bundle) -> np.ndarray:
    """Read x, [samples, n_steps, *shape], or [samples, 1, *shape] if it is static.

    Raises:
        Refused: there is no x, or its shape, type or range is not what the bundle takes.
    """
    try:
        x = np.load(path)["x"]
    except OSError as error:
        raise Refused(f"{path}: {error.strerror or error}; name an npz file that holds x.") from error
    except (KeyError, IndexError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise Refused(f"{path} is no npz file that holds x ({error}).") from error
    shape = bundle.input.shape
    allowed = ((bundle.n_steps, *shape), shape)
    if x.shape[1:] not in allowed or len(x) == 0:
        takes = " or ".join(f"[samples, {', '.join(map(str, rest))}]" for rest in allowed)
        raise Refused(f"{path}: x has shape {list(x.shape)}; this bundle takes {takes}, of one sample or more.")
    _check_numbers(path, x, bundle)
    return x[:, np.newaxis] if x.shape[1:] == shape else x


def check_place(path: Path) -> None:
    """Refuse a place where no file can be written, before anything is computed.

    Raises:
        Refused: it is a folder, a pipe or a device, or in a folder that is missing or not writable.
    """
    if path.exists() and not path.is_file():
        raise Refused(f"{path} is no regular file; name one.")
    if not os.access(path.resolve().parent, os.W_OK):
        raise Refused(f"{path} cannot be written; name a file in a folder you can write to.")


def write_outputs(path: Path, outputs: dict[str, Any], guard: Guard) -> None:
    """Write an npz file under another name first, so that it is whole or not there; a link stays a link."""
    path = path.resolve()
    with tempfile.NamedTemporaryFile(dir=path.absolute().parent, suffix=".part", delete=False) as file:
        guard.unfinished = Path(file.name)
        np.savez(file, **outputs)
    mask = os.umask(0)
    os.umask(mask)
    guard.unfinished.chmod(0o666 & ~mask)
    guard.unfinished.replace(path)
    guard.unfinished = None


def _check_numbers(path: Path, x: np.ndarray, bundle: Bundle) -> None:
    if bundle.fixed and x.dtype.kind not in "iu":
        raise Refused(f"{path}: x holds {x.dtype}; this bundle takes whole numbers, round(scale * value).")
    if x.dtype.kind not in "iuf" or not np.isfinite(x).all():
        raise Refused(f"{path}: x holds {x.dtype}; this bundle takes finite numbers.")
    largest = bundle.input.largest
    if bundle.fixed and largest is not None and max(int(x.max()), -int(x.min())) > largest:
        raise Refused(f"{path}: x goes from {x.min()} to {x.max()}; this bundle takes -{largest} to {largest}.")


def _check_version(manifest: dict[str, Any]) -> None:
    if manifest["kind"] != KIND or manifest["schema_version"] != SCHEMA_VERSION:
        raise Refused(
            f"manifest.json is a {manifest['kind']}, version {manifest['schema_version']}; "
            f"this run.py reads a {KIND}, version {SCHEMA_VERSION}."
        )


def _check(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def _arrays(path: Path, digest: str) -> dict[str, np.ndarray]:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise Refused(
            f"{path} is not the file that manifest.json describes (its SHA-256 differs); export the bundle again."
        )
    with np.load(io.BytesIO(content)) as arrays:
        return dict(arrays)


def _bundle(manifest: dict[str, Any], arrays: dict[str, np.ndarray]) -> Bundle:
    parts = {
        "input": _made(Signal, manifest["input"]),
        "output": _made(Signal, manifest["output"]),
        "synapses": tuple(_made(Synapse, part) for part in manifest["synapses"]),
        "neurons": tuple(_made(Neurons, part) for part in manifest["neurons"]),
        "edges": tuple(_made(Edge, part) for part in manifest["edges"]),
    }
    return _made(Bundle, {**manifest, **parts, "arrays": arrays})


def _made(kind: type, content: dict[str, Any]) -> Any:
    """Make a ``kind`` from the keys that it knows; lists become tuples."""
    known = {field.name for field in fields(kind)} & content.keys()
    return kind(**{key: tuple(content[key]) if isinstance(content[key], list) else content[key] for key in known})
