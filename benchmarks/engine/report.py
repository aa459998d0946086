"""Make tables and plots of the engine's speed; see benchmarks/report.py."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.plots import save

RESULTS = Path(__file__).parents[1] / "results"
Rows = list[dict[str, Any]]

# Okabe and Ito's colors, which people with any color vision can distinguish, and a marker each.
BACKENDS = {
    "torch": ("PyTorch, dense", "#000000", "o"),
    "spikingjelly": ("SpikingJelly", "#E69F00", "s"),
    "norse": ("Norse", "#009E73", "^"),
    "snntorch": ("snnTorch", "#0072B2", "v"),
    "sinabs": ("sinabs", "#CC79A7", "D"),
    "onnx step": ("onnxruntime, step", "#D55E00", "<"),
    "onnx scan": ("onnxruntime, scan", "#F0E442", ">"),
    "reference": ("our reference, numpy", "#56B4E9", "x"),
}
NAMES = {
    "tdd-deploy": "tdd-deploy",
    "sanafe": "SANA-FE",
    "brian2": "Brian2, C++",
    **{k: v[0] for k, v in BACKENDS.items()},
}


def read(name: str) -> dict[str, Any]:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def speed_rows(*cases: str, batch: int | None = None, threads: int | None = None) -> Rows:
    """Return rows of cases, in some settings."""
    return [
        row
        for row in read("engine_speed").get("rows", [])
        if row["case"] in cases and batch in {None, row["batch"]} and threads in {None, row["threads"]}
    ]


def random_cases(shape: str) -> list[str]:
    """Return the cases of a shape, few events first."""
    rows = read("engine_speed").get("rows", [])
    events = {row["case"]: row["events"] for row in rows if row["case"].startswith(f"{shape}, random")}
    return sorted(events, key=lambda case: events[case])


def table(head: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return "Not measured yet."
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])


def networks_table(*cases: str) -> str:
    """List times of trained networks: a row per backend, a column per case and setting."""
    settings = [(case, batch, threads) for case in cases for batch, threads in ((1, 1), (64, 1), (64, 2))]
    found = {(name, setting): row for setting in settings for row in _of(setting) for name in [row["backend"]]}
    names = [name for name in NAMES if any((name, setting) in found for setting in settings)]
    rows = []
    for name in names:
        cells = [NAMES[name]]
        for setting in settings:
            row = found.get((name, setting))
            if row is None:
                cells.append("")
            elif name == "tdd-deploy":
                cells.append(f"{row['median_ms']:.3f} ms")
            else:
                cells.append(f"{row['times_ours']:.1f} x")
        rows.append(cells)
    head = ["", *(f"{case.split(',')[0]}, {batch} at once, {_cores(threads)}" for case, batch, threads in settings)]
    return table(head, rows)


def simulators_table(case: str) -> str:
    rows = [
        [NAMES[r["backend"]], f"{r['median_ms']:.3f} ms", f"{r['times_ours']:.1f}", f"{r['spikes']:,}"]
        for r in speed_rows(case)
    ]
    return table(["", "a sample", "times ours", "spikes"], rows)


def rates_table(shape: str) -> str:
    """List multiples of our time by the fraction of neurons whose spike changes in a step."""
    cases = random_cases(shape)
    batches = sorted({row["batch"] for row in speed_rows(*cases)})
    settings = [(batch, threads) for batch in batches for threads in ((1,) if batch == 1 else (1, 2))]
    names = [name for name in BACKENDS if any(row["backend"] == name for row in speed_rows(*cases))]
    rows = []
    for batch, threads in settings:
        for case in cases:
            found = {row["backend"]: row for row in _of((case, batch, threads))}
            ours = found["tdd-deploy"]
            others = [f"{found[name]['times_ours']:.2f}" if name in found else "" for name in names]
            rows.append(
                [f"{batch}, {_cores(threads)}", f"{ours['events']:.2%}", f"{ours['median_ms']:.2f} ms", *others]
            )
    return table(["at once", "events", "tdd-deploy", *(NAMES[name] for name in names)], rows)


def rates_plot(shape: str) -> str:
    rows = speed_rows(*random_cases(shape))
    if not rows:
        return ""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    for place, (batch, threads) in enumerate([(1, 1), (64, 2)], start=1):
        axes = figure.add_subplot(1, 2, place)
        for name, (label, color, marker) in BACKENDS.items():
            line = sorted(
                (row["events"], row["times_ours"])
                for row in rows
                if (row["backend"], row["batch"], row["threads"]) == (name, batch, threads)
            )
            if line:
                axes.plot(*zip(*line, strict=True), color=color, marker=marker, label=label)
        axes.axhline(1, color="gray", linewidth=1, linestyle="--")
        axes.set(xscale="log", yscale="log", xlabel="fraction of neurons whose spike changes in a step")
        axes.set(ylabel="time, times ours", title=f"{batch} at once, {_cores(threads)}")
        axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    save(figure, f"speed_{shape}")
    return f"![Time by fraction of events, {shape}](plots/speed_{shape}.svg)"


def bound_table() -> str:
    rows = [
        [
            f"{r['channels']} x {r['size']} x {r['size']}", f"{r['rate']:.1%}", f"{r['additions_per_s'] / 1e9:.1f} G/s",
            f"{r['of_peak']:.0%}", f"{r['of_same']:.0%}", f"{r['of_dense']:.2f}",
        ]
        for r in read("engine_bound").get("additions", [])
    ]  # fmt: skip
    return table(
        ["inputs", "events", "additions", "of the peak", "of the same vectors", "time of the dense product"], rows
    )


def memory_table() -> str:
    rows = [
        [f"{r['samples']:,}", f"{r['steps']:,}", f"{r['peak_bytes'] / 1e6:.1f} MB"]
        for r in read("engine_bound").get("memory", [])
    ]
    return table(["samples", "steps", "peak"], rows)


def line() -> str:
    found = read("engine_bound")
    if not found:
        return "Not measured yet."
    fit = found["linearity"]
    return (
        f"Peak: {found['peak_per_s'] / 1e9:.1f} G additions/s. Time by synaptic operations: "
        f"{1e12 * fit['seconds_per_synop']:.0f} ps each, R² = {fit['r2']:.4f}."
    )


def lava_table() -> str:
    rows = []
    for data, found in read("lava_speed").items():
        seconds = found["seconds_per_sample"]
        ours = seconds["engine, batch 1, 1 thread"]
        rows += [[data, name, f"{1e3 * s:.3f} ms", f"{s / ours:,.1f}"] for name, s in seconds.items()]
    return table(["", "", "a sample", "times ours at batch 1"], rows)


def _of(setting: tuple[str, int, int]) -> Rows:
    case, batch, threads = setting
    return speed_rows(case, batch=batch, threads=threads)


def _cores(threads: int) -> str:
    return "one core" if threads == 1 else f"{threads} cores"


PARTS: dict[str, Callable[[], str]] = {
    "engine networks": partial(networks_table, "digits, tdd-ddla", "fashion-mnist, tdd-ddla"),
    "engine simulators": partial(simulators_table, "digits, tdd-ddla, one step later"),
    "engine rates": partial(rates_table, "conv-medium"),
    "engine rates plot": partial(rates_plot, "conv-medium"),
    "engine rates resnet19": partial(rates_table, "resnet19"),
    "engine bound": bound_table,
    "engine line": line,
    "engine memory": memory_table,
    "engine lava": lava_table,
}
