"""Sentences about a finished report: its input, its output, its energy, and dense networks beside it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tdd_deploy.tables import energy_text, significant

Report = Mapping[str, Any]  # what Simulation.as_json gave

USUAL = (None, 8, 4)  # widths whose accuracy is printed; None: floats
PRUNED = 0.01  # a network with fewer zeros among its weights was not pruned


def run_lines(report: Report) -> Iterator[str]:
    """Say how samples became inputs, and what was executed."""
    data, program = report["data"], report["program"]
    yield from input_lines(data)
    yield from output_lines(report)
    if data["binned"]:
        yield binned_line(data)
    yield f"code: {program['code']} ({program['code_from']})"
    if exits := report["early_exit"]:
        yield (
            f"early exit at a margin of {exits['margin']:g}, {exits['margin_from']}: "
            f"{100 * exits['steps_saved']:.1f} % of the time steps are not executed"
        )
    if program["rounding"]:
        yield f"currents can round, so codes may differ in the last bit: {', '.join(program['rounding'])}"
    yield from baseline_lines(report)


def output_lines(report: Report) -> Iterator[str]:
    """State which potential is the output, and whether the output never changes."""
    found = report["output"]
    sources = " and ".join(found["sources"])
    if found["reading"] == "potential":
        yield f"the output is the potential of {sources} before its reset"
    if found["always_zero"]:
        yield "the output never changes: it is 0 in every sample and time step"
        if found["silent_layer"]:
            yield f"{found['silent_layer']} never fires; `output=potential` reads its potential instead"
    elif found["never_changes"]:
        yield "the output never changes: it is the same in every sample and time step"


def baseline_lines(report: Report) -> Iterator[str]:
    """State the accuracy of each dense network that was given, in the widths that are usual."""
    for baseline in report["baselines"]:
        macs = sum(layer["macs"] for layer in baseline["layers"])
        pruned = f", {baseline['sparsity']:.0%} pruned" if baseline["sparsity"] >= PRUNED else ""
        results = [row for row in baseline["results"] if row["split"] == report["data"]["split"]]
        usual = [row for row in results if row["weight_bits"] == row["activation_bits"] and row["weight_bits"] in USUAL]
        shown = [row for row in usual or results if row["accuracy"] is not None]
        found = ", ".join(f"{row['accuracy']:.1%} in {widths_text(row)}" for row in shown)
        of_file = baseline.get("onnx")
        if of_file is None:
            yield f"ANN baseline{pruned}: {macs:,} MACs; accuracy {found}"
        else:
            accuracy = f"accuracy {found}" if shown else f"accuracy not measured: {of_file['not_measured']}"
            yield f"ANN baseline {baseline['network']}{pruned}: {macs:,} MACs; {accuracy}"
            yield from _left_out_lines(baseline["network"], of_file)


def _left_out_lines(name: str, of_file: Mapping[str, Any]) -> Iterator[str]:
    """State which operators of an ONNX file are not counted, and what the counts rest on."""
    if of_file["left_out"]:
        operators = ", ".join(f"{each['operator']} ({each['values']:,} values)" for each in of_file["left_out"])
        yield f"not counted in {name}, so its energy is too low by their cost: {operators}"
    yield from (f"{name}: {line}" for line in of_file["assumes"])


def dense_lines(report: Report) -> Iterator[str]:
    """State, by process, what spikes cost beside the strongest and the weakest dense machine."""
    for energy, found in compared(report):
        if found["least_favorable"] is None:
            yield f"{energy['profile']}: no dense network of these layers is as accurate"
            continue
        has_dataflows = len({row["dataflow"] for row in found["rows"]}) > 1
        worst, best = (found["rows"][found[key]] for key in ("least_favorable", "most_favorable"))
        numbers = "integers" if report["program"]["number_format"] == "integer" else "floats"
        strongest, weakest = (machine_text(row, has_dataflows=has_dataflows) for row in (worst, best))
        yield (
            f"{energy['profile']}: spikes in {numbers} cost {significant(worst['ratio'])} times as much as the "
            f"strongest dense machine ({strongest}), and {significant(best['ratio'])} times as much as the weakest "
            f"({weakest})"
        )


def break_even_lines(report: Report) -> Iterator[str]:
    """State, by process, how energy grows with the rate of events, and at which rate a dense pass costs the same."""
    for energy, found in compared(report):
        if found["rate"] is None:
            continue
        per_percent = found["growing_pj"] / found["rate"] / 100
        at = [
            f"in {name} ({energy_text(row['dense_pj'])}) {_rate_text(row['crossover_rate'])}"
            for name, row in strongest(found).items()
        ]
        if at:
            yield (
                f"break-even by {energy['profile']}: energy = {energy_text(found['fixed_pj'])} + "
                f"{energy_text(per_percent)} for each 1 % of neurons that send an event per time step (here "
                f"{_percent(found['rate'])}); it equals a dense pass {', and '.join(at)}"
            )


def strongest(comparison: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    """Find the dense machine that costs least, in floats and in integers, among networks that are as accurate."""
    return cheapest(row for row in comparison["rows"] if row["is_comparable"]) if comparison else {}


def cheapest(rows: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Find the row of a comparison that costs least, in floats and in integers."""
    found: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        name = "floats" if row["weight_bits"] is None else "integers"
        if name not in found or row["dense_pj"] < found[name]["dense_pj"]:
            found[name] = row
    return found


def onnx_name(report: Report, row: Mapping[str, Any]) -> str:
    """Return the name of the ONNX file that a row of a comparison is about; empty for the same layers."""
    baseline = None if row["baseline"] is None else report["baselines"][row["baseline"]]
    return baseline["network"] if baseline is not None and "onnx" in baseline else ""


def machine_text(row: Mapping[str, Any], *, has_dataflows: bool = True) -> str:
    """Describe a dense network and the machine that executes it."""
    parts = [network_text(row)]
    if has_dataflows:
        parts.append("no reuse" if row["dataflow"] == "none" else str(row["dataflow"]).replace("-", " "))
    if row["skips_zeros"]:
        parts.append("zeros skipped")
    parts.append("accuracy not measured" if row["accuracy"] is None else f"accuracy {row['accuracy']:.1%}")
    return ", ".join(parts)


def _percent(rate: float) -> str:
    return f"{rate:.1%}" if rate >= 0.001 else f"{significant(100 * rate)}%"


def _rate_text(rate: float) -> str:
    if rate <= 0:
        return "at no rate"
    return "at none up to 100 %, as spikes cost less" if rate > 1 else f"at {significant(100 * rate)} %"


def models_line(report: Report) -> Iterator[str]:
    """State the dynamic energy over all models of hardware, if there are several."""
    n = report["totals"]["samples"]
    models = [model["dynamic_pj"] / n for model in report["models"]]
    if len(models) > 1:
        yield (
            f"dynamic energy over all {len(models)} models of hardware: {energy_text(min(models))} to "
            f"{energy_text(max(models))} per inference; docs/energy.md says what these numbers do not mean"
        )


def time_lines(report: Report) -> Iterator[str]:
    """State the time on each hardware that has latencies."""
    n = report["totals"]["samples"]
    for energy in report["energies"]:
        if time := energy["time"]:
            low, high = (significant(1e6 * time[key] / n, 3) for key in ("low_s", "high_s"))
            found = low if low == high else f"{low} to {high}"
            yield f"time by {energy['profile']}: {found} us per inference: {time['basis']}"


def not_priced_line(energy: Mapping[str, Any]) -> str:
    """List what the energy of a profile leaves out, by name."""
    names = dict.fromkeys(line.partition(":")[0].partition(" (")[0] for line in energy["not_priced"])
    return f"not priced by {energy['profile']}: {', '.join(names)}"


def binned_line(data: Mapping[str, Any]) -> str:
    """Describe how events became time steps."""
    binned = data["binned"]
    height, width = binned["sensor"]
    length = f"of {binned['bin_us']:,} us" if binned["bin_us"] else "of equal length from first to last event"
    value = "counts" if binned["bin_value"] == "count" else "0 or 1"
    apart = "off and on events apart" if binned["polarities"] > 1 else "events of one polarity"
    summed = f", {binned['downsample']} x {binned['downsample']} pixels summed" if binned["downsample"] > 1 else ""
    line = f"events of a camera of {height} x {width} pixels in {binned['n_steps']} time steps {length}, {value}, "
    line += f"{apart}{summed}"
    if data["n_steps"] < binned["n_steps"] and "windows" not in data["input"]:
        line += f"; the first {data['n_steps']} of them are executed"
    if binned["samples_cut"]:
        line += f"; {binned['samples_cut']:,} samples are longer, and cut"
    return line


def input_lines(data: Mapping[str, Any]) -> Iterator[str]:
    """Describe how stored values became inputs, and where each choice comes from."""
    stored, scale = data["input"]["stored"], data["input"]["scale"]
    values = f"{stored}, rounded to float32," if stored == "float64" else stored
    encoder = f"; {data['encoder']} encoder ({data['encoder_from']})" if "encoder" in data else ""
    yield f"input: {values} times {scale_text(scale)} ({data['input']['scale_from']}){encoder}"
    learned = data.get("scale_learned")
    if learned is not None and learned != scale:
        yield f"the network was trained on {stored} times {scale_text(learned)} (`input_scale={scale_text(learned)}`)"
    if "n_steps" in data:
        yield _steps_line(data)
    for key, network in (("sent", "the network"), ("sent_in_integers", "the quantized network")):
        rounding = data.get(key, {}).get("rounding")
        if rounding and rounding["rounded"]:
            yield (
                f"rounded to {network}'s integers: {rounding['rounded']:,} of {data[key]['values']:,} input values, "
                f"to multiples of {rounding['unit']:g}; {rounding['rounded_to_zero']:,} values other than 0 become 0"
            )
    if windows := data["input"].get("windows"):
        yield _windows_line(windows)
    if "input_shape" in data:
        time = f"is {data['input']['shape'][0]} time steps of shape"
        is_open = data["static"] and len(data["input"]["shape"]) > 1 and data["name"].endswith(".npz")
        frames = "; `frames=True` would read its first axis as time" if is_open else ""
        taken = f"{'has no time axis and is read as' if data['static'] else time} {data['input_shape']}"
        yield f"a sample {data['input']['shape']} {taken}{frames}"
    if data["input"]["targets"]:
        yield f"labels: none, so there is no accuracy; y holds {data['input']['targets']}, and labels must be integers"


def _windows_line(windows: Mapping[str, Any]) -> str:
    """Describe how recordings became windows, and what that left out."""
    labels = {"recording": "the label of its recording", "last step": "the label of its last step", None: "no label"}
    line = f"a sample is a window of {windows['window']:,} of the {windows['steps_of_recording']:,} time steps of a "
    line += f"recording, one every {windows['stride']:,}, with {labels[windows['labels_from']]}"
    if windows["unlabeled"]:
        line += f"; {windows['unlabeled']:,} windows without a label are left out"
    if windows["short"]:
        line += f"; {windows['short']:,} recordings are shorter than a window"
    return line


def _steps_line(data: Mapping[str, Any]) -> str:
    n_steps, of_data = data["n_steps"], data["n_steps_of_data"]
    line = f"time steps per sample: {n_steps} ({data['n_steps_from']})"
    if of_data is None:
        return f"{line}, each showing the whole sample"
    return line if of_data == n_steps else f"{line}, the first of {of_data} in the data"


def scale_text(scale: float) -> str:
    """Format a scale for people: as 1/n where that is exact."""
    return f"1/{1 / scale:g}" if scale < 1 and (1 / scale).is_integer() else f"{scale:g}"


def compared(report: Report) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Yield each energy that is compared with dense networks, and the comparison."""
    for energy in report["energies"]:
        if energy["comparison"]:
            yield energy, energy["comparison"]


def network_text(row: Mapping[str, Any]) -> str:
    """Describe a dense network: its widths, and how much of it was pruned."""
    widths = widths_text(row)
    return f"{widths}, {row['sparsity']:.0%} pruned" if row["sparsity"] >= PRUNED else widths


def widths_text(row: Mapping[str, Any]) -> str:
    """Name the widths of weights and activations."""
    weights, values = row["weight_bits"], row["activation_bits"]
    if values != weights:
        return f"{weights}-bit weights and {values}-bit activations"
    return "floats" if weights is None else f"{weights} bits"
