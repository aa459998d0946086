"""The linear maps of a NIR file: dense maps, convolutions, pools, scales and Flatten."""

import math
from collections.abc import Sequence

import numpy as np

from tdd_deploy.program import Conv, Dense, Flatten, LinearMap, Pool, Scale, Shape

from .fields import Array, Fields, fit, without_row
from .plain import PlainNode, numbers

DIMENSIONS = {
    "Affine": 1,
    "Linear": 1,
    "Conv1d": 2,
    "Conv2d": 3,
    "SumPool2d": 3,
    "AvgPool2d": 3,
}  # dimensions that a map takes
MAPS = ("Scale", "Flatten", *DIMENSIONS)


def read_map(fields: Fields, shape: Shape, *, targets: Sequence[PlainNode]) -> LinearMap:
    """Read a linear map.

    Args:
        fields: its values.
        shape: the shape that it receives.
        targets: the nodes that it leads to.

    Raises:
        Unreadable: a value is missing or not allowed, or does not fit the shape.
    """
    match fields.kind:
        case "Affine" | "Linear":
            return _dense(fields)
        case "Conv1d" | "Conv2d":
            return _conv(fields, shape)
        case "SumPool2d" | "AvgPool2d":
            return _pool(fields)
        case "Scale":
            return _scale(fields, shape)
    assert fields.kind == "Flatten"
    return _flatten(fields, shape, targets)


def _dense(fields: Fields) -> Dense:
    weight = fields.array("weight", dims=2)
    bias = fields.bias(len(weight)) if fields.kind == "Affine" else None
    return Dense(name=fields.name, weight=weight, bias=bias)


def _conv(fields: Fields, shape: Shape) -> Conv:
    is_row = fields.kind == "Conv1d"
    if is_row and len(without_row(shape)) != 2:
        raise fields.fault(f"receives shape {shape}, but takes (channels, n)")
    weight = fields.array("weight", dims=3 if is_row else 4)
    groups = fields.whole("groups", max(1, shape[0] // weight.shape[1]) if len(shape) == 3 else 1)
    if weight.shape[1] * groups != shape[0] or weight.shape[0] % groups:
        takes = f"{weight.shape[1] * groups} channels in {groups} groups"
        raise fields.fault(f"receives shape {shape}, but its weight {list(weight.shape)} takes {takes}")
    stride, dilation = (fields.pair(key, lowest=1, is_row=is_row) for key in ("stride", "dilation"))
    weight = weight[:, :, None, :] if is_row else weight
    _check_stated_size(fields, shape[2:] if is_row else shape[1:])
    padding, weight = _padding(fields, weight, stride, dilation, is_row=is_row)
    bias = fields.bias(len(weight))
    return Conv(
        name=fields.name,
        weight=weight,
        bias=bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )


def _check_stated_size(fields: Fields, size: Shape) -> None:
    if "input_shape" not in fields:
        fields.report(f"{fields.name}: input_shape is missing, read as {list(size)}, which it receives")
        return
    stated = numbers(fields.get("input_shape"))
    if stated is None or tuple(stated.ravel()) != size:
        raise fields.fault_of("input_shape", f"{size}, the size that it receives")


def _padding(
    fields: Fields, weight: Array, stride: tuple[int, int], dilation: tuple[int, int], *, is_row: bool
) -> tuple[tuple[int, int], Array]:
    """Read padding as numbers; ``same`` of an even kernel pads only the end: zeros are put before its weights."""
    word = fields.get("padding")
    if not isinstance(word, str):
        return fields.pair("padding", lowest=0, is_row=is_row), weight
    if word == "valid":
        return (0, 0), weight
    if word != "same" or stride != (1, 1):
        allowed = "'valid', numbers, or 'same' with stride 1"
        raise fields.fault_of("padding", allowed, found=f"{word!r} with stride {stride}")
    totals = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    if any(total % 2 and d > 1 for total, d in zip(totals, dilation, strict=True)):
        allowed = "numbers, or 'same' with dilation 1 or an odd kernel"
        raise fields.fault_of("padding", allowed, found="'same', which pads one side more")
    extra = [total % 2 for total in totals]
    weight = np.pad(weight, ((0, 0), (0, 0), (extra[0], 0), (extra[1], 0)))
    return ((totals[0] + extra[0]) // 2, (totals[1] + extra[1]) // 2), weight


def _pool(fields: Fields) -> Pool:
    kernel = fields.pair("kernel_size", lowest=1)
    return Pool(
        name=fields.name,
        kernel=kernel,
        stride=fields.pair("stride", lowest=1),
        padding=fields.pair("padding", lowest=0),
        average=fields.kind == "AvgPool2d",
    )


def _scale(fields: Fields, shape: Shape) -> Scale:
    factor = fields.finite("scale")
    fitted = fit(factor, shape)
    if fitted is None:
        raise fields.fault_of("scale", f"of shape {shape}, which it receives", found=f"shape {factor.shape}")
    if factor.shape not in (shape, without_row(shape)):
        fields.report(f"{fields.name}: scale {list(factor.shape)} is broadcast to {list(shape)}")
    return Scale(name=fields.name, factor=fitted)


def _flatten(fields: Fields, shape: Shape, targets: Sequence[PlainNode]) -> Flatten:
    start, end = (fields.index(key) for key in ("start_dim", "end_dim"))
    stated = np.asarray(fields.get("input_type")).ravel() if "input_type" in fields else np.array(shape)
    dims = len(without_row(shape))
    n_stated = len(stated) if len(stated) in (dims, dims + 1) else dims
    end = end if end >= 0 else end + n_stated
    is_batched = n_stated == dims + 1 and start == 1
    if end != n_stated - 1 or not (start == 0 or is_batched):
        if start != 1 or end != n_stated - 1 or not _all_take_vectors(targets, math.prod(shape)):
            found = f"flattens dimensions {start} to {end} of {list(shape)}, not all of them"
            raise fields.fault(found, remedy="Flatten all dimensions: start_dim 0, end_dim -1.")
        fields.report(
            f"{fields.name}: start_dim 1 counts a batch that does not exist: all of {list(shape)} is flattened"
        )
    elif is_batched:
        fields.report(f"{fields.name}: start_dim 1 counts a batch, which is left out")
    return Flatten(name=fields.name)


def _all_take_vectors(targets: Sequence[PlainNode], size: int) -> bool:
    """Decide whether there are targets, and all are dense maps with this number of inputs."""
    weights = [numbers(node.values.get("weight")) for node in targets if node.kind in ("Affine", "Linear")]
    return len(weights) == len(targets) > 0 and all(w is not None and w.shape[-1] == size for w in weights)
