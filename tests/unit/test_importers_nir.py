import hashlib
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest

from tdd_deploy.errors import BadFile, BadProgram, TddDeployError, UnsupportedGraph
from tdd_deploy.exporters.nir.write import lift, write
from tdd_deploy.importers import lower, read
from tdd_deploy.neurons import IF, LI, LIF, CubaLIF, I, Neuron, Threshold
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Output, Pool, Program, Scale, build
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.reference import run

ROOT = Path(__file__).parents[2]

FIRE = {"v_threshold": np.array(1.0), "v_reset": np.array(0.0)}
SOFT = LIF(beta=np.array(0.5), reset="soft", **FIRE)
METADATA = {
    "tdd_deploy": "0.1.0",
    "dt_s": 1e-3,
    "integration": "euler",
    "reset": "none",
    "compare": ">",
    "encoder": "direct",
    "n_steps": 4,
    "number_format": "float64",
}


def program_of(neuron: Neuron) -> Program:
    """Return in [2, 4, 4] -> conv -> n -> pool -> flat -> fc -> li -> out."""
    nodes = [
        Input(name="in", shape=(2, 4, 4)),
        Conv(name="conv", weight=np.ones((3, 2, 3, 3)), padding=(1, 1)),
        NeuronLayer(name="n", shape=(3, 4, 4), neuron=neuron),
        Pool(name="pool", kernel=(2, 2), stride=(2, 2)),
        Flatten(name="flat"),
        Dense(name="fc", weight=np.ones((5, 12))),
        NeuronLayer(name="li", shape=(5,), neuron=LI(beta=np.array(0.5))),
        Output(name="out"),
    ]
    names = [node.name for node in nodes]
    edges = [Edge(*pair) for pair in pairwise(names)]
    return build(nodes, edges, dt_s=1e-3, n_steps=4, number_format="float64", encoder="poisson")


def graph_of(text: str, *, scale: float = -0.5) -> nir.NIRGraph:
    """Return the graph of ``in>a a>m m>a``, two channels wide.

    The first letter states the kind: m halves, r multiplies by ``scale``, t is a threshold of 1, l leaks by half; every
    other node but in and out integrates.
    """
    edges = [tuple(edge.split(">")) for edge in text.split()]
    half, full = np.full(2, 0.5), np.full(2, 1e3)
    leaky = nir.LI(tau=np.full(2, 2e-3), r=np.full(2, 2.0), v_leak=np.zeros(2))
    kinds = {"m": nir.Scale(half), "r": nir.Scale(np.full(2, scale)), "t": nir.Threshold(np.ones(2)), "l": leaky}
    nodes = {name: kinds.get(name[0], nir.I(r=full)) for edge in edges for name in edge}
    nodes |= {"in": nir.Input(np.array([2])), "out": nir.Output(np.array([2]))}
    return nir.NIRGraph(nodes, edges, dict(METADATA), type_check=False)


def delayed(program: Program) -> set[tuple[str, str]]:
    return {(edge.source, edge.target) for edge in program.edges if edge.delay}


def reasons(graph: nir.NIRGraph) -> dict[str, str]:
    with pytest.raises(UnsupportedGraph) as refused:
        lower(graph)
    return {violation.where: str(violation) for violation in refused.value.violations}


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "network.nir"
    write(program_of(SOFT), path)
    return path


# Reading


def test_a_file_says_where_it_came_from(file):
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert read(file).provenance == {"file": "network.nir", "sha256": digest}


def test_provenance_comes_back(tmp_path):
    program = program_of(SOFT)
    write(build(program.nodes, program.edges, dt_s=1e-3, n_steps=4, provenance={"seed": "7"}), tmp_path / "n.nir")
    assert read(tmp_path / "n.nir").provenance["seed"] == "7"


@pytest.mark.parametrize("content", [None, b"", b"text", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + bytes(5000)])
def test_what_is_no_nir_file_is_named(content, tmp_path):
    path = tmp_path / "network.nir"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadFile, match=r"network\.nir (is|was) "):
        read(path)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(BadFile, match="is a folder"):
        read(tmp_path)


def test_a_file_without_permission_is_named(file, monkeypatch):
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(BadFile, match="Permission denied"):
        read(file)


def remove(key: str):
    return lambda file: file.__delitem__(key)


def put(key: str, value: object):
    def change(file: h5py.File) -> None:
        if key in file:
            del file[key]
        file[key] = value

    return change


LI_NODE = "node/nodes/li"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (remove("node"), "without a NIR graph"),
        (put("node", 3), "without a NIR graph"),
        (put("node/type", "LIF"), "holds a LIF instead of a NIR graph"),
        (remove("node/type"), "half-written NIR file: it has no node/type. Write it again."),
        (remove("node/nodes"), "half-written NIR file: it has no node/nodes. Write it again."),
        (remove("node/edges"), "half-written NIR file: it has no node/edges. Write it again."),
        (put("node/edges", [1, 2, 3]), "is damaged"),
        (put("node/edges", [["in", "conv", "n"]]), "is damaged"),
        (put("node/type_check", 1), "is damaged"),
        (put("node/surplus", 1), "is damaged"),
        (remove(f"{LI_NODE}/tau"), "is damaged"),
        (remove(f"{LI_NODE}/type"), "half-written NIR file: it has no node/nodes/li/type. Write it again."),
        (put(f"{LI_NODE}/type", "NIRNode"), "CubaLI, I, Threshold, Delay (got NIRNode)"),
        (put(f"{LI_NODE}/type", "Conv1d"), "CubaLI, I, Threshold, Delay (got Conv1d)"),
        (put(f"{LI_NODE}/type", [1.0, 2.0]), "CubaLI, I, Threshold, Delay (got no kind)"),
        (put(f"{LI_NODE}/tau", "text"), "is damaged"),
        (put(f"{LI_NODE}/tau", np.ones(4)), "All parameters must have the same shape"),
        (lambda file: (remove(f"{LI_NODE}/tau")(file), put(f"{LI_NODE}/tau/deeper", 1)(file)), "is damaged"),
        (put("node/nodes/in/shape", "text"), "in.shape"),
        (put("node/nodes/in/shape", [2, -4, 4]), "in.shape"),
        (put("node/nodes/out/shape", 1.5), "out.shape"),
        (put("node/nodes/conv/padding", "same"), "conv.padding must be one or two whole numbers (got 'same')"),
        (put("node/nodes/conv/weight", h5py.SoftLink("/node/nodes/fc/weight")), "links"),
        (put("node/nodes/conv/weight", h5py.ExternalLink("other.h5", "/w")), "links"),
        (put("node/nodes/conv/weight", np.array([(1, 2.0)], dtype="i4,f8")), "texts and numbers"),
        (lambda file: file.create_dataset("x", (8,), "u1", external=[("/etc/hostname", 0, 8)]), "other files"),
        (lambda file: file["node"].__setitem__("nodes/again", file["node"]), "texts and numbers"),
    ],
)
def test_a_damaged_graph_is_named(change, error, file):
    with h5py.File(file, "a") as content:
        change(content)
    with pytest.raises(TddDeployError) as refused:
        read(file)
    assert error in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_cut_anywhere_is_refused(file):
    content = file.read_bytes()
    for length in range(0, len(content) - 1, 997):
        file.write_bytes(content[:length])
        with pytest.raises(TddDeployError):
            read(file)


ERASE = """
import sys
from pathlib import Path
from tdd_deploy.errors import TddDeployError
from tdd_deploy.importers import read
from tests.damage import is_in_a_global_heap
path = Path(sys.argv[1])
content = path.read_bytes()
outcomes = set()
for start in range(0, len(content), 601):
    if is_in_a_global_heap(content, start, 64):
        continue
    path.write_bytes(content[:start] + bytes(64) + content[start + 64 :])
    try:
        outcomes.add(type(read(path)).__name__)
    except TddDeployError:
        outcomes.add("refused")
print(*sorted(outcomes))
"""


def test_a_file_with_a_hole_is_read_or_refused(file):
    # in a process of its own, within a time limit
    command = [sys.executable, "-W", "error", "-c", ERASE, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False)
    assert (done.stdout, done.stderr) == ("Program refused\n", "")


# Choices


@pytest.mark.parametrize("key", [key for key in METADATA if key not in ("tdd_deploy", "n_steps")])
def test_a_missing_choice_is_named(key):
    graph = graph_of("in>a a>out")
    del graph.metadata[key]
    assert "missing" in reasons(graph)[f"metadata {key}"]


def test_a_number_of_steps_that_is_not_stated_is_none():
    graph = graph_of("in>a a>out")
    assert lower(graph).n_steps == METADATA["n_steps"]
    del graph.metadata["n_steps"]
    assert lower(graph).n_steps is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dt_s", 0.0),
        ("dt_s", float("nan")),
        ("dt_s", "1e-3"),
        ("integration", "midpoint"),
        ("integration", np.array(["euler", "exact"])),
        ("reset", "delayed"),
        ("compare", ">="),
        ("encoder", 3),
        ("n_steps", 0),
        ("n_steps", 2.5),
        ("number_format", "int8"),
        ("number_format", np.full(7, 1.5)),
        ("provenance_seed", 7),
        ("delays", "all"),
        ("tdd_deploy", 1),
    ],
)
def test_a_choice_that_is_not_understood_is_named(key, value):
    graph = graph_of("in>a a>out")
    graph.metadata[key] = value
    assert reasons(graph).keys() == {f"metadata {key}"}


def test_an_encoder_is_any_text():
    graph = graph_of("in>a a>out")
    graph.metadata["encoder"] = "of tomorrow"
    assert lower(graph).encoder == "of tomorrow"


# Nodes


def with_node(node: nir.NIRNode) -> nir.NIRGraph:
    graph = graph_of("in>a a>out")
    graph.nodes["a"] = node
    return graph


ONES = np.ones(2)


def conv(**changes) -> nir.Conv2d:
    values = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": ONES, "input_shape": None}
    return nir.Conv2d(weight=np.ones((2, 2, 1, 1)), **(values | changes))


@pytest.mark.parametrize(
    ("node", "where", "why"),
    [
        (nir.Delay(np.array([1e-3, 2e-3])), "a.delay", "0.001 to 0.002 s"),
        (nir.Delay(np.array([1.5e-3, 1.5e-3])), "a.delay", "1.5 time steps of 0.001 s"),
        (nir.Delay(-ONES), "a.delay", "-1000 time steps"),
        (nir.Delay(np.full(2, np.inf)), "a.delay", "inf time steps"),
        (nir.Conv1d(None, np.ones((1, 1, 1)), 1, 0, 1, 1, np.ones(1)), "a", "(got Conv1d)"),
        (nir.CubaLI(ONES, ONES, ONES, ONES * 0), "a.r", "multiplies the current by 0.001 per time step"),
        (graph_of("in>a a>out"), "a", "(got NIRGraph)"),
        (nir.LI(tau=ONES, r=ONES, v_leak=ONES), "a.v_leak", "must be 0 (got array([1., 1.]))"),
        (nir.LI(tau=ONES - 1, r=ONES, v_leak=0 * ONES), "a.tau", "above 0 seconds"),
        (nir.LI(tau=np.full(2, np.nan), r=ONES, v_leak=0 * ONES), "a.tau", "above 0 seconds"),
        (nir.LI(tau=ONES, r=ONES, v_leak=0 * ONES), "a.r", "multiplies the current by 0.001 per time step"),
        (nir.LI(tau=ONES, r=np.array([1e3, np.inf]), v_leak=0 * ONES), "a.r", "by inf"),
        (nir.I(r=ONES), "a.r", "multiplies the current by 0.001 per time step"),
        (nir.I(r=np.array([1000, 1000 + 1e-9])), "a.r", "multiplies the current by 1 per"),
        (
            nir.CubaLIF(
                tau_syn=1e-3 * ONES, tau_mem=1e-3 * ONES, r=ONES, v_leak=0 * ONES, v_threshold=ONES, w_in=2 * ONES
            ),
            "a.w_in",
            "by 2 per time step",
        ),
        (nir.Threshold(np.array(["a", "b"])), "a.threshold", "an array of numbers"),
        (nir.Threshold(ONES[:0]), "a.threshold", "not empty"),
        (nir.Scale(ONES * 1j), "a.scale", "an array of numbers"),
        (conv(padding="same"), "a.padding", "one or two whole numbers"),
        (conv(stride=np.array([1, 1, 1])), "a.stride", "one or two whole numbers"),
        (conv(dilation=np.array([1.5, 1])), "a.dilation", "one or two whole numbers"),
        (conv(groups=np.array([1, 2])), "a.groups", "a whole number"),
        (nir.Flatten(np.array([2]), start_dim=1), "a", "flattens dimensions 1 to -1"),
        (nir.Flatten(np.array([1, 2]), start_dim=0, end_dim=0), "a", "flattens dimensions 0 to 0"),
    ],
)
def test_a_node_that_no_program_can_hold_is_named(node, where, why):
    assert why in reasons(with_node(node))[where]


def test_parameters_of_unequal_shapes_are_named_though_nir_let_them_pass():
    graph = with_node(nir.LI(tau=ONES, r=ONES, v_leak=0 * ONES))
    graph.nodes["a"].tau = np.ones(3)
    assert "has parameters of shapes (2,), (3,)" in reasons(graph)["a"]


def test_a_float_rounding_of_the_gain_is_accepted():
    gain = np.full(2, np.nextafter(2.0, 3.0))
    assert lower(with_node(nir.LI(tau=np.full(2, 2e-3), r=gain, v_leak=0 * ONES)))["a"].neuron.beta == 0.5


@pytest.mark.parametrize(
    ("node", "neuron"),
    [
        (nir.LIF(tau=4e-3 * ONES, r=4 * ONES, v_leak=0 * ONES, v_threshold=ONES), LIF(beta=np.array(0.75), **FIRE)),
        (nir.IF(r=1e3 * ONES, v_threshold=ONES), IF(**FIRE)),
        (nir.I(r=1e3 * ONES), I()),
        (nir.Threshold(np.array([1, 2])), Threshold(v_threshold=np.array([1.0, 2.0]))),
        (
            nir.CubaLIF(
                tau_syn=2e-3 * ONES, tau_mem=4e-3 * ONES, r=4 * ONES, v_leak=0 * ONES, v_threshold=ONES, w_in=2 * ONES
            ),
            CubaLIF(alpha=np.array(0.5), beta=np.array(0.75), **FIRE),
        ),
    ],
)
def test_a_neuron_node_becomes_a_layer_of_neurons(node, neuron):
    layer = NeuronLayer(name="a", shape=(2,), neuron=neuron)
    nodes = [Input(name="in", shape=(2,)), layer, Output(name="out")]
    expected = build(nodes, [Edge("in", "a"), Edge("a", "out")], dt_s=1e-3, n_steps=4, number_format="float64")
    assert lower(with_node(node)) == expected


def test_equal_parameters_become_one_number():
    assert lower(with_node(nir.Threshold(ONES)))["a"].neuron.v_threshold.shape == ()
    assert lower(with_node(nir.Scale(np.array([1.0, 2.0]))))["a"].factor.shape == (2,)


def test_exact_integration_is_obeyed():
    graph = with_node(nir.LI(tau=2e-3 * ONES, r=ONES / -np.expm1(-0.5), v_leak=0 * ONES))
    graph.metadata["integration"] = "exact"
    assert lower(graph)["a"].neuron.beta == pytest.approx(np.exp(-0.5))


def test_one_whole_number_counts_in_both_directions():
    graph = graph_of("in>a a>out")
    graph.nodes |= {
        "in": nir.Input(np.array([2, 5, 5])),
        "a": nir.SumPool2d(kernel_size=np.array(3), stride=2, padding=np.array([1, 0])),
        "out": nir.Output(np.array([2, 3, 2])),
    }
    pool = lower(graph)["a"]
    assert (pool.kernel, pool.stride, pool.padding) == ((3, 3), (2, 2), (1, 0))


def test_a_zero_bias_of_a_convolution_is_none(file):
    assert read(file)["conv"].bias is None


@pytest.mark.parametrize(
    ("name", "node"),
    [
        ("out", nir.Output(np.array([3]))),
        ("out", nir.Output(np.array([1, 2]))),
        ("a", nir.Scale(np.ones(3))),
        ("a", nir.Flatten(np.array([3]), start_dim=0)),
    ],
)
def test_a_node_that_states_another_shape_than_it_receives_is_named(name, node):
    graph = graph_of("in>a a>out")
    graph.nodes[name] = node
    assert "but receives (2,)" in reasons(graph)[name]


def test_a_convolution_that_states_another_size_than_it_receives_is_named():
    graph = lift(program_of(SOFT))
    graph.nodes["conv"].input_shape = (5, 5)
    assert "states that it receives shape (2, 5, 5)" in reasons(graph)["conv"]


def test_values_beyond_the_number_format_are_named_without_a_warning():
    graph = with_node(nir.Scale(np.array([1e300, 1.0])))
    graph.metadata["number_format"] = "float32"
    with pytest.raises(BadProgram, match="NaN or infinite"):
        lower(graph)


def test_a_time_constant_below_the_time_step_is_named_in_euler():
    tau = 0.5e-3 * ONES
    with pytest.raises(BadProgram, match=r"a\.beta .*-1"):
        lower(with_node(nir.LI(tau=tau, r=tau / 1e-3, v_leak=0 * ONES)))


def test_all_reasons_come_at_once():
    graph = graph_of("in>a a>b b>c c>d d>out d>nowhere")
    del graph.nodes["nowhere"], graph.metadata["dt_s"]
    graph.nodes["a"] = conv(padding="same")
    graph.nodes["b"] = nir.LI(tau=ONES, r=ONES, v_leak=ONES)
    graph.nodes["c"] = nir.Conv1d(2, np.ones((2, 2, 1)), 1, 0, 1, 1, np.ones(2))
    graph.metadata["integration"] = "midpoint"
    assert reasons(graph).keys() == {
        "metadata dt_s",
        "metadata integration",
        "a.padding",
        "b.v_leak",
        "c",
        "edge d -> nowhere",
    }


# Edges


def test_a_duplicate_edge_is_named():
    assert "occurs 2 times" in reasons(graph_of("in>a a>out in>a"))["edge in -> a"]


def test_several_inputs_and_outputs_are_parts_of_one():
    graph = graph_of("in>a b>a a>out a>far")
    graph.nodes["b"], graph.nodes["far"] = nir.Input(np.array([2])), nir.Output(np.array([2]))
    program = lower(graph)
    assert program.input.shape == program.shapes[program.output.name] == (4,)
    x = np.random.default_rng(0).integers(-3, 3, (7, 1, 4)).astype(np.float32)
    sent = reference.run(program, x)
    np.testing.assert_array_equal(sent["a"], np.cumsum(x[..., :2] + x[..., 2:], axis=0))  # a node a is an I
    np.testing.assert_array_equal(sent["outputs"], np.concatenate([sent["a"]] * 2, axis=-1))
    assert lower(lift(program)) == program


def test_a_graph_without_an_output_is_named():
    graph = graph_of("in>a a>b")
    del graph.nodes["out"]
    assert "no node of kind Output" in reasons(graph)["the graph"]


@pytest.mark.parametrize("text", ["in>a a>out a>b", "in>a a>out a>in", "in>a a>out out>a"])
def test_a_dead_end_and_an_edge_the_wrong_way_are_named(text):
    with pytest.raises(BadProgram):
        lower(graph_of(text))


def test_a_node_that_nothing_leads_to_is_named():
    with pytest.raises(BadProgram, match=r"b .*edge"):
        lower(graph_of("in>a a>out b>a"))


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ("in>a a>a a>out", {("a", "a")}),
        ("in>a a>b b>a b>out", {("b", "a")}),
        ("in>a a>m m>a a>out", {("a", "m")}),
        ("in>a a>m1 m1>m2 m2>a a>out", {("a", "m1")}),
    ],
)
def test_a_cycle_carries_the_former_steps_output(text, edges):
    assert delayed(lower(graph_of(text))) == edges


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("in>a in>b a>b b>a a>out", "edge b -> a"),
        ("in>m m>m m>a a>out", "edge m -> m"),
        ("in>a a>m m>a m>out", "m"),
    ],
)
def test_a_cycle_that_cannot_be_read_is_named(text, where):
    assert where in reasons(graph_of(text))


# Soft reset in standard nodes


def test_soft_reset_in_standard_nodes_becomes_one_layer():
    program = lower(graph_of("in>l l>t t>r r>l t>out"))
    layer = NeuronLayer(name="t", shape=(2,), neuron=SOFT)
    nodes = [Input(name="in", shape=(2,)), layer, Output(name="out")]
    assert program == build(nodes, [Edge("in", "t"), Edge("t", "out")], dt_s=1e-3, n_steps=4, number_format="float64")


def test_soft_reset_without_a_leak_becomes_an_if():
    neuron = lower(graph_of("in>i i>t t>r r>i t>out", scale=-1.0))["t"].neuron
    assert isinstance(neuron, IF)
    assert neuron.reset == "soft"


def test_recurrence_into_the_membrane_becomes_recurrence_of_the_layer():
    program = lower(graph_of("in>l l>t t>r r>l t>m m>l t>l t>out"))
    assert {(edge.source, edge.target, edge.delay) for edge in program.edges} == {
        ("in", "t", 0),
        ("t", "m", 1),
        ("m", "t", 0),
        ("t", "t", 1),
        ("t", "out", 0),
    }


@pytest.mark.parametrize(
    ("text", "scale"),
    [
        ("in>l l>t t>r r>l t>out", np.nextafter(-0.5, 0)),
        ("in>l l>t t>r r>l t>out", 0.5),
        ("in>i i>t t>r r>i t>out", -0.5),
        ("in>l l>t t>r r>l t>out l>b b>out", -0.5),
        ("in>l l>t t>m m>r r>l t>out", -0.5),
        ("in>l l>t t>r t>b b>r r>l t>out", -0.5),
    ],
    ids=["one bit off", "no reset", "integrator", "membrane is seen", "map between", "second spikes"],
)
def test_what_is_not_quite_soft_reset_stays_as_it_is(text, scale):
    program = lower(graph_of(text, scale=scale))
    assert isinstance(program["t"].neuron, Threshold)
    assert isinstance(program["r"], Scale)


@pytest.mark.parametrize(
    ("text", "where"),
    [("in>l l>t t>r r>l t>b r>b b>out", "r"), ("in>l in>t l>t t>r r>l t>out", "edge r -> l")],
    ids=["reset reaches elsewhere", "threshold has a second current"],
)
def test_what_is_not_quite_soft_reset_must_still_be_a_clear_cycle(text, where):
    assert where in reasons(graph_of(text))


@pytest.mark.parametrize("soft", [SOFT, IF(reset="soft", **FIRE)], ids=["LIF", "IF"])
def test_standard_nodes_spike_as_soft_reset_does(soft):
    generic = lift(program_of(soft))
    beta = getattr(soft, "beta", np.array(1.0))
    program = program_of(soft)
    membrane = LI(beta=soft.beta) if isinstance(soft, LIF) else I()
    threshold = NeuronLayer(name="n", shape=(3, 4, 4), neuron=Threshold(v_threshold=soft.v_threshold))
    parts = [
        NeuronLayer(name="n_membrane", shape=(3, 4, 4), neuron=membrane),
        Scale(name="n_reset", factor=-(beta * soft.v_threshold)),
    ]
    unrecognized = build(
        [*(threshold if node.name == "n" else node for node in program.nodes), *parts],
        [Edge(source, target, int(target == "n_reset")) for source, target in generic.edges],
        dt_s=1e-3,
        n_steps=4,
        number_format="float64",
    )
    inputs = np.random.default_rng(0).integers(-8, 9, (20, 3, 2, 4, 4)) / 8  # dyadic, so that sums are exact
    expected, found = run(lower(generic), inputs), run(unrecognized, inputs)
    assert expected["n"].any()
    np.testing.assert_array_equal(found["n"], expected["n"])
    np.testing.assert_array_equal(found["out"], expected["out"])
