"""LoihiLIF against Lava's rules: by hand, and against a restatement in Python's own integers."""

import numpy as np
import pytest
import torch

from tdd_deploy.neurons import LoihiLIF, Observing
from tdd_deploy.simulator.arithmetic import IntegerArithmetic
from tdd_deploy.training.arithmetic import TorchIntegers

TOP = 2**23 - 1  # the largest v; u may reach one more
FREE = {"v_threshold": TOP, "v_reset": 0, "du": 4095, "dv": 0, "bias": 0}  # never fires, forgets u, keeps v


def lif(reset="hard", **changed):
    return LoihiLIF(reset=reset, **{name: np.asarray(value, np.int32) for name, value in {**FREE, **changed}.items()})


def run(neuron, currents):
    """Return u, v and spikes after each step, for currents ``[n_steps, n]`` or one per step."""
    currents = np.asarray(currents, np.int32).reshape(len(currents), -1)
    state = neuron.start(lambda: np.zeros(currents.shape[1], np.int32))
    steps = []
    for current in currents:
        state, spikes = neuron.step(IntegerArithmetic(), state, current)
        steps.append((*state, spikes))
    parts = [np.array(part) for part in zip(*steps, strict=True)]
    return [part[:, 0].tolist() for part in parts] if currents.shape[1] == 1 else parts


# In Python's integers, as reference/lava-arithmetic.md states Lava's rule


def kept(x, c):
    size = abs(x) * c // 4096
    return -size if x < 0 else size


def wrapped(u):
    if u > 2**23:
        return u - 2**24
    return u + 2**24 if u <= -(2**23) else u


def restated(u, v, a, *, v_threshold, v_reset, du, dv, bias, reset):
    u = wrapped(kept(u, 4095 - du) + 64 * a)
    v = min(max(kept(v, 4096 - dv) + u + bias, -TOP), TOP)
    if v <= v_threshold:
        return u, v, 0
    return u, v_reset if reset == "hard" else v - v_threshold, 1


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("size", [40, 3000, 130_000, 400_000])  # silent, busy, saturating, wrapping
def test_every_neuron_does_what_lavas_rule_says_in_pythons_integers(size, reset):
    rng = np.random.default_rng(size)
    n, n_steps = 200, 30
    parameters = {
        "v_threshold": rng.integers(0, 64 * size, n),
        "v_reset": rng.integers(-64 * size, 64 * size, n).clip(-TOP, TOP),
        "du": rng.choice([-1, 0, 1, 700, 4094, 4095], n),
        "dv": rng.choice([0, 1, 900, 4095, 4096], n),
        "bias": rng.integers(-5000, 5000, n),
    }
    currents = rng.integers(-size, size + 1, (n_steps, n))
    u, v, spikes = run(lif(reset, **parameters), currents)
    assert u.dtype == v.dtype == spikes.dtype == np.int32
    for i in range(n):
        state = 0, 0
        own = {name: int(values[i]) for name, values in parameters.items()}
        for t in range(n_steps):
            *state, fired = restated(*state, int(currents[t, i]), reset=reset, **own)
            assert (u[t, i], v[t, i], spikes[t, i]) == (*state, fired)


@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_torch_computes_the_same_integers(reset):
    rng = np.random.default_rng(0)
    changed = {"du": [-1, 0, 900, 4095], "dv": [0, 1, 900, 4096], "bias": [7, -7, 0, 99], "v_threshold": 64 * 2000}
    neuron = lif(reset, v_reset=[0, -5, 3, 0], **changed)
    in_torch = neuron.converted(lambda p: torch.tensor(p, dtype=torch.int64))
    ours, theirs = (
        neuron.start(lambda: np.zeros(4, np.int32)),
        in_torch.start(lambda: torch.zeros(4, dtype=torch.int64)),
    )
    for current in rng.integers(-150_000, 150_001, (200, 4)).astype(np.int32):
        ours, spikes = neuron.step(IntegerArithmetic(), ours, current)
        theirs, fired = in_torch.step(TorchIntegers(), theirs, torch.tensor(current, dtype=torch.int64))
        for mine, other in zip((*ours, spikes), (*theirs, fired), strict=True):
            assert other.dtype == torch.int64
            np.testing.assert_array_equal(mine, other.numpy())


# By hand


@pytest.mark.parametrize(
    ("x", "fraction", "expected"),
    [(3, 2048, 1), (-3, 2048, -1), (1, 4095, 0), (-1, 4095, 0), (-4096, 4095, -4095), (TOP, 4096, TOP), (7, 0, 0)],
)
def test_a_fraction_is_rounded_toward_zero(x, fraction, expected):
    # 1.5 -> 1, -1.5 -> -1 (a shift alone would give -2)
    array = np.array([x], np.int32)
    assert IntegerArithmetic().keep(array, np.array(fraction, np.int32)).tolist() == [expected]
    assert TorchIntegers().keep(torch.tensor([x]), torch.tensor(fraction)).tolist() == [expected]


def test_a_unit_of_current_is_64_of_v():
    assert run(lif(), [1, 0, -2])[1] == [64, 64, -64]


def test_du_4095_forgets_the_current_and_minus_1_holds_it():
    assert run(lif(du=4095), [1, 0, 0])[0] == [64, 0, 0]
    assert run(lif(du=-1), [1, 0, 2])[0] == [64, 64, 192]


def test_du_0_leaks_one_part_in_4096():
    # 6400 * 4095 / 4096 = 6398.4; 6398 * 4095 / 4096 = 6396.4
    assert run(lif(du=0), [100, 0, 0])[0] == [6400, 6398, 6396]


def test_dv_leaks_toward_zero_from_both_sides():
    # half: 64, 32, 16
    assert run(lif(dv=2048), [1, 0, 0])[1] == [64, 32, 16]
    assert run(lif(dv=4095), [-100, 0, 0])[1] == [-6400, -1, 0]  # 6400 / 4096 = 1.56


def test_a_current_of_2_to_the_23_stays_and_minus_as_much_wraps():
    assert run(lif(), [2**17])[0] == [2**23]
    assert run(lif(), [-(2**17)])[0] == [2**23]
    assert run(lif(), [2**17 + 1])[0] == [2**23 + 64 - 2**24]
    assert run(lif(), [-(2**17) + 1])[0] == [-(2**23) + 64]


def test_the_edges_of_wrapping_are_one_lsb_wide():
    # -1 + 1 holds u; 64 units at a time, plus what a decay leaves, would reach the odd LSB
    neuron = lif(du=-1)
    for u, expected in [(2**23, 2**23), (2**23 + 1, 1 - 2**23), (1 - 2**23, 1 - 2**23), (-(2**23), 2**23)]:
        state = np.array([u], np.int32), np.zeros(1, np.int32)
        (after, _), _ = neuron.step(IntegerArithmetic(), state, np.zeros(1, np.int32))
        assert after.tolist() == [expected]


def test_a_current_wraps_once_and_no_more():
    # 2^22 units are 2^28 LSB: one turn of 2^24 is taken off, and the rest stays beyond 24 bits
    assert run(lif(), [2**22])[0] == [2**28 - 2**24]
    assert run(lif(), [-(2**22)])[0] == [2**24 - 2**28]


def test_v_saturates_at_both_ends():
    assert run(lif(), [100_000, 100_000, -1])[1] == [6_400_000, TOP, TOP - 64]
    assert run(lif(), [-100_000, -100_000, 1])[1] == [-6_400_000, -TOP, 64 - TOP]


def test_a_bias_is_added_at_every_step_and_neither_filtered_nor_shifted():
    assert run(lif(bias=5, du=-1), [0, 0, 0])[:2] == [[0, 0, 0], [5, 10, 15]]


def test_a_neuron_on_its_threshold_does_not_fire():
    assert run(lif(v_threshold=128), [2, 0, 0])[2] == [0, 0, 0]
    assert run(lif(v_threshold=127), [2, 0, 0])[2] == [1, 0, 0]


def test_a_hard_reset_goes_to_v_reset_and_leaves_u():
    u, v, spikes = run(lif(v_threshold=64, v_reset=-7, du=-1), [2, 0, 0])
    assert (u, v, spikes) == ([128, 128, 128], [-7, -7, -7], [1, 1, 1])  # 128; -7 + 128 = 121 twice


def test_a_soft_reset_takes_the_threshold_away():
    # 320 fires, 220; 220 fires, 120; 120 fires, 20; 20 does not
    assert run(lif("soft", v_threshold=100, v_reset=9), [5, 0, 0, 0])[1:] == [[220, 120, 20, 20], [1, 1, 1, 0]]


def test_a_negative_threshold_fires_at_rest():
    assert run(lif(v_threshold=-1), [0, 0])[2] == [1, 1]
    assert run(lif("soft", v_threshold=-10), [0])[1] == [10]


def test_parameters_may_differ_from_neuron_to_neuron():
    neuron = lif(v_threshold=[63, 64], v_reset=[1, 2], du=[-1, 4095], dv=[0, 2048], bias=[0, 3])
    u, v, spikes = run(neuron, [[1, 1], [0, 0]])
    assert u.tolist() == [[64, 64], [64, 0]]
    assert spikes.tolist() == [[1, 1], [1, 0]]  # 64 > 63, 67 > 64; 1 + 64 > 63, 1 + 3 does not
    assert v.tolist() == [[1, 2], [1, 4]]


def test_a_bias_drives_a_neuron():
    assert lif(bias=[0, 1, 0]).is_driven(np.array([0, 0, 2])).tolist() == [False, True, True]


def test_potentials_are_observed_before_the_reset():
    observing = Observing(IntegerArithmetic())
    neuron = lif(v_threshold=64)
    state, spikes = neuron.step(observing, neuron.start(lambda: np.zeros(2, np.int32)), np.array([1, 2], np.int32))
    assert observing.compared.tolist() == [64, 128]
    assert (state[1].tolist(), spikes.tolist()) == ([64, 0], [0, 1])
