from dataclasses import fields

import numpy as np
import pytest
import torch

from tdd_deploy.neurons import NEURONS, LoihiLIF
from tdd_deploy.simulator.arithmetic import FloatArithmetic, IntegerArithmetic
from tdd_deploy.training.arithmetic import TorchArithmetic, TorchIntegers, arithmetic_of

THRESHOLD = 1.0
# v, spike where v > 1, spike where v >= 1, triangle max(0, 1 - |v - 1|); all exact in float32
POINTS = [
    (-2.0, 0, 0, 0.0),
    (0.0, 0, 0, 0.0),
    (0.25, 0, 0, 0.25),
    (0.5, 0, 0, 0.5),
    (1.0, 0, 1, 1.0),
    (1.125, 1, 1, 0.875),
    (1.75, 1, 1, 0.25),
    (2.0, 1, 1, 0.0),
    (5.0, 1, 1, 0.0),
]


def potentials(dtype=torch.float32):
    return torch.tensor([v for v, *_ in POINTS], dtype=dtype, requires_grad=True)


def column(number):
    return [point[number] for point in POINTS]


@pytest.mark.parametrize(("compare", "expected"), [(">", column(1)), (">=", column(2))])
def test_a_neuron_fires_strictly_above_the_threshold_or_at_it_as_asked(compare, expected):
    fired = TorchArithmetic().fires(potentials(), torch.tensor(THRESHOLD), compare)
    assert fired.tolist() == expected


@pytest.mark.parametrize("compare", [">", ">="])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_gradient_of_a_spike_is_a_triangle_around_the_threshold(compare, dtype):
    v = potentials(dtype)
    fired = TorchArithmetic().fires(v, torch.tensor(THRESHOLD, dtype=dtype), compare)
    assert fired.dtype == dtype
    fired.sum().backward()
    assert v.grad.dtype == dtype
    assert v.grad.tolist() == column(3)


def test_the_triangle_is_multiplied_by_the_gradient_that_arrives():
    v = potentials()
    arriving = torch.tensor([-2.0, 1.0, -4.0, 8.0, -0.5, 2.0, 4.0, 1.0, 1.0])
    TorchArithmetic().fires(v, torch.tensor(THRESHOLD), ">").backward(arriving)
    assert v.grad.tolist() == [0.0, 0.0, -1.0, 4.0, -0.5, 1.75, 1.0, 0.0, 0.0]


def test_a_threshold_that_rises_has_the_opposite_gradient():
    threshold = torch.tensor(THRESHOLD, requires_grad=True)
    TorchArithmetic().fires(potentials(), threshold, ">").sum().backward()
    assert threshold.grad.item() == -2.875  # the sum of the triangles


def test_keep_multiplies_and_so_does_its_gradient():
    x = torch.tensor([1.5, -3.0], requires_grad=True)
    kept = TorchArithmetic().keep(x, torch.tensor(0.25))
    kept.sum().backward()
    assert kept.tolist() == [0.375, -0.75]
    assert x.grad.tolist() == [0.25, 0.25]


def make(cls, rng, choices):
    """A neuron with random parameters of its kind, one per element where it has several."""
    ranges = {"v_threshold": (0.3, 1.2), "v_reset": (0.0, 0.2), "delta_threshold": (0.0, 0.5)}
    numbers = sorted(f.name for f in fields(cls) if f.name not in cls.choices)
    values = {name: rng.uniform(*ranges.get(name, (0.1, 0.9)), 40).astype(np.float32) for name in numbers}
    return cls(**values, **{name: word for name, word in choices.items() if name in cls.choices})


@pytest.mark.parametrize("compare", [">", ">="])
@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("name", NEURONS)
def test_torch_and_numpy_step_every_neuron_to_the_same_bits(name, reset, compare):
    rng = np.random.default_rng(7)
    in_numpy = make(NEURONS[name], rng, {"reset": reset, "compare": compare})
    in_torch = in_numpy.converted(torch.from_numpy)
    state = in_numpy.start(lambda: np.zeros((25, 40), np.float32))
    state_of_torch = in_torch.start(lambda: torch.zeros(25, 40))
    for current in rng.normal(0.2, 0.6, (30, 25, 40)).astype(np.float32):
        state, sent = in_numpy.step(FloatArithmetic(), state, current)
        state_of_torch, sent_of_torch = in_torch.step(TorchArithmetic(), state_of_torch, torch.from_numpy(current))
        assert sent.tobytes() == sent_of_torch.numpy().tobytes()
        assert [part.tobytes() for part in state] == [part.numpy().tobytes() for part in state_of_torch]
    assert not in_numpy.spiking or 0 < sent.mean() < 1


def test_integers_are_kept_rounded_toward_zero():
    x = torch.tensor([4097, 4095, 1, 0, -1, -4095, -4097, 2**23, -(2**23)])
    assert TorchIntegers().keep(x, torch.tensor(4095)).tolist() == [
        4095,
        4094,
        0,
        0,
        0,
        -4094,
        -4095,
        8386560,
        -8386560,
    ]
    assert TorchIntegers().keep(x, torch.tensor(4096)).tolist() == x.tolist()
    assert TorchIntegers().keep(x, torch.tensor(0)).eq(0).all()


def test_an_integer_fires_strictly_above_the_threshold_or_at_it_as_asked():
    v = torch.tensor([63, 64, 65])
    assert TorchIntegers().fires(v, torch.tensor(64), ">").tolist() == [0, 0, 1]
    assert TorchIntegers().fires(v, torch.tensor(64), ">=").tolist() == [0, 1, 1]
    assert TorchIntegers().fires(v, torch.tensor(64), ">").dtype == torch.int64


def test_the_arithmetic_is_that_of_the_current():
    assert isinstance(arithmetic_of(torch.zeros(1)), TorchArithmetic)
    assert isinstance(arithmetic_of(torch.zeros(1, dtype=torch.int64)), TorchIntegers)


@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_torch_and_numpy_step_the_integer_neuron_to_the_same_bits(reset):
    rng = np.random.default_rng(8)
    parameters = {
        "v_threshold": 64 * rng.integers(1, 2**16, 40),
        "v_reset": rng.integers(-1000, 1000, 40),
        "du": np.where(rng.random(40) < 0.5, 4095, rng.integers(-1, 4096, 40)),
        "dv": rng.integers(0, 4096, 40),
        "bias": rng.integers(-4095, 4096, 40) << 4,
    }
    in_numpy = LoihiLIF(reset=reset, **parameters)
    in_torch = in_numpy.converted(torch.from_numpy)
    state = in_numpy.start(lambda: np.zeros((25, 40), np.int32))
    state_of_torch = in_torch.start(lambda: torch.zeros(25, 40, dtype=torch.int64))
    n_spikes = 0
    for current in rng.integers(-(2**17), 2**17, (60, 25, 40)):  # u wraps and v saturates
        state, sent = in_numpy.step(IntegerArithmetic(), state, current)
        state_of_torch, sent_of_torch = in_torch.step(TorchIntegers(), state_of_torch, torch.from_numpy(current))
        assert np.array_equal(sent, sent_of_torch.numpy())
        assert all(np.array_equal(part, other.numpy()) for part, other in zip(state, state_of_torch, strict=True))
        n_spikes += sent.sum()
    assert 0.05 < n_spikes / (60 * 25 * 40) < 0.95
