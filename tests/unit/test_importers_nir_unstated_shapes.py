"""Inputs and outputs that state no shape: read as the only shape that fits, and reported; else refused."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import tdd_deploy as td
from tdd_deploy.errors import UnsupportedGraph
from tdd_deploy.importers import read
from tdd_deploy.program import Conv

DIALECT = "nir,dt=1e-4,integration=euler"
NONE = np.array([], int)


def written(
    path: Path, nodes: Mapping[str, Mapping[str, Any]], edges: list[tuple[str, str]] | None = None, **ends: Any
) -> Path:
    """Write nodes as a chain; ``input`` and ``output`` are the shapes at its ends, None to leave one out."""
    kinds = {"input": "Input", "output": "Output"}
    first, last = ({"type": kinds[at], **({} if ends[at] is None else {"shape": ends[at]})} for at in kinds)
    inside = {"input": first, **nodes, "output": last}
    names = list(inside)
    with h5py.File(path, "w") as file:
        file["version"] = "1.0.1"
        file["node/type"] = "NIRGraph"
        file["node/edges"] = [[a.encode(), b.encode()] for a, b in edges or pairwise(names)]
        for name, values in inside.items():
            for key, value in values.items():
                file[f"node/nodes/{name}/{key}"] = value
    return path


def linear(n_out: int, n_in: int) -> dict[str, Any]:
    return {"type": "Linear", "weight": np.full((n_out, n_in), 0.5)}


def conv(**changed: Any) -> dict[str, Any]:
    values = {"weight": np.ones((4, 1, 3, 3)), "bias": np.zeros(4), "stride": [1, 1], "padding": [0, 0]}
    return {"type": "Conv2d", **values, "dilation": [1, 1], "groups": 2, "input_shape": [8, 6], **changed}


LIF = {"type": "LIF", "tau": 1e-3, "r": 10.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0}  # for any shape
WIDE = {"type": "LIF", **{key: np.full(5, value) for key, value in LIF.items() if key != "type"}}
FLATTEN = {"type": "Flatten", "start_dim": 0, "end_dim": -1, "input_type": [4, 6, 4]}
REPAIRED = "input: states no shape, read as"


@pytest.mark.parametrize("missing", [NONE, np.array([]), None, h5py.Empty("i8")])
def test_unstated_shapes_follow_from_the_map_after_an_input_and_before_an_output(tmp_path: Path, missing: Any) -> None:
    """Old files of snnTorch with scalar neurons have shape [], of integers or floats, or no shape."""
    nodes = {"fc1": linear(16, 50), "lif1": LIF, "fc2": linear(4, 16), "lif2": LIF}
    stated = read(written(tmp_path / "a.nir", nodes, input=[50], output=[4]), dialect=DIALECT)
    unstated = read(written(tmp_path / "b.nir", nodes, input=missing, output=missing), dialect=DIALECT)
    assert unstated.digest == stated.digest
    assert (unstated.input.shape, unstated.shapes[unstated.output.name]) == ((50,), (4,))
    assert f"{REPAIRED} [50], which the nodes after it take" in unstated.provenance["repaired"]
    assert ("output: states no shape, read as [4], which it receives" in unstated.provenance["repaired"]) == (
        missing is not None
    )


@pytest.mark.parametrize("end", ["input", "output"])
def test_strict_refuses_unstated_shapes(tmp_path: Path, end: str) -> None:
    ends: dict[str, Any] = {"input": [50], "output": [4], end: NONE}
    path = written(tmp_path / "a.nir", {"fc": linear(4, 50)}, **ends)
    with pytest.raises(UnsupportedGraph, match=f"strict allows no repair: {end}: states no shape"):
        read(path, dialect=DIALECT, strict=True)
    assert f"{end}: states no shape" in str(td.inspect(path)["repaired"])


@pytest.mark.parametrize(
    ("nodes", "shape"),
    [
        ({"lif": WIDE, "fc": linear(4, 5)}, (5,)),  # a layer states its own
        ({"lif": LIF, "fc": linear(4, 7)}, (7,)),  # one that fits any shape passes it on
        ({"lif": LIF, "delay": {"type": "Delay", "delay": 1e-4}, "fc": linear(4, 7)}, (7,)),
        ({"conv": conv()}, (2, 8, 6)),  # groups multiply the channels of a weight
        ({"conv": conv(groups=1)}, (1, 8, 6)),
    ],
)
def test_the_shape_of_an_input_follows_from_the_nodes_after_it(
    tmp_path: Path, nodes: Mapping[str, Mapping[str, Any]], shape: tuple[int, ...]
) -> None:
    program = read(written(tmp_path / "a.nir", nodes, input=NONE, output=NONE), dialect=DIALECT)
    assert program.input.shape == shape
    assert f"{REPAIRED} {list(shape)}" in program.provenance["repaired"]
    assert all(node.groups == shape[0] for node in program.nodes if isinstance(node, Conv))


def test_a_batch_axis_of_the_nodes_after_an_input_is_left_out(tmp_path: Path) -> None:
    batched = {"type": "LIF", **{key: np.full((1, 5), value) for key, value in LIF.items() if key != "type"}}
    path = written(tmp_path / "a.nir", {"lif": batched, "fc": linear(4, 5)}, input=NONE, output=NONE)
    program = read(path, dialect=DIALECT)
    assert program.input.shape == (5,)
    assert "the batch of 1 in its shape" in program.provenance["repaired"]


@pytest.mark.parametrize(
    "nodes",
    [
        {"conv": {key: value for key, value in conv().items() if key != "input_shape"}},
        {"flatten": FLATTEN, "fc": linear(4, 96)},
        {"lif": LIF},
    ],
)
def test_an_input_whose_shape_cannot_be_inferred_is_refused(
    tmp_path: Path, nodes: Mapping[str, Mapping[str, Any]]
) -> None:
    path = written(tmp_path / "a.nir", nodes, input=NONE, output=[4])
    with pytest.raises(UnsupportedGraph, match=r"input states no shape, and the nodes after it .* Write its shape"):
        read(path, dialect=DIALECT)


def test_an_input_that_leads_to_maps_of_two_sizes_is_refused(tmp_path: Path) -> None:
    nodes = {"a": linear(4, 50), "b": linear(4, 60)}
    edges = [("input", "a"), ("input", "b"), ("a", "output"), ("b", "output")]
    path = written(tmp_path / "a.nir", nodes, edges, input=NONE, output=[4])
    with pytest.raises(UnsupportedGraph, match=r"input states no shape"):
        read(path, dialect=DIALECT)


def test_a_shape_that_is_a_number_is_one_size(tmp_path: Path) -> None:
    program = read(written(tmp_path / "a.nir", {"fc": linear(4, 50)}, input=50, output=4), dialect=DIALECT)
    assert program.input.shape == (50,)
    for repair in ("input: its shape is the number 50, read as [50]", "output: its shape is the number 4"):
        assert repair in program.provenance["repaired"]
    for wrong in (0, 2.5):
        with pytest.raises(UnsupportedGraph, match=r"input\.shape must be "):
            read(written(tmp_path / "b.nir", {"fc": linear(4, 50)}, input=wrong, output=4), dialect=DIALECT)


def test_a_shape_of_other_sizes_is_not_taken_for_none(tmp_path: Path) -> None:
    for wrong in ([0], [2.5], [-1]):
        path = written(tmp_path / "a.nir", {"fc": linear(4, 50)}, input=wrong, output=[4])
        with pytest.raises(UnsupportedGraph, match=r"input\.shape must be one or more sizes, each 1 or more \(got "):
            read(path, dialect=DIALECT)
