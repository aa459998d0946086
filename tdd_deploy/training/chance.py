"""Random choices that follow from numbers alone, so that no state must be saved."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def generator_of(*numbers: int) -> torch.Generator:
    """Make the generator of some numbers, such as a seed, an epoch and a batch."""
    entropy = np.random.SeedSequence(numbers)
    return torch.Generator().manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> 1))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generator, for code that draws from no other; restore it afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
