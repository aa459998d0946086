"""Check whether a program fits on a chip."""

from tdd_deploy.data import Choice, Source
from tdd_deploy.errors import BadOption, BadOptions
from tdd_deploy.options.dataset import SeenData
from tdd_deploy.options.encoding import Encoding
from tdd_deploy.options.model import Model
from tdd_deploy.options.placement import Placement
from tdd_deploy.program import Code, Program, with_code
from tdd_deploy.program.inputs import input_kind
from tdd_deploy.runtime.inputs import EncodedInputs, InputCounts, arranged
from tdd_deploy.runtime.progress import Progress, unseen
from tdd_deploy.simulator.hardware.check import DRAWN, Checked, Seen, Setting
from tdd_deploy.simulator.hardware.check import check as examine
from tdd_deploy.simulator.hardware.chips import Chip, chip_names, load_chip
from tdd_deploy.simulator.hardware.profiles import load_profile, profile_names
from tdd_deploy.text import counted

from .load import Network, chosen_samples, describe_source, load
from .pricing import weight_bits
from .quantization import needs_floats

BATCH = 256


def check(
    network: Network,
    chip: str,
    *,
    options: Placement = Placement(),
    model: Model = Model(),
    data: Choice | None = None,
    progress: Progress = unseen,
) -> Checked:
    """Check whether a program fits on a chip; see ``simulator.hardware.check``.

    Args:
        network: a .nir, .net or .onnx file, a run folder, or a Program.
        chip: its name, a profile of it, or a path to a chip's .toml.
        options: bits of a weight, code, number of chips.
        model: how a file of another tool is read.
        data: samples that show what the input sends; without them the program decides, or it stays unknown.
        progress: receives the number of samples that were examined.

    Raises:
        TddDeployError: anything wrong with a file or an option.
    """
    data = data or Choice(options=SeenData())
    on = _chip(chip)
    program = load(network, model)
    is_integer = program.number_format == "integer"
    if is_integer and options.bits is not None:
        raise BadOptions("", [needs_floats("bits")])
    bits = options.bits or weight_bits(program)
    assumptions = [] if is_integer else [f"weights in floats are taken as integers of {bits} bits (`bits`)"]
    code: Code = options.code or ("spike" if on.spikes.kind == "binary" else "delta")
    if options.code is None:
        assumptions.append(f"edges send in {code} code (`code`)")
    seen, looked_at = None, None
    if data.options.data is not None:
        source = data.open(by_step=True)
        seen = _seen(program, source, data, progress)
        looked_at = describe_source(source)
        if seen is None:
            zeros = f"all values of {source.name} ({source.split}) are 0, and do not show what the input sends"
            assumptions.append(zeros)
        elif seen.is_binary:
            assumptions.append(f"{program.input.name} {seen.found}")
    elif input_kind(program) == "spikes":
        assumptions.append(f"{program.input.name} sends spikes, as the network states")
    setting = Setting(program=with_code(program, code), chip=on, weight_bits=bits, n_chips=options.chips, seen=seen)
    return examine(setting, assumptions=tuple(assumptions), data=looked_at)


def _chip(named: str) -> Chip:
    """Load a chip by its name, by the name of a profile of it, or from a file."""
    name = load_profile(named).chip if named in set(profile_names()) - set(chip_names()) else named
    if name is None:
        found = f"{named!r}, whose chip has no published limits here"
        raise BadOption("chip", found, f"{', '.join(chip_names())}, a profile of one, or a path to a .toml")
    return load_chip(name)


def _seen(program: Program, source: Source, data: Choice, progress: Progress) -> Seen | None:
    """Examine what samples send into a program; None if all of it is 0, which shows nothing."""
    frames = data.options.frames
    steps = arranged(program, source, frames=frames).n_steps or 1  # values are examined but not executed
    inputs = EncodedInputs.of(program, source, Encoding(steps=steps), frames=frames)
    if inputs.encoder != "direct":
        return Seen(is_binary=True, found=f"sends spikes that its encoder draws ({inputs.encoder})")
    n_samples = chosen_samples(source, data)
    batches = inputs.batches(source, BATCH, limit=n_samples, labels=False, progress=progress)
    sent = sum((InputCounts.of(encoded, program) for encoded, _ in batches), InputCounts())
    of_data = f"{counted(n_samples, 'sample')} of {source.name} ({source.split})"
    if not sent.nonzero:
        return None
    if sent.is_binary:
        return Seen(is_binary=True, found=f"sends spikes: all {sent.values:,} values of {of_data} are 0 or 1")
    found = f"sends numbers: {sent.other:,} of {sent.values:,} values of {of_data} are not sent as 0 or 1"
    remedy = DRAWN if sent.lowest >= 0 and sent.highest <= 1 else ""
    if source.binned and source.scale == 1:
        remedy = "With `bin_value=binary` it fits"
    return Seen(is_binary=False, found=f"{found}; values range from {sent.lowest:g} to {sent.highest:g}", remedy=remedy)
