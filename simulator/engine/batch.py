"""The input and the result of an engine."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np

from tdd_deploy.simulator.arithmetic import NumberArray
from tdd_deploy.simulator.counts import Trace


class Frames(Protocol):
    """Encoded samples of one batch."""

    @property
    def static(self) -> bool:
        """Whether the input is the same at every step."""
        ...

    def at(self, t: int) -> NumberArray:
        """Return the input ``[batch, *shape]`` at step ``t``, from 0."""
        ...


@dataclass(frozen=True)
class Result:
    """Counts of a batch, its ``output``, recorded ``layers`` and ``potentials``, each ``[batch, n_steps, ...]``."""

    output: NumberArray
    layers: dict[str, NumberArray]
    count: Callable[[], Trace]  # names the counts: for one small sample, this takes longer than to execute it
    potentials: dict[str, NumberArray] = field(default_factory=dict)  # what layers compared with their thresholds

    @cached_property
    def trace(self) -> Trace:
        """The counts."""
        return self.count()

    def __add__(self, other: "Result") -> "Result":
        """Join the results of two batches, sample after sample."""
        layers, potentials = (
            {name: np.concatenate([raster, after[name]]) for name, raster in before.items()}
            for before, after in ((self.layers, other.layers), (self.potentials, other.potentials))
        )
        output = np.concatenate([self.output, other.output])
        return Result(output, layers, lambda: self.trace + other.trace, potentials)
