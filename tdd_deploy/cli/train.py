"""``tdd-deploy train``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tdd_deploy.options.functions import OPTIONS

from .console import echo_json, is_first, json_option, say, training_progress
from .flags import PATH, with_options
from .help import Command


@click.command(cls=Command)
@with_options(*OPTIONS["train"], check=False)
@json_option
@click.option("--resume", is_flag=True, help="Continue the run in --out, to the same weights as without a break.")
@click.option("--out", type=PATH, required=True, help="Write this run folder; new, unless --resume.")
def train(*, options: Mapping[str, object], resume: bool, out: Path, as_json: bool) -> None:
    """Train a spiking network and write it as a NIR file.

    The run folder gets network.nir, network.safetensors, train.json, metrics.csv and checkpoint.pt; with --method ann
    baseline.json instead of the first: MACs, and accuracy in floats and 16 to 2 bits. Ctrl-C saves; --resume goes on.
    Several processes train together with torchrun --nproc-per-node N -m tdd_deploy train ...
    """
    from tdd_deploy.commands.training_package import require_torch

    require_torch("tdd-deploy train")
    from tdd_deploy.commands.train import train as run
    from tdd_deploy.simulator.reports.lines import input_lines
    from tdd_deploy.training.malloc import keep_freed_memory

    keep_freed_memory()
    config: Path | None = click.get_current_context().params["config"]
    with training_progress() as watcher:
        finished = run(out, options, resume=resume, config=config, watcher=watcher).as_json()
    if not is_first():
        return
    if as_json:
        echo_json(finished)
        return
    say(input_lines(finished["data"]))
    say([_result(out, finished)])


def _result(out: Path, finished: dict[str, Any]) -> str:
    from tdd_deploy.run_folder import RunFolder

    folder = RunFolder(out)
    last = finished["epochs"][finished["kept_epoch"] - 1]
    if last["raw_events"] is None:
        return _baseline_line(folder.baseline_json, last["accuracy"])
    measured = f"validation accuracy {last['accuracy']:.1%}, {last['raw_events']:,.0f} spikes"
    if last["delta_events"] is None:
        return f"{folder.train_json}: {measured} per sample; --norm tab has no network to export"
    return f"{folder.network_nir}: {measured} and {last['delta_events']:,.0f} delta events per sample"


def _baseline_line(path: Path, accuracy: float) -> str:
    """Describe the cost and the accuracy of an ANN baseline."""
    from tdd_deploy.run_folder import RunFolder

    found = RunFolder.read_baseline(path)
    split = found["results"][-1]["split"]
    of_split = [row for row in found["results"] if row["split"] == split]
    alike = [row for row in of_split if row["weight_bits"] == row["activation_bits"]]
    accuracies = (f"{row['accuracy']:.1%} in {row['weight_bits'] or 'floats'}" for row in alike)
    narrower = (f"{row['accuracy']:.1%} in {row['activation_bits']}" for row in of_split if row not in alike)
    pruned = f", {100 * found['sparsity']:.4g}% of weights pruned" if found["sparsity"] else ""
    return (
        f"{path}: validation accuracy {accuracy:.1%}, {sum(row['macs'] for row in found['layers']):,} dense "
        f"MACs per sample{pruned}; of {split} {', '.join(accuracies)} bits; "
        f"activations beside weights of 8 bits: {', '.join(narrower)} bits; quantized after training"
    )
