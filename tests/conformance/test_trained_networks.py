"""What was trained is what is deployed: torch, the file, the reference and the event engine, spike for spike."""

import numpy as np
import pytest

from tdd_deploy import load as read_program
from tdd_deploy import train as train_into
from tdd_deploy.data import Frames, open_data
from tdd_deploy.options.training import TrainOptions
from tdd_deploy.options.vocabulary import SPIKING
from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.training import Samples, load
from tdd_deploy.training.evaluation import evaluate
from tests.agreement import assert_every_backend_agrees

N_STEPS = 4


pytestmark = pytest.mark.usefixtures("one_thread")


def digits(split, n=100):
    x, y = open_data("digits", split=split).load()
    return Samples(x[:n], y[:n])


def trained(folder, **chosen):
    """Train into a run folder; return the network as torch holds it, the program of its file, and the options."""
    chosen = {"steps": N_STEPS, "epochs": 2} | chosen
    train_into(folder, data="digits", **chosen)
    program = read_program(folder)
    return load(folder, program), program, TrainOptions(**chosen).checked()


def as_encoded(options, x):
    inputs = np.repeat(x[None], options.steps, axis=0)
    if options.encoder == "poisson":
        return (np.random.default_rng(0).random(inputs.shape) < inputs).astype(np.float32)
    return inputs


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("method", SPIKING)
def test_a_trained_network_fires_the_same_spikes_on_every_backend(tmp_path, method, reset):
    net, program, options = trained(tmp_path / "run", method=method, reset=reset)
    samples = digits("test")
    assert_every_backend_agrees(net, program, as_encoded(options, samples.x))

    result = Engine(program).run(Frames(static=True, values=samples.x), n_steps=N_STEPS)
    found = evaluate(net, samples, options, in_time=False)
    assert found.accuracy == (result.output.sum(axis=1).argmax(axis=1) == samples.y).mean() > 0.5
    assert found.raw_events == result.trace.executed.total("spikes") / 100
    assert found.delta_events == result.trace.executed.total("delta_events") / 100


@pytest.mark.parametrize("encoder", ["direct", "poisson"])
@pytest.mark.parametrize("neuron", [{"neuron": "if"}, {"beta": 0.9}, {"threshold": 0.7, "beta": 0.3}], ids=str)
@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_other_neurons_and_encoders_agree_too(tmp_path, reset, neuron, encoder):
    net, program, options = trained(tmp_path / "run", network="mlp", reset=reset, encoder=encoder, **neuron)
    assert_every_backend_agrees(net, program, as_encoded(options, digits("test").x))


@pytest.mark.parametrize(
    "chosen",
    [
        {"strategy": "sltt"},
        {"strategy": "sltt-k", "sltt_steps": 2},
        {"strategy": "stdl", "local_parts": 2},
        {"method": "tdd-ddla", "transmit": "closed", "keep": 0.7},
        {"method": "tdd-ddla", "transmit": "open", "strategy": "sltt"},
        {"method": "l1-onset", "weigh": "synops"},
        {"loss": "rmp", "reset_to": (1.0, 0.0)},
        {"loss": "rate", "learn": ("beta", "threshold")},
        {"norm": "mpbn"},
        {"norm": "mpbn", "learn": ("beta", "threshold"), "reset_to": (0.5,)},
    ],
    ids=str,
)
def test_however_it_was_trained_a_network_agrees(tmp_path, chosen):
    net, program, options = trained(tmp_path / "run", network="mlp", **{"method": "tet", **chosen})
    samples = digits("test")
    assert_every_backend_agrees(net, program, as_encoded(options, samples.x))
    assert evaluate(net, samples, options, in_time=False).accuracy > 0.5


@pytest.mark.parametrize(("network", "steps", "n"), [("resnet19-small", 2, 240), ("sdt-2-64", 4, 480)])
def test_large_networks_agree_after_some_batches(tmp_path, network, steps, n):
    """Of eight samples each, so that batch norm knows its inputs; what they learn is not asked."""
    net, program, options = trained(
        tmp_path / "run", network=network, method="tet", steps=steps, epochs=1, batch=8, train_samples=n
    )
    assert_every_backend_agrees(net, program, as_encoded(options, digits("test", 8).x))
