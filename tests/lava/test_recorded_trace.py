"""A trace that others recorded in Lava: the program that its NIR file describes gives it, one step earlier."""

import os
from pathlib import Path

import nir
import numpy as np
import pytest

from tdd_deploy.exporters.lava import environment
from tdd_deploy.exporters.lava.plan import plan_bundle
from tdd_deploy.neurons import LIF, LoihiLIF
from tdd_deploy.program import Dense, Edge, Input, NeuronLayer, Output, build
from tdd_deploy.program.quantization.quantize import quantize
from tdd_deploy.simulator import reference
from tdd_deploy.verification.backends import lava_backend

DT_S = 1e-4  # of the recordings
SCALE = 250  # integers per float that the NIR paper's converter chose: the weight 0.04 is 10

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
DATA = next((p for p in (Path(os.environ.get("TDD_DEPLOY_DATA", "/")) / "nir", SHARED / "nir") if p.is_dir()), None)
pytestmark = pytest.mark.skipif(DATA is None, reason="no folder nir in $TDD_DEPLOY_DATA")


def recorded(name):
    """Return input, v after the reset, and spikes, each [1000]."""
    return np.loadtxt(DATA / "lif_norse_traces" / name, delimiter=",").T


def described():
    """Return the LIF of the file, and the weight that drives it per time step."""
    graph = nir.read(DATA / "lif_norse.nir")
    (lif,) = (node for node in graph.nodes.values() if isinstance(node, nir.LIF))
    (affine,) = (node for node in graph.nodes.values() if isinstance(node, nir.Affine))
    lost = DT_S / lif.tau[0]
    return lif, float(affine.weight[0, 0] * lif.r[0] * lost), 1 - lost


def program(neuron, weight, number_format):
    nodes = [
        Input(name="input", shape=(1,)),
        Dense(name="fc", weight=np.full((1, 1), weight)),
        NeuronLayer(name="n", shape=(1,), neuron=neuron),
        Output(name="output"),
    ]
    edges = [Edge("input", "fc"), Edge("fc", "n"), Edge("n", "output")]
    return build(nodes, edges, dt_s=DT_S, n_steps=1000, number_format=number_format, encoder="poisson")


def as_converted():
    """Return the integers that the NIR paper's converter gave to Lava."""
    lif, weight, beta = described()
    neuron = LoihiLIF(
        v_threshold=np.asarray(64 * round(float(lif.v_threshold[0]) * SCALE)),
        v_reset=np.asarray(0),
        du=np.asarray(4095),
        dv=np.floor(4096 * (1 - beta)),  # the converter truncates
        bias=np.asarray(0),
    )
    return program(neuron, round(weight * SCALE), "integer")


def test_integers_give_the_recorded_potentials_and_spikes_one_step_earlier():
    given, v, spikes = recorded("lif_lava_cpu_fixed.csv")
    potentials = {}
    sent = reference.run(as_converted(), given[:, None, None], potentials=potentials)
    ours = sent["n"][:, 0, 0]
    after_reset = np.where(ours, 0, potentials["n"][:, 0, 0])
    assert np.flatnonzero(spikes).tolist() == [461, 511, 711, 761]
    assert np.array_equal(ours[:-1], spikes[1:])
    assert np.array_equal(after_reset[:-1], v[1:])


def test_the_bundle_says_that_lava_is_that_step_late():
    plan = plan_bundle(as_converted(), "spike")
    assert [layer["latency"] for layer in plan.manifest["neurons"]] == [1]


@pytest.mark.skipif(environment.find() is None, reason="Lava is not set up: tdd-deploy lava setup")
@pytest.mark.parametrize("mapping", ["fused", "stock", "spike"])
def test_lava_itself_gives_the_recorded_spikes(mapping):
    given, _, spikes = recorded("lif_lava_cpu_fixed.csv")
    found = lava_backend(as_converted(), "lava", mapping, timeout_s=300)(given[:, None, None])
    assert np.array_equal(found.spikes["n"][0, :-1, 0], spikes[1:])


def test_our_own_quantization_gives_the_recorded_spikes_too():
    given, _, spikes = recorded("lif_lava_cpu_fixed.csv")
    lif, weight, beta = described()
    neuron = LIF(beta=np.asarray(beta), v_threshold=lif.v_threshold[0], v_reset=np.asarray(0.0))
    integers = quantize(program(neuron, weight, "float64")).program
    sent = reference.run(integers, given[:, None, None])
    assert np.array_equal(sent["n"][:-1, 0, 0], spikes[1:])
