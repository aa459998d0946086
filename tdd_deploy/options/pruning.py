"""How a network is pruned."""

from dataclasses import dataclass

from .declare import Options, Range, option
from .vocabulary import Importance


@dataclass(frozen=True, kw_only=True)
class PruneOptions(Options):
    """How a network is pruned."""

    heading = "Pruning"

    sparsity: float = option(
        0.8, within=Range(0, 1, above=True, below=True), help="Set this fraction of the weights to zero."
    )
    rounds: int = option(
        4, within=Range(1), help="Prune in this number of rounds, each by the same fraction of the rest."
    )
    epochs: int = option(5, within=Range(0), help="Train for this number of epochs after each round.")
    importance: Importance = option(
        "fisher", help="Remove the weights with the least Fisher information first, or the least magnitude."
    )
    fisher_samples: int = option(
        256, within=Range(1), help="Estimate the Fisher information on this number of training samples."
    )
    learning_rate: float = option(
        1e-3,
        within=Range(0, 1, above=True, below=True),
        help="Start each round at this learning rate; it falls to 0 along a cosine.",
    )

    def sparsity_after(self, number: int, start: float) -> float:
        """Return the fraction of weights that is zero after a round, from 1 on; ``start`` is the fraction before."""
        if number == self.rounds:
            return self.sparsity
        kept: float = ((1 - self.sparsity) / (1 - start)) ** (number / self.rounds)
        return 1 - (1 - start) * kept
