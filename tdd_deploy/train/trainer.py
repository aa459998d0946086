"""The training loop: backpropagation through time, resumable to the bit."""

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn

from tdd_deploy.errors import BadFile, BadOption, BadOptions, BadProgram, Interrupted, Violation
from tdd_deploy.files import replacing
from tdd_deploy.program import Program, Shape
from tdd_deploy.program.quantize import Quantized, best_input_bits, quantize

from . import checkpoint
from .checkpoint import Progress
from .lower import lower
from .network import Network
from .options import TrainOptions, flag
from .quantized import in_integers, largest_input, straight_through
from .strategies import Batch, Local

EVALUATION_BATCH = 256
CALIBRATION_SAMPLES = 1024
QAT_FROM = 0.6  # of a run's batches; before, the network learns in floats, and its batch norm settles


@dataclass(frozen=True)
class Samples:
    """Inputs ``x [N, *shape]``, or ``[N, n_steps, *shape]`` in time, and labels ``y [N]``."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What is learned from, and what it is measured on after each epoch."""

    train: Samples
    validation: Samples
    input_shape: Shape
    n_classes: int
    in_time: bool


@dataclass(frozen=True)
class EpochMetrics:
    """One finished epoch; events are per validation sample, over all time steps."""

    epoch: int
    loss: float
    train_accuracy: float
    accuracy: float
    raw_events: float
    delta_events: float
    learning_rate: float


class Watcher(Protocol):
    """Is told how a run goes on."""

    def batch(self, done: int, total: int, loss: float) -> None:
        """Take note of a finished batch."""
        ...

    def epoch(self, history: list[dict[str, Any]]) -> None:
        """Take note of a finished epoch: the last of ``history``, whose entries have EpochMetrics' fields."""
        ...


@dataclass(frozen=True)
class Trained:
    """A finished run."""

    program: Program
    history: list[dict[str, Any]]


def fit(options: TrainOptions, data: TrainingData, folder: Path, *, resume: bool, watcher: Watcher) -> Trained:
    """Train to the last epoch, ``checkpoint.pt`` kept after each; write ``network.safetensors`` at the end.

    Args:
        options: checked options; with ``resume`` the same as those of the checkpoint.
        data: with labels.
        folder: an existing folder.
        resume: go on from the folder's checkpoint.
        watcher: is told of every batch and epoch.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the state after the last finished batch is saved.
        BadOptions: ``resume`` with other options than before.
        BadOption: the run diverged.
        BadFile: ``resume`` without a checkpoint of this run; a file cannot be written.
    """
    run = _Run(options, data, folder / "checkpoint.pt")
    if resume:
        run.restore()
    else:
        run.save()
    with _interrupt_flag() as interrupted:
        while run.progress.epoch < options.epochs:
            run.epoch(watcher, interrupted)
    with replacing(folder / "network.safetensors") as part:
        part.write_bytes(save(run.network.state_dict()))
    return Trained(run.program(), run.progress.history)


def n_threads() -> int:
    """Return how many threads torch sums with; the order of its sums, so the last bit of weights, depends on it."""
    return torch.get_num_threads()


class _Run:
    """One run's network, optimizer and progress; every random choice comes from (seed, epoch), so none has a state."""

    def __init__(self, options: TrainOptions, data: TrainingData, path: Path) -> None:
        self.options = options
        self.data = data
        self.path = path
        self.progress = Progress()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            self.network = options.make_network(data.input_shape, data.n_classes)
            self.strategy = options.make_strategy(self.network, data.n_classes)
        self.heads = self.strategy.parts.heads if isinstance(self.strategy, Local) else nn.ModuleList()
        self.optimizer = torch.optim.AdamW(
            [*self.network.parameters(), *self.heads.parameters()],
            lr=options.learning_rate,
            weight_decay=options.weight_decay,
        )
        self.objective = options.make_objective(self.network)
        self.n_batches = max(1, len(data.train.y) // options.batch)  # a last, smaller batch would unsettle batch norm

    def program(self) -> Program:
        """Return the program that is deployed."""
        return self._lowered() if self.options.qat is None else self._quantized().program

    def restore(self) -> None:
        saved = checkpoint.load(self.path)
        now = self.options.as_json()
        changed = [
            Violation(flag(name), str(now.get(name)), f"{before}, as the run began")
            for name, before in saved["options"].items()
            if now.get(name) != before
        ]
        if changed:
            raise BadOptions("--resume continues a run as it began", changed)
        try:
            self.network.load_state_dict(saved["network"])
            self.heads.load_state_dict(saved["heads"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.progress = Progress(**saved["progress"])
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise BadFile(
                self.path, "is not a checkpoint of this run", "start the run anew in another folder"
            ) from error

    def save(self) -> None:
        parts = {"network": self.network, "heads": self.heads, "optimizer": self.optimizer}
        checkpoint.save(self.path, options=self.options.as_json(), progress=self.progress, parts=parts)

    def epoch(self, watcher: Watcher, interrupted: threading.Event) -> None:
        progress, options = self.progress, self.options
        order = torch.randperm(len(self.data.train.y), generator=self._generator(0))
        for batch in range(progress.batch, self.n_batches):
            chosen = order[batch * options.batch : (batch + 1) * options.batch].numpy()
            self._learn(self.data.train.x[chosen], torch.from_numpy(self.data.train.y[chosen]))
            progress.batch = batch + 1
            watcher.batch(progress.batch, self.n_batches, progress.loss / progress.seen)
            if interrupted.is_set():
                self.save()
                raise Interrupted(
                    f"saved after batch {progress.batch} of epoch {progress.epoch + 1}; --resume continues"
                )
        self._check_finite()
        metrics = EpochMetrics(
            epoch=progress.epoch + 1,
            loss=progress.loss / progress.seen,
            train_accuracy=progress.correct / progress.seen,
            **asdict(evaluate(self._deployed(), self.data.validation, options, in_time=self.data.in_time)),
            learning_rate=self.optimizer.param_groups[0]["lr"],
        )
        self.progress = Progress(
            epoch=metrics.epoch, history=[*progress.history, asdict(metrics)], input_bits=progress.input_bits
        )
        self.save()
        watcher.epoch(self.progress.history)

    def _check_finite(self) -> None:
        """Refuse to go on with a network that is no longer made of numbers."""
        finite = all(bool(values.isfinite().all()) for values in self.network.state_dict().values())
        if not (finite and math.isfinite(self.progress.loss)):
            raise self._diverged()

    def _diverged(self) -> BadOption:
        rate, epoch = self.options.learning_rate, self.progress.epoch + 1
        return BadOption("--learning-rate", f"{rate}, and the run diverged in epoch {epoch}", "a smaller one")

    def _lowered(self) -> Program:
        return lower(self.network, n_steps=self.options.steps, encoder=self.options.encoder)

    def _quantized(self) -> Quantized:
        """Return the integers of the network as it stands."""
        assert self.options.qat is not None
        self._check_finite()
        try:
            program = self._lowered()
        except BadProgram as error:  # finite weights, but what batch norm makes of them is not
            raise self._diverged() from error
        bits, largest = self.options.qat, self._largest_input
        if self.progress.input_bits is None:
            x = self.data.train.x[:CALIBRATION_SAMPLES]
            self.progress.input_bits = best_input_bits(program, x, bits=bits, largest_input=largest)
        return quantize(program, bits=bits, input_bits=self.progress.input_bits, largest_input=largest)

    @cached_property
    def _largest_input(self) -> float:
        return largest_input(self.data.train.x, self.data.validation.x)

    def _is_for_integers(self) -> bool:
        return self.options.qat is not None and self._done >= QAT_FROM * self._total

    def _learning(self) -> Network:
        """Return the network through which the next batch is learned."""
        if self._is_for_integers():
            return straight_through(self.network, self._quantized())
        self.network.train()
        return self.network

    def _deployed(self) -> Network:
        """Return the network as it would be deployed now."""
        return in_integers(self.network, self._quantized()) if self._is_for_integers() else self.network

    def _learn(self, x: NDArray[np.float32], labels: Tensor) -> None:
        """Take one step along the gradient of one batch."""
        self.optimizer.param_groups[0]["lr"] = self.options.learning_rate * _cosine(self._done / self._total)
        generator = self._generator(self.progress.batch + 1)
        network = self._learning()
        inputs = encoded(x, self.options, in_time=self.data.in_time, generator=generator)
        objective = replace(self.objective, weight=self.objective.weight * self._penalty_share())
        self.optimizer.zero_grad(set_to_none=True)
        learned = self.strategy.learn(network, Batch(inputs, labels, self.options.steps, objective, generator))
        self.optimizer.step()
        self.progress.seen += len(labels)
        self.progress.loss += learned.loss * len(labels)
        self.progress.correct += _n_correct(learned.outputs, labels)

    def _penalty_share(self) -> float:
        """Return how much of its weight the penalty has by now."""
        begin = self.options.penalty_from
        return 1.0 if begin == 0 else max(0.0, (self._done / self._total - begin) / (1 - begin))

    @property
    def _done(self) -> int:
        return self.progress.epoch * self.n_batches + self.progress.batch

    @property
    def _total(self) -> int:
        return self.options.epochs * self.n_batches

    def _generator(self, number: int) -> torch.Generator:
        """Return the generator for the epoch's order (0), or for one of its batches, from 1."""
        entropy = np.random.SeedSequence([self.options.seed, self.progress.epoch, number])
        return torch.Generator().manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> 1))


@dataclass(frozen=True)
class Evaluation:
    """What a network does on samples; events are per sample, over layers of neurons and time steps."""

    accuracy: float
    raw_events: float
    delta_events: float


@torch.inference_mode()
def evaluate(network: Network, samples: Samples, options: TrainOptions, *, in_time: bool) -> Evaluation:
    """Measure a network in the arithmetic that is deployed."""
    network.eval()
    correct = raw = delta = 0
    for start in range(0, len(samples.y), EVALUATION_BATCH):
        part = slice(start, start + EVALUATION_BATCH)
        generator = torch.Generator().manual_seed(start)
        inputs = encoded(samples.x[part], options, in_time=in_time, generator=generator)
        run = network.unroll(inputs, options.steps)
        correct += _n_correct(run.outputs, torch.from_numpy(samples.y[part]))
        for tap in run.spikes:
            raw += int(tap.count_nonzero())
            delta += int(tap[0].count_nonzero()) + int((tap[1:] != tap[:-1]).sum())
    n = len(samples.y)
    return Evaluation(correct / n, raw / n, delta / n)


def encoded(x: NDArray[np.float32], options: TrainOptions, *, in_time: bool, generator: torch.Generator) -> Tensor:
    """Return samples as networks take them: ``[n_steps, batch, ...]``, or ``[1, batch, ...]`` when nothing changes."""
    values = torch.from_numpy(x)
    if in_time:
        values = values[:, : options.steps].transpose(0, 1)
    elif options.encoder == "direct":
        return values[None]
    else:
        values = values.expand(options.steps, *values.shape)
    return torch.bernoulli(values.contiguous(), generator=generator) if options.encoder == "poisson" else values


def _n_correct(outputs: Tensor, labels: Tensor) -> int:
    return int((outputs.detach().sum(0).argmax(1) == labels).sum())


def _cosine(done: float) -> float:
    return (1 + math.cos(math.pi * done)) / 2


@contextmanager
def _interrupt_flag() -> Iterator[threading.Event]:
    """Turn SIGINT and SIGTERM into a flag, so that a run stops between two batches; a second signal stops at once."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def note(number: int, frame: object) -> None:
        flag.set()
        for each in signals:
            signal.signal(each, before[each])

    for number in signals:
        signal.signal(number, note)
    try:
        yield flag
    finally:
        for number in signals:
            signal.signal(number, before[number])
