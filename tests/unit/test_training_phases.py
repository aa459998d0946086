"""Networks and samples of other sizes in the course of a run."""

import copy

import numpy as np
import pytest
import torch

from tdd_deploy.errors import BadOption
from tdd_deploy.options.training import TrainOptions
from tdd_deploy.training import Samples, TrainingData
from tdd_deploy.training.build import make_network
from tdd_deploy.training.phases import Phases, scheduled
from tdd_deploy.training.samples import shrunk

pytestmark = pytest.mark.usefixtures("one_thread")


def data_of(*shape, in_time=False):
    x = np.random.default_rng(0).random((8, *shape), np.float32)
    samples = Samples(x, np.arange(8) % 3)
    shape = shape[1:] if in_time else shape
    return TrainingData(train=samples, validation=samples, input_shape=shape, n_classes=3, in_time=in_time)


def phases_of(data, **options):
    chosen = TrainOptions.of(method="tet", **options)
    torch.manual_seed(0)
    network = make_network(chosen, data.input_shape, data.n_classes)
    return Phases(chosen, data, network), network


SIZES = {"size_schedule": ["8:1", "16:1"], "steps": 2}


@pytest.mark.parametrize(
    ("network", "norm"), [("resnet19-small", "batch"), ("resnet19-small", "tab"), ("sdt-2-64", "mpbn")]
)
def test_a_smaller_network_shares_every_weight_and_computes_what_a_network_of_its_size_would(network, norm):
    data = data_of(3, 16, 16)
    phases, whole = phases_of(data, network=network, norm=norm, **SIZES)
    before = torch.get_rng_state()
    smaller = phases.network(whole, 0)
    assert torch.equal(torch.get_rng_state(), before)
    assert smaller is phases.network(whole, 0)
    assert phases.network(whole, 1) is whole
    assert [*map(id, smaller.parameters())] == [*map(id, whole.parameters())]
    own = make_network(TrainOptions.of(method="tet", network=network, norm=norm, steps=2), (3, 8, 8), 3)
    own.load_state_dict(whole.state_dict())
    assert {name: each.largest for name, each in smaller.connections.items()} == {
        name: each.largest for name, each in own.connections.items()
    }
    x = torch.from_numpy(phases.validation(0).x)[None]
    assert x.shape == (1, 8, 3, 8, 8)
    for mode in (True, False):
        torch.testing.assert_close(smaller.train(mode).unroll(x, 2).outputs, own.train(mode).unroll(x, 2).outputs)


def test_a_network_and_its_average_have_smaller_networks_of_their_own():
    phases, whole = phases_of(data_of(3, 16, 16), network="resnet19-small", **SIZES)
    average = copy.deepcopy(whole)
    assert phases.network(average, 0)["stem"].weights is average["stem"].weights
    assert phases.network(whole, 0)["stem"].weights is whole["stem"].weights


def test_the_options_of_an_epoch_have_its_number_of_steps():
    phases, _ = phases_of(data_of(1, 8, 8), network="mlp", steps_schedule=["1:2", "4:1"])
    assert [phases.options(epoch).steps for epoch in range(3)] == [1, 1, 4]


def test_a_batch_learned_from_small_images_moves_the_whole_network():
    phases, whole = phases_of(data_of(3, 16, 16), network="resnet19-small", **SIZES)
    smaller = phases.network(whole, 0).train()
    smaller.unroll(torch.rand(1, 8, 3, 8, 8), 2).outputs.sum().backward()
    assert all(parameter.grad is not None for parameter in whole.parameters())
    assert int(whole["stem"].norm.num_batches_tracked) == 1


def test_a_small_pixel_is_the_mean_of_an_area():
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    assert shrunk(x, (1, 2, 2)).tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]
    assert shrunk(x, (1, 4, 4)) is x
    frames = np.zeros((2, 5, 1, 4, 4), np.float32)
    assert shrunk(frames, (1, 4, 4)) is frames


def test_an_epoch_records_what_its_schedule_chose_and_nothing_else():
    options = TrainOptions.of(size_schedule=["8:1", "16:2"], steps_schedule=["1:2", "4:1"])
    assert [scheduled(options, epoch) for epoch in range(3)] == [
        {"steps": 1, "size": 8}, {"steps": 1, "size": 16}, {"steps": 4, "size": 16}
    ]  # fmt: skip
    assert scheduled(TrainOptions.of(), 0) == {}


@pytest.mark.parametrize("network", ["mlp", "conv-small", "conv-medium"])
def test_a_network_whose_weights_fit_one_size_is_refused_by_name(network):
    with pytest.raises(BadOption, match=rf"network={network}, since fc1.weights.weight fits one size of images"):
        phases_of(data_of(3, 16, 16), network=network, **SIZES)


@pytest.mark.parametrize(
    ("shape", "in_time", "found"),
    [
        ((3, 16, 8), False, r"needs square images \(got samples of shape \(3, 16, 8\)\)"),
        ((5, 3, 16, 16), True, r"needs square images \(got samples in time\)"),
        ((3, 12, 12), False, "ends with images of 16 x 16. End with 12, the size of the data"),
    ],
)
def test_samples_that_are_no_images_of_the_last_size_are_refused(shape, in_time, found):
    with pytest.raises(BadOption, match=found):
        phases_of(data_of(*shape, in_time=in_time), network="resnet19-small", **SIZES)


def test_images_are_never_made_larger_than_the_data():
    with pytest.raises(BadOption, match=r"has images of 32 x 32, larger than those of the data. Use sizes up to 16"):
        phases_of(data_of(3, 16, 16), network="resnet19-small", size_schedule=["32:1", "16:1"], steps=2)


def test_the_number_of_epochs_does_not_matter_for_the_checks():
    phases_of(data_of(1, 4, 4), network="resnet19-small", size_schedule=["2:9999999", "4:1"], steps=1)
