"""A trained network from its file to Lava: the same integers everywhere, and a planted fault is found where it is."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tdd_deploy as td
from tdd_deploy.data import open_data
from tdd_deploy.exporters.lava import environment, worker
from tdd_deploy.exporters.lava.worker import LavaRun, run_bundle
from tdd_deploy.files import sha256
from tdd_deploy.program import Conv, Program
from tdd_deploy.verification.backends import reference_backend
from tests.net_files import write_net

pytestmark = pytest.mark.skipif(environment.find() is None, reason="Lava is not set up: tdd-deploy lava setup")
CHANNEL = 5


@pytest.fixture(scope="module")
def integer_file(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("integers") / "network.nir"
    td.export(run_folder, target="nir", out=path, bits=8)
    return path


def changed(weight: np.ndarray) -> np.ndarray:
    """One weight of one channel, changed by half of what a weight can be."""
    other = weight.copy()
    other[CHANNEL, 0, 1, 1] += 128 if other[CHANNEL, 0, 1, 1] < 0 else -128
    return other


def with_changed_weight(program: Program) -> Program:
    nodes = tuple(
        replace(node, weight=changed(node.weight)) if isinstance(node, Conv) and node.name == "conv1" else node
        for node in program.nodes
    )
    return replace(program, nodes=nodes)


def sabotaged(bundle: Path, *arguments: Any, **options: Any) -> LavaRun:
    """Run a bundle with one weight changed, and its hash made right again."""
    weights, manifest = bundle / "weights.npz", bundle / "manifest.json"
    with np.load(weights) as found:
        arrays = dict(found)
    arrays["conv1.weight"] = changed(arrays["conv1.weight"])
    np.savez(weights, **arrays)
    described = json.loads(manifest.read_text())
    described["sha256"]["weights.npz"] = sha256(weights)
    manifest.write_text(json.dumps(described))
    return run_bundle(bundle, *arguments, **options)


@pytest.mark.parametrize("mapping", ["fused", "stock", "spike"])
def test_a_trained_network_is_the_same_in_lava(mapping: Any, integer_file: Path) -> None:
    verified = td.verify(
        integer_file, data="digits", samples=3, batch=2, against=["reference", "lava"], mapping=mapping
    )
    (comparison,) = verified.comparisons
    assert (comparison.after, comparison.n_samples, comparison.passed) == (f"lava, {mapping}", 3, True)
    assert (comparison.differing, comparison.outputs_differing, comparison.predictions_differing) == (0, 0, 0)
    assert comparison.largest_dv == (0 if mapping == "fused" else None)
    assert comparison.spikes == 3 * 6 * 3456


def test_sums_of_a_layer_without_neurons_are_the_same_in_lava(tmp_path: Path) -> None:
    """The last layer of a .net file: 254 * 600 units of weight per step wrap 24 bits again and again."""
    weight = np.array([[254.0] * 600, [-4.0] * 600, [-256.0] * 600])
    net = write_net(tmp_path / "some.net", {"type": "dense", "shape": [3], "weight": weight})
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", x=rng.random((2, 30, 600)) < 0.6)
    verified = td.verify(net, data=str(tmp_path / "x.npz"), against=["reference", "lava"])
    (comparison,) = verified.comparisons
    assert (comparison.n_samples, comparison.spikes, comparison.differing, comparison.largest_dv) == (
        2,
        2 * 30 * 3,
        0,
        0,
    )
    inputs = np.load(tmp_path / "x.npz")["x"].swapaxes(0, 1)
    held = reference_backend(td.load(net), "")(inputs).potentials["layer0"]
    assert np.abs(np.diff(held, axis=1)).max() > 2**23  # wraps


def test_a_planted_fault_is_found_and_named(integer_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event engine cannot say its potentials; those of the reference, which agrees with it, stand beside Lava's."""
    monkeypatch.setattr(worker, "run_bundle", sabotaged)
    verified = td.verify(integer_file, data="digits", samples=2, against=["reference", "event", "lava"])
    *before, comparison = verified.comparisons
    assert all(found.passed for found in before)
    found = comparison.first_divergence
    assert found is not None
    assert (found.layer, found.neuron[0]) == ("conv1_spikes", CHANNEL)
    program = td.load(integer_file)
    inputs = np.repeat(next(open_data("digits").batches(2)).x[None], 6, axis=0)
    right, wrong = (reference_backend(p, "")(inputs) for p in (program, with_changed_weight(program)))
    apart = right.spikes["conv1_spikes"] != wrong.spikes["conv1_spikes"]
    step = int(apart.any(axis=(0, 2, 3, 4)).argmax())
    sample, *neuron = np.argwhere(apart[:, step])[0].tolist()
    place = (sample, step, *neuron)
    assert (found.step, found.sample, found.neuron) == (step + 1, sample, tuple(neuron))
    assert found.values == tuple(recorded.spikes["conv1_spikes"][place] for recorded in (right, wrong))
    assert found.potentials == tuple(recorded.potentials["conv1_spikes"][place] for recorded in (right, wrong))
    assert "weight" in found.cause
