"""Rows of a table: trained networks, each simulated on the test split in full and with early exits.

Finished rows are kept and not repeated. Several processes may work on one table: a row belongs to the first process
that begins it, and its result is added to the file under a lock. A row that is deleted from the file is measured again;
its finished run is not trained again.
"""

import fcntl
import json
import platform
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

import tdd_deploy as td
from tdd_deploy.commands.train import TrainedRun
from tdd_deploy.commands.tune_exit import Figures, measure
from tdd_deploy.data import Choice, open_data
from tdd_deploy.files import write_json
from tdd_deploy.options.declare import options_of
from tdd_deploy.options.early_exit import ExitOptions, ValidationData
from tdd_deploy.options.training import TrainOptions
from tdd_deploy.run_folder import RunFolder
from tdd_deploy.simulator.reports.report import Simulation
from tdd_deploy.training import Samples, make_network
from tdd_deploy.training.evaluation import evaluate

RESULTS = Path(__file__).parent / "results"
LOSE = (0.1, 0.5)  # percentage points that an early exit may lose on validation samples


@dataclass(frozen=True)
class Table:
    """Networks to compare: the options that all share, and the options of each."""

    name: str
    common: Mapping[str, Any]
    rows: Mapping[str, Mapping[str, Any]]
    seeds: Sequence[int] = (0, 1, 2)
    test_samples: int | None = None
    val_samples: int | None = None  # on which margins are chosen

    @property
    def path(self) -> Path:
        return RESULTS / f"{self.name}.json"

    def run(
        self, folder: Path, *, only: str = "", seeds: Collection[int] | None = None, data_dir: Path | None = None
    ) -> None:
        """Train and measure missing rows, one seed of all rows after another; resume interrupted runs.

        Args:
            folder: where runs are kept.
            only: rows whose name contains this.
            seeds: only these seeds of the table; by default all.
            data_dir: where data sets lie.
        """
        for seed in self.seeds:
            for name, options in self.rows.items():
                if only in name and (seeds is None or seed in seeds):
                    run = folder / self.name / f"{name.replace(' ', '_').replace('/', '-')}_{seed}"
                    with locked(run.with_name(f"{run.name}.lock"), wait=False) as is_free:
                        if is_free and not self.is_measured(name, seed):
                            given = {**self.common, **options, "seed": seed, "data_dir": data_dir}
                            self._add({"name": name, "seed": seed, **self._measure(run, given)})

    def measured(self) -> list[dict[str, Any]]:
        """Return the finished rows."""
        return json.loads(self.path.read_text())["rows"] if self.path.exists() else []

    def is_measured(self, name: str, seed: int) -> bool:
        """Decide whether a row is finished."""
        return any((row["name"], row["seed"]) == (name, seed) for row in self.measured())

    def _measure(self, run: Path, options: Mapping[str, Any]) -> dict[str, Any]:
        """Train a row, and measure it in full and with early exits."""
        trained = td.train(run, resume=RunFolder(run).train_json.exists(), **options)
        if trained.recorded["program"] is None:
            return {"options": trained.as_json()["options"], **raw_figures(run, trained, options)}
        test = {"data": options["data"], "data_dir": options["data_dir"], "samples": self.test_samples}
        result = td.simulate(trained, **test)
        return {
            "options": trained.as_json()["options"],
            "validation_accuracy": trained.history[-1]["accuracy"],
            "test_samples": result.trace.n_samples,
            **figures(result),
            "exit": {} if len(result.steps) == 1 else measure_exits(run, test, val_samples=self.val_samples),
        }

    def _add(self, row: dict[str, Any]) -> None:
        with locked(self.path.with_suffix(".lock"), wait=True):
            write_json(self.path, self._document([*self.measured(), row]))
        exits = (f"{each['accuracy']:.3f} at {each['mean_steps']:.2f} steps" for each in row["exit"].values())
        print(
            f"{row['name']}, seed {row['seed']}: {row['accuracy']:.3f}, {row['raw_events']:,.0f} spikes;",
            f"exits: {', '.join(exits) or 'none'}",
            flush=True,
        )

    def _document(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        packages = {name: metadata.version(name) for name in ("torch", "numpy", "numba")}
        return {
            "common": dict(self.common),
            "versions": {"tdd-deploy": td.__version__, "python": platform.python_version(), **packages},
            "threads": torch.get_num_threads(),
            "rows": rows,
        }


def raw_figures(run: Path, trained: TrainedRun, options: Mapping[str, Any]) -> dict[str, Any]:
    """Measure a network without a program on all test samples, as it is trained; it has no delta events."""
    recorded = trained.recorded
    names = {each.name for each in options_of(TrainOptions)}
    chosen = TrainOptions.of(**{name: value for name, value in options.items() if name in names}).checked()
    shape = tuple(recorded["data"]["input_shape"])
    network = make_network(chosen, shape, recorded["data"]["n_classes"])
    network.load_state_dict(load_file(RunFolder(run).network_safetensors))
    x, y = open_data(options["data"], data_dir=options["data_dir"], split="test").load()
    found = evaluate(network, Samples(x.reshape(-1, *shape), y), chosen, in_time=False)
    return {"test_samples": len(y), "accuracy": found.accuracy, "raw_events": found.raw_events, "exit": {}}


def measure_exits(run: Path, test: Mapping[str, Any], *, val_samples: int | None = None) -> dict[str, dict[str, Any]]:
    """Choose margins on validation samples, and measure them on the test samples.

    Return figures by the percentage points that may be lost. A network of one time step has nothing to exit from.

    Args:
        run: a finished run folder.
        test: the keywords of ``simulate`` that name the test samples.
        val_samples: the number of validation samples; by default all.
    """
    options = ValidationData(data=test["data"], data_dir=test["data_dir"], samples=val_samples)
    validated = measure(run, Choice(options=options))
    found, simulated = {}, {}
    for lose in LOSE:
        tuned = validated.tune(ExitOptions(lose=lose))
        if tuned.margin not in simulated:
            simulated[tuned.margin] = figures(td.simulate(run, early_exit=tuned.margin, **test))
        found[f"{lose:g}"] = {
            "lose": lose,
            "margin": tuned.margin,
            **simulated[tuned.margin],
            "validation_samples": tuned.n_samples,
            "validation_lost_points": tuned.lost_points,
            "expected_points": tuned.expected_points,
            "cross_validated": tuned.as_json()["cross_validated"],
        }
    return found


def figures(result: Simulation) -> dict[str, Any]:
    """Return accuracy and counts, means per sample; steps that a sample left out count as zero."""
    exits_early, trace = result.early_exit is not None, result.trace
    found = Figures.of(result.program, trace, result.n_correct or 0, exits_early=exits_early)
    return {
        **asdict(found),
        "raw_events_by_step": (trace.executed.spikes.sum(axis=0) / trace.n_samples).tolist(),
        "delta_events_by_step": (trace.executed.delta_events.sum(axis=0) / trace.n_samples).tolist(),
    }


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold a lock, which ends with this process at the latest; yield whether it could be had."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
