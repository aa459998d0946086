"""Random integer networks, several side by side on one input, so that one run of Lava tries them all."""

from dataclasses import dataclass, field

import numpy as np

from tdd_deploy.neurons import LoihiLIF
from tdd_deploy.program import (
    Conv,
    Dense,
    Edge,
    Flatten,
    Input,
    NeuronLayer,
    Node,
    Output,
    Pool,
    Program,
    build,
    code_groups,
    with_codes,
)
from tdd_deploy.program.quantization.loihi_numbers import rounded_bias

N_OUT = 4


@dataclass(frozen=True)
class Case:
    """A program of several networks and inputs for it, ``[n_steps, samples, *shape]``."""

    program: Program
    inputs: np.ndarray


@dataclass
class Garden:
    """Grows networks of two to four layers; ``plain`` ones hold nothing that Lava's own processes cannot."""

    rng: np.random.Generator
    plain: bool
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def put(self, node: Node, shape: tuple[int, ...], *sources: str) -> str:
        self.nodes.append(node)
        self.shapes[node.name] = shape
        self.edges += [Edge(source, node.name) for source in sources]
        return node.name

    def weights(self, shape: tuple[int, ...]) -> np.ndarray:
        return 2 * np.clip(np.rint(self.rng.normal(0.15, 0.45, shape) * 127), -128, 127)

    def neurons(self, name: str, *sources: str) -> str:
        shape = self.shapes[sources[0]]

        def varied(low: int, high: int) -> np.ndarray:
            several = not self.plain and self.chance(0.3)
            return self.rng.integers(low, high + 1, shape if several else ())

        unit = 64 if self.plain else 1
        bias = rounded_bias(self.rng.normal(0, 2500, shape if self.chance(0.5) else ()))
        neuron = LoihiLIF(
            v_threshold=64 * varied(60, 500) + (0 if self.plain else varied(0, 63)),
            v_reset=np.asarray(0) if self.plain or self.chance(0.6) else varied(-2000, 2000) // unit,
            reset="hard" if self.plain or self.chance(0.5) else "soft",
            du=np.asarray(4095) if self.chance(0.6) else varied(-1 if self.chance(0.1) else 1500, 4094),
            dv=np.asarray(int(self.rng.choice([0, 4095, 2048]))) if self.chance(0.5) else varied(0, 4095),
            bias=bias if self.chance(0.6) else np.asarray(0),
        )
        return self.put(NeuronLayer(name=name, shape=shape, neuron=neuron), shape, *sources)

    def conv(self, name: str, source: str, *, same: bool) -> str:
        channels, *size = self.shapes[source]
        groups = int(self.rng.choice([g for g in (1, 1, 2) if channels % g == 0]))
        n_out = channels if same else groups * int(self.rng.integers(1, 4))
        n_out = n_out if n_out % groups == 0 else groups * n_out
        kernel = (3, 3) if same else tuple(int(k) for k in self.rng.integers(1, 4, 2))
        stride = (1, 1) if same else tuple(int(s) for s in self.rng.integers(1, 3, 2))
        padding = (1, 1) if same else tuple(int(p) for p in self.rng.integers(0, 2, 2))
        if min(n + 2 * p - k for n, p, k in zip(size, padding, kernel, strict=True)) < 0:
            kernel = (1, 1)
        dilation = (2, 1) if not same and size[0] >= 6 and kernel[0] > 1 and self.chance(0.3) else (1, 1)
        node = Conv(
            name=name,
            weight=self.weights((n_out, channels // groups, *kernel)),
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
        )
        return self.put(node, node.out_shape(self.shapes[source]), source)

    def pool(self, name: str, source: str) -> str:
        node = Pool(name=name, kernel=(2, 2), stride=(2, 2) if self.chance(0.7) else (1, 1))
        return self.put(node, node.out_shape(self.shapes[source]), source)

    def dense(self, name: str, source: str, n_out: int) -> str:
        if len(self.shapes[source]) == 3:
            source = self.put(Flatten(name=f"{name}_flat"), (int(np.prod(self.shapes[source])),), source)
        node = Dense(name=name, weight=self.weights((n_out, self.shapes[source][0])))
        return self.put(node, (n_out,), source)

    def network(self, name: str) -> None:
        """Grow one network from the input to the output."""
        at = "input"
        for number in range(1, int(self.rng.integers(2, 5))):
            layer = f"{name}_{number}"
            shape = self.shapes[at]
            is_image = len(shape) == 3 and min(shape[1:]) >= 2
            if is_image and self.chance(0.3) and number > 1:  # a residual block: the short branch is one map shorter
                inner = self.neurons(f"{layer}a", self.conv(f"{layer}a_conv", at, same=True))
                long = self.conv(f"{layer}b_conv", inner, same=True)
                at = self.neurons(layer, long, self.conv(f"{layer}c_conv", at, same=True))
            elif is_image and self.chance(0.7):
                source = self.pool(f"{layer}_pool", at) if min(shape[1:]) >= 4 and self.chance(0.4) else at
                at = self.neurons(layer, self.conv(f"{layer}_conv", source, same=False))
            else:
                at = self.neurons(layer, self.dense(f"{layer}_fc", at, int(self.rng.integers(4, 24))))
        readout = self.dense(f"{name}_readout", at, N_OUT)
        self.edges.append(Edge(readout, "output"))


def grown(seed: int, n_networks: int, *, plain: bool) -> Case:
    """Return networks side by side and two or three samples, at random codes; decided by the seed."""
    rng = np.random.default_rng(seed)
    garden = Garden(rng, plain)
    shape = (int(rng.integers(1, 3)), int(rng.integers(5, 9)), int(rng.integers(5, 9)))
    is_graded = bool(rng.random() < 0.3)
    largest = 15 if is_graded else 1
    garden.put(Input(name="input", shape=shape, largest=largest), shape)
    for number in range(n_networks):
        garden.network(f"net{number}")
    garden.nodes.append(Output(name="output"))
    n_steps = int(rng.integers(20, 81))
    program = build(garden.nodes, garden.edges, dt_s=1e-3, n_steps=n_steps, number_format="integer")
    chosen = {edge: str(rng.choice(["delta", "spike"])) for group in code_groups(program) for edge in group[:1]}
    codes = {edge: chosen[group[0]] for group in code_groups(program) for edge in group}
    inputs = rng.random((n_steps, int(rng.integers(2, 4)), *shape)) < rng.uniform(0.02, 0.4)
    values = rng.integers(-largest, largest + 1, inputs.shape) if is_graded else 1
    return Case(with_codes(program, codes), (inputs * values).astype(np.float32))
