"""Measure what repeats from one time step to the next, where changes are fewer, and whether theorems hold.

Source: [P] "Feature Overlapping: Temporal Differential Decoupling for Efficient SNN Training", Ann. NY Acad. Sci.
1556(1), 2026 (ICLR 2025 submission 77plFC53J5).
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tdd_deploy.neurons import IF, LIF

from .arithmetic import slope
from .network import Network, Neurons

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

IntArray = NDArray[np.int64]
Selection = tuple[Any, Any]  # an index of layers, and an index of steps
Sums = TypeVar("Sums", bound="DataclassInstance")
EVERYWHERE: Selection = (slice(None), slice(None))
ROUNDING = 1e-15  # in float64, of the smooth firing function, whose values lie between 0 and 1


@dataclass(frozen=True)
class Activity:
    """The events of layers, in sums over samples.

    Overlap and persistence are our own measures; ``theory.Differences`` has Definition 1 of [P]. The *overlap* of a
    layer at step t is the fraction of its spikes at t whose neurons also spiked at t - 1, ``|O^t and O^(t-1)| /
    |O^t|``. The *persistence* P(1 -> 1) divides the same number by ``|O^(t-1)|``: the fraction of spikes at t - 1
    whose neurons spike again at t. Neither is defined at the first step.

    Attributes:
        layers: names, in execution order.
        neurons: the number of neurons in each layer.
        spikes: ``[n_layers, n_steps]``.
        stayed: spikes at t of neurons that also spiked at t - 1, ``[n_layers, n_steps]``; none at the first step.
        spike_synops: synaptic operations of the spikes, ``[n_layers, n_steps]``; see ``methods.fan_out``.
        delta_synops: synaptic operations of the deltas, ``[n_layers, n_steps]``.
        n_samples: the number of samples.

    """

    layers: tuple[str, ...]
    neurons: tuple[int, ...]
    spikes: IntArray
    stayed: IntArray
    spike_synops: IntArray
    delta_synops: IntArray
    n_samples: int

    @classmethod
    def of(cls, spikes: Mapping[str, NDArray[np.generic]], fan_out: Mapping[str, NDArray[np.generic]]) -> Self:
        """Count the spikes, 0 or 1, of each layer ``[n_steps, n_samples, ...]``, whose neurons have a fan-out."""
        rasters = [raster.reshape(*raster.shape[:2], -1) != 0 for raster in spikes.values()]
        before = [np.concatenate([np.zeros_like(raster[:1]), raster[:-1]]) for raster in rasters]
        both = [raster & former for raster, former in zip(rasters, before, strict=True)]
        changed = [raster ^ former for raster, former in zip(rasters, before, strict=True)]
        costs = [fan_out[name].reshape(-1).astype(np.int64) for name in spikes]
        return cls(
            layers=tuple(spikes),
            neurons=tuple(raster.shape[2] for raster in rasters),
            spikes=np.stack([raster.sum((1, 2)) for raster in rasters]),
            stayed=np.stack([raster.sum((1, 2)) for raster in both]),
            spike_synops=np.stack([raster.sum(1) @ cost for raster, cost in zip(rasters, costs, strict=True)]),
            delta_synops=np.stack([raster.sum(1) @ cost for raster, cost in zip(changed, costs, strict=True)]),
            n_samples=rasters[0].shape[1],
        )

    def __add__(self, other: Self) -> Self:
        assert self.layers == other.layers, "of the same network"
        return with_sums(self, other, ("spikes", "stayed", "spike_synops", "delta_synops", "n_samples"))

    @property
    def before(self) -> IntArray:
        """The spikes one step earlier, ``[n_layers, n_steps]``."""
        return np.concatenate([np.zeros_like(self.spikes[:, :1]), self.spikes[:, :-1]], axis=1)

    @property
    def deltas(self) -> IntArray:
        """Delta events ``[n_layers, n_steps]``: neurons that changed; at the first step, all that spiked."""
        return self.spikes + self.before - 2 * self.stayed

    @property
    def hybrid(self) -> IntArray:
        """Events ``[n_layers, n_steps]`` when each layer sends deltas or spikes, whichever are fewer over all steps."""
        return np.where(self.delta_pays[:, None], self.deltas, self.spikes)

    @property
    def hybrid_synops(self) -> IntArray:
        """Synaptic operations ``[n_layers, n_steps]`` of these events."""
        return np.where(self.delta_pays[:, None], self.delta_synops, self.spike_synops)

    @property
    def delta_pays(self) -> NDArray[np.bool_]:
        """Whether a layer has fewer deltas than spikes over all steps, ``[n_layers]``.

        The sum of deltas is the sum of spikes plus ``sum |O^(t-1)| - 2 sum |O^t and O^(t-1)|``. So deltas are fewer
        exactly if the persistence over all steps exceeds 1/2.
        """
        return np.asarray(2 * self.stayed.sum(1) > self.before.sum(1))

    def overlap(self, selected: Selection = EVERYWHERE) -> float | None:
        """Return the overlap of layers and steps, in sums; None where nothing spiked, and at the first step."""
        later = self.spikes.copy()
        later[:, 0] = 0
        return _ratio(self.stayed[selected], later[selected])

    def persistence(self, selected: Selection = EVERYWHERE) -> float | None:
        """Return P(1 -> 1) of layers and steps, in sums; None where nothing had spiked, and at the first step."""
        return _ratio(self.stayed[selected], self.before[selected])


def with_sums(one: Sums, other: Sums, names: Iterable[str]) -> Sums:
    """Return a dataclass with the sums of two in the named fields; the other fields are those of the first."""
    return replace(one, **{name: getattr(one, name) + getattr(other, name) for name in names})


def _ratio(part: IntArray, whole: IntArray) -> float | None:
    total = int(whole.sum())
    return int(part.sum()) / total if total else None


@dataclass(frozen=True)
class Shrinking:
    """The decline of one layer's deltas from step to step, which Theorem 2 of [P] claims in its conclusion.

    The theorem says that |D| falls as 1 / T. A network is causal: its first T steps are the same however many follow.
    So we read ``|D^t| <= |D^1| / t``, where |D^t| is the mean over samples and neurons. ``theory`` evaluates the
    equations as they are printed.

    Attributes:
        layer: its name.
        steps: the number of compared steps, from the second on; none if the layer is silent from the first on.
        violated: the number of compared steps with a larger |D^t|.
        exponent: p of the least-squares line ``log |D^t| = c - p log t`` through the steps with deltas; 1 means 1 / t.
            None for fewer than two such steps.

    """

    layer: str
    steps: int
    violated: int
    exponent: float | None


def shrinking(activity: Activity) -> tuple[Shrinking, ...]:
    """Compare each layer's deltas with those of its first step."""
    found = []
    for layer, deltas in zip(activity.layers, activity.deltas, strict=True):
        step = np.arange(1, len(deltas) + 1)
        there = deltas > 0
        exponent = None
        if there.sum() >= 2:
            exponent = -float(np.polyfit(np.log(step[there]), np.log(deltas[there]), 1)[0])
        compared = np.logical_or(deltas, deltas[0])[1:]
        violated = (deltas * step > deltas[0])[1:]
        found.append(Shrinking(layer, int(compared.sum()), int(violated.sum()), exponent))
    return tuple(found)


@dataclass(frozen=True)
class Remainder:
    """Theorem 1 of [P] at one layer: the error of a first-order answer to a change of its input.

    A layer's input changes by f(D), the change of its current, which is linear in the deltas D before it. Gamma is the
    input without the change: the potential that would be compared if the current were still that of the step before.
    With F the firing function, the theorem bounds the remainder of Taylor's series: ``|F(Gamma + f(D)) - F(Gamma) -
    F'(Gamma) f(D)| <= 0.5 |f(D)|^2 max |F''|``. A step has no F''. So F is the smooth function whose derivative
    training uses, the primitive of the triangle ``max(0, 1 - |u - threshold|)``, with max |F''| = 1. The printed
    theorem takes the derivative at f(D) instead of Gamma; cases within that bound are counted too.

    Attributes:
        layer: its name.
        cases: neurons, samples and steps, from the second on, whose current changed.
        within: the cases within the bound.
        within_as_printed: the cases within it with the derivative at f(D).
        largest: the largest ratio of an error to its bound.

    """

    layer: str
    cases: int
    within: int
    within_as_printed: int
    largest: float

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.layer,
            self.cases + other.cases,
            self.within + other.within,
            self.within_as_printed + other.within_as_printed,
            max(self.largest, other.largest),
        )


@dataclass(frozen=True)
class Observed:
    """A network's layers of neurons on some samples, in floats; by name, ``[n_steps, batch, ...]``."""

    currents: Mapping[str, Tensor]  # received; a current that never changes may have one step
    potentials: Mapping[str, Tensor]  # compared with the thresholds
    spikes: Mapping[str, Tensor]  # of gates too
    neurons: Mapping[str, LIF | IF]


@torch.no_grad()
def observe(network: Network, inputs: Tensor, n_steps: int) -> Observed:
    """Execute a network and record what its layers of neurons receive, compare and send.

    Args:
        network: in floats, of LIF or IF neurons; put into evaluation mode.
        inputs: ``[n_steps, batch, ...]``, or ``[1, batch, ...]`` when they are the same at every step.
        n_steps: the number of time steps.
    """
    network.eval()
    with _currents(network) as currents:
        run = network.unroll(inputs, n_steps)
    neurons = {}
    for name in run.potentials:
        layer = network[name]
        assert isinstance(layer, Neurons)
        neuron = layer.neuron
        assert isinstance(neuron, LIF | IF)
        neurons[name] = neuron
    return Observed(currents, run.potentials, run.spikes, neurons)


@torch.no_grad()
def remainders(seen: Observed) -> tuple[Remainder, ...]:
    """Measure Theorem 1 at every layer of neurons."""
    found = []
    for name, u in seen.potentials.items():
        v_threshold = seen.neurons[name].v_threshold.double()
        current = seen.currents[name].expand_as(u).double()
        changes = current[1:] - current[:-1]
        found.append(remainder(name, u[1:].double() - v_threshold, changes, v_threshold))
    return tuple(found)


def remainder(layer: str, x: Tensor, changes: Tensor, v_threshold: Tensor) -> Remainder:
    """Measure Theorem 1 for potentials minus their threshold, ``x``, after ``changes`` of their currents."""
    changed = changes != 0
    if not changed.any():
        return Remainder(layer, 0, 0, 0, 0.0)
    v_threshold = v_threshold.expand_as(x)[changed]
    x, change = x[changed], changes[changed]
    gamma = x - change
    step = smooth_firing(x) - smooth_firing(gamma)
    bound = change.square() / 2
    error, as_printed = (
        ((step - slope(at) * change).abs() - ROUNDING).clamp(min=0) for at in (gamma, change - v_threshold)
    )
    return Remainder(
        layer, len(x), int((error <= bound).sum()), int((as_printed <= bound).sum()), float((error / bound).max())
    )


def smooth_firing(x: Tensor) -> Tensor:
    """Integrate the surrogate derivative of firing: from 0 at -1 and below to 1 at 1 and above."""
    near = x.clamp(-1, 1)
    return torch.where(near < 0, (1 + near).square() / 2, 1 - (1 - near).square() / 2)


@contextmanager
def _currents(network: Network) -> Iterator[dict[str, Tensor]]:
    """Record the currents that layers of neurons receive, ``[n_steps or 1, ...]``."""
    kept: dict[str, Tensor] = {}

    def note(name: str, module: nn.Module, received: tuple[Any, ...]) -> None:
        kept[name] = received[0]

    with ExitStack() as hooks:
        for part in network.parts:
            if isinstance(part.module, Neurons):
                hooks.callback(part.module.register_forward_pre_hook(partial(note, part.name)).remove)
        yield kept
