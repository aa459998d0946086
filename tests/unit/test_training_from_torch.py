import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tdd_deploy.errors import MissingDependency, NotExportable
from tdd_deploy.importers import lower, read
from tdd_deploy.neurons import LIF
from tdd_deploy.program import Conv
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.training import to_nir
from tests.zoo import Given

pytest.importorskip("nirtorch", reason="nirtorch is missing: pip install 'tdd-deploy[nirtorch]'")

DT_S, STEPS, BATCH = 1e-3, 12, 3
DIALECT = f"nir,dt={DT_S},integration=euler"


class Leaky(nn.Module):
    """A user's neuron that keeps its potential."""

    def __init__(self, beta: float = 0.5) -> None:
        super().__init__()
        self.beta, self.v = beta, None

    def forward(self, x: Tensor) -> Tensor:
        v = x if self.v is None else self.beta * self.v + x
        spikes = (v > 1).to(x.dtype)
        self.v = v * (1 - spikes)
        return spikes


class Stateless(Leaky):
    """One that takes and returns its potential."""

    def forward(self, x: Tensor, v: Tensor | None = None) -> tuple[Tensor, Tensor]:
        v = x if v is None else self.beta * v + x
        spikes = (v > 1).to(x.dtype)
        return spikes, v * (1 - spikes)


def leaky(module: Leaky) -> nir.LIF:
    tau = DT_S / (1 - module.beta)
    one = np.ones(1)
    return nir.LIF(tau=tau * one, r=tau / DT_S * one, v_leak=0 * one, v_threshold=one, v_reset=0 * one)


NEURONS = {Leaky: leaky, Stateless: leaky}


def dyadic(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give every weight a multiple of 1/8: no sum rounds."""
    torch.manual_seed(seed)
    for values in module.parameters():
        values.data = torch.randint(-4, 8, values.shape) / 8
    return module


def given(*shape: int) -> Tensor:
    return torch.randint(0, 3, (STEPS, BATCH, *shape), generator=torch.Generator().manual_seed(1)) / 2


class Residual(nn.Module):
    """Two ways that meet, through modules inside modules, and what does nothing in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), Leaky())
        self.second = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Identity(), Leaky(0.75))
        self.last = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last(x + self.second(x))


class Shared(nn.Module):
    """The same weights twice, which is two nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.one, self.two = nn.Linear(6, 6), Leaky(), Leaky()

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.fc(self.one(self.fc(x))))


class Passed(nn.Module):
    """States that are passed in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif, self.last = nn.Linear(6, 8), Stateless(), nn.Linear(8, 4)

    def forward(self, x: Tensor, v: Tensor | None = None) -> tuple[Tensor, Tensor]:
        spikes, v = self.lif(self.fc(x), v)
        return self.last(spikes), v


def convolutional() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(2, 4, (3, 2), padding=(1, 0), groups=2), Leaky()),
        *(nn.AvgPool2d(2), nn.Conv2d(4, 4, 3, stride=2, padding=1, bias=False), Leaky()),
        *(nn.Flatten(), nn.Linear(16, 5)),
    )


def of_rows() -> nn.Module:
    return nn.Sequential(nn.Conv1d(2, 3, 4, dilation=2), Leaky(), nn.Flatten(), nn.Linear(12, 4), Leaky())


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "residual": (Residual, (6,)),
    "shared": (Shared, (6,)),
    "states passed": (Passed, (6,)),
    "convolutional": (convolutional, (2, 8, 9)),
    "of rows": (of_rows, (2, 10)),
    "one layer": (lambda: nn.Linear(6, 4), (6,)),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("seed", range(3))
def test_a_program_computes_what_the_module_does(name: str, seed: int) -> None:
    make, shape = NETWORKS[name]
    module, x = dyadic(make(), seed).eval(), given(*shape)
    program = lower(to_nir(module, x[0], neurons=NEURONS), dialect=DIALECT)
    state: tuple[Tensor, ...] = ()
    expected = []
    with torch.no_grad():
        for frame in x:
            out = module(frame, *state)
            out, *state = out if isinstance(out, tuple) else (out,)
            expected.append(out.numpy())
    inputs = x.numpy().reshape(STEPS, BATCH, *program.input.shape)
    np.testing.assert_array_equal(reference.run(program, inputs)["output"], expected)
    found = Engine(program).run(Given(inputs), n_steps=STEPS).output
    np.testing.assert_array_equal(found.swapaxes(0, 1), expected)
    assert np.any(expected)


def test_the_module_is_left_as_it_is() -> None:
    module = Residual().train()
    to_nir(module, given(6)[0], neurons=NEURONS)
    assert module.training
    assert module.first[2].v is None


def test_what_the_caller_says_of_a_class_wins() -> None:
    doubled = {**NEURONS, nn.Linear: lambda m: nir.Affine(2 * m.weight.detach().numpy(), m.bias.detach().numpy())}
    module = nn.Sequential(nn.Linear(6, 4), Leaky())
    graph = to_nir(module, given(6)[0], neurons=doubled)
    np.testing.assert_array_equal(graph.nodes["_0"].weight, 2 * module[0].weight.detach().numpy())


def test_shapes_are_those_of_the_sample(tmp_path) -> None:
    graph = to_nir(convolutional(), given(2, 8, 9)[0], neurons=NEURONS)
    assert tuple(graph.nodes["_0"].input_shape) == (8, 9)
    assert graph.nodes["_1"].v_threshold.shape == (4, 8, 8)
    nir.write(tmp_path / "mine.nir", graph)
    assert isinstance(lower(graph, dialect=DIALECT)["_1"].neuron, LIF)
    assert isinstance(lower(graph, dialect=DIALECT)["_0"], Conv)


class Called(nn.Module):
    """Two layers, called in a way of one's own."""

    def __init__(self, how: Callable[["Called", Tensor], Tensor]) -> None:
        super().__init__()
        self.how = how
        self.fc, self.lif = nn.Linear(6, 6), Leaky()
        self.two, self.three = Stateless(), Stateless()
        self.narrow, self.offset = nn.Linear(6, 1), nn.Parameter(torch.ones(6))

    def forward(self, x: Tensor) -> Tensor:
        return self.how(self, x)


def branching(m: Called, x: Tensor) -> Tensor:
    return m.lif(x) if x.sum() > 0 else x


WAYS: dict[str, tuple[Callable[[Called, Tensor], Tensor], str]] = {
    "a constant": (lambda m, x: m.lif(m.fc(x) + 1.0), "adds 1.0, which would be lost"),
    "a constant in a method": (lambda m, x: m.lif(m.fc(x).add(0.5)), "adds 0.5, which would be lost"),
    "a factor of a sum": (lambda m, x: m.lif(m.fc(x).add(x, alpha=2)), "adds 2, which would be lost"),
    "a parameter": (lambda m, x: m.lif(m.fc(x) + m.offset), "self.offset is used outside of layers and would be lost"),
    "a sum with itself": (lambda m, x: m.fc(x + x), "adds x to itself"),
    "a sum with itself, later": (lambda m, x: m.fc(m.lif(x) + x + x), "adds x to itself"),
    "another shape": (lambda m, x: m.fc(x + m.narrow(x)), "adds signals of different shapes, (6,) and (1,)"),
    "a slice": (lambda m, x: m.fc(x[:, :]), "takes a value apart"),
    "a layer made on the way": (lambda m, x: nn.Flatten()(m.fc(x)), "cannot be traced"),
    "a function": (lambda m, x: torch.relu(m.fc(x)), "relu(...) outside of a layer"),
    "a method": (lambda m, x: m.fc(x).flatten(1), "flatten(...) outside of a layer, where only sums"),
    "a product": (lambda m, x: m.fc(x) * m.lif(x), "mul(...) outside of a layer"),
    "addition in place": (lambda m, x: m.fc(torch.add(x, m.lif(x))), "Use a + b"),
    "neurons twice": (lambda m, x: m.lif(m.fc(m.lif(x))), "is called 2 times per step"),
    "a potential": (lambda m, x: m.fc(m.two(x)[1]), "fc is called with getitem"),
    "a potential of others": (lambda m, x: m.fc(m.two(x, m.three(x)[1])[0]), "two is called with x, getitem"),
    "a state that is always the same": (lambda m, x: m.fc(m.two(x, 0.5)[0]), "two is called with x, 0.5"),
    "a branch": (branching, "cannot be traced"),
    "no layers": (lambda m, x: x, "has no layers"),
    "two signals": (lambda m, x: (m.fc(x), m.lif(x)), "returns fc, lif"),
}


@pytest.mark.parametrize("name", WAYS)
def test_what_would_be_lost_is_named(name: str) -> None:
    how, expected = WAYS[name]
    with pytest.raises(NotExportable) as error:
        to_nir(Called(how), given(6)[0], neurons=NEURONS)
    assert expected in str(error.value)


LAYERS: dict[str, tuple[list[nn.Module], str]] = {
    "batch norm": (
        [nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)],
        "1 must be Linear, Conv1d, Conv2d, AvgPool2d, Flatten, Identity, Dropout or neurons (got a module of class",
    ),
    "an unknown class": ([nn.MaxPool2d(2)], "Name its node: neurons={MaxPool2d: ...}"),
    "mirrored padding": ([nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect")], "padding_mode reflect"),
    "windows at the edge": ([nn.AvgPool2d(3, ceil_mode=True)], "ceil_mode"),
    "another divisor": ([nn.AvgPool2d(2, divisor_override=3)], "divisor_override"),
    "padding left out": ([nn.AvgPool2d(2, padding=1, count_include_pad=False)], "leaves padding out of its averages"),
    "a part flattened": ([nn.Flatten(2)], "flattens dimensions 2 to -1"),
    "rows of an image": ([nn.Linear(8, 3)], "receives ('batch', 2, 8, 8)"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_that_nir_does_not_have_is_named(name: str) -> None:
    layers, expected = LAYERS[name]
    with pytest.raises(NotExportable) as error:
        to_nir(nn.Sequential(*layers), given(2, 8, 8)[0], neurons=NEURONS)
    assert expected in str(error.value)


def test_a_folded_batch_norm_is_computed() -> None:
    conv, norm = dyadic(nn.Conv2d(2, 3, 3)).eval(), nn.BatchNorm2d(3).eval()
    norm.running_mean.copy_(torch.tensor([0.5, -0.5, 0.25]))
    folded = torch.nn.utils.fuse_conv_bn_eval(conv, norm)
    x = given(2, 8, 8)
    program = lower(to_nir(nn.Sequential(folded), x[0], neurons={}), dialect=DIALECT)
    with torch.no_grad():
        expected = [norm(conv(frame)).numpy() for frame in x]
    np.testing.assert_allclose(reference.run(program, x.numpy())["output"], expected, rtol=1e-5, atol=1e-6)


def test_a_second_input_is_refused() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    with pytest.raises(NotExportable, match="needs a second input, y"):
        to_nir(Two(), given(6)[0], neurons=NEURONS)


def test_the_example_of_the_documentation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "dialects.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict[str, Any] = {"__name__": "example"}
    exec(code, names)
    network, program = names["network"], read(tmp_path / "network.nir")
    x = torch.rand(STEPS, BATCH, 1, 8, 8, generator=torch.Generator().manual_seed(2)) * 4
    with torch.no_grad():
        expected = torch.stack([network(frame) for frame in x]).numpy()
    np.testing.assert_array_equal(reference.run(program, x.numpy())["output"], expected)
    assert expected.any()


def test_without_nirtorch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nirtorch", None)
    with pytest.raises(MissingDependency, match=r"pip install 'tdd-deploy\[nirtorch\]'"):
        to_nir(Residual(), given(6)[0], neurons=NEURONS)
