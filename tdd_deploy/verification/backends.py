"""The machines that ``verify`` compares: each executes encoded samples and says what its neurons did."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.data import Frames
from tdd_deploy.errors import BadOption, MissingDependency, MissingEnvironment, NotExportable
from tdd_deploy.program import Code, Program, with_code
from tdd_deploy.program.inputs import as_input

from .comparison import Recorded

if TYPE_CHECKING:
    from tdd_deploy.exporters.onnx.run import Runner
    from tdd_deploy.options.vocabulary import Form
    from tdd_deploy.options.vocabulary import Mapping as LavaMapping

Array = NDArray[Any]
Machine = Callable[[Array], Recorded]  # inputs [n_steps, batch, *shape], encoded
MACHINES = ("torch", "reference", "event", "onnx", "openvino", "integer", "lava")


@dataclass(frozen=True)
class Machines:
    """The machines that can execute one file; ``quantized`` gives the integers of a program of floats."""

    path: Path
    program: Program
    quantized: Callable[[], Program]
    mapping: "LavaMapping"
    timeout_s: float

    def named(self, names: Sequence[str]) -> list[Machine]:
        """Return these machines; one that is not there is an error."""
        unknown = [name for name in names if name not in MACHINES]
        if unknown:
            raise BadOption("--against", ", ".join(unknown), ", ".join(MACHINES))
        machines = [machine for name in MACHINES if name in names for machine in self._make(name)]
        if len(machines) < 2:
            raise BadOption("--against", ", ".join(names) or "nothing", "at least two machines to compare")
        return machines

    def all_there(self) -> tuple[list[Machine], list[str]]:
        """Return every machine that is there, and why others are not."""
        machines, left_out = [], []
        for name in MACHINES:
            try:
                machines += self._make(name)
            except (MissingDependency, MissingEnvironment, NotExportable, BadOption) as error:
                left_out.append(f"{name}: {error}")
        return machines, left_out

    def _make(self, name: str) -> list[Machine]:
        match name:
            case "torch":
                return [torch_machine(self.path, self.program)]
            case "reference":
                return [reference_machine(self.program, "reference")]
            case "event":
                codes: tuple[Code, ...] = ("delta", "spike")
                return [event_machine(self.program, f"event, {code} code", code) for code in codes]
            case "onnx" | "openvino":
                return self._exported(name)
            case "lava":
                return [lava_machine(self._integers, f"lava, {self.mapping}", self.mapping, timeout_s=self.timeout_s)]
        return [] if self.program.number_format == "integer" else self._in_integers()  # which the others have run

    def _exported(self, name: str) -> list[Machine]:
        forms: tuple[Form, ...] = ("step", "scan")
        if name == "openvino":
            return [openvino_machine(self.program, form) for form in forms]
        return [onnx_machine(self.program, f"onnx, {form}", form) for form in forms]

    def _in_integers(self) -> list[Machine]:
        return [
            reference_machine(self._integers, "integer reference"),
            event_machine(self._integers, "integer, delta code", "delta"),
            event_machine(self._integers, "integer, spike code", "spike"),
        ]

    @cached_property
    def _integers(self) -> Program:
        return self.program if self.program.number_format == "integer" else self.quantized()


def torch_machine(path: Path, program: Program) -> Machine:
    """Return the trained network itself, as torch evaluates it.

    Raises:
        BadOption: the file is no run folder.
        BadFile: the folder holds no finished run of this program.
        MissingDependency: torch is not installed.
    """
    if program.output.reading != "spikes":
        found = f"for an output that reads a {program.output.reading}"
        raise BadOption("--against torch", found, "for an output of spikes or sums")
    if not path.is_dir():
        raise BadOption("--against torch", f"for {path}, which is not a run folder", "for a run folder")
    try:
        from tdd_deploy import training as train
    except ImportError as error:
        raise MissingDependency(str(error.name), "verify --against torch", "'tdd-deploy[train]'") from error

    network = train.load(path, program)

    def run(inputs: Array) -> Recorded:
        begin = time.perf_counter()
        found = train.replay(network, inputs)
        seconds = time.perf_counter() - begin
        return Recorded(
            machine="torch",
            program=program,
            spikes={name: _batch_first(spikes) for name, spikes in found.spikes.items()},
            output=_batch_first(found.outputs),
            potentials={name: _batch_first(v) for name, v in found.potentials.items()},
            seconds=seconds,
        )

    return run


def reference_machine(program: Program, name: str) -> Machine:
    """Return the dense definition, in numpy."""
    from tdd_deploy.simulator import reference

    def run(inputs: Array) -> Recorded:
        potentials: dict[str, Array] = {}
        begin = time.perf_counter()
        sent = reference.run(program, inputs, potentials=potentials)
        seconds = time.perf_counter() - begin
        return Recorded(
            machine=name,
            program=program,
            spikes={layer.name: _batch_first(sent[layer.name]) for layer in program.neuron_layers},
            output=_batch_first(sent[program.output.name]),
            potentials={layer: _batch_first(v) for layer, v in potentials.items()},
            seconds=seconds,
        )

    return run


def event_machine(program: Program, name: str, code: Code) -> Machine:
    """Return the event engine, sending one code throughout."""
    from tdd_deploy.simulator.engine.engine import Engine

    coded = with_code(program, code)
    layers = [layer.name for layer in program.neuron_layers]
    engine = Engine(coded, potentials=[layer.name for layer in program.neuron_layers if layer.neuron.spiking])

    def run(inputs: Array) -> Recorded:
        engine.run(Frames(static=False, values=inputs[:, :1]), n_steps=1)  # compiles what is not compiled yet
        begin = time.perf_counter()
        result = engine.run(Frames(static=False, values=inputs), n_steps=len(inputs), record=layers)
        seconds = time.perf_counter() - begin
        return Recorded(
            machine=name,
            program=coded,
            spikes=result.layers,
            output=result.output,
            potentials=result.potentials,
            seconds=seconds,
        )

    return run


def onnx_machine(program: Program, name: str, form: "Form") -> Machine:
    """Return onnxruntime, on one thread, with the model that export writes.

    Raises:
        MissingDependency: onnx or onnxruntime is not installed.
        NotExportable: what ONNX cannot hold; every reason is named.
    """
    from tdd_deploy.exporters.onnx.run import Model

    needed_for = "verify --against onnx"
    return _exported_machine(program, name, form, lambda content: Model(content, needed_for=needed_for), needed_for)


def openvino_machine(program: Program, form: "Form") -> Machine:
    """Run the model that export writes in OpenVINO on the CPU, in the precision that it chooses.

    Raises:
        BadOption: the program is of float64.
        MissingDependency: onnx or OpenVINO is not installed.
        NotExportable: what ONNX cannot hold; every reason is named.
    """
    from tdd_deploy.exporters.onnx.run import OpenVino

    if program.number_format == "float64":
        found = "for a program of float64, which OpenVINO computes in float32"
        allowed = "for float32 and integers (--against onnx runs float64; a NIR file is read in float32 by default)"
        raise BadOption("--against openvino", found, allowed)
    needed_for = "verify --against openvino"
    return _exported_machine(
        program, f"openvino, {form}", form, lambda content: OpenVino(content, needed_for=needed_for), needed_for
    )


def _exported_machine(
    program: Program, name: str, form: "Form", load: "Callable[[bytes], Runner]", needed_for: str
) -> Machine:
    """Load the model that export writes into a runtime."""
    from tdd_deploy.exporters.onnx.write import model

    coded = with_code(program, "spike")
    ready = load(model(coded, form=form, layers=True, needed_for=needed_for))

    def run(inputs: Array) -> Recorded:
        values = as_input(program, inputs)
        begin = time.perf_counter()
        sent, _ = ready.run(values)
        seconds = time.perf_counter() - begin
        return Recorded(
            machine=name,
            program=coded,
            spikes={layer.name: _batch_first(sent[layer.name]) for layer in program.neuron_layers},
            output=_batch_first(sent[program.output.name]),
            potentials={},
            seconds=seconds,
            precision=ready.precision and f"{name}, computed with INFERENCE_PRECISION_HINT {ready.precision}",
        )

    return run


def lava_machine(program: Program, name: str, mapping: "LavaMapping", *, timeout_s: float) -> Machine:
    """Return Lava's simulation of Loihi 2, in its own environment.

    Raises:
        MissingEnvironment: it is not set up.
        NotExportable: what the mapping cannot hold; every reason is named.
    """
    from tdd_deploy.exporters.lava import environment
    from tdd_deploy.exporters.lava.worker import run_bundle
    from tdd_deploy.exporters.lava.write import check, write

    python = environment.require("verify --against lava")
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
            machine=name,
            program=program,
            spikes={layer: arrays[f"spikes/{layer}"] for layer in names},
            output=arrays["output"],
            potentials={layer: arrays[f"v/{layer}"] for layer in names if f"v/{layer}" in arrays},
            seconds=took.seconds,
        )

    return run


def _batch_first(array: Array) -> Array:
    return array.swapaxes(0, 1)
