"""Networks, strategies, objectives and penalties as the options of a run ask for them."""

from typing import get_args

import pytest
import torch

from tdd_deploy.neurons import IF, LIF
from tdd_deploy.options.optimization import OPTIMIZER_DEFAULTS
from tdd_deploy.options.training import LOSS_DEFAULTS, METHOD_DEFAULTS, STRATEGY_DEFAULTS, TrainOptions
from tdd_deploy.options.vocabulary import GATED, METHODS, NETWORKS, DdlaReading, Loss, Optimizer, Score, Strategy
from tdd_deploy.training.ann import ReluNetwork
from tdd_deploy.training.build import make_loss, make_network, make_objective, make_penalty, make_strategy, neurons_of
from tdd_deploy.training.methods import Ddla, L1Delta, L1Onset, L1Spikes, RateLoss, RmpLoss, TetLoss
from tdd_deploy.training.network import Neurons
from tdd_deploy.training.scores import Scoring
from tdd_deploy.training.strategies import Local, Online, Unrolling


def test_every_word_of_the_vocabulary_has_what_it_names():
    assert tuple(METHOD_DEFAULTS) == METHODS
    assert tuple(LOSS_DEFAULTS) == get_args(Loss)
    assert tuple(STRATEGY_DEFAULTS) == get_args(Strategy)
    assert tuple(OPTIMIZER_DEFAULTS) == get_args(Optimizer)
    for method in METHODS:
        make_penalty(TrainOptions.of(method=method).checked())


def test_a_strategy_is_made_with_its_numbers():
    made = {}
    for strategy, more in {"bptt": {}, "sltt": {}, "sltt-k": {"sltt_steps": 3}, "stdl": {"local_parts": 3}}.items():
        options = TrainOptions(method="tet", network="conv-small", strategy=strategy, **more).checked()
        made[strategy] = make_strategy(options, make_network(options, (1, 8, 8), 10), 10)
    stdl = made.pop("stdl")
    assert made == {"bptt": Unrolling(), "sltt": Online(), "sltt-k": Online(3)}
    assert isinstance(stdl, Local)
    assert (len(stdl.parts.networks), len(stdl.parts.heads)) == (3, 2)


def test_an_objective_has_the_numbers_of_the_options():
    options = TrainOptions(
        network="mlp", loss="rmp", label_smoothing=0.25, score="jac", keep=0.3, penalty_weight=1.0, transmit="closed"
    ).checked()
    network = make_network(options, (4,), 3)
    made = make_objective(options, network)
    assert made.loss == RmpLoss(0.25, weight=0.1)
    assert (made.penalty, made.weight) == (Ddla("F", 0.3), 1.0)
    assert (made.scoring, made.serial, made.loss_factor) == (Scoring("jac", "all"), True, 1.0)
    assert (made.transmit, made.keep) == ("closed", 0.3)
    assert made.layers == dict.fromkeys(network.layers, 1.0)
    plain = make_objective(TrainOptions(network="mlp", method="tet").checked(), network)
    assert (plain.penalty, plain.weight, plain.scoring, plain.serial) == (None, 0.0, None, False)
    assert (plain.transmit, plain.keep) == ("all", 1.0)
    published = make_objective(TrainOptions(network="mlp", convex=True, penalty_weight=1.5).checked(), network)
    assert (published.loss_factor, published.weight) == (0.4, pytest.approx(0.6))
    assert (published.scoring, published.serial) == (Scoring("gsc", "changed"), True)
    unrolled = make_objective(TrainOptions(network="mlp", score_from="run").checked(), network)
    assert not unrolled.serial


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, TetLoss(0.25)),
        ({"loss": "tet", "tet_mse": 0.001}, TetLoss(0.25, mse=0.001)),
        ({"loss": "rate"}, RateLoss(0.25)),
        ({"loss": "rmp"}, RmpLoss(0.25, weight=0.1)),
        ({"loss": "rmp", "rmp_weight": 0.0}, RmpLoss(0.25, weight=0.0)),
    ],
    ids=str,
)
def test_a_loss_has_the_numbers_of_the_options(given, expected):
    assert make_loss(TrainOptions(label_smoothing=0.25, **given).checked()) == expected


def test_tet_has_no_penalty():
    options = TrainOptions(method="tet").checked()
    assert make_penalty(options) is None
    assert options.penalty_factor == 0


@pytest.mark.parametrize("reading", get_args(DdlaReading))
@pytest.mark.parametrize("score", get_args(Score))
def test_the_penalty_is_that_of_the_method(score, reading):
    given = {"score": score, "reading": reading, "keep": 0.3}
    assert make_penalty(TrainOptions(**given).checked()) == Ddla(reading, 0.3, breaks_ties=True)
    assert make_penalty(TrainOptions(**given, keep_of="all").checked()) == Ddla(reading, 0.3)
    assert make_penalty(TrainOptions(method="l1-spikes").checked()) == L1Spikes()
    assert make_penalty(TrainOptions(method="l1-delta").checked()) == L1Delta()
    assert make_penalty(TrainOptions(method="l1-onset").checked()) == L1Onset()


@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_the_neuron_is_the_one_asked_for(reset):
    lif = neurons_of(TrainOptions(reset=reset, beta=0.25, threshold=2.0))((3, 4, 4), 0).neuron
    assert isinstance(lif, LIF)
    assert (lif.reset, lif.compare, lif.beta.item(), lif.v_threshold.item()) == (reset, ">", 0.25, 2.0)
    keeping_all = neurons_of(TrainOptions(reset=reset, neuron="if"))((3,), 0).neuron
    assert isinstance(keeping_all, IF)
    assert (keeping_all.reset, keeping_all.v_threshold.item(), keeping_all.v_reset.item()) == (reset, 1.0, 0.0)
    assert all(value.dtype == torch.float32 for value in lif.parameters().values())


def test_a_hard_reset_leaves_a_fraction_of_the_threshold_per_layer():
    options = TrainOptions(threshold=2.0, reset_to=(0.25, 1.0)).checked()
    assert [neurons_of(options)((3,), before).neuron.v_reset.item() for before in range(4)] == [0.5, 2.0, 2.0, 2.0]


@pytest.mark.parametrize("network", [name for name in NETWORKS if name not in GATED])
def test_an_ann_begins_with_the_weights_of_the_spiking_network(network):
    networks = []
    for method in ("ann", "tet"):
        torch.manual_seed(0)
        networks.append(make_network(TrainOptions.of(method=method, network=network).checked(), (1, 8, 8), 10))
    relu, spiking = networks
    assert isinstance(relu, ReluNetwork)
    assert not any(isinstance(part.module, Neurons) for part in relu.parts)
    assert (relu.layers, relu.shapes) == (spiking.layers, spiking.shapes)
    for name, value in spiking.state_dict().items():
        assert torch.equal(relu.state_dict()[name], value)
