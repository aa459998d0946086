import errno
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import pairwise, product
from typing import Any, BinaryIO, get_args

import numpy as np
import onnx
import onnxruntime
import pytest

from tdd_deploy import __version__
from tdd_deploy.errors import BadFile, BadOption, MissingDependency, NotExportable
from tdd_deploy.exporters.onnx import rules
from tdd_deploy.exporters.onnx.graph import FloatArithmetic, Graph, IntegerArithmetic
from tdd_deploy.exporters.onnx.integers import INPUT_BITS, WEIGHT_BITS
from tdd_deploy.exporters.onnx.rules import FORMS
from tdd_deploy.exporters.onnx.run import Model
from tdd_deploy.exporters.onnx.splice import Spliced
from tdd_deploy.exporters.onnx.write import model, write
from tdd_deploy.neurons import LIF, NEURONS, I, LavaSigmaDelta, LoihiLIF, Neuron, VariantLIF
from tdd_deploy.program import (
    CODES,
    Conv,
    Dense,
    Edge,
    Flatten,
    Input,
    NeuronLayer,
    Output,
    Place,
    Pool,
    Program,
    Scale,
    Slice,
    build,
    with_code,
)
from tdd_deploy.program.quantization.quantize import quantize
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.engine.engine import Engine
from tests import by_hand
from tests.zoo import Given

FIRE = {"v_threshold": np.array(1.0), "v_reset": np.array(0.0)}


def chain(neuron: Neuron, *, edges: tuple[Edge, ...] = (), fc: str = "fc", **choices: Any) -> Program:
    """Return in (3) -> fc -> n (2) -> out, with more edges."""
    nodes = [
        Input(name="in", shape=(3,)),
        Dense(name=fc, weight=np.arange(6.0).reshape(2, 3) - 2, bias=np.array([0.5, 0.0])),
        NeuronLayer(name="n", shape=(2,), neuron=neuron),
        Output(name="out"),
    ]
    chained = (Edge("in", fc), Edge(fc, "n"), Edge("n", "out"))
    return build(nodes, (*chained, *edges), dt_s=1e-3, n_steps=4, **choices)


def convolution(number_format: str) -> Program:
    nodes = [
        Input(name="in", shape=(2, 4, 4)),
        Conv(name="conv", weight=np.ones((2, 2, 3, 3)), padding=(1, 1)),
        NeuronLayer(name="n", shape=(2, 4, 4), neuron=LIF(beta=np.array(0.5), **FIRE)),
        Pool(name="pool", kernel=(2, 2), stride=(2, 2), average=True),
        Output(name="out"),
    ]
    edges = [Edge("in", "conv"), Edge("conv", "n"), Edge("n", "pool"), Edge("pool", "out")]
    return build(nodes, edges, dt_s=1e-3, n_steps=4, number_format=number_format)


def loaded(program: Program, form: str = "step") -> Any:
    return onnx.load_model_from_string(model(program, form=form))


def runner(program: Program, form: str, **options: bool) -> Model:
    return Model(model(program, form=form, **options), needed_for="a test")


def signature(values: Any) -> dict[str, list[int | str]]:
    return {value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] for value in values}


def properties(found: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in found.metadata_props}


def assert_as_the_reference(program: Program, inputs: np.ndarray) -> None:
    expected = reference.run(program, inputs)
    for code, form in product(CODES, FORMS):
        found, _ = runner(with_code(program, code), form, layers=True).run(inputs)
        for name, values in found.items():
            np.testing.assert_array_equal(values, expected[name], err_msg=f"{code} {form} {name}")


# What a model looks like


def test_a_step_takes_and_gives_the_states_by_name():
    graph = loaded(with_code(by_hand.program(), "spike")).graph
    assert signature(graph.input) == {"input": ["batch", 2], "hidden.v": ["batch", 2]}
    assert signature(graph.output) == {"out": ["batch", 1], "hidden.v_next": ["batch", 2]}


def test_in_delta_code_what_was_sent_and_what_is_held_are_states_too():
    graph = loaded(with_code(by_hand.program(), "delta")).graph
    states = ["input.sent_1", "hidden.held", "hidden.v", "hidden.sent_1", "out.held"]
    assert list(signature(graph.input)) == ["input", *states]
    assert list(signature(graph.output)) == ["out", *(f"{state}_next" for state in states)]


@pytest.mark.parametrize(("code", "n_kept"), [("spike", 2), ("delta", 3)])
def test_delays_are_states(code, n_kept):
    program = with_code(chain(LIF(beta=np.array(0.5), **FIRE), edges=(Edge("n", "n", 2),)), code)
    kept = [name for name in signature(loaded(program).graph.input) if name.startswith("n.sent_")]
    assert kept == [f"n.sent_{steps + 1}" for steps in range(n_kept)]


def test_a_scan_has_the_names_of_a_step_and_a_loop_with_the_weights_within():
    program = with_code(by_hand.program(), "spike")
    graph = loaded(program, "scan").graph
    assert signature(graph.input) == {"input": ["n_steps", "batch", 2], "hidden.v": ["batch", 2]}
    assert signature(graph.output) == {"out": ["n_steps", "batch", 1], "hidden.v_next": ["batch", 2]}
    assert [node.op_type for node in graph.node] == ["Scan"]
    assert not graph.initializer
    body = graph.node[0].attribute[0].g
    assert {"step/fc.weight", "step/readout.weight"} <= {constant.name for constant in body.initializer}


def test_values_and_constants_are_called_what_they_are():
    graph = loaded(with_code(by_hand.program(), "delta")).graph
    values = {name for node in graph.node for name in node.output}
    assert {"fc", "hidden", "readout", "out", "input.change", "hidden.change", "hidden.current"} <= values
    constants = {constant.name for constant in graph.initializer}
    assert constants >= {"fc.weight", "hidden.beta", "hidden.v_threshold", "readout.weight", "hidden.biases_of_maps"}
    assert all(node.name == node.output[0] for node in graph.node)


def test_a_node_with_the_name_of_a_constant_keeps_it():
    graph = loaded(chain(LIF(beta=np.array(0.5), **FIRE), fc="n.beta")).graph
    names = [constant.name for constant in graph.initializer]
    assert {"n.beta.weight", "n.beta_2"} <= set(names)
    assert len(set(names)) == len(names)


def test_a_state_states_its_meaning():
    graph = loaded(with_code(by_hand.program(), "delta")).graph
    assert {value.name: value.doc_string for value in graph.input}[
        "input.sent_1"
    ] == "the value that input sent 1 step ago"


def test_the_choices_are_told():
    program = with_code(by_hand.program(), "delta")
    found = properties(loaded(program, "scan"))
    assert json.loads(found.pop("states"))[2] == {"name": "hidden.v", "shape": [2], "meaning": "v of hidden"}
    nodes = json.loads(found.pop("nodes"))
    assert [node["name"] for node in nodes] == [node.name for node in program.nodes]
    assert nodes[2]["kind"] == "LIF"
    assert found == {
        "tdd_deploy": __version__,
        "program": program.digest,
        "form": "scan",
        "code": "delta",
        "dt_s": "0.001",
        "integration": "euler",
        "number_format": "float32",
        "sums": "exact",
        "encoder": "direct",
        "n_steps": "3",
        "reset": "hard",
        "compare": ">",
        **{f"provenance_{key}": value for key, value in program.provenance.items()},
    }


def test_an_integer_model_tells_how_numbers_become_integers_and_back():
    program = quantize(by_hand.program(), input_bits=4).program
    found = properties(loaded(program))
    assert float(found["input_scale"]) == program.input.scale
    assert int(found["input_largest"]) == program.input.largest
    assert float(found["output_unit"]) == program.output.unit
    assert {value.type.tensor_type.elem_type for value in loaded(program).graph.input} == {onnx.TensorProto.INT32}
    assert f"at most {program.input.largest} in magnitude" in loaded(program).graph.input[0].doc_string


@pytest.mark.parametrize("form", FORMS)
def test_a_model_is_for_runtimes_from_onnxruntime_1_20_on(form):
    found = loaded(by_hand.program(), form)
    onnx.checker.check_model(found, full_check=True)
    assert found.ir_version <= 10
    assert [(opset.domain, opset.version) for opset in found.opset_import] == [("", 18)]


@pytest.mark.parametrize(("number_format", "operator"), [("float32", "ConvTranspose"), ("float64", "MatMul")])
def test_float32_is_summed_by_transposed_convolutions_and_float64_which_has_none_by_matrices(number_format, operator):
    """OpenVINO uses bfloat16 for values that lead to other operators, if the CPU has it: parity/test_openvino.py."""
    program = convolution(number_format)
    operators = {node.op_type for node in loaded(program).graph.node}
    assert operator in operators
    assert not operators & {"Conv", "MatMul", "Gemm", "ConvTranspose"} - {operator}
    inputs = np.random.default_rng(0).integers(0, 9, (4, 3, 2, 4, 4)) / 8
    assert_as_the_reference(program, inputs.astype(program.dtype))


@pytest.mark.parametrize("number_format", ["float32", "float64", "integer"])
def test_several_inputs_and_outputs_are_parts_of_one(number_format):
    weight = np.arange(-6, 6).reshape(2, 2, 3, 1)
    nodes = [
        Input(name="inputs", shape=(10,), largest=3 if number_format == "integer" else 1),
        Slice(name="a", start=0, shape=(4,)),
        Slice(name="b", start=4, shape=(2, 3, 1)),
        Dense(name="fc", weight=np.arange(8).reshape(2, 4)),
        Conv(name="conv", weight=weight),
        Place(name="c", start=0, size=4),
        Place(name="d", start=2, size=4),
        Output(name="outputs"),
    ]
    pairs = ["inputs a", "inputs b", "a fc", "b conv", "fc c", "conv d", "c outputs", "d outputs"]
    edges = [Edge(*pair.split()) for pair in pairs]
    program = build(nodes, edges, dt_s=1e-3, n_steps=4, number_format=number_format)
    assert_as_the_reference(program, np.random.default_rng(2).integers(-3, 4, (4, 2, 10)).astype(program.dtype))


def convolved(**options: Any) -> Program:
    """Return a program of float32 that is one convolution of 12 channels, or of one."""
    channels = options.pop("channels")
    rng = np.random.default_rng(5)
    conv = Conv(name="conv", **options)
    weight = rng.integers(-8, 9, (24, channels // conv.groups, *conv.weight.shape[2:])) / 8
    nodes = [
        Input(name="in", shape=(channels, 9, 8)),
        replace(conv, weight=weight, bias=rng.integers(-8, 9, 24) / 8),
        Output(name="out"),
    ]
    return build(nodes, [Edge("in", "conv"), Edge("conv", "out")], dt_s=1e-3, n_steps=2, number_format="float32")


@pytest.mark.parametrize("channels", [1, 12])
@pytest.mark.parametrize(
    "options",
    [
        {"kernel": (3, 3)},
        {"kernel": (3, 2), "padding": (1, 0), "stride": (2, 1)},
        {"kernel": (2, 3), "padding": (2, 4), "stride": (3, 2)},
        {"kernel": (2, 2), "padding": (3, 2)},
        {"kernel": (3, 2), "padding": (2, 1), "dilation": (2, 3)},
        {"kernel": (1, 1), "stride": (2, 2)},
        {"kernel": (3, 3), "padding": (1, 1), "grouped": True},
        {"kernel": (3, 3), "padding": (1, 1), "stride": (2, 2), "grouped": True},
    ],
    ids=str,
)
def test_every_convolution_is_written_as_a_transposed_one(channels, options):
    options = dict(options)
    groups = channels // 3 or 1 if options.pop("grouped", False) else 1
    program = convolved(channels=channels, weight=np.zeros((1, 1, *options.pop("kernel"))), groups=groups, **options)
    inputs = np.random.default_rng(6).integers(-8, 9, (2, 3, channels, 9, 8)) / 8
    assert_as_the_reference(program, inputs.astype(np.float32))


@pytest.mark.parametrize("form", FORMS)
def test_fast_sums_are_convolutions_and_products_of_matrices(form):
    nodes = [*convolved(channels=12, weight=np.zeros((1, 1, 3, 2)), stride=(2, 1), padding=(1, 0), groups=4).nodes]
    weight = np.arange(-2, 2).repeat(24 * 5 * 7).reshape(4, -1) / 2
    flat = [Flatten(name="flat"), Dense(name="fc", weight=weight), nodes[-1]]
    chained = [*nodes[:-1], *flat]
    edges = [
        Edge(a.name, b.name)
        for a, b in pairwise(sorted(chained, key=lambda n: ["in", "conv", "flat", "fc", "out"].index(n.name)))
    ]
    program = build(chained, edges, dt_s=1e-3, n_steps=2, number_format="float32")
    content = model(program, form=form, fast=True, layers=True)
    found = onnx.load_model_from_string(content)
    assert {"Conv", "Gemm"} <= operators(found.graph)
    assert "ConvTranspose" not in operators(found.graph)
    assert properties(found)["sums"] == "fast"
    inputs = (np.random.default_rng(6).integers(-8, 9, (2, 3, 12, 9, 8)) / 8).astype(np.float32)
    values, _ = Model(content, needed_for="a test").run(inputs)
    np.testing.assert_array_equal(values["out"], reference.run(program, inputs)["out"])


# Integers


def integers(*maps: Any, shape: tuple[int, ...], largest: int = 1) -> Program:
    """Return a chain of maps of integers."""
    nodes = [Input(name="in", shape=shape, largest=largest), *maps, Output(name="out")]
    edges = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    return build(nodes, edges, dt_s=1e-3, n_steps=4, number_format="integer")


def tensors(found: Any) -> Iterator[Any]:
    """Yield every constant of a model, those within a loop too."""
    yield from found.graph.initializer
    for node in found.graph.node:
        for attribute in node.attribute:
            yield from attribute.g.initializer


def operators(graph: Any) -> set[str]:
    """Return the operators of a graph and of the bodies of its loops."""
    inner = [operators(attribute.g) for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    return {node.op_type for node in graph.node}.union(*inner)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("form", FORMS)
def test_an_integer_model_holds_no_float_and_multiplies_by_integer_operators(form, code):
    program = with_code(quantize(convolution("float32"), input_bits=4).program, code)
    found = loaded(program, form)
    kinds = {onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).kind for tensor in tensors(found)}
    assert kinds == {"i", "u"}
    graph = onnx.shape_inference.infer_shapes(found).graph
    assert {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output, *graph.value_info)} <= {
        getattr(onnx.TensorProto, name) for name in ("INT8", "UINT8", "INT32", "BOOL")
    }
    assert "ConvInteger" in operators(found.graph)
    assert not operators(found.graph) & {"Conv", "ConvTranspose", "MatMul", "Gemm", "Floor"}


def test_even_weights_of_9_bits_are_one_byte_each():
    weight = np.arange(-127, 128, dtype=np.int64).repeat(20).reshape(51, 100) * 2
    program = integers(Dense(name="fc", weight=weight), shape=(100,))
    (stored,) = [tensor for tensor in tensors(loaded(program)) if tensor.name == "fc.weight"]
    assert stored.data_type == onnx.TensorProto.INT8
    assert len(stored.raw_data) == weight.size
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(stored).T.astype(int) * 2, weight)


@pytest.mark.parametrize("largest", [1, 63, 64, 127, 255, 8127, 8128, 8129, 100_000])
@pytest.mark.parametrize("weights", [[1], [2, -254, 256], [127, -128, 128], [-129, 300, 7], [4, -32768, 32764]])
def test_numbers_of_more_than_8_bits_are_split_into_digits(largest, weights):
    """Dense maps, convolutions and pools, at the borders of the digits, in both codes."""
    top = min(largest, (2**22 - 1) // (4 * sum(map(abs, weights))))
    weight = np.array(weights)[:, None]
    dense = integers(Dense(name="fc", weight=weight), shape=(1,), largest=top)
    image = integers(
        Pool(name="pool", kernel=(2, 2), stride=(1, 1)),
        Conv(name="conv", weight=weight[:, :, None, None], bias=np.arange(len(weights)), padding=(1, 0)),
        shape=(1, 3, 3), largest=top,
    )  # fmt: skip
    values = np.unique([v for border in (0, 63, 64, 127, 128, 8127, 8128, top) for v in (border, -border, 1 - border)])
    values = values[np.abs(values) <= top]
    assert len(values) >= 2
    for program in (dense, image):
        frames = np.random.default_rng(7).choice(values, (6, len(values), *program.input.shape))
        frames[0].reshape(len(values), -1)[:, 0] = values
        assert_as_the_reference(program, frames.astype(np.int32))


def test_integers_are_scaled_and_shifted_element_by_element():
    factor, bias = np.array([-3, 0, 400]), np.array([5, -70_000, 1])
    maps = Scale(name="scale", factor=factor, bias=bias), Dense(name="fc", weight=np.array([[1, -2, 3], [7, 0, -1]]))
    program = integers(*maps, shape=(3,), largest=200)
    assert_as_the_reference(program, np.random.default_rng(11).integers(-200, 201, (4, 5, 3)).astype(np.int32))


def test_a_kernel_of_one_pixel_has_no_dilation():
    conv = Conv(name="conv", weight=np.full((2, 1, 1, 3), 2), dilation=(2, 2), padding=(1, 2), stride=(1, 2))
    (node,) = [n for n in loaded(integers(conv, shape=(1, 6, 4))).graph.node if n.op_type == "ConvInteger"]
    assert {a.name: list(a.ints) for a in node.attribute if a.name == "dilations"} == {"dilations": [1, 2]}


def test_two_products_never_saturate_16_bits():
    """Without VNNI, x86 processors add a product of uint8 and int8 to its neighbor in 16 bits."""
    digits = [2 ** (INPUT_BITS - 1) + d for d in (-(2 ** (INPUT_BITS - 1)), 2 ** (INPUT_BITS - 1) - 1)]
    weights = [2 ** (WEIGHT_BITS - 1) + w for w in (-(2 ** (WEIGHT_BITS - 1)), 2 ** (WEIGHT_BITS - 1) - 1)]
    assert 2 * max(digits) * 2 ** (WEIGHT_BITS - 1) < 2**15  # a matrix: inputs of uint8, weights of int8
    assert 2 * max(weights) * 2 ** (INPUT_BITS - 1) < 2**15  # a convolution: the other way round
    assert (min(digits), max(digits), min(weights), max(weights)) == (0, 127, 0, 255)


# What is remembered


def test_a_state_that_no_neuron_keeps_is_left_out():
    spiking = with_code(chain(LIF(beta=np.array(0.0), **FIRE)), "spike")
    assert list(signature(loaded(spiking).graph.input)) == ["in"]
    assert list(signature(loaded(spiking).graph.output)) == ["out"]
    assert json.loads(properties(loaded(spiking))["states"]) == []
    inputs = np.random.default_rng(8).integers(-4, 9, (6, 3, 3)) / 4
    assert_as_the_reference(spiking, inputs.astype(np.float32))


def test_a_state_that_one_neuron_keeps_is_present_for_the_whole_layer():
    program = with_code(chain(LIF(beta=np.array([0.0, 0.5]), **FIRE)), "spike")
    assert list(signature(loaded(program).graph.input)) == ["in", "n.v"]


def test_the_current_of_integers_without_a_memory_is_left_out():
    found = loaded(with_code(quantize(by_hand.program(), input_bits=4).program, "spike"))
    assert list(signature(found.graph.input)) == ["input", "hidden.v"]


def test_a_potential_that_decides_a_late_reset_is_a_state_even_if_beta_is_0():
    late = VariantLIF(alpha=np.array(0.0), beta=np.array(0.0), resets="next step", **FIRE)
    program = with_code(chain(late, number_format="float64"), "spike")
    assert list(signature(loaded(program).graph.input)) == ["in", "n.v"]
    assert_as_the_reference(program, np.random.default_rng(9).integers(-4, 9, (6, 3, 3)) / 4)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("number_format", ["float32", "integer"])
def test_outputs_of_a_loop_are_not_used_within_it_and_are_not_passed_on(number_format, code):
    """Some runtimes require the first; OpenVINO 2026.4 replaces values passed on by Identity with the next step's."""
    program = with_delay = chain(LIF(beta=np.array(0.5), **FIRE), edges=(Edge("n", "n", 2),), number_format="float32")
    if number_format == "integer":
        program = quantize(with_delay, input_bits=4).program
    content = model(with_code(program, code), form="scan", layers=True)
    body = onnx.load_model_from_string(content).graph.node[0].attribute[0].g
    outputs, inputs = ({value.name for value in values} for values in (body.output, body.input))
    taken = {name for node in body.node for name in node.input}
    assert len(outputs) >= 4
    assert not outputs & taken
    passed_on = [node for node in body.node if node.op_type == "Identity" and inputs.intersection(node.input)]
    assert not passed_on


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(("n", "shape"), [(5, (5,)), (1, (1,)), (3, (3, 8, 8))])
def test_no_single_integer_multiplies_or_divides_within_a_loop(n, shape, code):
    """tract 0.23 mistakes a state for this integer."""
    if len(shape) == 1:
        node, given = Dense(name="fc", weight=np.full((n, 4), 3000)), (4,)
    else:
        node, given = Conv(name="fc", weight=np.full((n, 2, 1, 1), 3000)), (2, 8, 8)
    decay = {"du": np.array(1000), "dv": np.array(1000), "bias": np.array(7)}
    neuron = LoihiLIF(**decay, v_threshold=np.array(6400), v_reset=np.array(64), reset="soft")
    nodes = [Input(name="in", shape=given, largest=100), node, NeuronLayer(name="n", shape=shape, neuron=neuron)]
    edges = [Edge("in", "fc"), Edge("fc", "n"), Edge("n", "out")]
    program = build([*nodes, Output(name="out")], edges, dt_s=1e-3, n_steps=4, number_format="integer")
    found = loaded(with_code(program, code), "scan")
    body = found.graph.node[0].attribute[0].g
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in body.initializer}
    products = [node for node in body.node if node.op_type in ("Mul", "Div")]
    assert len(products) > 8
    assert not [node for node in products if 1 in (sizes.get(name) for name in node.input)]
    inputs = np.random.default_rng(0).integers(-100, 101, (4, 3, *given), np.int32)
    assert_as_the_reference(program, inputs)


# Constants


@pytest.mark.parametrize("form", FORMS)
def test_a_constant_that_is_taken_twice_is_written_once(form):
    """The threshold of a soft reset is compared and subtracted; numbers and parameters of a layer are shared."""
    heights = np.array([1.0, 0.75])
    neuron = LIF(beta=np.array(0.5), v_threshold=heights, v_reset=np.array(0.0), reset="soft")
    program = with_code(chain(neuron, edges=(Edge("n", "n", 1),)), "delta")
    found = loaded(program, form)
    graph = found.graph if form == "step" else found.graph.node[0].attribute[0].g
    stored = [(t.data_type, tuple(t.dims), t.raw_data) for t in graph.initializer]
    assert len(stored) == len(set(stored)) >= 4
    taken = Counter(name for node in graph.node for name in node.input)
    (of_heights,) = [
        t.name for t in graph.initializer if tuple(t.dims) == (2,) and 0.75 in onnx.numpy_helper.to_array(t)
    ]
    assert of_heights.endswith("n.v_threshold")
    assert taken[of_heights] == 2


def test_constants_of_two_layers_and_of_two_formats_are_not_mistaken_for_each_other():
    graph = Graph()
    x, n = graph.input("x", np.dtype(np.float32)), graph.input("n", np.dtype(np.int32))
    for scope, height in (("a", 1.0), ("b", 2.0)):
        heights = np.full(3, height)
        with graph.of(scope, [("v_threshold", heights)], (3,)):
            graph.named(x * heights + x * 2 + heights, scope)
    graph.named(n * 2, "c")
    _, constants = graph.protos()
    found = {t.name: onnx.numpy_helper.to_array(t).tolist() for t in constants}
    assert found == {"a.v_threshold": [1.0] * 3, "b.v_threshold": [2.0] * 3, "2.0": 2.0, "2": 2}


# What a model computes


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("code", CODES)
def test_a_model_gives_the_numbers_counted_by_hand(code, form):
    found, _ = runner(with_code(by_hand.program(), code), form, layers=True).run(by_hand.INPUTS.astype(np.float32))
    np.testing.assert_array_equal(found["hidden"].swapaxes(0, 1), by_hand.SPIKES)
    np.testing.assert_array_equal(found["out"].swapaxes(0, 1), by_hand.OUTPUT)


CHOSEN = [
    pytest.param(cls, dict(zip(cls.choices, words, strict=True)), id=" ".join((cls.__name__, *words)))
    for cls in (*NEURONS.values(), LavaSigmaDelta)
    for words in product(*map(get_args, cls.choices.values()))
]


@pytest.mark.parametrize(("cls", "choices"), CHOSEN)
def test_every_neuron_runs_with_every_choice(cls, choices):
    """A neuron needs no line of its own here; parameters are dyadic, so that equality is exact."""
    values = {f.name: np.array(-0.5 if f.name == "v_min" else 0.5) for f in fields(cls) if f.name not in cls.choices}
    program = chain(cls(**values, **choices), number_format="float64")
    assert_as_the_reference(program, np.random.default_rng(1).integers(-4, 9, (6, 3, 3)) / 4)


def test_integers_wrap_saturate_and_round_toward_zero():
    neuron = LoihiLIF(
        du=np.array([-1, 100]), dv=np.array([0, 4000]), bias=np.array([-(2**22), 77]), v_threshold=np.array(2**23 - 2),
        v_reset=np.array(-5), reset="hard", compare=">",
    )  # fmt: skip
    nodes = [
        Input(name="in", shape=(1,), largest=1),
        Dense(name="fc", weight=np.array([[2**21 - 1], [-(2**21) + 3]])),
        NeuronLayer(name="n", shape=(2,), neuron=neuron),
        Output(name="out"),
    ]
    edges = [Edge("in", "fc"), Edge("fc", "n"), Edge("n", "out")]
    program = build(nodes, edges, dt_s=1e-3, n_steps=8, number_format="integer")
    assert_as_the_reference(program, np.array([1, -1, 1, 1, 0, 0, -1, 1], np.int32)[:, None, None])


def test_float32_holds_the_largest_sums_of_integers_and_of_their_changes():
    """Just below 2**22 in all; a change from -1 to 1 doubles that."""
    weight = np.array([[2**20 - 1, 2**20 + 1, 2**21 - 3], [1, -(2**21) + 1, 2**20 + 7]])
    nodes = [Input(name="in", shape=(3,), largest=1), Dense(name="fc", weight=weight), Output(name="out")]
    program = build(nodes, [Edge("in", "fc"), Edge("fc", "out")], dt_s=1e-3, n_steps=4, number_format="integer")
    signs = [[-1, -1, -1], [1, 1, 1], [1, -1, 1], [-1, 1, -1]]
    assert_as_the_reference(program, np.array(signs, np.int32)[:, None, :])


NUMBERS = np.array([-(2**31) + 2**24, -(2**24), -(2**24) + 1, -4097, -4096, -1, 0, 1, 4095, 2**24 - 1, 2**24], np.int32)


def computed(formula: Any, x: np.ndarray) -> np.ndarray:
    """Return what a formula of one value gives in onnxruntime."""
    graph = Graph()
    graph.named(formula(graph.input("x", x.dtype)), "y")
    nodes, constants = graph.protos()
    value = onnx.helper.make_tensor_value_info
    kind = onnx.helper.np_dtype_to_tensor_dtype(x.dtype)
    made = onnx.helper.make_graph(nodes, "g", [value("x", kind, ["n"])], [value("y", kind, ["n"])], constants)
    content = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    session = onnxruntime.InferenceSession(content.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


@pytest.mark.parametrize(
    "formula",
    [
        lambda x: x >> 24,
        lambda x: (x >> 24).clip(-1, 1),
        lambda x: np.arange(11, dtype=np.int32) - x,
        lambda x: np.full(11, 2, np.int32) * -(1 - x) + (3 + x) * x - x,
    ],
)
def test_operators_are_those_of_numpy(formula):
    np.testing.assert_array_equal(computed(formula, NUMBERS), formula(NUMBERS))


def test_whole_thresholds_are_counted_above_zero_alone():
    integers = computed(lambda v: IntegerArithmetic().count(v, np.array(4096)), NUMBERS)
    np.testing.assert_array_equal(integers, [0] * 8 + [0, 4095, 4096])
    floats = computed(lambda v: FloatArithmetic().count(v, np.array(0.5)), np.array([-1.0, -0.25, 0.0, 0.5, 1.75]))
    np.testing.assert_array_equal(floats, [0, 0, 0, 1, 3])


BORDERS = np.arange(1, 60, dtype=np.float32)[:, None] * np.random.default_rng(10).uniform(0.01, 1, 50).astype(
    np.float32
)


@pytest.mark.parametrize("divide", ["Div", "by a reciprocal"])
@pytest.mark.parametrize("form", FORMS)
def test_whole_thresholds_do_not_depend_on_how_a_runtime_divides(form, divide):
    """Next to multiples of the threshold quotients round up to whole numbers, by reciprocals up and down."""
    thresholds = BORDERS[0]
    many = VariantLIF(
        alpha=np.zeros(50), beta=np.zeros(50), v_threshold=thresholds, v_reset=np.zeros(50), spikes="many"
    )
    nodes = [Input(name="in", shape=(50,)), NeuronLayer(name="n", shape=(50,), neuron=many), Output(name="out")]
    program = build(nodes, [Edge("in", "n"), Edge("n", "out")], dt_s=1e-3, n_steps=3, number_format="float32")
    below, above = (np.nextafter(BORDERS, np.float32(end)) for end in (0, 99))
    frames = np.stack([below, BORDERS, above])
    expected = np.floor(frames / thresholds)  # rounded quotients are next to the right value
    expected += (expected + 1) * thresholds <= frames
    expected -= expected * thresholds > frames
    assert (np.floor(frames / thresholds) != expected).sum() > 10
    found = loaded(with_code(program, "spike"), form)
    if divide != "Div":
        graph = found.graph if form == "step" else found.graph.node[0].attribute[0].g
        (node,) = [node for node in graph.node if node.op_type == "Div"]
        (height,) = [t for t in graph.initializer if t.name == node.input[1]]
        reciprocal = onnx.numpy_helper.from_array(1 / onnx.numpy_helper.to_array(height), "reciprocal")
        graph.initializer.append(reciprocal)
        node.op_type, node.input[1] = "Mul", "reciprocal"
    spikes, _ = Model(found.SerializeToString(), needed_for="a test").run(frames)
    np.testing.assert_array_equal(spikes["out"], expected)
    np.testing.assert_array_equal(reference.run(program, frames)["n"], expected)
    engine = Engine(with_code(program, "spike")).run(Given(frames), n_steps=3, record=["n"])
    np.testing.assert_array_equal(engine.layers["n"].swapaxes(0, 1), expected)


def test_decays_of_integers_round_toward_zero():
    found = computed(lambda x: IntegerArithmetic().keep(x, np.array(4095)), NUMBERS)
    np.testing.assert_array_equal(found, [int(int(x) * 4095 / 4096) for x in NUMBERS])


# What ONNX cannot hold


def test_every_reason_is_reported_at_once(monkeypatch):
    monkeypatch.setattr(rules, "LARGEST", 10)
    program = chain(LIF(beta=np.array(0.5), **FIRE), fc="n.v", encoder="dir\0ect", provenance={"by": "\ud800"})
    with pytest.raises(NotExportable, match="does not fit ONNX") as refused:
        model(program)
    wheres = [violation.where for violation in refused.value.violations]
    assert wheres == ["encoder", "provenance 'by'", "n.v", "the program"]
    assert "2 GiB" in str(refused.value)


def test_the_output_of_a_state_is_a_name_too():
    with pytest.raises(NotExportable, match=r"n\.v_next"):
        model(chain(LIF(beta=np.array(0.5), **FIRE), fc="n.v_next"))


def test_tensors_without_elements_are_refused():
    nodes = [Input(name="in", shape=(0,)), NeuronLayer(name="n", shape=(0,), neuron=I()), Output(name="out")]
    program = build(nodes, [Edge("in", "n"), Edge("n", "out")], dt_s=1e-3, n_steps=4)
    with pytest.raises(NotExportable, match="3 found"):
        model(program)


def test_an_unknown_form_is_refused():
    with pytest.raises(BadOption, match=r"form must be step or scan \(got 'loop'\)"):
        model(by_hand.program(), form="loop")  # type: ignore[arg-type]


# Files


def test_the_same_program_gives_the_same_bytes_in_every_process():
    code = (
        "import hashlib; from tests import by_hand; from tdd_deploy.exporters.onnx.write import model; "
        "print(*(hashlib.sha256(model(by_hand.program(), form=f)).hexdigest() for f in ('step', 'scan')))"
    )
    found = {
        subprocess.check_output([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, text=True)
        for seed in ("1", "2")
    }
    assert len(found) == 1


def test_a_file_is_what_model_returns(tmp_path):
    for form in FORMS:
        write(by_hand.program(), tmp_path / "net.onnx", form=form)
        assert (tmp_path / "net.onnx").read_bytes() == model(by_hand.program(), form=form)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


@pytest.mark.parametrize(
    ("failure", "raised"),
    [(OSError(errno.ENOSPC, "No space left on device"), BadFile), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(failure, raised, tmp_path, monkeypatch):
    def fail(content: Spliced, file: BinaryIO) -> None:
        file.write(b"half")
        raise failure

    path = tmp_path / "net.onnx"
    path.write_text("old")
    monkeypatch.setattr(Spliced, "write", fail)
    with pytest.raises(raised):
        write(by_hand.program(), path)
    assert [found.name for found in tmp_path.iterdir()] == ["net.onnx"]
    assert path.read_text() == "old"


def test_large_arrays_are_put_into_the_bytes_that_protobuf_would_write():
    program = by_hand.program()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tdd_deploy.exporters.onnx.graph.LARGE", 1)
        for form in ("step", "scan"):
            spliced = model(program, form=form)
            patch.setattr("tdd_deploy.exporters.onnx.graph.LARGE", 1 << 40)
            assert spliced == model(program, form=form)
            patch.setattr("tdd_deploy.exporters.onnx.graph.LARGE", 1)


# Without onnx


def test_the_targets_are_there_without_onnx():
    code = (
        "import sys; sys.modules['onnx'] = sys.modules['onnxruntime'] = None; "
        "import tdd_deploy.exporters, tdd_deploy.exporters.onnx.run, tdd_deploy.verification.backends"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_onnx_the_line_that_installs_it_is_given(monkeypatch, tmp_path):
    for name in ("model", "graph", "maps", "step"):
        monkeypatch.delitem(sys.modules, f"tdd_deploy.exporters.onnx.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependency, match=r"an export to ONNX needs onnx\. .*'tdd-deploy\[onnx\]'"):
        write(by_hand.program(), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_without_onnxruntime_the_line_that_installs_it_is_given(monkeypatch):
    content = model(by_hand.program())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependency, match=r"a test needs onnxruntime\. .*'tdd-deploy\[onnx\]'"):
        Model(content, needed_for="a test")


def test_onnxruntime_says_nothing(capfd):
    runner(replace(convolution("float64"), encoder="poisson"), "scan").run(np.zeros((2, 1, 2, 4, 4)))
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
