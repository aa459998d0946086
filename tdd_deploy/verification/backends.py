"""The backends that ``verify`` compares: each executes encoded samples and records what its neurons did."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from tdd_deploy import memory
from tdd_deploy.data import Frames
from tdd_deploy.errors import (
    BadOption,
    MissingDependency,
    MissingEnvironment,
    NotExportable,
    TooLittleMemory,
    did_you_mean,
)
from tdd_deploy.options.vocabulary import BACKENDS
from tdd_deploy.program import Code, Conv, Dense, Program, with_code
from tdd_deploy.program.inputs import as_input

from .recording import Array, Recorded

if TYPE_CHECKING:
    from tdd_deploy.exporters.onnx.run import Runner
    from tdd_deploy.options.vocabulary import Form, Mapping

Backend = Callable[[Array], Recorded]  # inputs [n_steps, batch, *shape], encoded
Prepared = TypeVar("Prepared")
LARGE = 16 << 20  # bytes of weights


@dataclass(frozen=True)
class Backends:
    """The backends that can execute one file; ``quantized`` makes integers of a program in floats."""

    path: Path | None
    program: Program
    quantized: Callable[[], Program]
    mapping: "Mapping"
    timeout_s: float

    def named(self, names: Sequence[str]) -> list[Backend]:
        """Prepare the named backends, in the order of ``BACKENDS``.

        Raises:
            BadOption: a name is unknown, or fewer than two backends remain.
            MissingDependency, MissingEnvironment, NotExportable: a backend cannot execute the program here.
        """
        unknown = [name for name in names if name not in BACKENDS]
        if unknown:
            allowed = f"one or more of {', '.join(BACKENDS)}"
            raise BadOption("against", ", ".join(unknown), allowed, did_you_mean(unknown[0], BACKENDS))
        backends = [backend for name in BACKENDS if name in names for backend in self._make(name)]
        if len(backends) < 2:
            raise BadOption("against", ", ".join(names) or "none", "at least two backends to compare")
        return backends

    def available(self) -> tuple[list[Backend], list[str]]:
        """Prepare every backend that can execute the program here; explain why each of the others cannot."""
        backends, left_out = [], []
        for name in BACKENDS:
            try:
                backends += self._make(name)
            except (MissingDependency, MissingEnvironment, NotExportable, BadOption, TooLittleMemory) as error:
                left_out.append(f"{name}: {error.message}")
        return backends, left_out

    def _make(self, name: str) -> list[Backend]:
        match name:
            case "torch":
                return [torch_backend(self.path, self.program)]
            case "reference":
                return [reference_backend(self.program, "reference")]
            case "event":
                codes: tuple[Code, ...] = ("delta", "spike")
                return [event_backend(self.program, f"event, {code} code", code) for code in codes]
            case "onnx" | "openvino":
                return self._exported(name)
            case "lava":
                return [lava_backend(self._integers, f"lava, {self.mapping}", self.mapping, timeout_s=self.timeout_s)]
        return [] if self.program.number_format == "integer" else self._in_integers()  # which the others have run

    def _exported(self, name: str) -> list[Backend]:
        forms: tuple[Form, ...] = ("step", "scan")
        if name == "openvino":
            return [openvino_backend(self.program, form) for form in forms]
        return [onnx_backend(self.program, f"onnx, {form}", form) for form in forms]

    def _in_integers(self) -> list[Backend]:
        return [
            reference_backend(self._integers, "integer reference"),
            event_backend(self._integers, "integer, delta code", "delta"),
            event_backend(self._integers, "integer, spike code", "spike"),
        ]

    @cached_property
    def _integers(self) -> Program:
        return self.program if self.program.number_format == "integer" else self.quantized()


def torch_backend(path: Path | None, program: Program) -> Backend:
    """Load the trained network itself, as torch evaluates it.

    Raises:
        BadOption: the file is no run folder.
        BadFile: the folder holds no finished run of this program.
        MissingDependency: torch is not installed.
    """
    if program.output.reading != "spikes":
        found = f"cannot include torch, since the program's output is a {program.output.reading}"
        raise BadOption("against", found, remedy="Use `output=spikes`, or leave torch out.")
    if path is None or not path.is_dir():
        found = f"cannot include torch, since {path or 'a Program'} is not a run folder"
        raise BadOption("against", found, remedy="Name a run folder, or leave torch out.")
    try:
        from tdd_deploy import training
    except ImportError as error:
        raise MissingDependency(str(error.name), "`against=torch`", "'tdd-deploy[train]'") from error

    network = training.load(path, program)

    def run(inputs: Array) -> Recorded:
        begin = time.perf_counter()
        found = training.replay(network, inputs)
        seconds = time.perf_counter() - begin
        return Recorded(
            backend="torch",
            program=program,
            spikes={name: _batch_first(spikes) for name, spikes in found.spikes.items()},
            output=_batch_first(found.outputs),
            potentials={name: _batch_first(v) for name, v in found.potentials.items()},
            seconds=seconds,
        )

    return run


def reference_backend(program: Program, name: str) -> Backend:
    """Prepare the dense definition, in numpy."""
    from tdd_deploy.simulator import reference

    def run(inputs: Array) -> Recorded:
        potentials: dict[str, Array] = {}
        begin = time.perf_counter()
        sent = reference.run(program, inputs, potentials=potentials)
        seconds = time.perf_counter() - begin
        return Recorded(
            backend=name,
            program=program,
            spikes={layer.name: _batch_first(sent[layer.name]) for layer in program.neuron_layers},
            output=_batch_first(sent[program.output.name]),
            potentials={layer: _batch_first(v) for layer, v in potentials.items()},
            seconds=seconds,
        )

    return run


def event_backend(program: Program, name: str, code: Code) -> Backend:
    """Prepare the event engine, which sends one code throughout."""
    from tdd_deploy.simulator.engine.engine import Engine

    coded = with_code(program, code)
    layers = [layer.name for layer in program.neuron_layers]
    potentials = [layer.name for layer in program.neuron_layers if layer.neuron.spiking]
    prepared = _prepared(program, lambda: Engine(coded, potentials=potentials))

    def run(inputs: Array) -> Recorded:
        engine = prepared()
        engine.run(Frames(static=False, values=inputs[:, :1]), n_steps=1)  # compiles what is not compiled yet
        begin = time.perf_counter()
        result = engine.run(Frames(static=False, values=inputs), n_steps=len(inputs), record=layers)
        seconds = time.perf_counter() - begin
        return Recorded(
            backend=name,
            program=coded,
            spikes=result.layers,
            output=result.output,
            potentials=result.potentials,
            seconds=seconds,
        )

    return run


def onnx_backend(program: Program, name: str, form: "Form") -> Backend:
    """Load the model that export writes into onnxruntime, on one thread.

    Raises:
        MissingDependency: onnx or onnxruntime is not installed.
        NotExportable: ONNX cannot hold the program; every reason is named.
    """
    from tdd_deploy.exporters.onnx.run import Model, load_runtime

    needed_for = "`against=onnx`"
    load_runtime("onnxruntime", needed_for)
    return _exported_backend(program, name, form, lambda content: Model(content, needed_for=needed_for), needed_for)


def openvino_backend(program: Program, form: "Form") -> Backend:
    """Load the model that export writes into OpenVINO on the CPU, in the precision that it chooses.

    Raises:
        BadOption: the program is in float64.
        MissingDependency: onnx or OpenVINO is not installed.
        NotExportable: ONNX cannot hold the program; every reason is named.
    """
    from tdd_deploy.exporters.onnx.run import OpenVino, load_runtime

    if program.number_format == "float64":
        found = "cannot include openvino for a program in float64, which OpenVINO computes in float32"
        remedy = "Use `against=onnx`, which runs float64, or read the file in float32, as NIR files are by default."
        raise BadOption("against", found, remedy=remedy)
    needed_for = "`against=openvino`"
    load_runtime("openvino", needed_for)
    return _exported_backend(
        program, f"openvino, {form}", form, lambda content: OpenVino(content, needed_for=needed_for), needed_for
    )


def _exported_backend(
    program: Program, name: str, form: "Form", load: "Callable[[bytes | Path], Runner]", needed_for: str
) -> Backend:
    """Load the model that export writes into a runtime."""
    from tdd_deploy.exporters.onnx.rules import check
    from tdd_deploy.exporters.onnx.write import build, model

    coded = with_code(program, "spike")
    check(coded, form)

    def prepare() -> "Runner":
        if not _is_large(program):
            return load(model(coded, form=form, layers=True, needed_for=needed_for))
        with tempfile.TemporaryDirectory(prefix="tdd-deploy-") as folder:
            path = Path(folder) / "model.onnx"  # a runtime reads a file with fewer copies
            with path.open("wb") as file:
                build(coded, form=form, layers=True, needed_for=needed_for).write(file)
            return load(path)

    prepared = _prepared(program, prepare)

    def run(inputs: Array) -> Recorded:
        values = as_input(program, inputs)
        ready = prepared()
        begin = time.perf_counter()
        sent, _ = ready.run(values)
        seconds = time.perf_counter() - begin
        return Recorded(
            backend=name,
            program=coded,
            spikes={layer.name: _batch_first(sent[layer.name]) for layer in program.neuron_layers},
            output=_batch_first(sent[program.output.name]),
            potentials={},
            seconds=seconds,
            precision=ready.precision and f"{name}, computed with INFERENCE_PRECISION_HINT {ready.precision}",
        )

    return run


def _prepared(program: Program, prepare: Callable[[], Prepared]) -> Callable[[], Prepared]:
    """Prepare a backend now; one with large weights at each batch, so that it is gone when the next one is prepared."""
    if _is_large(program):
        return prepare
    prepared = prepare()
    return lambda: prepared


def _is_large(program: Program) -> bool:
    return sum(node.weight.nbytes for node in program.linear_maps if isinstance(node, Dense | Conv)) > LARGE


def lava_backend(program: Program, name: str, mapping: "Mapping", *, timeout_s: float) -> Backend:
    """Prepare Lava's simulation of Loihi 2, in its own environment.

    Raises:
        MissingEnvironment: the environment is not set up.
        NotExportable: the mapping cannot hold the program; every reason is named.
    """
    from tdd_deploy.exporters.lava import environment
    from tdd_deploy.exporters.lava.worker import run_bundle
    from tdd_deploy.exporters.lava.write import check, write

    python = environment.require("`against=lava`")
    memory.reserve(memory.LAVA, "each process of Lava", taken=0)  # it has the same limit
    check(replace(program, n_steps=1), mapping)  # each batch has its own arrays
    names = [layer.name for layer in program.neuron_layers]

    def run(inputs: Array) -> Recorded:
        with tempfile.TemporaryDirectory(prefix="tdd-deploy-") as folder:
            bundle, given, written = (Path(folder) / name for name in ("bundle", "inputs.npz", "outputs.npz"))
            write(replace(program, n_steps=len(inputs)), bundle, mapping=mapping)
            np.savez(given, x=_batch_first(as_input(program, inputs)))
            took = run_bundle(
                bundle, given, written, python=python, layers=True, potentials=mapping == "fused", timeout_s=timeout_s
            )
            with np.load(written, allow_pickle=False) as found:
                arrays = {key: found[key] for key in found.files}
        return Recorded(
            backend=name,
            program=program,
            spikes={layer: arrays[f"spikes/{layer}"] for layer in names},
            output=arrays["output"],
            potentials={layer: arrays[f"v/{layer}"] for layer in names if f"v/{layer}" in arrays},
            seconds=took.seconds,
        )

    return run


def _batch_first(array: Array) -> Array:
    return array.swapaxes(0, 1)
