"""Pruning: exactly the asked fraction, by importance, and what is zero stays zero."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load
from torch.optim import Optimizer

from tdd_deploy.errors import BadOption, BadOptions, Interrupted
from tdd_deploy.options.pruning import PruneOptions
from tdd_deploy.options.training import TrainOptions
from tdd_deploy.program import Conv, Dense
from tdd_deploy.training import prune as pruning
from tdd_deploy.training.build import make_network
from tdd_deploy.training.fisher import information
from tdd_deploy.training.prune import prune
from tdd_deploy.training.samples import Samples, TrainingData

pytestmark = pytest.mark.usefixtures("one_thread")

OPTIONS = TrainOptions(network="mlp", method="tet", steps=3, batch=16).checked()
CHOSEN = PruneOptions(sparsity=0.8, rounds=2, epochs=1, fisher_samples=24)


def samples(n, shape=(12,), seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    centers = np.random.default_rng(99).normal(0, 1, (3, *shape))
    return Samples((centers[labels] + rng.normal(0, 0.5, (n, *shape))).astype(np.float32), labels)


def data_of(shape=(12,)):
    return TrainingData(
        train=samples(64, shape), validation=samples(32, shape, 1), input_shape=shape, n_classes=3, in_time=False
    )


def network_for(options=OPTIONS, shape=(12,), seed=0):
    torch.manual_seed(seed)
    return make_network(options, shape, 3).eval()


def weights_of(tensors):
    """The weights of connections in a network.safetensors, by connection."""
    found = load(tensors).items()
    return {name.removesuffix(".weights.weight"): w.numpy() for name, w in found if name.endswith(".weights.weight")}


def zeros_of(tensors):
    return sum(int((w == 0).sum()) for w in weights_of(tensors).values())


N_WEIGHTS = 12 * 128 + 128 * 128 + 128 * 3


@pytest.mark.parametrize("by", ["fisher", "magnitude"])
def test_exactly_the_asked_fraction_is_zero_after_each_round(by) -> None:
    found = list(prune(network_for(), OPTIONS, data_of(), replace(CHOSEN, importance=by)))
    assert [each.number for each in found] == [0, 1, 2]
    # Each round takes the same fraction of what is left: 1 - 0.2 ** (1 / 2), then 0.8.
    asked = [0, round((1 - 0.2**0.5) * N_WEIGHTS), round(0.8 * N_WEIGHTS)]
    assert [zeros_of(each.tensors) for each in found] == asked
    assert [each.pruned for each in found] == asked
    assert {each.weights for each in found} == {N_WEIGHTS}
    assert found[-1].sparsity == pytest.approx(0.8, abs=1 / N_WEIGHTS)


def test_what_is_zero_stays_zero_while_the_rest_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    net = network_for()
    step = torch.optim.AdamW.step

    def watched(self: Optimizer, *args, **given):
        result = step(self, *args, **given)  # with the hooks after it
        seen.append({name: c.weights.weight.detach() == 0 for name, c in net.connections.items()})
        return result

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    _, first, second = prune(net, OPTIONS, data_of(), replace(CHOSEN, epochs=2))
    zero = {name: torch.from_numpy(w == 0) for name, w in weights_of(first.tensors).items()}
    assert len(seen) == 2 * 2 * 4  # rounds, epochs, batches
    assert all(torch.equal(now[name], zero[name]) for now in seen[:7] for name in zero)
    before, after = weights_of(first.tensors), weights_of(second.tensors)
    for name, w in after.items():
        assert not w[before[name] == 0].any()
        left = w != 0
        assert (w[left] != before[name][left]).mean() > 0.9  # the others have learned


def test_pruned_weights_are_zero_in_the_program() -> None:
    *_, last = prune(network_for(), OPTIONS, data_of(), CHOSEN)
    for name, weight in weights_of(last.tensors).items():
        node = last.program[name]
        assert isinstance(node, Dense | Conv)
        assert not node.weight[weight == 0].any()
        assert node.weight[weight != 0].any()


def test_what_matters_least_goes_first() -> None:
    data, net = data_of(), network_for()
    early = information(net, torch.from_numpy(data.train.x[:24])[None], torch.from_numpy(data.train.y[:24]), 3).early()
    deployed = {name: weight for name, (weight, _) in net.deployed().items()}
    importance = {name: (weight.square() * early[name]).numpy() for name, weight in deployed.items()}
    magnitude = {name: weight.abs().numpy() for name, weight in weights_of_network(net).items()}
    chosen = replace(CHOSEN, sparsity=0.4, rounds=1, epochs=0)
    for by, ranked in (("fisher", importance), ("magnitude", magnitude)):
        *_, last = prune(network_for(), OPTIONS, data, replace(chosen, importance=by))
        removed = {name: weight == 0 for name, weight in weights_of(last.tensors).items()}
        gone = np.concatenate([ranked[name][removed[name]] for name in ranked])
        kept = np.concatenate([ranked[name][~removed[name]] for name in ranked])
        assert gone.max() <= kept.min() * (1 + 1e-5)


def weights_of_network(net):
    return {name: connection.weights.weight.detach() for name, connection in net.connections.items()}


def test_batch_norm_does_not_change_a_weights_fisher_importance() -> None:
    """A factor that batch norm takes back changes neither network nor ranking; magnitudes it does change."""
    scaled = network_for()
    connection = scaled.connections["fc1"]
    connection.weights.weight.data *= 64
    assert connection.norm is not None
    connection.norm.running_mean *= 64
    connection.norm.running_var *= 64**2
    connection.norm.running_var += (64**2 - 1) * connection.norm.eps
    chosen = replace(CHOSEN, sparsity=0.5, rounds=1, epochs=0)

    def removed(net, by):
        *_, last = prune(net, OPTIONS, data_of(), replace(chosen, importance=by))
        return {name: weight == 0 for name, weight in weights_of(last.tensors).items()}

    by_fisher = [removed(net, "fisher") for net in (network_for(), scaled)]
    assert all((by_fisher[0][name] == by_fisher[1][name]).mean() > 0.999 for name in by_fisher[0])
    assert removed(network_for(), "magnitude")["fc1"].any()


def test_every_connection_keeps_a_weight() -> None:
    net = network_for()
    net.connections["readout"].weights.weight.data *= 1e-6  # all of it is least in magnitude
    *_, last = prune(net, OPTIONS, data_of(), replace(CHOSEN, importance="magnitude", rounds=1, epochs=0))
    assert {name: int((w != 0).sum()) for name, w in weights_of(last.tensors).items()}["readout"] == 1


def test_a_sparsity_that_empties_connections_or_is_reached_already_is_refused() -> None:
    most = N_WEIGHTS - 3
    *_, last = prune(network_for(), OPTIONS, data_of(), replace(CHOSEN, sparsity=most / N_WEIGHTS, rounds=1, epochs=0))
    assert last.pruned == most
    with pytest.raises(BadOption, match="leaves a weight per connection"):
        next(prune(network_for(), OPTIONS, data_of(), replace(CHOSEN, sparsity=(most + 1) / N_WEIGHTS)))
    net = network_for()
    list(prune(net, OPTIONS, data_of(), replace(CHOSEN, epochs=0)))
    with pytest.raises(BadOption, match=r"above 0\.79"):
        next(prune(net, OPTIONS, data_of(), CHOSEN))


def test_a_pruned_network_is_pruned_further() -> None:
    net = network_for()
    *_, before = prune(net, OPTIONS, data_of(), replace(CHOSEN, sparsity=0.5, rounds=1))
    found = list(prune(net, OPTIONS, data_of(), CHOSEN))
    assert found[0].pruned == before.pruned
    assert found[0].sparsity < found[1].sparsity < found[2].sparsity
    for each in found:
        assert not any(w[weights_of(before.tensors)[name] == 0].any() for name, w in weights_of(each.tensors).items())


@pytest.mark.parametrize(
    "options",
    [
        {"method": "l1-spikes", "strategy": "sltt"},
        {"method": "tdd-ddla", "strategy": "stdl", "norm": "mpbn"},
        {"method": "tet", "optimizer": "sgd", "reset": "soft", "clip": 1.0, "encoder": "poisson"},
        {"method": "tet", "learn": ("beta", "threshold"), "network": "conv-small", "augment": "crop-flip"},
    ],
)
def test_a_run_goes_on_learning_as_it_did(options) -> None:
    of_run = TrainOptions(**{"network": "mlp", "steps": 3, "batch": 16, **options}).checked()
    shape = (1, 8, 8) if of_run.network == "conv-small" else (12,)
    data = data_of(shape)
    if of_run.encoder == "poisson":
        data = replace(data, **{
            name: replace(part, x=np.clip(part.x, 0, 1))
            for name, part in (("train", data.train), ("validation", data.validation))
        })  # fmt: skip
    *_, last = prune(network_for(of_run, shape), of_run, data, CHOSEN)
    assert zeros_of(last.tensors) == last.pruned == round(0.8 * last.weights)


def test_the_same_again_gives_the_same_bits() -> None:
    first, second = ([each.tensors for each in prune(network_for(), OPTIONS, data_of(), CHOSEN)] for _ in range(2))
    assert first == second


def test_learning_helps() -> None:
    data = data_of()
    net = network_for()
    optimizer = torch.optim.AdamW(net.parameters(), 2e-3)
    for _ in range(40):  # a trained network to begin with
        optimizer.zero_grad()
        outputs = net.train().unroll(torch.from_numpy(data.train.x)[None], 3).outputs.mean(0)
        torch.nn.functional.cross_entropy(outputs, torch.from_numpy(data.train.y)).backward()
        optimizer.step()
    state = {name: value.clone() for name, value in net.state_dict().items()}
    accuracies = []
    for epochs in (0, 10):
        net.load_state_dict(state)
        *_, last = prune(net, OPTIONS, data, replace(CHOSEN, sparsity=0.9, rounds=1, epochs=epochs, learning_rate=5e-3))
        accuracies.append(last.evaluation.accuracy)
    assert accuracies[1] > accuracies[0]


def test_an_interrupt_comes_between_two_batches() -> None:
    before = signal.getsignal(signal.SIGINT)
    rounds = prune(network_for(), OPTIONS, data_of(), CHOSEN)
    next(rounds)
    next(rounds)
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(Interrupted, match="round 2 is not finished"):
        next(rounds)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_run_that_diverges_says_so() -> None:
    data = data_of()
    data = replace(data, train=replace(data.train, x=data.train.x * np.float32(1e30)))
    with pytest.raises(BadOption, match=r"learning_rate=.* made learning diverge in round 1"):
        list(prune(network_for(), OPTIONS, data, replace(CHOSEN, importance="magnitude")))


def test_all_faults_of_the_options_are_reported_at_once() -> None:
    wrong = PruneOptions(sparsity=1.0, rounds=0, epochs=-1, importance="chance", fisher_samples=0, learning_rate=0.0)  # type: ignore[arg-type]
    with pytest.raises(BadOptions) as refused:
        wrong.checked()
    names = ["sparsity", "rounds", "epochs", "importance", "fisher_samples", "learning_rate"]
    assert [violation.where for violation in refused.value.violations] == [f"`{name}`" for name in names]
    assert CHOSEN.checked() is CHOSEN


def test_of_weights_that_matter_alike_the_smaller_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(network, x, labels, n_steps):
        return pruning.Information(
            ({n: torch.zeros_like(c.weights.weight) for n, c in network.connections.items()},), 1
        )

    monkeypatch.setattr(pruning, "information", nothing)
    chosen = replace(CHOSEN, epochs=0, rounds=1)
    both = [
        list(prune(network_for(), OPTIONS, data_of(), replace(chosen, importance=by)))[-1]
        for by in ("fisher", "magnitude")
    ]
    by_fisher, by_magnitude = (weights_of(each.tensors) for each in both)
    assert both[0].pruned == both[1].pruned == round(0.8 * N_WEIGHTS)
    differing = sum(int(((by_fisher[name] == 0) != (by_magnitude[name] == 0)).sum()) for name in by_fisher)
    assert differing <= 6  # what each connection keeps is the first of equals here, and the largest there
