"""How samples meet a program's input: all at once, or one frame per time step."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tdd_deploy.errors import BadData, Violation


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """Samples are ``input_shape``, or in time, ``n_steps`` of it."""

    in_time: bool
    n_steps: int | None  # time steps of the data; None: static
    input_shape: tuple[int, ...]

    def view(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return a batch reshaped to ``[B, *input_shape]``, or in time ``[B, n_steps, *input_shape]``."""
        steps = () if self.n_steps is None else (self.n_steps,)
        return x.reshape(len(x), *steps, *self.input_shape)


def arrange(
    sample_shape: tuple[int, ...], input_shape: tuple[int, ...], subject: str, *, remedy: str = ""
) -> Arrangement:
    """Decide whether samples are static or in time for a program's input.

    The first that matches: the input's shape; time steps before it; then both again without the input's
    channel axis, if that is 1.

    Args:
        sample_shape: of one sample, without N.
        input_shape: of one time step of the program's input.
        subject: whose samples they are, named in the error.
        remedy: what the error says of how to get there.

    Raises:
        BadData: none matches; the error shows both shapes and what would fit.
    """
    shapes = [input_shape, input_shape[1:]] if input_shape[:1] == (1,) else [input_shape]
    for shape in shapes:
        if sample_shape == shape:
            return Arrangement(in_time=False, n_steps=None, input_shape=input_shape)
        if sample_shape and sample_shape[1:] == shape:
            return Arrangement(in_time=True, n_steps=sample_shape[0], input_shape=input_shape)
    fitting = [text for shape in shapes for text in (_text(*shape), _text("T", *shape))]
    allowed = f"{' or '.join(fitting)} for the program's input {_text(*input_shape)}"
    raise BadData(subject, [Violation("samples", f"shape is {_text(*sample_shape)}", allowed, remedy)])


def _text(*axes: int | str) -> str:
    return f"[{', '.join(map(str, axes))}]"
