"""A simulation in shards: any process can execute any samples, and the sum of all shards is the whole."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.data import Choice, Source
from tdd_deploy.errors import BadData, Violation, WorkerFailed
from tdd_deploy.options.encoding import Encoding
from tdd_deploy.options.execution import Execution
from tdd_deploy.program import Program
from tdd_deploy.program.outputs import unchanging
from tdd_deploy.simulator.counts import Trace
from tdd_deploy.simulator.engine.engine import Engine, Result
from tdd_deploy.simulator.routes import Routes
from tdd_deploy.version import __version__

from .inputs import EncodedInputs, InputCounts

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Shard:
    """The results of some samples.

    Attributes:
        trace: what was counted.
        sent: by the input.
        n_correct: right answers, one per sample, or per labeled time step; 0 without labels.
        n_labeled: answers that have a label.
        totals: outputs summed over time, ``[n, n_classes]``, by the number of the first sample; none for other shapes.
        output: the output, if it is the same in all samples and steps; None if it changes, or if skipped steps hide it.
    """

    trace: Trace
    sent: InputCounts
    n_correct: int
    n_labeled: int
    totals: Mapping[int, Array]
    output: Array | None

    def __add__(self, other: "Shard") -> "Shard":
        is_same = self.output is not None and other.output is not None and np.array_equal(self.output, other.output)
        return Shard(
            trace=self.trace + other.trace,
            sent=self.sent + other.sent,
            n_correct=self.n_correct + other.n_correct,
            n_labeled=self.n_labeled + other.n_labeled,
            totals={**self.totals, **other.totals},
            output=self.output if is_same else None,
        )

    @property
    def outputs(self) -> Array | None:
        """The outputs of all samples, summed over time, ``[n_samples, n_classes]``; None for other shapes."""
        return np.concatenate([self.totals[start] for start in sorted(self.totals)]) if self.totals else None


@dataclass(frozen=True, eq=False, kw_only=True)
class Job:
    """What all shards of a simulation have in common; it travels to workers, which read the data themselves.

    Attributes:
        program: what is executed.
        data: what is read.
        split: the part of the data.
        encoding: how samples become inputs; the number of steps is decided.
        execution: the size of a batch, and the margin of an early exit.
        routes: see ``Engine``.
        files: identifies each file of the data, by name.
        version: of tdd-deploy.
    """

    program: Program
    data: Choice
    split: str
    encoding: Encoding
    execution: Execution
    routes: Routes | None
    files: Mapping[str, str]
    version: str = __version__

    @classmethod
    def of(
        cls,
        inputs: EncodedInputs,
        source: Source,
        data: Choice,
        execution: Execution,
        routes: Routes | None,
    ) -> Self:
        """Return the job that executes samples of a source as these inputs."""
        return cls(
            program=inputs.program,
            data=data.absolute(),
            split=source.split,
            encoding=replace(inputs.encoding, steps=inputs.n_steps),
            execution=replace(execution, workers=None, scheduler=None, threads=1),
            routes=routes,
            files=source.fingerprints,
        )

    def execute(self, samples: range) -> Iterator[Shard]:
        """Execute some samples in one thread, batch by batch; others of the worker execute others.

        Raises:
            WorkerFailed: this process has another version of tdd-deploy, or other data.
            TddDeployError: the data are damaged, or do not fit the program.
        """
        return execute(*_ready(self), samples, self.execution)


def execute(
    source: Source,
    inputs: EncodedInputs,
    engine: Engine,
    samples: range,
    execution: Execution,
    *,
    take: Callable[[Result], None] | None = None,
) -> Iterator[Shard]:
    """Execute some samples batch by batch; ``take`` receives every result, with the rasters of all layers.

    Raises:
        BadData: the output of a sample is not finite.
        TddDeployError: the data are damaged, or do not fit the program.
    """
    record = () if take is None else [layer.name for layer in engine.program.neuron_layers]
    start, early_exit = samples.start, execution.margin
    for encoded, labels in inputs.batches(source, execution.batch, first=samples.start, limit=len(samples)):
        result = engine.run(encoded, n_steps=inputs.n_steps, record=record, early_exit=early_exit)
        check_finite(result.output, start=start)
        if take is not None:
            take(result)
        total = result.output.sum(axis=1)
        n_correct, n_labeled = _right(result.output, total, labels)
        output = unchanging(result.output)
        is_hidden = early_exit is not None and output is not None and output.any()
        yield Shard(
            trace=result.trace,
            sent=InputCounts.of(encoded, engine.program),
            n_correct=n_correct,
            n_labeled=n_labeled,
            totals={start: total} if total.ndim == 2 else {},
            output=None if is_hidden else output,
        )
        start += len(result.output)


def _right(output: Array, total: Array, labels: Array | None) -> tuple[int, int]:
    """Count right answers, and answers with a label: the largest sum over time, or at each labeled step the largest."""
    if labels is None:
        return 0, 0
    if labels.ndim == 1:
        classes = total.reshape(len(total), -1).argmax(axis=1)
        return int((classes == labels).sum()), len(labels)
    labels = labels[:, : output.shape[1]]
    classes = output.reshape(*labels.shape, -1).argmax(axis=2)
    is_labeled = labels >= 0
    return int(((classes == labels) & is_labeled).sum()), int(is_labeled.sum())


def check_finite(output: Array, *, start: int) -> None:
    """Refuse an output ``[batch, n_steps, ...]`` with NaN or infinite numbers, whose sums depend on their order.

    Raises:
        BadData: it names the first such sample and time step; ``start`` is the number of the first sample.
    """
    if np.isfinite(output).all():
        return
    sample, step = np.argwhere(~np.isfinite(output))[0][:2].tolist()
    found = f"is NaN or infinite in sample {start + sample}, time step {step + 1}"
    raise BadData("the samples", [Violation("the output", found, remedy="Scale weights or inputs down.")])


@lru_cache(maxsize=2)  # a worker has many shards of one job, one after the other
def _ready(job: Job) -> tuple[Source, EncodedInputs, Engine]:
    """Open the data and lay out the program."""
    if job.version != __version__:
        raise WorkerFailed("a worker", f"has tdd-deploy {__version__}, not {job.version}", "Install the same version.")
    source = job.data.open(job.split, by_step=True)
    if source.fingerprints != job.files:
        files = ", ".join(map(str, source.files))
        raise WorkerFailed("a worker", f"has other bytes in {files}", "Let all processes see the same files.")
    inputs = EncodedInputs.of(job.program, source, job.encoding, frames=job.data.options.frames)
    return source, inputs, Engine(job.program, threads=1, routes=job.routes)
