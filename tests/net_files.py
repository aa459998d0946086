"""Files of lava-dl, written as its slayer exports them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py

CUBA = {"type": "CUBA", "iDecay": 4096, "vDecay": 1024, "vThMant": 25, "refDelay": 1, "gradedSpike": False}
SDNN = {"type": "SDNN", "activation": "relu", "vThMant": 3}


def write_net(path: Path, *layers: Mapping[str, Any], simulation: Mapping[str, int] | None = None) -> Path:
    """Write layers, one group each: values by name, a mapping for a group in it; None is left out."""
    with h5py.File(path, "w") as file:
        for number, layer in enumerate(layers):
            group = file.create_group(f"layer/{number}")
            for name, value in layer.items():
                if name == "type":
                    group.create_dataset(name, (1,), "S10", [value.encode()])
                elif isinstance(value, Mapping):
                    for key, part in value.items():
                        group.create_dataset(f"{name}/{key}", data=part)
                elif value is not None:
                    group.create_dataset(name, data=value)
        for name, value in (simulation or {}).items():
            file.create_dataset(f"simulation/{name}", data=value)
    return path
