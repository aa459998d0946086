"""Networks that lava-dl exported: HDF5 files named .net, read as its netx builds them in Lava 0.10.

Layers follow each other. LOIHI and CUBA neurons become integer programs. SDNN neurons become programs in float64 whose
numbers are Lava's integers over a power of two: the sums of such networks have no bound that 32 bits could hold.

Source: lava-dl 0.6.0, lava/lib/dl/netx/hdf5.py, and lava/lib/dl/slayer/block/base.py, which writes the files.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from reprlib import repr as short
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from tdd_deploy.errors import BadFile, UnsupportedGraph, Violation
from tdd_deploy.files import sha256
from tdd_deploy.neurons import LavaSigmaDelta, LoihiLIF, Neuron
from tdd_deploy.neurons.loihi import DECAY, LIMIT, UNIT
from tdd_deploy.program import (
    Conv,
    Dense,
    Edge,
    Flatten,
    Input,
    LinearMap,
    NeuronLayer,
    Node,
    Output,
    Program,
    Scale,
    Shape,
    ShapeError,
    build,
)

from .hdf5 import fault_of, opened

REMEDY = "name a .net file that lava-dl exported"
MOST_LAYERS = 1000
MOST_NEURONS = 2**27  # of a layer
SPIKE_EXP = 6  # as netx sets it: messages of SDNN neurons are in 64ths
MANTISSA = 2**15 - 1  # of a bias, which also carries the input: Lava stores it in 16 bits
WEIGHTS = (-256, 254)  # of 8 bits and mixed signs; netx clips others

Value = NDArray[Any] | str
Values = Mapping[str, Value]  # of a layer; those of its neuron begin with neuron/


def is_net(path: Path) -> bool:
    """Say whether a file is one of lava-dl's; False also where that cannot be found out."""
    try:
        if not (path.is_file() and h5py.is_hdf5(path) and not fault_of(path)):
            return False
        with h5py.File(path, "r") as file:
            return "layer" in file and "node" not in file
    except Exception:  # noqa: BLE001  (h5py raises anything on a damaged file)
        return False


def read_net(path: Path) -> Program:
    """Read a network of lava-dl.

    An input block maps samples x to ``weight x + bias`` for its neurons, rounded for neurons in integers.
    Without one the input is spikes, or for SDNN neurons the sums of their changes. The number of time steps per
    sample comes from the file's simulation group, if there is one. Data with a time axis have their own.

    Raises:
        BadFile: it cannot be read, or is damaged.
        UnsupportedGraph: it holds what no Program can hold, or what netx does not read.
        BadProgram: it breaks a rule of ``program/verify.py``.
    """
    with opened(path, remedy=REMEDY) as file:
        digest = sha256(path)
        layers, times = _layers(path, file), _values(file.get("simulation", {}))
    violations = [*_misstated("simulation", times, TIMES), *(fault for layer in layers for fault in layer.violations())]
    chain = _Chain()
    if not violations:
        for layer in layers:
            chain.append(layer)
        violations = [*_mixed(layers), *chain.violations]
    if violations:
        raise UnsupportedGraph(str(path), violations)
    step_ms, sample_ms = (_whole(times, key, TIMES) for key in ("Ts", "tSample"))
    return build(
        [*chain.nodes, Output(name="output")],
        [*chain.edges, Edge(chain.nodes[-1].name, "output")],
        dt_s=step_ms * 1e-3,
        n_steps=max(1, sample_ms // step_ms) if "tSample" in times else None,
        number_format="float64" if _are_sigma_delta(layers) else "integer",
        provenance={"dialect": "lava-dl", "file": path.name, "sha256": digest, **_assumed(layers)},
        subject=str(path),
    )


def _layers(path: Path, file: h5py.File) -> "list[_Layer]":
    group = file.get("layer")
    if not isinstance(group, h5py.Group) or not 0 < len(group) <= MOST_LAYERS:
        raise BadFile(path, f"holds no group layer with 1 to {MOST_LAYERS} layers", REMEDY)
    names = [str(i) for i in range(len(group))]
    if set(names) != set(group) or not all(isinstance(group[name], h5py.Group) for name in names):
        raise BadFile(path, "holds layers that are not numbered from 0 on", REMEDY)
    return [_Layer(int(name), _values(group[name])) for name in names]


def _values(group: Mapping[str, Any], prefix: str = "") -> dict[str, Value]:
    """Return the numbers and texts of a group and of the groups in it."""
    found: dict[str, Value] = {}
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            found |= _values(item, f"{prefix}{name}/")
        elif item.shape is None:
            raise ValueError(f"{prefix}{name} has no value")
        elif item.dtype.kind in "SO":
            (text,) = np.ravel(item[()])
            found[prefix + name] = text.decode("ascii") if isinstance(text, bytes) else str(text)
        else:
            found[prefix + name] = np.asarray(item[()])
    return found


@dataclass(frozen=True)
class Whole:
    """What a whole number must be; where ``default`` is None it must be there."""

    low: int
    high: int
    default: int | None = None


TIMES = {"Ts": Whole(1, 2**20, 1), "tSample": Whole(1, 2**30, 1)}
NO_EXPONENT = {"neuron/wgtExp": Whole(0, 0, 0), "neuron/weight_exp": Whole(0, 0, 0)}  # netx does not read them
MESSAGES = {"neuron/messageBits": Whole(0, 32, 0)}  # spikes, and sums of changes, are the same whatever they are
CUBA = {
    "neuron/iDecay": Whole(0, DECAY),
    "neuron/vDecay": Whole(0, DECAY - 1),
    "neuron/vThMant": Whole(0, 2**17 - 1),
    "neuron/refDelay": Whole(1, 1, 1),
    "neuron/gradedSpike": Whole(0, 0, 0),
    **NO_EXPONENT,
    **MESSAGES,
}
SDNN = {"neuron/vThMant": Whole(0, 2**17 - 1), "neuron/sigma_output": Whole(0, 1, 0), **NO_EXPONENT, **MESSAGES}
SUM = SDNN | {"neuron/vThMant": Whole(0, 2**17 - 1, 0)}  # it has no threshold
NEURONS = {"LOIHI": CUBA, "CUBA": CUBA, "SDNN": SDNN}
PAIRS = {"stride": Whole(1, 2**15, 1), "padding": Whole(0, 2**15, 0), "dilation": Whole(1, 2**15, 1)}
GROUPS = {"groups": Whole(1, 2**15, 1)}
KINDS = ("input", "dense", "conv", "flatten")
UNUSED = {  # what the trainer needed, or the weights say
    *("inFeatures", "outFeatures", "inChannels", "outChannels", "kernelSize"),
    *("neuron/scaleRho", "neuron/tauRho", "neuron/theta"),
}
USED = {"type", "shape", "weight", "bias", "delay", "neuron/type", "neuron/activation", *PAIRS, *GROUPS}


@dataclass(frozen=True)
class _Layer:
    """A layer as the file states it."""

    number: int
    values: Values

    @property
    def kind(self) -> str:
        return str(self.values.get("type", "no type"))

    @property
    def neuron(self) -> str | None:
        """The kind of its neurons, None when there are none."""
        kind = self.values.get("neuron/type")
        return None if kind is None else str(kind)

    @property
    def wholes(self) -> dict[str, Whole]:
        """What its whole numbers must be."""
        neuron = SUM if self.is_sum else NEURONS.get(self.neuron or "", {})
        return (GROUPS if self.kind == "conv" else {}) | neuron

    @property
    def is_integrator(self) -> bool:
        """Whether it is a dense layer without neurons, for which netx makes integrators that never fire."""
        return self.kind == "dense" and self.neuron is None

    @property
    def is_sum(self) -> bool:
        """Whether its neurons send what they hold, without a threshold."""
        return self.neuron == "SDNN" and self.kind != "input" and "neuron/sigma_output" in self.values

    def named(self, key: str) -> str:
        """Return the name of a value for an error."""
        return f"layer/{self.number}/{key}"

    def whole(self, key: str) -> int:
        """Return a whole number that keeps its rule."""
        return _whole(self.values, key, self.wholes)

    def pair(self, key: str) -> tuple[int, int]:
        """Return two whole numbers, vertical first."""
        vertical, horizontal = np.broadcast_to(np.asarray(self.values.get(key, PAIRS[key].default)), 2)
        return int(vertical), int(horizontal)

    @property
    def shape(self) -> Shape:
        """What it sends, as stated: (n,) or (channels, height, width)."""
        shape = tuple(int(n) for n in np.asarray(self.values["shape"]))
        return (math.prod(shape),) if self.kind == "dense" else shape

    @property
    def weight(self) -> NDArray[np.float64]:
        """The weights: one number of an input, ``[n_out, n_in]``, or ``[out, in / groups, height, width]``."""
        weight = np.asarray(self.values.get("weight", UNIT), np.float64)
        if self.kind == "dense":
            return weight.reshape(math.prod(self.shape), -1)
        return weight.reshape(weight.shape[:4])

    @property
    def bias(self) -> NDArray[np.float64]:
        """The bias of every neuron: one number, or in their shape."""
        bias = np.asarray(self.values.get("bias", 0), np.float64).ravel()
        if bias.size == 1 or not bias.any():
            return bias[:1].reshape(())
        return np.broadcast_to(bias.reshape(-1, *(1 for _ in self.shape[1:])), self.shape)

    def violations(self) -> Iterator[Violation]:
        """Yield what no Program can hold of the layer, or netx does not read."""
        if self.kind not in KINDS:
            yield Violation(self.named("type"), short(self.kind), ", ".join(KINDS))
            return
        if self.kind == "flatten":
            return
        known = USED | UNUSED | self.wholes.keys()
        for key in sorted(self.values.keys() - known) if self.neuron in (None, *NEURONS) else ():
            yield Violation(self.named(key), "an unknown key", "those that netx reads for such a layer")
        yield from self._of_neurons()
        of_values = [*self._of_sizes(), *self._of_numbers()]
        yield from of_values or self._of_arrays()

    def _of_neurons(self) -> Iterator[Violation]:
        if self.neuron is None and self.kind == "conv":
            yield Violation(
                self.named("neuron"), "missing", ", ".join(NEURONS), "netx reads only dense layers without neurons."
            )
        elif self.neuron is not None and self.neuron not in NEURONS:
            yield Violation(self.named("neuron/type"), short(self.neuron), ", ".join(NEURONS))
        activation = str(self.values.get("neuron/activation", "relu"))
        if activation.lower() != "relu" and self.kind != "input" and not self.is_sum:
            yield Violation(self.named("neuron/activation"), short(activation), "relu, which is what netx makes of any")
        yield from _misstated(f"layer/{self.number}", self.values, self.wholes)

    def _of_sizes(self) -> Iterator[Violation]:
        shape = np.asarray(self.values.get("shape", ()))
        if shape.dtype.kind not in "iu" or shape.ndim != 1 or len(shape) not in (1, 3) or not _sizes_fit(shape):
            yield Violation(self.named("shape"), _short(shape), f"1 or 3 sizes, up to {MOST_NEURONS:,} neurons")
        for key, rule in PAIRS.items() if self.kind == "conv" else ():
            pair = np.asarray(self.values.get(key, rule.default))
            is_pair = pair.dtype.kind in "iu" and pair.shape in ((), (1,), (2,))
            if not is_pair or pair.min() < rule.low or pair.max() > rule.high:
                yield Violation(self.named(key), _short(pair), f"one or two whole numbers, {rule.low} to {rule.high}")

    def _of_numbers(self) -> Iterator[Violation]:
        for key in {"weight", "bias", "delay"} & self.values.keys():
            value = self.values[key]
            if isinstance(value, str) or not value.size or not np.array_equal(value, np.rint(value)):
                yield Violation(self.named(key), "not all whole numbers", "whole numbers, as lava-dl exports them")
        if self.kind != "input" and "weight" not in self.values:
            yield Violation(self.named("weight"), "missing", "an array")

    def _of_arrays(self) -> Iterator[Violation]:
        """Yield what is wrong with arrays of whole numbers."""
        weight, bias, delay = (
            np.asarray(self.values.get(key, default), np.float64)
            for key, default in (("weight", UNIT), ("bias", 0), ("delay", 0))
        )
        if delay.any():
            yield Violation(self.named("delay"), "delays of single synapses", "none, or all 0", "Train without delays.")
        if np.abs(bias).max() > MANTISSA:
            yield Violation(self.named("bias"), f"{np.abs(bias).max():g}", f"-{MANTISSA:,} to {MANTISSA:,}")
        if bias.size not in (1, 1 if self.kind == "input" else self.shape[0]):
            yield Violation(self.named("bias"), f"{bias.size} numbers", "one, or one per channel")
        low, high = (1, MANTISSA) if self.kind == "input" else WEIGHTS
        if not self._has_dimensions(weight.shape):
            yield Violation(self.named("weight"), f"shape {weight.shape}", DIMENSIONS[self.kind])
        elif weight.min() < low or weight.max() > high:
            yield Violation(self.named("weight"), f"{weight.min():g} to {weight.max():g}", f"{low} to {high:,}")

    def _has_dimensions(self, shape: Shape) -> bool:
        n = math.prod(shape)
        if self.kind == "input":
            return n == 1
        if self.kind == "conv":
            return len(shape) in (4, 5) and shape[4:] in ((), (1,))
        (n_out,) = self.shape
        return n % n_out == 0 and (len(shape) == 1 or shape[0] == n_out)


DIMENSIONS = {
    "input": "one number",
    "dense": "[n_out, n_in], n_out as its shape says",
    "conv": "[channels_out, channels_in / groups, height, width]",
}


@dataclass
class _Chain:
    """The nodes of a program in the making, each behind the one before."""

    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)  # that they send

    @property
    def shape(self) -> Shape:
        """What the last one sends."""
        return self.shapes[-1]

    def append(self, layer: _Layer) -> None:
        """Add the nodes of a layer whose values are well formed."""
        n, is_first = layer.number, not self.nodes
        if layer.kind == "input" and not is_first:
            self.violations.append(Violation(layer.named("type"), "an input", "an input as the first layer alone"))
        elif layer.kind == "input":
            self._begin(layer)
        elif layer.kind == "flatten" and not is_first:
            self._map(layer, Flatten(name=f"flatten{n}"))
        elif layer.kind == "dense":
            weight = layer.weight if layer.neuron != "SDNN" else layer.weight / UNIT
            if is_first:
                self._put(Input(name="input", shape=(weight.shape[1],)), (weight.shape[1],))
            self._map(layer, Dense(name=f"dense{n}", weight=weight))
            self._fire(layer)
        elif layer.kind == "conv" and not is_first:
            weight = layer.weight if layer.neuron != "SDNN" else layer.weight / UNIT
            conv = Conv(
                name=f"conv{n}",
                weight=weight,
                stride=layer.pair("stride"),
                padding=layer.pair("padding"),
                dilation=layer.pair("dilation"),
                groups=layer.whole("groups"),
            )
            self._map(layer, conv)
            self._fire(layer)
        else:
            found = f"a layer of kind {layer.kind} comes first"
            remedy = "Export the network with its input block."
            self.violations.append(Violation(layer.named("type"), found, "input or dense, which say its shape", remedy))

    def _begin(self, layer: _Layer) -> None:
        weight = float(layer.weight.ravel()[0])
        if layer.neuron is None:
            self._put(Input(name="input", shape=layer.shape), layer.shape)
        elif layer.neuron == "SDNN":
            self._put(Input(name="input", shape=layer.shape), layer.shape)
            self._put(Scale(name="scale0", factor=np.asarray(weight)), layer.shape)
            self._fire(layer)
        else:
            largest = MANTISSA - int(np.abs(layer.bias).max())
            self._put(Input(name="input", shape=layer.shape, scale=weight, largest=max(1, largest)), layer.shape)
            self._fire(layer)

    def _map(self, layer: _Layer, node: LinearMap) -> None:
        try:
            shape = node.out_shape(self.shape)
        except ShapeError as error:
            self.violations.append(Violation(layer.named("shape"), f"receives shape {self.shape}", str(error)))
            shape = layer.shape
        self._put(node, shape)

    def _fire(self, layer: _Layer) -> None:
        if layer.shape != self.shape:
            self.violations.append(Violation(layer.named("shape"), f"{layer.shape}", f"{self.shape}, what arrives"))
        elif not layer.is_sum:
            self._put(NeuronLayer(name=f"layer{layer.number}", shape=self.shape, neuron=_neuron(layer)), self.shape)

    def _put(self, node: Node, shape: Shape) -> None:
        if self.nodes:
            self.edges.append(Edge(self.nodes[-1].name, node.name))
        self.nodes.append(node)
        self.shapes.append(shape)


def _neuron(layer: _Layer) -> Neuron:
    if layer.neuron == "SDNN":
        is_input = layer.kind == "input"
        return LavaSigmaDelta(
            delta_threshold=np.asarray(layer.whole("neuron/vThMant")),
            activation="none" if is_input else "relu",
            compare=">=",
            grid=np.asarray(2.0**-SPIKE_EXP),
            bias=layer.bias,
        )
    if layer.is_integrator:
        # iDecay 0, vDecay 4096, vThMant 2**17 in netx: u keeps all, v is u + bias, and no v of 24 bits is above that.
        return LoihiLIF(
            v_threshold=np.asarray(LIMIT - 1),
            v_reset=np.asarray(0),
            du=np.asarray(-1),
            dv=np.asarray(DECAY),
            bias=UNIT * layer.bias,
        )
    return LoihiLIF(
        v_threshold=np.asarray(UNIT * layer.whole("neuron/vThMant")),
        v_reset=np.asarray(0),
        du=np.asarray(DECAY - 1 if layer.kind == "input" else layer.whole("neuron/iDecay") - 1),  # inputs are biases
        dv=np.asarray(layer.whole("neuron/vDecay")),
        bias=UNIT * layer.bias,
    )


def _assumed(layers: "list[_Layer]") -> dict[str, str]:
    """Describe what a file leaves open and how it is read, for the provenance."""
    bare = [f"layer{layer.number}" for layer in layers if layer.is_integrator]
    said = [f"{name} has no neurons: as in netx, v adds up its input and never fires" for name in bare]
    return {"assumed": "; ".join(said)} if said else {}


def _are_sigma_delta(layers: "list[_Layer]") -> bool:
    return any(layer.neuron == "SDNN" for layer in layers)


def _mixed(layers: "list[_Layer]") -> Iterator[Violation]:
    for layer in layers[:-1]:
        if layer.is_sum:
            yield Violation(layer.named("neuron/sigma_output"), "in a layer with others behind it", "in the last one")
    kinds = sorted({layer.neuron for layer in layers if layer.neuron is not None})
    if _are_sigma_delta(layers) and len(kinds) > 1:
        yield Violation("its layers", f"neurons of kinds {', '.join(kinds)}", "SDNN in all layers, or in none")
    integrators = [layer for layer in layers if layer.is_integrator]
    for layer in integrators if _are_sigma_delta(layers) else ():
        found = "missing, which in netx means neurons that integrate spikes, among SDNN layers"
        yield Violation(layer.named("neuron"), found, "SDNN, with sigma_output in the last layer")
    if not kinds and not integrators:
        yield Violation("its layers", "none with neurons", "1 or more")


def _misstated(where: str, values: Values, rules: Mapping[str, Whole]) -> Iterator[Violation]:
    """Yield whole numbers that are missing, or none, or not allowed."""
    for key, rule in rules.items():
        allowed = f"{rule.low} to {rule.high}" if rule.low < rule.high else f"{rule.low}"
        value = np.asarray(values.get(key, () if rule.default is None else rule.default))
        if key not in values and rule.default is None:
            yield Violation(f"{where}/{key}", "missing", allowed)
        elif value.size != 1 or value.dtype.kind not in "iufb" or not rule.low <= float(value.ravel()[0]) <= rule.high:
            yield Violation(f"{where}/{key}", _short(value), allowed)
        elif value.ravel()[0] != int(value.ravel()[0]):
            yield Violation(f"{where}/{key}", _short(value), f"a whole number, {allowed}")


def _whole(values: Values, key: str, rules: Mapping[str, Whole]) -> int:
    return int(np.asarray(values.get(key, rules[key].default)).ravel()[0])


def _sizes_fit(shape: NDArray[Any]) -> bool:
    return bool(shape.min() >= 1 and np.prod(shape, dtype=np.float64) <= MOST_NEURONS)


def _short(value: NDArray[Any]) -> str:
    return str(value.tolist()) if value.size < 5 else f"{value.size} values"
