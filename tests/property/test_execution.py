"""The event engine against the reference, and its counters against brute force, on random programs.

TDD_DEPLOY_EXAMPLES=50000 draws that many programs per test instead of the default.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tdd_deploy.neurons import IF, LIF, NEURONS, Neuron
from tdd_deploy.program import (
    CODES,
    Conv,
    Dense,
    Edge,
    Flatten,
    Input,
    LinearMap,
    NeuronLayer,
    Node,
    Output,
    Program,
    Scale,
    build,
    with_code,
)
from tdd_deploy.program.exact import bound_of, grid_of, on_grid
from tdd_deploy.program.rounding import rounding_receivers
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.arithmetic import FloatArithmetic
from tdd_deploy.simulator.counts import FIELDS, Counts, Trace
from tdd_deploy.simulator.engine.engine import Engine, Result
from tests.effort import n_examples
from tests.zoo import Case, Given, cases, delayed_cases, grow, with_delays

ANY = st.one_of(cases(), delayed_cases())


def examples(n: int) -> settings:
    """Draw ``n`` programs, or as many as the environment asks for."""
    return settings(max_examples=n_examples(n), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def execute(program: Program, inputs: np.ndarray) -> Result:
    layers = [layer.name for layer in program.neuron_layers]
    return Engine(program).run(Given(inputs), n_steps=len(inputs), record=layers)


def assert_same_values(result: Result, sent: dict[str, np.ndarray], program: Program) -> None:
    np.testing.assert_array_equal(result.output, sent[program.output.name].swapaxes(0, 1))
    assert set(result.layers) == {layer.name for layer in program.neuron_layers}
    for name, raster in result.layers.items():
        np.testing.assert_array_equal(raster, sent[name].swapaxes(0, 1), err_msg=name)


def assert_same_counts(found: Counts, expected: Counts, text: str) -> None:
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=f"{name} of {text}")


# Brute force: what each count means, from what every node sent, [n_steps, batch, *shape], and nothing else.


def arriving(program: Program, sent: dict[str, np.ndarray], name: str) -> np.ndarray:
    """The values that enter a node: the sum of its sources, each ``delay`` steps late."""
    total = np.zeros_like(sent[next(edge.source for edge in program.edges if edge.target == name)])
    for edge in program.edges:
        if edge.target == name:
            total[edge.delay :] += sent[edge.source][: max(0, len(total) - edge.delay)]
    return total


def changes(values: np.ndarray) -> np.ndarray:
    """The change since the step before; before the first step there was nothing."""
    return values - np.concatenate([np.zeros_like(values[:1]), values[:-1]])


def weights_of(node: Dense | Conv | Scale, inputs: np.ndarray) -> np.ndarray:
    return np.broadcast_to(node.factor, inputs.shape[2:]) if isinstance(node, Scale) else node.weight


def products(node: Dense | Conv | Scale, inputs: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Multiplications ``[n_steps, batch]`` between nonzero inputs and nonzero weights.

    A map of ones and zeros counts them: each output is the number of its nonzero products, none of them in the padding.
    """
    changed = {"factor" if isinstance(node, Scale) else "weight": (weight != 0).astype(np.float64)}
    ones = replace(node, **changed, bias=None)
    flat = (inputs != 0).astype(np.float64).reshape(-1, *inputs.shape[2:])
    return reference.apply(ones, flat).reshape(*inputs.shape[:2], -1).sum(axis=2).astype(np.int64)


def counted_at_map(
    node: Dense | Conv | Scale, inputs: np.ndarray, n_positions: int, code: str
) -> dict[str, np.ndarray]:
    """The counts of one map per step, for the inputs that its events are."""
    n_steps, batch = inputs.shape[:2]
    weight = weights_of(node, inputs)
    effective = products(node, inputs, weight)
    graded = np.array(
        [[not set(np.unique(inputs[t, b])) <= {-1.0, 0.0, 1.0} for b in range(batch)] for t in range(n_steps)]
    )
    bias = np.zeros(n_steps, np.int64)
    if node.bias is not None:
        biases = np.broadcast_to(node.bias, inputs.shape[2:]) if isinstance(node, Scale) else node.bias
        bias[: 1 if code == "delta" else n_steps] = batch * n_positions * np.count_nonzero(biases)
    return {
        "synops_effective": effective.sum(axis=1),
        "synops_stored": products(node, inputs, np.ones_like(weight)).sum(axis=1),
        "acs": np.where(graded, 0, effective).sum(axis=1),
        "macs": np.where(graded, effective, 0).sum(axis=1),
        "dense": products(node, np.ones_like(inputs), np.ones_like(weight)).sum(axis=1),
        "bias_adds": bias,
    }


def updates(neuron: Neuron, current: np.ndarray) -> dict[str, np.ndarray]:
    """Per step, the neurons that have a current or whose state was not at zero, and the others."""
    state = neuron.start(lambda: np.zeros_like(current[0]))
    active = np.zeros(current.shape, bool)
    for t, now in enumerate(current):
        active[t] = now != 0
        for part in state:
            active[t] |= part != 0
        state, _ = neuron.step(FloatArithmetic(), state, now)
    n_active = active.reshape(len(active), -1).sum(axis=1)
    return {"updates_active": n_active, "updates_idle": current[0].size - n_active}


def brute_force(program: Program, sent: dict[str, np.ndarray]) -> dict[str, Counts]:
    """Count everything for the codes of the edges (executed), and for one code throughout."""
    rows = [node for node in program.nodes if isinstance(node, Input | NeuronLayer | Dense | Conv | Scale)]
    n_steps = len(sent[program.input.name])
    counts = {code: Counts.zeros(len(rows), n_steps) for code in ("executed", *CODES)}

    def write(row: int, where: str, found: dict[str, np.ndarray]) -> None:
        for name, per_step in found.items():
            getattr(counts[where], name)[row] = per_step

    for row, node in enumerate(rows):
        if isinstance(node, Dense | Conv | Scale):
            (own_code,) = {edge.code for edge in program.edges if edge.target == node.name}
            values = arriving(program, sent, node.name)
            n_positions = 1 if isinstance(node, Scale) else int(np.prod(sent[node.name].shape[3:]))
            for code in CODES:
                found = counted_at_map(node, values if code == "spike" else changes(values), n_positions, code)
                write(row, code, found)
                if code == own_code:
                    write(row, "executed", found)
            continue
        per_step = (n_steps, -1)
        by_code = {
            "spike": (sent[node.name] != 0).reshape(per_step).sum(axis=1),
            "delta": (changes(sent[node.name]) != 0).reshape(per_step).sum(axis=1),
        }
        events = "input_events" if isinstance(node, Input) else "events"
        for code in CODES:
            write(row, code, {events: by_code[code]})
        own_codes = {edge.code for edge in program.edges if edge.source == node.name}
        write(row, "executed", {events: sum(by_code[code] for code in own_codes)})
        if isinstance(node, NeuronLayer):
            for where in counts:
                write(row, where, {"spikes": by_code["spike"], "delta_events": by_code["delta"]})
                write(row, where, updates(node.neuron, arriving(program, sent, node.name)))
    return counts


@examples(2000)
@given(ANY)
def test_every_code_gives_the_spikes_of_the_reference_and_the_counts_of_brute_force(case):
    sent = reference.run(case.program, case.inputs)
    for program in (case.program, *(with_code(case.program, code) for code in CODES)):
        result = execute(program, case.inputs)
        assert_same_values(result, sent, program)
        expected = brute_force(program, sent)
        assert [layer.name for layer in result.trace.layers] == [
            node.name for node in program.nodes if isinstance(node, Input | NeuronLayer | Dense | Conv | Scale)
        ]
        assert result.trace.n_samples == case.inputs.shape[1]
        assert_same_counts(result.trace.executed, expected["executed"], "what was executed")
        assert_same_counts(result.trace.spike_code, expected["spike"], "spike code")
        assert_same_counts(result.trace.delta_code, expected["delta"], "delta code")


@examples(300)
@given(ANY)
def test_results_and_counts_do_not_depend_on_the_batch(case):
    together = execute(case.program, case.inputs)
    alone = [execute(case.program, case.inputs[:, b : b + 1]) for b in range(case.inputs.shape[1])]
    np.testing.assert_array_equal(together.output, np.concatenate([result.output for result in alone]))
    for name, raster in together.layers.items():
        np.testing.assert_array_equal(raster, np.concatenate([result.layers[name] for result in alone]))
    total: Trace = alone[0].trace
    for result in alone[1:]:
        total = total + result.trace
    assert total.n_samples == together.trace.n_samples
    assert total.layers == together.trace.layers
    for code in ("executed", "spike_code", "delta_code"):
        assert_same_counts(getattr(total, code), getattr(together.trace, code), code)


# float32: weights that are not dyadic, put on the grid of program/exact.py.


def leaky(rng: np.random.Generator) -> Neuron:
    """A LIF or IF whose numbers have no short binary form."""
    fire = {
        "v_threshold": np.asarray(rng.uniform(0.1, 0.7)),
        "v_reset": np.asarray(0.0),
        "reset": str(rng.choice(["hard", "soft"])),
    }
    return IF(**fire) if rng.random() < 0.3 else LIF(beta=np.asarray(rng.choice([0.9, 0.7, 0.3])), **fire)


def on_its_grid(rng: np.random.Generator, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Normal weights and biases, of sizes that differ by layer, on the layer's grid."""
    weight = rng.normal(size=shape) * rng.choice([0.1, 1.0, 30.0]) / np.sqrt(np.prod(shape[1:]))
    bias = rng.normal(size=shape[0]) * 0.1
    grid = grid_of(bound_of(weight, bias))
    return {"weight": on_grid(weight, grid), "bias": on_grid(bias, grid)}


def float32_network(seed: int, *, spatial: bool) -> Case:
    """A feed-forward float32 network of dense layers and convolutions that ends in currents, and spikes for it."""
    rng = np.random.default_rng(seed)
    shape: tuple[int, ...] = tuple(int(n) for n in rng.integers(2, 9, 3)) if spatial else (int(rng.integers(2, 60)),)
    nodes: list[Node] = [Input(name="input", shape=shape)]

    def put(node: LinearMap) -> tuple[int, ...]:
        nodes.append(node)
        return node.out_shape(shape)

    for i in range(int(rng.integers(1, 4))):
        if len(shape) == 3 and rng.random() < 0.7:
            n_out = int(rng.integers(1, 9))
            shape = put(Conv(name=f"conv{i}", **on_its_grid(rng, (n_out, shape[0], 3, 3)), padding=(1, 1)))
        else:
            if len(shape) == 3:
                shape = put(Flatten(name=f"flat{i}"))
            shape = put(Dense(name=f"fc{i}", **on_its_grid(rng, (int(rng.integers(1, 60)), shape[0]))))
        nodes.append(NeuronLayer(name=f"n{i}", shape=shape, neuron=leaky(rng)))
    if len(shape) == 3:
        shape = put(Flatten(name="flat"))
    put(Dense(name="readout", **on_its_grid(rng, (4, shape[0]))))  # currents, where a lost bit would show
    nodes.append(Output(name="output"))
    edges = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    program = build(nodes, edges, dt_s=1e-3, n_steps=12, number_format="float32", encoder="poisson")
    inputs = rng.random((12, 3, *program.input.shape)) < rng.choice([0.05, 0.3, 0.8])
    return Case(program, inputs.astype(np.float32))


@examples(300)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_on_its_grid_a_float32_network_gives_the_same_spikes_and_currents_in_every_code(seed, spatial):
    case = float32_network(seed, spatial=spatial)
    assert rounding_receivers(case.program) == ()
    sent = reference.run(case.program, case.inputs)
    for code in CODES:
        result = execute(with_code(case.program, code), case.inputs)
        assert result.output.dtype == np.float32
        assert_same_values(result, sent, case.program)


@examples(300)
@given(st.integers(0, 2**32 - 1))
def test_what_is_said_not_to_round_gives_the_same_spikes_and_currents_in_every_code(seed):
    """Branches that meet, chains of maps and pools, weights 2^-20 to 1 apart: some round, and only those may part."""
    rng = np.random.default_rng(seed)
    case = grow(seed, n_blocks=2, n_steps=6, batch=2, spatial=bool(seed % 2))
    nodes = [
        replace(node, weight=node.weight * 2.0 ** rng.integers(-20, 1, node.weight.shape))
        if isinstance(node, Dense | Conv) and rng.random() < 0.3
        else node
        for node in case.program.nodes
    ]
    program = build(nodes, case.program.edges, dt_s=1e-3, n_steps=6, number_format="float32")
    if not rounding_receivers(program):
        sent = reference.run(program, case.inputs.astype(np.float32))
        for code in CODES:
            assert_same_values(execute(with_code(program, code), case.inputs.astype(np.float32)), sent, program)


def test_off_the_grid_a_float32_network_may_give_other_currents_in_delta_code():
    """Else the test above would show nothing: a weight of 0.1, and one of 2^24 that comes and goes."""
    weight = np.array([[0.1, 2.0**24]])
    edges = [Edge("input", "fc"), Edge("fc", "output")]
    nodes = [Input(name="input", shape=(2,)), Dense(name="fc", weight=weight), Output(name="output")]
    program = build(nodes, edges, dt_s=1e-3, n_steps=2)
    assert rounding_receivers(program) == ("output",)
    inputs = np.array([[[1, 1]], [[1, 0]]], np.float32)
    # float32 holds integers alone at 2^24, so 2^24 + 0.1 is 2^24, and the 0.1 is lost when 2^24 is taken away.
    assert execute(with_code(program, "delta"), inputs).output[0, 1, 0] == 0.0
    assert execute(with_code(program, "spike"), inputs).output[0, 1, 0] == np.float32(0.1)


# Silence.


def without_bias(program: Program) -> Program:
    nodes = [replace(node, bias=None) if isinstance(node, Dense | Conv | Scale) else node for node in program.nodes]
    return build(nodes, program.edges, dt_s=program.dt_s, n_steps=program.n_steps, number_format="float64")


@examples(200)
@given(ANY)
def test_a_silent_network_costs_no_synaptic_op(case):
    """Nothing enters, nothing is added, every threshold is above zero: only idle neurons and the dense count remain."""
    program = without_bias(case.program)
    trace = execute(program, np.zeros_like(case.inputs)).trace
    n_neurons = sum(int(np.prod(layer.shape)) for layer in program.neuron_layers)
    n_updates = n_neurons * case.inputs.shape[0] * case.inputs.shape[1]
    for counts in (trace.executed, trace.spike_code, trace.delta_code):
        for name in set(FIELDS) - {"dense", "updates_idle"}:
            assert counts.total(name) == 0, name
        assert counts.total("updates_idle") == n_updates


# The zoo itself.

ZOO = [grow(seed, n_blocks=3, n_steps=6, batch=2, spatial=bool(seed % 2)) for seed in range(200)]


@pytest.mark.parametrize("name", NEURONS)
def test_every_neuron_lives_in_the_zoo(name):
    layers = [layer for case in ZOO for layer in case.program.neuron_layers]
    assert sum(type(layer.neuron).__name__ == name for layer in layers) > 20


MAPS = [cls for cls in LinearMap.__subclasses__() if cls.__module__ == LinearMap.__module__]  # readers have their own


@pytest.mark.parametrize("kind", MAPS)
def test_every_linear_map_lives_in_the_zoo(kind):
    assert sum(isinstance(node, kind) for case in ZOO for node in case.program.linear_maps) > 20


def test_maps_of_the_zoo_have_several_sources_several_targets_and_maps_after_them():
    found = [(case.program, node.name) for case in ZOO for node in case.program.linear_maps]
    for edges_of in ("incoming", "outgoing"):
        assert sum(len(getattr(program, edges_of)[name]) > 1 for program, name in found) > 20
    with_weights = [(program, name) for program, name in found if isinstance(program[name], Dense | Conv)]
    after = [program[edge.target] for program, name in with_weights for edge in program.outgoing[name]]
    assert sum(isinstance(node, Dense | Conv) for node in after) > 20


def test_the_zoo_has_every_delay_both_codes_and_spikes_that_come_and_go():
    edges = [edge for case in ZOO for edge in case.program.edges]
    assert {edge.delay for edge in edges} == {0, 1, 2}
    assert {edge.code for edge in edges} == set(CODES)
    late = [edge for seed, case in enumerate(ZOO) for edge in with_delays(case, seed).program.edges]
    assert {edge.delay for edge in late} == set(range(6))
    traces = [Engine(case.program).run(Given(case.inputs), n_steps=6).trace for case in ZOO]
    lively = [t for t in traces if t.executed.spikes.any() and t.executed.acs.any() and t.executed.macs.any()]
    assert len(lively) > 100
    paid = [t.delta_code.total("synops_effective") < t.spike_code.total("synops_effective") for t in traces]
    assert 20 < sum(paid) < 180
