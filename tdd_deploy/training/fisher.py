"""Fisher information of weights, time step by time step.

Source: [KIM] Kim et al., "Exploring Temporal Information Dynamics in Spiking Neural Networks", AAAI 2023: while a
network learns, its information moves to early time steps ("temporal information concentration").
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (torch's own convention)
from torch.nn.grad import conv2d_weight

from .network import Network

CHUNK = 16  # samples whose gradients are held at once
FISHER = "fisher_"  # with a time step, from 1 on, the key of a trace in the record of an epoch


@dataclass(frozen=True)
class Information:
    """Squared gradients of ``log p(label)``; entry t - 1 belongs to the outputs up to step t.

    Attributes:
        sums: sums over samples, per time step and connection, in the shape of its weights.
        n_samples: the number of samples.

    """

    sums: tuple[Mapping[str, Tensor], ...]
    n_samples: int

    def __add__(self, other: Self) -> Self:
        both = zip(self.sums, other.sums, strict=True)
        sums = tuple({name: values + b[name] for name, values in a.items()} for a, b in both)
        return type(self)(sums, self.n_samples + other.n_samples)

    @property
    def traces(self) -> list[float]:
        """The mean over samples, summed over all weights, per time step."""
        return [sum(float(values.double().sum()) for values in step.values()) / self.n_samples for step in self.sums]

    def early(self) -> dict[str, Tensor]:
        """Return the mean of each weight, summed over the steps up to the centroid, at least the first."""
        center = centroid(self.traces)
        last = 1 if center is None else max(1, int(center))
        return {
            name: torch.stack([step[name] for step in self.sums[:last]]).sum(0) / self.n_samples
            for name in self.sums[0]
        }


def centroid(traces: Sequence[float]) -> float | None:
    """Return the time step, from 1 on, around which information lies: ``sum t I_t / sum I_t``; None without any."""
    total = sum(traces)
    return sum(t * trace for t, trace in enumerate(traces, 1)) / total if total > 0 else None


def recorded_traces(epoch: Mapping[str, Any]) -> list[float]:
    """Return the traces per time step in the record of an epoch; none where they were not recorded."""
    steps = sorted(int(name.removeprefix(FISHER)) for name in epoch if name.startswith(FISHER))
    return [epoch[f"{FISHER}{step}"] for step in steps]


def information(network: Network, inputs: Tensor, labels: Tensor, n_steps: int) -> Information:
    """Measure the empirical Fisher information of a network's weights after 1, 2, ... time steps.

    At step t it is the squared gradient of ``log p[label]`` with ``p = softmax(sum of the first t outputs / t)``, the
    mean over samples. Labels come from the data, as in [KIM], and are not drawn from p. So the information vanishes
    where a network is sure and right. Weights are those that are deployed, batch norm folded in, without biases. Firing
    has its surrogate derivative.

    Args:
        network: in floats; put into evaluation mode.
        inputs: ``[n_steps, n_samples, ...]``, or ``[1, n_samples, ...]`` when they are the same at every step.
        labels: classes ``[n_samples]``.
        n_steps: the number of time steps.
    """
    network.eval()
    connections = network.connections
    sums = [{name: torch.zeros_like(c.weights.weight) for name, c in connections.items()} for _ in range(n_steps)]
    for start in range(0, len(labels), CHUNK):
        part = slice(start, start + CHUNK)
        for step, name, gradients in _gradients(network, inputs[:, part], labels[part], n_steps):
            sums[step][name] += gradients.square().sum(0)
    return Information(tuple(sums), len(labels))


def _gradients(network: Network, x: Tensor, labels: Tensor, n_steps: int) -> Iterator[tuple[int, str, Tensor]]:
    """Yield step from 0, connection, and the gradient of each sample ``[batch, *weight]``.

    In evaluation mode samples are independent, so one backward pass gives the gradients of the currents of each. With
    the inputs of a connection they give the gradients of its weights.
    """
    with torch.enable_grad(), _recording(network) as record:
        outputs = network.unroll(x, n_steps).outputs
        means = outputs.cumsum(0) / torch.arange(1, n_steps + 1, device=outputs.device)[:, None, None]
        likelihoods = [-F.cross_entropy(logits, labels, reduction="sum") for logits in means]
    currents = [current for _, current in record.values()]
    for step, likelihood in enumerate(likelihoods):
        found = torch.autograd.grad(likelihood, currents, retain_graph=step + 1 < n_steps, materialize_grads=True)
        for (name, (received, _)), gradient in zip(record.items(), found, strict=True):
            x_in_time, in_time = (values.view(-1, len(labels), *values.shape[1:]) for values in (received, gradient))
            yield step, name, _of_weights(network.connections[name].weights, x_in_time, in_time)


def _of_weights(weights: nn.Conv2d | nn.Linear, x: Tensor, gradient: Tensor) -> Tensor:
    """Return the gradients ``[batch, *weight]``, given inputs and gradients of currents, both ``[n, batch, ...]``."""
    if isinstance(weights, nn.Linear):
        return torch.einsum("nbo,nbi->boi", gradient, x)

    def of_one(x: Tensor, gradient: Tensor) -> Tensor:
        shape, choices = weights.weight.shape, (weights.stride, weights.padding, weights.dilation, weights.groups)
        return conv2d_weight(x, shape, gradient, *choices)  # type: ignore[no-untyped-call, no-any-return]

    return torch.vmap(of_one, in_dims=1)(x, gradient)


@contextmanager
def _recording(network: Network) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Record the inputs of each connection and the currents it makes, which get gradients."""
    record: dict[str, tuple[Tensor, Tensor]] = {}

    def note(name: str, module: nn.Module, received: tuple[Any, ...], current: Tensor) -> None:
        if not current.requires_grad:  # nothing upstream has a gradient
            current.requires_grad_()
        record[name] = received[0].detach(), current

    with ExitStack() as hooks:
        for name, connection in network.connections.items():
            handle = connection.register_forward_hook(partial(note, name))
            hooks.callback(handle.remove)
        yield record
