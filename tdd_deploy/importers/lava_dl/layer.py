"""A layer of a .net file: the values that it may have, and their rules.

Source: lava-dl 0.6.0, lava/lib/dl/netx/hdf5.py, and lava/lib/dl/slayer/block/base.py, which writes the files.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from reprlib import repr as short
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.errors import Violation
from tdd_deploy.neurons.loihi import DECAY, UNIT
from tdd_deploy.program import Shape

MOST_NEURONS = 2**27  # per layer
MANTISSA = 2**15 - 1  # largest bias: Lava stores it in 16 bits, and it also carries the input
WEIGHTS = (-256, 254)  # the range of 8 bits with mixed signs; netx clips other weights

Value = NDArray[Any] | str
Values = Mapping[str, Value]  # by key; the keys of a layer's neurons begin with neuron/


@dataclass(frozen=True)
class Whole:
    """The range of a whole number; without a ``default`` it may not be missing."""

    low: int
    high: int
    default: int | None = None


NO_EXPONENT = {"neuron/wgtExp": Whole(0, 0, 0), "neuron/weight_exp": Whole(0, 0, 0)}  # netx does not read them
MESSAGES = {"neuron/messageBits": Whole(0, 32, 0)}  # spikes, and sums of changes, do not depend on them
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
SUM = SDNN | {"neuron/vThMant": Whole(0, 2**17 - 1, 0)}  # a sum has no threshold
NEURONS = {"LOIHI": CUBA, "CUBA": CUBA, "SDNN": SDNN}
PAIRS = {"stride": Whole(1, 2**15, 1), "padding": Whole(0, 2**15, 0), "dilation": Whole(1, 2**15, 1)}
GROUPS = {"groups": Whole(1, 2**15, 1)}
KINDS = ("input", "dense", "conv", "flatten")
UNUSED = {  # keys that only the trainer needed, or that follow from the weights
    *("inFeatures", "outFeatures", "inChannels", "outChannels", "kernelSize"),
    *("neuron/scaleRho", "neuron/tauRho", "neuron/theta"),
}
USED = {"type", "shape", "weight", "bias", "delay", "neuron/type", "neuron/activation", *PAIRS, *GROUPS}
DIMENSIONS = {
    "input": "one number",
    "dense": "of shape [n_out, n_in], with n_out as in the shape of the layer",
    "conv": "of shape [channels_out, channels_in / groups, height, width]",
}


@dataclass(frozen=True)
class Layer:
    """A layer as the file states it."""

    number: int
    values: Values

    @property
    def kind(self) -> str:
        """The kind that it states."""
        return str(self.values.get("type", "no type"))

    @property
    def neuron(self) -> str | None:
        """The kind of its neurons; None if it has none."""
        kind = self.values.get("neuron/type")
        return None if kind is None else str(kind)

    @property
    def wholes(self) -> dict[str, Whole]:
        """The rules of its whole numbers."""
        neuron = SUM if self.is_sum else NEURONS.get(self.neuron or "", {})
        return (GROUPS if self.kind == "conv" else {}) | neuron

    @property
    def is_integrator(self) -> bool:
        """Whether it is a dense layer without neurons, for which netx makes integrators that never fire."""
        return self.kind == "dense" and self.neuron is None

    @property
    def is_sum(self) -> bool:
        """Whether its neurons send their state, without a threshold."""
        return self.neuron == "SDNN" and self.kind != "input" and "neuron/sigma_output" in self.values

    def named(self, key: str) -> str:
        """Name a value for an error."""
        return f"layer/{self.number}/{key}"

    def whole(self, key: str) -> int:
        """Read a whole number that keeps its rule."""
        return read_whole(self.values, key, self.wholes)

    def pair(self, key: str) -> tuple[int, int]:
        """Read two whole numbers, vertical first."""
        vertical, horizontal = np.broadcast_to(np.asarray(self.values.get(key, PAIRS[key].default)), 2)
        return int(vertical), int(horizontal)

    @property
    def shape(self) -> Shape:
        """The shape that it states to send: (n,) or (channels, height, width)."""
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
        """Yield the parts of the layer that no Program can hold, or that netx does not read."""
        if self.kind not in KINDS:
            yield Violation(self.named("type"), short(self.kind), f"one of {', '.join(KINDS)}")
            return
        if self.kind == "flatten":
            return
        known = USED | UNUSED | self.wholes.keys()
        for key in sorted(self.values.keys() - known) if self.neuron in (None, *NEURONS) else ():
            yield Violation(self.named(key), "is an unknown key, which netx does not read for such a layer")
        yield from self._of_neurons()
        of_values = [*self._of_sizes(), *self._of_numbers()]
        yield from of_values or self._of_arrays()

    def _of_neurons(self) -> Iterator[Violation]:
        if self.neuron is None and self.kind == "conv":
            remedy = f"Use neurons of kind {', '.join(NEURONS)}: netx reads only dense layers without neurons."
            yield Violation(self.named("neuron"), "is missing", remedy=remedy)
        elif self.neuron is not None and self.neuron not in NEURONS:
            yield Violation(self.named("neuron/type"), short(self.neuron), f"one of {', '.join(NEURONS)}")
        activation = str(self.values.get("neuron/activation", "relu"))
        if activation.lower() != "relu" and self.kind != "input" and not self.is_sum:
            yield Violation(self.named("neuron/activation"), short(activation), "relu, which netx always uses")
        yield from misstated(f"layer/{self.number}", self.values, self.wholes)

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
                yield Violation(self.named(key), "does not hold whole numbers alone, as lava-dl exports them")
        if self.kind != "input" and "weight" not in self.values:
            yield Violation(self.named("weight"), "is missing")

    def _of_arrays(self) -> Iterator[Violation]:
        """Yield what is wrong with arrays of whole numbers."""
        weight, bias, delay = (
            np.asarray(self.values.get(key, default), np.float64)
            for key, default in (("weight", UNIT), ("bias", 0), ("delay", 0))
        )
        if delay.any():
            yield Violation(self.named("delay"), "holds delays of single synapses", remedy="Train without delays.")
        if np.abs(bias).max() > MANTISSA:
            yield Violation(self.named("bias"), f"{np.abs(bias).max():g}", f"-{MANTISSA:,} to {MANTISSA:,}")
        if bias.size not in (1, 1 if self.kind == "input" else self.shape[0]):
            yield Violation(self.named("bias"), f"{bias.size} numbers", "one number, or one per channel")
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


def misstated(where: str, values: Values, rules: Mapping[str, Whole]) -> Iterator[Violation]:
    """Yield values that are missing, are not whole numbers, or are out of range."""
    for key, rule in rules.items():
        allowed = f"{rule.low} to {rule.high}" if rule.low < rule.high else f"{rule.low}"
        value = np.asarray(values.get(key, () if rule.default is None else rule.default))
        if key not in values and rule.default is None:
            yield Violation(f"{where}/{key}", "is missing", remedy=f"Write {allowed}.")
        elif value.size != 1 or value.dtype.kind not in "iufb" or not rule.low <= float(value.ravel()[0]) <= rule.high:
            yield Violation(f"{where}/{key}", _short(value), allowed)
        elif value.ravel()[0] != int(value.ravel()[0]):
            yield Violation(f"{where}/{key}", _short(value), f"a whole number, {allowed}")


def read_whole(values: Values, key: str, rules: Mapping[str, Whole]) -> int:
    """Read a whole number that keeps its rule, or the default of the rule."""
    return int(np.asarray(values.get(key, rules[key].default)).ravel()[0])


def _sizes_fit(shape: NDArray[Any]) -> bool:
    return bool(shape.min() >= 1 and np.prod(shape, dtype=np.float64) <= MOST_NEURONS)


def _short(value: NDArray[Any]) -> str:
    if value.size == 1:
        return str(value.item())
    return str(value.tolist()) if value.size < 5 else f"{value.size} values"
