"""Margins of early exits, chosen from the decisions of a full execution."""

import numpy as np
import pytest

from tdd_deploy.errors import BadOption
from tdd_deploy.simulator.early_exit import Decisions, allowed_losses, check_decidable
from tests import by_hand

# Four samples, three steps. The leads after steps 1 and 2 decide; after step 3 all samples have ended.
LEADS = np.array([[4.0, 5.0, 5.0], [2.0, 1.0, 3.0], [3.0, 6.0, 1.0], [1.0, 2.0, 2.0]])
RIGHT = np.array([[1, 1, 1], [0, 0, 1], [0, 1, 1], [0, 0, 0]], bool)
BY_HAND = Decisions(LEADS, RIGHT)


@pytest.mark.parametrize(
    ("margin", "steps", "lost"),
    [
        (0.5, [1, 1, 1, 1], [0, 1, 1, 0]),
        (2.0, [1, 1, 1, 2], [0, 1, 1, 0]),
        (2.5, [1, 3, 1, 3], [0, 0, 1, 0]),  # the second sample is not decided in step 2, whose lead is smaller
        (3.5, [1, 3, 2, 3], [0, 0, 0, 0]),
        (9.0, [3, 3, 3, 3], [0, 0, 0, 0]),
    ],
)
def test_a_sample_ends_with_the_first_step_that_leads_by_the_margin(
    margin: float, steps: list[int], lost: list[int]
) -> None:
    np.testing.assert_array_equal(BY_HAND.steps_at(margin), steps)
    np.testing.assert_array_equal(BY_HAND.lost_at(margin), lost)


def test_the_margin_lies_between_the_last_loss_and_the_next_lead() -> None:
    # The second sample is lost up to a margin of 2, the third up to 3; the next larger leads are 3 and 4.
    assert [BY_HAND.safe_margin(lose) for lose in (0.1, 39, 40)] == [3.5, 3.5, 2.5]  # 2 of 5 samples are 40 %
    assert BY_HAND.safe_margin(60) == pytest.approx(0.5)  # nobody is lost below the smallest lead
    assert allowed_losses(4, 99) == 3


def test_a_sample_that_an_early_exit_makes_right_does_not_make_up_for_a_lost_one() -> None:
    gained = Decisions(np.array([[3.0, 1.0], [2.0, 1.0]]), np.array([[True, False], [False, True]]))
    assert gained.lost_at(1.0).sum() == 0
    assert gained.safe_margin(0) == 2.5


def test_samples_that_are_lost_with_the_largest_lead_of_all_end_in_no_early_step() -> None:
    lost = Decisions(np.array([[3.0, 4.0], [2.0, 1.0]]), np.array([[False, True], [True, True]]))
    assert lost.safe_margin(0) > 3
    np.testing.assert_array_equal(lost.steps_at(lost.safe_margin(0)), [2, 2])
    silent = Decisions(np.zeros((2, 3)), np.ones((2, 3), bool))
    assert silent.safe_margin(0) == 1.0


@pytest.mark.parametrize(
    ("n", "lose", "allowed"), [(200, 0.1, 0), (200, 0.5, 0), (200, 1, 1), (999, 0.1, 0), (5999, 0.1, 5)]
)
def test_the_bound_on_the_loss_of_others_is_kept_where_the_samples_suffice(n: int, lose: float, allowed: int) -> None:
    assert allowed_losses(n, lose) == allowed
    is_enough = 100 / (n + 1) <= lose + 1e-9
    assert is_enough == (100 * (allowed + 1) / (n + 1) <= lose + 1e-9)


def drawn(rng: np.random.Generator, n: int) -> Decisions:
    """Samples whose decisions are wrong less often, the larger their leads are."""
    leads = rng.exponential(size=(n, 4)) * np.arange(1, 5)
    return Decisions(leads, rng.random((n, 4)) > 0.3 * np.exp(-leads))


@pytest.mark.parametrize("lose", [1.0, 5.0])
def test_the_mean_loss_on_other_samples_stays_below_the_limit(lose: float) -> None:
    rng = np.random.default_rng(0)
    others = drawn(rng, 20_000)
    found = [100 * np.maximum(others.lost_at(drawn(rng, 199).safe_margin(lose)), 0).mean() for _ in range(200)]
    assert np.mean(found) < lose
    assert np.mean(found) > lose / 5  # the margin is not needlessly large


def test_an_output_that_is_not_one_number_per_class_is_refused() -> None:
    with pytest.raises(BadOption, match="an output of 2 numbers or more, one per class"):
        check_decidable(by_hand.program())
