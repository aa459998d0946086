"""Each repair of a NIR file gives the program of the intact file, is reported, and is refused in strict mode.

Each refusal names the place, the contents found there and the allowed contents.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tdd_deploy.errors import BadFile, BadProgram, UnsupportedGraph, Violation
from tdd_deploy.importers import read
from tdd_deploy.neurons import LIF
from tdd_deploy.program import Conv, Dense, Flatten, Input, NeuronLayer, Output, Pool, Program, Scale

DIALECT = "nir,dt=1e-3,integration=euler,numbers=float64"
Values = Mapping[str, Any]
Nodes = Mapping[str, Values]
Edges = Iterable[tuple[str, str]]


def write(path: Path, nodes: Nodes, edges: Edges | None = None) -> Path:
    """Write a NIR file as h5py writes it, a chain unless edges are given; a node with ``nodes`` is a graph."""
    with h5py.File(path, "w") as file:
        put(file.create_group("node"), nodes, edges)
    return path


def put(group: h5py.Group, nodes: Nodes, edges: Edges | None) -> None:
    group["type"] = "NIRGraph"
    group.create_group("nodes")
    for name, values in nodes.items():
        node = group.create_group(f"nodes/{name}")
        if "nodes" in values:
            put(node, values["nodes"], values.get("edges"))
            continue
        for key, value in values.items():
            node[key] = value
    pairs = list(pairwise(nodes) if edges is None else edges)
    group["edges"] = np.array(pairs, dtype=h5py.string_dtype()).reshape(-1, 2)


def repaired(folder: Path, nodes: Nodes, edges: Edges | None = None) -> tuple[Program, list[str]]:
    """Return the program of a file and its repairs, and assert that strict mode refuses it."""
    path = write(folder / "network.nir", nodes, edges)
    program = read(path, dialect=DIALECT)
    repairs = [repair for repair in program.provenance.get("repaired", "").split("; ") if repair]
    if repairs:
        with pytest.raises(UnsupportedGraph) as refused:
            read(path, dialect=DIALECT, strict=True)
        expected = [f"`strict` allows no repair: {repair}." for repair in repairs]
        assert [str(violation) for violation in refused.value.violations] == expected
    else:
        assert read(path, dialect=DIALECT, strict=True) == program
    return program, repairs


def whole(folder: Path, nodes: Nodes, edges: Edges | None = None) -> Program:
    """Return the program of a file that needs no repair."""
    program, repairs = repaired(folder, nodes, edges)
    assert repairs == []
    return program


def refused(folder: Path, nodes: Nodes, edges: Edges | None = None) -> dict[str, Violation]:
    """Return why a file is refused, by place."""
    with pytest.raises(UnsupportedGraph) as caught:
        read(write(folder / "network.nir", nodes, edges), dialect=DIALECT)
    by_place = {violation.where: violation for violation in caught.value.violations}
    assert len(by_place) == len(caught.value.violations)
    return by_place


def reports(repairs: Sequence[str], *parts: str) -> bool:
    """Whether there is one repair, and it names all of these."""
    return len(repairs) == 1 and all(part in repairs[0] for part in parts)


def dense(*shape: int) -> np.ndarray:
    return np.arange(1.0, 1 + np.prod(shape)).reshape(shape)


def sized(kind: str, *shape: int) -> Values:
    return {"type": kind, "shape": np.array(shape)}


def affine(n_out: int, n_in: int, **changed: Any) -> Values:
    return without({"type": "Affine", "weight": dense(n_out, n_in), "bias": dense(n_out)}, changed)


def linear(n_out: int, n_in: int) -> Values:
    return {"type": "Linear", "weight": dense(n_out, n_in)}


def lif(*shape: int, **changed: Any) -> Values:
    """Return LIF of beta 1/2 and gain 1."""
    ones = np.ones(shape)
    values = {"tau": 2e-3 * ones, "r": 2 * ones, "v_leak": 0 * ones, "v_threshold": ones, "v_reset": 0 * ones}
    return without({"type": "LIF", **values}, changed)


def conv2d(n_out: int, per_group: int, size: int, **changed: Any) -> Values:
    """Return a convolution with kernels of 3 x 3, for images of one size."""
    values = {"weight": dense(n_out, per_group, 3, 3), "bias": dense(n_out), "input_shape": np.array([size, size])}
    counts = {"stride": np.array([1, 1]), "padding": np.array([1, 1]), "dilation": np.array([1, 1]), "groups": 1}
    return without({"type": "Conv2d", **values, **counts}, changed)


def conv1d(n_out: int, n_in: int, size: int, **changed: Any) -> Values:
    values = {"weight": dense(n_out, n_in, 3), "bias": dense(n_out), "input_shape": size}
    return without({"type": "Conv1d", **values, "stride": 1, "padding": 1, "dilation": 1, "groups": 1}, changed)


def pool(kind: str = "SumPool2d", **changed: Any) -> Values:
    pair = np.array([2, 2])
    return without({"type": kind, "kernel_size": pair, "stride": pair, "padding": 0 * pair}, changed)


def flatten(start: int, end: int, *shape: int, **changed: Any) -> Values:
    return without({"type": "Flatten", "start_dim": start, "end_dim": end, "input_type": np.array(shape)}, changed)


def without(values: Values, changed: Values) -> Values:
    """Return other values; None leaves one out."""
    return {key: value for key, value in (dict(values) | changed).items() if value is not None}


def layer(program: Program, name: str) -> LIF:
    node = program[name]
    assert isinstance(node, NeuronLayer)
    assert isinstance(node.neuron, LIF)
    return node.neuron


# Ends of the graph

CHAIN = {"input": sized("Input", 3), "fc": affine(2, 3), "lif": lif(2), "output": sized("Output", 2)}
IMAGES = {"input": sized("Input", 2, 4, 4), "conv": conv2d(3, 2, 4), "output": sized("Output", 3, 4, 4)}
LAYER = {"input": sized("Input", 2), "lif": lif(2), "output": sized("Output", 2)}
GROUPS = {"input": sized("Input", 4, 4, 4), "conv": conv2d(6, 2, 4, groups=2), "output": sized("Output", 6, 4, 4)}
INNER = {
    "input": sized("Input", 3),
    "g": {"nodes": {"in": sized("Input", 3), "fc": affine(2, 3), "out": sized("Output", 2)}},
    "output": sized("Output", 2),
}


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        (CHAIN, "fc"),
        (CHAIN | {"fc": linear(2, 3)}, "fc"),
        (LAYER, "lif"),
        (IMAGES, "conv"),
        (GROUPS, "conv"),
        (INNER, "g.in"),
    ],
    ids=["Affine", "Linear", "LIF", "Conv2d", "groups", "graph"],
)
def test_an_input_is_put_before_the_one_node_that_states_what_it_receives(
    nodes: Nodes, first: str, tmp_path: Path
) -> None:
    cut = {name: values for name, values in nodes.items() if name != "input"}
    program, repairs = repaired(tmp_path, cut)
    assert program == whole(tmp_path, nodes)
    assert isinstance(program["input"], Input)
    assert reports(repairs, "no Input", first)


@pytest.mark.parametrize(("nodes", "last"), [(CHAIN, "lif"), (IMAGES, "conv"), (INNER, "g.out")])
def test_an_output_is_put_after_the_one_node_that_leads_to_nothing(nodes: Nodes, last: str, tmp_path: Path) -> None:
    cut = {name: values for name, values in nodes.items() if name != "output"}
    program, repairs = repaired(tmp_path, cut)
    assert program == whole(tmp_path, nodes)
    assert isinstance(program["output"], Output)
    assert reports(repairs, "no Output", last)


def test_both_ends_are_put_around_one_node(tmp_path: Path) -> None:
    program, repairs = repaired(tmp_path, {"lif": lif(2)})
    assert program == whole(tmp_path, LAYER)
    assert len(repairs) == 2


def test_an_end_gets_a_name_that_no_node_has(tmp_path: Path) -> None:
    program, repairs = repaired(tmp_path, {"input": lif(2), "output": linear(3, 2)})
    assert [node.name for node in program.nodes] == ["input_", "input", "output", "output_"]
    assert program.input.shape == (2,)
    assert program.in_shape("output_") == (3,)
    assert len(repairs) == 2


@pytest.mark.parametrize(
    ("first", "others"),
    [
        (pool(), {}),
        (lif(), {}),
        (conv2d(3, 2, 4, input_shape=None), {}),
        (conv2d(3, 2, 4, input_shape=4), {}),
        (conv2d(3, 2, 4, input_shape=np.array([np.nan, 4])), {}),
        (conv2d(3, 2, 4, input_shape=np.array([2, 4, 4])), {}),
        (affine(2, 3, weight="text"), {}),
        (lif(2, tau=np.ones(3)), {}),
        (lif(2), {"second": lif(2)}),
    ],
    ids=["pool", "one number", "no size", "1 size", "NaN", "3 sizes", "text", "unequal", "two"],
)
def test_no_input_is_put_where_no_one_node_states_its_shape(first: Values, others: Nodes, tmp_path: Path) -> None:
    edges = [(name, "output") for name in ("first", *others)]
    found = refused(tmp_path, {"first": first, **others, "output": sized("Output", 2)}, edges)["the graph"]
    assert "no node of kind Input" in found.found
    assert f"{1 + len(others)} nodes" in found.found
    assert found.remedy == "Add an Input."


def test_no_output_is_put_where_two_nodes_lead_to_nothing(tmp_path: Path) -> None:
    nodes = {"input": sized("Input", 2), "a": lif(2), "b": lif(2)}
    found = refused(tmp_path, nodes, [("input", "a"), ("input", "b")])["the graph"]
    assert "no node of kind Output, and 2 nodes" in found.found


def test_a_graph_whose_two_missing_ends_cannot_be_added_is_refused_with_both(tmp_path: Path) -> None:
    path = write(tmp_path / "network.nir", {"a": lif(2), "b": lif(2)}, [("a", "b"), ("b", "a")])
    with pytest.raises(UnsupportedGraph) as caught:
        read(path, dialect=DIALECT)
    assert [kind in str(fault) for kind, fault in zip(("Input", "Output"), caught.value.violations, strict=True)]


@pytest.mark.parametrize(
    ("batched", "plain", "after"),
    [
        ((1, 3), (3,), {"fc": affine(2, 3)}),
        ((1, 3), (3,), {"first": lif(3), "fc": affine(2, 3)}),
        ((1, 2, 4, 4), (2, 4, 4), {"conv": conv2d(3, 2, 4)}),
        ((1, 2, 4, 4), (2, 4, 4), {"lif": lif(2, 4, 4)}),
        ((1, 2, 4, 4), (2, 4, 4), {"flat": flatten(0, -1, 2, 4, 4), "fc": affine(2, 32)}),
        ((1, 2, 5), (2, 5), {"conv": conv1d(3, 2, 5)}),
        ((1, 2, 4, 4), (2, 4, 4), {"pool": pool(), "flat": flatten(0, -1, 2, 2, 2), "fc": affine(2, 8)}),
    ],
)
def test_a_batch_of_one_before_the_shape_of_an_input_is_left_out(
    batched: tuple[int, ...], plain: tuple[int, ...], after: Nodes, tmp_path: Path
) -> None:
    program, repairs = repaired(tmp_path, {"input": sized("Input", *batched), **after})
    expected, _ = repaired(tmp_path, {"input": sized("Input", *plain), **after})
    assert program == expected
    batch = [repair for repair in repairs if repair.startswith("input:")]
    assert reports(batch, str(batched), "batch of 1")


@pytest.mark.parametrize("shape", [(1, 4, 4), (1, 7), (1, 5)])
def test_a_first_size_of_one_that_a_map_takes_is_no_batch(shape: tuple[int, ...], tmp_path: Path) -> None:
    first = {3: conv2d(2, 1, 4), 2: conv1d(2, 1, shape[-1])}[len(shape)]
    program = whole(tmp_path, {"input": sized("Input", *shape), "first": first, "output": outputs(2, *shape[1:])})
    assert program.input.shape == (1, *(1,) * (3 - len(shape)), *shape[1:])


def outputs(*shape: int) -> Values:
    return sized("Output", *shape)


def test_a_signal_of_one_dimension_without_maps_stays_one(tmp_path: Path) -> None:
    program = whole(tmp_path, {"input": sized("Input", 2, 5), "lif": lif(2, 5), "output": outputs(2, 5)})
    assert program.input.shape == (2, 1, 5)


@pytest.mark.parametrize("shape", [(2, 1, 4, 4), (1, 1, 2, 4, 4)])
def test_an_input_of_more_dimensions_than_an_image_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    found = refused(tmp_path, {"input": sized("Input", *shape), "lif": lif(2, 4, 4), "output": outputs(2, 4, 4)})
    assert "(channels, h, w)" in found["input.shape"].allowed
    assert "2, " in found["input.shape"].found


@pytest.mark.parametrize(
    ("shape", "found"),
    [(np.array([0]), "[0]"), (np.array([2.0]), "[2.]"), ("text", "text"), (np.array([[2]]), "[[2]]")],
)
@pytest.mark.parametrize("end", ["input", "output"])
def test_invalid_sizes_are_named(end: str, shape: Any, found: str, tmp_path: Path) -> None:
    nodes = {**LAYER, end: {**LAYER[end], "shape": shape}}
    violation = refused(tmp_path, nodes)[f"{end}.shape"]
    assert found in violation.found
    assert "each 1 or more" in violation.allowed


def test_an_output_that_states_no_shape_gets_the_shape_that_it_receives(tmp_path: Path) -> None:
    assert whole(tmp_path, {**LAYER, "output": {"type": "Output"}}) == whole(tmp_path, LAYER)


def test_an_output_that_states_another_shape_of_equal_size_gets_the_shape_that_it_receives(tmp_path: Path) -> None:
    program, repairs = repaired(tmp_path, {**LAYER, "output": outputs(1, 2)})
    assert program == whole(tmp_path, LAYER)
    assert reports(repairs, "output", "(1, 2)", "(2,)")


def test_an_end_of_an_inner_graph_has_to_match_the_shape_that_it_receives(tmp_path: Path) -> None:
    inner = INNER["g"]["nodes"]
    for end, n, other in (("in", 3, (1, 3)), ("out", 2, (2, 1, 1))):
        changed = {"g": {"nodes": {**inner, end: {**inner[end], "shape": np.array(other)}}}}
        program, repairs = repaired(tmp_path, {**INNER, **changed})
        assert program == whole(tmp_path, INNER)
        assert reports(repairs, f"g.{end}", str(other), f"({n},)")
        changed = {"g": {"nodes": {**inner, end: {**inner[end], "shape": np.array([n + 1])}}}}
        found = refused(tmp_path, {**INNER, **changed})[f"g.{end}"]
        assert f"shape ({n + 1},), but receives ({n},)" in found.found


def test_an_output_that_states_another_number_of_numbers_is_refused(tmp_path: Path) -> None:
    found = refused(tmp_path, {**LAYER, "output": outputs(3)})["output"]
    assert "shape (3,), but receives (2,)" in found.found


# Nodes and edges


def test_a_kind_of_node_that_is_unknown_is_named_with_those_that_are_known(tmp_path: Path) -> None:
    found = refused(tmp_path, {**LAYER, "lif": {"type": "Spline"}})
    assert found.keys() == {"lif"}
    assert "Spline" in found["lif"].found
    assert "CubaLIF" in found["lif"].allowed
    assert "Conv1d" in found["lif"].allowed


def test_a_node_without_a_kind_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "network.nir", {**LAYER, "more": {"r": 1.0}})
    with pytest.raises(BadFile, match=r"node/nodes/more/type"):
        read(path, dialect=DIALECT)


def test_a_duplicate_edge_is_named(tmp_path: Path) -> None:
    found = refused(tmp_path, LAYER, [("input", "lif"), ("lif", "output"), ("input", "lif")])
    assert found.keys() == {"edge input -> lif"}
    assert "2 times" in found["edge input -> lif"].found


def test_an_edge_to_a_node_that_is_not_there_is_read_as_the_one_that_no_edge_names(tmp_path: Path) -> None:
    program, repairs = repaired(tmp_path, LAYER, [("input", "lif.lif"), ("lif.lif", "output")])
    assert program == whole(tmp_path, LAYER)
    assert reports(repairs, "lif.lif", "read as lif,")


@pytest.mark.parametrize("strangers", [("a", "b"), ("a",)])
def test_an_edge_to_a_node_that_is_not_there_is_refused_where_several_could_be_meant(
    strangers: tuple[str, ...], tmp_path: Path
) -> None:
    nodes = LAYER if len(strangers) == 2 else {**LAYER, "other": lif(2)}
    edges = [("input", strangers[0]), (strangers[-1], "output")]
    found = refused(tmp_path, nodes, edges)
    assert found.keys() == {f"edge input -> {strangers[0]}", f"edge {strangers[-1]} -> output"}
    assert all("which does not exist" in violation.found for violation in found.values())


def test_two_nodes_of_one_name_are_refused(tmp_path: Path) -> None:
    """``g.fc`` is a node of the graph ``g``, and a node beside it."""
    nodes = {**INNER, "g.fc": affine(2, 2)}
    violation = refused(tmp_path, nodes, [("input", "g"), ("g", "g.fc"), ("g.fc", "output")])["g.fc"]
    assert "two nodes" in violation.found
    assert violation.remedy


def test_a_node_that_no_input_reaches_is_named_with_a_remedy(tmp_path: Path) -> None:
    nodes = {**LAYER, "lost": linear(2, 2)}
    found = refused(tmp_path, nodes, [("input", "lif"), ("lost", "lif"), ("lif", "output")])
    assert found.keys() == {"lost"}
    assert found["lost"].remedy == "Remove the node."


def test_a_cycle_of_maps_that_no_input_enters_is_named(tmp_path: Path) -> None:
    nodes = {**LAYER, "a": linear(2, 2), "b": linear(2, 2)}
    edges = [*pairwise(LAYER), ("a", "b"), ("b", "a")]
    found = refused(tmp_path, nodes, edges)
    assert found.keys() == {"a", "b"}
    assert {violation.remedy for violation in found.values()} == {"Remove the node."}


def test_a_cycle_that_no_input_enters_begins_at_a_layer_that_states_its_shape(tmp_path: Path) -> None:
    nodes = {**LAYER, "loop": lif(2), "back": linear(2, 2)}
    edges = [*pairwise(LAYER), ("loop", "back"), ("back", "loop"), ("back", "lif")]
    program = whole(tmp_path, nodes, edges)
    assert program.shapes["loop"] == program.shapes["back"] == (2,)
    for shape in ((1, 2, 4, 4), (2, 4, 4)):
        images = {"input": sized("Input", 2, 4, 4), "lif": lif(2, 4, 4), "output": outputs(2, 4, 4)}
        program, _ = repaired(
            tmp_path, {**images, "loop": lif(*shape)}, [*pairwise(images), ("loop", "loop"), ("loop", "lif")]
        )
        assert program.shapes["loop"] == (2, 4, 4)


def test_one_channel_of_a_layer_at_which_a_cycle_begins_is_no_batch(tmp_path: Path) -> None:
    for shape in ((1,), (1, 4, 4)):
        nodes = {"input": sized("Input", *shape), "lif": lif(*shape), "output": outputs(*shape)}
        edges = [*pairwise(nodes), ("loop", "loop"), ("loop", "lif")]
        assert whole(tmp_path, {**nodes, "loop": lif(*shape)}, edges).shapes["loop"] == shape


def test_a_cycle_in_which_no_layer_states_its_shape_is_refused_with_a_remedy(tmp_path: Path) -> None:
    nodes = {**LAYER, "loop": lif(), "back": linear(2, 2)}
    edges = [*pairwise(LAYER), ("loop", "back"), ("back", "loop"), ("back", "lif")]
    found = refused(tmp_path, nodes, edges)
    assert found.keys() == {"loop"}
    assert "do not state its shape" in found["loop"].found
    assert found["loop"].remedy == "Give its parameters the shape of the layer."


def test_the_size_of_values_that_a_node_sends_is_bounded(tmp_path: Path) -> None:
    nodes = {"input": sized("Input", 2**15, 2**7, 2**7), "flat": flatten(0, -1, 2**15, 2**7, 2**7)}
    violation = refused(tmp_path, {**nodes, "output": {"type": "Output"}})["input"]
    assert violation.found == "sends 536,870,912 values, more than 268,435,456"
    half = {"input": sized("Input", 2**14, 2**7, 2**7), "flat": flatten(0, -1, 2**14, 2**7, 2**7)}
    assert whole(tmp_path, {**half, "output": {"type": "Output"}}).input.shape == (2**14, 2**7, 2**7)


# Layers of neurons


@pytest.mark.parametrize(
    ("kind", "keys", "missing"),
    [
        ("IF", {"r": 1e3, "v_threshold": 1.5, "v_reset": 0.0}, "v_reset"),
        ("LIF", {"tau": 2e-3, "r": 2.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0}, "v_reset"),
        ("CubaLI", {"tau_syn": 4e-3, "tau_mem": 2e-3, "r": 2.0, "v_leak": 0.0, "w_in": 1.0}, "w_in"),
        (
            "CubaLIF",
            {"tau_syn": 4e-3, "tau_mem": 2e-3, "r": 2.0, "v_leak": 0.0, "v_threshold": 1.0, "w_in": 1.0, "v_reset": 0},
            "v_reset",
        ),
        (
            "CubaLIF",
            {"tau_syn": 4e-3, "tau_mem": 2e-3, "r": 2.0, "v_leak": 0.0, "v_threshold": 1.0, "w_in": 1.0, "v_reset": 0},
            "w_in",
        ),
    ],
)
def test_a_parameter_that_older_files_lack_has_the_value_of_nir(
    kind: str, keys: dict[str, float], missing: str, tmp_path: Path
) -> None:
    values = {"type": kind, **{key: np.full(2, float(value)) for key, value in keys.items()}}
    expected = whole(tmp_path, {**CHAIN, "lif": values})
    program, repairs = repaired(tmp_path, {**CHAIN, "lif": without(values, {missing: None})})
    assert program == expected
    assert reports(repairs, "lif", missing, f"{keys[missing]:g}")


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("I", ["r"]),
        ("IF", ["r", "v_threshold"]),
        ("LI", ["tau", "r", "v_leak"]),
        ("LIF", ["tau", "r", "v_leak", "v_threshold"]),
        ("CubaLI", ["tau_syn", "tau_mem", "r", "v_leak"]),
        ("CubaLIF", ["tau_syn", "tau_mem", "r", "v_leak", "v_threshold"]),
        ("Threshold", ["threshold"]),
    ],
)
def test_all_parameters_that_are_missing_are_named_at_once(kind: str, keys: list[str], tmp_path: Path) -> None:
    found = refused(tmp_path, {**CHAIN, "lif": {"type": kind}})
    assert found.keys() == {f"lif.{key}" for key in keys}
    assert {violation.found for violation in found.values()} == {"is missing"}


@pytest.mark.parametrize(
    ("value", "found"), [(np.array([1.0, np.nan]), "nan"), (np.array([np.inf, 1]), "inf"), ("text", "text")]
)
def test_a_parameter_without_finite_numbers_is_named(value: Any, found: str, tmp_path: Path) -> None:
    violation = refused(tmp_path, {**CHAIN, "lif": lif(2, v_threshold=value)})["lif.v_threshold"]
    assert found in violation.found
    assert violation.allowed == "finite numbers"


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (2, 1, 1), (1, 2)])
def test_a_parameter_that_is_the_same_for_all_spreads_over_a_layer(shape: tuple[int, ...], tmp_path: Path) -> None:
    program, repairs = repaired(tmp_path, {**CHAIN, "lif": lif(2, v_threshold=np.full(shape, 1.0))})
    assert program == whole(tmp_path, CHAIN)
    assert reports(repairs, "lif", f"v_threshold {list(shape)}", "[2]")


def test_a_repair_that_is_met_twice_is_reported_once(tmp_path: Path) -> None:
    """The shape of a layer is looked at for the input that is put before it."""
    program, repairs = repaired(tmp_path, {"lif": lif(2, v_reset=None), "output": outputs(2)})
    assert program == whole(tmp_path, LAYER)
    assert [repair.partition(" is missing")[0] for repair in repairs if "missing" in repair] == ["lif: v_reset"]
    assert len(repairs) == 2


def test_all_parameters_that_were_spread_are_reported_in_one_line(tmp_path: Path) -> None:
    program, repairs = repaired(tmp_path, {**CHAIN, "lif": lif()})
    assert program == whole(tmp_path, CHAIN)
    assert reports(repairs, "lif", "r [], tau [], v_leak [], v_reset [], v_threshold [] broadcast to [2]")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array([1.0, 2.0]), np.broadcast_to(np.array([1.0, 2.0])[:, None, None], (2, 4, 4))),
        (np.array([1.0, 2.0])[:, None, None], np.broadcast_to(np.array([1.0, 2.0])[:, None, None], (2, 4, 4))),
        (dense(1, 4, 4), np.broadcast_to(dense(4, 4), (2, 4, 4))),
        (dense(1, 2, 4, 4), dense(2, 4, 4)),
        (dense(2, 1, 4, 4), dense(2, 4, 4)),
    ],
    ids=["per channel", "per channel in 3", "one image", "batch of 1", "a size of 1"],
)
def test_parameters_of_an_image_spread_in_the_one_way_there_is(
    value: np.ndarray, expected: np.ndarray, tmp_path: Path
) -> None:
    nodes = {"input": sized("Input", 2, 4, 4), "lif": lif(2, 4, 4), "output": outputs(2, 4, 4)}
    program, repairs = repaired(tmp_path, {**nodes, "lif": lif(2, 4, 4, v_threshold=value)})
    assert program == whole(tmp_path, {**nodes, "lif": lif(2, 4, 4, v_threshold=np.array(expected))})
    np.testing.assert_array_equal(layer(program, "lif").v_threshold, expected)
    assert reports(repairs, "lif", f"v_threshold {list(value.shape)}", "[2, 4, 4]")


@pytest.mark.parametrize(
    ("shape", "value"),
    [((4, 4, 4), dense(4)), ((2, 4, 4), dense(4)), ((2, 4, 4), dense(4, 4)), ((2, 4, 4), dense(4, 2, 4))],
)
def test_parameters_that_spread_in_no_way_or_several_are_refused(
    shape: tuple[int, ...], value: np.ndarray, tmp_path: Path
) -> None:
    nodes = {"input": sized("Input", *shape), "lif": lif(*shape, v_threshold=value), "output": outputs(*shape)}
    violation = refused(tmp_path, nodes)["lif.v_threshold"]
    assert (str(value.shape) in violation.found, str(shape) in violation.allowed) == (True, True)


def test_parameters_of_another_size_than_a_layer_receives_are_refused_even_if_all_are_the_same(tmp_path: Path) -> None:
    violation = refused(tmp_path, {**CHAIN, "lif": lif(3)})["lif.tau"]
    assert ("(3,)" in violation.found, "(2,)" in violation.allowed) == (True, True)


def test_parameters_of_a_signal_of_one_dimension_need_no_repair(tmp_path: Path) -> None:
    nodes = {"input": sized("Input", 2, 5), "lif": lif(2, 5, v_threshold=dense(2, 5)), "output": outputs(2, 5)}
    program = whole(tmp_path, nodes)
    np.testing.assert_array_equal(layer(program, "lif").v_threshold, dense(2, 1, 5))


def test_a_layer_that_is_refused_is_refused_once(tmp_path: Path) -> None:
    """It states a shape, as a layer does at which a cycle may begin."""
    nodes = {"input": sized("Input", 4, 4, 4), "lif": lif(4, 4, 4, v_threshold=dense(4)), "output": outputs(4, 4, 4)}
    assert refused(tmp_path, nodes).keys() == {"lif.v_threshold"}


# Delays


def delayed(delay: Any) -> Nodes:
    values = {"type": "Delay"} if delay is None else {"type": "Delay", "delay": delay}
    return {"input": sized("Input", 2), "late": values, "fc": linear(2, 2), "output": outputs(2)}


@pytest.mark.parametrize("delay", [2e-3, np.full(2, 2e-3), np.full((2, 1), 2e-3)])
def test_a_delay_is_one_number_of_time_steps(delay: Any, tmp_path: Path) -> None:
    program = whole(tmp_path, delayed(delay))
    found = {(edge.source, edge.target, edge.delay) for edge in program.edges}
    assert found == {("input", "fc", 2), ("fc", "output", 0)}


@pytest.mark.parametrize(
    ("delay", "found", "allowed", "remedy"),
    [
        (None, "is missing", "", ""),
        ("text", "text", "0 seconds or more", ""),
        (np.array([-1e-3, -1e-3]), "-0.001", "0 seconds or more", ""),
        (np.array([1e-3, np.inf]), "inf", "0 seconds or more", ""),
        (np.array([1e-3, 2e-3]), "0.001 to 0.002 s", "the same for all values", "Use one Delay for each of them."),
        (np.full(3, 1e-3), "(3,)", "(2,)", ""),
    ],
)
def test_an_invalid_delay_is_named(delay: Any, found: str, allowed: str, remedy: str, tmp_path: Path) -> None:
    violation = refused(tmp_path, delayed(delay))["late.delay"]
    assert (found in violation.found, allowed in violation.allowed, violation.remedy) == (True, True, remedy)


# Dense maps


def test_an_image_is_flattened_before_a_dense_map_that_takes_all_of_it(tmp_path: Path) -> None:
    nodes = {"input": sized("Input", 2, 2, 3), "fc": affine(2, 12), "output": outputs(2)}
    program, repairs = repaired(tmp_path, nodes)
    flat = {"fc.flatten": flatten(0, -1, 2, 2, 3)}
    given = {"input": nodes["input"], **flat, "fc": nodes["fc"], "output": nodes["output"]}
    assert program == whole(tmp_path, given)
    assert isinstance(program["fc.flatten"], Flatten)
    assert reports(repairs, "fc", "[2, 2, 3]", "12")


def test_a_row_is_flattened_before_a_dense_map_too(tmp_path: Path) -> None:
    nodes = {"input": sized("Input", 2, 5), "conv": conv1d(1, 2, 5), "fc": affine(2, 5), "output": outputs(2)}
    program, repairs = repaired(tmp_path, nodes)
    assert program.shapes["fc.flatten"] == (5,)
    assert reports(repairs, "fc", "[1, 1, 5]", "5 numbers")


def test_all_that_leads_to_a_dense_map_is_flattened_before_it(tmp_path: Path) -> None:
    nodes = {"input": sized("Input", 2, 2, 3), "a": lif(2, 2, 3), "b": lif(2, 2, 3), "fc": affine(2, 12)}
    edges = [("input", "a"), ("input", "b"), ("a", "fc"), ("b", "fc"), ("fc", "output")]
    program, _ = repaired(tmp_path, {**nodes, "output": outputs(2)}, edges)
    into = {
        edge.target: {other.source for other in program.edges if other.target == edge.target} for edge in program.edges
    }
    assert into["fc.flatten"] == {"a", "b"}
    assert into["fc"] == {"fc.flatten"}


def test_the_flatten_before_a_dense_map_gets_a_name_that_no_node_has(tmp_path: Path) -> None:
    nodes = {"input": sized("Input", 2, 2, 3), "fc": affine(2, 12), "fc.flatten": lif(2), "output": outputs(2)}
    program, _ = repaired(tmp_path, nodes)
    assert [node.name for node in program.nodes] == ["input", "fc.flatten_", "fc", "fc.flatten", "output"]


@pytest.mark.parametrize(("shape", "n_in"), [((2, 2, 3), 11), ((2, 2, 3), 3), ((3,), 4), ((2, 6), 6)])
def test_a_dense_map_that_takes_another_number_of_inputs_is_refused(
    shape: tuple[int, ...], n_in: int, tmp_path: Path
) -> None:
    violation = refused(tmp_path, {"input": sized("Input", *shape), "fc": affine(2, n_in), "output": outputs(2)})["fc"]
    held = (shape[0], 1, shape[1]) if len(shape) == 2 else shape
    assert f"receives shape {held}, but takes ({n_in},)" in violation.found


@pytest.mark.parametrize("nodes", [CHAIN, IMAGES], ids=["Affine", "Conv2d"])
def test_a_bias_that_is_missing_is_zero(nodes: Nodes, tmp_path: Path) -> None:
    name = "fc" if "fc" in nodes else "conv"
    program, repairs = repaired(tmp_path, {**nodes, name: without(nodes[name], {"bias": None})})
    n_out = len(nodes[name]["weight"])
    assert program == whole(tmp_path, {**nodes, name: {**nodes[name], "bias": np.zeros(n_out)}})
    made = program[name]
    assert isinstance(made, Dense | Conv)
    assert made.bias is None
    assert reports(repairs, name, "bias is missing", "0")


@pytest.mark.parametrize("shape", [(), (1,)])
def test_a_bias_of_one_number_applies_to_all_outputs(shape: tuple[int, ...], tmp_path: Path) -> None:
    program, repairs = repaired(tmp_path, {**CHAIN, "fc": affine(2, 3, bias=np.full(shape, 0.5))})
    assert program == whole(tmp_path, {**CHAIN, "fc": affine(2, 3, bias=np.full(2, 0.5))})
    assert reports(repairs, "fc", f"bias {list(shape)}", "[2]")


@pytest.mark.parametrize(
    ("bias", "found"),
    [
        (np.ones(3), "(3,)"),
        (np.ones((2, 1)), "(2, 1)"),
        (np.array([1.0, np.nan]), "nan"),
        (np.full(3, np.inf), "inf"),
        ("text", "text"),
    ],
)
def test_an_invalid_bias_is_named(bias: Any, found: str, tmp_path: Path) -> None:
    violation = refused(tmp_path, {**CHAIN, "fc": affine(2, 3, bias=bias)})["fc.bias"]
    assert (found in violation.found, violation.allowed.startswith("2 finite numbers")) == (True, True)


@pytest.mark.parametrize(
    ("weight", "found"),
    [
        (None, "is missing"),
        ("text", "text"),
        (np.ones(3), "(3,)"),
        (np.ones((2, 3, 1)), "(2, 3, 1)"),
        (np.full((2, 3), np.nan), "NaN or infinite"),
        (np.full((2, 3), -np.inf), "NaN or infinite"),
        (np.ones((0, 3)), "[]"),
    ],
)
def test_an_invalid_weight_is_named(weight: Any, found: str, tmp_path: Path) -> None:
    violation = refused(tmp_path, {**CHAIN, "fc": affine(2, 3, weight=weight)})["fc.weight"]
    allowed = "" if weight is None else "finite numbers in 2 dimensions"
    assert (found in violation.found, violation.allowed) == (True, allowed)


# Convolutions and pools


def test_a_convolution_without_a_stated_size_takes_the_size_that_it_receives(tmp_path: Path) -> None:
    program, repairs = repaired(tmp_path, {**IMAGES, "conv": conv2d(3, 2, 4, input_shape=None)})
    assert program == whole(tmp_path, IMAGES)
    assert reports(repairs, "conv", "input_shape is missing", "[4, 4]")


@pytest.mark.parametrize(("size", "found"), [(np.array([4, 5]), "[4 5]"), (np.array([4]), "[4]"), ("text", "text")])
def test_a_convolution_that_states_another_size_than_it_receives_is_refused(
    size: Any, found: str, tmp_path: Path
) -> None:
    violation = refused(tmp_path, {**IMAGES, "conv": conv2d(3, 2, 4, input_shape=size)})["conv.input_shape"]
    assert (found in violation.found, "(4, 4)" in violation.allowed) == (True, True)


@pytest.mark.parametrize(("nodes", "groups"), [(IMAGES, 1), (GROUPS, 2)])
def test_groups_that_are_missing_are_those_of_the_weight(nodes: Nodes, groups: int, tmp_path: Path) -> None:
    program, repairs = repaired(tmp_path, {**nodes, "conv": without(nodes["conv"], {"groups": None})})
    assert program == whole(tmp_path, nodes)
    conv = program["conv"]
    assert isinstance(conv, Conv)
    assert conv.groups == groups
    assert reports(repairs, "conv", "groups is missing", str(groups))


@pytest.mark.parametrize(
    ("channels", "conv", "takes"),
    [
        (3, conv2d(3, 2, 4), "2 channels in 1 groups"),
        (1, conv2d(3, 2, 4, groups=None), "2 channels in 1 groups"),
        (4, conv2d(3, 2, 4, groups=2), "4 channels in 2 groups"),
        (2, conv2d(4, 2, 4, groups=2), "4 channels in 2 groups"),
    ],
)
def test_a_convolution_of_other_channels_than_it_receives_is_refused(
    channels: int, conv: Values, takes: str, tmp_path: Path
) -> None:
    nodes = {"input": sized("Input", channels, 4, 4), "conv": conv, "output": {"type": "Output"}}
    violation = refused(tmp_path, nodes)["conv"]
    assert f"receives shape ({channels}, 4, 4)" in violation.found
    assert takes in violation.found


@pytest.mark.parametrize("groups", [0, -1, 1.5, np.array([1, 1]), "text"])
def test_invalid_groups_are_named(groups: Any, tmp_path: Path) -> None:
    violation = refused(tmp_path, {**IMAGES, "conv": conv2d(3, 2, 4, groups=groups)})["conv.groups"]
    assert "1 or more" in violation.allowed
    assert np.array2string(np.asarray(groups)).strip("'") in violation.found


def test_a_convolution_receives_no_vector(tmp_path: Path) -> None:
    nodes = {"input": sized("Input", 2), "conv": conv2d(3, 2, 4, input_shape=None), "output": {"type": "Output"}}
    violation = refused(tmp_path, nodes)["conv"]
    assert "receives shape (2,), but takes (2, height, width)" in violation.found


@pytest.mark.parametrize("shape", [(2, 4, 5), (2,)])
def test_a_1d_convolution_receives_only_a_signal(shape: tuple[int, ...], tmp_path: Path) -> None:
    nodes = {"input": sized("Input", *shape), "conv": conv1d(3, 2, 5), "output": {"type": "Output"}}
    violation = refused(tmp_path, nodes)["conv"]
    assert f"receives shape {shape}, but takes (channels, n)" in violation.found


def test_a_1d_convolution_is_read_as_a_2d_convolution_of_height_1(tmp_path: Path) -> None:
    conv = conv1d(3, 2, 9, stride=2, padding=2, dilation=3)
    program = whole(tmp_path, {"input": sized("Input", 2, 9), "conv": conv, "output": outputs(3, 4)})
    made = program["conv"]
    assert isinstance(made, Conv)
    assert (made.stride, made.padding, made.dilation) == ((1, 2), (0, 2), (1, 3))
    np.testing.assert_array_equal(made.weight, dense(3, 2, 3)[:, :, None])
    assert program.shapes["conv"] == (3, 1, 4)


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("stride", 0, "1 to"),
        ("stride", np.array([1, -1]), "1 to"),
        ("dilation", 2**29, "268,435,456"),
        ("padding", -1, "0 to"),
        ("padding", 2**29, "268,435,456"),
        ("stride", 1.5, "whole numbers"),
        ("stride", None, ""),
        ("padding", None, ""),
        ("dilation", np.array([1, 1, 1]), "whole numbers"),
        ("dilation", np.array([[1, 1]]), "whole numbers"),
    ],
)
def test_an_invalid_pair_of_a_convolution_is_named(key: str, value: Any, allowed: str, tmp_path: Path) -> None:
    violation = refused(tmp_path, {**IMAGES, "conv": conv2d(3, 2, 4, **{key: value})})[f"conv.{key}"]
    shown = "is missing" if value is None else np.array2string(np.asarray(value))
    assert (violation.found, allowed in violation.allowed) == (shown, True)


@pytest.mark.parametrize(("key", "value"), [("stride", np.array([1, 1])), ("dilation", 0), ("padding", 0.5)])
def test_an_invalid_number_of_a_1d_convolution_is_named(key: str, value: Any, tmp_path: Path) -> None:
    nodes = {"input": sized("Input", 2, 5), "conv": conv1d(3, 2, 5, **{key: value}), "output": outputs(3, 5)}
    violation = refused(tmp_path, nodes)[f"conv.{key}"]
    assert np.array2string(np.asarray(value)) in violation.found


@pytest.mark.parametrize(
    ("padding", "dilation", "expected"),
    [("same", 1, (1, 1)), ("same", np.array([2, 1]), (2, 1)), ("valid", 1, (0, 0)), (1, 1, (1, 1))],
)
def test_padding_given_as_a_word_becomes_numbers(
    padding: Any, dilation: Any, expected: tuple[int, int], tmp_path: Path
) -> None:
    conv = conv2d(3, 2, 4, padding=padding, dilation=dilation)
    program = whole(tmp_path, {**IMAGES, "conv": conv, "output": {"type": "Output"}})
    made = program["conv"]
    assert isinstance(made, Conv)
    assert made.padding == expected
    np.testing.assert_array_equal(made.weight, dense(3, 2, 3, 3))


def test_same_padding_of_an_even_kernel_pads_the_end(tmp_path: Path) -> None:
    conv = conv2d(3, 2, 4, weight=dense(3, 2, 2, 3), padding="same")
    program = whole(tmp_path, {**IMAGES, "conv": conv})
    made = program["conv"]
    assert isinstance(made, Conv)
    assert made.padding == (1, 1)
    np.testing.assert_array_equal(made.weight[:, :, 0], np.zeros((3, 2, 3)))
    np.testing.assert_array_equal(made.weight[:, :, 1:], dense(3, 2, 2, 3))


@pytest.mark.parametrize(
    ("changed", "found", "allowed"),
    [
        ({"padding": "full"}, "'full'", "'valid'"),
        ({"padding": "same", "stride": 2}, "(2, 2)", "'same' with stride 1"),
        ({"padding": "same", "weight": dense(3, 2, 2, 2), "dilation": 3}, "'same'", "dilation 1 or an odd kernel"),
        ({"padding": "same", "weight": dense(3, 2, 3, 2), "dilation": np.array([1, 3])}, "'same'", "dilation 1"),
    ],
)
def test_an_unusable_word_for_padding_is_refused(
    changed: dict[str, Any], found: str, allowed: str, tmp_path: Path
) -> None:
    violation = refused(tmp_path, {**IMAGES, "conv": conv2d(3, 2, 4, **changed)})["conv.padding"]
    assert (found in violation.found, allowed in violation.allowed) == (True, True)


@pytest.mark.parametrize("dilation", [np.array([3, 1]), 1])
def test_same_padding_of_an_even_kernel_allows_a_dilation_in_the_other_direction(dilation: Any, tmp_path: Path) -> None:
    conv = conv2d(3, 2, 4, weight=dense(3, 2, 3, 2), padding="same", dilation=dilation)
    assert whole(tmp_path, {**IMAGES, "conv": conv}).shapes["conv"] == (3, 4, 4)


@pytest.mark.parametrize(("kind", "average"), [("SumPool2d", False), ("AvgPool2d", True)])
def test_a_pool_is_read_with_one_number_or_two(kind: str, average: bool, tmp_path: Path) -> None:
    made = pool(kind, kernel_size=np.array([2, 1]), stride=2, padding=np.array([1, 0]))
    program = whole(tmp_path, {"input": sized("Input", 2, 4, 4), "pool": made, "output": outputs(2, 3, 2)})
    found = program["pool"]
    assert isinstance(found, Pool)
    assert (found.kernel, found.stride, found.padding, found.average) == ((2, 1), (2, 2), (1, 0), average)


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [("kernel_size", 0, "1 to"), ("stride", 0, "1 to"), ("padding", -1, "0 to"), ("stride", None, "")],
)
def test_an_invalid_number_of_a_pool_is_named(key: str, value: Any, allowed: str, tmp_path: Path) -> None:
    nodes = {"input": sized("Input", 2, 4, 4), "pool": pool(**{key: value}), "output": {"type": "Output"}}
    violation = refused(tmp_path, nodes)[f"pool.{key}"]
    assert (violation.found, allowed in violation.allowed) == ("is missing" if value is None else str(value), True)


def test_a_window_that_fits_nowhere_is_named(tmp_path: Path) -> None:
    nodes = {"input": sized("Input", 2, 4, 4), "pool": pool(kernel_size=5), "output": {"type": "Output"}}
    violation = refused(tmp_path, nodes)["pool"]
    assert "receives shape (2, 4, 4), but takes at least 5 x 5" in violation.found


# Scales


def scaled(scale: Any, *shape: int) -> Nodes:
    values = {"type": "Scale"} if scale is None else {"type": "Scale", "scale": scale}
    return {"input": sized("Input", *shape), "scale": values, "output": outputs(*shape)}


@pytest.mark.parametrize(
    ("scale", "shape", "expected"),
    [
        (np.array(2.0), (3,), np.array(2.0)),
        (np.array([2.0]), (3,), np.array(2.0)),
        (np.array([2.0, 3.0]), (2, 4, 4), np.broadcast_to(np.array([2.0, 3.0])[:, None, None], (2, 4, 4))),
        (dense(1, 3), (3,), dense(3)),
    ],
)
def test_a_scale_spreads_over_what_it_receives(
    scale: np.ndarray, shape: tuple[int, ...], expected: np.ndarray, tmp_path: Path
) -> None:
    program, repairs = repaired(tmp_path, scaled(scale, *shape))
    node = program["scale"]
    assert isinstance(node, Scale)
    np.testing.assert_array_equal(node.factor, expected)
    assert reports(repairs, "scale", str(list(scale.shape)), str(list(shape)))


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 2, 3)])
def test_a_scale_of_the_shape_that_it_receives_needs_no_repair(shape: tuple[int, ...], tmp_path: Path) -> None:
    node = whole(tmp_path, scaled(dense(*shape), *shape))["scale"]
    assert isinstance(node, Scale)
    np.testing.assert_array_equal(node.factor.ravel(), dense(*shape).ravel())


@pytest.mark.parametrize(
    ("scale", "found", "allowed"),
    [
        (None, "is missing", ""),
        ("text", "text", "finite numbers"),
        (np.array([np.inf, np.inf, np.inf]), "inf", "finite numbers"),
        (np.array([1, np.nan, 1]), "nan", "finite numbers"),
        (dense(2), "(2,)", "(3,)"),
        (np.ones(2), "(2,)", "(3,)"),
        (dense(3, 1, 2), "(3, 1, 2)", "(3,)"),
    ],
)
def test_an_invalid_scale_is_named(scale: Any, found: str, allowed: str, tmp_path: Path) -> None:
    violation = refused(tmp_path, scaled(scale, 3))["scale.scale"]
    assert (found in violation.found, allowed in violation.allowed) == (True, True)


# Flatten


def flat_chain(node: Values, *after: Values, shape: tuple[int, ...] = (2, 2, 3)) -> Nodes:
    named = {f"n{k}": each for k, each in enumerate(after)}
    return {"input": sized("Input", *shape), "flat": node, **named, "output": {"type": "Output"}}


@pytest.mark.parametrize(
    "node",
    [
        flatten(0, -1, 2, 2, 3),
        flatten(0, 2, 2, 2, 3),
        flatten(0, -1, input_type=None),
        flatten(0, -1, 1, 2, 2, 3),
        flatten(0, 3, 1, 2, 2, 3),
        flatten(0, -1, 12),
    ],
)
def test_a_flatten_of_all_dimensions_needs_no_repair(node: Values, tmp_path: Path) -> None:
    program = whole(tmp_path, flat_chain(node, affine(2, 12)))
    assert program == whole(tmp_path, flat_chain(flatten(0, -1, 2, 2, 3), affine(2, 12)))
    assert program.shapes["flat"] == (12,)


@pytest.mark.parametrize("end", [-1, 3])
def test_a_flatten_after_a_batch_of_one_flattens_all(end: int, tmp_path: Path) -> None:
    program, repairs = repaired(tmp_path, flat_chain(flatten(1, end, 1, 2, 2, 3)))
    assert program == whole(tmp_path, flat_chain(flatten(0, -1, 2, 2, 3)))
    assert reports(repairs, "flat", "counts a batch", "left out")


@pytest.mark.parametrize(
    ("node", "shape"),
    [
        (flatten(1, -1, 2, 2, 3), (2, 2, 3)),
        (flatten(1, 2, input_type=None), (2, 2, 3)),
        (flatten(1, -1, 12), (12,)),
        (flatten(1, 1, 2, 6), (2, 6)),
    ],
)
def test_a_partial_flatten_before_dense_maps_of_all_inputs_is_read_as_whole(
    node: Values, shape: tuple[int, ...], tmp_path: Path
) -> None:
    program, repairs = repaired(tmp_path, flat_chain(node, affine(2, 12), shape=shape))
    assert program == whole(tmp_path, flat_chain(flatten(0, -1, *shape), affine(2, 12), shape=shape))
    assert reports(repairs, "flat", "start_dim 1", "does not exist")


def flat_into(**targets: Values) -> tuple[Nodes, Edges]:
    nodes = {"input": sized("Input", 2, 2, 3), "flat": flatten(1, -1, 2, 2, 3), **targets, "output": {"type": "Output"}}
    return nodes, [("input", "flat"), *(("flat", name) for name in targets), *((name, "output") for name in targets)]


def test_a_partial_flatten_before_several_dense_maps_is_read_as_whole(tmp_path: Path) -> None:
    program, repairs = repaired(tmp_path, *flat_into(a=linear(2, 12), b=affine(2, 12)))
    assert program.shapes["flat"] == (12,)
    assert reports(repairs, "flat", "start_dim 1")


@pytest.mark.parametrize(
    "targets",
    [
        {"a": linear(2, 6)},
        {"a": linear(2, 12), "b": linear(2, 6)},
        {"a": linear(2, 12), "b": lif()},
        {"a": lif()},
        {"a": affine(2, 12, weight="text")},
    ],
)
def test_a_partial_flatten_before_anything_else_is_refused(targets: dict[str, Values], tmp_path: Path) -> None:
    found = refused(tmp_path, *flat_into(**targets))["flat"]
    assert ("1 to 2 of [2, 2, 3]" in found.found, "start_dim 0, end_dim -1" in found.remedy) == (True, True)


@pytest.mark.parametrize(
    ("node", "found"),
    [
        (flatten(0, 1, 2, 2, 3), "0 to 1"),
        (flatten(2, -1, 2, 2, 3), "2 to 2"),
        (flatten(1, 2, 1, 2, 2, 3), "1 to 2"),
        (flatten(2, -1, 1, 2, 2, 3), "2 to 3"),
        (flatten(0, -2, 2, 2, 3), "0 to 1"),
        (flatten(1, -2, 1, 2, 2, 3), "1 to 2"),
    ],
)
def test_a_flatten_that_leaves_dimensions_is_refused(node: Values, found: str, tmp_path: Path) -> None:
    violation = refused(tmp_path, flat_chain(node, affine(2, 12)))["flat"]
    assert (found in violation.found, "all dimensions" in violation.remedy) == (True, True)


@pytest.mark.parametrize("key", ["start_dim", "end_dim"])
@pytest.mark.parametrize(
    ("value", "found"), [(None, "is missing"), (0.0, "0."), (np.array([0, 1]), "[0 1]"), ("a", "a")]
)
def test_an_invalid_dimension_is_named(key: str, value: Any, found: str, tmp_path: Path) -> None:
    violation = refused(tmp_path, flat_chain(flatten(0, -1, 2, 2, 3, **{key: value})))[f"flat.{key}"]
    assert (found in violation.found, violation.allowed) == (
        True,
        "the number of a dimension" if value is not None else "",
    )


# Several at once


def test_all_faults_and_all_repairs_come_at_once(tmp_path: Path) -> None:
    nodes = {
        "input": sized("Input", 1, 2, 4, 4),
        "conv": conv2d(3, 2, 4, bias=None, groups=None, input_shape=None),
        "lif": lif(),
        "fc": affine(2, 48),
    }
    program, repairs = repaired(tmp_path, nodes)
    assert sorted(repair.partition(":")[0] for repair in repairs) == sorted(
        ["conv"] * 3 + ["fc", "input", "lif", "the graph has no Output"]
    )
    expected = {
        "input": sized("Input", 2, 4, 4),
        "conv": conv2d(3, 2, 4, bias=np.zeros(3)),
        "lif": lif(3, 4, 4),
        "fc.flatten": flatten(0, -1, 3, 4, 4),
        "fc": affine(2, 48),
        "output": outputs(2),
    }
    assert program == whole(tmp_path, expected)


def test_a_fault_hides_no_fault_on_another_path(tmp_path: Path) -> None:
    nodes = {"input": sized("Input", 2), "a": lif(3), "b": affine(2, 3), "c": linear(2, 2), "output": outputs(2)}
    edges = [("input", name) for name in "abc"] + [(name, "output") for name in "abc"]
    assert refused(tmp_path, nodes, edges).keys() == {"a.tau", "b"}


def test_shapes_that_differ_on_two_ways_are_refused(tmp_path: Path) -> None:
    nodes = {"input": sized("Input", 2), "a": linear(2, 2), "b": linear(3, 2), "output": {"type": "Output"}}
    edges = [("input", "a"), ("input", "b"), ("a", "output"), ("b", "output")]
    with pytest.raises(BadProgram):
        read(write(tmp_path / "network.nir", nodes, edges), dialect=DIALECT)
