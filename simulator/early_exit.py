"""When samples could end early: decided from the outputs of a full execution, by the rule of ``Engine.run``.

A sample ends with the first step at which its largest output, as a mean over the steps so far, leads the next one by a
margin. Outputs of a full execution therefore tell for every margin where each sample ends, and with which class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.errors import BadOption
from tdd_deploy.program import Program

ABOVE_ALL = 1.001  # times the largest lead: a margin that no sample reaches, and that other samples hardly reach


def check_decidable(program: Program) -> None:
    """Refuse an output that no lead can decide.

    Raises:
        BadOption: the output is not one number per class, or there is only one class.
    """
    shape = program.shapes[program.output.name]
    if len(shape) != 1 or shape[0] < 2:
        found = f"needs an output of 2 numbers or more, one per class (got shape {list(shape)})"
        raise BadOption("early_exit", found)


@dataclass(frozen=True, eq=False)
class Decisions:
    """What a sample could be decided on after each step.

    Attributes:
        leads: by how much the largest mean output leads the next one, in units of the output, ``[n, n_steps]``.
        is_right: whether the largest output, summed so far, is the label, ``[n, n_steps]``.
    """

    leads: NDArray[np.float64]
    is_right: NDArray[np.bool_]

    @classmethod
    def of(cls, program: Program, output: NDArray[Any], labels: NDArray[np.int64]) -> Self:
        """Read decisions from the output ``[n, n_steps, n_classes]`` of a full execution."""
        n_so_far = np.arange(1, output.shape[1] + 1)
        ranked = np.sort(output.cumsum(axis=1, dtype=np.float64), axis=2)
        leads = (ranked[..., -1] - ranked[..., -2]) / n_so_far * program.output.unit
        classes = output.cumsum(axis=1, dtype=output.sum(axis=1).dtype).argmax(axis=2)
        return cls(leads, classes == labels[:, None])

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Join the decisions of several batches."""
        return cls(np.concatenate([each.leads for each in parts]), np.concatenate([each.is_right for each in parts]))

    def of_samples(self, chosen: NDArray[np.bool_]) -> "Decisions":
        """Return the decisions of some samples."""
        return Decisions(self.leads[chosen], self.is_right[chosen])

    def steps_at(self, margin: float) -> NDArray[np.int64]:
        """Return how many steps each sample executes at a margin, ``[n]``."""
        is_decided = self.leads >= margin
        n_steps = self.leads.shape[1]
        steps: NDArray[np.int64] = np.where(is_decided.any(axis=1), is_decided.argmax(axis=1) + 1, n_steps)
        return steps

    def lost_at(self, margin: float) -> NDArray[np.int64]:
        """Return 1 for samples that a margin makes wrong, -1 for those that it makes right, and 0 else, ``[n]``."""
        rows = np.arange(len(self.leads))
        is_right: NDArray[np.bool_] = self.is_right[rows, self.steps_at(margin) - 1]
        return self.is_right[:, -1].astype(np.int64) - is_right.astype(np.int64)

    def safe_margin(self, lose: float) -> float:
        """Find the smallest margin at which the loss on other samples is expected to be at most ``lose`` points.

        A sample is lost at a margin if this or a larger one makes it wrong. Of n + 1 samples drawn alike, each is as
        likely as any other to be lost at the largest margins. So at most ``allowed_losses`` of n may be lost, to expect
        no more than a fraction (allowed_losses + 1) / (n + 1) of others. Samples that an early exit makes right do not
        make up for lost ones. With too few samples for ``lose``, none of them is lost.

        Source: conformal risk control, arXiv:2208.02814, theorem 1.
        """
        so_far = np.maximum.accumulate(self.leads, axis=1)[:, :-1]
        can_end = np.diff(so_far, axis=1, prepend=0) > 0  # at some margin, in this step
        is_lost = can_end & ~self.is_right[:, :-1] & self.is_right[:, -1:]
        # The largest margin at which each sample is lost, or 0.
        largest = np.sort(np.where(is_lost, so_far, 0).max(axis=1, initial=0))
        low = float(largest[-1 - allowed_losses(len(largest), lose)])
        above = so_far[so_far > low]
        if not len(above):
            return low * ABOVE_ALL if low > 0 else 1.0
        # in the middle, on no lead itself: a sum in another order may differ in its last bit
        return max(float((low + above.min()) / 2), float(np.nextafter(low, np.inf)))


def allowed_losses(n: int, lose: float) -> int:
    """Return how many of ``n`` samples may be lost, to expect at most ``lose`` percentage points on others."""
    return min(max(0, int(lose / 100 * (n + 1) + 1e-9) - 1), n - 1)
