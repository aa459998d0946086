"""A ReLU network in ONNX, and the same function with added factors and shifts: equal counts and outputs.

All numbers are multiples of powers of two, so dividing and multiplying again restores every bit.
"""

from dataclasses import dataclass, field

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tdd_deploy.importers import read
from tdd_deploy.program import Program, Scale, with_code
from tdd_deploy.simulator.counts import FIELDS
from tdd_deploy.simulator.engine.engine import Engine
from tests.effort import n_examples

EPSILON = 2.0**-10
CHANNELS, SIZE = 3, 8


@dataclass
class Op:
    """A node of the file: its inputs, its output, its weights and attributes."""

    kind: str
    sources: list[str]
    name: str
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    attributes: dict = field(default_factory=dict)
    constants: list[np.ndarray] = field(default_factory=list)

    @property
    def is_map(self) -> bool:
        return self.weight is not None

    @property
    def is_padded(self) -> bool:
        return any(self.attributes.get("pads", []))


class Network:
    """A random network without factors and shifts; then the same function with them."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.ops: list[Op] = []
        self.shapes: dict[str, tuple[int, ...]] = {"x": (CHANNELS, SIZE, SIZE)}
        value = "x"
        for _ in range(self.rng.integers(1, 4)):
            value = self.block(value)
        if self.chance(0.5) and min(self.shapes[value][1:]) >= 2:
            value = self.pool(value)
        elif int(np.prod(self.shapes[value][1:])).bit_count() == 1:
            value = self.put(Op("GlobalAveragePool", [value], self.name("mean")), (self.shapes[value][0], 1, 1))
        value = self.gemm(self.flatten(value), 4)
        if self.chance(0.5):
            value = self.gemm(self.relu(value) if self.chance(0.7) else value, 3)
        self.output = value

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def dyadic(self, *shape: int) -> np.ndarray:
        """Weights, a quarter of them zero."""
        return np.where(self.rng.random(shape) < 0.25, 0, self.rng.integers(-3, 4, shape) / 4)

    def biases(self, n: int) -> np.ndarray:
        return self.rng.choice([-1.25, -0.5, 0.25, 0.75, 1.5], n)

    def put(self, op: Op, shape: tuple[int, ...]) -> str:
        self.ops.append(op)
        self.shapes[op.name] = shape
        return op.name

    def name(self, kind: str) -> str:
        return f"{kind}{len(self.shapes)}"

    def block(self, value: str) -> str:
        """A convolution or two, with or without ReLU between them, or around a sum."""
        value = self.conv(value)
        if self.chance(0.8):
            value = self.relu(value)
        if self.chance(0.5):
            inner = self.conv(value, same=True)
            other = value if self.chance(0.6) else self.conv(value, same=True)
            value = self.put(Op("Add", [inner, other], self.name("sum")), self.shapes[value])
            if self.chance(0.7):
                value = self.relu(value)
        if self.chance(0.3) and min(self.shapes[value][1:]) >= 2:
            value = self.pool(value)
        return value

    def conv(self, value: str, *, same: bool = False) -> str:
        channels, height, width = self.shapes[value]
        kernel = 3 if min(height, width) >= 3 and (not same or self.chance(0.5)) else 1
        pad = kernel // 2 if same or self.chance(0.5) else 0
        n = channels if same else int(self.rng.integers(2, 5))
        groups = channels if n % channels == 0 and self.chance(0.3) else 1
        op = Op("Conv", [value], self.name("conv"), self.dyadic(n, channels // groups, kernel, kernel), self.biases(n))
        op.attributes = {"pads": [pad] * 4, "group": groups}
        return self.put(op, (n, *(size + 2 * pad - kernel + 1 for size in (height, width))))

    def gemm(self, value: str, n: int) -> str:
        op = Op("Gemm", [value], self.name("fc"), self.dyadic(n, self.shapes[value][0]), self.biases(n))
        op.attributes = {"transB": 1}
        return self.put(op, (n,))

    def relu(self, value: str) -> str:
        return self.put(Op("Relu", [value], self.name("relu")), self.shapes[value])

    def pool(self, value: str) -> str:
        channels, height, width = self.shapes[value]
        op = Op("AveragePool", [value], self.name("pool"), attributes={"kernel_shape": [2, 2], "strides": [2, 2]})
        return self.put(op, (channels, height // 2, width // 2))

    def flatten(self, value: str) -> str:
        return self.put(Op("Flatten", [value], self.name("flat")), (int(np.prod(self.shapes[value])),))

    # Factors and shifts, and their inverses.

    def readers(self, value: str) -> list[Op]:
        return [op for op in self.ops if value in op.sources]

    def decorated(self, op: Op) -> bool:
        """Insert a factor and a shift after or before a node, and their inverse nearby, if possible; return whether."""
        ways = [self.before_a_map, self.behind_a_map, self.around_what_passes, self.around_a_sum, self.around_a_relu]
        return any(ways[i](op) for i in self.rng.permutation(len(ways)))

    def before_a_map(self, op: Op) -> bool:
        if not op.is_map:
            return False
        factor, shift = self.numbers(self.shapes[op.sources[0]])
        if op.is_padded:
            shift = 0 * shift
        self.insert(op.sources[0], factor, shift, [op])
        self.take_back_at(op, factor, shift)
        return True

    def take_back_at(self, op: Op, factor: np.ndarray, shift: np.ndarray) -> None:
        weight, rest = op.weight, [1] * (op.weight.ndim - 2)
        groups = op.attributes.get("group", 1)  # of one channel each, or one group of all
        factor, shift = ((v[:, None] if groups > 1 else v[None, :]) for v in (factor, shift))
        if groups > 1:
            factor, shift = (np.repeat(v, len(weight) // groups, axis=0) for v in (factor, shift))
        op.weight = weight / factor.reshape(*factor.shape, *rest)
        per_input = op.weight.sum(axis=(2, 3)) if rest else op.weight
        op.bias = op.bias - (per_input * shift).sum(axis=1)

    def behind_a_map(self, op: Op) -> bool:
        if not op.is_map or op.name == self.output:
            return False
        factor, shift = self.numbers(self.shapes[op.name])
        op.weight = op.weight / factor.reshape(-1, *[1] * (op.weight.ndim - 1))
        op.bias = (op.bias - shift) / factor
        self.insert(op.name, factor, shift, self.readers(op.name))
        return True

    def around_what_passes(self, op: Op) -> bool:
        """Flatten and pools with weights before or after them."""
        if op.kind not in ("Flatten", "AveragePool", "GlobalAveragePool"):
            return False
        shape = self.shapes[op.sources[0]]
        if not all(reader.is_map and not reader.is_padded for reader in self.readers(op.name)):
            return False
        factor, shift = self.numbers(shape)
        self.insert(op.sources[0], factor, shift, [op])
        if op.kind == "Flatten":
            factor, shift = (
                np.broadcast_to(v.reshape(-1, *[1] * (len(shape) - 1)), shape).ravel() for v in (factor, shift)
            )
        self.insert(op.name, 1 / factor, -shift / factor, self.readers(op.name))
        return True

    def around_a_sum(self, op: Op) -> bool:
        """A shift before the node, and the opposite shift after it."""
        if op.kind != "Add":
            return False
        _, shift = self.numbers(self.shapes[op.name])
        one = np.ones(shift.shape)
        index = int(self.rng.integers(2))
        before = op.sources[index]
        op.sources[index] = self.affine(before, one, shift, self.ops.index(op))
        self.insert(op.name, one, -shift, self.readers(op.name))
        return True

    def around_a_relu(self, op: Op) -> bool:
        """A positive factor passes a ReLU: weights before it take the factor, weights after it the inverse."""
        before = [made for made in self.ops if made.name == op.sources[0]]
        if op.kind != "Relu" or not before[0].is_map or self.readers(before[0].name) != [op]:
            return False
        if not all(reader.is_map for reader in self.readers(op.name)):
            return False
        factor, shift = self.numbers(self.shapes[op.name])
        factor = abs(factor)
        self.insert(before[0].name, factor, 0 * shift, [op])
        self.insert(op.name, 1 / factor, 0 * shift, self.readers(op.name))
        return True

    def numbers(self, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return a factor and a shift for each channel, or the same for all."""
        alike = self.chance(0.3)
        n = 1 if alike else shape[0]
        values = self.rng.choice([-2.0, -1.0, 0.5, 1.0, 2.0, 4.0], n), self.rng.choice([-1.5, -0.5, 0.25, 1.0], n)
        factor, shift = (np.resize(v, shape[0]) for v in values)
        return factor, shift

    def insert(self, value: str, factor: np.ndarray, shift: np.ndarray, readers: list[Op]) -> None:
        first = min(self.ops.index(reader) for reader in readers)
        made = self.affine(value, factor, shift, first)
        for reader in readers:
            reader.sources = [made if source == value else source for source in reader.sources]

    def affine(self, value: str, factor: np.ndarray, shift: np.ndarray, at: int) -> str:
        """Write ``factor x + shift`` in one of many forms; return its name."""
        shape = self.shapes[value]
        spread = (1, len(factor), *[1] * (len(shape) - 1))
        form = self.rng.integers(4)
        if form == 0:
            zero, var = np.zeros(len(factor)), np.full(len(factor), 1 - EPSILON)
            norm = Op("BatchNormalization", [value], self.name("norm"), attributes={"epsilon": EPSILON})
            norm.constants = [factor, shift, zero, var]
            made = [norm]
        else:
            steps = {
                1: [("Mul", factor), ("Add", shift)],
                2: [("Div", 1 / factor), ("Sub", -shift)],
                3: [("Add", shift / factor), ("Mul", factor)],
            }[int(form)]
            full = shape if self.chance(0.2) else spread[1:]  # a number per value
            made = [
                Op(
                    kind,
                    [""],
                    self.name(f"{kind.lower()}_{i}_"),
                    constants=[np.broadcast_to(v.reshape(spread[1:]), full)],
                )
                for i, (kind, v) in enumerate(steps)
            ]
            made[0].sources, made[1].sources = [value], [made[0].name]
        for i, op in enumerate(made):
            self.ops.insert(at + i, op)
            self.shapes[op.name] = shape
        return made[-1].name

    def save(self, path):
        nodes, constants = [], {}
        for op in self.ops:
            given = [value for value in (op.weight, op.bias) if value is not None] + op.constants
            names = [f"{op.name}_{i}" for i in range(len(given))]
            constants |= dict(zip(names, given, strict=True))
            nodes.append(helper.make_node(op.kind, [*op.sources, *names], [op.name], name=op.name, **op.attributes))
        nodes.append(helper.make_node("Identity", [self.output], ["y"]))
        graph = helper.make_graph(
            nodes, "graph",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *self.shapes["x"]])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", *self.shapes[self.output]])],
            [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
        )  # fmt: skip
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        return path


class Frames:
    static = False

    def __init__(self, x: np.ndarray) -> None:
        self.x = x

    def at(self, t: int) -> np.ndarray:
        return self.x[t]


def executed(program: Program, x: np.ndarray, code: str):
    """Return the output ``[batch, steps, n]`` and every count of a run."""
    result = Engine(with_code(program, code)).run(Frames(x), n_steps=len(x))
    return result.output, {name: result.trace.executed.total(name) for name in FIELDS}


@settings(max_examples=n_examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1))
def test_factors_and_shifts_around_maps_and_sums_change_neither_counts_nor_outputs(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("folding")
    plain, network = Network(seed), Network(seed)
    expected = read(plain.save(folder / "plain.onnx"))
    network.rng = np.random.default_rng(seed + 1)
    ops = [network.ops[i] for i in network.rng.permutation(len(network.ops))]
    n_decorated = sum(network.decorated(op) for op in ops[: 1 + seed % 4])
    path = network.save(folder / "decorated.onnx")
    found = read(path)
    assert not any(isinstance(node, Scale) for node in (*found.nodes, *expected.nodes))
    x = np.where(
        plain.rng.random((2, 3, CHANNELS, SIZE, SIZE)) < 0.6,
        0,
        plain.rng.integers(0, 9, (2, 3, CHANNELS, SIZE, SIZE)) / 8,
    )
    x = x.astype(np.float32)
    for code in ("delta", "spike"):
        outputs, counts = executed(expected, x, code)
        same_outputs, same_counts = executed(found, x, code)
        assert outputs.size
        np.testing.assert_array_equal(same_outputs, outputs)
        assert counts["synops_stored"] > 0
        # A factor that passes a ReLU can make all values of a sample 1, which turns products into additions.
        assert {**same_counts, "acs": 0, "macs": 0} == {**counts, "acs": 0, "macs": 0}
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    (theirs,) = session.run(None, {"x": x[0]})
    np.testing.assert_allclose(same_outputs[:, 0], theirs, rtol=1e-5, atol=1e-5)
    WAYS.append(n_decorated)


WAYS: list[int] = []


def test_most_networks_above_had_a_factor_or_a_shift():
    if not WAYS:
        pytest.skip("the test above did not run")
    assert sum(n > 0 for n in WAYS) > len(WAYS) / 2
