"""What a run tells while it learns."""

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class EpochMetrics:
    """One finished epoch; events are per validation sample, over all time steps; see ``Evaluation``."""

    epoch: int
    loss: float
    train_accuracy: float
    accuracy: float
    raw_events: float | None
    delta_events: float | None
    learning_rate: float


@dataclass(frozen=True)
class BatchMetrics:
    """One finished batch; epochs and batches count from 1, and the loss is the mean of the epoch so far."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    part: float  # of the whole run that is done, from 0 to 1, by time steps and pixels


class Watcher(Protocol):
    """A receiver of the progress of a run."""

    def batch(self, now: BatchMetrics) -> None:
        """Receive a finished batch."""
        ...

    def epoch(self, history: list[dict[str, Any]]) -> None:
        """Receive a finished epoch: the last of ``history``, with the names in ``epoch_names``."""
        ...
