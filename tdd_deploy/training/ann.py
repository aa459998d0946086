"""ReLU networks in floats and in integers: the ANN baselines that spiking networks are compared with.

A ReLU network has the parts of a spiking network, but a ReLU in the place of every layer of neurons, and one forward
pass. Quantization is post-training: nothing is learned again. Weights are symmetric, with a scale per output channel.
Activations are unsigned, with a scale per layer. Products of integers are summed exactly; a sum is scaled back before
its bias, of 32 bits, is added. Ranges are clipped where the squared error is smallest (Nagel et al., section 3.1).

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

INPUT_BITS = 8  # of the samples at least; fewer would lose information of an image
CLIPS = 32  # ranges that are tried, in equal steps up to the largest value
BINS = 4096  # of the histogram of activations, 16 for each step of 8 bits


class ReluNetwork(Network):
    """A network of connections and ReLUs.

    When it is deployed, batch norm is folded in. Weights stay off the grid that exact sums of spikes need.
    """

    @property
    def device(self) -> torch.device:
        """The device that holds its weights."""
        return next(chain(self.parameters(), self.buffers())).device

    @torch.no_grad()
    def deployed(self) -> dict[str, Weights]:
        """Return weight and bias of each connection in float32, batch norm folded in."""
        folded = ((name, connection.folded()) for name, connection in self.connections.items())
        return {name: (weight.float(), bias.float()) for name, (weight, bias) in folded}


def relu_network_of(network: Network) -> ReluNetwork:
    """Return the ReLU network of a spiking network without gates; both share their connections."""
    parts = [replace(each, module=Relu()) if isinstance(each.module, Neurons) else each for each in network.parts]
    return ReluNetwork(parts, network.outputs, network.input_shape, network.source)


@dataclass(frozen=True, kw_only=True)
class Widths:
    """The widths of a ReLU network in integers, in bits.

    Args:
        weights: the width of weights.
        activations: the width of activations; the network's input has ``INPUT_BITS`` at least.
    """

    weights: int
    activations: int


@dataclass(frozen=True)
class Grid:
    """The values of the integers ``low`` to ``high``: multiples of ``scale``, one number or one per channel."""

    scale: Tensor
    low: int
    high: int

    def integers(self, x: Tensor) -> Tensor:
        """Return the integers nearest to values, clipped."""
        return (x / self.scale).round_().clamp_(self.low, self.high)

    def nearest(self, x: Tensor) -> Tensor:
        """Return the values of the integers nearest to values, clipped."""
        return self.integers(x).mul_(self.scale)


@dataclass(frozen=True)
class Calibration:
    """The values that the parts of a ReLU network send for calibration samples.

    Args:
        largest_input: the largest magnitude of a sample's values.
        input_is_signed: whether any of these values is below 0.
        values: the middles of ``BINS`` bins from 0 to the largest value, for each ReLU and pool by name.
        counts: the number of values in each bin.
    """

    largest_input: Tensor
    input_is_signed: bool
    values: dict[str, Tensor]
    counts: dict[str, Tensor]

    def input_grid(self, bits: int) -> Grid:
        """Return a grid up to the largest value; for images ``k / 256`` it is their own grid in 8 and in 16 bits."""
        largest, is_signed = self.largest_input, self.input_is_signed
        high = 2 ** (max(INPUT_BITS, bits) - is_signed) - 1
        return Grid(torch.where(largest > 0, largest, 1.0) / high, -high if is_signed else 0, high)

    def grid(self, name: str, bits: int) -> Grid:
        """Return the unsigned grid of one part's values."""
        values, counts = self.values[name], self.counts[name]
        largest = values[-1:] + values[:1]  # the end of the last bin, half a bin above its middle
        found = _best(values, 0, 2**bits - 1, largest=largest, counts=counts)
        return replace(found, scale=found.scale.float())


@torch.inference_mode()
def calibrate(network: ReluNetwork, x: Tensor, *, size: int) -> Calibration:
    """Run a ReLU network in evaluation mode on samples ``[n, ...]``, ``size`` at once."""
    largest: dict[str, Tensor] = {}
    for sent in _sent(network, x, size):
        for name, values in sent.items():
            largest[name] = torch.maximum(values.max(), largest.get(name, values.new_zeros(())))
    tops = {name: float(top) or 1.0 for name, top in largest.items()}  # any range suits a silent part
    counts = {name: torch.zeros(BINS, dtype=torch.float64, device=x.device) for name in tops}
    for sent in _sent(network, x, size):
        for name, values in sent.items():
            counts[name] += torch.histc(values.float(), BINS, 0, tops[name])
    middles = (torch.arange(BINS, dtype=torch.float64, device=x.device) + 0.5) / BINS
    values_of_bins = {name: middles * top for name, top in tops.items()}
    return Calibration(x.abs().max(), bool(x.min() < 0), values_of_bins, counts)


def _sent(network: ReluNetwork, x: Tensor, size: int) -> Iterator[dict[str, Tensor]]:
    """Yield the values that each ReLU and pool of a network sends for a batch."""
    for batch in torch.split(x, size):
        with recording(network, Relu, SumPool) as recorded:
            network.step(batch)
        yield {name: sent for name, (_, sent) in recorded.items()}


@torch.no_grad()
def quantized(network: ReluNetwork, calibration: Calibration, widths: Widths) -> ReluNetwork:
    """Return a ReLU network in integers.

    Every ReLU stores its output in integers, and so does every pool, whose sums would need more bits.
    """
    grids = {network.source: calibration.input_grid(widths.activations)}
    parts = []
    for part in network.parts:
        made: nn.Module = part.module
        match made:
            case Connection():
                (source,) = part.sources
                made = IntegerMap(made, grids[source], widths.weights)
            case Relu() | SumPool():
                grids[part.name] = calibration.grid(part.name, widths.activations)
                made = StoredRelu(grids[part.name]) if isinstance(made, Relu) else StoredPool(made, grids[part.name])
            case Flatten():
                (source,) = part.sources
                grids[part.name] = grids[source]
        parts.append(replace(part, module=made))
    return ReluNetwork(parts, network.outputs, network.input_shape, network.source).eval()


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
    """A connection in integers, whose sums are exact: float32 up to 2**24, float64 above.

    Args:
        connection: its folded weights become integers, scaled per output channel.
        received: the grid of its inputs.
        bits: the width of a weight.
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
        return (sums * self.scale).add_(self.bias).float()


def weight_grid(weight: Tensor, bits: int) -> Grid:
    """Return the symmetric grid of weights ``[n_out, ...]``, with a scale per output channel."""
    high = 2 ** (bits - 1) - 1
    return _best(weight, -high, high, largest=weight.flatten(1).abs().amax(1).reshape(-1, *[1] * (weight.ndim - 1)))


def _best(x: Tensor, low: int, high: int, *, largest: Tensor, counts: Tensor | None = None) -> Grid:
    """Search the grid that leaves the least squared error, among ranges up to fractions of ``largest``.

    Args:
        x: values; channels along the first axis where ``largest`` has several numbers.
        low: the smallest integer.
        high: the largest integer.
        largest: the largest value, or that of each channel, in a shape that broadcasts to ``x``.
        counts: the multiplicity of each value; 1 by default.
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
def recording(network: Network, *kinds: type[nn.Module]) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Record by name the values that parts of some kinds receive and send."""
    recorded: dict[str, tuple[Tensor, Tensor]] = {}

    def hook_of(name: str) -> Callable[..., None]:
        def record(module: nn.Module, received: tuple[Tensor], sent: Tensor) -> None:
            recorded[name] = received[0], sent

        return record

    chosen = (part for part in network.parts if isinstance(part.module, kinds))
    hooks = [part.module.register_forward_hook(hook_of(part.name)) for part in chosen]
    try:
        yield recorded
    finally:
        for hook in hooks:
            hook.remove()
