"""The networks that can be trained, each built node by node.

Sources: ResNet-19 as in TET (Deng et al., ICLR 2022); the Spike-driven Transformer (Yao et al., NeurIPS 2023).
"""

import math
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from tdd_deploy.errors import BadOption
from tdd_deploy.options import vocabulary
from tdd_deploy.program import Shape
from tdd_deploy.program.nodes import windows

from .accumulated import AccumulatedNorm
from .gates import AnyOf, Both
from .network import INPUT, Broadcast, Connection, Flatten, Network, Neurons, Part, SumPool

PIXEL_BITS = 8  # inputs count as multiples of 1/256 in [-1, 1]; with others the first layer alone is inexact
READOUT = "readout"
ATTENTION_THRESHOLD = 0.5  # of the threshold of other neurons
Names = str | tuple[str, ...]


class MakeNeurons(Protocol):
    """A function that makes a layer of neurons."""

    def __call__(self, shape: Shape, before: int, threshold: float = 1.0, window: int = 1) -> Neurons:
        """Make a layer, given its shape, the number of layers before it, a factor of its threshold, and its window."""
        ...


class Builder:
    """A network in the making; every method adds a part and returns its name.

    Args:
        input_shape: the shape of a sample, ``(n,)`` or ``(channels, height, width)``.
        neurons: makes each layer of neurons.
        analog_input: the input is pixels, not spikes.
        source: the name of the input.
        accumulated_steps: normalize currents by accumulated batch norm for this number of time steps (TAB).
    """

    def __init__(
        self,
        input_shape: Shape,
        *,
        neurons: MakeNeurons,
        analog_input: bool,
        source: str = INPUT,
        accumulated_steps: int | None = None,
    ) -> None:
        self.shapes: dict[str, Shape] = {source: input_shape}
        self._source = source
        self._input_shape = input_shape
        self._neurons = neurons
        self._accumulated_steps = accumulated_steps
        self._bits = PIXEL_BITS if analog_input else 0
        self._windows: dict[str, int] = {}  # the number of spikes in a sum
        self._parts: list[Part] = []

    def network(self, outputs: Names) -> Network:
        """Return the network whose outputs are the sum of the named parts."""
        return Network(self._parts, _tuple(outputs), self._input_shape, self._source)

    def conv(self, name: str, sources: Names, channels: int, *, kernel: int = 3, stride: int = 1) -> str:
        """Add a convolution with batch norm; only its stride changes the size."""
        (n_in, *size) = self._shape(sources)
        weights = nn.Conv2d(n_in, channels, kernel, stride, kernel // 2, bias=False)
        shape = (channels, *windows(tuple(size), [kernel] * 2, (stride,) * 2, (kernel // 2,) * 2))
        return self._connect(name, sources, weights, nn.BatchNorm2d(channels), shape)

    def dense(self, name: str, sources: Names, n_out: int) -> str:
        """Add a dense map with batch norm."""
        weights = nn.Linear(math.prod(self._shape(sources)), n_out, bias=False)
        return self._connect(name, self._flat(name, sources), weights, nn.BatchNorm1d(n_out), (n_out,))

    def readout(self, sources: Names, n_classes: int, name: str = READOUT) -> str:
        """Add the last dense map."""
        weights = nn.Linear(math.prod(self._shape(sources)), n_classes)
        return self._connect(name, self._flat(name, sources), weights, None, (n_classes,))

    def fire(self, name: str, sources: Names, *, threshold: float = 1.0, is_mean: bool = False) -> str:
        """Add neurons for the sum of currents.

        Args:
            name: the name of the layer.
            sources: the parts whose currents meet.
            threshold: the layer's threshold, as a fraction of the threshold of other layers.
            is_mean: the layer sees the mean where its sources are sums over all places.
        """
        shape = self._shape(sources)
        before = sum(isinstance(part.module, Neurons) for part in self._parts)
        window = self._window(sources) if is_mean else 1
        return self._add(name, self._neurons(shape, before, threshold, window), sources, shape)

    def both(self, name: str, a: str, b: str) -> str:
        """Add a gate that spikes where both sources do."""
        return self._add(name, Both(), (a, b), self.shapes[a])

    def any_of(self, name: str, source: str) -> str:
        """Add a gate that spikes where any of 3 x 3 spikes does, for every second row and column."""
        channels, *size = self.shapes[source]
        shape = (channels, *windows(tuple(size), AnyOf.kernel, AnyOf.stride, AnyOf.padding))
        return self._add(name, AnyOf(), source, shape)

    def total(self, name: str, sources: Names) -> str:
        """Add the sum over all places, ``(channels, 1, 1)``."""
        channels, *size = self._shape(sources)
        self._windows[name] = math.prod(size)
        return self._add(name, SumPool((size[0], size[1])), sources, (channels, 1, 1))

    def broadcast(self, name: str, source: str, like: str) -> str:
        """Repeat ``(channels, 1, 1)`` at every place of an image, of the size that ``like`` has."""
        channels, height, width = self.shapes[like]
        return self._add(name, Broadcast((height, width)), source, (channels, height, width))

    def _flat(self, target: str, sources: Names) -> Names:
        """Flatten sources, unless they have one dimension already."""
        shape = self._shape(sources)
        if len(shape) == 1:
            return sources
        name = self._add(f"{target}_flatten", Flatten(), sources, (math.prod(shape),))
        self._windows[name] = self._window(sources)
        return name

    def _connect(
        self,
        name: str,
        sources: Names,
        weights: nn.Conv2d | nn.Linear,
        norm: nn.BatchNorm2d | nn.BatchNorm1d | None,
        shape: Shape,
    ) -> str:
        n_steps = None if norm is None else self._accumulated_steps
        is_first = self._source in self._origins(sources)
        window = self._window(sources)
        own = norm if n_steps is None else None
        module = Connection(weights, own, self._bits if is_first else 0, largest=window, gain=1 / window)
        currents = self._add(name, module, sources, shape)
        if n_steps is None:
            return currents
        accumulated = AccumulatedNorm(shape[0], n_steps, has_places=len(shape) == 3)
        return self._add(f"{name}_norm", accumulated, currents, shape)

    def _origins(self, sources: Names) -> set[str]:
        """Return the names that the values of sources come from, through a flatten."""
        parts = {part.name: part for part in self._parts}
        return {
            parts[name].sources[0] if name in parts and isinstance(parts[name].module, Flatten) else name
            for name in _tuple(sources)
        }

    def _window(self, sources: Names) -> int:
        return max(self._windows.get(name, 1) for name in _tuple(sources))

    def _shape(self, sources: Names) -> Shape:
        return self.shapes[_tuple(sources)[0]]

    def _add(self, name: str, module: nn.Module, sources: Names, shape: Shape) -> str:
        self._parts.append(Part(name, module, _tuple(sources)))
        self.shapes[name] = shape
        return name


def _tuple(names: Names) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


@dataclass(frozen=True)
class Plain:
    """3x3 convolutions as (channels, stride), then dense layers, in a chain."""

    convolutions: tuple[tuple[int, int], ...]
    hidden: tuple[int, ...]

    @property
    def needs_images(self) -> bool:
        """Whether samples must be images."""
        return bool(self.convolutions)

    def build(self, make: Builder, n_classes: int) -> str:
        """Add all parts; return the name of the output."""
        last = INPUT
        for number, (channels, stride) in enumerate(self.convolutions, 1):
            last = make.fire(f"conv{number}_spikes", make.conv(f"conv{number}", last, channels, stride=stride))
        for number, n_out in enumerate(self.hidden, 1):
            last = make.fire(f"fc{number}_spikes", make.dense(f"fc{number}", last, n_out))
        return make.readout(last, n_classes)


@dataclass(frozen=True)
class ResNet:
    """A convolution, blocks of two with a shortcut added as currents, and two dense layers."""

    stem: int
    stages: tuple[tuple[int, int, int], ...]  # channels, blocks, stride of the first
    hidden: int
    needs_images = True

    def build(self, make: Builder, n_classes: int) -> str:
        """Add all parts; return the name of the output."""
        last = make.fire("stem_spikes", make.conv("stem", INPUT, self.stem))
        for number, (channels, blocks, stride) in enumerate(self.stages, 1):
            for block in range(1, blocks + 1):
                last = self._block(make, f"stage{number}_block{block}", last, channels, stride if block == 1 else 1)
        last = make.fire("fc1_spikes", make.dense("fc1", make.total("pool", last), self.hidden))
        return make.readout(last, n_classes)

    def _block(self, make: Builder, name: str, source: str, channels: int, stride: int) -> str:
        inner = make.fire(f"{name}_conv1_spikes", make.conv(f"{name}_conv1", source, channels, stride=stride))
        outer = make.conv(f"{name}_conv2", inner, channels)
        shortcut = source
        if make.shapes[source] != make.shapes[outer]:
            shortcut = make.conv(f"{name}_shortcut", source, channels, kernel=1, stride=stride)
        return make.fire(f"{name}_spikes", (outer, shortcut))


@dataclass(frozen=True)
class SpikeDrivenTransformer:
    """Patch splitting by four convolutions, then blocks of attention and MLP whose currents add up.

    Attention multiplies binary spikes: keys with values, summed over all places and fired once per channel, then with
    queries. Its neurons have half the threshold of the others. With a hard reset to 0 they fire exactly where the
    source's do, which is wherever a key meets a value: counts are whole numbers, and one is above one half.

    Two things differ from the source. The second of its two 3 x 3 max poolings acts on currents, and a maximum of
    currents is not linear; here the convolution before it has a stride of 2 instead. Its neurons fire at the threshold
    too, and halve their input: their threshold of 1 is 2 in the units used here.
    """

    channels: tuple[int, int, int, int]
    blocks: int
    mlp_ratio: int = 4
    needs_images = True

    def build(self, make: Builder, n_classes: int) -> str:
        """Add all parts; return the name of the output."""
        first, second, third, width = self.channels
        last = make.fire("patch1_spikes", make.conv("patch1", INPUT, first))
        last = make.fire("patch2_spikes", make.conv("patch2", last, second))
        last = make.any_of("patch3_pool", make.fire("patch3_spikes", make.conv("patch3", last, third)))
        patches = make.conv("patch4", last, width, stride=2)
        position = make.conv("position", make.fire("patch4_spikes", patches), width)
        stream: tuple[str, ...] = (patches, position)  # currents that add up to a block's input
        for block in range(1, self.blocks + 1):
            stream = (*stream, self._attention(make, f"block{block}", stream, width))
            stream = (*stream, self._mlp(make, f"block{block}", stream, width))
        return make.readout(make.fire("head_spikes", make.total("pool", stream), is_mean=True), n_classes)

    def _attention(self, make: Builder, name: str, stream: tuple[str, ...], width: int) -> str:
        x = make.fire(f"{name}_in_spikes", stream)
        query, key, value = (
            make.fire(f"{name}_{part}_spikes", make.conv(f"{name}_{part}", x, width, kernel=1))
            for part in ("query", "key", "value")
        )
        total = make.total(f"{name}_sum", make.both(f"{name}_key_value", key, value))
        attention = make.fire(f"{name}_attention_spikes", total, threshold=ATTENTION_THRESHOLD)
        everywhere = make.broadcast(f"{name}_broadcast", attention, like=query)
        return make.conv(f"{name}_out", make.both(f"{name}_masked", query, everywhere), width, kernel=1)

    def _mlp(self, make: Builder, name: str, stream: tuple[str, ...], width: int) -> str:
        x = make.fire(f"{name}_mlp_in_spikes", stream)
        wide = make.conv(f"{name}_mlp1", x, width * self.mlp_ratio, kernel=1)
        return make.conv(f"{name}_mlp2", make.fire(f"{name}_mlp1_spikes", wide), width, kernel=1)


NETWORKS: dict[vocabulary.Network, Plain | ResNet | SpikeDrivenTransformer] = {
    "mlp": Plain((), (128, 128)),
    "conv-small": Plain(((32, 1), (64, 2), (64, 2)), (128,)),
    "conv-medium": Plain(((32, 1), (32, 2), (64, 1), (64, 2)), (128,)),
    "resnet19": ResNet(64, ((128, 3, 1), (256, 3, 2), (512, 2, 2)), 256),
    "resnet19-small": ResNet(16, ((28, 3, 1), (56, 3, 2), (112, 2, 2)), 64),
    "sdt-2-256": SpikeDrivenTransformer((32, 64, 128, 256), 2),
    "sdt-2-64": SpikeDrivenTransformer((8, 16, 32, 64), 2),
}


def make_network(
    name: vocabulary.Network,
    *,
    input_shape: Shape,
    n_classes: int,
    neurons: MakeNeurons,
    analog_input: bool,
    accumulated_steps: int | None = None,
) -> Network:
    """Make an untrained network for samples ``(n,)`` or ``(channels, height, width)``; see ``Builder``.

    Its initial weights come from torch's global generator.

    Raises:
        BadOption: the network needs images, and the samples are not images.
    """
    architecture = NETWORKS[name]
    if architecture.needs_images and len(input_shape) != 3:
        found = f"needs images (got samples of shape {input_shape})"
        raise BadOption(f"network={name}", found, remedy="Use `network=mlp`, or images.")
    make = Builder(input_shape, neurons=neurons, analog_input=analog_input, accumulated_steps=accumulated_steps)
    return make.network(architecture.build(make, n_classes))
