"""Analyze what a trained network sends from step to step."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy import training
from tdd_deploy.data import Choice, Source
from tdd_deploy.errors import BadFile, BadOption, BadOptions, Violation, any_of, did_you_mean
from tdd_deploy.files import check_folder, filling, write_json
from tdd_deploy.options.analysis import AnalysisOptions
from tdd_deploy.options.encoding import Encoding
from tdd_deploy.program import Program
from tdd_deploy.run_folder import RunFolder
from tdd_deploy.runtime.inputs import EncodedInputs
from tdd_deploy.runtime.progress import Progress, unseen
from tdd_deploy.training import figures
from tdd_deploy.training.analysis import Analysis, Findings, examine, rasters
from tdd_deploy.training.compared import Compared, by_steps, name_methods, per_step
from tdd_deploy.training.diagnostics import Activity
from tdd_deploy.training.replay import Finished

from .load import chosen_samples, describe_inputs, load

BATCH = 32
FIRST = 3  # time steps in figure 1 of the paper
SAME_DATA = ("name", "sha256", "input_shape", "n_classes")  # of the record of a run
Run = tuple[Program, Finished]
Samples = tuple[NDArray[np.floating], NDArray[np.int64] | None]  # inputs and labels of a batch


def analyze(
    run: str | PathLike[str],
    data: Choice,
    *,
    options: AnalysisOptions = AnalysisOptions(),
    out: Path | None = None,
    progress: Progress = unseen,
) -> Analysis:
    """Analyze what a trained network sends from step to step: what repeats, where deltas pay, where information lies.

    Args:
        run: a run folder.
        data: the samples.
        options: what is drawn, the bound of Definition 1, and other runs to compare with.
        out: a folder for analysis.json and pictures.
        progress: receives the number of finished samples.

    Raises:
        BadFile: not a finished run.
        BadOptions: no such layer, no such sample, or a run to compare that is of another network or other data.
        MissingDependency: matplotlib is not installed, which ``out`` needs.
        TddDeployError: anything else wrong with a file or the data.
    """
    if out is not None:
        figures.require()
        check_folder(out, ("analysis.json",))
    program, finished = finished_run(Path(run))
    others = _others(options.compare, finished, Path(run))
    source = data.open_chosen()
    n_samples = chosen_samples(source, data)
    names = finished.deployed.layers
    _check(options, names, n_samples)
    total = n_samples * (1 + len(others))
    inputs = EncodedInputs.of(program, source, Encoding(), frames=data.options.frames)
    batches = _batches(inputs, source, n_samples)
    findings, spikes = _examine(finished, batches, inputs.n_steps, options, lambda done: progress(done, total))
    activities = [findings.activity]
    for other in others:
        activities.append(_activity(other, source, data, n_samples))
        progress(n_samples * len(activities), total)
    analysis = Analysis(
        program=program.digest,
        network=finished.options.network,
        data=describe_inputs(inputs, source, Path(run)),
        shapes={name: program.shapes[name] for name in names},
        findings=findings,
        map_norms=finished.map_norms,
        epochs=finished.recorded["epochs"],
        compared=_compared([Path(run), *options.compare], [(program, finished), *others], activities),
    )
    if out is not None:
        drawn = {name: spikes[name][:, 0] for name in options.layers or names[:2]}
        _write(out, analysis, drawn, options.sample)
    return analysis


def _examine(
    run: Finished,
    batches: Iterator[Samples],
    n_steps: int,
    options: AnalysisOptions,
    progress: Callable[[int], None],
) -> tuple[Findings, Mapping[str, NDArray[np.generic]]]:
    """Return the findings on all samples, and the spikes of the chosen one."""
    findings = None
    spikes: Mapping[str, NDArray[np.generic]] = {}
    done = 0
    for values, labels in batches:
        found = examine(run, values, labels, n_steps, epsilon=options.epsilon)
        findings = found if findings is None else findings + found
        if done <= options.sample < done + values.shape[1]:
            spikes = rasters(run, values[:, [options.sample - done]], n_steps)
        done += values.shape[1]
        progress(done)
    assert findings is not None  # a source without samples is refused
    return findings, spikes


def _check(options: AnalysisOptions, names: Sequence[str], n_samples: int) -> None:
    """Check that what is drawn is among what is analyzed.

    Raises:
        BadOption: no such layer, or no such sample.
    """
    if options.sample >= n_samples:
        raise BadOption("sample", str(options.sample), f"0 to {n_samples - 1}, as no others are analyzed")
    for layer in options.layers:
        if layer not in names:
            raise BadOption("layers", repr(layer), any_of(names), did_you_mean(layer, names))


def _batches(inputs: EncodedInputs, source: Source, n_samples: int) -> Iterator[Samples]:
    """Yield inputs ``[n_steps, batch, ...]``, or ``[1, batch, ...]`` if they are static, and their labels."""
    for encoded, labels in inputs.batches(source, BATCH, limit=n_samples):
        yield encoded.values[None] if encoded.static else encoded.values, labels


def _activity(run: Run, source: Source, data: Choice, n_samples: int) -> Activity:
    """Count the events of a run."""
    program, finished = run
    inputs = EncodedInputs.of(program, source, Encoding(), frames=data.options.frames)
    batches = (values for values, _ in _batches(inputs, source, n_samples))
    counts = [Activity.of(rasters(finished, values, inputs.n_steps), finished.fan_out) for values in batches]
    return sum(counts[1:], start=counts[0])


def _others(paths: Sequence[Path], finished: Finished, run: Path) -> list[Run]:
    """Load the runs of a comparison.

    Raises:
        BadFile: one is not a finished run.
        BadOptions: every run of another network or of other data, and every run that is named twice.
    """
    others = [finished_run(path) for path in paths]
    resolved = [path.resolve() for path in (run, *paths)]
    wrong = [
        Violation(str(path), "is named twice", remedy="Name every run once; RUN is part of the comparison.")
        for number, path in enumerate(paths, 1)
        if resolved[number] in resolved[:number]
    ]
    for path, (_, other) in zip(paths, others, strict=True):
        if other.options.network != finished.options.network:
            found = f"is a run of the network {other.options.network}"
            wrong.append(Violation(str(path), found, remedy=f"Name runs of {finished.options.network}, as {run} is."))
        learned, of_other = finished.recorded["data"], other.recorded["data"]
        if any(learned.get(key) != of_other.get(key) for key in SAME_DATA):
            found = f"is a run on other samples of {of_other.get('name')}"
            if learned.get("name") != of_other.get("name"):
                found = f"is a run on {of_other.get('name')}"
            remedy = f"Name runs on the samples of {learned.get('name')} that {run} learned from."
            wrong.append(Violation(str(path), found, remedy=remedy))
    if wrong:
        raise BadOptions("`compare`", wrong)
    return others


def _compared(paths: Sequence[Path], runs: Sequence[Run], activities: Sequence[Activity]) -> list[Compared]:
    """Name the method of each run; return nothing for a single run."""
    if len(paths) == 1:
        return []
    methods = name_methods([finished.options.as_json() for _, finished in runs])
    return [
        Compared(str(path), program.digest, method, activity)
        for path, (program, _), method, activity in zip(paths, runs, methods, activities, strict=True)
    ]


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
            draw = partial(figures.feature_maps, spikes=raster, layer=layer, sample=of_sample)
            draw(folder / f"figure1-features-{layer}.png", with_changes=False, most_steps=FIRST)
            draw(folder / f"figure3-changes-{layer}.png")
        if report["compared"]:
            _draw_methods(folder, report)
        figures.event_curves(folder / "events.png", report)
        if len(report["steps"]) > 1:
            figures.overlap_maps(folder / "overlap.png", report)
        if report["fisher"]["traces"] is not None:
            figures.fisher_curves(folder / "fisher.png", report["fisher"])


def _draw_methods(folder: Path, report: Mapping[str, Any]) -> None:
    """Draw the events of the compared runs by method."""
    runs = report["compared"]
    on = f"{report['network']} on {report['data']['name']} ({report['data']['split']})"
    figures.method_curves(
        folder / "figure4-events-by-steps.png",
        by_steps(runs),
        title=f"Events per sample of {on}",
        against="number of time steps T",
    )
    figures.method_curves(
        folder / "figure5-events-per-step.png",
        per_step(runs),
        title=f"Events per time step of {on}, T = {runs[0]['n_steps']}",
        against="time step",
    )
