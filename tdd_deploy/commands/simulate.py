"""Execute a program on data, event by event: load, place, run, price, write."""

from dataclasses import dataclass, replace
from pathlib import Path

from tdd_deploy.data import Choice
from tdd_deploy.errors import BadOption
from tdd_deploy.files import check_folder, filling, write_json
from tdd_deploy.options.encoding import Coding, Encoding
from tdd_deploy.options.execution import Execution
from tdd_deploy.options.model import Model
from tdd_deploy.options.pricing import Pricing
from tdd_deploy.runtime.progress import Progress, unseen
from tdd_deploy.runtime.run import run
from tdd_deploy.runtime.shards import Shard
from tdd_deploy.simulator.reports.html import require, write_html
from tdd_deploy.simulator.reports.report import Simulation, write_csv

from .load import Loaded, Network, load_all
from .pricing import Prices, place_program, price
from .tune_exit import look_up_margin


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where a report goes.

    Attributes:
        folder: for report.json, steps.csv and report.html; None writes none.
        command: the command line, for the report; None from Python.
    """

    folder: Path | None = None
    command: str | None = None


def simulate(
    network: Network,
    data: Choice,
    *,
    model: Model = Model(),
    encoding: Encoding = Encoding(),
    coding: Coding = Coding(),
    execution: Execution = Execution(),
    pricing: Pricing = Pricing(),
    destination: Destination = Destination(),
    progress: Progress = unseen,
) -> Simulation:
    """Execute a program on data, event by event; count, and price what was executed.

    Args:
        network: a .nir, .net or .onnx file, a run folder, or a Program.
        data: the samples.
        model: how a file of another tool is read.
        encoding: how samples become inputs.
        coding: what edges send, and what the output is.
        execution: where samples are executed, and what is recorded.
        pricing: the hardware, and ANN baselines.
        destination: where the report goes, and the command line that asked for it.
        progress: receives the number of finished samples.

    Raises:
        TddDeployError: anything wrong with a file, the data or an option.
    """
    out = destination.folder
    if out is not None:
        check_report_folder(out)
        if execution.record is not None and execution.record.absolute() == out.absolute():
            raise BadOption("record", str(execution.record), "another path than `out`, which is a folder")
    prices = Prices.of(pricing, with_dense=True)
    loaded = load_all(network, data, model=model, encoding=encoding, coding=coding)
    margin_from = None
    if execution.early_exit is not None and loaded.source.has_step_labels:
        found = "cannot be combined with labels of time steps, which ask for every step"
        raise BadOption("early_exit", found, remedy="Cut windows with `window`, or leave it out.")
    if execution.early_exit == "tuned":
        margin, margin_from = look_up_margin(network, loaded, coding)
        execution = replace(execution, early_exit=margin)
    prices = prices.with_baselines(loaded.program, loaded.description, source=loaded.source, n_samples=loaded.n_samples)
    placed = place_program(loaded.program, prices)
    total = run(
        loaded.inputs,
        loaded.source,
        data,
        execution,
        n_samples=loaded.n_samples,
        routes=placed.placement.routes if placed.placement else None,
        progress=progress,
    )
    summarized = summarize(loaded, total, coding, execution)
    summarized = replace(summarized, margin_from=margin_from, command=destination.command)
    simulation = price(summarized, prices, placed)
    if out is not None:
        write_report(out, simulation)
    return simulation


def summarize(loaded: Loaded, total: Shard, coding: Coding, execution: Execution) -> Simulation:
    """Make the result of a simulation, not yet priced."""
    return Simulation(
        program=loaded.program,
        data={**loaded.description, "sent": total.sent.as_json(loaded.program)},
        code=loaded.code,
        code_from=loaded.code_from,
        trace=total.trace,
        n_correct=total.n_correct if total.n_labeled else None,
        labeled_steps=total.n_labeled if loaded.source.has_step_labels else None,
        early_exit=execution.margin,
        constant_output=total.output,
        outputs=total.outputs,
        options={
            **loaded.data.options.as_json(),
            "samples": loaded.n_samples,
            **loaded.inputs.encoding.as_json(),
            **coding.as_json(),
            **execution.as_json(),
        },
    )


def check_report_folder(folder: Path) -> None:
    """Find out before a long run whether its report can be written."""
    require()
    check_folder(folder, ("report.json", "steps.csv", "report.html"))


def write_report(folder: Path, simulation: Simulation) -> None:
    """Write report.json, steps.csv and report.html; a failure changes nothing."""
    report = simulation.as_json()
    with filling(folder) as part:
        write_json(part / "report.json", report)
        write_csv(part / "steps.csv", report)
        write_html(part / "report.html", report)
