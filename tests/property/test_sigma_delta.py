"""Sigma-delta networks: the engine in both codes, compiled and not, against the equations written out here."""

from itertools import pairwise

import numpy as np
import pytest

from tdd_deploy.neurons import SigmaDelta
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Output, Program, build, with_code
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.engine.engine import Engine
from tests.zoo import Given

N_STEPS, BATCH = 12, 2


def network(rng: np.random.Generator, theta: float, compare: str) -> Program:
    """input 2 x 6 x 6 -> conv -> sigma-delta, a threshold per neuron -> flat -> fc -> sigma-delta, linear -> out."""

    def neuron(activation: str, size: tuple[int, ...]) -> SigmaDelta:
        return SigmaDelta(delta_threshold=theta * rng.integers(0, 3, size), activation=activation, compare=compare)

    nodes = [
        Input(name="input", shape=(2, 6, 6)),
        Conv(name="conv", weight=rng.integers(-4, 5, (4, 2, 3, 3)) / 4, bias=rng.integers(-4, 5, 4) / 4),
        NeuronLayer(name="hidden", shape=(4, 4, 4), neuron=neuron("relu", (4, 4, 4))),
        Flatten(name="flat"),
        Dense(name="fc", weight=rng.integers(-4, 5, (5, 64)) / 4, bias=rng.integers(-4, 5, 5) / 4),
        NeuronLayer(name="last", shape=(5,), neuron=neuron("none", ())),
        Output(name="out"),
    ]
    names = [node.name for node in nodes]
    edges = [Edge(*pair) for pair in pairwise(names)]
    return build(nodes, edges, dt_s=1e-3, n_steps=N_STEPS, number_format="float64")


def moving(rng: np.random.Generator) -> np.ndarray:
    """Pixels k / 8, a few of which change per step: [n_steps, batch, 2, 6, 6]."""
    steps = rng.integers(-4, 5, (N_STEPS, BATCH, 2, 6, 6)) / 8
    return np.where(rng.random(steps.shape) < 0.2, steps, 0).cumsum(axis=0)


def by_hand(program: Program, inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Lava's way: sums of changes, what was not sent stays in a residue, changes are sent."""
    sigma, act, residue, sent = (dict.fromkeys(("hidden", "last"), 0.0) for _ in range(4))
    before = np.zeros_like(inputs[0])
    found: dict[str, list[np.ndarray]] = {"hidden": [], "last": []}
    for t, frame in enumerate(inputs):
        message = frame - before
        before = frame
        for map_name, name in (("conv", "hidden"), ("fc", "last")):
            node, neuron = program[map_name], program[name].neuron
            x = message if map_name == "conv" else message.reshape(BATCH, -1)
            change = reference.apply(node, x) - (0 if t == 0 else reference.apply(node, np.zeros_like(x)))
            sigma[name] = sigma[name] + change
            new = np.maximum(sigma[name], 0) if neuron.activation == "relu" else sigma[name]
            delta = new - act[name] + residue[name]
            size, theta = np.abs(delta), neuron.delta_threshold
            message = np.where(size > theta if neuron.compare == ">" else size >= theta, delta, 0.0)
            residue[name], act[name] = delta - message, new
            sent[name] = sent[name] + message
            found[name].append(sent[name])
    return {name: np.stack(values) for name, values in found.items()}


@pytest.mark.parametrize("compare", [">", ">="])
@pytest.mark.parametrize("theta", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("seed", range(5))
def test_the_closed_loop_is_lavas_residue_on_every_backend_and_in_both_codes(seed, theta, compare):
    """With ``residue = x - sum of what was sent``, both say the same; see ``proc/sdn`` of lava-nc 0.10.0."""
    rng = np.random.default_rng(seed)
    program, inputs = network(rng, theta, compare), moving(rng)
    expected = by_hand(program, inputs)
    sent = reference.run(program, inputs)
    for name, values in expected.items():
        np.testing.assert_array_equal(sent[name], values)
        assert np.any(values[1:] != values[:-1])
    for code in ("delta", "spike"):
        for compiled in (True, False):
            engine = Engine(with_code(program, code), compiled=compiled)
            result = engine.run(Given(inputs), n_steps=N_STEPS, record=list(expected))
            for name, values in expected.items():
                np.testing.assert_array_equal(result.layers[name].swapaxes(0, 1), values)
            counts = result.trace.delta_code
            events = {
                layer.name: int(n) for layer, n in zip(result.trace.layers, counts.delta_events.sum(1), strict=True)
            }
            for name, values in expected.items():
                assert events[name] == np.count_nonzero(np.diff(values, axis=0, prepend=0))


def test_a_larger_threshold_sends_less_and_errs_by_no_more_than_it_says():
    rng = np.random.default_rng(0)
    inputs = moving(rng)
    events = []
    for theta in (0.0, 0.25, 1.0, 4.0):
        program = network(np.random.default_rng(1), theta, ">")
        sent = reference.run(program, inputs)
        exact = np.maximum(np.stack([reference.apply(program["conv"], frame) for frame in inputs]), 0)
        assert np.all(np.abs(sent["hidden"] - exact) <= program["hidden"].neuron.delta_threshold)
        trace = Engine(program).run(Given(inputs), n_steps=N_STEPS).trace
        events.append(trace.executed.total("delta_events"))
        assert trace.executed.total("macs") > 0
    assert events == sorted(events, reverse=True)
    assert events[0] > events[-1]
