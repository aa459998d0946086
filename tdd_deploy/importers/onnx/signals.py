"""The values of an ONNX graph: signals, which depend on the input, and constants.

Values have no batch axis and are channel first; a tensor that is channel last in the file is marked.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.errors import Violation
from tdd_deploy.program import Shape

LARGEST_CONSTANT = 1 << 24  # elements that a constant may have after broadcasting
NO_PADS = (0, 0, 0, 0)

Array = NDArray[Any]


@dataclass(eq=False)
class Refused(Exception):
    """A node that no Program can hold: the fields of ``Violation``, about the node or one part of it."""

    found: str
    allowed: str = ""
    remedy: str = ""
    part: str = ""  # the part of the node that is at fault

    def violation(self, node: str) -> Violation:
        """Make the violation about a node, by the name that errors use."""
        return Violation(f"{self.part} of {node}" if self.part else node, self.found, self.allowed, self.remedy)


@dataclass(frozen=True, kw_only=True)
class Signal:
    """A tensor that depends on the input: the sum of what some nodes send."""

    sources: tuple[str, ...]
    shape: Shape  # channel first
    channel_last: bool = False  # in the file
    is_line: bool = False  # in the file without the height, which is 1
    columns: Array | None = None  # flattened: place in the file -> place here; None: the same
    pads: tuple[int, int, int, int] = (
        NO_PADS  # zeros of a Pad that the next map still has to add: top, left, bottom, right
    )

    @property
    def in_file(self) -> Shape:
        """The axes after N, as in the file."""
        channels, *pixels = self.shape
        pixels = pixels[1:] if self.is_line else pixels
        return (*pixels, channels) if self.channel_last else (channels, *pixels)


Value = Signal | Array


@dataclass(frozen=True)
class Op:
    """A node of the file."""

    node: Any

    @property
    def kind(self) -> str:
        """Its operator."""
        return str(self.node.op_type)

    @property
    def name(self) -> str:
        """The name of its node in the Program."""
        return str(self.node.name or self.node.output[0])

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Its attributes; texts as str."""
        import onnx  # noqa: PLC0415  (optional)

        found = {each.name: onnx.helper.get_attribute_value(each) for each in self.node.attribute}
        return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}

    def get(self, name: str, default: Any) -> Any:
        """Return an attribute."""
        return self.attributes.get(name, default)


def array_of(tensor: Any) -> Array:
    """Read the numbers of a tensor: float32, or integers for shapes."""
    import onnx  # noqa: PLC0415  (optional)

    return np.asarray(onnx.numpy_helper.to_array(tensor))


def type_name(number: int) -> str:
    """Name a type of ONNX."""
    import onnx  # noqa: PLC0415  (optional)

    names = onnx.TensorProto.DataType
    return str(names.Name(number)).lower() if number in names.values() else str(number)


def require_weights(value: Value | None, what: str = "weights") -> Array:
    """Convert constants of float32 to float64, so that folding rounds them only once."""
    if value is None:
        raise Refused(f"has no {what}")
    if isinstance(value, Signal):
        raise Refused(f"receives {what} computed from the input; only constants are possible")
    if value.dtype != np.float32:
        raise Refused(f"has {what} of type {value.dtype}, not float32", remedy="Export the network in float32.")
    return value.astype(np.float64)


def require_signal(value: Value | None) -> Signal:
    """Return a value that has to depend on the network's input."""
    if not isinstance(value, Signal):
        raise Refused("receives an input that does not depend on the network's input")
    return value


def require_no_pads(*signals: Signal) -> None:
    """Refuse signals whose zeros of a Pad no map has added."""
    if any(any(signal.pads) for signal in signals):
        remedy = "Put Conv or AveragePool after Pad, with only ReLU or a factor between them."
        raise Refused("receives the output of Pad", remedy=remedy)


def require_size(n: int) -> None:
    """Refuse constants that become large from a small file."""
    if n > LARGEST_CONSTANT:
        raise Refused(f"makes a constant of {n:,} numbers, more than {LARGEST_CONSTANT:,}")


def read_axes(op: Op, axes: Value | None, rank: int) -> list[int] | None:
    """Read the axes of a node from an input or an attribute, counted from the first axis."""
    if isinstance(axes, Signal):
        raise Refused("has axes that depend on the input")
    found = op.get("axes", None) if axes is None else axes.ravel().tolist()
    if found is not None and any(not -rank <= axis < rank for axis in found):
        raise Refused(f"{list(found)}", f"{-rank} to {rank - 1}", part="axes")
    return None if found is None else [axis % rank for axis in found]
