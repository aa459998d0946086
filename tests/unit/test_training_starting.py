"""A network begins with the weights of another run."""

import pytest
import torch
from safetensors.torch import save

from tdd_deploy.errors import BadOptions
from tdd_deploy.options.training import TrainOptions
from tdd_deploy.training.build import make_network
from tdd_deploy.training.starting import begin_with, read_weights


def network_of(seed=0, shape=(1, 8, 8), n_classes=3, **options):
    torch.manual_seed(seed)
    given = {"method": "tet", "network": "conv-small"} | options
    return make_network(TrainOptions.of(**given), shape, n_classes)


def begun(network, weights):
    begin_with(network, weights)
    return network.state_dict()


@pytest.mark.parametrize(
    "other", [{"steps": 2}, {"reset": "soft", "beta": 0.9}, {"neuron": "if"}, {"method": "ann"}], ids=str
)
def test_weights_and_statistics_of_a_run_with_other_neurons_are_taken(other):
    source = network_of(1, **other)
    source["conv1"].norm.running_mean += 3
    found = begun(network_of(0), source.state_dict())
    assert found.keys() == source.state_dict().keys()
    assert all(torch.equal(found[name], values) for name, values in source.state_dict().items())


def test_learned_numbers_of_neurons_are_taken_where_both_learn_them():
    learns = {"learn": ("beta", "threshold")}
    source = network_of(1, **learns, beta=0.9, threshold=2.0).state_dict()
    both = begun(network_of(0, **learns), source)
    assert both["conv1_spikes.logit_beta"].sigmoid() == pytest.approx(0.9)
    fewer = begun(network_of(0, learn=("beta",)), source)
    assert not any("log_threshold" in name for name in fewer)
    more = begun(network_of(0, **learns, norm="mpbn"), network_of(1).state_dict())
    assert more["conv1_spikes.logit_beta"].sigmoid() == pytest.approx(0.5)


def test_every_weight_that_does_not_fit_is_named_at_once_and_none_is_taken():
    network = network_of(0)
    before = {name: values.clone() for name, values in network.state_dict().items()}
    others = network_of(1, shape=(3, 8, 8), n_classes=5).state_dict()
    others["extra"] = others.pop("fc1.norm.bias")
    with pytest.raises(BadOptions) as refused:
        begin_with(network, others)
    assert {each.where: each.found for each in refused.value.violations} == {
        "conv1.weights.weight": "is 32 x 1 x 3 x 3 in this network and 32 x 3 x 3 x 3 in the other run",
        "fc1.norm.bias": "is only in this network",
        "readout.weights.weight": "is 3 x 128 in this network and 5 x 128 in the other run",
        "readout.weights.bias": "is 3 in this network and 5 in the other run",
        "extra": "is only in the other run",
    }
    assert all(torch.equal(before[name], values) for name, values in network.state_dict().items())


@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b"PK\x03\x04", save({"a": torch.tensor([float("nan")])})])
def test_damaged_weights_are_refused(content):
    with pytest.raises(ValueError, match=r"^(damaged|not finite)$"):
        read_weights(content)
