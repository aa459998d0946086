"""Every network by name: its size as published, and the same spikes in torch, in its file and in the simulators."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from tdd_deploy.errors import BadOption
from tdd_deploy.exporters.nir.write import write
from tdd_deploy.importers import read
from tdd_deploy.neurons import Threshold
from tdd_deploy.options import vocabulary
from tdd_deploy.options.training import TrainOptions
from tdd_deploy.program import Edge, Input, NeuronLayer, Output, Pool, build
from tdd_deploy.simulator import reference
from tdd_deploy.training import build as from_options
from tdd_deploy.training.architectures import NETWORKS, SpikeDrivenTransformer, make_network
from tdd_deploy.training.gates import AnyOf, Both
from tdd_deploy.training.lower import lower
from tdd_deploy.training.network import Neurons, fire
from tests.agreement import assert_every_backend_agrees
from tests.untrained import network, neurons, pixels, spikes, tiny_resnet

N_STEPS = 4

pytestmark = pytest.mark.usefixtures("one_thread")


def plain(name, input_shape=(3, 32, 32), n_classes=10):
    """Without batch norm's statistics, which take a run of the network."""
    torch.manual_seed(0)
    return make_network(name, input_shape=input_shape, n_classes=n_classes, neurons=neurons(), analog_input=True)


def n_parameters(net):
    return sum(parameter.numel() for parameter in net.parameters())


def test_the_vocabulary_names_every_network_and_those_with_gates():
    assert tuple(NETWORKS) == vocabulary.NETWORKS
    assert (
        tuple(name for name, made in NETWORKS.items() if isinstance(made, SpikeDrivenTransformer)) == vocabulary.GATED
    )


# --- Sizes ---------------------------------------------------------------------------------------------------------


def conv_bn(n_in, n_out, kernel=3):
    return n_in * n_out * kernel**2 + 2 * n_out


def resnet_parameters(stem, stages, hidden, n_classes=10, channels=3):
    """Counted along the published drawing: convolutions without bias, batch norm of two numbers per channel."""
    total, n_in = conv_bn(channels, stem), stem
    for n_out in stages:
        total += conv_bn(n_in, n_out) + conv_bn(n_out, n_out)  # the first block, with another way around it
        total += conv_bn(n_in, n_out, kernel=1)
        n_in = n_out
    total += sum(2 * (n - 1) * conv_bn(n_out, n_out) for n, n_out in zip((3, 3, 2), stages, strict=True))
    return total + stages[-1] * hidden + 2 * hidden + hidden * n_classes + n_classes


def test_resnet19_has_the_size_of_the_published_one():
    net = plain("resnet19")
    n = n_parameters(net)
    assert n == resnet_parameters(64, (128, 256, 512), 256) == 12_631_114
    assert n == pytest.approx(12.63e6, abs=0.05e6)
    layers = [part for part in net.parts if isinstance(part.module, Neurons)]
    assert len(layers) == 18
    # 17 of images: 1 of 64 and 6 of 128 channels at 32 x 32, 6 of 256 at 16 x 16, 4 of 512 at 8 x 8; and one dense
    assert 64 * 1024 + 6 * 128 * 1024 + 6 * 256 * 256 + 4 * 512 * 64 + 256 == 1_376_512
    assert sum(math.prod(shape) for shape in net.shapes.values()) == 1_376_512


def test_the_small_resnet19_has_twenty_times_fewer_parameters():
    n = n_parameters(plain("resnet19-small"))
    assert n == resnet_parameters(16, (28, 56, 112), 64)
    assert 12_631_114 / n == pytest.approx(20, rel=0.1)
    assert len(plain("resnet19-small").layers) == 18


@pytest.mark.parametrize(("name", "width"), [("sdt-2-256", 256), ("sdt-2-64", 64)])
def test_a_transformer_of_two_blocks_has_the_parts_of_the_published_one(name, width):
    net = plain(name)
    eighth, quarter, half = width // 8, width // 4, width // 2
    patches = conv_bn(3, eighth) + conv_bn(eighth, quarter) + conv_bn(quarter, half) + conv_bn(half, width)
    attention = 4 * conv_bn(width, width, kernel=1)  # query, key, value, and what leads back
    mlp = conv_bn(width, 4 * width, kernel=1) + conv_bn(4 * width, width, kernel=1)
    readout = width * 10 + 10
    assert n_parameters(net) == patches + conv_bn(width, width) + 2 * (attention + mlp) + readout
    of_block = 5 + 2 + 2  # in, query, key, value, attention; in and middle of the MLP; two gates
    assert len(net.layers) == 4 + 1 + 2 * of_block + 1  # patches, one pooling, blocks, head
    assert net.shapes["patch4_spikes"] == (width, 8, 8)
    assert net.shapes["block1_attention_spikes"] == net.shapes["head_spikes"] == (width, 1, 1)


@pytest.mark.parametrize("size", [28, 32])
def test_conv_medium_halves_twice(size):
    net = plain("conv-medium", (1, size, size))
    half, quarter = size // 2, size // 4
    assert net.shapes == {
        "conv1_spikes": (32, size, size),
        "conv2_spikes": (32, half, half),
        "conv3_spikes": (64, half, half),
        "conv4_spikes": (64, quarter, quarter),
        "fc1_spikes": (128,),
    }
    maps = conv_bn(1, 32) + conv_bn(32, 32) + conv_bn(32, 64) + conv_bn(64, 64)
    assert n_parameters(net) == maps + 64 * quarter**2 * 128 + 2 * 128 + 128 * 10 + 10


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # weights, two of batch norm per channel or neuron, readout with bias
        ("mlp", 64 * 128 + 2 * 128 + 128 * 128 + 2 * 128 + 128 * 10 + 10),
        ("conv-small", conv_bn(1, 32) + conv_bn(32, 64) + conv_bn(64, 64) + (256 * 128 + 2 * 128) + 128 * 10 + 10),
    ],
)
def test_a_network_has_the_parameters_counted_by_hand(name, expected):
    assert n_parameters(plain(name, (1, 8, 8))) == expected


# --- What the builder decides --------------------------------------------------------------------------------------


@pytest.mark.parametrize("analog_input", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_only_the_first_connection_leaves_room_for_pixels(name, analog_input):
    net = make_network(name, input_shape=(1, 8, 8), n_classes=3, neurons=neurons(), analog_input=analog_input)
    bits = [connection.input_bits for connection in net.connections.values()]
    assert bits == [8 if analog_input else 0] + [0] * (len(bits) - 1)


@pytest.mark.parametrize("name", [name for name, made in NETWORKS.items() if made.needs_images])
def test_convolutions_refuse_samples_that_are_no_images(name):
    with pytest.raises(
        BadOption, match=rf"network={name} needs images \(got samples of shape \(64,\)\)\. Use network=mlp"
    ):
        plain(name, (64,))


def test_the_average_of_a_pool_is_a_gain_after_its_sum():
    net = tiny_resnet()
    readout = net.connections["readout"]
    assert (readout.largest, readout.gain) == (9, 1 / 9)  # 3 x 3 places are left of 6 x 6
    assert [(c.largest, c.gain) for name, c in net.connections.items() if name != "readout"] == [(1, 1.0)] * 6
    x = torch.rand(5, 7, 3, 3)
    pooled = net["pool"](x)
    torch.testing.assert_close(pooled, x.sum((2, 3), keepdim=True))
    mean = x.mean((2, 3)) @ readout.weights.weight.T + readout.weights.bias
    torch.testing.assert_close(readout(pooled.flatten(1)), mean)


def test_the_grid_knows_how_large_the_sums_of_a_pool_are():
    """Bounds grow by the window, so that the weights after it are on a grid where 9 spikes of a channel still add."""
    readout = tiny_resnet().connections["readout"]
    weight, bias = (value.detach().double().numpy() for value in (readout.weights.weight, readout.weights.bias))
    bound = (np.abs(weight / 9).sum(axis=1) * 9 + np.abs(bias)).max()
    grid = 2.0 ** (math.ceil(math.log2(bound)) - 23)
    found = tiny_resnet().deployed()["readout"][0].double().numpy()
    np.testing.assert_array_equal(found, np.rint(weight / 9 / grid) * grid)


def test_maps_that_meet_share_the_grid_of_their_sum_with_spikes_that_are_currents():
    net = tiny_resnet()

    def bound(name):
        weight, bias = (value.detach().numpy() for value in net.connections[name].folded())
        return (np.abs(weight).reshape(len(weight), -1).sum(1) + np.abs(bias)).max()

    for name in ("one_b", "two_b", "two_shortcut"):  # each alone would have the grid of sums up to 4, together 8
        norm, factor = net[name].norm, 3.25 / bound(name)
        norm.weight.data *= factor
        norm.bias.data *= factor
    assert bound("one_b") + 1 == pytest.approx(4.25)  # and the stem's spikes
    assert bound("two_b") + bound("two_shortcut") == pytest.approx(6.5)
    deployed, grid = net.deployed(), 2.0 ** (3 - 23)
    for name in ("one_b", "two_b", "two_shortcut"):
        for found, exact in zip(deployed[name], net.connections[name].folded(), strict=True):
            assert torch.equal(found.double(), (exact / grid).round() * grid)
            assert not torch.equal(found.double(), (exact / (2 * grid)).round() * 2 * grid)


def test_senders_are_the_layers_whose_spikes_reach_a_layer_through_maps():
    assert tiny_resnet().senders == {
        "stem_spikes": (),
        "one_inner": ("stem_spikes",),
        "one": ("one_inner", "stem_spikes"),
        "two_inner": ("one",),
        "two": ("two_inner", "one"),
    }


# --- Neurons that see the mean of a sum ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "choice", [{}, {"reset": "soft"}, {"reset_to": 0.5, "threshold": 0.75}, {"learned": ("threshold",)}]
)
def test_neurons_of_a_mean_learn_from_it_and_are_deployed_for_the_sum(choice):
    window = 49  # no power of two, so that its reciprocal would be rounded
    means, plain_neurons = neurons(**choice)((3,), 0, 1.0, window), neurons(**choice)((3,), 0)
    currents = torch.randn(5, 8, 3).cumsum(0).requires_grad_()
    learning = means(currents * window, 5, None)
    expected = plain_neurons(currents, 5, None)
    torch.testing.assert_close(learning.u, expected.u)
    assert torch.equal(learning.spikes, expected.spikes)
    (found,) = torch.autograd.grad(learning.spikes.sum(), currents)
    torch.testing.assert_close(found, torch.autograd.grad(expected.spikes.sum(), currents)[0])
    with torch.no_grad():
        deployed = means.eval()(currents * window, 5, None)
    torch.testing.assert_close(deployed.u, expected.u * window)
    assert torch.equal(deployed.spikes, expected.spikes)
    levels, of_means = means.neuron.parameters(), plain_neurons.neuron.parameters()
    for name in ("v_threshold", "v_reset"):
        assert levels[name] == of_means[name] * window


@pytest.mark.parametrize("choice", ["hard", "soft", "learned", "mpbn"])
def test_a_transformer_of_images_that_are_no_power_of_two_agrees_too(choice, tmp_path):
    net = network("sdt-2-64", input_shape=(1, 12, 18), n_classes=4, **CHOICES[choice]).eval()
    assert net["head_spikes"].window == 15
    program = through_a_file(lower(net, n_steps=N_STEPS, encoder="direct"), tmp_path)
    assert_every_backend_agrees(net, program, pixels(N_STEPS, 3, 1, 12, 18, seed=9))


def test_the_grid_knows_how_many_places_a_sum_of_currents_has():
    net = network("sdt-2-64", input_shape=(1, 12, 18))
    currents = ("patch4", "position", *(f"block{n}_{last}" for n in (1, 2) for last in ("out", "mlp2")))

    def bound(name):
        weight, bias = (value.detach().numpy() for value in net.connections[name].folded())
        return (np.abs(weight).reshape(len(weight), -1).sum(1) + np.abs(bias)).max()

    grid = 2.0 ** (math.ceil(math.log2(15 * sum(map(bound, currents)))) - 23)
    deployed = net.deployed()
    for name in currents:
        for found, exact in zip(deployed[name], net.connections[name].folded(), strict=True):
            assert torch.equal(found.double(), (exact / grid).round() * grid)


# --- Gates ---------------------------------------------------------------------------------------------------------


def by_threshold(v_threshold, shape, *, pooled=False):
    """A Program of one Threshold over the sum of two inputs' halves, or over sums of windows."""
    nodes = [Input(name="input", shape=shape)]
    edges = []
    if pooled:
        nodes.append(Pool(name="pool", kernel=(3, 3), stride=(2, 2), padding=(1, 1)))
        edges.append(Edge("input", "pool"))
        shape = nodes[-1].out_shape(shape)
    nodes += [
        NeuronLayer(name="gate", shape=shape, neuron=Threshold(v_threshold=np.float32(v_threshold))),
        Output(name="output"),
    ]
    edges += [Edge(nodes[-3].name, "gate"), Edge("gate", "output")]
    return build(nodes, edges, dt_s=1e-3, n_steps=1, number_format="float32")


def test_both_is_a_threshold_of_one_and_a_half_over_the_sum():
    a, b = torch.tensor([[0.0, 0.0, 1.0, 1.0]])[None], torch.tensor([[0.0, 1.0, 0.0, 1.0]])[None]
    found = Both()(a, b)
    assert found.flatten().tolist() == [0, 0, 0, 1]
    expected = reference.run(by_threshold(Both.v_threshold, (4,)), (a + b).numpy())["gate"]
    assert np.array_equal(found.numpy(), expected)


@pytest.mark.parametrize("size", [(4, 6), (5, 7)])
def test_any_of_is_a_threshold_of_one_half_over_the_sum(size):
    x = (np.random.default_rng(0).random((3, 2, 4, *size)) < 0.2).astype(np.float32)
    found = AnyOf()(torch.from_numpy(x)).numpy()
    by_hand = np.zeros((*x.shape[:3], (size[0] + 1) // 2, (size[1] + 1) // 2))
    for *place, row, column in np.ndindex(by_hand.shape):
        window = x[(*place, slice(max(0, 2 * row - 1), 2 * row + 2), slice(max(0, 2 * column - 1), 2 * column + 2))]
        by_hand[(*place, row, column)] = window.any()
    assert np.array_equal(found, by_hand)
    assert 0.2 < found.mean() < 0.95
    expected = reference.run(by_threshold(AnyOf.v_threshold, x.shape[2:], pooled=True), x)["gate"]
    assert np.array_equal(found, expected)


def test_the_gradient_of_a_gate_is_that_of_what_it_computes():
    a, b = torch.tensor([[[1.0, 1.0, 0.0]]], requires_grad=True), torch.tensor([[[1.0, 0.0, 0.0]]], requires_grad=True)
    Both()(a, b).sum().backward()
    assert (a.grad.flatten().tolist(), b.grad.flatten().tolist()) == ([1, 0, 0], [1, 1, 0])
    x = torch.tensor([[0.0, 1.0], [0.0, 0.0]]).view(1, 1, 1, 2, 2).requires_grad_()
    AnyOf()(x).sum().backward()
    assert x.grad.flatten().tolist() == [0, 1, 0, 0]


def of_the_source(counts):
    """SpikingJelly's LIF with tau 2 and a threshold of one half, reset to 0: it halves its input, and fires at it."""
    v, spikes = np.zeros(counts.shape[1:]), []
    for count in counts:
        v = v + (count - v) / 2
        spikes.append(v >= 0.5)
        v = np.where(spikes[-1], 0, v)
    return np.stack(spikes)


def test_attention_fires_where_the_published_neurons_do_wherever_a_key_meets_a_value():
    net = plain("sdt-2-64")
    attention, others = net["block1_attention_spikes"].neuron, net["block1_query_spikes"].neuron
    assert (attention.v_threshold, others.v_threshold) == (0.5, 1)
    counts = np.random.default_rng(0).poisson(0.7, (6, 500)).astype(np.float32)
    found = fire(attention, torch.from_numpy(counts), 6).spikes.numpy()
    assert np.array_equal(found, of_the_source(counts))
    assert np.array_equal(found, counts >= 1)
    assert not np.array_equal(fire(others, torch.from_numpy(counts), 6).spikes.numpy(), counts >= 1)


def test_the_threshold_of_attention_is_a_fraction_of_the_chosen_one():
    options = TrainOptions(network="sdt-2-64", threshold=0.75, reset_to=(0.5,)).checked()
    net = from_options.make_network(options, (3, 8, 8), 10)
    levels = [net[f"block2_{name}_spikes"].neuron.parameters() for name in ("attention", "key")]
    assert [float(of_layer["v_threshold"]) for of_layer in levels] == [0.375, 0.75]
    assert [float(of_layer["v_reset"]) for of_layer in levels] == [0.1875, 0.375]


# --- One network, every backend ------------------------------------------------------------------------------------

SMALL = {
    "mlp": (1, 8, 8),
    "conv-small": (1, 8, 8),
    "conv-medium": (1, 9, 6),
    "resnet19-small": (2, 8, 8),
    "sdt-2-64": (2, 8, 8),
}
CHOICES = {
    "hard": {},
    "soft": {"reset": "soft", "beta": 0.9},
    "if": {"kind": "if"},
    "up to the threshold": {"reset_to": 1.0},
    "learned": {"learned": ("beta", "threshold"), "beta": 0.3, "threshold": 0.8, "reset_to": 0.4},
    "mpbn": {"mpbn": True},
    "mpbn, learned": {"mpbn": True, "learned": ("beta", "threshold")},
}


def through_a_file(program, folder):
    write(program, folder / "network.nir")
    found = read(folder / "network.nir")
    assert found.digest == program.digest
    return found


def test_every_network_is_compared():
    assert {*SMALL, "resnet19", "sdt-2-256"} == {*NETWORKS}  # these two differ from the small ones in width alone
    for large, small in (("resnet19", "resnet19-small"), ("sdt-2-256", "sdt-2-64")):
        named = [
            [(part.name, type(part.module), part.sources) for part in plain(name).parts] for name in (large, small)
        ]
        assert named[0] == named[1]


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("name", SMALL)
def test_torch_the_file_and_the_simulators_agree_spike_for_spike(name, choice, tmp_path):
    net = network(name, input_shape=SMALL[name], n_classes=4, **CHOICES[choice]).eval()
    program = through_a_file(lower(net, n_steps=N_STEPS, encoder="direct"), tmp_path)
    assert_every_backend_agrees(net, program, pixels(N_STEPS, 3, *SMALL[name], seed=7))


@pytest.mark.parametrize("name", SMALL)
def test_networks_for_spikes_agree_too(name, tmp_path):
    net = network(name, input_shape=SMALL[name], n_classes=4, analog_input=False).eval()
    program = through_a_file(lower(net, n_steps=N_STEPS, encoder="poisson"), tmp_path)
    assert_every_backend_agrees(net, program, spikes(N_STEPS, 3, *SMALL[name]))


@pytest.mark.parametrize("choice", ["hard", "soft", "mpbn"])
def test_a_shortcut_of_spikes_agrees_too(choice, tmp_path):
    net = tiny_resnet(**CHOICES[choice]).eval()
    program = through_a_file(lower(net, n_steps=N_STEPS, encoder="direct"), tmp_path)
    assert_every_backend_agrees(net, program, pixels(N_STEPS, 3, *net.input_shape, seed=8))


@pytest.mark.parametrize("name", [*SMALL, "tiny"])
def test_all_steps_at_once_are_step_after_step(name):
    net = (tiny_resnet() if name == "tiny" else network(name, input_shape=SMALL[name])).eval()
    x = torch.from_numpy(pixels(N_STEPS, 3, *net.input_shape))
    states, outputs = None, []
    with torch.no_grad():
        whole = net.unroll(x, N_STEPS)
        for t in range(N_STEPS):
            one = net.step(x[t], states)
            states = one.states
            outputs.append(one.outputs[0])
            for layer, raster in whole.spikes.items():
                assert torch.equal(one.spikes[layer][0], raster[t]), f"{layer}, step {t}"
            for layer, potentials in whole.potentials.items():
                assert torch.equal(one.potentials[layer][0], potentials[t]), f"{layer}, step {t}"
    assert torch.equal(torch.stack(outputs), whole.outputs)
    assert list(states) == list(whole.states)
    for layer, state in whole.states.items():
        assert all(map(torch.equal, state, states[layer]))


@pytest.mark.parametrize("name", [*SMALL, "tiny"])
def test_a_static_sample_is_the_same_sample_at_every_step(name):
    net = (tiny_resnet() if name == "tiny" else network(name, input_shape=SMALL[name])).eval()
    x = torch.from_numpy(pixels(1, 4, *net.input_shape))
    with torch.no_grad():
        static, repeated = net.unroll(x, 3), net.unroll(x.expand(3, *x.shape[1:]), 3)
    assert torch.equal(static.outputs, repeated.outputs)
    assert all(map(torch.equal, static.spikes.values(), repeated.spikes.values()))


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("name", SMALL)
def test_the_gradient_reaches_every_parameter(name, reset):
    net = network(name, input_shape=SMALL[name], reset=reset, learned=("beta", "threshold"))
    run = net.unroll(torch.from_numpy(pixels(1, 16, *SMALL[name])), 3)
    nn.functional.cross_entropy(run.outputs[-1], torch.arange(16) % 10).backward()
    silent = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # Attention reset to 0 has no memory: any count above 0 fires, so nothing is left for beta to keep.
    without_memory = [layer for layer in net.layers if layer.endswith("_attention_spikes") and reset == "hard"]
    assert silent == [f"{layer}.logit_beta" for layer in without_memory]


def test_the_first_weights_come_from_the_global_generator():
    def made(seed):
        torch.manual_seed(seed)
        make = neurons()
        return make_network("mlp", input_shape=(9,), n_classes=2, neurons=make, analog_input=True).state_dict()

    one, same, other = made(1), made(1), made(2)
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert not torch.equal(one["fc1.weights.weight"], other["fc1.weights.weight"])
