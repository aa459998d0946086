"""Epochs with fewer time steps or smaller images, and the network in another size of images.

Learning with few steps first is cheap, and most of what a network learns does not depend on their number. Small images
first are the progressive resizing of fast.ai's DAWNBench entry, Howard, 2018.
"""

import math
from dataclasses import replace

import torch
from torch import nn

from tdd_deploy.errors import BadOption
from tdd_deploy.options.training import TrainOptions
from tdd_deploy.program import Shape

from .build import make_network
from .network import Connection, Network, Neurons
from .samples import Samples, TrainingData, shrunk


class Phases:
    """The time steps and the sizes of images in the epochs of a run, counted from 0.

    Args:
        options: the options of the run.
        data: the samples in their own size.
        network: the network for samples of that size.

    Raises:
        BadOption: the samples are not square images, the last size is not theirs, another size is larger, or a weight
            depends on the size.
    """

    def __init__(self, options: TrainOptions, data: TrainingData, network: Network) -> None:
        self._options = options
        self._data = data
        self._smaller: dict[tuple[int, Shape], Network] = {}
        if not options.sizes:
            return
        _check_images(options.sizes, data)
        for size in sorted(set(options.sizes)):
            shape = (data.input_shape[0], size, size)
            _check_weights(network, _without_weights(options, shape, data.n_classes), options)

    def options(self, epoch: int) -> TrainOptions:
        """Return the options with the number of time steps of an epoch."""
        return replace(self._options, steps=self._options.steps_in(epoch))

    def shape(self, epoch: int) -> Shape:
        """Return the shape of a sample in an epoch."""
        shape, size = self._data.input_shape, self._options.size_in(epoch)
        return shape if size is None else (shape[0], size, size)

    def work(self, epoch: int) -> int:
        """Return the number of values of a sample over the time steps of an epoch, by which its time grows."""
        return self._options.steps_in(epoch) * math.prod(self.shape(epoch))

    def validation(self, epoch: int) -> Samples:
        """Return the validation samples in the size of an epoch."""
        samples = self._data.validation
        return replace(samples, x=shrunk(samples.x, self.shape(epoch)))

    def network(self, network: Network, epoch: int) -> Network:
        """Return a network for the samples of an epoch, which shares all weights with the given one."""
        shape = self.shape(epoch)
        if shape == network.input_shape:
            return network
        key = id(network), shape
        if key not in self._smaller:
            like = _without_weights(self._options, shape, self._data.n_classes)
            parts = [replace(part, module=_shared(part.module, network[part.name])) for part in like.parts]
            self._smaller[key] = type(network)(parts, like.outputs, shape, like.source)
        return self._smaller[key]


def scheduled(options: TrainOptions, epoch: int) -> dict[str, int]:
    """Return what a schedule chose for an epoch, from 0: its number of time steps, and the size of its images."""
    steps = {"steps": options.steps_in(epoch)} if options.steps_schedule else {}
    size = options.size_in(epoch)
    return steps if size is None else {**steps, "size": size}


def _check_images(sizes: tuple[int, ...], data: TrainingData) -> None:
    shape = data.input_shape
    if data.in_time or len(shape) != 3 or shape[1] != shape[2]:
        samples = "samples in time" if data.in_time else f"samples of shape {shape}"
        raise BadOption("size_schedule", f"needs square images (got {samples})")
    if sizes[-1] != shape[1]:
        found = f"ends with images of {sizes[-1]} x {sizes[-1]}"
        raise BadOption("size_schedule", found, remedy=f"End with {shape[1]}, the size of the data.")
    if max(sizes) > shape[1]:
        found = f"has images of {max(sizes)} x {max(sizes)}, larger than those of the data"
        raise BadOption("size_schedule", found, remedy=f"Use sizes up to {shape[1]}.")


def _check_weights(network: Network, smaller: Network, options: TrainOptions) -> None:
    others = smaller.state_dict()
    changed = [name for name, values in network.state_dict().items() if others[name].shape != values.shape]
    if changed:
        found = f"cannot be combined with `network={options.network}`, since {changed[0]} fits one size of images"
        remedy = "Use a network that sums over all places before its dense layers, such as `network=resnet19-small`."
        raise BadOption("size_schedule", found, remedy=remedy)


def _without_weights(options: TrainOptions, shape: Shape, n_classes: int) -> Network:
    """Make the network for samples of a shape, without memory for weights."""
    with torch.device("meta"):
        return make_network(options, shape, n_classes)


def _shared(module: nn.Module, learned: nn.Module) -> nn.Module:
    """Return a part for another size of images, with the weights of the learned part."""
    if isinstance(module, Connection):
        assert isinstance(learned, Connection)
        return Connection(learned.weights, learned.norm, module.input_bits, largest=module.largest, gain=module.gain)
    # Neurons hold numbers that are no part of their state, and norms of currents have a state.
    return learned if isinstance(module, Neurons) or learned.state_dict() else module
