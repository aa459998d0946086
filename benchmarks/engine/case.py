"""A network that every library can build: a chain of convolutions, dense maps and LIF neurons, in one .npz.

The processes of other libraries import this module too, in environments without tdd-deploy: it needs numpy only.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Layer:
    """A linear map, and the neurons after it unless it is the last: ``v = beta v + current``, hard reset to 0.

    Attributes:
        weight: ``[n_out, n_in]`` or ``[out, in, ky, kx]``.
        bias: ``[n_out]``.
        stride: of a convolution; its padding is ``(k - 1) // 2``.
        beta: the fraction of v that a neuron keeps; None after the last map.
        threshold: of the neurons.
    """

    weight: np.ndarray
    bias: np.ndarray
    stride: int
    beta: float | None
    threshold: float


@dataclass(frozen=True)
class Case:
    name: str
    n_steps: int
    layers: tuple[Layer, ...]
    x: np.ndarray  # [samples, channels, height, width], shown at every step

    def write(self, path: Path) -> None:
        """Write an .npz."""
        arrays = {
            f"{kind}{k}": getattr(layer, kind) for k, layer in enumerate(self.layers) for kind in ("weight", "bias")
        }
        rest = [{"stride": a.stride, "beta": a.beta, "threshold": a.threshold} for a in self.layers]
        head = {"name": self.name, "n_steps": self.n_steps, "layers": rest}
        np.savez(path, head=np.array(json.dumps(head)), x=self.x, **arrays)

    @classmethod
    def read(cls, path: Path) -> "Case":
        """Read a file of ``write``."""
        with np.load(path, allow_pickle=False) as file:
            head: dict[str, Any] = json.loads(str(file["head"]))
            layers = tuple(Layer(file[f"weight{k}"], file[f"bias{k}"], **rest) for k, rest in enumerate(head["layers"]))
            return cls(head["name"], head["n_steps"], layers, file["x"])
