"""Chains as torch layers, for scripts that run in other tools' environments; chain_networks.py writes the files."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

Neurons = Callable[[dict[str, Any]], nn.Module]  # makes neurons that leak or not, with a threshold


@dataclass(frozen=True)
class Chain:
    """Maps with what describes their neurons, and inputs ``[n_steps, n_samples, ...]``."""

    maps: list[nn.Module]
    neurons: list[dict[str, Any] | None]
    inputs: torch.Tensor

    def spiking(self, neurons: Neurons) -> nn.Sequential:
        """Build the network with a tool's neurons."""
        return self._built([None if made is None else neurons(made) for made in self.neurons])

    def dense(self, *, relu: bool) -> nn.Sequential:
        """Build the dense network of the same layers."""
        return self._built([None if made is None or not relu else nn.ReLU() for made in self.neurons])

    @property
    def image(self) -> torch.Tensor:
        """An analog input of the dense network."""
        return torch.rand(1, *self.inputs.shape[2:], generator=torch.Generator().manual_seed(0))

    def _built(self, after: list[nn.Module | None]) -> nn.Sequential:
        parts: list[nn.Module] = []
        for i, (layer, neurons) in enumerate(zip(self.maps, after, strict=True)):
            if isinstance(layer, nn.Linear) and i and isinstance(self.maps[i - 1], nn.Conv2d):
                parts.append(nn.Flatten())
            parts += [layer] if neurons is None else [layer, neurons]
        return nn.Sequential(*parts).eval()


class Steps(nn.Module):
    """Execute a network step by step; the input is ``[1, n_steps, ...]``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.network(frame) for frame in x.split(1, dim=1) for frame in [frame.squeeze(1)]])


def chains(folder: Path) -> list[Chain]:
    """Read every network of a folder, by number."""
    return [_chain(path) for path in sorted(folder.glob("*.npz"), key=lambda path: int(path.stem))]


def _chain(path: Path) -> Chain:
    with np.load(path, allow_pickle=False) as file:
        layers = json.loads(str(file["layers"]))
        return Chain(
            [_map(file, layer) for layer in layers],
            [layer["neuron"] for layer in layers],
            torch.from_numpy(file["input"]),
        )


def _map(data: Any, layer: dict[str, Any]) -> nn.Module:
    weight = torch.from_numpy(data[f"weight_{layer['number']}"])
    bias = f"bias_{layer['number']}"
    made: nn.Module
    if layer["kind"] == "Dense":
        made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias in data)
    else:
        sizes = {name: layer[name] for name in ("stride", "padding", "dilation", "groups")}
        made = nn.Conv2d(
            weight.shape[1] * layer["groups"], weight.shape[0], tuple(weight.shape[2:]), bias=bias in data, **sizes
        )
    made.weight.data = weight
    if bias in data:
        made.bias.data = torch.from_numpy(data[bias])
    return made
