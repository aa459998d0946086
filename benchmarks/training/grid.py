"""Rows of a table: trained networks, each simulated on the test split. Finished rows are kept and not repeated."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import tdd_deploy as td
from tdd_deploy.files import write_json
from tdd_deploy.run_folder import RunFolder

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Table:
    """Networks to compare: the options that all share, and the options of each."""

    name: str
    common: Mapping[str, Any]
    rows: Mapping[str, Mapping[str, Any]]
    seeds: Sequence[int] = (0, 1, 2)
    test_samples: int | None = None

    @property
    def path(self) -> Path:
        return RESULTS / f"{self.name}.json"

    def run(self, folder: Path, *, only: str = "", data_dir: Path | None = None) -> None:
        """Train and measure missing rows, one seed of all rows after another; resume interrupted runs."""
        for seed in self.seeds:
            for name, options in self.rows.items():
                if only in name and not any((r["name"], r["seed"]) == (name, seed) for r in self.measured()):
                    row = self._measure(name, {**self.common, **options}, seed, folder, data_dir)
                    write_json(self.path, self._document([*self.measured(), row]))
                    print(f"{name}, seed {seed}: {row['accuracy']:.3f}, {row['delta_events']:,.0f} delta", flush=True)

    def measured(self) -> list[dict[str, Any]]:
        """Return the finished rows."""
        return json.loads(self.path.read_text())["rows"] if self.path.exists() else []

    def _document(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        packages = {name: metadata.version(name) for name in ("torch", "numpy", "numba")}
        return {
            "common": dict(self.common),
            "versions": {"tdd-deploy": td.__version__, "python": platform.python_version(), **packages},
            "threads": torch.get_num_threads(),
            "rows": rows,
        }

    def _measure(
        self, name: str, options: dict[str, Any], seed: int, folder: Path, data_dir: Path | None
    ) -> dict[str, Any]:
        run = folder / self.name / f"{name.replace(' ', '_').replace('/', '-')}_{seed}"
        resume = RunFolder(run).train_json.exists()
        trained = td.train(run, seed=seed, data_dir=data_dir, resume=resume, **options)
        result = td.simulate(trained, data=options["data"], data_dir=data_dir, samples=self.test_samples)
        report = result.as_json()
        totals, n = report["totals"], report["totals"]["samples"]
        return {
            "name": name,
            "seed": seed,
            "options": trained.as_json()["options"],
            "validation_accuracy": trained.history[-1]["accuracy"],
            "accuracy": result.accuracy,
            "test_samples": n,
            "raw_events": totals["spikes"] / n,
            "delta_events": totals["delta_events"] / n,
            "raw_synops": totals["spike_code"]["synops_effective"] / n,
            "delta_synops": totals["delta_code"]["synops_effective"] / n,
            "raw_events_by_step": [step["spikes"] / n for step in report["steps"]],
            "delta_events_by_step": [step["delta_events"] / n for step in report["steps"]],
        }
