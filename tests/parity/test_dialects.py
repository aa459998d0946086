"""Networks of other frameworks, in files of their own exporters, give their spikes here: ``make parity``.

Frameworks run in an environment of their own; peer_networks.py builds, runs and exports the networks.
"""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tdd_deploy.importers import read
from tdd_deploy.program import Program
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.engine.engine import Engine
from tests.zoo import Given

PYTHON = Path(__file__).parents[2] / ".venv-peers" / "bin" / "python"
pytestmark = pytest.mark.skipif(
    not (PYTHON.parents[1] / "installed").exists(), reason="the peers' environment is missing: make parity"
)
FRAMEWORKS = {"snntorch": 72, "norse": 13, "sinabs": 58, "spikingjelly": 28}  # how many networks of each
ROUNDS = "gaussian"  # in the name of a network whose weights are not on a binary grid


@dataclass(frozen=True)
class Peer:
    """A network as another framework ran it, and as its file reads here."""

    name: str
    program: Program
    inputs: np.ndarray  # [steps, batch, ...]
    sent: dict[str, np.ndarray]  # by each layer of neurons


@pytest.fixture(scope="module", params=FRAMEWORKS)
def peers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Peer]:
    folder = tmp_path_factory.mktemp(request.param)
    script = Path(__file__).with_name("peer_networks.py")
    run = subprocess.run([PYTHON, script, request.param, folder], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    dialects = json.loads((folder / "dialects.json").read_text())
    assert len(dialects) == FRAMEWORKS[request.param]
    return [opened(folder / name, dialect) for name, dialect in dialects.items()]


def opened(path: Path, dialect: str) -> Peer:
    arrays = dict(np.load(f"{path}.npz"))
    return Peer(path.name, read(Path(f"{path}.nir"), dialect=dialect), arrays.pop("input"), arrays)


def backends(peer: Peer) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yield what each backend's layers send, [steps, batch, ...]."""
    yield "reference", reference.run(peer.program, peer.inputs)
    found = Engine(peer.program).run(Given(peer.inputs), n_steps=len(peer.inputs), record=peer.sent.keys())
    yield "engine", {name: values.swapaxes(0, 1) for name, values in found.layers.items()}


def n_differing(peer: Peer, ours: dict[str, np.ndarray]) -> int:
    """Return how many spikes differ, of all layers; potentials that are sent may differ by their rounding."""
    count = 0
    for name, theirs in peer.sent.items():
        if peer.program[name].neuron.spiking:
            count += np.count_nonzero(ours[name] != theirs)
        else:
            count += np.count_nonzero(~np.isclose(ours[name], theirs, rtol=1e-5, atol=1e-6))
    return count


def test_every_layer_sends_the_same_spikes(peers: list[Peer]) -> None:
    exact = [peer for peer in peers if ROUNDS not in peer.name]
    assert exact
    assert all(peer.sent for peer in exact)
    found = {f"{peer.name}, {m}": n_differing(peer, ours) for peer in exact for m, ours in backends(peer)}
    assert {where: count for where, count in found.items() if count} == {}
    assert all(values.any() for peer in exact for values in peer.sent.values())


def test_weights_that_round_flip_next_to_no_spike(peers: list[Peer]) -> None:
    rounding = [peer for peer in peers if ROUNDS in peer.name]
    counts = [n_differing(peer, ours) for peer in rounding for _, ours in backends(peer)]
    n_compared = sum(values.size for peer in rounding for values in peer.sent.values())
    assert n_compared > 10_000
    assert sum(counts) <= 1e-4 * n_compared
