"""Data that a user chose: named, or handed over in memory; opened part by part."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from tdd_deploy.errors import BadOption, BadOptions, Violation
from tdd_deploy.options.dataset import OF_EVENTS, Dataset, StoredData

from .binning import Binning
from .catalog import DATASETS, is_file, open_data
from .source import Source, check_has_time
from .splits import SPLITS_OF_ONE, check_split, split_of
from .windows import in_windows


@dataclass(frozen=True, eq=False, kw_only=True)
class Choice:
    """Samples that a user chose, and how they are read.

    Attributes:
        options: the name of the data, and how stored values become numbers.
        steps: the number of time steps that a user asked for; it limits windows of events.
        whole: data in memory, not yet split; None if ``options`` names them.
    """

    options: StoredData
    steps: int | None = None
    whole: Source | None = None

    @property
    def binning(self) -> Binning | None:
        """How events become time steps; None for other data."""
        binning = Binning.of(self.options)
        return binning and binning.in_steps(None if self.options.window else self.steps)

    @property
    def in_time(self) -> bool:
        """Whether an option says that samples have a time axis, or samples in memory are windows."""
        options, whole = self.options, self.whole
        is_cut = options.window is not None or (whole is not None and whole.windows is not None)
        return options.frames or options.cuts_events or is_cut

    def open(self, split: str | None = None, *, by_step: bool = False) -> Source:
        """Open a part, in windows if these were chosen; by default the chosen part. See ``open_data``.

        ``by_step`` allows labels of time steps.

        Windows of one recording are always in the same part, since parts are cut first.

        Raises:
            BadData: labels belong to time steps, and there are no windows.
        """
        source = self._in_windows(self._open(split))
        if not by_step:
            source.check_labels_of_samples()
        return source

    def _in_windows(self, source: Source) -> Source:
        if self.options.window is None:
            return source
        check_has_time(source, is_image=self.options.data in DATASETS)
        return in_windows(source, self.options.window, self.options.stride)

    def _open(self, split: str | None = None) -> Source:
        if split is None and isinstance(self.options, Dataset):
            split = self.options.split
        if self.whole is not None:
            if self.options.cuts_events:
                names = [name for name in OF_EVENTS if getattr(self.options, name) is not None]
                found = f"need{'s' if len(names) == 1 else ''} events of a camera in a file, and x is an array"
                raise BadOptions("", [Violation(" and ".join(f"`{name}`" for name in names), found)])
            return self.whole if split is None else split_of(self.whole, check_split(split, SPLITS_OF_ONE))
        assert self.options.data is not None  # a command without samples asks for none
        return open_data(
            self.options.data,
            split=split,
            data_dir=self.options.data_dir,
            binning=self.binning,
            input_scale=self.options.input_scale,
        )

    def open_chosen(self, *, by_step: bool = False) -> Source:
        """Open the chosen part; ``by_step`` allows labels of time steps.

        Raises:
            BadOption: no data were chosen.
        """
        self._check_chosen()
        return self.open(by_step=by_step)

    def open_stream(self) -> Source:
        """Open the chosen part as a stream, whose samples have a time axis; labels are left out.

        Raises:
            BadOption: no data were chosen.
            BadData: a sample is a single value, or an image of a named data set.
        """
        self._check_chosen()
        source = self._open()
        check_has_time(source, is_image=self.options.data in DATASETS)
        return self._in_windows(source.without_labels())

    def _check_chosen(self) -> None:
        if self.options.data is None:
            remedy = "Name a data set or an .npz, or in Python give arrays as x and y."
            raise BadOption("data", "is missing", remedy=remedy)

    def absolute(self) -> Self:
        """Return the same choice with absolute paths, for processes that run elsewhere."""
        name, folder = self.options.data, self.options.data_dir
        if name is not None and is_file(name):
            name = str(Path(name).absolute())
        options = replace(self.options, data=name, data_dir=None if folder is None else folder.absolute())
        return replace(self, options=options)
