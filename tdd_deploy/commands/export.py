"""Write a network for a target."""

from collections.abc import Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path

from tdd_deploy.data import Choice
from tdd_deploy.errors import BadOption, BadOptions, Violation, any_of, did_you_mean
from tdd_deploy.exporters import TARGETS
from tdd_deploy.options.dataset import CalibrationData
from tdd_deploy.options.encoding import StatedSteps
from tdd_deploy.options.export import Export
from tdd_deploy.options.model import Model
from tdd_deploy.options.quantization import DEPLOYED_BITS, Quantization
from tdd_deploy.program import Program, with_code
from tdd_deploy.runtime.progress import Progress, unseen

from .load import Network, load, path_of
from .quantization import Quantized, needs_floats, quantize


def export(
    network: Network,
    target: str,
    out: str | PathLike[str],
    *,
    options: Export = Export(),
    model: Model = Model(),
    quantization: Quantization = Quantization(),
    data: Choice | None = None,
    steps: StatedSteps = StatedSteps(),
    progress: Progress = unseen,
) -> Quantized:
    """Write a network for a target, quantized first where that is asked for or needed.

    Args:
        network: a .nir, .net or .onnx file, a run folder, or a Program.
        target: a name of ``exporters.TARGETS``.
        out: the file or folder to write.
        options: what the target lets a user choose.
        model: how a file of another tool is read.
        quantization: makes an integer program; by default 8 bits for Lava, and floats for others.
        data: calibration data: measure on its first training samples what quantization changes.
        steps: time steps per sample, stated in the file; by default as the network states.
        progress: receives the number of calibration samples that were executed.

    Raises:
        BadOption: no such target.
        BadOptions: options that cannot be combined.
        NotExportable: every reason why the target, or integers, cannot hold the program.
    """
    if target not in TARGETS:
        raise BadOption("target", repr(target), any_of(TARGETS), did_you_mean(target, TARGETS))
    data = data or Choice(options=CalibrationData(), steps=steps.steps)
    program = load(network, model)
    if steps.steps is not None:
        program = replace(program, n_steps=steps.steps)
    is_integer = program.number_format == "integer"
    if target == "lava" and quantization.bits is None and not options.floats and not is_integer:
        quantization = replace(quantization, bits=DEPLOYED_BITS)
    found = [*options.conflicts_with(target), *_conflicts(options, quantization, data, is_integer=is_integer)]
    if found:
        raise BadOptions("", found)
    made = Quantized(program=program)
    if quantization.bits is not None:
        made = quantize(program, quantization, data=data, path=path_of(network), progress=progress)
    stated = program.n_steps
    del program  # its weights, before the integers are written
    if target == "lava" and steps.steps is None and made.data and made.data["n_steps"] != stated:
        in_data = made.data["n_steps"]
        found_steps = f"not given; the network states {stated or 'no'} time steps, and the data have {in_data}"
        raise BadOption("steps", found_steps, f"the time steps of a sample in Lava, such as {in_data}")
    coded = _coded(made.program, target, options)
    chosen = {"mapping": options.mapping, "form": options.form, "fast": options.fast or None}
    TARGETS[target](coded, Path(out), **{name: word for name, word in chosen.items() if word is not None})
    return replace(made, program=coded)


def _coded(program: Program, target: str, options: Export) -> Program:
    """Return a program whose edges send the chosen code, or the default of the target."""
    is_spike = target == "onnx" or options.mapping == "spike"
    return with_code(program, options.code or ("spike" if is_spike else "delta"))


def _conflicts(options: Export, quantization: Quantization, data: Choice, *, is_integer: bool) -> Iterator[Violation]:
    """Yield which options of different concerns exclude each other."""
    bits = quantization.bits
    if options.fast and (is_integer or bits is not None):
        yield Violation("`fast`", "cannot be combined with integers: it changes how floats are summed")
    if options.floats and is_integer:
        yield needs_floats("floats")
    if options.floats and bits is not None:
        yield Violation("`floats`", "cannot be combined with `bits`")
    if is_integer:
        yield from map(needs_floats, quantization.chosen)
    elif bits is None:
        yield from (Violation(f"`{name}`", "needs `bits`") for name in quantization.chosen)
    if data.options.data is not None and bits is None:
        reason = "has no use here: the program is in integers already" if is_integer else "needs `bits`"
        yield Violation("`data`", reason)
