import numpy as np
import pytest
import torch
from torch import nn

from tdd_deploy.program import Conv, Dense, Program
from tdd_deploy.program.inputs import as_input
from tdd_deploy.program.quantize import Quantized, best_input_bits, quantize
from tdd_deploy.train import TrainOptions
from tdd_deploy.train.lower import lower
from tdd_deploy.train.network import Network, make_network
from tdd_deploy.train.quantized import in_integers, largest_input, straight_through

pytestmark = pytest.mark.usefixtures("one_thread")

N_STEPS = 6


def trained_like(name="conv-small", *, input_shape=(1, 8, 8), **options):
    """A network with random weights, and batch norm statistics and gains that suit them."""
    torch.manual_seed(5)
    neuron = TrainOptions(**options).make_neuron
    net = make_network(name, input_shape=input_shape, n_classes=10, neuron=neuron, analog_input=True)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.02, 0.1)
            part.bias.data.normal_(0.2, 0.3)
    return net


def in_float(net: Network, encoder="direct") -> Program:
    return lower(net, n_steps=N_STEPS, encoder=encoder)


def quantized(net: Network, bits=8, input_bits=6, largest=1.0) -> Quantized:
    return quantize(in_float(net), bits=bits, input_bits=input_bits, largest_input=largest)


def images(n=20, shape=(1, 8, 8)):
    return torch.from_numpy(np.random.default_rng(0).random((n, *shape), np.float32))


def maps(program):
    return [node for node in program.linear_maps if isinstance(node, Dense | Conv)]


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("name", ["mlp", "conv-small"])
def test_what_learns_has_the_weights_of_the_program_in_floats(name, bits):
    net = trained_like(name)
    found = quantized(net, bits, input_bits=2)
    learning = straight_through(net, found)
    into = [found.program.input.scale, *[1.0] * (len(net.layers) - 1)]
    for layer, node, report, gain in zip(learning.layers, maps(found.program), found.layers, into, strict=True):
        expected = (node.weight * (gain / report.scale[0])).astype(np.float32)
        assert np.array_equal(layer.connection.weight.detach().numpy(), expected)
        assert len(np.unique(expected)) > 2


def test_thresholds_and_fractions_are_those_of_the_program_and_biases_too():
    net = trained_like(beta=0.7, threshold=0.9)
    found = quantized(net)
    learning = straight_through(net, found)
    for layer, receiver, report in zip(learning.layers, found.program.neuron_layers, found.layers, strict=False):
        scale = 64 * report.scale[0]
        assert layer.neuron.beta.item() == pytest.approx((4096 - 1229) / 4096)  # 1229 = round(4096 * 0.3)
        assert layer.neuron.v_threshold.item() == pytest.approx(receiver.neuron.v_threshold.item() / scale)
        assert layer.neuron.v_threshold.item() == pytest.approx(0.9, rel=0.05)
        per_channel = receiver.neuron.bias.reshape(len(layer.connection.bias), -1)[:, 0]
        np.testing.assert_allclose(layer.connection.bias.detach().numpy(), per_channel / scale, rtol=1e-6)
    readout = maps(found.program)[-1]
    in_floats = learning.layers[-1].connection.bias.detach().numpy()
    np.testing.assert_allclose(in_floats, readout.bias * found.program.output.unit, rtol=1e-6)
    np.testing.assert_allclose(in_floats, net.layers[-1].connection.weights.bias.detach().numpy(), atol=0.01)


def test_an_integrator_keeps_all_in_integers():
    net = trained_like(neuron="if")
    assert all(layer.neuron.beta == 1 for layer in straight_through(net, quantized(net)).layers[:-1])


def test_gradients_go_straight_to_the_trained_weights_of_a_linear_map():
    """Of a readout alone: the gradient of a sum of outputs is the sum of the inputs, rounded as they are."""
    readout = nn.Linear(3, 2)
    torch.manual_seed(0)
    net = make_network("mlp", input_shape=(3,), n_classes=2, neuron=TrainOptions().make_neuron, analog_input=True)
    net = Network([net.layers[-1]], (128,))
    net.layers[0].connection.weights = readout
    found = quantize(lower(Network(net.layers, (3,)), n_steps=1, encoder="direct"), bits=4, input_bits=2)
    x = torch.tensor([[0.1, 0.4, 0.9]])
    straight_through(net, found).unroll(x, 1, static=True).outputs.sum().backward()
    assert readout.weight.grad.tolist() == [[0.0, 0.5, 1.0]] * 2
    assert readout.bias.grad.tolist() == [1.0, 1.0]


def test_every_trained_parameter_gets_a_gradient_and_batch_norm_keeps_its_statistics():
    net = trained_like()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    straight_through(net, quantized(net)).unroll(images(), N_STEPS, static=True).outputs.square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.abs().sum() > 0, name
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("bits", [8, 4])
def test_what_learns_fires_as_the_integers_do_but_for_rare_spikes(bits, reset):
    net = trained_like(reset=reset)
    found = quantized(net, bits)
    learning = straight_through(net, found).unroll(images(), N_STEPS, static=True)
    exact = in_integers(net, found).unroll(images(), N_STEPS, static=True)
    for spikes, expected in zip(learning.taps, exact.taps, strict=True):
        assert 0.02 < expected.double().mean() < 0.98
        assert (spikes != expected).double().mean() < 0.002
    agree = learning.outputs.detach().sum(0).argmax(1) == exact.outputs.sum(0).argmax(1)
    assert agree.double().mean() >= 0.95


def test_integers_are_integers_and_their_unit_gives_the_outputs_in_numbers():
    net = trained_like()
    found = quantized(net)
    learning = straight_through(net, found).unroll(images(), N_STEPS, static=True)
    exact = in_integers(net, found).unroll(images(), N_STEPS, static=True)
    assert {tap.dtype for tap in (*exact.taps, exact.outputs)} == {torch.int64}
    in_numbers = exact.outputs * found.program.output.unit
    assert (in_numbers - learning.outputs).abs().quantile(0.9) < 1e-5  # the others saw a rare spike


@pytest.mark.parametrize("largest", [1.0, 4.0])
def test_inputs_are_rounded_as_the_program_rounds_them(largest):
    net = trained_like(input_shape=(1, 2, 9))
    found = quantized(net, 8, 4, largest)
    halves = (np.arange(-18, 18, dtype=np.float32) / 2 + 0.5) * (largest / 16)  # every other one is a tie
    x = halves.reshape(2, 1, 2, 9)
    integers = as_input(found.program, x)
    learning, exact = straight_through(net, found).layers[0], in_integers(net, found).layers[0]
    already = torch.from_numpy(integers / found.program.input.scale).float()
    for layer in (learning, exact):
        assert torch.equal(layer.connection(torch.from_numpy(x)), layer.connection(already))


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.0], 1), ([1.0], 1), ([0.6, -0.2], 1), ([-1.5], 2), ([4], 4), ([37], 64), ([0.01], 1 / 64)],
)
def test_the_largest_input_is_the_next_power_of_two(values, expected):
    assert largest_input(np.array([0.0], np.float32), np.array(values, np.float32)) == expected


def test_many_inputs_leave_an_input_fewer_bits_than_few_do():
    def chosen(name, bits, shape):
        return best_input_bits(
            in_float(trained_like(name, input_shape=shape)), images(50, shape).numpy(), bits=bits, largest_input=1.0
        )

    of_9, of_64, of_784 = (
        chosen("conv-small", 8, (1, 8, 8)),
        chosen("mlp", 8, (1, 8, 8)),
        chosen("mlp", 8, (1, 28, 28)),
    )
    assert of_9 > of_64 > of_784 >= 2
    assert chosen("mlp", 4, (1, 8, 8)) <= of_64


def test_with_few_enough_bits_of_input_no_layer_loses_its_weights():
    net = trained_like("mlp", input_shape=(1, 28, 28))
    x = images(50, (1, 28, 28)).numpy()
    at_8 = quantized(net, 4, 8).layers[0]
    bits = best_input_bits(in_float(net), x, bits=4, largest_input=1.0)
    chosen = quantized(net, 4, bits).layers[0]
    assert at_8.error == 1  # every weight became 0
    assert chosen.error < 0.5


def test_inputs_of_few_values_cost_no_more_bits_than_they_need():
    net = trained_like("mlp")
    x = np.rint(images(50).numpy() * 4) / 4
    assert best_input_bits(in_float(net), x, bits=4, largest_input=1.0) <= 2


def test_spikes_are_taken_as_they_are():
    net = trained_like("mlp")
    assert best_input_bits(in_float(net, "poisson"), images().numpy(), bits=4, largest_input=1.0) == 8
