"""Arithmetic in torch: floats, with a surrogate gradient where a neuron fires, and integers."""

from typing import Any

import torch
from torch import Tensor

from tdd_deploy.neurons import Arithmetic, Compare
from tdd_deploy.neurons.loihi import DECAY


def slope(x: Tensor) -> Tensor:
    """Return the surrogate derivative of firing, given potentials minus their threshold.

    It is the triangle ``max(0, 1 - |x|)``, TET's surrogate with gamma 1 (Deng et al., ICLR 2022).
    """
    return (1 - x.abs()).clamp_(min=0)


class _Fires(torch.autograd.Function):
    """A step in the forward pass, a triangle in the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, compare: Compare) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0 if compare == ">" else x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grads[0] * slope(x), None


class TorchArithmetic:
    """Floating-point tensors: the values of numpy, with gradients."""

    def keep(self, x: Tensor, fraction: Tensor) -> Tensor:
        """Return ``x`` times ``fraction``."""
        return x * fraction

    def fires(self, v: Tensor, v_threshold: Tensor, compare: Compare) -> Tensor:
        """Return 1 where ``v`` passes the threshold, else 0."""
        fired: Tensor = _Fires.apply(v - v_threshold, compare)  # type: ignore[no-untyped-call]
        return fired

    def count(self, v: Tensor, v_threshold: Tensor) -> Tensor:
        """Count how many whole thresholds, above 0, fit into ``v``, without a gradient; 0 where ``v`` is below 0.

        Quotients are rounded, so products decide.
        """
        v = v.detach()
        n = torch.floor(v / v_threshold)
        n = n - (n * v_threshold > v).to(v.dtype) + ((n + 1) * v_threshold <= v).to(v.dtype)
        return n.clamp(min=0)


class TorchIntegers:
    """64-bit integers, without gradients; fractions are multiples of 1/4096."""

    def keep(self, x: Tensor, fraction: Tensor) -> Tensor:
        """Return ``x`` times ``fraction`` / 4096, rounded toward zero."""
        return torch.div(x * fraction, DECAY, rounding_mode="trunc")

    def fires(self, v: Tensor, v_threshold: Tensor, compare: Compare) -> Tensor:
        """Return 1 where ``v`` passes the threshold, else 0."""
        return (v > v_threshold if compare == ">" else v >= v_threshold).to(v.dtype)

    def count(self, v: Tensor, v_threshold: Tensor) -> Tensor:
        """Count how many whole thresholds, above 0, fit into ``v``; 0 where ``v`` is below 0."""
        return torch.div(v, v_threshold, rounding_mode="floor").clamp(min=0)


def arithmetic_of(current: Tensor) -> Arithmetic:
    """Choose the arithmetic for the number format of a current."""
    return TorchArithmetic() if current.is_floating_point() else TorchIntegers()
