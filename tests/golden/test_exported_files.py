"""Files that were exported once are read for ever, as the same programs; ``--update-golden`` writes them anew."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tdd_deploy.exporters import TARGETS
from tdd_deploy.graph import read
from tdd_deploy.neurons import IF, LIF
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Output, Pool, Program, build

FOLDER = Path(__file__).parent


def small() -> Program:
    """A program with a strided convolution, soft and hard reset, a recurrent map, a junction and a pool."""
    rng = np.random.default_rng(0)

    def weight(*shape: int) -> np.ndarray:
        return rng.integers(-8, 9, shape) / 8

    one, zero = np.array(1.0), np.array(0.0)
    nodes = [
        Input(name="input", shape=(1, 6, 6)),
        Conv(name="conv", weight=weight(2, 1, 3, 3), bias=weight(2), stride=(2, 2), padding=(1, 1)),
        NeuronLayer(
            name="soft", shape=(2, 3, 3), neuron=LIF(beta=np.array(0.9), v_threshold=one, v_reset=zero, reset="soft")
        ),
        Pool(name="pool", kernel=(2, 2), stride=(1, 1), average=True),
        Flatten(name="flat"),
        Dense(name="fc", weight=weight(4, 8)),
        Dense(name="back", weight=weight(4, 4)),
        NeuronLayer(name="hard", shape=(4,), neuron=IF(v_threshold=weight(4) + 2, v_reset=zero)),
        Dense(name="readout", weight=weight(3, 4), bias=weight(3)),
        Output(name="output"),
    ]
    chain = ["input", "conv", "soft", "pool", "flat", "fc", "hard", "readout", "output"]
    edges = [Edge(a, b) for a, b in pairwise(chain)]
    return build(nodes, [*edges, Edge("hard", "back", 1), Edge("back", "hard")], dt_s=1e-3, n_steps=5)


def test_a_file_of_a_former_version_is_read_as_the_same_program(request: pytest.FixtureRequest) -> None:
    path = FOLDER / "small.nir"
    if request.config.getoption("--update-golden"):
        TARGETS["nir"](small(), path)
    assert read(path) == small()
