"""The same samples on two backends: how much they differ, and where they differ first."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from tdd_deploy.program.outputs import predicted

from .divergence import Divergence, find_divergence, find_other_prediction
from .recording import QUANTIZED, Array, Bound, Recorded, bound_between, thresholds


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two backends side by side, over all samples so far.

    Attributes:
        before: the backend that is taken as right.
        after: the backend that is compared with it.
        bound: what the comparison must keep.
        spikes: how many values of spiking neurons were compared.
        differing: how many of them differ.
        messages: how many numbers that other neurons sent were compared.
        messages_differing: how many of them differ by more than the bound counts as equal.
        outputs: how many values of the output were compared; None where the two are in different units.
        outputs_differing: how many of them differ by more than the bound counts as equal.
        not_compared: messages and outputs after the first differing spike of their sample, which are not compared.
        always_zero: layers, or the output, that are 0 throughout on both backends.
        largest_dv: the largest difference of potentials over the threshold; None where they cannot be compared.
        n_samples: how many samples.
        predictions_differing: samples with another prediction.
        first_difference: where they first differ, even if the bound allows it.
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
    first_difference: Divergence | None

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
    def first_divergence(self) -> Divergence | None:
        """Where they first differ, unless the bound is kept."""
        return None if self.passed else self.first_difference

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        plain = asdict(self)
        found = plain.pop("first_difference")
        if found is not None and not np.isfinite(found["potentials"] or ()).all():
            found["potentials"] = None  # JSON has no infinity
        first = None if self.passed else found
        return {**plain, "bound": self.bound.words, "passed": self.passed, "first_divergence": first}


@np.errstate(invalid="ignore")  # floats can be infinite
def compare(before: Recorded, after: Recorded) -> Comparison:
    """Compare what two backends did with the same samples."""
    bound = bound_between(before.program, after.program)
    layers = after.program.neuron_layers
    found = _Differences(before, after, bound)
    is_other = predicted(before.output) != predicted(after.output)
    output = found.of_output
    messages = [found.of_numbers[layer.name] for layer in layers if layer.name in found.of_numbers]
    first = find_divergence(before, after, found.in_order)
    first = first or find_other_prediction(before, after, is_other, len(layers))
    remarks = [recorded.precision for recorded in (before, after) if recorded.precision]
    if first is not None and remarks:
        first = replace(first, cause="; ".join([first.cause, *remarks]))
    return Comparison(
        before=before.backend,
        after=after.backend,
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
        first_difference=first,
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
    """All places where two backends differ.

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
        output = after.program.output.name
        self._order = [*(layer.name for layer in layers), output]
        if bound.near is None:
            return
        pairs = {
            layer.name: (before.spikes[layer.name], after.spikes[layer.name])
            for layer in layers
            if not layer.neuron.spiking
        }
        pairs[output] = before.output, after.output
        n_samples, n_steps = before.output.shape[:2]
        # in time and then in execution order
        places = {name: np.arange(n_steps) * len(self._order) + k for k, name in enumerate(self._order)}
        end = np.full(n_samples, np.iinfo(np.int64).max)
        for name, array in self.of_spikes.items() if bound.near else ():
            end = np.minimum(end, _first_place(array, places[name]))
        for name, pair in pairs.items():
            compared = places[name] < end[:, None]
            differ = _differ(*pair, bound.near)
            numbers = _Numbers(differ & _like(compared, differ), compared)
            if name == output:
                self.of_output = numbers
            else:
                self.of_numbers[name] = numbers

    @property
    def in_order(self) -> dict[str, Array]:
        """Where compared values differ ``[batch, n_steps, *shape]``, by layer in execution order, then the output."""
        differ = {**self.of_spikes, **{name: numbers.differ for name, numbers in self.of_numbers.items()}}
        if self.of_output is not None:
            differ[self._order[-1]] = self.of_output.differ
        return {name: differ[name] for name in self._order if name in differ}


def _differ(before: Array, after: Array, near: float) -> Array:
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


def joined(comparisons: Sequence[Comparison]) -> Comparison:
    """Join the comparisons of batches that follow each other."""
    last = comparisons[-1]
    starts = np.cumsum([0, *(each.n_samples for each in comparisons)]).tolist()
    compared = [each.outputs for each in comparisons if each.outputs is not None]
    outputs = [each.outputs_differing for each in comparisons if each.outputs_differing is not None]
    dv = [each.largest_dv for each in comparisons if each.largest_dv is not None]
    differences = [
        replace(each.first_difference, sample=each.first_difference.sample + start)
        for each, start in zip(comparisons, starts[:-1], strict=True)
        if each.first_difference is not None
    ]
    return replace(
        last,
        spikes=sum(each.spikes for each in comparisons),
        differing=sum(each.differing for each in comparisons),
        messages=sum(each.messages for each in comparisons),
        messages_differing=sum(each.messages_differing for each in comparisons),
        outputs=sum(compared) if compared else None,
        outputs_differing=sum(outputs) if outputs else None,
        not_compared=sum(each.not_compared for each in comparisons),
        always_zero=tuple(name for name in last.always_zero if all(name in each.always_zero for each in comparisons)),
        largest_dv=max(dv) if dv else None,
        n_samples=starts[-1],
        predictions_differing=sum(each.predictions_differing for each in comparisons),
        first_difference=min(differences, key=lambda found: (found.step, found.number), default=None),
    )


def with_known_potentials(before: Recorded, after: Recorded, comparison: Comparison) -> Recorded:
    """Copy ``after`` with the potentials of ``before``, if it has none and sent the same spikes in the same units.

    So the next backend can be compared with potentials too.
    """
    if after.potentials or comparison.differing or comparison.messages_differing or comparison.bound is QUANTIZED:
        return after
    return replace(after, potentials=before.potentials)


def _largest_dv(before: Recorded, after: Recorded) -> float | None:
    """Find the largest difference of potentials over the threshold, where that is not 0."""
    found = []
    for layer in after.program.neuron_layers:
        v, w = before.potentials.get(layer.name), after.potentials.get(layer.name)
        if v is not None and w is not None:
            height = np.abs(thresholds(layer))
            dv = np.abs(v.astype(np.float64) - w)[:, :, height > 0] / height[height > 0]
            found.append(float(dv.max(initial=0.0, where=np.isfinite(dv))))
    return max(found, default=None)
