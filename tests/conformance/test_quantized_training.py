"""What was trained for integers is what is deployed: torch, the file, the reference and the engine, bit for bit."""

import numpy as np
import pytest
import torch

from tdd_deploy import load as read_program
from tdd_deploy import simulate
from tdd_deploy import train as train_into
from tdd_deploy.data import open_data
from tdd_deploy.options.training import TrainOptions
from tdd_deploy.options.vocabulary import SPIKING
from tdd_deploy.program.quantization.quantize import quantize
from tdd_deploy.training import Samples, load_run
from tdd_deploy.training.evaluation import evaluate
from tdd_deploy.training.lower import lower
from tests.agreement import assert_every_backend_agrees

N_STEPS = 4

pytestmark = pytest.mark.usefixtures("one_thread")


def digits(split, n=100):
    x, y = open_data("digits", split=split).load()
    return Samples(x[:n], y[:n])


def trained(folder, **chosen):
    """Train into a run folder; return the network in torch's integers, and the program of the file."""
    options = TrainOptions(steps=N_STEPS, epochs=2, **chosen).checked()
    finished = train_into(folder, data="digits", steps=N_STEPS, epochs=2, **chosen)
    program = read_program(folder)
    run = load_run(folder, program)
    in_floats = lower(run.network, n_steps=N_STEPS, encoder=options.encoder)
    saved = torch.load(folder / "checkpoint.pt", weights_only=True)
    found = quantize(in_floats, bits=options.qat, input_bits=saved["progress"]["input_bits"])
    assert program.number_format == "integer"
    assert program.digest == found.program.digest == finished.recorded["program"]
    return run.deployed, program, finished.history[-1], options


def inputs_of(options, x):
    values = np.repeat(x[None], N_STEPS, axis=0)
    if options.encoder == "poisson":
        return (np.random.default_rng(0).random(values.shape) < values).astype(np.float32)
    return values


@pytest.mark.parametrize(
    ("method", "reset", "qat", "network"),
    [
        *((method, "hard", 8, "mlp") for method in SPIKING),
        ("tet", "hard", 8, "conv-small"),
        ("tdd-ddla", "soft", 4, "conv-small"),
    ],
)
def test_a_network_trained_for_integers_fires_the_same_spikes_on_every_backend(tmp_path, method, reset, qat, network):
    net, program, _, options = trained(tmp_path / "run", method=method, reset=reset, qat=qat, network=network)
    test = digits("test")
    assert_every_backend_agrees(net, program, inputs_of(options, test.x))
    assert evaluate(net, test, options, in_time=False).accuracy > 0.5


@pytest.mark.parametrize("encoder", ["direct", "poisson"])
@pytest.mark.parametrize(
    "chosen",
    [
        {"neuron": "if", "qat": 8},
        {"neuron": "if", "reset": "soft", "qat": 4},
        {"beta": 0.9, "qat": 3},
        {"threshold": 0.7, "beta": 0.3, "reset": "soft", "qat": 2},
    ],
    ids=str,
)
def test_other_neurons_encoders_and_bits_agree_too(tmp_path, encoder, chosen):
    net, program, _, options = trained(tmp_path / "run", network="mlp", encoder=encoder, **chosen)
    assert_every_backend_agrees(net, program, inputs_of(options, digits("test").x))


@pytest.mark.parametrize("qat", [8, 4])
def test_the_last_epoch_is_what_the_file_gives_on_the_same_samples(tmp_path, qat):
    *_, last, _ = trained(tmp_path / "run", network="mlp", qat=qat)
    simulation = simulate(tmp_path / "run", data="digits", split="val")
    report = simulation.as_json()
    totals, n = report["totals"], report["totals"]["samples"]
    assert (last["accuracy"], last["raw_events"], last["delta_events"]) == (
        report["accuracy"],
        totals["spikes"] / n,
        totals["delta_events"] / n,
    )
