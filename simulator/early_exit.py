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

    def smallest_margin(self, lose: float) -> float:
        """Find the margin at which, and above which, accuracy falls by at most ``lose`` percentage points.

        Accuracy does not rise steadily with the margin. A small margin at which losses and gains happen to cancel is
        not taken: every larger margin has to pass too.
        """
        # Above the largest lead so far, a sample executes one step more; that changes whether it is right.
        beyond = np.maximum.accumulate(self.leads, axis=1)[:, :-1].ravel()
        gained = np.diff(self.is_right.astype(np.int64), axis=1).ravel()
        values, place = np.unique(beyond, return_inverse=True)
        gains = np.zeros(len(values), np.int64)
        np.add.at(gains, place, gained)
        # losses[k] holds for margins above values[k - 1] up to values[k]; the last one for margins that nothing reaches
        losses = np.append(np.cumsum(gains[::-1])[::-1], 0)
        first = int(np.searchsorted(values, 0, side="right"))  # a margin is above 0
        failing = np.flatnonzero(losses[first:] > len(self.leads) * lose / 100 + 1e-9)
        chosen = first + (int(failing[-1]) + 1 if len(failing) else 0)
        low = float(values[chosen - 1]) if chosen else 0.0
        if chosen == len(values):
            return low * ABOVE_ALL if low > 0 else 1.0
        # in the middle, on no lead itself: a sum in another order may differ in its last bit
        return max(float((low + values[chosen]) / 2), float(np.nextafter(low, np.inf)))
