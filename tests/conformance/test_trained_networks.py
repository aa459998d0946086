"""What was trained is what is deployed: torch, the reference and the event engine, spike for spike."""

import numpy as np
import pytest
import torch

from tdd_deploy.data import Frames, open_data
from tdd_deploy.program import with_code
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.engine import Engine
from tdd_deploy.train import METHODS, Samples, TrainingData, TrainOptions, checked, fit
from tdd_deploy.train.network import make_network
from tdd_deploy.train.trainer import evaluate

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
    net = make_network(
        options.network,
        input_shape=(1, 8, 8),
        n_classes=10,
        neuron=options.make_neuron,
        analog_input=options.encoder == "direct",
    )
    net.load_state_dict(torch.load(folder / "checkpoint.pt", weights_only=True)["network"])
    return net.eval(), program


def assert_every_machine_agrees(net, program, inputs):
    """Compare every spike and every output, given inputs ``[n_steps, batch, ...]``; -0 is 0."""
    with torch.no_grad():
        run = net.unroll(torch.from_numpy(inputs), N_STEPS, static=False)
    layers = [layer.name for layer in program.neuron_layers]
    expected = {name: tap.numpy() for name, tap in zip(layers, run.taps, strict=True)}
    expected["output"] = run.outputs.numpy()
    assert all(expected[name].any() for name in layers)
    sent = reference.run(program, inputs)
    for name, values in expected.items():
        assert np.array_equal(sent[name], values), f"{name}: the reference differs"
    for code in ("delta", "spike"):
        frames = Frames(static=False, values=inputs)
        result = Engine(with_code(program, code)).run(frames, n_steps=N_STEPS, record=layers)
        for name, values in {**result.layers, "output": result.output}.items():
            assert np.array_equal(values.swapaxes(0, 1), expected[name]), f"{name}: the engine differs in {code} code"


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
