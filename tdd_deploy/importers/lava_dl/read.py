"""Networks that lava-dl exported: HDF5 files named .net, read as its netx builds them in Lava 0.10.

Layers follow each other. LOIHI and CUBA neurons become integer programs. SDNN neurons become programs in float64 whose
numbers are Lava's integers over a power of two: the sums of such networks have no bound that 32 bits could hold.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tdd_deploy.errors import BadFile, TooLittleMemory, UnsupportedGraph, Violation
from tdd_deploy.files import sha256
from tdd_deploy.importers.hdf5 import find_fault, open_hdf5
from tdd_deploy.memory import ran_out
from tdd_deploy.program import Edge, Output, Program, build

from .chain import Chain
from .layer import Layer, Value, Whole, misstated, read_whole

REMEDY = "name a .net file that lava-dl exported"
MOST_LAYERS = 1000
TIMES = {"Ts": Whole(1, 2**20, 1), "tSample": Whole(1, 2**30, 1)}


def is_net(path: Path) -> bool:
    """Decide whether a file is one of lava-dl; False also if the file cannot be read."""
    try:
        if not (path.is_file() and h5py.is_hdf5(path) and not find_fault(path)):
            return False
        with h5py.File(path, "r") as file:
            return "layer" in file and "node" not in file
    except TooLittleMemory:
        raise
    except Exception as error:  # h5py raises anything on a damaged file
        if ran_out(error):
            raise
        return False


def read_net(path: Path) -> Program:
    """Read a network of lava-dl.

    An input block maps samples x to ``weight x + bias`` for its neurons, rounded for neurons in integers.
    Without one the input is spikes, or for SDNN neurons the sums of their changes. The number of time steps per
    sample comes from the file's simulation group, if there is one. Data with a time axis have their own.

    Raises:
        BadFile: it cannot be read, or is damaged.
        UnsupportedGraph: it holds what no Program can hold, or what netx does not read.
        BadProgram: it breaks a rule of ``program/verify.py``.
    """
    with open_hdf5(path, remedy=REMEDY) as file:
        digest = sha256(path)
        layers, times = _layers(path, file), _values(file.get("simulation", {}))
    violations = [*misstated("simulation", times, TIMES), *(fault for layer in layers for fault in layer.violations())]
    chain = Chain()
    if not violations:
        for layer in layers:
            chain.append(layer)
        violations = [*_mixed(layers), *chain.violations]
    if violations:
        raise UnsupportedGraph(str(path), violations)
    step_ms, sample_ms = (read_whole(times, key, TIMES) for key in ("Ts", "tSample"))
    return build(
        [*chain.nodes, Output(name="output")],
        [*chain.edges, Edge(chain.nodes[-1].name, "output")],
        dt_s=step_ms * 1e-3,
        n_steps=max(1, sample_ms // step_ms) if "tSample" in times else None,
        number_format="float64" if _are_sigma_delta(layers) else "integer",
        provenance={"dialect": "lava-dl", "file": path.name, "sha256": digest, **_assumed(layers)},
        subject=str(path),
    )


def _layers(path: Path, file: h5py.File) -> list[Layer]:
    group = file.get("layer")
    if not isinstance(group, h5py.Group) or not 0 < len(group) <= MOST_LAYERS:
        raise BadFile(path, f"holds no group layer with 1 to {MOST_LAYERS} layers", REMEDY)
    names = [str(i) for i in range(len(group))]
    if set(names) != set(group) or not all(isinstance(group[name], h5py.Group) for name in names):
        raise BadFile(path, "holds layers that are not numbered from 0 on", REMEDY)
    return [Layer(int(name), _values(group[name])) for name in names]


def _values(group: Mapping[str, Any], prefix: str = "") -> dict[str, Value]:
    """Read the numbers and texts of a group and of the groups in it."""
    found: dict[str, Value] = {}
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            found |= _values(item, f"{prefix}{name}/")
        elif item.shape is None:
            raise ValueError(f"{prefix}{name} has no value")
        elif item.dtype.kind in "SO":
            (text,) = np.ravel(item[()])
            found[prefix + name] = text.decode("ascii") if isinstance(text, bytes) else str(text)
        else:
            found[prefix + name] = np.asarray(item[()])
    return found


def _assumed(layers: list[Layer]) -> dict[str, str]:
    """Describe how open points of a file are read, for the provenance."""
    bare = [f"layer{layer.number}" for layer in layers if layer.is_integrator]
    lines = [f"{name} has no neurons: as in netx, v adds up its input and never fires" for name in bare]
    return {"assumed": "; ".join(lines)} if lines else {}


def _are_sigma_delta(layers: list[Layer]) -> bool:
    return any(layer.neuron == "SDNN" for layer in layers)


def _mixed(layers: list[Layer]) -> Iterator[Violation]:
    for layer in layers[:-1]:
        if layer.is_sum:
            yield Violation(layer.named("neuron/sigma_output"), "is possible only in the last layer")
    kinds = sorted({layer.neuron for layer in layers if layer.neuron is not None})
    if _are_sigma_delta(layers) and len(kinds) > 1:
        remedy = "Use SDNN in all layers, or in none."
        yield Violation("the network", f"has neurons of kinds {', '.join(kinds)}", remedy=remedy)
    integrators = [layer for layer in layers if layer.is_integrator]
    for layer in integrators if _are_sigma_delta(layers) else ():
        found = "is missing among SDNN layers, where netx makes neurons that integrate spikes"
        yield Violation(layer.named("neuron"), found, remedy="Use SDNN, with sigma_output in the last layer.")
    if not kinds and not integrators:
        yield Violation("the network", "has no neurons")
