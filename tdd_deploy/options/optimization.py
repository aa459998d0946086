"""How weights change while a network learns."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tdd_deploy.errors import Violation

from .declare import Options, Range, in_float32, option, shortest
from .vocabulary import Optimizer, Schedule

LEARNING = "How it learns"
OPTIMIZER_DEFAULTS: Mapping[str, Mapping[str, Any]] = {"adamw": {}, "adam": {}, "sgd": {"momentum": 0.9}}
ABOVE_0 = Range(0, above=True, below=True)
FRACTION = Range(0, 1, below=True)


@dataclass(frozen=True, kw_only=True)
class Optimization(Options):
    """The optimizer, its learning rate over a run, and what is kept at the end."""

    epochs: int = option(25, within=Range(1), help="Train for this number of epochs.", heading=LEARNING)
    batch: int = option(
        64,
        within=Range(2, why="as batch norm needs"),
        help="Learn from this number of samples per gradient step, of all processes.",
        heading=LEARNING,
    )
    optimizer: Optimizer = option("adamw", help="Learn with this optimizer.", heading=LEARNING)
    momentum: float | None = option(
        None, within=FRACTION, help="sgd: use this momentum. Default: 0.9.", heading=LEARNING
    )
    learning_rate: float = option(
        2e-3, help="Learn at this rate, at its highest. sgd needs more, such as 0.1.", heading=LEARNING
    )
    weight_decay: float = option(
        1e-2, help="Decay weights by this factor. sgd needs less, such as 0.0005.", heading=LEARNING
    )
    schedule: Schedule = option(
        "cosine", help="Let the learning rate fall to 0 along a cosine, or stay constant.", heading=LEARNING
    )
    warmup: float = option(
        0.0, metavar="EPOCHS", help="Let the learning rate grow for this number of epochs.", heading=LEARNING
    )
    clip: float | None = option(
        None,
        metavar="NORM",
        within=ABOVE_0,
        help="Scale gradients down to this norm, all together. Default: none.",
        heading=LEARNING,
    )
    ema: float | None = option(
        None,
        metavar="DECAY",
        within=Range(0, 1, above=True, below=True),
        help="Deploy a moving average of the network, such as 0.999 per batch. Default: none.",
        heading=LEARNING,
    )
    patience: int | None = option(
        None,
        metavar="EPOCHS",
        within=Range(1),
        help="Stop after this number of epochs without a higher accuracy, and keep the best. Default: never.",
        heading=LEARNING,
    )

    def conflicts(self) -> Iterator[Violation]:
        """Yield which choices exclude each other, and why."""
        yield from super().conflicts()
        if not 0 < in_float32(self.learning_rate) < math.inf:
            yield Violation("`learning_rate`", shortest(self.learning_rate), "above 0, in float32")
        if not 0 <= in_float32(self.weight_decay) < math.inf:
            yield Violation("`weight_decay`", shortest(self.weight_decay), "0 or more, in float32")
        if not 0 <= self.warmup < max(1, self.epochs):
            allowed = f"at least 0 and below the {self.epochs} epochs of the run"
            yield Violation("`warmup`", shortest(self.warmup), allowed)
