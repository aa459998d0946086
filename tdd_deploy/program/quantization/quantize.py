"""From floats to the integers of Loihi 2: one scale per layer, or per neuron, and a report of what it cost.

Hard reset makes the neuron scale-free: the currents of a layer are multiplied by its scale, and so are threshold, reset
and bias; weights are rounded. A scale belongs to a receiver (a layer of neurons, or the output), so that all its
branches share it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import chain, count
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.errors import BadOptions, NotExportable, Violation
from tdd_deploy.neurons import IF, LIF, CubaLIF, Firing, LoihiLIF, Neuron, Reset, Threshold
from tdd_deploy.neurons.loihi import DECAY, UNIT, WRAP
from tdd_deploy.program.biases import currents_of_biases
from tdd_deploy.program.bounds import worst_case_sums
from tdd_deploy.program.build import build
from tdd_deploy.program.nodes import (
    Array,
    Conv,
    Dense,
    Flatten,
    Input,
    LinearMap,
    NeuronLayer,
    Node,
    Output,
    Place,
    Pool,
    Scale,
    Slice,
)
from tdd_deploy.program.program import Edge, Program

Per = Literal["layer", "neuron"]
PER: tuple[Per, ...] = ("layer", "neuron")
BITS = range(2, 9)
LARGEST_THRESHOLD = 2**17 - 1  # vth is u17, in units of weight
LARGEST_MANTISSA, LARGEST_EXPONENT = 4095, 7  # bias = mantissa (s13) << exponent (u3)
LARGEST_BIAS = LARGEST_MANTISSA << LARGEST_EXPONENT
STRETCHES = np.linspace(1, 3, 33)  # of the scale, tried where few bits make clipping worth it
FEW_BITS = 6
SHRINK = 0.001  # by how much more a sum that wraps after rounding is made smaller; doubled at each attempt
INPUT_BITS = range(1, 9)  # tried
LARGEST_INPUT_BITS = 12
READ_CURRENTS = "Read currents instead: connect the last linear map to the output."
Float64Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LayerReport:
    """What became of the maps that drive one receiver.

    ``scale`` is integers per float, lowest to highest; ``limited_by`` says what kept it from being larger. ``error`` is
    the root mean square of what rounding changed, relative to that of the weights. ``worst_case_sum`` below 131,072
    cannot wrap u.
    """

    name: str
    scale: tuple[float, float]
    limited_by: str
    weights: int
    clipped: int
    error: float
    worst_case_sum: float


@dataclass(frozen=True)
class Quantized:
    """An integer program, and what was lost on the way to it."""

    program: Program
    layers: tuple[LayerReport, ...]


def bits_of(program: Program) -> int:
    """Return how many bits the weights of an integer program take, signed, in the steps that all of them share."""
    weights = [np.ravel(node.weight) for node in program.linear_maps if isinstance(node, Dense | Conv)]
    values = np.concatenate([*weights, np.zeros(1, np.int32)]).astype(np.int64)
    step = int(np.bitwise_or.reduce(np.abs(values)))
    values //= step & -step or 1
    return next(bits for bits in count(1) if -(1 << bits - 1) <= values.min() and values.max() < max(1 << bits - 1, 1))


def quantize(
    program: Program,
    *,
    bits: int = 8,
    per: Per = "layer",
    input_bits: int | None = None,
    largest_input: float = 1.0,
    samples: NDArray[Any] | None = None,
    binary_input: bool = False,
) -> Quantized:
    """Turn a float program into the integers of Loihi 2, as Lava 0.10 simulates it.

    Weights become even integers within [-256, 254] (8 bits; multiples of 2 ** (9 - bits) for fewer), thresholds
    multiples of 64, biases ``mantissa << exponent``, fractions kept multiples of 1/4096. The scale of a receiver is the
    largest for which weights, threshold and bias fit, and no sum can wrap.

    Args:
        program: in float32 or float64; at most one map with weights on any way between two layers of neurons.
        bits: of a weight, sign included: 2 to 8.
        per: one scale per ``layer``, or per ``neuron`` (channel of a convolution), which needs a threshold per neuron.
        input_bits: of an analog input's fraction: values are multiplied by ``2 ** input_bits / largest_input``. By
            default ``best_input_bits``.
        largest_input: magnitude of the largest value of an analog input.
        samples: values of an analog input that decide its bits.
        binary_input: data show that the input sends only 0 and 1, so these are its integers, unless ``input_bits``
            is given.

    Raises:
        NotExportable: the program holds what these integers cannot hold; every reason is named.
        BadOptions: an option is not allowed.
    """
    _check_options(bits=bits, per=per, input_bits=input_bits, largest_input=largest_input)
    if program.encoder != "direct" or (binary_input and input_bits is None):
        source = _with_input_of(program, scale=1.0, largest=1)  # spikes are integers already
    else:
        if input_bits is None:
            input_bits = best_input_bits(program, samples, bits=bits, per=per, largest_input=largest_input)
        source = _with_input_of(program, scale=2.0**input_bits / largest_input, largest=2**input_bits)
    ways = _Ways(source)
    violations = (*_unholdable(source), *ways.violations())
    if violations:
        raise NotExportable("this program does not fit Loihi 2's integers", violations)
    quantizer = _Quantizer(source, ways, bits, per)
    result = quantizer.result()
    by = SHRINK
    while quantizer.shrink(result.layers, by):  # rounding can lift a sum above its bound
        result, by = quantizer.result(), min(2 * by, 0.5)
    return result


def best_input_bits(
    program: Program, samples: NDArray[Any] | None, *, bits: int, per: Per = "layer", largest_input: float = 1.0
) -> int:
    """Return the bits of an analog input that lose least: as no sum may wrap, more of them leave fewer to the weights.

    What is lost is the mean square of what rounding changed, relative to that of the inputs and to that of the weights.

    Args:
        program: in floats.
        samples: values of the input; without them it is taken to be spread evenly.
        bits: of a weight.
        per: as for ``quantize``.
        largest_input: as for ``quantize``.
    """
    if program.encoder != "direct":
        return INPUT_BITS[-1]  # spikes
    lost = {}
    for input_bits in INPUT_BITS:
        made = quantize(program, bits=bits, per=per, input_bits=input_bits, largest_input=largest_input)
        of_inputs = _lost_of_inputs(samples, 2.0**input_bits / largest_input, input_bits)
        lost[input_bits] = of_inputs + sum(layer.error**2 for layer in made.layers)
    return min(lost, key=lambda input_bits: lost[input_bits])


def _lost_of_inputs(samples: NDArray[Any] | None, scale: float, input_bits: int) -> float:
    """Return the mean square of what rounding changes, relative to that of the values."""
    if samples is None:
        return 2.0 ** (-2 * input_bits) / 4
    power = np.square(samples, dtype=np.float64).sum()
    return float(np.square(np.rint(samples * scale) / scale - samples, dtype=np.float64).sum() / (power or 1.0))


def decay_of(kept: Array) -> NDArray[np.int64]:
    """Return dv for a fraction kept per step; nothing kept becomes 1/4096, the least that 12 bits hold."""
    return np.clip(np.rint(DECAY * (1 - kept.astype(np.float64))), 0, DECAY - 1).astype(np.int64)


def rounded(weight: Float64Array, bits: int) -> NDArray[np.int64]:
    """Round scaled weights to the multiples that ``bits`` hold, clipped to their range."""
    step = 2 ** (9 - bits)
    return np.asarray(step * np.clip(np.rint(weight / step), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1), np.int64)


def largest_weight(bits: int) -> int:
    """Return the largest integer that a weight can be."""
    return (1 << 8) - (1 << (9 - bits))


def rounded_bias(bias: Float64Array) -> NDArray[np.int64]:
    """Round biases in LSB of v to ``mantissa << exponent``, the smallest exponent that holds each; clip larger ones."""
    held = np.clip(bias, -LARGEST_BIAS, LARGEST_BIAS)
    for exponent in reversed(range(LARGEST_EXPONENT + 1)):
        mantissa = np.rint(bias / 2**exponent)
        held = np.where(np.abs(mantissa) <= LARGEST_MANTISSA, mantissa * 2**exponent, held)
    return np.asarray(held, np.int64)


def _check_options(*, bits: int, per: str, input_bits: int | None, largest_input: float) -> None:
    found = []
    if bits not in BITS:
        found.append(Violation("--bits", str(bits), "2 to 8"))
    if per not in PER:
        found.append(Violation("--per", repr(per), " or ".join(PER)))
    if input_bits is not None and not 1 <= input_bits <= LARGEST_INPUT_BITS:
        found.append(Violation("--input-bits", str(input_bits), f"1 to {LARGEST_INPUT_BITS}"))
    if not 0 < largest_input < np.inf:
        found.append(Violation("largest_input", str(largest_input), "above 0"))
    if found:
        raise BadOptions("these options", found)


def _with_input_of(program: Program, *, scale: float, largest: int) -> Program:
    """Return the program with the scale of its input set."""
    nodes = tuple(
        replace(node, scale=scale, largest=largest) if isinstance(node, Input) else node for node in program.nodes
    )
    return replace(program, nodes=nodes)


def _unholdable(program: Program) -> Iterator[Violation]:
    if program.number_format == "integer":
        yield Violation(
            "number_format", "integer", "float32 or float64", "It is already in integers: leave out --bits."
        )
    if program.output.reading != "spikes":
        found, remedy = (
            f"reads a {program.output.reading}",
            "Quantize the program first, then let its output read potentials.",
        )
        yield Violation(program.output.name, found, "an output of spikes or sums", remedy)
    for layer in program.neuron_layers:
        if type(layer.neuron) not in (LIF, IF, CubaLIF, Threshold, LoihiLIF):
            yield Violation(
                layer.name,
                f"{type(layer.neuron).__name__}" + ("" if layer.neuron.spiking else " sends numbers"),
                "neurons that fire once per step, and reset at once (IF, LIF, CubaLIF, Threshold)",
                READ_CURRENTS if is_only_read(program, layer) else "",
            )
    for node in program.linear_maps:
        if isinstance(node, Slice | Place):
            kind = "input" if isinstance(node, Slice) else "output"
            yield Violation(node.name, f"one of several {kind}s", f"one {kind}: integers have one scale for it")
    silent = currents_of_biases(program)
    for layer in program.neuron_layers:
        if isinstance(layer.neuron, CubaLIF) and np.any(layer.neuron.alpha) and np.any(silent[layer.name]):
            yield Violation(
                layer.name,
                "CubaLIF behind a bias, which it filters",
                "no bias: Loihi 2 adds it to v, unfiltered",
                "Train without a bias in front of CubaLIF.",
            )


def is_only_read(program: Program, layer: NeuronLayer) -> bool:
    """Whether a layer that does not spike leads only to the output, so that its currents could be read instead."""
    return not layer.neuron.spiking and {e.target for e in program.outgoing[layer.name]} == {program.output.name}


def _is_map(node: Node) -> bool:
    return isinstance(node, LinearMap)


def _is_weighted(node: Node) -> bool:
    return isinstance(node, Dense | Conv | Scale)


def _size(node: Node) -> int:
    """Return how much larger a sum is than what the node computes: the window of an average."""
    return node.kernel[0] * node.kernel[1] if isinstance(node, Pool) and node.average else 1


class _Ways:
    """How values come from senders to receivers: which maps carry values, and which currents."""

    def __init__(self, program: Program) -> None:
        self.program = program
        # Maps without weights that no weights stand before carry values; `carried` is integers per float.
        self.carried: dict[str, float] = {layer.name: 1.0 for layer in program.neuron_layers}
        self.carried[program.input.name] = program.input.scale
        self.mixed: list[str] = []
        for node in program.linear_maps:
            sources = [edge.source for edge in program.incoming[node.name]]
            gains = {self.carried[name] for name in sources if name in self.carried}
            if not _is_weighted(node) and all(name in self.carried for name in sources):
                if len(gains) > 1:
                    self.mixed.append(node.name)
                self.carried[node.name] = max(gains) * _size(node)
        # Behind weights: the receivers reached, each with the windows of the averages on the way.
        self.reached: dict[str, list[tuple[str, int]]] = {}
        for node in reversed(program.linear_maps):
            if node.name not in self.carried:
                self.reached[node.name] = [
                    found for edge in program.outgoing[node.name] for found in self._beyond(edge.target)
                ]

    def _beyond(self, target: str) -> list[tuple[str, int]]:
        node = self.program[target]
        if not _is_map(node):
            return [(target, 1)]
        return [(receiver, size * _size(node)) for receiver, size in self.reached.get(target, [])]

    def into(self, target: str) -> float:
        """Return the integers per float of the values that a map with weights receives."""
        return self.carried[self.program.incoming[target][0].source]

    def behind(self, name: str) -> int:
        """Return the windows of averages between a map with weights and its receiver."""
        return self.reached[name][0][1]

    def behind_bare(self, edge: Edge) -> int:
        """Return the windows of averages between a bare edge and its receiver."""
        return self._beyond(edge.target)[0][1]

    def receiver(self, name: str) -> str:
        """Return the receiver of a map behind weights, or of a receiver itself."""
        return self.reached[name][0][0] if name in self.reached else name

    def bare(self) -> Iterator[Edge]:
        """Yield the edges on which values become currents without a weight."""
        for edge in self.program.edges:
            target = self.program[edge.target]
            passes_on = _is_map(target) and edge.target in self.carried
            if edge.source in self.carried and not _is_weighted(target) and not passes_on:
                yield edge

    def violations(self) -> Iterator[Violation]:
        for node in self.program.linear_maps:
            sources = [edge.source for edge in self.program.incoming[node.name]]
            if not _is_weighted(node):
                if node.name in self.mixed:
                    yield self._mixed(node.name)
                continue
            behind = sorted(name for name in sources if name not in self.carried)
            if behind:
                found = f"weights behind weights ({', '.join(behind)})"
                remedy = "Multiply the two maps into one."
                yield Violation(node.name, found, "one map with weights between two layers of neurons", remedy)
            elif len({self.carried[name] for name in sources}) > 1:
                yield self._mixed(node.name)
            elif len(self.reached[node.name]) > 1:
                listed = ", ".join(sorted({name for name, _ in self.reached[node.name]}))
                found = f"drives several receivers ({listed}), each with a scale of its own"
                yield Violation(node.name, found, "one receiver", "Give each of its targets a map of its own.")

    def _mixed(self, name: str) -> Violation:
        found = "receives the input, or averages, beside spikes: integers of different scales"
        return Violation(name, found, "values of one scale", "Give each of its sources a map of its own.")


class _Quantizer:
    """Chooses the scales, then rounds."""

    def __init__(self, program: Program, ways: _Ways, bits: int, per: Per) -> None:
        self._program = program
        self._ways = ways
        self._bits = bits
        self._per = per
        self._worst = worst_case_sums(program, largest_input=program.input.largest / program.input.scale)
        self._bias = currents_of_biases(program)
        # Of a receiver: what is multiplied by its scale before it is rounded, each with its channels first.
        self._weights: dict[str, list[Float64Array]] = {}
        for node in program.linear_maps:
            if _is_weighted(node):
                self._weights.setdefault(ways.receiver(node.name), []).append(self._unscaled(node))
        for edge in ways.bare():
            self._weights.setdefault(ways.receiver(edge.target), []).append(self._unscaled_one(edge))
        receivers = [*program.neuron_layers, program.output]
        self._chosen = {node.name: self._scale(node) for node in receivers}

    def result(self) -> Quantized:
        program = self._program
        nodes: list[Node] = [self._rounded(node) for node in program.nodes]
        edges = list(program.edges)
        for edge in self._ways.bare():
            name = _free_name(f"{edge.source}_to_{edge.target}", {node.name for node in nodes})
            factor = Scale(name=name, factor=self._one(edge))
            nodes.append(factor)
            edges.remove(edge)
            edges += [replace(edge, target=factor.name), Edge(factor.name, edge.target, code=edge.code)]
        quantized = build(
            nodes,
            edges,
            dt_s=program.dt_s,
            n_steps=program.n_steps,
            integration="euler",
            number_format="integer",
            encoder=program.encoder,
            provenance={**program.provenance, "quantized_bits": str(self._bits), "quantized_from": program.digest},
            subject="the quantized program",
        )
        worst = worst_case_sums(quantized)
        return Quantized(quantized, tuple(self._report(name, float(worst[name].max())) for name in self._chosen))

    def shrink(self, layers: Sequence[LayerReport], by: float) -> bool:
        """Make the scales smaller whose sums can still wrap, to their bound less a fraction; say if there were any."""
        wrapping = [
            layer for layer in layers if layer.worst_case_sum >= WRAP and layer.name != self._program.output.name
        ]
        for layer in wrapping:
            scale, _ = self._chosen[layer.name]
            self._chosen[layer.name] = scale * ((1 - by) * (WRAP - 1) / layer.worst_case_sum), "sums"
        return bool(wrapping)

    def _unscaled(self, node: LinearMap) -> Float64Array:
        """Return the weights of a map in units of its receiver's scale."""
        weight = node.factor if isinstance(node, Scale) else node.weight  # type: ignore[attr-defined]
        return weight.astype(np.float64) / (self._ways.into(node.name) * self._ways.behind(node.name))

    def _unscaled_one(self, edge: Edge) -> Float64Array:
        """Return the weight of an edge without one, in units of its receiver's scale."""
        one = 1 / (self._ways.carried[edge.source] * self._ways.behind_bare(edge))
        return np.full(self._program.shapes[edge.source], one)

    def _scale(self, node: Node) -> tuple[Float64Array, str]:
        """Return the scale of a receiver, one number or one per channel, and what limits it."""
        axis = self._channels(node)
        most = {"weights": largest_weight(self._bits), "sums": WRAP - 1}
        found = {"weights": self._weights[node.name], "sums": [self._worst[node.name]]}
        if isinstance(node, NeuronLayer):
            most |= {"threshold": LARGEST_THRESHOLD, "bias": LARGEST_BIAS // UNIT}
            heights = node.neuron.parameters()["v_threshold"], _reset_of(node.neuron)
            found |= {
                "threshold": [np.broadcast_to(height, node.shape) for height in heights],
                "bias": [self._bias[node.name]],
            }
        with np.errstate(divide="ignore"):  # zeros fit at any scale
            limits = {name: most[name] / _largest(arrays, axis) for name, arrays in found.items()}
        scale = reduce(np.minimum, limits.values())
        limited_by = min(limits, key=lambda name: float(limits[name].min()))
        if not np.all(np.isfinite(scale)):
            scale = np.where(np.isfinite(scale), scale, 1.0)  # nothing arrives there
        if self._bits <= FEW_BITS and limited_by == "weights":
            scale = self._stretched(node.name, scale, axis, {k: v for k, v in limits.items() if k != "weights"})
        return scale, limited_by

    def _channels(self, node: Node) -> int | None:
        """Return 0 where a receiver's channels are those of all its weights, else None: one scale for all."""
        program = self._program
        if self._per == "layer" or isinstance(node, Output):
            return None
        kept = [m for m in program.linear_maps if self._ways.reached.get(m.name, [(None, 1)])[0][0] == node.name]
        return None if any(isinstance(m, Flatten | Scale) for m in kept) else 0

    def _stretched(
        self, name: str, scale: Float64Array, axis: int | None, limits: Mapping[str, Float64Array]
    ) -> Float64Array:
        """Return the scale of least squared error among larger ones, which clip the largest weights."""
        ceiling = reduce(np.minimum, limits.values())
        best, least = scale, np.full(scale.shape, np.inf)
        for stretch in STRETCHES:
            tried = np.minimum(scale * stretch, ceiling)
            error = sum(
                _per_channel((rounded(w * _along(tried, w), self._bits) / _along(tried, w) - w) ** 2, np.sum, axis)
                for w in self._weights[name]
            )
            best, least = np.where(error < least, tried, best), np.minimum(error, least)
        return best

    def _rounded(self, node: Node) -> Node:
        if isinstance(node, NeuronLayer):
            return replace(node, neuron=self._neuron(node))
        if isinstance(node, Output):
            return replace(node, unit=1 / float(self._chosen[node.name][0]))
        if isinstance(node, Pool):
            return replace(node, average=False)
        if isinstance(node, Scale):
            scale = self._chosen[self._ways.receiver(node.name)][0]
            factor = rounded(self._unscaled(node) * _along(scale, node.factor), self._bits)
            return replace(node, factor=_shortest(factor), bias=self._rounded_bias(node))
        if isinstance(node, Dense | Conv):
            scale = self._chosen[self._ways.receiver(node.name)][0]
            unscaled = self._unscaled(node)
            weight = rounded(unscaled * _along(scale, unscaled), self._bits)
            return replace(node, weight=weight, bias=self._rounded_bias(node))
        return node

    def _rounded_bias(self, node: Dense | Conv | Scale) -> Array | None:
        """Return the bias of a map that leads to the output; neurons hold the biases of all other maps."""
        receiver = self._ways.receiver(node.name)
        if node.bias is None or not isinstance(self._program[receiver], Output):
            return None
        scale = self._chosen[receiver][0]
        return np.asarray(np.rint(node.bias.astype(np.float64) * scale / self._ways.behind(node.name)))

    def _one(self, edge: Edge) -> Array:
        scale = self._chosen[self._ways.receiver(edge.target)][0]
        one = self._unscaled_one(edge)
        factor = rounded(one * _along(scale, one), self._bits)
        return _shortest(factor)

    def _neuron(self, layer: NeuronLayer) -> LoihiLIF:
        scale = self._chosen[layer.name][0]
        neuron: Neuron = layer.neuron
        values = neuron.parameters()

        def scaled(array: Array) -> Float64Array:
            full = array if not scale.ndim else np.broadcast_to(array, layer.shape)
            return full.astype(np.float64) * _along(scale, full)

        v_threshold = UNIT * np.rint(scaled(values["v_threshold"])).astype(np.int64)
        reset: Reset = neuron.reset if isinstance(neuron, Firing) else "hard"
        compare = neuron.compare  # type: ignore[attr-defined]
        if compare == ">=" and reset == "hard":
            v_threshold, compare = v_threshold - 1, ">"  # the same in integers; a soft reset would take too little away
        beta = values.get("beta", np.asarray(1.0 if isinstance(neuron, IF) else 0.0))
        alpha = values.get("alpha", np.asarray(0.0))
        v_reset = np.rint(UNIT * scaled(_reset_of(neuron))).astype(np.int64)
        return LoihiLIF(
            v_threshold=_shortest(v_threshold),
            v_reset=_shortest(v_reset),
            reset=reset,
            compare=compare,
            du=_shortest(np.rint(DECAY * (1 - alpha.astype(np.float64))).astype(np.int64) - 1),
            dv=_shortest(decay_of(beta)),
            bias=_shortest(rounded_bias(UNIT * scaled(self._bias[layer.name]))),
        )

    def _report(self, name: str, worst_case_sum: float) -> LayerReport:
        scale, limited_by = self._chosen[name]
        low, high = -(2**8), largest_weight(self._bits)
        step = 2 ** (9 - self._bits)
        scaled = [w * _along(scale, w) for w in self._weights[name]]
        lost = sum(float(((rounded(w, self._bits) - w) ** 2).sum()) for w in scaled)
        total = sum(float((w**2).sum()) for w in scaled)
        return LayerReport(
            name=name,
            scale=(float(scale.min()), float(scale.max())),
            limited_by=limited_by,
            weights=sum(w.size for w in scaled),
            clipped=sum(int(((w > high + step / 2) | (w < low - step / 2)).sum()) for w in scaled),
            error=(lost / total) ** 0.5 if total else 0.0,
            worst_case_sum=worst_case_sum,
        )


def _free_name(name: str, taken: Collection[str]) -> str:
    """Return a name, numbered when it is taken."""
    return next(free for free in chain([name], (f"{name}_{k}" for k in count(2))) if free not in taken)


def _reset_of(neuron: Neuron) -> Array:
    """Return where a spike leaves v; 0 for what has no reset, or a soft one, which does not use it."""
    is_hard = isinstance(neuron, Firing) and neuron.reset == "hard"
    return neuron.v_reset if is_hard else np.asarray(0.0)  # type: ignore[attr-defined]


def _largest(arrays: Sequence[Array], axis: int | None) -> Float64Array:
    """Return the largest magnitude, of all or per channel."""
    return reduce(np.maximum, [_per_channel(np.abs(array), np.max, axis) for array in arrays])


def _per_channel(array: Array, of: "np.ufunc | object", axis: int | None) -> Float64Array:
    values = array.astype(np.float64)
    flat = values.reshape(-1) if axis is None else values.reshape(len(values), -1)
    return np.asarray(of(flat, axis=-1))  # type: ignore[operator]


def _along(scale: Float64Array, array: Array) -> Float64Array:
    """Return the scale so that it multiplies the first axis of an array."""
    return scale.reshape(-1, *[1] * (array.ndim - 1)) if scale.ndim else scale


def _shortest(array: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return one number where all are equal."""
    first = array.reshape(-1)[:1]
    return first.reshape(()) if np.all(array == first) else array
