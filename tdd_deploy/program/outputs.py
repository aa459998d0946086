"""From what the output of a program receives to the classes of samples."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def predicted(output: NDArray[Any]) -> NDArray[np.int64]:
    """Return classes ``[batch]`` for ``[batch, n_steps, ...]``: the largest sum over time, the first one of equals."""
    total = output.sum(axis=1)
    return np.asarray(total.reshape(len(total), -1).argmax(axis=1))
