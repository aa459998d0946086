"""Spiking networks in torch: a graph of maps and neurons, unrolled over time.

A network has the nodes of its Program; a node with several sources takes their sum. In training mode a connection has
weights, then batch norm. In evaluation mode it is as it will be exported: batch norm is folded into the weights, which
lie on the binary grid of ``program/exact.py``. So the network that is evaluated is the network that is deployed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F  # noqa: N812  (torch's own convention)

from tdd_deploy.neurons import IF, LIF, Neuron, Observing, State
from tdd_deploy.program import Shape
from tdd_deploy.program.exact import bound_of, grid_of, on_grid

from .accumulated import AccumulatedNorm
from .arithmetic import TorchArithmetic, arithmetic_of, slope
from .fused import Fired, charge_fire_reset, is_fused
from .gates import Gate

INPUT = "input"
OUTPUTS = "outputs"
Weights = tuple[Tensor, Tensor]  # weight and bias of a connection
States = Mapping[str, State]  # by layer of neurons


class Map(nn.Module):
    """A linear map without memory: ``[n, ...]`` to ``[n, ...]``, time steps and samples together."""


class Connection(Map):
    """Weights, with or without batch norm.

    Args:
        weights: the learned map.
        norm: batch norm after it.
        input_bits: fractional bits of the inputs: 0 for spikes, 8 for pixels k / 256.
        largest: the largest magnitude of an input: 1 for spikes, the window's size for sums over windows of them.
        gain: a constant factor of the inputs, such as the 1 / n that makes a sum an average.
    """

    def __init__(
        self,
        weights: nn.Conv2d | nn.Linear,
        norm: nn.BatchNorm2d | nn.BatchNorm1d | None,
        input_bits: int,
        *,
        largest: int = 1,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.weights = weights
        self.norm = norm
        self.input_bits = input_bits
        self.largest = largest
        self.gain = gain
        self.deployed: Weights | None = None  # in evaluation mode

    def forward(self, x: Tensor) -> Tensor:
        """Return currents ``[n, ...]``."""
        if self.deployed is not None:
            return self.current(x, *self.deployed)
        weight = self.weights.weight if self.gain == 1 else self.weights.weight * self.gain
        current = self.current(x, weight, self.weights.bias)
        return current if self.norm is None else self.norm(current)

    def frozen(self, x: Tensor) -> Tensor:
        """Return currents without their constant part: batch norm scales by its running statistics."""
        weight = self.folded()[0] if self.deployed is None else self.deployed[0]
        return self.current(x, weight.detach().to(x), None)

    def current(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the currents of other weights and biases instead of its own."""
        if isinstance(self.weights, nn.Linear):
            return F.linear(x, weight, bias)
        return F.conv2d(x, weight, bias, self.weights.stride, self.weights.padding, groups=self.weights.groups)

    def folded(self) -> Weights:
        """Return weight and bias in float64, the gain and the batch norm's running statistics folded in."""
        weight = self.weights.weight.double() * self.gain
        bias = weight.new_zeros(len(weight)) if self.weights.bias is None else self.weights.bias.double()
        if self.norm is not None:
            assert self.norm.running_var is not None
            assert self.norm.running_mean is not None
            scale = self.norm.weight.double() / torch.sqrt(self.norm.running_var.double() + self.norm.eps)
            bias = (bias - self.norm.running_mean.double()) * scale + self.norm.bias.double()
            weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
        return weight, bias


class SumPool(Map):
    """Sums over windows; the gain of the next connection turns them into averages."""

    def __init__(self, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        """Return the sums."""
        values = x if x.is_floating_point() else x.double()  # integers, exactly
        return F.avg_pool2d(values, self.kernel, divisor_override=1)


class Broadcast(Map):
    """One value per channel to all places of an image: ``[n, channels, 1, 1]`` to ``[n, channels, *size]``."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Repeat each value."""
        return x.expand(*x.shape[:2], *self.size)


class Flatten(Map):
    """``[n, channels, h, w]`` to ``[n, channels h w]``."""

    def forward(self, x: Tensor) -> Tensor:
        """Return one dimension per sample."""
        return x.flatten(1)


class Relu(nn.Module):
    """The ReLUs of an ANN, in the place of a layer of neurons; see ``ann.py``."""

    def forward(self, current: Tensor) -> Tensor:
        """Return activations, of the shape of the currents."""
        return F.relu(_in_full(current))


class Neurons(nn.Module):
    """A layer of neurons.

    Args:
        neuron: with parameters of shape ``()``.
        learned: which of ``beta`` (kept in 0 to 1 by a sigmoid) and ``threshold`` (kept above 0 by an exponential,
            a reset level above 0 moving with it) are learned, one number for the layer.
        norm: normalizes u before it is compared (MPBN, Guo et al., ICCV 2023); deployed as a threshold per channel.
        window: the number of currents in each sum that arrives, of which the neurons see the mean. They are deployed
            with levels as many times as high, since a division by 49 is not exact.
    """

    def __init__(
        self,
        neuron: Neuron,
        *,
        learned: Sequence[str] = (),
        norm: nn.BatchNorm2d | nn.BatchNorm1d | None = None,
        window: int = 1,
    ) -> None:
        super().__init__()
        self._neuron = neuron
        start = neuron.parameters()
        self.logit_beta = nn.Parameter(torch.logit(start["beta"])) if "beta" in learned else None
        self.log_threshold = nn.Parameter(start["v_threshold"].log()) if "threshold" in learned else None
        self.norm = norm
        self.window = window

    @property
    def neuron(self) -> Neuron:
        """The neurons as they are deployed."""
        neuron = self._of_means()
        if self.window == 1:
            return neuron
        levels = neuron.parameters()
        return replace(neuron, **{name: levels[name] * self.window for name in ("v_threshold", "v_reset")})

    def _of_means(self) -> Neuron:
        """Return the neurons with the norm as a threshold."""
        neuron = self._learned()
        if self.norm is None:
            return neuron
        assert isinstance(neuron, LIF | IF)
        assert self.norm.running_mean is not None
        assert self.norm.running_var is not None
        spread = torch.sqrt(self.norm.running_var.double() + self.norm.eps) / _positive(self.norm.weight).double()
        v_threshold = (neuron.v_threshold - self.norm.bias.double()) * spread + self.norm.running_mean.double()
        return replace(neuron, v_threshold=_per_channel(v_threshold.float(), self.norm))

    def forward(self, current: Tensor, n_steps: int, state: State | None) -> Fired:
        """Run the neurons for ``n_steps`` steps, given currents ``[n_steps or 1, ...]``."""
        current = _in_full(current)
        learns = self.training or torch.is_grad_enabled()
        if self.window > 1 and learns:  # gradients need levels near 1
            current = current / self.window
        if self.norm is not None and self.training:
            return self._normed(current.expand(n_steps, *current.shape[1:]), state)
        return fire(self._of_means() if learns else self.neuron, current, n_steps, state)

    @torch.no_grad()
    def derivative(self, u: Tensor) -> Tensor:
        """Return the surrogate derivative of firing by the current, at potentials ``[n_steps, batch, ...]``.

        A norm is frozen: it uses its running statistics.
        """
        neuron, norm = self._learned(), self.norm
        assert isinstance(neuron, LIF | IF)
        if norm is None:
            return slope(u - neuron.v_threshold) / self.window
        assert norm.running_var is not None
        gain = _positive(norm.weight)
        normed = F.batch_norm(u.flatten(0, 1), norm.running_mean, norm.running_var, gain, norm.bias, eps=norm.eps)
        scale = _per_channel(gain / torch.sqrt(norm.running_var + norm.eps), norm)
        return slope(normed.view_as(u) - neuron.v_threshold) * scale / self.window

    def _learned(self) -> Neuron:
        changed = {}
        if self.logit_beta is not None:
            changed["beta"] = torch.sigmoid(self.logit_beta)
        if self.log_threshold is not None:
            start = self._neuron.parameters()
            changed["v_threshold"] = self.log_threshold.exp()
            changed["v_reset"] = start["v_reset"] / start["v_threshold"] * changed["v_threshold"]
        return replace(self._neuron, **changed)

    def _normed(self, current: Tensor, state: State | None) -> Fired:
        """Normalize each step by its own statistics; running statistics are over all steps."""
        neuron, norm, arithmetic = self._learned(), self.norm, TorchArithmetic()
        assert isinstance(neuron, LIF | IF)
        assert norm is not None
        v = torch.zeros_like(current[0]) if state is None else state[0]
        potentials, sent = [], []
        for step in current:
            u = step + (v if isinstance(neuron, IF) else neuron.beta * v)
            normed = functional_call(norm, {"weight": _positive(norm.weight)}, (u,))
            spikes = arithmetic.fires(normed, neuron.v_threshold, neuron.compare)
            v = (1 - spikes) * u + spikes * neuron.v_reset
            potentials.append(u)
            sent.append(spikes)
        return Fired(torch.stack(sent), torch.stack(potentials), (v,))


def fire(neuron: Neuron, current: Tensor, n_steps: int, state: State | None = None) -> Fired:
    """Run neurons for ``n_steps`` steps, given currents ``[n_steps or 1, ...]``."""
    if is_fused(neuron, current):
        return charge_fire_reset(neuron, current, n_steps, state)
    arithmetic = Observing(arithmetic_of(current))
    if state is None:
        state = neuron.start(lambda: torch.zeros_like(current[0]))
    sent, compared = [], []
    for step in current.expand(n_steps, *current.shape[1:]):
        state, spikes = neuron.step(arithmetic, state, step)
        sent.append(spikes)
        compared.append(arithmetic.compared)
    return Fired(torch.stack(sent), torch.stack(compared), state)


@dataclass(frozen=True)
class Part:
    """A node of a network and its sources; all modules but ``Both`` take their sum."""

    name: str
    module: nn.Module
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Unrolled:
    """One batch over time steps; layers of neurons and gates by name, in execution order."""

    outputs: Tensor  # [n_steps, batch, n_classes]
    spikes: dict[str, Tensor]  # [n_steps, batch, ...]; of an ANN its activations
    potentials: dict[str, Tensor]  # compared with the thresholds, [n_steps, batch, ...]; of neurons, not of gates
    states: States  # after the last step


Send = Callable[[str, Tensor], Tensor]


class Network(nn.Module):
    """Parts in execution order; the outputs are the sum of some of them.

    Args:
        parts: the nodes, each after its sources.
        outputs: the names of the parts whose sum is the output.
        input_shape: the shape of a sample.
        source: the name of the network's input.
    """

    def __init__(
        self, parts: Sequence[Part], outputs: tuple[str, ...], input_shape: Shape, source: str = INPUT
    ) -> None:
        super().__init__()
        self.parts = tuple(parts)
        self.outputs = outputs
        self.input_shape = input_shape
        self.source = source
        for part in parts:
            self.add_module(part.name, part.module)
        self._last_use = {name: part.name for part in parts for name in part.sources}

    def __getitem__(self, name: str) -> nn.Module:
        return self.get_submodule(name)

    @property
    def connections(self) -> dict[str, Connection]:
        """The parts with weights, by name."""
        return {part.name: part.module for part in self.parts if isinstance(part.module, Connection)}

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the parts that spike, neurons and gates; of an ANN its ReLUs."""
        return tuple(part.name for part in self.parts if isinstance(part.module, Neurons | Gate | Relu))

    @cached_property
    def senders(self) -> dict[str, tuple[str, ...]]:
        """The layers whose spikes reach each layer through maps alone."""
        arriving = self._arriving(Neurons, Gate)
        return {name: arriving[name] for name in self.layers}

    def _arriving(self, *senders: type[nn.Module]) -> dict[str, tuple[str, ...]]:
        """Return the senders of some kinds that reach each part, and ``OUTPUTS``, directly or through others."""
        sent: dict[str, tuple[str, ...]] = {self.source: ()}
        arriving: dict[str, tuple[str, ...]] = {}
        for part in [*self.parts, Part(OUTPUTS, Map(), self.outputs)]:
            names = (name for source in part.sources for name in sent[source])
            arriving[part.name] = tuple(dict.fromkeys(names))
            sent[part.name] = (part.name,) if isinstance(part.module, senders) else arriving[part.name]
        return arriving

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """The shape of the spikes of each layer."""
        was_training = self.training
        if was_training:
            self.eval()
        with torch.no_grad():
            like = next(self.parameters(), torch.empty(()))  # a network of integers has none
            run = self.unroll(torch.zeros(1, 1, *self.input_shape).to(like), 1)
        if was_training:
            self.train()
        return {name: tuple(spikes.shape[2:]) for name, spikes in run.spikes.items()}

    def train(self, mode: bool = True) -> Self:
        """Set the mode; evaluation mode keeps the weights of the moment it was entered."""
        super().train(mode)
        deployed = {} if mode else self.deployed()
        for name, connection in self.connections.items():
            connection.deployed = deployed.get(name)
        return self

    def step(self, x: Tensor, states: States | None = None, send: Send | None = None) -> Unrolled:
        """Run one time step for ``x [batch, ...]``; see ``unroll``."""
        return self.unroll(x[None], 1, states, send)

    def unroll(self, x: Tensor, n_steps: int, states: States | None = None, send: Send | None = None) -> Unrolled:
        """Run time steps, part by part.

        Args:
            x: ``[n_steps, batch, ...]``, or ``[1, batch, ...]`` when it is the same at every step: then the parts
                before the first neurons are computed once.
            n_steps: the number of time steps.
            states: the states of neurons before the first step; by default all are at rest.
            send: returns the values that the receivers of a layer get, given its name and spikes; by default the
                spikes.
        """
        values = {self.source: x}
        spikes: dict[str, Tensor] = {}
        potentials: dict[str, Tensor] = {}
        after: dict[str, State] = {}
        for part in self.parts:
            received = [values[name] for name in part.sources]
            match part.module:
                case Neurons():
                    fired = part.module(_total(received), n_steps, None if states is None else states[part.name])
                    spikes[part.name], potentials[part.name], after[part.name] = fired.spikes, fired.u, fired.state
                case Gate():
                    spikes[part.name] = part.module(*received)
                case AccumulatedNorm():
                    current = _total(received)
                    values[part.name] = part.module(current.expand(n_steps, *current.shape[1:]))
                case Relu():
                    spikes[part.name] = part.module(_total(received))
                case _:
                    total = _total(received)
                    values[part.name] = part.module(total.flatten(0, 1)).unflatten(0, total.shape[:2])
            if part.name in spikes:
                sent = spikes[part.name]
                values[part.name] = sent if send is None else send(part.name, sent)
            for name in part.sources:
                if self._last_use[name] == part.name and name not in self.outputs:
                    values.pop(name, None)
        outputs = _in_full(_total([values[name] for name in self.outputs]))
        return Unrolled(outputs.expand(n_steps, *outputs.shape[1:]), spikes, potentials, after)

    @torch.no_grad()
    def deployed(self) -> dict[str, Weights]:
        """Return weight and bias of each connection, batch norm folded in, on grids where float32 sums are exact.

        Connections whose currents meet share the grid of their sums.
        """
        folded = {name: connection.folded() for name, connection in self.connections.items()}
        arrays = {name: [part.cpu().numpy() for part in both] for name, both in folded.items()}
        bounds = {name: bound_of(*arrays[name], largest=self.connections[name].largest) for name in folded}
        deployed = {}
        for group in self._meeting():
            grid = grid_of(max(sum(bounds.get(name, 1.0) for name in met) for met in group))
            for name in {name for met in group for name in met} & folded.keys():
                own = grid * 2.0 ** self.connections[name].input_bits
                weight, bias = (
                    torch.from_numpy(on_grid(array, own)).to(part.to(torch.float32))
                    for array, part in zip(arrays[name], folded[name], strict=True)
                )
                deployed[name] = weight, bias
        return deployed

    def _meeting(self) -> list[list[tuple[str, ...]]]:
        """Group the receivers that share a connection; each is given as the names of the parts that meet there."""
        arriving = self._arriving(Neurons, Gate, Connection)
        groups: list[list[tuple[str, ...]]] = []
        for name in (*self.layers, OUTPUTS):
            receiver = None if name == OUTPUTS else self[name]
            met = arriving[name] * (receiver.window if isinstance(receiver, Neurons) else 1)  # once for each place
            shared = set(met) & self.connections.keys()
            joined = [group for group in groups if any(shared & set(other) for other in group)]
            groups = [group for group in groups if group not in joined]
            groups.append([*(other for group in joined for other in group), met])
        return groups


def _in_full(current: Tensor) -> Tensor:
    """Return a current in float32 where connections compute with fewer bits."""
    return current.float() if current.dtype in (torch.bfloat16, torch.float16) else current


def _total(values: list[Tensor]) -> Tensor:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def _positive(gain: Tensor) -> Tensor:
    """Return the gain of a norm, made positive: a negative one would turn the comparison with the threshold around."""
    return gain.abs().clamp(min=1e-3)


def _per_channel(values: Tensor, norm: nn.Module) -> Tensor:
    return values.reshape(-1, 1, 1) if isinstance(norm, nn.BatchNorm2d) else values
