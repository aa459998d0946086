from dataclasses import replace

import numpy as np
import pytest
import torch

from tdd_deploy.train.methods import READINGS, SCORES, Ddla, L1Delta, L1Spikes, kept_mask, tet_loss
from tdd_deploy.train.network import Unrolled, make_network
from tdd_deploy.train.options import TrainOptions

N_STEPS, BATCH, N_CLASSES = 4, 3, 5
SIZES = (7, 6)  # neurons of the two layers


pytestmark = pytest.mark.usefixtures("one_thread")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def leaves(*, binary=True, seed=0):
    """Taps that nothing computed: spikes, or real numbers, which have no equals among their scores."""
    rng = np.random.default_rng(seed)
    values = [rng.random((N_STEPS, BATCH, n)) for n in SIZES]
    return [torch.tensor(v < 0.4 if binary else v, dtype=torch.float64).requires_grad_() for v in values]


def of(taps):
    return Unrolled(torch.zeros(N_STEPS, BATCH, N_CLASSES, dtype=torch.float64), tuple(taps))


def sines(taps):
    """A loss whose gradient is known: ``cos``; the steps have nothing to do with each other."""
    return sum((tap * 3).sin().sum() for tap in taps)


def gradients_of_sines(taps):
    return [3 * np.cos(3 * tap.detach().numpy()) for tap in taps]


def in_numpy(taps):
    return [tap.detach().numpy() for tap in taps]


def pressed_by(score, keep):
    """1 where step and sample are not among the round(keep n) of highest score; slowly, one by one."""
    pressed = np.ones_like(score)
    for t, sample in np.ndindex(score.shape[:2]):
        flat = score[t, sample].ravel()
        for index in sorted(range(len(flat)), key=lambda i: -flat[i])[: round(keep * len(flat))]:
            pressed[t, sample].ravel()[index] = 0
    return pressed


def a_network_at_work(name="mlp", seed=0, n_steps=N_STEPS):
    """A network in training mode, one batch run through it, and its loss."""
    torch.manual_seed(seed)
    neuron = TrainOptions(reset="soft").make_neuron
    net = make_network(name, input_shape=(1, 8, 8), n_classes=N_CLASSES, neuron=neuron, analog_input=True)
    for layer in net.layers[:-1]:
        layer.connection.norm.bias.data.fill_(0.5)  # so that every layer fires
    run = net.train().unroll(torch.rand(BATCH, 1, 8, 8), n_steps, static=True)
    return run, tet_loss(run.outputs, torch.tensor([0, 3, 1]))


# --- TET ---------------------------------------------------------------------------------------------------------


def test_tet_is_the_mean_over_steps_of_each_steps_cross_entropy():
    outputs = np.random.default_rng(0).normal(0, 2, (N_STEPS, BATCH, N_CLASSES))
    labels = [4, 0, 2]
    by_hand = [
        np.log(np.exp(outputs[t, i]).sum()) - outputs[t, i, label]
        for t in range(N_STEPS)
        for i, label in enumerate(labels)
    ]
    loss = tet_loss(torch.from_numpy(outputs), torch.tensor(labels))
    assert loss.item() == pytest.approx(sum(by_hand) / len(by_hand), rel=1e-12)


def test_tet_minds_every_step_not_only_the_mean_output():
    swinging = torch.tensor([[[9.0, -9.0]], [[-9.0, 9.0]]])
    assert tet_loss(swinging, torch.tensor([0])).item() == pytest.approx(9.0, abs=1e-6)  # (0 + 18) / 2
    steady = swinging.mean(0, keepdim=True).expand(2, 1, 2)
    assert tet_loss(steady, torch.tensor([0])).item() == pytest.approx(np.log(2))


# --- the mask ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0, 0.01, 0.2, 0.5, 0.77, 1])
@pytest.mark.parametrize("shape", [(1,), (10,), (25,), (3, 5, 4)])
@pytest.mark.parametrize("ties", [False, True])
def test_a_mask_keeps_the_same_number_in_every_step_and_sample(shape, keep, ties):
    score = torch.zeros(2, 3, *shape) if ties else torch.rand(2, 3, *shape, generator=generator())
    mask = kept_mask(score, keep)
    assert mask.shape == score.shape
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert mask.flatten(2).sum(2).eq(round(keep * np.prod(shape))).all()


def test_a_mask_keeps_the_highest_scores():
    score = torch.tensor([[[1.0, 9.0, 3.0, 7.0], [0.4, 0.1, 0.3, 0.2]], [[5.0, 6.0, 7.0, 8.0], [8.0, 7.0, 6.0, 5.0]]])
    assert kept_mask(score, 0.5).tolist() == [[[0, 1, 0, 1], [1, 0, 1, 0]], [[0, 0, 1, 1], [1, 1, 0, 0]]]


# --- DDLA --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("name", ["mlp", "conv-small"])
def test_with_nothing_kept_reading_f_is_the_mean_of_the_spikes_after_the_first_step(name, score):
    run, loss = a_network_at_work(name)
    by_hand = sum(tap[1:].mean() for tap in in_numpy(run.taps))
    assert by_hand > 0.1
    found = Ddla(score, "F", 0)(run, loss, generator())
    assert found.item() == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("name", ["mlp", "conv-small"])
def test_with_nothing_kept_reading_d_is_the_share_of_changes_after_the_first_step(name, score):
    run, loss = a_network_at_work(name)
    by_hand = sum((tap[1:] != tap[:-1]).mean() for tap in in_numpy(run.taps))
    assert by_hand > 0.1
    found = Ddla(score, "D", 0)(run, loss, generator())
    assert found.item() == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("score", SCORES)
def test_with_everything_kept_the_penalty_and_its_gradient_are_zero(score, reading):
    run, loss = a_network_at_work()
    penalty = Ddla(score, reading, 1)(run, loss, generator())
    assert penalty.item() == 0
    for gradient in torch.autograd.grad(penalty, run.taps):
        assert gradient.eq(0).all()


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("score", SCORES)
def test_one_step_has_no_penalty(score, reading):
    run, loss = a_network_at_work(n_steps=1)
    assert Ddla(score, reading, 0)(run, loss, generator()).item() == 0


@pytest.mark.parametrize("keep", [0, 0.3, 0.5, 1])
@pytest.mark.parametrize("reading", READINGS)
def test_what_is_pressed_is_what_had_a_low_score_one_step_before(reading, keep):
    taps = leaves(binary=False)
    expected = 0.0
    for tap, gradient in zip(in_numpy(taps), gradients_of_sines(taps), strict=True):
        pressed = pressed_by(np.abs(gradient * tap)[:-1], keep)
        what = tap[1:] if reading == "F" else np.diff(tap, axis=0)
        expected += ((pressed * what) ** 2).mean()
    found = Ddla("gsc", reading, keep)(of(taps), sines(taps), generator())
    assert found.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("keep", [0, 0.3])
def test_the_gradient_of_reading_f_presses_each_spike_that_is_not_kept(keep):
    taps = leaves(binary=False)
    penalty = Ddla("gsc", "F", keep)(of(taps), sines(taps), generator())
    found = torch.autograd.grad(penalty, taps)
    for tap, gradient, in_torch in zip(in_numpy(taps), gradients_of_sines(taps), found, strict=True):
        expected = np.zeros_like(tap)
        expected[1:] = 2 * pressed_by(np.abs(gradient * tap)[:-1], keep) * tap[1:] / tap[1:].size
        np.testing.assert_allclose(in_torch.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("keep", [0, 0.3])
def test_the_gradient_of_reading_d_does_not_flow_into_the_former_step(keep):
    taps = leaves(binary=False)
    penalty = Ddla("gsc", "D", keep)(of(taps), sines(taps), generator())
    found = torch.autograd.grad(penalty, taps)
    for tap, gradient, in_torch in zip(in_numpy(taps), gradients_of_sines(taps), found, strict=True):
        pressed = pressed_by(np.abs(gradient * tap)[:-1], keep)
        expected = np.zeros_like(tap)
        expected[1:] = 2 * pressed * np.diff(tap, axis=0) / tap[1:].size  # by the later step of each pair alone
        np.testing.assert_allclose(in_torch.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("score", ["gsc", "random"])
@pytest.mark.parametrize("reading", READINGS)
def test_nothing_is_pressed_at_the_first_step(reading, score):
    taps = leaves()
    gradients = torch.autograd.grad(Ddla(score, reading, 0)(of(taps), sines(taps), generator()), taps)
    for gradient in gradients:
        assert gradient[0].eq(0).all()
        assert gradient[1:].ne(0).any()


@pytest.mark.parametrize("reading", READINGS)
def test_the_mask_does_not_depend_on_the_gradient_of_its_own_step(reading):
    taps = leaves(binary=False)

    def penalty_when_the_gradient_changes_at(step):
        weights = [torch.rand(tap.shape, generator=generator(1), dtype=torch.float64) for tap in taps]
        for weight in weights:
            weight[step] = weight[step].flip(-1)
        loss = sum((tap * weight).sum() for tap, weight in zip(taps, weights, strict=True))
        penalty = Ddla("gsc", reading, 0.5)(of(taps), loss, generator())
        return [penalty.item(), *(gradient.tolist() for gradient in torch.autograd.grad(penalty, taps))]

    as_it_is = penalty_when_the_gradient_changes_at([])
    last = N_STEPS - 1
    assert penalty_when_the_gradient_changes_at(last) == as_it_is
    assert penalty_when_the_gradient_changes_at(last - 1) != as_it_is  # that of the step before decides


def test_gsc_is_the_gradient_of_the_loss_times_the_spike():
    run, loss = a_network_at_work("conv-small")
    found = Ddla("gsc", "F", 0.2)._scores(run, loss, generator())
    for tap in run.taps:
        tap.retain_grad()
    loss.backward()
    for score, tap in zip(found, run.taps, strict=True):
        assert score.shape == tap.shape
        assert not score.requires_grad
        assert torch.equal(score, (tap.grad * tap).abs())
        assert score[tap == 0].eq(0).all()
        assert score.max() > 0


def test_gsc_is_what_the_loss_changes_by_to_first_order_when_a_spike_is_left_out():
    readout = np.random.default_rng(4).normal(size=(SIZES[1], N_CLASSES))
    labels = torch.tensor([0, 3, 1])

    def loss_of(taps):
        return tet_loss(taps[1] @ torch.from_numpy(readout), labels)

    taps = leaves()
    first = taps[0]
    joined = [first, taps[1] + 0 * first.sum()]  # the first layer has no effect
    score = Ddla("gsc", "F", 0.2)._scores(of(joined), loss_of(joined), generator())
    assert score[0].eq(0).all()
    step = 1e-6
    for index in np.ndindex(N_STEPS, BATCH, SIZES[1]):
        nudged = taps[1].detach().clone()
        nudged[index] -= step * nudged[index]
        with torch.no_grad():
            change = (loss_of([first, nudged]) - loss_of(taps)).abs() / step
        assert score[1][index].item() == pytest.approx(change.item(), abs=1e-7)


def test_jac_is_what_a_spike_moves_in_the_next_layer():
    rng = np.random.default_rng(5)
    first = leaves()[0]
    weight, readout = torch.from_numpy(rng.normal(size=SIZES)), torch.from_numpy(rng.normal(size=(SIZES[1], N_CLASSES)))
    second = first @ weight  # linear: each score is the sum of the weights that leave a neuron
    run = Unrolled(second @ readout, (first, second))
    found = Ddla("jac", "F", 0.2)._scores(run, run.outputs.square().sum(), generator())
    for score, leaving in zip(found, (weight, readout), strict=True):
        expected = leaving.sum(1).abs().expand(N_STEPS, BATCH, -1)
        torch.testing.assert_close(score, expected, rtol=1e-12, atol=1e-12)


def test_jac_adds_up_what_a_spike_moves_at_its_step_and_later():
    first = leaves()[0]
    second = first.cumsum(0)  # step t reaches steps t to 4
    run = Unrolled(2 * second, (first, second))
    found = Ddla("jac", "F", 0.2)._scores(run, run.outputs.sum(), generator())
    assert found[0].eq(torch.tensor([4, 3, 2, 1]).reshape(-1, 1, 1)).all()
    assert found[1].eq(2).all()


def test_jac_does_not_ask_for_labels():
    run, loss = a_network_at_work()
    other = tet_loss(run.outputs, torch.tensor([1, 1, 1]))
    penalty = Ddla("jac", "F", 0.3)
    assert penalty(run, loss, generator()).item() == penalty(run, other, generator()).item()


def test_random_masks_are_those_of_the_generator():
    taps = leaves()
    penalty = Ddla("random", "F", 0.5)
    first, same, other = (penalty(of(taps), sines(taps), generator(seed)).item() for seed in (1, 1, 2))
    assert first == same
    assert first != other
    one_after_the_other = generator(1)
    assert penalty(of(taps), sines(taps), one_after_the_other).item() == first
    assert penalty(of(taps), sines(taps), one_after_the_other).item() != first


def test_random_masks_leave_the_global_generator_alone():
    taps = leaves()
    before = torch.get_rng_state()
    Ddla("random", "F", 0.5)(of(taps), sines(taps), generator())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("score", SCORES)
def test_the_penalty_leaves_the_gradient_of_the_loss_as_it_was(score, reading):
    run, loss = a_network_at_work()
    before = torch.autograd.grad(loss, run.taps, retain_graph=True)
    Ddla(score, reading, 0.3)(run, loss, generator())
    after = torch.autograd.grad(loss, run.taps)
    assert all(map(torch.equal, before, after))


def test_the_more_is_kept_the_smaller_the_penalty():
    run, loss = a_network_at_work()
    penalties = [Ddla("gsc", "F", keep)(run, loss, generator()).item() for keep in (0, 0.25, 0.5, 0.75, 1)]
    assert penalties == sorted(penalties, reverse=True)
    assert penalties[0] > penalties[1]


# --- L1 ----------------------------------------------------------------------------------------------------------

HAND_MADE = torch.tensor([[0.0, 1.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0]])  # 3 steps, 4 neurons


def hand_made():
    """Two equal layers, one sample."""
    taps = tuple(HAND_MADE.clone()[:, None].requires_grad_() for _ in range(2))
    return Unrolled(torch.zeros(3, 1, N_CLASSES), taps)


def test_l1_on_spikes_is_the_mean_of_every_layer_added_up():
    run = hand_made()
    penalty = L1Spikes()(run, torch.zeros(()), generator())
    assert penalty.item() == pytest.approx(2 * 7 / 12)
    for gradient in torch.autograd.grad(penalty, run.taps):
        assert gradient.flatten().tolist() == pytest.approx([1 / 12] * 12)


def test_l1_on_changes_counts_the_spikes_of_the_first_step_as_changes():
    run = hand_made()
    penalty = L1Delta()(run, torch.zeros(()), generator())
    assert penalty.item() == pytest.approx(2 * (3 + 1 + 2) / 12)


def test_l1_on_changes_holds_the_former_step_constant():
    run = hand_made()
    gradients = torch.autograd.grad(L1Delta()(run, torch.zeros(()), generator()), run.taps)
    signs = [[0, 1, 1, 1], [0, 0, -1, 0], [1, -1, 0, 0]]  # of what is new at each step; the step before pulls nothing
    for gradient in gradients:
        assert (12 * gradient[:, 0]).tolist() == [pytest.approx(row) for row in signs]


def test_l1_on_changes_is_the_share_of_delta_events_of_a_network():
    run, loss = a_network_at_work("conv-small")
    by_hand = sum(np.count_nonzero(np.diff(tap, axis=0, prepend=0)) / tap.size for tap in in_numpy(run.taps))
    assert L1Delta()(run, loss, generator()).item() == pytest.approx(by_hand, rel=1e-6)
    silent = replace(run, taps=tuple(torch.zeros_like(tap) for tap in run.taps))
    assert L1Delta()(silent, loss, generator()).item() == 0
