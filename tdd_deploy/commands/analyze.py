"""Analyze what a trained network sends from step to step."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from tdd_deploy import training
from tdd_deploy.data import Choice
from tdd_deploy.errors import BadFile, BadOption, any_of, did_you_mean
from tdd_deploy.files import check_folder, filling, write_json
from tdd_deploy.options.analysis import AnalysisOptions
from tdd_deploy.options.encoding import Encoding
from tdd_deploy.program import Program
from tdd_deploy.run_folder import RunFolder
from tdd_deploy.runtime.inputs import EncodedInputs
from tdd_deploy.runtime.shards import Progress
from tdd_deploy.training import figures
from tdd_deploy.training.analysis import Analysis, examine, rasters
from tdd_deploy.training.replay import Finished

from .load import chosen_samples, describe_inputs, load

BATCH = 32


def analyze(
    run: str | PathLike[str],
    data: Choice,
    *,
    options: AnalysisOptions = AnalysisOptions(),
    out: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> Analysis:
    """Analyze what a trained network sends from step to step: what repeats, where deltas pay, where information lies.

    Args:
        run: a run folder.
        data: the samples.
        options: the layers and the sample whose spikes are drawn.
        out: a folder for analysis.json and pictures.
        progress: receives the number of finished samples.

    Raises:
        BadFile: not a finished run.
        BadOption: no such layer, or no such sample.
        MissingDependency: matplotlib is not installed, which ``out`` needs.
        TddDeployError: anything else wrong with a file or the data.
    """
    if out is not None:
        figures.require()
        check_folder(out, ("analysis.json",))
    program, finished = finished_run(Path(run))
    source = data.open_chosen()
    n_samples = chosen_samples(source, data)
    names = finished.deployed.layers
    if options.sample >= n_samples:
        raise BadOption("sample", str(options.sample), f"0 to {n_samples - 1}, as no others are analyzed")
    for layer in options.layers:
        if layer not in names:
            raise BadOption("layers", repr(layer), any_of(names), did_you_mean(layer, names))
    inputs = EncodedInputs.of(program, source, Encoding(), frames=data.options.frames)
    findings = None
    spikes: Mapping[str, Any] = {}
    done = 0
    for encoded, labels in inputs.batches(source, BATCH, limit=n_samples):
        values = encoded.values[None] if encoded.static else encoded.values
        found = examine(finished, values, labels, inputs.n_steps)
        findings = found if findings is None else findings + found
        if done <= options.sample < done + values.shape[1]:
            spikes = rasters(finished, values[:, [options.sample - done]], inputs.n_steps)
        done += values.shape[1]
        progress(done, n_samples)
    assert findings is not None  # a source without samples is refused
    analysis = Analysis(
        program=program.digest,
        data=describe_inputs(inputs, source, Path(run)),
        shapes={name: program.shapes[name] for name in names},
        findings=findings,
        epochs=finished.recorded["epochs"],
    )
    if out is not None:
        drawn = {name: spikes[name][:, 0] for name in options.layers or names[:2]}
        _write(out, analysis, drawn, options.sample)
    return analysis


def finished_run(path: Path) -> tuple[Program, Finished]:
    """Return the program of a run folder, and its network in torch.

    Raises:
        BadFile: not a finished run of a spiking network.
    """
    folder = RunFolder(path)
    if not path.is_dir():
        raise BadFile(path, "is not a run folder", "Name a folder that train wrote.")
    if folder.is_ann:
        raise BadFile(path, "is the run of an ANN (`method=ann`)", "Name the run of a spiking network.")
    program = load(path)
    return program, training.load_run(path, program)


def _write(out: Path, analysis: Analysis, spikes: Mapping[str, Any], sample: int) -> None:
    """Write analysis.json and the pictures; a failure changes nothing."""
    report = analysis.as_json()
    of_sample = f"sample {sample} of {report['data']['name']} ({report['data']['split']})"
    with filling(out) as folder:
        write_json(folder / "analysis.json", report)
        for layer, raster in spikes.items():
            figures.feature_maps(folder / f"features-{layer}.png", raster, layer=layer, sample=of_sample)
        figures.event_curves(folder / "events.png", report)
        if len(report["steps"]) > 1:
            figures.overlap_maps(folder / "overlap.png", report)
        if report["fisher"]["traces"] is not None:
            figures.fisher_curves(folder / "fisher.png", report["fisher"])
