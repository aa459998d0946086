"""Make the tables of energy in docs/energy.md and README.md; see benchmarks/report.py."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.energy import SPARSITIES
from tdd_deploy.simulator.hardware.dense import DATAFLOWS, matched_bits
from tdd_deploy.simulator.reports.lines import machine_text, widths_text
from tdd_deploy.tables import significant

RESULTS = json.loads((Path(__file__).parent / "results" / "energy.json").read_text())
CASES = tuple(RESULTS)
LEADING = "cmos45-memory"
WIDTHS = {
    "floats": "floats",
    "8": "8 bits",
    "matched": "8-bit weights, matched activations",
    "narrow": "matched weights and activations",
}
Case = Mapping[str, Any]
Row = Mapping[str, Any]


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])


def per_sample(case: Case, count: str) -> float:
    return float(case["totals"][count] / case["totals"]["samples"])


def energy_of(case: Case, profile: str) -> Mapping[str, Any]:
    (found,) = (energy for energy in case["energies"] if energy["profile"] == profile)
    return found


def compared(case: Case) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for energy in case["energies"]:
        if energy["comparison"]:
            yield energy["profile"], energy["comparison"]


def rate_text(rate: float) -> str:
    return "never" if rate <= 0 else "always" if rate > 1 else f"{100 * rate:.1f} %"


def networks() -> str:
    """Describe the networks: accuracy, operations, and events."""
    rows: dict[str, Callable[[Case], str]] = {
        "accuracy, spiking": lambda case: f"{100 * case['accuracy']:.1f} %",
        "operations: delta code, plain spikes": lambda case: (
            f"{per_sample(case, 'synops_effective'):,.0f}, "
            f"{case['totals']['spike_code']['synops_effective'] / case['totals']['samples']:,.0f}"
        ),
        "MACs of the dense network": lambda case: f"{case['dense']['macs']:,}",
        "events per neuron and time step": lambda case: f"{100 * rate_of(case):.1f} %",
        "events per neuron": lambda case: f"{case['steps'] * rate_of(case):.2f}",
    }
    return table(["", *CASES], [[name, *(text(RESULTS[case]) for case in CASES)] for name, text in rows.items()])


def rate_of(case: Case) -> float:
    return float(energy_of(case, LEADING)["comparison"]["rate"])


def accuracies() -> str:
    """State the accuracy of every dense network."""
    pairs = {
        widths_text(row): (row["weight_bits"], row["activation_bits"])
        for row in energy_of(RESULTS[CASES[0]], LEADING)["comparison"]["rows"]
    }
    cases = CASES[::2]  # dense networks are the same for floats and integers
    head, cells = ["weights and activations"], {name: [name] for name in pairs}
    for case in cases:
        rows = energy_of(RESULTS[case], LEADING)["comparison"]["rows"]
        for baseline, sparsity in {row["baseline"]: row["sparsity"] for row in rows}.items():
            head.append(f"{case.partition(',')[0]}, {sparsity:.0%} pruned")
            found = {(r["weight_bits"], r["activation_bits"]): r["accuracy"] for r in rows if r["baseline"] == baseline}
            for name, pair in pairs.items():
                cells[name].append(f"{100 * found[pair]:.1f}")
    return table(head, list(cells.values()))


def machines() -> str:
    """Show what spikes cost as a multiple of a dense network, and the rate at which both cost the same."""
    shown = [
        (sparsity, widths, dataflow, skips)
        for sparsity, kinds, skipping in (
            (0, ("floats", "8", "matched"), (False, True)),
            (1, ("8", "matched"), (True,)),
            (2, ("narrow",), (True,)),
        )
        for widths in kinds
        for skips in skipping
        for dataflow in DATAFLOWS
    ]
    rows = []
    for place, widths, dataflow, skips in shown:
        sparsity = SPARSITIES[place]
        label = [f"{WIDTHS[widths]}{f', {sparsity:.0%} pruned' if sparsity else ''}"]
        label += [dataflow, "skipped" if skips else "computed"]
        rows.append(label + [_cell(RESULTS[case], place, widths, dataflow, skips) for case in CASES])
    return table(["dense network", "dataflow", "zeros", *CASES], rows)


def _cell(case: Case, place: int, widths: str, dataflow: str, skips: bool) -> str:
    matched = matched_bits(case["steps"])
    pair = {"floats": (None, None), "8": (8, 8), "matched": (8, matched), "narrow": (matched, matched)}[widths]
    (row,) = (
        row
        for row in energy_of(case, LEADING)["comparison"]["rows"]
        if (row["baseline"], row["weight_bits"], row["activation_bits"]) == (place, *pair)
        and (row["dataflow"], row["skips_zeros"]) == (dataflow, skips)
    )
    text = f"{significant(row['ratio'])} ({rate_text(row['crossover_rate'])})"
    return text if row["is_comparable"] else f"*{text}*"


def processes() -> str:
    """Show the least and the most favorable machine by each process."""
    rows = []
    for profile, _ in compared(RESULTS[CASES[0]]):
        for key, label in (("least_favorable", "strongest"), ("most_favorable", "weakest")):
            cells = []
            for case in CASES:
                found = energy_of(RESULTS[case], profile)["comparison"]
                cells.append("" if found[key] is None else significant(found["rows"][found[key]]["ratio"]))
            rows.append([f"`{profile}`", label, *cells])
    return table(["process", "dense machine", *CASES], rows)


def models() -> str:
    """Show the energy of one sample by every model of hardware."""
    names = [model["profile"] for model in RESULTS[CASES[0]]["models"]]
    rows = []
    for name in names:
        cells = []
        for case in CASES:
            found = {model["profile"]: model["dynamic_pj"] for model in RESULTS[case]["models"]}
            cells.append(significant(found[name] / RESULTS[case]["totals"]["samples"] / 1e3))
        rows.append([f"`{name}`", *cells])
    static = ["`loihi1-davies2018`, static power"]
    for case in CASES:
        found = energy_of(RESULTS[case], "loihi1-davies2018")
        bounds = (found[key] / RESULTS[case]["totals"]["samples"] / 1e3 for key in ("static_low_pj", "static_high_pj"))
        static.append(" to ".join(map(significant, bounds)))
    return table(["model", *(f"{case}, nJ" for case in CASES)], [*rows, static])


def estimators() -> str:
    """Show what estimators of others say of the same counts."""
    rows = []
    for i, first in enumerate(RESULTS[CASES[0]]["estimators"]):
        cells = []
        for case in CASES:
            found = RESULTS[case]["estimators"][i]
            if found["spiking_pj"] is None:
                cells.append("does not apply")
            else:
                cells.append(f"{significant(found['spiking_pj'] / 1e3)} nJ, {significant(found['ratio'])}")
        rows.append([first["name"], *cells])
    return table(["estimator", *CASES], rows)


def sentence() -> str:
    """Quote the least favorable row of the leading process, for the README."""
    parts = []
    for name in ("digits", "fashion-mnist"):
        found = energy_of(RESULTS[f"{name}, 8 bits"], LEADING)["comparison"]
        parts.append([found["rows"][found[key]] for key in ("least_favorable", "most_favorable")])
    ratios = [[significant(row["ratio"]) for row in pair] for pair in parts]
    strongest, weakest = (machine_text(row) for row in parts[0])
    return (
        f"In 8 bits, with the memory of every operation (`{LEADING}`), spikes on digits cost **{ratios[0][0]} times** "
        f"as much as the strongest dense machine ({strongest}), and {ratios[0][1]} times as much as the weakest "
        f"({weakest}). On Fashion-MNIST it is {ratios[1][0]} times and {ratios[1][1]} times."
    )


PARTS = {
    "energy networks": networks,
    "energy accuracies": accuracies,
    "energy machines": machines,
    "energy processes": processes,
    "energy models": models,
    "energy estimators": estimators,
    "energy sentence": sentence,
}
