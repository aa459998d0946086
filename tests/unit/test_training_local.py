"""Networks cut into parts: where, with what heads, and that none sees another's gradient."""

import math
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import nn

from tdd_deploy.errors import BadOption
from tdd_deploy.training.architectures import make_network
from tdd_deploy.training.local import borders, cut
from tdd_deploy.training.lower import lower
from tdd_deploy.training.methods import Ddla, L1Delta, TetLoss
from tdd_deploy.training.network import Connection, Neurons
from tdd_deploy.training.scores import Scoring
from tdd_deploy.training.strategies import Batch, Local, Objective, Online, Unrolling
from tests.kept import most_kept
from tests.untrained import network, neurons, pixels, tiny_resnet

N_STEPS, BATCH = 4, 6

pytestmark = pytest.mark.usefixtures("one_thread")


def parts_of(net, n_parts=2, *, n_classes=4, seed=7, **choices):
    torch.manual_seed(seed)
    return cut(net, n_parts, neurons=neurons(), n_classes=n_classes, **choices)


def batch_for(net, objective, *, n_steps=N_STEPS):
    x = torch.from_numpy(pixels(n_steps, BATCH, *net.input_shape))
    return Batch(x, torch.arange(BATCH) % 4, n_steps, objective, torch.Generator().manual_seed(3))


def gradients(*modules):
    return {
        name: None if parameter.grad is None else parameter.grad.clone()
        for module in modules
        for name, parameter in module.named_parameters()
    }


# --- Where ---------------------------------------------------------------------------------------------------------


def test_a_border_is_the_only_way_between_upstream_and_downstream():
    """Inside a block there is a shortcut beside the neurons; between blocks there is none."""
    assert borders(tiny_resnet()) == ["stem_spikes", "one", "two"]
    assert borders(network("mlp")) == ["fc1_spikes", "fc2_spikes"]
    layers = [
        "stem_spikes",
        *(f"stage{s}_block{b}_spikes" for s, n in ((1, 3), (2, 3), (3, 2)) for b in range(1, n + 1)),
    ]
    assert borders(network("resnet19-small", input_shape=(2, 8, 8))) == [*layers, "fc1_spikes"]


def test_gates_and_currents_that_add_up_are_no_borders():
    found = borders(network("sdt-2-64", input_shape=(2, 8, 8)))
    assert found == ["patch1_spikes", "patch2_spikes", "patch3_spikes", "head_spikes"]


def test_parts_have_about_as_many_activations_each():
    """conv-small on 8 x 8: 2048, 1024, 256 and 128 neurons; half of 3456 is nearest to 2048."""
    assert parts_of(network("conv-small")).borders == ("conv1_spikes",)
    assert parts_of(network("conv-small"), 3).borders == ("conv1_spikes", "conv2_spikes")
    # 540 neurons in a chain: 180, 180, 180, 63, 63; half is 333, thirds are 222 and 444
    assert parts_of(tiny_resnet()).borders == ("stem_spikes",)


def test_more_parts_than_places_are_refused():
    with pytest.raises(BadOption, match=r"local_parts must be at most 2, as this network can be cut into 2 \(got 3\)"):
        parts_of(network("mlp"), 3)
    with pytest.raises(BadOption, match="can be cut into 4"):
        parts_of(network("conv-small"), 5)
    assert len(parts_of(network("conv-small"), 4).networks) == 4


# --- Heads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_parts", [2, 3, 4])
def test_parts_one_after_the_other_are_the_network_itself(n_parts):
    net = network("conv-small").eval()
    local = parts_of(net, n_parts)
    x = torch.from_numpy(pixels(N_STEPS, 3, 1, 8, 8))
    with torch.no_grad():
        whole = net.unroll(x, N_STEPS)
        value = x
        for part, border in zip(local.networks, (*local.borders, None), strict=True):
            run = part.eval().unroll(value, N_STEPS)
            for name in run.spikes.keys() & whole.spikes.keys():
                assert torch.equal(run.spikes[name], whole.spikes[name])
            value = run.spikes.get(border)
    assert torch.equal(run.outputs, whole.outputs)
    shared = {id(p) for part in local.networks for p in part.parameters()} - {id(p) for p in local.heads.parameters()}
    assert shared == {id(p) for p in net.parameters()}


@pytest.mark.parametrize(
    ("budget", "layers"),
    [
        # after conv1's 2048 neurons: conv2 has 1024, conv3 256, fc1 128; the last ones first
        (0.0, []),
        (127 / 2048, []),
        (128 / 2048, ["fc1_spikes"]),
        (0.1, ["fc1_spikes"]),
        (384 / 2048, ["conv3_spikes", "fc1_spikes"]),
        (0.5, ["conv3_spikes", "fc1_spikes"]),
        (1408 / 2048, ["conv2_spikes", "conv3_spikes", "fc1_spikes"]),
    ],
)
def test_a_head_is_of_the_last_layers_that_a_budget_allows(budget, layers):
    net = network("conv-small")
    local = parts_of(net, budget=budget)
    (head,) = local.heads
    found = [part for part in head.parts if isinstance(part.module, Neurons)]
    assert [part.name for part in found] == [f"conv1_spikes_head_{name}" for name in layers]
    assert [head.shapes[part.name] for part in found] == [net.shapes[name] for name in layers]
    assert math.prod(net.shapes["conv1_spikes"]) * budget >= sum(math.prod(shape) for shape in head.shapes.values())
    run = local.networks[0].unroll(torch.rand(1, 2, 1, 8, 8), 3)
    assert run.outputs.shape == (3, 2, 4)


@pytest.mark.parametrize("name", ["mlp", "conv-small", "conv-medium", "resnet19-small", "sdt-2-64"])
@pytest.mark.parametrize("budget", [0.1, 0.5, 5.0])
def test_every_network_can_be_cut(name, budget):
    net = network(name, input_shape=(2, 16, 16), n_classes=4)
    for n_parts in range(2, len(borders(net)) + 1):
        local = parts_of(net, n_parts, budget=budget)
        value = torch.rand(1, 2, 2, 16, 16)
        for part, border in zip(local.networks, (*local.borders, None), strict=True):
            run = part.unroll(value, 1)
            assert run.outputs.shape == (1, 2, 4)
            value = run.spikes.get(border)


def test_heads_are_no_part_of_what_is_deployed():
    net = network("conv-small")
    before = lower(net, n_steps=2, encoder="direct").digest
    names = [*net.state_dict()]
    parts_of(net, 3)
    assert lower(net, n_steps=2, encoder="direct").digest == before
    assert [*net.state_dict()] == names


def test_a_large_image_enters_a_readout_as_sums_over_all_places():
    torch.manual_seed(0)
    net = make_network("conv-medium", input_shape=(1, 32, 32), n_classes=10, neurons=neurons(), analog_input=True)
    (head,) = parts_of(net, budget=0.0).heads
    (readout,) = head.connections.values()
    channels, height, width = net.shapes[parts_of(net).borders[0]]
    assert (readout.weights.in_features, readout.largest) == (channels, height * width)


# --- Learning ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Heard:
    """Another loss, which keeps what came into a part."""

    given: list = field(default_factory=list)

    def __call__(self, run, targets):
        self.given.append({name: raster.detach() for name, raster in run.spikes.items()})
        return TetLoss()(run, targets)


OBJECTIVES = {
    "tet": {},
    "l1": {"penalty": L1Delta(), "weight": 0.8},
    "ddla": {"penalty": Ddla("F", 0.5), "weight": 0.8, "scoring": Scoring("gsc")},
    "closed": {"transmit": "closed", "scoring": Scoring("grad"), "keep": 0.5},
}


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("n_parts", [2, 3])
@pytest.mark.parametrize("name", ["conv-small", "tiny resnet"])
def test_each_part_learns_as_if_it_were_alone(name, n_parts, objective):
    """Online, with what its predecessor sends as its input; so no gradient crosses a border."""

    def made():
        net = tiny_resnet() if name == "tiny resnet" else network(name, n_classes=4)
        return net, parts_of(net, n_parts)

    net, local = made()
    wanted = Objective(TetLoss(), layers=dict.fromkeys(net.layers, 1.0), **OBJECTIVES[objective])
    batch = batch_for(net, wanted)
    learned = Local(local).learn(net, batch)
    found = gradients(net, local.heads)
    assert all(gradient is not None and gradient.any() for gradient in found.values())

    alone_net, alone = made()
    value, losses = batch.x, []
    for part, border in zip(alone.networks, (*alone.borders, None), strict=True):
        received = []
        following = next((p.name for p in part.parts if border in p.sources), None)
        if following is not None:  # a head's first map: what it is given is what crosses the border
            hook = part[following].register_forward_pre_hook(lambda module, given, to=received: to.append(given[0]))
        result = Online().learn(part, replace(batch, x=value))
        losses.append(result.loss)
        if following is not None:
            hook.remove()
            value = torch.stack(received).detach()
    expected = gradients(alone_net, alone.heads)
    assert learned.loss == pytest.approx(sum(losses) / n_parts, rel=1e-6)
    assert torch.equal(learned.outputs, result.outputs)
    assert found.keys() == expected.keys()
    for parameter, gradient in found.items():
        torch.testing.assert_close(gradient, expected[parameter], rtol=1e-5, atol=1e-7, msg=parameter)


@pytest.mark.parametrize("deaf", [0, 1, 2])
def test_no_gradient_crosses_a_border(deaf):
    """The loss of one part alone: only its own parameters learn."""
    net = network("conv-small", n_classes=4)
    local = parts_of(net, 3)
    calls = []

    def loss(run, targets):
        calls.append(None)
        return TetLoss()(run, targets) * (1.0 if (len(calls) - 1) % 3 == deaf else 0.0)

    Local(local).learn(net, batch_for(net, Objective(loss)))
    for number, part in enumerate(local.networks):
        for name, parameter in part.named_parameters():
            assert bool(parameter.grad.any()) == (number == deaf), name


def test_heads_learn():
    net = network("conv-small", n_classes=4)
    local = parts_of(net, 3)
    optimizer = torch.optim.SGD([*net.parameters(), *local.heads.parameters()], lr=0.2)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        losses.append(Local(local).learn(net, batch_for(net, Objective(TetLoss()))).loss)
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]
    assert len(local.heads) == 2
    batch = batch_for(net, Objective(TetLoss()))
    value = batch.x
    for part, border in zip(local.networks, (*local.borders, None), strict=True):
        run = part.unroll(value, N_STEPS)
        assert TetLoss()(run, batch.targets) < 0.5 * math.log(4)  # of chance: every head has learned by itself
        value = run.spikes.get(border)


def test_a_penalty_counts_the_layers_of_the_network_and_none_of_a_head():
    net = network("conv-small", n_classes=4)
    local = parts_of(net)
    seen = []

    def spy(sent):
        seen.append(tuple(sent.now.shape[2:]))
        return 0 * sent.now.sum()

    objective = Objective(TetLoss(), spy, 1.0, dict.fromkeys(net.layers, 1.0))
    Local(local).learn(net, batch_for(net, objective, n_steps=1))
    assert seen == [net.shapes[name] for name in net.layers]


def test_parts_keep_less_for_backward_than_the_whole_and_it_does_not_grow_with_the_steps():
    net = network("conv-medium", input_shape=(1, 16, 16), n_classes=4)
    strategies = {"local": Local(parts_of(net, 3)), "online": Online(), "unrolling": Unrolling()}
    objective = Objective(TetLoss())
    kept = {
        name: [most_kept(lambda s=s, n=n: s.learn(net, batch_for(net, objective, n_steps=n))) for n in (4, 8)]
        for name, s in strategies.items()
    }
    assert kept["local"][0] == kept["local"][1]
    # The first layer alone has 8,192 of 15,488 neurons.
    assert kept["local"][0] < 0.8 * kept["online"][0]
    assert kept["online"][0] < 0.5 * kept["unrolling"][0]


def test_the_weights_of_a_head_come_from_the_global_generator():
    net = network("mlp")
    one, same, other = (parts_of(net, seed=seed).heads.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert any(not torch.equal(value, other[name]) for name, value in one.items())


def test_a_head_has_the_batch_norm_that_every_map_has():
    (head,) = parts_of(network("conv-small"), budget=1.0).heads
    norms = [type(connection.norm) for connection in head.connections.values()]
    assert norms == [nn.BatchNorm2d, nn.BatchNorm2d, nn.BatchNorm1d, type(None)]
    assert all(isinstance(part.module, Connection) for part in head.parts if part.name.endswith("_map"))
