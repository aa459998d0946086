"""The arithmetic of torch, with a surrogate gradient where a neuron fires."""

from typing import Any

import torch
from torch import Tensor

from tdd_deploy.neurons import Compare


class _Fires(torch.autograd.Function):
    """Step forward, triangle backward: ``max(0, 1 - |x|)``, TET's surrogate with gamma 1 (Deng et al., ICLR 2022)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, compare: Compare) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0 if compare == ">" else x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grads[0] * (1 - x.abs()).clamp_(min=0), None


class TorchArithmetic:
    """Floating point tensors; the same values as numpy's, and gradients."""

    def keep(self, x: Tensor, fraction: Tensor) -> Tensor:
        """Return ``x`` times ``fraction``."""
        return x * fraction

    def fires(self, v: Tensor, v_threshold: Tensor, compare: Compare) -> Tensor:
        """Return 1 where ``v`` passes the threshold, else 0."""
        fired: Tensor = _Fires.apply(v - v_threshold, compare)  # type: ignore[no-untyped-call]
        return fired
