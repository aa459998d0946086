"""Measure accuracy against delta synaptic operations: every method, and other ways to few events.

    .venv/bin/python -m benchmarks.training.pareto digits [--runs runs/training] [--only l1] [--data-dir DIR]

Trains and measures missing rows of results/pareto_*.json; report.py makes tables and plots of them. It uses one thread,
since the last bits of weights depend on the number of threads.
"""

import argparse
from pathlib import Path
from typing import Any

import torch

from benchmarks.training.grid import Table
from tdd_deploy.training.malloc import keep_freed_memory

STICKY = {"reset_to": (1.0,)}  # a hard reset to the threshold: driven neurons stay on
STICKY_FRONT = {"reset_to": (1.0, 1.0, 0.0), "beta": 0.7}  # in the layers whose events cost most
SYNOPS = {"weigh": "synops"}


def weighted(method: str, weights: tuple[float, ...], **options: Any) -> dict[str, dict[str, Any]]:
    """Return a row per weight of a penalty, which is (1 - lambda) / lambda."""
    return {f"w{weight:g}": {"method": method, "lambda_": 1 / (1 + weight), **options} for weight in weights}


def named(group: str, rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {f"{group} {name}": options for name, options in rows.items()}


def ddla(weights: tuple[float, ...], **options: Any) -> dict[str, dict[str, Any]]:
    return weighted("tdd-ddla", weights, **options)


DIGITS = {"data": "digits", "network": "conv-small", "steps": 6, "epochs": 25, "batch": 32}
DIGITS_ROWS = {
    "tet": {"method": "tet"},
    **named("ddla F gsc k.5", ddla((1.2,), keep=0.5)),
    **named("ddla F gsc k.2", ddla((1.2, 2.4), keep=0.2)),
    **named("ddla D gsc k.2", ddla((1.2, 2.4), keep=0.2, reading="D")),
    **named("ddla F jac k.5", ddla((1.2, 2.4), score="jac")),
    **named("ddla F random k.5", ddla((1.2, 2.4), score="random")),
    **named("l1-spikes", weighted("l1-spikes", (0.2, 0.4))),
    **named("l1-delta", weighted("l1-delta", (0.4,))),
    **named("l1-spikes synops", weighted("l1-spikes", (0.4, 0.8), **SYNOPS)),
    "tet soft": {"method": "tet", "reset": "soft"},
    **named("l1-spikes soft", weighted("l1-spikes", (0.2, 0.4), reset="soft")),
    **named("l1-spikes soft beta .25", weighted("l1-spikes", (0.1, 0.2, 0.4), reset="soft", beta=0.25)),
    **named("l1-onset synops soft", weighted("l1-onset", (0.6,), reset="soft", **SYNOPS)),
    "tet sticky": {"method": "tet", **STICKY},
    "tet sticky front": {"method": "tet", **STICKY_FRONT},
    **named("l1-spikes sticky front", weighted("l1-spikes", (0.2, 0.4, 0.8), **STICKY_FRONT)),
    **named("l1-spikes synops sticky", weighted("l1-spikes", (0.4,), **STICKY, **SYNOPS)),
    **named("l1-spikes synops sticky front", weighted("l1-spikes", (0.2, 0.3, 0.5, 1.0), **STICKY_FRONT, **SYNOPS)),
    **named(
        "l1-spikes synops sticky front .85", weighted("l1-spikes", (0.5,), **{**STICKY_FRONT, "beta": 0.85}, **SYNOPS)
    ),
    **named("l1-onset synops sticky front", weighted("l1-onset", (0.4, 1.0), **STICKY_FRONT, **SYNOPS)),
    **named("l1-delta synops sticky front", weighted("l1-delta", (0.4,), **STICKY_FRONT, **SYNOPS)),
    **named("ddla F gsc k.2 sticky front", ddla((1.2,), keep=0.2, **STICKY_FRONT)),
    **named(
        "l1-spikes synops sticky front learned",
        weighted("l1-spikes", (0.3,), **STICKY_FRONT, **SYNOPS, learn=("beta", "threshold")),
    ),
}

# Chosen by the first seeds; measured with other seeds.
CHOSEN = (
    "tet",
    "ddla F gsc k.2 w1.2",
    "l1-spikes w0.4",
    "l1-spikes synops w0.8",
    "l1-spikes sticky front w0.2",
    "l1-spikes synops sticky front w0.5",
)

FASHION = {"data": "fashion-mnist", "network": "conv-medium", "train_samples": 10_000, "epochs": 6, "batch": 32}
FASHION_ROWS = {
    "tet": {"method": "tet"},
    **named("l1-spikes", weighted("l1-spikes", (0.2, 0.4))),
    **named("l1-spikes synops sticky", weighted("l1-spikes", (0.1, 0.2, 0.4), **STICKY, **SYNOPS)),
    **named("ddla F gsc k.2", ddla((1.2,), keep=0.2)),
    **named("l1-spikes synops", weighted("l1-spikes", (0.4,), **SYNOPS)),
    **named("ddla D gsc k.2", ddla((1.2,), keep=0.2, reading="D")),
    **named("ddla F jac k.5", ddla((1.2,), score="jac")),
    **named("ddla F random k.5", ddla((1.2,), score="random")),
    **named("l1-delta", weighted("l1-delta", (0.8,))),
}
FASHION_T4_ROWS = {
    **FASHION_ROWS,
    "tet sticky": {"method": "tet", **STICKY},
    **named("l1-spikes soft beta .25", weighted("l1-spikes", (0.2, 0.4), reset="soft", beta=0.25)),
    **named("l1-spikes synops sticky beta .25", weighted("l1-spikes", (0.1,), **STICKY, beta=0.25, **SYNOPS)),
}

TABLES = {
    "digits": Table("pareto_digits", DIGITS, DIGITS_ROWS, seeds=range(3)),
    "digits-chosen": Table(
        "pareto_digits_chosen", DIGITS, {name: DIGITS_ROWS[name] for name in CHOSEN}, seeds=range(3, 13)
    ),
    "fashion-t4": Table("pareto_fashion_t4", {**FASHION, "steps": 4}, FASHION_T4_ROWS, seeds=(0,)),
    "fashion-t6": Table("pareto_fashion_t6", {**FASHION, "steps": 6}, FASHION_ROWS, seeds=(0,)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--runs", type=Path, default=Path("runs/training"))
    parser.add_argument("--only", default="", help="only rows whose name contains this")
    parser.add_argument("--data-dir", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    TABLES[given.table].run(given.runs, only=given.only, data_dir=given.data_dir)


if __name__ == "__main__":
    main()
