"""How parameters follow their gradients: the optimizer, its learning rate, and the average of networks."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tdd_deploy.options.training import TrainOptions

from .network import Network

Tensors = tuple[Tensor, ...] | list[Tensor]


def make_optimizer(options: TrainOptions, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the optimizer that is asked for."""
    rate, decay = options.learning_rate, options.weight_decay
    if options.optimizer == "sgd":
        assert options.momentum is not None
        return torch.optim.SGD(parameters, lr=rate, weight_decay=decay, momentum=options.momentum)
    kind = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
    return kind(parameters, lr=rate, weight_decay=decay)


def learning_rate(options: TrainOptions, done: int, n_batches: int) -> float:
    """Return the learning rate of the batch behind ``done`` others, ``n_batches`` of which are an epoch."""
    warming = options.warmup * n_batches
    if done < warming:
        return options.learning_rate * (done + 1) / math.ceil(warming)
    if options.schedule == "constant":
        return options.learning_rate
    gone = (done - warming) / (options.epochs * n_batches - warming)
    return options.learning_rate * (1 + math.cos(math.pi * gone)) / 2


def averaged(options: TrainOptions, network: Network) -> AveragedModel | None:
    """Return the exponential moving average of a network, its statistics included; None when it is not asked for.

    Of n networks behind the first it keeps ``(1 + n) / (10 + n)`` at most, so that the first is soon forgotten.
    """
    if options.ema is None:
        return None
    highest = options.ema

    def average(kept: Tensors, current: Tensors, n: Tensor | int) -> None:
        decay = min(highest, (1 + int(n)) / (10 + int(n)))
        get_ema_multi_avg_fn(decay)(kept, current, n)  # type: ignore[no-untyped-call]

    return AveragedModel(network, multi_avg_fn=average, use_buffers=True)
