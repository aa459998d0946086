"""Connections as torch layers, for scripts that run in other tools' environments.

The file holds ``kinds`` ('dense' or 'conv'), and for each connection i ``weight_i``, ``input_i`` [steps, samples, ...]
and, for a convolution, ``stride_i``, ``padding_i``, ``dilation_i``, ``groups_i``. Float64, so that sums are exact.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch


def connections(path: Path) -> Iterator[tuple[torch.nn.Module, torch.Tensor]]:
    """Yield each layer with what enters it."""
    with np.load(path, allow_pickle=False) as file:
        for i, kind in enumerate(file["kinds"]):
            yield layer_of(file, i, str(kind)), torch.from_numpy(file[f"input_{i}"].astype(np.float64))


def layer_of(data: Any, i: int, kind: str) -> torch.nn.Module:
    weight = torch.from_numpy(data[f"weight_{i}"].astype(np.float64))
    if kind == "dense":
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    else:
        groups = int(data[f"groups_{i}"])
        sizes = {name: tuple(int(v) for v in data[f"{name}_{i}"]) for name in ("stride", "padding", "dilation")}
        layer = torch.nn.Conv2d(
            weight.shape[1] * groups, weight.shape[0], tuple(weight.shape[2:]), groups=groups, bias=False, **sizes
        )
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    return layer
