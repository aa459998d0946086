"""Files of camera events."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

EVENT = np.dtype([("t", np.int64), ("x", np.uint8), ("y", np.uint8), ("p", np.uint8)])
SENSOR = (6, 4)  # height, width


def recordings(n: int, *, longest: int = 200, seed: int = 0) -> list[np.ndarray]:
    """Random events of n samples; one of them has none."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        events = np.zeros(0 if i == 1 else rng.integers(1, longest), EVENT)
        events["t"] = 10**9 * i + np.sort(rng.integers(0, 5000, len(events)))
        for name, size in (("x", SENSOR[1]), ("y", SENSOR[0]), ("p", 2)):
            events[name] = rng.integers(0, size, len(events))
        made.append(events)
    return made


def write(path: Path, samples: Sequence[np.ndarray], labels: Sequence[int] | None = None, **other: object) -> str:
    """Write an event file; ``other`` replaces arrays, or with None leaves them out."""
    arrays = {
        "events": np.concatenate(samples),
        "ends": np.cumsum([len(sample) for sample in samples]),
        "sensor": SENSOR,
        "labels": labels,
        **other,
    }
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return str(path)
