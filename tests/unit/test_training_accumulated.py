"""Accumulated batch norm: statistics of the steps so far, and runs that no program describes."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import tdd_deploy as td
from tdd_deploy.errors import BadFile
from tdd_deploy.options.training import TrainOptions
from tdd_deploy.training.accumulated import AccumulatedNorm
from tdd_deploy.training.architectures import NETWORKS
from tdd_deploy.training.build import make_network
from tdd_deploy.training.network import Connection

pytestmark = pytest.mark.usefixtures("one_thread")

EPS, MOMENTUM = 1e-5, 0.1  # torch's own


def shaken(norm):
    """The same norm with a scale, a shift and a factor of its own at every step."""
    rng = torch.Generator().manual_seed(0)
    for parameter in norm.parameters():
        parameter.data.normal_(1, 0.5, generator=rng)
    return norm


@pytest.mark.parametrize("places", [(), (2, 5)])
def test_a_step_is_normed_by_the_batch_statistics_of_all_steps_so_far(places):
    norm = shaken(AccumulatedNorm(3, 4, has_places=bool(places)).double())
    x = np.random.default_rng(0).normal(0, 2, (4, 6, 3, *places)) + np.arange(4).reshape(4, 1, 1, *[1] * len(places))
    found = norm(torch.from_numpy(x)).detach().numpy()
    axes, shape = (0, 1, *range(3, x.ndim)), (3, *[1] * len(places))
    for t in range(4):
        known = x[: t + 1]
        mean, variance = known.mean(axes), known.var(axes)
        step = norm.steps[t].norm
        scale, shift = (values.detach().numpy().reshape(shape) for values in (step.weight, step.bias))
        normed = (x[t] - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + EPS)
        np.testing.assert_allclose(found[t], norm.factors[t].item() ** 2 * (scale * normed + shift), rtol=1e-10)
        n = known.size // 3
        np.testing.assert_allclose(step.running_mean.numpy(), MOMENTUM * mean, rtol=1e-10)
        expected = (1 - MOMENTUM) + MOMENTUM * variance * n / (n - 1)
        np.testing.assert_allclose(step.running_var.numpy(), expected, rtol=1e-10)


def test_in_evaluation_a_step_has_its_own_running_statistics_and_does_not_see_the_others():
    norm = shaken(AccumulatedNorm(3, 4, has_places=False))
    x = torch.randn(4, 6, 3)
    norm(x)
    norm.eval()
    found = norm(x)
    for t in range(4):
        step = norm.steps[t].norm
        normed = (x[t] - step.running_mean) / torch.sqrt(step.running_var + EPS)
        torch.testing.assert_close(found[t], norm.factors[t] ** 2 * (step.weight * normed + step.bias))
    assert torch.equal(norm(x[:2]), found[:2])
    assert not torch.allclose(found[0], norm.factors[0] ** 2 * norm.steps[1](x[0]))


def network_of(name="conv-small", steps=3, shape=(1, 8, 8)):
    torch.manual_seed(0)
    return make_network(TrainOptions(network=name, method="tet", norm="tab", steps=steps).checked(), shape, 4)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_connection_but_the_last_has_an_accumulated_norm(name):
    net = network_of(name)
    norms = {part.name: part for part in net.parts if isinstance(part.module, AccumulatedNorm)}
    connections = {part.name: part.module for part in net.parts if isinstance(part.module, Connection)}
    assert [f"{each}_norm" for each in connections if each != "readout"] == list(norms)
    assert all(connection.norm is None for connection in connections.values())
    assert all(part.sources == (name.removesuffix("_norm"),) for name, part in norms.items())
    assert {len(part.module.steps) for part in norms.values()} == {3}


@pytest.mark.parametrize("training", [True, False])
def test_one_image_for_all_steps_is_normed_differently_at_each(training):
    net = network_of()
    for part in net.modules():
        if isinstance(part, AccumulatedNorm):
            part.factors.data = torch.tensor([0.5, 2.0, 3.0])
    net.train(training)
    x = torch.rand(1, 6, 1, 8, 8)
    static = net.unroll(x, 3)
    for later in (1, 2):
        assert not torch.equal(static.spikes["conv1_spikes"][0], static.spikes["conv1_spikes"][later])
    repeated = net.unroll(x.expand(3, *x.shape[1:]), 3)
    torch.testing.assert_close(repeated.outputs, static.outputs)


def test_the_gradient_reaches_every_parameter():
    net = network_of()
    run = net.unroll(torch.rand(1, 16, 1, 8, 8), 3)
    nn.functional.cross_entropy(run.outputs.mean(0), torch.arange(16) % 4).backward()
    silent = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


# --- Runs ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run on digits."""
    out = tmp_path_factory.mktemp("tab") / "run"
    td.train(
        out, data="digits", network="mlp", method="tet", norm="tab", steps=3, epochs=2, batch=16, train_samples=400
    )
    return out


def test_a_run_is_measured_in_raw_spikes_and_has_no_network_to_export(run):
    recorded = json.loads((run / "train.json").read_text())
    assert (recorded["finished"], recorded["program"]) == (True, None)
    for epoch in recorded["epochs"]:
        assert epoch["raw_events"] > 0
        assert epoch["delta_events"] is None
    assert recorded["epochs"][-1]["accuracy"] > 0.6
    assert not (run / "network.nir").exists()
    assert not (run / "network.onnx").exists()
    assert not (run / "baseline.json").exists()


@pytest.mark.parametrize(
    "use",
    [
        lambda run, out: td.simulate(run, data="digits"),
        lambda run, out: td.export(run, target="nir", out=out),
        lambda run, out: td.verify(run, data="digits"),
        lambda run, out: td.analyze(run, data="digits", out=out),
        lambda run, out: td.prune(run, data="digits", out=out),
        lambda run, out: td.check(run, chip="loihi1"),
        lambda run, out: td.load(run),
    ],
)
def test_what_needs_a_network_says_why_there_is_none(use, run, tmp_path):
    with pytest.raises(BadFile) as refused:
        use(run, tmp_path / "out")
    assert str(refused.value) == (
        f"{run} is a run with norm=tab, whose linear maps differ from step to step, so no program describes it. "
        "Train the network with norm=batch or norm=mpbn."
    )


def test_the_command_says_where_its_numbers_are(call, tmp_path):
    words = ("--network", "mlp", "--method", "tet", "--norm", "tab", "--steps", 2, "--epochs", 1)
    said = call("train", *words, "--train-samples", 64, "--out", tmp_path / "run")
    assert said.code == 0
    last = said.out.splitlines()[-1]
    assert last.startswith(f"{tmp_path / 'run' / 'train.json'}: validation accuracy ")
    assert last.endswith("spikes per sample; --norm tab has no network to export")
    assert "delta events" not in said.out + said.err
