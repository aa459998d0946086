"""The first place where two backends differ, and its most likely cause."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tdd_deploy.neurons import LoihiLIF, SigmaDelta
from tdd_deploy.neurons.loihi import BITS, LIMIT
from tdd_deploy.program import NeuronLayer, Node, Program

from .recording import NEAR_OUTPUT, QUANTIZED, Array, Recorded, bound_between, by_sample, thresholds

NEAR = 1e-5  # of the threshold: as close as float32 sums in different orders come
OF_OUTPUT = "weights or bias of the maps before the output, since all earlier spikes agree"


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """The first place, in time and then in execution order, where two backends differ; steps count from 1.

    Attributes:
        layer: name of the layer of neurons, or of the output.
        number: place of the layer in execution order.
        step: time step, from 1 on.
        sample: number of the sample, from 0 on.
        neuron: index in the layer's shape.
        values: spikes, messages or outputs of the two backends.
        potentials: before the reset, in the second backend's units; None for messages and outputs, or if unknown.
        v_threshold: the second backend's; None for messages and outputs.
        cause: the most likely cause.
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
            v = " and ".join(f"{v:.9g}" for v in self.potentials or ()) or "unknown on one of them"
            found = f"spikes {found}, v {v}, threshold {self.v_threshold:.9g}"
        return (
            f"first divergence: layer {self.layer}, step {self.step}, sample {self.sample}, "
            f"neuron {list(self.neuron)}: {found}; likely cause: {self.cause}"
        )


def find_divergence(before: Recorded, after: Recorded, differ: Mapping[str, Array]) -> Divergence | None:
    """Find the first difference, in time and then in execution order.

    Args:
        before: what the first backend did.
        after: what the second backend did.
        differ: where the two differ, ``[batch, n_steps, *shape]``; by layer in execution order, then the output.
    """
    steps = {name: _first_step(array) for name, array in differ.items() if array.any()}
    if not steps:
        return None
    name = min(steps, key=lambda name: steps[name])  # of equals the first in execution order
    step = steps[name]
    sample, *neuron = (int(i) for i in np.argwhere(differ[name][:, step])[0])
    number = list(differ).index(name)
    spiking = [layer.name for layer in after.program.neuron_layers if layer.neuron.spiking]
    if name in spiking:
        found = _SpikeDivergence(before, after, name, number, step, sample, tuple(neuron))
        return found.described({layer: differ[layer] for layer in spiking})
    is_output = name == after.program.output.name
    values = (recorded.output if is_output else recorded.spikes[name] for recorded in (before, after))
    first, second = (float(array[sample, step, *neuron]) for array in values)
    return Divergence(
        layer=name,
        number=number,
        step=step + 1,
        sample=sample,
        neuron=tuple(neuron),
        values=(first, second),
        potentials=None,
        v_threshold=None,
        cause=OF_OUTPUT if is_output else _cause_of_message(after.program[name], abs(first - second)),
    )


def find_other_prediction(before: Recorded, after: Recorded, is_other: Array, number: int) -> Divergence | None:
    """Find a sample with the same spikes and another prediction; the values are sums over time."""
    if not is_other.any():
        return None
    sample = int(is_other.argmax())
    totals = before.output[sample].sum(axis=0), after.output[sample].sum(axis=0)
    neuron = tuple(int(i) for i in np.unravel_index(totals[1].argmax(), totals[1].shape))
    return Divergence(
        layer=after.program.output.name,
        number=number,
        step=before.output.shape[1],
        sample=sample,
        neuron=neuron,
        values=(float(totals[0][neuron]), float(totals[1][neuron])),
        potentials=None,
        v_threshold=None,
        cause="rounding before the output, which makes another sum over time the largest",
    )


def _cause_of_message(layer: Node, size: float) -> str:
    assert isinstance(layer, NeuronLayer)
    neuron = layer.neuron
    if isinstance(neuron, SigmaDelta) and size <= (1 + NEAR_OUTPUT) * float(np.max(neuron.delta_threshold)):
        return "rounding: a change is as large as the threshold that it has to exceed"
    return "weights, bias or parameters of this layer, since all earlier values agree"


def _first_step(array: Array) -> int:
    return int(array.reshape(*array.shape[:2], -1).any(axis=(0, 2)).argmax())


@dataclass(frozen=True)
class _SpikeDivergence:
    """One neuron of one sample, at the step where its spikes first differ."""

    before: Recorded
    after: Recorded
    name: str
    number: int
    step: int  # from 0
    sample: int
    neuron: tuple[int, ...]

    def described(self, differ: Mapping[str, Array]) -> Divergence:
        """Describe the divergence; ``differ`` says where spikes differ, by layer."""
        spikes = [recorded.spikes[self.name][self._course] for recorded in (self.before, self.after)]
        v = self._potentials()
        return Divergence(
            layer=self.name,
            number=self.number,
            step=self.step + 1,
            sample=self.sample,
            neuron=self.neuron,
            values=(float(spikes[0][self.step]), float(spikes[1][self.step])),
            potentials=v and (float(v[0][self.step]), float(v[1][self.step])),
            v_threshold=self._height(self.after),
            cause=self._cause_of_order(differ) or self._cause_of_values(v, spikes[0]),
        )

    @property
    def _course(self) -> tuple[Any, ...]:
        """All time steps of this neuron."""
        return (self.sample, slice(None), *self.neuron)

    def _layer(self, recorded: Recorded) -> NeuronLayer:
        layer = recorded.program[self.name]
        assert isinstance(layer, NeuronLayer)
        return layer

    def _bias(self, recorded: Recorded) -> int:
        layer = self._layer(recorded)
        return int(np.broadcast_to(layer.neuron.parameters()["bias"], layer.shape)[self.neuron])

    def _height(self, recorded: Recorded) -> float:
        return float(thresholds(self._layer(recorded))[self.neuron])

    @property
    def _is_same_unit(self) -> bool:
        return bound_between(self.before.program, self.after.program) is not QUANTIZED

    def _potentials(self) -> tuple[Array, Array] | None:
        """Return this neuron's potentials over time, both in units of the second backend."""
        if not all(self.name in recorded.potentials for recorded in (self.before, self.after)):
            return None
        v, w = (
            recorded.potentials[self.name][self._course].astype(np.float64) for recorded in (self.before, self.after)
        )
        if not self._is_same_unit:
            v = v / (self._height(self.before) or 1.0) * self._height(self.after)
        return v, w

    def _cause_of_order(self, differ: Mapping[str, Array]) -> str | None:
        """Name the cause from the order of spikes in time and of samples, if it shows one."""
        a, b = self.before.spikes[self.name], self.after.spikes[self.name]
        if a[:, :-1].any() and np.array_equal(a[:, :-1], b[:, 1:]):
            return f"{self.after.backend} is one time step late here"
        if a[:, 1:].any() and np.array_equal(a[:, 1:], b[:, :-1]):
            return f"{self.after.backend} is one time step early here"
        if not self._is_same_unit:
            return _cause_of_integers(self.after.program if self._is_integer else self.before.program)
        samples = self._differing_samples(differ)
        if len(samples) > 1 and not samples[0] and samples[1:].mean() > 0.5:
            return "state left over from the sample before: a reset at the wrong time step"
        return None

    def _differing_samples(self, differ: Mapping[str, Array]) -> Array:
        """Find samples whose potentials differ in the first step, or, without potentials, whose spikes differ."""
        v, w = (recorded.potentials.get(self.name) for recorded in (self.before, self.after))
        if v is None or w is None:
            return np.asarray(np.any([by_sample(array) for array in differ.values()], axis=0))
        near = 0 if self._is_integer else NEAR * np.abs(thresholds(self._layer(self.after)))
        return by_sample(np.abs(v[:, 0].astype(np.float64) - w[:, 0]) > near)

    @property
    def _is_integer(self) -> bool:
        return self.after.program.number_format == "integer"

    def _cause_of_values(self, potentials: tuple[Array, Array] | None, fired: Array) -> str:
        """Name the cause from the potentials at the first step where they differ."""
        if potentials is None:
            return "unknown, as the potentials are not known"
        v, w = potentials
        near = 0.0 if self._is_integer else NEAR * abs(self._height(self.after))
        differ = np.abs(v - w)[: self.step + 1] > near
        if not differ.any():
            return self._cause_of_firing(v[self.step], w[self.step], near)
        onset = int(differ.argmax())
        cause = self._cause_in_integers(v[onset], w[onset], onset) or _cause_in_time(onset, fired)
        return cause if onset == self.step else f"{cause} (v differs from step {onset + 1} on)"

    def _cause_of_firing(self, v: float, w: float, near: float) -> str:
        height = self._height(self.after)
        if v == w == height:
            return "the comparison with the threshold: > on one backend and >= on the other"
        if v == w or abs(v - height) > 2 * near:
            return "the threshold of this layer, as the potentials agree"
        return "rounding: the potentials are as close as float sums in another order"

    def _cause_in_integers(self, v: float, w: float, onset: int) -> str | None:
        neuron = self._layer(self.after).neuron
        if not isinstance(neuron, LoihiLIF):
            return None
        biases = {abs(self._bias(recorded)) for recorded in (self.before, self.after)} - {0}
        if v * w < 0 and max(abs(v), abs(w)) == LIMIT - 1:  # 2 ** 24 apart, so one of them saturates
            return "u wraps at 24 bits on one backend and not on the other"
        if abs(v - w) in biases:
            return "a bias that is missing, or is added twice"
        if onset and abs(v - w) <= len(neuron.states):  # each state is one off
            return "the rounding of a decay: toward zero on one backend, down on the other"
        return None


def _cause_of_integers(integers: Program) -> str:
    """Suggest finer integers, if finer ones are possible."""
    found = []
    if integers.provenance.get("quantized_bits") != str(max(BITS)):
        found.append("more `bits`")
    if all(layer.neuron.parameters()["v_threshold"].ndim == 0 for layer in integers.neuron_layers):
        found.append("`per=neuron`")
    advice = f"; {' or '.join(found)} can reduce it" if found else ""
    return f"the rounding to integers{advice}"


def _cause_in_time(onset: int, fired: Array) -> str:
    """Name the cause from the step where potentials first differ, since all earlier spikes agree."""
    if onset == 0:
        return "weights, biases or inputs of this layer, as it is the first time step"
    late = "or a delay, or the weight of an input that was silent until then"
    if fired[onset - 1]:
        return f"the reset of this layer, as the neuron fired the step before; {late}"
    return f"the decay of this layer; {late}"
