"""The operators of ONNX that are read, each with the function that adds its nodes or computes its constants."""

from collections.abc import Callable

from .builder import Builder
from .constants import (
    read_cast,
    read_concat,
    read_constant,
    read_constant_of_shape,
    read_gather,
    read_shape,
    read_slice,
)
from .elementwise import (
    read_add,
    read_batch_norm,
    read_clip,
    read_div,
    read_max,
    read_mul,
    read_neg,
    read_relu,
    read_sub,
    read_sum,
)
from .maps import read_average_pool, read_conv, read_gemm, read_global_average, read_matmul, read_reduce_mean
from .reshape import read_flatten, read_pad, read_reshape, read_squeeze, read_transpose, read_unsqueeze
from .signals import Op, Refused, Signal, Value, require_signal


def _read_identity(builder: Builder, op: Op, x: Value, *_: Value | None) -> Value:
    return x


def _read_dropout(
    builder: Builder, op: Op, x: Value, ratio: Value | None = None, training: Value | None = None
) -> Value:
    if training is not None and (isinstance(training, Signal) or training.any()):
        remedy = "Export the network in evaluation mode: network.eval()."
        raise Refused("True", "False", remedy, part="training_mode")
    return x


def _read_same_class(builder: Builder, op: Op, x: Value) -> Value:
    signal = require_signal(x)
    if op.node.output[0] != builder.output:
        raise Refused("is within the network", remedy="Put it at the output.")
    default = 0 if op.kind == "ArgMax" else -1
    if len(signal.shape) != 1 or op.get("axis", default) not in (1, -1):
        raise Refused(f"{op.get('axis', default)}", "that of the classes in [N, classes]", part="axis")
    builder.left_out.append(f"{op.kind} at the output, which does not change the class")
    return signal


READ: dict[str, Callable[..., Value]] = {
    "Add": read_add,
    "ArgMax": _read_same_class,
    "AveragePool": read_average_pool,
    "BatchNormalization": read_batch_norm,
    "Cast": read_cast,
    "Clip": read_clip,
    "Concat": read_concat,
    "Constant": read_constant,
    "ConstantOfShape": read_constant_of_shape,
    "Conv": read_conv,
    "Div": read_div,
    "Dropout": _read_dropout,
    "Flatten": read_flatten,
    "Gather": read_gather,
    "Gemm": read_gemm,
    "GlobalAveragePool": read_global_average,
    "Identity": _read_identity,
    "LogSoftmax": _read_same_class,
    "MatMul": read_matmul,
    "Max": read_max,
    "Mul": read_mul,
    "Neg": read_neg,
    "Pad": read_pad,
    "ReduceMean": read_reduce_mean,
    "Relu": read_relu,
    "Reshape": read_reshape,
    "Shape": read_shape,
    "Slice": read_slice,
    "Softmax": _read_same_class,
    "Squeeze": read_squeeze,
    "Sub": read_sub,
    "Sum": read_sum,
    "Transpose": read_transpose,
    "Unsqueeze": read_unsqueeze,
}
