"""A sigma-delta network of lava-dl in Lava itself: the same values as ours, a step later per synapse process."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tdd_deploy.exporters.lava import environment
from tdd_deploy.importers import read
from tdd_deploy.simulator import reference
from tests.net_files import write_net

SCRIPT = Path(__file__).parent / "sigma_delta_in_lava.py"
N_STEPS, VTH = 30, (3, 5)

pytestmark = pytest.mark.skipif(environment.find() is None, reason="Lava is not set up: tdd-deploy lava setup")


def test_lava_sends_the_same_sigma_delta_messages(tmp_path):
    rng = np.random.default_rng(0)
    x = np.rint(np.where(rng.random((N_STEPS, 2, 9, 7)) < 0.3, rng.normal(0, 8, (N_STEPS, 2, 9, 7)), 0)).cumsum(0)
    x[0] = 0  # Lava's neurons see their bias before the first input arrives: so do ours now
    kernel, bias = 2 * rng.integers(-20, 21, (4, 2, 3, 2)), rng.integers(-40, 41, 4)
    shape = (4, (9 - 3) // 2 + 1, (7 - 2) // 1 + 1)
    weights = [2 * rng.integers(-60, 61, size) for size in ((8, int(np.prod(shape))), (5, 8))]
    neuron = {"type": "SDNN", "activation": "relu"}
    path = write_net(
        tmp_path / "sdnn.net",
        {"type": "input", "shape": [2, 9, 7], "weight": [1.0], "bias": [0.0], "neuron": neuron | {"vThMant": VTH[0]}},
        {"type": "conv", "shape": shape, "weight": kernel, "bias": bias, "stride": [2, 1], "padding": [0, 0],
         "dilation": [1, 1], "groups": 1, "neuron": neuron | {"vThMant": VTH[1]}},
        {"type": "flatten", "shape": [len(weights[0][0]), 1, 1]},
        {"type": "dense", "shape": [8], "weight": weights[0], "neuron": neuron | {"vThMant": VTH[1]}},
        {"type": "dense", "shape": [5], "weight": weights[1],
         "neuron": neuron | {"vThMant": VTH[1], "sigma_output": True}},
    )  # fmt: skip
    sent = reference.run(read(path), x[:, None])
    given = {"x": x.transpose(3, 2, 1, 0), "kernel": kernel, "bias": bias, "weight0": weights[0], "weight1": weights[1]}
    np.savez(tmp_path / "given.npz", **given, stride=np.array([2, 1]), vth=np.array(VTH))
    command = [environment.require("this test"), SCRIPT, tmp_path / "given.npz", tmp_path / "found.npz"]
    subprocess.run(command, check=True, timeout=300, capture_output=True, start_new_session=True)
    with np.load(tmp_path / "found.npz") as found:
        theirs = {name: found[name] for name in found.files}
    messages = {name: 64 * np.diff(sent[name][:, 0], axis=0, prepend=0) for name in ("layer0", "layer1")}
    np.testing.assert_array_equal(messages["layer0"], theirs["input"].transpose(3, 2, 1, 0))
    for name, ours in (("hidden", 64 * sent["layer1"]), ("second", 64 * sent["layer3"])):
        lag = 1 if name == "hidden" else 2
        held = np.moveaxis(theirs[name], -1, 0).cumsum(axis=0)
        np.testing.assert_array_equal(held.transpose(0, *range(held.ndim - 1, 0, -1))[lag:], ours[:-lag, 0])
        assert np.count_nonzero(np.diff(held, axis=0)) > 100
    np.testing.assert_array_equal(theirs["output"].T[3:], 4096 * sent["output"][:-3, 0])
