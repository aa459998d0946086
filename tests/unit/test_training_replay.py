"""A finished run's network in torch, beside the backends that execute its file."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tdd_deploy.errors import BadFile
from tdd_deploy.exporters.nir.write import write
from tdd_deploy.importers import read
from tdd_deploy.options.training import TrainOptions
from tdd_deploy.program.quantization.quantize import quantize
from tdd_deploy.training import load, load_run, replay
from tdd_deploy.training.build import make_network
from tdd_deploy.training.lower import lower
from tdd_deploy.verification.backends import event_backend, reference_backend, torch_backend
from tdd_deploy.verification.comparison import compare
from tests.untrained import pixels, shaken

N_STEPS, SHAPE = 3, (2, 8, 8)

pytestmark = pytest.mark.usefixtures("one_thread")


def run_folder(folder, *, name="network.nir", **chosen):
    """A run that ends as it began, with its batch norm shaken; returns its program as the file holds it."""
    options = TrainOptions(steps=N_STEPS, **chosen).checked()
    torch.manual_seed(0)
    net = shaken(make_network(options, SHAPE, 4)).eval()
    folder.mkdir()
    recorded = {"options": options.as_json(), "data": {"input_shape": SHAPE, "n_classes": 4}, "epochs": []}
    (folder / "train.json").write_text(json.dumps(recorded))
    save_file(net.state_dict(), folder / "network.safetensors")
    program = lower(net, n_steps=N_STEPS, encoder=options.encoder)
    if options.qat is not None:
        program = quantize(program, bits=options.qat, input_bits=6).program
    write(program, folder / name)
    return net, read(folder / name)


CHOICES = [
    {"network": "mlp"},
    {"network": "conv-small", "qat": 8},
    {"network": "resnet19-small", "norm": "mpbn", "reset_to": (1.0, 0.5)},
    {"network": "resnet19-small", "qat": 4},
    {"network": "sdt-2-64", "learn": ("beta", "threshold")},
]


@pytest.mark.parametrize("chosen", CHOICES, ids=str)
def test_a_run_is_replayed_as_every_backend_executes_its_file(chosen, tmp_path):
    _, program = run_folder(tmp_path / "run", **chosen)
    inputs = pixels(N_STEPS, 5, *SHAPE)
    found = torch_backend(tmp_path / "run", program)(inputs)
    others = [
        reference_backend(program, "reference")(inputs),
        event_backend(program, "event, delta code", "delta")(inputs),
        event_backend(program, "event, spike code", "spike")(inputs),
    ]
    for other in others:
        comparison = compare(found, other)
        assert comparison.passed
        assert comparison.differing == 0
    for layer, potentials in found.potentials.items():
        assert np.array_equal(potentials, others[0].potentials[layer])


def test_spikes_outputs_and_potentials_are_those_of_the_network_and_gates_have_no_potential(tmp_path):
    net, program = run_folder(tmp_path / "run", network="sdt-2-64")
    inputs = pixels(N_STEPS, 2, *SHAPE)
    found = replay(load(tmp_path / "run", program), inputs)
    run = net.unroll(torch.from_numpy(inputs), N_STEPS)
    assert found.spikes.keys() == run.spikes.keys()
    assert all(np.array_equal(found.spikes[name], raster.numpy()) for name, raster in run.spikes.items())
    assert np.array_equal(found.outputs, run.outputs.detach().numpy())
    gates = {"patch3_pool", *(f"block{n}_{gate}" for n in (1, 2) for gate in ("key_value", "masked"))}
    assert found.spikes.keys() - found.potentials.keys() == gates


def test_a_spike_of_a_gate_that_differs_is_found(tmp_path):
    _, program = run_folder(tmp_path / "run", network="sdt-2-64")
    inputs = pixels(N_STEPS, 5, *SHAPE)
    found, right = torch_backend(tmp_path / "run", program)(inputs), reference_backend(program, "reference")(inputs)
    spikes = {name: raster.copy() for name, raster in found.spikes.items()}
    spikes["block1_masked"][2, 1, 7, 1, 0] = 1 - spikes["block1_masked"][2, 1, 7, 1, 0]
    comparison = compare(right, replace(found, spikes=spikes))
    assert comparison.differing == 1
    assert (
        comparison.first_difference.layer,
        comparison.first_difference.sample,
        comparison.first_difference.neuron,
    ) == ("block1_masked", 2, (7, 1, 0))
    assert comparison.first_difference.potentials is None


def test_a_run_for_integers_has_its_floats_too(tmp_path):
    net, program = run_folder(tmp_path / "run", network="resnet19-small", qat=8)
    run = load_run(tmp_path / "run", program)
    x = torch.from_numpy(pixels(N_STEPS, 2, *SHAPE))
    assert torch.equal(run.network.unroll(x, N_STEPS).outputs, net.unroll(x, N_STEPS).outputs)
    assert run.deployed.unroll(x, N_STEPS).outputs.dtype == torch.int64
    assert run.options.qat == 8


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(number, tmp_path):
    net, program = run_folder(tmp_path / "run", network="mlp")
    net["fc2"].weights.weight.data[3, 4] = number
    save_file(net.state_dict(), tmp_path / "run" / "network.safetensors")
    with pytest.raises(BadFile, match=r"network\.safetensors holds numbers that are NaN or infinite"):
        load_run(tmp_path / "run", program)


@pytest.mark.parametrize("fault", ["weights", "options", "missing", "shape", "size", "type"])
def test_a_folder_that_is_not_the_run_of_its_file_is_refused(fault, tmp_path):
    net, program = run_folder(tmp_path / "run", network="mlp")
    folder = tmp_path / "run"
    words = "network.nir does not hold the network of the run's network.safetensors"
    if fault == "weights":
        net["fc2"].weights.weight.data[3, 4] += 0.5
        save_file(net.state_dict(), folder / "network.safetensors")
    elif fault == "options":
        recorded = json.loads((folder / "train.json").read_text())
        recorded["options"]["beta"] = 0.75
        (folder / "train.json").write_text(json.dumps(recorded))
    else:
        words = "holds no finished run that torch can replay"
        if fault == "missing":
            (folder / "network.safetensors").unlink()
        elif fault == "type":
            tensors = net.state_dict()
            save_file(
                {**tensors, "fc2.weights.weight": tensors["fc2.weights.weight"].double()},
                folder / "network.safetensors",
            )
        else:
            recorded = json.loads((folder / "train.json").read_text())
            recorded["data"]["n_classes"] = 5 if fault == "shape" else 10**12
            (folder / "train.json").write_text(json.dumps(recorded))
    with pytest.raises(BadFile, match=words):
        load(folder, program)
