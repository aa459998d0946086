"""Every node of NIR against its equation, by other means than ours: on the reference, both engines and onnxruntime."""

import math
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from tdd_deploy.errors import UnsupportedGraph
from tdd_deploy.exporters.nir.write import lift
from tdd_deploy.exporters.onnx.rules import FORMS
from tdd_deploy.exporters.onnx.run import Model
from tdd_deploy.exporters.onnx.write import model
from tdd_deploy.importers import lower
from tdd_deploy.program import CODES, with_code
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.engine.engine import Engine
from tests.zoo import Given

DT = 1e-3
EXACT, EULER = (f"nir,dt={DT},integration={rule},numbers=float64" for rule in ("exact", "euler"))


def chain(*nodes, shape=(1,), out=(1,), dialect=EXACT):
    """Return input -> nodes -> output as a Program."""
    named = {"in": nir.Input(np.array(shape)), **{f"n{k}": node for k, node in enumerate(nodes)}}
    named["out"] = nir.Output(np.array(out))
    names = list(named)
    return program_of(named, pairwise(names), dialect=dialect)


def program_of(nodes, edges, *, dialect=EXACT):
    return lower(nir.NIRGraph(nodes, list(edges), type_check=False), dialect=dialect)


def run(program, x, *, rtol=1e-9):
    """Return the output ``[n_steps, *shape]``, the same in every backend."""
    x = np.asarray(x, np.float64)[:, None]
    output = program.output.name
    expected = reference.run(program, x)[output]
    for code in CODES:
        coded = with_code(program, code)
        for compiled in (True, False):
            found = Engine(coded, compiled=compiled).run(Given(x), n_steps=len(x)).output.swapaxes(0, 1)
            np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-12)
        for form in FORMS:
            found = Model(model(coded, form=form), needed_for="a test").run(x)[0][output]
            np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-12)
    assert lower(lift(program)) == program
    return expected[:, 0]


def one(value):
    return np.array([float(value)])


# Neurons


@pytest.mark.parametrize("current", [1.05, 1.5, 2.0, 5.0, 40.0])
@pytest.mark.parametrize("v_reset", [0.0, -0.5])
def test_lif_fires_at_the_rate_of_its_closed_form(current, v_reset):
    """From v_reset, ``v(n) = I + (v_reset - I) exp(-n dt / tau)`` passes 1 after a known number of whole steps."""
    tau, n_steps = 0.02, 1000
    unit = nir.LIF(tau=one(tau), r=one(1), v_leak=one(0), v_threshold=one(1), v_reset=one(v_reset))
    spikes = run(chain(unit), np.full((n_steps, 1), current))[:, 0]
    first, later = (math.floor(tau / DT * math.log((current - start) / (current - 1))) + 1 for start in (0.0, v_reset))
    assert np.flatnonzero(spikes).tolist() == list(range(first - 1, n_steps, later))


@pytest.mark.parametrize("v_leak", [0.9, 1.2, -1.0])
def test_lif_leaks_to_v_leak(v_leak):
    unit = nir.LIF(tau=one(0.02), r=one(0.5), v_leak=one(v_leak), v_threshold=one(1))
    spikes = run(chain(unit), np.full((500, 1), 1.0))[:, 0]
    drive = v_leak + 0.5
    period = math.floor(20 * math.log(drive / (drive - 1))) + 1 if drive > 1 else None
    assert np.flatnonzero(spikes).tolist() == (list(range(period - 1, 500, period)) if period else [])


def test_if_fires_whenever_its_charge_passes_the_threshold():
    spikes = run(chain(nir.IF(r=one(100), v_threshold=one(1))), np.full((60, 1), 2.25))[:, 0]
    assert np.flatnonzero(spikes).tolist() == list(range(4, 60, 5))  # 0.225 per step passes 1 at the fifth


def test_i_integrates():
    x = np.random.default_rng(0).normal(size=(50, 1))
    np.testing.assert_allclose(run(chain(nir.I(r=one(3))), x), np.cumsum(3 * DT * x, axis=0), rtol=1e-9)


@pytest.mark.parametrize("v_leak", [0.0, 0.5])
def test_exact_integration_of_li_solves_its_equation(v_leak):
    """``tau dv/dt = v_leak - v + r x``, x held for each step: against a solver of differential equations."""
    tau, r, x = 7.3e-3, 1.7, np.random.default_rng(1).normal(size=40)
    v, solved = 0.0, []
    for value in x:
        rest = v_leak + r * value
        part = solve_ivp(lambda t, v, rest: (rest - v) / tau, (0, DT), [v], rtol=1e-11, atol=1e-13, args=(rest,))
        v = part.y[0, -1]
        solved.append(v)
    found = run(chain(nir.LI(tau=one(tau), r=one(r), v_leak=one(v_leak))), x[:, None])[:, 0]
    np.testing.assert_allclose(found, solved, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("rule", ["exact", "euler"])
def test_cuba_li_comes_closer_to_its_equations_as_steps_shorten(rule):
    """``tau_syn di/dt = -i + w_in x`` and ``tau_mem dv/dt = v_leak - v + r i``: errors of first order in dt."""
    tau_syn, tau_mem, r, w_in = 5e-3, 12e-3, 1.3, 0.7
    unit = nir.CubaLI(tau_syn=one(tau_syn), tau_mem=one(tau_mem), r=one(r), v_leak=one(0), w_in=one(w_in))
    solved = solve_ivp(
        lambda t, y: [(-y[0] + w_in) / tau_syn, (-y[1] + r * y[0]) / tau_mem], (0, 0.02), [0, 0], rtol=1e-11, atol=1e-13
    ).y[1, -1]
    errors = []
    for dt in (1e-3, 5e-4, 2.5e-4):
        program = chain(unit, dialect=f"nir,dt={dt},integration={rule},numbers=float64")
        errors.append(abs(run(program, np.ones((round(0.02 / dt), 1)))[-1, 0] - solved))
    assert errors[0] < 0.05
    np.testing.assert_allclose([errors[0] / errors[1], errors[1] / errors[2]], 2, rtol=0.1)


def test_cuba_lif_is_cuba_li_that_fires_and_resets():
    given = {"tau_syn": one(5e-3), "tau_mem": one(12e-3), "r": one(2.0), "v_leak": one(0), "w_in": one(1.5)}
    x = np.random.default_rng(2).random((200, 1)) * 2
    spikes = run(chain(nir.CubaLIF(**given, v_threshold=one(1))), x)[:, 0]
    i = v = 0.0
    expected = []
    for value in x[:, 0]:
        i = math.exp(-DT / 5e-3) * i + (1 - math.exp(-DT / 5e-3)) * 1.5 * value
        v = math.exp(-DT / 12e-3) * v + (1 - math.exp(-DT / 12e-3)) * 2.0 * i
        expected.append(v > 1)
        v = 0.0 if v > 1 else v
    assert spikes.tolist() == expected
    assert 5 < sum(expected) < 100


def test_threshold_is_strict():
    x = np.array([[0.5], [1.0], [np.nextafter(1, 2)], [2.0], [-2.0]])
    assert run(chain(nir.Threshold(one(1)), dialect="nir,numbers=float64"), x)[:, 0].tolist() == [0, 0, 1, 1, 0]


# Maps


def rng():
    return np.random.default_rng(3)


def test_affine_linear_and_scale():
    weight, bias, factor, x = (
        rng().normal(size=(3, 2)),
        rng().normal(size=3),
        rng().normal(size=3),
        rng().normal(size=(5, 2)),
    )
    program = chain(nir.Affine(weight, bias), nir.Scale(factor), nir.Linear(weight.T), shape=(2,), out=(2,))
    np.testing.assert_allclose(run(program, x), ((x @ weight.T + bias) * factor) @ weight, rtol=1e-9)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [
        ((3, 3), 1, 1, 1),
        ((3, 2), (2, 1), (0, 2), (1, 2)),
        ((1, 4), (1, 3), (2, 0), (2, 1)),
        ((2, 2), 1, "same", 1),
        ((3, 3), 2, "valid", 1),
        ((3, 5), 1, "same", 2),
    ],
)
def test_conv2d_is_that_of_torch(kernel, stride, padding, dilation, groups):
    weight, bias, x = (
        rng().normal(size=(4, 4 // groups, *kernel)),
        rng().normal(size=4),
        rng().normal(size=(3, 4, 7, 9)),
    )
    expected = torch.nn.functional.conv2d(
        *map(torch.from_numpy, (x, weight, bias)), stride=stride, padding=padding, dilation=dilation, groups=groups
    ).numpy()
    node = nir.Conv2d(None, weight, stride, padding, dilation, groups, bias)
    program = chain(node, shape=(4, 7, 9), out=expected.shape[1:])
    np.testing.assert_allclose(run(program, x), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("size", "stride", "padding", "dilation"), [(3, 1, 1, 1), (4, 2, 3, 2), (2, 1, "same", 1), (3, 3, "valid", 1)]
)
def test_conv1d_is_that_of_torch(size, stride, padding, dilation, groups):
    weight, bias, x = rng().normal(size=(6, 4 // groups, size)), rng().normal(size=6), rng().normal(size=(3, 4, 11))
    expected = torch.nn.functional.conv1d(
        *map(torch.from_numpy, (x, weight, bias)), stride=stride, padding=padding, dilation=dilation, groups=groups
    ).numpy()
    node = nir.Conv1d(11, weight, stride, padding, dilation, groups, bias)
    program = chain(node, shape=(4, 11), out=expected.shape[1:])
    np.testing.assert_allclose(run(program, x[:, :, None])[:, :, 0], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [((2, 2), (2, 2), (0, 0)), ((3, 2), (1, 2), (1, 1)), (2, 1, 0)]
)
def test_pools_are_those_of_torch(kernel, stride, padding):
    x = rng().normal(size=(3, 2, 6, 7))
    mean = torch.nn.functional.avg_pool2d(torch.from_numpy(x), kernel, stride, padding, count_include_pad=True).numpy()
    shape = mean.shape[1:]
    pair = [np.array(value) for value in (kernel, stride, padding)]
    np.testing.assert_allclose(
        run(chain(nir.AvgPool2d(*pair), shape=(2, 6, 7), out=shape), x), mean, rtol=1e-9, atol=1e-12
    )
    total = mean * np.prod(np.broadcast_to(kernel, 2))
    np.testing.assert_allclose(
        run(chain(nir.SumPool2d(*pair), shape=(2, 6, 7), out=shape), x), total, rtol=1e-9, atol=1e-12
    )


def test_flatten_runs_the_last_index_fastest():
    x = rng().normal(size=(2, 2, 3, 4))
    program = chain(nir.Flatten(np.array([2, 3, 4]), 0, -1), nir.Linear(np.eye(24)), shape=(2, 3, 4), out=(24,))
    np.testing.assert_allclose(run(program, x), x.reshape(2, 24))


# Edges, graphs


def test_delay_is_in_seconds():
    x = rng().normal(size=(9, 2))
    nodes = {
        "in": nir.Input(np.array([2])),
        "late": nir.Delay(np.full(2, 3 * DT)),
        "fc": nir.Linear(np.eye(2)),
        "out": nir.Output(np.array([2])),
    }
    found = run(program_of(nodes, [("in", "late"), ("late", "fc"), ("fc", "out")]), x)
    np.testing.assert_allclose(found, np.concatenate([np.zeros((3, 2)), x[:-3]]))


def test_delays_in_a_row_add_up_and_move_before_maps():
    x = rng().normal(size=(9, 2))
    nodes = {
        "in": nir.Input(np.array([2])),
        "fc": nir.Linear(2 * np.eye(2)),
        "a": nir.Delay(np.full(2, DT)),
        "b": nir.Delay(np.full(2, 2 * DT)),
        "out": nir.Output(np.array([2])),
    }
    found = run(program_of(nodes, [("in", "fc"), ("fc", "a"), ("a", "b"), ("b", "out")]), x)
    np.testing.assert_allclose(found, 2 * np.concatenate([np.zeros((3, 2)), x[:-3]]))


def test_a_delay_after_a_bias_is_refused():
    nodes = {
        "in": nir.Input(np.array([2])),
        "fc": nir.Affine(np.eye(2), np.ones(2)),
        "a": nir.Delay(np.full(2, DT)),
        "out": nir.Output(np.array([2])),
    }
    with pytest.raises(UnsupportedGraph, match="a delay after the map fc, which has a bias"):
        program_of(nodes, [("in", "fc"), ("fc", "a"), ("a", "out")])


def test_a_delay_on_a_cycle_of_maps_alone_is_refused():
    nodes = {
        "in": nir.Input(np.array([2])),
        "a": nir.Linear(np.eye(2)),
        "late": nir.Delay(np.full(2, DT)),
        "b": nir.Linear(np.eye(2)),
        "li": nir.LI(tau=np.ones(2), r=np.ones(2), v_leak=np.zeros(2)),
        "out": nir.Output(np.array([2])),
    }
    loop = [("in", "a"), ("a", "late"), ("late", "b"), ("b", "a")]
    with pytest.raises(UnsupportedGraph, match="a delay on a cycle of linear maps"):
        program_of(nodes, [("in", "li"), ("li", "out"), *loop])


def test_paths_through_delays_that_double_and_double_are_refused_at_once():
    names = [f"{side}{k}" for k in range(60) for side in "ab"]
    nodes = {"in": nir.Input(np.array([1])), **{name: nir.Delay(one(DT)) for name in names}}
    nodes["out"] = nir.Output(np.array([1]))
    edges = [(f"{a}{k}", f"{b}{k + 1}") for k in range(59) for a in "ab" for b in "ab"]
    ends = [("in", "a0"), ("in", "b0"), ("a59", "out"), ("b59", "out")]
    with pytest.raises(UnsupportedGraph, match="replaces two paths"):
        program_of(nodes, [*edges, *ends])


def inner(weight):
    """Return input -> LI with its own previous output, weighted, as one graph."""
    nodes = {
        "input": nir.Input(np.array([1])),
        "li": nir.LI(tau=one(DT), r=one(1), v_leak=one(0)),
        "w": nir.Linear(np.array([[weight]])),
        "output": nir.Output(np.array([1])),
    }
    return nir.NIRGraph(nodes, [("input", "li"), ("li", "w"), ("w", "li"), ("li", "output")], type_check=False)


def test_graphs_in_graphs_and_what_they_remember():
    """With euler and tau = dt, LI has no memory: y(t) = x(t) + w y(t-1)."""
    x = np.zeros((6, 1))
    x[0] = 1
    nested = nir.NIRGraph(
        {"begin": nir.Input(np.array([1])), "deep": inner(0.5), "end": nir.Output(np.array([1]))},
        [("begin", "deep"), ("deep", "end")],
        type_check=False,
    )
    program = chain(nested, inner(0.25), dialect=EULER)
    assert {"n0.deep.li", "n1.li"} <= {node.name for node in program.nodes}
    first = 0.5 ** np.arange(6)
    expected = [sum(first[k] * 0.25 ** (t - k) for k in range(t + 1)) for t in range(6)]
    np.testing.assert_allclose(run(program, x)[:, 0], expected, rtol=1e-9)


def test_a_cycle_with_a_delay_node_takes_that_delay_and_no_more():
    nodes = {
        "in": nir.Input(np.array([1])),
        "li": nir.LI(tau=one(DT), r=one(1), v_leak=one(0)),
        "w": nir.Linear(np.array([[0.5]])),
        "late": nir.Delay(one(3 * DT)),
        "out": nir.Output(np.array([1])),
    }
    edges = [("in", "li"), ("li", "late"), ("late", "w"), ("w", "li"), ("li", "out")]
    x = np.zeros((8, 1))
    x[0] = 1
    assert run(program_of(nodes, edges, dialect=EULER), x)[:, 0].tolist() == [1, 0, 0, 0.5, 0, 0, 0.25, 0]


def test_several_inputs_and_outputs():
    nodes = {
        "b": nir.Input(np.array([2])),
        "a": nir.Input(np.array([1, 2, 2])),
        "flat": nir.Flatten(np.array([1, 2, 2]), 0, -1),
        "wa": nir.Linear(np.ones((2, 4))),
        "wb": nir.Linear(np.eye(2)),
        "th": nir.Threshold(np.ones(2)),
        "sum": nir.Output(np.array([2])),
        "fired": nir.Output(np.array([2])),
    }
    edges = [("a", "flat"), ("flat", "wa"), ("b", "wb"), ("wa", "th"), ("wb", "th"), ("th", "fired"), ("wb", "sum")]
    x = rng().normal(size=(20, 6))
    found = run(program_of(nodes, edges), x)
    fired = x[:, :4].sum(axis=1, keepdims=True) + x[:, 4:] > 1
    np.testing.assert_allclose(found, np.concatenate([fired, x[:, 4:]], axis=1))


@pytest.mark.parametrize("ends", [("a", "a"), ("a", "b", "c")])
def test_an_inner_graph_with_several_ends_is_refused(ends):
    nodes = {name: nir.Input(np.array([1])) for name in set(ends)} | {
        "x": nir.Output(np.array([1])),
        "y": nir.Output(np.array([1])),
    }
    two = nir.NIRGraph(nodes, [(ends[0], "x"), (ends[-1], "y")], type_check=False)
    with pytest.raises(UnsupportedGraph, match="without exactly one Input and one Output"):
        chain(two)


def test_every_node_of_nir_stands_here():
    kinds = {name for name, node in vars(nir).items() if isinstance(node, type) and issubclass(node, nir.NIRNode)}
    assert len(kinds - {"NIRNode"}) == 19
    text = Path(__file__).read_text(encoding="utf-8")
    assert all(f"nir.{kind}(" in text for kind in kinds - {"NIRNode"})
