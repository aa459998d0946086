import copy

import numpy as np
import pytest
import torch
from torch import nn

from tdd_deploy.data import Frames
from tdd_deploy.neurons import IF, LIF
from tdd_deploy.program.exact import bound_of, grid_of
from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.training.lower import lower
from tdd_deploy.training.network import Connection, Map, Network, Neurons, Part, SumPool, fire
from tests.agreement import assert_every_backend_agrees
from tests.untrained import network, neuron, neurons, pixels, tiny_resnet

pytestmark = pytest.mark.usefixtures("one_thread")


def shaken(connection, seed=0):
    """The same connection with random batch norm statistics, as training would leave them."""
    generator = torch.Generator().manual_seed(seed)
    if (norm := connection.norm) is not None:
        norm.running_mean.normal_(0, 0.3, generator=generator)
        norm.running_var.uniform_(0.05, 2, generator=generator)
        norm.weight.data.normal_(1, 0.5, generator=generator)  # negative gains among them
        norm.bias.data.normal_(0.3, 0.5, generator=generator)
    return connection


CONNECTIONS = {
    "convolution": lambda: Connection(nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), 8),
    "convolution, stride 2": lambda: Connection(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), 0),
    "convolution with bias": lambda: Connection(nn.Conv2d(3, 8, 3, 1, 1), nn.BatchNorm2d(8), 0),
    "dense": lambda: Connection(nn.Linear(40, 16, bias=False), nn.BatchNorm1d(16), 8),
    "dense with bias": lambda: Connection(nn.Linear(40, 16), nn.BatchNorm1d(16), 0),
    "dense without norm": lambda: Connection(nn.Linear(40, 16), None, 0),
    "dense after sums of 9": lambda: Connection(nn.Linear(40, 16), nn.BatchNorm1d(16), 0, largest=9, gain=1 / 9),
    "dense without anything": lambda: Connection(nn.Linear(40, 16, bias=False), None, 0),
}


@pytest.fixture(params=CONNECTIONS)
def connection(request):
    torch.manual_seed(3)
    return shaken(CONNECTIONS[request.param]())


def alone(connection):
    """The network of one connection, in evaluation mode."""
    shape = (3, 7, 6) if isinstance(connection.weights, nn.Conv2d) else (connection.weights.in_features,)
    return Network([Part("it", connection, ("input",))], ("it",), shape).eval()


def deployed(connection):
    return alone(connection).deployed()["it"]


def inputs_for(connection, *, batch=5):
    """Spikes, or pixels k / 256, as the connection was made for."""
    shape = (3, 7, 6) if isinstance(connection.weights, nn.Conv2d) else (40,)
    steps = 2**connection.input_bits
    whole = np.random.default_rng(1).integers(0, steps * connection.largest + 1, (batch, *shape))
    return torch.from_numpy(whole / steps).float()


def folded(connection):
    """Weight and bias in float64 by the formula of batch norm, written out channel by channel."""
    held = {name: value.double().numpy() for name, value in connection.state_dict().items()}
    weight = held["weights.weight"] * connection.gain
    bias = held.get("weights.bias", np.zeros(len(weight))).copy()
    if connection.norm is None:
        return weight, bias
    for channel in range(len(weight)):
        gain = held["norm.weight"][channel] / (held["norm.running_var"][channel] + connection.norm.eps) ** 0.5
        weight[channel] *= gain
        bias[channel] = gain * (bias[channel] - held["norm.running_mean"][channel]) + held["norm.bias"][channel]
    return weight, bias


def grid_of_weights(connection):
    weight, bias = folded(connection)
    return grid_of(bound_of(weight, bias, largest=connection.largest)) * 2.0**connection.input_bits


def test_a_folded_batch_norm_is_the_batch_norm(connection):
    exact = copy.deepcopy(connection).double().eval()
    x = inputs_for(connection).double()
    expected = exact.weights(x * exact.gain)
    expected = expected if exact.norm is None else exact.norm(expected)
    found = connection.current(x, *connection.folded())
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12 * float(expected.detach().abs().max()))
    for one, by_hand in zip(connection.folded(), folded(connection), strict=True):
        assert one.dtype == torch.float64
        np.testing.assert_allclose(one.detach().numpy(), by_hand, rtol=1e-12, atol=1e-15)


def test_the_grid_moves_a_weight_by_at_most_half_a_step(connection):
    grid = grid_of_weights(connection)
    for found, before in zip(deployed(connection), folded(connection), strict=True):
        assert found.dtype == torch.float32
        steps = found.double().numpy() / grid
        assert np.array_equal(steps, np.rint(steps))
        assert np.abs(found.double().numpy() - before).max() <= grid / 2


def test_the_grid_keeps_15_bits_of_a_row_that_sees_pixels_and_23_of_one_that_sees_spikes(connection):
    weight, bias = folded(connection)
    largest_row = max(np.abs(row).sum() * connection.largest + abs(b) for row, b in zip(weight, bias, strict=True))
    bits = 23 - connection.input_bits
    for found, before in zip(deployed(connection), (weight, bias), strict=True):
        assert np.abs(found.double().numpy() - before).max() <= largest_row / 2**bits


def test_sums_of_a_connection_are_exact_in_float32_in_any_order(connection):
    weight, bias = (part.numpy() for part in deployed(connection))
    rng = np.random.default_rng(5)
    rows = weight.reshape(len(weight), -1)
    steps = 2**connection.input_bits * connection.largest
    values = (rng.integers(-steps, steps + 1, (20, rows.shape[1])) / 2**connection.input_bits).astype(np.float32)
    for row, b in zip(rows, bias, strict=True):
        terms = np.append(row, b) * np.column_stack([values, np.ones(20, np.float32)])
        in_float64 = terms.astype(np.float64).sum(axis=1)
        for _ in range(5):
            one_by_one = np.cumsum(terms[:, rng.permutation(terms.shape[1])], axis=1, dtype=np.float32)[:, -1]
            assert np.array_equal(one_by_one, in_float64)


def test_in_evaluation_a_connection_is_what_is_deployed(connection):
    weight, bias = (part.double() for part in deployed(connection))
    x = inputs_for(connection)
    if isinstance(connection.weights, nn.Conv2d):
        stride, groups = connection.weights.stride, connection.weights.groups
        expected = nn.functional.conv2d(x.double(), weight, bias, stride, padding=1, groups=groups).numpy()
    else:
        expected = np.einsum("bi,oi->bo", x.double().numpy(), weight.numpy()) + bias.numpy()
    found = alone(connection).unroll(x[None], 1).outputs[0]
    assert np.array_equal(found.detach().numpy(), expected)  # float32 against float64: no rounding at all


def test_evaluation_is_training_with_the_statistics_of_the_whole_within_the_rounding(connection):
    x = inputs_for(connection)
    plain = connection.eval()(x)  # outside a network nothing is deployed
    found = alone(connection).unroll(x[None], 1).outputs[0]
    assert not torch.equal(found, plain)
    torch.testing.assert_close(found, plain, rtol=0, atol=2e-3 * connection.largest)


def test_the_weights_of_evaluation_are_those_of_the_moment_it_was_entered():
    net = network("mlp").eval()
    x = torch.from_numpy(pixels(1, 4, 1, 8, 8))
    before = net.unroll(x, 2).outputs
    net["fc1"].weights.weight.data.mul_(-1)
    assert torch.equal(net.unroll(x, 2).outputs, before)
    assert not torch.equal(net.eval().unroll(x, 2).outputs, before)
    assert all(connection.deployed is None for connection in net.train().connections.values())


def test_in_training_a_connection_is_normed_over_time_steps_and_samples_together():
    torch.manual_seed(0)
    dense = nn.Linear(6, 4, bias=False)
    norm = nn.BatchNorm1d(4)
    norm.weight.data = torch.tensor([1.0, 2.0, -1.0, 0.5])
    norm.bias.data = torch.tensor([0.0, 1.0, 2.0, 3.0])
    x = torch.rand(3, 5, 6)  # 3 steps of 5 samples
    current = (x.reshape(15, 6) @ dense.weight.T).detach().double().numpy()
    normed = (current - current.mean(axis=0)) / np.sqrt(current.var(axis=0) + norm.eps)
    expected = normed * norm.weight.detach().numpy() + norm.bias.detach().numpy()
    found = alone(Connection(dense, norm, 0)).train().unroll(x, 3).outputs
    np.testing.assert_allclose(found.detach().numpy(), expected.reshape(3, 5, 4), rtol=0, atol=1e-5)


def test_deploying_changes_nothing_in_the_connection(connection):
    before = copy.deepcopy(connection.state_dict())
    deployed(connection)
    alone(connection).unroll(inputs_for(connection)[None], 1)
    assert all(torch.equal(value, before[name]) for name, value in connection.state_dict().items())


def test_a_connection_of_zeros_is_deployed_as_zeros():
    connection = Connection(nn.Linear(4, 2), None, 0)
    nn.init.zeros_(connection.weights.weight)
    nn.init.zeros_(connection.weights.bias)
    assert alone(connection).unroll(torch.ones(1, 3, 4), 1).outputs.eq(0).all()


# --- Graphs --------------------------------------------------------------------------------------------------------


class Times(Map):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


def test_a_part_takes_the_sum_of_its_sources_and_outputs_add_up():
    """A diamond, written out: a = 2 x, b = 3 (x + a), c = 5 (a + b); the outputs are b + c."""
    parts = [
        Part("a", Times(2), ("input",)),
        Part("b", Times(3), ("input", "a")),
        Part("c", Times(5), ("a", "b")),
    ]
    run = Network(parts, ("b", "c"), (1,)).unroll(torch.tensor([1.0, -2.0]).reshape(2, 1, 1), 2)
    assert run.outputs.flatten().tolist() == [9 + 55, -2 * (9 + 55)]
    assert run.spikes == run.potentials == run.states == {}


def test_receivers_get_what_is_sent_and_a_run_keeps_what_was_fired():
    net = tiny_resnet().eval()
    x = torch.from_numpy(pixels(1, 3, *net.input_shape))
    asked = {}

    def send(name, spikes):
        asked[name] = spikes
        return torch.zeros_like(spikes) if name == "stem_spikes" else spikes

    with torch.no_grad():
        run, plain = net.unroll(x, 2, send=send), net.unroll(x, 2)
    assert list(asked) == list(run.spikes) == list(net.layers)
    assert all(asked[name] is raster for name, raster in run.spikes.items())
    assert torch.equal(run.spikes["stem_spikes"], plain.spikes["stem_spikes"])
    assert plain.spikes["stem_spikes"].any()
    of_bias = net["one_a"](torch.zeros(1, 5, 6, 6))  # what is left of one_a's current
    expected = fire(net["one_inner"].neuron, of_bias.expand(1, 3, -1, -1, -1), 2).spikes
    assert torch.equal(run.spikes["one_inner"], expected)


def test_what_spikes_in_a_graph_is_given_back_under_its_name():
    net = tiny_resnet().eval()
    run = net.unroll(torch.from_numpy(pixels(3, 2, *net.input_shape)), 3)
    assert list(run.spikes) == list(run.potentials) == list(run.states) == list(net.layers)
    assert net.layers == ("stem_spikes", "one_inner", "one", "two_inner", "two")
    for name, raster in run.spikes.items():
        assert torch.equal(raster, (run.potentials[name] > 1).float())
        assert raster.shape == (3, 2, *net.shapes[name])


def test_sums_over_windows_are_sums_of_integers_too():
    x = torch.arange(2 * 4 * 6).reshape(1, 2, 4, 6)
    by_hand = [[x[0, c, 2 * i : 2 * i + 2, 3 * j : 3 * j + 3].sum() for i in (0, 1) for j in (0, 1)] for c in (0, 1)]
    for values in (x, x.float()):
        assert SumPool((2, 3))(values).reshape(2, 4).tolist() == by_hand


# --- Neurons -------------------------------------------------------------------------------------------------------


def one_neuron(module):
    """A network of one neuron with weight 0.75 and a readout of weight 2 and bias 1."""
    first, readout = nn.Linear(1, 1, bias=False), nn.Linear(1, 1)
    for part, value in ((first.weight, 0.75), (readout.weight, 2.0), (readout.bias, 1.0)):
        nn.init.constant_(part, value)
    parts = [
        Part("first", Connection(first, None, 0), ("input",)),
        Part("spikes", module if isinstance(module, Neurons) else Neurons(module), ("first",)),
        Part("readout", Connection(readout, None, 0), ("spikes",)),
    ]
    return Network(parts, ("readout",), (1,))


BY_HAND = [  # the neuron; v before it is compared with 1, at each step; all exact in float32
    (neuron(), [0.75, 1.125, 0.75, 1.125, 0.75, 1.125]),
    (neuron(reset="soft"), [0.75, 1.125, 0.8125, 1.15625, 0.828125, 1.1640625]),
    (
        neuron(beta=0.875, reset="soft"),
        [0.75, 1.40625, 1.10546875, 0.84228515625, 1.48699951171875, 1.17612457275390625],
    ),
    (neuron(reset_to=0.25), [0.75, 1.125, 0.875, 1.1875, 0.875, 1.1875]),
    (neuron(reset_to=1.0), [0.75, 1.125, 1.25, 1.25, 1.25, 1.25]),  # fires, and stays on
    (neuron(reset_to=0.5), [0.75, 1.125, 1.0, 1.25, 1.0, 1.25]),  # 1.0 is not above the threshold
    (neuron(reset_to=0.5, compare=">="), [0.75, 1.125, 1.0, 1.0, 1.0, 1.0]),
    (neuron("if"), [0.75, 1.5, 0.75, 1.5, 0.75, 1.5]),
    (neuron("if", reset="soft"), [0.75, 1.5, 1.25, 1.0, 1.75, 1.5]),
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("neuron", "potentials"), BY_HAND)
def test_a_neuron_under_constant_current_fires_as_worked_out_by_hand(neuron, potentials, training):
    run = one_neuron(neuron).train(training).unroll(torch.ones(1, 1, 1), 6)
    spikes = [int(v > 1 or (v == 1 and neuron.compare == ">=")) for v in potentials]
    assert run.potentials["spikes"].flatten().tolist() == potentials
    assert run.spikes["spikes"].flatten().tolist() == spikes
    assert run.outputs.flatten().tolist() == [1 + 2 * spike for spike in spikes]


def test_the_steps_of_a_sample_are_run_in_order():
    x = torch.tensor([0.0, 2.0, 0.0, 1.0, 1.0]).reshape(5, 1, 1)
    # LIF, beta 1/2, hard, current 0.75 x: v is 0, 1.5 (spike), 0, 0.75, 1.125 (spike)
    run = one_neuron(neuron()).unroll(x, 5)
    assert run.spikes["spikes"].flatten().tolist() == [0, 1, 0, 0, 1]


@pytest.mark.parametrize("beta", [0.0, 0.25, 0.9])
def test_with_a_reset_to_the_threshold_what_fires_stays_on_and_sends_one_change(beta):
    n_steps = 12
    net = network("mlp", beta=beta, threshold=0.8, reset_to=0.8).eval()
    x = pixels(1, 5, 1, 8, 8)
    run = net.unroll(torch.from_numpy(x), n_steps)
    first = run.spikes["fc1_spikes"]  # the layer whose current is constant
    onset = first.argmax(0)
    assert (first == (torch.arange(n_steps).reshape(-1, 1, 1) >= onset) * first.any(0)).all()
    assert (onset[first.any(0)] > 0).any() or beta == 0
    program = lower(net, n_steps=n_steps, encoder="direct")
    trace = Engine(program).run(Frames(static=True, values=x[0]), n_steps=n_steps).trace
    row = [layer.name for layer in trace.layers].index("fc1_spikes")
    assert trace.executed.delta_events[row].sum() == first.any(0).sum()


# --- Learned numbers -----------------------------------------------------------------------------------------------


def test_learned_numbers_start_where_they_are_told_to():
    module = Neurons(neuron(beta=0.3, threshold=0.8, reset_to=0.2), learned=("beta", "threshold"))
    found = {name: value.item() for name, value in module.neuron.parameters().items()}
    assert found == pytest.approx({"beta": 0.3, "v_threshold": 0.8, "v_reset": 0.2})
    assert {name for name, _ in module.named_parameters()} == {"logit_beta", "log_threshold"}
    assert list(Neurons(neuron()).parameters()) == []


def test_a_learned_threshold_takes_the_reset_level_along_and_a_decay_stays_a_fraction():
    module = Neurons(neuron(beta=0.5, threshold=0.8, reset_to=0.2), learned=("beta", "threshold"))
    module.log_threshold.data += float(np.log(3))
    module.logit_beta.data += float(np.log(4))  # odds of 1 become odds of 4
    found = {name: value.item() for name, value in module.neuron.parameters().items()}
    assert found == pytest.approx({"beta": 0.8, "v_threshold": 2.4, "v_reset": 0.6})


@pytest.mark.parametrize("kind", ["lif", "if"])
@pytest.mark.parametrize("mpbn", [False, True])
def test_learned_numbers_get_the_gradients_that_autograd_finds(kind, mpbn):
    """The parameters pass through a sigmoid and an exponential, whose slopes are written out."""
    learned = ("beta", "threshold")[kind == "if" :]
    numbers = {"beta": 0.6} if kind == "lif" else {}
    module = neurons(kind, learned=learned, mpbn=mpbn, threshold=0.9, reset_to=0.3, **numbers)((7,), 0).train()
    current = torch.from_numpy(np.random.default_rng(0).normal(0.5, 0.6, (5, 16, 7))).float()
    weight = torch.from_numpy(np.random.default_rng(1).normal(size=(5, 16, 7))).float()
    (module(current, 5, None).spikes * weight).sum().backward()

    values = {"v_threshold": torch.tensor(0.9, requires_grad=True)}
    values["v_reset"] = values["v_threshold"] / 3
    if kind == "lif":
        values["beta"] = torch.tensor(0.6, requires_grad=True)
    by_hand = {"lif": LIF, "if": IF}[kind](**values)
    sent = mpbn_by_hand(by_hand, current, nn.BatchNorm1d(7).train())[0] if mpbn else eager(by_hand, current)
    (sent * weight).sum().backward()
    torch.testing.assert_close(module.log_threshold.grad, 0.9 * values["v_threshold"].grad, rtol=1e-4, atol=1e-5)
    if kind == "lif":
        torch.testing.assert_close(module.logit_beta.grad, 0.6 * 0.4 * values["beta"].grad, rtol=1e-4, atol=1e-5)


def eager(each, current):
    """The neuron's own step, with torch's own autograd."""
    from tdd_deploy.training.arithmetic import TorchArithmetic

    state, sent = (torch.zeros_like(current[0]),), []
    for step in current:
        state, spikes = each.step(TorchArithmetic(), state, step)
        sent.append(spikes)
    return torch.stack(sent)


# --- MPBN ----------------------------------------------------------------------------------------------------------


def mpbn_by_hand(each, current, norm):
    """Step by step: what is compared is normalized, and v after it is not. Returns spikes and potentials."""
    from tdd_deploy.training.arithmetic import TorchArithmetic

    v, sent, potentials = torch.zeros_like(current[0]), [], []
    for step in current:
        u = step + (v * each.beta if isinstance(each, LIF) else v)
        spikes = TorchArithmetic().fires(norm(u), each.v_threshold, each.compare)
        v = (1 - spikes) * u + spikes * each.v_reset
        sent.append(spikes)
        potentials.append(u)
    return torch.stack(sent), torch.stack(potentials)


def normed(shape, seed=0, **numbers):
    """A layer with MPBN of random gains, biases and statistics."""
    module = neurons(mpbn=True, **numbers)(shape, 0)
    rng = torch.Generator().manual_seed(seed)
    module.norm.weight.data.normal_(1, 0.5, generator=rng)
    module.norm.weight.data[0] *= -1
    module.norm.bias.data.normal_(0.2, 0.3, generator=rng)
    module.norm.running_mean.normal_(0.2, 0.3, generator=rng)
    module.norm.running_var.uniform_(0.3, 2, generator=rng)
    return module


@pytest.mark.parametrize("shape", [(6,), (4, 3, 5)])
def test_mpbn_in_training_is_a_batch_norm_of_each_steps_potentials(shape):
    module = normed(shape, reset_to=0.2).train()
    norm = copy.deepcopy(module.norm)
    norm.weight.data.abs_()
    current = torch.from_numpy(np.random.default_rng(0).normal(0.4, 0.7, (4, 8, *shape))).float()
    found = module(current, 4, None)
    sent, potentials = mpbn_by_hand(neuron(reset_to=0.2), current, norm)
    assert torch.equal(found.spikes, sent)
    torch.testing.assert_close(found.u, potentials)
    assert 0.1 < sent.mean() < 0.9
    torch.testing.assert_close(module.norm.running_mean, norm.running_mean)
    torch.testing.assert_close(module.norm.running_var, norm.running_var)


@pytest.mark.parametrize("shape", [(6,), (4, 3, 5)])
def test_mpbn_in_evaluation_is_a_threshold_per_channel(shape):
    module = normed(shape, threshold=0.7).eval()
    norm = module.norm
    by_hand = [
        (0.7 - norm.bias[c].item()) * (norm.running_var[c].item() + norm.eps) ** 0.5 / abs(norm.weight[c].item())
        + norm.running_mean[c].item()
        for c in range(shape[0])
    ]
    v_threshold = module.neuron.v_threshold
    assert v_threshold.shape == (shape[0], *[1] * (len(shape) - 1))
    assert v_threshold.flatten().tolist() == pytest.approx(by_hand, rel=1e-5)

    current = torch.from_numpy(np.random.default_rng(1).normal(0.4, 0.7, (5, 8, *shape))).float()
    found = module(current, 5, None)
    positive = copy.deepcopy(norm).double().eval()
    positive.weight.data.abs_()
    expected, potentials = mpbn_by_hand(neuron(threshold=0.7, dtype=torch.float64), current.double(), positive)
    assert 0.1 < expected.mean() < 0.9
    assert torch.equal(found.spikes.double(), expected)
    torch.testing.assert_close(found.u.double(), potentials, rtol=0, atol=1e-5)


def test_the_sign_of_a_gain_does_not_turn_a_threshold_round():
    module, other = normed((6,)).eval(), normed((6,)).eval()
    other.norm.weight.data.neg_()
    assert torch.equal(module.neuron.v_threshold, other.neuron.v_threshold)


def test_a_trained_mpbn_with_learned_numbers_fires_the_same_on_every_backend():
    net = tiny_resnet(mpbn=True, learned=("beta", "threshold"), beta=0.4, reset_to=0.3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    x = torch.from_numpy(pixels(1, 16, *net.input_shape))
    before = copy.deepcopy(net.state_dict())
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net.unroll(x, 3).outputs.mean(0), torch.arange(16) % 4).backward()
        optimizer.step()
    for name in ("logit_beta", "log_threshold", "norm.weight", "norm.bias", "norm.running_mean"):
        assert not torch.equal(net.state_dict()[f"one.{name}"], before[f"one.{name}"]), name
    net.eval()
    program = lower(net, n_steps=4, encoder="direct")
    assert len(np.unique(program["one"].neuron.v_threshold)) == 5  # one per channel
    assert_every_backend_agrees(net, program, pixels(4, 3, *net.input_shape, seed=3))


# --- Shapes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_shapes_are_steps_then_samples_then_the_layers(training):
    net = network("conv-small", input_shape=(3, 9, 6), n_classes=4).train(training)
    run = net.unroll(torch.rand(1, 5, 3, 9, 6), 2)
    assert run.outputs.shape == (2, 5, 4)
    assert [raster.shape for raster in run.spikes.values()] == [
        (2, 5, 32, 9, 6),
        (2, 5, 64, 5, 3),  # stride 2 halves, rounding up
        (2, 5, 64, 3, 2),
        (2, 5, 128),
    ]
    assert [*net.shapes.values()] == [(32, 9, 6), (64, 5, 3), (64, 3, 2), (128,)]
    assert net.training == training


@pytest.mark.parametrize("name", ["mlp", "conv-small"])
def test_layers_send_spikes_and_nothing_else(name):
    run = network(name).eval().unroll(torch.rand(1, 8, 1, 8, 8), 4)
    for raster in run.spikes.values():
        assert set(raster.unique().tolist()) == {0.0, 1.0}


def test_a_flat_sample_is_no_hindrance_to_a_dense_network():
    run = network("mlp", input_shape=(12,)).eval().unroll(torch.rand(1, 3, 12), 2)
    assert run.outputs.shape == (2, 3, 10)


def test_a_network_without_neurons_gives_its_outputs_at_every_step():
    net = alone(Connection(nn.Linear(4, 2), None, 0))
    x = torch.rand(1, 3, 4)
    run = net.unroll(x, 5)
    assert run.outputs.shape == (5, 3, 2)
    assert torch.equal(run.outputs[4], net["it"](x[0]))
