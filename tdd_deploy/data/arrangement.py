"""How samples fit a program's input: all at once, or one frame per time step."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tdd_deploy.errors import BadData, Violation

CHANNELS = (3, 4)  # common numbers of image channels
SHAPE = "the shape of a sample"


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """How a sample is shaped: ``input_shape``, or in time ``[n_steps, *input_shape]``."""

    in_time: bool
    n_steps: int | None  # time steps of the data; None: static
    input_shape: tuple[int, ...]

    def view(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Reshape a batch to ``[B, *input_shape]``, or in time ``[B, n_steps, *input_shape]``."""
        steps = () if self.n_steps is None else (self.n_steps,)
        return x.reshape(len(x), *steps, *self.input_shape)


def arrange(
    sample_shape: tuple[int, ...],
    input_shape: tuple[int, ...],
    subject: str,
    *,
    in_time: bool = False,
    remedy: str = "",
) -> Arrangement:
    """Decide whether samples are static or in time for a program's input.

    A sample is static when it has the input's shape, with or without a channel axis of 1, or a height of 1 between
    several channels and a length. It is in time when it has one more axis, in front. Without the channel axis such a
    sample also looks like an image of several channels, so it is in time only if ``in_time`` says so.

    Args:
        sample_shape: shape of one sample, without N.
        input_shape: shape of one time step of the program's input.
        subject: name of the samples, for the error.
        in_time: whether the axis after N is time.
        remedy: what the user can do, for the error.

    Raises:
        BadData: no reading is possible, or two are; the error shows both shapes and what would fit.
    """
    full, reduced = [input_shape], [input_shape[1:]] if input_shape[:1] == (1,) else []
    if len(input_shape) == 3 and input_shape[0] > 1 and input_shape[1] == 1:  # signals, as Conv1d takes them
        full.append((input_shape[0], input_shape[2]))
    if not in_time and sample_shape in full + reduced:
        return Arrangement(in_time=False, n_steps=None, input_shape=input_shape)
    if sample_shape and sample_shape[1:] in (full + reduced if in_time else full):
        return Arrangement(in_time=True, n_steps=sample_shape[0], input_shape=input_shape)
    if sample_shape and sample_shape[1:] in reduced:
        raise BadData(subject, [_ambiguous(sample_shape, input_shape)])
    fitting = [
        text for shape in full + reduced for text in (*(() if in_time else (_text(*shape),)), _text("T", *shape))
    ]
    allowed = f"{' or '.join(fitting)} for the program's input {_text(*input_shape)}"
    remedy = remedy or _moving(sample_shape, input_shape)
    raise BadData(subject, [Violation(SHAPE, _text(*sample_shape), allowed, remedy)])


def _moving(sample_shape: tuple[int, ...], input_shape: tuple[int, ...]) -> str:
    """Suggest what would make samples fit: another axis in front, or the same values in another shape."""
    moved = (*sample_shape[-1:], *sample_shape[:-1])
    if moved == input_shape:
        return "If the last axis holds the channels, use numpy.moveaxis(x, -1, 1)."
    if moved[1:] == input_shape or (input_shape[:1] == (1,) and moved[1:] == input_shape[1:]):
        return "If the last axis is time, use numpy.moveaxis(x, -1, 1)."
    if _are_flat(sample_shape, input_shape):
        return f"Use x.reshape({_text('len(x)', *input_shape)})."
    if _are_flat(sample_shape[1:], input_shape):
        return f"If the axis after N is time, use x.reshape({_text('len(x)', sample_shape[0], *input_shape)})."
    return ""


def _are_flat(shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Decide whether two shapes hold the same values in the same order, apart from axes of 1 or a flattened shape."""
    short, long = (tuple(n for n in axes if n != 1) for axes in (shape, other))
    return short == long or (min(len(short), len(long)) == 1 and math.prod(short) == math.prod(long))


def _ambiguous(sample_shape: tuple[int, ...], input_shape: tuple[int, ...]) -> Violation:
    first = sample_shape[0]
    found = f"{_text(*sample_shape)}, which may be {first:,} time steps or {first:,} channels"
    allowed = f"{_text(*input_shape)} or {_text('T', *input_shape)} for the program's input {_text(*input_shape)}"
    suggested = f"{first} suggests channels" if first in CHANNELS else f"{first:,} suggests time"
    return Violation(SHAPE, found, allowed, f"Use `frames=True` if the axis after N is time ({suggested}).")


def _text(*axes: int | str) -> str:
    return f"[{', '.join(map(str, axes))}]"
