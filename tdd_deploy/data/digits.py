"""The 1797 digits that come with scikit-learn: 8x8 pixels of 0 to 16."""

import io
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tdd_deploy.errors import MissingDependency

from .records import Records
from .source import Source

FILE = "datasets/data/digits.csv.gz"  # in scikit-learn, whose import takes a second
DIGITS_SPLITS = {"test": range(500), "val": range(500, 700), "train": range(700, 1797)}


def open_digits() -> Source:
    """Open the images ``[1, 8, 8]`` times 2**-4 and the labels in one fixed shuffled order, not yet split.

    The order is ``RandomState(0).permutation``, a stream that numpy never changes; ``DIGITS_SPLITS`` cuts it:
    the first 500 are test, the next 200 val, the last 1097 train.

    Raises:
        MissingDependency: scikit-learn is not installed.
    """
    rows = _rows()
    table = np.empty(len(rows), dtype=[("x", "u1", (1, 8, 8)), ("y", "u1")])
    shuffled = rows[np.random.RandomState(0).permutation(len(rows))]
    table["x"], table["y"] = shuffled[:, :-1].reshape(-1, 1, 8, 8), shuffled[:, -1]
    in_memory = partial(io.BytesIO, table.tobytes())
    return Source(
        name="digits",
        split="all",
        n_samples=len(table),
        n_classes=10,
        files=(),
        stored="uint8",
        scale=2.0**-4,
        scale_from="pixels of 0 to 16 are k/16",
        tables=(Records(path=Path("digits"), parts=(in_memory,), n=len(table), dtype=table.dtype),),
    )


def _rows() -> npt.NDArray[np.uint8]:
    """Read the digits, one per row: 64 pixels and the label."""
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise MissingDependency("scikit-learn", needed_for="the data set digits", install="scikit-learn")
    path = Path(spec.origin).parent / FILE
    if path.exists():
        return np.loadtxt(path, np.uint8, delimiter=",")
    from sklearn.datasets import load_digits  # noqa: PLC0415  (heavy)

    digits = load_digits()
    return np.column_stack([digits.data, digits.target]).astype(np.uint8)
