"""The same samples on several machines: where they agree, and the first place where two of them part."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .neurons import LoihiLIF
from .neurons.loihi import LIMIT
from .program import NeuronLayer, Program
from .program.outputs import predicted

Array = NDArray[Any]
NEAR = 1e-5  # of the threshold: as close as float32 sums in different orders come
NEAR_OUTPUT = 1e-4  # of the largest output: sums that are held over many steps


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What one machine did with samples; arrays ``[batch, n_steps, *shape]``.

    Attributes:
        machine: its name.
        program: what it executed.
        spikes: of every layer of neurons.
        output: of the program.
        potentials: what each layer compared with its threshold; empty where the machine cannot say.
        seconds: what the execution took, without its preparation.

    """

    machine: str
    program: Program
    spikes: Mapping[str, Array]
    output: Array
    potentials: Mapping[str, Array]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first place, in time and then in execution order, in which two machines part; steps count from 1.

    Attributes:
        layer: of neurons, or the output.
        number: of the layer in execution order.
        values: spikes, or outputs.
        potentials: before the reset, in the second machine's units; None for an output, and where one cannot say.
        v_threshold: the second machine's; None for an output.
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
        spikes: the largest fraction of spikes that may differ.
        predictions: the largest fraction of predictions that may.
        outputs: what counts as equal where all spikes of a sample are, as a fraction of the largest output; None
            where the two are in different units.

    """

    words: str
    spikes: float
    predictions: float
    outputs: float | None


EXACT = Bound("0 differing", 0.0, 0.0, 0.0)
FLOATS = Bound("at most 0.01 % of spikes, 0 predictions, 0 outputs", 1e-4, 0.0, NEAR_OUTPUT)
QUANTIZED = Bound("at most 10 % of spikes, 5 % of predictions", 0.10, 0.05, None)


@dataclass(frozen=True, kw_only=True)
class Hop:
    """Two machines side by side, over all samples so far.

    Attributes:
        before: the machine that is taken as right.
        after: the machine that is compared with it.
        bound: what the hop must keep.
        spikes: how many spike times neurons were compared.
        differing: how many of them differ.
        outputs_differing: values of the output that differ by more than the bound counts as equal; None where the two
            are in different units.
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
    outputs_differing: int | None
    largest_dv: float | None
    n_samples: int
    predictions_differing: int
    parted: Difference | None

    @property
    def passed(self) -> bool:
        """Whether the bound was kept."""
        return (
            self.differing <= self.bound.spikes * self.spikes
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
    apart = {
        layer.name: before.spikes[layer.name] != after.spikes[layer.name]
        for layer in after.program.neuron_layers
        if layer.neuron.spiking  # what others send are no spikes, but sums that round
    }
    differing = sum(int(np.count_nonzero(array)) for array in apart.values())
    is_other = predicted(before.output) != predicted(after.output)
    outputs = None if bound.outputs is None else _outputs_apart(before, after, apart, bound.outputs)
    return Hop(
        before=before.machine,
        after=after.machine,
        bound=bound,
        spikes=sum(int(array.size) for array in apart.values()),
        differing=differing,
        outputs_differing=None if outputs is None else int(np.count_nonzero(outputs)),
        largest_dv=None if outputs is None else _largest_dv(before, after),
        n_samples=len(is_other),
        predictions_differing=int(np.count_nonzero(is_other)),
        parted=_first(before, after, apart, outputs) or _first_prediction(before, after, is_other, len(apart)),
    )


def joined(hops: Sequence[Hop]) -> Hop:
    """Return the hop over all samples of batches that follow each other."""
    last = hops[-1]
    starts = np.cumsum([0, *(hop.n_samples for hop in hops)]).tolist()
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
        outputs_differing=sum(outputs) if outputs else None,
        largest_dv=max(dv) if dv else None,
        n_samples=starts[-1],
        predictions_differing=sum(hop.predictions_differing for hop in hops),
        parted=min(parted, key=lambda found: (found.step, found.number), default=None),
    )


def informed(before: Recorded, after: Recorded, hop: Hop) -> Recorded:
    """Return ``after`` with the potentials of ``before``, when it has none and sent the same spikes in the same units.

    So the machine behind it can be compared with potentials too.
    """
    if after.potentials or hop.differing or hop.bound is QUANTIZED:
        return after
    return replace(after, potentials=before.potentials)


def _outputs_apart(before: Recorded, after: Recorded, apart: Mapping[str, Array], tolerance: float) -> Array:
    """Return where outputs differ; with a tolerance, in samples whose spikes agree, as outputs follow from them."""
    differ: Array = before.output != after.output
    if not tolerance:
        return differ
    far = np.abs(before.output - after.output) > tolerance * np.abs(before.output).max()
    agrees = ~np.any([_per_sample(array) for array in apart.values()], axis=0)
    return np.asarray(differ & far & np.broadcast_to(agrees, differ.shape[:1]).reshape(-1, *[1] * (differ.ndim - 1)))


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


def _first(before: Recorded, after: Recorded, apart: Mapping[str, Array], outputs: Array | None) -> Difference | None:
    """Return the first difference of spikes, or of outputs where they can be compared."""
    output = after.program.output.name
    places = {**apart, **({} if outputs is None else {output: outputs})}
    steps = {name: _first_step(array) for name, array in places.items() if array.any()}
    if not steps:
        return None
    name = min(steps, key=lambda name: steps[name])  # of equals the first in execution order
    step = steps[name]
    sample, *neuron = (int(i) for i in np.argwhere(places[name][:, step])[0])
    number = list(places).index(name)
    if name != output:
        return _Parting(before, after, name, number, step, sample, tuple(neuron)).difference(apart)
    place = (sample, step, *neuron)
    return Difference(
        layer=output,
        number=number,
        step=step + 1,
        sample=sample,
        neuron=tuple(neuron),
        values=(float(before.output[place]), float(after.output[place])),
        potentials=None,
        v_threshold=None,
        cause="weights or bias of what leads to the output, as all spikes until then agree",
    )


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
            return "the rounding to integers; more --bits, or --per neuron, change less"
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


def _cause_in_time(onset: int, fired: Array) -> str:
    """Return what the step at which potentials part tells, as all spikes before agree."""
    if onset == 0:
        return "weights, biases or inputs of this layer, as it is the first time step"
    late = "or a delay, or the weight of an input that was silent until then"
    if fired[onset - 1]:
        return f"the reset of this layer, as the neuron fired the step before; {late}"
    return f"the decay of this layer; {late}"
