"""Exported ONNX models in onnxruntime, against the reference: random programs, every number format, form and code.

TDD_DEPLOY_EXAMPLES=50000 draws that many programs per test instead of the default.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tdd_deploy.exporters.onnx.rules import FORMS
from tdd_deploy.exporters.onnx.run import Model
from tdd_deploy.exporters.onnx.write import model
from tdd_deploy.program import CODES, Program, with_code
from tdd_deploy.program.inputs import as_input
from tdd_deploy.simulator import reference
from tests.effort import n_examples
from tests.property.test_integer_execution import execute, grown, integer_case
from tests.zoo import Case, with_delays


def examples(n: int) -> settings:
    return settings(max_examples=n_examples(n), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def ready(program: Program, form: str) -> Model:
    return Model(model(program, form=form, layers=True), needed_for="a test")


def assert_same_values(case: Case) -> None:
    """Both forms, in one run and in two halves, send what the reference and the engine send, in every code."""
    x = as_input(case.program, case.inputs)
    half = len(x) // 2
    expected = reference.run(case.program, case.inputs)
    for program in (case.program, *(with_code(case.program, code) for code in CODES)):
        engine = execute(program, case.inputs, compiled=True)
        for form in FORMS:
            runner = ready(program, form)
            found, last = runner.run(x)
            assert found.keys() == {"output", *(layer.name for layer in program.neuron_layers)}
            for name, values in found.items():
                assert values.dtype == program.dtype
                np.testing.assert_array_equal(values, expected[name], err_msg=f"{form} {name}")
                of_engine = engine.output if name == "output" else engine.layers[name]
                np.testing.assert_array_equal(values, of_engine.swapaxes(0, 1), err_msg=f"{form} {name}")
            if half:
                first, states = runner.run(x[:half])
                second, states = runner.run(x[half:], states)
                for name, values in found.items():
                    np.testing.assert_array_equal(np.concatenate([first[name], second[name]]), values, err_msg=name)
                assert states.keys() == last.keys()
                for name, state in states.items():
                    np.testing.assert_array_equal(state, last[name], err_msg=name)


@examples(40)
@given(st.integers(0, 2**32 - 1))
def test_integers_are_the_same_in_both_forms_in_every_code(seed):
    assert_same_values(integer_case(seed))


@pytest.mark.parametrize("number_format", ["float32", "float64"])
@examples(25)
@given(st.integers(0, 2**32 - 1))
def test_floats_are_the_same_in_both_forms_in_every_code(number_format, seed):
    """Of float32, in as few steps as 24 bits hold without rounding."""
    case = grown(seed, None, number_format=number_format)
    if number_format == "float32":
        case = Case(case.program, case.inputs[:3])
    assert_same_values(with_delays(case, seed) if seed % 4 == 0 else case)
