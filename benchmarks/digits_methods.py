"""Train every method on digits, simulate the test split, and compare: accuracy, raw and delta events, synops, energy.

    .venv/bin/python benchmarks/digits_methods.py [--seeds 3] [--runs runs/digits-methods]

Options were chosen on the validation split; the test split is only measured. Every trained network is executed in
delta code and in spike code, and their rasters are compared, spike for spike. Finished runs are kept and not repeated.
Writes benchmarks/results/digits_methods.json and prints a table (means over seeds, lowest and highest).
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from tdd_deploy.files import write_json
from tdd_deploy.pipeline import simulate, train

METHODS: dict[str, dict[str, Any]] = {
    "tet": {"method": "tet"},
    "tdd-ddla": {"method": "tdd-ddla"},
    "tdd-ddla jac": {"method": "tdd-ddla", "score": "jac"},
    "tdd-ddla random": {"method": "tdd-ddla", "score": "random"},
    "tdd-ddla keep .2": {"method": "tdd-ddla", "keep": 0.2},
    # With keep .5 and gsc the readings are one: all that fired before is kept, so what is pressed had been silent.
    "tdd-ddla D keep .2": {"method": "tdd-ddla", "reading": "D", "keep": 0.2},
    "l1-spikes": {"method": "l1-spikes"},
    "l1-delta": {"method": "l1-delta"},
    "tet soft": {"method": "tet", "reset": "soft"},
    "tdd-ddla soft": {"method": "tdd-ddla", "reset": "soft"},
    "l1-spikes soft": {"method": "l1-spikes", "reset": "soft"},
    "l1-spikes soft beta .1": {"method": "l1-spikes", "reset": "soft", "beta": 0.1},
}


def measure(options: dict[str, Any], seed: int, run: Path) -> dict[str, Any]:
    """Train one network unless it is there, and simulate it on the test split."""
    train(run, data="digits", seed=seed, **options, resume=(run / "train.json").exists())
    simulations, rasters = {}, {}
    for code in ("delta", "spike"):
        record = run / f"{code}.npz"
        simulations[code] = simulate(run, data="digits", code=code, profile="loihi1-davies2018", record=record)
        with np.load(record) as file:
            rasters[code] = dict(file)
        record.unlink()
    report = simulations["delta"].as_json()
    totals, n = report["totals"], report["totals"]["samples"]
    return {
        "seed": seed,
        "accuracy": report["accuracy"],
        "raw_events": totals["spikes"] / n,
        "delta_events": totals["delta_events"] / n,
        "delta_synops": totals["delta_code"]["synops_effective"] / n,
        "spike_synops": totals["spike_code"]["synops_effective"] / n,
        "delta_energy_nj": totals["delta_code"]["energy_pj"] / n / 1e3,
        "spike_energy_nj": totals["spike_code"]["energy_pj"] / n / 1e3,
        "delta_events_by_step": [step["delta_events"] / n for step in report["steps"]],
        "differing_values": sum(int((rasters["delta"][k] != rasters["spike"][k]).sum()) for k in rasters["delta"]),
        "compared_values": sum(raster.size for raster in rasters["delta"].values()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=Path("runs/digits-methods"))
    chosen = parser.parse_args()
    results: dict[str, Any] = {}
    out = Path(__file__).parent / "results" / "digits_methods.json"
    for name, options in METHODS.items():
        runs = [chosen.runs / f"{name.replace(' ', '-')}-{seed}" for seed in range(chosen.seeds)]
        measured = [measure(options, seed, run) for seed, run in enumerate(runs)]
        versions = json.loads((runs[0] / "train.json").read_text())["versions"]
        results[name] = {"options": options, "versions": versions, "runs": measured}
        mean = {key: np.mean([run[key] for run in measured]) for key in ("accuracy", "raw_events", "delta_events")}
        spread = [run["accuracy"] for run in measured]
        synops = np.mean([run["delta_synops"] for run in measured])
        print(
            f"{name:22} accuracy {mean['accuracy']:.4f} ({min(spread):.3f} to {max(spread):.3f})  raw "
            f"{mean['raw_events']:6,.0f}  delta {mean['delta_events']:6,.0f}  delta synops {synops:9,.0f}  differing "
            f"{sum(run['differing_values'] for run in measured)} of {sum(r['compared_values'] for r in measured):,}",
            flush=True,
        )
        write_json(out, results)


if __name__ == "__main__":
    main()
