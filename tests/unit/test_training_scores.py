"""Scores of neurons, and which of them can be chosen."""

import pytest
import torch
from torch import nn

from tdd_deploy.training.choice import OUTSIDE
from tdd_deploy.training.scores import Scoring, moved_in_next_layer
from tests.untrained import network, pixels, shaken, tiny_resnet

N_STEPS, BATCH = 4, 3

pytestmark = pytest.mark.usefixtures("one_thread")

NOW = torch.tensor([[[1.0, 1.0, 0.0, 0.0]], [[0.0, 1.0, 1.0, 0.0]]])
BEFORE = torch.cat([torch.zeros_like(NOW[:1]), NOW[:1]])
MOVED = torch.tensor([[[0.5, 0.25, 2.0, 3.0]], [[0.5, 0.25, 0.0, 3.0]]])


@pytest.mark.parametrize(
    ("by", "among", "expected"),
    [
        ("gsc", "all", [[0.5, 0.25, 0, 0], [0, 0.25, 0, 0]]),
        ("gsc", "fired", [[0.5, 0.25, OUTSIDE, OUTSIDE], [OUTSIDE, 0.25, 0, OUTSIDE]]),
        ("gsc", "changed", [[0.5, 0.25, OUTSIDE, OUTSIDE], [0.5, OUTSIDE, 0, OUTSIDE]]),
        ("grad", "all", MOVED[:, 0].tolist()),
        ("jac", "changed", [[0.5, 0.25, OUTSIDE, OUTSIDE], [0.5, OUTSIDE, 0, OUTSIDE]]),
        ("random", "fired", [[0.5, 0.25, OUTSIDE, OUTSIDE], [OUTSIDE, 0.25, 0, OUTSIDE]]),
    ],
)
def test_only_neurons_that_changed_or_fired_can_be_chosen(by, among, expected):
    found = Scoring(by, among).scores({"a": MOVED}, {"a": NOW}, {"a": BEFORE})["a"]
    assert found[:, 0].tolist() == expected


def frozen(net):
    """A network in training mode whose norms use their running statistics."""
    for module in shaken(net).train().modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.eval()
    return net


@pytest.mark.parametrize("chosen", [{}, {"mpbn": True}, {"reset_to": 1.0, "beta": 0.8}], ids=str)
@pytest.mark.parametrize("name", ["mlp", "conv-small", "tiny resnet", "sdt-2-64"])
def test_jac_is_autograd_of_line_9_for_one_layer_and_one_step(name, chosen):
    """Each layer's spikes are given to the next layers as they are, and each step's states too."""
    net = frozen(tiny_resnet(**chosen) if name == "tiny resnet" else network(name, **chosen))
    x = torch.from_numpy(pixels(N_STEPS, BATCH, *net.input_shape))
    run = net.unroll(x, N_STEPS)
    found = moved_in_next_layer(net, run, run.spikes)
    states = None
    for t in range(N_STEPS):
        leaves = {}

        def send(name, spikes, leaves=leaves):
            leaves[name] = spikes.detach().requires_grad_()
            return leaves[name]

        step = net.step(x[t], states, send)
        moved = torch.stack([spikes.sum() for spikes in step.spikes.values()]).sum() + step.outputs.sum()
        expected = torch.autograd.grad(moved, list(leaves.values()))
        for score, gradient in zip(found, expected, strict=True):
            torch.testing.assert_close(score[t], gradient[0].abs(), rtol=1e-3, atol=1e-5)
        states = {name: tuple(value.detach() for value in state) for name, state in step.states.items()}
    assert all(score.any() for score in found)


def test_jac_leaves_a_network_as_it_is():
    net = shaken(network("conv-small")).train()
    run = net.unroll(torch.from_numpy(pixels(1, BATCH, 1, 8, 8)), N_STEPS)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    moved_in_next_layer(net, run, run.spikes)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
