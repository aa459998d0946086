"""Files that were exported once are read forever, as the same programs; ``--update-golden`` writes them again."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tdd_deploy.exporters import TARGETS
from tdd_deploy.importers import read
from tdd_deploy.neurons import IF, LIF, LoihiLIF
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


def integers() -> Program:
    """The same in integers: every decay, both resets, odd thresholds, biases, a bias and a scale of the output."""
    rng = np.random.default_rng(1)

    def whole(*shape: int, low: int = -256, high: int = 255) -> np.ndarray:
        return rng.integers(low, high, shape)

    soft = LoihiLIF(
        v_threshold=np.array(64 * 300 - 1), v_reset=np.array(0), du=np.array(4095), dv=np.array(410),
        bias=whole(2, 3, 3), reset="soft",
    )  # fmt: skip
    hard = LoihiLIF(
        v_threshold=64 * whole(4, low=100, high=500), v_reset=whole(4), du=whole(4, low=-1), dv=whole(4, low=0),
        bias=np.array(-77),
    )  # fmt: skip
    nodes = [
        Input(name="input", shape=(1, 6, 6), scale=256.0, largest=256),
        Conv(name="conv", weight=whole(2, 1, 3, 3), stride=(2, 2), padding=(1, 1)),
        NeuronLayer(name="soft", shape=(2, 3, 3), neuron=soft),
        Pool(name="pool", kernel=(2, 2), stride=(1, 1)),
        Flatten(name="flat"),
        Dense(name="fc", weight=whole(4, 8)),
        Dense(name="back", weight=whole(4, 4)),
        NeuronLayer(name="hard", shape=(4,), neuron=hard),
        Dense(name="readout", weight=whole(3, 4), bias=whole(3)),
        Output(name="output", unit=0.0123),
    ]
    chain = ["input", "conv", "soft", "pool", "flat", "fc", "hard", "readout", "output"]
    edges = [*(Edge(a, b) for a, b in pairwise(chain)), Edge("hard", "back", 1), Edge("back", "hard")]
    return build(nodes, edges, dt_s=1e-3, n_steps=5, number_format="integer")


@pytest.mark.parametrize("made", [small, integers])
def test_a_file_of_an_earlier_version_is_read_as_the_same_program(
    made: Callable[[], Program], request: pytest.FixtureRequest
) -> None:
    path = FOLDER / f"{made.__name__}.nir"
    if request.config.getoption("--update-golden"):
        TARGETS["nir"](made(), path)
    assert read(path) == made()
