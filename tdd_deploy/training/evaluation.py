"""Evaluate a network on samples, in the arithmetic that is deployed."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tdd_deploy.options.training import TrainOptions

from .ann import ReluNetwork
from .execution import Execution, exact_sums
from .network import Network
from .samples import Samples, encoded

MOST_SAMPLES = 256  # in one batch
MOST_BYTES = 2**30  # of the spikes and potentials of a batch


@dataclass(frozen=True)
class Evaluation:
    """Accuracy, and events per sample, summed over layers of neurons and time steps.

    An ANN has no events. With TAB no delta events are sent, since its linear maps differ from step to step.
    """

    accuracy: float
    raw_events: float | None
    delta_events: float | None


@torch.inference_mode()
def evaluate(
    network: Network, samples: Samples, options: TrainOptions, *, in_time: bool, execution: Execution | None = None
) -> Evaluation:
    """Measure a network, all processes together."""
    place = Execution() if execution is None else execution
    network.eval()
    size = batch_size(network, options.steps)
    starts = range(0, len(samples.y), size)
    correct = raw = delta = 0
    with exact_sums():
        for start in starts[place.processes.rank :: place.processes.n]:
            part = slice(start, start + size)
            generator = torch.Generator().manual_seed(start)
            inputs = encoded(samples.x[part], options, in_time=in_time, generator=generator)
            run = network.unroll(inputs.to(place.device), options.steps)
            correct += n_correct(run.outputs, torch.from_numpy(samples.y[part]))
            for spikes in run.spikes.values():
                raw += int(spikes.count_nonzero())
                delta += int(spikes[0].count_nonzero()) + int((spikes[1:] != spikes[:-1]).sum())
    n = len(samples.y)
    accuracy, raw_events, delta_events = (total / n for total in place.processes.sums([correct, raw, delta]))
    if isinstance(network, ReluNetwork):
        return Evaluation(accuracy, None, None)
    return Evaluation(accuracy, raw_events, delta_events if options.has_program else None)


def batch_size(network: Network, n_steps: int) -> int:
    """Choose the number of samples per batch, each with spikes and potentials of all neurons and steps."""
    of_sample = sum(math.prod(shape) for shape in network.shapes.values()) * n_steps * 2 * 4
    return max(1, min(MOST_SAMPLES, MOST_BYTES // of_sample))


def n_correct(outputs: Tensor, labels: Tensor) -> int:
    """Count the samples whose label has the highest output, summed over time."""
    return int((outputs.detach().sum(0).argmax(1).cpu() == labels.cpu()).sum())
