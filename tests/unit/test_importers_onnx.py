"""ReLU networks from ONNX files, compared with onnxruntime."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from tdd_deploy import inspect
from tdd_deploy.errors import BadFile, MissingDependency, TddDeployError, UnsupportedGraph
from tdd_deploy.exporters import TARGETS
from tdd_deploy.importers import read
from tdd_deploy.neurons import SigmaDelta
from tdd_deploy.program import Conv, Dense, Pool, with_code
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.engine.engine import Engine
from tests import by_hand
from tests.onnx_files import made, node, write

RNG = np.random.default_rng(0)


def random(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def same_as_onnxruntime(path, x, given=None):
    """Hold a file's program, on ``x`` channel first, to onnxruntime on ``given``; return the program."""
    program = read(path)
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {session.get_inputs()[0].name: x if given is None else given})
    found = reference.run(program, x[None])[program.output.name][0]
    np.testing.assert_allclose(found, expected.reshape(found.shape), atol=1e-5 * max(1.0, np.abs(expected).max()))
    for code in ("delta", "spike"):
        executed = Engine(with_code(program, code)).run(Static(x), n_steps=1, record=()).output
        np.testing.assert_allclose(executed[:, 0], found, atol=1e-5 * max(1.0, np.abs(expected).max()))
    return program


class Static:
    static = True

    def __init__(self, x):
        self._x = x

    def at(self, t):
        return self._x


X = random(4, 3, 8, 8)
ROWS = random(4, 6)


@pytest.mark.parametrize(
    ("attributes", "shape"),
    [
        ({}, (5, 3, 3, 3)),
        ({"pads": [1, 1, 1, 1], "strides": [2, 2]}, (5, 3, 3, 3)),
        ({"pads": [0, 0, 1, 1], "strides": [2, 2]}, (5, 3, 3, 3)),
        ({"pads": [2, 1, 0, 3], "strides": [1, 3]}, (5, 3, 4, 2)),
        ({"pads": [3, 0, 1, 2], "dilations": [2, 1]}, (5, 3, 3, 3)),
        ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, (5, 3, 3, 3)),
        ({"auto_pad": "SAME_LOWER", "strides": [3, 2]}, (5, 3, 4, 2)),
        ({"auto_pad": "VALID"}, (5, 3, 4, 2)),
        ({"group": 3, "pads": [1, 1, 1, 1]}, (6, 1, 3, 3)),
    ],
)
@pytest.mark.parametrize("bias", [False, True])
def test_convolutions(tmp_path, attributes, shape, bias):
    weights = {"w": random(*shape), **({"b": random(shape[0])} if bias else {})}
    path = write(tmp_path / "net.onnx", [node("Conv", "x w b" if bias else "x w", **attributes)], weights)
    same_as_onnxruntime(path, X)


@pytest.mark.parametrize(
    ("nodes", "weights"),
    [
        ([node("Gemm", "x w b", transB=1)], {"w": random(4, 6), "b": random(4)}),
        ([node("Gemm", "x w b", alpha=0.5, beta=2.0)], {"w": random(6, 4), "b": random(1, 4)}),
        ([node("Gemm", "x w")], {"w": random(6, 4)}),
        ([node("MatMul", "x w", "h"), node("Add", "h b")], {"w": random(6, 4), "b": random(4)}),
        ([node("Transpose", "w", "t", perm=[1, 0]), node("MatMul", "x t")], {"w": random(4, 6)}),
        ([node("Transpose", "w", "t"), node("MatMul", "x t")], {"w": random(4, 6)}),
        ([node("Gemm", "x w", "h"), node("Clip", "h a")], {"w": random(6, 4), "a": np.float32(0)}),
        ([node("Gemm", "x w", "h"), node("Clip", "h")], {"w": random(6, 4)}),
        ([node("Gemm", "x w", "h"), node("Max", "a h")], {"w": random(6, 4), "a": np.float32(0)}),
        ([node("Sub", "b x", "h"), node("MatMul", "h w")], {"w": random(6, 4), "b": random(6)}),
        ([node("Relu", "x", "r"), node("Sub", "x r", "h"), node("MatMul", "h w")], {"w": random(6, 4)}),
        ([node("Add", "c d", "b"), node("Add", "x b")], {"c": random(6), "d": random(1)}),
        ([node("MatMul", "x w", "h"), node("Add", "b h")], {"w": random(6, 4), "b": random(1)}),
        ([node("MatMul", "x w", "h"), node("Sub", "h b")], {"w": random(6, 4), "b": random(4)}),
        ([node("MatMul", "x w", "h"), node("Div", "h b")], {"w": random(6, 4), "b": np.float32(3)}),
        ([node("Mul", "b x", "h"), node("MatMul", "h w")], {"w": random(6, 4), "b": random(6)}),
        ([node("Sub", "x b", "h"), node("MatMul", "h w")], {"w": random(6, 4), "b": random(6)}),
        (
            [node("Gemm", "x w", "h"), node("BatchNormalization", "h s b m v", epsilon=1e-3)],
            {"w": random(6, 4), "s": random(4), "b": random(4), "m": random(4), "v": random(4) ** 2},
        ),
    ],
)
def test_rows(tmp_path, nodes, weights):
    same_as_onnxruntime(write(tmp_path / "net.onnx", nodes, weights, shape=("N", 6)), ROWS)


AROUND, MORE_BEFORE = np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.array([0, 0, 1, 2, 0, 0, 0, 1])
NORM = {"s": random(5), "b": random(5), "m": random(5), "v": random(5) ** 2}


@pytest.mark.parametrize(
    ("nodes", "weights"),
    [
        ([node("AveragePool", "x", kernel_shape=[2, 2], strides=[2, 2])], {}),
        ([node("AveragePool", "x", kernel_shape=[3, 2], strides=[1, 2], pads=[1, 0, 1, 0], count_include_pad=1)], {}),
        ([node("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1], count_include_pad=1)], {}),
        ([node("AveragePool", "x", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)], {}),
        ([node("GlobalAveragePool", "x")], {}),
        ([node("ReduceMean", "x", axes=[2, 3], keepdims=0)], {}),
        ([node("ReduceMean", "x", axes=[-1, -2])], {}),
        ([node("Relu", "x")], {}),
        ([node("Relu", "x", "h"), node("Add", "h x")], {}),
        ([node("Relu", "x", "h"), node("Add", "h h")], {}),
        ([node("Flatten", "x")], {}),
        ([node("Reshape", "x to")], {"to": np.array([0, -1])}),
        ([node("Reshape", "x to")], {"to": np.array([-1, 192])}),
        ([node("Mul", "x c", "h"), node("Add", "h d")], {"c": random(3, 1, 1), "d": random(1, 3, 1, 1)}),
        ([node("Sub", "x c", "h"), node("Div", "h d")], {"c": np.float32(0.5), "d": random(1, 3, 1, 1)}),
        ([node("Conv", "x w", "h"), node("BatchNormalization", "h s b m v")], {"w": random(5, 3, 3, 3), **NORM}),
        ([node("Pad", "x p", "h"), node("Conv", "h w")], {"p": MORE_BEFORE, "w": random(5, 3, 3, 3)}),
        ([node("Pad", "x p", "h"), node("Conv", "h w", auto_pad="SAME_UPPER", strides=[2, 2])],
         {"p": MORE_BEFORE, "w": random(5, 3, 3, 3)}),
        ([node("Pad", "x p", "h"), node("Conv", "h w", auto_pad="SAME_LOWER", strides=[2, 3])],
         {"p": MORE_BEFORE, "w": random(5, 3, 2, 2)}),
        ([node("Relu", "x", "h"), node("Sum", "h x c h")], {"c": random(3, 1, 1)}),
        ([node("Neg", "c", "d"), node("Neg", "x", "h"), node("Add", "h d")], {"c": random(3, 1, 1)}),
        ([node("Flatten", "x", axis=-3)], {}),
        ([node("Pad", "x p", "h"), node("AveragePool", "h", kernel_shape=[3, 3])], {"p": AROUND}),
        ([node("Pad", "x p", "a"), node("Relu", "a", "b"), node("Mul", "b c", "h"), node("Conv", "h w")],
         {"p": MORE_BEFORE, "c": random(3, 1, 1), "w": random(5, 3, 3, 3)}),
        ([node("Add", "x c", "h"), node("Conv", "h w", pads=[1, 1, 1, 1])],
         {"c": random(1, 3, 8, 8), "w": random(5, 3, 3, 3)}),
        ([node("Sub", "x c", "h"), node("Div", "h d")], {"c": random(8, 8), "d": random(1, 1, 1, 8)}),
        ([node("Sub", "c x", "h"), node("Conv", "h w")], {"c": np.float32(1), "w": random(5, 3, 3, 3)}),
        ([node("Mul", "x c", "h"), node("Flatten", "h", "f"), node("Add", "f d")],
         {"c": random(3, 1, 8), "d": random(1, 192)}),
        (  # pads as the older exporter of PyTorch computes them
            [
                node("ConstantOfShape", "four", "rest", value=helper.make_tensor("zero", TensorProto.INT64, [1], [0])),
                node("Concat", "own rest", "all", axis=0), node("Reshape", "all pairs", "a"),
                node("Slice", "a last first axis back", "b"), node("Transpose", "b", "c", perm=[1, 0]),
                node("Reshape", "c flat", "pads"), node("Pad", "x pads", "h"), node("Conv", "h w"),
            ],
            {"four": np.array([4]), "own": np.array([1, 0, 0, 2]), "pairs": np.array([-1, 2]), "last": np.array([-1]),
             "first": np.array([-(2**63) + 1]), "axis": np.array([0]), "back": np.array([-1]), "flat": np.array([-1]),
             "w": random(5, 3, 3, 3)},
        ),
        ([node("Identity", "x", "a"), node("Dropout", "a", "b"), node("Cast", "b", to=1)], {}),
        ([node("GlobalAveragePool", "x", "h"), node("Squeeze", "h axes")], {"axes": np.array([2, 3])}),
        (  # as older exporters flatten: with the size of the batch
            [
                node("Shape", "x", "a"), node("Gather", "a zero", "n", axis=0), node("Unsqueeze", "n zeros", "m"),
                node("Constant", "", "rest", value=helper.make_tensor("rest", TensorProto.INT64, [1], [-1])),
                node("Concat", "m rest", "to", axis=0), node("Reshape", "x to"),
            ],
            {"zero": np.array(0), "zeros": np.array([0])},
        ),
        (  # what is read twice keeps its own values
            [
                node("Conv", "x w", "h"), node("Identity", "h", "i"), node("BatchNormalization", "i s b m v", "k"),
                node("Relu", "k", "r"), node("Add", "r h"),
            ],
            {"w": random(5, 3, 3, 3), **NORM},
        ),
    ],
)  # fmt: skip
def test_images(tmp_path, nodes, weights):
    same_as_onnxruntime(write(tmp_path / "net.onnx", nodes, weights), X)


@pytest.mark.parametrize(
    ("attributes", "macs"),
    [  # 3 rows at each of 4 places, less those that are padded: 11 of 12
        ({"pads": [0, 0, 1, 1], "strides": [2, 2]}, 11 * 11),
        ({"pads": [1, 1, 0, 0], "strides": [2, 2]}, 11 * 11),
        ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, 11 * 11),
        ({"pads": [0, 2, 0, 0], "strides": [1, 1]}, 18 * 21),
    ],
)
def test_zeros_that_even_out_pads_are_counted_nowhere(tmp_path, attributes, macs):
    path = write(tmp_path / "net.onnx", [node("Conv", "x w", **attributes)], {"w": random(5, 3, 3, 3)})
    program = same_as_onnxruntime(path, X)
    x = np.ones((1, 3, 8, 8), np.float32)
    for compiled in (False, True):
        trace = Engine(with_code(program, "delta"), compiled=compiled).run(Static(x), n_steps=1).trace
        for name in ("dense", "synops_stored", "synops_effective"):
            assert trace.executed.total(name) == 15 * macs, name
    assert inspect(path)["weights"] == 5 * 3 * 3 * 3
    assert "zeros for uneven padding: 1 at the " in inspect(path)["nodes"][1]["parameters"].replace("2 at", "1 at")


def test_an_average_pool_that_counts_as_a_convolution_is_named(tmp_path):
    nodes = [node("AveragePool", "x", kernel_shape=[3, 3], pads=[0, 0, 1, 1], count_include_pad=1, name="c")]
    program = same_as_onnxruntime(write(tmp_path / "net.onnx", nodes), X)
    assert program.provenance["counted as convolutions"] == "c: an average pool with uneven pads"


@pytest.mark.parametrize("opset", [9, 17])
def test_pads_and_limits_are_read_as_attributes_and_as_inputs(tmp_path, opset):
    if opset == 9:
        nodes = [node("Pad", "x", "a", pads=[0, 0, 1, 2, 0, 0, 0, 1], mode="constant", value=0.0)]
        nodes += [node("Conv", "a w", "h"), node("Clip", "h", min=0.0)]
    else:
        nodes = [node("Pad", "x p zero axes", "a"), node("Conv", "a w", "h"), node("Clip", "h zero")]
    weights = {"w": random(5, 3, 3, 3)}
    if opset == 17:
        weights |= {"p": np.array([1, 2, 0, 1]), "zero": np.float32(0), "axes": np.array([2, 3])}
        nodes[0] = node("Pad", "x p zero", "a")
        weights["p"] = np.array([0, 0, 1, 2, 0, 0, 0, 1])
        del weights["axes"]
    program = same_as_onnxruntime(write(tmp_path / "net.onnx", nodes, weights, opset=opset), X)
    assert len(program.neuron_layers) == 1


def test_pads_along_named_axes_are_read(tmp_path):
    nodes = [node("Pad", "x p zero axes", "a"), node("Conv", "a w")]
    weights = {"p": np.array([1, 2, 0, 1]), "zero": np.float32(0), "axes": np.array([3, -2]), "w": random(5, 3, 3, 3)}
    same_as_onnxruntime(write(tmp_path / "net.onnx", nodes, weights, opset=18), X)


LINE = {"shape": ("N", 2, 16)}
TAIL = [node("Flatten", "r", "f"), node("Gemm", "f v", transB=1)]


@pytest.mark.parametrize(
    ("nodes", "weights"),
    [
        ([node("Conv", "x w", "r", pads=[1, 2], strides=[2]), *TAIL], {"w": random(4, 2, 3), "v": random(3, 36)}),
        ([node("Conv", "x w b", strides=[3], auto_pad="SAME_UPPER")], {"w": random(4, 2, 3), "b": random(4)}),
        ([node("Conv", "x w", group=2)], {"w": random(4, 1, 3)}),
        ([node("AveragePool", "x", kernel_shape=[4], strides=[2])], {}),
        ([node("AveragePool", "x", kernel_shape=[3], strides=[2], pads=[0, 2], count_include_pad=1)], {}),
        ([node("GlobalAveragePool", "x")], {}),
        ([node("ReduceMean", "x", "r", axes=[2], keepdims=0), node("Gemm", "r v", transB=1)], {"v": random(3, 2)}),
        ([node("BatchNormalization", "x s b m v")], {key: random(2) ** 2 + 0.5 for key in "sbmv"}),
        ([node("Add", "x c", "h"), node("Mul", "h d")], {"c": random(2, 1), "d": random(1, 1, 16)}),
        ([node("Pad", "x p", "h"), node("Conv", "h w")], {"p": np.array([0, 0, 1, 0, 0, 2]), "w": random(4, 2, 3)}),
        ([node("Unsqueeze", "x two", "h"), node("Conv", "h w", "c"), node("Squeeze", "c two")],
         {"two": np.array([2]), "w": random(4, 2, 1, 3)}),
        ([node("Reshape", "x to", "h"), node("Conv", "h w")], {"to": np.array([0, 2, 1, -1]), "w": random(4, 2, 1, 3)}),
        ([node("Relu", "x", "r"), *TAIL], {"v": random(3, 32)}),
        ([node("Conv", "x w", "r"), node("Transpose", "r", "t", perm=[0, 2, 1]), node("Flatten", "t", "f"),
          node("Gemm", "f v", transB=1)], {"w": random(4, 2, 3), "v": random(3, 56)}),
    ],
)  # fmt: skip
def test_signals_in_time_are_images_with_a_height_of_1(tmp_path, nodes, weights):
    path = write(tmp_path / "net.onnx", nodes, weights, **LINE)
    given = random(4, 2, 16)
    assert same_as_onnxruntime(path, given.reshape(4, 2, 1, 16), given).input.shape == (2, 1, 16)


def test_rows_of_images_are_flattened_at_once(tmp_path):
    path = write(tmp_path / "net.onnx", [node("Identity", "x", "r"), *TAIL], {"v": random(3, 784)}, shape=(1, 784, 1))
    given = random(4, 784, 1)
    program = read(path)
    expected = given.reshape(4, 784) @ onnx.numpy_helper.to_array(onnx.load(path).graph.initializer[0]).T
    found = reference.run(program, given.reshape(1, 4, 784, 1, 1))[program.output.name][0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_signal_channel_last_is_taken_channel_first(tmp_path):
    nodes = [node("Transpose", "x", "t", perm=[0, 2, 1]), node("Conv", "t w")]
    path = write(tmp_path / "net.onnx", nodes, {"w": random(4, 2, 3)}, shape=("N", 16, 2))
    given = random(4, 16, 2)
    x = np.ascontiguousarray(given.transpose(0, 2, 1)).reshape(4, 2, 1, 16)
    assert "channel first" in same_as_onnxruntime(path, x, given).provenance["left out"]


def test_a_row_becomes_a_signal_of_one_channel(tmp_path):
    nodes = [node("Unsqueeze", "x one", "h"), node("Conv", "h w")]
    path = write(tmp_path / "net.onnx", nodes, {"one": np.array([1]), "w": random(4, 1, 3)}, shape=("N", 6))
    assert same_as_onnxruntime(path, ROWS.reshape(4, 1, 1, 6), ROWS).input.shape == (1, 1, 6)


def residual(path, **choices):
    """A network with batch norm and two residual blocks, as exporters write them."""
    weights = {}

    def conv(source, target, channels, stride=1, channels_in=6, kernel=3):
        weights[f"w{target}"] = random(channels, channels_in, kernel, kernel) / 4
        norm = {f"{key}{target}": random(channels) for key in "sbm"} | {f"v{target}": random(channels) ** 2 + 0.5}
        weights.update(norm)
        pads = [kernel // 2] * 4
        return [
            node("Conv", f"{source} w{target}", f"c{target}", strides=[stride] * 2, pads=pads),
            node("BatchNormalization", f"c{target} {' '.join(norm)}", target),
        ]

    nodes = [
        *conv("x", "stem", 6, channels_in=3), node("Relu", "stem", "r0"),
        *conv("r0", "one", 6), node("Relu", "one", "r1"), *conv("r1", "two", 6),
        node("Add", "two r0", "sum1"), node("Relu", "sum1", "r2"),
        *conv("r2", "three", 8, stride=2), node("Relu", "three", "r3"), *conv("r3", "four", 8, channels_in=8),
        *conv("r2", "short", 8, stride=2, kernel=1), node("Add", "four short", "sum2"), node("Relu", "sum2", "r4"),
        node("GlobalAveragePool", "r4", "mean"), node("Flatten", "mean", "flat"),
        node("Gemm", "flat wl bl", "logits", transB=1), node("Softmax", "logits", axis=1),
    ]  # fmt: skip
    weights |= {"wl": random(10, 8), "bl": random(10)}
    return write(path, nodes, weights, **choices)


def test_a_residual_network_has_no_batch_norm_left_and_no_softmax(tmp_path):
    path = residual(tmp_path / "net.onnx")
    program = read(path)
    assert program.provenance["left out"] == "Softmax at the output, which does not change the class"
    assert (program.n_steps, program.number_format, program.provenance["dialect"]) == (1, "float32", "onnx")
    kinds = [type(each).__name__ for each in program.linear_maps]
    assert kinds == ["Conv"] * 6 + ["Pool", "Flatten", "Dense"]
    assert all(isinstance(layer.neuron, SigmaDelta) for layer in program.neuron_layers)
    model = onnx.load(path)
    del model.graph.node[-1]
    model.graph.output[0].name = "logits"
    onnx.save(model, tmp_path / "logits.onnx")
    same_as_onnxruntime(tmp_path / "logits.onnx", X)


@pytest.mark.parametrize("last", ["LogSoftmax", "ArgMax"])
def test_what_does_not_change_the_class_is_left_out(tmp_path, last):
    nodes = [node("Gemm", "x w", "h"), node(last, "h", axis=1)]
    path = write(tmp_path / "net.onnx", nodes, {"w": random(6, 4)}, shape=("N", 6))
    assert last in read(path).provenance["left out"]


def test_a_network_that_is_channel_last_takes_samples_channel_first(tmp_path):
    """As tf2onnx writes Keras: pictures and dense weights channel last, convolutions between them channel first."""
    weights = {
        "w": random(5, 3, 3, 3), "k": random(2 * 3 * 5, 4), "b": random(5), "c": random(4), "to": np.array([-1, 30]),
    }  # fmt: skip
    nodes = [
        node("Transpose", "x", "t", perm=[0, 3, 1, 2]),
        node("Conv", "t w b", "h", auto_pad="SAME_UPPER", strides=[4, 3]),
        node("Relu", "h", "r"),
        node("Transpose", "r", "u", perm=[0, 2, 3, 1]),
        node("Add", "u b", "shifted"),
        node("Reshape", "shifted to", "flat"),
        node("Relu", "flat", "flat_r"),
        node("MatMul", "flat_r k", "l"),
        node("Add", "l c"),
    ]
    path = write(tmp_path / "net.onnx", nodes, weights, shape=("N", 8, 7, 3))
    x = random(4, 3, 8, 7)
    program = same_as_onnxruntime(path, x, np.ascontiguousarray(x.transpose(0, 2, 3, 1)))
    assert "channel first" in program.provenance["left out"]


def test_rows_that_become_images_are_taken_as_images(tmp_path):
    nodes = [node("Reshape", "x to", "i"), node("Conv", "i w")]
    path = write(
        tmp_path / "net.onnx", nodes, {"to": np.array([-1, 1, 4, 4]), "w": random(2, 1, 3, 3)}, shape=("N", 16)
    )
    x = random(4, 1, 4, 4)
    assert same_as_onnxruntime(path, x, x.reshape(4, 16)).input.shape == (1, 4, 4)


def test_a_batch_of_fixed_size_is_one_sample_of_it(tmp_path):
    nodes = [node("Relu", "x", "r"), node("Reshape", "r to")]
    path = write(tmp_path / "net.onnx", nodes, {"to": np.array([4, -1])}, shape=(4, 3, 8, 8))
    assert same_as_onnxruntime(path, X).input.shape == (3, 8, 8)


def test_a_threshold_sends_less_and_bounds_the_error(tmp_path):
    from tdd_deploy.program import with_delta_threshold

    program = read(residual(tmp_path / "net.onnx"))
    runs = [Engine(with_delta_threshold(program, theta)).run(Static(X), n_steps=1, record=()) for theta in (0.0, 0.3)]
    assert runs[1].trace.executed.total("synops_effective") < runs[0].trace.executed.total("synops_effective")
    assert np.abs(runs[1].output - runs[0].output).max() > 0


POOL = {"kernel_shape": [2, 2], "strides": [2, 2]}


@pytest.mark.parametrize(
    ("nodes", "weights", "found"),
    [
        ([node("MaxPool", "x", **POOL)], {},
         r"MaxPool_y must be one of Add, .* \(got MaxPool\)\. Train with average pooling"),
        ([node("Sigmoid", "x")], {}, r"Sigmoid_y must be .* \(got Sigmoid\)\. Train with ReLU"),
        ([node("Clip", "x a b")], {"a": np.float32(0), "b": np.float32(6)},
         r"clips values to the range from 0\.0 to 6\.0\. Train with ReLU instead of ReLU6"),
        ([node("Clip", "x a b")], {"a": np.float32(-1), "b": np.float32(1)}, r"from -1\.0 to 1\.0"),
        ([node("Clip", "x a")], {"a": np.float32(-1)}, r"clips values below -1\.0, not below 0\. Train with ReLU"),
        ([node("Max", "x a")], {"a": np.float32(1)}, "Use the larger of a signal and 0, which is ReLU"),
        ([node("Max", "x x")], {}, "a second operand computed from the input"),
        ([node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z")],
         {"s": np.float32(1), "z": np.uint8(0)},
         r"\(got QuantizeLinear\)\. Use the float model from which it was quantized"),
        ([node("Gemm", "f w b", "y", transB=1), node("Flatten", "x", "f")][::-1],
         {"w": random(4, 192), "b": random(4, 1)},
         r"bias of Gemm_y \(Gemm\) must be one number, or one for each of 4 outputs \(got shape \[4, 1\]\)"),
        ([node("Conv", "x w b")], {"w": random(5, 3, 3, 3), "b": random(4)},
         r"bias of Conv_y \(Conv\) must be of shape \[5\], .* \(got shape \[4\]\)"),
        ([node("Conv", "x w", group=2)], {"w": random(5, 3, 3, 3)},
         r"group of Conv_y \(Conv\) must be a divisor of its 5 channels \(got 2\)"),
        ([node("Conv", "x w", strides=[1])], {"w": random(5, 3, 3, 3)},
         r"strides of Conv_y \(Conv\) must be 2 numbers, 1 or more each \(got \[1\]\)"),
        ([node("Conv", "x w")], {"w": random(5, 3, 3)}, "weights of 3 axes, an input of 4"),
        ([node("BatchNormalization", "x s b m v")], {key: random(4) for key in "sbmv"},
         r"statistics of .* must be of shape \[3\], one number for each channel \(got shape \[4\]\)"),
        ([node("Pad", "x p")], {"p": np.array([0, 1, 0, 0, 0, 0, 0, 0])},
         r"zeros around the pixels of images \(got \[0, 1, 0,"),
        ([node("Pad", "x p")], {"p": np.array([0, 1])},
         r"pads of Pad_y \(Pad\) must be two numbers for each of 4 axes \(got \[0, 1\]\)"),
        ([node("Squeeze", "x a")], {"a": np.array([1])},
         r"axes of .* must be axes of one pixel \(got \[1\] of \[3, 8, 8\]\)"),
        ([node("Unsqueeze", "x a")], {"a": np.array([1])},
         r"axes of .* must be a height of 1, or a channel of the input \(got \[1\]\)"),
        ([node("Softmax", "x", "h"), node("Relu", "h")], {},
         r"Softmax_h \(Softmax\) is within the network\. Put it at the output"),
        ([node("AveragePool", "x", pads=[1, 1, 1, 1], **POOL)], {}, "Use no pads, or count_include_pad=1"),
        ([node("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)], {}, "ceil_mode=1"),
        ([node("Pad", "x p", "h"), node("Relu", "h")], {"p": AROUND}, "is channel last, or padded"),
        ([node("Pad", "x p", "h"), node("Add", "h c", "k"), node("Conv", "k w")],
         {"p": AROUND, "c": np.float32(1), "w": random(5, 3, 3, 3)}, "the output of Pad"),
        ([node("Pad", "x p", "h"), node("Add", "h h", "k"), node("Conv", "k w")],
         {"p": AROUND, "w": random(5, 3, 3, 3)}, "the output of Pad"),
        ([node("Pad", "x p c", "h"), node("Conv", "h w")],
         {"p": AROUND, "c": np.float32(1), "w": random(5, 3, 3, 3)}, "constant zeros"),
        ([node("Pad", "x p", "h", mode="reflect"), node("Conv", "h w")],
         {"p": AROUND, "w": random(5, 3, 3, 3)}, "mode reflect"),
        ([node("Add", "x c")], {"c": random(4, 3, 8, 8)},
         r"of a shape that broadcasts to \[3, 8, 8\], a sample \(got shape \[4, 3, 8, 8\]\)"),
        ([node("Add", "x c")], {"c": random(5)},
         r"of a shape that broadcasts to \[3, 8, 8\], a sample \(got shape \[5\]\)"),
        ([node("Mul", "x x")], {}, "a second operand computed from the input; only constants"),
        ([node("Concat", "x x", axis=1)], {}, r"channels of several layers side by side\. Use sums of layers: Add"),
        ([node("MatMul", "x w")], {"w": random(8, 4)}, "Put Flatten before it"),
        ([node("Conv", "x w")], {"w": random(5, 4, 3, 3)}, r"receives another shape than \(4, height, width\)"),
        ([node("Conv", "x w", pads=[0, 0, 1, 0], dilations=[2, 2])], {"w": random(5, 3, 2, 2)},
         r"pads of .* must be alike on both sides at dilation 2 \(got \[0, 0, 1, 0\]\)"),
        ([node("Transpose", "x", perm=[0, 2, 1, 3])], {},
         r"perm of .* must be \[0, 3, 1, 2\] at the input, or .* \(got \[0, 2, 1, 3\]\)"),
        ([node("Transpose", "x", perm=[0, 2, 3, 1])], {}, "output y is channel last"),
        ([node("Transpose", "x", "t", perm=[0, 2, 3, 1]), node("GlobalAveragePool", "t")], {}, "channel first"),
        ([node("Reshape", "x to")], {"to": np.array([-1, 6, 8, 4])}, None),
        ([node("Relu", "x", "r"), node("Reshape", "r to")], {"to": np.array([-1, 6, 8, 4])}, r"to \[-1, 6, 8, 4\]"),
        ([node("Relu", "x", "r"), node("Reshape", "x to", "i"), node("Add", "r i")],
         {"to": np.array([-1, 6, 8, 4])}, "reshapes the input, which other nodes read as it was"),
        ([node("Flatten", "x", axis=2)], {}, r"axis of .* must be 1, .* \(got 2\)"),
        ([node("ReduceMean", "x", axes=[1])], {}, r"axes of .* must be \[2, 3\], the pixels of images \(got \[1\]\)"),
        ([node("Identity", "w")], {"w": random(3)}, "output y does not depend on the input"),
        ([node("BatchNormalization", "x s b m v", training_mode=1)],
         {key: random(3) for key in "sbmv"}, "network.eval()"),
    ],
)  # fmt: skip
def test_what_no_program_can_hold_is_refused_by_name(tmp_path, nodes, weights, found):
    path = write(tmp_path / "net.onnx", nodes, weights)
    if found is None:
        assert read(path).input.shape == (6, 8, 4)
        return
    with pytest.raises(UnsupportedGraph, match=found):
        read(path)


def test_all_that_is_refused_is_named_at_once(tmp_path):
    nodes = [node("MaxPool", "x", "a", **POOL), node("Tanh", "a", "b"), node("MaxPool", "b", **POOL)]
    with pytest.raises(UnsupportedGraph) as caught:
        read(write(tmp_path / "net.onnx", nodes))
    assert [violation.where for violation in caught.value.violations] == [
        "MaxPool_a, MaxPool_y",
        "Tanh_b",
    ]
    nodes = [node("Flatten", "x", "a", axis=2), node("Relu", "x", "b"), node("Flatten", "b", axis=3)]
    with pytest.raises(UnsupportedGraph, match=r"\(2 found\)"):
        read(write(tmp_path / "net.onnx", nodes))


@pytest.mark.parametrize("shape", [("N", 3, 8, 8, 8), ("N", 3, "H", "W"), ("N",), ("N", 3, 0, 8)])
def test_inputs_of_other_shapes_are_refused(tmp_path, shape):
    with pytest.raises(
        (UnsupportedGraph, BadFile),
        match=r"input x must be .*\[N, channels, length\].* \(got type float, shape \[N.*\]\)",
    ):
        read(write(tmp_path / "net.onnx", [node("Relu", "x")], shape=shape))


def test_a_network_in_doubles_is_refused_with_how_to_export_it_in_floats(tmp_path):
    model = made([node("Relu", "x")], shape=("N", 6))
    for end in (*model.graph.input, *model.graph.output):
        end.type.tensor_type.elem_type = TensorProto.DOUBLE
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(
        UnsupportedGraph, match=r"must be float32 .* \(got type double, shape \[N, 6\]\)\. .*network\.float\(\)"
    ):
        read(tmp_path / "net.onnx")


def test_the_remedy_for_two_outputs_extracts_one_of_them(tmp_path, monkeypatch):
    nodes = [node("Relu", "x", "h"), node("Gemm", "h w"), node("Gemm", "h v", "z")]
    weights = {"w": random(6, 4), "v": random(6, 3)}
    path = write(tmp_path / "net.onnx", nodes, weights, shape=("N", 6), outputs=("y", "z"))
    with pytest.raises(UnsupportedGraph, match=r"the graph has 2 outputs \(y, z\), not one\. Keep one: ") as caught:
        read(path)
    command = str(caught.value).split("Keep one: ")[1].removesuffix(".")
    assert command == "onnx.utils.extract_model('net.onnx', 'one.onnx', ['x'], ['y'])"
    monkeypatch.chdir(tmp_path)
    onnx.utils.extract_model("net.onnx", "one.onnx", ["x"], ["y"])
    same_as_onnxruntime(tmp_path / "one.onnx", ROWS)


def test_several_inputs_are_named(tmp_path):
    model = made([node("Relu", "x")], shape=("N", 6))
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, ["N", 6]))
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(UnsupportedGraph, match=r"the graph has 2 inputs \(x, more\), not one"):
        read(tmp_path / "net.onnx")


def test_constants_along_an_axis_as_before_opset_7_are_refused(tmp_path):
    """With equal numbers of channels and columns, today's rule would broadcast them along another axis."""
    path = write(tmp_path / "net.onnx", [node("Add", "x c", broadcast=1, axis=1)], {"c": random(8)}, opset=6,
                 shape=("N", 8, 8, 8))  # fmt: skip
    with pytest.raises(UnsupportedGraph, match=r"as before opset 7\. Convert it: "):
        read(path)


def test_unusable_contents_of_a_valid_file_are_named_by_their_node(tmp_path):
    """The checker accepts files with senseless values; a file that it accepts is never called damaged."""
    path = write(tmp_path / "net.onnx", [node("Gather", "c at", "to"), node("Reshape", "x to")],
                 {"c": np.array([1]), "at": np.array([7])})  # fmt: skip
    with pytest.raises(
        UnsupportedGraph, match=r"Gather_to \(Gather\) has inputs or attributes that cannot be read"
    ) as caught:
        read(path)
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("kind", ["ConstantOfShape", "Concat", "Mul"])
def test_constants_that_a_small_file_makes_huge_are_refused(tmp_path, kind):
    nodes = {
        "ConstantOfShape": [node("ConstantOfShape", "sizes", "c")],
        "Concat": [node("Concat", " ".join(["row"] * 4100), "c", axis=0)],
        "Mul": [node("Mul", "row column", "c")],
    }[kind]
    weights = {"sizes": np.array([1 << 13, 1 << 13]), "row": random(1, 1 << 13), "column": random(1 << 13, 1)}
    path = write(tmp_path / "net.onnx", [*nodes, node("Mul", "x c")], weights, shape=("N", 6))
    with pytest.raises(UnsupportedGraph, match=r"a constant of [\d,]+ numbers, more than 16,777,216"):
        read(path)


def test_weights_of_other_types_are_refused(tmp_path):
    path = write(tmp_path / "net.onnx", [node("Gemm", "x w")], {"w": np.zeros((6, 4))}, shape=("N", 6))
    with pytest.raises(
        (UnsupportedGraph, BadFile), match=r"weights of type float64, not float32\. Export the network in float32"
    ):
        read(path)


@pytest.mark.parametrize("form", ["step", "scan"])
def test_what_we_exported_is_refused_with_the_file_to_name(tmp_path, form):
    TARGETS["onnx"](by_hand.program(), tmp_path / "net.onnx", form=form)
    with pytest.raises(BadFile, match=r"a spiking network that tdd-deploy exported.* Name the \.nir file or the run"):
        read(tmp_path / "net.onnx")


def test_functions_of_a_model_are_refused_with_how_to_inline_them(tmp_path):
    path = write(tmp_path / "net.onnx", [node("Relu", "x")])
    model = onnx.load(path)
    model.functions.append(
        helper.make_function("own", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])],
                             [helper.make_opsetid("", 17)])
    )  # fmt: skip
    model.opset_import.append(helper.make_opsetid("own", 1))
    onnx.save(model, path)
    with pytest.raises(UnsupportedGraph, match=r"functions of its own \(Twice\).*inline_local_functions"):
        read(path)


def test_nodes_that_lead_nowhere_are_left_away(tmp_path):
    nodes = [node("Relu", "x", "unused"), node("GlobalAveragePool", "x")]
    program = read(write(tmp_path / "net.onnx", nodes))
    assert [type(each) for each in program.linear_maps] == [Pool]
    assert not program.neuron_layers


def test_files_that_are_none_are_refused(tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "empty.onnx").touch()
    for name in ("text", "absent", "folder", "empty"):
        with pytest.raises(BadFile, match=rf"{name}\.onnx (is|cannot)"):
            read(tmp_path / f"{name}.onnx")


def test_without_onnx_the_line_that_installs_it_is_given(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependency, match=r"needs onnx\. Install it with: .* 'tdd-deploy\[onnx\]'"):
        read(tmp_path / "net.onnx")


@pytest.mark.parametrize("seed", range(4))
def test_no_broken_byte_leaks_another_error(tmp_path, seed):
    nodes = [
        node("Pad", "x p", "h"), node("Conv", "h w", "c", strides=[2, 2]), node("Relu", "c", "r"),
        node("Flatten", "r", "f"), node("Gemm", "f k"),
    ]  # fmt: skip
    weights = {"p": np.array([0, 0, 0, 0, 0, 0, 1, 1]), "w": random(2, 3, 3, 3), "k": random(32, 3)}
    path = residual(tmp_path / "net.onnx") if seed % 2 else write(tmp_path / "net.onnx", nodes, weights)
    data, rng = path.read_bytes(), np.random.default_rng(seed)
    broken = tmp_path / "broken.onnx"
    for _ in range(100):
        changed = bytearray(data)
        for at in rng.integers(0, len(data) if seed < 2 else 400, rng.integers(1, 4)):
            changed[at] = rng.integers(0, 256)
        broken.write_bytes(changed[: rng.integers(len(data) // 2, len(data) + 1)] if rng.random() < 0.2 else changed)
        try:
            program = read(broken)
        except TddDeployError:
            continue
        assert all(np.isfinite(each.weight).all() for each in program.linear_maps if isinstance(each, Conv | Dense))
