import errno
import math
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest

import tdd_deploy
from tdd_deploy.errors import BadFile, NotExportable, Refused
from tdd_deploy.exporters import TARGETS
from tdd_deploy.exporters.nir.rules import LARGEST_DIAGONAL
from tdd_deploy.exporters.nir.rules import NEURONS as HELD
from tdd_deploy.exporters.nir.write import lift, write
from tdd_deploy.importers import lower, read
from tdd_deploy.neurons import IF, LI, LIF, CubaLI, CubaLIF, I, LoihiLIF, Neuron, SigmaDelta, Threshold, VariantLIF
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Output, Pool, Program, Scale, build
from tdd_deploy.simulator.arithmetic import FloatArithmetic, IntegerArithmetic

FIRE = {"v_threshold": np.array(1.0), "v_reset": np.array(0.0)}
EXAMPLES = {
    "IF": IF(**FIRE),
    "LIF": LIF(beta=np.array(0.75), **FIRE),
    "CubaLIF": CubaLIF(alpha=np.array(0.5), beta=np.array(0.75), **FIRE),
    "LI": LI(beta=np.array(0.75)),
    "CubaLI": CubaLI(alpha=np.array(0.5), beta=np.array(0.75)),
    "I": I(),
    "Threshold": Threshold(v_threshold=np.array(1.0)),
}
LATE = VariantLIF(alpha=np.array(0.0), beta=np.array(0.75), **FIRE, reset="soft", resets="next step")
EDGES = (Edge("in", "fc"), Edge("fc", "n"), Edge("n", "out"))


def small(
    neuron: Neuron = EXAMPLES["LIF"],
    *,
    extra_nodes: tuple = (),
    edges: tuple[Edge, ...] = EDGES,
    dt_s: float = 1e-3,
    number_format: str = "float64",
    **choices,
) -> Program:
    """Return in (3) -> fc -> n (2) -> out."""
    nodes = [
        Input(name="in", shape=(3,)),
        Dense(name="fc", weight=np.arange(6.0).reshape(2, 3)),
        NeuronLayer(name="n", shape=(2,), neuron=neuron),
        Output(name="out"),
        *extra_nodes,
    ]
    return build(nodes, edges, dt_s=dt_s, n_steps=4, number_format=number_format, **choices)


def spatial(conv: Conv) -> Program:
    """Return a convolution of [2, 6, 6], LIF, pool, flatten, dense, LI."""
    channels, *size = conv.out_shape((2, 6, 6))
    pool = Pool(name="pool", kernel=(2, 2), stride=(2, 2), average=True)
    n_flat = math.prod(pool.out_shape((channels, *size)))
    nodes = [
        Input(name="in", shape=(2, 6, 6)),
        conv,
        NeuronLayer(name="lif", shape=(channels, *size), neuron=replace(EXAMPLES["LIF"], reset="soft")),
        pool,
        Flatten(name="flat"),
        Dense(name="fc", weight=np.ones((3, n_flat)), bias=np.zeros(3)),
        NeuronLayer(name="li", shape=(3,), neuron=EXAMPLES["LI"]),
        Output(name="out"),
    ]
    names = [node.name for node in nodes]
    return build(nodes, [Edge(*pair) for pair in pairwise(names)], dt_s=1e-3, n_steps=4)


SQUARE = Conv(name="conv", weight=np.ones((4, 2, 3, 3)), padding=(1, 1))


def reasons(program: Program) -> dict[str, str]:
    with pytest.raises(NotExportable) as refused:
        lift(program)
    return {violation.where: str(violation) for violation in refused.value.violations}


# Nodes


def test_every_neuron_of_nir_has_an_example():
    assert EXAMPLES.keys() == {cls.__name__ for cls in HELD} - {"VariantLIF", "LoihiLIF"}


def test_nir_has_no_sigma_delta_neuron():
    found = reasons(small(SigmaDelta(delta_threshold=np.array(0.5))))
    assert found["n"] == "n is of model SigmaDelta, for which NIR has no node. Simulate it as it is."


def test_a_neuron_made_from_one_of_nirs_is_not_taken_for_it():
    class Adaptive(LIF):
        """Might do anything."""

    found = reasons(small(Adaptive(beta=np.array(0.5), v_threshold=np.array(1.0), v_reset=np.array(0.0))))
    assert found["n"] == "n is of model Adaptive, for which NIR has no node. Simulate it as it is."


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_neuron_becomes_the_node_of_its_name_in_full_shape(name):
    node = lift(small(EXAMPLES[name])).nodes["n"]
    assert type(node).__name__ == name
    parameters = [value for value in vars(node).values() if isinstance(value, np.ndarray)]
    assert all(value.shape == (2,) and value.dtype == np.float64 for value in parameters)


def test_euler_turns_three_quarters_kept_into_four_time_steps():
    node = lift(small(EXAMPLES["LIF"])).nodes["n"]
    np.testing.assert_array_equal(node.tau, [4e-3, 4e-3])
    np.testing.assert_array_equal(node.r, [4, 4])
    np.testing.assert_array_equal(node.v_leak, [0, 0])


def test_exact_integration_takes_the_logarithm():
    node = lift(small(EXAMPLES["LIF"], integration="exact")).nodes["n"]
    np.testing.assert_allclose(node.tau, 1e-3 / math.log(4 / 3), rtol=1e-15)
    np.testing.assert_allclose(node.r, 4, rtol=1e-15)


def test_an_integrator_gains_its_whole_current_per_step():
    assert lift(small(EXAMPLES["IF"], dt_s=0.25)).nodes["n"].r.tolist() == [4, 4]
    assert lift(small(EXAMPLES["I"], dt_s=0.25)).nodes["n"].r.tolist() == [4, 4]


@pytest.mark.parametrize("name", ["LIF", "LI", "IF", "I"])
def test_an_euler_step_of_nirs_equation_is_a_step_of_the_neuron(name):
    node, neuron = lift(small(EXAMPLES[name])).nodes["n"], EXAMPLES[name]
    current, v = np.array([0.25, -0.5]), np.array([0.5, 0.125])
    slope = (node.v_leak - v + node.r * current) / node.tau if hasattr(node, "tau") else node.r * current
    (expected,), _ = neuron.step(FloatArithmetic(), (v,), current)
    np.testing.assert_allclose(v + 1e-3 * slope, expected, rtol=1e-14)


def test_euler_steps_of_nirs_two_equations_are_a_step_of_the_current_based_neuron():
    node, neuron = lift(small(EXAMPLES["CubaLIF"])).nodes["n"], EXAMPLES["CubaLIF"]
    current, i, v = np.array([0.25, -0.5]), np.array([0.25, 0.5]), np.array([0.5, 0.125])
    (i_expected, v_expected), _ = neuron.step(FloatArithmetic(), (i, v), current)
    i = i + 1e-3 * (node.w_in * current - i) / node.tau_syn
    v = v + 1e-3 * (node.v_leak - v + node.r * i) / node.tau_mem
    np.testing.assert_allclose(i, i_expected, rtol=1e-14)
    np.testing.assert_allclose(v, v_expected, rtol=1e-14)


def test_a_layer_without_memory_has_a_time_constant_of_one_step():
    assert lift(small(LIF(beta=np.array(0.0), **FIRE))).nodes["n"].tau.tolist() == [1e-3, 1e-3]


def test_no_bias_is_a_linear_node_and_a_zero_bias_an_affine_one():
    dense = Dense(name="second", weight=np.ones((2, 2)), bias=np.zeros(2))
    graph = lift(small(extra_nodes=(dense,), edges=(*EDGES[:2], Edge("n", "second"), Edge("second", "out"))))
    assert isinstance(graph.nodes["fc"], nir.Linear)
    assert isinstance(graph.nodes["second"], nir.Affine)


@pytest.mark.parametrize("number_format", ["float32", "float64"])
def test_weights_keep_the_number_format(number_format):
    assert lift(small(number_format=number_format)).nodes["fc"].weight.dtype == number_format


def test_a_scale_has_the_full_shape():
    scale = Scale(name="scale", factor=np.array(0.5))
    graph = lift(small(extra_nodes=(scale,), edges=(*EDGES[:2], Edge("n", "scale"), Edge("scale", "out"))))
    assert graph.nodes["scale"].scale.tolist() == [0.5, 0.5]


def scaled(scale):
    return small(extra_nodes=(scale,), edges=(*EDGES[:2], Edge("n", "scale"), Edge("scale", "out")))


def test_a_scale_with_a_bias_is_an_affine_with_a_diagonal_matrix_and_comes_back():
    program = scaled(Scale(name="scale", factor=np.array([0.5, -2.0]), bias=np.array(1.0)))
    graph = lift(program)
    assert (graph.nodes["scale"].weight.tolist(), graph.nodes["scale"].bias.tolist()) == ([[0.5, 0], [0, -2]], [1, 1])
    assert lower(graph) == program
    del graph.nodes["scale"].metadata["map"]
    assert isinstance(lower(graph)["scale"], Dense)


def test_a_matrix_that_is_not_diagonal_is_a_dense_map_whatever_its_metadata_say():
    graph = lift(scaled(Scale(name="scale", factor=np.array([0.5, -2.0]), bias=np.array(1.0))))
    graph.nodes["scale"].weight[0, 1] = 3
    assert lower(graph)["scale"].weight.tolist() == [[0.5, 3], [0, -2]]


@pytest.mark.parametrize("shape", [(2, 2, 2), (LARGEST_DIAGONAL + 1,)])
def test_a_scale_with_a_bias_that_no_matrix_holds_is_refused_with_where_the_bias_can_go(shape):
    nodes = [
        Input(name="in", shape=shape),
        Scale(name="scale", factor=np.array(0.5), bias=np.array(1.0)),
        Output(name="out"),
    ]
    program = build(nodes, [Edge("in", "scale"), Edge("scale", "out")], dt_s=1e-3, n_steps=1)
    with pytest.raises(NotExportable, match=r"scale\.bias must be a vector .* Move the bias into a Dense or Conv"):
        lift(program)


def test_spatial_maps_have_nirs_words():
    graph = lift(spatial(SQUARE))
    assert graph.nodes["conv"].input_shape == (6, 6)
    assert graph.nodes["conv"].bias.tolist() == [0, 0, 0, 0]
    assert isinstance(graph.nodes["pool"], nir.AvgPool2d)
    assert (graph.nodes["flat"].start_dim, graph.nodes["flat"].end_dim) == (0, -1)
    assert graph.nodes["out"].output_type["output"].tolist() == [3]


def test_a_graph_knows_the_shapes_that_its_nodes_leave_open():
    assert lift(spatial(SQUARE)).nodes["pool"].output_type["output"].tolist() == [4, 3, 3]


def test_soft_reset_is_a_threshold_that_takes_from_its_membrane():
    neuron = LIF(beta=np.array([0.5, 0.75]), v_threshold=np.array(2.0), v_reset=np.array(0.0), reset="soft")
    graph = lift(small(neuron))
    assert isinstance(graph.nodes["n_membrane"], nir.LI)
    assert isinstance(graph.nodes["n"], nir.Threshold)
    assert graph.nodes["n_reset"].scale.tolist() == [-1.0, -1.5]  # -beta v_threshold
    assert sorted(graph.edges) == [
        ("fc", "n_membrane"),
        ("in", "fc"),
        ("n", "n_reset"),
        ("n", "out"),
        ("n_membrane", "n"),
        ("n_reset", "n_membrane"),
    ]


def test_soft_reset_without_a_leak_takes_the_threshold():
    graph = lift(small(replace(EXAMPLES["IF"], reset="soft")))
    assert isinstance(graph.nodes["n_membrane"], nir.I)
    assert graph.nodes["n_reset"].scale.tolist() == [-1, -1]


def test_metadata_say_what_nir_leaves_open():
    program = small(integration="exact", encoder="poisson", provenance={"seed": "7"})
    assert lift(program).metadata == {
        "tdd_deploy": tdd_deploy.__version__,
        "dt_s": 1e-3,
        "integration": "exact",
        "reset": "hard",
        "compare": ">",
        "encoder": "poisson",
        "n_steps": 4,
        "number_format": "float64",
        "provenance_seed": "7",
    }


@pytest.mark.parametrize(
    ("resets", "word"),
    [((), "none"), (("hard",), "hard"), (("soft", "soft"), "soft"), (("hard", "soft"), "mixed")],
)
def test_metadata_say_how_layers_reset(resets, word):
    layers = [
        NeuronLayer(name=f"n{k}", shape=(2,), neuron=replace(EXAMPLES["LIF"], reset=reset))
        for k, reset in enumerate(resets)
    ]
    names = ["in", "fc", "n", *(layer.name for layer in layers), "out"]
    edges = tuple(Edge(*pair) for pair in pairwise(names))
    assert lift(small(EXAMPLES["LI"], extra_nodes=tuple(layers), edges=edges)).metadata["reset"] == word


# Refusals


@pytest.mark.parametrize(
    ("neuron", "where", "why"),
    [
        (replace(LATE, spikes="many"), "n", "fires several times per step"),
        (replace(LATE, reset="hard"), "n", "hard reset (next step)"),
        (replace(LATE, reset="none"), "n", "none reset (next step)"),
        (replace(LATE, left_over="held"), "n", "holds what a reset leaves"),
        (replace(LATE, v_min=np.array(0.0)), "n", "a lowest potential"),
        (replace(LATE, alpha=np.array(0.5)), "n", "a memory of currents"),
        (replace(EXAMPLES["CubaLIF"], reset="soft"), "n", "CubaLIF with soft reset"),
        (LIF(beta=np.array([0.5, 1.0]), **FIRE), "n.beta", "Use IF"),
        (LI(beta=np.array(1.0)), "n.beta", "Use I,"),
        (CubaLIF(alpha=np.array(1.0), beta=np.array(0.5), **FIRE), "n.alpha", "below 1"),
        # tau has 53 bits, and 0.1 in float64 has some below those of 1 - dt / tau
        (LIF(beta=np.array(0.1), **FIRE), "n.beta", "float32"),
    ],
)
def test_a_neuron_that_nir_cannot_hold_is_named(neuron, where, why):
    assert why in reasons(small(neuron))[where]


def test_exact_integration_cannot_forget_everything():
    assert "euler" in reasons(small(LIF(beta=np.array(0.0), **FIRE), integration="exact"))["n.beta"]


@pytest.mark.parametrize(
    ("edges", "delay", "seconds"),
    [
        ((Edge("in", "fc", 1), *EDGES[1:]), "in_to_fc", 1e-3),
        ((*EDGES, Edge("n", "n", 2)), "n_to_n", 2e-3),
    ],
)
def test_a_delay_that_closes_no_cycle_in_one_step_becomes_a_node(edges, delay, seconds):
    program = small(edges=edges)
    np.testing.assert_allclose(lift(program).nodes[delay].delay, seconds)
    assert lower(lift(program)) == program


@pytest.mark.parametrize(
    "edges",
    [
        (*EDGES[:2], Edge("n", "second", 1), Edge("second", "n"), Edge("n", "out")),  # elsewhere than NIR would put it
        (*EDGES, Edge("fc", "second"), Edge("n", "second"), Edge("second", "n", 1)),  # entered twice
    ],
)
def test_a_cycle_whose_delay_nir_would_not_guess_comes_back(edges):
    second = NeuronLayer(name="second", shape=(2,), neuron=EXAMPLES["LI"])
    program = small(extra_nodes=(second,), edges=edges)
    assert lower(lift(program)) == program


@pytest.mark.parametrize("name", ["IF", "LIF", "CubaLIF", "Threshold"])
@pytest.mark.parametrize("number_format", ["float32", "float64"])
@pytest.mark.parametrize("height", [1.0, 0.1, 0.0])
def test_at_or_above_the_threshold_is_above_the_next_number_below(name, number_format, height):
    neuron = replace(EXAMPLES[name], compare=">=", v_threshold=np.array(height))
    program = small(neuron, number_format=number_format)
    node = lift(program).nodes["n"]
    written = node.threshold if name == "Threshold" else node.v_threshold
    numbers = np.dtype(number_format).type
    assert np.all(written.astype(number_format) == np.nextafter(numbers(height), numbers(-1)))
    assert lower(lift(program)) == program


@pytest.mark.parametrize("compare", [">", ">="])
def test_a_soft_reset_a_step_late_is_a_loop_of_standard_nodes(compare):
    program = small(replace(LATE, compare=compare))
    np.testing.assert_array_equal(lift(program).nodes["n_reset"].scale, -1)
    assert lower(lift(program)) == program


def test_a_name_that_a_delay_takes_is_refused():
    taken = NeuronLayer(name="in_to_fc", shape=(2,), neuron=EXAMPLES["LI"])
    edges = (Edge("in", "fc", 1), EDGES[1], Edge("n", "in_to_fc"), Edge("in_to_fc", "out"))
    assert "a delay takes this name" in reasons(small(extra_nodes=(taken,), edges=edges))["in_to_fc"]


def test_names_that_soft_reset_takes_are_refused():
    taken = NeuronLayer(name="n_membrane", shape=(2,), neuron=EXAMPLES["LI"])
    edges = (*EDGES[:2], Edge("n", "n_membrane"), Edge("n_membrane", "out"))
    assert (
        "soft reset of n takes this name"
        in reasons(small(replace(EXAMPLES["LIF"], reset="soft"), extra_nodes=(taken,), edges=edges))["n_membrane"]
    )


@pytest.mark.parametrize(
    ("choices", "where"),
    [
        ({"encoder": "a\0b"}, "encoder"),
        ({"provenance": {"a/b": "c"}}, "provenance 'a/b'"),
        ({"provenance": {"a": "\ud800"}}, "provenance 'a'"),
        ({"dt_s": 5e-324}, "dt_s"),
    ],
)
def test_a_choice_that_a_file_cannot_hold_is_named(choices, where):
    assert where in reasons(small(**choices))


def test_a_name_that_hdf5_reads_as_a_path_is_refused():
    dot = NeuronLayer(name=".", shape=(2,), neuron=EXAMPLES["LI"])
    assert "node name '.'" in reasons(small(extra_nodes=(dot,), edges=(*EDGES[:2], Edge("n", "."), Edge(".", "out"))))


def test_a_layer_of_no_size_is_refused():
    nodes = [Input(name="in", shape=(0,)), NeuronLayer(name="n", shape=(0,), neuron=EXAMPLES["I"]), Output(name="out")]
    program = build(nodes, [Edge("in", "n"), Edge("n", "out")], dt_s=1e-3, n_steps=1)
    assert reasons(program).keys() == {"in", "n", "out"}


def test_all_reasons_come_at_once():
    found = reasons(small(replace(LATE, left_over="held", v_min=np.array(0.0)), encoder="a\0b"))
    assert found.keys() == {"n", "encoder"}
    assert "a lowest potential, holds what a reset leaves" in found["n"]
    found = reasons(small(LIF(beta=np.array(1.0), **FIRE), encoder="a\0b"))
    assert found.keys() == {"n.beta", "encoder"}


# Integers


def integers(**changed) -> Program:
    """Return in (2, times 256) -> fc -> n (2 LoihiLIF) -> out (times 1/3)."""
    numbers = {"v_threshold": 640, "v_reset": -32, "du": 4095, "dv": 1024, "bias": 96} | changed
    choices = {key: numbers.pop(key) for key in ("reset", "compare") if key in numbers}
    neuron = LoihiLIF(**{name: np.array(value) for name, value in numbers.items()}, **choices)
    nodes = [
        Input(name="in", shape=(2,), scale=256.0, largest=128),
        Dense(name="fc", weight=np.array([[2, -4], [0, 254]])),
        NeuronLayer(name="n", shape=(2,), neuron=neuron),
        Output(name="out", unit=1 / 3),
    ]
    return build(nodes, EDGES, dt_s=1e-3, n_steps=4, number_format="integer")


def test_an_integer_neuron_is_written_in_units_of_weight():
    node = lift(integers()).nodes["n"]
    assert isinstance(node, nir.LIF)
    np.testing.assert_array_equal(node.v_threshold, [10, 10])  # 640 / 64
    np.testing.assert_array_equal(node.v_reset, [-0.5, -0.5])
    np.testing.assert_array_equal(node.tau, [4e-3, 4e-3])  # 1024 of 4096 are lost per step
    np.testing.assert_array_equal(node.r, [4, 4])
    np.testing.assert_array_equal(node.v_leak, [6, 6])  # 96 / 64 per step, four times as large at rest


def test_an_integer_neuron_is_an_euler_step_of_nirs_equation_but_for_rounding():
    """Numbers that halve without a remainder: the two agree to the last bit."""
    program = integers(dv=2048, v_threshold=64 * 1000)
    node, neuron = lift(program).nodes["n"], program["n"].neuron
    current, v = np.array([3, -5], np.int32), np.array([128, -640], np.int32)
    (_, expected), _ = neuron.step(IntegerArithmetic(), (np.zeros_like(v), v), current)
    after = v / 64 + 1e-3 * (node.v_leak - v / 64 + node.r * current) / node.tau
    np.testing.assert_allclose(after * 64, expected, rtol=1e-14)


def test_a_memory_of_currents_becomes_a_current_based_neuron():
    node = lift(integers(du=2047)).nodes["n"]
    assert isinstance(node, nir.CubaLIF)
    np.testing.assert_array_equal(node.tau_syn, [2e-3, 2e-3])
    np.testing.assert_array_equal(node.w_in, [2, 2])
    np.testing.assert_array_equal(node.tau_mem, [4e-3, 4e-3])


def test_the_scales_of_the_border_become_nodes():
    graph = lift(integers())
    assert {("in", "input_scale"), ("input_scale", "fc"), ("n", "output_unit"), ("output_unit", "out")} <= {
        *graph.edges
    }
    np.testing.assert_array_equal(graph.nodes["input_scale"].scale, [256, 256])
    np.testing.assert_array_equal(graph.nodes["output_unit"].scale, [1 / 3, 1 / 3])
    assert (graph.metadata["number_format"], graph.metadata["input_largest"]) == ("integer", 128)


def test_integers_are_written_as_floats_that_hold_them():
    assert lift(integers()).nodes["fc"].weight.dtype == np.float32


@pytest.mark.parametrize(
    "changed", [{}, {"du": [-1, 4095]}, {"dv": [0, 4095]}, {"reset": "soft", "v_reset": 0}, {"compare": ">="}]
)
def test_an_integer_program_comes_back(changed):
    assert lower(lift(integers(**changed))) == integers(**changed)


@pytest.mark.parametrize(
    ("changed", "where", "found"),
    [
        ({"reset": "soft", "v_reset": 0, "du": 5}, "n", "combines soft reset with a memory of currents"),
        ({"reset": "soft", "v_reset": [0, 1]}, "n.v_reset", "must be 0 with soft reset (got 1)"),
    ],
)
def test_an_integer_neuron_that_nir_cannot_hold_is_refused(changed, where, found):
    reason = reasons(integers(**changed))
    assert reason.keys() == {where}
    assert reason[where].startswith(f"{where} {found}")


def test_in_exact_integration_no_finite_time_constant_forgets_everything():
    """It once divided by zero."""
    exact = replace(integers(du=[5, 4095]), integration="exact")
    assert reasons(exact) == {
        "n.du": "n.du must be below 4095 in exact integration (got 4095 among others). "
        "Build the program with integration='euler'."
    }
    assert lower(lift(replace(integers(du=[5, 4094]), integration="exact"))).dtype == np.int32


@pytest.mark.parametrize("name", ["input_scale", "output_unit"])
def test_names_of_the_border_are_taken(name):
    program = integers()
    nodes = [replace(node, name=name) if node.name == "fc" else node for node in program.nodes]
    edges = [Edge("in", name), Edge(name, "n"), Edge("n", "out")]
    assert reasons(build(nodes, edges, dt_s=1e-3, n_steps=4, number_format="integer")).keys() == {name}


def unread(graph: nir.NIRGraph) -> dict[str, str]:
    with pytest.raises(Refused) as refused:
        lower(graph)
    return {violation.where: violation.found for violation in refused.value.violations}


def test_a_time_constant_between_two_integers_is_refused_and_not_rounded():
    """It once became the nearest quietly."""
    graph = lift(integers())
    node = graph.nodes["n"]
    node.tau, node.r = node.tau * 1.0001, node.r * 1.0001
    found = unread(graph)
    assert found.keys() == {"n.dv", "n.bias"}
    assert float(found["n.dv"]) == pytest.approx(1024 / 1.0001)


@pytest.mark.parametrize("key", ["v_threshold", "v_reset", "v_leak"])
def test_a_number_between_two_integers_is_refused_and_not_rounded(key):
    graph = lift(integers())
    setattr(graph.nodes["n"], key, getattr(graph.nodes["n"], key) + 1 / 1024)
    assert unread(graph).keys() == {"n.bias" if key == "v_leak" else f"n.{key}"}


def test_an_integer_file_without_its_border_is_refused():
    graph = lift(integers())
    edges = {*graph.edges} - {("in", "input_scale"), ("input_scale", "fc")} | {("in", "fc")}
    nodes = {name: node for name, node in graph.nodes.items() if name != "input_scale"}
    assert unread(nir.NIRGraph(nodes, list(edges), metadata=graph.metadata)) == {"the node next to in": "Dense"}


def test_an_integer_file_with_a_scale_per_input_is_refused():
    graph = lift(integers())
    graph.nodes["input_scale"].scale = np.array([256.0, 255.0])
    assert unread(graph) == {"the node next to in": "Scale"}


def test_an_integer_file_states_its_largest_input():
    graph = lift(integers())
    del graph.metadata["input_largest"]
    assert unread(graph) == {"metadata input_largest": "is missing"}


def test_a_file_of_floats_states_nothing_about_integers():
    graph = lift(small())
    graph.metadata["input_largest"] = 3
    found = unread(graph)
    assert found.keys() == {"metadata input_largest"}
    assert found["metadata input_largest"].startswith("is an unknown key")


def test_a_neuron_of_floats_in_an_integer_file_is_refused():
    graph = lift(integers())
    graph.nodes["n"] = nir.IF(r=np.full(2, 1e3), v_threshold=np.ones(2), v_reset=np.zeros(2))
    assert unread(graph) == {"n": "IF"}


# Files


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_writes_a_file_or_a_folder_with_files(target, tmp_path):
    path = tmp_path / "network"
    TARGETS[target](small(), path)
    files = [found for found in path.rglob("*") if found.is_file()] if path.is_dir() else [path]
    assert files
    assert all(file.stat().st_size for file in files if file.name != "__init__.py")
    assert list(tmp_path.iterdir()) == [path]


def test_a_network_of_square_convolutions_passes_nirs_type_check(tmp_path):
    write(spatial(SQUARE), tmp_path / "network.nir")
    assert nir.read(tmp_path / "network.nir", type_check=True).nodes.keys() == lift(spatial(SQUARE)).nodes.keys()


@pytest.mark.parametrize(
    "conv",
    [
        Conv(name="conv", weight=np.ones((4, 1, 3, 3)), groups=2),
        Conv(name="conv", weight=np.ones((4, 2, 1, 3)), padding=(0, 1)),
    ],
    ids=["grouped", "not square"],
)
def test_convolutions_that_nirs_type_check_mistakes_are_written_all_the_same(conv, tmp_path):
    write(spatial(conv), tmp_path / "network.nir")
    assert read(tmp_path / "network.nir") == spatial(conv)


def test_names_need_not_be_ascii(tmp_path):
    layer = NeuronLayer(name="näytä → 2", shape=(2,), neuron=EXAMPLES["LI"])
    program = small(extra_nodes=(layer,), edges=(*EDGES[:2], Edge("n", layer.name), Edge(layer.name, "out")))
    write(program, tmp_path / "network.nir")
    assert read(tmp_path / "network.nir") == program


def test_the_same_program_gives_the_same_bytes(tmp_path):
    write(spatial(SQUARE), tmp_path / "first.nir")
    time.sleep(1.1)  # HDF5 would write times in seconds
    write(spatial(SQUARE), tmp_path / "second.nir")
    assert (tmp_path / "first.nir").read_bytes() == (tmp_path / "second.nir").read_bytes()


def test_a_file_in_the_way_is_replaced(tmp_path):
    (tmp_path / "network.nir").write_text("old")
    write(small(), tmp_path / "network.nir")
    assert read(tmp_path / "network.nir") == small()


@pytest.mark.parametrize("path", [".", "missing/network.nir"])
def test_a_place_where_no_file_can_be_is_named(path, tmp_path):
    with pytest.raises(BadFile):
        write(small(), tmp_path / path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("failure", "raised"),
    [(OSError(errno.ENOSPC, "No space left on device"), BadFile), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(failure, raised, tmp_path, monkeypatch):
    def fail(path: Path, content: bytes) -> None:
        path.write_text("half")
        raise failure

    path = tmp_path / "network.nir"
    path.write_text("old")
    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(raised):
        write(small(), path)
    assert [found.name for found in tmp_path.iterdir()] == ["network.nir"]
    assert path.read_text() == "old"


def test_a_program_that_does_not_fit_leaves_no_file(tmp_path):
    with pytest.raises(NotExportable):
        write(small(LI(beta=np.array(1.0))), tmp_path / "network.nir")
    assert not list(tmp_path.iterdir())


def test_a_graph_in_memory_is_the_graph_of_the_file(tmp_path):
    write(small(), tmp_path / "network.nir")
    assert lower(lift(small())) == read(tmp_path / "network.nir")
