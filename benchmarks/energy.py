"""Compare spiking networks with dense networks of the same layers on every imagined machine, in floats and in 8 bits.

    .venv/bin/python -m benchmarks.energy [--data-dir DIR] [--runs runs/energy]

Trains the networks of docs/speed.md on digits and Fashion-MNIST, a dense ANN for each, and a pruned one; finished runs
are kept and not repeated. Simulates the whole test split and writes benchmarks/results/energy.json.
"""

import argparse
from pathlib import Path
from typing import Any

import tdd_deploy as td
from tdd_deploy.files import write_json
from tdd_deploy.run_folder import RunFolder

SPIKING = {"method": "tdd-ddla", "keep": 0.2, "keep_of": "all", "score_from": "run", "penalty_weight": 1.2}
SPARSITIES = (0.0, 0.8, 0.9)
DATA: dict[str, dict[str, Any]] = {
    "digits": {"batch": 32},
    "fashion-mnist": {"batch": 32, "network": "conv-medium", "steps": 4, "epochs": 6, "train_samples": 10_000},
}
LEADING = "cmos45-memory"  # all rows are kept of this comparison, and two of the others
PROFILES = (
    LEADING,
    "cmos45-horowitz",
    "cmos7-jouppi",
    "cmos28-truenorth-memory",
    "cmos22-yan2026",
    "loihi1-davies2018",
)


def trained(run: Path, options: dict[str, Any]) -> Path:
    """Train one network, unless it exists."""
    td.train(run, **options, resume=RunFolder(run).train_json.exists())
    return run


def measured(network: Path, data: dict[str, Any], baselines: list[Path]) -> dict[str, Any]:
    """Simulate the test split, with energy, beside dense networks; keep what the pages and their test need."""
    report = td.simulate(network, **data, energy=True, profiles=PROFILES, baseline=baselines).as_json()
    for energy in report["energies"]:
        found = energy["comparison"]
        if found and energy["profile"] != LEADING:
            found["rows"] = [found["rows"][found[key]] for key in ("least_favorable", "most_favorable")]
            found |= {"least_favorable": 0, "most_favorable": 1}
    kept = ("accuracy", "totals", "energy", "energies", "models", "estimators", "dense")
    return {
        "steps": len(report["steps"]),
        **{key: report[key] for key in kept},
        "baselines": [
            {
                "layers": baseline["layers"],
                "results": [row for row in baseline["results"] if row["split"] == "test"],
            }
            for baseline in report["baselines"]
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs/energy"))
    chosen = parser.parse_args()
    results: dict[str, Any] = {}
    for name, options in DATA.items():
        data = {"data": name} | ({} if chosen.data_dir is None else {"data_dir": chosen.data_dir})
        spiking = trained(chosen.runs / name, {**data, **options, **SPIKING})
        dense = {key: value for key, value in options.items() if key != "steps"} | {"method": "ann"}
        baselines = [
            trained(chosen.runs / f"{name}-ann-{sparsity:g}", {**data, **dense, "sparsity": sparsity})
            for sparsity in SPARSITIES
        ]
        x, _ = td.open_data(**data, split="train").load()
        integers = spiking / "8-bits.nir"
        td.export(spiking, "nir", integers, x[:1000], bits=8)
        for form, network in (("floats", spiking), ("8 bits", integers)):
            results[f"{name}, {form}"] = measured(network, data, baselines)
    write_json(Path(__file__).parent / "results" / "energy.json", results)


if __name__ == "__main__":
    main()
