"""An exported model, executed by onnxruntime on one thread."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.errors import MissingDependency

from .states import next_of

Array = NDArray[Any]
SERIOUS = 3  # errors; onnxruntime tells of its own optimisations too


class Model:
    """A model that ``write`` wrote, ready to run; it keeps no state from run to run.

    Args:
        content: the bytes of the file.
        needed_for: what an error names when onnxruntime is not installed.

    Raises:
        MissingDependency: onnxruntime is not installed.
    """

    def __init__(self, content: bytes, *, needed_for: str) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingDependency(str(error.name), needed_for, "'tdd-deploy[onnx]'") from error
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = SERIOUS
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._is_loop = self._session.get_modelmeta().custom_metadata_map["form"] == "scan"
        shown, *states = self._session.get_inputs()
        self._shown: str = shown.name
        self._shapes: dict[str, tuple[int, ...]] = {state.name: tuple(state.shape[1:]) for state in states}
        self._outputs: list[str] = [output.name for output in self._session.get_outputs()]

    def run(
        self, inputs: Array, states: Mapping[str, Array] | None = None
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Execute all time steps, one by one or in one call, as the model's form is.

        Args:
            inputs: ``[n_steps, batch, *shape]``, in the number format of the model.
            states: by name, ``[batch, *shape]``, as a run before gave them; by default all zero.

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
        found = dict(zip(self._outputs, self._session.run(None, {self._shown: shown, **states}), strict=True))
        after = {name: found.pop(next_of(name)) for name in self._shapes}
        return found, after
