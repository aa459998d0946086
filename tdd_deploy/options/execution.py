"""Where a simulation is executed, and what it writes on the way."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tdd_deploy.errors import Violation

from .declare import Options, Range, option
from .vocabulary import Tuned

MOST_WORKERS = 1024  # processes that this machine starts, and waits for, before anything can end them


@dataclass(frozen=True, kw_only=True)
class Batch(Options):
    """The samples that are executed together."""

    heading = "Execution"

    batch: int = option(64, recorded=False, within=Range(1), help="Execute this number of samples at once.")


@dataclass(frozen=True, kw_only=True)
class Execution(Batch):
    """Where samples are executed. Results depend on none of these options but ``early_exit``."""

    threads: int | None = option(
        None, recorded=False, within=Range(1), help="Use this number of threads. Default: one per core."
    )
    workers: int | None = option(
        None,
        recorded=False,
        within=Range(1, MOST_WORKERS),
        help="Use this number of processes on this machine.",
    )
    scheduler: str | None = option(
        None, recorded=False, help="Use the workers of the Dask scheduler at this address, such as tcp://host:8786."
    )
    early_exit: float | Tuned | None = option(
        None,
        metavar="MARGIN|tuned",
        within=Range(0, above=True, below=True, why="in units of the output"),
        help="End a sample once its largest mean output leads by this margin, or with tuned by the margin that "
        "tune-exit wrote into the run folder. Default: execute all steps.",
    )
    record: Path | None = option(
        None, recorded=False, help="Write the spikes of every layer, [samples, steps, ...], to this .npz."
    )
    record_potentials: bool = option(
        False,
        recorded=False,
        help="Add v/LAYER to `record`: the potentials that a layer compares with its threshold. Default: spikes only.",
    )

    @property
    def margin(self) -> float | None:
        """The margin of an early exit, once ``tuned`` has been replaced by a number."""
        assert not isinstance(self.early_exit, str), "a margin that was looked up"
        return self.early_exit

    @property
    def in_this_process(self) -> bool:
        """Whether this process executes the samples."""
        return self.workers is None and self.scheduler is None

    def conflicts(self) -> Iterator[Violation]:
        """Yield which of these options exclude each other."""
        yield from super().conflicts()
        chosen = [f"`{name}`" for name in ("threads", "workers", "scheduler") if getattr(self, name) is not None]
        if len(chosen) > 1:
            yield Violation(" and ".join(chosen), "cannot be combined", remedy="Choose one of them.")
        if self.record_potentials and self.record is None:
            yield Violation("`record_potentials`", "needs `record`")
        if self.record is not None and not self.in_this_process:
            other = "workers" if self.workers is not None else "scheduler"
            found = f"cannot be combined with `{other}`: workers finish samples out of order"
            yield Violation("`record`", found, remedy="Use `threads`.")
        if self.record is not None and self.early_exit is not None:
            found = "cannot be combined with `early_exit`: steps that are not executed would be recorded as zeros"
            yield Violation("`record`", found)
