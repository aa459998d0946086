"""Samples for training, and their form as inputs of a network."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (torch's own convention)

from tdd_deploy.options.training import TrainOptions
from tdd_deploy.program import Shape


@dataclass(frozen=True)
class Samples:
    """Inputs ``x [N, *shape]``, or ``[N, n_steps, *shape]`` in time, and labels ``y [N]``."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The samples of learning, and those of the measurement after each epoch."""

    train: Samples
    validation: Samples
    input_shape: Shape
    n_classes: int
    in_time: bool


def shrunk(x: NDArray[np.float32], shape: Shape) -> NDArray[np.float32]:
    """Return images ``[n, channels, height, width]`` in a smaller size, each pixel the mean of an area.

    Samples of the wanted shape, and those in time, are returned as they are.
    """
    if x.shape[1:] == shape or x.ndim != len(shape) + 1:
        return x
    return F.interpolate(torch.from_numpy(x), shape[1:], mode="area").numpy()


def encoded(x: NDArray[np.float32], options: TrainOptions, *, in_time: bool, generator: torch.Generator) -> Tensor:
    """Encode samples as inputs: ``[n_steps, batch, ...]``, or ``[1, batch, ...]`` when all steps are the same."""
    values = torch.from_numpy(x)
    if in_time:
        values = values[:, : options.steps].transpose(0, 1)
    elif options.encoder == "direct":
        return values[None]
    else:
        values = values.expand(options.steps, *values.shape)
    return torch.bernoulli(values.contiguous(), generator=generator) if options.encoder == "poisson" else values
