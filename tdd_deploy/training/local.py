"""Cut networks into parts that learn from heads of their own.

Source: STDL, "Spatio-Temporal Decoupled Learning for Spiking Neural Networks", 2025: a head has the largest subset of
later layers that a memory budget allows.
"""

import math
from dataclasses import dataclass, field

from torch import nn

from tdd_deploy.errors import BadOption

from .architectures import Builder, MakeNeurons
from .network import Network, Neurons

BUDGET = 0.5  # activations of a head, at most, as a fraction of those of its part


@dataclass(frozen=True)
class LocalParts:
    """Networks that hold the parts of one network, in order; all but the last end in a head.

    Parameters of ``heads`` are used only for learning; they are not deployed.
    """

    networks: tuple[Network, ...]
    borders: tuple[str, ...]  # the layers whose spikes enter the second and further networks
    heads: nn.ModuleList = field(default_factory=nn.ModuleList)


def borders(network: Network) -> list[str]:
    """Find the layers that are the only connection between their upstream and their downstream parts."""
    found = []
    for place, part in enumerate(network.parts):
        before = {earlier.name for earlier in network.parts[:place]} | {network.source}
        used = {name for later in network.parts[place + 1 :] for name in later.sources} | set(network.outputs)
        if isinstance(part.module, Neurons) and not before & used:
            found.append(part.name)
    return found


def cut(network: Network, n_parts: int, *, neurons: MakeNeurons, n_classes: int, budget: float = BUDGET) -> LocalParts:
    """Cut a network into parts of about the same number of activations, and add a head to all but the last.

    A head has 3 x 3 convolutions or dense maps, each with the channels and the size of a later layer of the network,
    and a readout. Later layers are taken from the last on, while their activations stay within ``budget`` times those
    of the part. Without any, the head is the readout alone.

    Raises:
        BadOption: the network has fewer places where it can be cut.
    """
    places = borders(network)[:-1]  # after the last there is only the readout
    most = len(places) + 1
    if n_parts > most:
        raise BadOption("local_parts", str(n_parts), f"at most {most}, as this network can be cut into {most}")
    sizes = {name: math.prod(shape) for name, shape in network.shapes.items()}
    chosen = _even(places, sizes, n_parts)
    order = [part.name for part in network.parts]
    networks, heads = [], nn.ModuleList()
    start, source, shape = 0, network.source, network.input_shape
    for name in chosen:
        end = order.index(name) + 1
        part = network.parts[start:end]
        most_activations = budget * sum(sizes.get(each.name, 0) for each in part)
        head = _head(network, name, most_activations, neurons=neurons, n_classes=n_classes)
        heads.append(head)
        networks.append(Network([*part, *head.parts], head.outputs, shape, source))
        start, source, shape = end, name, network.shapes[name]
    networks.append(Network(network.parts[start:], network.outputs, shape, source))
    return LocalParts(tuple(networks), tuple(chosen), heads)


def _even(places: list[str], sizes: dict[str, int], n_parts: int) -> list[str]:
    """Choose the places to cut, so that parts have about the same number of activations."""
    total, reached, sums = sum(sizes.values()), 0, {}
    for name, size in sizes.items():
        reached += size
        sums[name] = reached
    chosen: list[str] = []
    for k in range(1, n_parts):
        left = [name for name in places if name not in chosen and (not chosen or sums[name] > sums[chosen[-1]])]
        left = left[: len(left) - (n_parts - 1 - k)]  # leave places for the cuts to come
        chosen.append(min(left, key=lambda name: abs(sums[name] - total * k / n_parts)))
    return chosen


def _head(network: Network, border: str, most_activations: float, *, neurons: MakeNeurons, n_classes: int) -> Network:
    """Build a head for the spikes of a layer; its input has the name of that layer."""
    chosen: list[str] = []
    end = [part.name for part in network.parts].index(border) + 1
    for part in reversed(network.parts[end:]):
        size = math.prod(network.shapes.get(part.name, ()))
        if isinstance(part.module, Neurons) and size <= most_activations:
            chosen.insert(0, part.name)
            most_activations -= size
    make = Builder(network.shapes[border], neurons=neurons, analog_input=False, source=border)
    last = border
    for name in chosen:
        shape, before = network.shapes[name], make.shapes[last]
        new = f"{border}_head_{name}"
        if len(shape) == 1 or len(before) == 1:
            current = make.dense(f"{new}_map", _flat(make, last, new), math.prod(shape))
        else:
            current = make.conv(f"{new}_map", last, shape[0], stride=max(1, before[1] // shape[1]))
        last = make.fire(new, current)
    return make.network(make.readout(_flat(make, last, f"{border}_head"), n_classes, name=f"{border}_head_readout"))


def _flat(make: Builder, last: str, name: str) -> str:
    """Return a layer, or if it is a large image, its sums over all places."""
    shape = make.shapes[last]
    return make.total(f"{name}_sum", last) if len(shape) == 3 and max(shape[1:]) > 4 else last
