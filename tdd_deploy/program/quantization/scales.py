"""Choose the scales of receivers so that everything fits, round with them, and report the loss."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import chain, count

import numpy as np

from tdd_deploy.neurons import IF, Firing, LoihiLIF, Neuron, Reset
from tdd_deploy.neurons.loihi import DECAY, UNIT, WRAP
from tdd_deploy.options.vocabulary import Per
from tdd_deploy.program.biases import currents_of_biases
from tdd_deploy.program.bounds import worst_case_sums
from tdd_deploy.program.build import build
from tdd_deploy.program.nodes import Array, Conv, Dense, Flatten, LinearMap, NeuronLayer, Node, Output, Pool, Scale
from tdd_deploy.program.program import Edge, Program

from .loihi_numbers import (
    LARGEST_BIAS,
    LARGEST_THRESHOLD,
    Float64Array,
    decay_of,
    largest_weight,
    rounded,
    rounded_bias,
)
from .paths import Paths, is_weighted
from .unscaled import Unscaled

STRETCHES = np.linspace(1, 3, 33)  # of the scale, tried where few bits make clipping worth it
FEW_BITS = 6


@dataclass(frozen=True, kw_only=True)
class LayerReport:
    """The scale of one receiver, and the rounding of the maps that drive it.

    ``scale`` is integers per float, lowest to highest; ``limited_by`` names what kept it from being larger. ``error``
    is the root mean square of the rounding errors, relative to the root mean square of the weights. A
    ``worst_case_sum`` below 131,072 cannot wrap u.
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
    """An integer program, and a report on each of its receivers."""

    program: Program
    layers: tuple[LayerReport, ...]


class Quantizer:
    """Choose the scales, then round."""

    def __init__(self, program: Program, paths: Paths, bits: int, per: Per) -> None:
        self._program = program
        self._paths = paths
        self._bits = bits
        self._per = per
        self._worst = worst_case_sums(program, largest_input=program.input.largest / program.input.scale)
        self._bias = currents_of_biases(program)
        # By receiver: the arrays that its scale multiplies before they are rounded, each with its channels first.
        self._weights: dict[str, list[Unscaled]] = {}
        for node in program.linear_maps:
            if is_weighted(node):
                self._weights.setdefault(paths.receiver(node.name), []).append(self._unscaled(node))
        for edge in paths.bare():
            self._weights.setdefault(paths.receiver(edge.target), []).append(self._unscaled_one(edge))
        receivers = [*program.neuron_layers, program.output]
        self._chosen = {node.name: self._scale(node) for node in receivers}

    def result(self) -> Quantized:
        """Round everything with the scales chosen so far."""
        program = self._program
        nodes: list[Node] = [self._rounded(node) for node in program.nodes]
        edges = list(program.edges)
        for edge in self._paths.bare():
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
        """Make the scales of sums that can still wrap smaller; return whether there were any."""
        wrapping = [
            layer for layer in layers if layer.worst_case_sum >= WRAP and layer.name != self._program.output.name
        ]
        for layer in wrapping:
            scale, _ = self._chosen[layer.name]
            self._chosen[layer.name] = scale * ((1 - by) * (WRAP - 1) / layer.worst_case_sum), "sums"
        return bool(wrapping)

    def _unscaled(self, node: LinearMap) -> Unscaled:
        """Divide the weights of a map by everything but its receiver's scale."""
        weight = node.factor if isinstance(node, Scale) else node.weight  # type: ignore[attr-defined]
        return Unscaled(weight, self._paths.into(node.name) * self._paths.windows_after(node.name))

    def _unscaled_one(self, edge: Edge) -> Unscaled:
        """Give an edge without a weight one, divided by everything but its receiver's scale."""
        one = 1 / (self._paths.carried[edge.source] * self._paths.windows_after_edge(edge))
        return Unscaled(np.full(self._program.shapes[edge.source], one), 1.0)

    def _scale(self, node: Node) -> tuple[Float64Array, str]:
        """Choose the scale of a receiver, one number or one per channel, and name its limit."""
        axis = self._channels(node)
        most = {"weights": largest_weight(self._bits), "sums": WRAP - 1}
        found = {"sums": [self._worst[node.name]]}
        if isinstance(node, NeuronLayer):
            most |= {"threshold": LARGEST_THRESHOLD, "bias": LARGEST_BIAS // UNIT}
            heights = node.neuron.parameters()["v_threshold"], _reset_of(node.neuron)
            found |= {
                "threshold": [np.broadcast_to(height, node.shape) for height in heights],
                "bias": [self._bias[node.name]],
            }
        with np.errstate(divide="ignore"):  # zeros fit at any scale
            largest = reduce(np.maximum, [weights.largest(axis) for weights in self._weights[node.name]])
            limits = {"weights": most["weights"] / largest}
            limits |= {name: most[name] / _largest(arrays, axis) for name, arrays in found.items()}
        scale = reduce(np.minimum, limits.values())
        limited_by = min(limits, key=lambda name: float(limits[name].min()))
        if not np.all(np.isfinite(scale)):
            scale = np.where(np.isfinite(scale), scale, 1.0)  # nothing arrives there
        if self._bits <= FEW_BITS and limited_by == "weights":
            scale = self._stretched(node.name, scale, axis, {k: v for k, v in limits.items() if k != "weights"})
        return scale, limited_by

    def _channels(self, node: Node) -> int | None:
        """Return the axis 0 where a receiver's channels are the channels of all its weights, else None: one scale."""
        program = self._program
        if self._per == "layer" or isinstance(node, Output):
            return None
        kept = [m for m in program.linear_maps if self._paths.reached.get(m.name, [(None, 1)])[0][0] == node.name]
        return None if any(isinstance(m, Flatten | Scale) for m in kept) else 0

    def _stretched(
        self, name: str, scale: Float64Array, axis: int | None, limits: Mapping[str, Float64Array]
    ) -> Float64Array:
        """Choose the scale of least squared error among larger ones, which clip the largest weights."""
        ceiling = reduce(np.minimum, limits.values())

        def squared(w: Float64Array, tried: Float64Array) -> Float64Array:
            return np.asarray((rounded(w * tried, self._bits) / tried - w) ** 2)

        best, least = scale, np.full(scale.shape, np.inf)
        for stretch in STRETCHES:
            tried = np.minimum(scale * stretch, ceiling)
            error = sum(weights.sums(squared, tried, axis) for weights in self._weights[name])
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
            scale = self._chosen[self._paths.receiver(node.name)][0]
            factor = self._unscaled(node).rounded(scale, self._bits)
            return replace(node, factor=_shortest(factor), bias=self._rounded_bias(node))
        if isinstance(node, Dense | Conv):
            scale = self._chosen[self._paths.receiver(node.name)][0]
            weight = self._unscaled(node).rounded(scale, self._bits)
            return replace(node, weight=weight, bias=self._rounded_bias(node))
        return node

    def _rounded_bias(self, node: Dense | Conv | Scale) -> Array | None:
        """Round the bias of a map that leads to the output; neurons hold the biases of all other maps."""
        receiver = self._paths.receiver(node.name)
        if node.bias is None or not isinstance(self._program[receiver], Output):
            return None
        scale = self._chosen[receiver][0]
        return np.asarray(np.rint(node.bias.astype(np.float64) * scale / self._paths.windows_after(node.name)))

    def _one(self, edge: Edge) -> Array:
        scale = self._chosen[self._paths.receiver(edge.target)][0]
        return _shortest(self._unscaled_one(edge).rounded(scale, self._bits))

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
        weights = self._weights[name]

        def squared(w: Float64Array, scale: Float64Array) -> Float64Array:
            return np.asarray((w * scale) ** 2)

        def squared_error(w: Float64Array, scale: Float64Array) -> Float64Array:
            return np.asarray((rounded(w * scale, self._bits) - w * scale) ** 2)

        def is_clipped(w: Float64Array, scale: Float64Array) -> Float64Array:
            return np.asarray((w * scale > high + step / 2) | (w * scale < low - step / 2), np.float64)

        lost, total = (sum(each.sum(of, scale) for each in weights) for of in (squared_error, squared))
        return LayerReport(
            name=name,
            scale=(float(scale.min()), float(scale.max())),
            limited_by=limited_by,
            weights=sum(each.values.size for each in weights),
            clipped=sum(int(each.sum(is_clipped, scale)) for each in weights),
            error=(lost / total) ** 0.5 if total else 0.0,
            worst_case_sum=worst_case_sum,
        )


def _free_name(name: str, taken: Collection[str]) -> str:
    """Number a name when it is taken."""
    return next(free for free in chain([name], (f"{name}_{k}" for k in count(2))) if free not in taken)


def _reset_of(neuron: Neuron) -> Array:
    """Return v after a spike; 0 for a neuron without a hard reset, which does not use it."""
    is_hard = isinstance(neuron, Firing) and neuron.reset == "hard"
    return neuron.v_reset if is_hard else np.asarray(0.0)  # type: ignore[attr-defined]


def _largest(arrays: Sequence[Array], axis: int | None) -> Float64Array:
    """Find the largest magnitude, of all or per channel."""
    return reduce(np.maximum, [_per_channel(np.abs(array), np.max, axis) for array in arrays])


def _per_channel(array: Array, of: "np.ufunc | object", axis: int | None) -> Float64Array:
    values = array.astype(np.float64)
    flat = values.reshape(-1) if axis is None else values.reshape(len(values), -1)
    return np.asarray(of(flat, axis=-1))  # type: ignore[operator]


def _along(scale: Float64Array, array: Array) -> Float64Array:
    """Reshape the scale so that it multiplies the first axis of an array."""
    return scale.reshape(-1, *[1] * (array.ndim - 1)) if scale.ndim else scale


def _shortest(array: Array) -> Array:
    """Reduce an array to one number where all are equal."""
    first = array.reshape(-1)[:1]
    return first.reshape(()) if np.all(array == first) else array
