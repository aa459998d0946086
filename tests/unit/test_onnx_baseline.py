"""``baseline=ann.onnx``: any network in an ONNX file beside a spiking one, on the same samples."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import tdd_deploy as td
from tdd_deploy.errors import TddDeployError
from tdd_deploy.simulator.hardware.dense import Candidate
from tdd_deploy.simulator.reports.shape import report_fault
from tests import by_hand
from tests.onnx_files import node, write

RNG = np.random.default_rng(0)
X = RNG.normal(size=(9, 3, 2)).astype(np.float32)  # [N, T, C]
# The program of by_hand has one output, so its labels are 0; the ANN sees all steps at once.
Y = np.zeros(9, np.int64)
W = RNG.normal(size=(6, 4)).astype(np.float32)
LABELS = {"wide": W, "narrow": W[:, :1]}


def ann(tmp_path, weights=W, shape=("N", 6), nodes=None):
    return write(tmp_path / "ann.onnx", nodes or [node("MatMul", "x w")], {"w": weights}, shape=shape)


def simulated(path, y=Y, x=X, **given):
    found = td.simulate(by_hand.program(), x=x, y=y, energy=True, baseline=path, profiles=["cmos45-memory"], **given)
    report = json.loads(json.dumps(found.as_json()))
    assert report_fault(report) == ""
    return report


@pytest.mark.parametrize("shape", [("N", 6), (1, 6), (4, 6), ("N", 3, 2)])
def test_its_accuracy_is_that_of_the_same_samples(tmp_path, shape):
    nodes = [node("Flatten", "x", "f"), node("MatMul", "f w")]
    report = simulated(ann(tmp_path, shape=shape, nodes=nodes))
    (baseline,) = report["baselines"]
    (result,) = baseline["results"]
    correct = int(((X.reshape(9, 6) @ W).argmax(axis=1) == Y).sum())
    assert 0 < correct < 9
    assert (result["n_correct"], result["accuracy"], result["n_samples"]) == (correct, correct / 9, 9)
    assert (baseline["n_classes"], baseline["onnx"]["not_measured"]) == (4, None)
    (layer,) = baseline["layers"]
    assert (layer["macs"], layer["weights"], layer["inputs"], layer["outputs"]) == (24, 24, 6, 4)


def test_it_stands_beside_the_same_layers_and_is_priced_as_they_are(tmp_path):
    report = simulated(ann(tmp_path))
    rows = report["energies"][0]["comparison"]["rows"]
    of_file = [row for row in rows if row["baseline"] == 0]
    assert {row["macs"] for row in of_file} == {24}
    assert len(of_file) == 3
    assert {row["macs"] for row in rows if row["baseline"] is None} == {by_hand.TOTALS["dense"] / 6}
    price = {term["what"]: term["count"] for term in of_file[0]["terms"]}
    assert price["multiplications"] == 24


@pytest.mark.parametrize(
    ("path", "y", "reason"),
    [
        (ann, None, "the data have no labels"),
        (lambda folder: ann(folder, LABELS["narrow"]), Y, "and not [N, classes]"),
        (lambda folder: ann(folder, shape=(1, 5), weights=W[:5]), Y, "its input is [5], and a sample is [3, 2]"),
    ],
)
def test_where_its_accuracy_cannot_be_measured_the_report_says_why(tmp_path, path, y, reason):
    report = simulated(path(tmp_path), y=y)
    (baseline,) = report["baselines"]
    assert reason in baseline["onnx"]["not_measured"]
    assert baseline["results"][0]["accuracy"] is None
    assert any(row["baseline"] == 0 for row in report["energies"][0]["comparison"]["rows"])


def test_without_onnxruntime_it_is_counted_but_not_measured(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (baseline,) = simulated(ann(tmp_path))["baselines"]
    assert "onnxruntime" in baseline["onnx"]["not_measured"]
    assert baseline["layers"][0]["macs"] == 24


def test_a_file_that_onnxruntime_refuses_is_counted_but_not_measured(tmp_path):
    (baseline,) = simulated(ann(tmp_path, nodes=[node("MatMul", "x w", "m"), node("Cast", "m", to=16)]))["baselines"]
    assert "onnxruntime cannot execute it" in baseline["onnx"]["not_measured"]


def test_a_later_price_counts_it_without_samples(tmp_path):
    simulation = td.simulate(by_hand.program(), x=X, y=Y)
    (baseline,) = td.price(simulation, baseline=ann(tmp_path)).baselines
    assert "without its samples" in baseline["onnx"]["not_measured"]


def test_its_faults_end_the_command_before_anything_runs(tmp_path):
    path = write(tmp_path / "ann.onnx", [node("Einsum", "x", equation="nc->n")], shape=("N", 6))
    with pytest.raises(TddDeployError, match="Einsum"):
        simulated(path)


def test_layers_of_several_widths_are_priced_each_in_its_own():
    layer = {"weights": 4, "nonzero_weights": 4, "biases": 0, "inputs": 2, "outputs": 2}
    layers = [
        {"name": "a", "macs": 4, "weight_bits": None, "activation_bits": None, **layer},
        {"name": "b", "macs": 40, "weight_bits": 8, "activation_bits": 8, **layer},
    ]
    result = {"split": "test", "weight_bits": 8, "activation_bits": 8, "accuracy": None, "effective_macs": None}
    (candidate,) = Candidate.trained([{"layers": layers, "results": [result]}], "test")
    ((machine, work),) = candidate.machines(["none"])
    parts = candidate.parts(machine, work)
    assert [(each.weight_bits, part.macs) for each, part in parts] == [(8, 40), (None, 4)]
    assert candidate.other_macs == 4


def test_the_terminal_names_the_file_and_what_is_not_counted(call, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "150")
    network = Path(__file__).parents[1] / "golden" / "commands" / "network.nir"
    nodes = [
        node("MaxPool", "x", "p", kernel_shape=[2, 2]), node("Flatten", "p", "f"), node("MatMul", "f w")
    ]  # fmt: skip
    weights = RNG.normal(size=(49, 10)).astype(np.float32)
    path = ann(tmp_path, weights, ("N", 1, 8, 8), nodes)
    said = call("simulate", network, "--data", "digits", "--samples", 5, "--energy", "--baseline", path)
    assert said.code == 0
    assert "ANN baseline ann.onnx: 490 MACs; accuracy" in said.out
    assert "not counted in ann.onnx" in said.out
    assert "MaxPool (49 values)" in said.out
    assert "  ann.onnx, floats, less accurate" in said.out  # its weights are random
