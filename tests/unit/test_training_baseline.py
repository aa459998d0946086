"""Counts and measurements of an ANN baseline."""

import numpy as np
import pytest
import torch

from tdd_deploy.program import Conv, Dense
from tdd_deploy.simulator.engine.scatter import ready
from tdd_deploy.training import Samples
from tdd_deploy.training.ann import IntegerMap, recording, relu_network_of
from tdd_deploy.training.baseline import WIDTHS, measure, weighted_layers
from tdd_deploy.training.lower import lower
from tests.untrained import images, in_integers, network, relu_network

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 7)])
@pytest.mark.parametrize("name", ["mlp", "conv-small", "conv-medium", "resnet19-small"])
def test_macs_are_the_dense_multiplications_of_the_spiking_program(name, shape):
    spiking = network(name, input_shape=shape)
    program = lower(spiking.eval(), n_steps=1, encoder="direct")
    expected = []
    for node in program.linear_maps:
        if isinstance(node, Dense | Conv):
            (edge,) = program.incoming[node.name]
            kind = "dense" if isinstance(node, Dense) else "conv"
            expected.append((node.name, kind, ready(node, program.shapes[edge.source]).dense))
    layers = weighted_layers(relu_network_of(spiking).eval())
    assert [(layer.name, layer.kind, layer.macs) for layer in layers] == expected


def macs_by_hand(x, weight, stride, padding):
    """Products of a convolution whose factors are both not 0, one by one."""
    n, (n_out, n_in, ky, kx) = 0, weight.shape
    _, height, width = x.shape
    for out_y in range((height + 2 * padding - ky) // stride + 1):
        for out_x in range((width + 2 * padding - kx) // stride + 1):
            for c, i, j in np.ndindex(n_in, ky, kx):
                y, z = out_y * stride + i - padding, out_x * stride + j - padding
                if 0 <= y < height and 0 <= z < width and x[c, y, z] != 0:
                    n += sum(weight[o, c, i, j] != 0 for o in range(n_out))
    return n


@pytest.mark.parametrize(("weight_bits", "activation_bits"), [(None, None), (3, 3), (8, 2)])
def test_effective_macs_are_those_whose_factors_are_not_zero(weight_bits, activation_bits):
    net = relu_network("tiny resnet")
    for connection in net.connections.values():
        connection.weights.weight.data[::2, ::2] = 0  # also before batch norm is folded in
    x = images(3, (2, 6, 6))
    data = {"val": [Samples(x[:2].numpy(), np.array([0, 1])), Samples(x[2:].numpy(), np.array([2]))]}
    results = {(each.weight_bits, each.activation_bits): each for each in measure(net, x.numpy(), data).results}
    found = results[weight_bits, activation_bits]
    version = net if weight_bits is None else in_integers(net, weight_bits, x, activations=activation_bits)
    with torch.no_grad(), recording(version, object) as recorded:
        version.step(x)
    for name, connection in net.connections.items():
        received, module = recorded[name][0], version[name]
        if weight_bits is not None:
            received = module.received.integers(received)
        weight = (connection.folded()[0] if weight_bits is None else module.weight).detach().numpy()
        if weight.ndim == 2:
            expected = sum(int((weight[:, row != 0] != 0).sum()) for row in received.numpy())
        else:
            stride, padding = connection.weights.stride[0], connection.weights.padding[0]
            expected = sum(macs_by_hand(row, weight, stride, padding) for row in received.numpy())
        assert found.effective_macs[name] == expected / 3
        assert 0 < expected / 3 < {layer.name: layer.macs for layer in weighted_layers(net)}[name]


def counts(layer):
    return layer.weights, layer.nonzero_weights, layer.biases, layer.inputs, layer.outputs, layer.macs


def test_a_layer_is_counted_by_hand():
    net = relu_network("mlp", input_shape=(6,), n_classes=3)
    first = net.connections["fc1"]
    first.weights.weight.data[:5, 0] = 0
    first.norm.weight.data[7] = 0  # folded in, it removes six weights
    assert [(layer.name, *counts(layer)) for layer in weighted_layers(net)] == [
        ("fc1", 6 * 128, 6 * 128 - 5 - 6, 128, 6, 128, 6 * 128),
        ("fc2", 128 * 128, 128 * 128, 128, 128, 128, 128 * 128),
        ("readout", 128 * 3, 128 * 3, 3, 128, 3, 128 * 3),
    ]


def test_a_convolution_is_counted_by_hand():
    """Of 3 x 3 weights, 2 to 5 channels, 6 x 6 places: 16 of them see all 9 weights, 16 see 6, and 4 see 4."""
    net = relu_network("tiny resnet")
    net.connections["stem"].weights.weight.data[0, 0] = 0
    layers = {layer.name: counts(layer) for layer in weighted_layers(net)}
    assert layers["stem"] == (90, 81, 5, 2 * 36, 5 * 36, 2 * 5 * (16 * 9 + 16 * 6 + 4 * 4))
    assert layers["two_shortcut"] == (35, 35, 7, 5 * 36, 7 * 9, 5 * 7 * 9)
    assert layers["readout"] == (28, 28, 4, 7, 4, 28)


def test_without_norm_and_bias_a_layer_has_no_biases():
    net = relu_network("mlp")
    net.connections["readout"].weights.bias.data.zero_()
    assert [layer.biases for layer in weighted_layers(net)] == [128, 128, 0]


def test_a_result_does_not_depend_on_how_samples_are_cut():
    net, x, y = relu_network("mlp"), images(30).numpy(), np.arange(30) % 10
    whole, parts = (
        measure(net, x, {"val": [Samples(x[i : i + n], y[i : i + n]) for i in range(0, 30, n)]}) for n in (30, 7)
    )
    assert whole == parts
    assert [(each.split, each.weight_bits, each.activation_bits, each.n_samples) for each in whole.results] == [
        ("val", *widths, 30) for widths in ((None, None), *((each.weights, each.activations) for each in WIDTHS))
    ]
    right = int((net.step(torch.from_numpy(x)).outputs[0].argmax(1).numpy() == y).sum())
    assert (whole.results[0].n_correct, whole.results[0].accuracy) == (right, right / 30)


def test_a_baseline_is_measured_in_floats_and_in_16_to_2_bits_of_an_image_of_8():
    net, x = relu_network(), images().numpy()
    found = measure(net, x, {"val": [Samples(x, np.arange(40) % 10)]})
    assert [(result.weight_bits, result.activation_bits) for result in found.results] == [
        (None, None), (16, 16), (8, 8), (6, 6), (4, 4), (3, 3), (2, 2), (8, 5), (8, 4), (8, 3), (8, 2)
    ]  # fmt: skip
    assert found.as_json()["quantization"]["input_bits"] == 8


def test_integers_of_8_bits_fill_their_range():
    """Weights reach -127 or 127 in every map, as they are symmetric; the input and activations go from 0 to 255."""
    net, x = relu_network(), images()
    made = in_integers(net, 8)
    with torch.no_grad(), recording(made, IntegerMap) as recorded:
        made.step(x)
    assert len(recorded) == len(net.connections) > 1
    for name, (received, _) in recorded.items():
        assert made[name].weight.abs().max() == 127
        assert (made[name].received.low, made[name].received.high) == (0, 255)
        assert made[name].received.integers(received).max() >= 254  # the middle of the last bin of its histogram
