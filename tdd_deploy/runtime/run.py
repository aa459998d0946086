"""Execute a simulation: in threads, in processes of this machine, or on the workers of a Dask scheduler."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

from tdd_deploy import memory
from tdd_deploy.data import Choice, Source
from tdd_deploy.errors import TooLittleMemory
from tdd_deploy.options.execution import Execution
from tdd_deploy.simulator.engine.engine import Engine, Result
from tdd_deploy.simulator.engine.record import recording
from tdd_deploy.simulator.routes import Routes

from . import dask
from .inputs import EncodedInputs
from .progress import Progress, unseen
from .shards import Array, Job, Shard, execute

MOST_OUTPUTS = 1 << 24  # numbers: 64 MiB in float32; the outputs of more samples are not kept


def run(
    inputs: EncodedInputs,
    source: Source,
    data: Choice,
    execution: Execution,
    *,
    n_samples: int,
    routes: Routes | None = None,
    progress: Progress = unseen,
) -> Shard:
    """Execute the first samples of a source where the options say; return the sum of all shards.

    Outputs of samples are kept only up to ``MOST_OUTPUTS`` numbers, so that memory does not grow with the samples.

    Args:
        inputs: how the samples become inputs of a program.
        source: the samples.
        data: how other processes open the same samples.
        execution: where they are executed, and what is recorded.
        n_samples: how many.
        routes: by which messages are counted; see ``Engine``.
        progress: receives the number of finished samples.

    Raises:
        TddDeployError: anything wrong with the data, a worker or a file to write.
    """
    _check_size(inputs, min(execution.batch, n_samples), outputs_only=execution.record is None)
    total: Shard | None = None
    outputs: dict[int, Array] = {}
    with ExitStack() as stack:
        if execution.in_this_process:
            shards = _in_threads(inputs, source, execution, n_samples=n_samples, routes=routes, stack=stack)
        else:
            job = Job.of(inputs, source, data, execution, routes)
            shards = dask.in_shards(job, n_samples, stack.enter_context(dask.client(execution)))
        progress(0, n_samples)
        is_kept = n_samples * math.prod(inputs.program.shapes[inputs.program.output.name]) <= MOST_OUTPUTS
        for shard in shards:
            outputs.update(shard.totals if is_kept else {})
            part = replace(shard, totals={})  # sums of shards stay small
            total = part if total is None else total + part
            progress(total.trace.n_samples, n_samples)
        assert total is not None  # a source without samples is refused
        total.sent.checked(inputs.program, source.name)
    return replace(total, totals=outputs)


def _check_size(inputs: EncodedInputs, batch: int, *, outputs_only: bool) -> None:
    """Refuse a batch whose outputs alone take more memory than there is, before the system ends this process.

    Raises:
        TooLittleMemory: says what to lower.
    """
    program, free = inputs.program, memory.available()
    kept = [program.output.name, *([] if outputs_only else [layer.name for layer in program.neuron_layers])]
    numbers = sum(math.prod(program.shapes[name]) for name in kept)
    size = batch * inputs.n_steps * numbers * program.dtype.itemsize
    if free is not None and size > free:
        subject = f"a batch of {batch:,} samples with {inputs.n_steps:,} time steps"
        found = f"sends {size / 1e9:,.1f} GB of outputs, and {free / 1e9:,.1f} GB of memory are free"
        raise TooLittleMemory(subject, found, "Use a smaller `batch` or fewer `steps`")


def _in_threads(
    inputs: EncodedInputs,
    source: Source,
    execution: Execution,
    *,
    n_samples: int,
    routes: Routes | None,
    stack: ExitStack,
) -> Iterator[Shard]:
    """Execute samples in this process, and record rasters where that is asked for."""
    program = inputs.program
    potentials = [x.name for x in program.neuron_layers if execution.record_potentials and x.neuron.spiking]
    take: Callable[[Result], None] | None = None
    if execution.record is not None:
        sizes = {"n_samples": n_samples, "n_steps": inputs.n_steps}
        take = stack.enter_context(recording(execution.record, program, potentials=potentials, **sizes)).take
    engine = Engine(program, threads=execution.threads, routes=routes, potentials=potentials)
    return execute(source, inputs, engine, range(n_samples), execution, take=take)
