"""Counts and measurements of an ANN baseline."""

import numpy as np
import pytest
import torch

from tdd_deploy.program import Conv, Dense
from tdd_deploy.simulator.engine.scatter import ready
from tdd_deploy.training import Samples
from tdd_deploy.training.ann import IntegerMap, recording, relu_network_of
from tdd_deploy.training.baseline import BITS, measure, weighted_layers
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


@pytest.mark.parametrize("bits", [None, 3])
def test_effective_macs_are_those_whose_factors_are_not_zero(bits):
    net = relu_network("tiny resnet")
    for connection in net.connections.values():
        connection.weights.weight.data[::2, ::2] = 0  # also before batch norm is folded in
    x = images(3, (2, 6, 6))
    data = {"val": [Samples(x[:2].numpy(), np.array([0, 1])), Samples(x[2:].numpy(), np.array([2]))]}
    found = {result.bits: result for result in measure(net, x.numpy(), data).results}[bits]
    version = net if bits is None else in_integers(net, bits, x)
    with torch.no_grad(), recording(version, object) as recorded:
        version.step(x)
    for name, connection in net.connections.items():
        received, module = recorded[name][0], version[name]
        if bits is not None:
            received = module.received.integers(received)
        weight = (connection.folded()[0] if bits is None else module.weight).detach().numpy()
        if weight.ndim == 2:
            expected = sum(int((weight[:, row != 0] != 0).sum()) for row in received.numpy())
        else:
            stride, padding = connection.weights.stride[0], connection.weights.padding[0]
            expected = sum(macs_by_hand(row, weight, stride, padding) for row in received.numpy())
        assert found.effective_macs[name] == expected / 3
        assert 0 < expected / 3 < {layer.name: layer.macs for layer in weighted_layers(net)}[name]


def test_a_result_does_not_depend_on_how_samples_are_cut():
    net, x, y = relu_network("mlp"), images(30).numpy(), np.arange(30) % 10
    whole, parts = (
        measure(net, x, {"val": [Samples(x[i : i + n], y[i : i + n]) for i in range(0, 30, n)]}) for n in (30, 7)
    )
    assert whole == parts
    assert [(result.split, result.bits, result.n_samples) for result in whole.results] == [
        ("val", bits, 30) for bits in (None, *BITS)
    ]
    right = int((net.step(torch.from_numpy(x)).outputs[0].argmax(1).numpy() == y).sum())
    assert (whole.results[0].n_correct, whole.results[0].accuracy) == (right, right / 30)


def test_a_baseline_is_measured_in_floats_and_in_8_6_4_3_and_2_bits_of_an_image_of_8():
    net, x = relu_network(), images().numpy()
    found = measure(net, x, {"val": [Samples(x, np.arange(40) % 10)]})
    assert [result.bits for result in found.results] == [None, 8, 6, 4, 3, 2]
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
