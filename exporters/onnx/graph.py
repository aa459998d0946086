"""Build an ONNX graph: values with numpy's operators, and the arithmetics of neurons on them."""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tdd_deploy.neurons import Arithmetic, Compare
from tdd_deploy.neurons.loihi import DECAY
from tdd_deploy.program import Program, Shape
from tdd_deploy.program.blocks import blocks

from .splice import LARGE, token

Constant: TypeAlias = NDArray[Any] | float
NOTHING = 0  # a summand that a sum leaves out
SPREAD = 64  # elements: repeating shorter rows is slow (measured in onnxruntime)
Operand: TypeAlias = "Tensor | Constant"


@dataclass(frozen=True, eq=False)
class Tensor:
    """A value of a graph; every operation on it adds a node to the graph."""

    graph: "Graph"
    dtype: np.dtype[Any]

    __array_ufunc__ = None  # so an array on the left lets this class handle the operator

    def __add__(self, other: Operand) -> "Tensor":
        return self.graph.node("Add", self, other)

    def __radd__(self, other: Constant) -> "Tensor":
        return self if isinstance(other, int) and not other else self.graph.node("Add", other, self)

    def __sub__(self, other: Operand) -> "Tensor":
        return self if isinstance(other, int) and not other else self.graph.node("Sub", self, other)

    def __rsub__(self, other: Constant) -> "Tensor":
        return self.graph.node("Sub", other, self)

    def __mul__(self, other: Operand) -> "Tensor":
        return self.graph.node("Mul", self, other)

    def __rmul__(self, other: Constant) -> "Tensor":
        return self.graph.node("Mul", other, self)

    def __floordiv__(self, other: Constant) -> "Tensor":
        """Find the largest n for which n times ``other``, above 0, is not above this value.

        Runtimes divide differently, some by a reciprocal, so products correct the quotient.
        """
        near = self.graph.node("Div", self, other)
        near = near if self.dtype.kind == "i" else self.graph.node("Floor", near)
        near -= (near * other).passes(self, ">")
        return near + self.passes((near + 1) * other, ">=")

    def __neg__(self) -> "Tensor":
        return self.graph.node("Neg", self)

    def __and__(self, bits: int) -> "Tensor":
        return self.graph.node("BitwiseAnd", self, bits)

    def __rshift__(self, bits: int) -> "Tensor":
        """Return the quotient of integers by ``2 ** bits``, rounded down; ONNX shifts unsigned integers only.

        The dividend is a multiple of the divisor and has ``32 - bits`` bits, so a runtime may divide in float32.
        """
        return self.graph.node("Div", self & -(2**bits), 2**bits)

    def passes(self, other: Operand, compare: Compare) -> "Tensor":
        """Return 1 where this value is above ``other``, or not below it, else 0, in the number format of this value."""
        op = "Greater" if compare == ">" else "GreaterOrEqual"
        return self.graph.node(op, self, other, dtype=np.dtype(bool)).to(self.dtype)

    def clip(self, low: Constant, high: Constant) -> "Tensor":
        """Limit the value to ``low`` and ``high``."""
        return self.graph.node("Clip", self, low, high)

    def to(self, dtype: np.dtype[Any]) -> "Tensor":
        """Convert the numbers to another format."""
        if dtype == self.dtype:
            return self
        return self.graph.node("Cast", self, dtype=dtype, to=helper.np_dtype_to_tensor_dtype(dtype))


class FloatArithmetic:
    """The arithmetic of neurons in the floats of ONNX."""

    def keep(self, x: Tensor, fraction: NDArray[Any]) -> Tensor | float:
        """Multiply ``x`` by ``fraction``; return NOTHING, which a sum leaves out, if no neuron keeps anything."""
        return x * fraction if fraction.any() else NOTHING

    def fires(self, v: Tensor, v_threshold: Constant, compare: Compare) -> Tensor:
        """Return 1 where ``v`` passes the threshold, else 0."""
        return v.passes(v_threshold, compare)

    def count(self, v: Tensor, v_threshold: Constant) -> Tensor:
        """Count the whole thresholds in ``v``; 0 where it is not above 0."""
        return v.graph.node("Max", v, 0) // v_threshold


class IntegerArithmetic(FloatArithmetic):
    """The arithmetic of neurons in 32-bit integers; fractions are of 4096.

    Runtimes may divide integers in float32, so every dividend is a multiple of 4096, or above 0 and below 2**24.
    """

    def keep(self, x: Tensor, fraction: NDArray[Any]) -> Tensor | float:
        """Multiply ``x`` by ``fraction`` / 4096 and round toward zero."""
        if not fraction.any():
            return NOTHING
        if (fraction == DECAY).all():
            return x
        low = x & DECAY - 1
        high = x.graph.node("Div", x - low, DECAY)
        is_below = x.clip(-1, 0)  # -1 there
        return high * fraction + x.graph.node("Div", low * fraction - is_below * (DECAY - 1), DECAY)


def arithmetic_of(program: Program) -> Arithmetic:
    """Return the arithmetic of a program's number format."""
    return IntegerArithmetic() if program.number_format == "integer" else FloatArithmetic()


@dataclass(frozen=True)
class _Node:
    op: str
    inputs: tuple[Tensor, ...]
    output: Tensor
    attributes: Mapping[str, Any]


class Graph:
    """Nodes and constants in the order of their creation; a value without a name is named after its node.

    Args:
        prefix: the beginning of every name, within a loop.
        fast: whether Conv and Gemm sum float32.
    """

    def __init__(self, *, prefix: str = "", fast: bool = False) -> None:
        self.fast = fast
        self._prefix = prefix
        self._nodes: list[_Node] = []
        self._names: dict[Tensor, str] = {}
        self._hints: dict[Tensor, str] = {}
        self._shared: dict[tuple[str, str, bytes], Tensor] = {}
        self._arrays: dict[Tensor, NDArray[Any]] = {}
        self.large: dict[bytes, NDArray[Any]] = {}
        self._scope = ""
        self._labels: Mapping[int, str] = {}
        self._shape: Shape = ()

    @contextmanager
    def of(self, scope: str, parameters: Iterable[tuple[str, NDArray[Any]]], shape: Shape) -> Iterator[None]:
        """Name values and arrays that are created here after a node of the program with this shape."""
        self._scope, self._labels = scope, {id(array): name for name, array in parameters}
        with self.shaped(shape):
            yield
        self._scope, self._labels = "", {}

    @contextmanager
    def shaped(self, shape: Shape) -> Iterator[None]:
        """Set the shape, without the batch, of products and quotients that are created here."""
        before, self._shape = self._shape, shape
        yield
        self._shape = before

    def input(self, name: str, dtype: np.dtype[Any]) -> Tensor:
        """Add an input to the graph."""
        tensor = Tensor(self, dtype)
        self._names[tensor] = name
        return tensor

    def node(self, op: str, *operands: Operand, dtype: np.dtype[Any] | None = None, **attributes: Any) -> Tensor:
        """Add an operator and return its result; constants get the number format of the first tensor operand.

        Args:
            op: a name of ONNX.
            operands: tensors and constants.
            dtype: number format of the result; by default the format of the first tensor.
            attributes: as ONNX names them.
        """
        given = next(operand for operand in operands if isinstance(operand, Tensor))
        inputs = tuple(
            operand if isinstance(operand, Tensor) else self._operand(op, operand, given) for operand in operands
        )
        output = self.hinted(Tensor(self, dtype or given.dtype), f"{self._scope}.{op.lower()}")
        self._nodes.append(_Node(op, inputs, output, attributes))
        return output

    def _operand(self, op: str, value: Constant, beside: Tensor) -> Tensor:
        """Make a constant operand; within a loop, integers that multiply or divide get the size of the other operand.

        tract 0.23 mistakes a state for the single integer that multiplies or divides it, and then refuses the loop.
        """
        is_taken = self._prefix and op in ("Mul", "Div") and beside.dtype.kind == "i" and np.size(value) == 1
        if not is_taken:
            return self.constant(value, beside.dtype)
        if math.prod(self._shape) == 1:
            return (beside & 0) + value
        axes = range(len(self._shape) - 1, 0, -1)
        first = next((axis for axis in axes if math.prod(self._shape[axis:]) >= SPREAD), 0)
        return self.constant(np.broadcast_to(np.reshape(value, ()), self._shape[first:]), beside.dtype)

    def constant(self, value: Constant, dtype: np.dtype[Any], name: str = "constant") -> Tensor:
        """Make a constant: a parameter of the current node, a number, or an array called ``name``."""
        array = np.asarray(value, dtype)
        if id(value) in self._labels:
            name = f"{self._scope}.{self._labels[id(value)]}"
        else:
            name = f"{self._scope}.{name}" if array.ndim else str(array)
        key = name, array.dtype.str, _digest(array)
        if key not in self._shared:
            self._shared[key] = self.hinted(Tensor(self, dtype), name)
            self._arrays[self._shared[key]] = array
        return self._shared[key]

    def named(self, tensor: Tensor, name: str) -> Tensor:
        """Give the value a name; copy it if it already has one.

        Within a loop a copy is the maximum of the value and itself. OpenVINO 2026.4 treats Identity as the value
        itself, and overwrites the inputs of a loop with the next time step before it keeps them.
        """
        if tensor in self._names:
            tensor = self.node("Max", tensor, tensor) if self._prefix else self.node("Identity", tensor)
        self._names[tensor] = name
        return tensor

    def kept_apart(self, names: Iterable[str]) -> None:
        """Copy the values with these names if other nodes use them: some runtimes require this within loops."""
        taken = {tensor for node in self._nodes for tensor in node.inputs}
        by_name = {name: tensor for tensor, name in self._names.items()}
        for name in names:
            tensor = by_name[name]
            if tensor in taken:
                del self._names[tensor]
                self._names[self.node("Identity", tensor)] = name

    def hinted(self, tensor: Tensor, hint: str) -> Tensor:
        """Set the name that the value gets unless it is named later."""
        self._hints[tensor] = hint
        return tensor

    def protos(self) -> tuple[list[NodeProto], list[TensorProto]]:
        """Convert the nodes and the constants; a name that is taken gets a number.

        Large arrays are left out: their tokens are in ``large``.
        """
        names, taken = dict(self._names), set(self._names.values())
        for tensor, hint in self._hints.items():
            if tensor not in names:
                numbered = (hint if n == 1 else f"{hint}_{n}" for n in count(1))
                names[tensor] = next(free for free in numbered if free not in taken)
                taken.add(names[tensor])
        full = {tensor: self._prefix + name for tensor, name in names.items()}
        nodes = [
            helper.make_node(
                node.op, [full[i] for i in node.inputs], [full[node.output]], full[node.output], **node.attributes
            )
            for node in self._nodes
        ]
        return nodes, [self._proto(array, full[tensor]) for tensor, array in self._arrays.items()]

    def _proto(self, array: NDArray[Any], name: str) -> TensorProto:
        if array.nbytes < LARGE:
            return numpy_helper.from_array(array, name)
        standing_for = token()
        self.large[standing_for] = array
        dtype = helper.np_dtype_to_tensor_dtype(array.dtype)
        return TensorProto(dims=array.shape, data_type=dtype, name=name, raw_data=standing_for)


def _digest(array: NDArray[Any]) -> bytes:
    """Hash an array in the order in which it is written."""
    sha = sha256()
    for block in blocks(array):
        sha.update(np.ascontiguousarray(block).data)
    return sha.digest()
