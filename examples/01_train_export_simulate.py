"""Train a spiking network on digits, and see where delta spikes pay: all steps in Python.

python examples/01_train_export_simulate.py runs/example [--epochs 5]
"""

import argparse
from pathlib import Path

import tdd_deploy as td


def main() -> None:
    """Train, export, simulate in three codes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--epochs", type=int, default=5)
    chosen = parser.parse_args()

    td.train(chosen.run, data="digits", network="conv-small", method="tdd-ddla", reset="soft", epochs=chosen.epochs)
    td.export(chosen.run, "nir", chosen.run / "digits.nir")

    network = td.load(chosen.run / "digits.nir")
    for code in ("spike", "delta", "auto"):
        result = td.simulate(network, data="digits", code=code, energy=True, profiles=["loihi1-davies2018"])
        totals = result.as_json()["totals"]
        n = totals["samples"]
        print(
            f"{code:5} code: accuracy {result.accuracy:.1%}; per sample {totals['events'] / n:,.0f} events, "
            f"{totals['synops_effective'] / n:,.0f} synaptic operations, {totals['energy_pj'] / n / 1e3:,.0f} nJ"
        )


if __name__ == "__main__":
    main()
