"""Train a network into a run folder."""

import platform
from collections.abc import Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

from tdd_deploy import training
from tdd_deploy.data import Choice, Source
from tdd_deploy.errors import BadData, BadFile, BadOption, BadOptions, Violation
from tdd_deploy.exporters import TARGETS
from tdd_deploy.exporters.onnx import relu_network
from tdd_deploy.files import write_json
from tdd_deploy.options.declare import gather, options_of
from tdd_deploy.options.functions import OPTIONS
from tdd_deploy.options.training import OF_DATA, LearnedData, Place, TrainOptions
from tdd_deploy.run_folder import BASELINE_VERSION, RunFolder
from tdd_deploy.training import Board, ReluNetwork, Samples, TrainingData, Watcher
from tdd_deploy.version import __version__

from .training_data import Learned, is_in_time, training_data

MEASURED_BATCH = 256
OWNERS = OPTIONS["train"]


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
        Interrupted: Ctrl-C; the folder holds everything needed to ``resume``.
        TddDeployError: anything wrong with the folder, the data or an option.
    """
    folder = RunFolder(Path(out))
    before = _before(folder, given) if resume else None
    of_run = {} if before is None else _converted(given)  # which are as the run began
    place = gather({name: value for name, value in given.items() if name not in of_run}, *OWNERS)[Place]
    options, data = _decide(given if before is None else before.options, whole)
    if not resume and folder.path.is_dir() and any(folder.path.iterdir()):
        raise BadFile(folder.path, "is not empty", "Name a new folder, or continue its run with `resume=True`.")
    if place.tensorboard:
        training.require_tensorboard()
    with training.executing(place.device) as execution:
        learned = training_data(data, options)
        if before is not None and _without_origins(learned.facts) != _without_origins(before.facts):
            changed = Violation(
                "its samples", "have changed since the run began", remedy="Restore the samples it began with."
            )
            raise BadData(str(data.options.data), [changed])
        recorded = {
            "schema_version": 1,
            "options": {**{name: getattr(data.options, name) for name in OF_DATA}, **options.as_json()},
            "config": None if config is None else str(config),
            "versions": versions(*(["kornia"] if options.augment else [])),
            "threads": training.n_threads(),  # bit for bit the same weights come from as many threads
            "execution": execution.as_json(),
            "data": learned.facts,
            "finished": False,
            "epochs": [] if before is None else before.epochs,
        }
        # Opened before the run starts, so that a missing file ends it at once.
        measured_on = (data.open("val"), data.open()) if options.is_ann else ()
        run = _Run(folder=folder, options=options, learned=learned, recorded=recorded, measured_on=measured_on)
        # A run that was stopped before its first checkpoint begins again.
        has_begun = before is not None and (bool(before.epochs) or folder.checkpoint_pt.exists())
        finished = run.execute(execution, resume=has_begun, tensorboard=place.tensorboard, watcher=watcher)
    return TrainedRun(path=folder.path, recorded=finished)


@dataclass(frozen=True)
class _Before:
    """The record of a run that is continued."""

    options: Mapping[str, object]
    facts: Mapping[str, Any]
    epochs: list[dict[str, Any]]


def _before(folder: RunFolder, given: Mapping[str, object]) -> _Before:
    """Read the train.json of a run; refuse options other than those it began with."""
    remedy = "Start the run again in another folder, without `resume`."
    recorded = folder.read_record(remedy)
    options = TrainOptions.from_json(recorded["options"])
    found = _Before(options=options, facts=recorded["data"], epochs=recorded["epochs"])
    changed = [
        Violation(f"`{name}`", str(value), f"{_began(options.get(name))}, as the run began")
        for name, value in _converted(given).items()
        if options.get(name) != value
    ]
    if changed:
        raise BadOptions("`resume` continues a run as it began", changed)
    try:
        gather({name: value for name, value in options.items() if value is not None}, *OWNERS)
    except BadOptions as error:
        raise BadFile(folder.train_json, f"is damaged ({error})", remedy) from error
    return found


def _began(value: object) -> str:
    return "not given" if value is None else str(value)


def _converted(given: Mapping[str, object]) -> dict[str, object]:
    """Return the options of the run itself, in the types of their fields; a wrong type is kept."""
    values = {}
    for each in (each for owner in (LearnedData, TrainOptions) for each in options_of(owner)):
        if each.name in given:
            try:
                values[each.name] = each.converted(given[each.name])
            except TypeError:
                values[each.name] = given[each.name]
    return values


def _decide(choices: Mapping[str, object], whole: Source | None) -> tuple[TrainOptions, Choice]:
    """Return the checked options of a run, and its data, opened in as many time steps as they have."""
    given = {name: value for name, value in choices.items() if value is not None}
    gathered = gather(given, *OWNERS)
    is_ann = gathered[TrainOptions].is_ann
    options = gathered[LearnedData]
    steps = gathered[TrainOptions].steps if "steps" in choices else None
    data = Choice(options=options, steps=steps, whole=whole)
    if is_ann and is_in_time(data):
        option = "frames" if options.frames else "bin_us" if options.bin_us else "bins"
        raise BadOption(option, "cannot be combined with `method=ann`, which has no time steps")
    if options.cuts_events and "steps" not in choices:
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

    def execute(
        self, execution: training.Execution, *, resume: bool, tensorboard: bool, watcher: Watcher | None
    ) -> dict[str, Any]:
        """Train, and write the files of the run; return the contents of train.json."""
        processes = execution.processes
        processes.wait()  # until all have seen the folder as it was
        board: Board | None = None
        if processes.is_first:
            self.folder.make()
            if not resume:  # a run that cannot continue stays as it is; one that does is recorded after each epoch
                write_json(self.folder.train_json, self.recorded)
            if tensorboard:
                board = Board(self.folder.tensorboard, epochs=len(self.recorded["epochs"]))
        journal = _Journal(self.folder, self.recorded, watcher, board)
        with nullcontext() if board is None else closing(board):
            trained = training.fit(
                self.options, self.learned.data, self.folder.path, resume=resume, watcher=journal, execution=execution
            )
        finished = {
            **self.recorded,
            "finished": True,
            "program": None if trained.program is None else trained.program.digest,
            "kept_epoch": trained.kept_epoch,
            "epochs": trained.history,
        }
        if processes.is_first:
            if trained.program is None:
                self._write_ann(trained.network)
            else:
                TARGETS["nir"](trained.program, self.folder.network_nir)
            training.write_metrics(self.folder.metrics_csv, trained.history)
            write_json(self.folder.train_json, finished)
        return finished

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

    def batch(self, done: int, total: int, loss: float) -> None:
        if self.watcher is not None:
            self.watcher.batch(done, total, loss)

    def epoch(self, history: list[dict[str, Any]]) -> None:
        write_json(self.folder.train_json, {**self.recorded, "epochs": history})
        training.write_metrics(self.folder.metrics_csv, history)
        if self.board is not None:
            self.board.epoch(history)
        if self.watcher is not None:
            self.watcher.epoch(history)


def _without_origins(facts: Any) -> Any:
    """Drop the entries that only say where a choice comes from, in words that may change between versions."""
    if not isinstance(facts, dict):
        return facts
    return {name: _without_origins(value) for name, value in facts.items() if not name.endswith("_from")}


def versions(*more: str) -> dict[str, str]:
    """Return the versions that a run depends on."""
    packages = ("torch", "numpy", "nir", *more)
    found = {package: metadata.version(package) for package in packages}
    return {"tdd-deploy": __version__, "python": platform.python_version(), **found}
