"""The dense ANN twin of a spiking network, and the same in integers: the baseline of its energy.

A twin has the parts of the network, a ReLU in the place of every layer of neurons, and one forward pass. Quantisation
is post-training: nothing is learned again. Weights are symmetric, with a scale per output channel; activations
unsigned, with a scale per layer; products of integers are summed exactly, and a sum is scaled back before its bias, of
32 bits, is added. Where a range is clipped is decided by the squared error it leaves (Nagel et al., section 3.1).

Sources: integer inference with batch norm folded in, Jacob et al., CVPR 2018; ranges, symmetric weights per channel and
unsigned activations, Nagel et al., "A White Paper on Neural Network Quantization", arXiv:2106.08295, 2021.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain

import torch
from torch import Tensor, nn

from tdd_deploy.program.exact import MANTISSA_BITS

from .network import Connection, Flatten, Map, Network, Neurons, Relu, SumPool, Weights

INPUT_BITS = 8  # an image comes in 8 bits; fewer would take away what the data has
CLIPS = 32  # ranges that are tried: so many equal steps up to the largest value
BINS = 4096  # of an activation's histogram, 16 to a step of 8 bits


class Twin(Network):
    """A network of connections and ReLUs. Deployed, its batch norm is folded in; no sums of spikes ask for a grid."""

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(chain(self.parameters(), self.buffers())).device

    @torch.no_grad()
    def deployed(self) -> dict[str, Weights]:
        """Return weight and bias of each connection in float32, batch norm folded in."""
        folded = ((name, connection.folded()) for name, connection in self.connections.items())
        return {name: (weight.float(), bias.float()) for name, (weight, bias) in folded}


def twin_of(network: Network) -> Twin:
    """Return the dense twin of a network without gates; it takes the connections as they are."""
    parts = [replace(each, module=Relu()) if isinstance(each.module, Neurons) else each for each in network.parts]
    return Twin(parts, network.outputs, network.input_shape, network.source)


@dataclass(frozen=True)
class Grid:
    """What integers of ``low`` to ``high`` stand for: multiples of ``scale``, one number or one per channel."""

    scale: Tensor
    low: int
    high: int

    def integers(self, x: Tensor) -> Tensor:
        """Return the integers nearest to values, clipped."""
        return (x / self.scale).round().clamp(self.low, self.high)

    def nearest(self, x: Tensor) -> Tensor:
        """Return the values that these integers stand for."""
        return self.integers(x) * self.scale


@dataclass(frozen=True)
class Calibration:
    """What the parts of a twin gave for calibration samples.

    Args:
        input: the range of the samples, its grid of 8 bits.
        values: the middles of ``BINS`` bins from 0 to the largest value, for each ReLU and pool by name.
        counts: how many values are in each.
    """

    input: Grid
    values: dict[str, Tensor]
    counts: dict[str, Tensor]

    def grid(self, name: str, bits: int) -> Grid:
        """Return the unsigned grid of one part's values."""
        values, counts = self.values[name], self.counts[name]
        found = _best(values, 0, 2**bits - 1, largest=values[-1:], counts=counts)
        return replace(found, scale=found.scale.float())


@torch.inference_mode()
def calibrate(network: Twin, x: Tensor, *, size: int) -> Calibration:
    """Run a twin in evaluation mode on samples ``[n, ...]``, ``size`` at once."""
    largest: dict[str, Tensor] = {}
    for given in _given(network, x, size):
        for name, values in given.items():
            largest[name] = torch.maximum(values.max(), largest.get(name, values.new_zeros(())))
    tops = {name: float(top) or 1.0 for name, top in largest.items()}  # of what is silent, any range will do
    counts = {name: torch.zeros(BINS, dtype=torch.float64, device=x.device) for name in tops}
    for given in _given(network, x, size):
        for name, values in given.items():
            counts[name] += torch.histc(values.float(), BINS, 0, tops[name])
    middles = (torch.arange(BINS, dtype=torch.float64, device=x.device) + 0.5) / BINS
    return Calibration(_input_grid(x), {name: middles * top for name, top in tops.items()}, counts)


def _given(network: Twin, x: Tensor, size: int) -> Iterator[dict[str, Tensor]]:
    """Yield what each ReLU and pool of a network gives for a batch."""
    for batch in torch.split(x, size):
        with listening(network, Relu, SumPool) as heard:
            network.step(batch)
        yield {name: given for name, (_, given) in heard.items()}


def _input_grid(x: Tensor) -> Grid:
    """Return a grid up to the largest value: of images ``k / 256`` it is their own."""
    largest, is_signed = x.abs().max(), bool(x.min() < 0)
    high = 2 ** (INPUT_BITS - is_signed) - 1
    return Grid(torch.where(largest > 0, largest, 1.0) / high, -high if is_signed else 0, high)


@torch.no_grad()
def quantized(network: Twin, calibration: Calibration, bits: int) -> Twin:
    """Return a twin in integers: weights and activations of ``bits`` bits, the input of 8.

    Every ReLU stores its output in integers, and so does every pool, whose sums would need more bits.
    """
    grids = {network.source: calibration.input}
    parts = []
    for part in network.parts:
        made: nn.Module = part.module
        match made:
            case Connection():
                (source,) = part.sources
                made = IntegerMap(made, grids[source], bits)
            case Relu() | SumPool():
                grids[part.name] = calibration.grid(part.name, bits)
                made = StoredRelu(grids[part.name]) if isinstance(made, Relu) else StoredPool(made, grids[part.name])
            case Flatten():
                (source,) = part.sources
                grids[part.name] = grids[source]
        parts.append(replace(part, module=made))
    return Twin(parts, network.outputs, network.input_shape, network.source).eval()


class StoredRelu(Relu):
    """A ReLU whose activations are on a grid."""

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, current: Tensor) -> Tensor:
        """Return activations."""
        return self.grid.nearest(current)


class StoredPool(SumPool):
    """Sums over windows, on a grid."""

    def __init__(self, pool: SumPool, grid: Grid) -> None:
        super().__init__(pool.kernel)
        self.grid = grid

    def forward(self, x: Tensor) -> Tensor:
        """Return the sums."""
        return self.grid.nearest(super().forward(x))


class IntegerMap(Map):
    """A connection in integers, whose sums are exact: in float32 up to 2**24, beyond in float64.

    Args:
        connection: whose folded weights become integers of ``bits`` bits, per output channel.
        received: the grid of its inputs.
        bits: of a weight.
    """

    weight: Tensor

    def __init__(self, connection: Connection, received: Grid, bits: int) -> None:
        super().__init__()
        folded, bias = connection.folded()
        grid = weight_grid(folded, bits)
        weight = grid.integers(folded)
        bound = float(weight.abs().flatten(1).sum(1).max()) * received.high
        self.current = connection.current
        self.received = received
        exact = torch.float32 if bound <= 2.0 ** MANTISSA_BITS["float32"] else torch.float64
        self.register_buffer("weight", weight.to(exact))
        shape = (-1, *[1] * (weight.ndim - 2))
        self.scale = (grid.scale.flatten() * received.scale).reshape(shape)
        self.bias = bias.reshape(shape)

    def forward(self, x: Tensor) -> Tensor:
        """Return currents ``[n, ...]``."""
        sums = self.current(self.received.integers(x).to(self.weight), self.weight, None)
        return (sums * self.scale + self.bias).float()


def weight_grid(weight: Tensor, bits: int) -> Grid:
    """Return the symmetric grid of weights ``[n_out, ...]``, with a scale per output channel."""
    high = 2 ** (bits - 1) - 1
    return _best(weight, -high, high, largest=weight.flatten(1).abs().amax(1).reshape(-1, *[1] * (weight.ndim - 1)))


def _best(x: Tensor, low: int, high: int, *, largest: Tensor, counts: Tensor | None = None) -> Grid:
    """Return the grid that leaves least squared error, of ranges up to fractions of ``largest``.

    Args:
        x: values; where ``largest`` has several, one per channel, along the first axis.
        low: the least integer.
        high: the largest.
        largest: of the values, in a shape that fits theirs.
        counts: how often each value is there; once by default.
    """
    full = Grid(torch.where(largest > 0, largest, 1.0) / high, low, high)
    best, least = full.scale, torch.full_like(largest, torch.inf)
    for part in range(1, CLIPS + 1):
        grid = replace(full, scale=full.scale * (part / CLIPS))
        squares = (grid.nearest(x) - x).square()
        weighted = squares if counts is None else squares * counts
        error = weighted.reshape(len(largest), -1).sum(1).reshape(largest.shape)
        best, least = torch.where(error < least, grid.scale, best), torch.minimum(error, least)
    return replace(full, scale=best)


@contextmanager
def listening(network: Network, *kinds: type[nn.Module]) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Note by name what parts of some kinds receive and give."""
    heard: dict[str, tuple[Tensor, Tensor]] = {}

    def ear(name: str) -> Callable[..., None]:
        def hear(module: nn.Module, received: tuple[Tensor], given: Tensor) -> None:
            heard[name] = received[0], given

        return hear

    chosen = (part for part in network.parts if isinstance(part.module, kinds))
    hooks = [part.module.register_forward_hook(ear(part.name)) for part in chosen]
    try:
        yield heard
    finally:
        for hook in hooks:
            hook.remove()
