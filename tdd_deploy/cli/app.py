"""The command line: each command wraps the function of its name in ``pipeline``.

Exit codes: 0 yes; 1 the answer is no; 2 usage or bad file; 3 an optional part is missing; 4 internal error;
130 interrupted. Tables and JSON go to stdout, progress and errors to stderr.
"""

import os
import sys
import traceback
from contextlib import contextmanager
from fractions import Fraction
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tdd_deploy import __version__
from tdd_deploy.errors import BadOption, Interrupted, TddDeployError, WorkerFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from tdd_deploy.commands.pipeline import Exported, Progress, Verified
    from tdd_deploy.simulator.reports.report import Simulation

PATH = click.Path(path_type=Path)
FC = TypeVar("FC", bound="Callable[..., Any] | click.Command")
# Words that rooms with heavy imports define; a test holds them to their rooms.
NETWORKS = ("mlp", "conv-small", "conv-medium", "resnet19", "resnet19-small", "sdt-2-256", "sdt-2-64")
METHODS = ("tet", "tdd-ddla", "l1-spikes", "l1-delta", "l1-onset", "ann")
LOSSES = ("tet", "rate", "rmp")
STRATEGIES = ("bptt", "sltt", "sltt-k", "stdl")
SCORES = ("gsc", "jac", "grad", "random")
READINGS = ("F", "D")
NORMS = ("batch", "mpbn", "tab", "tebn")
TRANSMISSIONS = ("all", "open", "closed")
OPTIMIZERS = ("adamw", "adam", "sgd")
AUGMENTATIONS = ("crop-flip", "randaugment")
DEVICES = ("auto", "cpu", "cuda")
TARGETS = ("nir", "lava", "onnx")
ENCODERS = ("direct", "poisson")
BIN_VALUES = ("count", "binary")
MAPPINGS = ("fused", "stock", "spike")
FORMS = ("step", "scan")
PRUNED_BY = ("fisher", "magnitude")
BACKENDS = ("torch", "reference", "event", "onnx", "openvino", "integer", "lava")

CODES = ("auto", "delta", "spike")
ROWS = ("layer", "step", "term", "profile", "placement", "twin")
FORMATS_OF_TABLES = ("md", "csv", "latex", "json")
DEFAULT_PROFILES = ("loihi1-davies2018", "cmos45-horowitz", "cmos45-memory")
DATA = "digits (built in), mnist, fashion-mnist, cifar10, cifar100, tonic:NAME, or a path to an .npz."
STEPS = "Time steps per sample. Default: as in data with a time axis, else as the network states."
DATA_DIR = "Folder of mnist, cifar10, ...; default: $TDD_DEPLOY_DATA."
data_dir = click.option("--data-dir", type=PATH, help=DATA_DIR)
per = click.option(
    "--per",
    type=click.Choice(("layer", "neuron")),
    default="layer",
    show_default=True,
    help="One scale for each of these.",
)
input_bits = click.option("--input-bits", type=int, help="Of an analog input. Default: those that lose least.")
table_format = click.option(
    "--format", "as_format", type=click.Choice(FORMATS_OF_TABLES), default="md", show_default=True
)
output_option = click.option(
    "--output",
    type=click.Choice(("spikes", "potential")),
    default="spikes",
    show_default=True,
    help="Take the spikes of the last layer as the output, or its potential before the reset.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def foreign_file(command: FC) -> FC:
    """Add the options of a file that another tool wrote."""
    dialect = click.option(
        "--dialect",
        metavar="NAME[,KEY=VALUE...]",
        help="How to read a file of another tool: nir, snntorch, norse, sinabs, spikingjelly, rockpool, spyx or lava; "
        "inspect FILE shows what each makes of it. KEY[NODE]=VALUE sets a choice for one node.",
    )
    strict = click.option("--strict", is_flag=True, help="Refuse a file that would have to be repaired.")
    return dialect(strict(command))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tdd-deploy", message="%(prog)s %(version)s")
def cli() -> None:
    r"""Spiking networks from the trainer to the chip, executed as changes between time steps.

    \b
    A first round, on data that comes with it:
      tdd-deploy train --data digits --out runs/digits
      tdd-deploy simulate runs/digits --data digits --energy
      tdd-deploy export runs/digits --target nir --out digits.nir
    """


def _listed(kind: "Callable[[str], Any]") -> "Callable[..., tuple[Any, ...] | None]":
    """Return what reads several values with commas between them."""

    def read(context: click.Context, option: click.Parameter, value: str | None) -> tuple[Any, ...] | None:
        if value is None:
            return None
        try:
            return tuple(kind(word.strip()) for word in value.split(",") if word.strip())
        except ValueError as error:
            raise click.BadParameter(str(error), context, option) from error

    return read


def _code(word: str) -> str:
    if word not in CODES:
        raise ValueError(f"{word!r} is not one of {', '.join(CODES)}")
    return word


def _bits(word: str) -> int | None:
    if word == "float":
        return None
    if not word.isdecimal():
        raise ValueError(f"{word!r} is neither float nor a number of bits")
    return int(word)


class _Grouped(click.Command):
    """A command with so many options that its help has headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                groups.setdefault(getattr(param, "group", "The run"), []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)


class _OptionOf(click.Option):
    """An option under a heading."""

    def __init__(self, *args: Any, group: str, **given: Any) -> None:
        super().__init__(*args, **given)
        self.group = group


def _of(group: str) -> "Callable[..., Callable[[FC], FC]]":
    return partial(click.option, cls=_OptionOf, group=group)


_data, _network, _neurons, _method, _learning, _place = map(
    _of, ("The data", "The network", "The neurons", "What is asked of it", "How it learns", "Where it learns")
)


def _event_options(option: "Callable[..., Callable[[FC], FC]]") -> "Callable[[FC], FC]":
    """Return what gives a command the options by which events of a camera become time steps."""
    added = (
        option("--bin-us", type=int, metavar="US", help="Camera events: microseconds per time step."),
        option("--bins", type=int, metavar="N", help="Camera events: cut each sample into N time steps."),
        option(
            "--bin-value", type=click.Choice(BIN_VALUES), help="Camera events: count them (default), or send only 1."
        ),
        option("--downsample", type=int, metavar="K", help="Camera events: sum K x K pixels into one. Default: 1."),
    )

    def add(command: FC) -> FC:
        for each in reversed(added):
            command = each(command)
        return command

    return add


def _fraction(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
    """Parse a number, or a fraction such as 1/256."""
    if value is None:
        return None
    try:
        return float(Fraction(value))
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise click.BadParameter(f"{value!r} is not a number or a fraction such as 1/256", context, option) from error


INPUT_SCALE = (
    "Multiply stored values by this, such as 1 or 1/256. Default: the array scale of an .npz; else 1/256 for bytes, "
    "unless all are 0 and 1, and 1 for other types."
)
FRAMES = "Read x as [N, steps, ...]. Default: only if its shape leaves no other reading."


def _read(command: "Callable[..., None]") -> "Callable[..., None]":
    """Add the options that say how to read data; those for events reach the command as ``binning``."""

    @click.option("--input-scale", metavar="S", callback=_fraction, help=INPUT_SCALE)
    @click.option("--frames", is_flag=True, help=FRAMES)
    @_event_options(click.option)
    @wraps(command)
    def run(*, bin_us: int | None, bins: int | None, bin_value: Any, downsample: int | None, **options: Any) -> None:
        from tdd_deploy.data import Binning

        binning = Binning.of(bin_us=bin_us, bins=bins, bin_value=bin_value, downsample=downsample)
        command(binning=binning, **options)

    return run


@cli.command(cls=_Grouped)
@_data("--data", help=f"Default: {DATA}")
@_data("--data-dir", type=PATH, help=DATA_DIR)
@_data(
    "--frames",
    is_flag=True,
    default=None,
    help="Read x of an .npz as [N, steps, ...]. Default: images without a time axis.",
)
@_data("--input-scale", metavar="S", callback=_fraction, help=INPUT_SCALE)
@_event_options(_data)
@_data("--train-samples", type=int, metavar="N", help="Learn from the first N training samples. Default: all.")
@_data("--encoder", type=click.Choice(ENCODERS), help="Default: direct, the image itself at every step.")
@_data("--augment", type=click.Choice(AUGMENTATIONS), help="Change images at random; randaugment crops and flips too.")
@_data("--mixup", type=float, metavar="ALPHA", help="Blend pairs of images and labels.")
@_data(
    "--cutmix", type=float, metavar="ALPHA", help="Paste boxes of other images; with --mixup, one of both per batch."
)
@_network("--network", type=click.Choice(NETWORKS), help="Default: conv-small.")
@_network("--steps", type=int, help="Time steps per sample. Default: 6, of an ANN 1.")
@_network("--norm", type=click.Choice(NORMS), help="batch (default); mpbn: potentials too. Others are refused.")
@_network("--qat", type=int, metavar="BITS", help="Train for Loihi 2's integers, with weights of 2 to 8 bits.")
@_neurons("--neuron", type=click.Choice(("lif", "if")), help="Default: lif.")
@_neurons("--beta", type=float, help="Fraction of the potential kept per step. Default: 0.5.")
@_neurons("--threshold", type=float, help="Default: 1.")
@_neurons("--reset", type=click.Choice(("hard", "soft")), help="To a level, or by subtraction. Default: hard.")
@_neurons(
    "--reset-to",
    callback=_listed(float),
    help="Level of a hard reset, in thresholds; with commas, per layer. Default: 0.",
)
@_neurons("--learn", callback=_listed(str), help="Learn these too, per layer: beta, threshold or beta,threshold.")
@_method("--loss", type=click.Choice(LOSSES), help="tet: every step (default); rate: their mean; rmp: potentials too.")
@_method(
    "--method",
    type=click.Choice(METHODS),
    help="What is added for fewer events. Default: tdd-ddla. ann: train the dense ANN twin, a baseline.",
)
@_method("--lambda", "lambda_", type=float, help="Penalty's weight: (1 - lambda) / lambda. Default: 0.45, l1: 0.75.")
@_method("--weigh", type=click.Choice(("layers", "synops")), help="Layers count alike (default), or by their synops.")
@_method("--score", type=click.Choice(SCORES), help="tdd-ddla: what is kept. Default: gsc.")
@_method("--reading", type=click.Choice(READINGS), help="tdd-ddla: press spikes (F) or changes (D). Default: F.")
@_method("--keep", type=float, help="tdd-ddla: fraction of spikes left free. Default: 0.5.")
@_method(
    "--transmit",
    type=click.Choice(TRANSMISSIONS),
    help="tdd-ddla: changes sent while learning: all (default), or those of high score, added to what receivers hold "
    "(open), or to what the sender knows that they hold (closed).",
)
@_method("--label-smoothing", type=float, help="Share of a label given to all classes. Default: 0.")
@_learning("--epochs", type=int, help="Default: 25.")
@_learning("--batch", type=int, help="Samples per gradient step, of all processes. Default: 64.")
@_learning("--seed", type=int, help="Default: 0.")
@_learning(
    "--strategy",
    type=click.Choice(STRATEGIES),
    help="Gradients through time (bptt, default), step by step (sltt), of some steps (sltt-k), part by part (stdl).",
)
@_learning("--sltt-steps", type=int, metavar="K", help="sltt-k: how many steps of each batch. Default: 2.")
@_learning("--local-parts", type=int, metavar="N", help="stdl: into how many parts. Default: 2.")
@_learning("--optimizer", type=click.Choice(OPTIMIZERS), help="Default: adamw.")
@_learning("--learning-rate", type=float, help="At its highest. Default: 0.002; sgd wants more, such as 0.1.")
@_learning("--momentum", type=float, help="sgd: default 0.9.")
@_learning("--weight-decay", type=float, help="Default: 0.01; sgd wants less, such as 0.0005.")
@_learning("--schedule", type=click.Choice(("cosine", "constant")), help="Of the learning rate. Default: cosine, to 0.")
@_learning("--warmup", type=float, metavar="EPOCHS", help="In which the learning rate grows. Default: 0.")
@_learning("--clip", type=float, metavar="NORM", help="Largest norm of all gradients together. Default: none.")
@_learning(
    "--ema", type=float, metavar="DECAY", help="Deploy a moving average of the network, such as 0.999 per batch."
)
@_learning(
    "--patience", type=int, metavar="EPOCHS", help="Stop after so many without a higher accuracy; keep the best."
)
@_learning("--fisher", type=int, metavar="N", help="Record N samples' Fisher information per step, for analyse.")
@_place("--device", type=click.Choice(DEVICES), help="Default: auto, cuda where there is one.")
@_place("--amp", is_flag=True, default=None, help="Connections in bfloat16; neurons stay in float32.")
@_place("--tensorboard", is_flag=True, default=None, help="Also write TensorBoard's files.")
@click.option("--config", type=PATH, help="A .toml whose table [train] has options, by their names here.")
@click.option("--resume", is_flag=True, help="Continue the run in --out, to the same weights as without a break.")
@click.option("--out", type=PATH, required=True, help="Run folder; new, unless --resume.")
def train(out: Path, *, resume: bool, **given: Any) -> None:
    """Train a spiking network and write it as a NIR file.

    The run folder gets network.nir, network.safetensors, train.json, metrics.csv and checkpoint.pt; with --method ann
    baseline.json instead of the first: MACs, and accuracy in floats and in 8 to 2 bits. Ctrl-C saves; --resume goes on.
    Several processes train together with torchrun --nproc-per-node N -m tdd_deploy train ...
    """
    from tdd_deploy.commands.pipeline import train as run
    from tdd_deploy.training.malloc import keep_freed_memory

    keep_freed_memory()
    with _training_progress() as watcher:
        finished = run(out, resume=resume, watcher=watcher, **given)
    if not _is_first():
        return
    _print_lines(_input_lines(finished["data"]))
    last = finished["epochs"][finished["kept_epoch"] - 1]
    if finished["program"] is None:
        _echo_baseline(out, last["accuracy"])
        return
    click.echo(
        f"{out / 'network.nir'}: validation accuracy {last['accuracy']:.1%}, "
        f"{last['raw_events']:,.0f} spikes and {last['delta_events']:,.0f} delta events per sample"
    )


def _echo_baseline(run: Path, accuracy: float) -> None:
    """Say in a line what an ANN costs and knows."""
    from tdd_deploy.commands.pipeline import BASELINE, read_baseline

    found = read_baseline(run)
    split = found["results"][-1]["split"]
    of_split = (row for row in found["results"] if row["split"] == split)
    accuracies = (f"{row['accuracy']:.1%} in {'floats' if row['bits'] is None else row['bits']}" for row in of_split)
    click.echo(
        f"{run / BASELINE}: validation accuracy {accuracy:.1%}, {sum(row['macs'] for row in found['layers']):,} dense "
        f"MACs per sample; of {split} {', '.join(accuracies)} bits, quantized after training"
    )


@cli.command()
@click.argument("file", type=PATH)
@foreign_file
@click.option("--target", type=click.Choice(TARGETS), required=True, help="Where the network goes.")
@click.option("--out", type=PATH, required=True, help="File to write; lava: folder.")
@click.option("--bits", type=int, help="Quantize to integers, 2 to 8 bits per weight. Default: lava 8; else none.")
@per
@input_bits
@click.option("--mapping", type=click.Choice(MAPPINGS), help="lava: processes of ours, or Lava's own. Default: fused.")
@click.option("--form", type=click.Choice(FORMS), help="onnx: one time step, or a loop over all. Default: step.")
@click.option(
    "--fast",
    is_flag=True,
    help="onnx, floats: use Conv and Gemm. They are faster, but OpenVINO may compute them in bfloat16. "
    "Default: exact operators.",
)
@click.option(
    "--code",
    type=click.Choice(("delta", "spike")),
    help="What edges send; lava, fused: delta by default; onnx: spike by default.",
)
@click.option("--floats", is_flag=True, help="lava: keep floats, for its floating-point simulation.")
@click.option("--data", help=f"Measure what quantizing changes, on training samples: {DATA}")
@data_dir
@_read
@click.option("--samples", type=click.IntRange(1), default=64, show_default=True, help="How many of --data.")
@click.option(
    "--steps",
    type=click.IntRange(1),
    help="State this number of time steps per sample in the file. Default: as the network states.",
)
@json_option
def export(file: Path, *, target: str, out: Path, as_json: bool, **options: Any) -> None:
    """Write FILE (a .nir, .net or .onnx file, or a run folder) for a target.

    nir: one file. lava: a folder with weights, manifest and a run.py that needs only lava-nc (tdd-deploy lava run).
    onnx: one file, whose states are inputs and outputs.
    """
    from tdd_deploy.commands.pipeline import export as run

    exported = run(file, target=target, out=out, **options)
    if as_json:
        _echo_json(exported.as_json())
        return
    if exported.layers:
        _print_quantization(exported)
    program = exported.program
    if exported.data:
        _print_lines(_input_lines(exported.data))
    if exported.input_of_integers:
        click.echo(_integers_line(**exported.input_of_integers, is_measured=exported.data is not None))
    click.echo(
        f"{out}: {len(program.neuron_layers)} layers of neurons, {program.number_format}, program {program.digest[:12]}"
    )


def _integers_line(*, unit: float, largest: float, is_measured: bool) -> str:
    """Describe the values that the input of a quantized network takes, and the option that changes them."""
    if unit == largest == 1:
        return "the input takes the integers 0 and 1, like all values of these samples (change it with --input-bits)"
    found = f"the input takes multiples of {unit:g}, from {-largest:g} to {largest:g} (--input-bits"
    return f"{found})" if is_measured else f"{found}; --data measures the range)"


@cli.command()
@click.argument("file", type=PATH)
@foreign_file
@click.option("--data", required=True, help=DATA)
@data_dir
@_read
@click.option("--split", help="train, val or test; all, train or val of an .npz. Default: test, or all.")
@click.option("--samples", type=click.IntRange(1), help="How many, from the first on. Default: all.")
@click.option("--steps", type=click.IntRange(1), help=STEPS)
@click.option("--encoder", type=click.Choice(ENCODERS), help="Default: as the network was trained.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the Poisson encoder.", show_default=True)
@click.option(
    "--input-threshold", type=float, default=0.0, help="Resend an input only after it has changed by more. Default: 0."
)
@click.option("--delta-threshold", type=float, help="The same for all SigmaDelta layers. Default: as in the file.")
@click.option(
    "--code",
    type=click.Choice(CODES),
    default="delta",
    show_default=True,
    help="What edges send: changes, spikes, or per edge what costs less on 64 training samples.",
)
@click.option("--energy", is_flag=True, help="Price what was executed.")
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    help="With --energy: a name that tdd-deploy profiles lists, or a path to a .toml; repeated, a comparison. "
    f"Default: {', '.join(DEFAULT_PROFILES)}.",
)
@click.option("--step-time", type=float, help="Seconds that the hardware takes per time step, for its static power.")
@click.option("--clock", type=float, help="Of the hardware, in MHz. Default: as its profile says.")
@click.option(
    "--by", type=click.Choice(("step", "layer")), default="step", show_default=True, help="Rows of the table."
)
@click.option("--early-exit", type=float, help="End a sample when its largest mean output is so far ahead.")
@click.option("--baseline", type=PATH, help="Run folder of its dense twin (train --method ann): compare with that.")
@click.option("--batch", type=click.IntRange(1), default=64, show_default=True, help="Samples executed at once.")
@click.option("--threads", type=click.IntRange(1), help="Of this process. Default: one per core.")
@click.option("--workers", type=click.IntRange(1), help="Use this number of processes on this machine.")
@click.option("--scheduler", help="Use the workers of the Dask scheduler at this address, such as tcp://host:8786.")
@json_option
@output_option
@click.option("--record", type=PATH, help="Write every layer's spikes, [samples, steps, ...], to this .npz.")
@click.option(
    "--record-potentials",
    is_flag=True,
    help="Add v/LAYER to --record: the potentials that a layer compares with its threshold. Default: spikes only.",
)
@click.option("--out", type=PATH, help="Write report.json, steps.csv and report.html into this folder.")
def simulate(file: Path, *, energy: bool, profiles: tuple[str, ...], by: str, as_json: bool, **options: Any) -> None:
    """Execute FILE (a .nir, .net or .onnx file, or a run folder) on data, event by event.

    Counts are of this run, beside those of plain spikes; --energy prices them.
    """
    from tdd_deploy.commands.pipeline import simulate as run

    if profiles and not energy:
        raise BadOption("--profile", ", ".join(profiles), "with --energy, which prices what was executed")
    chosen = (profiles or DEFAULT_PROFILES) if energy else ()
    with _samples_progress() as progress:
        simulation = run(file, profiles=chosen, progress=progress, **options)
    if as_json:
        _echo_json(simulation.as_json())
    else:
        _print_simulation(simulation, by)


@cli.command()
@click.argument("runs", type=PATH, nargs=-1, required=True)
@foreign_file
@click.option("--data", required=True, help=DATA)
@data_dir
@_read
@click.option("--split", help="train, val or test; all, train or val of an .npz. Default: test, or all.")
@click.option("--samples", type=click.IntRange(1), help="How many, from the first on. Default: all.")
@click.option("--steps", type=click.IntRange(1), help=STEPS)
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the Poisson encoder.", show_default=True)
@click.option("--code", "codes", callback=_listed(_code), default="delta,spike", show_default=True)
@click.option("--bits", callback=_listed(_bits), default="float", show_default=True, help="Such as float,8,4.")
@click.option(
    "--input-threshold",
    "input_thresholds",
    callback=_listed(float),
    default="0",
    show_default=True,
    help="Resend an input only after it has changed by more; such as 0,0.05,0.1.",
)
@click.option(
    "--delta-threshold",
    "delta_thresholds",
    callback=_listed(float),
    help="The same for all SigmaDelta layers. Default: as in the file.",
)
@click.option("--profile", "profiles", multiple=True, help=f"Default: {', '.join(DEFAULT_PROFILES)}.")
@click.option("--batch", type=click.IntRange(1), default=64, show_default=True, help="Samples executed at once.")
@json_option
@click.option("--out", type=PATH, required=True, help="Folder for sweep.json, sweep.csv and sweep.svg.")
def sweep(runs: tuple[Path, ...], *, profiles: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Simulate every combination of RUNS (.nir or .net files, run folders), codes, bits and thresholds.

    A picture shows accuracy against energy. The same command again goes on where the last one was stopped. Options of
    training are swept by training runs: for k in 0.2 0.5 0.8; do tdd-deploy train --keep $k --out runs/k$k ...
    """
    from tdd_deploy.commands.sweep import sweep as run

    with _samples_progress("sweeping") as progress:
        found = run(runs, profiles=profiles or DEFAULT_PROFILES, progress=progress, **options)
    if as_json:
        _echo_json(found)
    else:
        _print_sweep(found)


@cli.command()
@click.argument("file", type=PATH)
@foreign_file
@click.option("--data", required=True, help=DATA)
@data_dir
@_read
@click.option("--split", help="train, val or test; all, train or val of an .npz. Default: test, or all.")
@click.option("--samples", type=click.IntRange(1), default=20, show_default=True, help="How many, from the first on.")
@click.option("--steps", type=click.IntRange(1), help=STEPS)
@click.option("--against", help=f"Backends, with commas: {','.join(BACKENDS)}. Default: all that are installed.")
@click.option("--bits", type=int, help="Of a weight, for integer and lava. Default: 8.")
@per
@input_bits
@click.option(
    "--mapping", type=click.Choice(MAPPINGS), default="fused", show_default=True, help="How lava maps each layer."
)
@click.option(
    "--timeout", "timeout_s", type=float, default=3600, show_default=True, help="Seconds for Lava, per batch."
)
@output_option
@click.option("--batch", type=click.IntRange(1), default=32, show_default=True, help="Samples executed at once.")
@json_option
def verify(file: Path, *, against: str | None, as_json: bool, **options: Any) -> None:
    """Run samples on several backends and compare each one with the one before it.

    Exit code 1 when two backends differ, or when nothing was compared. The first divergence is shown with its layer,
    time step and neuron.
    FILE is a .nir, .net or .onnx file, or a run folder; torch needs the folder.
    """
    from tdd_deploy.commands.pipeline import verify as run

    names = None if against is None else [name.strip() for name in against.split(",") if name.strip()]
    with _samples_progress("verifying") as progress:
        verified = run(file, against=names, progress=progress, **options)
    if as_json:
        _echo_json(verified.as_json())
    else:
        _print_comparisons(verified)
        _print_lines(_input_lines(verified.data))
    if not verified.passed:
        raise click.exceptions.Exit(1)


@cli.command()
@click.argument("run", type=PATH)
@click.option("--data", required=True, help=DATA)
@data_dir
@_read
@click.option("--split", help="train, val or test; all, train or val of an .npz. Default: test, or all.")
@click.option("--samples", type=click.IntRange(1), default=64, show_default=True, help="How many, from the first on.")
@click.option("--layer", "layers", multiple=True, help="Draw this layer's spikes; may be repeated. Default: first two.")
@click.option("--sample", type=click.IntRange(0), default=0, show_default=True, help="Draw this one's spikes.")
@json_option
@click.option("--out", type=PATH, help="Write analysis.json and pictures (PNG) into this folder.")
def analyse(run: Path, *, as_json: bool, **options: Any) -> None:
    """Say what a trained network repeats from step to step, where deltas pay, and where its information lies.

    RUN is a run folder. Overlap is the share of a layer's spikes that were there a step ago; P(1->1), the share that
    stays. Fisher information is of the outputs up to each time step.
    """
    from tdd_deploy.commands.pipeline import analyse as job

    with _samples_progress("analysing") as progress:
        analysis = job(run, progress=progress, **options)
    report = analysis.as_json()
    if as_json:
        _echo_json(report)
    else:
        _print_analysis(report)
        _print_lines(_input_lines(report["data"]))


@cli.command()
@click.argument("run", type=PATH)
@click.option("--data", required=True, help=f"What it was trained on: {DATA}")
@data_dir
@click.option("--sparsity", type=float, default=0.8, show_default=True, help="Fraction of weights to set to zero.")
@click.option("--rounds", type=int, default=4, show_default=True, help="In how many rounds.")
@click.option("--epochs", type=int, default=5, show_default=True, help="Of learning after each round.")
@click.option("--by", type=click.Choice(PRUNED_BY), default="fisher", show_default=True, help="What goes first.")
@click.option("--samples", type=int, default=256, show_default=True, help="Of training, for the Fisher information.")
@click.option("--learning-rate", type=float, default=1e-3, show_default=True, help="At the start of each round.")
@json_option
@click.option("--out", type=PATH, required=True, help="New run folder.")
def prune(run: Path, *, out: Path, as_json: bool, **options: Any) -> None:
    """Set weights of RUN, a run folder, to zero that carry little information in early time steps; then learn on.

    The new run folder can be simulated, exported and verified as any other. Ctrl-C keeps the rounds that are finished.
    """
    from tdd_deploy.commands.pipeline import prune as job

    with _samples_progress("pruning") as progress:
        pruned = job(run, out=out, progress=progress, **options)
    if as_json:
        _echo_json(pruned)
    else:
        _print_pruning(pruned)
        _print_lines(_input_lines(pruned["data"]))


@cli.command()
@click.argument("file", type=PATH)
@foreign_file
@click.option("--target", required=True, help="A chip (loihi1, loihi2, truenorth), a profile of one, or a .toml.")
@click.option("--bits", type=int, help="Of a weight, for a network in floats. Default: 8.")
@click.option("--code", type=click.Choice(("delta", "spike")), help="Default: delta where events can carry a sign.")
@click.option("--chips", type=click.IntRange(1), default=1, show_default=True, help="How many there are.")
@click.option("--data", help=f"Check whether the input sends spikes or numbers: {DATA}")
@data_dir
@_read
@click.option("--split", help="train, val or test; all, train or val of an .npz. Default: test, or all.")
@click.option("--samples", type=click.IntRange(1), help="Number of samples of --data, from the first on. Default: all.")
@json_option
def check(file: Path, *, as_json: bool, **options: Any) -> None:
    """Check whether FILE (a .nir, .net or .onnx file, or a run folder) fits on a chip, and what helps if it does not.

    Exit code 1 when it does not fit. Only published limits are checked. The output lists what they leave open, and
    what only data can show, such as whether the input sends nothing but spikes (--data).
    """
    from tdd_deploy.commands.pipeline import check as run

    checked = run(file, **options)
    if as_json:
        _echo_json(checked.as_json())
    else:
        _print_check(checked.as_json())
    if not checked.fits:
        raise click.exceptions.Exit(1)


@cli.command()
@click.argument("file", type=PATH)
@foreign_file
@json_option
def inspect(file: Path, *, as_json: bool, **options: Any) -> None:
    """Print what FILE (a .nir, .net or .onnx file, or a run folder) holds, every choice named.

    Of a file of another tool without --dialect: what stands there, and what each dialect would make of it.
    """
    from tdd_deploy.commands.pipeline import inspect as run

    found = run(file, **options)
    if as_json:
        _echo_json(found)
        return
    columns = ("node", "kind", "shape", "parameters", "receives from")
    table = _table(*columns, left=columns, overflow="fold")
    for node in found["nodes"]:
        table.add_row(
            node["name"], node["kind"], " x ".join(map(str, node["shape"])), node["parameters"], ", ".join(node["from"])
        )
    console = _console()
    console.print(table)
    for name, value in found.items():
        if name != "nodes":
            told = "".join(f"\n  {line}" for line in _lines(value)) if isinstance(value, list | dict) else f" {value}"
            console.print(f"{name}:{told or ' nothing'}", highlight=False, markup=False)


def _lines(value: list[str] | dict[str, str]) -> list[str]:
    return value if isinstance(value, list) else [f"{name}: {text}" for name, text in value.items()]


@cli.command()
@click.argument("file", type=PATH)
@click.option("--by", type=click.Choice(ROWS), default="layer", show_default=True, help="Rows of the table.")
@table_format
def report(file: Path, *, by: str, as_format: str) -> None:
    """Print a table of FILE, a folder that simulate --out wrote; figures are means over samples."""
    from tdd_deploy.commands.pipeline import report as run

    found = run(file)
    if as_format == "json":
        _echo_json(found)
        return
    from tdd_deploy.simulator.reports.tables import FORMATS, TABLES

    click.echo(FORMATS[as_format](TABLES[by](found)), nl=False)


@cli.command()
@click.argument("files", type=PATH, nargs=-1, required=True)
@table_format
def compare(files: tuple[Path, ...], *, as_format: str) -> None:
    """Print FILES, folders that simulate --out wrote, side by side; figures are means over samples."""
    from tdd_deploy.commands.pipeline import compare as run

    found = run(files)
    if as_format == "json":
        _echo_json(found)
        return
    from tdd_deploy.simulator.reports.tables import FORMATS, side_by_side

    click.echo(FORMATS[as_format](side_by_side(found)), nl=False)


@cli.command()
@click.argument("names", nargs=-1)
@json_option
def profiles(names: tuple[str, ...], *, as_json: bool) -> None:
    """List hardware profiles, or with NAMES (or paths to a .toml) print every figure and its source."""
    from tdd_deploy.commands.pipeline import profiles as run

    found = run(names)
    if as_json:
        _echo_json({"schema_version": 1, "profiles": found})
        return
    console = _console()
    if not names:
        console.print(_profiles_table(found))
        return
    for profile in found:
        for line in _profile_lines(profile):
            console.print(line, highlight=False, markup=False, soft_wrap=True)


@cli.group()
def lava() -> None:
    """Run exported bundles in Intel's Lava, in a Python 3.10 environment of its own."""


@lava.command("setup")
@click.option("--python", type=PATH, help="A Python 3.10. Default: the first on PATH, in pyenv or known to uv.")
def lava_setup(*, python: Path | None) -> None:
    """Make Lava's environment, once; $TDD_DEPLOY_LAVA_HOME says where, or else the user's cache folder."""
    from tdd_deploy.commands.pipeline import lava_setup as run

    click.echo(run(python=python, tell=lambda sentence: click.echo(sentence, err=True)))


@lava.command("doctor")
@json_option
def lava_doctor(*, as_json: bool) -> None:
    """Examine Lava's environment and this machine, and run two neurons; exit 1 when something is wrong."""
    from tdd_deploy.commands.pipeline import lava_doctor as run

    checks = run()
    ok = all(check.ok for check in checks)
    if as_json:
        from dataclasses import asdict

        _echo_json({"schema_version": 1, "ok": ok, "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            click.echo(f"{'ok ' if check.ok else 'BAD'}  {check.name}: {check.found}")
            if check.remedy:
                click.echo(f"     {check.remedy}")
    if not ok:
        raise click.exceptions.Exit(1)


@lava.command("run")
@click.argument("bundle", type=PATH)
@click.option("--inputs", type=PATH, required=True, help="The .npz with x: see the bundle's README.")
@click.option("--out", type=PATH, required=True, help="The .npz to write.")
@click.option("--layers", is_flag=True, help="Also write every layer's spikes.")
@click.option("--potentials", is_flag=True, help="Also write every layer's potential before the reset.")
@click.option("--timeout", "timeout_s", type=float, help="Seconds after which Lava is stopped. Default: 3600.")
def lava_run(bundle: Path, *, out: Path, **options: Any) -> None:
    """Execute BUNDLE, a folder that export --target lava wrote."""
    from tdd_deploy.commands.pipeline import lava_run as run

    took = run(bundle, out=out, **options)
    click.echo(
        f"{out}: {took.lava_steps:,} Lava time steps in {took.seconds:.2f} s, "
        f"after a start of {took.start_seconds:.2f} s"
    )


def _echo_json(values: "Mapping[str, Any]") -> None:
    import json

    click.echo(json.dumps(values, allow_nan=False))


def _profiles_table(found: "Sequence[Mapping[str, Any]]") -> Any:
    columns = ("profile", "prices", "static power", "measured points", "hardware")
    table = _table(*columns, left=("profile", "static power", "hardware"), overflow="fold")
    for profile in found:
        static = "" if profile["static_mw"] is None else f"{profile['static_mw']:g} mW"
        counts = (str(len(profile[kind])) if profile[kind] else "" for kind in ("prices", "points"))
        table.add_row(profile["name"], next(counts), static, next(counts), profile["title"])
    return table


def _profile_lines(profile: "Mapping[str, Any]") -> "Iterator[str]":
    """Say everything that a profile holds."""
    yield f"{profile['name']}: {profile['title']}"
    yield f"  {profile['remark']}"
    for price in profile["prices"]:
        layers = f" of {' and '.join(price['layers'])} layers" if price["layers"] else ""
        low, high = price["low_pj"], price["high_pj"]
        bounds = f" ({low:g} to {high:g}; {price['range_source']})" if low < high else ""
        yield f"  {price['term']}: {price['value_pj']:g} pJ{bounds} for each of {' + '.join(price['counts'])}{layers}"
        yield f"    {price['confidence']}: {price['source']}"
    for part in profile["static"]:
        per = " per MHz" if part["is_per_mhz"] else ""
        yield f"  static, {part['name']}: {part['value_mw']:g} mW{per}"
        yield f"    {part['confidence']}: {part['source']}"
    if profile["clock"]:
        yield f"  clock: {profile['clock']['mhz']:g} MHz ({profile['clock']['source']})"
    for point in profile["points"]:
        yield f"  {_point_line(point)}"
    for line in profile["not_priced"]:
        yield f"  not priced: {line}"


def _point_line(point: "Mapping[str, Any]") -> str:
    low, high = point["low"], point["high"]
    value = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    scope = point["scope"].replace("_", " ")
    return f"measured, {point['name']}: {value} {point['unit']}, {scope} ({point['confidence']}: {point['source']})"


def _print_quantization(exported: "Exported") -> None:
    """Print a row per layer: what it became, and what that changed."""
    from rich.markup import escape

    found = exported.calibration
    measured = {layer.name: layer for layer in found.layers} if found else {}
    names = ("layer", "scale", "limited by", "weights", "clipped", "rounded off", "worst-case sum")
    table = _table(*names, *(("largest seen", "flips") if found else ()), left=("layer", "limited by"))
    for layer in exported.layers:
        low, high = layer.scale
        row = [
            escape(layer.name),
            f"{low:,.1f}" if low == high else f"{low:,.1f} to {high:,.1f}",
            layer.limited_by,
            f"{layer.weights:,}",
            f"{layer.clipped:,}",
            f"{layer.error:.2%}",
            f"{layer.worst_case_sum:,.0f}",
        ]
        if layer.name in measured:
            seen = measured[layer.name]
            wraps = f", {seen.wraps} wrapped" if seen.wraps else ""
            row += [f"{seen.largest_sum:,}{wraps}", f"{seen.flips:.2%}"]
        table.add_row(*row)
    console = _console()
    console.print(table)
    console.print("sums below 131,072 cannot wrap the chip's 24 bits", highlight=False)
    if found and found.accuracy_float is not None and found.accuracy_integer is not None:
        console.print(
            f"accuracy on {found.n_samples} training samples: {found.accuracy_float:.1%} in floats, "
            f"{found.accuracy_integer:.1%} in integers",
            highlight=False,
        )


def _print_comparisons(verified: "Verified") -> None:
    """Print a row per backend, compared with the row above; then the bounds, and the first divergences."""
    has_messages = any(each.messages for each in verified.comparisons)  # rarely; without it the table fits 80 columns
    compared = ("spikes differing", *(("messages",) if has_messages else ()), "outputs", "predictions")
    left = ("", "backend")
    table = _table(*left, *compared, "max |dv| / threshold", "ms per sample", left=left, overflow="fold")
    table.add_row("", verified.comparisons[0].before)
    for each in verified.comparisons:
        milliseconds = 1e3 * verified.seconds[each.after] / verified.n_samples
        table.add_row(
            "ok" if each.passed else "NO",
            each.after,
            f"{each.differing:,} of {each.spikes:,}",
            *([f"{each.messages_differing:,} of {each.messages:,}"] if has_messages else []),
            "other units" if each.outputs is None else f"{each.outputs_differing:,} of {each.outputs:,}",
            f"{each.predictions_differing:,} of {each.n_samples:,}",
            "-" if each.largest_dv is None else f"{each.largest_dv:.2g}",
            f"{milliseconds:,.2f}",
        )
    console = _console()
    console.print(table)
    console.print("each row is compared with the row above", highlight=False)
    for bound in dict.fromkeys(each.bound for each in verified.comparisons):
        names = "; ".join(each.after for each in verified.comparisons if each.bound == bound)
        console.print(f"allowed: {bound.words} ({names})", highlight=False, markup=False, soft_wrap=True)
    for each in verified.comparisons:
        if each.first_divergence is not None:
            console.print(
                f"{each.before} -> {each.after}: {each.first_divergence}", highlight=False, markup=False, soft_wrap=True
            )
        if each.not_compared:
            found = (
                f"{each.not_compared:,} messages and outputs that come after the first differing spike of their sample"
            )
            line = f"{each.before} -> {each.after}: not compared: {found}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    zero = [
        name
        for name in verified.comparisons[-1].always_zero
        if all(name in each.always_zero for each in verified.comparisons)
    ]
    if zero:
        console.print(f"always 0 on every backend: {', '.join(zero)}", markup=False, soft_wrap=True)
    for line in verified.left_out:
        console.print(f"left out: {line}", highlight=False, markup=False, soft_wrap=True)


def _print_sweep(found: "Mapping[str, Any]") -> None:
    """Print a row per point; points that no other point beats have a star."""
    from tdd_deploy.simulator.reports.report import mean_text

    names = list(dict.fromkeys(name for point in found["points"] for name in point["energy_nj"]))
    left = ("run", "code", "bits")
    has_deltas = any(point["delta_threshold"] is not None for point in found["points"])
    thresholds = ("threshold", *(("delta threshold",) if has_deltas else ()))
    columns = (*left, *thresholds, "accuracy", "synops", *(f"nJ, {name}" for name in names), "")
    table = _table(*columns, left=left, overflow="fold")
    for point in found["points"]:
        energies = (point["energy_nj"][name] for name in names)
        table.add_row(
            point["run"],
            point["code"],
            "float" if point["bits"] is None else str(point["bits"]),
            f"{point['input_threshold']:g}",
            *(["" if point["delta_threshold"] is None else f"{point['delta_threshold']:g}"] if has_deltas else []),
            "" if point["accuracy"] is None else f"{point['accuracy']:.1%}",
            mean_text(point["synops_effective"]),
            *("" if energy is None else mean_text(energy) for energy in energies),
            "*" if point["is_best"] else "",
        )
    console = _console()
    console.print(table)
    if found["profile"]:
        console.print(f"* no other point is as accurate with less energy ({found['profile']})", highlight=False)
    _print_lines(dict.fromkeys(line for point in found["points"] for line in point["inputs"]))


def _print_check(found: "Mapping[str, Any]") -> None:
    """Print where layers lie, what is broken, and what is left open."""
    from tdd_deploy.simulator.reports.tables import by_placed_layer

    placed = by_placed_layer(found["placement"])
    table = _table(*placed.head, left=(placed.head[0], "block"), overflow="fold")
    for row in placed.rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    console = _console()
    console.print(table)
    chips = "" if found["chips"] == 1 else f" x {found['chips']}"
    n = len(found["faults"])
    verdict = f"does not fit ({n} found)" if n else "no published limit is broken"
    verdict += ", with one condition" if found["conditions"] and not n else ""
    lines = [f"{found['target']}{chips}: {verdict}. {found['title']}. {found['remark']}"]
    for fault in found["faults"]:
        lines += [
            f"  - {fault['rule']}, {fault['where']}: {fault['found']}; allowed: {fault['allowed']}: {fault['why']}.",
            f"    source: {fault['source']}",
            *([f"    {fault['fix']}"] if fault["fix"] else []),
        ]
    lines += [f"if: {line}" for line in found["conditions"]]
    lines += [f"assumed: {line}" for line in found["taken"]]
    lines += [f"not checked: {line}" for line in found["not_checked"]]
    lines += _input_lines(found["data"]) if found["data"] else []
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _print_simulation(simulation: "Simulation", by: str) -> None:
    """Print a table of means over samples, and a summary."""
    from tdd_deploy.simulator.reports.report import mean_text

    report = simulation.as_json()
    n = report["totals"]["samples"]
    label = "step" if by == "step" else "name"
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        label: lambda row: str(row[label]),
        "spikes": lambda row: mean_text(row["spikes"] / n),
        "delta events": lambda row: mean_text(row["delta_events"] / n),
        "synops run": lambda row: mean_text(row["synops_effective"] / n),
        "plain spikes": lambda row: mean_text(row["spike_code"]["synops_effective"] / n),
        "dense": lambda row: mean_text(row["dense"] / n),
    }
    if report["totals"]["energy_pj"] is not None:
        columns["nJ run"] = lambda row: mean_text(row["energy_pj"] / n / 1e3)
        columns["nJ plain"] = lambda row: mean_text(row["spike_code"]["energy_pj"] / n / 1e3)
    table = _table(*columns, left=(label,), overflow="fold")
    for row in report["steps" if by == "step" else "layers"]:
        table.add_row(*[text(row) for text in columns.values()])
    table.add_section()
    table.add_row(*[text({**report["totals"], label: "total"}) for text in columns.values()])
    console = _console()
    console.print(table)
    if len(report["energies"]) > 1:
        console.print(_energies_table(report))
    for line in _summary(report):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _summary(report: "Mapping[str, Any]") -> "Iterator[str]":
    from tdd_deploy.simulator.reports.tables import binned_line, break_even_lines, input_lines, output_lines

    totals, n = report["totals"], report["totals"]["samples"]
    accuracy = "no labels" if report["accuracy"] is None else f"accuracy {report['accuracy']:.1%}"
    data = report["data"]
    yield (
        f"means over {n} samples of {data['name']} ({data['split']}), {len(report['steps'])} time steps, "
        f"{report['program']['code']} code: {accuracy}"
    )
    yield from output_lines(report)
    yield from input_lines(data)
    if report["early_exit"]:
        found = report["early_exit"]
        yield (
            f"early exit at a margin of {found['margin']:g}: {found['mean_steps']:.2f} of {len(report['steps'])} time "
            f"steps per sample, {found['steps_saved']:.1%} not executed"
        )
    if data["binned"]:
        yield binned_line(data)
    if report["program"]["rounding"]:
        yield f"currents can round, so codes may differ in the last bit: {', '.join(report['program']['rounding'])}"
    if totals["saved_by_repeating_input"]:
        saved = totals["saved_by_repeating_input"] / n
        yield f"{saved:,.0f} of the synops saved come only from showing the same image at every step"
    if report["energy"]:
        yield from _energy_lines(report["energy"], n)
        for each in report["energies"]:
            yield from (f"{each['profile']}, {_point_line(point)}" for point in each["points"])
        yield from break_even_lines(report)
    if report["baseline"]:
        yield from _baseline_lines(report)
    for line in report["caveats"]:
        yield f"  caveat: {line}"


def _energy_lines(energy: "Mapping[str, Any]", n: int) -> "Iterator[str]":
    def nj(key: str) -> str:
        return f"{energy[key] / n / 1e3:,.2f}"

    if energy["dynamic_pj"] is None:
        yield "dynamic energy: not priced, since no price of an event is published"
    else:
        yield f"dynamic energy: {nj('dynamic_pj')} nJ per sample ({nj('low_pj')} to {nj('high_pj')} over sources)"
    if energy["seconds"]:
        yield from _time_lines(energy, n)
    yield f"  {energy['profile']}: {energy['title']}"
    yield f"  {energy['remark']}"
    for line in energy["not_priced"]:
        yield f"  not priced: {line}"


def _baseline_lines(report: "Mapping[str, Any]") -> "Iterator[str]":
    """Say what the dense twin knows and costs."""
    for row in report["baseline"]["results"]:
        form = "floats" if row["bits"] is None else f"{row['bits']} bits"
        costs = [f"{row['macs']:,} MACs"]
        costs += [f"{pj / 1e3:,.2f} nJ ({name})" for name, pj in row["energy_pj"].items() if pj is not None]
        accuracy = f"accuracy {row['accuracy']:.1%} on {row['samples']:,} samples"
        yield f"dense ANN twin in {form}: {accuracy}, {', '.join(costs)}"
    yield f"  {report['baseline']['caveat']}"


def _time_lines(energy: "Mapping[str, Any]", n: int) -> "Iterator[str]":
    """Say how long the hardware takes, and what flows meanwhile."""
    from tdd_deploy.simulator.reports.tables import range_text

    seconds = energy["seconds"]
    yield f"time: {range_text(seconds['low'] / n * 1e6, seconds['high'] / n * 1e6)} us per sample: {seconds['basis']}"
    if energy["static_low_pj"] is not None:
        static = range_text(energy["static_low_pj"] / n / 1e3, energy["static_high_pj"] / n / 1e3)
        yield f"static energy: {static} nJ per sample, in this time"


def _energies_table(report: "Mapping[str, Any]") -> Any:
    """A row per profile, in nJ per sample."""
    from tdd_deploy.simulator.reports.report import mean_text
    from tdd_deploy.simulator.reports.tables import by_profile

    columns = ("profile", "nJ run", "low", "high", "nJ plain", "nJ deltas", "static, low", "static, high")
    table = _table(*columns, left=("profile",), overflow="fold")
    for name, *figures in by_profile(report).rows:
        table.add_row(name, *("" if figure is None else mean_text(float(figure)) for figure in figures))
    return table


def _print_analysis(report: "Mapping[str, Any]") -> None:
    """Print a row per layer, one per time step, and what they come to."""
    from tdd_deploy.training.analysis import summary

    console = _console()
    console.print(_activity_table(report, "layer"))
    console.print(_activity_table(report, "step"))
    for line in summary(report):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _activity_table(report: "Mapping[str, Any]", label: str) -> Any:
    from rich.markup import escape

    from tdd_deploy.simulator.reports.report import mean_text

    n, traces = report["samples"], report["fisher"]["traces"]
    by_layer = label == "layer"

    def row(cells: "Mapping[str, Any]") -> list[str]:
        events = [mean_text(cells[key] / n) for key in ("spikes", "delta_events", "hybrid_events", "delta_synops")]
        shares = ["-" if cells[key] is None else f"{cells[key]:.3f}" for key in ("overlap", "persistence")]
        return [*events, *shares]

    of_events = ("spikes", "delta events", "cheaper code", "synops: delta", "overlap", "P(1->1)")
    last = ("cheaper is",) if by_layer else ("Fisher information",) if traces else ()
    table = _table(label, *of_events, *last, left=(label, "cheaper is"))
    if by_layer:
        for layer in report["layers"]:
            table.add_row(escape(layer["name"]), *row(layer), layer["fewer"])
        table.add_section()
        table.add_row("total", *row(report["totals"]))
    else:
        for step in report["steps"]:
            table.add_row(str(step["step"]), *row(step), *([f"{traces[step['step'] - 1]:.4g}"] if traces else []))
    return table


def _print_pruning(pruned: "Mapping[str, Any]") -> None:
    """Print a row per round; round 0 is where it began."""
    synops = ("synops: plain spikes", "synops: delta")
    table = _table("round", "weights zero", "accuracy", "spikes", "delta events", *synops)
    for row in pruned["rounds"]:
        shares = (f"{row['sparsity']:.1%}", f"{row['accuracy']:.1%}")
        means = (f"{row[key]:,.0f}" for key in ("raw_events", "delta_events", "spike_synops", "delta_synops"))
        table.add_row(str(row["round"]), *shares, *means)
    console = _console()
    console.print(table)
    console.print("means over the validation samples", highlight=False)


def _input_lines(data: "Mapping[str, Any]") -> "Iterator[str]":
    """Describe how samples became inputs."""
    from tdd_deploy.simulator.reports.tables import input_lines

    return input_lines(data)


def _print_lines(lines: "Iterable[str]") -> None:
    console = _console()
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _table(*columns: str, left: "Collection[str]" = (), overflow: Any = "ellipsis") -> Any:
    """Return a table without lines, its columns ``left`` of texts, the others of numbers."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="left" if name in left else "right", overflow=overflow)
    return table


def _console() -> Any:
    from rich.console import Console

    # A pipe has no width: let the table be as wide as it needs.
    return Console(width=None if sys.stdout.isatty() else 200)


@contextmanager
def _samples_progress(what: str = "simulating") -> "Iterator[Progress]":
    """Show a bar on stderr, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.0f} samples/s" if task.speed else "")

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), Speed(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def _training_progress() -> "Iterator[Any]":
    """Print a line per epoch on stderr, and on a terminal a bar within the epoch."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True, soft_wrap=True)
    columns = (TextColumn("epoch"), BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]:.4f}"))
    with Bar(*columns, console=console, transient=True, disable=not (_is_first() and sys.stderr.isatty())) as bar:
        task = bar.add_task("epoch", total=None, loss=0.0)

        class Watcher:
            def batch(self, done: int, total: int, loss: float) -> None:
                bar.update(task, completed=done, total=total, loss=loss)

            def epoch(self, history: list[dict[str, Any]]) -> None:
                now = history[-1]
                line = f"epoch {now['epoch']:3d}  loss {now['loss']:.4f}  accuracy {now['accuracy']:.3f}"
                if now["raw_events"] is not None:
                    line += f"  spikes {now['raw_events']:,.0f}  delta events {now['delta_events']:,.0f} per sample"
                bar.console.print(line, highlight=False)

        yield Watcher()


def _is_first() -> bool:
    """Say whether this process speaks for those that torchrun started with it."""
    return os.environ.get("RANK", "0") == "0"


def main() -> None:
    """Run the command line and exit."""
    try:
        code = cli.main(standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except TddDeployError as error:
        if _is_first() or not isinstance(error, Interrupted):
            click.echo(f"tdd-deploy: {error}", err=True)
        code = error.exit_code
        if "RANK" in os.environ and isinstance(error, WorkerFailed):
            sys.stdout.flush()
            os._exit(code)  # threads of torch that wait for a lost process may abort an orderly end
    except (KeyboardInterrupt, click.Abort):
        click.echo("tdd-deploy: interrupted", err=True)
        code = 130
    except MemoryError as error:
        remedy = "Use a smaller --batch, or fewer --steps or --samples."
        click.echo(f"tdd-deploy: this machine has too little memory ({error}). {remedy}", err=True)
        code = 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read the output has left
        code = 0
    except Exception:  # noqa: BLE001  (the last line of defence: say that it is our fault)
        traceback.print_exc()
        click.echo("tdd-deploy: internal error: a bug of tdd-deploy, please report it with the lines above", err=True)
        code = 4
    sys.exit(code)


if __name__ == "__main__":
    main()
