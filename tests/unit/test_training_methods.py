"""Losses of time steps, penalties on what a layer sent, and what each layer's penalty counts."""

from typing import get_args

import numpy as np
import pytest
import torch

from tdd_deploy.data import Frames
from tdd_deploy.options import vocabulary
from tdd_deploy.program import with_code
from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.training.architectures import Builder
from tdd_deploy.training.lower import lower
from tdd_deploy.training.methods import (
    Ddla,
    L1Delta,
    L1Onset,
    L1Spikes,
    RateLoss,
    RmpLoss,
    Sent,
    TetLoss,
    fan_out,
    layer_weights,
)
from tdd_deploy.training.network import Unrolled
from tests.untrained import network, neurons, pixels, shaken, tiny_resnet

N_STEPS, BATCH, N_CLASSES = 4, 3, 5

pytestmark = pytest.mark.usefixtures("one_thread")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def a_tap(n=7, *, binary=True, seed=0):
    """What nothing computed: spikes, or real numbers, which have no equals among their scores."""
    values = np.random.default_rng(seed).random((N_STEPS, BATCH, n))
    return torch.tensor(values < 0.4 if binary else values, dtype=torch.float64).requires_grad_()


def a_score(n=7, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).random((N_STEPS, BATCH, n)))


def one_earlier(values):
    return torch.cat([torch.zeros_like(values[:1]), values[:-1]]).detach()


def all_of(raster, score=None):
    """All steps of a sample; the score given is that of each step itself."""
    return Sent(raster, one_earlier(raster), None if score is None else score[:-1], 0, len(raster), generator())


def score_before(score, part):
    """The scores of the step before each of a part's steps; the first step of a sample has none."""
    return score[max(0, part.start - 1) : part.stop - 1]


def by_steps(raster, score=None):
    """The same, step by step, as a serial strategy sees it."""
    whole = all_of(raster, score)
    return [
        Sent(
            raster[t : t + 1],
            whole.before[t : t + 1],
            None if score is None or t == 0 else score[t - 1 : t],
            t,
            len(raster),
            generator(),
        )
        for t in range(len(raster))
    ]


def numpy_of(raster):
    return raster.detach().numpy()


def penalized_by(score, keep):
    """1 where step and sample are not among the round(keep n) of highest score; slowly, one by one."""
    penalized = np.ones_like(score)
    for t, sample in np.ndindex(score.shape[:2]):
        flat = score[t, sample].ravel()
        for index in sorted(range(len(flat)), key=lambda i: -flat[i])[: round(keep * len(flat))]:
            penalized[t, sample].ravel()[index] = 0
    return penalized


# --- Losses --------------------------------------------------------------------------------------------------------


def outputs_and_labels(n_steps=N_STEPS):
    outputs = np.random.default_rng(0).normal(0, 2, (n_steps, BATCH, N_CLASSES))
    return outputs, [4, 0, 2]


def run_of(outputs, rasters=None, potentials=None):
    return Unrolled(torch.as_tensor(outputs), rasters or {}, potentials or {}, {})


def cross_entropy(outputs, target):
    """Of one output ``[n_classes]`` and the shares of classes."""
    return np.log(np.exp(outputs).sum()) - (outputs * target).sum()


def test_tet_is_the_mean_over_steps_of_each_steps_cross_entropy():
    outputs, labels = outputs_and_labels()
    by_hand = [cross_entropy(outputs[t, i], np.eye(N_CLASSES)[k]) for t in range(N_STEPS) for i, k in enumerate(labels)]
    loss = TetLoss()(run_of(outputs), torch.tensor(labels))
    assert loss.item() == pytest.approx(sum(by_hand) / len(by_hand), rel=1e-12)


def test_the_second_term_of_tet_is_the_mean_square_of_all_outputs_around_one():
    outputs, labels = outputs_and_labels()
    run, targets = run_of(outputs), torch.tensor(labels)
    distances = [(value - 1) ** 2 for step in outputs for sample in step for value in sample]
    expected = 0.75 * TetLoss()(run, targets).item() + 0.25 * sum(distances) / len(distances)
    assert TetLoss(mse=0.25)(run, targets).item() == pytest.approx(expected, rel=1e-12)
    assert TetLoss(mse=0.0)(run, targets).item() == TetLoss()(run, targets).item()
    steps = [TetLoss(mse=0.25)(run_of(outputs[t : t + 1]), targets).item() for t in range(N_STEPS)]
    assert np.mean(steps) == pytest.approx(expected, rel=1e-12)  # so that a step can be learned from alone


def test_tet_minds_every_step_and_the_rate_only_the_mean_output():
    swinging, label = torch.tensor([[[9.0, -9.0]], [[-9.0, 9.0]]]), torch.tensor([0])
    assert TetLoss()(run_of(swinging), label).item() == pytest.approx(9.0, abs=1e-6)  # (0 + 18) / 2
    assert RateLoss()(run_of(swinging), label).item() == pytest.approx(np.log(2))
    steady = swinging.mean(0, keepdim=True).expand(2, 1, 2)
    for loss in (TetLoss(), RateLoss()):
        assert loss(run_of(steady), label).item() == pytest.approx(np.log(2))


def test_the_rate_is_the_cross_entropy_of_the_mean():
    outputs, labels = outputs_and_labels()
    by_hand = [cross_entropy(outputs.mean(0)[i], np.eye(N_CLASSES)[label]) for i, label in enumerate(labels)]
    assert RateLoss()(run_of(outputs), torch.tensor(labels)).item() == pytest.approx(np.mean(by_hand), rel=1e-12)


@pytest.mark.parametrize("loss", [TetLoss, RateLoss, RmpLoss])
def test_a_target_may_be_shares_of_classes_and_smoothing_is_such_a_target(loss):
    outputs, labels = outputs_and_labels()
    sharp = torch.eye(N_CLASSES, dtype=torch.float64)[labels]
    run = run_of(outputs)
    assert loss()(run, sharp).item() == pytest.approx(loss()(run, torch.tensor(labels)).item(), rel=1e-12)
    smooth = 0.9 * sharp + 0.1 / N_CLASSES
    assert loss(0.1)(run, torch.tensor(labels)).item() == pytest.approx(loss()(run, smooth).item(), rel=1e-12)
    by_step = outputs.mean(0, keepdims=True) if loss is RateLoss else outputs
    by_hand = [cross_entropy(row, share) for step in by_step for row, share in zip(step, smooth.numpy(), strict=True)]
    assert loss()(run, smooth).item() == pytest.approx(np.mean(by_hand), rel=1e-12)


@pytest.mark.parametrize("weight", [0.1, 0.5, 0.0])
def test_rmp_adds_the_weighted_mean_square_between_potentials_and_their_spikes(weight):
    outputs, labels = outputs_and_labels(2)
    potentials = {"a": torch.tensor([[0.5], [1.5]]), "b": torch.tensor([[2.0, -1.0, 0.0], [1.0, 0.0, 0.0]])}
    potentials = {name: u.double()[:, None].requires_grad_() for name, u in potentials.items()}
    rasters = {name: (u > 1).double().requires_grad_() for name, u in potentials.items()}
    found = RmpLoss(weight=weight)(run_of(outputs, rasters, potentials), torch.tensor(labels))
    of_a, of_b = (0.25 + 0.25) / 2, (1 + 1 + 0 + 1 + 0 + 0) / 6
    expected = TetLoss()(run_of(outputs), torch.tensor(labels)).item() + weight * (of_a + of_b) / 2
    assert found.item() == pytest.approx(expected, rel=1e-12)
    gradients = torch.autograd.grad(found, [*potentials.values(), *rasters.values()], allow_unused=True)
    assert gradients[0].flatten().tolist() == pytest.approx([weight / 2 * 2 * 0.5 / 2] * 2)
    assert gradients[2] is gradients[3] is None  # the spikes are where the potentials go, and stay


# --- DDLA ----------------------------------------------------------------------------------------------------------


def test_with_nothing_kept_reading_f_is_l1_on_the_spikes_after_the_first_step():
    raster = a_tap()
    by_hand = numpy_of(raster)[1:].mean()
    assert by_hand > 0.1
    assert Ddla("F", 0)(all_of(raster, a_score())).item() == pytest.approx(by_hand, rel=1e-12)
    later = Sent(
        raster[1:], one_earlier(raster)[1:], None, 0, N_STEPS - 1, generator()
    )  # as if the sample began at t = 2
    assert L1Spikes()(later).item() == pytest.approx(by_hand, rel=1e-12)


def test_with_nothing_kept_reading_d_is_the_share_of_changes_after_the_first_step():
    raster = a_tap()
    by_hand = (numpy_of(raster)[1:] != numpy_of(raster)[:-1]).mean()
    assert by_hand > 0.1
    assert Ddla("D", 0)(all_of(raster, a_score())).item() == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("reading", get_args(vocabulary.DdlaReading))
def test_with_everything_kept_the_penalty_and_its_gradient_are_zero(reading):
    raster = a_tap(binary=False)
    penalty = Ddla(reading, 1)(all_of(raster, a_score()))
    assert penalty.item() == 0
    (gradient,) = torch.autograd.grad(penalty, raster)
    assert gradient.eq(0).all()


def test_the_later_steps_are_those_after_the_first_and_are_not_cut_again():
    raster, score = a_tap(), a_score()
    later = all_of(raster, score).later
    assert (later.start, later.n_steps) == (1, N_STEPS)
    assert torch.equal(later.now, raster[1:])
    assert torch.equal(later.before, raster[:-1])
    assert torch.equal(later.score, score[:-1])
    assert later.later is later
    assert by_steps(raster)[0].later is None


@pytest.mark.parametrize("reading", get_args(vocabulary.DdlaReading))
def test_one_step_has_no_penalty(reading):
    assert Ddla(reading, 0)(all_of(a_tap()[:1], a_score()[:1])).item() == 0


@pytest.mark.parametrize("keep", [0, 0.3, 0.5, 1])
@pytest.mark.parametrize("reading", get_args(vocabulary.DdlaReading))
def test_what_is_penalized_is_what_had_a_low_score_one_step_before(reading, keep):
    raster, score = a_tap(binary=False), a_score()
    values, penalized = numpy_of(raster), penalized_by(score.numpy()[:-1], keep)
    what = values[1:] if reading == "F" else np.diff(values, axis=0)
    found = Ddla(reading, keep)(all_of(raster, score))
    assert found.item() == pytest.approx(((penalized * what) ** 2).mean(), rel=1e-12)
    # Reading D penalizes a change at its later step: the step before is a constant. Nothing is penalized at t = 1.
    expected = np.zeros_like(values)
    expected[1:] = 2 * penalized * what / values[1:].size
    np.testing.assert_allclose(torch.autograd.grad(found, raster)[0].numpy(), expected, rtol=1e-12)


def test_an_image_is_ranked_as_a_whole():
    raster = torch.rand(2, 1, 2, 2, 3, generator=generator(), dtype=torch.float64).requires_grad_()
    score = torch.rand(2, 1, 2, 2, 3, generator=generator(1), dtype=torch.float64)
    penalty = Ddla("F", 0.25)(all_of(raster, score))
    (gradient,) = torch.autograd.grad(penalty, raster)
    spared = gradient[1, 0].eq(0).flatten().nonzero().flatten().tolist()
    assert spared == sorted(score[0, 0].flatten().topk(3).indices.tolist())


def test_the_more_is_kept_the_smaller_the_penalty():
    raster, score = a_tap(n=100), a_score(n=100)
    penalties = [Ddla("F", keep)(all_of(raster, score)).item() for keep in (0, 0.25, 0.5, 0.75, 1)]
    assert penalties == sorted(penalties, reverse=True)
    assert penalties[0] > penalties[1] > penalties[3] > penalties[4] == 0


# --- L1 ------------------------------------------------------------------------------------------------------------

HAND_MADE = torch.tensor([[0.0, 1.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0]])  # 3 steps, 4 neurons


def hand_made():
    return HAND_MADE.clone()[:, None].requires_grad_()


def test_l1_on_spikes_is_their_mean():
    raster = hand_made()
    penalty = L1Spikes()(all_of(raster))
    assert penalty.item() == pytest.approx(7 / 12)
    assert torch.autograd.grad(penalty, raster)[0].flatten().tolist() == pytest.approx([1 / 12] * 12)


def test_l1_on_changes_counts_the_spikes_of_the_first_step_and_holds_the_former_step_constant():
    raster = hand_made()
    penalty = L1Delta()(all_of(raster))
    assert penalty.item() == pytest.approx((3 + 1 + 2) / 12)
    signs = [[0, 1, 1, 1], [0, 0, -1, 0], [1, -1, 0, 0]]  # of what is new at each step; the step before pulls nothing
    (gradient,) = torch.autograd.grad(penalty, raster)
    assert (12 * gradient[:, 0]).tolist() == [pytest.approx(row) for row in signs]


def test_l1_on_onsets_counts_spikes_where_there_was_none_before():
    raster = hand_made()
    penalty = L1Onset()(all_of(raster))
    assert penalty.item() == pytest.approx((3 + 0 + 1) / 12)
    (gradient,) = torch.autograd.grad(penalty, raster)
    free = [[1, 1, 1, 1], [1, 0, 0, 0], [1, 0, 1, 0]]  # who was silent a step before would pay
    assert (12 * gradient[:, 0]).tolist() == [pytest.approx(row) for row in free]


def test_half_of_all_changes_are_onsets_when_a_sample_ends_in_silence():
    raster = torch.cat([a_tap(n=50), torch.zeros(1, BATCH, 50)])
    assert L1Delta()(all_of(raster)).item() == pytest.approx(2 * L1Onset()(all_of(raster)).item())


def test_l1_on_changes_is_the_share_of_delta_events_of_a_network():
    run = network("conv-small").unroll(torch.from_numpy(pixels(1, BATCH, 1, 8, 8)), N_STEPS)
    for raster in run.spikes.values():
        by_hand = np.count_nonzero(np.diff(numpy_of(raster), axis=0, prepend=0)) / raster.numel()
        assert L1Delta()(all_of(raster)).item() == pytest.approx(by_hand, rel=1e-6)
    assert L1Delta()(all_of(torch.zeros_like(raster))).item() == 0


PENALTIES = [L1Spikes(), L1Delta(), L1Onset(), Ddla("F", 0.3), Ddla("D", 0.3), Ddla("F", 0), Ddla("D", 0)]


@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
def test_the_penalties_of_single_steps_add_up_to_that_of_all(penalty):
    raster, score = a_tap(binary=False), a_score()
    whole = penalty(all_of(raster, score))
    parts = sum(penalty(sent) for sent in by_steps(raster, score))
    assert whole.item() > 0
    assert parts.item() == pytest.approx(whole.item(), rel=1e-12)
    found, expected = (torch.autograd.grad(value, raster)[0] for value in (parts, whole))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_the_penalties_of_two_pieces_add_up_to_that_of_all(penalty, cut):
    raster, score = a_tap(binary=False), a_score()
    whole = all_of(raster, score)
    pieces = [
        Sent(raster[part], whole.before[part], score_before(score, part), part.start, N_STEPS, generator())
        for part in (slice(0, cut), slice(cut, N_STEPS))
    ]
    assert sum(penalty(sent) for sent in pieces).item() == pytest.approx(penalty(whole).item(), rel=1e-12)


# --- What a layer's penalty counts ---------------------------------------------------------------------------------


def reached(n_in, size, n_out, kernel, stride):
    """How many weights of a convolution a neuron of each place is read by, one by one."""
    count = np.zeros(size)
    for i, j in np.ndindex(*((n + 2 * (kernel // 2) - kernel) // stride + 1 for n in size)):
        for a, b in np.ndindex(kernel, kernel):
            place = i * stride + a - kernel // 2, j * stride + b - kernel // 2
            if 0 <= place[0] < size[0] and 0 <= place[1] < size[1]:
                count[place] += n_out
    return count.mean()


def mean_fan_out(net):
    return {name: float(of_neurons.mean()) for name, of_neurons in fan_out(net).items()}


def test_weights_of_zero_are_no_synapses():
    net = without_padding()
    net["e"].weights.weight.data[:, ::2] = 0
    found = fan_out(net)
    assert found["three"].shape == (4, 6, 4)
    assert found["three"][:, 0, 0].tolist() == [0, 9, 0, 9]


def test_an_events_fan_out_is_the_number_of_weights_that_read_it_padding_left_out():
    found = mean_fan_out(network("conv-small", input_shape=(3, 9, 6)))
    assert found == pytest.approx(
        {
            "conv1_spikes": reached(32, (9, 6), 64, 3, 2),
            "conv2_spikes": reached(64, (5, 3), 64, 3, 2),
            "conv3_spikes": 128,
            "fc1_spikes": 10,
        }
    )


def test_the_fan_out_of_a_shortcut_adds_up_and_a_sum_passes_it_on():
    assert mean_fan_out(tiny_resnet()) == pytest.approx(
        {
            "stem_spikes": reached(5, (6, 6), 5, 3, 1),  # and the spikes themselves, which need no weight
            "one_inner": reached(5, (6, 6), 5, 3, 1),
            "one": reached(5, (6, 6), 7, 3, 2) + reached(5, (6, 6), 7, 1, 2),
            "two_inner": reached(7, (3, 3), 7, 3, 1),
            "two": 4,  # one of 3 x 3 places, whose sum the readout's 4 rows read
        }
    )


def test_the_fan_out_of_gates_and_of_what_they_hide():
    found = mean_fan_out(network("sdt-2-64", input_shape=(2, 8, 8)))
    assert found["block1_query_spikes"] == found["block1_key_spikes"] == found["block1_attention_spikes"] == 0
    assert found["block1_key_value"] == 0  # summed and compared: no weight
    assert found["block1_masked"] == 64
    assert found["patch3_spikes"] == 0  # pooled by a gate
    assert found["patch3_pool"] == pytest.approx(reached(32, (4, 4), 64, 3, 2))
    assert found["block1_in_spikes"] == 3 * 64
    assert found["block2_mlp1_spikes"] == 64
    assert found["head_spikes"] == 10


def without_padding():
    """1 x 1 convolutions, a shortcut of spikes, one of weights, sums, dense maps."""
    torch.manual_seed(0)
    make = Builder((3, 6, 4), neurons=neurons(), analog_input=True)
    one = make.fire("one", make.conv("a", "input", 5, kernel=1))
    two = make.fire("two", (make.conv("b", one, 5, kernel=1), one))
    three = make.fire("three", (make.conv("c", two, 4, kernel=1), make.conv("d", two, 4, kernel=1)))
    four = make.fire("four", make.dense("e", make.total("pool", three), 9))
    return shaken(make.network(make.readout(four, 3)))


@pytest.mark.parametrize("code", ["delta", "spike"])
def test_without_padding_the_simulator_counts_so_many_synops_per_event(code):
    net = without_padding().eval()
    program = with_code(lower(net, n_steps=4, encoder="direct"), code)
    values = pixels(4, 6, *net.input_shape)
    trace = Engine(program).run(Frames(static=False, values=values), n_steps=4).trace
    row = {layer.name: number for number, layer in enumerate(trace.layers)}
    executed = trace.executed
    events = {name: int(executed.events[row[name]].sum()) for name in net.layers}
    assert all(events.values())
    synops = sum(int(executed.synops_effective[row[name]].sum()) for name in net.connections if name not in ("a", "e"))
    costs = mean_fan_out(net)
    assert costs == {"one": 5, "two": 8, "three": 9, "four": 3}
    after_the_sum = int(executed.synops_effective[row["e"]].sum())
    assert synops == sum(events[name] * costs[name] for name in ("one", "two", "four"))
    assert 0 < after_the_sum <= events["three"] * costs["three"]  # changes that meet in a sum are one


def test_layers_weigh_one_or_by_the_synops_of_all_their_neurons():
    net = without_padding()
    assert layer_weights(net, by_synops=False) == dict.fromkeys(("one", "two", "three", "four"), 1.0)
    costs = {"one": 5 * 24 * 5, "two": 5 * 24 * 8, "three": 4 * 24 * 9, "four": 9 * 3}
    mean = sum(costs.values()) / 4
    found = layer_weights(net, by_synops=True)
    assert found == pytest.approx({name: cost / mean for name, cost in costs.items()})


def test_weighing_changes_nothing_in_a_network():
    net = tiny_resnet()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    layer_weights(net, by_synops=True)
    assert net.training
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
