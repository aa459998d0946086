"""Runs beside each other: their names, and their events by method."""

import numpy as np
import pytest

from tdd_deploy.training.compared import Compared, Curve, by_steps, name_methods, per_step
from tdd_deploy.training.diagnostics import Activity


def compared(method: str, *spikes_per_step: int, samples: int = 2):
    """A run whose neurons spike at every step, the first ones, in each sample."""
    raster = np.array([[np.arange(9) < spikes] * samples for spikes in spikes_per_step])
    return Compared(f"runs/{method}", "digest", method, Activity.of({"layer": raster}, {"layer": np.ones(9)})).as_json()


def test_a_run_is_named_by_its_method_and_by_what_others_of_it_do_not_share() -> None:
    tet = {"method": "tet", "steps": 6, "seed": 0, "reset_to": [0.0], "learn": [], "keep": None}
    named = name_methods(
        [
            tet,
            {**tet, "steps": 2, "seed": 1},
            {**tet, "reset_to": [1.0, 0.5]},
            {**tet, "method": "tdd-ddla", "keep": 0.5, "learn": ["beta"]},
        ]
    )
    assert named == ["tet, reset to 0", "tet, reset to 0", "tet, reset to 1-0.5", "tdd-ddla"]


def test_events_are_sums_over_samples_by_step() -> None:
    found = compared("tet", 3, 4, 2)
    assert (found["n_steps"], found["samples"], found["spikes"], found["delta_events"]) == (3, 2, 18, 12)
    assert [step["spikes"] for step in found["steps"]] == [6, 8, 4]
    assert [step["delta_events"] for step in found["steps"]] == [6, 2, 4]


def test_runs_are_arranged_by_method_against_their_numbers_of_steps() -> None:
    runs = [compared("tet", 3, 4), compared("ddla", 1), compared("tet", 2, samples=4), compared("tet", 5, 4)]
    assert by_steps(runs) == [
        Curve("tet", (1, 2), (2, pytest.approx((7 + 9) / 2)), (2, pytest.approx((4 + 6) / 2))),
        Curve("ddla", (1,), (1,), (1,)),
    ]


def test_events_per_step_are_those_of_runs_as_long_as_the_first() -> None:
    runs = [compared("tet", 3, 4), compared("ddla", 1), compared("ddla", 2, 2), compared("tet", 5, 4)]
    assert per_step(runs) == [Curve("tet", (1, 2), (4, 4), (4, 1)), Curve("ddla", (1, 2), (2, 2), (2, 0))]
