"""The front door: the functions of ``import tdd_deploy as td``.

Wherever a file is taken, a path, a ``Program`` or arrays go in; a typed result comes out. Options are keywords, named
as on the command line, and checked by the same classes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

from numpy.typing import ArrayLike

from tdd_deploy import keywords
from tdd_deploy.commands.arguments import X, gather_all, name_data, open_whole
from tdd_deploy.commands.load import FilePath, Network, file_path, file_paths
from tdd_deploy.commands.load import load as load_program
from tdd_deploy.errors import BadOption
from tdd_deploy.options.analysis import AnalysisOptions
from tdd_deploy.options.dataset import NamedData
from tdd_deploy.options.declare import gather
from tdd_deploy.options.early_exit import ExitOptions
from tdd_deploy.options.encoding import Coding, Encoding, Output, SeededSteps, StatedSteps, Steps
from tdd_deploy.options.execution import Execution
from tdd_deploy.options.export import Export
from tdd_deploy.options.functions import OPTIONS
from tdd_deploy.options.grid import Grid
from tdd_deploy.options.model import Model
from tdd_deploy.options.placement import Placement
from tdd_deploy.options.pricing import Pricing
from tdd_deploy.options.pruning import PruneOptions
from tdd_deploy.options.quantization import ComparedQuantization, Quantization
from tdd_deploy.options.training import LearnedData
from tdd_deploy.options.verification import Verification
from tdd_deploy.program import Program
from tdd_deploy.runtime.progress import Shown, progress_of

from .api_data import open_data, stream  # noqa: F401  (part of the front door)

if TYPE_CHECKING:
    from tdd_deploy.commands.quantization import Quantized
    from tdd_deploy.commands.train import TrainedRun
    from tdd_deploy.commands.tune_exit import TunedExit
    from tdd_deploy.commands.verify import Verified
    from tdd_deploy.simulator.hardware.check import Checked
    from tdd_deploy.simulator.reports.report import Simulation
    from tdd_deploy.training import Watcher
    from tdd_deploy.training.analysis import Analysis


def load(network: Network, **options: Unpack[keywords.Load]) -> Program:
    """Read a network.

    Args:
        network: a .nir, .net or .onnx file, or a run folder.
        options: how a file of another tool is read.

    Raises:
        TddDeployError: the file cannot be read, or not in one way only.
    """
    return load_program(network, gather(options, Model)[Model])


def train(
    out: FilePath,
    x: X | None = None,
    y: ArrayLike | None = None,
    *,
    resume: bool = False,
    watcher: "Watcher | None" = None,
    **options: Unpack[keywords.Train],
) -> "TrainedRun":
    """Train a spiking network into a run folder; the result can be handed to the other functions as a network.

    Args:
        out: a new folder, or with ``resume`` the folder of an unfinished run.
        x: samples ``[N, ...]``; without them, the option ``data`` names some (digits by default).
        y: labels ``[N]``.
        resume: continue a run, with the options that it began with.
        watcher: receives every batch and epoch.
        options: the network, the method, and how it learns.

    Raises:
        MissingDependency: torch is not installed.
        Interrupted: Ctrl-C; the folder holds everything needed to ``resume``, or the run had not begun.
        TddDeployError: anything wrong with the folder, the data or an option.
    """
    from tdd_deploy.commands.training_package import require_torch

    require_torch("train")
    from tdd_deploy.commands.train import train as run

    folder, given = file_path("out", out), name_data(options, x, y)
    scale = gather(given, *OPTIONS["train"])[LearnedData].input_scale
    return run(folder, given, resume=resume, whole=open_whole(x, y, scale), watcher=watcher)


def quantize(
    network: Network, x: X | None = None, y: ArrayLike | None = None, **options: Unpack[keywords.Quantize]
) -> "Quantized":
    """Turn a network in floats into the integers of Loihi 2; with samples, measure what that changes.

    Args:
        network: a .nir, .net or .onnx file, a run folder, or a Program.
        x: calibration samples ``[N, ...]``; without them, the option ``data`` may name some.
        y: labels ``[N]``.
        options: bits of a weight (8 by default), scales, bits of the input.

    Raises:
        NotExportable: every reason why integers cannot hold the network.
        TddDeployError: anything wrong with the file, the data or an option.
    """
    from tdd_deploy.commands.load import path_of
    from tdd_deploy.commands.quantization import quantize as run

    gathered, choice = gather_all("quantize", options, x, y)
    return run(load_program(network), gathered[Quantization], data=choice, path=path_of(network))


def simulate(
    network: Network,
    x: X | None = None,
    y: ArrayLike | None = None,
    *,
    out: FilePath | None = None,
    progress: Shown = None,
    **options: Unpack[keywords.Simulate],
) -> "Simulation":
    """Execute a network on samples, event by event; count, and with ``energy=True`` price what was executed.

    Args:
        network: a .nir, .net or .onnx file, a run folder, or a Program.
        x: samples ``[N, ...]`` or a torch DataLoader; without them, the option ``data`` names some.
        y: labels ``[N]``.
        out: a folder for report.json, steps.csv and report.html.
        progress: receives the numbers of finished and of all samples; by default a bar on a terminal or in a notebook.
        options: the data, the code, the hardware, and where samples are executed.

    Raises:
        TddDeployError: anything wrong with a file, the data or an option.
    """
    from tdd_deploy.commands.simulate import Destination
    from tdd_deploy.commands.simulate import simulate as run

    folder = None if out is None else file_path("out", out)
    gathered, choice = gather_all("simulate", options, x, y)
    with progress_of("simulating", progress) as update:
        return run(
            network,
            choice,
            model=gathered[Model],
            encoding=gathered[Encoding],
            coding=gathered[Coding],
            execution=gathered[Execution],
            pricing=gathered[Pricing],
            destination=Destination(folder=folder),
            progress=update,
        )


def tune_exit(
    run: FilePath,
    x: X | None = None,
    y: ArrayLike | None = None,
    *,
    progress: Shown = None,
    **options: Unpack[keywords.TuneExit],
) -> "TunedExit":
    """Find the margin of an early exit that loses little accuracy on validation samples; write it into a run folder.

    ``simulate`` reads it with ``early_exit="tuned"``.

    Args:
        run: a run folder.
        x: validation samples ``[N, ...]``, all of which are used; without them, the option ``data`` names some.
        y: labels ``[N]``.
        progress: receives the numbers of finished and of all samples; by default a bar on a terminal or in a notebook.
        options: the data, and how much accuracy may be lost.

    Raises:
        TddDeployError: anything wrong with the folder, the data or an option.
    """
    from tdd_deploy.commands.tune_exit import tune_exit as job

    path = file_path("run", run)
    gathered, choice = gather_all("tune_exit", options, x, y)
    with progress_of("tuning", progress) as update:
        return job(path, choice, options=gathered[ExitOptions], encoding=gathered[Encoding], progress=update)


def price(simulation: "Simulation", **options: Unpack[keywords.Price]) -> "Simulation":
    """Return a simulation with the energy of its counts.

    Messages between the cores of a chip are priced only if ``simulate`` counted them, with a profile of that chip.

    Args:
        simulation: its counts are priced as they are.
        options: profiles, time per step, clock, ANN baselines.

    Raises:
        TddDeployError: no such profile, or a damaged baseline.
    """
    from tdd_deploy.commands.pricing import Prices
    from tdd_deploy.commands.pricing import price as run
    from tdd_deploy.simulator.reports.report import Simulation

    if not isinstance(simulation, Simulation):
        raise BadOption("simulation", f"a value of type {type(simulation).__name__}", "what simulate returns")
    prices = Prices.of(gather({"energy": True, **options}, Pricing)[Pricing], with_dense=True)
    n_samples = simulation.trace.n_samples
    return run(simulation, prices.with_baselines(simulation.program, simulation.data, n_samples=n_samples))


def check(
    network: Network,
    chip: FilePath,
    x: X | None = None,
    y: ArrayLike | None = None,
    *,
    progress: Shown = None,
    **options: Unpack[keywords.Check],
) -> "Checked":
    """Check whether a network fits on a chip, and what helps if it does not.

    Args:
        network: a .nir, .net or .onnx file, a run folder, or a Program.
        chip: loihi1, loihi2 or truenorth, a profile of one, or a path to a .toml.
        x: samples ``[N, ...]`` that show what the input sends; without them, the option ``data`` may name some.
        y: labels ``[N]``.
        progress: receives the numbers of finished and of all samples; by default a bar on a terminal or in a notebook.
        options: bits of a weight, the code, the number of chips.

    Raises:
        TddDeployError: anything wrong with a file or an option.
    """
    from tdd_deploy.commands.check import check as run

    gathered, choice = gather_all("check", options, x, y)
    name = str(file_path("chip", chip)) if not isinstance(chip, str) else chip
    with progress_of("checking", progress) as update:
        return run(network, name, options=gathered[Placement], model=gathered[Model], data=choice, progress=update)


def verify(
    network: Network,
    x: X | None = None,
    y: ArrayLike | None = None,
    *,
    progress: Shown = None,
    **options: Unpack[keywords.Verify],
) -> "Verified":
    """Run the same samples on several backends and compare each one with the one before it.

    Args:
        network: a .nir, .net or .onnx file, a run folder, or a Program; the backend torch needs the folder.
        x: samples ``[N, ...]`` or a torch DataLoader; without them, the option ``data`` names some.
        y: labels ``[N]``.
        progress: receives the numbers of finished and of all samples; by default a bar on a terminal or in a notebook.
        options: the data, the backends, and how floats are quantized for those in integers.

    Raises:
        TddDeployError: anything wrong with the file, the data or an option.
    """
    from tdd_deploy.commands.verify import verify as run

    gathered, choice = gather_all("verify", options, x, y)
    with progress_of("verifying", progress) as update:
        return run(
            network,
            choice,
            options=gathered[Verification],
            model=gathered[Model],
            steps=gathered[Steps],
            quantization=gathered[ComparedQuantization],
            output=gathered[Output],
            progress=update,
        )


def export(
    network: Network,
    target: str,
    out: FilePath,
    x: X | None = None,
    y: ArrayLike | None = None,
    *,
    progress: Shown = None,
    **options: Unpack[keywords.Export],
) -> "Quantized":
    """Write a network for a target, quantized first where that is asked for or needed.

    Args:
        network: a .nir, .net or .onnx file, a run folder, or a Program.
        target: nir, lava or onnx.
        out: the file to write; for lava, the folder.
        x: calibration samples ``[N, ...]``; without them, the option ``data`` may name some.
        y: labels ``[N]``.
        progress: receives the numbers of finished and of all samples; by default a bar on a terminal or in a notebook.
        options: quantization, and what the target lets a user choose.

    Raises:
        NotExportable: every reason why the target cannot hold the network.
        TddDeployError: anything wrong with a file, the data or an option.
    """
    from tdd_deploy.commands.export import export as run

    file = file_path("out", out)
    gathered, choice = gather_all("export", options, x, y)
    with progress_of("calibrating", progress) as update:
        return run(
            network,
            target,
            file,
            options=gathered[Export],
            model=gathered[Model],
            quantization=gathered[Quantization],
            data=choice,
            steps=gathered[StatedSteps],
            progress=update,
        )


def inspect(network: Network, **options: Unpack[keywords.Inspect]) -> "dict[str, Any]":
    """Describe a network, every choice named, as plain values.

    Args:
        network: a .nir, .net or .onnx file, a run folder, or a Program.
        options: how a file of another tool is read.

    Raises:
        TddDeployError: the file cannot be read.
    """
    from tdd_deploy.commands.inspect import inspect as run

    return run(network, model=gather(options, Model)[Model])


def sweep(
    runs: Sequence[FilePath] | FilePath,
    out: FilePath,
    x: X | None = None,
    y: ArrayLike | None = None,
    *,
    progress: Shown = None,
    **options: Unpack[keywords.Sweep],
) -> "dict[str, Any]":
    """Simulate every combination of networks, codes, bits and thresholds; return the contents of sweep.json.

    Args:
        runs: .nir or .net files, or run folders; or a single one.
        out: a folder for sweep.json, sweep.csv and sweep.svg; an unfinished sweep in it continues.
        x: samples ``[N, ...]`` or a torch DataLoader; without them, the option ``data`` names some.
        y: labels ``[N]``.
        progress: receives the numbers of finished and of all points; by default a bar on a terminal or in a notebook.
        options: the data, and the axes.

    Raises:
        TddDeployError: anything wrong with a file, the data or an option.
    """
    from tdd_deploy.commands.sweep import sweep as run

    paths, folder = file_paths("runs", runs), file_path("out", out)
    if not paths:
        raise BadOption("runs", "needs a network")
    gathered, choice = gather_all("sweep", options, x, y)
    steps = gathered[SeededSteps]
    with progress_of("sweeping", progress, unit="points") as update:
        return run(paths, choice, folder, grid=gathered[Grid], model=gathered[Model], steps=steps, progress=update)


def analyze(
    run: FilePath,
    x: X | None = None,
    y: ArrayLike | None = None,
    *,
    out: FilePath | None = None,
    progress: Shown = None,
    **options: Unpack[keywords.Analyze],
) -> "Analysis":
    """Analyze what a trained network sends from step to step: what repeats, where deltas pay, where information lies.

    Args:
        run: a run folder.
        x: samples ``[N, ...]`` or a torch DataLoader; without them, the option ``data`` names some.
        y: labels ``[N]``.
        out: a folder for analysis.json and pictures.
        progress: receives the numbers of finished and of all samples; by default a bar on a terminal or in a notebook.
        options: the data, and what is drawn.

    Raises:
        MissingDependency: torch is not installed.
        TddDeployError: anything wrong with the folder, the data or an option.
    """
    from tdd_deploy.commands.training_package import require_torch

    require_torch("analyze")
    from tdd_deploy.commands.analyze import analyze as job

    path, folder = file_path("run", run), None if out is None else file_path("out", out)
    gathered, choice = gather_all("analyze", options, x, y)
    with progress_of("analyzing", progress) as update:
        return job(path, choice, options=gathered[AnalysisOptions], out=folder, progress=update)


def prune(
    run: FilePath,
    out: FilePath,
    x: X | None = None,
    y: ArrayLike | None = None,
    *,
    progress: Shown = None,
    **options: Unpack[keywords.Prune],
) -> "dict[str, Any]":
    """Remove weights from a trained network, round by round, and let it learn on; return the rounds.

    Args:
        run: a run folder; it stays as it is.
        out: a new run folder.
        x: the samples that it was trained on; without them, the option ``data`` names them.
        y: labels ``[N]``.
        progress: receives the numbers of finished and of all batches; by default a bar on a terminal or in a notebook.
        options: the data, how much is removed, and how long the network learns.

    Raises:
        MissingDependency: torch is not installed.
        Interrupted: Ctrl-C; the finished rounds are kept.
        TddDeployError: anything wrong with a folder, the data or an option.
    """
    from tdd_deploy.commands.training_package import require_torch

    require_torch("prune")
    from tdd_deploy.commands.prune import prune as job

    path, folder = file_path("run", run), file_path("out", out)
    gathered, whole = gather(name_data(options, x, y), *OPTIONS["prune"]), open_whole(x, y, None)
    with progress_of("pruning", progress, unit="batches") as update:
        return job(path, gathered[NamedData], folder, options=gathered[PruneOptions], whole=whole, progress=update)
