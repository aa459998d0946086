from dataclasses import fields, replace
from typing import get_args

import pytest
import torch

from tdd_deploy.errors import BadOptions
from tdd_deploy.neurons import IF, LIF
from tdd_deploy.options import vocabulary
from tdd_deploy.options.training import METHOD_DEFAULTS, STRATEGY_DEFAULTS, TrainOptions
from tdd_deploy.options.vocabulary import METHODS, SPIKING
from tdd_deploy.training import NETWORKS
from tdd_deploy.training.ann import ReluNetwork
from tdd_deploy.training.methods import Ddla, L1Delta, L1Onset, L1Spikes
from tdd_deploy.training.network import Neurons

OF_METHODS = tuple(dict.fromkeys(name for defaults in METHOD_DEFAULTS.values() for name in defaults))
OTHERS = {  # values that are no method's default
    "score": "random", "reading": "D", "keep": 0.0, "lambda_": 1.0, "weigh": "synops", "transmit": "closed"
}  # fmt: skip


def violations(**options):
    with pytest.raises(BadOptions) as caught:
        TrainOptions(**options).checked()
    return {violation.where: violation for violation in caught.value.violations}


def test_every_violation_is_reported_at_once_and_named_as_on_the_command_line():
    wrong = {
        "network": "resnet",
        "steps": 0,
        "epochs": 0,
        "seed": -1,
        "batch": 1,
        "learning_rate": 0.0,
        "weight_decay": -0.1,
        "neuron": "cubalif",
        "reset": "none",
        "beta": 1.0,
        "threshold": 0.0,
        "encoder": "rate",
        "qat": 1,
        "score": "gradient",
        "reading": "d",
        "keep": 1.5,
        "lambda_": 0.0,
        "loss": "mse",
        "strategy": "rtrl",
        "sltt_steps": 0,
        "local_parts": 1,
        "norm": "layer",
        "reset_to": (0.0, 1.5),
        "learn": ("gamma",),
        "weigh": "neurons",
        "transmit": "none",
        "train_samples": 0,
        "optimizer": "lamb",
        "momentum": 1.0,
        "schedule": "step",
        "warmup": -1.0,
        "clip": 0.0,
        "label_smoothing": 1.0,
        "augment": "cutout",
        "mixup": 0.0,
        "cutmix": -1.0,
        "ema": 1.0,
        "patience": 0,
        "fisher": -1,
    }
    assert violations(**wrong).keys() == {
        "--network",
        "--steps",
        "--epochs",
        "--seed",
        "--batch",
        "--learning-rate",
        "--weight-decay",
        "--neuron",
        "--reset",
        "--beta",
        "--threshold",
        "--encoder",
        "--qat",
        "--score",
        "--reading",
        "--keep",
        "--lambda",
        "--loss",
        "--strategy",
        "--sltt-steps",
        "--local-parts",
        "--norm",
        "--reset-to",
        "--learn",
        "--weigh",
        "--transmit",
        "--fisher",
        "--train-samples",
        "--optimizer",
        "--momentum",
        "--schedule",
        "--warmup",
        "--clip",
        "--label-smoothing",
        "--augment",
        "--mixup",
        "--cutmix",
        "--ema",
        "--patience",
    }
    assert wrong.keys() | {"method", "amp"} == {field.name for field in fields(TrainOptions)}


def test_an_unknown_word_is_answered_with_the_known_ones():
    found = violations(network="cnn", method="ddla", reset="zero", score="x", reading="G")
    assert str(found["--network"]) == f"--network: 'cnn'; allowed: {' or '.join(NETWORKS)}."
    assert (
        str(found["--method"])
        == "--method: 'ddla'; allowed: tet or tdd-ddla or l1-spikes or l1-delta or l1-onset or ann."
    )
    assert str(found["--reset"]) == "--reset: 'zero'; allowed: hard or soft."
    assert str(found["--score"]) == "--score: 'x'; allowed: gsc or jac or grad or random."
    assert str(found["--reading"]) == "--reading: 'G'; allowed: F or D."


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        ("steps", [0, -3], [1, 100]),
        ("epochs", [0], [1]),
        ("seed", [-1, 2**63], [0, 2**63 - 1]),
        ("batch", [1, 0], [2]),
        ("learning_rate", [0.0, -1.0, 1e-60, 1e39, float("inf"), float("nan")], [1e-9, 1.0]),
        ("weight_decay", [-1e-9, 1e39, float("inf"), float("nan")], [0.0, 1.0]),
        ("beta", [-0.1, 1.0, 1.5, float("nan")], [0.0, 0.999]),
        ("threshold", [0.0, -1.0, 1e-60, 1e39, float("inf"), float("nan")], [0.1, 10.0]),
        ("qat", [-8, 0, 1, 9, 16], [2, 3, 8]),
        ("warmup", [-0.1, 25.0, float("nan")], [0.0, 24.9]),
        ("clip", [0.0, -1.0, float("inf"), float("nan")], [1e-3, 100.0]),
        ("label_smoothing", [-0.1, 1.0, float("nan")], [0.0, 0.9]),
        ("mixup", [0.0, -1.0, float("inf"), float("nan")], [0.1, 1.0]),
        ("cutmix", [0.0, -1.0, float("inf"), float("nan")], [0.1, 1.0]),
        ("ema", [0.0, 1.0, float("nan")], [0.5, 0.9999]),
        ("patience", [0, -1], [1]),
        ("train_samples", [0, -1], [1]),
        ("fisher", [-1], [0, 1, 64]),
        ("keep", [-0.1, 1.1, float("nan")], [0.0, 1.0]),
        ("lambda_", [0.0, -1.0, 1.1, float("nan")], [0.001, 1.0]),
    ],
)
def test_numbers_are_allowed_up_to_their_limits_and_no_further(name, bad, good):
    for value in bad:
        found = violations(**{name: value})
        assert [violation.found for violation in found.values()] == [str(value)]
    for value in good:
        assert getattr(TrainOptions(**{name: value}).checked(), name) == value


def of_method(**options):
    done = TrainOptions.of(**options).checked()
    return {name: getattr(done, name) for name in OF_METHODS if getattr(done, name) is not None}


@pytest.mark.parametrize("method", METHODS)
def test_the_defaults_of_a_method_are_filled_in_where_nothing_is_given(method):
    assert of_method(method=method) == METHOD_DEFAULTS[method]
    for name, default in METHOD_DEFAULTS[method].items():
        given = OTHERS[name]
        assert given != default
        assert of_method(method=method, **{name: given}) == METHOD_DEFAULTS[method] | {name: given}


def test_only_ddla_has_scores_and_all_but_tet_and_an_ann_have_a_weight():
    assert {method: set(of_method(method=method)) for method in METHODS} == {
        **{method: set() for method in ("tet", "ann")},
        "tdd-ddla": set(OF_METHODS),
        **{method: {"lambda_", "weigh"} for method in ("l1-spikes", "l1-delta", "l1-onset")},
    }


@pytest.mark.parametrize("method", METHODS)
def test_options_once_checked_are_checked(method):
    options = TrainOptions.of(method=method).checked()
    assert options.checked() == options


def test_what_a_method_does_not_use_is_refused():
    found = violations(method="tet", keep=0.5, lambda_=0.5)
    assert [str(violation) for violation in found.values()] == [
        "--keep: is given with --method tet; allowed: only with tdd-ddla.",
        "--lambda: is given with --method tet; allowed: only with tdd-ddla or l1-spikes or l1-delta or l1-onset.",
    ]
    assert violations(method="l1-delta", score="gsc", reading="F").keys() == {"--score", "--reading"}


@pytest.mark.parametrize("method", SPIKING)
def test_every_spiking_method_may_train_for_integers_and_none_does_unasked(method):
    assert TrainOptions(method=method).checked().qat is None
    assert TrainOptions(method=method, qat=8).checked().qat == 8


def test_the_bits_that_are_allowed_are_named():
    assert str(violations(qat=9)["--qat"]) == "--qat: 9; allowed: 2 to 8 bits."


def test_with_an_unknown_method_only_the_method_is_to_blame():
    assert violations(method="ddla", keep=0.5).keys() == {"--method"}


@pytest.mark.parametrize(("lambda_", "weight"), [(1.0, 0.0), (0.5, 1.0), (0.75, 1 / 3), (0.45, 11 / 9), (0.001, 999.0)])
def test_the_weight_of_a_penalty_is_what_is_not_lambda_over_lambda(lambda_, weight):
    assert TrainOptions(lambda_=lambda_).penalty_weight == pytest.approx(weight)


def test_tet_has_no_penalty():
    options = TrainOptions(method="tet").checked()
    assert options.make_penalty() is None
    assert options.penalty_weight == 0


@pytest.mark.parametrize("reading", get_args(vocabulary.Ddla))
@pytest.mark.parametrize("score", get_args(vocabulary.Score))
def test_the_penalty_is_that_of_the_method(score, reading):
    assert TrainOptions(score=score, reading=reading, keep=0.3).checked().make_penalty() == Ddla(reading, 0.3)
    assert TrainOptions(method="l1-spikes").checked().make_penalty() == L1Spikes()
    assert TrainOptions(method="l1-delta").checked().make_penalty() == L1Delta()
    assert TrainOptions(method="l1-onset").checked().make_penalty() == L1Onset()


def test_options_are_written_by_the_names_that_users_know():
    numbers = {
        "steps": 4,
        "epochs": 9,
        "seed": 3,
        "batch": 32,
        "learning_rate": 0.5,
        "weight_decay": 0.25,
        "qat": 4,
        "keep": 0.75,
        "sltt_steps": None,
        "local_parts": None,
        "train_samples": 1000,
        "momentum": 0.5,
        "warmup": 1.5,
        "clip": 2.0,
        "label_smoothing": 0.125,
        "mixup": 0.25,
        "cutmix": 1.0,
        "ema": None,
        "patience": None,
        "amp": False,
        "fisher": 64,
    }
    words = {"network": "mlp", "method": "tdd-ddla", "neuron": "if", "reset": "soft", "encoder": "poisson"}
    words |= {"loss": "rmp", "strategy": "bptt", "norm": "batch", "weigh": "synops", "transmit": "all"}
    words |= {"optimizer": "sgd", "schedule": "constant", "augment": "crop-flip"}
    more = {"beta": 0.125, "threshold": 2.0, "score": "jac", "reading": "D"}
    options = TrainOptions(**numbers, **words, **more, learn=("threshold",), reset_to=(0.0,), lambda_=0.5).checked()
    assert options.as_json() == {**numbers, **words, **more, "learn": ["threshold"], "reset_to": [0.0], "lambda": 0.5}
    assert TrainOptions(**TrainOptions.from_json(options.as_json())) == options


@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_the_neuron_is_the_one_asked_for(reset):
    lif = TrainOptions(reset=reset, beta=0.25, threshold=2.0).make_neurons((3, 4, 4), 0).neuron
    assert isinstance(lif, LIF)
    assert (lif.reset, lif.compare, lif.beta.item(), lif.v_threshold.item()) == (reset, ">", 0.25, 2.0)
    keeping_all = TrainOptions(reset=reset, neuron="if").make_neurons((3,), 0).neuron
    assert isinstance(keeping_all, IF)
    assert (keeping_all.reset, keeping_all.v_threshold.item(), keeping_all.v_reset.item()) == (reset, 1.0, 0.0)
    assert all(value.dtype == torch.float32 for value in lif.parameters().values())


def test_a_hard_reset_leaves_a_fraction_of_the_threshold_per_layer():
    options = TrainOptions(threshold=2.0, reset_to=(0.25, 1.0)).checked()
    assert [options.make_neurons((3,), before).neuron.v_reset.item() for before in range(4)] == [0.5, 2.0, 2.0, 2.0]


def test_checking_changes_nothing_that_was_given():
    options = TrainOptions(network="mlp", steps=3, seed=9, beta=0.9, keep=0.4)
    done = options.checked()
    assert options.score is None
    assert replace(done, **{name: getattr(options, name) for name in OF_METHODS}) == options


def test_the_defaults_of_a_strategy_are_filled_in_and_belong_to_it_alone():
    for strategy, defaults in STRATEGY_DEFAULTS.items():
        done = TrainOptions(method="tet", strategy=strategy).checked()
        assert {name: getattr(done, name) for name in defaults} == defaults
        others = {"sltt_steps": 3, "local_parts": 3}.keys() - defaults.keys()
        assert violations(method="tet", strategy=strategy, **dict.fromkeys(others, 3)).keys() == {
            f"--{name.replace('_', '-')}" for name in others
        }


@pytest.mark.parametrize(
    ("together", "where", "why"),
    [
        ({"norm": "tebn"}, "--norm", "whose statistics differ from step to step"),
        ({"loss": "rate", "strategy": "sltt"}, "--loss", "the mean of all outputs only when the last step is done"),
        ({"loss": "rate", "transmit": "open"}, "--loss", "which scores each step"),
        ({"strategy": "sltt-k", "score": "gsc"}, "--score", "which leaves steps out"),
        ({"reset": "soft", "reset_to": (0.0, 0.5)}, "--reset-to", "a soft reset, which subtracts"),
        ({"reset": "soft", "norm": "mpbn"}, "--norm", "in another unit than the spike a soft reset subtracts"),
        ({"qat": 8, "strategy": "stdl"}, "--qat", "with --strategy stdl"),
        ({"qat": 8, "ema": 0.9}, "--ema", "learns through integers chosen anew per batch"),
        ({"qat": 8, "patience": 2}, "--patience", "whose first epochs are measured in floats"),
        ({"qat": 8, "amp": True}, "--amp", "which rounds the integers of --qat"),
        ({"optimizer": "adam", "momentum": 0.9}, "--momentum", "is given with --optimizer adam"),
        ({"neuron": "if", "learn": ("beta",)}, "--learn", "of an IF, which keeps all"),
    ],
    ids=str,
)
def test_what_excludes_each_other_is_refused_with_the_reason(together, where, why):
    (found,) = violations(**together).values()
    assert found.where == where
    assert why in found.found


def test_an_ann_has_one_time_step_where_none_are_given():
    assert TrainOptions.of(method="ann").checked().steps == 1
    assert TrainOptions.of(method="tet") == TrainOptions(method="tet")
    assert TrainOptions.of(method="ann", steps=4).steps == 4  # never quietly changed, but refused
    assert violations(method="ann", steps=4).keys() == {"--steps"}


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("steps", 6, "6, with --method ann, which is one forward pass"),
        ("neuron", "if", "which has no neurons"),
        ("reset", "soft", "which has no neurons"),
        ("reset_to", (0.0, 1.0), "which has no neurons"),
        ("beta", 0.9, "which has no neurons"),
        ("threshold", 0.5, "which has no neurons"),
        ("learn", ("threshold",), "which has no neurons"),
        ("norm", "mpbn", "which has no neurons"),
        ("encoder", "poisson", "which has no time steps"),
        ("strategy", "sltt", "which has no time steps"),
        ("fisher", 16, "which has no time steps"),
        ("loss", "rmp", "which has no potentials"),
        ("qat", 8, "which is measured in 8 to 2 bits after every training"),
        ("network", "sdt-2-64", "its gates know spikes alone"),
        ("lambda_", 0.5, "is given with --method ann"),
        ("keep", 0.5, "is given with --method ann"),
        ("transmit", "all", "is given with --method ann"),
        ("weigh", "synops", "is given with --method ann"),
        ("sltt_steps", 2, "is given with --strategy bptt"),
        ("local_parts", 2, "is given with --strategy bptt"),
    ],
)
def test_what_an_ann_does_not_have_is_refused_with_the_reason(name, value, why):
    (found,) = violations(**{"method": "ann", "steps": 1, name: value}).values()
    assert found.where == f"--{name.rstrip('_').replace('_', '-')}"
    assert why in found.found


@pytest.mark.parametrize("network", [name for name in NETWORKS if not name.startswith("sdt")])
def test_an_ann_begins_with_the_weights_of_the_spiking_network(network):
    networks = []
    for method in ("ann", "tet"):
        torch.manual_seed(0)
        networks.append(TrainOptions.of(method=method, network=network).checked().make_network((1, 8, 8), 10))
    relu, spiking = networks
    assert isinstance(relu, ReluNetwork)
    assert not any(isinstance(part.module, Neurons) for part in relu.parts)
    assert (relu.layers, relu.shapes) == (spiking.layers, spiking.shapes)
    for name, value in spiking.state_dict().items():
        assert torch.equal(relu.state_dict()[name], value)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_may_be_named(network):
    assert TrainOptions(network=network).checked().network == network
