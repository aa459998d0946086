"""What repeats from step to step, worked out by hand, and against the event engine."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.training.arithmetic import slope
from tdd_deploy.training.diagnostics import Activity, observe, remainder, remainders, shrinking, smooth_firing
from tdd_deploy.training.lower import lower
from tdd_deploy.training.methods import fan_out
from tests.untrained import network, pixels, tiny_resnet
from tests.zoo import Given

pytestmark = pytest.mark.usefixtures("one_thread")

# One sample, four steps, four neurons.
BUSY = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 1, 0], [1, 0, 1, 1]])[:, None]
#  spikes        2             3             2             3
#  stayed        -             2             2             2
#  deltas        2             1             1             1
SHY = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]])[:, None]
#  spikes        1             1             0             1
#  stayed        -             0             0             0
#  deltas        1             2             1             1
FAN_OUT = {"busy": np.array([1, 10, 100, 1000]), "shy": np.array([2, 2, 2, 2])}
BY_HAND = Activity.of({"busy": BUSY, "shy": SHY}, FAN_OUT)


def falling(first, *vanishing):
    """One layer of neurons that spike, some of which vanish at each later step."""
    spikes = np.array([[first, *(first - np.cumsum(vanishing))]])
    nothing = np.zeros_like(spikes)
    return Activity(("layer",), (100,), spikes, np.where(np.arange(spikes.size) == 0, 0, spikes), nothing, nothing, 1)


def counted(raster):
    """The activity of one layer, each event of which costs one operation."""
    return Activity.of({"layer": raster}, {"layer": np.ones(raster.shape[2:])})


def test_spikes_deltas_and_what_stayed_are_counted() -> None:
    assert BY_HAND.layers == ("busy", "shy")
    assert BY_HAND.neurons == (4, 4)
    assert BY_HAND.spikes.tolist() == [[2, 3, 2, 3], [1, 1, 0, 1]]
    assert BY_HAND.stayed.tolist() == [[0, 2, 2, 2], [0, 0, 0, 0]]
    assert BY_HAND.deltas.tolist() == [[2, 1, 1, 1], [1, 2, 1, 1]]


def test_events_cost_the_synapses_of_their_neurons() -> None:
    assert BY_HAND.spike_synops.tolist() == [[11, 111, 101, 1101], [2, 2, 0, 2]]
    assert BY_HAND.delta_synops.tolist() == [[11, 100, 10, 1000], [2, 4, 2, 2]]
    assert BY_HAND.hybrid_synops.tolist() == [[11, 100, 10, 1000], [2, 2, 0, 2]]


def test_overlap_is_the_share_of_spikes_that_were_there_a_step_ago() -> None:
    assert [BY_HAND.overlap((0, t)) for t in range(4)] == [None, 2 / 3, 2 / 2, 2 / 3]
    assert BY_HAND.overlap((1, 2)) is None  # nothing spiked
    assert BY_HAND.overlap((0, slice(None))) == 6 / 8
    assert BY_HAND.overlap() == 6 / (8 + 2)


def test_persistence_is_the_share_of_spikes_that_stay() -> None:
    assert [BY_HAND.persistence((0, t)) for t in range(4)] == [None, 2 / 2, 2 / 3, 2 / 2]
    assert BY_HAND.persistence((1, 3)) is None  # nothing had spiked
    assert BY_HAND.persistence((0, slice(None))) == 6 / 7
    assert BY_HAND.persistence() == 6 / (7 + 2)


def test_each_layer_has_the_cheaper_code_in_a_hybrid() -> None:
    assert BY_HAND.delta_pays.tolist() == [True, False]  # 5 deltas for 10 spikes; 5 for 3
    assert BY_HAND.hybrid.tolist() == [[2, 1, 1, 1], [1, 1, 0, 1]]


def test_delta_pays_exactly_where_persistence_exceeds_one_half() -> None:
    rng = np.random.default_rng(0)
    ties = 0
    for _ in range(300):
        n_steps, n = rng.integers(1, 5), rng.integers(1, 5)
        made = counted(rng.random((n_steps, 2, n)) < rng.random())
        persistence = made.persistence()
        deltas, spikes = made.deltas.sum(), made.spikes.sum()
        assert made.delta_pays[0] == (deltas < spikes) == (persistence is not None and persistence > 0.5)
        ties += persistence == 0.5
    assert ties  # the edge was met


def test_deltas_are_what_changed() -> None:
    raster = np.random.default_rng(1).random((5, 3, 7)) < 0.4
    made = counted(raster)
    changed = [raster[0].sum(), *((now != before).sum() for before, now in pairwise(raster))]
    assert made.deltas.tolist() == [changed]


def test_batches_add_up() -> None:
    raster = np.random.default_rng(2).random((4, 6, 5)) < 0.5
    whole = counted(raster)
    parts = counted(raster[:, :4]) + counted(raster[:, 4:])
    for name in ("spikes", "stayed", "spike_synops", "delta_synops"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    assert parts.n_samples == 6


@pytest.mark.parametrize("name", ["mlp", "conv-small", "sdt-2-64", "tiny resnet"])
def test_events_are_those_that_the_engine_counts(name: str) -> None:
    net = (tiny_resnet() if name == "tiny resnet" else network(name)).eval()
    x = pixels(4, 3, *net.input_shape)
    with torch.inference_mode():
        rasters = net.unroll(torch.from_numpy(x), 4).spikes
    synapses = {layer: of_neurons.numpy() for layer, of_neurons in fan_out(net).items()}
    made = Activity.of({layer: raster.numpy() for layer, raster in rasters.items()}, synapses)
    trace = Engine(lower(net, n_steps=4, encoder="direct")).run(Given(x), n_steps=4).trace
    row = {layer.name: number for number, layer in enumerate(trace.layers)}
    rows = [row[layer] for layer in made.layers]
    np.testing.assert_array_equal(made.spikes, trace.executed.spikes[rows])
    np.testing.assert_array_equal(made.deltas, trace.executed.delta_events[rows])
    assert made.spikes.sum() > made.stayed.sum() > 0
    if name in ("mlp", "conv-small"):  # elsewhere deltas meet in sums and shortcuts, and a sum has synapses of its own
        after_input = row[next(iter(net.connections))]
        executed = np.delete(trace.executed.synops_effective, after_input, axis=0).sum(0)
        np.testing.assert_array_equal(made.delta_synops.sum(0), executed)


# --- Theorem 1 ---------------------------------------------------------------------------------------------------


def test_smooth_firing_has_the_derivative_of_training_and_no_second_above_one() -> None:
    x = torch.linspace(-2, 2, 4001, dtype=torch.float64)
    first = torch.diff(smooth_firing(x)) / torch.diff(x)
    middles = (x[1:] + x[:-1]) / 2
    torch.testing.assert_close(first, slope(middles), atol=1e-6, rtol=0)
    second = torch.diff(first) / torch.diff(middles)
    assert second.abs().max() <= 1 + 1e-6
    assert smooth_firing(torch.tensor([-1.0, 0.0, 1.0])).tolist() == [0, 0.5, 1]


def test_a_remainder_by_hand() -> None:
    # Threshold 1. Two neurons whose current changed, one whose did not.
    #   u - 1 = 0.25, change 0.5: Gamma = -0.25, F from 0.28125 to 1 - 0.75^2 / 2 = 0.71875: 0.4375,
    #     at Gamma 0.75 x 0.5 = 0.375: error 0.0625, bound 0.125;
    #     at f(D) - 1 = -0.5 the slope is 0.5, 0.25: error 0.1875, beyond the bound.
    #   u - 1 = -0.25, change 0.25: Gamma = -0.5, F from 0.125 to 0.28125: 0.15625, at Gamma 0.125: error 0.03125, all
    #     of the bound; at f(D) - 1 = -0.75 the slope is 0.25, 0.0625: error 0.09375.
    x = torch.tensor([0.25, -0.25, 0.0], dtype=torch.float64)
    changes = torch.tensor([0.5, 0.25, 0.0], dtype=torch.float64)
    found = remainder("layer", x, changes, torch.tensor(1.0, dtype=torch.float64))
    assert (found.cases, found.within, found.within_as_printed) == (2, 2, 0)
    assert found.largest == pytest.approx(1, abs=1e-12)


def test_theorem_1_holds_at_every_layer_and_counts_every_changed_current() -> None:
    net = network("conv-small").eval()
    x = torch.from_numpy(pixels(1, 4, *net.input_shape))
    found = remainders(observe(net, x, 5))
    with torch.no_grad():
        rasters = net.unroll(x, 5).spikes
        before = {"conv2_spikes": ("conv2", "conv1_spikes"), "conv3_spikes": ("conv3", "conv2_spikes")}
        for each in found:
            assert each.within == each.cases
            assert each.largest <= 1
            if each.layer == "conv1_spikes":
                assert each.cases == 0  # a static image: the current never changes
            if each.layer in before:
                connection, source = before[each.layer]
                currents = net.connections[connection](rasters[source].flatten(0, 1)).unflatten(0, (5, 4))
                assert each.cases == int((currents[1:] != currents[:-1]).sum()) > 0
    assert [each.layer for each in found] == list(net.layers)


def test_remainders_add_up_over_batches() -> None:
    net = network("mlp").eval()
    x = torch.from_numpy(pixels(1, 4, *net.input_shape))
    whole = remainders(observe(net, x, 4))
    halves = (remainders(observe(net, part, 4)) for part in (x[:, :3], x[:, 3:]))
    parts = [a + b for a, b in zip(*halves, strict=True)]
    assert parts == list(whole)


# --- Theorem 2 ---------------------------------------------------------------------------------------------------


def test_deltas_that_fall_as_one_over_t_break_nothing() -> None:
    made = falling(12, 6, 4, 0)
    assert made.deltas.tolist() == [[12, 6, 4, 0]]  # 12 / t is 12, 6, 4, 3
    (found,) = shrinking(made)
    assert (found.steps, found.violated) == (3, 0)
    assert found.exponent == pytest.approx(1)  # a step without deltas has no logarithm


def test_a_silent_layer_is_not_compared() -> None:
    assert (shrinking(falling(0, 0, 0))[0].steps, shrinking(falling(5, 5, 0))[0].steps) == (0, 2)


def test_steps_above_one_over_t_are_counted() -> None:
    found = shrinking(BY_HAND)[0]  # deltas 2, 1, 1, 1 against 2, 1, 2/3, 1/2
    assert (found.layer, found.steps, found.violated) == ("busy", 3, 2)


def test_the_exponent_of_a_power_is_found() -> None:
    assert shrinking(falling(36, 9, 4))[0].exponent == pytest.approx(2)
    assert shrinking(falling(8, 0, 0))[0].exponent is None  # one step with deltas alone
    assert shrinking(falling(4))[0].exponent is None
