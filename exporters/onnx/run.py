"""Execute an exported model in onnxruntime or OpenVINO, on one thread."""

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy import memory
from tdd_deploy.errors import MissingDependency

from .states import next_of

Array = NDArray[Any]
SERIOUS = 3  # errors alone; onnxruntime also reports its own optimizations


EXTRAS = {"onnxruntime": "onnx", "openvino": "openvino"}


def load_runtime(name: str, needed_for: str) -> Any:
    """Import onnxruntime or OpenVINO.

    Raises:
        MissingDependency: it is not installed; ``needed_for`` is the feature that the error names.
        TooLittleMemory: a limit leaves too little memory for it.
    """
    if name not in sys.modules:
        memory.reserve(memory.ONNXRUNTIME, name)
    # Since 1.29, onnxruntime reports to its vendor from its import on, hashes of models included.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if memory.ran_out(error):
            raise
        raise MissingDependency(str(error.name), needed_for, f"'tdd-deploy[{EXTRAS[name]}]'") from error


def _size(content: bytes | Path) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


def open_session(content: bytes | Path, *, needed_for: str) -> Any:
    """Load a model into onnxruntime, on one thread.

    Args:
        content: the bytes of the file, or where it lies.
        needed_for: the feature that an error names if onnxruntime is not installed.

    Raises:
        MissingDependency: onnxruntime is not installed.
        TooLittleMemory: a limit leaves too little memory for it.
    """
    onnxruntime = load_runtime("onnxruntime", needed_for)
    memory.reserve(memory.ONNXRUNTIME + 3 * _size(content), "onnxruntime")
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = SERIOUS
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


class Runner:
    """A model that ``write`` wrote, ready to run; it keeps no state between runs.

    Args:
        is_loop: whether one call takes all time steps.
        shapes: of the inputs, free dimensions first, as the model lists them; all but the first are states.
        outputs: their names, as the model lists them.
        precision: the precision in which the runtime computes floats, if it chooses one.
    """

    def __init__(
        self, *, is_loop: bool, shapes: Mapping[str, Sequence[Any]], outputs: Sequence[str], precision: str = ""
    ) -> None:
        self._is_loop = is_loop
        self._shown, *states = shapes
        self._shapes: dict[str, tuple[int, ...]] = {name: tuple(shapes[name][1:]) for name in states}
        self._outputs = outputs
        self.precision = precision

    def run(
        self, inputs: Array, states: Mapping[str, Array] | None = None
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Execute all time steps, one by one or in one call, depending on the model's form.

        Args:
            inputs: ``[n_steps, batch, *shape]``, in the number format of the model.
            states: by name, ``[batch, *shape]``, as an earlier run returned them; by default all zero.

        Returns:
            The outputs by name, ``[n_steps, batch, *shape]``, and the states after the last time step.
        """
        batch = inputs.shape[1]
        if states is None:
            states = {name: np.zeros((batch, *shape), inputs.dtype) for name, shape in self._shapes.items()}
        if self._is_loop:
            return self._call(inputs, states)
        outputs: list[dict[str, Array]] = []
        for frame in inputs:
            sent, states = self._call(frame, states)
            outputs.append(sent)
        return {name: np.stack([sent[name] for sent in outputs]) for name in outputs[0]}, dict(states)

    def _call(self, shown: Array, states: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
        given = {self._shown: shown, **{name: states[name] for name in self._shapes}}
        found = dict(zip(self._outputs, self._infer(given), strict=True))
        after = {name: found.pop(next_of(name)) for name in self._shapes}
        return found, after

    def _infer(self, inputs: Mapping[str, Array]) -> Sequence[Array]:
        raise NotImplementedError


class Model(Runner):
    """A model in onnxruntime.

    Args:
        content: the bytes of the file, or where it lies.
        needed_for: the feature that an error names if onnxruntime is not installed.

    Raises:
        MissingDependency: onnxruntime is not installed.
    """

    def __init__(self, content: bytes | Path, *, needed_for: str) -> None:
        self._session = open_session(content, needed_for=needed_for)
        super().__init__(
            is_loop=self._session.get_modelmeta().custom_metadata_map["form"] == "scan",
            shapes={given.name: given.shape for given in self._session.get_inputs()},
            outputs=[output.name for output in self._session.get_outputs()],
        )

    def _infer(self, inputs: Mapping[str, Array]) -> Sequence[Array]:
        found: list[Array] = self._session.run(None, dict(inputs))
        return found


class OpenVino(Runner):
    """A model in OpenVINO, on the CPU.

    Args:
        content: the bytes of the file, or where it lies.
        needed_for: the feature that an error names if OpenVINO is not installed.
        precision: its INFERENCE_PRECISION_HINT, such as ``f32``; by default bfloat16 if the CPU has it.

    Raises:
        MissingDependency: OpenVINO is not installed.
    """

    def __init__(self, content: bytes | Path, *, needed_for: str, precision: str | None = None) -> None:
        openvino = load_runtime("openvino", needed_for)
        memory.reserve(memory.ONNXRUNTIME + 3 * _size(content), "OpenVINO")
        core = openvino.Core()
        options: dict[str, Any] = {"INFERENCE_NUM_THREADS": 1}
        if precision is not None:
            options["INFERENCE_PRECISION_HINT"] = precision
        network = core.read_model(content)
        self._compiled = core.compile_model(network, "CPU", options)
        super().__init__(
            is_loop=network.get_rt_info(["framework", "form"]).astype(str) == "scan",
            shapes={
                given.any_name: [d.get_length() if d.is_static else str(d) for d in given.partial_shape]
                for given in network.inputs
            },
            outputs=[output.any_name for output in network.outputs],
            precision=str(self._compiled.get_property("INFERENCE_PRECISION_HINT").to_string()),
        )

    def _infer(self, inputs: Mapping[str, Array]) -> Sequence[Array]:
        found = self._compiled(list(inputs.values()))  # by position: OpenVINO swaps the names of equal values
        return [np.array(found[i]) for i in range(len(self._outputs))]
