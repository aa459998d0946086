"""The optimizer, its learning rate, and the moving average of networks."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tdd_deploy.options.training import TrainOptions

from .network import Network

Tensors = tuple[Tensor, ...] | list[Tensor]


def make_optimizer(options: TrainOptions, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Make the optimizer of a run."""
    rate, decay = options.learning_rate, options.weight_decay
    if options.optimizer == "sgd":
        assert options.momentum is not None
        return torch.optim.SGD(parameters, lr=rate, weight_decay=decay, momentum=options.momentum)
    kind = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
    return kind(parameters, lr=rate, weight_decay=decay)


def learning_rate(options: TrainOptions, done: int, n_batches: int) -> float:
    """Return the learning rate after ``done`` batches, given ``n_batches`` per epoch."""
    warming = options.warmup * n_batches
    if done < warming:
        return options.learning_rate * (done + 1) / math.ceil(warming)
    if options.schedule == "constant":
        return options.learning_rate
    gone = (done - warming) / (options.epochs * n_batches - warming)
    return options.learning_rate * (1 + math.cos(math.pi * gone)) / 2


def averaged(options: TrainOptions, network: Network) -> AveragedModel | None:
    """Make the exponential moving average of a network and its statistics; None for a run without one.

    After n updates it keeps at most the fraction ``(1 + n) / (10 + n)``, so that it soon forgets the first network.
    """
    if options.ema is None:
        return None
    highest = options.ema

    def average(kept: Tensors, current: Tensors, n: Tensor | int) -> None:
        decay = min(highest, (1 + int(n)) / (10 + int(n)))
        get_ema_multi_avg_fn(decay)(kept, current, n)  # type: ignore[no-untyped-call]

    return AveragedModel(network, multi_avg_fn=average, use_buffers=True)
