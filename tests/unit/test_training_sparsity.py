"""Pruning while a network learns: the schedule, and the masks."""

import pytest
import torch

from tdd_deploy.training.sparsity import Masks, sparsity_after
from tests.untrained import relu_network

pytestmark = pytest.mark.usefixtures("one_thread")


def zeros(net):
    return {name: int((each.weights.weight == 0).sum()) for name, each in net.connections.items()}


def test_the_fraction_of_zeros_follows_a_cube_from_a_fifth_to_three_fifths_of_a_run():
    # Half of the way between batches 20 and 60, an eighth of 0.8 is missing.
    assert [sparsity_after(done, 100, sparsity=0.8) for done in (1, 20, 40, 60, 100)] == [
        0, 0, pytest.approx(0.8 * (1 - 1 / 8)), pytest.approx(0.8), pytest.approx(0.8)
    ]  # fmt: skip
    growing = [sparsity_after(done, 100, sparsity=0.8) for done in range(1, 101)]
    assert growing == sorted(growing)


def test_the_smallest_weights_of_all_connections_become_zero():
    net = relu_network("mlp", input_shape=(4,))
    first, second, readout = (each.weights.weight.data for each in net.connections.values())
    for number, weight in enumerate((first, second, readout), 1):  # the first ones are the smallest
        weight.copy_(
            torch.arange(1, weight.numel() + 1).view_as(weight) / 1e6 * (-1) ** number + number * (-1) ** number
        )
    masks = Masks(net, sparsity=0.5, total=10)
    masks.update(net, 6)
    masks.apply_to(net)
    n = 4 * 128 + 128 * 128 + 128 * 10
    # All of the first but its largest, then the beginning of the second
    assert zeros(net) == {"fc1": 511, "fc2": n // 2 - 511, "readout": 0}
    assert first.flatten()[-1] != 0
    assert (second.flatten()[: n // 2 - 511] == 0).all()


@pytest.mark.parametrize("total", [1, 2, 3, 7, 250, 1001])
def test_a_run_of_any_length_ends_at_its_sparsity_and_what_is_zero_stays_zero(total):
    net = relu_network("mlp", input_shape=(4,))
    n = sum(each.weights.weight.numel() for each in net.connections.values())
    masks = Masks(net, sparsity=0.9, total=total)
    chance = torch.Generator().manual_seed(0)
    before, updates = None, set()
    for done in range(1, total + 1):
        for connection in net.connections.values():  # as an optimizer would, which knows no masks
            weight = connection.weights.weight.data
            weight.add_(torch.randn(weight.shape, generator=chance), alpha=1e-4)
        masks.update(net, done)
        masks.apply_to(net)
        left = torch.cat([each.flatten() for each in masks.buffers()])
        assert before is None or not (left & ~before).any()
        updates.add(int(left.sum()))
        before = left
    assert sum(zeros(net).values()) == n - round(0.1 * n)
    assert total < 100 or len(updates) > 30


def test_every_connection_keeps_a_weight():
    net = relu_network("conv-small")
    masks = Masks(net, sparsity=0.9999999, total=1)
    masks.update(net, 1)
    masks.apply_to(net)
    left = {name: each.weights.weight.numel() - zeros(net)[name] for name, each in net.connections.items()}
    assert set(left.values()) == {1}


def test_of_weights_that_are_equal_as_many_are_left_as_there_should_be():
    net = relu_network("mlp")
    for connection in net.connections.values():
        connection.weights.weight.data.fill_(0.5)
    masks = Masks(net, sparsity=0.75, total=1)
    masks.update(net, 1)
    n = sum(each.numel() for each in masks.buffers())
    assert sum(int(each.sum()) for each in masks.buffers()) == n // 4
