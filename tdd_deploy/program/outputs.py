"""Read the output of a program: constant values, and the classes of samples."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def unchanging(output: NDArray[Any]) -> NDArray[Any] | None:
    """Return the values ``[...]`` of ``[batch, n_steps, ...]`` if all samples and time steps share them, else None."""
    first: NDArray[Any] = output[0, 0]
    return first if np.array_equal(output, np.broadcast_to(first, output.shape)) else None


def predicted(output: NDArray[Any]) -> NDArray[np.int64]:
    """Predict classes ``[batch]`` from ``[batch, n_steps, ...]``: the largest sum over time, the first of equals."""
    total = output.sum(axis=1)
    return np.asarray(total.reshape(len(total), -1).argmax(axis=1))
