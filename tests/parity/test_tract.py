"""Exported models of integers in tract, against the reference; in OpenVINO's environment: ``make parity``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tdd_deploy.exporters.onnx.run import Runner
from tdd_deploy.exporters.onnx.states import states
from tdd_deploy.exporters.onnx.write import model
from tdd_deploy.program import CODES, Dense, Program, with_code
from tdd_deploy.program.inputs import as_input
from tdd_deploy.simulator import reference
from tests.property.test_integer_execution import integer_case

tract = pytest.importorskip("tract", reason="OpenVINO's environment runs these: make parity")
SCANS = [(seed, code) for seed in range(20) for code in CODES]


class Tract(Runner):
    """A loop in tract, for inputs of one shape."""

    def __init__(self, program: Program, path: Path, n_steps: int, batch: int) -> None:
        recorded = [layer.name for layer in program.neuron_layers]
        path.write_bytes(model(program, form="scan", layers=True))
        found = tract.onnx().load(path)
        kept = {state.name: ("batch", *state.shape) for state in states(program)}
        shapes = [(n_steps, batch, *program.input.shape), *((batch, *shape[1:]) for shape in kept.values())]
        for i, shape in enumerate(shapes):
            found.set_input_fact(i, ",".join([*map(str, shape), "i32"]))
        self._runnable = found.into_model().into_runnable()
        after = [f"{name}_next" for name in kept]
        super().__init__(
            is_loop=True, shapes={program.input.name: (), **kept}, outputs=[program.output.name, *recorded, *after]
        )

    def _infer(self, inputs: Mapping[str, np.ndarray]) -> Sequence[Any]:
        return [np.array(tensor.to_numpy()) for tensor in self._runnable.run(list(inputs.values()))]


@pytest.mark.parametrize(("seed", "code"), SCANS)
def test_loops_of_integers_load_and_send_what_the_reference_sends(seed, code, tmp_path):
    case = integer_case(seed)
    program = with_code(case.program, code)
    x = as_input(program, case.inputs)
    expected = reference.run(program, case.inputs)
    found, _ = Tract(program, tmp_path / "loop.onnx", *x.shape[:2]).run(x)
    assert found.keys() == {program.output.name, *(layer.name for layer in program.neuron_layers)}
    for name, values in found.items():
        assert values.size
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def test_the_programs_above_have_states_of_one_neuron_and_of_several():
    programs = [integer_case(seed).program for seed, _ in SCANS]
    sizes = [int(np.prod(state.shape)) for program in programs for state in states(program)]
    assert 1 in sizes
    assert max(sizes) > 50
    assert any(isinstance(node, Dense) for program in programs for node in program.nodes)
