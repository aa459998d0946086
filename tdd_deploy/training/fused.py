"""Charge, fire and reset LIF and IF over all time steps: one forward pass, one backward pass, one saved tensor.

The saved tensor is u, the potential that is compared: spikes, resets and surrogate gradients follow from it again. On
a CPU in float32 both passes are compiled loops; elsewhere they are tensor operations with the same numbers.
"""

# ruff: noqa: PLR0912, PLR0917  (loops without calls become vector instructions; torch passes by position)

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeGuard

import numba
import numpy as np
import torch
from torch import Tensor

from tdd_deploy.neurons import IF, LIF, Compare, Neuron, Reset, State

from .arithmetic import slope

BLOCK = 4096  # elements that a thread carries through all time steps, so that their v stays in its cache


@dataclass(frozen=True)
class Fired:
    """Spikes and the compared potentials u of neurons, ``[n_steps, ...]``, and the state after the last step."""

    spikes: Tensor
    u: Tensor
    state: State


def is_fused(neuron: Neuron, current: Tensor) -> TypeGuard[LIF | IF]:
    """Decide whether neurons are LIF or IF in floats, with the same numbers for a whole layer."""
    is_known = type(neuron) in (LIF, IF) and current.is_floating_point()
    return is_known and all(value.ndim == 0 for value in neuron.parameters().values())


def charge_fire_reset(neuron: LIF | IF, current: Tensor, n_steps: int, state: State | None = None) -> Fired:
    """Run LIF or IF neurons for ``n_steps`` time steps.

    Args:
        neuron: with parameters of shape ``()``, which may be learned.
        current: ``[n_steps, ...]``, or ``[1, ...]`` when it is the same at every step.
        n_steps: the number of time steps.
        state: v before the first step; zeros by default.
    """
    v = None if state is None else state[0]
    beta = neuron.beta if isinstance(neuron, LIF) else torch.ones(())
    numbers = (x.to(current) for x in (beta, neuron.v_threshold, neuron.v_reset))
    spikes, u, v = _ChargeFireReset.apply(current, v, *numbers, n_steps, neuron.reset, neuron.compare)  # type: ignore[no-untyped-call]
    return Fired(spikes, u, (v,))


class _ChargeFireReset(torch.autograd.Function):
    """``u = beta v + I``; a spike where u passes the threshold; then v is u, reset where there is a spike.

    The surrogate of the step's derivative is the triangle ``max(0, 1 - |u - threshold|)`` (TET with gamma 1, Deng et
    al., ICLR 2022). Gradients flow through the reset.
    """

    @staticmethod
    def forward(
        ctx: Any,
        current: Tensor,
        v: Tensor | None,
        beta: Tensor,
        v_threshold: Tensor,
        v_reset: Tensor,
        n_steps: int,
        reset: Reset,
        compare: Compare,
    ) -> tuple[Tensor, Tensor, Tensor]:
        layout = _Layout.of(current)
        flat = layout.flat(current)
        start = None if v is None else layout.flat(v[None])[0]
        spikes, u = (flat.new_empty(n_steps, flat.shape[1]) for _ in range(2))
        last = torch.zeros_like(flat[0]) if start is None else start.clone()
        numbers = (beta, v_threshold, v_reset)
        if is_compiled(flat):
            scalars = (np.float32(x.item()) for x in numbers)
            _forward_loops(*(x.numpy() for x in (flat, last, spikes, u)), *scalars, reset == "soft", compare == ">=")
        else:
            for t in range(n_steps):
                u[t] = beta * last + flat[t if len(flat) > 1 else 0]
                spikes[t] = u[t] >= v_threshold if compare == ">=" else u[t] > v_threshold
                last = _after(u[t], spikes[t], v_threshold, v_reset, reset)
        ctx.save_for_backward(u, start, *numbers)
        ctx.choices = layout, len(flat), reset, compare
        ctx.set_materialize_grads(False)
        return layout.unflat(spikes), layout.unflat(u), layout.unflat(last[None])[0]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        u, start, *numbers = ctx.saved_tensors
        layout, n_currents, reset, compare = ctx.choices
        learned = any(ctx.needs_input_grad[2:5])
        if start is None:
            start = torch.zeros_like(u[0]) if learned else u[0]  # not read
        of_spikes, of_u = (None if grad is None else layout.flat(grad) for grad in grads[:2])
        of_v = torch.zeros_like(u[0]) if grads[2] is None else layout.flat(grads[2][None])[0].clone()
        of_current = torch.zeros_like(u[:1]) if n_currents < len(u) else torch.empty_like(u)
        if of_spikes is None:
            of_spikes = torch.zeros_like(u)
        if is_compiled(u):
            if of_u is None:
                of_u = u.new_empty(0, 0)
            arrays = (x.numpy() for x in (u, start, of_spikes, of_u, of_v, of_current))
            scalars = (np.float32(x.item()) for x in numbers)
            sums = _backward_loops(*arrays, *scalars, reset == "soft", compare == ">=", learned)
            of_numbers = list(torch.from_numpy(sums.sum(axis=0)).to(u))
        else:
            of_numbers = _backward_torch(u, start, of_spikes, of_u, of_v, of_current, numbers, reset, compare)
        of_start = layout.unflat(of_v[None])[0] if ctx.needs_input_grad[1] else None
        return layout.unflat(of_current), of_start, *of_numbers, None, None, None


@dataclass(frozen=True)
class _Layout:
    """The memory layout of ``[n, ...]``, such as channels last; it gives ``[n, elements]`` without a copy."""

    order: tuple[int, ...]  # the dimensions, by stride
    sizes: tuple[int, ...]  # the sizes of all dimensions but the first, in that order

    @classmethod
    def of(cls, x: Tensor) -> "_Layout":
        order = (0, *sorted(range(1, x.ndim), key=x.stride, reverse=True))
        return cls(order, tuple(x.shape[dim] for dim in order[1:]))

    def flat(self, x: Tensor) -> Tensor:
        return x.permute(self.order).contiguous().view(len(x), -1)

    def unflat(self, x: Tensor) -> Tensor:
        inverse = sorted(range(len(self.order)), key=lambda place: self.order[place])
        return x.view(len(x), *self.sizes).permute(inverse)


def is_compiled(x: Tensor) -> bool:
    """Decide whether loops are compiled for a tensor."""
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return False
    return x.dtype == torch.float32 and x.device.type == "cpu"


def _after(u: Tensor, spikes: Tensor, v_threshold: Tensor, v_reset: Tensor, reset: Reset) -> Tensor:
    """Return v after the reset."""
    if reset == "soft":
        return u - spikes * v_threshold
    return (1 - spikes) * u + spikes * v_reset


def _backward_torch(
    u: Tensor,
    start: Tensor,
    of_spikes: Tensor,
    of_u: Tensor | None,
    of_v: Tensor,
    of_current: Tensor,
    numbers: list[Tensor],
    reset: Reset,
    compare: Compare,
) -> list[Tensor]:
    """Do what ``_backward`` does, for all elements at once; return the gradients of the numbers."""
    beta, v_threshold, v_reset = numbers
    of_beta, of_threshold, of_reset = (torch.zeros_like(x) for x in numbers)

    def fired(t: int) -> Tensor:
        return (u[t] >= v_threshold if compare == ">=" else u[t] > v_threshold).to(u.dtype)

    for t in range(len(u) - 1, -1, -1):
        spikes = fired(t)
        steepness = slope(u[t] - v_threshold)
        reset_by = -v_threshold if reset == "soft" else v_reset - u[t]  # v after a spike, minus u
        of_fire = of_v * reset_by + of_spikes[t]
        kept = of_v if reset == "soft" else of_v * (1 - spikes)
        of_threshold -= (of_fire * steepness).sum()
        if reset == "soft":
            of_threshold -= (of_v * spikes).sum()
        else:
            of_reset += (of_v * spikes).sum()
        here = kept + of_fire * steepness
        if of_u is not None:
            here = here + of_u[t]
        if len(of_current) == len(u):
            of_current[t] = here
        else:
            of_current[0] += here
        before = start if t == 0 else _after(u[t - 1], fired(t - 1), v_threshold, v_reset, reset)
        of_beta += (here * before).sum()
        of_v.copy_(beta * here)
    return [of_beta, of_threshold, of_reset]


def _forward(current, v, spikes, u, beta, v_threshold, v_reset, soft, at_threshold):  # type: ignore[no-untyped-def]
    """Fill spikes and u ``[n_steps, n]``; leave the state after the last step in v ``[n]``."""
    n_steps, n = u.shape
    varies = len(current) > 1
    zero, one = np.float32(0), np.float32(1)
    for block in numba.prange((n + BLOCK - 1) // BLOCK):
        here = slice(block * BLOCK, min(n, (block + 1) * BLOCK))
        held = v[here]
        for t in range(n_steps):
            arriving, potentials, fired = current[t if varies else 0][here], u[t][here], spikes[t][here]
            for k in range(len(held)):
                potential = beta * held[k] + arriving[k]
                is_firing = potential >= v_threshold if at_threshold else potential > v_threshold
                spike = one if is_firing else zero
                potentials[k] = potential
                fired[k] = spike
                held[k] = potential - spike * v_threshold if soft else (one - spike) * potential + spike * v_reset


def _backward(  # type: ignore[no-untyped-def]
    u, start, of_spikes, of_u, of_v, of_current, beta, v_threshold, v_reset, soft, at_threshold, learned
):
    """Fill ``of_current``; turn ``of_v [n]`` from the gradient of the last v into the gradient of the first.

    Where the current is the same at every step, ``of_current [1, n]`` enters as zeros. ``of_u`` may be empty. Return
    the gradients of beta, threshold and reset level, a row per block; zeros when they are not ``learned``.
    """
    n_steps, n = u.shape
    zero, one = np.float32(0), np.float32(1)
    varies = len(of_current) == n_steps
    n_blocks = (n + BLOCK - 1) // BLOCK
    sums = np.zeros((n_blocks, 3), np.float64)
    for block in numba.prange(n_blocks):
        here = slice(block * BLOCK, min(n, (block + 1) * BLOCK))
        held = of_v[here]
        for t in range(n_steps - 1, -1, -1):
            potentials, of_fired, total = u[t][here], of_spikes[t][here], of_current[t if varies else 0][here]
            if learned:
                for k in range(len(held)):
                    potential = potentials[k]
                    is_firing = potential >= v_threshold if at_threshold else potential > v_threshold
                    slope = max(zero, one - abs(potential - v_threshold))
                    of_fire = of_fired[k] + held[k] * (-v_threshold if soft else v_reset - potential)
                    sums[block, 1] -= of_fire * slope
                    if is_firing:
                        sums[block, 1 if soft else 2] += -held[k] if soft else held[k]
            for k in range(len(held)):  # from v after this step's reset to u
                potential = potentials[k]
                is_firing = potential >= v_threshold if at_threshold else potential > v_threshold
                slope = max(zero, one - abs(potential - v_threshold))
                of_fire = of_fired[k] + held[k] * (-v_threshold if soft else v_reset - potential)
                kept = zero if is_firing and not soft else held[k]
                held[k] = kept + of_fire * slope
            if len(of_u):
                more = of_u[t][here]
                for k in range(len(held)):
                    held[k] += more[k]
            if learned:
                before = u[t - 1][here] if t > 0 else start[here]
                for k in range(len(held)):
                    last = before[k]
                    if t > 0 and (last >= v_threshold if at_threshold else last > v_threshold):
                        last = last - v_threshold if soft else v_reset
                    sums[block, 0] += held[k] * last
            if varies:
                for k in range(len(held)):
                    total[k] = held[k]
                    held[k] *= beta
            else:
                for k in range(len(held)):
                    total[k] += held[k]
                    held[k] *= beta
    return sums


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile loops that use the same number of threads as torch."""
    loops = numba.njit(parallel=True, cache=True)(function)

    def run(*arguments: Any) -> Any:
        n = torch.get_num_threads()
        numba.set_num_threads(min(n, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
        if torch.get_num_threads() != n:  # numba sets OpenMP's number at its start, and torch uses that
            torch.set_num_threads(n)
        return loops(*arguments)

    return run


_forward_loops, _backward_loops = compiled(_forward), compiled(_backward)
