"""Every rule of program/verify.py: a program that breaks it, and the message."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tdd_deploy.errors import BadProgram, Violation
from tdd_deploy.neurons import LIF, CubaLIF, LoihiLIF, SigmaDelta
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Output, Pool, Scale, build, verify
from tdd_deploy.program.verify import STAGES


def lif(**changed):
    numbers = {"beta": np.array(0.5), "v_threshold": np.array(1.0), "v_reset": np.array(0.0)}
    return LIF(**numbers | changed)


def loihi(**changed):
    numbers = {"v_threshold": 64, "v_reset": 0, "du": 4095, "dv": 0, "bias": 0} | changed
    return LoihiLIF(**{name: np.array(value) for name, value in numbers.items()})


INPUT = Input(name="input", shape=(2,))
FC = Dense(name="fc", weight=np.ones((3, 2)), bias=np.zeros(3))
HIDDEN = NeuronLayer(name="hidden", shape=(3,), neuron=lif())
OUT = Output(name="out")
CHAIN = (INPUT, FC, HIDDEN, OUT)
EDGES = (Edge("input", "fc"), Edge("fc", "hidden"), Edge("hidden", "out"))
BACK = Dense(name="back", weight=np.eye(3))

IMAGE = Input(name="input", shape=(2, 4, 4))
CONV = Conv(name="conv", weight=np.ones((4, 2, 3, 3)))
POOL = Pool(name="pool", kernel=(2, 2), stride=(2, 2))


def chain(*nodes):
    return {"nodes": nodes, "edges": [Edge(a.name, b.name) for a, b in pairwise(nodes)]}


def built(nodes=CHAIN, edges=EDGES, **choices):
    return build(nodes, edges, **{"dt_s": 1e-3, "n_steps": 4} | choices)


def violations(**changed):
    with pytest.raises(BadProgram) as caught:
        built(**changed)
    return list(caught.value.violations)


def test_a_good_program_is_returned_as_it_is():
    program = built()
    assert verify(program) is program


def fc(**changed):
    return {"nodes": (INPUT, replace(FC, **changed), HIDDEN, OUT)}


def hidden(**changed):
    return {"nodes": (INPUT, FC, replace(HIDDEN, **changed), OUT)}


def conv(**changed):
    return chain(IMAGE, replace(CONV, **changed), OUT)


def pool(**changed):
    return chain(IMAGE, replace(POOL, **changed), OUT)


def integers(*, fc_weight=2, source=INPUT, out=OUT, **changed):
    nodes = source, replace(FC, weight=np.full((3, 2), fc_weight)), replace(HIDDEN, neuron=loihi(**changed)), out
    return {"nodes": nodes, "number_format": "integer"}


READ = "reads a potential, so it needs one spiking layer without a delay, but it receives"
FLOAT32 = "from spikes or inputs of 1, but the limit is 1.70141e+38, half of the largest float32"
FLOAT64 = "from spikes or inputs of 1, but the limit is 8.98847e+307, half of the largest float64"
SMALLER = "", "Use smaller weights, or build it in float64."

# what breaks the rule, where, what was found, what is allowed, and for some what would do
BROKEN = {
    "names_are_unique": [
        ({"nodes": (*CHAIN, FC)}, "fc", "is the name of 2 nodes"),
        ({"nodes": (*CHAIN[:3], replace(OUT, name="a/b")), "edges": (*EDGES[:2], Edge("hidden", "a/b"))},
         "node name 'a/b'", "must not be empty or contain '/'"),
        ({"nodes": (*CHAIN[:3], replace(OUT, name="")), "edges": (*EDGES[:2], Edge("hidden", ""))},
         "node name ''", "must not be empty or contain '/'"),
    ],
    "edges_join_nodes": [
        ({"edges": (*EDGES, Edge("hidden", "fc", 1), Edge("hidden", "fc", 2))},
         "edge hidden -> fc", "is listed 2 times"),
        ({"edges": (*EDGES[:2], Edge("hidden", "out", -1))},
         "delay of edge hidden -> out", "-1", "0 or more time steps"),
    ],
    "one_input_one_output": [
        ({"nodes": (*CHAIN, Input(name="ear", shape=(2,))), "edges": (*EDGES, Edge("ear", "fc"))},
         "the program", "has 2 nodes of kind Input (ear, input), but needs exactly 1"),
        ({"nodes": (*CHAIN, Output(name="out2")), "edges": (*EDGES, Edge("hidden", "out2"))},
         "the program", "has 2 nodes of kind Output (out, out2), but needs exactly 1"),
    ],
    "every_node_is_joined": [
        ({"nodes": (*CHAIN, BACK), "edges": (*EDGES, Edge("back", "hidden"))}, "back", "has no edge into it"),
        ({"nodes": (*CHAIN, BACK), "edges": (*EDGES, Edge("hidden", "back"))}, "back", "has no edge out of it"),
        ({"edges": (*EDGES, Edge("hidden", "input", 1))}, "input", "is the input, but an edge leads into it"),
        ({"edges": (*EDGES, Edge("out", "hidden", 1))}, "out", "is the output, but an edge leads out of it"),
    ],
    "order_is_executable": [
        ({"edges": (*EDGES, Edge("hidden", "hidden"))}, "edge hidden -> hidden",
         "leads backward in execution order without a delay", "", "Delay it by at least 1 time step."),
    ],
    "delays_leave_neurons": [
        ({"edges": (EDGES[0], Edge("fc", "hidden", 2), EDGES[2])}, "edge fc -> hidden",
         "leaves a linear map with delay 2", "", "Delay an edge that leaves a layer of neurons or the input."),
    ],
    "choices_are_known": [
        ({"dt_s": 0.0}, "dt_s", "0.0", "a positive number of seconds"),
        ({"dt_s": -1e-3}, "dt_s", "-0.001", "a positive number of seconds"),
        ({"dt_s": float("nan")}, "dt_s", "nan", "a positive number of seconds"),
        ({"dt_s": float("inf")}, "dt_s", "inf", "a positive number of seconds"),
        ({"n_steps": 0}, "n_steps", "0", "1 or more"),
        ({"integration": "midpoint"}, "integration", "'midpoint'", "euler or exact"),
        ({"number_format": "float16"}, "number_format", "'float16'", "float32, float64 or integer"),
        (hidden(neuron=lif(reset="none")), "hidden.reset", "'none'", "hard or soft"),
        (hidden(neuron=lif(compare="=>")), "hidden.compare", "'=>'", "> or >="),
        ({"edges": (*EDGES[:2], Edge("hidden", "out", code="rate"))}, "code of edge hidden -> out", "'rate'",
         "delta or spike"),
    ],
    "maps_are_well_formed": [
        (fc(weight=np.ones(3), bias=None), "fc.weight", "shape (3,)", "an array of 2 dimensions, none of them 0"),
        (fc(weight=np.ones((3, 0)), bias=None), "fc.weight", "shape (3, 0)",
         "an array of 2 dimensions, none of them 0"),
        (fc(bias=np.zeros(2)), "fc.bias", "shape (2,)", "an array of shape (3,)"),
        (fc(bias=np.zeros(())), "fc.bias", "shape ()", "an array of shape (3,)"),
        (conv(weight=np.ones((4, 2, 3))), "conv.weight", "shape (4, 2, 3)",
         "an array of 4 dimensions, none of them 0"),
        (conv(weight=np.ones(())), "conv.weight", "shape ()", "an array of 4 dimensions, none of them 0"),
        (conv(bias=np.ones(2)), "conv.bias", "shape (2,)", "an array of shape (4,)"),
        (conv(stride=(1, 0)), "conv.stride", "(1, 0)", "1 or more in both directions"),
        (conv(dilation=(0, 1)), "conv.dilation", "(0, 1)", "1 or more in both directions"),
        (conv(padding=(0, -1)), "conv.padding", "(0, -1)", "0 or more in both directions"),
        (conv(groups=0), "conv.groups", "0", "a divisor of its 4 output channels"),
        (conv(groups=3), "conv.groups", "3", "a divisor of its 4 output channels"),
        (pool(kernel=(0, 2)), "pool.kernel", "(0, 2)", "1 or more in both directions"),
        (pool(stride=(2, 0)), "pool.stride", "(2, 0)", "1 or more in both directions"),
        (pool(padding=(-1, 0)), "pool.padding", "(-1, 0)", "0 or more in both directions"),
    ],
    "shapes_fit": [
        (fc(weight=np.ones((3, 5))), "fc", "receives shape (2,), but takes (5,), as its weight is [3, 5]"),
        (hidden(shape=(4,)), "hidden", "receives shape (3,), but takes (4,), its own shape"),
        (chain(IMAGE, replace(CONV, weight=np.ones((4, 3, 3, 3))), OUT), "conv",
         "receives shape (2, 4, 4), but takes (3, height, width), as its weight is [4, 3, 3, 3]"),
        (chain(INPUT, POOL, OUT), "pool", "receives shape (2,), but takes (channels, height, width)"),
        (chain(INPUT, Scale(name="s", factor=np.ones(3)), OUT), "s",
         "receives shape (2,), but takes (3,), the shape of its factor"),
        ({"edges": (*EDGES, Edge("input", "hidden"))}, "hidden",
         "receives different shapes: (3,) from fc, (2,) from input"),
    ],
    "parameters_are_numbers": [
        (fc(weight=np.array([[1, 1], [np.nan, 1], [np.inf, 1]])), "fc.weight",
         "contains NaN or infinite values (2 of 6)"),
        (fc(bias=np.array([0, 0, -np.inf])), "fc.bias", "contains NaN or infinite values (1 of 3)"),
        (hidden(neuron=lif(v_threshold=np.array(np.inf))), "hidden.v_threshold",
         "contains NaN or infinite values (1 of 1)"),
        (hidden(neuron=lif(beta=np.full(2, 0.5))), "hidden.beta", "shape (2,)", "an array of shape () or (3,)"),
    ],
    "fractions_are_fractions": [
        (hidden(neuron=lif(beta=np.array([0.5, 1.25, 0.0]))), "hidden.beta", "0.0 to 1.25", "a fraction from 0 to 1"),
        (hidden(neuron=CubaLIF(alpha=np.array(-0.25), **lif().parameters())), "hidden.alpha", "-0.25 to -0.25",
         "a fraction from 0 to 1"),
    ],
    "delta_thresholds_are_sizes": [
        (hidden(neuron=SigmaDelta(delta_threshold=np.array([0.0, -0.5, 1.0]))), "hidden.delta_threshold", "-0.5",
         "0 or more"),
    ],
    "codes_pass_through_maps": [
        ({"edges": (Edge("input", "fc", code="spike"), *EDGES[1:])}, "fc",
         "is a linear map with edges of both codes, but it needs one code on all its edges"),
    ],
    "neurons_are_of_the_format": [
        (integers() | {"number_format": "float32"}, "hidden", "LoihiLIF",
         "another neuron than LoihiLIF in a float32 program", "Build the program with number_format='integer'."),
        ({"number_format": "integer", "nodes": (INPUT, FC, replace(HIDDEN, neuron=lif(beta=np.array(1.0))), OUT)},
         "hidden", "LIF", "a LoihiLIF in an integer program", "Use quantize(program)."),
    ],
    "integers_fit_their_registers": [
        (integers(du=-2), "hidden.du", "-2 to -2", "-1 to 4095"),
        (integers(du=4096), "hidden.du", "4096 to 4096", "-1 to 4095"),
        (integers(dv=[0, -1, 5]), "hidden.dv", "-1 to 5", "0 to 4096"),
        (integers(dv=4097), "hidden.dv", "4097 to 4097", "0 to 4096"),
        (integers(v_threshold=2**23), "hidden.v_threshold", "8388608 to 8388608", "-8388607 to 8388607"),
        (integers(v_reset=-(2**23)), "hidden.v_reset", "-8388608 to -8388608", "-8388607 to 8388607"),
        (integers(bias=[0, 0, 2**23]), "hidden.bias", "0 to 8388608", "-8388607 to 8388607"),
        ({"nodes": (replace(INPUT, largest=9), *CHAIN[1:])}, "input and output",
         "have scale 1.0, largest 9 and unit 1.0, but floats need 1 for each"),
        (integers(source=replace(INPUT, scale=0.0)), "input.scale", "0.0", "a positive number"),
        (integers(source=replace(INPUT, scale=np.inf)), "input.scale", "inf", "a positive number"),
        (integers(source=replace(INPUT, largest=0)), "input.largest", "0", "1 or more"),
        (integers(out=replace(OUT, unit=-1.0)), "out.unit", "-1.0", "a positive number"),
        (integers(out=replace(OUT, unit=np.nan)), "out.unit", "nan", "a positive number"),
    ],
    "integers_have_no_averages": [
        (chain(IMAGE, replace(POOL, average=True), OUT) | {"number_format": "integer"}, "pool",
         "averages integers", "", "Use a sum, and smaller weights after it."),
    ],
    "sums_fit_their_bits": [
        ({"nodes": (*integers(fc_weight=2**20)["nodes"], Dense(name="fc2", weight=np.full((3, 2), -(2**20)))),
          "edges": (*EDGES, Edge("input", "fc2"), Edge("fc2", "hidden")), "number_format": "integer"},
         "hidden", "can have sums as large as 4,194,304, but they must be below 4,194,304", "",
         "Use smaller weights, or smaller inputs."),
        (integers(fc_weight=2**21), "fc", "can have sums as large as 4,194,304, but they must be below 4,194,304", "",
         "Use smaller weights, or smaller inputs."),
    ],
    "readings_are_of_neurons": [
        ({"nodes": (*CHAIN[:3], replace(OUT, reading="current"))}, "out.reading", "'current'", "spikes or potential"),
        (chain(INPUT, FC, replace(OUT, reading="potential")), "out", f"{READ} fc"),
        ({"nodes": (INPUT, FC, replace(HIDDEN, neuron=SigmaDelta(delta_threshold=np.array(1.0))),
                    replace(OUT, reading="potential"))},
         "out", f"{READ} hidden"),
        ({"nodes": (*CHAIN[:3], replace(OUT, reading="potential")), "edges": (*EDGES[:2], Edge("hidden", "out", 1))},
         "out", f"{READ} hidden (delay 1)"),
        ({"nodes": (*CHAIN[:3], replace(OUT, reading="potential")), "edges": (*EDGES, Edge("fc", "out"))},
         "out", f"{READ} fc, hidden"),
    ],
    "sums_are_finite": [
        (fc(weight=np.full((3, 2), 1e38)), "fc", f"can reach 2e+38 {FLOAT32}", *SMALLER),
        (fc(bias=np.array([0, 0, -2e38])), "fc", f"can reach 2e+38 {FLOAT32}", *SMALLER),
        (fc(weight=np.full((3, 2), 5e37)), "hidden", f"can reach 2e+38 {FLOAT32}", *SMALLER),
        (fc(weight=np.full((3, 2), 1e308)) | {"number_format": "float64"}, "fc", f"can reach inf {FLOAT64}",
         "", "Use smaller weights."),
        (chain(INPUT, Scale(name="s", factor=np.array(-2e38)), OUT), "s", f"can reach 2e+38 {FLOAT32}", *SMALLER),
        (chain(INPUT, Scale(name="s", factor=np.array([1e38, 1]), bias=np.array([-1e38, 0])), OUT), "s",
         f"can reach 2e+38 {FLOAT32}", *SMALLER),
        (chain(IMAGE, replace(CONV, weight=np.full((4, 2, 3, 3), 1e37)), OUT), "conv",
         f"can reach 1.8e+38 {FLOAT32}", *SMALLER),
        (chain(IMAGE, Scale(name="s", factor=np.array(5e37)), POOL, OUT), "pool", f"can reach 2e+38 {FLOAT32}",
         *SMALLER),
    ],
}  # fmt: skip
CASES = [(rule, changed, Violation(*words)) for rule, broken in BROKEN.items() for changed, *words in broken]


@pytest.mark.parametrize(
    ("rule", "changed", "expected"), CASES, ids=[f"{rule}-{expected.where}" for rule, _, expected in CASES]
)
def test_a_broken_rule_is_named_and_nothing_else(rule, changed, expected):
    assert violations(**changed) == [expected]


def test_every_rule_has_a_program_that_breaks_it():
    assert {rule.__name__ for stage in STAGES for rule in stage} == set(BROKEN)


def test_an_edge_to_nowhere_is_named_with_the_nodes_there_are():
    remedy = "The nodes are fc, hidden, input, out."
    assert violations(edges=(*EDGES, Edge("hiden", "nowhere")))[:2] == [
        Violation("edge hiden -> nowhere", f"needs a node {name}, which does not exist", remedy=remedy)
        for name in ("hiden", "nowhere")
    ]


def test_a_program_needs_an_input_and_an_output():
    assert [str(violation) for violation in violations(nodes=(FC,), edges=())] == [
        "the program has 0 nodes of kind Input, but needs exactly 1.",
        "the program has 0 nodes of kind Output, but needs exactly 1.",
        "fc has no edge into it.",
        "fc has no edge out of it.",
    ]


def test_an_empty_program_is_refused():
    assert len(violations(nodes=(), edges=())) == 2


def test_a_cycle_needs_a_delay():
    nodes = (*CHAIN, BACK)
    back = Edge("back", "hidden")
    assert {violation.where for violation in violations(nodes=nodes, edges=(*EDGES, Edge("hidden", "back"), back))} & {
        "edge hidden -> back",
        "edge back -> hidden",
    }
    assert built(nodes=nodes, edges=(*EDGES, Edge("hidden", "back", 1), back)).incoming["back"][0].delay == 1


def test_the_input_may_be_delayed_and_may_be_the_output():
    assert built(edges=(Edge("input", "fc", 3), *EDGES[1:]))
    assert built(**chain(INPUT, OUT)).shapes["out"] == (2,)


def test_a_wrong_number_format_is_named_wherever_it_is():
    program = built(number_format="float32")
    half = replace(FC, weight=np.ones((3, 2), np.float16), bias=None)
    with pytest.raises(BadProgram) as caught:
        verify(replace(program, nodes=tuple(half if node.name == "fc" else node for node in program.nodes)))
    assert caught.value.violations == (Violation("fc.weight", "float16", "in number format float32"),)


def test_an_unknown_number_format_is_a_violation_too():
    """It once ended in numpy's TypeError."""
    with pytest.raises(BadProgram) as caught:
        verify(replace(built(), number_format="banana"))
    assert caught.value.violations == (Violation("number_format", "'banana'", "float32, float64 or integer"),)


def test_nodes_must_be_in_execution_order():
    program = built()
    with pytest.raises(BadProgram, match="edge fc -> hidden leads backward in execution order without a delay"):
        verify(replace(program, nodes=tuple(reversed(program.nodes))))


def test_violations_of_several_rules_are_reported_together():
    found = violations(
        nodes=(
            INPUT,
            replace(FC, weight=np.full((3, 5), np.nan)),
            replace(HIDDEN, neuron=lif(beta=np.array(2.0), v_reset=np.zeros(7))),
            OUT,
        ),
        edges=(Edge("input", "fc", code="spike"), *EDGES[1:]),
    )
    assert found == [
        Violation("fc", "receives shape (2,), but takes (5,), as its weight is [3, 5]"),
        Violation("fc.weight", "contains NaN or infinite values (15 of 15)"),
        Violation("hidden.v_reset", "shape (7,)", "an array of shape () or (3,)"),
        Violation("hidden.beta", "2.0 to 2.0", "a fraction from 0 to 1"),
        Violation("fc", "is a linear map with edges of both codes, but it needs one code on all its edges"),
    ]


def test_violations_of_one_rule_are_reported_together():
    found = violations(nodes=(*CHAIN, Input(name="a/b", shape=(1,)), Flatten(name="")), edges=EDGES)
    unusable = "must not be empty or contain '/'"
    names = [violation.where for violation in found if violation.found == unusable]
    assert names == ["node name ''", "node name 'a/b'"]


def test_integers_just_within_their_registers_are_allowed():
    top = 2**23 - 1
    for extreme in ({"du": -1, "v_threshold": -top, "v_reset": top, "bias": -top}, {"dv": 4095, "v_threshold": top}):
        assert built(**integers(**extreme))
    assert built(**integers(fc_weight=2**21 - 1))


def test_a_map_that_does_not_fit_is_reported_once_and_not_blamed_on_later_maps():
    wrong = replace(FC, weight=np.ones((3, 5)))
    nodes = (INPUT, wrong, Flatten(name="flat"), Dense(name="fc2", weight=np.ones((3, 3))), HIDDEN, OUT)
    found = "receives shape (2,), but takes (5,), as its weight is [3, 5]"
    assert violations(**chain(*nodes)) == [Violation("fc", found)]


def test_the_message_counts_what_it_lists():
    with pytest.raises(
        BadProgram,
        match=r"^this program \(2 found\):\n  - dt_s must .* \(got 0\.0\)\.\n  - n_steps must .*\(got -1\)\.$",
    ):
        built(dt_s=0.0, n_steps=-1)
