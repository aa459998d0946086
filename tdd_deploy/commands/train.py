"""Train a network into a run folder."""

import platform
from collections.abc import Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

from tdd_deploy import training
from tdd_deploy.data import Choice, Source
from tdd_deploy.errors import BadFile, BadOption, Interrupted
from tdd_deploy.exporters import TARGETS
from tdd_deploy.exporters.onnx import relu_network
from tdd_deploy.files import refuse_file, write_json
from tdd_deploy.options.declare import gather
from tdd_deploy.options.training import OF_DATA, LearnedData, Place, Start, TrainOptions
from tdd_deploy.run_folder import BASELINE_VERSION, RECORD_VERSION, RunFolder
from tdd_deploy.training import BatchMetrics, Board, ReluNetwork, Samples, TrainingData, Watcher
from tdd_deploy.version import __version__

from .training_data import Learned, is_in_time, training_data
from .training_resume import OWNERS, Before, converted, read_before
from .training_start import Origin, check_same_origin, read_origin, read_origin_again

MEASURED_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """A finished run; a path to its folder wherever a network is taken."""

    path: Path
    recorded: Mapping[str, Any]  # train.json

    @property
    def history(self) -> list[dict[str, Any]]:
        """The measurements after each epoch."""
        epochs: list[dict[str, Any]] = self.recorded["epochs"]
        return epochs

    @property
    def accuracy(self) -> float:
        """The validation accuracy of the kept epoch."""
        return float(self.history[self.recorded["kept_epoch"] - 1]["accuracy"])

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"TrainedRun({str(self.path)!r}, epochs={len(self.history)}, accuracy={self.accuracy:.1%})"

    def as_json(self) -> dict[str, Any]:
        """Return the contents of train.json."""
        return dict(self.recorded)


def train(
    out: str | PathLike[str],
    given: Mapping[str, object] = {},
    *,
    resume: bool = False,
    config: Path | None = None,
    whole: Source | None = None,
    watcher: Watcher | None = None,
) -> TrainedRun:
    """Train a network into a run folder.

    Started by torchrun, it is one of several processes that do so together; the first writes the files.

    Args:
        out: a new folder, or with ``resume`` one that holds a run.
        given: options of ``OWNERS`` by name; what is not given has its default.
        resume: continue from the last checkpoint, with the options that the run began with.
        config: the file that some of these options come from, for train.json.
        whole: data in memory, instead of the option ``data``.
        watcher: receives every batch and epoch.

    Raises:
        Interrupted: Ctrl-C; the folder holds everything needed to ``resume``, or the run had not begun.
        TddDeployError: anything wrong with the folder, the data or an option.
    """
    folder = RunFolder(Path(out))
    try:
        return _train(folder, given, resume=resume, config=config, whole=whole, watcher=watcher)
    except KeyboardInterrupt as error:
        kept = "`resume` continues from its last checkpoint" if folder.is_begun else "the run had not begun"
        raise Interrupted(kept) from error


def _train(
    folder: RunFolder,
    given: Mapping[str, object],
    *,
    resume: bool,
    config: Path | None,
    whole: Source | None,
    watcher: Watcher | None,
) -> TrainedRun:
    before = read_before(folder, given) if resume else None
    of_run = {} if before is None else converted(given)  # read_before has compared them
    gathered = gather({name: value for name, value in given.items() if name not in of_run}, *OWNERS)
    place, start = gathered[Place], gathered[Start].from_
    if before is not None:
        check_same_origin(before.origin, start)
    options, data = _decide(given if before is None else before.options, whole)
    if before is None:
        _refuse_files(folder)
    if place.tensorboard:
        training.require_tensorboard()
    with training.naming_what_to_lower(options), training.executing(place.device) as execution:
        learned = training_data(data, options)
        if before is not None:
            before.check_data(data, learned.facts)
        # Opened before the run starts, so that a missing file ends it at once.
        measured_on = (data.open("val"), data.open()) if options.is_ann else ()
        origin = None if before is not None or start is None else read_origin(start)
        recorded = {
            "schema_version": RECORD_VERSION,
            "options": {**{name: getattr(data.options, name) for name in OF_DATA}, **options.as_json()},
            "config": _config(config, before),
            "from": before.origin if before is not None else origin and origin.recorded,
            "versions": versions(*(["kornia"] if options.augment else [])),
            "threads": training.n_threads(),  # bit for bit the same weights come from as many threads
            "execution": execution.as_json(),
            "data": learned.facts,
            "finished": False,
            "epochs": [] if before is None else before.epochs,
        }
        if before is not None and before.is_finished(options):
            recorded = {**before.recorded, "data": learned.facts}
        run = _Run(
            folder=folder,
            options=options,
            learned=learned,
            recorded=recorded,
            measured_on=measured_on,
            origin=origin,
        )
        if recorded["finished"] and run.is_whole():
            return TrainedRun(path=folder.path, recorded=recorded)
        resume = before is not None and before.needs_checkpoint(folder)
        if before is not None and not resume:
            run = replace(run, origin=read_origin_again(before.origin))
        finished = run.execute(execution, resume=resume, tensorboard=place.tensorboard, watcher=watcher)
    return TrainedRun(path=folder.path, recorded=finished)


def _config(config: Path | None, before: Before | None) -> object:
    """Return the name of the file with options; a run that is continued without one keeps its first one."""
    if config is not None:
        return str(config)
    return None if before is None else before.recorded.get("config")


def _refuse_files(folder: RunFolder) -> None:
    """Refuse a folder in which no run may begin.

    Raises:
        BadFile: it is a file, or holds files.
    """
    refuse_file(folder.path)
    if folder.is_begun:
        raise BadFile(folder.path, "is not empty", "Name a new folder, or continue its run with `resume=True`.")
    if not folder.is_new:
        raise BadFile(folder.path, "is not empty", "Name a new folder.")


def _decide(choices: Mapping[str, object], whole: Source | None) -> tuple[TrainOptions, Choice]:
    """Return the checked options of a run, and its data, opened in as many time steps as they have."""
    given = {name: value for name, value in choices.items() if value is not None}
    gathered = gather(given, *OWNERS)
    is_ann = gathered[TrainOptions].is_ann
    options = gathered[LearnedData]
    has_steps = "steps" in given or bool(given.get("steps_schedule"))
    steps = gathered[TrainOptions].steps if has_steps else None
    data = Choice(options=options, steps=steps, whole=whole)
    if is_ann and is_in_time(data):
        option = next((name for name in ("frames", "bin_us", "bins", "window") if getattr(options, name)), "windows")
        raise BadOption(option, "cannot be combined with `method=ann`, which has no time steps")
    if (options.cuts_events or options.window) and not has_steps:
        given["steps"] = data.open("train").sample_shape[0]
    return gather(given, *OWNERS)[TrainOptions].checked(), data


@dataclass(frozen=True, eq=False, kw_only=True)
class _Run:
    """A run that is ready to start."""

    folder: RunFolder
    options: TrainOptions
    learned: Learned
    recorded: Mapping[str, Any]
    measured_on: tuple[Source, ...]  # of an ANN: validation samples, and those that simulate reads by default
    origin: Origin | None  # the weights of another run to begin with; None for random ones

    def execute(
        self, execution: training.Execution, *, resume: bool, tensorboard: bool, watcher: Watcher | None
    ) -> dict[str, Any]:
        """Train, and write the files of the run; return the contents of train.json."""
        processes = execution.processes
        board: Board | None = None
        if processes.is_first and tensorboard:  # the last recorded epoch may be missing in it
            board = Board(self.folder.tensorboard, epochs=max(0, len(self.recorded["epochs"]) - 1))
        journal = _Journal(self.folder, self.recorded, watcher, board)

        def begin() -> None:
            processes.wait()  # until all have seen the folder as it was
            if processes.is_first:
                self._begin(resume=resume)

        with nullcontext() if board is None else closing(board):
            trained = training.fit(
                self.options,
                self.learned.data,
                self.folder.path,
                resume=resume,
                watcher=journal,
                execution=execution,
                begin=begin,
                weights=None if self.origin is None else self.origin.weights,
            )
            if board is not None:
                board.epoch(trained.history)
        finished = {
            **self.recorded,
            "finished": True,
            "program": None if trained.program is None else trained.program.digest,
            "kept_epoch": trained.kept_epoch,
            "epochs": trained.history,
        }
        if processes.is_first:
            if self.options.is_ann:
                self._write_ann(trained.network)
            if trained.program is not None:
                TARGETS["nir"](trained.program, self.folder.network_nir)
            training.write_metrics(self.folder.metrics_csv, trained.history)
            write_json(self.folder.train_json, finished)
        return finished

    def is_whole(self) -> bool:
        """Decide whether the folder holds every file of a finished run."""
        folder = self.folder
        needed = [folder.network_safetensors, folder.metrics_csv]
        if self.options.has_program:
            needed.append(folder.network_nir)
        if not self.options.is_ann:
            return all(path.exists() for path in needed)
        if find_spec("onnx") is not None:
            needed.append(folder.network_onnx)
        try:
            RunFolder.read_baseline(folder.path)
        except BadFile:
            return False
        return all(path.exists() for path in needed)

    def _begin(self, *, resume: bool) -> None:
        """Write the first file of a run, by which others know it; remove what a killed one left."""
        self.folder.make()
        for part in self.folder.find_parts():
            part.unlink(missing_ok=True)
        if not resume:  # one that continues is recorded after each epoch
            write_json(self.folder.train_json, self.recorded)

    def _write_ann(self, network: training.Network) -> None:
        """Write the ANN as a baseline, and where onnx is installed, as a network for ``simulate``."""
        assert isinstance(network, ReluNetwork)
        lowered = training.lower(network, n_steps=1, encoder=self.options.encoder)
        write_json(self.folder.baseline_json, self._baseline(network))
        if find_spec("onnx") is not None:
            relu_network.write(lowered, self.folder.network_onnx)

    def _baseline(self, network: ReluNetwork) -> dict[str, Any]:
        """Measure a trained ANN; return the contents of baseline.json."""
        learned, facts = self.learned.data, self.learned.facts
        parts = {source.split: _samples(source, learned) for source in self.measured_on}
        measured = training.measure(network, learned.train.x, parts)
        splits = {source.split: {"n_samples": source.n_samples, "files": source.digests} for source in self.measured_on}
        return {
            "schema_version": BASELINE_VERSION,
            "network": self.options.network,
            "input_shape": facts["input_shape"],
            "n_classes": facts["n_classes"],
            "sparsity": self.options.sparsity,
            "data": {
                **{name: facts[name] for name in ("name", "train_samples", "sha256")},
                "input_scale": facts["input"]["scale"],
                "splits": splits,
            },
            **measured.as_json(),
        }


def _samples(source: Source, learned: TrainingData) -> Iterator[Samples]:
    for batch in source.batches(MEASURED_BATCH):
        assert batch.y is not None  # training data are labeled
        yield Samples(batch.x.reshape(-1, *learned.input_shape), batch.y)


@dataclass(frozen=True)
class _Journal:
    """Keeps train.json and metrics.csv true after every epoch, and passes each event on."""

    folder: RunFolder
    recorded: Mapping[str, Any]
    watcher: Watcher | None
    board: Board | None

    def batch(self, now: BatchMetrics) -> None:
        if self.watcher is not None:
            self.watcher.batch(now)

    def epoch(self, history: list[dict[str, Any]]) -> None:
        write_json(self.folder.train_json, {**self.recorded, "epochs": history})
        training.write_metrics(self.folder.metrics_csv, history)
        if self.board is not None:
            self.board.epoch(history)
        if self.watcher is not None:
            self.watcher.epoch(history)


def versions(*more: str) -> dict[str, str]:
    """Return the versions that a run depends on."""
    packages = ("torch", "numpy", "nir", *more)
    found = {package: metadata.version(package) for package in packages}
    return {"tdd-deploy": __version__, "python": platform.python_version(), **found}
