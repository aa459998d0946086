import numpy as np
import pytest
import torch

from tdd_deploy.options.training import TrainOptions
from tdd_deploy.training import Samples, evaluation
from tdd_deploy.training.build import make_network
from tdd_deploy.training.evaluation import batch_size, evaluate

pytestmark = pytest.mark.usefixtures("one_thread")


def network(name, shape, **options):
    torch.manual_seed(0)
    return make_network(TrainOptions(network=name, **options).checked(), shape, 10)


def test_small_networks_are_measured_256_samples_at_a_time():
    assert batch_size(network("mlp", (64,)), 6) == 256
    assert batch_size(network("conv-small", (1, 28, 28)), 6) == 256


def test_large_networks_are_measured_as_memory_allows(monkeypatch):
    """conv-small on 8 x 8: 32 x 64 + 64 x 16 + 64 x 4 + 128 neurons, each with a spike and a potential of 4 bytes."""
    net = network("conv-small", (1, 8, 8))
    of_sample = (2048 + 1024 + 256 + 128) * 5 * 8
    for bytes_, expected in ((10 * of_sample, 10), (10 * of_sample - 1, 9), (1, 1)):
        monkeypatch.setattr(evaluation, "MOST_BYTES", bytes_)
        assert batch_size(net, 5) == expected


def test_what_is_found_does_not_depend_on_how_many_go_at_once(monkeypatch):
    options = TrainOptions(network="conv-small", steps=3).checked()
    net = network("conv-small", (1, 8, 8))
    rng = np.random.default_rng(0)
    samples = Samples((rng.integers(0, 256, (40, 1, 8, 8)) / 256).astype(np.float32), rng.integers(0, 10, 40))
    at_once = evaluate(net, samples, options, in_time=False)
    assert at_once.delta_events > 0
    monkeypatch.setattr(evaluation, "MOST_BYTES", 3456 * 3 * 8 * 7)
    assert batch_size(net, 3) == 7
    assert evaluate(net, samples, options, in_time=False) == at_once
