"""Exported models in OpenVINO as it is installed, against the reference; in an environment of its own: ``make parity``.

On a CPU with bfloat16 OpenVINO uses it by default for everything that leads to a convolution or a matrix
product. TDD_DEPLOY_EXAMPLES=500 runs that many programs per number format instead of the default.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tdd_deploy.exporters.onnx.rules import FORMS
from tdd_deploy.exporters.onnx.run import OpenVino
from tdd_deploy.exporters.onnx.write import model
from tdd_deploy.neurons import LIF, VariantLIF
from tdd_deploy.program import CODES, Conv, Dense, Edge, Input, NeuronLayer, Output, Pool, Program, build, with_code
from tdd_deploy.program.inputs import as_input
from tdd_deploy.program.quantization.quantize import quantize
from tdd_deploy.simulator import reference
from tdd_deploy.verification.backends import openvino_backend
from tests.commands import Call
from tests.property.test_integer_execution import grown, integer_case
from tests.zoo import Case, with_delays

openvino = pytest.importorskip("openvino", reason="OpenVINO's environment runs these: make parity")
PRECISION = openvino.Core().get_property("CPU", "INFERENCE_PRECISION_HINT").to_string()
BFLOAT16 = pytest.mark.skipif(PRECISION != "bf16", reason=f"OpenVINO computes in {PRECISION} on this CPU")
N_PROGRAMS = int(os.environ.get("TDD_DEPLOY_EXAMPLES", "30"))
GOLDEN = Path(__file__).parents[1] / "golden"
FIRE = {"v_threshold": np.array(1.0), "v_reset": np.array(0.0)}
LEAKY = LIF(beta=np.array(0.5), **FIRE)


@dataclass
class Compared:
    """How many values were compared, and how many of them differ."""

    values: int = 0
    differing: int = 0

    def add(self, program: Program, inputs: np.ndarray, form: str) -> None:
        expected = reference.run(program, inputs)
        found, _ = ready(program, form).run(as_input(program, inputs))
        assert found.keys() == {program.output.name, *(layer.name for layer in program.neuron_layers)}
        for name, values in found.items():
            assert values.dtype == program.dtype
            assert values.shape == expected[name].shape
            self.values += values.size
            self.differing += int((values != expected[name]).sum())


def ready(program: Program, form: str) -> OpenVino:
    return OpenVino(model(program, form=form, layers=True), needed_for="a test")


def chain(
    *maps: Dense | Conv | Pool, neuron: LIF | VariantLIF, shape: tuple[int, ...], last: Sequence[Dense] = ()
) -> Program:
    """Return maps with a layer of neurons after each but the last."""
    nodes: list[Input | Dense | Conv | Pool | NeuronLayer | Output] = [Input(name="input", shape=shape)]
    for i, each in enumerate(maps):
        shape = each.out_shape(shape)
        nodes += [each, NeuronLayer(name=f"n{i}", shape=shape, neuron=neuron)]
    nodes += [*last, Output(name="output")]
    edges = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    return build(nodes, edges, dt_s=1e-3, n_steps=8, number_format="float32")


def case_of(number_format: str, seed: int) -> Case:
    if number_format == "integer":
        return integer_case(seed)
    case = grown(seed, None, number_format=number_format)
    case = Case(case.program, case.inputs[:3])  # as few steps as 24 bits hold without rounding
    return with_delays(case, seed) if seed % 4 == 0 else case


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("number_format", ["integer", "float32"])
def test_random_programs_send_the_same_values_as_the_reference_in_every_code(number_format, form):
    compared = Compared()
    for seed in range(N_PROGRAMS):
        case = case_of(number_format, seed)
        for program in (case.program, *(with_code(case.program, code) for code in CODES)):
            compared.add(program, case.inputs, form)
    assert compared.values > 1000 * N_PROGRAMS
    assert compared.differing == 0


@BFLOAT16
@pytest.mark.parametrize("form", FORMS)
def test_fast_sums_are_rounded_at_the_default_and_right_in_float32(form):
    """This shows that the other comparisons can fail on this CPU."""
    rng = np.random.default_rng(0)
    weight = rng.integers(-(2**13), 2**13, (100, 64)) / 2**13
    readout = rng.integers(-(2**13), 2**13, (10, 100)) / 2**13
    program = with_code(
        chain(Dense(name="fc", weight=weight), neuron=LEAKY, shape=(64,), last=[Dense(name="out", weight=readout)]),
        "spike",
    )
    inputs = (rng.integers(0, 257, (8, 50, 64)) / 256).astype(np.float32)
    expected = reference.run(program, inputs)["output"]
    content = model(program, form=form, fast=True)
    by_precision = {
        precision: OpenVino(content, needed_for="a test", precision=precision).run(inputs)[0]["output"]
        for precision in (None, "f32")
    }
    assert by_precision["f32"].size == expected.size == 4000
    np.testing.assert_array_equal(by_precision["f32"], expected)
    assert (by_precision[None] != expected).mean() > 0.9


@BFLOAT16
@pytest.mark.parametrize("form", FORMS)
def test_convolutions_and_matrices_of_24_bits_are_exact_at_the_default(form):
    """Weights on a grid, as the trainer puts them there, inputs k / 256, every kind of convolution."""
    rng = np.random.default_rng(1)

    def weight(*shape: int) -> np.ndarray:
        return rng.integers(-(2**13), 2**13, shape) / 2**13

    images = chain(
        Conv(name="few", weight=weight(16, 2, 3, 3), padding=(1, 1)),
        Conv(name="strided", weight=weight(24, 16, 3, 3), stride=(2, 2), padding=(1, 1)),
        Conv(name="many", weight=weight(24, 24, 3, 3), bias=weight(24), padding=(1, 1)),
        Conv(name="grouped", weight=weight(24, 8, 3, 2), dilation=(1, 2), groups=3, padding=(2, 0)),
        Conv(name="wide", weight=weight(8, 24, 1, 1), padding=(1, 2)),
        Pool(name="pool", kernel=(2, 2), stride=(2, 1), average=True),
        neuron=LIF(beta=np.array(0.5), **FIRE),
        shape=(2, 12, 12),
    )
    vectors = chain(
        Dense(name="fc1", weight=weight(100, 64), bias=weight(100)),
        Dense(name="fc2", weight=weight(10, 100)),
        neuron=LIF(beta=np.array(0.75), reset="soft", **FIRE),
        shape=(64,),
    )
    compared = Compared()
    for program in (images, vectors):
        runner = ready(program, form)
        assert runner.precision == "bf16"
        inputs = rng.integers(0, 257, (8, 5, *program.input.shape)) / 256
        for code in CODES:
            compared.add(with_code(program, code), inputs.astype(np.float32), form)
        quantized = quantize(program, input_bits=8).program
        for code in CODES:
            compared.add(with_code(quantized, code), inputs, form)
    assert compared.values > 500_000
    assert compared.differing == 0


@pytest.mark.parametrize("form", FORMS)
def test_whole_thresholds_next_to_a_multiple_are_counted_equally(form):
    """Currents next to multiples of the threshold, where a rounded quotient is one too many."""
    thresholds = np.random.default_rng(2).uniform(0.01, 1, 200).astype(np.float32)
    neuron = VariantLIF(
        alpha=np.zeros(200), beta=np.zeros(200), v_threshold=thresholds, v_reset=np.zeros(200), spikes="many"
    )
    nodes = [Input(name="input", shape=(200,)), NeuronLayer(name="n", shape=(200,), neuron=neuron), Output(name="out")]
    program = build(nodes, [Edge("input", "n"), Edge("n", "out")], dt_s=1e-3, n_steps=3, number_format="float32")
    multiples = np.arange(1, 60, dtype=np.float32)[:, None] * thresholds
    inputs = np.stack([np.nextafter(multiples, np.float32(0)), multiples, np.nextafter(multiples, np.float32(99))])
    compared = Compared()
    compared.add(with_code(program, "spike"), inputs, form)
    assert compared.values == 2 * inputs.size
    assert compared.differing == 0


@pytest.mark.parametrize("number_format", ["float32", "integer"])
def test_a_loop_keeps_values_that_were_sent_some_steps_ago(number_format):
    """OpenVINO 2026.4 overwrites values that Identity copies from step to step: delays were one step short."""
    nodes = [Input(name="input", shape=(4,), largest=1), Dense(name="fc", weight=np.eye(4)), Output(name="out")]
    edges = [Edge("input", "fc", delay=3), Edge("fc", "out")]
    program = build(nodes, edges, dt_s=1e-3, n_steps=8, number_format=number_format)
    inputs = np.random.default_rng(3).integers(0, 2, (8, 3, 4)).astype(program.dtype)
    for code in CODES:
        found, _ = ready(with_code(program, code), "scan").run(inputs)
        np.testing.assert_array_equal(found["out"][3:], inputs[:-3])
        assert found["out"][3:].any()
        assert not found["out"][:3].any()


@pytest.mark.parametrize("name", ["small.nir", "integers.nir"])
def test_verify_compares_openvino(name, call: Call, tmp_path: Path):
    from tdd_deploy import load as read_program

    program = read_program(GOLDEN / name)
    samples = np.random.default_rng(4).integers(0, 2, (6, *program.input.shape)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=samples, y=np.zeros(6, np.int64))
    called = call("verify", GOLDEN / name, "--data", tmp_path / "data.npz", "--against", "reference,onnx,openvino")
    assert called.code == 0, called.out + called.err
    assert "openvino, step" in called.out
    assert "openvino, scan" in called.out


def test_openvino_runs_exported_files_without_onnxruntime():
    program = integer_case(0).program
    for form in FORMS:
        assert openvino_backend(program, form)(integer_case(0).inputs).backend == f"openvino, {form}"
