"""Where random programs lie on random chips, and what events cost there, against brute force.

Which cores a neuron reaches is found by sending its spike alone through maps whose weights are all one.
TDD_DEPLOY_EXAMPLES=50000 draws that many programs per test instead of the default.
"""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tdd_deploy.neurons import Threshold
from tdd_deploy.program import (
    CODES,
    Code,
    Conv,
    Dense,
    Edge,
    Input,
    LinearMap,
    NeuronLayer,
    Output,
    Program,
    Scale,
    build,
    with_code,
)
from tdd_deploy.program.apply import apply
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.counts import FIELDS, Trace
from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.simulator.hardware.chips import SHARING, Chip, Limit, Mesh, Spikes, Synapses
from tdd_deploy.simulator.hardware.placement import Placement, place, placed_layers, senders_of
from tdd_deploy.simulator.routes import COSTS
from tests import by_hand
from tests.property.test_early_exit import ended_early
from tests.property.test_execution import changes, examples
from tests.property.test_integer_execution import integer_case
from tests.zoo import Case, Given, cases, delayed_cases

INTEGERS = st.integers(0, 2**32 - 1).map(integer_case)
ANY = st.one_of(cases(), delayed_cases(), INTEGERS)
HELD = ("neurons", "synapse_bits", "axons_in", "fan_in")  # limits that a block keeps within, or that are named


@st.composite
def chips(draw: st.DrawFn) -> Chip:
    """Draw a chip of small cores, any limit of which may be left open."""

    def limit(name: str, least: int, most: int) -> dict[str, Limit]:
        if draw(st.booleans()):
            return {}
        value = draw(st.integers(least, most))
        return {name: Limit(name=name, value=value, confidence="derived", source="drawn")}

    entries = {"entry_synapses": st.integers(1, 9), "entry_bits": st.integers(0, 9), "word_bits": st.integers(1, 9)}
    axis = st.integers(1, 4)
    mesh = st.builds(Mesh, columns=axis, rows=axis, cores_per_tile=axis, source=st.just("drawn"))
    return Chip(
        name="drawn",
        title="",
        remark="",
        limits={
            **limit("neurons", 1, 30),
            **limit("synapse_bits", 1, 3000),
            **limit("axons_in", 1, 100),
            **limit("axons_out", 1, 60),
            **limit("fan_in", 1, 40),
        },
        mesh=draw(st.none() | mesh),
        synapses=draw(st.builds(Synapses, sharing=st.sampled_from(SHARING), source=st.just("drawn"), **entries)),
        spikes=Spikes(kind="graded", bits=32, source="drawn"),
        neurons=None,
        not_checked=("anything",),
    )


# Brute force: blocks, reach and costs from their definitions.


def holders(program: Program, placement: Placement, name: str) -> np.ndarray:
    """How many blocks hold each neuron of a layer, and the core of the last of them: ``[2, *shape]``."""
    found = np.zeros((2, *program.shapes[name]), np.int64)
    for block in placement.blocks:
        if block.layer == name:
            part = tuple(slice(at, at + n) for at, n in zip(block.first, block.shape, strict=True))
            found[0][part] += 1
            found[1][part] = block.core
    return found


def with_ones(node: LinearMap) -> LinearMap:
    match node:
        case Dense() | Conv():
            return replace(node, weight=np.ones(node.weight.shape), bias=None)
        case Scale():
            return replace(node, factor=np.ones(node.factor.shape), bias=None)
    return node


def reach(program: Program, name: str, sending: np.ndarray, code: Code) -> dict[str, np.ndarray]:
    """Which neurons of each placed layer ``sending [n, *shape]`` of a node reaches by edges of a code: ``[n, neuron]``.

    Neurons that send to the output without a map are read where they are.
    """
    found: dict[str, np.ndarray] = {}
    for edge in program.edges:
        target = program[edge.target]
        if edge.source != name or edge.code != code:
            continue
        if isinstance(target, LinearMap):
            further = reach(program, edge.target, (apply(with_ones(target), sending) > 0).astype(float), code)
        elif isinstance(target, Output) and not isinstance(program[name], LinearMap):
            continue
        else:
            further = {edge.target: sending.reshape(len(sending), -1) > 0}
        for receiver, reached in further.items():
            found[receiver] = found.get(receiver, False) | reached
    return found


def alone(program: Program, name: str) -> np.ndarray:
    """Each neuron's spike alone, ``[neuron, *shape]``."""
    shape = program.shapes[name]
    return np.eye(int(np.prod(shape))).reshape(-1, *shape)


def cores_reached(program: Program, placement: Placement, name: str) -> dict[Code, np.ndarray]:
    """Which cores each neuron's event goes to, by the code of the edges: ``[neuron, core]``."""
    cores = {code: np.zeros((len(alone(program, name)), placement.n_cores), bool) for code in CODES}
    for code in CODES:
        for receiver, reached in reach(program, name, alone(program, name), code).items():
            core_of = holders(program, placement, receiver)[1].ravel()
            for core in set(core_of):
                cores[code][:, core] |= reached[:, core_of == core].any(axis=1)
    return cores


def tile(chip: Chip, core: int) -> tuple[int, int]:
    """Column and row: down the first column, then down the next; cores of a tile are in one place."""
    column = row = 0
    if chip.mesh is not None:
        for _ in range(core // chip.mesh.cores_per_tile):
            row += 1
            if row == chip.mesh.rows:
                column, row = column + 1, 0
    return column, row


def costs(program: Program, placement: Placement, name: str, reached: np.ndarray) -> np.ndarray:
    """Messages and hops of one event of each neuron, ``[neuron, 3]``."""
    is_input = name == program.input.name
    own = np.zeros(len(reached), int) if is_input else holders(program, placement, name)[1].ravel()
    found = np.zeros((len(reached), 3), np.int64)
    for neuron, core in zip(*np.nonzero(reached), strict=True):
        (x, y), (to_x, to_y) = ((0, 0) if is_input else tile(placement.chip, own[neuron])), tile(placement.chip, core)
        found[neuron] += [1, abs(x - to_x), abs(y - to_y)]
    return found


def expected_costs(
    program: Program, placement: Placement, sent: dict[str, np.ndarray], is_running: np.ndarray
) -> dict[str, dict[str, np.ndarray]]:
    """Messages and hops ``[n_steps, 3]`` of each sender: executed, and in one code throughout.

    An event goes once to each core that it has something to do at, however many edges lead there.
    """
    expected: dict[str, dict[str, np.ndarray]] = {"executed": {}, "spike_code": {}, "delta_code": {}}
    for name in (program.input.name, *(layer.name for layer in program.neuron_layers)):
        raster = sent[name].reshape(*sent[name].shape[:2], -1)
        events = {"spike": (raster != 0) & is_running, "delta": (changes(raster) != 0) & is_running}
        n = {code: happened.sum(axis=1) for code, happened in events.items()}
        cores = cores_reached(program, placement, name)
        everywhere = costs(program, placement, name, cores["spike"] | cores["delta"])
        expected["spike_code"][name] = n["spike"] @ everywhere
        expected["delta_code"][name] = n["delta"] @ everywhere
        expected["executed"][name] = sum(n[code] @ costs(program, placement, name, cores[code]) for code in CODES)
    return expected


def assert_costs(trace: Trace, expected: dict[str, dict[str, np.ndarray]]) -> None:
    for code, by_sender in expected.items():
        counts = getattr(trace, code)
        for row, layer in enumerate(trace.layers):
            found = np.stack([getattr(counts, cost)[row] for cost in COSTS], axis=1)
            wanted = by_sender.get(layer.name, np.zeros_like(found))
            np.testing.assert_array_equal(found, wanted, err_msg=f"{layer.name}, {code}")


# Blocks.


@examples(300)
@given(ANY, chips(), st.integers(1, 9))
def test_every_neuron_lies_in_one_block_on_a_core_of_its_own_within_the_limits_or_named(case, chip, bits):
    program = case.program
    placement = place(program, chip, weight_bits=bits)
    assert [block.core for block in placement.blocks] == list(range(placement.n_cores))
    assert tuple(dict.fromkeys(block.layer for block in placement.blocks)) == placed_layers(program)
    for name in placed_layers(program):
        assert (holders(program, placement, name)[0] == 1).all()
    for block in placement.blocks:
        assert block.load.neurons == np.prod(block.shape)
        for name in HELD:
            limit = chip.limit(name)
            is_named = name in placement.exceeded.get(block.layer, ())
            assert limit is None or is_named or getattr(block.load, name) <= limit, name


@examples(60)
@given(ANY, chips(), st.integers(1, 9))
def test_what_is_exceeded_is_exceeded_by_a_single_neuron(case, chip, bits):
    one_each = replace(chip, limits={"neurons": Limit(name="neurons", value=1, confidence="derived", source="")})
    alone = place(case.program, one_each, weight_bits=bits)
    named = {
        name: tuple(limit for limit in HELD if (most := chip.limit(limit)) and getattr(needs, limit) > most)
        for name in placed_layers(case.program)
        for needs in [alone.of(name)[0].load]
    }
    found = place(case.program, chip, weight_bits=bits).exceeded
    assert {name: set(limits) for name, limits in found.items()} == {n: set(lim) for n, lim in named.items() if lim}


@examples(200)
@given(ANY, chips())
def test_a_core_is_said_to_need_no_fewer_axons_and_synapses_than_reach_it(case, chip):
    """Fewer reach a block at the border of an image, so the reported number is a bound."""
    program = case.program
    chip = replace(chip, synapses=replace(chip.synapses, sharing="none"))
    placement = place(program, chip, weight_bits=8)
    reached = {
        sender: merged(*(reach(program, sender, alone(program, sender), code) for code in CODES))
        for sender in (program.input.name, *(layer.name for layer in program.neuron_layers))
    }
    for block in placement.blocks:
        mine = (holders(program, placement, block.layer)[1] == block.core).ravel()
        into = {
            sender: by_layer[block.layer][:, mine] for sender, by_layer in reached.items() if block.layer in by_layer
        }
        assert into.keys() == set(senders_of(program, block.layer))
        assert block.load.axons_in >= sum(int(synapses.any(axis=1).sum()) for synapses in into.values())
        assert block.load.fan_in >= sum(synapses.sum(axis=0) for synapses in into.values()).max()


def merged(*by_layer: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is reached in one way or another."""
    found: dict[str, np.ndarray] = {}
    for reached in by_layer:
        for name, mask in reached.items():
            found[name] = found.get(name, False) | mask
    return found


@examples(200)
@given(ANY, chips())
def test_a_core_sends_to_the_cores_that_its_neurons_reach(case, chip):
    program = case.program
    placement = place(program, chip, weight_bits=8)
    for layer in program.neuron_layers:
        cores = cores_reached(program, placement, layer.name)
        n_cores = (cores["spike"] | cores["delta"]).sum(axis=1).reshape(layer.shape)
        for block in placement.of(layer.name):
            own = n_cores[tuple(slice(at, at + n) for at, n in zip(block.first, block.shape, strict=True))]
            axons = own.sum()
            if chip.synapses.sharing == "pixels" and own.ndim == 3:  # two entries for all channels of a pixel
                axons = min(axons, 2 * own.max(axis=0).sum())
            assert (block.load.axons_out, block.load.destinations) == (axons, own.max())


# Messages and hops.


@examples(300)
@given(ANY, chips())
def test_messages_and_hops_are_those_of_brute_force(case, chip):
    sent = reference.run(case.program, case.inputs)
    always = np.ones((*case.inputs.shape[:2], 1), bool)
    for program in (case.program, *(with_code(case.program, code) for code in CODES)):
        placement = place(program, chip, weight_bits=8)
        expected = expected_costs(program, placement, sent, always)
        for compiled in (True, False):
            engine = Engine(program, compiled=compiled, routes=placement.routes)
            assert_costs(engine.run(Given(case.inputs), n_steps=len(case.inputs)).trace, expected)


def test_what_the_output_reads_of_neurons_goes_to_no_core():
    """A layer that the output reads in spike code, and that reaches itself in delta code: one message per change."""
    nodes = [
        Input(name="input", shape=(1,)),
        NeuronLayer(name="n", shape=(1,), neuron=Threshold(v_threshold=np.array(0.5))),
        Output(name="output"),
    ]
    edges = [Edge("input", "n"), Edge("n", "n", delay=1, code="delta"), Edge("n", "output", code="spike")]
    program = build(nodes, edges, dt_s=1e-3, n_steps=3)
    routes = by_hand.placed(program).routes
    for compiled in (True, False):
        engine = Engine(program, compiled=compiled, routes=routes)
        counts = engine.run(Given(np.ones((3, 1, 1), np.float32)), n_steps=3).trace.executed
        # By step: the input and the neuron change at the first; the output's spikes, three of them, cost nothing.
        np.testing.assert_array_equal(counts.messages, [[1, 0, 0], [1, 0, 0]])
        np.testing.assert_array_equal(counts.events, [[0, 0, 0], [1 + 1, 1, 1]])


@examples(150)
@given(ANY, chips(), st.floats(0.1, 0.9))
def test_a_sample_that_ended_sends_no_messages(case, chip, quantile):
    margin, is_running = ended_early(case, quantile)
    placement = place(case.program, chip, weight_bits=8)
    expected = expected_costs(case.program, placement, reference.run(case.program, case.inputs), is_running)
    for compiled in (True, False):
        engine = Engine(case.program, compiled=compiled, routes=placement.routes)
        assert_costs(engine.run(Given(case.inputs), n_steps=len(case.inputs), early_exit=margin).trace, expected)


@examples(150)
@given(ANY, chips())
def test_routes_add_messages_and_hops_and_change_nothing_else(case: Case, chip: Chip) -> None:
    layers = [layer.name for layer in case.program.neuron_layers]
    for compiled in (True, False):
        routes = place(case.program, chip, weight_bits=8).routes
        without, routed = (
            Engine(case.program, compiled=compiled, routes=given).run(
                Given(case.inputs), n_steps=len(case.inputs), record=layers
            )
            for given in (None, routes)
        )
        np.testing.assert_array_equal(routed.output, without.output)
        for name in layers:
            np.testing.assert_array_equal(routed.layers[name], without.layers[name])
        np.testing.assert_array_equal(routed.trace.n_running, without.trace.n_running)
        for code in ("executed", "spike_code", "delta_code"):
            counts, plain = getattr(routed.trace, code), getattr(without.trace, code)
            for name in set(FIELDS) - set(COSTS):
                np.testing.assert_array_equal(getattr(counts, name), getattr(plain, name), err_msg=f"{name}, {code}")
            assert [plain.total(cost) for cost in COSTS] == [0, 0, 0]
