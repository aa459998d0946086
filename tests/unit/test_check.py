"""Planted violations, each found by name and alone; and the changes that a fault proposes, made and checked again."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tdd_deploy.neurons import IF, LI, LIF, LoihiLIF, Neuron
from tdd_deploy.program import (
    Conv,
    Dense,
    Edge,
    Flatten,
    Input,
    NeuronLayer,
    Output,
    Program,
    build,
    with_code,
    with_codes,
)
from tdd_deploy.simulator.hardware.check import SCHEMA_VERSION, Checked, Seen, Setting, cannot_run, check
from tdd_deploy.simulator.hardware.chips import Chip, Limit, Neurons, Spikes, chip_names, load_chip
from tests import by_hand

FIRE = {"v_threshold": np.array(1.0), "v_reset": np.array(0.0)}
BINARY = Spikes(kind="binary", bits=0, source="made up")


def neuron(kind: str = "IF", reset: str = "hard") -> Neuron:
    return {
        "IF": IF(**FIRE, reset=reset),
        "LIF": LIF(beta=np.array(0.5), **FIRE, reset=reset),
        "LI": LI(beta=np.array(0.5)),
    }[kind]


def dense(name: str, n_out: int, n_in: int) -> Dense:
    return Dense(name=name, weight=np.ones((n_out, n_in)))


def conv(name: str, n_out: int, n_in: int, **choices: Any) -> Conv:
    return Conv(name=name, weight=np.ones((n_out, n_in, 3, 3)), padding=(1, 1), **choices)


def layer(name: str, *shape: int, kind: str = "IF", reset: str = "hard") -> NeuronLayer:
    return NeuronLayer(name=name, shape=shape, neuron=neuron(kind, reset))


def made(nodes: list[Any], pairs: str, *, code: str = "spike", encoder: str = "poisson") -> Program:
    """Edges are written ``a b c, b d``: a to b to c, and b to d; a delay of one step as ``a 1 b``."""
    edges = []
    for way in pairs.split(","):
        names = way.split()
        delays = [1 if name == "1" else 0 for name in names[1:]]
        steps = [name for name in names if name != "1"]
        if 1 in delays:
            edges.append(Edge(steps[0], steps[1], 1))
            steps = steps[1:]
        edges += [Edge(a, b) for a, b in pairwise(steps)]
    return with_code(build(nodes, edges, dt_s=1e-3, n_steps=2, encoder=encoder), code)


def mlp(
    *,
    n_in: int = 4,
    first: int = 6,
    second: int = 5,
    n_out: int = 3,
    kind: str = "IF",
    reset: str = "hard",
    **choices: Any,
) -> Program:
    """input -> first -> second -> output, all dense; kind and reset are of second."""
    nodes = [
        Input(name="input", shape=(n_in,)),
        dense("a", first, n_in),
        layer("first", first),
        dense("b", second, first),
        layer("second", second, kind=kind, reset=reset),
        dense("c", n_out, second),
        Output(name="output"),
    ]
    return made(nodes, "input a first b second c output", **choices)


def images(*, first: int = 4, second: int = 2, **choices: Any) -> Program:
    """Two 3 x 3 convolutions on 6 x 6 pixels, and a dense readout."""
    nodes = [
        Input(name="input", shape=(1, 6, 6)),
        conv("a", first, 1),
        layer("first", first, 6, 6),
        conv("b", second, first),
        layer("second", second, 6, 6),
        Flatten(name="flat"),
        dense("c", 2, second * 36),
        Output(name="output"),
    ]
    return made(nodes, "input a first b second flat c output", **choices)


def recurrent(*, h: int = 8, **choices: Any) -> Program:
    """4 inputs and the layer's own spikes, all to all."""
    nodes = [
        Input(name="input", shape=(4,)),
        dense("a", h, 4),
        layer("h", h),
        dense("back", h, h),
        dense("c", 2, h),
        Output(name="output"),
    ]
    return made(nodes, "input a h c output, h 1 back h", **choices)


def residual(*, n: int = 2, **choices: Any) -> Program:
    """second takes a convolution of first, and first as it is."""
    nodes = [
        Input(name="input", shape=(1, 5, 5)),
        conv("a", n, 1),
        layer("first", n, 5, 5),
        conv("b", n, n),
        layer("second", n, 5, 5),
        Output(name="output"),
    ]
    return made(nodes, "input a first b second output, first second", **choices)


def integers(*, largest: int = 7, weight: int = 5, code: str = "spike", encoder: str = "direct") -> Program:
    loihi = LoihiLIF(
        du=np.array(4095),
        dv=np.array(0),
        bias=np.array(0),
        v_threshold=np.array(64),
        v_reset=np.array(0),
        reset="hard",
    )
    nodes = [
        Input(name="input", shape=(3,), largest=largest),
        Dense(name="a", weight=np.full((2, 3), weight)),
        NeuronLayer(name="h", shape=(2,), neuron=loihi),
        Dense(name="c", weight=np.full((1, 2), weight)),
        Output(name="output"),
    ]
    edges = [Edge("input", "a"), Edge("a", "h"), Edge("h", "c"), Edge("c", "output")]
    return with_code(build(nodes, edges, dt_s=1e-3, n_steps=2, number_format="integer", encoder=encoder), code)


def second_sends_changes(**choices: Any) -> Program:
    program = mlp(**choices)
    after = {edge: "delta" for edge in program.edges if edge.source in ("second", "c")}
    return with_codes(program, after) if choices.get("code") != "spike" else program


def input_sends_changes(**choices: Any) -> Program:
    program = mlp(**choices)
    after = {edge: "delta" for edge in program.edges if edge.source in ("input", "a")}
    return with_codes(program, after) if choices.get("code") != "spike" else program


def custom(*, spikes: Spikes | None = None, models: Neurons | None = None, **limits: int) -> Chip:
    """A chip of these limits alone, whose cores hold any number of neurons unless a limit is given."""
    return replace(
        by_hand.CHIP,
        limits={
            name: Limit(name=name, value=value, confidence="derived", source="made up")
            for name, value in limits.items()
        },
        spikes=spikes or by_hand.CHIP.spikes,
        neurons=models,
    )


@dataclass(frozen=True)
class Planted:
    """A network, a chip that it does not fit on, and the one thing that is wrong."""

    make: Callable[..., Program]
    chip: Chip | str
    rule: str
    where: str
    fix: str = ""  # a part of its text
    found: str = ""
    widths: dict[str, Any] = field(default_factory=dict)  # for make
    bits: int = 8
    n_chips: int = 1

    def checked(self, *, bits: int | None = None, n_chips: int | None = None, **changed: Any) -> Checked:
        chip = load_chip(self.chip) if isinstance(self.chip, str) else self.chip
        program = self.make(**self.widths | changed)
        return check(
            Setting(program=program, chip=chip, weight_bits=bits or self.bits, n_chips=n_chips or self.n_chips)
        )


NARROWER = "With {} channels in {} it fits"
IF_ALONE = Neurons(models=("IF",), resets=("hard",), source="made up")
PLANTED = {
    "neuron model": Planted(mlp, custom(models=IF_ALONE), "neuron model", "second", "", "LIF", {"kind": "LIF"}),
    "neuron model, truenorth": Planted(mlp, "truenorth", "neuron model", "second", "", "LIF", {"kind": "LIF"}),
    "soft reset": Planted(
        mlp, custom(models=IF_ALONE), "reset", "second", "With a hard reset", "soft", {"reset": "soft"}
    ),
    "soft reset, loihi1": Planted(mlp, "loihi1", "reset", "second", "With a hard reset", "soft", {"reset": "soft"}),
    "signed events": Planted(second_sends_changes, custom(spikes=BINARY), "signed events", "second", "`code=spike`"),
    "signed events, loihi1": Planted(second_sends_changes, "loihi1", "signed events", "second", "`code=spike`"),
    "signed events of the input": Planted(
        input_sends_changes, "truenorth", "signed events", "input", "`code=spike`", "delta code"
    ),
    "analog input": Planted(
        integers, custom(spikes=BINARY), "events with numbers", "input", "`encoder=poisson`", "sends numbers up to 7"
    ),
    "potentials": Planted(
        mlp, custom(spikes=BINARY), "events with numbers", "second", "", "sends numbers", {"kind": "LI"}
    ),
    # up to 8, with a sign
    "payload": Planted(integers, custom(), "payload", "input", "", "numbers of 9 bits", {"largest": 128}),
    # from -64 to 64
    "payload of changes": Planted(
        integers, custom(), "payload", "input", "", "numbers of 9 bits", {"largest": 64, "code": "delta"}
    ),
    "weight bits": Planted(mlp, custom(weight_bits=4), "bits of a weight", "all weights", "`bits=4`", "8"),
    "weight bits, truenorth": Planted(
        mlp, "truenorth", "bits of a weight", "all weights", "`bits=9`", "10", bits=10
    ),
    # 3 + 3 + 2 cores for 6, 5 and 3 neurons
    "cores": Planted(mlp, custom(neurons=2, cores=4), "cores per chip", "the network", "`chips=2`", "8"),
    "cores of two chips": Planted(
        mlp, custom(neurons=2, cores=3), "cores per chip", "the network", "`chips=3`", "8", n_chips=2
    ),
    # A neuron of second has 6 weights, so 96 bits are two neurons of 8 bits and three of 5 (90) but not of 6 (108);
    # first (4 weights) takes 2 cores of 3 neurons; second takes 3 and at 5 bits 2; output (5 weights) takes 2, then 1.
    "cores for want of memory": Planted(
        mlp, custom(synapse_bits=96, cores=6), "cores per chip", "the network", "`bits=6`", "7"
    ),
    "synapse memory": Planted(
        mlp, custom(synapse_bits=100), "synapse memory per core", "second", "`bits=6`", "128", {"first": 16}
    ),
    # 24 weights of 2 bits are 48 still; 5 of 8 bits are 40
    "synapse memory, whatever the bits": Planted(
        mlp,
        custom(synapse_bits=40),
        "synapse memory per core",
        "second",
        NARROWER.format(5, "first"),
        "192",
        {"first": 24},
    ),
    "axons, dense": Planted(
        mlp, custom(axons_in=10), "axons into a core", "second", NARROWER.format(10, "first"), "16", {"first": 16}
    ),
    # 9 taps of 4 channels; 27 of 3. The readout of 2 x 36 spikes comes to 72.
    "axons, convolution": Planted(
        images, custom(axons_in=72), "axons into a core", "second", NARROWER.format(8, "first"), "90", {"first": 10}
    ),
    "axons, truenorth, of the input": Planted(
        mlp, "truenorth", "axons into a core", "first", "", "300", {"n_in": 300}
    ),
    "axons, loihi1": Planted(
        mlp, "loihi1", "axons into a core", "second", NARROWER.format("4,096", "first"), "5,000", {"first": 5000}
    ),
    "fan in": Planted(
        mlp, custom(fan_in=15), "synapses into a neuron", "second", NARROWER.format(15, "first"), "16", {"first": 16}
    ),
    "fan in of the output": Planted(
        mlp, custom(fan_in=15), "synapses into a neuron", "output", NARROWER.format(15, "second"), "30", {"second": 30}
    ),
    # one neuron to a core: each of first goes to the 7 cores of second, each of second to the 3 of the output
    "axons out": Planted(
        mlp,
        custom(neurons=1, axons_out=5),
        "axons out of a core",
        "first",
        NARROWER.format(5, "second"),
        "7",
        {"second": 7},
    ),
    "cores reached": Planted(
        mlp,
        custom(neurons=1, destinations=5),
        "cores that one neuron reaches",
        "first",
        NARROWER.format(5, "second"),
        "7",
        {"second": 7},
    ),
    "cores reached, truenorth": Planted(
        recurrent, "truenorth", "cores that one neuron reaches", "h", "", "2"  # its own and the output's
    ),
    "an output too large": Planted(
        mlp, custom(neurons=4, destinations=2), "cores that one neuron reaches", "second", "", "3", {"n_out": 9}
    ),
    # 4 of the input and 8 of its own; 4 + 7
    "recurrent": Planted(
        recurrent, custom(fan_in=11), "synapses into a neuron", "h", NARROWER.format(7, "h"), "12"
    ),
    # Two cores of 4 neurons, which go to both and to the output's: 4 * 3 axons. Four of 2 go to 5, one to a core
    # goes to 9, so no smaller blocks do. Of 5 channels, cores of 2, 2 and 1 go to 4: 2 * 4.
    "recurrent, axons out": Planted(
        recurrent, custom(neurons=4, axons_out=8), "axons out of a core", "h", NARROWER.format(5, "h"), "12"
    ),
    # 9 taps of 2 channels, and first itself; no layer can be narrowed without the other
    "residual": Planted(residual, custom(fan_in=18), "synapses into a neuron", "second", "", "19"),
    "synapse memory, loihi2": Planted(
        mlp,
        "loihi2",
        "synapse memory per core",
        "first",
        "`bits=7`",
        "1,600,000",
        {"n_in": 200_000, "first": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_violation_is_found_and_nothing_else(name):
    planted = PLANTED[name]
    checked = planted.checked()
    assert [(fault.rule, fault.where) for fault in checked.faults] == [(planted.rule, planted.where)]
    assert not checked.fits
    (fault,) = checked.faults
    assert planted.found in fault.found
    assert fault.allowed
    assert fault.why
    assert fault.source
    assert fault.fix.endswith(" (checked).") == bool(planted.fix)
    assert planted.fix in fault.fix
    assert str(fault).startswith(planted.where)
    assert str(fault).endswith(f": {fault.why}. {fault.fix}".rstrip())
    assert fault.found in str(fault)
    assert fault.allowed in str(fault)


def followed(planted: Planted, fix: str) -> Checked:
    """Do what the words say: other options, or the network built with other widths."""
    if found := re.search(r"`(bits|chips)=(\d+)`", fix):
        return planted.checked(**{{"bits": "bits", "chips": "n_chips"}[found[1]]: int(found[2])})
    if found := re.search(r"`(code|encoder)=(\w+)`", fix):
        return planted.checked(**{found[1]: found[2]})
    if "hard reset" in fix:
        return planted.checked(reset="hard")
    found = re.search(r"With ([\d,]+) channels in (\w+)", fix)
    assert found
    return planted.checked(**{found[2]: int(found[1].replace(",", ""))})


@pytest.mark.parametrize("name", [name for name, planted in PLANTED.items() if planted.fix])
def test_what_is_proposed_helps(name):
    planted = PLANTED[name]
    (fault,) = planted.checked().faults
    assert followed(planted, fault.fix).faults == ()


@pytest.mark.parametrize(
    "name", [name for name, planted in PLANTED.items() if re.search("`(bits|chips)=", planted.fix)]
)
def test_a_bit_more_or_a_chip_less_would_not_do(name):
    planted = PLANTED[name]
    found = re.search(r"`(bits|chips)=(\d+)`", planted.fix)
    n = int(found[2])
    one_off = planted.checked(bits=n + 1) if found[1] == "bits" else planted.checked(n_chips=n - 1)
    assert (planted.rule, planted.where) in {fault.key for fault in one_off.faults}


# At a limit, and above it. One neuron to a core: 6, 5 and 3 cores; a neuron of second has 6 weights of 8 bits.
AT = {"cores": 14, "synapse_bits": 48, "axons_in": 6, "fan_in": 6, "axons_out": 5, "destinations": 5, "weight_bits": 8}


@pytest.mark.parametrize("name", AT)
def test_what_is_exactly_at_a_limit_is_not_refused_and_one_above_is(name):
    def faults(limit):
        chip = custom(neurons=1, **{name: limit})
        return check(Setting(program=mlp(), chip=chip, weight_bits=8)).faults

    assert faults(AT[name]) == ()
    (fault,) = faults(AT[name] - 1)
    assert (fault.found, fault.allowed) == (str(AT[name]), str(AT[name] - 1))
    assert fault.excess == AT[name] / (AT[name] - 1)


def test_a_payload_of_exactly_the_bits_of_an_event_is_not_refused():
    """127 is the largest of 8 bits with a sign; of changes, from -63 to 63."""
    for program in (integers(largest=127), integers(largest=63, code="delta")):
        assert check(Setting(program=program, chip=custom(), weight_bits=4)).fits


def test_limits_hold_for_each_chip_and_chips_add_their_cores():
    program = mlp()
    for n_chips, fits in ((1, False), (2, True), (3, True)):
        checked = check(Setting(program=program, chip=custom(neurons=1, cores=7), weight_bits=8, n_chips=n_chips))
        assert checked.fits == fits


def test_a_chip_without_any_limit_takes_everything():
    nothing = replace(custom(), limits={}, mesh=None)
    for program in (mlp(), images(), recurrent(), residual(code="delta"), integers(), mlp(kind="LI")):
        checked = check(Setting(program=program, chip=nothing, weight_bits=31))
        assert checked.fits
        assert checked.placement.n_cores == len({block.layer for block in checked.placement.blocks})


def test_every_fault_of_a_network_is_reported_at_once():
    program = mlp(first=16, kind="LIF", reset="soft", encoder="direct", code="delta")
    chip = custom(models=IF_ALONE, spikes=BINARY, fan_in=5, weight_bits=4)
    seen = Seen(is_binary=False, found="sends numbers")
    assert [fault.key for fault in check(Setting(program=program, chip=chip, weight_bits=8, seen=seen)).faults] == [
        ("neuron model", "second"),
        ("reset", "second"),
        ("signed events", "input"),
        ("signed events", "first"),
        ("signed events", "second"),
        ("events with numbers", "input"),
        ("bits of a weight", "all weights"),
        ("synapses into a neuron", "second"),
    ]


def test_what_does_not_take_a_fault_away_is_not_advised():
    """Both branches are too wide: with either narrowed, what the other brings is too much."""
    nodes = [
        Input(name="input", shape=(2,)),
        *(part for name in ("left", "right") for part in (dense(f"to_{name}", 9, 2), layer(name, 9))),
        *(dense(f"from_{name}", 3, 9) for name in ("left", "right")),
        layer("sum", 3),
        Output(name="output"),
    ]
    ways = (f"input to_{name} {name} from_{name} sum" for name in ("left", "right"))
    program = made(nodes, ", ".join([*ways, "sum output"]))
    (fault,) = check(Setting(program=program, chip=custom(fan_in=9), weight_bits=8)).faults
    assert (fault.key, fault.found, fault.fix) == (("synapses into a neuron", "sum"), "18", "")
    (fault,) = check(Setting(program=program, chip=custom(fan_in=13), weight_bits=8)).faults
    assert fault.fix == "With 3 channels in left it fits (checked)."  # 6 and 9 are 15, 3 and 9 are 12


def test_fewer_bits_for_weights_in_integers_come_from_the_floats_they_were_made_of_or_from_training():
    """The bits of an integer program are fixed, so the option bits is refused. Files of lava-dl have no floats."""
    ours = replace(integers(), provenance={"quantized_from": "abc"})
    for program, words in ((ours, "export the float network again with"), (integers(), "train for these bits, or")):
        (fault,) = check(Setting(program=program, chip=custom(weight_bits=3), weight_bits=4)).faults
        assert fault.fix.startswith(f"With weights of 3 bits it fits: {words}")
        assert fault.fix.endswith("`bits=3` (checked).")


# What sends nothing cannot send too much.


def test_what_the_output_reads_of_neurons_needs_no_events():
    nodes = [Input(name="input", shape=(2,)), dense("a", 2, 2), layer("h", 2, kind="LI"), Output(name="output")]
    program = made(nodes, "input a h output")
    read = replace(program, edges=tuple(replace(e, code="delta") if e.source == "h" else e for e in program.edges))
    checked = check(Setting(program=read, chip=custom(spikes=BINARY, axons_out=1, destinations=1), weight_bits=8))
    assert checked.fits
    (block,) = checked.placement.blocks
    assert (block.load.axons_out, block.load.destinations) == (0, 0)


def test_a_program_without_neurons_takes_no_core():
    for maps, pairs in (([], "input output"), ([dense("a", 3, 2)], "input a output")):
        program = made([Input(name="input", shape=(2,)), *maps, Output(name="output")], pairs, encoder="direct")
        checked = check(Setting(program=program, chip=custom(cores=1, neurons=5), weight_bits=8))
        assert checked.fits
        assert checked.placement.n_cores == len(maps)
        assert len(checked.as_json()["placement"]["blocks"]) == len(maps)


def test_a_single_neuron_and_a_delayed_edge_are_placed():
    program = made(
        [Input(name="input", shape=(1,)), layer("h", 1), layer("g", 1), Output(name="output")],
        "input h, h 1 g output",
    )
    checked = check(Setting(program=program, chip=custom(cores=2, neurons=1, axons_out=1, fan_in=1), weight_bits=8))
    assert checked.fits
    assert {block.layer: block.load.destinations for block in checked.placement.blocks} == {"h": 1, "g": 0}


def test_a_map_that_feeds_two_layers_is_held_by_both():
    nodes = [
        Input(name="input", shape=(3,)),
        dense("a", 2, 3),
        layer("left", 2),
        layer("right", 2),
        Output(name="output"),
    ]
    program = made(nodes, "input a left output, a right output")
    found = check(Setting(program=program, chip=custom(synapse_bits=3 * 8 - 1), weight_bits=8)).faults
    assert [fault.where for fault in found] == ["left", "right"]
    assert {fault.fix for fault in found} == {"With weights of 7 bits it fits: use `bits=7` (checked)."}
    assert check(Setting(program=program, chip=custom(synapse_bits=2 * 3 * 8), weight_bits=8)).fits


def test_smaller_blocks_are_tried_where_a_core_would_send_to_too_many():
    """4 neurons that each go to one core, where a core has one axon: one neuron to a core."""
    program = mlp(first=4, second=1, n_out=1)
    checked = check(Setting(program=program, chip=custom(axons_out=1), weight_bits=8))
    assert checked.fits
    assert [block.shape for block in checked.placement.of("first")] == [(1,)] * 4
    recurring = PLANTED["recurrent, axons out"].checked()
    assert [block.shape for block in recurring.placement.of("h")] == [(4,), (4,)]


# Words.


@pytest.mark.parametrize("chip", chip_names())
def test_no_verdict_comes_without_what_was_not_checked(chip):
    chip = load_chip(chip)
    for program, fits in ((mlp(), True), (mlp(first=200_000, n_in=1), False)):
        checked = check(Setting(program=program, chip=chip, weight_bits=8), assumptions=("a thing",))
        shown = checked.as_json()
        assert shown["fits"] == checked.fits == fits
        assert shown["not_checked"] == list(chip.not_checked)
        assert all(shown["not_checked"])
        assert (shown["schema_version"], shown["chip"], shown["title"]) == (SCHEMA_VERSION, chip.name, chip.title)
        assert (shown["remark"], shown["chips"], shown["assumptions"]) == (chip.remark, 1, ["a thing"])
        assert shown["program"] == program.digest
        assert len(shown["faults"]) == len(checked.faults)


def test_what_a_chip_cannot_execute_is_listed_with_its_places():
    truenorth, loihi1, loihi2 = (load_chip(name) for name in ("truenorth", "loihi1", "loihi2"))
    plain = mlp(encoder="poisson")
    assert [cannot_run(plain, chip, input_is_binary=True) for chip in (truenorth, loihi1, loihi2)] == ["", "", ""]
    program = mlp(kind="LIF", reset="soft", encoder="direct", code="delta")
    signed = "delta code, whose events have a sign (input, first, second)"
    assert cannot_run(program, truenorth, input_is_binary=False) == f"LIF (second); {signed}; sends numbers (input)"
    assert cannot_run(program, truenorth, input_is_binary=True) == f"LIF (second); {signed}"
    assert cannot_run(program, loihi1, input_is_binary=False) == f"soft (second); {signed}; sends numbers (input)"
    assert cannot_run(program, loihi2, input_is_binary=False) == ""
    too_large = mlp(first=5000)  # does not fit, but could be executed
    assert cannot_run(too_large, loihi1, input_is_binary=True) == ""


def test_the_kind_of_input_comes_from_data_or_integers_and_is_a_condition_otherwise():
    def asked(program, seen=None):
        checked = check(Setting(program=program, chip=load_chip("loihi1"), weight_bits=8, seen=seen))
        return [fault.where for fault in checked.faults if fault.rule == "events with numbers"], checked.conditions

    condition = "input sends nothing but spikes; the network does not state this, so check your samples with `data`"
    spikes, numbers = Seen(is_binary=True, found="sends spikes"), Seen(is_binary=False, found="sends numbers")
    assert asked(mlp(encoder="direct")) == ([], (condition,))
    assert asked(mlp(encoder="direct"), spikes) == ([], ())
    assert asked(mlp(encoder="direct"), numbers) == (["input"], ())
    assert asked(mlp(encoder="poisson")) == ([], ())
    assert asked(integers(largest=1)) == ([], ())
    assert asked(integers(largest=2)) == (["input"], ())
    assert asked(integers(largest=2), spikes) == ([], ())
    graded = check(Setting(program=mlp(encoder="direct"), chip=load_chip("loihi2"), weight_bits=8))
    assert graded.conditions == ()
