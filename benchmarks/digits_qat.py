"""Train in floats and for integers on digits, quantize the float runs too, and compare accuracies on the test split.

    .venv/bin/python -m benchmarks.digits_qat [--seeds 3] [--runs runs/digits-qat]

The test split is only measured; nothing is chosen by it. Finished runs are kept and not repeated. Writes
benchmarks/results/digits_qat.json and prints a table (means over seeds, lowest and highest).
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import tdd_deploy as td
from tdd_deploy.files import write_json
from tdd_deploy.run_folder import RunFolder

EPOCHS = 25
BITS = (8, 4)
OPTIONS: dict[str, dict[str, Any]] = {
    "tdd-ddla": {"method": "tdd-ddla", "keep_of": "all", "score_from": "run"},
    "tet": {"method": "tet"},
    "tet soft": {"method": "tet", "reset": "soft"},
    "tet mlp": {"method": "tet", "network": "mlp"},
}


def trained(run: Path, options: dict[str, Any], seed: int) -> Path:
    """Train one network, unless it exists."""
    resume = RunFolder(run).train_json.exists()
    td.train(run, data="digits", seed=seed, epochs=EPOCHS, **options, resume=resume)
    return run


def quantized(run: Path, bits: int, *, choose: bool) -> Path:
    """Quantize a float run, with inputs of 8 bits or of those that lose least; return the file written beside it."""
    x, _ = td.open_data("digits", split="train").load()
    file = run / f"quantized-{bits}{'-chosen' if choose else ''}.nir"
    td.export(run, "nir", file, x, bits=bits, input_bits=None if choose else 8, samples=len(x))
    return file


def measure(network: Path) -> dict[str, Any]:
    """Execute a network on the test split."""
    result = td.simulate(network, data="digits")
    totals = result.as_json()["totals"]
    n = totals["samples"]
    return {
        "accuracy": result.accuracy,
        "raw_events": totals["spikes"] / n,
        "delta_events": totals["delta_events"] / n,
        "input_scale": td.load(network).input.scale,
    }


def networks(options: dict[str, Any], seed: int, start: Path) -> dict[str, Path]:
    """Return every network to compare; train or quantize those that are missing."""
    found = {"float": trained(start.with_name(f"{start.name}-float-{seed}"), options, seed)}
    for bits in BITS:
        found[f"qat {bits}"] = trained(
            start.with_name(f"{start.name}-qat{bits}-{seed}"), {**options, "qat": bits}, seed
        )
        found[f"quantized {bits}"] = quantized(found["float"], bits, choose=False)
        found[f"quantized {bits}, input bits chosen"] = quantized(found["float"], bits, choose=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=Path("runs/digits-qat"))
    chosen = parser.parse_args()
    results: dict[str, Any] = {}
    out = Path(__file__).parent / "results" / "digits_qat.json"
    for name, options in OPTIONS.items():
        start = chosen.runs / name.replace(" ", "-")
        made = [networks(options, seed, start) for seed in range(chosen.seeds)]
        versions = RunFolder(made[0]["float"]).read_record("Train it again.")["versions"]
        measured = {kind: [measure(each[kind]) for each in made] for kind in made[0]}
        results[name] = {"options": {**options, "epochs": EPOCHS}, "versions": versions, "runs": measured}
        write_json(out, results)
        in_floats = float(np.mean([run["accuracy"] for run in measured["float"]]))
        for kind, runs in measured.items():
            spread = [run["accuracy"] for run in runs]
            print(
                f"{name:10} {kind:33} accuracy {np.mean(spread):.4f} ({min(spread):.3f} to {max(spread):.3f}), "
                f"{100 * (np.mean(spread) - in_floats):+.2f} points  delta events "
                f"{np.mean([run['delta_events'] for run in runs]):6,.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
