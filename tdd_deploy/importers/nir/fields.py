"""The values of one node of a file, each checked when it is read.

What a file leaves out or states twice is repaired where only one answer is possible, and every repair is reported.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.errors import Violation
from tdd_deploy.program import Shape

from .plain import PlainNode, numbers

Array = NDArray[np.float64]
LARGEST = 2**28  # values that a node may send

NEURONS: dict[
    str, dict[str, float | None]
] = {  # the parameters of each kind; those that older versions of NIR did not write have a value
    "I": {"r": None},
    "IF": {"r": None, "v_threshold": None, "v_reset": 0.0},
    "LI": {"tau": None, "r": None, "v_leak": None},
    "LIF": {"tau": None, "r": None, "v_leak": None, "v_threshold": None, "v_reset": 0.0},
    "CubaLI": {"tau_syn": None, "tau_mem": None, "r": None, "v_leak": None, "w_in": 1.0},
    "CubaLIF": {
        "tau_syn": None,
        "tau_mem": None,
        "r": None,
        "v_leak": None,
        "v_threshold": None,
        "v_reset": 0.0,
        "w_in": 1.0,
    },
    "Threshold": {"threshold": None},
}


class Unreadable(Exception):
    """A node that has one fault, or more than one meaning."""

    def __init__(self, *violations: Violation) -> None:
        self.violations = violations


@dataclass(frozen=True)
class Fields:
    """A node of a file; what is repaired in it is added to ``repairs``."""

    name: str
    node: PlainNode
    repairs: list[str]

    @property
    def kind(self) -> str:
        """The name of its class in NIR."""
        return self.node.kind

    def __contains__(self, key: str) -> bool:
        return key in self.node.values

    def get(self, key: str) -> Any:
        """Return a value as it is in the file; None without one."""
        return self.node.values.get(key)

    def report(self, repair: str) -> None:
        """Report a repair once."""
        if repair not in self.repairs:
            self.repairs.append(repair)

    def fault(self, found: str, remedy: str = "") -> Unreadable:
        """Make the error about the node; ``found`` is a predicate."""
        return Unreadable(Violation(self.name, found, remedy=remedy))

    def fault_of(self, key: str, allowed: str, *, found: str = "", remedy: str = "") -> Unreadable:
        """Make the error about a value that is missing or not allowed."""
        return Unreadable(self._violation(key, allowed, found, remedy))

    def _violation(self, key: str, allowed: str, found: str = "", remedy: str = "") -> Violation:
        where = f"{self.name}.{key}"
        if key not in self:
            return Violation(where, "is missing", remedy=remedy)
        return Violation(where, found or shorten(self.get(key)), allowed, remedy)

    def array(self, key: str, *, dims: int) -> Array:
        """Read finite numbers in ``dims`` dimensions."""
        value = numbers(self.get(key))
        allowed = f"finite numbers in {dims} dimensions"
        if value is None:
            raise self.fault_of(key, allowed)
        if value.ndim != dims:
            raise self.fault_of(key, allowed, found=f"shape {value.shape}")
        if not np.isfinite(value).all():
            raise self.fault_of(key, allowed, found="NaN or infinite")
        return value

    def finite(self, key: str) -> Array:
        """Read finite numbers of any shape."""
        value = numbers(self.get(key))
        if value is None or not np.isfinite(value).all():
            raise self.fault_of(key, "finite numbers")
        return value

    def bias(self, size: int) -> Array | None:
        """Read a bias with one number for each output; None if there is none, or it is 0."""
        if "bias" not in self:
            self.report(f"{self.name}: bias is missing, read as 0")
            return None
        value = numbers(self.get("bias"))
        allowed = f"{size} finite numbers, one for each output"
        if value is None or not np.isfinite(value).all():
            raise self.fault_of("bias", allowed)
        if value.size not in (1, size) or value.ndim > 1:
            raise self.fault_of("bias", allowed, found=f"shape {value.shape}")
        if value.any() and value.shape != (size,):
            self.report(f"{self.name}: bias {list(value.shape)} is broadcast to {[size]}")
        return np.broadcast_to(value, size) if value.any() else None

    def whole(self, key: str, default: int) -> int:
        """Read a whole number of 1 or more."""
        if key not in self:
            self.report(f"{self.name}: {key} is missing, read as {default}, which follows from its weight")
            return default
        value = np.asarray(self.get(key))
        if value.dtype.kind not in "iu" or value.size != 1 or value.min() < 1:
            raise self.fault_of(key, "a whole number, 1 or more")
        return int(value.flat[0])

    def index(self, key: str) -> int:
        """Read the number of a dimension."""
        value = np.asarray(self.get(key))
        if value.dtype.kind not in "iu" or value.size != 1:
            raise self.fault_of(key, "the number of a dimension")
        return int(value.flat[0])

    def pair(self, key: str, *, lowest: int, is_row: bool = False) -> tuple[int, int]:
        """Read one or two whole numbers as (vertical, horizontal)."""
        value = np.asarray(self.get(key))
        if value.dtype.kind not in "iu" or value.size not in ((1,) if is_row else (1, 2)) or value.ndim > 1:
            raise self.fault_of(key, "a whole number" if is_row else "one or two whole numbers")
        vertical, horizontal = (int(n) for n in np.broadcast_to(value.ravel(), 2))
        if min(vertical, horizontal) < lowest or max(vertical, horizontal) > LARGEST:
            raise self.fault_of(key, f"{lowest} to {LARGEST:,}", found=f"{value}")
        return (int(lowest > 0), horizontal) if is_row else (vertical, horizontal)

    def sizes(self, key: str) -> Shape:
        """Read a shape of one or more sizes."""
        sizes = np.asarray(self.get(key))
        if sizes.ndim == 0 and sizes.dtype.kind in "iu":
            self.report(f"{self.name}: its {key} is the number {sizes}, read as [{sizes}]")
            sizes = sizes.reshape(1)
        if sizes.dtype.kind not in "iu" or sizes.ndim != 1 or not sizes.size or sizes.min() < 1:
            raise self.fault_of(key, "one or more sizes, each 1 or more")
        return tuple(int(size) for size in sizes)

    def parameters(self) -> dict[str, Array]:
        """Read all parameters of a layer of neurons."""
        values, violations = {}, []
        for key, default in NEURONS[self.kind].items():
            value = numbers(self.get(key)) if key in self else None
            if key not in self and default is not None:
                self.report(f"{self.name}: {key} is missing, as in old files of NIR, read as {default:g}")
                value = np.array(default)
            if value is None or not np.isfinite(value).all():
                violations.append(self._violation(key, "finite numbers"))
                continue
            values[key] = value
        if violations:
            raise Unreadable(*violations)
        return values


def as_image(shape: Shape) -> Shape:
    """Convert the shape of a signal of one dimension to the shape of an image of one row."""
    return (shape[0], 1, shape[1]) if len(shape) == 2 else shape


def without_row(shape: Shape) -> Shape:
    """Convert the shape of an image of one row to the shape of a signal of one dimension."""
    return (shape[0], shape[2]) if len(shape) == 3 and shape[1] == 1 else shape


def unbatched(shape: Shape) -> Shape:
    """Remove a batch of 1 from the shape of an image."""
    return shape[1:] if len(shape) == 4 and shape[0] == 1 else shape


def common_shape(arrays: Iterable[Array]) -> Shape | None:
    """Find the shape to which all arrays broadcast; None if there is none, or all are of shape ()."""
    try:
        return np.broadcast_shapes(*(array.shape for array in arrays)) or None
    except ValueError:
        return None


def fit(value: Array, shape: Shape) -> Array | None:
    """Bring a parameter to shape () or to ``shape``; None if that is not possible in exactly one way."""
    if value.size == 1 or not np.ptp(value):
        same = value.size == 1 or math.prod(shape) == value.size or _spread(value, shape) is not None
        return value.reshape(-1)[0].reshape(()) if same else None
    return _spread(value, shape)


def _spread(value: Array, shape: Shape) -> Array | None:
    if value.size == math.prod(shape) and _squeezed(value.shape) == _squeezed(shape):
        return value.reshape(shape)
    if value.ndim == 1 and len(shape) == 3 and value.size == shape[0] != shape[-1]:
        return np.array(np.broadcast_to(value[:, None, None], shape))
    try:
        return np.array(np.broadcast_to(value, shape)) if value.ndim == len(shape) else None
    except ValueError:
        return None


def _squeezed(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)


def shorten(value: Any) -> str:
    """Shorten a value for an error."""
    return np.array2string(np.asarray(value), threshold=4, edgeitems=2)[:80]
