"""Train a spiking network on digits, and see where delta spikes pay: the whole way in Python.

python examples/01_train_export_simulate.py runs/example [--epochs 5]
"""

import argparse
from pathlib import Path

from tdd_deploy import export, simulate, train


def main() -> None:
    """Train, export, simulate in three codes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--epochs", type=int, default=5)
    chosen = parser.parse_args()

    train(chosen.run, data="digits", network="conv-small", method="tdd-ddla", reset="soft", epochs=chosen.epochs)
    export(chosen.run, target="nir", out=chosen.run / "digits.nir")

    for code in ("spike", "delta", "auto"):
        report = simulate(
            chosen.run / "digits.nir", data="digits", code=code, energy=True, profiles=["loihi1-davies2018"]
        ).as_json()
        totals, n = report["totals"], report["totals"]["samples"]
        print(
            f"{code:5} code: accuracy {report['accuracy']:.1%}; per sample {totals['events'] / n:,.0f} events, "
            f"{totals['synops_effective'] / n:,.0f} synaptic operations, {totals['energy_pj'] / n / 1e3:,.0f} nJ"
        )


if __name__ == "__main__":
    main()
