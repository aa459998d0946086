"""Measure accuracy against delta synaptic operations: every method, and other ways to few events.

    .venv/bin/python -m benchmarks.training.pareto digits [--runs runs/training] [--only l1] [--data-dir DIR]

Trains and measures missing rows of results/, in full and with early exits; report.py makes tables and plots of them.
Several processes may work on a table at once. It uses one thread,
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
    """Return a row per weight of a penalty."""
    return {f"w{weight:g}": {"method": method, "penalty_weight": weight, **options} for weight in weights}


def named(group: str, rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {f"{group} {name}": options for name, options in rows.items()}


def ddla(weights: tuple[float, ...], **options: Any) -> dict[str, dict[str, Any]]:
    return weighted("tdd-ddla", weights, **options)


DIGITS = {"data": "digits", "network": "conv-small", "steps": 6, "epochs": 25, "batch": 32}
FASHION = {"data": "fashion-mnist", "network": "conv-medium", "train_samples": 10_000, "epochs": 4, "batch": 32}
POISSON = {"encoder": "poisson"}
RUN = {"score_from": "run"}
DIGITS_ROWS = {
    "tet": {"method": "tet"},
    "tet T1": {"method": "tet", "steps": 1},
    "tet T2": {"method": "tet", "steps": 2},
    "tet sticky": {"method": "tet", **STICKY},
    "tab": {"method": "tet", "norm": "tab"},  # without a program, so in raw spikes alone
    "tet poisson": {"method": "tet", **POISSON},
    "tet step": {"method": "tdd-ddla", "penalty_weight": 0.0},  # no penalty, steps one by one
    **named("ddla gsc", ddla((1.2,), keep=0.5)),
    **named("ddla random", ddla((1.2,), keep=0.5, score="random")),
    **named("ddla run gsc", ddla((1.2,), keep=0.5, **RUN)),
    **named("ddla run random", ddla((1.2,), keep=0.5, score="random", **RUN)),
    **named("ddla run jac", ddla((1.2,), keep=0.5, score="jac", **RUN)),
    **named("ddla run gsc fired", ddla((1.2,), keep=0.5, keep_of="fired", **RUN)),
    **named("ddla run random fired", ddla((1.2,), keep=0.5, keep_of="fired", score="random", **RUN)),
    **named("ddla run gsc D", ddla((1.2,), keep=0.5, reading="D", **RUN)),
    **named("ddla run gsc poisson", ddla((1.2,), keep=0.5, **POISSON, **RUN)),
    **named("ddla run gsc all k.2", ddla((1.2,), keep=0.2, keep_of="all", **RUN)),  # as in earlier tables
    **named("l1-spikes", weighted("l1-spikes", (0.1, 0.4))),
    **named("l1-spikes T2", weighted("l1-spikes", (0.4,), steps=2)),
    **named("l1-spikes synops sticky front", weighted("l1-spikes", (0.5,), **STICKY_FRONT, **SYNOPS)),
}
# Other ways to few events, each with three seeds and without early exits.
EXPLORED_ROWS = {
    "tet": {"method": "tet"},
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
    **named(
        "l1-spikes synops sticky front learned",
        weighted("l1-spikes", (0.3,), **STICKY_FRONT, **SYNOPS, learn=("beta", "threshold")),
    ),
}
KEEP_ROWS = {
    "tet": {"method": "tet"},
    **{
        f"{score} k{keep:g}": {
            "method": "tdd-ddla",
            "penalty_weight": 1.2,
            "keep_of": "fired",
            "score": score,
            "keep": keep,
            **RUN,
        }
        for score, kept in (("gsc", (0.0, 0.25, 0.5, 0.75, 1.0)), ("random", (0.25, 0.5, 0.75)))
        for keep in kept
    },
}
FASHION_ROWS = {
    **named("l1-spikes", weighted("l1-spikes", (0.1,))),
    "tet": {"method": "tet"},
    "tet T1": {"method": "tet", "steps": 1},
    **named("ddla gsc", ddla((1.2,), keep=0.5)),
    **named("l1-spikes synops sticky", weighted("l1-spikes", (0.1,), **STICKY, **SYNOPS)),
    "tet T2": {"method": "tet", "steps": 2},
}

TABLES = {
    "digits": Table("pareto_digits", DIGITS, DIGITS_ROWS, seeds=range(3, 13)),
    "digits-explored": Table("explored_digits", DIGITS, EXPLORED_ROWS, seeds=range(3)),
    "digits-keep": Table("keep_digits", DIGITS, KEEP_ROWS, seeds=range(2)),
    "fashion": Table("pareto_fashion", {**FASHION, "steps": 4}, FASHION_ROWS, seeds=range(3)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--runs", type=Path, default=Path("runs/training"))
    parser.add_argument("--only", default="", help="only rows whose name contains this")
    parser.add_argument("--seeds", type=int, nargs="+", help="only these seeds of the table")
    parser.add_argument("--data-dir", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    TABLES[given.table].run(given.runs, only=given.only, seeds=given.seeds, data_dir=given.data_dir)


if __name__ == "__main__":
    main()
