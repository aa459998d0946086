"""What was trained is what is deployed: torch, the reference and the event engine, spike for spike."""

import numpy as np
import pytest
import torch

from tdd_deploy.data import Frames, open_data
from tdd_deploy.simulator.engine import Engine
from tdd_deploy.train import METHODS, Samples, TrainingData, TrainOptions, checked, fit
from tdd_deploy.train.trainer import evaluate
from tests.agreement import assert_every_machine_agrees

N_STEPS = 4


pytestmark = pytest.mark.usefixtures("one_thread")


class Silence:
    def batch(self, done, total, loss):
        pass

    def epoch(self, history):
        pass


def digits(split):
    return Samples(*open_data("digits", split=split).load())


def trained(options, folder):
    """Return the trained network as torch holds it, and the program made of it."""
    data = TrainingData(
        train=digits("train"), validation=digits("val"), input_shape=(1, 8, 8), n_classes=10, in_time=False
    )
    program = fit(options, data, folder, resume=False, watcher=Silence()).program
    net = options.make_network((1, 8, 8), 10)
    net.load_state_dict(torch.load(folder / "checkpoint.pt", weights_only=True)["network"])
    return net.eval(), program


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("method", METHODS)
def test_a_trained_network_fires_the_same_spikes_on_every_machine(tmp_path, method, reset):
    options = checked(TrainOptions(method=method, reset=reset, steps=N_STEPS, epochs=2))
    net, program = trained(options, tmp_path)
    test = digits("test")
    samples = Samples(test.x[:100], test.y[:100])
    assert_every_machine_agrees(net, program, np.repeat(samples.x[None], N_STEPS, axis=0))

    result = Engine(program).run(Frames(static=True, values=samples.x), n_steps=N_STEPS)
    found = evaluate(net, samples, options, in_time=False)
    assert found.accuracy == (result.output.sum(axis=1).argmax(axis=1) == samples.y).mean() > 0.5
    assert found.raw_events == result.trace.executed.total("spikes") / 100
    assert found.delta_events == result.trace.executed.total("delta_events") / 100


@pytest.mark.parametrize("encoder", ["direct", "poisson"])
@pytest.mark.parametrize("neuron", [{"neuron": "if"}, {"beta": 0.9}, {"threshold": 0.7, "beta": 0.3}], ids=str)
@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_other_neurons_and_encoders_agree_too(tmp_path, reset, neuron, encoder):
    chosen = {"network": "mlp", "steps": N_STEPS, "epochs": 2, "reset": reset, "encoder": encoder, **neuron}
    net, program = trained(checked(TrainOptions(**chosen)), tmp_path)
    x = digits("test").x[:100]
    inputs = np.repeat(x[None], N_STEPS, axis=0)
    if encoder == "poisson":
        inputs = (np.random.default_rng(0).random(inputs.shape) < inputs).astype(np.float32)
    assert_every_machine_agrees(net, program, inputs)
