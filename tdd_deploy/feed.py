"""Samples of a source as inputs of a program."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .data import Arrangement, Source, arrange, check_labels, encode
from .data.encoders import Encoded, Frames, sent_on_change
from .errors import BadData, BadOption, Violation
from .program import Program
from .program.bounds import largest_input

LARGEST_BATCH = 1 << 26  # numbers: 256 MiB, as long recordings of a camera come to many


@dataclass(frozen=True, kw_only=True)
class Feed:
    """How the samples of a source become inputs of a program."""

    program: Program
    arrangement: Arrangement
    encoder: str
    n_steps: int
    seed: int
    threshold: float  # by which an input has to differ to be sent anew

    @classmethod
    def of(
        cls,
        program: Program,
        source: Source,
        *,
        steps: int | None = None,
        encoder: str | None = None,
        seed: int = 0,
        threshold: float = 0.0,
    ) -> Self:
        """Find out how; what is None is as the data or the program say.

        Raises:
            BadOption: a threshold below zero, or of an input that is not sent as numbers.
        """
        encoder = encoder or program.encoder
        if not 0 <= threshold < math.inf:
            raise BadOption("--input-threshold", f"{threshold:g}", "0 or more")
        if threshold and encoder != "direct":
            raise BadOption("--input-threshold", f"{threshold:g}, with --encoder {encoder}", "with --encoder direct")
        shapes = source.sample_shape, program.input.shape
        remedy = _downsampling(*shapes, source.binned.binning.downsample) if source.binned else ""
        arrangement = arrange(*shapes, source.name, remedy=remedy)
        n_steps = steps or arrangement.n_steps or program.n_steps
        return cls(
            program=program, arrangement=arrangement, encoder=encoder, n_steps=n_steps, seed=seed, threshold=threshold
        )

    @property
    def is_static(self) -> bool:
        """Whether the program sees the same values at every step."""
        return self.encoder == "direct" and not self.arrangement.in_time

    def _check_size(self, values: NDArray[np.floating]) -> None:
        """Refuse inputs so large that sums of floats may overflow."""
        largest = float(np.abs(values).max(initial=0.0))
        if not largest <= self._largest:
            allowed = f"up to {self._largest:.6g}, so that all sums stay finite in {self.program.number_format}"
            raise BadData("the samples", [Violation("a value", f"{largest:g}", allowed, "Scale the samples down.")])

    @cached_property
    def _largest(self) -> float:
        return math.inf if self.program.number_format == "integer" else largest_input(self.program)

    def batches(
        self, source: Source, size: int, *, first: int = 0, limit: int | None = None
    ) -> Iterator[tuple[Encoded, NDArray[np.int64] | None]]:
        """Yield encoded inputs and labels, or None for labels; see ``Source.batches``.

        Raises:
            BadData: labels, and no output for each; and what the source raises.
        """
        shape = self.program.shapes[self.program.output.name]
        if source.labelled and len(shape) != 1:
            found = f"the program's output has shape {shape}"
            raise BadData(source.name, [Violation("its labels", found, "one output per class, or data without y")])
        fitting = max(1, LARGEST_BATCH // math.prod(source.sample_shape))  # results do not depend on it
        for batch in source.batches(min(size, fitting), first=first, limit=limit):
            if batch.y is not None:
                check_labels(batch.y, shape[0], source.name, start=batch.start)
            frames = encode(
                self.arrangement.view(batch.x),
                in_time=self.arrangement.in_time,
                encoder=self.encoder,
                n_steps=self.n_steps,
                seed=self.seed,
                start=batch.start,
            )
            if isinstance(frames, Frames):
                self._check_size(frames.values)
            if isinstance(frames, Frames) and self.threshold:
                frames = sent_on_change(frames, self.threshold)
            yield frames, batch.y


def _downsampling(sample_shape: tuple[int, ...], input_shape: tuple[int, ...], now: int) -> str:
    """Say what would make events ``[T, 2, height, width]``, downsampled by ``now``, fit an input."""
    full = (sample_shape[1], sample_shape[2] * now, sample_shape[3] * now)
    for by in range(1, min(full[1:]) + 1):
        if input_shape == (full[0], full[1] / by, full[2] / by):
            return f"--downsample {by} brings it there."
    return ""
