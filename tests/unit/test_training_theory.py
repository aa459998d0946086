"""Definition 1 and the equations of Theorem 2, worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tdd_deploy.training.diagnostics import observe
from tdd_deploy.training.theory import Covariance, Differences, map_norms, statements, theories
from tests.untrained import network, pixels, tiny_resnet

pytestmark = pytest.mark.usefixtures("one_thread")

# Three steps, two samples, four neurons. Changes of the first sample: 1, 2; of the second: 0, 1.
RASTER = np.array(
    [
        [[1, 1, 0, 0], [0, 0, 1, 0]],
        [[1, 0, 0, 0], [0, 0, 1, 0]],
        [[0, 0, 0, 1], [0, 1, 1, 0]],
    ]
)


# --- Definition 1 ------------------------------------------------------------------------------------------------


def test_a_layer_overlaps_where_the_norm_of_its_changes_is_below_epsilon() -> None:
    by_epsilon = {0.5: [0, 1, 0], 1.0: [0, 1, 0], 1.1: [0, 2, 1], 1.5: [0, 2, 2]}  # norms 1, 0 and sqrt(2), 1
    for epsilon, overlapping in by_epsilon.items():
        made = Differences.of({"layer": RASTER}, epsilon)
        assert made.changed.tolist() == [[0, 1, 3]]
        assert made.overlapping.tolist() == [overlapping]


def test_count_norm_and_fraction_of_changes_are_reported_from_the_second_step_on() -> None:
    found = Differences.of({"layer": RASTER}).as_json()
    assert found["epsilon"] == 1
    (layer,) = found["layers"]
    assert (layer["layer"], layer["neurons"]) == ("layer", 4)
    assert layer["steps"] == [
        {"step": 2, "changed": 1, "norm": pytest.approx(np.sqrt(1 / 2)), "fraction": 1 / 8, "overlapping": 1},
        {"step": 3, "changed": 3, "norm": pytest.approx(np.sqrt(3 / 2)), "fraction": 3 / 8, "overlapping": 0},
    ]
    assert Differences.of({"layer": RASTER[:1]}).as_json()["layers"][0]["steps"] == []


def test_differences_of_batches_add_up() -> None:
    parts = Differences.of({"layer": RASTER[:, :1]}) + Differences.of({"layer": RASTER[:, 1:]})
    assert parts.as_json() == Differences.of({"layer": RASTER}).as_json()


# --- Theorem 2 ---------------------------------------------------------------------------------------------------


def test_the_statements_by_hand() -> None:
    # Two neurons without a leak, threshold 1, hard reset to 0, two steps: sqrt(N) V = sqrt(2), 2 sqrt(N) / T = sqrt(2).
    #   currents (2, -1) and (0.5, -2), potentials (2, -1) and (0.5, -3): the first neuron fires at the first step.
    #   13: ||u|| is 1, then 3.04. It is W h - sum of r s: (2, -1) - (2, 0), then (2.5, -3) - (2, 0).
    #   25: W h / t is (2, -1), then (1.25, -1.5), and h is (1, 0): the second neuron's upper bound is below 0, twice.
    #   26: ||D|| is 1, 1; 2 ||h(t) - h(t-1)|| is 2, 0.
    def steps(*values: tuple[float, float]) -> torch.Tensor:
        return torch.tensor(values)[:, None]

    found = statements(
        spikes=steps((1, 0), (0, 0)),
        current=steps((2, -1), (0.5, -2)),
        after=steps((0, -1), (0.5, -3)),
        removed=steps((2, 0), (0, 0)),
        thresholds=torch.ones(2),
    )
    assert [(each.equation, each.violated, each.cases) for each in found] == [
        ("13", 1, 2),
        ("13", 0, 2),
        ("13", 1, 2),
        ("14, 25", 0, 4),
        ("14, 25", 2, 4),
        ("26", 1, 2),
        ("26", 1, 2),
        ("26", 0, 2),
    ]


@pytest.mark.parametrize(
    ("options", "r", "sums_up"),
    [
        ({"kind": "if", "reset": "soft"}, "the threshold (soft reset)", True),
        ({"kind": "if"}, "the potential itself (hard reset to 0)", True),
        ({"kind": "if", "reset_to": 1.0}, "the potential minus 1 (hard reset to 1)", True),
        ({"reset": "soft"}, "the threshold (soft reset)", False),
    ],
)
def test_the_potential_is_the_printed_sum_in_neurons_without_a_leak(
    options: dict[str, object], r: str, sums_up: bool
) -> None:
    net = network("conv-small", **options).eval()
    x = torch.from_numpy(pixels(1, 3, *net.input_shape))
    for each in theories(net, observe(net, x, 4)):
        (equation,) = (made for made in each.statements if made.text.startswith("u(t) ="))
        assert each.reset == r
        assert (equation.cases, equation.violated) == (12, 0 if sums_up else 9)  # the first step is before any leak


def test_theories_of_batches_add_up() -> None:
    net = network("mlp").eval()
    x = torch.from_numpy(pixels(1, 4, *net.input_shape))
    whole = theories(net, observe(net, x, 4))
    halves = (theories(net, observe(net, part, 4)) for part in (x[:, :3], x[:, 3:]))
    parts = [a + b for a, b in zip(*halves, strict=True)]
    assert [replace(each, covariance=None) for each in parts] == [replace(each, covariance=None) for each in whole]
    assert [each.covariance is None for each in whole] == [True, False]  # the first layer receives no spikes
    added, at_once = parts[1].covariance, whole[1].covariance
    assert added is not None
    assert at_once is not None
    for name in ("change", "change_squared", "slope_squared", "answer", "answer_squared", "sent_squared", "sloping"):
        np.testing.assert_allclose(getattr(added, name), getattr(at_once, name), rtol=1e-9, atol=1e-9)
    assert theories(net, observe(net, x, 1))[1].covariance is None


# --- Equations 12, 15 and 18 -------------------------------------------------------------------------------------


def test_the_covariances_by_hand() -> None:
    # Two samples, two neurons, one change: f(D) is (1, 0) and (-1, 4), so variances are 1 and 4; F' is (1, 0.5) twice.
    #   12: 1 x 1 + 0.25 x 16 as printed, 1 x 1 + 0.25 x 4 without the square; F' f(D) sums to 1 in both: no variance.
    #   15: 4 / T^2 = 1, the map's norm squared 4, the gradient's 1.25; above an error of 0 in both samples.
    #   18: the largest variance is 4; ||D||^2 is 1 and 2, of three senders: 1.5 x 4 / 3.
    change = torch.tensor([[[1.0, 0.0], [-1.0, 4.0]]], dtype=torch.float64)
    slopes = torch.tensor([[[1.0, 0.5], [1.0, 0.5]]], dtype=torch.float64)
    sent = torch.tensor([[[0, 0, 1], [1, 1, 0]], [[0, 0, 0], [0, 0, 0]]])
    found = Covariance.of(change, slopes, [sent[..., :1], sent[..., 1:]]).as_json(map_norm=2.0, n_steps=2)
    assert found["eq12_as_printed"] == [5]
    assert found["eq12_without_square"] == [2]
    assert found["eq12_all_pairs"] == [0]
    assert (found["eq15"], found["eq15_above_error"], found["eq15_below_eq12"]) == ([5], 2, 0)
    assert (found["eq18_left"], found["eq18_right"]) == ([4], [2])
    assert found["error"] == 0


def test_the_norm_of_a_dense_map_is_its_largest_singular_value() -> None:
    net = network("mlp").eval()
    weight, _ = net.connections["fc2"].deployed or ()
    assert map_norms(net) == {"fc2_spikes": pytest.approx(float(torch.linalg.matrix_norm(weight, 2)), rel=1e-3)}


@pytest.mark.parametrize("name", ["conv-small", "tiny resnet", "sdt-2-64"])
def test_the_norm_of_any_map_bounds_its_currents(name: str) -> None:
    net = (tiny_resnet() if name == "tiny resnet" else network(name)).eval()
    seen = observe(net, torch.from_numpy(pixels(1, 2, *net.input_shape)), 4)
    norms, senders = map_norms(net), net.senders
    assert set(norms) == {layer for layer in seen.currents if senders[layer]}
    for layer, norm in norms.items():
        change = seen.currents[layer].expand(4, 2, *seen.currents[layer].shape[2:]).diff(dim=0).flatten(2)
        sent = torch.cat([seen.spikes[each].flatten(2).diff(dim=0) for each in senders[layer]], dim=2)
        assert (change.norm(dim=2) <= 1.001 * norm * sent.norm(dim=2) + 1e-4).all()
