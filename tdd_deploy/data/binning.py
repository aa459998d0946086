"""How the events of a camera become time steps: windows of time, counts per pixel and polarity."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tdd_deploy.options.dataset import StoredData
from tdd_deploy.options.vocabulary import BinValue

Times = npt.NDArray[np.int64]  # of the events of one sample, in us, from its first event on


@dataclass(frozen=True, kw_only=True)
class Binning:
    """How events are cut; one of ``bin_us`` and ``bins`` is given.

    Attributes:
        bin_us: microseconds of every time step, from a sample's first event on.
        bins: time steps of every sample: equal windows from its first to its last event.
        bin_value: ``count``: a pixel's events in a time step, as tonic's ToFrame; ``binary``: 1 where there are any.
        downsample: pixels in height and in width that are summed to one.
        n_steps: with ``bin_us``, time steps of every sample: a longer one is cut, a shorter one followed by silence.
            None: as many as the longest sample of the file needs.
    """

    bin_us: int | None = None
    bins: int | None = None
    bin_value: BinValue = "count"
    downsample: int = 1
    n_steps: int | None = None

    @classmethod
    def of(cls, options: StoredData) -> Self | None:
        """Return how checked options cut events; None if none of them is given."""
        if not options.cuts_events:
            return None
        return cls(
            bin_us=options.bin_us,
            bins=options.bins,
            bin_value=options.bin_value or "count",
            downsample=options.downsample or 1,
        )

    @property
    def counted(self) -> str:
        """The meaning of one value, for reports."""
        return "counts of events" if self.bin_value == "count" else "1 where there are events"

    def in_steps(self, n_steps: int | None) -> Self:
        """Copy the binning with this number of time steps, unless ``bins`` states one."""
        return self if self.bins else replace(self, n_steps=n_steps)

    def steps_for(self, longest_us: int) -> int:
        """Return the time steps of every sample, given the time of the last event of the longest."""
        return self.bins or self.n_steps or longest_us // self._us + 1

    def step_of(self, t: Times) -> npt.NDArray[np.int64]:
        """Return the time step of each event ``t``, sorted and from 0 on."""
        return t // self._us if self.bins is None else t * self.bins // (t[-1:] + 1)

    @property
    def _us(self) -> int:
        assert self.bin_us is not None  # where bins is None
        return self.bin_us


@dataclass(frozen=True, kw_only=True)
class Binned:
    """How events became samples, for a report: how they were cut, and what that left out."""

    binning: Binning
    n_steps: int
    sensor: tuple[int, int]  # height, width
    polarities: int
    n_cut: int | None  # samples that go on after the last step; None: unknown unless all are read

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            **asdict(self.binning),
            "n_steps": self.n_steps,
            "sensor": list(self.sensor),
            "polarities": self.polarities,
            "samples_cut": self.n_cut,
        }
