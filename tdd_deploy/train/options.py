"""The options of a training run."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from tdd_deploy.errors import BadOptions, Violation
from tdd_deploy.neurons import IF, LIF, Neuron, Reset
from tdd_deploy.program import Shape
from tdd_deploy.program.quantize import BITS

from .methods import READINGS, SCORES, Ddla, L1Delta, L1Spikes, Penalty, Reading, Score
from .network import NETWORKS, Network, make_network

METHOD_DEFAULTS: dict[str, dict[str, Any]] = {
    "tet": {},
    "tdd-ddla": {"score": "gsc", "reading": "F", "keep": 0.5, "lambda_": 0.45},
    "l1-spikes": {"lambda_": 0.75},
    "l1-delta": {"lambda_": 0.75},
}
METHODS = tuple(METHOD_DEFAULTS)
OF_METHODS = tuple(dict.fromkeys(name for defaults in METHOD_DEFAULTS.values() for name in defaults))


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Everything that decides what a run gives, but for the data's content; ``checked`` fills the method's defaults."""

    network: str = "conv-small"
    method: str = "tdd-ddla"
    steps: int = 6
    epochs: int = 25
    seed: int = 0
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    neuron: str = "lif"
    reset: Reset = "hard"
    beta: float = 0.5  # fraction of v kept per step; an IF keeps all
    threshold: float = 1.0
    encoder: str = "direct"
    qat: int | None = None  # bits of the integer weights that are trained for; None: floats
    score: Score | None = None
    reading: Reading | None = None
    keep: float | None = None  # fraction of spikes that DDLA leaves free
    lambda_: float | None = None  # the penalty's weight is (1 - lambda) / lambda

    def as_json(self) -> dict[str, Any]:
        """Return the options by the names that users know."""
        return {name.rstrip("_"): value for name, value in asdict(self).items()}

    def make_neuron(self) -> Neuron:
        """Return one layer's neuron."""
        v_threshold, v_reset = torch.tensor(self.threshold), torch.tensor(0.0)
        if self.neuron == "if":
            return IF(v_threshold=v_threshold, v_reset=v_reset, reset=self.reset)
        return LIF(v_threshold=v_threshold, v_reset=v_reset, reset=self.reset, beta=torch.tensor(self.beta))

    def make_network(self, input_shape: Shape, n_classes: int) -> Network:
        """Return an untrained network for samples of a shape; see ``network.make_network``."""
        return make_network(
            self.network,
            input_shape=input_shape,
            n_classes=n_classes,
            neuron=self.make_neuron,
            analog_input=self.encoder == "direct",
        )

    def make_penalty(self) -> Penalty | None:
        """Return what is added to the loss, or nothing for TET."""
        if self.method == "tdd-ddla":
            assert self.score is not None
            assert self.reading is not None
            assert self.keep is not None
            return Ddla(self.score, self.reading, self.keep)
        return {"tet": None, "l1-spikes": L1Spikes(), "l1-delta": L1Delta()}[self.method]

    @property
    def penalty_weight(self) -> float:
        """The penalty's factor, ``(1 - lambda) / lambda``."""
        return 0.0 if self.lambda_ is None else (1 - self.lambda_) / self.lambda_


def checked(options: TrainOptions) -> TrainOptions:
    """Fill in the method's defaults; raise BadOptions with every value that is not allowed."""
    words = {
        "network": tuple(NETWORKS),
        "method": METHODS,
        "neuron": ("lif", "if"),
        "reset": ("hard", "soft"),
        "encoder": ("direct", "poisson"),
        "score": (*SCORES, None),
        "reading": (*READINGS, None),
    }
    found = [
        Violation(f"--{name}", repr(getattr(options, name)), " or ".join(word for word in allowed if word))
        for name, allowed in words.items()
        if getattr(options, name) not in allowed
    ]
    numbers = {
        "steps": (options.steps >= 1, "1 or more"),
        "epochs": (options.epochs >= 1, "1 or more"),
        "batch": (options.batch >= 2, "2 or more, as batch norm needs"),
        "seed": (0 <= options.seed < 2**63, "0 to 2**63 - 1"),
        "learning_rate": (0 < _in_float32(options.learning_rate) < math.inf, "above 0, in float32"),
        "weight_decay": (0 <= _in_float32(options.weight_decay) < math.inf, "0 or more, in float32"),
        "beta": (0 <= options.beta < 1, "0 to below 1; an IF neuron keeps all: --neuron if"),
        "threshold": (0 < _in_float32(options.threshold) < math.inf, "above 0, in float32"),
        "qat": (options.qat is None or options.qat in BITS, f"{BITS[0]} to {BITS[-1]} bits"),
        "keep": (options.keep is None or 0 <= options.keep <= 1, "0 to 1"),
        "lambda_": (options.lambda_ is None or 0 < options.lambda_ <= 1, "above 0, up to 1; 1 is no penalty"),
    }
    found += [
        Violation(flag(name), str(getattr(options, name)), allowed)
        for name, (fine, allowed) in numbers.items()
        if not fine
    ]
    if options.method in METHODS:
        defaults = METHOD_DEFAULTS[options.method]
        unused = [name for name in OF_METHODS if name not in defaults]
        found += [
            Violation(flag(name), f"is given with --method {options.method}", f"only with {_methods_with(name)}")
            for name in unused
            if getattr(options, name) is not None
        ]
        missing = {name: value for name, value in defaults.items() if getattr(options, name) is None}
        options = replace(options, **missing)
    if found:
        raise BadOptions("these options", found)
    return options


def by_field(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``as_json`` gave by the names of fields."""
    return {"lambda_" if name == "lambda" else name: value for name, value in options.items()}


def flag(name: str) -> str:
    """Return how an option is written on the command line."""
    return f"--{name.rstrip('_').replace('_', '-')}"


def _in_float32(value: float) -> float:
    return float(torch.tensor(value))


def _methods_with(name: str) -> str:
    return " or ".join(method for method, defaults in METHOD_DEFAULTS.items() if name in defaults)
