"""The training loop: it resumes to the same bits, in one process or in several."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn

from tdd_deploy.errors import BadFile, BadOption, BadOptions, BadProgram, Interrupted, Violation
from tdd_deploy.files import replacing
from tdd_deploy.options.training import TrainOptions
from tdd_deploy.program import Program
from tdd_deploy.program.quantization.quantize import INPUT_BITS, best_input_bits, quantize
from tdd_deploy.program.quantization.scales import Quantized
from tdd_deploy.run_folder import RunFolder

from . import checkpoint, restoring
from .augment import drawn, make_augmentation
from .build import make_network, make_objective, make_strategy
from .chance import generator_of, seeded
from .checkpoint import Progress
from .distributed import CPU, norms_of_all
from .evaluation import evaluate, n_correct
from .execution import Execution
from .fisher import FISHER, information
from .interrupts import interrupt_flag
from .lower import lower
from .memory import is_out_of_memory
from .network import Network
from .optimize import averaged, learning_rate, make_optimizer
from .phases import Phases, scheduled
from .quantized import in_integers, largest_input, straight_through
from .samples import TrainingData, encoded
from .sparsity import Masks
from .starting import StateDict, begin_with
from .strategies import Batch, heads_of
from .watching import BatchMetrics, EpochMetrics, Watcher

CALIBRATION_SAMPLES = 1024
QAT_FROM = 0.6  # of a run's batches; until then the network learns in floats, and its batch norm settles


@dataclass(frozen=True)
class Trained:
    """A finished run; its network is from the kept epoch, the last unless ``patience`` chose another."""

    network: Network
    program: Program | None  # the deployed program; None for an ANN
    history: list[dict[str, Any]]
    kept_epoch: int


def fit(
    options: TrainOptions,
    data: TrainingData,
    folder: Path,
    *,
    resume: bool,
    watcher: Watcher,
    execution: Execution | None = None,
    begin: Callable[[], None] = lambda: None,
    weights: StateDict | None = None,
) -> Trained:
    """Train to the last epoch; save a checkpoint after each, and the weights at the end.

    Nothing is written before the options are known to fit the data, and a resumed run is restored.

    Args:
        options: checked options; with ``resume`` the same as those of the checkpoint.
        data: labeled samples.
        folder: a folder that exists, or that ``begin`` makes.
        resume: continue from the checkpoint in the folder.
        watcher: receives every batch and epoch, in the first process.
        execution: the device and the processes; by default this process alone, on the CPU.
        begin: called in every process before the first file is written.
        weights: the first weights of the network, by name; by default random ones.

    Raises:
        Interrupted: SIGINT, SIGTERM or SIGHUP reached any process; the state after the last finished batch is saved.
        BadOptions: ``resume`` with other options than before, options that do not fit the data, or ``weights`` that do
            not fit the network.
        BadOption: the run diverged, or its batches cannot be divided evenly.
        BadFile: ``resume`` without a checkpoint of this run; a file cannot be written.
        WorkerFailed: another process has ended.
    """
    files = RunFolder(folder)
    with interrupt_flag() as interrupted:
        run = _Run(options, data, files.checkpoint_pt, Execution() if execution is None else execution, weights)
        if resume:
            run.restore()
        begin()
        if not resume:
            run.save()
        while not run.is_over:
            run.epoch(watcher, interrupted)
    run.keep()
    if run.processes.is_first:
        with replacing(files.network_safetensors) as part:
            part.write_bytes(save({name: value.contiguous() for name, value in run.kept.state_dict().items()}))
    return Trained(run.kept, run.program(), run.progress.history, run.kept_epoch)


def epoch_names(options: TrainOptions) -> dict[str, bool]:
    """Return the names in the record of an epoch, and whether each is a number; see ``Evaluation``."""
    measured = {field.name: True for field in fields(EpochMetrics)}
    measured |= {"raw_events": not options.is_ann, "delta_events": options.has_program}
    traces = range(1, options.steps + 1) if options.fisher else ()
    return measured | dict.fromkeys(scheduled(options, 0), True) | {f"{FISHER}{step}": True for step in traces}


def is_history(found: object, options: TrainOptions) -> bool:
    """Decide whether values are the records of the first epochs of a run."""
    return restoring.is_history_of(found, epoch_names(options))


def n_threads() -> int:
    """Return the number of torch's threads; the order of sums depends on it, and so does the last bit of weights."""
    return torch.get_num_threads()


class _Run:
    """The network, optimizer and progress of a run; random choices follow from (seed, epoch), without a state."""

    def __init__(
        self,
        options: TrainOptions,
        data: TrainingData,
        path: Path,
        execution: Execution,
        weights: StateDict | None = None,
    ) -> None:
        self.options = options
        self.data = data
        self.path = path
        self.execution = execution
        self.processes = execution.processes
        self.progress = Progress()
        n = len(data.train.y)
        self.n_batches = max(1, n // options.batch)  # a last, smaller batch would unsettle batch norm
        if min(options.batch, n) % self.processes.n:
            allowed = f"a multiple of {self.processes.n}, the number of processes"
            raise BadOption("batch", f"{min(options.batch, n)} samples", allowed)
        self.augmentation = make_augmentation(options, data)
        with seeded(options.seed):
            self.network = make_network(options, data.input_shape, data.n_classes)
            self.strategy = make_strategy(options, self.network, data.n_classes)
        self.phases = Phases(options, data, self.network)
        self.work = [self.phases.work(epoch) for epoch in range(options.epochs)]
        if weights is not None:
            begin_with(self.network, weights)
        self.heads = heads_of(self.strategy)
        self.objective = make_objective(options, self.network)
        learning = nn.ModuleList([self.network, self.heads])
        learning.to(execution.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        norms_of_all(learning, self.processes)
        self.parameters = list(learning.parameters())
        self.optimizer = make_optimizer(options, self.parameters)
        self.averaged = averaged(options, self.network)
        self.best = None if options.patience is None else copy.deepcopy(self.network)
        self.masks: Masks | None = None
        if options.sparsity:
            self.masks = Masks(self.network, sparsity=options.sparsity, total=self._total)

    @property
    def kept(self) -> Network:
        """The network that is measured and deployed: the network itself, or its moving average."""
        if self.averaged is None:
            return self.network
        average = self.averaged.module
        assert isinstance(average, Network)
        return average

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, or too many without a higher accuracy."""
        epoch, patience = self.progress.epoch, self.options.patience
        return epoch >= self.options.epochs or (patience is not None and epoch - self.kept_epoch >= patience)

    @property
    def kept_epoch(self) -> int:
        """The epoch whose network would be deployed now; 0 before the first."""
        history = self.progress.history
        if self.options.patience is None or not history:
            return self.progress.epoch
        best: int = max(history, key=lambda epoch: epoch["accuracy"])["epoch"]  # the first of several
        return best

    def keep(self) -> None:
        """Restore the network of the kept epoch."""
        if self.best is not None:
            self.kept.load_state_dict(self.best.state_dict())

    def program(self) -> Program | None:
        """Return the deployed program; None if no Program describes the network."""
        if not self.options.has_program:
            return None
        return self._lowered() if self.options.qat is None else self._quantized().program

    @property
    def _parts(self) -> dict[str, Any]:
        """The parts with a state that must be saved."""
        parts = {"network": self.network, "heads": self.heads, "optimizer": self.optimizer}
        optional = {"averaged": self.averaged, "best": self.best, "masks": self.masks}
        return parts | {name: part for name, part in optional.items() if part is not None}

    def restore(self) -> None:
        saved = checkpoint.load(self.path)
        try:
            restoring.check_options(saved["options"])
            self._refuse_other_options(saved["options"])
            progress = restoring.progress_of(
                saved["progress"],
                epochs=self.options.epochs,
                n_batches=self.n_batches,
                batch=min(self.options.batch, len(self.data.train.y)),
                input_bits=INPUT_BITS,
                names=epoch_names(self.options),
            )
            done = progress.epoch * self.n_batches + progress.batch
            states = {"optimizer": restoring.optimizer_state(saved["optimizer"], self.optimizer, done=done)}
            for name in self._parts.keys() - states:
                states[name] = saved[name]
                restoring.check_state(saved[name], self._parts[name].state_dict())
            for name, part in self._parts.items():
                part.load_state_dict(states[name])
        except restoring.NotFinite as error:
            remedy = f"{checkpoint.RESTART}, with a smaller `learning_rate` if this one diverged"
            raise BadFile(self.path, "holds numbers that are NaN or infinite", remedy) from error
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            if is_out_of_memory(error):
                raise
            raise BadFile(self.path, "is not a checkpoint of this run", checkpoint.RESTART) from error
        self.progress = progress

    def _refuse_other_options(self, saved: Mapping[str, Any]) -> None:
        now = TrainOptions.from_json(self.options.as_json())
        changed = [
            Violation(f"`{name}`", str(now.get(name)), f"{before}, as the run began")
            for name, before in TrainOptions.from_json(saved).items()
            if now.get(name) != before
        ]
        if changed:
            raise BadOptions("`resume` continues a run as it began", changed)

    def save(self) -> None:
        if self.processes.is_first:
            checkpoint.save(self.path, options=self.options.as_json(), progress=self.progress, parts=self._parts)

    def epoch(self, watcher: Watcher, interrupted: Event) -> None:
        """Learn from the batches that are left in an epoch, then measure the network."""
        progress, options = self.progress, self.options
        order = torch.randperm(len(self.data.train.y), generator=self._generator(0))
        for batch in range(progress.batch, self.n_batches):
            chosen = order[batch * options.batch : (batch + 1) * options.batch].numpy()
            self._learn(chosen)
            progress.batch = batch + 1
            if self.processes.is_first:
                watcher.batch(self._batch_metrics())
            if self.processes.any(interrupted.is_set()):
                self.save()
                self.processes.wait()  # the end of one process may end the others
                raise Interrupted(
                    f"saved after batch {progress.batch} of epoch {progress.epoch + 1}; `resume` continues"
                )
        self._check_finite()
        metrics = EpochMetrics(
            epoch=progress.epoch + 1,
            loss=progress.loss / progress.seen,
            train_accuracy=progress.correct / progress.seen,
            **self._measured(),
            learning_rate=self.optimizer.param_groups[0]["lr"],
        )
        found = scheduled(options, progress.epoch) | self._information()
        self.progress = Progress(
            epoch=metrics.epoch,
            history=[*progress.history, asdict(metrics) | found],
            input_bits=progress.input_bits,
        )
        if self.best is not None and self.kept_epoch == metrics.epoch:
            self.best.load_state_dict(self.kept.state_dict())
        self.save()
        if self.processes.is_first:
            watcher.epoch(self.progress.history)

    def _batch_metrics(self) -> BatchMetrics:
        progress, work = self.progress, self.work
        done = sum(work[: progress.epoch]) + work[progress.epoch] * progress.batch / self.n_batches
        return BatchMetrics(
            epoch=progress.epoch + 1,
            epochs=self.options.epochs,
            batch=progress.batch,
            batches=self.n_batches,
            loss=progress.loss / progress.seen,
            part=done / sum(work),
        )

    def _measured(self) -> Mapping[str, Any]:
        network, execution, epoch = self._deployed(), self.execution, self.progress.epoch
        if self._is_for_integers():  # neurons in integers run on the CPU alone
            execution = replace(execution, device=CPU)
        samples, options = self.phases.validation(epoch), self.phases.options(epoch)
        return asdict(evaluate(network, samples, options, in_time=self.data.in_time, execution=execution))

    def _information(self) -> dict[str, float]:
        """Return the Fisher information of the network in floats after each time step, if the run records it."""
        if self.options.fisher == 0:
            return {}
        part, train = slice(self.options.fisher), self.data.train
        chance = torch.Generator().manual_seed(0)
        x = encoded(train.x[part], self.options, in_time=self.data.in_time, generator=chance)
        here, labels = self.execution.device, torch.from_numpy(train.y[part])
        found = information(self.kept, x.to(here), labels.to(here), self.options.steps)
        return {f"{FISHER}{step}": trace for step, trace in enumerate(found.traces, 1)}

    def _check_finite(self) -> None:
        """Refuse to continue with a network that has lost its finite numbers."""
        finite = all(bool(values.isfinite().all()) for values in self.network.state_dict().values())
        if not (finite and math.isfinite(self.progress.loss)):
            raise self._diverged()

    def _diverged(self) -> BadOption:
        found = f"made the run diverge in epoch {self.progress.epoch + 1}"
        return BadOption(f"learning_rate={self.options.learning_rate}", found, remedy="Use a smaller one.")

    def _lowered(self) -> Program:
        return lower(self.kept, n_steps=self.options.steps, encoder=self.options.encoder)

    def _quantized(self) -> Quantized:
        """Quantize the network as it is now."""
        assert self.options.qat is not None
        self._check_finite()
        try:
            program = self._lowered()
        except BadProgram as error:  # weights are finite, but not after batch norm is folded in
            raise self._diverged() from error
        bits, largest = self.options.qat, self._largest_input
        if self._sends_spikes:
            return quantize(program, bits=bits, binary_input=True)
        if self.progress.input_bits is None:
            x = self.data.train.x[:CALIBRATION_SAMPLES]
            self.progress.input_bits = best_input_bits(program, x, bits=bits, largest_input=largest)
        return quantize(program, bits=bits, input_bits=self.progress.input_bits, largest_input=largest)

    @cached_property
    def _sends_spikes(self) -> bool:
        """Whether all training values are 0 and 1."""
        return all(bool(((x == 0) | (x == 1)).all()) for x in (self.data.train.x, self.data.validation.x))

    @cached_property
    def _largest_input(self) -> float:
        return largest_input(self.data.train.x, self.data.validation.x)

    def _is_for_integers(self) -> bool:
        return self.options.qat is not None and self._done >= QAT_FROM * self._total

    def _learning(self) -> Network:
        """Return the network through which the next batch is learned."""
        if self._is_for_integers():
            return straight_through(self.network, self._quantized())
        network = self.phases.network(self.network, self.progress.epoch)
        network.train()
        return network

    def _deployed(self) -> Network:
        """Return the network as it would be deployed now, for images of this epoch's size."""
        if self._is_for_integers():
            return in_integers(self.network, self._quantized())
        return self.phases.network(self.kept, self.progress.epoch)

    def _learn(self, rows: NDArray[np.int64]) -> None:
        """Take one step along the gradient of one batch."""
        self.optimizer.param_groups[0]["lr"] = learning_rate(self.options, self._done, self.n_batches)
        generator = self._generator(self.progress.batch + 1)
        network = self._learning()
        epoch = self.progress.epoch
        now, shape = self.phases.options(epoch), self.phases.shape(epoch)
        inputs, targets = drawn(rows, self.data, now, self.augmentation, generator, shape=shape)
        labels = torch.from_numpy(self.data.train.y[rows])
        batch = Batch(
            self.execution.part(inputs, dim=1),
            self.execution.part(targets),
            now.steps,
            self.objective,
            generator,
            self.processes,
        )
        self.optimizer.zero_grad(set_to_none=True)
        with self.execution.autocast(enabled=self.options.amp):
            learned = self.strategy.learn(network, batch)
        self.processes.average_gradients(self.parameters)
        if self.options.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.options.clip)
        self.optimizer.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.network)
        if self.masks is not None:
            self.masks.update(self.network, self._done + 1)
            self.masks.apply_to(self.network)
            self.masks.apply_to(self.kept)
        right = n_correct(learned.outputs, self.processes.part(labels))
        loss, correct = self.processes.sums([learned.loss / self.processes.n, right])
        self.progress.seen += len(labels)
        self.progress.loss += loss * len(labels)
        self.progress.correct += int(correct)

    @property
    def _done(self) -> int:
        return self.progress.epoch * self.n_batches + self.progress.batch

    @property
    def _total(self) -> int:
        return self.options.epochs * self.n_batches

    def _generator(self, number: int) -> torch.Generator:
        """Return the generator for the epoch's order (0), or for one of its batches, from 1."""
        return generator_of(self.options.seed, self.progress.epoch, number)
