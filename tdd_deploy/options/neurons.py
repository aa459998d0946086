"""The neurons of a network that is trained."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tdd_deploy.errors import Violation

from .declare import Options, Range, in_float32, option, shortest
from .vocabulary import Learnable, NeuronKind, Reset

NEURONS = "The neurons"


@dataclass(frozen=True, kw_only=True)
class TrainedNeurons(Options):
    """The neurons of all layers, as a run begins."""

    neuron: NeuronKind = option("lif", help="Use leaky neurons (lif), or neurons without a leak (if).", heading=NEURONS)
    reset: Reset = option("hard", help="Reset to a level (hard), or subtract the threshold (soft).", heading=NEURONS)
    # At 1 a neuron that is driven stays on.
    reset_to: tuple[float, ...] = option(
        (0.0,),
        within=Range(0, 1),
        help="Set the level of a hard reset, in thresholds, per layer; the last one holds for all further layers.",
        heading=NEURONS,
    )
    beta: float = option(
        0.5,
        within=Range(0, 1, below=True, why="as `neuron=if` keeps all"),
        help="Keep this fraction of the potential per step.",
        heading=NEURONS,
    )
    threshold: float = option(1.0, help="Fire above this potential.", heading=NEURONS)
    learn: tuple[Learnable, ...] = option(
        (), help="Learn these too, per layer: beta, threshold or beta,threshold. Default: neither.", heading=NEURONS
    )

    def conflicts(self) -> Iterator[Violation]:
        """Yield which choices exclude each other, and why."""
        yield from super().conflicts()
        if not 0 < in_float32(self.threshold) < math.inf:
            yield Violation("`threshold`", shortest(self.threshold), "above 0, in float32")
        if self.beta == 0 and "beta" in self.learn:
            yield Violation("`learn=beta`", "cannot be combined with `beta=0`", remedy="Use a `beta` above 0.")
        if self.reset == "soft" and any(self.reset_to):
            yield Violation(
                "`reset_to`", "cannot be combined with `reset=soft`, which subtracts", remedy="Use `reset=hard`."
            )
        if self.neuron == "if" and "beta" in self.learn:
            yield Violation(
                "`learn=beta`", "cannot be combined with `neuron=if`, which has no leak", remedy="Use `neuron=lif`."
            )
