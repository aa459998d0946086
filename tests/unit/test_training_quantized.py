import numpy as np
import pytest
import torch
from torch import nn

from tdd_deploy.program import Conv, Dense, Program, Scale
from tdd_deploy.program.inputs import as_input
from tdd_deploy.program.quantization.quantize import best_input_bits, quantize
from tdd_deploy.program.quantization.scales import Quantized
from tdd_deploy.simulator import reference
from tdd_deploy.training.lower import lower
from tdd_deploy.training.network import Connection, Network, Part
from tdd_deploy.training.quantized import in_integers, largest_input, straight_through
from tests.agreement import assert_every_backend_agrees
from tests.untrained import network, pixels, tiny_resnet

pytestmark = pytest.mark.usefixtures("one_thread")

N_STEPS = 6


def trained_like(name="conv-small", **choices):
    """A network with random weights, and batch norm statistics and gains that suit them."""
    if name == "tiny resnet":
        return tiny_resnet(**choices)
    net = network(name, seed=5, **choices)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.ones_(part.weight)
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.02, 0.1)
            part.bias.data.normal_(0.2, 0.3)
    return net


def in_float(net: Network, encoder="direct") -> Program:
    return lower(net, n_steps=N_STEPS, encoder=encoder)


def quantized(net: Network, bits=8, input_bits=6, largest=1.0) -> Quantized:
    return quantize(in_float(net), bits=bits, input_bits=input_bits, largest_input=largest)


def images(n=20, shape=(1, 8, 8)):
    """Each the same at every step."""
    return torch.from_numpy(np.random.default_rng(0).random((1, n, *shape), np.float32))


def maps(program):
    return [node for node in program.linear_maps if isinstance(node, Dense | Conv)]


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("name", ["mlp", "conv-small"])
def test_what_learns_has_the_weights_of_the_program_in_floats(name, bits):
    net = trained_like(name)
    found = quantized(net, bits, input_bits=2)
    learning = straight_through(net, found)
    scales = [report.scale[0] for report in found.layers]
    into = [found.program.input.scale, *[1.0] * (len(scales) - 1)]
    for node, scale, gain in zip(maps(found.program), scales, into, strict=True):
        expected = (node.weight * (gain / scale)).astype(np.float32)
        assert np.array_equal(learning[node.name].weight.detach().numpy(), expected)
        assert len(np.unique(expected)) > 2


def test_thresholds_and_fractions_are_those_of_the_program_and_biases_too():
    net = trained_like(beta=0.7, threshold=0.9)
    found = quantized(net)
    learning = straight_through(net, found)
    scales = {report.name: report.scale[0] for report in found.layers}
    for receiver in found.program.neuron_layers:
        scale = 64 * scales[receiver.name]
        neuron = learning[receiver.name].neuron
        assert neuron.beta.item() == pytest.approx((4096 - 1229) / 4096)  # 1229 = round(4096 * 0.3)
        assert neuron.v_threshold.item() == pytest.approx(receiver.neuron.v_threshold.item() / scale)
        assert neuron.v_threshold.item() == pytest.approx(0.9, rel=0.05)
        bias = learning[receiver.name.removesuffix("_spikes")].bias
        per_channel = receiver.neuron.bias.reshape(len(bias), -1)[:, 0]
        np.testing.assert_allclose(bias.detach().numpy(), per_channel / scale, rtol=1e-6)
    readout = maps(found.program)[-1]
    in_floats = learning["readout"].bias.detach().numpy()
    np.testing.assert_allclose(in_floats, readout.bias * found.program.output.unit, rtol=1e-6)
    np.testing.assert_allclose(in_floats, net["readout"].weights.bias.detach().numpy(), atol=0.01)


def test_an_integrator_keeps_all_in_integers():
    net = trained_like(kind="if")
    learning = straight_through(net, quantized(net))
    assert all(learning[name].neuron.beta == 1 for name in net.layers)


def test_a_reset_level_is_that_of_the_program():
    net = trained_like(reset_to=0.5, threshold=0.8)
    found = quantized(net)
    learning = straight_through(net, found)
    scales = {report.name: report.scale[0] for report in found.layers}
    for receiver in found.program.neuron_layers:
        neuron = learning[receiver.name].neuron
        assert neuron.v_reset.item() == pytest.approx(receiver.neuron.v_reset.item() / (64 * scales[receiver.name]))
        assert neuron.v_reset.item() == pytest.approx(0.5, rel=0.05)


def test_gradients_go_straight_to_the_trained_weights_of_a_linear_map():
    """Of a readout alone: the gradient of a sum of outputs is the sum of the inputs, rounded as they are."""
    torch.manual_seed(0)
    readout = nn.Linear(3, 2)
    net = Network([Part("readout", Connection(readout, None, 8), ("input",))], ("readout",), (3,))
    found = quantize(lower(net, n_steps=1, encoder="direct"), bits=4, input_bits=2)
    x = torch.tensor([[[0.1, 0.4, 0.9]]])
    straight_through(net, found).unroll(x, 1).outputs.sum().backward()
    assert readout.weight.grad.tolist() == [[0.0, 0.5, 1.0]] * 2
    assert readout.bias.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("name", ["conv-small", "tiny resnet"])
def test_every_trained_parameter_gets_a_gradient_and_batch_norm_keeps_its_statistics(name):
    net = trained_like(name)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    x = images(shape=net.input_shape)
    straight_through(net, quantized(net)).unroll(x, N_STEPS).outputs.square().sum().backward()
    for key, parameter in net.named_parameters():
        assert parameter.grad.abs().sum() > 0, key
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize("name", ["conv-small", "tiny resnet"])
@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("bits", [8, 4])
def test_what_learns_fires_as_the_integers_do_but_for_rare_spikes(bits, reset, name):
    net = trained_like(name, reset=reset)
    found = quantized(net, bits)
    x = images(shape=net.input_shape)
    learning = straight_through(net, found).unroll(x, N_STEPS)
    exact = in_integers(net, found).unroll(x, N_STEPS)
    assert learning.spikes.keys() == exact.spikes.keys() == {*net.layers}
    for layer, spikes in learning.spikes.items():
        assert 0.02 < exact.spikes[layer].double().mean() < 0.98
        assert (spikes != exact.spikes[layer]).double().mean() < 0.002, layer
    agree = learning.outputs.detach().sum(0).argmax(1) == exact.outputs.sum(0).argmax(1)
    assert agree.double().mean() >= 0.95


@pytest.mark.parametrize("name", ["conv-small", "tiny resnet"])
def test_integers_are_integers_and_their_unit_gives_the_outputs_in_numbers(name):
    net = trained_like(name)
    found = quantized(net)
    x = images(shape=net.input_shape)
    learning = straight_through(net, found).unroll(x, N_STEPS)
    exact = in_integers(net, found).unroll(x, N_STEPS)
    assert {raster.dtype for raster in (*exact.spikes.values(), exact.outputs)} == {torch.int64}
    in_numbers = exact.outputs * found.program.output.unit
    assert (in_numbers - learning.outputs).abs().quantile(0.9) < 1e-5  # the others saw a rare spike


RESIDUAL = {
    "hard": {},
    "soft": {"reset": "soft", "beta": 0.9},
    "if": {"kind": "if"},
    "up to the threshold": {"reset_to": 1.0},
    "mpbn": {"mpbn": True},
}


@pytest.mark.parametrize("bits", [8, 3])
@pytest.mark.parametrize("choice", RESIDUAL)
def test_a_residual_network_in_integers_is_its_program_on_every_backend(choice, bits):
    net = tiny_resnet(**RESIDUAL[choice])
    found = quantized(net, bits)
    exact = in_integers(net, found)
    assert_every_backend_agrees(exact, found.program, pixels(N_STEPS, 4, *net.input_shape))
    potentials = {}
    inputs = pixels(N_STEPS, 4, *net.input_shape)
    reference.run(found.program, inputs, potentials=potentials)
    run = exact.unroll(torch.from_numpy(inputs), N_STEPS)
    for name, v in potentials.items():
        assert np.array_equal(run.potentials[name].numpy(), v)


@pytest.mark.parametrize("bits", [8, 3])
def test_spikes_that_are_currents_have_the_weight_of_the_program_in_both(bits):
    net = tiny_resnet()
    found = quantized(net, bits)
    between = found.program["stem_spikes_to_one"]
    assert isinstance(between, Scale)
    weight = between.factor.item()
    scale = next(report.scale[0] for report in found.layers if report.name == "one")
    x = torch.ones(1, 5, 6, 6)
    exact, learning = in_integers(net, found), straight_through(net, found)
    assert exact["stem_spikes_to_one"](x.long()).eq(int(weight)).all()
    torch.testing.assert_close(learning["stem_spikes_to_one"](x), x * (weight / scale))
    assert weight / scale == pytest.approx(1, rel=0.02 if bits == 8 else 0.3)


def test_maps_that_meet_have_one_scale_and_the_neurons_bias_once():
    net = tiny_resnet()
    found = quantized(net)
    learning = straight_through(net, found)
    scale = next(report.scale[0] for report in found.layers if report.name == "two")
    for name in ("two_b", "two_shortcut"):
        expected = (found.program[name].weight / scale).astype(np.float32)
        assert np.array_equal(learning[name].weight.detach().numpy(), expected)
    bias = sum(net.connections[name].folded()[1] for name in ("two_b", "two_shortcut"))
    together = sum(learning[name].bias for name in ("two_b", "two_shortcut"))
    torch.testing.assert_close(together.double(), bias, rtol=0, atol=0.02)


def test_rounding_has_the_derivative_one_on_every_way_of_a_residual_network():
    """What arrives at a rounded weight goes on, as if it were the trained weight with its batch norm folded in."""
    net = tiny_resnet()
    learning = straight_through(net, quantized(net))
    for name in net.connections:
        learning[name].weight.retain_grad()
        learning[name].bias.retain_grad()
    learning.unroll(images(shape=net.input_shape), 3).outputs.square().sum().backward()
    for name, connection in net.connections.items():
        arrived = learning[name].weight.grad.double(), learning[name].bias.grad.double()
        assert all(gradient.any() for gradient in arrived), name
        parameters = [*connection.parameters()]
        expected = torch.autograd.grad(connection.folded(), parameters, arrived)
        for parameter, gradient in zip(parameters, expected, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("largest", [1.0, 4.0])
def test_inputs_are_rounded_as_the_program_rounds_them(largest):
    net = trained_like(input_shape=(1, 2, 9))
    found = quantized(net, 8, 4, largest)
    halves = (np.arange(-18, 18, dtype=np.float32) / 2 + 0.5) * (largest / 16)  # every other one is a tie
    x = halves.reshape(2, 1, 2, 9)
    integers = as_input(found.program, x)
    already = torch.from_numpy(integers / found.program.input.scale).float()
    for first in (straight_through(net, found)["conv1"], in_integers(net, found)["conv1"]):
        assert torch.equal(first(torch.from_numpy(x)), first(already))


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.0], 1), ([1.0], 1), ([0.6, -0.2], 1), ([-1.5], 2), ([4], 4), ([37], 64), ([0.01], 1 / 64)],
)
def test_the_largest_input_is_the_next_power_of_two(values, expected):
    assert largest_input(np.array([0.0], np.float32), np.array(values, np.float32)) == expected


def test_many_inputs_leave_an_input_fewer_bits_than_few_do():
    def chosen(name, bits, shape):
        return best_input_bits(
            in_float(trained_like(name, input_shape=shape)), images(50, shape)[0].numpy(), bits=bits, largest_input=1.0
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
    x = images(50, (1, 28, 28))[0].numpy()
    at_8 = quantized(net, 4, 8).layers[0]
    bits = best_input_bits(in_float(net), x, bits=4, largest_input=1.0)
    chosen = quantized(net, 4, bits).layers[0]
    assert at_8.error == 1  # every weight became 0
    assert chosen.error < 0.5


def test_inputs_of_few_values_cost_no_more_bits_than_they_need():
    net = trained_like("mlp")
    x = np.rint(images(50)[0].numpy() * 4) / 4
    assert best_input_bits(in_float(net), x, bits=4, largest_input=1.0) <= 2


def test_spikes_are_taken_as_they_are():
    net = trained_like("mlp")
    assert best_input_bits(in_float(net, "poisson"), images()[0].numpy(), bits=4, largest_input=1.0) == 8
