"""Evaluate Definition 1, Theorem 2 and the covariances of Theorem 1 of [P] as they are printed (see ``diagnostics``).

A statement about a layer is compared for every time step and sample; none is asserted. Where the paper leaves a choice
open, we take the one that favors the statement: phi, its lower bound of a potential's norm, is 0, and the filtering
ratio k is 1, where D' = D and the error of a layer is 0. Norms are L2, of a matrix the spectral norm. A layer may have
a threshold per neuron; then sqrt(N) V is the norm of its thresholds.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tdd_deploy.neurons import IF, LIF

from .arithmetic import TorchArithmetic, slope
from .diagnostics import IntArray, Observed, with_sums
from .network import Map, Network, Neurons

EPSILON = 1.0  # below it, no neuron changed
ITERATIONS = 50  # of the power method
ROUNDING = 1e-5  # of norms, relative, in float32
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Differences:
    """Definition 1 of [P]: a layer overlaps at step t when ``||O^t xor O^(t-1)|| < epsilon``.

    The norm of zeros and ones is the square root of the number of ones, which are the changed neurons. So an epsilon of
    1 counts the samples in which no neuron changed. The first step has none before it.

    Attributes:
        layers: names, in execution order.
        neurons: the number of neurons in each layer.
        epsilon: the bound of the norm.
        changed: changed neurons in sums over samples, ``[n_layers, n_steps]``; 0 at the first step.
        overlapping: samples whose norm is below epsilon, ``[n_layers, n_steps]``; 0 at the first step.
        n_samples: the number of samples.

    """

    layers: tuple[str, ...]
    neurons: tuple[int, ...]
    epsilon: float
    changed: IntArray
    overlapping: IntArray
    n_samples: int

    @classmethod
    def of(cls, spikes: Mapping[str, NDArray[np.generic]], epsilon: float = EPSILON) -> Self:
        """Compare the spikes, 0 or 1, of each layer ``[n_steps, n_samples, ...]`` with those of the step before."""
        rasters = [raster.reshape(*raster.shape[:2], -1) != 0 for raster in spikes.values()]
        counts = [(raster[1:] ^ raster[:-1]).sum(2) for raster in rasters]  # [n_steps - 1, n_samples]
        below = [np.sqrt(count) < epsilon for count in counts]
        return cls(
            layers=tuple(spikes),
            neurons=tuple(raster.shape[2] for raster in rasters),
            epsilon=epsilon,
            changed=np.stack([np.pad(count.sum(1), (1, 0)) for count in counts]),
            overlapping=np.stack([np.pad(each.sum(1), (1, 0)) for each in below]),
            n_samples=rasters[0].shape[1],
        )

    def __add__(self, other: Self) -> Self:
        assert self.layers == other.layers, "of the same network"
        return with_sums(self, other, ("changed", "overlapping", "n_samples"))

    def as_json(self) -> dict[str, Any]:
        """Return the definition's quantities as plain values, from the second step on."""
        return {
            "norm": "L2, root mean square over samples",
            "epsilon": self.epsilon,
            "layers": [
                {"layer": layer, "neurons": n, "steps": [self._step(row, t) for t in range(1, self.changed.shape[1])]}
                for row, (layer, n) in enumerate(zip(self.layers, self.neurons, strict=True))
            ],
        }

    def _step(self, row: int, t: int) -> dict[str, Any]:
        changed = int(self.changed[row, t])
        return {
            "step": t + 1,
            "changed": changed,
            "norm": math.sqrt(changed / self.n_samples),
            "fraction": changed / self.n_samples / self.neurons[row],
            "overlapping": int(self.overlapping[row, t]),
        }


@dataclass(frozen=True)
class Statement:
    """A printed statement about one layer, and the cases that violate it.

    Attributes:
        equation: its number in [P].
        text: the statement; phi is 0.
        of: the cases that are compared.
        cases: their number.
        violated: the cases in which it is false.

    """

    equation: str
    text: str
    of: str
    cases: int
    violated: int

    def __add__(self, other: Self) -> Self:
        return with_sums(self, other, ("cases", "violated"))


@dataclass(frozen=True)
class Covariance:
    """Sums over samples from which equations 12, 15 and 18 follow, for one layer that receives spikes.

    f(D) is the change of the layer's current, which is linear in the changes D before it. F' is the surrogate
    derivative at Gamma (see ``Remainder``). Rows are the steps from the second on.

    Attributes:
        n_samples: the number of samples.
        n_senders: the neurons whose spikes the layer receives.
        change, change_squared: f(D) and its square, ``[n_steps - 1, n]``.
        slope_squared: the square of F', ``[n_steps - 1, n]``.
        answer, answer_squared: the sum over neurons of F' f(D), and its square, ``[n_steps - 1]``.
        sent_squared: ``||D||^2``, ``[n_steps - 1]``.
        sloping: samples in which any F' is above 0, ``[n_steps - 1]``.

    """

    n_samples: int
    n_senders: int
    change: FloatArray
    change_squared: FloatArray
    slope_squared: FloatArray
    answer: FloatArray
    answer_squared: FloatArray
    sent_squared: FloatArray
    sloping: IntArray

    @classmethod
    def of(cls, change: Tensor, slopes: Tensor, sent: Sequence[Tensor]) -> Self:
        """Sum over samples: f(D) and F' ``[n_steps - 1, batch, n]``, and sent spikes ``[n_steps, batch, n]``."""
        answer = (slopes * change).sum(2)
        changes = [of_sender.double().diff(dim=0) for of_sender in sent]
        return cls(
            n_samples=change.shape[1],
            n_senders=sum(of_sender.shape[2] for of_sender in sent),
            change=change.sum(1).numpy(),
            change_squared=change.square().sum(1).numpy(),
            slope_squared=slopes.square().sum(1).numpy(),
            answer=answer.sum(1).numpy(),
            answer_squared=answer.square().sum(1).numpy(),
            sent_squared=torch.stack([each.square().sum((1, 2)) for each in changes]).sum(0).numpy(),
            sloping=(slopes > 0).any(2).sum(1).numpy(),
        )

    def __add__(self, other: Self) -> Self:
        assert self.n_senders == other.n_senders, "of the same layer"
        return with_sums(self, other, (each.name for each in fields(self) if each.name != "n_senders"))

    @property
    def variances(self) -> FloatArray:
        """The variance of each f(D) over samples, ``[n_steps - 1, n]``: the diagonal of its covariance."""
        return _variance(self.change, self.change_squared, self.n_samples)

    @property
    def gradients(self) -> FloatArray:
        """The mean square of each F', ``[n_steps - 1, n]``."""
        return self.slope_squared / self.n_samples

    def as_json(self, map_norm: float, n_steps: int) -> dict[str, Any]:
        """Return the equations as plain values: for each step from the second on, with the norm of the layer's map."""
        variances, gradients, n = self.variances, self.gradients, self.n_samples
        of_error = (gradients * variances**2).sum(1)
        of_answer = (gradients * variances).sum(1)
        bounds = 4 / n_steps**2 * map_norm**2 * gradients.sum(1)
        covariance = self.sent_squared / n * map_norm**2 / self.n_senders
        return {
            "map_norm": map_norm,
            "samples": n,
            "error": 0,
            "eq12_as_printed": of_error.tolist(),
            "eq12_without_square": of_answer.tolist(),
            "eq12_all_pairs": _variance(self.answer, self.answer_squared, n).tolist(),
            "eq15": bounds.tolist(),
            "eq15_below_eq12": int((bounds < of_error).sum()),
            "eq15_above_error": int(self.sloping.sum()) if map_norm else 0,
            "eq18_left": variances.max(1).tolist(),
            "eq18_right": covariance.tolist(),
        }


def _variance(total: FloatArray, of_squares: FloatArray, n: int) -> FloatArray:
    return np.maximum(of_squares / n - (total / n) ** 2, 0)


@dataclass(frozen=True)
class Theory:
    """The theorems of one layer of neurons.

    Attributes:
        layer: its name.
        reset: what r, which a spike removes from the potential, is in this network.
        statements: what the paper prints, evaluated.
        covariance: None for a layer that receives no spikes, and for a single step.

    """

    layer: str
    reset: str
    statements: tuple[Statement, ...]
    covariance: Covariance | None

    def __add__(self, other: Self) -> Self:
        both = zip(self.statements, other.statements, strict=True)
        joined = None
        if self.covariance is not None and other.covariance is not None:
            joined = self.covariance + other.covariance
        return replace(self, statements=tuple(a + b for a, b in both), covariance=joined)


@torch.no_grad()
def theories(network: Network, seen: Observed) -> tuple[Theory, ...]:
    """Evaluate the printed statements at every layer of neurons of a network that was observed."""
    senders = network.senders
    found = []
    for name, potentials in seen.potentials.items():
        neuron = seen.neurons[name]
        spikes, current = (each.flatten(2) for each in (seen.spikes[name], seen.currents[name].expand_as(potentials)))
        covariance = None
        if senders[name] and len(spikes) > 1:
            change = current.double().diff(dim=0)
            gamma = (potentials.double() - neuron.v_threshold.double()).flatten(2)[1:] - change
            covariance = Covariance.of(change, slope(gamma), [seen.spikes[each].flatten(2) for each in senders[name]])
        after, _ = neuron.fire(TorchArithmetic(), potentials)
        removed = (potentials - after).flatten(2)
        thresholds = neuron.v_threshold.expand(potentials.shape[2:]).flatten()
        made = statements(spikes, current, after.flatten(2), removed, thresholds)
        found.append(Theory(name, _reset(neuron), tuple(made), covariance))
    return tuple(found)


def statements(
    spikes: Tensor, current: Tensor, after: Tensor, removed: Tensor, thresholds: Tensor
) -> Iterator[Statement]:
    """Yield Theorem 2's statements about one layer, each with its violations.

    Args:
        spikes: s, ``[n_steps, batch, n]``, as are the next three.
        current: W s(t) of the layer before, with the layer's bias.
        after: u, the potential after the reset.
        removed: r s, which a spike removed.
        thresholds: V, ``[n]``.
    """
    spikes, current, after, removed, thresholds = (
        each.double() for each in (spikes, current, after, removed, thresholds)
    )
    n_steps, n = len(spikes), spikes.shape[2]
    width = float(thresholds.norm())  # sqrt(N) V
    steps = torch.arange(1, n_steps + 1).reshape(-1, 1, 1)
    arrived, sent = current.cumsum(0), spikes.cumsum(0)  # W h of the layer before, and h
    summed = arrived - removed.cumsum(0)
    u = after.norm(dim=2)
    change = torch.cat([spikes[:1], spikes.diff(dim=0)]).norm(dim=2)
    fired = spikes.norm(dim=2)
    limit = 2 * math.sqrt(n) / n_steps
    is_close = (after - summed).norm(dim=2) <= ROUNDING * (1 + arrived.norm(dim=2))
    each_step, each_neuron = "time steps and samples", "neurons, time steps and samples"
    yield _statement("13", "||u(t)|| <= sqrt(N) V", each_step, u <= width)
    yield _statement("13", "u(t) = W h(t) - sum of r s", each_step, is_close)
    yield _statement("13", "||W h(t) - sum of r s|| <= sqrt(N) V", each_step, summed.norm(dim=2) <= width)
    yield _statement(
        "14, 25", "(W h(t) - sqrt(N) V) / (t V) <= h(t)", each_neuron, arrived - width <= steps * thresholds * sent
    )
    yield _statement("14, 25", "h(t) <= W h(t) / (t V)", each_neuron, steps * thresholds * sent <= arrived)
    yield _statement("26", "||D(t)|| <= 2 ||h(t) - h(t-1)||", each_step, change <= 2 * fired)
    yield _statement("26", "2 ||h(t) - h(t-1)|| <= 2 sqrt(N) / T", each_step, 2 * fired <= limit)
    yield _statement("26", "||D(t)|| <= 2 sqrt(N) / T", each_step, change <= limit)


def _statement(equation: str, text: str, of: str, holds: Tensor) -> Statement:
    return Statement(equation, text, of, holds.numel(), int((~holds).sum()))


def _reset(neuron: LIF | IF) -> str:
    if neuron.reset == "soft":
        return "the threshold (soft reset)"
    levels = neuron.v_reset
    if not bool(levels.any()):
        return "the potential itself (hard reset to 0)"
    shown = f"{float(levels.min()):g}" if levels.min() == levels.max() else "its level"
    return f"the potential minus {shown} (hard reset to {shown})"


def map_norms(network: Network) -> dict[str, float]:
    """Return the spectral norm of the map from spikes to the current of each layer of neurons, by the power method."""
    network.eval()
    senders = network.senders
    return {
        part.name: _spectral_norm(*_map_into(network, part.name, senders[part.name]))
        for part in network.parts
        if isinstance(part.module, Neurons) and senders[part.name]
    }


def _map_into(
    network: Network, layer: str, senders: Sequence[str]
) -> tuple[Callable[[Sequence[Tensor]], Tensor], list[Tensor]]:
    """Return the map from the spikes of senders to the current of a layer, with its bias, and the origin."""
    origin = [torch.zeros(1, *network.shapes[name]) for name in senders]

    def current(sent: Sequence[Tensor]) -> Tensor:
        values = dict(zip(senders, sent, strict=True))
        for part in network.parts:
            received = [values[name] for name in part.sources if name in values]
            if part.name == layer:
                return sum(received[1:], start=received[0])
            if isinstance(part.module, Map) and received:
                values[part.name] = part.module(sum(received[1:], start=received[0]))
        raise AssertionError(layer)

    return current, origin


def _spectral_norm(current: Callable[[Sequence[Tensor]], Tensor], origin: list[Tensor]) -> float:
    generator = torch.Generator().manual_seed(0)
    x = [torch.randn(each.shape, generator=generator) for each in origin]
    bias = current(origin).detach()
    norm = 0.0
    for _ in range(ITERATIONS):
        length = math.sqrt(sum(float(each.square().sum()) for each in x))
        if not length:
            return 0.0
        with torch.enable_grad():
            x = [(each / length).requires_grad_() for each in x]
            y = current(x) - bias
            norm = float(y.detach().norm())
            x = list(torch.autograd.grad(y, x, y.detach()))
    return norm
