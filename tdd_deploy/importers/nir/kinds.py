"""The kinds of NIR nodes that a Program can hold, and which of their values are what."""

from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from tdd_deploy.program import Shape


@dataclass(frozen=True)
class Leak:
    """``tau dx/dt = -x + gain current``: the names of tau and gain."""

    tau: str
    gain: str


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Which values of a node are arrays, which one or two whole numbers, and which rule its states."""

    arrays: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()
    leaks: tuple[Leak, ...] = ()
    integrates: bool = False  # dx/dt = r current, without a leak


MEMBRANE = Leak("tau", "r")
POOL = Kind(pairs=("kernel_size", "stride", "padding"))

KINDS = {
    "Input": Kind(),
    "Output": Kind(),
    "Linear": Kind(arrays=("weight",)),
    "Affine": Kind(arrays=("weight", "bias")),
    "Conv2d": Kind(arrays=("weight", "bias"), pairs=("stride", "padding", "dilation")),
    "SumPool2d": POOL,
    "AvgPool2d": POOL,
    "Scale": Kind(arrays=("scale",)),
    "Flatten": Kind(),
    "LIF": Kind(arrays=("tau", "r", "v_leak", "v_threshold", "v_reset"), leaks=(MEMBRANE,)),
    "CubaLIF": Kind(
        arrays=("tau_syn", "w_in", "tau_mem", "r", "v_leak", "v_threshold", "v_reset"),
        leaks=(Leak("tau_syn", "w_in"), Leak("tau_mem", "r")),
    ),
    "IF": Kind(arrays=("r", "v_threshold", "v_reset"), integrates=True),
    "LI": Kind(arrays=("tau", "r", "v_leak"), leaks=(MEMBRANE,)),
    "CubaLI": Kind(
        arrays=("tau_syn", "w_in", "tau_mem", "r", "v_leak"),
        leaks=(Leak("tau_syn", "w_in"), Leak("tau_mem", "r")),
    ),
    "I": Kind(arrays=("r",), integrates=True),
    "Threshold": Kind(arrays=("threshold",)),
    "Delay": Kind(arrays=("delay",)),
}


def kind_name(node: nir.NIRNode) -> str:
    """Return the name of a node's class, as in a file."""
    return type(node).__name__


def as_shape(values: Any) -> Shape | None:
    """Convert values to a shape; None if they are not one or more positive sizes."""
    sizes = np.asarray(values)
    if sizes.dtype.kind not in "iu" or sizes.ndim != 1 or sizes.size == 0 or sizes.min() < 1:
        return None
    return tuple(int(size) for size in sizes)


def stated_shape(node: nir.NIRNode, received: Shape) -> Shape | None:
    """Read the shape that a node states to receive; None if it states none."""
    match node:
        case nir.Output():
            return as_shape(node.output_type["output"])
        case nir.Flatten():
            return as_shape(node.input_type["input"])
        case nir.Scale():
            return as_shape(np.shape(node.scale))
        case nir.Conv2d():
            size = as_shape(node.input_shape)
            return size and (received[0], *size)
    return None
