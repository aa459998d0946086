"""Random programs: convolutions, pools, junctions, recurrent edges, every neuron, both resets, mixed codes.

All numbers are dyadic (multiples of a power of two), so that float64 sums are exact in any order. Bits are spent where
values are multiplied by weights and fractions; a spike has one again. So what is sent in numbers (LI, CubaLI, I,
SigmaDelta) never meets other such numbers before the next layer that spikes, nor itself through weights.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tdd_deploy.neurons import IF, LI, LIF, NEURONS, CubaLI, CubaLIF, I, Neuron, SigmaDelta, Threshold, VariantLIF
from tdd_deploy.program import (
    Conv,
    Dense,
    Edge,
    Flatten,
    Input,
    NeuronLayer,
    Node,
    Output,
    Place,
    Pool,
    Program,
    Scale,
    Shape,
    Slice,
    build,
    code_groups,
    with_codes,
)
from tdd_deploy.program.nodes import INPUTS, OUTPUTS


@dataclass(frozen=True)
class Case:
    """A program and encoded inputs for it, ``[n_steps, batch, *shape]``."""

    program: Program
    inputs: np.ndarray


@dataclass(frozen=True)
class Given:
    """Inputs that are encoded already, as the engine takes them."""

    inputs: np.ndarray  # [n_steps, batch, *shape]
    static = False

    def at(self, t: int) -> np.ndarray:
        return self.inputs[t]


@dataclass
class Grower:
    """Grows a program node by node, every free choice drawn from one seeded generator."""

    rng: np.random.Generator
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    graded: set[str] = field(default_factory=set)  # what sends potentials, or maps of them

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def dyadic(self, shape: Shape, *, denominator: int = 4, limit: int = 4) -> np.ndarray:
        values = self.rng.integers(-limit, limit + 1, shape) / denominator
        return np.where(self.rng.random(shape) < 0.25, 0.0, values)

    def put(self, node: Node, shape: Shape, *sources: str, delay: int = 0) -> str:
        self.nodes.append(node)
        self.edges += [Edge(source, node.name, delay) for source in sources]
        self.shapes[node.name] = shape
        is_graded = not node.neuron.spiking if isinstance(node, NeuronLayer) else self.graded.intersection(sources)
        if is_graded:
            self.graded.add(node.name)
        return node.name

    def name(self, kind: str) -> str:
        return f"{kind}{len(self.nodes)}"

    def bias(self, n: int) -> np.ndarray | None:
        return self.dyadic((n,)) if self.chance(0.5) else None

    def dense(self, source: str, n_out: int, *, delay: int = 0) -> str:
        if len(self.shapes[source]) == 3:
            n_in = int(np.prod(self.shapes[source]))
            source, delay = self.put(Flatten(name=self.name("flat")), (n_in,), source, delay=delay), 0
        weight = self.dyadic((n_out, self.shapes[source][0]))
        return self.put(
            Dense(name=self.name("fc"), weight=weight, bias=self.bias(n_out)), (n_out,), source, delay=delay
        )

    def conv(self, source: str, *, n_out: int | None = None, same: bool = False, delay: int = 0) -> str:
        channels, height, width = self.shapes[source]
        groups = int(self.rng.choice([g for g in (1, 2, channels) if channels % g == 0]))
        n_out = n_out or groups * int(self.rng.integers(1, 3))
        if n_out % groups:
            groups = 1
        if same:
            kernel, stride, padding, dilation = (3, 3), (1, 1), (1, 1), (1, 1)
        else:
            kernel = (int(self.rng.integers(1, 4)), int(self.rng.integers(1, 4)))
            stride = (int(self.rng.integers(1, 3)), int(self.rng.integers(1, 3)))
            padding = (int(self.rng.integers(0, 3)), int(self.rng.integers(0, 3)))
            dilation = (int(self.rng.integers(1, 3)), int(self.rng.integers(1, 3)))
            if height + 2 * padding[0] <= dilation[0] * (kernel[0] - 1) or width + 2 * padding[1] <= dilation[1] * (
                kernel[1] - 1
            ):
                kernel = (1, 1)
        node = Conv(
            name=self.name("conv"),
            weight=self.dyadic((n_out, channels // groups, *kernel)),
            bias=self.bias(n_out),
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
        )
        return self.put(node, node.out_shape(self.shapes[source]), source, delay=delay)

    def pool(self, source: str) -> str:
        kernel = (2, 2) if self.chance(0.7) else (1, 2)
        stride = kernel if self.chance(0.7) else (1, 1)
        padding = (1, 1) if self.chance(0.2) else (0, 0)
        node = Pool(name=self.name("pool"), kernel=kernel, stride=stride, padding=padding, average=self.chance(0.5))
        return self.put(node, node.out_shape(self.shapes[source]), source)

    def scale(self, source: str, *, delay: int = 0) -> str:
        shape = self.shapes[source]
        factor = self.dyadic(shape if self.chance(0.5) else ())
        bias = self.dyadic(shape if self.chance(0.5) else ()) if self.chance(0.3) else None
        return self.put(Scale(name=self.name("scale"), factor=factor, bias=bias), shape, source, delay=delay)

    def neuron(self, shape: Shape, *, spiking: bool) -> Neuron:
        def parameter(low: int, high: int, denominator: int) -> np.ndarray:
            return self.rng.integers(low, high + 1, shape if self.chance(0.3) else ()) / denominator

        reset = "soft" if self.chance(0.5) else "hard"
        fire = {"v_threshold": parameter(1, 12, 8), "v_reset": parameter(0, 1, 8), "reset": reset}
        fire["compare"] = ">=" if self.chance(0.2) else ">"
        activation = "relu" if self.chance(0.7) else "none"
        kinds = {
            "LIF": lambda: LIF(beta=parameter(0, 4, 4), **fire),
            "IF": lambda: IF(**fire),
            "CubaLIF": lambda: CubaLIF(alpha=parameter(0, 3, 4), beta=parameter(0, 4, 4), **fire),
            "Threshold": lambda: Threshold(v_threshold=fire["v_threshold"], compare=fire["compare"]),
            "LI": lambda: LI(beta=parameter(0, 1, 2)),
            "I": I,
            "VariantLIF": lambda: self.variant(parameter, fire),
            "CubaLI": lambda: CubaLI(alpha=parameter(0, 1, 2), beta=parameter(0, 1, 2)),
            "SigmaDelta": lambda: SigmaDelta(
                delta_threshold=parameter(0, 8, 8), activation=activation, compare=fire["compare"]
            ),
        }
        for name in [
            name for name in NEURONS if name not in kinds
        ]:  # one that is registered lives here without a line of its own
            kinds[name] = lambda cls=NEURONS[name]: cls(
                **{f.name: parameter(1, 3, 4) for f in fields(cls) if f.name not in cls.choices}
            )
        allowed = ["LIF", *(name for name in kinds if not spiking or NEURONS[name].spiking)]
        return kinds[str(self.rng.choice(allowed))]()

    def variant(self, parameter: Callable[[int, int, int], np.ndarray], fire: Mapping[str, Any]) -> VariantLIF:
        chosen = {"resets": self.pick("at once", "next step"), "spikes": self.pick("one", "one", "many")}
        return VariantLIF(
            alpha=parameter(0, 3, 4) * self.chance(0.5),
            beta=parameter(0, 4, 4),
            v_min=-parameter(0, 8, 8) if self.chance(0.3) else None,
            left_over=self.pick("fires", "held"),
            **{**fire, **chosen, "reset": self.pick("hard", "soft", "none")},
        )

    def pick(self, *words: str) -> Any:
        return str(self.rng.choice(words))

    def layer(self, *sources: str) -> str:
        shape = self.shapes[sources[0]]
        neuron = self.neuron(shape, spiking=bool(self.graded.intersection(sources)))
        return self.put(NeuronLayer(name=self.name("n"), shape=shape, neuron=neuron), shape, *sources)

    def joined(self, layer: str, other: str) -> str:
        """One map that takes the sum of two layers, and a layer after it."""
        shape = self.shapes[layer]
        join = self.dense(layer, shape[0]) if len(shape) == 1 else self.conv(layer, n_out=shape[0], same=True)
        self.edges.append(Edge(other, join))
        if other in self.graded:
            self.graded.add(join)
        return self.layer(join)

    def block(self, source: str) -> str:
        """Linear maps, perhaps a second branch, then neurons, perhaps recurrent."""
        tip = source
        if len(self.shapes[tip]) == 3:
            if self.chance(0.3) and min(self.shapes[tip][1:]) >= 2:
                tip = self.pool(tip)
            residual = self.chance(0.4)
            main = self.conv(tip, n_out=self.shapes[tip][0] if residual else None, same=residual)
            if self.chance(0.2):
                main = self.scale(main)
            if self.chance(0.2):
                main = self.conv(main, n_out=self.shapes[main][0], same=True)
            branches = [main]
            if residual:
                branches.append(tip if self.chance(0.5) else self.conv(tip, n_out=self.shapes[tip][0], same=True))
        else:
            main = self.dense(tip, int(self.rng.integers(1, 7)))
            if self.chance(0.2):
                main = self.dense(main, int(self.rng.integers(1, 7)))
            branches = [main]
            if self.chance(0.3):
                branches.append(self.dense(tip, self.shapes[main][0]))
        layer = self.layer(*branches)
        if self.chance(0.15):
            layer = self.joined(layer, self.layer(*branches))
        if self.chance(0.4) and layer not in self.graded:
            delay = int(self.rng.integers(1, 3))
            recurrent = (
                self.dense(layer, self.shapes[layer][0], delay=delay)
                if len(self.shapes[layer]) == 1
                else self.conv(layer, n_out=self.shapes[layer][0], same=True, delay=delay)
            )
            self.edges.append(Edge(recurrent, layer))
        elif self.chance(0.2):
            self.edges.append(Edge(layer, layer, 1))
        return layer


def grow(seed: int, *, n_blocks: int, n_steps: int, batch: int, spatial: bool, number_format: str = "float64") -> Case:
    rng = np.random.default_rng(seed)
    grower = Grower(rng)
    shape = tuple(int(n) for n in rng.integers(1, 7, 3 if spatial else 1))
    parts = np.random.default_rng([seed, 1]).random(2) < 0.15  # whether there are several inputs, several outputs
    layers = [grower.put(Input(name="input", shape=shape), shape)]
    if parts[0]:
        size, shape = math.prod(shape), (math.prod(shape) + 2,)
        grower.nodes[0] = Input(name=INPUTS, shape=shape)
        layers = [
            grower.put(Slice(name="part1", start=0, shape=grower.shapes["input"]), grower.shapes["input"], INPUTS)
        ]
        second = grower.put(Slice(name="part2", start=size, shape=(2,)), (2,), INPUTS)
    for _ in range(n_blocks):
        layers.append(grower.block(layers[-1]))
    if parts[0]:
        layers.append(grower.layer(grower.dense(second, 3), grower.dense(layers[-1], 3)))
    tip = layers[-1]
    first = layers[1]
    back = n_blocks > 1 and len(grower.shapes[first]) == 1 and tip not in grower.graded
    if back and grower.chance(0.4):  # feedback from the last layer
        grower.edges.append(Edge(grower.dense(tip, grower.shapes[first][0], delay=1), first))
    if rng.random() < 0.6:
        tip = grower.dense(tip, int(rng.integers(1, 5)))
    if parts[1]:
        size = math.prod(grower.shapes[tip]) + math.prod(grower.shapes[layers[1]])
        first = grower.put(Place(name="place1", start=0, size=size), (size,), tip)
        second = grower.put(Place(name="place2", start=math.prod(grower.shapes[tip]), size=size), (size,), layers[1])
        grower.put(Output(name=OUTPUTS), (size,), first, second)
    else:
        grower.put(Output(name="output"), grower.shapes[tip], tip)
    program = build(grower.nodes, grower.edges, dt_s=1e-3, n_steps=n_steps, number_format=number_format)
    program = with_codes(
        program,
        {
            edge: code
            for group in code_groups(program)
            for code in [str(rng.choice(["delta", "spike"]))]
            for edge in group
        },
    )
    kind = rng.integers(3)
    inputs = rng.integers(0, 9, (n_steps, batch, *shape)) / 8  # frames
    if kind == 0:
        inputs = (rng.random(inputs.shape) < 0.3).astype(float)  # spikes
    elif kind == 1:
        inputs[:] = inputs[0]  # a static image
    return Case(program, inputs.astype(program.dtype))


def with_delays(case: Case, seed: int) -> Case:
    """Send a third of what the input and the neurons send one to three steps later."""
    rng = np.random.default_rng(seed)
    maps = {node.name for node in case.program.linear_maps}
    edges = [
        edge if edge.source in maps or rng.random() < 0.7 else replace(edge, delay=edge.delay + int(rng.integers(1, 4)))
        for edge in case.program.edges
    ]
    program = case.program
    delayed = build(
        program.nodes, edges, dt_s=program.dt_s, n_steps=program.n_steps, number_format=program.number_format
    )
    return replace(case, program=delayed)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a random program with inputs."""
    return grow(
        draw(st.integers(0, 2**32 - 1)),
        n_blocks=draw(st.integers(1, 3)),
        n_steps=draw(st.integers(1, 6)),
        batch=draw(st.integers(1, 3)),
        spatial=draw(st.booleans()),
    )


@st.composite
def delayed_cases(draw: st.DrawFn) -> Case:
    """Draw a random program with delays anywhere, which NIR cannot hold."""
    return with_delays(draw(cases()), draw(st.integers(0, 2**32 - 1)))
