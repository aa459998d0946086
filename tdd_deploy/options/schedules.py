"""The length of a run, and the time steps and sizes of images that change in its course."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tdd_deploy.errors import Violation

from .dataset import HEADING
from .declare import Range, option
from .encoding import MOST_STEPS
from .optimization import LEARNING, Optimization

PAIR = re.compile(r"([1-9][0-9]{0,6}):([1-9][0-9]{0,6})")


@dataclass(frozen=True)
class Stage:
    """Epochs in a row with the same value, such as the same number of time steps."""

    value: int
    epochs: int


@dataclass(frozen=True, kw_only=True)
class Schedules(Optimization):
    """The time steps and the sizes of images, epoch by epoch."""

    steps: int = option(
        6,
        within=Range(1, MOST_STEPS),
        help="Execute this number of time steps per sample. Default: 6; of an ANN 1, of camera events all.",
        heading="The network",
    )
    steps_schedule: tuple[str, ...] = option(
        (),
        metavar="STEPS:EPOCHS",
        help="Learn with few time steps first: 1:25,6:3 is 25 epochs of 1 step, then 3 of 6. Default: always `steps`.",
        heading=LEARNING,
    )
    size_schedule: tuple[str, ...] = option(
        (),
        metavar="SIZE:EPOCHS",
        help="Learn from smaller images first: 16:10,32:5 is 10 epochs of 16 x 16, then 5 of 32 x 32. Default: never.",
        heading=HEADING,
    )

    @classmethod
    def completed(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Add the number of epochs and of time steps that schedules determine."""
        found: dict[str, int] = {}
        for name in ("size_schedule", "steps_schedule"):
            parts = _parsed(given.get(name, ()))
            if parts:
                found["epochs"] = sum(stage.epochs for stage in parts)
                if name == "steps_schedule":
                    found["steps"] = parts[-1].value
        return {**found, **given}

    def steps_in(self, epoch: int) -> int:
        """Return the number of time steps of an epoch, from 0."""
        return self.steps if not self.steps_schedule else _value(self.steps_schedule, epoch)

    def size_in(self, epoch: int) -> int | None:
        """Return the length of an image's sides in an epoch, from 0; None without a schedule."""
        return None if not self.size_schedule else _value(self.size_schedule, epoch)

    @property
    def most_steps(self) -> int:
        """The highest number of time steps of any epoch."""
        return max((stage.value for stage in stages(self.steps_schedule)), default=self.steps)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of images in order, the last of which must be that of the data; empty without a schedule."""
        return tuple(stage.value for stage in stages(self.size_schedule))

    def conflicts(self) -> Iterator[Violation]:
        """Yield which choices exclude each other, and why."""
        yield from super().conflicts()
        for name, unit in (("steps_schedule", "STEPS"), ("size_schedule", "SIZE")):
            schedule: tuple[str, ...] = getattr(self, name)
            if not schedule:
                continue
            parts = _parsed(schedule)
            if parts is None:
                allowed = f"pairs {unit}:EPOCHS of whole numbers from 1 to 9,999,999"
                yield Violation(f"`{name}`", ",".join(schedule), allowed)
                continue
            total = sum(stage.epochs for stage in parts)
            if total != self.epochs:
                found = f"has {total} epochs in all, and the run has {self.epochs}"
                yield Violation(f"`{name}`", found, remedy="Leave out `epochs`, or change one of them.")
            elif name == "steps_schedule" and parts[-1].value != self.steps:
                found = f"ends with {parts[-1].value} time steps, and the network has {self.steps}"
                yield Violation(f"`{name}`", found, remedy="Leave out `steps`, or change one of them.")
            elif self.patience is not None:
                found = f"cannot be combined with `{name}`, which changes what an epoch measures"
                yield Violation("`patience`", found)


def stages(schedule: Sequence[str]) -> tuple[Stage, ...]:
    """Read the stages of a schedule.

    Raises:
        ValueError: a text is not a pair of whole numbers above 0, such as 6:3.
    """
    found = []
    for text in schedule:
        pair = PAIR.fullmatch(text)
        if pair is None:
            raise ValueError(text)
        found.append(Stage(int(pair[1]), int(pair[2])))
    return tuple(found)


def _parsed(schedule: object) -> tuple[Stage, ...] | None:
    """Read the stages of a schedule; None if a text in it is no pair."""
    try:
        return stages(schedule) if isinstance(schedule, tuple) else None
    except ValueError:
        return None


def _value(schedule: Sequence[str], epoch: int) -> int:
    """Return the value of an epoch, from 0; after the last epoch that of the last stage."""
    parts = stages(schedule)
    for stage in parts:
        if epoch < stage.epochs:
            return stage.value
        epoch -= stage.epochs
    return parts[-1].value
