"""The options of a training run: what is allowed, what excludes each other, and what is filled in."""

from dataclasses import fields, replace

import pytest

from tdd_deploy.errors import BadOptions, without_backticks
from tdd_deploy.options.declare import gather
from tdd_deploy.options.training import (
    LOSS_DEFAULTS,
    METHOD_DEFAULTS,
    STRATEGY_DEFAULTS,
    LearnedData,
    Place,
    TrainOptions,
)
from tdd_deploy.options.vocabulary import GATED, METHODS, NETWORKS, SPIKING

OF_LOSSES = tuple(name for defaults in LOSS_DEFAULTS.values() for name in defaults)
OF_METHODS = tuple(dict.fromkeys(name for defaults in METHOD_DEFAULTS.values() for name in defaults))
OTHERS = {  # values that are no method's default
    "score": "random", "reading": "D", "keep": 0.0, "penalty_weight": 0.0, "weigh": "synops", "transmit": "closed",
    "sparsity": 0.5, "score_from": "run", "keep_of": "fired",
}  # fmt: skip
WITH_OTHERS = {"transmit": {"keep_of": "all"}}  # what follows from another value


def violations(**options):
    """The violations of options by what they name, which each of them names alone."""
    with pytest.raises(BadOptions) as caught:
        TrainOptions(**options).checked()
    found = caught.value.violations
    named = {without_backticks(violation.where): violation for violation in found}
    assert len(named) == len(found)
    return named


def sentence(violation):
    return without_backticks(str(violation))


def test_every_violation_is_reported_at_once_and_named_once():
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
        "score_from": "loss",
        "keep_of": "none",
        "reading": "d",
        "keep": 1.5,
        "penalty_weight": -0.5,
        "loss": "mse",
        "tet_mse": 1.0,
        "rmp_weight": -0.1,
        "strategy": "rtrl",
        "sltt_steps": 0,
        "local_parts": 1,
        "sparsity": 1.0,
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
        "val_samples": 0,
        "steps_schedule": ("0:1",),
        "size_schedule": ("16",),
    }
    assert violations(**wrong).keys() == wrong.keys()
    assert wrong.keys() | {"method", "amp", "convex"} == {field.name for field in fields(TrainOptions)}


def test_an_unknown_word_is_answered_with_the_known_ones():
    found = violations(network="cnn", method="ddla", reset="zero", score="x", reading="G")
    assert sentence(found["network"]) == f"network must be {', '.join(NETWORKS[:-1])} or {NETWORKS[-1]} (got 'cnn')."
    assert sentence(found["method"]) == (
        "method must be tet, tdd-ddla, l1-spikes, l1-delta, l1-onset or ann (got 'ddla'). Did you mean tdd-ddla?"
    )
    assert sentence(found["reset"]) == "reset must be hard or soft (got 'zero')."
    assert sentence(found["score"]) == "score must be gsc, jac, grad or random (got 'x')."
    assert sentence(found["reading"]) == "reading must be F or D (got 'G')."
    assert sentence(violations(keep_of="none")["keep_of"]) == "keep_of must be changed, fired or all (got 'none')."
    assert sentence(violations(score_from="loss")["score_from"]) == "score_from must be run or step (got 'loss')."


@pytest.mark.parametrize(
    ("together", "expected"),
    [
        ({}, ("step", "changed")),
        ({"strategy": "sltt"}, ("step", "changed")),
        ({"transmit": "closed"}, ("step", "all")),
        ({"loss": "rate"}, ("run", "changed")),
    ],
)
def test_each_step_is_scored_by_itself_unless_the_loss_needs_all(together, expected):
    done = TrainOptions(**together).checked()
    assert (done.score_from, done.keep_of) == expected


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
        ("val_samples", [0, -1], [1]),
        ("fisher", [-1], [0, 1, 64]),
        ("keep", [-0.1, 1.0000001, 1.1, float("nan")], [0.0, 1.0]),
        ("penalty_weight", [-1.0, -0.001, float("nan")], [0.0, 0.001, 999.0]),
    ],
)
def test_numbers_are_allowed_up_to_their_limits_and_no_further(name, bad, good):
    for value in bad:
        found = violations(**{name: value})
        assert found.keys() == {name}
        assert found[name].found == str(value).removesuffix(".0")
        assert found[name].allowed
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
        expected = METHOD_DEFAULTS[method] | {name: given} | WITH_OTHERS.get(name, {})
        assert of_method(method=method, **{name: given}) == expected


def test_only_ddla_has_scores_and_all_but_tet_and_an_ann_have_a_weight():
    assert {method: set(of_method(method=method)) for method in METHODS} == {
        "tet": set(),
        "ann": {"sparsity"},
        "tdd-ddla": set(OF_METHODS) - {"sparsity"},
        **{method: {"penalty_weight", "weigh"} for method in ("l1-spikes", "l1-delta", "l1-onset")},
    }


@pytest.mark.parametrize("method", METHODS)
def test_options_once_checked_are_checked(method):
    options = TrainOptions.of(method=method).checked()
    assert options.checked() == options


def test_what_a_method_does_not_use_is_refused():
    found = violations(method="tet", keep=0.5, penalty_weight=0.5)
    assert [sentence(violation) for violation in found.values()] == [
        "keep needs method=tdd-ddla (got tet).",
        "penalty_weight needs method=tdd-ddla, method=l1-spikes, method=l1-delta or method=l1-onset (got tet).",
    ]
    assert violations(method="l1-delta", score="gsc", reading="F").keys() == {"score", "reading"}


@pytest.mark.parametrize("method", SPIKING)
def test_only_an_ann_is_pruned_while_it_learns(method):
    (found,) = violations(method=method, sparsity=0.5).values()
    assert sentence(found) == f"sparsity needs method=ann (got {method})."


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, float("nan")])
def test_a_sparsity_is_a_fraction_below_one(sparsity):
    (found,) = violations(method="ann", steps=1, sparsity=sparsity).values()
    assert sentence(found) == f"sparsity must be at least 0 and below 1 (got {str(sparsity).removesuffix('.0')})."


def test_a_pruned_ann_is_that_of_its_last_epoch():
    (found,) = violations(method="ann", steps=1, sparsity=0.5, patience=3).values()
    assert sentence(found).startswith("patience cannot be combined with sparsity, whose early epochs keep more weights")
    assert TrainOptions.of(method="ann", sparsity=0.0, patience=3).checked().patience == 3


@pytest.mark.parametrize("method", SPIKING)
def test_every_spiking_method_may_train_for_integers_and_none_does_unasked(method):
    assert TrainOptions(method=method).checked().qat is None
    assert TrainOptions(method=method, qat=8).checked().qat == 8


def test_the_bits_that_are_allowed_are_named():
    assert sentence(violations(qat=9)["qat"]) == "qat must be 2 to 8 (got 9)."


def test_with_an_unknown_method_only_the_method_is_to_blame():
    assert violations(method="ddla", keep=0.5).keys() == {"method"}


@pytest.mark.parametrize("lambda_", [1.0, 0.75, 0.5, 0.45, 0.001])
def test_the_weight_of_a_penalty_stands_for_the_lambda_of_the_paper(lambda_):
    weight = (1 - lambda_) / lambda_
    plain = TrainOptions(penalty_weight=weight)
    assert (plain.loss_factor, plain.penalty_factor) == (1, weight)
    convex = TrainOptions(penalty_weight=weight, convex=True)
    assert (convex.loss_factor, convex.penalty_factor) == (pytest.approx(lambda_), pytest.approx(1 - lambda_))


def test_the_default_weights_of_penalties_are_lambdas_of_0_45_and_0_75():
    assert TrainOptions().checked().penalty_weight == (1 - 0.45) / 0.45
    assert TrainOptions(method="l1-spikes").checked().penalty_weight == (1 - 0.75) / 0.75


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
        "sparsity": None,
        "tet_mse": None,
        "rmp_weight": 0.25,
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
        "val_samples": 100,
    }
    words = {"network": "mlp", "method": "tdd-ddla", "neuron": "if", "reset": "soft", "encoder": "poisson"}
    words |= {"loss": "rmp", "strategy": "bptt", "norm": "batch", "weigh": "synops", "transmit": "all"}
    words |= {"optimizer": "sgd", "schedule": "constant", "augment": "crop-flip"}
    words |= {"score_from": "step", "keep_of": "fired"}
    more = {"beta": 0.125, "threshold": 2.0, "score": "jac", "reading": "D", "convex": True}
    options = TrainOptions(
        **numbers, **words, **more, learn=("threshold",), reset_to=(0.0,), penalty_weight=0.5
    ).checked()
    lists = {"learn": ["threshold"], "reset_to": [0.0], "steps_schedule": [], "size_schedule": []}
    assert options.as_json() == {**numbers, **words, **more, **lists, "penalty_weight": 0.5}
    assert TrainOptions(**TrainOptions.from_json(options.as_json())) == options


def test_levels_of_a_reset_are_fractions_of_the_threshold_and_at_least_one():
    assert violations(reset_to=())["reset_to"].found == "nothing"
    for wrong in (-0.1, 1.5, float("nan")):
        assert violations(reset_to=(0.0, wrong))["reset_to"].found == str(wrong)
    assert TrainOptions(reset_to=(1.0, 0.0, 0.5)).checked().reset_to == (1.0, 0.0, 0.5)


def test_checking_changes_nothing_that_was_given():
    options = TrainOptions(network="mlp", steps=3, seed=9, beta=0.9, keep=0.4)
    done = options.checked()
    assert options.score is None
    assert replace(done, **{name: getattr(options, name) for name in (*OF_METHODS, *OF_LOSSES)}) == options


def test_the_defaults_of_a_strategy_are_filled_in_and_belong_to_it_alone():
    for strategy, defaults in STRATEGY_DEFAULTS.items():
        done = TrainOptions(method="tet", strategy=strategy).checked()
        assert {name: getattr(done, name) for name in defaults} == defaults
        others = {"sltt_steps": 3, "local_parts": 3}.keys() - defaults.keys()
        assert violations(method="tet", strategy=strategy, **dict.fromkeys(others, 3)).keys() == others


@pytest.mark.parametrize(
    ("together", "expected"),
    [
        (
            {"norm": "tebn"},
            "norm=tebn has statistics that differ from step to step, and TDD needs one linear map for all steps. "
            "Use norm=batch or norm=mpbn.",
        ),
        (
            {"norm": "tab", "method": "l1-delta"},
            "norm=tab cannot be combined with method=l1-delta, whose penalty serves an exported network; it has a "
            "linear map per step. Use method=tet.",
        ),
        (
            {"norm": "tab", "method": "tet", "strategy": "sltt"},
            "norm=tab cannot be combined with strategy=sltt, which learns from single steps; its statistics are of "
            "several. Use strategy=bptt.",
        ),
        (
            {"norm": "tab", "method": "tet", "steps_schedule": ("1:19", "6:6")},
            "norm=tab cannot be combined with steps_schedule, which leaves the norms of later steps untrained.",
        ),
        (
            {"norm": "tab", "method": "tet", "qat": 8},
            "norm=tab cannot be combined with qat, which needs one linear map for all steps.",
        ),
        (
            {"norm": "tab", "method": "tet", "fisher": 8},
            "norm=tab cannot be combined with fisher, which analyze reads beside an exported network.",
        ),
        (
            {"loss": "rate", "strategy": "sltt"},
            "loss=rate cannot be combined with strategy=sltt: the mean of all outputs needs the last step. "
            "Use loss=tet or loss=rmp, or strategy=bptt.",
        ),
        (
            {"loss": "rate", "transmit": "open"},
            "loss=rate cannot be combined with transmit=open, which scores each step. Use loss=tet or loss=rmp.",
        ),
        (
            {"loss": "rate", "score_from": "step"},
            "loss=rate cannot be combined with score_from=step, which scores each step. Use loss=tet or loss=rmp.",
        ),
        (
            {"score_from": "run", "strategy": "sltt"},
            "score_from=run cannot be combined with strategy=sltt, which runs step after step. Use score_from=step.",
        ),
        (
            {"score_from": "run", "transmit": "closed"},
            "score_from=run cannot be combined with transmit=closed, which runs step after step. Use score_from=step.",
        ),
        (
            {"keep_of": "fired", "transmit": "open"},
            "keep_of=fired cannot be combined with transmit=open: a neuron that is silent at first could never send. "
            "Use keep_of=all.",
        ),
        ({"convex": True, "method": "tet"}, "convex needs a method with a penalty (got tet)."),
        (
            {"strategy": "sltt-k", "score": "gsc"},
            "score=gsc cannot be combined with strategy=sltt-k, which leaves out the step before that the score needs. "
            "Use score=random or strategy=sltt.",
        ),
        (
            {"strategy": "sltt-k"},  # whose default score is gsc
            "score=gsc cannot be combined with strategy=sltt-k, which leaves out the step before that the score needs. "
            "Use score=random or strategy=sltt.",
        ),
        (
            {"reset": "soft", "reset_to": (0.0, 0.5)},
            "reset_to cannot be combined with reset=soft, which subtracts. Use reset=hard.",
        ),
        (
            {"reset": "soft", "norm": "mpbn"},
            "norm=mpbn cannot be combined with reset=soft, which subtracts in the unit before the norm. "
            "Use norm=batch or reset=hard.",
        ),
        ({"qat": 8, "strategy": "stdl"}, "qat cannot be combined with strategy=stdl. Use strategy=bptt."),
        ({"qat": 8, "ema": 0.9}, "ema cannot be combined with qat, whose integers are chosen for each batch."),
        (
            {"qat": 8, "patience": 2},
            "patience cannot be combined with qat, whose first epochs are measured in floats and whose last in "
            "integers.",
        ),
        ({"qat": 8, "amp": True}, "amp cannot be combined with qat, whose integers bfloat16 would round."),
        ({"optimizer": "adam", "momentum": 0.9}, "momentum needs optimizer=sgd (got adam)."),
        ({"loss": "rmp", "tet_mse": 0.001}, "tet_mse needs loss=tet (got rmp)."),
        ({"loss": "rate", "tet_mse": 0.0}, "tet_mse needs loss=tet (got rate)."),
        ({"rmp_weight": 0.2}, "rmp_weight needs loss=rmp (got tet)."),
        ({"tet_mse": 1.0}, "tet_mse must be at least 0 and below 1 (got 1)."),
        ({"loss": "rmp", "rmp_weight": -1.0}, "rmp_weight must be 0 or more (got -1)."),
        (
            {"neuron": "if", "learn": ("beta",)},
            "learn=beta cannot be combined with neuron=if, which has no leak. Use neuron=lif.",
        ),
        ({"beta": 0.0, "learn": ("beta",)}, "learn=beta cannot be combined with beta=0. Use a beta above 0."),
        ({"warmup": 3.0, "epochs": 3}, "warmup must be at least 0 and below the 3 epochs of the run (got 3)."),
        ({"seed": 2**63}, "seed must be 0 to 2**63 - 1 (got 9223372036854775808)."),
    ],
    ids=str,
)
def test_what_excludes_each_other_is_refused_with_the_reason(together, expected):
    (found,) = violations(**together).values()
    assert sentence(found) == expected


def test_an_ann_has_one_time_step_where_none_are_given():
    assert TrainOptions.of(method="ann").checked().steps == 1
    assert gather({"method": "ann"}, LearnedData, TrainOptions, Place)[TrainOptions].steps == 1
    assert TrainOptions.of(method="tet") == TrainOptions(method="tet")
    with pytest.raises(BadOptions, match=r"^steps must be 1 with method=ann, which is one forward pass \(got 4\)\.$"):
        TrainOptions.of(method="ann", steps=4)
    assert violations(method="ann", steps=4).keys() == {"steps"}


WITHOUT_NEURONS = "cannot be combined with method=ann, which has no neurons. Choose another method: tet, "
WITHOUT_TIME = "cannot be combined with method=ann, which has no time steps. Choose another method: tet, "


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("steps", 6, "steps must be 1 with method=ann, which is one forward pass (got 6)."),
        ("neuron", "if", f"neuron {WITHOUT_NEURONS}"),
        ("reset", "soft", f"reset {WITHOUT_NEURONS}"),
        ("reset_to", (0.0, 1.0), f"reset_to {WITHOUT_NEURONS}"),
        ("beta", 0.9, f"beta {WITHOUT_NEURONS}"),
        ("threshold", 0.5, f"threshold {WITHOUT_NEURONS}"),
        ("learn", ("threshold",), f"learn {WITHOUT_NEURONS}"),
        ("norm", "mpbn", f"norm {WITHOUT_NEURONS}"),
        ("encoder", "poisson", f"encoder {WITHOUT_TIME}"),
        ("strategy", "sltt", f"strategy {WITHOUT_TIME}"),
        ("fisher", 16, f"fisher {WITHOUT_TIME}"),
        ("steps_schedule", ("1:25",), f"steps_schedule {WITHOUT_TIME}"),
        ("loss", "rmp", "loss=rmp cannot be combined with method=ann, which has no potentials. Use loss=tet or "),
        ("qat", 8, "qat cannot be combined with method=ann, which is measured in 16 to 2 bits after every training."),
        ("network", "sdt-2-64", "network=sdt-2-64 cannot be combined with method=ann, since its gates take spikes"),
        ("penalty_weight", 0.5, "penalty_weight needs method=tdd-ddla, method=l1-spikes, "),
        ("keep", 0.5, "keep needs method=tdd-ddla (got ann)."),
        ("transmit", "all", "transmit needs method=tdd-ddla (got ann)."),
        ("weigh", "synops", "weigh needs method=tdd-ddla, method=l1-spikes, "),
        ("sltt_steps", 2, "sltt_steps needs strategy=sltt-k (got bptt)."),
        ("local_parts", 2, "local_parts needs strategy=stdl (got bptt)."),
    ],
)
def test_what_an_ann_does_not_have_is_refused_with_the_reason(name, value, expected):
    (found,) = violations(**{"method": "ann", "steps": 1, name: value}).values()
    assert sentence(found).startswith(expected)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_may_be_named(network):
    assert TrainOptions(network=network).checked().network == network
    if network not in GATED:
        assert TrainOptions.of(network=network, method="ann").checked().network == network
