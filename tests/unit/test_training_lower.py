import copy
from itertools import pairwise

import numpy as np
import pytest
import torch

from tdd_deploy.data import Frames
from tdd_deploy.neurons import IF, LIF, Threshold
from tdd_deploy.program import Conv, Dense, Flatten, NeuronLayer, Pool
from tdd_deploy.program.apply import apply
from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.training.lower import lower
from tests.agreement import assert_every_backend_agrees
from tests.untrained import network, tiny_resnet

N_STEPS, BATCH = 5, 4
NETWORK_NAMES = ["mlp", "conv-small"]
NEURONS = {
    "lif, beta 0.5": {"kind": "lif", "beta": 0.5},
    "lif, beta 0.9": {"kind": "lif", "beta": 0.9},  # 0.9 is no binary fraction: v rounds at every step
    "lif, threshold 0.7": {"kind": "lif", "beta": 0.5, "threshold": 0.7},
    "if": {"kind": "if"},
}


pytestmark = pytest.mark.usefixtures("one_thread")


def random_network(name="mlp", **choices):
    """A network with random weights and random batch norm statistics, in evaluation mode."""
    return network(name, **choices).eval()


def pixels(*shape):
    """Images k / 256, the same at every step."""
    image = np.random.default_rng(2).integers(0, 257, shape) / 256
    return np.broadcast_to(image, (N_STEPS, *shape)).astype(np.float32)


def video(*shape):
    """Signed values k / 256, new at every step."""
    return (np.random.default_rng(3).integers(-256, 257, (N_STEPS, *shape)) / 256).astype(np.float32)


def spikes(*shape):
    return (np.random.default_rng(4).random((N_STEPS, *shape)) < 0.4).astype(np.float32)


INPUTS = {"pixels": pixels, "video": video, "spikes": spikes}


def by_torch(net, inputs):
    """Return what each layer of neurons sent, and the outputs, ``[n_steps, batch, ...]``."""
    with torch.no_grad():
        run = net.unroll(torch.from_numpy(inputs), N_STEPS)
    return {name: raster.numpy() for name, raster in run.spikes.items()}, run.outputs.numpy()


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("name", NETWORK_NAMES)
def test_torch_the_reference_and_the_engine_agree_to_the_bit(name, neuron, reset, inputs):
    net = random_network(name, reset=reset, **NEURONS[neuron])
    x = INPUTS[inputs](BATCH, 1, 8, 8)
    for raster in by_torch(net, x)[0].values():
        assert 0.01 < raster.mean() < 0.99  # no layer is silent, none is stuck
        assert (raster[1:] != raster[:-1]).any()
    program = lower(net, n_steps=N_STEPS, encoder="direct")
    assert program.dtype == np.float32
    assert_every_backend_agrees(net, program, x)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("input_shape", [(1, 3, 3), (2, 7, 4), (3, 1, 9)])
def test_images_of_odd_sizes_and_several_channels_agree_too(input_shape, seed):
    net = random_network("conv-small", input_shape=input_shape, n_classes=3, seed=seed, reset="soft", beta=0.9)
    x = video(BATCH, *input_shape)
    program = lower(net, n_steps=N_STEPS, encoder="direct")
    assert_every_backend_agrees(net, program, x)


@pytest.mark.parametrize("name", NETWORK_NAMES)
def test_a_network_for_spikes_agrees_on_spikes(name):
    net = random_network(name, analog_input=False)  # the first layer has the finer grid
    x = spikes(BATCH, 1, 8, 8)
    program = lower(net, n_steps=N_STEPS, encoder="poisson")
    assert_every_backend_agrees(net, program, x)


@pytest.mark.parametrize("batch", [1, 3, 50])
def test_the_outputs_do_not_depend_on_the_batch_a_sample_is_in(batch):
    net = random_network("conv-small", beta=0.9)
    x = video(50, 1, 8, 8)
    expected = by_torch(net, x)
    found = by_torch(net, np.ascontiguousarray(x[:, :batch]))
    assert np.array_equal(found[1], expected[1][:, :batch])
    for name, raster in expected[0].items():
        assert np.array_equal(found[0][name], raster[:, :batch])


@pytest.mark.parametrize("name", [*NETWORK_NAMES, "tiny resnet", "sdt-2-64"])
def test_changes_of_spikes_are_the_delta_events_of_the_engine(name):
    net = tiny_resnet(reset="soft").eval() if name == "tiny resnet" else random_network(name, reset="soft")
    x = pixels(BATCH, *net.input_shape)
    rasters, _ = by_torch(net, x)
    program = lower(net, n_steps=N_STEPS, encoder="direct")
    trace = Engine(program).run(Frames(static=False, values=x), n_steps=N_STEPS).trace
    row = {layer.name: number for number, layer in enumerate(trace.layers)}
    assert any((raster[1:] != raster[:-1]).any() for raster in rasters.values())
    for layer, raster in rasters.items():
        changes = np.diff(raster, axis=0, prepend=np.zeros_like(raster[:1]))  # D^1 = O^1
        n_changes = [np.count_nonzero(step) for step in changes]
        assert trace.executed.delta_events[row[layer]].tolist() == n_changes
        assert trace.executed.events[row[layer]].tolist() == n_changes  # the edges' code is delta
        assert trace.executed.spikes[row[layer]].tolist() == [np.count_nonzero(step) for step in raster]


def test_the_nodes_of_a_program_are_those_of_the_architecture():
    program = lower(random_network("conv-small", input_shape=(1, 9, 6)), n_steps=7, encoder="poisson")
    assert [(node.name, type(node).__name__, program.shapes[node.name]) for node in program.nodes] == [
        ("input", "Input", (1, 9, 6)),
        ("conv1", "Conv", (32, 9, 6)),
        ("conv1_spikes", "NeuronLayer", (32, 9, 6)),
        ("conv2", "Conv", (64, 5, 3)),
        ("conv2_spikes", "NeuronLayer", (64, 5, 3)),
        ("conv3", "Conv", (64, 3, 2)),
        ("conv3_spikes", "NeuronLayer", (64, 3, 2)),
        ("fc1_flatten", "Flatten", (384,)),
        ("fc1", "Dense", (128,)),
        ("fc1_spikes", "NeuronLayer", (128,)),
        ("readout", "Dense", (10,)),
        ("output", "Output", (10,)),
    ]
    assert [(edge.source, edge.target, edge.delay, edge.code) for edge in program.edges] == sorted(
        (a.name, b.name, 0, "delta") for a, b in pairwise(program.nodes)
    )
    assert (program.n_steps, program.encoder, program.number_format, program.dt_s) == (7, "poisson", "float32", 1e-3)


def test_a_flat_sample_needs_no_flatten():
    program = lower(random_network("mlp", input_shape=(12,), n_classes=3), n_steps=2, encoder="direct")
    names = ["input", "fc1", "fc1_spikes", "fc2", "fc2_spikes", "readout", "output"]
    assert [node.name for node in program.nodes] == names
    assert not any(isinstance(node, Flatten | Pool | Conv) for node in program.nodes)


@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_the_neurons_are_those_of_the_options(reset):
    net = random_network("mlp", reset=reset, beta=0.75, threshold=1.5)
    for layer in lower(net, n_steps=2, encoder="direct").neuron_layers:
        neuron = layer.neuron
        assert isinstance(layer, NeuronLayer)
        assert isinstance(neuron, LIF)
        assert (neuron.reset, neuron.compare) == (reset, ">")
        assert (neuron.beta, neuron.v_threshold, neuron.v_reset) == (0.75, 1.5, 0.0)
    net = random_network("mlp", kind="if", reset=reset)
    assert all(isinstance(layer.neuron, IF) for layer in lower(net, n_steps=2, encoder="direct").neuron_layers)


@pytest.mark.parametrize("name", ["conv-small", "tiny resnet"])
def test_the_weights_are_those_that_the_network_deploys(name):
    net = tiny_resnet() if name == "tiny resnet" else random_network(name)
    program = lower(net, n_steps=2, encoder="direct")
    deployed = net.deployed()
    assert {node.name for node in program.linear_maps if isinstance(node, Conv | Dense)} == {*deployed}
    for each, (weight, bias) in deployed.items():
        node = program[each]
        assert node.weight.dtype == node.bias.dtype == np.float32
        assert np.array_equal(node.weight, weight.numpy())
        assert np.array_equal(node.bias, bias.numpy())


def edges_into(program, name):
    return sorted(edge.source for edge in program.incoming[name])


def test_a_shortcut_is_an_edge_more_and_a_pool_keeps_its_sums():
    program = lower(tiny_resnet(), n_steps=2, encoder="direct")
    assert edges_into(program, "one") == ["one_b", "stem_spikes"]
    assert edges_into(program, "two") == ["two_b", "two_shortcut"]
    assert edges_into(program, "one_a") == ["stem_spikes"]
    pool = program["pool"]
    assert isinstance(pool, Pool)
    x = np.random.default_rng(0).random((2, 7, 3, 3)).astype(np.float32)
    np.testing.assert_allclose(apply(pool, x), x.sum((2, 3), keepdims=True), rtol=1e-6)


def test_gates_are_thresholds_over_sums_and_a_broadcast_repeats_a_value_everywhere():
    net = random_network("sdt-2-64", input_shape=(2, 12, 8))
    program = lower(net, n_steps=2, encoder="direct")
    gates = {
        layer.name: (layer.neuron.v_threshold.item(), layer.neuron.compare)
        for layer in program.neuron_layers
        if isinstance(layer.neuron, Threshold)
    }
    assert gates == {"patch3_pool": (0.5, ">")} | {
        f"block{n}_{gate}": (1.5, ">") for n in (1, 2) for gate in ("key_value", "masked")
    }
    assert edges_into(program, "block1_key_value") == ["block1_key_spikes", "block1_value_spikes"]
    assert edges_into(program, "block1_masked") == ["block1_broadcast", "block1_query_spikes"]
    assert edges_into(program, "patch3_pool") == ["patch3_pool_sum"]
    x = np.random.default_rng(0).random((2, 64, 1, 1)).astype(np.float32)
    assert np.array_equal(apply(program["block1_broadcast"], x), np.broadcast_to(x, (2, 64, 3, 2)))


def test_lowering_is_the_same_in_training_and_changes_nothing():
    net = random_network("conv-small")
    before = copy.deepcopy(net.state_dict())
    program = lower(net, n_steps=2, encoder="direct")
    assert lower(net.train(), n_steps=2, encoder="direct").digest == program.digest
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    next(net.parameters()).data.mul_(2)
    assert lower(net, n_steps=2, encoder="direct").digest != program.digest
