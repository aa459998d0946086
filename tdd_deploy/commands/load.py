"""Networks and data as users hand them over: a path, a Program, or arrays."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from tdd_deploy.data import Choice, Source
from tdd_deploy.errors import BadOption, TddDeployError
from tdd_deploy.importers import read
from tdd_deploy.options.encoding import Coding, Encoding
from tdd_deploy.options.model import Model
from tdd_deploy.options.vocabulary import CodeChoice
from tdd_deploy.program import Program, with_code, with_delta_threshold, with_reading
from tdd_deploy.run_folder import RunFolder
from tdd_deploy.runtime.inputs import EncodedInputs
from tdd_deploy.text import counted

CALIBRATION_SAMPLES = 64
FilePath = str | PathLike[str]
Network = Program | FilePath


def load(network: Network, model: Model = Model()) -> Program:
    """Return the Program of a .nir, .net or .onnx file or a run folder; a Program is returned as it is.

    Args:
        network: the file, the folder or the Program.
        model: how a file of another tool is read.

    Raises:
        BadFile: no such file, a folder without a network, or a file of neither NIR, lava-dl nor ONNX.
        BadOptions: no such dialect.
        AmbiguousGraph: another tool wrote it, and no dialect was named.
        UnsupportedGraph: the file holds what no Program can hold.
    """
    if isinstance(network, Program):
        if model != Model():
            name = "dialect" if model.dialect is not None else "strict"
            raise BadOption(name, "needs a file, and a Program has been read already")
        return network
    if not isinstance(network, str | PathLike):
        allowed = "a path to a file or a run folder, or a Program"
        raise BadOption("network", f"a value of type {type(network).__name__}", allowed)
    return read(RunFolder.network_of(Path(network)), dialect=model.dialect, strict=model.strict)


def path_of(network: Network) -> Path | None:
    """Return where a network lies; None for a Program."""
    return None if isinstance(network, Program) else Path(network)


def file_path(name: str, value: object) -> Path:
    """Return the path that a parameter gives."""
    if not isinstance(value, str | PathLike):
        raise BadOption(name, f"a value of type {type(value).__name__}", "a path")
    return Path(value)


def file_paths(name: str, values: Iterable[FilePath] | FilePath) -> list[Path]:
    """Return the paths that a parameter gives; a single one stands for a list of one."""
    if isinstance(values, str | PathLike) or not isinstance(values, Iterable):
        return [file_path(name, values)]
    return [file_path(name, each) for each in values]


@dataclass(frozen=True, eq=False, kw_only=True)
class Loaded:
    """A program and the samples that it executes.

    Attributes:
        inputs: how samples become inputs of the program.
        source: the samples.
        data: how parts of the same data are opened.
        description: how samples became inputs, for a report.
        code: what edges send: auto, delta or spike.
        code_from: where the code comes from, for a report.
    """

    inputs: EncodedInputs
    source: Source
    data: Choice
    description: Mapping[str, Any]
    code: CodeChoice
    code_from: str

    @property
    def program(self) -> Program:
        """The program."""
        return self.inputs.program

    @property
    def n_samples(self) -> int:
        """How many samples are executed."""
        return chosen_samples(self.source, self.data)


def chosen_samples(source: Source, data: Choice) -> int:
    """Return how many samples of a source a user asked for; all without a wish."""
    wanted: int | None = getattr(data.options, "samples", None)
    return source.n_samples if wanted is None else min(wanted, source.n_samples)


def load_all(
    network: Network,
    data: Choice,
    *,
    model: Model = Model(),
    encoding: Encoding = Encoding(),
    coding: Coding = Coding(),
    path: Path | None = None,
) -> Loaded:
    """Load a network and open its data; choose the code of every edge.

    ``path`` is where a Program comes from, for the report.

    Raises:
        TddDeployError: anything wrong with a file, the data or an option.
    """
    program = load(network, model)
    if coding.delta_threshold is not None:
        program = with_delta_threshold(program, coding.delta_threshold)
    program = with_reading(program, coding.output)
    source = data.open_chosen(by_step=True)
    inputs = EncodedInputs.of(program, source, encoding, frames=data.options.frames)
    coded, code, code_from = _coded(inputs, coding.code, data, chosen_samples(source, data), split=source.split)
    return Loaded(
        inputs=inputs.for_program(coded),
        source=source,
        data=data,
        description=describe_inputs(inputs, source, path or path_of(network)),
        code=code,
        code_from=code_from,
    )


def describe_source(source: Source) -> dict[str, Any]:
    """Return which samples were read, and how, as plain values."""
    return {
        "name": source.name,
        "split": source.split,
        "input": source.as_json(),
        "binned": source.binned.as_json() if source.binned else None,
        "files": source.digests,
    }


def describe_inputs(inputs: EncodedInputs, source: Source, path: Path | None) -> dict[str, Any]:
    """Describe how samples become inputs; for a run, also with which scale it learned values of this type."""
    learned = None if path is None else RunFolder(path).learned_scale(source.stored)
    return {**inputs.as_json(source), "scale_learned": learned}


def _coded(
    inputs: EncodedInputs, code: CodeChoice | None, data: Choice, n: int, *, split: str
) -> tuple[Program, CodeChoice, str]:
    """Give every edge its code; choose it by training samples unless the user did.

    Args:
        inputs: how samples become inputs of the program.
        code: as the user asked; None for the default.
        data: opens the training samples.
        n: how many samples are executed; no more are used to choose.
        split: the part that is executed.

    Returns:
        The program, its code, and where the code comes from.
    """
    if code in ("delta", "spike"):
        return with_code(inputs.program, code), code, "from `code`"
    try:
        source = data.open("train", by_step=True)
    except TddDeployError as error:
        if code == "auto":
            raise
        return with_code(inputs.program, "delta"), "delta", f"by default, since auto needs training samples: {error}"
    n = min(CALIBRATION_SAMPLES, n, source.n_samples)
    origin = "from `code`" if code == "auto" else "by default"
    same = f"the first {n:,} of the measured samples"
    chosen_on = same if split in ("all", "train") else counted(n, "training sample")
    return _calibrated(inputs, source, n), "auto", f"{origin}, chosen on {chosen_on}"


def _calibrated(inputs: EncodedInputs, source: Source, n: int) -> Program:
    """Choose the code of every edge by the events of some samples."""
    from tdd_deploy.simulator.engine.codes import choose_codes
    from tdd_deploy.simulator.engine.engine import Engine

    engine = Engine(inputs.program)
    first, _ = next(inputs.batches(source, n, limit=n))
    return choose_codes(inputs.program, engine.run(first, n_steps=inputs.n_steps).trace)
