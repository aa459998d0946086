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
    raw, last = mean(r["raw_events"] for r in tet), mean(r["raw_events_by_step"][-1] for r in tet)
    n_steps = len(tet[0]["raw_events_by_step"])
    head = ["network", "seeds", "accuracy %", "against TET", "raw spikes", "delta events", "of TET's raw", "last step"]
    lines = [f"| {' | '.join(head)} | synops, delta |", f"|{' --- |' * 9}"]
    for group, rows in groups.items():
        line = (
            f"| {group} | {len(rows)} | {spread([100 * r['accuracy'] for r in rows], '.1f')} "
            f"| {with_error(differences(rows, tet)) if group != 'tet' else ''} "
            f"| {mean(r['raw_events'] for r in rows):,.0f} "
        )
        if "delta_events" not in rows[0]:  # no program, so nothing sends deltas
            lines.append(f"{line}| | | | |")
            continue
        delta = mean(r["delta_events"] for r in rows)
        at_last = mean(r["delta_events_by_step"][-1] for r in rows)
        has_all = len(rows[0]["delta_events_by_step"]) == n_steps
        lines.append(
            f"{line}| {delta:,.0f} | {delta / raw:.1%} | {f'{at_last / last:.1%}' if has_all else ''} "
            f"| {mean(r['delta_synops'] for r in rows):,.0f} |"
        )
    return "\n".join(lines)


def differences(rows: Rows, tet: Rows) -> list[float]:
    """Return the differences in accuracy from TET with the same seed, in points."""
    accuracy_of_tet = {row["seed"]: row["accuracy"] for row in tet}
    return [100 * (row["accuracy"] - accuracy_of_tet[row["seed"]]) for row in rows]


def exits_of(rows: Rows, lose: str) -> Rows:
    """Return the measurements of rows with early exits; a network of one time step has none."""
    return [{"seed": row["seed"], **row["exit"][lose]} for row in rows if row["exit"]]


def exit_table(name: str) -> str:
    """Make one row per network and loss: means over seeds with early exits, whose margins are of validation samples."""
    groups = grouped(read(name)["rows"])
    if not groups:
        return "Not measured yet."
    tet = groups["tet"]
    raw, last = mean(r["raw_events"] for r in tet), mean(r["raw_events_by_step"][-1] for r in tet)
    head = ["network", "`--lose`", "steps", "accuracy %", "against TET", "raw spikes", "delta events", "of TET's raw"]
    lines = [f"| {' | '.join(head)} | last step | synops, delta |", f"|{' --- |' * 10}"]
    for group, rows in groups.items():
        margins: dict[tuple[float, ...], list[str]] = {}  # the losses that choose the same margins for all seeds
        for lose in rows[0]["exit"]:
            margins.setdefault(tuple(each["margin"] for each in exits_of(rows, lose)), []).append(lose)
        for loses in margins.values():
            exits, lose = exits_of(rows, loses[0]), ", ".join(loses)
            delta = mean(r["delta_events"] for r in exits)
            at_last = mean(r["delta_events_by_step"][-1] for r in exits)
            lines.append(
                f"| {group} | {lose} | {mean(r['mean_steps'] for r in exits):.2f} "
                f"| {spread([100 * r['accuracy'] for r in exits], '.1f')} | {with_error(differences(exits, tet))} "
                f"| {mean(r['raw_events'] for r in exits):,.0f} | {delta:,.0f} | {delta / raw:.1%} "
                f"| {at_last / last:.1%} | {mean(r['delta_synops'] for r in exits):,.0f} |"
            )
    return "\n".join(lines)


# The lever, the row with it, and whether samples exit early.
LEVERS = (
    ("spike code (the baseline)", "tet", None),
    ("delta code, lossless", "tet", None),
    ("TDD-DDLA, gsc, keep half of the changed", "ddla gsc w1.2", None),
    ("L1 on spikes, w = 0.1", "l1-spikes w0.1", None),
    ("L1 on spikes, w = 0.4", "l1-spikes w0.4", None),
    ("the sticky neuron", "tet sticky", None),
    ("the sticky neuron and weighed L1", "l1-spikes synops sticky front w0.5", None),
    ("the sticky neuron and weighed L1", "l1-spikes synops sticky w0.1", None),
    ("2 time steps", "tet T2", None),
    ("1 time step", "tet T1", None),
    ("early exit alone", "tet", "0.1"),
    ("TDD-DDLA and early exit", "ddla gsc w1.2", "0.1"),
    ("L1, w = 0.1, and early exit", "l1-spikes w0.1", "0.1"),
    ("L1, w = 0.4, and early exit", "l1-spikes w0.4", "0.1"),
    ("sticky, weighed L1 and early exit", "l1-spikes synops sticky front w0.5", "0.1"),
    ("sticky, weighed L1 and early exit", "l1-spikes synops sticky w0.1", "0.1"),
)


def levers_table(name: str) -> str:
    """List how much each lever saves: events of all steps as a fraction of TET's raw spikes, and what it costs."""
    groups = grouped(read(name)["rows"])
    if not groups:
        return "Not measured yet."
    tet = groups["tet"]
    raw, synops = (mean(r[key] for r in tet) for key in ("raw_events", "raw_synops"))
    lines = ["| lever | events | synaptic operations | accuracy against TET |", "| --- | --- | --- | --- |"]
    for number, (lever, group, lose) in enumerate(LEVERS):
        if group not in groups:
            continue
        rows = groups[group] if lose is None else exits_of(groups[group], lose)
        code = "delta" if number else "raw"
        points = with_error(differences(rows, tet)) if (group, lose) != ("tet", None) else "0"
        seeds = "" if len(rows) == len(tet) else f" ({len(rows)} seed{'s' if len(rows) > 1 else ''})"
        lines.append(
            f"| {lever}{seeds} | {mean(r[f'{code}_events'] for r in rows) / raw:.1%} "
            f"| {mean(r[f'{code}_synops'] for r in rows) / synops:.1%} | {points} |"
        )
    return "\n".join(lines)


def keep_plot(name: str) -> str:
    """Draw events and accuracy against the fraction that TDD-DDLA keeps."""
    groups = grouped(read(name)["rows"])
    if not groups:
        return ""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    both = figure.subplots(1, 2)
    tet = groups.pop("tet")
    raw = mean(r["raw_events"] for r in tet)
    lines: dict[str, list[tuple[float, Rows]]] = {}
    for group, rows in groups.items():
        score, keep = group.split()
        lines.setdefault(score, []).append((float(keep.removeprefix("k")), rows))
    for (score, points), marker in zip(lines.items(), "os", strict=True):
        style = {
            "marker": marker,
            "linestyle": "-" if score == "gsc" else ":",
            "label": score,
        }
        keeps = [keep for keep, _ in points]
        both[0].plot(keeps, [mean(r["delta_events"] for r in rows) / raw for _, rows in points], **style)
        both[1].plot(keeps, [mean(differences(rows, tet)) for _, rows in points], **style)
    both[0].axhline(mean(r["delta_events"] for r in tet) / raw, color="gray", linewidth=0.8, label="TET")
    both[1].axhline(0, color="gray", linewidth=0.8)
    for axes, label in zip(both, ("delta events, of TET's raw spikes", "accuracy against TET, points"), strict=True):
        axes.set_xlabel("kept fraction of the neurons that fired")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    both[0].legend(fontsize=7)
    save(figure, name)
    return f"![Events and accuracy by the fraction that TDD-DDLA keeps](plots/{name}.svg)"


def masks_table() -> str:
    """List agreements of masks, the range over networks."""
    found = read("ddla").get("masks")
    if not found:
        return "Not measured yet."
    compared = {
        "run_of_step": "shared by `--score-from step` and `run`",
        "random_of_gsc": "shared by gsc and random",
        "jac_of_gsc": "shared by gsc and jac",
        "grad_of_gsc": "shared by gsc and grad",
    }
    lines = ["| fraction | `--keep-of changed` | `--keep-of fired` |", "| --- | --- | --- |"]
    for key, name in compared.items():
        lines.append(f"| {name} | {' | '.join(percent([r[among][key] for r in found]) for among in AMONG)} |")
    freed = " | ".join(percent([r[among]["freed"] for r in found]) for among in AMONG)
    lines.append(f"| spikes whose neurons are free at the next step | {freed} |")
    return "\n".join(lines)


def freed_by_all() -> str:
    """Say which fraction of the spikes the old masks freed."""
    found = read("ddla").get("masks")
    if not found:
        return "Not measured yet."
    low, high = (percent([r["all"][f"freed_{keep}"] for r in found]) for keep in ("0.2", "0.5"))
    return f"Such masks free {low} of the spikes of the step before at keep 0.2, and {high} at keep 0.5."


def cifar10_table() -> str:
    """List the finished rows of CIFAR-10, in full and with early exits."""
    path = RESULTS / "cifar10.json"
    if not path.exists():
        return "Not measured yet."
    head = ["network", "minutes of one core", "steps", "accuracy %", "raw spikes", "delta events", "synops, delta"]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for name, row in json.loads(path.read_text())["rows"].items():
        exits = {f"{name}, early exit, `--lose {lose}`": each for lose, each in row["exit"].items()}
        for title, found in {name: row, **exits}.items():
            minutes = f"{row['cpu_seconds'] / 60:.0f}" if title == name else ""
            lines.append(
                f"| {title} | {minutes} | {found['mean_steps']:.2f} | {100 * found['accuracy']:.1f} "
                f"| {found['raw_events']:,.0f} | {found['delta_events']:,.0f} | {found['delta_synops']:,.0f} |"
            )
    return "\n".join(lines)


AMONG = ("changed", "fired")


def percent(values: list[float]) -> str:
    low, high = f"{min(values):.0%}", f"{max(values):.0%}"
    return low if low == high else f"{low} to {high}"


def modes_table() -> str:
    found = read("ddla").get("modes")
    if not found:
        return "Not measured yet."
    networks = list(dict.fromkeys((r["network"], r["steps"]) for r in found))
    lines = [
        f"| training step | {' | '.join(f'{n}, T = {t}' for n, t in networks)} |",
        f"|{' --- |' * (len(networks) + 1)}",
    ]
    for mode in dict.fromkeys(r["mode"] for r in found):
        times = [next(r for r in found if (r["network"], r["mode"]) == (n, mode)) for n, _ in networks]
        lines.append(f"| {mode} | {' | '.join(format(r['times_tet'], '.2f') for r in times)} |")
    return "\n".join(lines)


def pareto_plot(name: str, title: str) -> str:
    groups = grouped(read(name)["rows"])
    if not groups:
        return ""
    figure = Figure(figsize=(7.5, 4.8), layout="constrained")
    axes = figure.add_subplot()
    for label, (color, marker, belongs) in GROUPS.items():
        for is_sticky in (False, True):
            chosen = [
                rows
                for group, rows in groups.items()
                if belongs(group) and ("sticky" in group) == is_sticky and "delta_synops" in rows[0]
            ]
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


WINNERS = ("tet", "l1-spikes w0.4", "ddla gsc w1.2", "tet sticky", "l1-spikes synops sticky front w0.5")
PARTS: dict[str, Callable[[], str]] = {
    "digits levers": lambda: levers_table("pareto_digits"),
    "fashion levers": lambda: levers_table("pareto_fashion"),
    "digits table": lambda: pareto_table("pareto_digits"),
    "digits exits": lambda: exit_table("pareto_digits"),
    "digits plot": lambda: pareto_plot("pareto_digits", "digits, conv-small, T = 6"),
    "digits steps": lambda: steps_table("pareto_digits", WINNERS),
    "digits keep": lambda: keep_plot("keep_digits"),
    "digits explored": lambda: pareto_table("explored_digits"),
    "ddla masks": masks_table,
    "ddla freed": freed_by_all,
    "ddla modes": modes_table,
    "fashion table": lambda: pareto_table("pareto_fashion"),
    "fashion exits": lambda: exit_table("pareto_fashion"),
    "fashion plot": lambda: pareto_plot("pareto_fashion", "Fashion-MNIST, conv-medium, T = 4"),
    "cifar10 rows": cifar10_table,
    "cifar10 table": lambda: pareto_table("cifar10_resnet19-small_t6"),
    "strategies": strategies_table,
    "speed": speed_table,
}
