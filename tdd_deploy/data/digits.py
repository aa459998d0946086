"""The 1797 digits that come with scikit-learn: 8x8 pixels of 0 to 16."""

import io
from functools import partial
from pathlib import Path

import numpy as np

from tdd_deploy.errors import MissingDependency

from .records import Records
from .source import Source

DIGITS_SPLITS = {"test": range(500), "val": range(500, 700), "train": range(700, 1797)}


def open_digits() -> Source:
    """Return the images ``[1, 8, 8]`` times 2**-4 and the labels in one fixed shuffled order, not yet split.

    The order is ``RandomState(0).permutation``, a stream that numpy has frozen for ever; ``DIGITS_SPLITS`` cuts it:
    the first 500 are test, the next 200 val, the last 1097 train.

    Raises:
        MissingDependency: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits  # noqa: PLC0415 (heavy, and optional)
    except ImportError as error:
        raise MissingDependency("scikit-learn", needed_for="the data set digits", install="scikit-learn") from error
    digits = load_digits()
    order = np.random.RandomState(0).permutation(len(digits.target))
    table = np.empty(len(order), dtype=[("x", "u1", (1, 8, 8)), ("y", "u1")])
    table["x"] = digits.images[order, np.newaxis]
    table["y"] = digits.target[order]
    in_memory = partial(io.BytesIO, table.tobytes())
    return Source(
        name="digits",
        split="all",
        n_samples=len(table),
        n_classes=10,
        files=(),
        scale=2.0**-4,
        tables=(Records(path=Path("digits"), parts=(in_memory,), n=len(table), dtype=table.dtype),),
    )
