"""Whatever is chosen together is learned from, or refused with the reason."""

from typing import get_args

import numpy as np
import pytest
import torch

from tdd_deploy.errors import BadOptions
from tdd_deploy.options.training import METHOD_DEFAULTS, STRATEGY_DEFAULTS, TrainOptions
from tdd_deploy.options.vocabulary import SPIKING, Loss, Transmission
from tdd_deploy.training import Samples, TrainingData, fit
from tdd_deploy.training.build import make_network, make_objective, make_strategy
from tdd_deploy.training.strategies import Batch

pytestmark = pytest.mark.usefixtures("one_thread")


def reasons(strategy, loss, method, transmit):
    """What the options of a combination must be refused for."""
    score = METHOD_DEFAULTS[method].get("score")
    return {
        "`transmit`": transmit is not None and method != "tdd-ddla",
        "`loss=rate`": loss == "rate" and (strategy != "bptt" or transmit in ("open", "closed")),
        "`score=gsc`": strategy == "sltt-k" and score == "gsc",
    }


def learned(options):
    """The gradients of one batch, by the names of parameters, and the loss."""
    torch.manual_seed(0)
    network = make_network(options, (1, 4, 4), 3)
    strategy = make_strategy(options, network, 3)
    objective = make_objective(options, network)
    generator = torch.Generator().manual_seed(0)
    x, targets = torch.rand(1, 8, 1, 4, 4, generator=generator), torch.arange(8) % 3
    found = strategy.learn(network.train(), Batch(x, targets, options.steps, objective, generator))
    return {name: parameter.grad for name, parameter in network.named_parameters()}, found


@pytest.mark.parametrize("method", SPIKING)
@pytest.mark.parametrize("loss", get_args(Loss))
@pytest.mark.parametrize("strategy", STRATEGY_DEFAULTS)
def test_every_combination_learns_or_is_refused_for_a_reason(strategy, loss, method):
    for transmit in (None, *get_args(Transmission)):
        options = TrainOptions(
            network="mlp", steps=3, strategy=strategy, loss=loss, method=method, transmit=transmit,
            learn=("beta", "threshold"),
        )  # fmt: skip
        expected = {where for where, holds in reasons(strategy, loss, method, transmit).items() if holds}
        if expected:
            with pytest.raises(BadOptions) as refused:
                options.checked()
            assert {violation.where for violation in refused.value.violations} == expected
            continue
        gradients, found = learned(options.checked())
        assert found.outputs.shape == (3, 8, 3)
        assert 0 < found.loss < 100
        assert all(gradient.isfinite().all() for gradient in gradients.values())
        assert all(gradient.abs().max() > 0 for name, gradient in gradients.items() if "weights.weight" in name)


class Silence:
    def batch(self, now):
        pass

    def epoch(self, history):
        pass


@pytest.mark.parametrize("encoder", ["direct", "poisson"])
@pytest.mark.parametrize("qat", [None, 4])
@pytest.mark.parametrize(
    "chosen",
    [
        {"norm": "mpbn"},
        {"learn": ("beta", "threshold"), "reset_to": (0.0, 1.0)},
        {"network": "conv-small", "norm": "mpbn", "neuron": "if", "learn": ("threshold",), "loss": "rmp"},
    ],
    ids=str,
)
def test_norms_learned_numbers_integers_and_encoders_go_together(tmp_path, chosen, qat, encoder):
    given = {"network": "mlp", "method": "tet", "steps": 2, "epochs": 4, "batch": 16} | chosen
    rng = np.random.default_rng(0)
    samples = Samples((rng.integers(0, 256, (16, 1, 4, 4)) / 256).astype(np.float32), np.arange(16) % 3)
    data = TrainingData(train=samples, validation=samples, input_shape=(1, 4, 4), n_classes=3, in_time=False)
    options = TrainOptions(**given, qat=qat, encoder=encoder).checked()
    trained = fit(options, data, tmp_path, resume=False, watcher=Silence())
    assert trained.program.number_format == ("float32" if qat is None else "integer")
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]
