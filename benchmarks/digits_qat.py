"""Train in floats and for integers on digits, quantize the float runs too, and compare accuracies on the test split.

    .venv/bin/python benchmarks/digits_qat.py [--seeds 3] [--runs runs/digits-qat]

The test split is only measured; nothing was chosen on it. Finished runs are kept and not repeated. Writes
benchmarks/results/digits_qat.json and prints a table (means over seeds, lowest and highest).
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from tdd_deploy import load as read_program
from tdd_deploy import simulate, train
from tdd_deploy.data import open_data
from tdd_deploy.exporters import TARGETS
from tdd_deploy.files import write_json
from tdd_deploy.program.quantization.quantize import quantize

EPOCHS = 25
BITS = (8, 4)
OPTIONS: dict[str, dict[str, Any]] = {
    "tdd-ddla": {"method": "tdd-ddla"},
    "tet": {"method": "tet"},
    "tet soft": {"method": "tet", "reset": "soft"},
    "tet mlp": {"method": "tet", "network": "mlp"},
}


def trained(run: Path, options: dict[str, Any], seed: int) -> Path:
    """Train one network unless it is there."""
    train(run, data="digits", seed=seed, epochs=EPOCHS, **options, resume=(run / "train.json").exists())
    return run


def quantized(run: Path, bits: int, *, choose: bool) -> Path:
    """Quantize a float run, with inputs of 8 bits or of as many as lose least; return the file written beside it."""
    x, _ = open_data("digits", split="train").load()
    made = quantize(read_program(run), bits=bits, input_bits=None if choose else 8, samples=x)
    file = run / f"quantized-{bits}{'-chosen' if choose else ''}.nir"
    TARGETS["nir"](made.program, file)
    return file


def measure(network: Path) -> dict[str, Any]:
    """Execute a network on the test split."""
    report = simulate(network, data="digits").as_json()
    totals, n = report["totals"], report["totals"]["samples"]
    return {
        "accuracy": report["accuracy"],
        "raw_events": totals["spikes"] / n,
        "delta_events": totals["delta_events"] / n,
        "input_scale": read_program(network).input.scale,
    }


def networks(options: dict[str, Any], seed: int, start: Path) -> dict[str, Path]:
    """Return every network to compare, made where it is not there."""
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
        versions = json.loads((made[0]["float"] / "train.json").read_text())["versions"]
        measured = {kind: [measure(each[kind]) for each in made] for kind in made[0]}
        results[name] = {"options": {**options, "epochs": EPOCHS}, "versions": versions, "runs": measured}
        write_json(out, results)
        of_floats = float(np.mean([run["accuracy"] for run in measured["float"]]))
        for kind, runs in measured.items():
            spread = [run["accuracy"] for run in runs]
            print(
                f"{name:10} {kind:33} accuracy {np.mean(spread):.4f} ({min(spread):.3f} to {max(spread):.3f}), "
                f"{100 * (np.mean(spread) - of_floats):+.2f} points  delta events "
                f"{np.mean([run['delta_events'] for run in runs]):6,.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
