"""A simulation in shares: any process can execute any samples, and the sum of all is the whole."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy import __version__
from tdd_deploy.data import Binning, Source, open_data
from tdd_deploy.errors import BadData, Violation, WorkerFailed
from tdd_deploy.program import Program
from tdd_deploy.program.outputs import predicted, unchanging
from tdd_deploy.simulator.counts import Trace
from tdd_deploy.simulator.engine.engine import Engine, Result
from tdd_deploy.simulator.routes import Route

from .inputs import EncodedInputs, InputCounts


@dataclass(frozen=True)
class Share:
    """What some samples gave."""

    trace: Trace
    n_correct: int  # 0 without labels
    sent: InputCounts  # by the input
    output: NDArray[Any] | None  # in all samples and steps; None if it changes, or if skipped steps hide it

    def __add__(self, other: "Share") -> "Share":
        is_same = self.output is not None and other.output is not None and np.array_equal(self.output, other.output)
        return Share(
            trace=self.trace + other.trace,
            n_correct=self.n_correct + other.n_correct,
            sent=self.sent + other.sent,
            output=self.output if is_same else None,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Job:
    """What all shares of a simulation have in common; it travels to workers, which read the data themselves.

    Attributes:
        program: what is executed.
        data: a name or a path to an .npz, as ``data.open_data`` takes it.
        split: part of it.
        data_dir: where the files of a named set lie.
        binning: how events of a camera are cut.
        input_scale: stored values are multiplied by it; None: the scale of the data.
        frames: the axis of x after N is time.
        steps: time steps.
        encoder: of the input.
        seed: of a random encoder.
        threshold: an input is resent once it has changed by more than this.
        batch: samples executed at once.
        early_exit: see ``Engine.run``.
        routes: see ``Engine``.
        files: identifies each file of the data, by name.
        version: of tdd-deploy.
    """

    program: Program
    data: str
    split: str
    data_dir: Path | None
    steps: int
    encoder: str
    seed: int
    threshold: float
    batch: int
    early_exit: float | None
    routes: Mapping[str, Route] | None = None
    binning: Binning | None = None
    input_scale: float | None = None
    frames: bool = False
    files: Mapping[str, str]
    version: str = __version__

    def execute(self, samples: range) -> Iterator[Share]:
        """Execute some samples in one thread, batch by batch; others of the worker execute others.

        Raises:
            WorkerFailed: this process has another version of tdd-deploy, or other data.
            TddDeployError: the data are damaged, or do not fit the program.
        """
        return execute(*_ready(self), samples, batch=self.batch, early_exit=self.early_exit)


def execute(
    source: Source,
    encoded_inputs: EncodedInputs,
    engine: Engine,
    samples: range,
    *,
    batch: int,
    early_exit: float | None,
    take: Callable[[Result], None] | None = None,
) -> Iterator[Share]:
    """Execute some samples batch by batch; ``take`` receives every result, with the rasters of all layers.

    Raises:
        BadData: the output of a sample is not finite.
        TddDeployError: the data are damaged, or do not fit the program.
    """
    record = () if take is None else [layer.name for layer in engine.program.neuron_layers]
    start = samples.start
    for frames, labels in encoded_inputs.batches(source, batch, first=samples.start, limit=len(samples)):
        result = engine.run(frames, n_steps=encoded_inputs.n_steps, record=record, early_exit=early_exit)
        check_finite(result.output, start=start)
        start += len(result.output)
        if take is not None:
            take(result)
        n_correct = 0 if labels is None else int((predicted(result.output) == labels).sum())
        output = unchanging(result.output)
        is_hidden = early_exit is not None and output is not None and output.any()
        sent = InputCounts.of(frames, engine.program)
        yield Share(result.trace, n_correct, sent, None if is_hidden else output)


def check_finite(output: NDArray[Any], *, start: int) -> None:
    """Refuse an output ``[batch, n_steps, ...]`` with NaN or infinite numbers, whose sums depend on their order.

    Raises:
        BadData: it names the first such sample and time step; ``start`` is the number of the first sample.
    """
    if np.isfinite(output).all():
        return
    sample, step = np.argwhere(~np.isfinite(output))[0][:2].tolist()
    found = f"NaN or infinite in sample {start + sample}, time step {step + 1}"
    raise BadData("the samples", [Violation("the output", found, "finite numbers", "Scale weights or inputs down.")])


@lru_cache(maxsize=2)  # a worker has many shares of one job, one after the other
def _ready(job: Job) -> tuple[Source, EncodedInputs, Engine]:
    """Open the data and lay out the program."""
    if job.version != __version__:
        raise WorkerFailed("a worker", f"has tdd-deploy {__version__}, not {job.version}", "install the same")
    source = open_data(
        job.data, split=job.split, data_dir=job.data_dir, binning=job.binning, input_scale=job.input_scale
    )
    if source.fingerprints != job.files:
        files = ", ".join(map(str, source.files))
        raise WorkerFailed("a worker", f"has other bytes in {files}", "let all processes see the same files")
    encoded_inputs = EncodedInputs.of(
        job.program,
        source,
        steps=job.steps,
        encoder=job.encoder,
        seed=job.seed,
        threshold=job.threshold,
        frames=job.frames,
    )
    return source, encoded_inputs, Engine(job.program, threads=1, routes=job.routes)
