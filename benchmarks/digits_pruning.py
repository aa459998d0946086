"""Prune TET networks on digits by Fisher information and by magnitude, at equal sparsity; measure on the test split.

    .venv/bin/python -m benchmarks.digits_pruning [--seeds 3] [--runs runs/digits-pruning]

The test split is only measured; nothing is chosen by it. Finished runs are kept and not repeated. Writes
benchmarks/results/digits_pruning.json and prints a table (means over seeds, lowest and highest).
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import tdd_deploy as td
from tdd_deploy.files import write_json
from tdd_deploy.run_folder import RunFolder

TRAINED = {"method": "tet", "epochs": 25}
PRUNED = {"rounds": 4, "epochs": 5}
SPARSITIES = (0.8, 0.9, 0.95)
BY = ("fisher", "magnitude")


def measure(run: Path) -> dict[str, float]:
    """Execute a network on the test split."""
    result = td.simulate(run, data="digits")
    totals = result.as_json()["totals"]
    n = totals["samples"]
    return {
        "accuracy": result.accuracy,
        "raw_events": totals["spikes"] / n,
        "delta_events": totals["delta_events"] / n,
        "delta_synops": totals["delta_code"]["synops_effective"] / n,
    }


def networks(start: Path, seed: int) -> dict[str, Path]:
    """Return every network to compare; train or prune those that are missing."""
    dense = start / f"dense-{seed}"
    td.train(dense, data="digits", seed=seed, **TRAINED, resume=RunFolder(dense).train_json.exists())
    found = {"dense": dense}
    for sparsity in SPARSITIES:
        for by in BY:
            name = f"{sparsity} by {by}"
            found[name] = start / f"{by}-{sparsity}-{seed}"
            if not found[name].exists():
                td.prune(dense, found[name], data="digits", sparsity=sparsity, by=by, **PRUNED)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=Path("runs/digits-pruning"))
    chosen = parser.parse_args()
    made = [networks(chosen.runs, seed) for seed in range(chosen.seeds)]
    measured = {name: [measure(each[name]) for each in made] for name in made[0]}
    versions = RunFolder(made[0]["dense"]).read_record("Train it again.")["versions"]
    results: dict[str, Any] = {"trained": TRAINED, "pruned": PRUNED, "versions": versions, "runs": measured}
    write_json(Path(__file__).parent / "results" / "digits_pruning.json", results)
    for name, runs in measured.items():
        accuracies = [run["accuracy"] for run in runs]
        means = {key: np.mean([run[key] for run in runs]) for key in runs[0]}
        print(
            f"{name:18} accuracy {means['accuracy']:.4f} ({min(accuracies):.3f} to {max(accuracies):.3f})  "
            f"delta events {means['delta_events']:6,.0f}  delta synops {means['delta_synops']:8,.0f}"
        )


if __name__ == "__main__":
    main()
