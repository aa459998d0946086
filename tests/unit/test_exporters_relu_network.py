"""ReLU networks as plain ONNX: onnxruntime and our own importer agree with the program."""

import sys

import numpy as np
import onnxruntime
import pytest

from tdd_deploy.errors import MissingDependency, NotExportable
from tdd_deploy.exporters.onnx.relu_network import write
from tdd_deploy.importers import read
from tdd_deploy.neurons import LIF, SigmaDelta
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Output, Pool, Scale, build
from tdd_deploy.simulator import reference

RNG = np.random.default_rng(0)


def relu(**choices):
    return SigmaDelta(delta_threshold=np.array(choices.pop("delta_threshold", 0.0)), **choices)


def program(neuron=None, *, delay=0, number_format="float32"):
    """Two convolutions around a junction, both pools, a scale and a readout."""
    neuron = neuron or relu()
    nodes = [
        Input(name="input", shape=(2, 8, 8)),
        Conv(name="stem", weight=RNG.normal(size=(4, 2, 3, 3)), bias=RNG.normal(size=4), padding=(1, 1)),
        NeuronLayer(name="one", shape=(4, 8, 8), neuron=neuron),
        Conv(name="two", weight=RNG.normal(size=(4, 2, 3, 3)), padding=(2, 2), dilation=(2, 2), groups=2),
        NeuronLayer(name="three", shape=(4, 8, 8), neuron=neuron),
        Pool(name="sums", kernel=(2, 2), stride=(2, 2)),
        Pool(name="means", kernel=(2, 2), stride=(2, 2), average=True),
        Scale(name="scale", factor=np.array(0.5), bias=np.arange(16.0).reshape(4, 2, 2)),
        Flatten(name="flat"),
        Dense(name="readout", weight=RNG.normal(size=(3, 16)), bias=RNG.normal(size=3)),
        Output(name="output"),
    ]
    edges = [
        Edge("input", "stem"), Edge("stem", "one"), Edge("one", "two"), Edge("two", "three"), Edge("stem", "three"),
        Edge("three", "sums", delay=delay), Edge("sums", "means"), Edge("means", "scale"), Edge("scale", "flat"),
        Edge("flat", "readout"), Edge("readout", "output"),
    ]  # fmt: skip
    return build(nodes, edges, dt_s=1e-3, n_steps=1, number_format=number_format)


def test_onnxruntime_and_our_importer_give_the_outputs_of_the_program(tmp_path):
    written = program()
    path = tmp_path / "network.onnx"
    write(written, path)
    x = RNG.normal(size=(5, 2, 8, 8)).astype(np.float32)
    expected = reference.run(written, x[None])["output"][0]
    (found,) = onnxruntime.InferenceSession(path.read_bytes()).run(None, {"input": x})
    np.testing.assert_allclose(found, expected, atol=1e-4)
    again = read(path)
    np.testing.assert_allclose(reference.run(again, x[None])["output"][0], expected, atol=1e-4)
    assert [layer.name for layer in again.neuron_layers] == ["one", "three"]


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        (
            {"neuron": relu(delta_threshold=0.1)},
            r"a delta_threshold of 0 \(got SigmaDelta .* a delta_threshold of 0\.1\)",
        ),
        ({"neuron": relu(activation="none")}, r"must be SigmaDelta .*activation relu .*\(got .*activation none"),
        (
            {"neuron": LIF(beta=np.array(0.5), v_threshold=np.array(1.0), v_reset=np.array(0.0))},
            r"one must be SigmaDelta .*\(got LIF\)",
        ),
        ({"delay": 1}, "edge three -> sums has delay 1, but"),
        ({"number_format": "float64"}, r"number_format must be float32 \(got float64\)"),
    ],
)
def test_a_program_that_is_no_relu_network_is_refused(tmp_path, changed, found):
    with pytest.raises(NotExportable, match=found):
        write(program(**changed), tmp_path / "network.onnx")
    assert not any(tmp_path.iterdir())


def test_without_onnx_the_line_that_installs_it_is_given(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependency, match=r"a ReLU network in ONNX needs onnx\. .* 'tdd-deploy\[onnx\]'"):
        write(program(), tmp_path / "network.onnx")
