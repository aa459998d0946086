"""Every rule of program/verify.py: a program that breaks it, and what is said about it."""

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


READ = "one layer of neurons that spike, without a delay"
REACHES = "spikes or inputs of 1 can make its numbers as large as"
FLOAT32 = "up to 1.70141e+38, half of the largest float32"
SMALLER = "Use smaller weights, or build it in float64."

# what breaks the rule, where, what was found, what is allowed, and for some what would do
BROKEN = {
    "names_are_unique": [
        ({"nodes": (*CHAIN, FC)}, "fc", "2 nodes have this name", "one"),
        ({"nodes": (*CHAIN[:3], replace(OUT, name="a/b")), "edges": (*EDGES[:2], Edge("hidden", "a/b"))},
         "'a/b'", "the name of a node", "a name without '/', not empty"),
        ({"nodes": (*CHAIN[:3], replace(OUT, name="")), "edges": (*EDGES[:2], Edge("hidden", ""))},
         "''", "the name of a node", "a name without '/', not empty"),
    ],
    "edges_join_nodes": [
        ({"edges": (*EDGES, Edge("hidden", "fc", 1), Edge("hidden", "fc", 2))},
         "edge hidden -> fc", "stands 2 times", "once"),
        ({"edges": (*EDGES[:2], Edge("hidden", "out", -1))},
         "edge hidden -> out", "delay is -1", "0 or more time steps"),
    ],
    "one_input_one_output": [
        ({"nodes": (*CHAIN, Input(name="ear", shape=(2,))), "edges": (*EDGES, Edge("ear", "fc"))},
         "the program", "2 nodes of kind Input (ear, input)", "exactly 1"),
        ({"nodes": (*CHAIN, Output(name="out2")), "edges": (*EDGES, Edge("hidden", "out2"))},
         "the program", "2 nodes of kind Output (out, out2)", "exactly 1"),
    ],
    "every_node_is_joined": [
        ({"nodes": (*CHAIN, BACK), "edges": (*EDGES, Edge("back", "hidden"))},
         "back", "no edge leads to it", "at least 1"),
        ({"nodes": (*CHAIN, BACK), "edges": (*EDGES, Edge("hidden", "back"))},
         "back", "no edge leads away", "at least 1"),
        ({"edges": (*EDGES, Edge("hidden", "input", 1))}, "input", "an edge leads into the input", "none"),
        ({"edges": (*EDGES, Edge("out", "hidden", 1))}, "out", "an edge leads out of the output", "none"),
    ],
    "order_is_executable": [
        ({"edges": (*EDGES, Edge("hidden", "hidden"))}, "edge hidden -> hidden", "leads backwards without a delay",
         "forwards in execution order, or a delay of at least 1 time step"),
    ],
    "delays_leave_neurons": [
        ({"edges": (EDGES[0], Edge("fc", "hidden", 2), EDGES[2])}, "edge fc -> hidden", "delay 2 behind a linear map",
         "a delay on an edge that leaves a layer of neurons or the input"),
    ],
    "choices_are_known": [
        ({"dt_s": 0.0}, "dt_s", "0.0", "a positive number of seconds"),
        ({"dt_s": -1e-3}, "dt_s", "-0.001", "a positive number of seconds"),
        ({"dt_s": float("nan")}, "dt_s", "nan", "a positive number of seconds"),
        ({"dt_s": float("inf")}, "dt_s", "inf", "a positive number of seconds"),
        ({"n_steps": 0}, "n_steps", "0", "1 or more"),
        ({"integration": "midpoint"}, "integration", "'midpoint'", "euler or exact"),
        ({"number_format": "float16"}, "number_format", "'float16'", "float32 or float64 or integer"),
        (hidden(neuron=lif(reset="none")), "hidden.reset", "'none'", "hard or soft"),
        (hidden(neuron=lif(compare="=>")), "hidden.compare", "'=>'", "> or >="),
        ({"edges": (*EDGES[:2], Edge("hidden", "out", code="rate"))}, "edge hidden -> out", "code 'rate'",
         "spike or delta"),
    ],
    "maps_are_well_formed": [
        (fc(weight=np.ones(3), bias=None), "fc.weight", "shape (3,)", "2 dimensions, none of them 0"),
        (fc(weight=np.ones((3, 0)), bias=None), "fc.weight", "shape (3, 0)", "2 dimensions, none of them 0"),
        (fc(bias=np.zeros(2)), "fc.bias", "shape (2,)", "(3,)"),
        (fc(bias=np.zeros(())), "fc.bias", "shape ()", "(3,)"),
        (conv(weight=np.ones((4, 2, 3))), "conv.weight", "shape (4, 2, 3)", "4 dimensions, none of them 0"),
        (conv(weight=np.ones(())), "conv.weight", "shape ()", "4 dimensions, none of them 0"),
        (conv(bias=np.ones(2)), "conv.bias", "shape (2,)", "(4,)"),
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
        (fc(weight=np.ones((3, 5))), "fc", "receives shape (2,)", "(5,), as its weight is [3, 5]"),
        (hidden(shape=(4,)), "hidden", "receives shape (3,)", "(4,), its own shape"),
        (chain(IMAGE, replace(CONV, weight=np.ones((4, 3, 3, 3))), OUT), "conv", "receives shape (2, 4, 4)",
         "(3, height, width), as its weight is [4, 3, 3, 3]"),
        (chain(INPUT, POOL, OUT), "pool", "receives shape (2,)", "(channels, height, width)"),
        (chain(INPUT, Scale(name="s", factor=np.ones(3)), OUT), "s", "receives shape (2,)",
         "(3,), the shape of its factor"),
        ({"edges": (*EDGES, Edge("input", "hidden"))}, "hidden", "receives (3,) from fc, (2,) from input",
         "the same shape from every source"),
    ],
    "parameters_are_numbers": [
        (fc(weight=np.array([[1, 1], [np.nan, 1], [np.inf, 1]])), "fc.weight", "2 of 6 values are NaN or infinite",
         "finite numbers"),
        (fc(bias=np.array([0, 0, -np.inf])), "fc.bias", "1 of 3 values are NaN or infinite", "finite numbers"),
        (hidden(neuron=lif(v_threshold=np.array(np.inf))), "hidden.v_threshold", "1 of 1 values are NaN or infinite",
         "finite numbers"),
        (hidden(neuron=lif(beta=np.full(2, 0.5))), "hidden.beta", "shape (2,)", "() or (3,)"),
    ],
    "fractions_are_fractions": [
        (hidden(neuron=lif(beta=np.array([0.5, 1.25, 0.0]))), "hidden.beta", "0.0 to 1.25",
         "0 to 1, the fraction kept"),
        (hidden(neuron=CubaLIF(alpha=np.array(-0.25), **lif().parameters())), "hidden.alpha", "-0.25 to -0.25",
         "0 to 1, the fraction kept"),
    ],
    "delta_thresholds_are_sizes": [
        (hidden(neuron=SigmaDelta(delta_threshold=np.array([0.0, -0.5, 1.0]))), "hidden.delta_threshold", "-0.5",
         "0 or more"),
    ],
    "codes_pass_through_maps": [
        ({"edges": (Edge("input", "fc", code="spike"), *EDGES[1:])}, "fc", "edges of both codes meet at this map",
         "one code on all its edges"),
    ],
    "neurons_are_of_the_format": [
        (integers() | {"number_format": "float32"}, "hidden", "LoihiLIF in a program of float32", "any other neuron",
         "Build the program with number_format='integer'."),
        ({"number_format": "integer", "nodes": (INPUT, FC, replace(HIDDEN, neuron=lif(beta=np.array(1.0))), OUT)},
         "hidden", "LIF in a program of integer", "LoihiLIF", "quantize(program) makes it."),
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
         "scale 1.0, largest 9, unit 1.0", "1 each, in a program of floats", "They are of integers alone."),
        (integers(source=replace(INPUT, scale=0.0)), "input.scale", "0.0", "a positive number"),
        (integers(source=replace(INPUT, scale=np.inf)), "input.scale", "inf", "a positive number"),
        (integers(source=replace(INPUT, largest=0)), "input.largest", "0", "1 or more"),
        (integers(out=replace(OUT, unit=-1.0)), "out.unit", "-1.0", "a positive number"),
        (integers(out=replace(OUT, unit=np.nan)), "out.unit", "nan", "a positive number"),
    ],
    "integers_have_no_averages": [
        (chain(IMAGE, replace(POOL, average=True), OUT) | {"number_format": "integer"}, "pool",
         "an average of integers", "sums", "Use a sum, and smaller weights behind it."),
    ],
    "sums_fit_their_bits": [
        ({"nodes": (*integers(fc_weight=2**20)["nodes"], Dense(name="fc2", weight=np.full((3, 2), -(2**20)))),
          "edges": (*EDGES, Edge("input", "fc2"), Edge("fc2", "hidden")), "number_format": "integer"},
         "hidden", "the worst case of its sums is 4,194,304", "below 4,194,304",
         "Use smaller weights, or smaller inputs."),
        (integers(fc_weight=2**21), "fc", "the worst case of its sums is 4,194,304", "below 4,194,304",
         "Use smaller weights, or smaller inputs."),
    ],
    "readings_are_of_neurons": [
        ({"nodes": (*CHAIN[:3], replace(OUT, reading="current"))}, "out.reading", "'current'", "spikes or potential"),
        (chain(INPUT, FC, replace(OUT, reading="potential")), "out", "reads a potential, but receives fc", READ),
        ({"nodes": (INPUT, FC, replace(HIDDEN, neuron=SigmaDelta(delta_threshold=np.array(1.0))),
                    replace(OUT, reading="potential"))},
         "out", "reads a potential, but receives hidden", READ),
        ({"nodes": (*CHAIN[:3], replace(OUT, reading="potential")), "edges": (*EDGES[:2], Edge("hidden", "out", 1))},
         "out", "reads a potential, but receives hidden (delay 1)", READ),
        ({"nodes": (*CHAIN[:3], replace(OUT, reading="potential")), "edges": (*EDGES, Edge("fc", "out"))},
         "out", "reads a potential, but receives fc, hidden", READ),
    ],
    "sums_are_finite": [
        (fc(weight=np.full((3, 2), 1e38)), "fc", f"{REACHES} 2e+38", FLOAT32, SMALLER),
        (fc(bias=np.array([0, 0, -2e38])), "fc", f"{REACHES} 2e+38", FLOAT32, SMALLER),
        (fc(weight=np.full((3, 2), 5e37)), "hidden", f"{REACHES} 2e+38", FLOAT32, SMALLER),
        (fc(weight=np.full((3, 2), 1e308)) | {"number_format": "float64"}, "fc", f"{REACHES} inf",
         "up to 8.98847e+307, half of the largest float64", "Use smaller weights."),
        (chain(INPUT, Scale(name="s", factor=np.array(-2e38)), OUT), "s", f"{REACHES} 2e+38", FLOAT32, SMALLER),
        (chain(INPUT, Scale(name="s", factor=np.array([1e38, 1]), bias=np.array([-1e38, 0])), OUT), "s",
         f"{REACHES} 2e+38", FLOAT32, SMALLER),
        (chain(IMAGE, replace(CONV, weight=np.full((4, 2, 3, 3), 1e37)), OUT), "conv", f"{REACHES} 1.8e+38", FLOAT32,
         SMALLER),
        (chain(IMAGE, Scale(name="s", factor=np.array(5e37)), POOL, OUT), "pool", f"{REACHES} 2e+38", FLOAT32, SMALLER),
    ],
}  # fmt: skip
CASES = [(rule, changed, Violation(*said)) for rule, broken in BROKEN.items() for changed, *said in broken]


@pytest.mark.parametrize(("rule", "changed", "said"), CASES, ids=[f"{rule}-{said.where}" for rule, _, said in CASES])
def test_a_broken_rule_is_named_and_nothing_else(rule, changed, said):
    assert violations(**changed) == [said]


def test_every_rule_has_a_program_that_breaks_it():
    assert {rule.__name__ for stage in STAGES for rule in stage} == set(BROKEN)


def test_an_edge_to_nowhere_is_named_with_the_nodes_there_are():
    assert violations(edges=(*EDGES, Edge("hiden", "nowhere")))[:2] == [
        Violation("edge hiden -> nowhere", "there is no node hiden", "one of fc, hidden, input, out"),
        Violation("edge hiden -> nowhere", "there is no node nowhere", "one of fc, hidden, input, out"),
    ]


def test_a_program_needs_an_input_and_an_output():
    assert [str(violation) for violation in violations(nodes=(FC,), edges=())] == [
        "the program: 0 nodes of kind Input; allowed: exactly 1.",
        "the program: 0 nodes of kind Output; allowed: exactly 1.",
        "fc: no edge leads to it; allowed: at least 1.",
        "fc: no edge leads away; allowed: at least 1.",
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


def test_a_wrong_number_format_is_named_wherever_it_stands():
    program = built(number_format="float32")
    half = replace(FC, weight=np.ones((3, 2), np.float16), bias=None)
    with pytest.raises(BadProgram) as caught:
        verify(replace(program, nodes=tuple(half if node.name == "fc" else node for node in program.nodes)))
    assert caught.value.violations == (Violation("fc.weight", "number format float16", "float32"),)


def test_an_unknown_number_format_is_a_violation_too():
    """It once ended in numpy's TypeError."""
    with pytest.raises(BadProgram) as caught:
        verify(replace(built(), number_format="banana"))
    assert caught.value.violations == (Violation("number_format", "'banana'", "float32 or float64 or integer"),)


def test_nodes_must_stand_in_execution_order():
    program = built()
    with pytest.raises(BadProgram, match="edge fc -> hidden: leads backwards without a delay"):
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
        Violation("fc", "receives shape (2,)", "(5,), as its weight is [3, 5]"),
        Violation("fc.weight", "15 of 15 values are NaN or infinite", "finite numbers"),
        Violation("hidden.v_reset", "shape (7,)", "() or (3,)"),
        Violation("hidden.beta", "2.0 to 2.0", "0 to 1, the fraction kept"),
        Violation("fc", "edges of both codes meet at this map", "one code on all its edges"),
    ]


def test_violations_of_one_rule_are_reported_together():
    found = violations(nodes=(*CHAIN, Input(name="a/b", shape=(1,)), Flatten(name="")), edges=EDGES)
    assert [violation.where for violation in found if violation.found == "the name of a node"] == ["''", "'a/b'"]


def test_integers_just_within_their_registers_are_allowed():
    top = 2**23 - 1
    for extreme in ({"du": -1, "v_threshold": -top, "v_reset": top, "bias": -top}, {"dv": 4095, "v_threshold": top}):
        assert built(**integers(**extreme))
    assert built(**integers(fc_weight=2**21 - 1))


def test_a_map_that_does_not_fit_is_reported_once_and_not_blamed_on_those_behind_it():
    wrong = replace(FC, weight=np.ones((3, 5)))
    nodes = (INPUT, wrong, Flatten(name="flat"), Dense(name="fc2", weight=np.ones((3, 3))), HIDDEN, OUT)
    assert violations(**chain(*nodes)) == [Violation("fc", "receives shape (2,)", "(5,), as its weight is [3, 5]")]


def test_the_message_counts_what_it_lists():
    with pytest.raises(BadProgram, match=r"^this program \(2 found\):\n  - dt_s: 0\.0; .*\n  - n_steps: -1; .*$"):
        built(dt_s=0.0, n_steps=-1)
