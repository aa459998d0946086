"""The splits of a data set: their names, and the samples of each."""

from collections.abc import Sequence

import numpy as np

from tdd_deploy.errors import BadOption, any_of, did_you_mean

from .source import Source

SPLITS = ("train", "val", "test")  # of a named data set
SPLITS_OF_ONE = ("all", "train", "val")  # of samples without a test file: an .npz, or arrays


def check_split(split: str, allowed: Sequence[str], remedy: str = "") -> str:
    """Return a split that is allowed.

    Raises:
        BadOption: the split is not allowed; without a close one, ``remedy`` says what to do.
    """
    if split not in allowed:
        near = "" if split in {*SPLITS, *SPLITS_OF_ONE} else did_you_mean(split, allowed)
        raise BadOption("split", repr(split), any_of(allowed), near or remedy)
    return split


def split_of(source: Source, split: str) -> Source:
    """Cut one of ``SPLITS_OF_ONE`` out of all samples: the first 90 % are train, the last 10 % val.

    Of windows, these are the first 90 % of their recordings.

    Raises:
        BadData: the split is empty. A single sample is for training, since calibration needs one.
    """
    n = source.n_samples
    cut = max(1, n * 9 // 10) if source.windows is None else _cut_of_recordings(source)
    return source.part(split, {"all": range(n), "train": range(cut), "val": range(cut, n)}[split])


def _cut_of_recordings(source: Source) -> int:
    """Return how many windows belong to the first 90 % of the recordings, as these stay whole."""
    assert source.windows is not None
    recordings = source.windows.recordings[source.first : source.first + source.n_samples]
    found = np.unique(recordings)
    n_train = max(1, len(found) * 9 // 10)
    return int(np.searchsorted(recordings, found[n_train])) if n_train < len(found) else source.n_samples
