"""What a stream sends: values that are not zero, changes from step to step, and changes beyond a threshold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .encoders import Frames, sent_on_change

MOST_LEVELS = 8  # sizes of changes that are thresholds themselves
QUANTILES = (0.25, 0.5, 0.75, 0.9, 0.99)
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Held:
    """What is sent if a value is resent only after it has changed by more than a threshold.

    Attributes:
        threshold: in the unit of the values.
        events: changes that are sent.
        error: the largest difference between a value and the value that its receiver holds.
    """

    threshold: float
    events: int
    error: float

    @classmethod
    def of(cls, values: npt.NDArray[np.float32], threshold: float) -> Self:
        """Apply the rule of the option ``input_threshold`` to a batch ``[n_steps, B, *shape]``."""
        held = sent_on_change(Frames(static=False, values=values), threshold).values
        error = float(np.abs(values - held).max(initial=0.0))
        return cls(threshold=threshold, events=int(changes_of(held).sum()), error=error)

    def __add__(self, other: "Held") -> "Held":
        return Held(threshold=self.threshold, events=self.events + other.events, error=max(self.error, other.error))


@dataclass(frozen=True, eq=False, kw_only=True)
class Changes:
    """Counts over all samples and time steps; before the first step of a sample, every value is zero.

    Attributes:
        n_samples: samples.
        n_steps: time steps of each sample.
        n: time steps of all samples, without the silence that follows a short recording.
        nonzero: values that are not zero, ``[*shape]``.
        changed: values that differ from the step before, ``[*shape]``.
        is_binary: whether all values are 0 or 1.
        held: one for each threshold.
    """

    n_samples: int
    n_steps: int
    n: int
    nonzero: Counts
    changed: Counts
    is_binary: bool
    held: tuple[Held, ...]

    @classmethod
    def of(cls, values: npt.NDArray[np.float32], thresholds: Sequence[float], *, n: int | None = None) -> Self:
        """Count a batch ``[n_steps, B, *shape]``; all of its steps count, or ``n`` of them."""
        is_nonzero = values != 0
        return cls(
            n_samples=values.shape[1],
            n_steps=values.shape[0],
            n=values.shape[0] * values.shape[1] if n is None else n,
            nonzero=is_nonzero.sum(axis=(0, 1), dtype=np.int64),
            changed=changes_of(values),
            is_binary=bool(np.array_equal(values, is_nonzero)),
            held=tuple(Held.of(values, threshold) for threshold in thresholds),
        )

    def __add__(self, other: "Changes") -> "Changes":
        return Changes(
            n_samples=self.n_samples + other.n_samples,
            n_steps=self.n_steps,
            n=self.n + other.n,
            nonzero=self.nonzero + other.nonzero,
            changed=self.changed + other.changed,
            is_binary=self.is_binary and other.is_binary,
            held=tuple(mine + theirs for mine, theirs in zip(self.held, other.held, strict=True)),
        )

    @property
    def rates(self) -> npt.NDArray[np.float64]:
        """The fraction of time steps in which each value is not zero."""
        return self.nonzero / self.n

    @property
    def independent(self) -> npt.NDArray[np.float64]:
        """How often binary values of these rates would change if no step depended on the one before: 2p(1 - p)."""
        rates = self.rates
        return 2 * rates * (1 - rates)


def changes_of(values: npt.NDArray[Any]) -> Counts:
    """Count in ``[n_steps, B, *shape]`` where a value differs from the step before, and from 0 in the first step."""
    first = (values[0] != 0).sum(axis=0, dtype=np.int64)
    later: Counts = (values[1:] != values[:-1]).sum(axis=(0, 1), dtype=np.int64)
    return np.asarray(first + later)


def default_thresholds(values: npt.NDArray[np.float32]) -> tuple[tuple[float, ...], str]:
    """Choose thresholds by the sizes of changes in a batch ``[n_steps, B, *shape]``; say how."""
    sizes = np.concatenate([np.abs(values[0]).ravel(), np.abs(np.diff(values, axis=0)).ravel()])
    sizes = sizes[sizes > 0]
    if not sizes.size:
        return (), "none, as nothing changes"
    levels = np.unique(sizes).tolist()
    if len(levels) <= MOST_LEVELS:
        highest = float(np.abs(values).max())
        candidates = (*levels, 2 * levels[-1], 4 * levels[-1])
        chosen = tuple(each for each in candidates if each < highest)
        how = "all sizes of changes, and 2 and 4 times the largest, below the largest value"
        return chosen, how if chosen else "0 alone, since larger ones would keep back every change"
    rounded = dict.fromkeys(float(f"{size:.2g}") for size in np.quantile(sizes, QUANTILES))
    shares = ", ".join(f"{100 * share:g}" for share in QUANTILES)
    return tuple(rounded), f"the sizes below which {shares} % of changes lie, to two digits"
