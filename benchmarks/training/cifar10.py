"""Train one row of CIFAR-10 on one thread, in phases of 1, 2 and 6 time steps, within a time that is chosen beforehand.

    .venv/bin/python -m benchmarks.training.cifar10 --list
    .venv/bin/python -m benchmarks.training.cifar10 --row "tet by schedule" --data-dir DIR --minutes 120
    .venv/bin/python -m benchmarks.training.cifar10 --row "tet by schedule" --data-dir DIR --resume

Some batches of each phase are measured first, in seconds of the CPU, and the minutes are divided into epochs. Every
epoch ends with a checkpoint; Ctrl-C saves one too. At the end the network is measured on all 10,000 test images, in
full and with early exits, and the row is added to results/cifar10.json. Run it from a work tree that nobody edits: a
network should be trained and measured by one version of the code.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

import tdd_deploy as td
from benchmarks.training.grid import RESULTS, figures, locked, measure_exits
from tdd_deploy.errors import Interrupted
from tdd_deploy.files import write_json
from tdd_deploy.run_folder import RunFolder
from tdd_deploy.training import BatchMetrics
from tdd_deploy.training.malloc import keep_freed_memory

PATH = RESULTS / "cifar10.json"
TRAIN_IMAGES = 45_000  # the rest is for validation
MOST_MINUTES = 120.0
MEASURED_BATCHES = 6  # of each phase; the first one is not counted
MARGIN = 1.1  # of the estimate: validation, checkpoints, and batches that take longer
COMMON = {
    "data": "cifar10", "network": "conv-medium", "batch": 64, "augment": "crop-flip", "amp": True, "device": "cpu",
    "val_samples": 1000, "learning_rate": 2e-3,
}  # fmt: skip


@dataclass(frozen=True)
class Phase:
    """Epochs with the same number of time steps, and the part of the time that they may take."""

    steps: int
    part: float


@dataclass(frozen=True)
class Row:
    """A network of the table."""

    options: Mapping[str, Any]
    phases: Sequence[Phase] = (Phase(1, 0.5), Phase(2, 0.1), Phase(6, 0.4))


STICKY = {"reset_to": (1.0, 1.0, 1.0, 1.0, 0.0)}  # the convolutions
SYNOPS = {"method": "l1-spikes", "weigh": "synops", "penalty_weight": 0.05}
ROWS = {
    "tet by schedule": Row({"method": "tet"}),
    "l1-spikes by schedule": Row({"method": "l1-spikes", "penalty_weight": 0.1}),
    "tdd-ddla by schedule": Row({"method": "tdd-ddla"}),
    "tet at T=1": Row({"method": "tet"}, (Phase(1, 1.0),)),
    "sticky, l1-spikes synops by schedule": Row({**SYNOPS, **STICKY}),
}


@dataclass
class Clock:
    """Watches a training run, and notes the CPU's time after each batch."""

    batches: list[list[float]] = field(default_factory=lambda: [[]])

    def batch(self, now: BatchMetrics) -> None:
        self.batches[-1].append(time.process_time())

    def epoch(self, history: list[dict[str, Any]]) -> None:
        self.batches.append([])


@dataclass(frozen=True)
class Journal:
    """Prints every epoch, and keeps the seconds of the CPU in a file beside the run.

    Args:
        path: the file.
        before: the seconds of earlier processes.
        start: the CPU's time when this process began to learn.
    """

    path: Path
    before: float
    start: float

    @classmethod
    def of(cls, run: Path) -> "Journal":
        path = run.with_name(f"{run.name}.json")
        return cls(path, seconds_in(path), time.process_time())

    def batch(self, now: BatchMetrics) -> None:
        pass

    def epoch(self, history: list[dict[str, Any]]) -> None:
        last = history[-1]
        self.save()
        steps = f", {last['steps']} steps" if "steps" in last else ""
        counts = f"{last['raw_events']:,.0f} spikes, {last['delta_events']:,.0f} delta events"
        print(f"epoch {last['epoch']}{steps}: loss {last['loss']:.3f}, {last['accuracy']:.1%}, {counts}", flush=True)

    def save(self) -> None:
        write_json(self.path, {"cpu_seconds": self.before + time.process_time() - self.start})


def seconds_in(path: Path) -> float:
    """Return the seconds of the CPU that a run has taken."""
    return float(json.loads(path.read_text())["cpu_seconds"]) if path.exists() else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", choices=ROWS)
    parser.add_argument("--list", action="store_true", help="show the rows, and which of them are open")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--minutes", type=float, default=MOST_MINUTES, help="of one core, for learning (default: 120)")
    parser.add_argument("--resume", action="store_true", help="continue the row, with the epochs that it began with")
    parser.add_argument("--runs", type=Path, default=Path("runs/training/cifar10"))
    given = parser.parse_args()
    if given.list:
        for name in ROWS:
            print(f"{'done' if name in measured() else 'open'}  {name}")
        return
    if given.row is None or given.data_dir is None:
        parser.error("--row and --data-dir are needed, or --list")
    if not 0 < given.minutes <= MOST_MINUTES:
        parser.error(f"--minutes must be above 0 and at most {MOST_MINUTES:g}")
    torch.set_num_threads(1)
    keep_freed_memory()
    run = given.runs / given.row.replace(" ", "_").replace(",", "")
    with locked(run.with_name(f"{run.name}.lock"), wait=False) as is_free:
        if not is_free:
            sys.exit(f"another process works on {run}")
        try:
            train(ROWS[given.row], run, given)
        except Interrupted as stopped:
            sys.exit(str(stopped))
        add(given.row, measure(run, given.data_dir))


def measured() -> dict[str, Any]:
    """Return the finished rows by name."""
    return json.loads(PATH.read_text())["rows"] if PATH.exists() else {}


def train(row: Row, run: Path, given: argparse.Namespace) -> None:
    """Train a row, or what is left of it."""
    options: dict[str, Any] = {}
    if given.resume != RunFolder(run).is_begun:
        sys.exit(f"{run} has not begun; leave out --resume" if given.resume else f"{run} has begun; add --resume")
    if not given.resume:
        options = {**COMMON, **row.options}
        seconds = seconds_of(row.phases, options, given.data_dir)
        options["steps_schedule"] = plan(row.phases, seconds, given.minutes)
    journal = Journal.of(run)
    try:
        td.train(run, resume=given.resume, data_dir=given.data_dir, watcher=journal, **options)
    finally:
        journal.save()
    print(f"learned for {seconds_in(journal.path) / 60:.1f} minutes of one core", flush=True)


def seconds_of(phases: Sequence[Phase], options: Mapping[str, Any], data_dir: Path) -> list[float]:
    """Measure some batches of each phase; return the seconds of an epoch of it."""
    clock = Clock()
    few = {"train_samples": MEASURED_BATCHES * options["batch"], "val_samples": 2}
    schedule = [f"{phase.steps}:1" for phase in phases]
    with tempfile.TemporaryDirectory() as folder:
        td.train(folder, steps_schedule=schedule, watcher=clock, data_dir=data_dir, **{**options, **few})
    batches = TRAIN_IMAGES // options["batch"]
    times = [[after - before for before, after in pairwise(ends)] for ends in clock.batches[: len(phases)]]
    return [sorted(each)[len(each) // 2] * batches for each in times]


def plan(phases: Sequence[Phase], seconds: Sequence[float], minutes: float) -> list[str]:
    """Divide the time into epochs of each phase; print the estimate and return the schedule."""
    available = minutes * 60 / MARGIN
    epochs = [max(1, int(available * phase.part / each)) for phase, each in zip(phases, seconds, strict=True)]
    while sum(n * each for n, each in zip(epochs, seconds, strict=True)) > available and max(epochs) > 1:
        epochs[epochs.index(max(epochs))] -= 1  # phases of one epoch take more than their part
    total = sum(n * each for n, each in zip(epochs, seconds, strict=True)) * MARGIN / 60
    for phase, n, each in zip(phases, epochs, seconds, strict=True):
        print(f"{n} epochs of {phase.steps} steps, {each:.0f} s each")
    print(f"about {total:.0f} minutes of one core", flush=True)
    if total > minutes:
        sys.exit(f"one epoch of each phase takes more than {minutes:g} minutes; raise --minutes")
    return [f"{phase.steps}:{n}" for phase, n in zip(phases, epochs, strict=True)]


def measure(run: Path, data_dir: Path) -> dict[str, Any]:
    """Measure a finished run on all test images, in full and with early exits."""
    recorded = json.loads(RunFolder(run).train_json.read_text())
    test = {"data": recorded["options"]["data"], "data_dir": data_dir}
    result = td.simulate(run, **test)
    return {
        "options": recorded["options"],
        "versions": recorded["versions"] | {name: metadata.version(name) for name in ("numba",)},
        "threads": 1,
        "cpu_seconds": round(seconds_in(run.with_name(f"{run.name}.json"))),
        "epochs": recorded["epochs"],
        "test_samples": result.trace.n_samples,
        **figures(result),
        "exit": {} if len(result.steps) == 1 else measure_exits(run, test),
    }


def add(name: str, row: Mapping[str, Any]) -> None:
    """Add a row to the results."""
    with locked(PATH.with_suffix(".lock"), wait=True):
        write_json(PATH, {"rows": {**measured(), name: row}})
    print(f"{name}: {row['accuracy']:.1%}, {row['raw_events']:,.0f} spikes, {row['delta_events']:,.0f} delta events")


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main()
