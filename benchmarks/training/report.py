"""What training gives, as tables and plots; see benchmarks/report.py."""

import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from matplotlib.figure import Figure

from benchmarks.plots import save

RESULTS = Path(__file__).parent / "results"
Rows = list[dict[str, Any]]

# Okabe and Ito's colors, which people with any color vision can distinguish, and a marker each.
GROUPS = {
    "TET": ("#000000", "*", lambda name: name.startswith("tet")),
    "TDD-DDLA": ("#E69F00", "s", lambda name: name.startswith("ddla")),
    "L1 spikes": ("#0072B2", "o", lambda name: name.startswith("l1-spikes")),
    "L1 delta": ("#009E73", "^", lambda name: name.startswith("l1-delta")),
    "L1 onset": ("#CC79A7", "v", lambda name: name.startswith("l1-onset")),
}


def read(name: str) -> dict[str, Any]:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {"rows": []}


def grouped(rows: Rows) -> dict[str, Rows]:
    """Return the seeds of each name."""
    names = dict.fromkeys(row["name"] for row in rows)
    return {name: [row for row in rows if row["name"] == name] for name in names}


def spread(values: list[float], form: str) -> str:
    text = format(mean(values), form)
    return text if len(values) == 1 else f"{text} ({format(min(values), form)} to {format(max(values), form)})"


def with_error(values: list[float]) -> str:
    """Return a mean with its standard error."""
    return f"{mean(values):+.2f}" + (f" ± {stdev(values) / len(values) ** 0.5:.2f}" if len(values) > 1 else "")


def pareto_table(name: str) -> str:
    """Make one row per network: means over seeds, and fractions of TET's raw spikes."""
    groups = grouped(read(name)["rows"])
    if not groups:
        return "Not measured yet."
    tet = groups["tet"]
    accuracy_of_tet = {row["seed"]: row["accuracy"] for row in tet}
    raw, last = mean(r["raw_events"] for r in tet), mean(r["raw_events_by_step"][-1] for r in tet)
    head = ["network", "seeds", "accuracy %", "against TET", "raw spikes", "delta events", "of TET's raw", "last step"]
    lines = [f"| {' | '.join(head)} | synops, delta |", f"|{' --- |' * 9}"]
    for group, rows in groups.items():
        delta = mean(r["delta_events"] for r in rows)
        at_last = mean(r["delta_events_by_step"][-1] for r in rows)
        differences = [100 * (r["accuracy"] - accuracy_of_tet[r["seed"]]) for r in rows]
        lines.append(
            f"| {group} | {len(rows)} | {spread([100 * r['accuracy'] for r in rows], '.1f')} "
            f"| {with_error(differences) if group != 'tet' else ''} "
            f"| {mean(r['raw_events'] for r in rows):,.0f} | {delta:,.0f} | {delta / raw:.1%} | {at_last / last:.1%} "
            f"| {mean(r['delta_synops'] for r in rows):,.0f} |"
        )
    return "\n".join(lines)


def pareto_plot(name: str, title: str) -> str:
    groups = grouped(read(name)["rows"])
    if not groups:
        return ""
    figure = Figure(figsize=(7.5, 4.8), layout="constrained")
    axes = figure.add_subplot()
    for label, (color, marker, belongs) in GROUPS.items():
        for is_sticky in (False, True):
            chosen = [rows for group, rows in groups.items() if belongs(group) and ("sticky" in group) == is_sticky]
            if not chosen:
                continue
            x = [mean(r["delta_synops"] for r in rows) for rows in chosen]
            y = [mean(100 * r["accuracy"] for r in rows) for rows in chosen]
            low = [at - min(100 * r["accuracy"] for r in rows) for at, rows in zip(y, chosen, strict=True)]
            high = [max(100 * r["accuracy"] for r in rows) - at for at, rows in zip(y, chosen, strict=True)]
            axes.errorbar(
                x, y, yerr=[low, high], fmt=marker, color=color, elinewidth=0.7, markersize=9 if marker == "*" else 6,
                markerfacecolor=color if is_sticky else "white", label=f"{label}, sticky" if is_sticky else label,
            )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlabel("delta synaptic operations per image")
    axes.set_ylabel("test accuracy, %")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    save(figure, name)
    return f"![{title}](plots/{name}.svg)"


def strategies_table() -> str:
    found = read("strategies")
    if not found["rows"]:
        return "Not measured yet."
    lines = ["| T | strategy | saved for backward | of BPTT | a step | of BPTT |", f"|{' --- |' * 6}"]
    lines += [
        f"| {r['steps']} | {r['strategy']} | {r['saved_mb']:,.1f} MB | {r['saved_share']:.0%} "
        f"| {r['mean_s']:.2f} s | {r['time_share']:.0%} |"
        for r in found["rows"]
    ]
    return "\n".join(lines)


def speed_table() -> str:
    found = read("speed")
    if not found["rows"]:
        return "Not measured yet."
    lines = ["| T | | a training step | times ours |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {r['steps']} | {r['name']} | {r['median_ms']:,.0f} ms | {r['times_ours']:.2f} |" for r in found["rows"]
    ]
    return "\n".join(lines)


def steps_table(name: str, chosen: tuple[str, ...]) -> str:
    """List events per step of a few networks."""
    groups = grouped(read(name)["rows"])
    if not groups:
        return "Not measured yet."
    n_steps = len(groups["tet"][0]["raw_events_by_step"])
    head = ["network", "events", *(f"t = {t}" for t in range(1, n_steps + 1))]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for group in chosen:
        for kind in ("raw", "delta"):
            if group in groups and (kind == "delta" or group == "tet"):
                means = [mean(r[f"{kind}_events_by_step"][t] for r in groups[group]) for t in range(n_steps)]
                lines.append(f"| {group} | {kind} | {' | '.join(f'{value:,.0f}' for value in means)} |")
    return "\n".join(lines)


WINNERS = ("tet", "l1-spikes w0.4", "ddla F gsc k.2 w1.2", "tet sticky front", "l1-spikes synops sticky front w0.5")
PARTS: dict[str, Callable[[], str]] = {
    "digits table": lambda: pareto_table("pareto_digits"),
    "digits chosen": lambda: pareto_table("pareto_digits_chosen"),
    "digits plot": lambda: pareto_plot("pareto_digits", "digits, conv-small, T = 6"),
    "digits steps": lambda: steps_table("pareto_digits", WINNERS),
    "fashion t4 table": lambda: pareto_table("pareto_fashion_t4"),
    "fashion t4 plot": lambda: pareto_plot("pareto_fashion_t4", "Fashion-MNIST, conv-medium, T = 4"),
    "fashion t6 table": lambda: pareto_table("pareto_fashion_t6"),
    "fashion t6 plot": lambda: pareto_plot("pareto_fashion_t6", "Fashion-MNIST, conv-medium, T = 6"),
    "cifar10 table": lambda: pareto_table("cifar10_resnet19-small_t6"),
    "strategies": strategies_table,
    "speed": speed_table,
}
