"""The data sets by name: where their files are looked for, and how each is split."""

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tdd_deploy.errors import BadOption, BadOptions, DataNotFound, Violation

from .binning import Binning
from .cifar import open_cifar10, open_cifar100
from .digits import DIGITS_SPLITS, open_digits
from .event_file import holds_events, open_events
from .idx import open_idx
from .npz import open_npz
from .records import reading
from .source import Source
from .tonic import PREFIX, is_split, open_tonic

SPLITS = ("train", "val", "test")
NPZ_SPLITS = ("all", "train", "val")


@dataclass(frozen=True, kw_only=True)
class FileSet:
    """The official files of a data set; each is a tuple of the names it goes by."""

    open: Callable[..., Source]  # (name, *paths), not yet split
    folder: str  # as its archive or torchvision unpacks it
    train: tuple[tuple[str, ...], ...]
    test: tuple[tuple[str, ...], ...]
    pickled: tuple[str, ...] = ()  # what betrays the python version, which is never read


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
        name: one of ``DATASETS``, a path ending in .npz, or ``tonic:`` and the name of a data set of tonic.
        split: of a named set train, val or test (without it: test); of a .npz all, train or val (without it: all).
            Train is the first 90 % and val the last 10 % of the training file or of the .npz; test is the test file.
            The 1797 digits are shuffled once for ever: 500 test, 200 val, 1097 train.
        data_dir: where named sets are looked for; without it, $TDD_DEPLOY_DATA.
        binning: how events of a camera are cut into time steps; None for other data.
        input_scale: stored values are multiplied by it; None: as the data set or the file says.

    Raises:
        BadOption: an unknown name or split, or a scale that float32 does not hold.
        BadOptions: events without binning, or binning without events.
        DataNotFound: the files are not there; the error says what to put where.
        BadFile, BadData: a file is damaged, or holds what cannot be used.
        MissingDependency: digits without scikit-learn, tonic's data sets without tonic.
    """
    if is_file(name):
        split = _known(split or "all", NPZ_SPLITS, "; a .npz is one split, so name the test file instead")
        if holds_events(Path(name)):
            source = open_events(Path(name), _given(binning, name)).scaled(input_scale)
        else:
            _check_needless(binning, name)
            source = open_npz(Path(name), scale=input_scale)
        return source.part(split, _ranges(source.n_samples)[split])
    if name.startswith(PREFIX):
        return _tonic(name, split, data_dir, _given(binning, name)).scaled(input_scale)
    if name not in DATASETS:
        close = difflib.get_close_matches(name, DATASETS, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise BadOption("--data", name, f"{', '.join(DATASETS)}, {PREFIX}NAME, or a path to an .npz{hint}")
    _check_needless(binning, name)
    split = _known(split or "test", SPLITS)
    if name == "digits":
        return open_digits().scaled(input_scale).part(split, DIGITS_SPLITS[split])
    source = _open_files(name, FILE_SETS[name], test=split == "test", data_dir=data_dir)
    return source.scaled(input_scale).part(split, _ranges(source.n_samples)["all" if split == "test" else split])


def is_file(name: str) -> bool:
    """Say whether data are named by the path of a file."""
    return name.endswith(".npz")


def _tonic(name: str, split: str | None, data_dir: Path | None, binning: Binning) -> Source:
    """Open one split of a data set of tonic."""
    data_dir = data_dir or _data_dir_of_environment()
    if not is_split(name):
        split = _known(split or "all", NPZ_SPLITS, "; this data set has no test files")
        source = open_tonic(name, test=False, data_dir=data_dir, binning=binning)
        return source.part(split, _ranges(source.n_samples)[split])
    split = _known(split or "test", SPLITS)
    source = open_tonic(name, test=split == "test", data_dir=data_dir, binning=binning)
    return source.part(split, _ranges(source.n_samples)["all" if split == "test" else split])


def _given(binning: Binning | None, name: str) -> Binning:
    if binning is None:
        allowed = "with --bin-us or --bins, which cut them into time steps"
        raise BadOption("--data", f"{name}, events of a camera", allowed)
    return binning


def _check_needless(binning: Binning | None, name: str) -> None:
    if binning is not None:
        options = "--bin-us, --bins, --bin-value and --downsample"
        raise BadOptions(options, [Violation(name, "holds no events of a camera", "only with events")])


def _known(split: str, allowed: tuple[str, ...], hint: str = "") -> str:
    if split not in allowed:
        raise BadOption("--split", split, ", ".join(allowed) + hint)
    return split


def _ranges(n: int) -> Mapping[str, range]:
    cut = max(1, n * 9 // 10)  # a single sample is for training: calibration needs one
    return {"all": range(n), "train": range(cut), "val": range(cut, n)}


def _open_files(name: str, files: FileSet, *, test: bool, data_dir: Path | None) -> Source:
    data_dir = data_dir or _data_dir_of_environment()
    folders = [data_dir / sub for sub in (name, files.folder, f"{name}/{files.folder}", "")] if data_dir else []
    wanted = files.test if test else files.train
    for folder in folders:
        paths = [path for names in wanted if (path := _first_existing(folder, names))]
        if len(paths) == len(wanted):
            return files.open(name, *paths)
    official = ", ".join(names[0] for names in wanted)
    remedy = f"put {official} into {data_dir or 'DIR'}/{name} or name their folder with --data-dir or $TDD_DEPLOY_DATA"
    for folder in folders:
        if pickled := _first_existing(folder, files.pickled):
            remedy = f"{pickled} is the python version, pickled and never read: get the binary version and {remedy}"
            break
    raise DataNotFound(name, folders, remedy)


def _data_dir_of_environment() -> Path | None:
    folder = os.environ.get("TDD_DEPLOY_DATA")
    return Path(folder) if folder else None


def _first_existing(folder: Path, names: tuple[str, ...]) -> Path | None:
    with reading(folder):
        return next((folder / name for name in names if (folder / name).exists()), None)
