"""Counts of ONNX networks, compared with onnxruntime: where all inputs and weights are 1, a sum of outputs counts."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from tdd_deploy.errors import BadFile, UnsupportedGraph
from tdd_deploy.importers.onnx.costs import count_onnx
from tests.onnx_files import made, node, write

IMAGE = (3, 8, 8)
FLOATS = {"weight_bits": None, "activation_bits": None}
BYTES = {"weight_bits": 8, "activation_bits": 8}


def ones(*shape):
    return np.ones(shape, np.float32)


def layer_of(path, shape=IMAGE):
    (layer,) = count_onnx(path, shape).layers
    return layer


def multiplications(path, shape=IMAGE):
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": ones(1, *shape)})
    return float(found.sum())


@pytest.mark.parametrize(
    ("attributes", "shape"),
    [
        ({}, (5, 3, 3, 3)),
        ({"pads": [1, 1, 1, 1], "strides": [2, 2]}, (5, 3, 3, 3)),
        ({"pads": [2, 1, 0, 3], "strides": [1, 3]}, (5, 3, 4, 2)),
        ({"pads": [3, 0, 1, 2], "dilations": [2, 1]}, (5, 3, 3, 3)),
        ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, (5, 3, 3, 3)),
        ({"auto_pad": "SAME_LOWER", "strides": [3, 2]}, (5, 3, 4, 2)),
        ({"auto_pad": "VALID"}, (5, 3, 4, 2)),
        ({"group": 3, "pads": [1, 1, 1, 1]}, (6, 1, 3, 3)),
    ],
)
def test_a_convolution_multiplies_as_often_as_its_weights_meet_a_pixel(tmp_path, attributes, shape):
    path = write(tmp_path / "net.onnx", [node("Conv", "x w", **attributes)], {"w": ones(*shape)})
    layer = layer_of(path)
    assert layer.macs == multiplications(path)
    assert (layer.kind, layer.weights, layer.inputs, layer.biases) == ("conv", np.prod(shape), 192, 0)


@pytest.mark.parametrize(
    ("attributes", "shape"),
    [
        ({}, (3, 5, 3, 3)),
        ({"pads": [1, 1, 1, 1], "strides": [2, 2]}, (3, 5, 3, 3)),
        ({"pads": [2, 0, 1, 1], "strides": [1, 2], "dilations": [2, 1]}, (3, 5, 3, 2)),
        ({"strides": [2, 2], "output_padding": [1, 1], "pads": [1, 1, 1, 1]}, (3, 5, 3, 3)),
        ({"strides": [2, 2], "output_shape": [16, 15]}, (3, 5, 3, 3)),
        ({"strides": [2, 2], "auto_pad": "SAME_UPPER"}, (3, 5, 3, 3)),
        ({"strides": [2, 2], "auto_pad": "SAME_LOWER"}, (3, 5, 3, 3)),
        ({"group": 3, "pads": [1, 1, 1, 1]}, (3, 2, 3, 3)),
    ],
)
def test_so_does_a_transposed_convolution(tmp_path, attributes, shape):
    path = write(tmp_path / "net.onnx", [node("ConvTranspose", "x w", **attributes)], {"w": ones(*shape)})
    assert layer_of(path).macs == multiplications(path)


@pytest.mark.parametrize(
    ("nodes", "weights", "shape"),
    [
        ([node("Gemm", "x w", transB=1)], {"w": ones(4, 6)}, (6,)),
        ([node("MatMul", "x w")], {"w": ones(6, 4)}, (6,)),
        ([node("MatMul", "x w")], {"w": ones(6, 4)}, (5, 6)),
        ([node("MatMul", "w x")], {"w": ones(4, 5)}, (5, 6)),
        ([node("MatMul", "x w")], {"w": ones(2, 6, 4)}, (2, 5, 6)),
        ([node("MatMul", "x w")], {"w": ones(6)}, (5, 6)),
    ],
)
def test_so_do_products(tmp_path, nodes, weights, shape):
    path = write(tmp_path / "net.onnx", nodes, weights, shape=("N", *shape))
    layer = layer_of(path, shape)
    assert layer.macs == multiplications(path, shape)
    assert (layer.weights, layer.inputs) == (weights["w"].size, np.prod(shape))


def test_a_product_of_two_values_has_no_weights(tmp_path):
    nodes = [node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "x t")]
    path = write(tmp_path / "net.onnx", nodes, shape=("N", 5, 6))
    layer = layer_of(path, (5, 6))
    assert (layer.macs, layer.weights, layer.inputs, layer.outputs) == (5 * 5 * 6, 0, 60, 25)


def test_a_recurrent_layer_multiplies_input_and_state_in_every_gate(tmp_path):
    weights = {"w": ones(1, 4 * 7, 6), "r": ones(1, 4 * 7, 7), "b": ones(1, 8 * 7)}
    nodes = [node("Transpose", "x", "t", perm=[1, 0, 2]), node("LSTM", "t w r b", hidden_size=7)]
    path = write(tmp_path / "net.onnx", nodes, weights, shape=("N", 5, 6))
    found = count_onnx(path, (5, 6))
    (layer,) = found.layers
    assert layer.macs == 5 * 4 * 7 * (6 + 7)
    assert (layer.weights, layer.biases, layer.outputs) == (4 * 7 * 13, 56, 5 * 4 * 7)
    assert [each.operator for each in found.left_out] == ["gates of recurrent layers"]


def test_biases_are_those_of_a_node_and_those_added_after_a_product(tmp_path):
    weights = {"w": ones(6, 4), "b": ones(4), "v": ones(4, 2), "c": ones(2)}
    nodes = [
        node("Gemm", "x w b", "h"), node("Relu", "h", "r"), node("MatMul", "r v", "m"), node("Add", "m c")
    ]  # fmt: skip
    path = write(tmp_path / "net.onnx", nodes, weights, shape=("N", 6))
    found = count_onnx(path, (6,))
    assert [layer.biases for layer in found.layers] == [4, 2]
    assert found.left_out == ()


def test_zeros_among_weights_are_counted(tmp_path):
    w = np.eye(6, dtype=np.float32)
    layer = layer_of(write(tmp_path / "net.onnx", [node("MatMul", "x w")], {"w": w}, shape=("N", 6)), (6,))
    assert (layer.weights, layer.nonzero_weights) == (36, 6)


def quantized(zero=0):
    """Integer weights, and numbers that quantize the input."""
    return {
        "w": np.full((6, 4), zero, np.uint8) + np.eye(6, 4, dtype=np.uint8),
        "s": np.float32(0.5), "z": np.uint8(zero), "i": np.uint8(3),
    }  # fmt: skip


@pytest.mark.parametrize("zero", [0, 7])
def test_quantized_values_and_weights_are_multiplied_as_integers(tmp_path, zero):
    pairs = [
        node("QuantizeLinear", "x s i", "q"), node("DequantizeLinear", "q s i", "d"),
        node("DequantizeLinear", "w s z", "e"), node("MatMul", "d e"),
    ]  # fmt: skip
    inside = [
        node("QuantizeLinear", "x s i", "q"), node("QLinearMatMul", "q s i w s z s i", "t"),
        node("DequantizeLinear", "t s i"),
    ]  # fmt: skip
    bare = [node("QuantizeLinear", "x s i", "q"), node("MatMulInteger", "q w i z", "t"), node("Cast", "t", to=1)]
    for nodes in (pairs, inside, bare):
        path = write(tmp_path / "net.onnx", nodes, quantized(zero), shape=("N", 6))
        found = count_onnx(path, (6,))
        (layer,) = found.layers
        assert (layer.macs, layer.nonzero_weights) == (24, 4)
        assert {key: getattr(layer, key) for key in BYTES} == BYTES
        assert {"QuantizeLinear", "DequantizeLinear"} >= {each.operator for each in found.left_out}


def test_weights_stored_as_integers_but_multiplied_as_floats_are_floats(tmp_path):
    nodes = [node("DequantizeLinear", "w s z", "e"), node("MatMul", "x e")]
    found = count_onnx(write(tmp_path / "net.onnx", nodes, quantized(), shape=("N", 6)), (6,))
    assert {key: getattr(found.layers[0], key) for key in FLOATS} == FLOATS
    assert "MatMul_y" in found.assumes[0]


def test_arithmetic_that_is_not_counted_is_named_with_its_values(tmp_path):
    nodes = [
        node("Conv", "x w", "c"), node("Relu", "c", "r"), node("MaxPool", "r", "p", kernel_shape=[2, 2]),
        node("Sigmoid", "p", "s"), node("Sigmoid", "s", "t"), node("Flatten", "t"),
    ]  # fmt: skip
    found = count_onnx(write(tmp_path / "net.onnx", nodes, {"w": ones(5, 3, 3, 3)}), IMAGE)
    assert [(each.operator, each.nodes, each.values) for each in found.left_out] == [
        ("MaxPool", 1, 5 * 5 * 5),
        ("Sigmoid", 2, 2 * 5 * 5 * 5),
    ]


def test_arithmetic_on_constants_costs_nothing(tmp_path):
    nodes = [node("Mul", "w w", "v"), node("MatMul", "x v")]
    found = count_onnx(write(tmp_path / "net.onnx", nodes, {"w": ones(6, 4)}, shape=("N", 6)), (6,))
    assert (found.left_out, found.layers[0].weights) == ((), 24)


def test_counts_are_per_inference_where_the_file_fixes_a_batch(tmp_path):
    nodes = [node("Conv", "x w", pads=[1, 1, 1, 1])]
    one, four = (
        layer_of(write(tmp_path / f"{n}.onnx", nodes, {"w": ones(5, 3, 3, 3)}, shape=(n, 3, 8, 8))) for n in (1, 4)
    )
    assert one == four


@pytest.mark.parametrize(
    ("shape", "sample", "how"),
    [
        (("N", 3, 8, 8), (3, 8, 8), "as it is"),
        (("N", 3, "H", "W"), (3, 8, 8), "as it is"),
        (("N", 8, 8, 3), (3, 8, 8), "channel last"),
        (("N", 192), (3, 8, 8), "flattened"),
        (("N", 8, 8), (1, 8, 8), "reshaped"),
        ((1, 5), (3, 8, 8), ""),
    ],
)
def test_a_sample_becomes_an_input_in_one_of_these_ways(tmp_path, shape, sample, how):
    path = tmp_path / "net.onnx"
    weights = {"w": ones(1, 1)}
    write(path, [node("Flatten", "x", "f"), node("ReduceSum", "f", "s"), node("MatMul", "s w")], weights, shape=shape)
    fit = count_onnx(path, sample).fit
    assert fit.how == how
    assert bool(fit.found) == (not how)
    if how:
        x = np.arange(2 * np.prod(sample), dtype=np.float32).reshape(2, *sample)
        given = fit.inputs(x)
        assert given.shape == (2, *fit.shape)
        expected = np.moveaxis(x, 1, -1) if how == "channel last" else x
        assert np.array_equal(given.ravel(), expected.ravel())


def branch():
    graph = helper.make_graph([node("Relu", "x", "z")], "g", [], [helper.make_tensor_value_info("z", 1, None)])
    return helper.make_node("If", ["c"], ["i"], name="if", then_branch=graph, else_branch=graph)


def test_all_that_cannot_be_counted_is_named_at_once(tmp_path):
    own = helper.make_node("Own", ["x"], ["o"], name="own", domain="com.example")
    nodes = [own, branch(), node("Einsum", "x x", equation="nchw,nchw->n")]
    model = made(nodes[2:], {"c": np.array(True)})
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    with pytest.raises(UnsupportedGraph) as caught:
        count_onnx(path, IMAGE)
    text = str(caught.value)
    assert all(word in text for word in ("own (Own)", "com.example", "if (If)", "Einsum_y (Einsum)"))


@pytest.mark.parametrize(
    ("nodes", "weights", "shape", "words"),
    [
        ([node("Relu", "x")], {}, ("N", 3, 8, 8), "no operator whose cost is known"),
        ([node("MatMul", "x w")], {"w": ones(6, 4)}, ("N", "L", 6), "input x must be [N, ...]"),
        ([node("MatMul", "x w")], {"w": ones(6, 4)}, (6,), "with a batch axis"),
        ([node("MatMul", "x w")], {"w": ones(6, 4)}, (4, 6), "N = 1"),
    ],
)
def test_what_is_missing_for_a_count_is_said(tmp_path, nodes, weights, shape, words):
    with pytest.raises(UnsupportedGraph, match=r".*") as caught:
        count_onnx(write(tmp_path / "net.onnx", nodes, weights, shape=shape), IMAGE)
    assert words in str(caught.value)


def test_a_tensor_of_unknown_shape_is_named(tmp_path):
    nodes = [node("NonZero", "x", "n"), node("Cast", "n", "f", to=1), node("MatMul", "f w")]
    path = write(tmp_path / "net.onnx", nodes, {"w": ones(6, 4)}, shape=("N", 6))
    with pytest.raises(UnsupportedGraph, match=r"MatMul_y \(MatMul\) has f of a shape that can be neither inferred"):
        count_onnx(path, (6,))


def test_a_shape_that_is_computed_in_floats_is_found_by_execution(tmp_path):
    weights = {"w": ones(3, 4), "two": np.array([1, 2, 0.5], np.float32), "s": np.array([1, 1, 6])}
    nodes = [
        node("Reshape", "x s", "r"), node("Shape", "r", "n"), node("Cast", "n", "f", to=1), node("Mul", "f two", "g"),
        node("Cast", "g", "m", to=7), node("Reshape", "x m", "z"), node("MatMul", "z w"),
    ]  # fmt: skip
    path = write(tmp_path / "net.onnx", nodes, weights, shape=("N", 6))
    with pytest.raises(UnsupportedGraph, match="MatMul_y"):
        count_onnx(path, (6,))

    def execute(content, inputs):
        return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, inputs)

    (layer,) = count_onnx(path, (6,), execute).layers
    assert (layer.macs, layer.outputs) == (2 * 3 * 4, 2 * 4)
    with pytest.raises(UnsupportedGraph, match="Install onnxruntime"):
        count_onnx(path, (6,), lambda content, inputs: [])


def test_a_small_file_cannot_ask_for_a_huge_tensor(tmp_path):
    weights = {"w": ones(6, 4), "n": np.array([1 << 20, 1 << 10, 1])}
    nodes = [node("Expand", "x n", "e"), node("MatMul", "e w")]
    with pytest.raises(UnsupportedGraph, match="e must be at most"):
        count_onnx(write(tmp_path / "net.onnx", nodes, weights, shape=("N", 6)), (6,))


def test_a_damaged_file_is_an_error(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(BadFile):
        count_onnx(path, IMAGE)
