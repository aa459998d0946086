import copy

import numpy as np
import pytest
import torch
from torch import nn

from tdd_deploy.errors import BadOption
from tdd_deploy.neurons import IF, LIF
from tdd_deploy.program.exact import grid_for
from tdd_deploy.train import network as train_network
from tdd_deploy.train.network import Connection, Layer, Network, make_network

pytestmark = pytest.mark.usefixtures("one_thread")


def lif(beta=0.5, **choices):
    return LIF(v_threshold=torch.tensor(1.0), v_reset=torch.tensor(0.0), beta=torch.tensor(beta), **choices)


def shaken(net, seed=0):
    """The same module with random batch norm statistics, as training would leave them."""
    generator = torch.Generator().manual_seed(seed)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.3, generator=generator)
            part.running_var.uniform_(0.05, 2, generator=generator)
            part.weight.data.normal_(1, 0.5, generator=generator)  # negative gains among them
            part.bias.data.normal_(0.3, 0.5, generator=generator)
    return net


CONNECTIONS = {
    "convolution": lambda: Connection(nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), 8),
    "convolution, stride 2": lambda: Connection(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), 0),
    "convolution with bias": lambda: Connection(nn.Conv2d(3, 8, 3, 1, 1), nn.BatchNorm2d(8), 0),
    "dense": lambda: Connection(nn.Linear(40, 16, bias=False), nn.BatchNorm1d(16), 8),
    "dense with bias": lambda: Connection(nn.Linear(40, 16), nn.BatchNorm1d(16), 0),
    "dense without norm": lambda: Connection(nn.Linear(40, 16), None, 0),
    "dense without anything": lambda: Connection(nn.Linear(40, 16, bias=False), None, 0),
}


@pytest.fixture(params=CONNECTIONS)
def connection(request):
    torch.manual_seed(3)
    return shaken(CONNECTIONS[request.param]()).eval()


def inputs_for(connection, *, batch=5):
    """Spikes, or pixels k / 256, as the connection was made for."""
    shape = (3, 7, 6) if isinstance(connection.weights, nn.Conv2d) else (40,)
    steps = 2**connection.input_bits
    return torch.from_numpy(np.random.default_rng(1).integers(0, steps + 1, (batch, *shape)) / steps).float()


def folded(connection):
    """Weight and bias in float64 by the formula of batch norm, written out channel by channel."""
    held = {name: value.double().numpy() for name, value in connection.state_dict().items()}
    weight = held["weights.weight"].copy()
    bias = held.get("weights.bias", np.zeros(len(weight))).copy()
    if connection.norm is None:
        return weight, bias
    for channel in range(len(weight)):
        gain = held["norm.weight"][channel] / (held["norm.running_var"][channel] + connection.norm.eps) ** 0.5
        weight[channel] *= gain
        bias[channel] = gain * (bias[channel] - held["norm.running_mean"][channel]) + held["norm.bias"][channel]
    return weight, bias


def test_before_the_grid_a_folded_batch_norm_is_the_batch_norm(connection, monkeypatch):
    exact = copy.deepcopy(connection).double()
    monkeypatch.setattr(train_network, "on_grid", lambda values, grid: values)
    x = inputs_for(connection).double()
    expected = exact.weights(x) if exact.norm is None else exact.norm(exact.weights(x))
    torch.testing.assert_close(exact(x), expected, rtol=1e-12, atol=1e-12 * float(expected.detach().abs().max()))
    for found, by_hand in zip(exact.deployed(), folded(exact), strict=True):
        np.testing.assert_allclose(found.numpy(), by_hand, rtol=1e-12, atol=1e-15)


def test_the_grid_moves_a_weight_by_at_most_half_a_step(connection):
    weight, bias = folded(connection)
    grid = grid_for(weight, bias, input_bits=connection.input_bits)
    for found, before in zip(connection.deployed(), (weight, bias), strict=True):
        assert found.dtype == torch.float32
        steps = found.double().numpy() / grid
        assert np.array_equal(steps, np.rint(steps))
        assert np.abs(found.double().numpy() - before).max() <= grid / 2


def test_the_grid_keeps_15_bits_of_a_row_that_sees_pixels_and_23_of_one_that_sees_spikes(connection):
    weight, bias = folded(connection)
    largest_row = max(np.abs(row).sum() + abs(b) for row, b in zip(weight, bias, strict=True))
    bits = 23 - connection.input_bits
    for found, before in zip(connection.deployed(), (weight, bias), strict=True):
        assert np.abs(found.double().numpy() - before).max() <= largest_row / 2**bits


def test_sums_of_a_connection_are_exact_in_float32_in_any_order(connection):
    weight, bias = (part.numpy() for part in connection.deployed())
    rng = np.random.default_rng(5)
    rows = weight.reshape(len(weight), -1)
    inputs = rng.integers(-(2**connection.input_bits), 2**connection.input_bits + 1, (20, rows.shape[1]))
    values = (inputs / 2**connection.input_bits).astype(np.float32)
    for row, b in zip(rows, bias, strict=True):
        terms = np.append(row, b) * np.column_stack([values, np.ones(20, np.float32)])
        in_float64 = terms.astype(np.float64).sum(axis=1)
        for _ in range(5):
            one_by_one = np.cumsum(terms[:, rng.permutation(terms.shape[1])], axis=1, dtype=np.float32)[:, -1]
            assert np.array_equal(one_by_one, in_float64)


def test_in_evaluation_a_connection_is_what_is_deployed(connection):
    weight, bias = (part.double().numpy() for part in connection.deployed())
    x = inputs_for(connection)
    if isinstance(connection.weights, nn.Conv2d):
        expected = nn.functional.conv2d(
            x.double(), torch.from_numpy(weight), torch.from_numpy(bias), connection.weights.stride, padding=1
        ).numpy()
    else:
        expected = np.einsum("bi,oi->bo", x.double().numpy(), weight) + bias
    assert np.array_equal(connection(x).detach().numpy(), expected)  # float32 against float64: no rounding at all


def test_evaluation_is_training_with_the_statistics_of_the_whole_within_the_rounding(connection):
    x = inputs_for(connection)
    plain = connection.weights(x) if connection.norm is None else connection.norm(connection.weights(x))
    torch.testing.assert_close(connection(x), plain, rtol=0, atol=2e-3)


def test_in_training_a_connection_is_normed_over_time_steps_and_samples_together():
    torch.manual_seed(0)
    dense = nn.Linear(6, 4, bias=False)
    norm = nn.BatchNorm1d(4)
    norm.weight.data = torch.tensor([1.0, 2.0, -1.0, 0.5])
    norm.bias.data = torch.tensor([0.0, 1.0, 2.0, 3.0])
    x = torch.rand(3, 5, 6)  # 3 steps of 5 samples
    layer = Layer(Connection(dense, norm, 0), None).train()
    current = (x.reshape(15, 6) @ dense.weight.T).detach().double().numpy()
    normed = (current - current.mean(axis=0)) / np.sqrt(current.var(axis=0) + norm.eps)
    expected = normed * norm.weight.detach().numpy() + norm.bias.detach().numpy()
    found = layer(x, 3, static=False).detach().numpy()
    np.testing.assert_allclose(found, expected.reshape(3, 5, 4), rtol=0, atol=1e-5)


def test_deploying_changes_nothing_in_the_connection(connection):
    before = copy.deepcopy(connection.state_dict())
    connection.deployed()
    connection(inputs_for(connection))
    assert all(torch.equal(value, before[name]) for name, value in connection.state_dict().items())


def test_a_connection_of_zeros_is_deployed_as_zeros():
    connection = Connection(nn.Linear(4, 2), None, 0).eval()
    nn.init.zeros_(connection.weights.weight)
    nn.init.zeros_(connection.weights.bias)
    assert connection(torch.ones(3, 4)).eq(0).all()


def one_neuron(neuron):
    """A network of one neuron with weight 0.75 and a readout of weight 2 and bias 1."""
    first, readout = nn.Linear(1, 1, bias=False), nn.Linear(1, 1)
    for part, value in ((first.weight, 0.75), (readout.weight, 2.0), (readout.bias, 1.0)):
        nn.init.constant_(part, value)
    return Network([Layer(Connection(first, None, 0), neuron), Layer(Connection(readout, None, 0), None)], (1,))


def integrate(reset):
    return IF(v_threshold=torch.tensor(1.0), v_reset=torch.tensor(0.0), reset=reset)


BY_HAND = [  # the neuron; v before it is compared with 1, at each step; all exact in float32
    (lif(0.5), [0.75, 1.125, 0.75, 1.125, 0.75, 1.125]),
    (lif(0.5, reset="soft"), [0.75, 1.125, 0.8125, 1.15625, 0.828125, 1.1640625]),
    (lif(0.875, reset="soft"), [0.75, 1.40625, 1.10546875, 0.84228515625, 1.48699951171875, 1.17612457275390625]),
    (integrate("hard"), [0.75, 1.5, 0.75, 1.5, 0.75, 1.5]),
    (integrate("soft"), [0.75, 1.5, 1.25, 1.0, 1.75, 1.5]),  # 1.0 is not above the threshold
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("neuron", "potentials"), BY_HAND)
def test_a_neuron_under_constant_current_fires_as_worked_out_by_hand(neuron, potentials, training):
    run = one_neuron(neuron).train(training).unroll(torch.ones(1, 1), 6, static=True)
    spikes = [int(v > 1) for v in potentials]
    assert len(run.taps) == 1
    assert run.taps[0].flatten().tolist() == spikes
    assert run.outputs.flatten().tolist() == [1 + 2 * spike for spike in spikes]


def test_the_steps_of_a_sample_are_run_in_order():
    x = torch.tensor([0.0, 2.0, 0.0, 1.0, 1.0]).reshape(5, 1, 1)
    # LIF, beta 1/2, hard, current 0.75 x: v is 0, 1.5 (spike), 0, 0.75, 1.125 (spike)
    run = one_neuron(lif()).unroll(x, 5, static=False)
    assert run.taps[0].flatten().tolist() == [0, 1, 0, 0, 1]


def small(name, *, input_shape=(1, 8, 8), n_classes=10, neuron=lif, analog_input=True, seed=0):
    torch.manual_seed(seed)
    return shaken(
        make_network(name, input_shape=input_shape, n_classes=n_classes, neuron=neuron, analog_input=analog_input)
    )


@pytest.mark.parametrize("name", ["mlp", "conv-small"])
def test_a_static_sample_is_the_same_sample_at_every_step(name):
    net = small(name).eval()
    x = torch.rand(4, 1, 8, 8).mul(256).round() / 256
    static = net.unroll(x, 5, static=True)
    repeated = net.unroll(x.expand(5, *x.shape), 5, static=False)
    assert torch.equal(static.outputs, repeated.outputs)
    assert all(map(torch.equal, static.taps, repeated.taps))


@pytest.mark.parametrize("training", [True, False])
def test_shapes_are_steps_then_samples_then_the_layers(training):
    net = small("conv-small", input_shape=(3, 9, 6), n_classes=4).train(training)
    run = net.unroll(torch.rand(5, 3, 9, 6), 2, static=True)
    assert run.outputs.shape == (2, 5, 4)
    assert [tap.shape for tap in run.taps] == [
        (2, 5, 32, 9, 6),
        (2, 5, 64, 5, 3),  # stride 2 halves, rounding up
        (2, 5, 64, 3, 2),
        (2, 5, 128),
    ]


@pytest.mark.parametrize("name", ["mlp", "conv-small"])
def test_taps_are_spikes_and_nothing_else(name):
    run = small(name).eval().unroll(torch.rand(8, 1, 8, 8), 4, static=True)
    for tap in run.taps:
        assert set(tap.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("name", "n_parameters"),
    [
        # weights, two of batch norm per channel or neuron, readout with bias
        ("mlp", 64 * 128 + 2 * 128 + 128 * 128 + 2 * 128 + 128 * 10 + 10),
        (
            "conv-small",
            (9 * 32 + 2 * 32) + (9 * 32 * 64 + 2 * 64) + (9 * 64 * 64 + 2 * 64) + (256 * 128 + 2 * 128) + 128 * 10 + 10,
        ),
    ],
)
def test_a_network_has_the_parameters_counted_by_hand(name, n_parameters):
    assert sum(parameter.numel() for parameter in small(name).parameters()) == n_parameters


@pytest.mark.parametrize(("analog_input", "bits"), [(True, 8), (False, 0)])
@pytest.mark.parametrize(("name", "n_layers"), [("mlp", 3), ("conv-small", 5)])
def test_only_the_first_connection_leaves_room_for_pixels(name, n_layers, analog_input, bits):
    net = small(name, analog_input=analog_input)
    assert [layer.connection.input_bits for layer in net.layers] == [bits] + [0] * (n_layers - 1)


def test_convolutions_refuse_samples_that_are_no_images():
    with pytest.raises(BadOption, match=r"--network is conv-small, with samples of shape \(64,\); allowed: mlp"):
        small("conv-small", input_shape=(64,))


def test_a_flat_sample_is_no_hindrance_to_a_dense_network():
    run = small("mlp", input_shape=(12,)).eval().unroll(torch.rand(3, 12), 2, static=True)
    assert run.outputs.shape == (2, 3, 10)


def test_the_first_weights_come_from_the_global_generator():
    one, same, other = (small("mlp", seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert not torch.equal(one["layer1.connection.weights.weight"], other["layer1.connection.weights.weight"])


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("name", ["mlp", "conv-small"])
def test_the_gradient_reaches_every_parameter(name, reset):
    net = small(name, neuron=lambda: lif(reset=reset)).train()
    run = net.unroll(torch.rand(16, 1, 8, 8), 3, static=True)
    nn.functional.cross_entropy(run.outputs[-1], torch.arange(16) % 10).backward()
    for parameter in net.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0
