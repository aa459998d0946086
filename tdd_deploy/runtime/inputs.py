"""Encode the samples of a source as inputs of a program."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.data import Arrangement, Source, arrange, check_encoder, check_labels, encode
from tdd_deploy.data.encoders import Encoded, Frames, sent_on_change
from tdd_deploy.errors import BadData, BadOption, Violation
from tdd_deploy.options.encoding import MOST_STEPS, Encoding
from tdd_deploy.program import Program
from tdd_deploy.program.bounds import largest_input
from tdd_deploy.program.inputs import nearest_integers
from tdd_deploy.program.rounding import PIXELS

from .progress import Progress, unseen

GRID = np.float32(2.0**-PIXELS.exponent)
LARGEST_BATCH = 1 << 26  # numbers: 256 MiB, as long recordings of a camera come to many


@dataclass(frozen=True, kw_only=True)
class InputCounts:
    """Counts of the values that an input received. A static input counts once; randomly drawn spikes do not count."""

    values: int = 0
    nonzero: int = 0
    other: int = 0  # values that are sent as neither 0 nor 1
    off_grid: int = 0  # not multiples of 1/256, so their sums could round
    lowest: float = 0.0
    highest: float = 0.0
    rounded: int = 0  # by an integer program
    lost: int = 0  # nonzero but rounded to 0

    @classmethod
    def of(cls, frames: Encoded, program: Program) -> Self:
        """Count the values of a batch."""
        if not isinstance(frames, Frames) or not frames.values.size:
            return cls()
        x = frames.values
        is_nonzero = x != 0
        nonzero = int(np.count_nonzero(is_nonzero))
        if program.number_format != "integer" and np.array_equal(
            x, is_nonzero
        ):  # fast path: most event data are binary
            return cls(values=x.size, nonzero=nonzero, lowest=float(nonzero == x.size), highest=float(nonzero > 0))
        scaled, sent = nearest_integers(program, x) if program.number_format == "integer" else (x, x)
        with np.errstate(over="ignore"):  # values that overflow are so large that they are on the grid
            on_grid = x * GRID
        return cls(
            values=x.size,
            nonzero=nonzero,
            other=int(np.count_nonzero(sent != (sent != 0))),
            off_grid=int(np.count_nonzero(on_grid != np.rint(on_grid))),
            lowest=float(x.min()),
            highest=float(x.max()),
            rounded=int(np.count_nonzero(scaled != sent)),
            lost=nonzero - int(np.count_nonzero(sent)),
        )

    def __add__(self, other: "InputCounts") -> "InputCounts":
        if not self.values or not other.values:
            return self if self.values else other
        names = ("values", "nonzero", "other", "off_grid", "rounded", "lost")
        return InputCounts(
            **{name: getattr(self, name) + getattr(other, name) for name in names},
            lowest=min(self.lowest, other.lowest),
            highest=max(self.highest, other.highest),
        )

    @property
    def is_binary(self) -> bool:
        """Whether all values are spikes: 0 or 1."""
        return not self.other

    def as_json(self, program: Program) -> dict[str, Any]:
        """Return the counts as plain values; for integers also the values that rounding changed."""
        rounded = {"rounded": self.rounded, "rounded_to_zero": self.lost, "unit": 1 / program.input.scale}
        return {
            "values": self.values,
            "nonzero": self.nonzero,
            "neither_0_nor_1": self.other,
            "off_grid": self.off_grid,
            "lowest": self.lowest,
            "highest": self.highest,
            "rounding": rounded if program.number_format == "integer" else None,
        }

    def checked(self, program: Program, subject: str) -> Self:
        """Return these counts, unless rounding leaves nothing of the samples.

        Raises:
            BadData: an integer program rounds every nonzero value to 0.
        """
        if self.nonzero and self.lost == self.nonzero:
            found = f"{self.nonzero:,} from {self.lowest:g} to {self.highest:g}, which all round to 0"
            allowed = f"beyond {0.5 / program.input.scale:g}, half of the unit of the program's integers"
            remedy = "Choose a factor for stored values with `input_scale`."
            raise BadData(subject, [Violation("nonzero values of x", found, allowed, remedy)])
        return self


@dataclass(frozen=True, kw_only=True)
class EncodedInputs:
    """How the samples of a source become inputs of a program.

    Attributes:
        program: receives the samples.
        arrangement: how a sample fits the program's input.
        encoding: what the user chose.
        encoder: one of ``vocabulary.ENCODERS``.
        n_steps: time steps of every sample.
        n_steps_from: where the number of time steps comes from, for reports.
    """

    program: Program
    arrangement: Arrangement
    encoding: Encoding
    encoder: str
    n_steps: int
    n_steps_from: str

    @classmethod
    def of(
        cls,
        program: Program,
        source: Source,
        encoding: Encoding = Encoding(),
        *,
        frames: bool = False,
    ) -> Self:
        """Choose how samples become inputs; where an option is None, the data or the program decide.

        Args:
            program: receives the samples.
            source: the samples.
            encoding: time steps, encoder, seed and threshold.
            frames: whether the axis of x after N is time.

        Raises:
            BadOption: a threshold for drawn spikes; the number of steps is unknown.
            BadData: the samples do not fit, or fit in two ways.
        """
        encoder = encoding.encoder or program.encoder
        check_encoder(encoder)
        if encoding.input_threshold and encoder != "direct":
            found = f"cannot be combined with the {encoder} encoder, whose spikes are drawn"
            raise BadOption("input_threshold", found, remedy="Use `encoder=direct`.")
        arrangement = arranged(program, source, frames=frames)
        n_steps, n_steps_from = _steps(encoding.steps, arrangement, program, source)
        return cls(
            program=program,
            arrangement=arrangement,
            encoding=encoding,
            encoder=encoder,
            n_steps=n_steps,
            n_steps_from=n_steps_from,
        )

    def for_program(self, program: Program) -> Self:
        """Return the same inputs for a program that differs in what its edges send."""
        return replace(self, program=program)

    @property
    def is_static(self) -> bool:
        """Whether the program sees the same values at every step."""
        return self.encoder == "direct" and not self.arrangement.in_time

    def _check_size(self, values: NDArray[np.floating]) -> None:
        """Refuse inputs so large that sums of floats may overflow; ``as_input`` checks integers."""
        if self.program.number_format == "integer":
            return
        largest = float(np.abs(values).max(initial=0.0))
        if not largest <= self._largest:
            allowed = f"at most {self._largest:.6g}, so that all sums stay finite in {self.program.number_format}"
            remedy = "Scale values down with `input_scale`."
            raise BadData("the samples", [Violation("a value", f"{largest:g}", allowed, remedy)])

    @cached_property
    def _largest(self) -> float:
        return largest_input(self.program)

    def as_json(self, source: Source) -> dict[str, Any]:
        """Describe how samples become inputs, and where each choice comes from, for a report."""
        return {
            "name": source.name,
            "split": source.split,
            "encoder": self.encoder,
            "encoder_from": "from `encoder`" if self.encoding.encoder else "from the network",
            "seed": self.encoding.seed,
            "n_steps": self.n_steps,
            "n_steps_from": self.n_steps_from,
            "n_steps_of_data": self.arrangement.n_steps,
            "static": self.is_static,
            "input_threshold": self.encoding.input_threshold,
            "input": source.as_json(),
            "binned": source.binned.as_json() if source.binned else None,
            "files": source.digests,
        }

    def batches(
        self,
        source: Source,
        size: int,
        *,
        first: int = 0,
        limit: int | None = None,
        labels: bool = True,
        progress: Progress = unseen,
    ) -> Iterator[tuple[Encoded, NDArray[np.int64] | None]]:
        """Yield encoded inputs, and labels or None; see ``Source.batches``.

        With ``labels=False``, labels need not fit the outputs. ``progress`` receives the number of samples of which the
        receiver is done.

        Raises:
            BadData: a label without an output, or fractions for an input of whole numbers.
            TddDeployError: what the source raises.
        """
        shape = self.program.shapes[self.program.output.name]
        if labels and source.labeled and len(shape) != 1:
            found = f"need one output per class, and the program's output has shape {list(shape)}"
            raise BadData(source.name, [Violation("its labels", found, remedy="Leave y out.")])
        if labels and source.has_step_labels:
            self._check_step_labels(source, shape[0])
        fitting = max(1, LARGEST_BATCH // math.prod(source.sample_shape))  # results do not depend on the batch size
        total = (source.n_samples if limit is None else limit) - first
        progress(0, total)
        for batch in source.batches(min(size, fitting), first=first, limit=limit):
            if labels and batch.y is not None and not source.has_step_labels:
                check_labels(batch.y, shape[0], source.name, start=batch.start)
            frames = encode(
                self.arrangement.view(batch.x),
                in_time=self.arrangement.in_time,
                encoder=self.encoder,
                n_steps=self.n_steps,
                seed=self.encoding.seed,
                start=batch.start,
            )
            if isinstance(frames, Frames):
                self._check_size(frames.values)
                self._check_whole(batch.x, batch.start, source)
                if self.encoding.input_threshold:
                    frames = sent_on_change(frames, self.encoding.input_threshold)
            yield frames, batch.y
            progress(batch.start - first + len(batch.x), total)

    def _check_step_labels(self, source: Source, n_outputs: int) -> None:
        """Refuse labels of time steps for samples without them, and labels without an output."""
        if not self.arrangement.in_time:
            found = "is a label per time step, and samples are read without time"
            raise BadData(source.name, [Violation("y", found, remedy="Use `frames=True`, or leave y out.")])
        assert source.n_classes is not None  # it has labels
        if source.n_classes > n_outputs:
            allowed = f"at most {n_outputs - 1}, as there are {n_outputs} outputs"
            raise BadData(source.name, [Violation("the largest label in y", str(source.n_classes - 1), allowed)])

    def _check_whole(self, x: NDArray[np.float32], start: int, source: Source) -> None:
        """Refuse fractions if the program takes whole numbers, so that the user chooses the scale."""
        if self.program.number_format != "integer" or self.program.input.scale != 1:
            return
        is_fraction = x != np.rint(x)
        if not is_fraction.any():
            return
        sample = start + int(np.argmax(is_fraction.reshape(len(x), -1).any(axis=1)))
        largest = self.program.input.largest
        remedy = "Choose a factor for stored values with `input_scale`"
        magnitudes = np.unique(np.abs(x[x != 0]))
        if source.stored == "uint8" and np.abs(x).max() / source.scale <= largest:
            remedy += ": 1 keeps bytes as they are"
        elif len(magnitudes) == 1:
            remedy += f": {source.scale / float(magnitudes[0]):g} makes them spikes"
        found = f"{x[is_fraction][0]:g}, which would be rounded"
        allowed = f"a whole number from {-largest:,} to {largest:,}, the range of the program's input"
        raise BadData(source.name, [Violation(f"x of sample {sample}", found, allowed, f"{remedy}.")])


def arranged(program: Program, source: Source, *, frames: bool) -> Arrangement:
    """Decide how samples fit a program's input; events have been cut into time steps, so they are in time."""
    shapes = source.sample_shape, program.input.shape
    remedy = _downsampling(*shapes, source.binned.binning.downsample) if source.binned else ""
    in_time = frames or source.binned is not None or source.windows is not None
    return arrange(*shapes, source.name, in_time=in_time, remedy=remedy)


def _steps(steps: int | None, arrangement: Arrangement, program: Program, source: Source) -> tuple[int, str]:
    """Find the number of time steps and where it comes from; refuse too many."""
    n_steps, origin = _stated_steps(steps, arrangement, program, source)
    if n_steps > MOST_STEPS:
        raise BadOption("steps", f"{n_steps}, {origin}", f"1 to {MOST_STEPS:,}")
    return n_steps, origin


def _stated_steps(steps: int | None, arrangement: Arrangement, program: Program, source: Source) -> tuple[int, str]:
    if steps is not None:
        return steps, "from `steps`"
    if arrangement.n_steps is not None:
        if source.windows is not None:
            return arrangement.n_steps, "from `window`"
        return arrangement.n_steps, "from the bins of events" if source.binned else "from the data"
    if program.n_steps is not None:
        return program.n_steps, "from the network"
    found = f"is not given; {source.name} has no time axis, and the network does not state a number of time steps"
    raise BadOption("steps", found, remedy="For example, `steps=32` shows each sample for 32 time steps.")


def _downsampling(sample_shape: tuple[int, ...], input_shape: tuple[int, ...], now: int) -> str:
    """Suggest how events ``[T, polarities, height, width]``, downsampled by ``now``, can fit an input."""
    if len(sample_shape) != 4:
        return ""
    full = (sample_shape[1], sample_shape[2] * now, sample_shape[3] * now)
    for by in range(1, min(full[1:]) + 1):
        if input_shape == (full[0], full[1] / by, full[2] / by):
            return f"Use `downsample={by}`, which fits."
    return ""
