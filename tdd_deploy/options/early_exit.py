"""How the margin of an early exit is found."""

from collections.abc import Iterator
from dataclasses import dataclass

from tdd_deploy.errors import Violation

from .dataset import HEADING, Dataset
from .declare import Range, option
from .execution import Batch


@dataclass(frozen=True, kw_only=True)
class ValidationData(Dataset):
    """Samples on which a margin may be chosen: neither learned before, nor reported on afterwards."""

    split: str | None = option(
        None, help="Read this part: val, or all of an .npz of your own. Default: val.", heading=HEADING
    )

    def conflicts(self) -> Iterator[Violation]:
        """Yield a part that must not decide."""
        yield from super().conflicts()
        if self.split == "test":
            found = "must not be test: a margin chosen on test samples makes the results on them look better"
            yield Violation("`split`", found, remedy="Use `split=val`.")
        if self.split == "train":
            found = "must not be train: a network is surer of samples that it has learned than of others"
            yield Violation("`split`", found, remedy="Use `split=val`.")


@dataclass(frozen=True, kw_only=True)
class ExitOptions(Batch):
    """How much accuracy an early exit may lose, and how the loss is estimated."""

    heading = "The margin"

    lose: float = option(
        0.1,
        within=Range(0, 100, below=True),
        help="Let the expected accuracy on samples like these fall by at most this, in percentage points.",
    )
    folds: int = option(
        5,
        within=Range(2, 1000),
        help="Estimate the loss by cross-validation: each of this number of parts is measured at the margin that the "
        "others choose.",
    )
    threads: int | None = option(
        None, recorded=False, within=Range(1), help="Use this number of threads. Default: one per core."
    )
