"""Find the margin of an early exit on validation samples."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np

from tdd_deploy.data import Choice, Source, digest_of
from tdd_deploy.errors import BadData, BadFile, BadOption, BadOptions, Violation
from tdd_deploy.files import write_json
from tdd_deploy.options.early_exit import ExitOptions, ValidationData
from tdd_deploy.options.encoding import Coding, Encoding
from tdd_deploy.options.execution import Execution
from tdd_deploy.program import Program
from tdd_deploy.run_folder import EXIT_VERSION, RunFolder
from tdd_deploy.runtime.progress import Progress, unseen
from tdd_deploy.runtime.run import run as execute
from tdd_deploy.runtime.shards import check_finite
from tdd_deploy.simulator.counts import Trace
from tdd_deploy.simulator.early_exit import Decisions, allowed_losses, check_decidable
from tdd_deploy.simulator.engine.engine import Engine

from .load import Loaded, Network, load, load_all, path_of

WHOLE = "all"  # samples of a file or an array that are not split
LEAST_SAMPLES = 2
PARTS = {"train": "train_samples", "val": "validation_samples"}  # by split, the name of its size in a record
ADDS_PER_OUTPUT = 2  # of the comparison with the margin in a step, as profiles price it


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What an execution gives and counts; counts are means per sample."""

    accuracy: float
    mean_steps: float
    raw_events: float
    delta_events: float
    raw_synops: float
    delta_synops: float
    comparison_adds: float  # of the outputs, to find out whether a sample ends; 0 without an early exit

    @classmethod
    def of(cls, program: Program, trace: Trace, n_correct: int, *, exits_early: bool) -> Self:
        """Read the figures of a trace."""
        n, n_executed = trace.n_samples, int(trace.n_running.sum())
        n_outputs = program.shapes[program.output.name][0]
        return cls(
            accuracy=n_correct / n,
            mean_steps=n_executed / n,
            raw_events=trace.spike_code.total("spikes") / n,
            delta_events=trace.spike_code.total("delta_events") / n,
            raw_synops=trace.spike_code.total("synops_effective") / n,
            delta_synops=trace.delta_code.total("synops_effective") / n,
            comparison_adds=ADDS_PER_OUTPUT * n_outputs * n_executed / n if exits_early else 0.0,
        )


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """The loss on samples that did not choose the margin, in percentage points."""

    margins: tuple[float, ...]  # one per fold, chosen on the other folds
    lost_points: float
    standard_error: float  # at least the error of one lost sample

    @classmethod
    def of(cls, decisions: Decisions, lose: float, folds: int) -> Self:
        """Choose a margin without each fold, and measure on that fold what it loses."""
        n = len(decisions.leads)
        fold = np.arange(n) % folds
        lost = np.zeros(n)
        margins = []
        for k in range(min(folds, n)):
            margins.append(decisions.of_samples(fold != k).safe_margin(lose))
            lost[fold == k] = decisions.of_samples(fold == k).lost_at(margins[-1])
        # Of n samples without a loss nobody knows that there is none among many more.
        error = max(float(lost.std()) / n**0.5, 1 / n)
        return cls(margins=tuple(margins), lost_points=100 * float(lost.mean()), standard_error=100 * error)


@dataclass(frozen=True, eq=False, kw_only=True)
class TunedExit:
    """A margin, and what an early exit at it loses and saves on the samples that chose it."""

    margin: float
    options: ExitOptions
    program: str  # digest
    data: Mapping[str, Any]  # as simulate describes data
    n_samples: int
    full: Figures
    exit: Figures
    cross_validated: CrossValidation

    @property
    def lost_points(self) -> float:
        """By how many percentage points accuracy falls on the samples that chose the margin."""
        return 100 * (self.full.accuracy - self.exit.accuracy)

    @property
    def expected_points(self) -> float:
        """What the loss on other samples is expected to be at most, in percentage points."""
        return 100 * (allowed_losses(self.n_samples, self.options.lose) + 1) / (self.n_samples + 1)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the numbers do not show, in words."""
        error, lose = self.cross_validated.standard_error, self.options.lose
        found = []
        if self.expected_points > lose:
            needed = f"use {math.ceil(100 / lose - 1):,} or more, or " if lose else ""
            found.append(
                f"{self.n_samples:,} samples are too few for a loss of {lose:g} points: the margin makes none of them "
                f"wrong, and may still lose {self.expected_points:.2f} points on others; {needed}allow a larger loss"
            )
        elif error > lose:
            found.append(
                f"the standard error of the loss on other samples is {error:.2f} points, more than the {lose:g} that "
                "may be lost; use more validation samples"
            )
        if self.exit.mean_steps == self.data["n_steps"]:
            found.append("no sample ends early at this margin; every smaller one loses more")
        return tuple(found)

    def as_json(self) -> dict[str, Any]:
        """Return the contents of exit.json."""
        return {
            "schema_version": EXIT_VERSION,
            "margin": self.margin,
            "lost_points": self.lost_points,
            "expected_points": self.expected_points,
            "cross_validated": asdict(self.cross_validated) | {"margins": list(self.cross_validated.margins)},
            "options": self.options.as_json(),
            "full": asdict(self.full),
            "exit": asdict(self.exit),
            "samples": self.n_samples,
            "data": dict(self.data),
            "inputs": inputs_of(self.data),
            "program": self.program,
            "warnings": list(self.warnings),
            "versions": {name: metadata.version(name) for name in ("tdd-deploy", "numpy", "numba")},
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Measured:
    """A full execution of validation samples, from which every margin can be judged."""

    digest: str  # of the program as its file holds it
    loaded: Loaded
    decisions: Decisions
    trace: Trace

    def tune(self, options: ExitOptions) -> TunedExit:
        """Choose the margin, and execute the samples with it."""
        margin = self.decisions.safe_margin(options.lose)
        loaded = self.loaded
        execution = Execution(batch=options.batch, threads=options.threads, early_exit=margin)
        total = execute(loaded.inputs, loaded.source, loaded.data, execution, n_samples=loaded.n_samples)
        n_right = int(self.decisions.is_right[:, -1].sum())
        return TunedExit(
            margin=margin,
            options=options,
            program=self.digest,
            data=loaded.description,
            n_samples=loaded.n_samples,
            full=Figures.of(loaded.program, self.trace, n_right, exits_early=False),
            exit=Figures.of(loaded.program, total.trace, total.n_correct, exits_early=True),
            cross_validated=CrossValidation.of(self.decisions, options.lose, options.folds),
        )


def tune_exit(
    run: str | PathLike[str],
    data: Choice,
    *,
    options: ExitOptions = ExitOptions(),
    encoding: Encoding = Encoding(),
    progress: Progress = unseen,
) -> TunedExit:
    """Find the smallest margin that makes only a few validation samples wrong, and write it into the run folder.

    Args:
        run: a run folder.
        data: the validation samples.
        options: how much accuracy may be lost.
        encoding: how samples become inputs.
        progress: receives the number of samples that were executed in full.

    Raises:
        BadFile: not a run folder, or a network with one time step.
        TddDeployError: anything else wrong with a file, the data or an option.
    """
    measured = measure(run, data, options=options, encoding=encoding, progress=progress)
    tuned = measured.tune(options)
    write_json(RunFolder(Path(run)).exit_json, tuned.as_json())
    return tuned


def measure(
    run: str | PathLike[str],
    data: Choice,
    *,
    options: ExitOptions = ExitOptions(),
    encoding: Encoding = Encoding(),
    progress: Progress = unseen,
) -> Measured:
    """Execute all steps of validation samples, and keep after each step what would be decided.

    Raises:
        BadFile: not a run folder, or a network with one time step.
        TddDeployError: anything else wrong with a file, the data or an option.
    """
    path = Path(run)
    if not path.is_dir():
        raise BadFile(path, "is not a run folder", "Name a folder that train wrote.")
    program = load(path)
    check_decidable(program)
    # Every code counts the same, and one that is named needs no samples to choose it.
    loaded = load_all(program, _validation(data), encoding=encoding, coding=Coding(code="delta"), path=path)
    loaded.source.check_labels_of_samples()
    inputs, source, n_samples = loaded.inputs, loaded.source, loaded.n_samples
    _check_steps(path, inputs.n_steps)
    _check_samples(source, n_samples)
    if learned := _learned_from(path, data, source):
        raise BadData(source.name, [learned])
    engine = Engine(loaded.program, threads=options.threads)
    found: list[Decisions] = []
    total: Trace | None = None
    done = 0
    for encoded, labels in inputs.batches(source, options.batch, limit=n_samples, progress=progress):
        assert labels is not None  # checked before
        result = engine.run(encoded, n_steps=inputs.n_steps)
        check_finite(result.output, start=done)
        found.append(Decisions.of(loaded.program, result.output, labels))
        total = result.trace if total is None else total + result.trace
        done += len(labels)
    assert total is not None  # a source without samples is refused
    return Measured(digest=program.digest, loaded=loaded, decisions=Decisions.joined(found), trace=total)


def _check_steps(path: Path, n_steps: int) -> None:
    """Refuse a single time step.

    Raises:
        BadFile: there is only one.
    """
    if n_steps == 1:
        raise BadFile(path, "executes a single time step, so no sample can end early", "Name a run with more `steps`.")


def _check_samples(source: Source, n_samples: int) -> None:
    """Refuse samples that cannot choose a margin and test it.

    Raises:
        BadData: they have no labels, or there is only one.
    """
    if not source.labeled:
        found = f"are {source.targets}, not one integer per sample" if source.targets else "are missing"
        raise BadData(source.name, [Violation("its labels", f"{found}, and a margin is chosen by accuracy")])
    if n_samples < LEAST_SAMPLES:
        allowed = f"{LEAST_SAMPLES} or more, as some test the margin that others choose"
        raise BadData(source.name, [Violation("the number of samples", str(n_samples), allowed)])


def _learned_from(path: Path, data: Choice, source: Source) -> Violation | None:
    """Find out whether a run learned from some of these samples, which a file or an array holds as a whole."""
    recorded = RunFolder(path).learned_data()
    if source.split != WHOLE or recorded.get("name") != source.name:
        return None
    sizes = [n for key in PARTS.values() if isinstance(n := recorded.get(key), int) and n > 0]
    if len(sizes) < len(PARTS) or sum(sizes) > source.n_samples:
        return None
    parts = [data.open(split) for split in PARTS]
    learned = (next(part.batches(n, limit=n)) for n, part in zip(sizes, parts, strict=True))
    if digest_of(learned) != recorded.get("sha256"):
        return None
    found = "hold training samples of this run, and a network is surer of those than of others"
    return Violation("all its samples", found, remedy="Use `split=val`.")


def look_up_margin(network: Network, loaded: Loaded, coding: Coding) -> tuple[float, str]:
    """Read the margin that was found for a run; return it, and how it was found.

    Args:
        network: the run folder.
        loaded: what will be executed.
        coding: how the program of the run was changed.

    Raises:
        BadOption: the network is no run folder.
        BadOptions: the outputs are others than those that chose the margin.
        BadFile: no margin was found, or that of another network.
    """
    path = path_of(network)
    if path is None or not path.is_dir():
        reason = "can be `tuned` only for a run folder, where tune-exit writes the margin"
        raise BadOption("early_exit", reason, remedy="Name the folder, or give a number.")
    _check_steps(path, loaded.inputs.n_steps)
    folder = RunFolder(path)
    file, found = folder.exit_json, folder.read_exit()
    if found["program"] != load(path).digest:
        remedy = f"find the margin of this one with tdd-deploy tune-exit {path}"
        raise BadFile(file, "is the margin of another network", remedy)
    now = {**inputs_of(loaded.description), "output": coding.output, "delta_threshold": coding.delta_threshold}
    before = {**found["inputs"], "output": "spikes", "delta_threshold": None}
    if loaded.source.stored != found["data"]["input"]["stored"]:
        del now["input_scale"]  # other numbers are stored, so another scale may give the same inputs
    changed = [
        Violation(f"`{name}`", f"is {_text(now[name])}, but the margin in {file} was found with {_text(before[name])}")
        for name in now
        if now[name] != before[name]
    ]
    if changed:
        raise BadOptions("`early_exit=tuned`", changed)
    data, loss = found["data"], found["expected_points"]
    samples = f"{found['samples']:,} samples of {data['name']} ({data['split']})"
    return found["margin"], f"from {file}, chosen on {samples}; the expected loss is at most {loss:.2f} points"


def inputs_of(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a margin depends on besides the network, from the description of inputs."""
    names = {"steps": "n_steps", "encoder": "encoder", "input_threshold": "input_threshold"}
    found = {name: description[key] for name, key in names.items()}
    return {**found, "input_scale": description["input"]["scale"]}


def _validation(data: Choice) -> Choice:
    """Choose the validation split of named data; arrays are validation samples already."""
    if isinstance(data.options, ValidationData) and data.options.split is None and data.whole is None:
        return replace(data, options=replace(data.options, split="val"))
    return data


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
