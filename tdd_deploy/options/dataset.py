"""Which samples are read, and how stored values become numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tdd_deploy.errors import Violation

from .declare import Options, Range, option, options_of
from .vocabulary import BinValue

NAMES = "digits (built in), mnist, fashion-mnist, cifar10, cifar100, tonic:NAME, or a path to an .npz"
ARRAYS = "arrays"  # the name of data that Python hands over in memory
MOST_BINS = 1 << 20
LONGEST_US = 1 << 40  # 13 days: times MOST_BINS still within int64
HEADING = "The data"
OF_WINDOWS = ("window", "stride")  # how recordings are cut into samples
OF_EVENTS = ("bin_us", "bins", "bin_value", "downsample")  # how events of a camera are cut


@dataclass(frozen=True, kw_only=True)
class NamedData(Options):
    """A data set by its name."""

    data: str | None = option(None, recorded=False, help=f"Read these samples: {NAMES}.", heading=HEADING)
    data_dir: Path | None = option(
        None,
        recorded=False,
        help="Look for mnist, cifar10, ... in this folder. Default: $TDD_DEPLOY_DATA.",
        heading=HEADING,
    )

    def conflicts(self) -> Iterator[Violation]:
        """Yield every option that needs data, if there are none."""
        yield from super().conflicts()
        if self.data is None:
            for each in options_of(type(self)):
                if getattr(self, each.name) != each.default:
                    yield Violation(f"`{each.name}`", "needs `data`")


@dataclass(frozen=True, kw_only=True)
class StoredData(NamedData):
    """A data set, and how its stored values become numbers."""

    input_scale: float | None = option(
        None,
        metavar="S",
        within=Range(0, above=True),
        help="Multiply stored values by this, such as 1 or 1/256. Default: the array scale of an .npz; else 1/256 for "
        "bytes, unless all are 0 and 1, and 1 for other types.",
        heading=HEADING,
    )
    frames: bool = option(
        False,
        help="Read x as [N, steps, ...]. Default: only if its shape leaves no other reading.",
        heading=HEADING,
    )
    bin_us: int | None = option(
        None,
        metavar="US",
        within=Range(1, LONGEST_US),
        help="Camera events: make time steps of this number of microseconds.",
        heading=HEADING,
    )
    bins: int | None = option(
        None,
        metavar="N",
        within=Range(1, MOST_BINS),
        help="Camera events: cut each sample into N time steps.",
        heading=HEADING,
    )
    bin_value: BinValue | None = option(
        None, help="Camera events: count them, or send only 1. Default: count.", heading=HEADING
    )
    downsample: int | None = option(
        None,
        metavar="K",
        within=Range(1),
        help="Camera events: sum K x K pixels into one. Default: 1.",
        heading=HEADING,
    )

    window: int | None = option(
        None,
        metavar="N",
        within=Range(1, MOST_BINS),
        help="Cut each sample into windows of this number of time steps; each window is a sample.",
        heading=HEADING,
    )
    stride: int | None = option(
        None,
        metavar="M",
        within=Range(1, MOST_BINS),
        help="Begin a window every M time steps. Default: where the window before ends.",
        heading=HEADING,
    )

    @property
    def cuts_events(self) -> bool:
        """Whether an option of camera events is given."""
        return (self.bin_us, self.bins, self.bin_value, self.downsample) != (None,) * 4

    def conflicts(self) -> Iterator[Violation]:
        """Yield what else is wrong with options of camera events."""
        yield from super().conflicts()
        if self.bin_us is not None and self.bins is not None:
            yield Violation("`bin_us` and `bins`", "cannot be combined", remedy="choose one of them")
        if self.stride is not None and self.window is None:
            yield Violation("`stride`", "needs `window`")
        if self.cuts_events and self.bin_us is None and self.bins is None:
            chosen = [name for name in ("bin_value", "downsample") if getattr(self, name) is not None]
            need = "needs" if len(chosen) == 1 else "need"
            yield Violation(" and ".join(f"`{name}`" for name in chosen), f"{need} `bin_us` or `bins`")


@dataclass(frozen=True, kw_only=True)
class CalibrationData(StoredData):
    """Training samples on which quantization is measured."""

    data: str | None = option(
        None, recorded=False, help=f"Measure what quantization changes, on training samples: {NAMES}.", heading=HEADING
    )
    samples: int = option(64, within=Range(1), help="Use this number of samples.", heading=HEADING)


@dataclass(frozen=True, kw_only=True)
class Dataset(StoredData):
    """A part of a data set."""

    split: str | None = option(
        None,
        help="Read this part: train, val or test; of an .npz all, train or val. Default: test, or all.",
        heading=HEADING,
    )
    samples: int | None = option(
        None, within=Range(1), help="Read this number of samples, from the first on. Default: all.", heading=HEADING
    )


@dataclass(frozen=True, kw_only=True)
class SeenData(Dataset):
    """Samples that show what an input sends."""

    data: str | None = option(
        None, recorded=False, help=f"Check whether the input sends spikes or numbers: {NAMES}.", heading=HEADING
    )


@dataclass(frozen=True, kw_only=True)
class AnalyzedData(Dataset):
    """Samples for an analysis."""

    samples: int | None = option(
        64, within=Range(1), help="Read this number of samples, from the first on.", heading=HEADING
    )


@dataclass(frozen=True, kw_only=True)
class ComparedData(Dataset):
    """Samples for a comparison of backends."""

    samples: int | None = option(
        20, within=Range(1), help="Read this number of samples, from the first on.", heading=HEADING
    )
