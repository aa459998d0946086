"""Data sets of the package tonic (N-MNIST, DVS gestures, ...), from local files: nothing is downloaded.

This module uses ``tonic.datasets.NAME(save_to=folder, train=bool)`` of tonic 1.x, whose ``download`` is replaced, with
``sensor_size`` (width, height, polarities), ``data`` (paths), ``targets``, and ``dataset[i]``, whose first part is a
structured array with t (us), x, y, p.
"""

import inspect
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Never

import numpy as np
import numpy.typing as npt

from tdd_deploy.errors import BadData, BadFile, BadOption, DataNotFound, MissingDependency, Violation, did_you_mean

from .binning import Binning
from .events import FIELDS, Events, Recording, Sensor, survey
from .records import REMEDY, Records, reading
from .source import Source

PREFIX = "tonic:"


@dataclass(frozen=True, eq=False, kw_only=True)
class TonicRecordings:
    """The recordings of a data set (``events.Recordings``) in a shuffled order, since tonic's order is by class."""

    dataset: Any
    order: npt.NDArray[np.int64]  # [N]
    sensor: Sensor
    folder: Path

    def read(self, start: int, stop: int) -> Iterator[Recording]:
        """Yield the recordings from ``start`` to ``stop``; one at a time is in memory."""
        for i in self.order[start:stop].tolist():
            with reading(self.folder):
                events = np.asarray(self.dataset[i][0])
            kinds = {name: events.dtype[name].kind for name in FIELDS if name in (events.dtype.fields or ())}
            if any(kinds.get(name, "") not in tuple("iub") for name in FIELDS):
                found = f"holds {events.dtype} as recording {i}, not t, x, y, p in integers"
                raise BadFile(self.folder, found, REMEDY)
            yield Recording(**{name: events[name] for name in FIELDS})


def open_tonic(name: str, *, test: bool, data_dir: Path | None, binning: Binning) -> Source:
    """Open the training or the test files of a data set of tonic, not yet split.

    Samples are in one fixed shuffled order, ``RandomState(0).permutation`` of the files by path.

    Args:
        name: ``tonic:`` and the name of a class of ``tonic.datasets``, of a camera with two polarities.
        test: whether to open the test files; a data set without them is the same for both.
        data_dir: the folder that tonic calls ``save_to``: the files lie in a folder of the data set's name in it.
        binning: how events are cut; with ``bin_us`` and no ``n_steps``, all recordings are read to find the longest.

    Raises:
        MissingDependency: tonic is not installed.
        BadOption: tonic has no such data set.
        DataNotFound: the files are not there.
        BadData: the recordings have no classes.
    """
    kind = _kind(name)
    if data_dir is None:
        raise DataNotFound(name, (), "name the folder that holds it with `data_dir` or $TDD_DEPLOY_DATA")
    dataset = _dataset(name, kind, test=test, data_dir=data_dir)
    labels = _labels(name, dataset)
    width, height, _ = kind.sensor_size
    order = _by_path(dataset)[np.random.RandomState(0).permutation(len(labels))]
    recordings = TonicRecordings(
        dataset=dataset, order=order, sensor=Sensor(height=height, width=width), folder=data_dir / kind.__name__
    )
    needs_longest = binning.bins is None and binning.n_steps is None
    durations = survey(recordings, len(labels), name) if needs_longest else None
    table = np.zeros(len(labels), [("y", np.int64)])
    table["y"] = labels[order]
    in_memory = partial(io.BytesIO, table.tobytes())
    return Source(
        name=name,
        split="all",
        n_samples=len(labels),
        n_classes=int(labels.max()) + 1,
        files=(),
        stored="events",
        scale=1.0,
        scale_from=binning.counted,
        tables=(
            Events(subject=name, recordings=recordings, binning=binning, durations_us=durations),
            Records(path=Path(name), parts=(in_memory,), n=len(labels), dtype=table.dtype),
        ),
    )


def _by_path(dataset: Any) -> npt.NDArray[np.int64]:
    """Sort the recordings by the paths of their files, since some data sets list them in the order of the disk."""
    paths = [each if isinstance(each, str) else "" for each in dataset.data]
    return np.asarray(sorted(range(len(paths)), key=paths.__getitem__), np.int64)


def is_split(name: str) -> bool:
    """Find out whether a data set has training and test files."""
    return "train" in inspect.signature(_kind(name)).parameters


def _kind(name: str) -> Any:
    """Find the class of a data set."""
    try:
        import tonic.datasets  # noqa: PLC0415  (optional)
    except ImportError as error:
        raise MissingDependency("tonic", f"`data={name}`", "'tdd-deploy[events]'") from error
    kinds = {key: kind for key, kind in vars(tonic.datasets).items() if _is_of_camera(kind)}
    wanted = name.removeprefix(PREFIX)
    if wanted not in kinds:
        known = [f"{PREFIX}{kind}" for kind in sorted(kinds)]
        raise BadOption("data", repr(name), f"one of {', '.join(known)}", did_you_mean(name, known))
    return kinds[wanted]


def _is_of_camera(kind: Any) -> bool:
    """Decide whether this is a data set of one camera with two polarities that needs only a folder to open."""
    if not isinstance(kind, type) or (getattr(kind, "sensor_size", None) or ())[2:] != (2,):
        return False
    parameters = inspect.signature(kind).parameters
    return [name for name, each in parameters.items() if each.default is each.empty] == ["save_to"]


def _dataset(name: str, kind: Any, *, test: bool, data_dir: Path) -> Any:
    """Open a data set without its download."""
    folder = data_dir / kind.__name__

    def refuse(*_: object) -> Never:
        remedy = f"put its files there, or let tonic do so: tonic.datasets.{kind.__name__}(save_to={str(data_dir)!r})"
        raise DataNotFound(name, [folder], remedy)

    offline = type(kind.__name__, (kind,), {"download": refuse})  # the name is that of tonic's folder
    which = {"train": not test} if is_split(name) else {}
    with reading(folder):
        try:
            return offline(save_to=str(data_dir), **which)
        except FileNotFoundError:
            refuse()


def _labels(name: str, dataset: Any) -> npt.NDArray[np.int64]:
    """Read the class of each recording."""
    labels = np.asarray(dataset.targets)
    if labels.shape != (len(dataset),) or labels.dtype.kind not in "iu" or not len(labels):
        found = f"{labels.dtype.name} of shape {list(labels.shape)}"
        raise BadData(name, [Violation("its targets", found, "one class for each recording")])
    return labels.astype(np.int64)
