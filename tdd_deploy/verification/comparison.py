"""The same samples on several machines: where they agree, and the first place where two of them part."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.neurons import LoihiLIF, SigmaDelta
from tdd_deploy.neurons.loihi import BITS, LIMIT
from tdd_deploy.program import NeuronLayer, Node, Program
from tdd_deploy.program.outputs import predicted

Array = NDArray[Any]
NEAR = 1e-5  # of the threshold: as close as float32 sums in different orders come
NEAR_OUTPUT = 1e-4  # of the largest output or message: sums that are held over many steps
OF_OUTPUT = "weights or bias of the maps before the output, since all earlier spikes agree"


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What one machine did with samples; arrays ``[batch, n_steps, *shape]``.

    Attributes:
        machine: its name.
        program: what it executed.
        spikes: of every layer of neurons; for layers that do not spike, the numbers that they send (messages).
        output: of the program.
        potentials: what each layer compared with its threshold; empty where the machine cannot say.
        seconds: what the execution took, without its preparation.
        precision: the remark on how it computed, added to the cause of a first difference.

    """

    machine: str
    program: Program
    spikes: Mapping[str, Array]
    output: Array
    potentials: Mapping[str, Array]
    seconds: float
    precision: str = ""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first place, in time and then in execution order, in which two machines part; steps count from 1.

    Attributes:
        layer: of neurons, or the output.
        number: of the layer in execution order.
        values: spikes, messages or outputs.
        potentials: before the reset, in the second machine's units; None for messages and outputs, or if unknown.
        v_threshold: the second machine's; None for messages and outputs.
        cause: what is most likely behind it.

    """

    layer: str
    number: int
    step: int
    sample: int
    neuron: tuple[int, ...]
    values: tuple[float, float]
    potentials: tuple[float, float] | None
    v_threshold: float | None
    cause: str

    def __str__(self) -> str:
        found = " and ".join(f"{value:.9g}" for value in self.values)
        if self.v_threshold is not None:
            v = " and ".join(f"{v:.9g}" for v in self.potentials or ()) or "not to be read from one of them"
            found = f"spikes {found}, v {v}, threshold {self.v_threshold:.9g}"
        return (
            f"first difference: layer {self.layer}, step {self.step}, sample {self.sample}, "
            f"neuron {list(self.neuron)}: {found}; likely cause: {self.cause}"
        )


@dataclass(frozen=True)
class Bound:
    """What a hop must keep.

    Attributes:
        words: the same for people.
        spikes: the largest fraction of spikes, and of messages, that may differ.
        predictions: the largest fraction of predictions that may.
        near: messages and outputs are equal up to this fraction of the largest in their layer; None where the two are
            in different units.

    """

    words: str
    spikes: float
    predictions: float
    near: float | None


EXACT = Bound("0 differing", 0.0, 0.0, 0.0)
FLOATS = Bound("at most 0.01 % of spikes and messages, 0 predictions, 0 outputs", 1e-4, 0.0, NEAR_OUTPUT)
QUANTIZED = Bound("at most 10 % of spikes, 5 % of predictions", 0.10, 0.05, None)


@dataclass(frozen=True, kw_only=True)
class Hop:
    """Two machines side by side, over all samples so far.

    Attributes:
        before: the machine that is taken as right.
        after: the machine that is compared with it.
        bound: what the hop must keep.
        spikes: how many values of spiking neurons were compared.
        differing: how many of them differ.
        messages: how many numbers that other neurons sent were compared.
        messages_differing: how many of them differ by more than the bound counts as equal.
        outputs: how many values of the output were compared; None where the two are in different units.
        outputs_differing: how many of them differ by more than the bound counts as equal.
        not_compared: messages and outputs after the first differing spike of their sample, which are not compared.
        always_zero: layers, or the output, that are 0 throughout on both machines.
        largest_dv: the largest difference of potentials over the threshold; None where they cannot be compared.
        n_samples: how many samples.
        predictions_differing: samples whose largest output is another.
        parted: where they part, whether they may or not.

    """

    before: str
    after: str
    bound: Bound
    spikes: int
    differing: int
    messages: int
    messages_differing: int
    outputs: int | None
    outputs_differing: int | None
    not_compared: int
    always_zero: tuple[str, ...]
    largest_dv: float | None
    n_samples: int
    predictions_differing: int
    parted: Difference | None

    @property
    def passed(self) -> bool:
        """Whether something was compared and the bound was kept."""
        return (
            self.spikes + self.messages + (self.outputs or 0) > 0
            and self.differing <= self.bound.spikes * self.spikes
            and self.messages_differing <= self.bound.spikes * self.messages
            and self.predictions_differing <= self.bound.predictions * self.n_samples
            and not self.outputs_differing
        )

    @property
    def first(self) -> Difference | None:
        """Where they part, if they do and must not."""
        return None if self.passed else self.parted

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        plain = asdict(self)
        first = plain.pop("parted")
        if first is not None and not np.isfinite(first["potentials"] or ()).all():
            first["potentials"] = None  # JSON has no infinity
        return {**plain, "bound": self.bound.words, "passed": self.passed, "first": None if self.passed else first}


def bound_between(before: Program, after: Program) -> Bound:
    """Return what must hold between two machines: integers agree exactly, floats nearly."""
    are_integers = {program.number_format == "integer" for program in (before, after)}
    if len(are_integers) > 1:
        return QUANTIZED
    return EXACT if are_integers == {True} else FLOATS


@np.errstate(invalid="ignore")  # floats can be infinite
def compare(before: Recorded, after: Recorded) -> Hop:
    """Compare what two machines did with the same samples."""
    bound = bound_between(before.program, after.program)
    layers = after.program.neuron_layers
    found = _Differences(before, after, bound)
    is_other = predicted(before.output) != predicted(after.output)
    output = found.of_output
    messages = [found.of_numbers[layer.name] for layer in layers if layer.name in found.of_numbers]
    parted = _first(before, after, found) or _first_prediction(before, after, is_other, len(layers))
    remarks = [machine.precision for machine in (before, after) if machine.precision]
    if parted is not None and remarks:
        parted = replace(parted, cause="; ".join([parted.cause, *remarks]))
    return Hop(
        before=before.machine,
        after=after.machine,
        bound=bound,
        spikes=sum(array.size for array in found.of_spikes.values()),
        differing=sum(int(np.count_nonzero(array)) for array in found.of_spikes.values()),
        messages=sum(numbers.n_compared for numbers in messages),
        messages_differing=sum(numbers.n_differing for numbers in messages),
        outputs=None if output is None else output.n_compared,
        outputs_differing=None if output is None else output.n_differing,
        not_compared=sum(numbers.n_not_compared for numbers in [*messages, *([output] if output else [])]),
        always_zero=tuple(
            name
            for name, arrays in {
                **{layer.name: (before.spikes[layer.name], after.spikes[layer.name]) for layer in layers},
                after.program.output.name: (before.output, after.output),
            }.items()
            if not any(array.any() for array in arrays)
        ),
        largest_dv=None if output is None else _largest_dv(before, after),
        n_samples=len(is_other),
        predictions_differing=int(np.count_nonzero(is_other)),
        parted=parted,
    )


@dataclass(frozen=True)
class _Numbers:
    """Differences of messages or outputs ``[batch, n_steps, *shape]``, and the samples and steps that were compared."""

    differ: Array
    compared: Array  # [batch, n_steps]

    @property
    def n_compared(self) -> int:
        return int(np.count_nonzero(self.compared)) * math.prod(self.differ.shape[2:])

    @property
    def n_not_compared(self) -> int:
        return self.differ.size - self.n_compared

    @property
    def n_differing(self) -> int:
        return int(np.count_nonzero(self.differ))


class _Differences:
    """All places where two machines differ.

    Spikes are compared everywhere. Numbers follow from earlier spikes of their sample, so after its first differing
    spike, in time and then in execution order, they are not compared, unless all must be equal.
    """

    def __init__(self, before: Recorded, after: Recorded, bound: Bound) -> None:
        layers = after.program.neuron_layers
        self.of_spikes = {
            layer.name: before.spikes[layer.name] != after.spikes[layer.name]
            for layer in layers
            if layer.neuron.spiking
        }
        self.of_numbers: dict[str, _Numbers] = {}
        self.of_output: _Numbers | None = None
        if bound.near is None:
            return
        output = after.program.output.name
        pairs = {
            layer.name: (before.spikes[layer.name], after.spikes[layer.name])
            for layer in layers
            if not layer.neuron.spiking
        }
        pairs[output] = before.output, after.output
        order = [*(layer.name for layer in layers), output]
        n_samples, n_steps = before.output.shape[:2]
        places = {
            name: np.arange(n_steps) * len(order) + k for k, name in enumerate(order)
        }  # in time and execution order
        end = np.full(n_samples, np.iinfo(np.int64).max)
        for name, array in self.of_spikes.items() if bound.near else ():
            end = np.minimum(end, _first_place(array, places[name]))
        for name, pair in pairs.items():
            compared = places[name] < end[:, None]
            differ = _apart(*pair, bound.near)
            numbers = _Numbers(differ & _like(compared, differ), compared)
            if name == output:
                self.of_output = numbers
            else:
                self.of_numbers[name] = numbers


def _apart(before: Array, after: Array, near: float) -> Array:
    """Find where numbers differ by more than a fraction of the largest of them."""
    if not near:
        return np.asarray(before != after)
    is_near = np.abs(before - after) <= near * np.abs(before).max(initial=0)
    return np.asarray((before != after) & ~is_near)  # NaN is near nothing


def _first_place(differ: Array, places: Array) -> Array:
    """Find the place of the first difference of each sample, or a place beyond all others."""
    at = np.asarray(differ.reshape(*differ.shape[:2], -1).any(axis=2))
    beyond = np.iinfo(np.int64).max
    return np.asarray(np.where(at.any(axis=1), places[at.argmax(axis=1)], beyond))


def _like(mask: Array, array: Array) -> Array:
    """Reshape ``[batch, n_steps]`` so that it broadcasts to ``[batch, n_steps, *shape]``."""
    return mask.reshape(*mask.shape, *[1] * (array.ndim - 2))


def joined(hops: Sequence[Hop]) -> Hop:
    """Return the hop over all samples of batches that follow each other."""
    last = hops[-1]
    starts = np.cumsum([0, *(hop.n_samples for hop in hops)]).tolist()
    compared = [hop.outputs for hop in hops if hop.outputs is not None]
    outputs = [hop.outputs_differing for hop in hops if hop.outputs_differing is not None]
    dv = [hop.largest_dv for hop in hops if hop.largest_dv is not None]
    parted = [
        replace(hop.parted, sample=hop.parted.sample + start)
        for hop, start in zip(hops, starts[:-1], strict=True)
        if hop.parted is not None
    ]
    return replace(
        last,
        spikes=sum(hop.spikes for hop in hops),
        differing=sum(hop.differing for hop in hops),
        messages=sum(hop.messages for hop in hops),
        messages_differing=sum(hop.messages_differing for hop in hops),
        outputs=sum(compared) if compared else None,
        outputs_differing=sum(outputs) if outputs else None,
        not_compared=sum(hop.not_compared for hop in hops),
        always_zero=tuple(name for name in last.always_zero if all(name in hop.always_zero for hop in hops)),
        largest_dv=max(dv) if dv else None,
        n_samples=starts[-1],
        predictions_differing=sum(hop.predictions_differing for hop in hops),
        parted=min(parted, key=lambda found: (found.step, found.number), default=None),
    )


def informed(before: Recorded, after: Recorded, hop: Hop) -> Recorded:
    """Return ``after`` with the potentials of ``before``, when it has none and sent the same spikes in the same units.

    So the machine behind it can be compared with potentials too.
    """
    if after.potentials or hop.differing or hop.messages_differing or hop.bound is QUANTIZED:
        return after
    return replace(after, potentials=before.potentials)


def _per_sample(array: Array) -> Array:
    return np.asarray(array.reshape(len(array), -1).any(axis=1))


def _largest_dv(before: Recorded, after: Recorded) -> float | None:
    """Return the largest difference of potentials in units of the threshold, where that is not 0."""
    found = []
    for layer in after.program.neuron_layers:
        v, w = before.potentials.get(layer.name), after.potentials.get(layer.name)
        if v is not None and w is not None:
            height = np.abs(_threshold(layer))
            dv = np.abs(v.astype(np.float64) - w)[:, :, height > 0] / height[height > 0]
            found.append(float(dv.max(initial=0.0, where=np.isfinite(dv))))
    return max(found, default=None)


def _threshold(layer: NeuronLayer) -> Array:
    return np.broadcast_to(layer.neuron.parameters()["v_threshold"], layer.shape).astype(np.float64)


def _first(before: Recorded, after: Recorded, found: _Differences) -> Difference | None:
    """Find the first difference among the spikes, messages and outputs that were compared."""
    output = after.program.output.name
    of_numbers = {name: numbers.differ for name, numbers in found.of_numbers.items()}
    differ = {layer.name: {**found.of_spikes, **of_numbers}.get(layer.name) for layer in after.program.neuron_layers}
    differ[output] = None if found.of_output is None else found.of_output.differ
    places = {name: array for name, array in differ.items() if array is not None}
    steps = {name: _first_step(array) for name, array in places.items() if array.any()}
    if not steps:
        return None
    name = min(steps, key=lambda name: steps[name])  # of equals the first in execution order
    step = steps[name]
    sample, *neuron = (int(i) for i in np.argwhere(places[name][:, step])[0])
    number = list(places).index(name)
    if name in found.of_spikes:
        parting = _Parting(before, after, name, number, step, sample, tuple(neuron))
        return parting.difference(found.of_spikes)
    of_output = name == output
    values = (machine.output if of_output else machine.spikes[name] for machine in (before, after))
    first, second = (float(array[sample, step, *neuron]) for array in values)
    return Difference(
        layer=name,
        number=number,
        step=step + 1,
        sample=sample,
        neuron=tuple(neuron),
        values=(first, second),
        potentials=None,
        v_threshold=None,
        cause=OF_OUTPUT if of_output else _cause_of_message(after.program[name], abs(first - second)),
    )


def _cause_of_message(layer: Node, size: float) -> str:
    assert isinstance(layer, NeuronLayer)
    neuron = layer.neuron
    if isinstance(neuron, SigmaDelta) and size <= (1 + NEAR_OUTPUT) * float(np.max(neuron.delta_threshold)):
        return "rounding: a change is as large as the threshold that it has to exceed"
    return "weights, bias or parameters of this layer, since all earlier values agree"


def _first_step(array: Array) -> int:
    return int(array.reshape(*array.shape[:2], -1).any(axis=(0, 2)).argmax())


def _first_prediction(before: Recorded, after: Recorded, is_other: Array, number: int) -> Difference | None:
    """Return where a sample of the same spikes is predicted otherwise; the values are sums over time."""
    if not is_other.any():
        return None
    sample = int(is_other.argmax())
    totals = before.output[sample].sum(axis=0), after.output[sample].sum(axis=0)
    neuron = tuple(int(i) for i in np.unravel_index(totals[1].argmax(), totals[1].shape))
    return Difference(
        layer=after.program.output.name,
        number=number,
        step=before.output.shape[1],
        sample=sample,
        neuron=neuron,
        values=(float(totals[0][neuron]), float(totals[1][neuron])),
        potentials=None,
        v_threshold=None,
        cause="the rounding of what leads to the output, which makes another sum over time the largest",
    )


@dataclass(frozen=True)
class _Parting:
    """One neuron of one sample, at the step where its spikes part."""

    before: Recorded
    after: Recorded
    name: str
    number: int
    step: int  # from 0
    sample: int
    neuron: tuple[int, ...]

    def difference(self, apart: Mapping[str, Array]) -> Difference:
        """Return what to tell; ``apart`` says where spikes differ, in every layer."""
        spikes = [machine.spikes[self.name][self._course] for machine in (self.before, self.after)]
        v = self._potentials()
        return Difference(
            layer=self.name,
            number=self.number,
            step=self.step + 1,
            sample=self.sample,
            neuron=self.neuron,
            values=(float(spikes[0][self.step]), float(spikes[1][self.step])),
            potentials=v and (float(v[0][self.step]), float(v[1][self.step])),
            v_threshold=self._height(self.after),
            cause=self._cause_of_order(apart) or self._cause_of_values(v, spikes[0]),
        )

    @property
    def _course(self) -> tuple[Any, ...]:
        """All time steps of this neuron."""
        return (self.sample, slice(None), *self.neuron)

    def _layer(self, machine: Recorded) -> NeuronLayer:
        layer = machine.program[self.name]
        assert isinstance(layer, NeuronLayer)
        return layer

    def _bias(self, machine: Recorded) -> int:
        layer = self._layer(machine)
        return int(np.broadcast_to(layer.neuron.parameters()["bias"], layer.shape)[self.neuron])

    def _height(self, machine: Recorded) -> float:
        return float(_threshold(self._layer(machine))[self.neuron])

    @property
    def _is_same_unit(self) -> bool:
        return bound_between(self.before.program, self.after.program) is not QUANTIZED

    def _potentials(self) -> tuple[Array, Array] | None:
        """Return this neuron's potentials over time, both in units of the second machine."""
        if not all(self.name in machine.potentials for machine in (self.before, self.after)):
            return None
        v, w = (machine.potentials[self.name][self._course].astype(np.float64) for machine in (self.before, self.after))
        if not self._is_same_unit:
            v = v / (self._height(self.before) or 1.0) * self._height(self.after)
        return v, w

    def _cause_of_order(self, apart: Mapping[str, Array]) -> str | None:
        """Return what the order of spikes in time, and of samples, tells."""
        a, b = self.before.spikes[self.name], self.after.spikes[self.name]
        if a[:, :-1].any() and np.array_equal(a[:, :-1], b[:, 1:]):
            return f"{self.after.machine} is one time step late here"
        if a[:, 1:].any() and np.array_equal(a[:, 1:], b[:, :-1]):
            return f"{self.after.machine} is one time step early here"
        if not self._is_same_unit:
            return _cause_of_integers(self.after.program if self._is_integer else self.before.program)
        samples = self._samples_apart(apart)
        if len(samples) > 1 and not samples[0] and samples[1:].mean() > 0.5:
            return "state left over from the sample before: a reset at the wrong time step"
        return None

    def _samples_apart(self, apart: Mapping[str, Array]) -> Array:
        """Return which samples begin otherwise; by their spikes at any step, where potentials are not known."""
        v, w = (machine.potentials.get(self.name) for machine in (self.before, self.after))
        if v is None or w is None:
            return np.asarray(np.any([_per_sample(array) for array in apart.values()], axis=0))
        near = 0 if self._is_integer else NEAR * np.abs(_threshold(self._layer(self.after)))
        return _per_sample(np.abs(v[:, 0].astype(np.float64) - w[:, 0]) > near)

    @property
    def _is_integer(self) -> bool:
        return self.after.program.number_format == "integer"

    def _cause_of_values(self, potentials: tuple[Array, Array] | None, fired: Array) -> str:
        """Return what the potentials tell, at the first step where they part."""
        if potentials is None:
            return "unknown, as the potentials are not known"
        v, w = potentials
        near = 0.0 if self._is_integer else NEAR * abs(self._height(self.after))
        differ = np.abs(v - w)[: self.step + 1] > near
        if not differ.any():
            return self._cause_of_firing(v[self.step], w[self.step], near)
        onset = int(differ.argmax())
        cause = self._cause_in_integers(v[onset], w[onset], onset) or _cause_in_time(onset, fired)
        return cause if onset == self.step else f"{cause} (v parts from step {onset + 1} on)"

    def _cause_of_firing(self, v: float, w: float, near: float) -> str:
        height = self._height(self.after)
        if v == w == height:
            return "the comparison with the threshold: > on one machine, and >= on the other"
        if v == w or abs(v - height) > 2 * near:
            return "the threshold of this layer, as the potentials agree"
        return "rounding: the potentials are as close as float sums in another order come"

    def _cause_in_integers(self, v: float, w: float, onset: int) -> str | None:
        neuron = self._layer(self.after).neuron
        if not isinstance(neuron, LoihiLIF):
            return None
        biases = {abs(self._bias(machine)) for machine in (self.before, self.after)} - {0}
        if v * w < 0 and max(abs(v), abs(w)) == LIMIT - 1:  # 2 ** 24 apart, so one of them saturates
            return "u wraps at 24 bits on one machine, and not on the other"
        if abs(v - w) in biases:
            return "a bias that is missing, or is added twice"
        if onset and abs(v - w) <= len(neuron.states):  # each state is one off
            return "the rounding of a decay: toward zero on one machine, down on the other"
        return None


def _cause_of_integers(integers: Program) -> str:
    """Suggest finer integers, if finer ones are possible."""
    found = []
    if integers.provenance.get("quantized_bits") != str(max(BITS)):
        found.append("more --bits")
    if all(layer.neuron.parameters()["v_threshold"].ndim == 0 for layer in integers.neuron_layers):
        found.append("--per neuron")
    advice = f"; {' or '.join(found)} can reduce it" if found else ""
    return f"the rounding to integers{advice}"


def _cause_in_time(onset: int, fired: Array) -> str:
    """Return what the step at which potentials part tells, as all spikes before agree."""
    if onset == 0:
        return "weights, biases or inputs of this layer, as it is the first time step"
    late = "or a delay, or the weight of an input that was silent until then"
    if fired[onset - 1]:
        return f"the reset of this layer, as the neuron fired the step before; {late}"
    return f"the decay of this layer; {late}"
