"""Where 24 bits do not do: u wraps, v saturates and messages are as wide as they get, in Lava as in our engines."""

from itertools import pairwise

import numpy as np
import pytest

from tdd_deploy.exporters.lava import environment
from tdd_deploy.neurons import LoihiLIF
from tdd_deploy.neurons.loihi import LIMIT, WRAP
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Output, build
from tdd_deploy.program.bounds import SUM_BITS, wrapping_layers
from tdd_deploy.verification.backends import event_backend, lava_backend, reference_backend
from tdd_deploy.verification.comparison import compare

pytestmark = pytest.mark.skipif(environment.find() is None, reason="Lava is not set up: tdd-deploy lava setup")


def neurons(name, shape, **changed):
    values = {"v_threshold": 64 * 2000, "v_reset": 0, "du": 4095, "dv": 3, "bias": 1000} | changed
    neuron = LoihiLIF(**{key: np.asarray(value) for key, value in values.items()})
    return NeuronLayer(name=name, shape=shape, neuron=neuron)


def chained(*nodes, n_steps=24):
    edges = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    return build(nodes, edges, dt_s=1e-3, n_steps=n_steps, number_format="integer")


def wide_messages():
    """Three synapses of weight 2 and messages of 20 bits: sums of 22 bits, 64 times as much in u."""
    rng = np.random.default_rng(1)
    program = chained(
        Input(name="input", shape=(3,), largest=2**19),
        Dense(name="fc1", weight=np.array([[2, 2, 2], [2, -2, 0], [-2, 0, 2], [0, 2, 0]])),
        neurons("n1", (4,), v_threshold=64 * 131071),
        Dense(name="fc2", weight=2 * rng.integers(-128, 128, (5, 4))),
        neurons("n2", (5,)),
        Output(name="output"),
    )
    return program, rng.integers(-(2**19), 2**19 + 1, (24, 3, 3))


def full_fan_in():
    """700 full-scale synapses: their sum is beyond 131,072, and u has a memory besides."""
    rng = np.random.default_rng(2)
    sign = rng.choice([-1, 1], (6, 1))
    program = chained(
        Input(name="input", shape=(7, 10, 10)),
        Conv(name="conv", weight=2 * rng.integers(60, 128, (2, 7, 1, 1)), stride=(1, 1)),
        neurons("n1", (2, 10, 10), v_threshold=64 * 900, dv=0),
        Conv(name="conv2", weight=np.full((2, 2, 10, 10), 254)),
        neurons("n2", (2, 1, 1), v_threshold=64 * 90_000, dv=100),
        Flatten(name="flatten"),
        Dense(name="fc", weight=254 * sign * np.ones((6, 2))),
        neurons("n3", (6,), v_threshold=64 * 100, du=2, dv=4000, bias=-2344 << 7),
        Output(name="output"),
    )
    return program, rng.random((24, 2, 7, 10, 10)) < 0.9


def saturation():
    """A neuron that is pushed down far, and must come up again from where 24 bits stop it."""
    program = chained(
        Input(name="input", shape=(2,)),
        Dense(name="fc", weight=np.array([[-256, 254], [254, -256]])),
        neurons("n", (2,), v_threshold=64 * 131071, dv=0, bias=[-3906 << 7, 3906 << 7]),
        Output(name="output"),
        n_steps=60,
    )
    inputs = np.zeros((60, 2, 2))
    inputs[20:40, :, 1] = 1  # up with the first neuron, down with the second
    inputs[45:, 1, 0] = 1
    return program, inputs


CASES = {"wide messages": wide_messages, "full fan-in": full_fan_in, "saturation": saturation}


@pytest.mark.parametrize("mapping", ["fused", "stock", "spike"])
@pytest.mark.parametrize("name", CASES)
def test_overflow_in_lava_is_overflow_in_our_engines(name, mapping):
    program, inputs = CASES[name]()
    inputs = inputs.astype(np.float64)
    backends = [
        reference_backend(program, "reference"),
        event_backend(program, "event, delta code", "delta"),
        event_backend(program, "event, spike code", "spike"),
        lava_backend(program, f"lava, {mapping}", mapping, timeout_s=300),
    ]
    reference, *others = [backend(inputs) for backend in backends]
    for other in others:
        comparison = compare(reference, other)
        assert comparison.differing == comparison.outputs_differing == 0, comparison
        for layer, v in other.potentials.items():
            assert np.array_equal(v, reference.potentials[layer])
    assert all(spikes.any() and not spikes.all() for spikes in reference.spikes.values())


def test_the_cases_do_overflow():
    program, inputs = wide_messages()
    sums = np.abs(inputs @ program["fc1"].weight.T)
    assert WRAP < sums.max() < 2**SUM_BITS
    assert wrapping_layers(program) == ("n1",)
    assert wrapping_layers(full_fan_in()[0]) == ("n3",)
    program, inputs = saturation()
    v = reference_backend(program, "reference")(inputs.astype(np.float64)).potentials["n"]
    assert {v.min(), v.max()} == {1 - LIMIT, LIMIT - 1}
