import zipfile
from itertools import pairwise

import numpy as np
import pytest

from tdd_deploy.errors import BadFile, BadOption
from tdd_deploy.neurons import LI
from tdd_deploy.program import Dense, Edge, Input, NeuronLayer, Output, build
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.simulator.engine.record import recording
from tests import by_hand
from tests.zoo import Given, grow


def batches(case, *, size):
    program, inputs = case.program, case.inputs
    layers = [layer.name for layer in program.neuron_layers]
    for start in range(0, inputs.shape[1], size):
        yield Engine(program).run(Given(inputs[:, start : start + size]), n_steps=len(inputs), record=layers)


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_the_file_holds_every_layer_of_neurons_and_the_output(tmp_path, seed, size):
    case = grow(seed, n_blocks=2, n_steps=3, batch=5, spatial=bool(seed % 2))
    path = tmp_path / "rasters.npz"
    with recording(path, case.program, n_samples=5, n_steps=3) as recorder:
        for result in batches(case, size=size):
            recorder.take(result)
    sent = reference.run(case.program, case.inputs)
    with np.load(path, allow_pickle=False) as file:
        assert set(file.files) == {layer.name for layer in case.program.neuron_layers} | {"output"}
        for name in file.files:
            np.testing.assert_array_equal(file[name], sent[name].swapaxes(0, 1))
    assert list(tmp_path.iterdir()) == [path]


def record_by_hand(path):
    with recording(path, by_hand.program(), n_samples=2, n_steps=3) as recorder:
        recorder.take(by_hand.result())


def test_spikes_take_a_byte_and_the_output_keeps_its_numbers(tmp_path):
    record_by_hand(tmp_path / "rasters.npz")
    with np.load(tmp_path / "rasters.npz", allow_pickle=False) as file:
        assert file["hidden"].dtype == np.int8
        assert file["output"].dtype == np.float32
        np.testing.assert_array_equal(file["hidden"], by_hand.SPIKES)
        np.testing.assert_array_equal(file["output"], by_hand.OUTPUT)


def test_the_file_is_compressed(tmp_path):
    record_by_hand(tmp_path / "rasters.npz")
    with zipfile.ZipFile(tmp_path / "rasters.npz") as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_DEFLATED}


def test_potentials_are_recorded_as_numbers(tmp_path):
    nodes = [
        Input(name="input", shape=(1,)),
        Dense(name="fc", weight=np.array([[0.75]])),
        NeuronLayer(name="li", shape=(1,), neuron=LI(beta=np.array(0.5))),
        Output(name="out"),
    ]
    edges = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    program = build(nodes, edges, dt_s=1e-3, n_steps=2)
    result = Engine(program).run(Given(np.ones((2, 1, 1), np.float32)), n_steps=2, record=("li",))
    with recording(tmp_path / "a.npz", program, n_samples=1, n_steps=2) as recorder:
        recorder.take(result)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert file["li"].dtype == np.float32
        assert file["li"].ravel().tolist() == [0.75, 1.125]


def record_and_stop(path, error):
    with recording(path, by_hand.program(), n_samples=2, n_steps=3) as recorder:
        recorder.take(by_hand.result())
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_run_that_stops_leaves_nothing_behind(tmp_path, error):
    with pytest.raises(error):
        record_and_stop(tmp_path / "rasters.npz", error)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_stops_leaves_the_old_file(tmp_path):
    path = tmp_path / "rasters.npz"
    record_by_hand(path)
    before = path.read_bytes()
    with pytest.raises(RuntimeError):
        record_and_stop(path, RuntimeError)
    assert path.read_bytes() == before


def test_a_layer_named_output_is_refused(tmp_path):
    program = by_hand.renamed(by_hand.program(), "hidden", "output")
    with (
        pytest.raises(BadOption, match=r"record cannot hold a layer named output\. Rename the layer"),
        recording(tmp_path / "a.npz", program, n_samples=1, n_steps=3),
    ):
        pytest.fail("the body must not run")
    assert list(tmp_path.iterdir()) == []


def test_an_output_of_any_name_is_recorded_as_output(tmp_path):
    assert by_hand.program().output.name == "out"
    record_by_hand(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        assert set(file.files) == {"hidden", "output"}


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with (
        pytest.raises(BadFile, match="cannot be written"),
        recording(tmp_path / "none" / "a.npz", by_hand.program(), n_samples=1, n_steps=3),
    ):
        pytest.fail("the body must not run")
