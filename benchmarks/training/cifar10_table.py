"""Compare on CIFAR-10 with ResNet-19: TET, TDD-DDLA, and penalties by synaptic operations, with sticky neurons too.

    # on a CPU: resnet19-small, 20 times smaller, and a subset
    .venv/bin/python -m benchmarks.training.cifar10_table --data-dir DIR --train-samples 5000 --epochs 6
    # on a GPU: the published table's network, all of the data
    .venv/bin/python -m benchmarks.training.cifar10_table --data-dir DIR --network resnet19 --epochs 100 \\
        --device cuda --amp

The same command resumes interrupted runs. Adds to results/cifar10_*.json. docs/results.md lists the published counts
(x 1e5 per image) and accuracies.
"""

import argparse
from pathlib import Path
from typing import Any

import torch

from benchmarks.training.grid import Table
from tdd_deploy.training.malloc import keep_freed_memory

FRONT = {"resnet19": 13, "resnet19-small": 13}  # layers of the stem and the first two stages, whose events cost most


def rows(network: str) -> dict[str, dict[str, Any]]:
    sticky = {"reset_to": (*(1.0,) * FRONT[network], 0.0)}
    penalty = {"method": "l1-spikes", "weigh": "synops", "penalty_weight": 0.05}
    return {
        "tet": {"method": "tet"},
        "l1-spikes synops sticky front": {**penalty, **sticky},
        "l1-spikes synops": penalty,
        "ddla F gsc k.2": {"method": "tdd-ddla", "keep": 0.2},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=FRONT, default="resnet19-small")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--train-samples", type=int)
    parser.add_argument("--test-samples", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--amp", action="store_true")
    parser.add_argument("--augment", default="crop-flip")
    parser.add_argument("--only", default="", help="only rows whose name contains this")
    parser.add_argument("--runs", type=Path, default=Path("runs/training"))
    parser.add_argument("--data-dir", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    common = {
        "data": "cifar10",
        "network": given.network,
        "steps": given.steps,
        "epochs": given.epochs,
        "batch": given.batch,
        "train_samples": given.train_samples,
        "augment": given.augment,
        "device": given.device,
        "amp": given.amp,
    }
    name = f"cifar10_{given.network}_t{given.steps}"
    table = Table(name, common, rows(given.network), seeds=range(given.seeds), test_samples=given.test_samples)
    table.run(given.runs, only=given.only, data_dir=given.data_dir)


if __name__ == "__main__":
    main()
