"""Our counts against sinabs 3.1, which runs in an environment of its own: ``make parity``.

sinabs adds up values times fan-out; ``synops_stored`` is events times fan-out: the same where values are 0 or 1.
"""

import json
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tdd_deploy.program import Dense, Edge, Flatten, Input, Output, Pool, build
from tdd_deploy.simulator.engine.engine import Engine
from tests.parity.connections import Connection, connections, save, synapses
from tests.zoo import Given, grow

PYTHON = Path(__file__).parents[2] / ".venv-neurobench" / "bin" / "python"
pytestmark = pytest.mark.skipif(
    not (PYTHON.parents[1] / "installed").exists(), reason="sinabs's environment is missing: make parity"
)
POOLED = np.zeros((2, 1, 1, 4, 4))  # [steps, samples, channels, height, width]
POOLED[0, 0, 0, :2, :2] = [[1, 1], [1, 0]]  # three spikes in one window of 2
POOLED[1, 0, 0, ::2, ::2] = 1  # one in each of four


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Connection], list[np.ndarray]]:
    """Connections, and what sinabs counts per step; last, for the averages over windows."""
    cases = [grow(seed, n_blocks=3, n_steps=4, batch=2, spatial=seed % 4 != 0) for seed in range(40)]
    found = [connection for case in cases for connection in connections(case)]
    path = tmp_path_factory.mktemp("sinabs") / "connections.npz"
    save(path, found, pooled=POOLED)
    script = Path(__file__).with_name("sinabs_count.py")
    run = subprocess.run([PYTHON, script, path], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return found, [np.array(per_step) for per_step in json.loads(run.stdout)]


def times_fan_out(connection: Connection, values: np.ndarray) -> np.ndarray:
    """Return the sum of values times fan-out per step, by brute force."""
    shape = connection.inputs.shape[2:]
    sources = [source for source, _, _ in synapses(connection.node, shape)]
    fan_out = np.bincount(np.array(sources, int), minlength=int(np.prod(shape)))
    return values.reshape(*values.shape[:2], -1).sum(axis=1) @ fan_out


def stored(connection: Connection) -> np.ndarray:
    return np.array(connection.counts["synops_stored"])


def test_counts_are_equal_on_spikes(counted: Any) -> None:
    pairs = [(stored(c), theirs) for c, theirs in zip(*counted, strict=False) if set(np.unique(c.inputs)) <= {0, 1}]
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)
    assert sum(ours.sum() for ours, _ in pairs) > 10_000


def test_sinabs_counts_values_where_we_count_events(counted: Any) -> None:
    for connection, theirs in zip(*counted, strict=False):
        np.testing.assert_array_equal(theirs, times_fan_out(connection, connection.inputs))
        np.testing.assert_array_equal(stored(connection), times_fan_out(connection, connection.inputs != 0))


def test_sinabs_subtracts_what_events_of_minus_one_cost(counted: Any) -> None:
    below_zero = 0
    for connection, theirs in zip(*counted, strict=False):
        if set(np.unique(connection.inputs)) == {-1, 0, 1}:
            fell = times_fan_out(connection, connection.inputs == -1)
            np.testing.assert_array_equal(theirs, stored(connection) - 2 * fell)
            below_zero += np.count_nonzero(theirs < 0)
    assert below_zero > 0


def test_sinabs_counts_the_spikes_in_a_window_and_not_its_average(counted: Any) -> None:
    """What sinabs counts after an average, it multiplies by the size of the window; to us an average is one event."""
    nodes = [
        Input(name="input", shape=POOLED.shape[2:]),
        Pool(name="pool", kernel=(2, 2), stride=(2, 2), average=True),
        Flatten(name="flat"),
        Dense(name="fc", weight=np.ones((1, 4))),
        Output(name="out"),
    ]
    edges = [Edge(source.name, target.name, code="spike") for source, target in pairwise(nodes)]
    program = build(nodes, edges, dt_s=1e-3, n_steps=len(POOLED))
    ours = Engine(program).run(Given(POOLED), n_steps=len(POOLED)).trace.executed.synops_stored.sum(axis=0)
    np.testing.assert_array_equal(ours, [1, 4])
    np.testing.assert_array_equal(counted[1][-1], [3, 4])
