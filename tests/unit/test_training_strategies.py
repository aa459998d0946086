"""How a batch becomes gradients, against losses written out and autograd left alone."""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from tdd_deploy import load as read_program
from tdd_deploy import train
from tdd_deploy.data import open_data
from tdd_deploy.options.vocabulary import Score
from tdd_deploy.training import load
from tdd_deploy.training.choice import highest, highest_of_members
from tdd_deploy.training.gates import Gate
from tdd_deploy.training.methods import Ddla, L1Delta, L1Onset, L1Spikes, RateLoss, RmpLoss, TetLoss
from tdd_deploy.training.network import Connection, Network, Neurons, Part
from tdd_deploy.training.scores import Scoring
from tdd_deploy.training.strategies import Batch, Objective, Online, Unrolling
from tests.kept import most_kept
from tests.untrained import network, neuron, pixels, tiny_resnet

N_STEPS, BATCH, N_CLASSES = 4, 6, 5

pytestmark = pytest.mark.usefixtures("one_thread")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def plain(*, learned=(), sizes=(9, 14, 11, N_CLASSES), **numbers):
    """Dense layers without batch norm, so that steps run together and one by one are the same."""
    torch.manual_seed(4)
    parts, last = [], "input"
    for number, (n_in, n_out) in enumerate(pairwise(sizes), 1):
        weights = nn.Linear(n_in, n_out)
        nn.init.normal_(weights.weight, 0.1, 1.2 / n_in**0.5)
        nn.init.normal_(weights.bias, 0.3, 0.2)
        parts.append(Part(f"fc{number}", Connection(weights, None, 0), (last,)))
        if number < len(sizes) - 1:
            parts.append(Part(f"fc{number}_spikes", Neurons(neuron(**numbers), learned=learned), (f"fc{number}",)))
        last = parts[-1].name
    return Network(parts, (last,), (sizes[0],))


def batch_for(net, objective, *, n_steps=N_STEPS, static=False, seed=0, targets=None):
    x = torch.from_numpy(pixels(1 if static else n_steps, BATCH, *net.input_shape, seed=seed))
    labels = torch.arange(BATCH) % N_CLASSES if targets is None else targets
    return Batch(x, labels, n_steps, objective, generator(3))


def learned(strategy, net, objective, **choices):
    """What a strategy gave, and the gradients it left."""
    net.zero_grad(set_to_none=True)
    found = strategy.learn(net, batch_for(net, objective, **choices))
    return found, {name: parameter.grad for name, parameter in net.named_parameters()}


def assert_same_bits(found, expected):
    assert found[0].loss == expected[0].loss
    assert torch.equal(found[0].outputs, expected[0].outputs)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in found[1].items():
        assert torch.equal(gradient, expected[1][name]), name
        assert gradient.any(), name


def assert_close(found, expected):
    assert found[0].loss == pytest.approx(expected[0].loss, rel=1e-5)
    torch.testing.assert_close(found[0].outputs, expected[0].outputs, rtol=1e-4, atol=1e-5)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in found[1].items():
        torch.testing.assert_close(gradient, expected[1][name], rtol=1e-3, atol=1e-5, msg=name)


def are_close(found, expected):
    return all(torch.allclose(g, expected[1][name], rtol=1e-3, atol=1e-5) for name, g in found[1].items())


@dataclass(frozen=True)
class Spy:
    """A penalty of nothing, which keeps what it saw."""

    seen: list = field(default_factory=list)

    def __call__(self, sent):
        self.seen.append(sent)
        return 0 * sent.now.sum()


def scoring_by(score, among="all"):
    return None if score is None else Scoring(score, among)


def seen_by(
    strategy, net, score, *, among="all", serial=False, loss=None, layers=None, transmit="all", keep=1.0, **choices
):
    """The arguments of a penalty per layer; of a serial strategy per step, then per layer."""
    spy = Spy()
    weights = dict.fromkeys(layers or net.layers, 1.0)
    objective = Objective(
        loss or TetLoss(), spy, 1.0, weights, scoring_by(score, among), serial=serial, transmit=transmit, keep=keep
    )
    learned(strategy, net, objective, **choices)
    return spy.seen


ALL_LAYERS = dict.fromkeys(("fc1_spikes", "fc2_spikes"), 1.0)
PENALTIES = {
    "l1-spikes": (L1Spikes(), None),
    "l1-delta": (L1Delta(), None),
    "l1-onset": (L1Onset(), None),
    "ddla F": (Ddla("F", 0.5), "gsc"),
    "ddla D": (Ddla("D", 0.5), "jac"),
}


def objective_of(name, *, weight=0.7, layers=ALL_LAYERS, loss_factor=1.0):
    penalty, score = PENALTIES[name]
    return Objective(TetLoss(), penalty, weight, layers, scoring_by(score), loss_factor=loss_factor)


# --- Backpropagation through time ----------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [TetLoss(), RateLoss(), RmpLoss(), TetLoss(0.1)], ids=str)
@pytest.mark.parametrize("static", [False, True])
def test_unrolling_leaves_the_gradient_of_the_loss(static, loss):
    net = plain()
    found = learned(Unrolling(), net, Objective(loss), static=static)
    net.zero_grad()
    batch = batch_for(net, Objective(loss), static=static)
    run = net.unroll(batch.x, N_STEPS)
    expected = loss(run, batch.targets)
    expected.backward()
    assert found[0].loss == expected.item()
    assert torch.equal(found[0].outputs, run.outputs)
    for name, parameter in net.named_parameters():
        assert torch.equal(found[1][name], parameter.grad)


@pytest.mark.parametrize("layers", [ALL_LAYERS, {"fc1_spikes": 0.25, "fc2_spikes": 3.0}, {"fc2_spikes": 1.0}], ids=str)
def test_a_penalty_is_added_per_layer_with_its_weights(layers):
    net = plain()
    found = learned(Unrolling(), net, objective_of("l1-delta", weight=0.7, layers=layers))
    net.zero_grad()
    batch = batch_for(net, Objective(TetLoss()))
    run = net.unroll(batch.x, N_STEPS)
    total = TetLoss()(run, batch.targets)
    for name, weight in layers.items():
        raster = run.spikes[name]
        before = torch.cat([torch.zeros_like(raster[:1]), raster[:-1].detach()])
        total = total + 0.7 * weight * (raster - before).abs().mean()
    total.backward()
    assert found[0].loss == pytest.approx(total.item(), rel=1e-6)
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(found[1][name], parameter.grad)


@pytest.mark.parametrize("name", ["mlp", "tiny resnet"])
@pytest.mark.parametrize("score", get_args(Score))
@pytest.mark.parametrize("reading", ["F", "D"])
@pytest.mark.parametrize("strategy", [Unrolling(), Online()], ids=str)
def test_with_everything_kept_or_no_weight_or_one_step_ddla_is_tet_bit_for_bit(strategy, reading, score, name):
    def gradients(n_steps=N_STEPS, **changed):
        net = tiny_resnet() if name == "tiny resnet" else network(name, n_classes=4)
        layers = dict.fromkeys(net.layers, 1.0)
        objective = replace(Objective(TetLoss(), Ddla(reading, 0.5), 1.2, layers, Scoring(score)), **changed)
        return learned(strategy, net, objective, n_steps=n_steps, targets=torch.arange(BATCH) % 4)

    tet = gradients(penalty=None, scoring=None)
    assert_same_bits(gradients(penalty=Ddla(reading, 1)), tet)
    assert_same_bits(gradients(weight=0.0), tet)
    assert_same_bits(gradients(n_steps=1), gradients(n_steps=1, penalty=None, scoring=None))
    assert not are_close(gradients(), tet)


# --- Scores --------------------------------------------------------------------------------------------------------


def test_the_score_at_a_step_is_the_gradient_of_the_loss_of_the_step_before():
    net = plain()
    batch = batch_for(net, Objective(TetLoss()))
    run = net.unroll(batch.x, N_STEPS)
    for raster in run.spikes.values():
        raster.retain_grad()
    TetLoss()(run, batch.targets).backward()
    for score in ("grad", "gsc"):
        for sent, raster in zip(seen_by(Unrolling(), net, score), run.spikes.values(), strict=True):
            expected = (raster.grad * raster if score == "gsc" else raster.grad).abs()
            assert torch.equal(sent.score, expected[:-1])
            assert not sent.score.requires_grad
            assert torch.equal(sent.now, raster)
            assert torch.equal(sent.before, torch.cat([torch.zeros_like(raster[:1]), raster[:-1]]))
            assert not sent.before.requires_grad
            assert expected.max() > 0
            if score == "gsc":
                assert expected[raster == 0].eq(0).all()


class Passing(Gate):
    """Sends what arrives, so that a network of it is linear."""

    def forward(self, x):
        return x


def linear(middle):
    """input -> fc1 -> first -> fc2 -> second -> fc3, all of it linear."""
    weights = [nn.Linear(3, 7), nn.Linear(7, 6), nn.Linear(6, N_CLASSES)]
    parts, last = [], "input"
    for number, (each, sends) in enumerate(zip(weights, (Passing(), middle, None), strict=True), 1):
        parts.append(Part(f"fc{number}", Connection(each, None, 0), (last,)))
        if sends is not None:
            parts.append(Part(f"spikes{number}", sends, (f"fc{number}",)))
        last = parts[-1].name
    return Network(parts, (last,), (3,)).double()


def doubled(net, loss=None):
    def of(score):
        spy = Spy()
        objective = Objective(loss or TetLoss(), spy, 1.0, dict.fromkeys(net.layers, 1.0), Scoring(score))
        batch = batch_for(net, objective)
        Unrolling().learn(net, replace(batch, x=batch.x.double()))
        return [sent.score for sent in spy.seen]

    return of


def test_jac_is_what_a_spike_moves_in_the_next_layer():
    torch.manual_seed(0)
    net = linear(Passing())
    first, second = doubled(net)("jac")
    for score, leaving in ((first, net["fc2"]), (second, net["fc3"])):  # the sum of the weights that leave a neuron
        expected = leaving.weights.weight.sum(0).abs().detach().expand(N_STEPS - 1, BATCH, -1)
        torch.testing.assert_close(score, expected, rtol=1e-12, atol=1e-12)


def test_jac_does_not_ask_for_labels_and_gsc_does():
    net = plain()
    for score, is_same in (("jac", True), ("gsc", False)):
        one = seen_by(Unrolling(), net, score)
        other = seen_by(Unrolling(), net, score, targets=torch.zeros(BATCH, dtype=torch.long))
        assert all(torch.equal(a.score, b.score) for a, b in zip(one, other, strict=True)) == is_same


def test_gsc_is_what_the_loss_changes_by_to_first_order_when_a_spike_is_left_out():
    net = linear(Passing())
    of_first, _ = doubled(net)("gsc")
    batch = batch_for(net, Objective(TetLoss()))
    x = batch.x.double()
    step = 1e-6

    def loss(name, t, sample, k):
        def send(layer, values):
            changed = values.clone()
            if layer == name:
                changed[t, sample, k] *= 1 - step
            return changed

        with torch.no_grad():
            return TetLoss()(net.unroll(x, N_STEPS, send=send), batch.targets).item()

    whole = loss("nobody", 0, 0, 0)
    for t, sample, k in np.ndindex(N_STEPS - 1, BATCH, 7):
        change = abs(loss("spikes1", t, sample, k) - whole) / step
        assert of_first[t, sample, k].item() == pytest.approx(change, abs=1e-7)


def test_random_scores_are_those_of_the_generator_and_leave_the_global_one_alone():
    net = plain()
    before = torch.get_rng_state()
    first, same = (seen_by(Unrolling(), net, "random")[0].score for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, same)
    expected = torch.rand(N_STEPS, BATCH, 14, generator=generator(3))
    assert torch.equal(first, expected[:-1])


@dataclass(frozen=True)
class Weighted:
    """A loss of random weights, others from a step on; a serial strategy sees its steps one by one."""

    changed_at: int
    n_steps: int = N_STEPS
    calls: list = field(default_factory=list)

    def __call__(self, run, targets):
        weights = torch.randn(self.n_steps, *run.outputs.shape[1:], generator=generator(1))
        weights[self.changed_at] = weights[self.changed_at].flip(-1)
        start = sum(self.calls)
        self.calls.append(len(run.outputs))
        return (run.outputs * weights[start : start + len(run.outputs)]).sum()


@pytest.mark.parametrize("strategy", [Unrolling(), Online()], ids=str)
@pytest.mark.parametrize("score", ["gsc", "grad"])
def test_the_mask_at_a_step_does_not_depend_on_the_gradient_of_that_step(score, strategy):
    """Neurons without memory, so that a loss has no gradient at former steps."""
    net = plain(beta=0.0)

    def masks(changed_at):
        seen = seen_by(strategy, net, score, loss=Weighted(changed_at))
        if strategy == Unrolling():
            return [[sent.score[t - 1] for sent in seen] for t in range(1, N_STEPS)]
        return [[sent.score[0] for sent in seen[2 * t : 2 * t + 2]] for t in range(1, N_STEPS)]

    plain_masks = masks(0)
    for step in range(1, N_STEPS):
        found = masks(step)
        for t in range(2, N_STEPS):  # at t = 1 the score is that of step 0, which every variant but this one shares
            is_same = all(map(torch.equal, found[t - 1], plain_masks[t - 1]))
            assert is_same == (t - 1 != step), (t, step)


# --- The mask, as a run is trained ---------------------------------------------------------------------------------


@pytest.mark.parametrize("score", ["gsc", "grad", "jac"])
@pytest.mark.parametrize("among", ["changed", "fired"])
def test_in_step_mode_no_score_depends_on_a_later_step(among, score):
    """With the memory and the batch norm of a real run; in run mode, every step before it is reached."""

    def scores(serial, changed_from):
        net = network("conv-small", n_classes=N_CLASSES)
        spy = Spy()
        objective = Objective(TetLoss(), spy, 1.0, dict.fromkeys(net.layers, 1.0), Scoring(score, among), serial=serial)
        batch = batch_for(net, objective)
        x = batch.x.clone()
        x[changed_from:] = x[changed_from:].flip(-1)
        Unrolling().learn(net, replace(batch, x=x))
        if not serial:
            return [sent.score for sent in spy.seen]
        n = len(net.layers)
        return [torch.cat([sent.score for sent in spy.seen[n + k :: n]]) for k in range(n)]

    for changed_from in range(1, N_STEPS - 1):
        whole, other = scores(True, N_STEPS), scores(True, changed_from)
        assert all(torch.equal(a[:changed_from], b[:changed_from]) for a, b in zip(whole, other, strict=True))
        assert not all(map(torch.equal, whole, other))
        unrolled, others = scores(False, N_STEPS), scores(False, changed_from)
        assert not all(torch.equal(a[:1], b[:1]) for a, b in zip(unrolled, others, strict=True))


def test_run_after_run_a_step_is_learned_from_as_its_equations_say():
    """In step mode the loss is that of all steps, and so are its gradients; only the score is of one step."""
    net = plain()
    found = learned(Unrolling(), net, replace(objective_of("ddla F"), serial=True))
    spy = Spy()
    learned(Unrolling(), net, replace(objective_of("ddla F"), penalty=spy, serial=True))
    masks = {
        name: torch.cat([highest(sent.score, 0.5) for sent in spy.seen[2 + number :: 2]])
        for number, name in enumerate(ALL_LAYERS)
    }
    net.zero_grad()
    batch = batch_for(net, Objective(TetLoss()))
    run = net.unroll(batch.x, N_STEPS)
    total = TetLoss()(run, batch.targets)
    for name, mask in masks.items():
        total = total + 0.7 * ((1 - mask) * run.spikes[name][1:]).square().mean()
    total.backward()
    assert found[0].loss == pytest.approx(total.item(), rel=1e-5)
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(found[1][name], parameter.grad, rtol=1e-3, atol=1e-5)


def test_a_convex_sum_weighs_the_loss_too():
    net = plain()
    plainly, convex = (
        learned(Unrolling(), net, objective_of("l1-spikes", weight=weight, loss_factor=loss_factor))
        for weight, loss_factor in ((1.5, 1.0), (0.6, 0.4))
    )
    assert convex[0].loss == pytest.approx(0.4 * plainly[0].loss, rel=1e-6)
    for name, gradient in convex[1].items():
        torch.testing.assert_close(gradient, 0.4 * plainly[1][name])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A network that has learned digits for a short time, and a batch of them."""
    path = tmp_path_factory.mktemp("run") / "tet"
    train(path, method="tet", epochs=3, batch=32, train_samples=600)
    x, y = open_data("digits", split="test").load()
    return load(path, read_program(path)), torch.from_numpy(x[:64])[None], torch.from_numpy(y[:64])


def freed(trained, score, among, keep=0.5):
    """The masks of a batch by layer, for its steps after the first, and the spikes one step before each."""
    net, x, y = trained
    spy = Spy()
    objective = Objective(TetLoss(), spy, 1.0, dict.fromkeys(net.layers, 1.0), Scoring(score, among))
    Unrolling().learn(net.train(), Batch(x, y, 6, objective, generator(5)))
    choose = (lambda s: highest(s, keep)) if among == "all" else (lambda s: highest_of_members(s, keep, generator()))
    return [(choose(sent.score), sent.now.detach()) for sent in spy.seen]


@pytest.mark.parametrize("among", ["changed", "fired"])
def test_a_mask_frees_members_alone_and_a_random_one_frees_others(trained, among):
    by_score, at_random = freed(trained, "gsc", among), freed(trained, "random", among)
    shared = n_freed = n_members = 0
    for (mask, now), (other, _) in zip(by_score, at_random, strict=True):
        before = torch.cat([torch.zeros_like(now[:1]), now[:-1]])
        members = (now != before if among == "changed" else now != 0)[:-1]
        assert not mask[~members].any()
        assert not other[~members].any()
        shared, n_freed, n_members = (
            shared + int((mask * other).sum()),
            n_freed + int(mask.sum()),
            n_members + int(members.sum()),
        )
    assert 0.3 * n_members < n_freed <= 0.51 * n_members  # not all members have a score above 0
    assert shared < 0.7 * n_freed  # a random half shares half of them


def test_among_all_neurons_a_mask_frees_nearly_every_spike(trained):
    """Most neurons are silent, so half of all neurons hold all that fired; the rest are ties. Old runs did so."""
    masks = freed(trained, "gsc", "all")
    fired = torch.cat([now[:-1].flatten() for _, now in masks])
    mask = torch.cat([mask.flatten() for mask, _ in masks])
    scored = fired * mask
    assert scored.sum() > 0.98 * fired.sum()
    assert mask.sum() > 2 * scored.sum()


# --- What is transmitted -------------------------------------------------------------------------------------------


def transmitting(net, transmit, keep, *, strategy, score="grad", loss=None, **choices):
    """What the second layer's map received, the first layer's spikes, and its masks, each ``[n_steps, batch, n]``."""
    received = []
    hook = net["fc2"].register_forward_hook(lambda module, given, out: received.append(given[0].detach()))
    seen = seen_by(strategy, net, score, transmit=transmit, keep=keep, layers=["fc1_spikes"], loss=loss, **choices)
    hook.remove()
    masks = [None if sent.score is None else highest(sent.score, keep)[0] for sent in seen]
    return torch.stack(received), torch.stack([sent.now[0].detach() for sent in seen]), masks


@pytest.mark.parametrize("strategy", [Unrolling(), Online()], ids=str)
@pytest.mark.parametrize("score", ["grad", "gsc", "jac", "random"])
def test_closed_a_receiver_holds_the_spike_where_it_is_sent_and_its_former_value_elsewhere(score, strategy):
    received, spikes, masks = transmitting(plain(), "closed", 0.4, strategy=strategy, score=score)
    held = spikes[0]
    assert torch.equal(received[0], held)  # the first step is sent whole
    n_kept_back = 0
    for t in range(1, N_STEPS):
        expected = torch.where(masks[t] == 1, spikes[t], held)
        assert masks[t].sum(1).eq(round(0.4 * 14)).all()
        assert torch.equal(received[t], expected)
        n_kept_back += int((expected != spikes[t]).sum())
        held = expected
    assert n_kept_back > 0
    assert set(received.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("strategy", [Unrolling(), Online()], ids=str)
def test_open_a_receiver_adds_up_the_changes_that_are_sent(strategy):
    n_steps = 8
    received, spikes, masks = transmitting(plain(), "open", 0.4, strategy=strategy, score="random", n_steps=n_steps)
    total = spikes[0]
    assert torch.equal(received[0], total)
    for t in range(1, n_steps):
        total = total + masks[t] * (spikes[t] - spikes[t - 1])
        assert torch.equal(received[t], total)
    assert {-1.0, 2.0} & set(received.unique().tolist())  # errors add up


@pytest.mark.parametrize("strategy", [Unrolling(), Online()], ids=str)
@pytest.mark.parametrize("score", ["grad", "gsc", "jac"])
@pytest.mark.parametrize("transmit", ["open", "closed"])
def test_what_was_not_sent_has_a_score_and_may_be_sent_later(transmit, score, strategy):
    """The score is that of the receivers' gradient; through the mask itself, what is not sent would have none."""
    layers = ["fc1_spikes"]
    seen = seen_by(strategy, plain(), score, transmit=transmit, keep=0.2, layers=layers, n_steps=6)
    newly_sent = 0
    for earlier, sent in pairwise(seen[1:]):
        before, mask = highest(earlier.score, 0.2), highest(sent.score, 0.2)
        assert (sent.score[before == 0] > 0).any()
        newly_sent += int((mask > before).sum())
    assert newly_sent > 0


@pytest.mark.parametrize("transmit", ["open", "closed"])
def test_with_nothing_kept_receivers_hold_the_first_step_for_ever(transmit):
    received, spikes, _ = transmitting(plain(), transmit, 0.0, strategy=Online())
    assert (spikes[1:] != spikes[0]).any()
    assert received.eq(spikes[0]).all()


@pytest.mark.parametrize("score", get_args(Score))
@pytest.mark.parametrize("transmit", ["open", "closed"])
@pytest.mark.parametrize("name", ["mlp", "conv-small"])
def test_online_with_everything_sent_either_way_is_all_bit_for_bit(name, transmit, score):
    def gradients(**changed):
        net = network(name, n_classes=N_CLASSES)
        return learned(Online(), net, Objective(TetLoss(), **changed))

    assert_same_bits(gradients(transmit=transmit, scoring=Scoring(score), keep=1.0), gradients())
    assert not are_close(gradients(transmit=transmit, scoring=Scoring(score), keep=0.3), gradients())


@pytest.mark.parametrize("transmit", ["open", "closed"])
def test_unrolling_with_everything_sent_either_way_is_all(transmit):
    """The gradients too, which reach former spikes through what receivers hold."""
    changed = {"transmit": transmit, "scoring": Scoring("grad"), "keep": 1.0}
    found, expected = (learned(Unrolling(), plain(), Objective(TetLoss(), **how)) for how in (changed, {}))
    assert_close(found, expected)
    exact = network("mlp", n_classes=N_CLASSES, learned=("beta", "threshold")).eval()  # on grids: sums are exact
    outputs = [Unrolling().learn(exact, batch_for(exact, Objective(TetLoss(), **how))).outputs for how in (changed, {})]
    assert torch.equal(*outputs)


@pytest.mark.parametrize("transmit", ["open", "closed"])
def test_unrolled_the_gradient_of_what_is_sent_is_that_of_its_equation(transmit):
    """Masks and spikes are recorded; then the network is run again with them, and torch differentiates."""
    net, keep = plain(), 0.4
    objective = Objective(TetLoss(), Spy(), 1.0, ALL_LAYERS, Scoring("grad"), transmit=transmit, keep=keep)
    found = learned(Unrolling(), net, objective)
    seen = objective.penalty.seen
    masks = {
        name: [None, *(highest(sent.score, keep) for sent in seen[number + 2 :: 2])]
        for number, name in enumerate(ALL_LAYERS)
    }
    net.zero_grad()
    batch = batch_for(net, objective)
    states, total = None, 0.0
    held, former = {}, {}

    def send(name, spikes):
        if t == 0:
            held[name] = spikes
        elif transmit == "closed":
            held[name] = masks[name][t] * spikes + (1 - masks[name][t]) * held[name]
        else:
            held[name] = held[name] + masks[name][t] * (spikes - former[name])
        former[name] = spikes
        return held[name]

    for t in range(N_STEPS):
        run = net.step(batch.at(t), states, send)
        states = run.states
        total = total + TetLoss()(run, batch.targets) / N_STEPS
    total.backward()
    assert found[0].loss == pytest.approx(total.item(), rel=1e-6)
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(found[1][name], parameter.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("strategy", [Unrolling(), Online()], ids=str)
@pytest.mark.parametrize("transmit", ["open", "closed"])
def test_what_is_sent_at_a_step_does_not_depend_on_the_gradient_of_that_step(transmit, strategy):
    n_steps = 6

    def found(changed_at):
        loss = Weighted(changed_at, n_steps)
        received, _, masks = transmitting(plain(), transmit, 0.2, strategy=strategy, loss=loss, n_steps=n_steps)
        return received, masks

    plainly, plain_masks = found(n_steps - 1)  # nothing is sent after the last step's gradient
    others = 0
    for step in range(n_steps - 1):
        received, masks = found(step)
        assert torch.equal(received[: step + 1], plainly[: step + 1])
        others += not torch.equal(masks[step + 1], plain_masks[step + 1])
        assert step > 0 or not torch.equal(received, plainly)
    assert others >= n_steps - 2  # what is sent next does depend on it


# --- Online --------------------------------------------------------------------------------------------------------


def step_by_step(net, batch, loss=None, chosen=None):
    """The gradients of each step's loss, with the states before it as constants; one backward pass at the end."""
    net.zero_grad(set_to_none=True)
    states, total = None, 0.0
    chosen = range(batch.n_steps) if chosen is None else chosen
    for t in range(batch.n_steps):
        run = net.step(batch.at(t), states)
        states = {name: tuple(value.detach() for value in state) for name, state in run.states.items()}
        if t in chosen:
            total = total + (loss or TetLoss())(run, batch.targets) / len(chosen)
    total.backward()
    return {name: parameter.grad for name, parameter in net.named_parameters()}


@pytest.mark.parametrize("loss", [TetLoss(), RmpLoss()], ids=str)
@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("name", ["plain", "mlp", "tiny resnet"])
def test_online_is_the_gradient_with_every_former_state_a_constant(name, reset, loss):
    choices = {"reset": reset, "beta": 0.8, "learned": ("beta", "threshold")}

    def made():
        if name == "plain":
            return plain(**choices)
        return tiny_resnet(**choices) if name == "tiny resnet" else network(name, n_classes=N_CLASSES, **choices)

    targets = torch.arange(BATCH) % 4
    net = made()
    found = learned(Online(), net, Objective(loss), targets=targets)
    other = made()
    expected = step_by_step(other, batch_for(other, Objective(loss), targets=targets), loss)
    for gradient_name, gradient in found[1].items():
        torch.testing.assert_close(gradient, expected[gradient_name], rtol=1e-4, atol=1e-6)
    norms = [(part, other.get_submodule(n)) for n, part in net.named_modules() if isinstance(part, nn.BatchNorm1d)]
    assert all(torch.equal(a.running_mean, b.running_mean) for a, b in norms)


@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_for_neurons_without_memory_online_is_backpropagation_through_time(reset):
    """u = 0 v + I: nothing of a step reaches the next, whatever the reset; with a memory something does."""
    without, memory = ({"reset": reset, "beta": beta, "learned": ("threshold",)} for beta in (0.0, 0.5))
    found, expected = (
        learned(strategy, plain(**without), Objective(TetLoss())) for strategy in (Online(), Unrolling())
    )
    assert_close(found, expected)
    found, expected = (learned(strategy, plain(**memory), Objective(TetLoss())) for strategy in (Online(), Unrolling()))
    assert torch.allclose(found[0].outputs, expected[0].outputs, atol=1e-5)
    assert not are_close(found, expected)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_penalties_of_online_steps_are_those_of_all_steps(penalty):
    """Without a memory; a score of BPTT is of the mean over steps, so it is smaller and ranks the same."""
    found, expected = (
        learned(strategy, plain(beta=0.0), objective_of(penalty)) for strategy in (Online(), Unrolling())
    )
    assert_close(found, expected)
    assert not are_close(found, learned(Online(), plain(beta=0.0), Objective(TetLoss())))


@pytest.mark.parametrize("name", ["plain", "mlp", "conv-small", "tiny resnet"])
@pytest.mark.parametrize("penalty", [None, "l1-onset", "ddla F"])
def test_one_step_online_is_one_step_unrolled(penalty, name):
    def gradients(strategy):
        if name == "plain":
            net = plain()
        else:
            net = tiny_resnet() if name == "tiny resnet" else network(name, n_classes=N_CLASSES)
        layers = dict.fromkeys(net.layers, 1.0)
        objective = Objective(TetLoss()) if penalty is None else objective_of(penalty, layers=layers)
        return learned(strategy, net, objective, n_steps=1, targets=torch.arange(BATCH) % 4)

    assert_same_bits(gradients(Online()), gradients(Unrolling()))


@pytest.mark.parametrize("k", [N_STEPS, N_STEPS + 3])
def test_as_many_steps_as_there_are_is_all_of_them(k):
    objective = objective_of("l1-delta")
    assert_same_bits(learned(Online(k), plain(), objective), learned(Online(), plain(), objective))


@pytest.mark.parametrize("k", [1, 2, 3])
def test_k_steps_drawn_at_random_are_learned_from_and_those_after_the_last_are_not_run(k):
    net = plain()
    found = learned(Online(k), net, Objective(TetLoss()))
    chosen = torch.randperm(N_STEPS, generator=generator(3))[:k].tolist()
    expected = step_by_step(net, batch_for(net, Objective(TetLoss())), chosen=chosen)
    for name, gradient in found[1].items():
        torch.testing.assert_close(gradient, expected[name])
    whole = learned(Online(), net, Objective(TetLoss()))
    assert torch.equal(found[0].outputs, whole[0].outputs[: max(chosen) + 1])
    assert not are_close(found, whole)


def test_over_all_draws_k_steps_are_online_in_the_mean():
    """Each step is drawn as often as another: the mean over draws is the gradient of all steps, penalties too."""
    objective, totals, draws = objective_of("l1-onset"), {}, {}
    net = plain()
    seed = 0
    while len(draws) < N_STEPS:  # until each step was drawn once
        net.zero_grad(set_to_none=True)
        batch = replace(batch_for(net, objective), chance=generator(seed))
        (step,) = torch.randperm(N_STEPS, generator=generator(seed))[:1].tolist()
        if step not in draws:
            draws[step] = Online(1).learn(net, batch).loss
            for name, parameter in net.named_parameters():
                totals[name] = totals.get(name, 0) + parameter.grad / N_STEPS
        seed += 1
    whole = learned(Online(), net, objective)
    assert sum(draws.values()) / N_STEPS == pytest.approx(whole[0].loss, rel=1e-6)
    for name, gradient in whole[1].items():
        torch.testing.assert_close(gradient, totals[name], rtol=1e-4, atol=1e-6)


# --- Memory --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "penalty"),
    [(Online(), None), (Online(), "l1-delta"), (Online(), "ddla F"), (Online(2), None), (Online(2), "l1-delta")],
    ids=str,
)
def test_what_online_keeps_for_backward_does_not_grow_with_the_steps(strategy, penalty):
    net = network("conv-small", n_classes=N_CLASSES)
    objective = Objective(TetLoss()) if penalty is None else objective_of(penalty, layers=dict.fromkeys(net.layers, 1))
    kept = {n: most_kept(lambda n=n: learned(strategy, net, objective, n_steps=n)) for n in (4, 8, 16)}
    assert kept[4] == kept[8] == kept[16] > 0
    unrolled = {n: most_kept(lambda n=n: learned(Unrolling(), net, objective, n_steps=n)) for n in (4, 8, 16)}
    assert unrolled[16] - unrolled[8] == pytest.approx(2 * (unrolled[8] - unrolled[4]), rel=0.01)  # so much per step
    assert unrolled[16] > 5 * kept[16]


def test_steps_that_are_not_learned_from_keep_nothing():
    net = plain()
    graphs = []
    hook = net["fc3"].register_forward_hook(lambda module, given, out: graphs.append(out.requires_grad))
    learned(Online(1), net, Objective(TetLoss()))
    hook.remove()
    (chosen,) = torch.randperm(N_STEPS, generator=generator(3))[:1].tolist()
    assert graphs == [False] * chosen + [True]
