"""The ReLU network of a spiking network, in floats and in integers."""

import math

import numpy as np
import pytest
import torch

from tdd_deploy.options.training import TrainOptions
from tdd_deploy.training import Samples
from tdd_deploy.training.ann import Grid, IntegerMap, StoredPool, StoredRelu, calibrate, recording, weight_grid
from tdd_deploy.training.baseline import WIDTHS
from tdd_deploy.training.evaluation import evaluate
from tests.untrained import images, in_integers, relu_network

pytestmark = pytest.mark.usefixtures("one_thread")
BITS = sorted({widths.weights for widths in WIDTHS})


def outputs(net, x):
    with torch.no_grad():
        return net.step(x).outputs[0]


def relu_by_hand(net, x):
    """A conv-small or mlp in training's own form: weights, batch norm with running statistics, ReLU."""
    for part in net.parts:
        module = part.module
        if hasattr(module, "weights"):
            x = module.current(x, module.weights.weight, module.weights.bias)
            if module.norm is not None:
                x = module.norm(x)
        else:
            x = module(x)
    return x


@pytest.mark.parametrize("name", ["mlp", "conv-small"])
def test_a_relu_network_computes_weights_batch_norm_and_relu(name):
    net, x = relu_network(name), images()
    with torch.no_grad():
        torch.testing.assert_close(outputs(net, x), relu_by_hand(net, x), rtol=1e-4, atol=1e-4)


def test_a_relu_network_adds_shortcuts_before_the_relu():
    net, x = relu_network("tiny resnet"), images(shape=(2, 6, 6))
    with torch.no_grad(), recording(net, object) as recorded:
        net.step(x)
    total = recorded["one_b"][1] + recorded["stem_spikes"][1][0]
    assert torch.equal(recorded["one"][1][0], total.clamp(min=0))
    assert (total < 0).any()


def test_an_ann_sends_no_events():
    options = TrainOptions(steps=1).checked()
    found = evaluate(relu_network(), Samples(images().numpy(), np.arange(40) % 10), options, in_time=False)
    assert (found.raw_events, found.delta_events) == (None, None)
    assert 0 <= found.accuracy <= 1


# --- integers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp", "conv-small", "tiny resnet"])
def test_sixteen_and_eight_bits_are_nearly_floats_and_every_bit_less_is_further_away(name):
    net = relu_network(name)
    x = images(shape=net.input_shape)
    expected = outputs(net, x)
    errors = [
        float((outputs(in_integers(net, bits), x) - expected).norm() / expected.norm()) for bits in (16, 8, 6, 4, 2)
    ]
    assert errors[0] < 1e-3
    assert errors[1] < 0.03
    assert errors == sorted(errors)


@pytest.mark.parametrize("widths", WIDTHS, ids=str)
@pytest.mark.parametrize("name", ["conv-small", "tiny resnet"])
def test_what_is_multiplied_are_integers_of_so_many_bits(name, widths):
    net, bits = relu_network(name), widths.activations
    made, x = in_integers(net, widths.weights, activations=bits), images(shape=net.input_shape, seed=1)
    with torch.no_grad(), recording(made, IntegerMap, StoredRelu, StoredPool) as recorded:
        made.step(x)
    high = 2 ** (widths.weights - 1) - 1
    for number, (map_name, module) in enumerate((n, m) for n, m in made.named_modules() if isinstance(m, IntegerMap)):
        assert torch.equal(module.weight, module.weight.round())
        assert -high <= module.weight.min() < 0 < module.weight.max() <= high
        integers = module.received.integers(recorded[map_name][0])
        assert 0 <= integers.min() < integers.max() <= 2 ** (max(8, bits) if number == 0 else bits) - 1
    for part, (_, given) in recorded.items():
        if isinstance(made[part], StoredRelu | StoredPool):
            on_grid = given / made[part].grid.scale
            torch.testing.assert_close(on_grid, on_grid.round(), rtol=1e-6, atol=1e-6)


def test_sums_of_integers_are_exact_also_beyond_float32():
    made = in_integers(relu_network("mlp", input_shape=(4096,)), 8, images(8, (4096,)))
    module, x = made["fc1"], images(8, (4096,))
    assert module.weight.dtype == torch.float64
    integers, weight = (part.long() for part in (module.received.integers(x), module.weight))
    assert (integers.abs() @ weight.abs().T).max() > 2**24
    expected = (integers @ weight.T).double() * module.scale + module.bias
    assert torch.equal(module(x), expected.float())


def test_an_image_of_256_levels_is_its_own_integers_at_every_width():
    net, x = relu_network(), images()
    for bits in BITS:
        module = in_integers(net, bits, x)["conv1"]
        assert torch.equal(module.received.integers(x), x * 256 * (257 if bits == 16 else 1))


def test_samples_below_zero_have_a_sign():
    net, x = relu_network("mlp", input_shape=(6,)), images(20, (6,)) - 0.5
    received = in_integers(net, 4, x)["fc1"].received
    assert (received.low, received.high) == (-127, 127)
    assert (received.nearest(x) - x).abs().max() <= 0.5 / 127


def test_a_clipped_range_leaves_less_error_than_the_whole():
    weight = torch.randn(5, 400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for bits in (2, 3, 4):
        grid, high = weight_grid(weight, bits), 2 ** (bits - 1) - 1
        whole = Grid(weight.abs().amax(1, keepdim=True) / high, -high, high)
        error, of_whole = ((each.nearest(weight) - weight).square().sum(1) for each in (grid, whole))
        assert (error < of_whole).all()
        assert grid.scale.shape == (5, 1)
    ternary = (weight_grid(weight, 2).scale / weight.std(1, keepdim=True)).mean()
    assert ternary == pytest.approx(1.22, abs=0.08)  # the best three levels of a normal distribution, Max 1960


def test_weights_and_activations_that_are_all_zero_stay_so():
    net = relu_network("mlp").train()
    net.connections["fc1"].norm.bias.data.fill_(-1e3)  # after it nothing is active
    net.connections["fc2"].weights.weight.data[3] = 0
    net.eval()
    x = images()
    for bits in BITS:
        found = outputs(in_integers(net, bits, x), x)
        assert found.isfinite().all()
        torch.testing.assert_close(found, outputs(net, x), rtol=0.5, atol=0.5)


def test_calibration_does_not_depend_on_how_samples_are_cut():
    net, x = relu_network(), images()
    one, other = (calibrate(net, x, size=size) for size in (40, 7))
    for name, counts in one.counts.items():
        assert torch.equal(counts, other.counts[name])
        assert counts.sum() == 40 * math.prod(net.shapes[name])
