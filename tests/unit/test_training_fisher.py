"""Fisher information against formulas, and against autograd through equations written out here."""

import numpy as np
import pytest
import torch
from torch import nn

from tdd_deploy.training import fisher
from tdd_deploy.training.fisher import Information, centroid, information, recorded_traces
from tdd_deploy.training.network import Connection, Network, Part
from tests.untrained import network, pixels, tiny_resnet

pytestmark = pytest.mark.usefixtures("one_thread")

N_STEPS, BATCH = 4, 5


def inputs_for(net, *, static=False, batch=BATCH):
    return torch.from_numpy(pixels(1 if static else N_STEPS, batch, *net.input_shape))


def labels(n, batch=BATCH):
    return torch.arange(batch) % n


class Triangle(torch.autograd.Function):
    """A step with the triangle for its derivative, once more."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * torch.clamp(1 - x.abs(), min=0)


def test_a_lone_readout_has_the_information_of_logistic_regression() -> None:
    net = Network([Part("readout", Connection(nn.Linear(3, 4), None, 8), ("input",))], ("readout",), (3,))
    x = inputs_for(net, static=True)
    found = information(net, x, labels(4), N_STEPS)
    weight, bias = net.connections["readout"].deployed
    share = torch.softmax(x[0] @ weight.T + bias, 1)
    by_hand = ((nn.functional.one_hot(labels(4), 4) - share).square().sum(1) * x[0].square().sum(1)).mean()
    assert found.traces == pytest.approx([float(by_hand)] * N_STEPS, rel=1e-5)  # every step has the same outputs


def test_two_layers_agree_with_autograd_through_their_equations() -> None:
    net = network("mlp", input_shape=(6,), n_classes=3).eval()
    x = inputs_for(net)
    found = information(net, x, labels(3), N_STEPS)
    deployed = net.deployed()
    squares = {name: [torch.zeros_like(w) for _ in range(N_STEPS)] for name, (w, _) in deployed.items()}
    for sample in range(BATCH):
        weights = {name: w.clone().requires_grad_() for name, (w, _) in deployed.items()}
        biases = {name: b for name, (_, b) in deployed.items()}
        v = [torch.zeros(128), torch.zeros(128)]
        total = torch.zeros(3)
        for t in range(N_STEPS):
            sent = x[t, sample]
            for layer, name in enumerate(("fc1", "fc2")):
                u = 0.5 * v[layer] + weights[name] @ sent + biases[name]
                sent = Triangle.apply(u - 1)
                v[layer] = (1 - sent) * u
            total = total + weights["readout"] @ sent + biases["readout"]
            likelihood = torch.log_softmax(total / (t + 1), 0)[labels(3)[sample]]
            gradients = torch.autograd.grad(likelihood, list(weights.values()), retain_graph=True)
            for name, gradient in zip(weights, gradients, strict=True):
                squares[name][t] += gradient.square()
    for t, step in enumerate(found.sums):
        for name, values in step.items():
            torch.testing.assert_close(values, squares[name][t], rtol=1e-4, atol=1e-7)
    sums = [sum(float(each[t].sum()) for each in squares.values()) / BATCH for t in range(N_STEPS)]
    assert found.traces == pytest.approx(sums, rel=1e-4)
    assert min(found.traces) > 0


@pytest.mark.parametrize("make", [lambda: network("conv-small"), tiny_resnet, lambda: network("sdt-2-64")])
@pytest.mark.parametrize("static", [True, False])
def test_convolutions_agree_with_autograd_sample_by_sample(make, static) -> None:
    net = make().eval()
    x, n = inputs_for(net, static=static, batch=2), len(net.connections["readout"].weights.weight)
    found = information(net, x, labels(n, 2), N_STEPS)
    want = [0.0] * N_STEPS
    for sample in range(2):
        weights = {}
        for name, (weight, bias) in net.deployed().items():
            weights[name] = weight.clone().requires_grad_()
            net.connections[name].deployed = weights[name], bias
        outputs = net.unroll(x[:, [sample]], N_STEPS).outputs
        for t in range(N_STEPS):
            likelihood = torch.log_softmax(outputs[: t + 1].sum(0) / (t + 1), 1)[0, labels(n, 2)[sample]]
            gradients = torch.autograd.grad(
                likelihood, list(weights.values()), retain_graph=True, materialize_grads=True
            )
            want[t] += sum(float(each.double().square().sum()) for each in gradients) / 2
    assert found.traces == pytest.approx(want, rel=1e-3)
    assert min(want) > 0


def test_samples_count_alike_in_any_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network("mlp")
    x, y = inputs_for(net), labels(10)
    whole = information(net, x, y, N_STEPS)
    monkeypatch.setattr(fisher, "CHUNK", 2)
    parts = information(net, x[:, :3], y[:3], N_STEPS) + information(net, x[:, 3:], y[3:], N_STEPS)
    assert parts.n_samples == BATCH
    assert parts.traces == pytest.approx(whole.traces, rel=1e-5)


def test_a_network_stays_as_it_was_and_gradients_need_not_be_on() -> None:
    net = network("mlp").eval()
    x = inputs_for(net)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    outputs = net.unroll(x, N_STEPS).outputs
    with torch.no_grad():
        information(net, x, labels(10), N_STEPS)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    after = net.unroll(x, N_STEPS).outputs
    assert torch.equal(after, outputs)
    assert not any(connection._forward_hooks for connection in net.connections.values())


def test_the_centroid_is_the_mean_time_step() -> None:
    assert centroid([1, 1, 2]) == (1 * 1 + 2 * 1 + 3 * 2) / 4
    assert centroid([5]) == 1
    assert centroid([0, 0]) is None


@pytest.mark.parametrize(("traces", "last"), [([3, 1, 0, 0], 1), ([1, 1, 1, 1], 2), ([0, 0, 0, 1], 4), ([0, 0], 1)])
def test_early_is_up_to_the_centroid(traces, last) -> None:
    sums = tuple({"fc": torch.tensor([2.0 * trace])} for trace in traces)
    assert Information(sums, 2).early()["fc"].tolist() == [sum(traces[:last])]


def test_traces_are_found_again_in_an_epochs_record() -> None:
    steps = {f"fisher_{step}": 0.5 * step for step in (10, 9, 8, 7, 6, 5, 4, 3, 2, 1)}
    assert recorded_traces({"epoch": 3, "loss": 1.0, **steps}) == [0.5 * step for step in range(1, 11)]
    assert recorded_traces({"epoch": 3, "loss": 1.0}) == []


def test_information_vanishes_where_a_network_is_sure_and_right() -> None:
    net = network("mlp", n_classes=2)
    net.connections["readout"].weights.bias.data = torch.tensor([200.0, -200.0])
    x = inputs_for(net)
    assert information(net, x, torch.zeros(BATCH, dtype=torch.int64), N_STEPS).traces == [0] * N_STEPS
    assert np.min(information(net, x, torch.ones(BATCH, dtype=torch.int64), N_STEPS).traces) > 1
