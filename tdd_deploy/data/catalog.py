"""The data sets by name: where their files are looked for, and how each is split."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tdd_deploy.errors import BadOption, BadOptions, DataNotFound, Violation, did_you_mean

from .binning import Binning
from .camera_file import CAMERA_FILES, open_camera_file
from .cifar import open_cifar10, open_cifar100
from .digits import DIGITS_SPLITS, open_digits
from .event_file import holds_events, open_events
from .idx import open_idx
from .npz import open_npz
from .records import reading
from .source import Source
from .splits import SPLITS, SPLITS_OF_ONE, check_split, split_of
from .tonic import PREFIX, is_split, open_tonic


@dataclass(frozen=True, kw_only=True)
class FileSet:
    """The official files of a data set; each is a tuple of the names it goes by."""

    open: Callable[..., Source]  # (name, *paths), not yet split
    folder: str  # as its archive or torchvision unpacks it
    train: tuple[tuple[str, ...], ...]
    test: tuple[tuple[str, ...], ...]
    pickled: tuple[str, ...] = ()  # names found in the Python version alone, which is never read


def _idx(prefix: str) -> tuple[tuple[str, ...], ...]:
    official = (f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte")
    names = ((name, name.replace("-idx", ".idx")) for name in official)
    return tuple((dash, dot, f"{dash}.gz", f"{dot}.gz") for dash, dot in names)


FILE_SETS = {
    "mnist": FileSet(open=open_idx, folder="MNIST/raw", train=_idx("train"), test=_idx("t10k")),
    "fashion-mnist": FileSet(open=open_idx, folder="FashionMNIST/raw", train=_idx("train"), test=_idx("t10k")),
    "cifar10": FileSet(
        open=open_cifar10,
        folder="cifar-10-batches-bin",
        train=tuple((f"data_batch_{i}.bin",) for i in range(1, 6)),
        test=(("test_batch.bin",),),
        pickled=("cifar-10-batches-py", "data_batch_1"),
    ),
    "cifar100": FileSet(
        open=open_cifar100,
        folder="cifar-100-binary",
        train=(("train.bin",),),
        test=(("test.bin",),),
        pickled=("cifar-100-python", "meta"),
    ),
}
DATASETS = ("digits", *FILE_SETS)


def open_data(
    name: str,
    *,
    split: str | None = None,
    data_dir: Path | None = None,
    binning: Binning | None = None,
    input_scale: float | None = None,
) -> Source:
    """Open one split of a named data set, or of a .npz.

    Args:
        name: one of ``DATASETS``, a path ending in .npz, .raw or .aedat4, or ``tonic:`` and the name of a data set
            of tonic.
        split: train, val or test of a named set, by default test; all, train or val of a .npz, by default all.
            Train is the first 90 % and val the last 10 % of the training file or of the .npz; test is the test file.
            The 1797 digits have one fixed shuffled order: 500 test, 200 val, 1097 train.
        data_dir: where named sets are looked for; without it, $TDD_DEPLOY_DATA.
        binning: how events of a camera are cut into time steps; None for other data.
        input_scale: stored values are multiplied by it; None: as the data set or the file states.

    Raises:
        BadOption: an unknown name or split, or a scale that float32 does not hold.
        BadOptions: events without binning, or binning without events.
        DataNotFound: the files are not there; the error says what to put where.
        BadFile, BadData: a file is damaged, or holds what cannot be used.
        MissingDependency: digits without scikit-learn, tonic's data sets without tonic.
    """
    if is_file(name):
        kind = "raw recording" if name.endswith(CAMERA_FILES) else ".npz"
        split = check_split(split or "all", SPLITS_OF_ONE, f"A {kind} has no test split: name the test file instead.")
        if name.endswith(CAMERA_FILES):
            source = open_camera_file(Path(name), _needed(binning, name)).scaled(input_scale)
        elif holds_events(Path(name)):
            source = open_events(Path(name), _needed(binning, name)).scaled(input_scale)
        else:
            _check_needless(binning, name)
            source = open_npz(Path(name), scale=input_scale)
        return split_of(source, split)
    if name.startswith(PREFIX):
        return _tonic(name, split, data_dir, _needed(binning, name)).scaled(input_scale)
    if name not in DATASETS:
        allowed = f"{', '.join(DATASETS)}, {PREFIX}NAME, or a path to an .npz, .raw or .aedat4"
        raise BadOption("data", repr(name), allowed, did_you_mean(name, DATASETS))
    _check_needless(binning, name)
    split = check_split(split or "test", SPLITS)
    if name == "digits":
        return open_digits().scaled(input_scale).part(split, DIGITS_SPLITS[split])
    source = _open_files(name, FILE_SETS[name], test=split == "test", data_dir=data_dir).scaled(input_scale)
    return source.part(split, range(source.n_samples)) if split == "test" else split_of(source, split)


def is_file(name: str) -> bool:
    """Decide whether data are named by the path of a file."""
    return name.endswith((".npz", *CAMERA_FILES))


def _tonic(name: str, split: str | None, data_dir: Path | None, binning: Binning) -> Source:
    """Open one split of a data set of tonic."""
    data_dir = data_dir or _data_dir_of_environment()
    if not is_split(name):
        split = check_split(split or "all", SPLITS_OF_ONE, "This data set has no test files.")
        return split_of(open_tonic(name, test=False, data_dir=data_dir, binning=binning), split)
    split = check_split(split or "test", SPLITS)
    source = open_tonic(name, test=split == "test", data_dir=data_dir, binning=binning)
    return source.part(split, range(source.n_samples)) if split == "test" else split_of(source, split)


def _needed(binning: Binning | None, name: str) -> Binning:
    """Return how events are cut; without it, refuse the events."""
    if binning is None:
        found = f"names events of a camera ({name}), which have no time steps yet"
        raise BadOption("data", found, remedy="Cut them with `bin_us` or `bins`.")
    return binning


def _check_needless(binning: Binning | None, name: str) -> None:
    """Refuse to cut what holds no events."""
    if binning is not None:
        found = f"need events of a camera, and {name} holds none"
        options = "`bin_us`, `bins`, `bin_value` and `downsample`"
        raise BadOptions("", [Violation(options, found, remedy="Leave them out.")])


def _open_files(name: str, files: FileSet, *, test: bool, data_dir: Path | None) -> Source:
    data_dir = data_dir or _data_dir_of_environment()
    folders = [data_dir / sub for sub in (name, files.folder, f"{name}/{files.folder}", "")] if data_dir else []
    wanted = files.test if test else files.train
    for folder in folders:
        paths = [path for names in wanted if (path := _first_existing(folder, names))]
        if len(paths) == len(wanted):
            return files.open(name, *paths)
    official = ", ".join(names[0] for names in wanted)
    remedy = f"put {official} into {data_dir or 'DIR'}/{name}, or name their folder with `data_dir` or $TDD_DEPLOY_DATA"
    for folder in folders:
        if pickled := _first_existing(folder, files.pickled):
            remedy = f"{pickled} is the Python version, pickled and never read: get the binary version and {remedy}"
            break
    raise DataNotFound(name, folders, remedy)


def _data_dir_of_environment() -> Path | None:
    folder = os.environ.get("TDD_DEPLOY_DATA")
    return Path(folder) if folder else None


def _first_existing(folder: Path, names: tuple[str, ...]) -> Path | None:
    with reading(folder):
        return next((folder / name for name in names if (folder / name).exists()), None)
