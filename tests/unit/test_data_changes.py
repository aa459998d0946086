"""Counts of a stream, by hand and against the engine."""

import numpy as np
import pytest

from tdd_deploy.data.changes import Changes, default_thresholds


def stream(*rows: list[float]) -> np.ndarray:
    """Samples of one channel as a batch [n_steps, B, 1]."""
    return np.asarray(rows, np.float32).T[:, :, None]


def test_counts_are_right_by_hand() -> None:
    found = Changes.of(stream([0, 1, 1, 0, 1], [1, 1, 1, 1, 1]), [0.0])
    assert (found.n, found.n_samples, found.n_steps) == (10, 2, 5)
    assert found.nonzero.tolist() == [8]  # 3 + 5
    assert found.changed.tolist() == [4]  # at steps 1, 3 and 4; and the first step of the second sample
    assert found.is_binary
    assert found.rates.tolist() == [0.8]
    assert found.independent.tolist() == pytest.approx([0.32])
    assert found.held[0].events == 4


def test_batches_add_up_to_the_whole() -> None:
    rng = np.random.default_rng(0)
    values = rng.choice(np.float32([0, 0, 0.5, 1, 2]), (20, 7, 3))
    whole = Changes.of(values, [0.0, 0.6])
    parts = Changes.of(values[:, :3], [0.0, 0.6]) + Changes.of(values[:, 3:], [0.0, 0.6])
    assert parts.held == whole.held
    assert (parts.n, parts.n_samples, parts.is_binary) == (whole.n, whole.n_samples, False)
    assert np.array_equal(parts.nonzero, whole.nonzero)
    assert np.array_equal(parts.changed, whole.changed)


def test_a_value_is_resent_only_beyond_the_threshold() -> None:
    (found,) = Changes.of(stream([0.5, 1.0, 1.5, 1.5, 0.0]), [0.5]).held
    assert found.events == 2  # 1.0 at step 1, as 0.5 is not beyond it; 0 at step 4
    assert found.error == 0.5


def test_independent_bits_change_as_often_as_chance_says() -> None:
    rng = np.random.default_rng(1)
    values = (rng.random((4000, 8, 2)) < np.float32([0.1, 0.7])).astype(np.float32)
    found = Changes.of(values, [])
    assert found.changed / found.n == pytest.approx(found.independent, rel=0.03)


def test_default_thresholds_follow_the_changes() -> None:
    assert default_thresholds(stream([0, 0, 0]))[0] == ()
    assert default_thresholds(stream([0, 1, 0, 1]))[0] == ()  # 1 would keep back everything
    assert default_thresholds(stream([1, 2, 3, 4, 5, 6]))[0] == (1, 2, 4)
    sizes, how = default_thresholds(np.cumsum(np.arange(1, 1001, dtype=np.float32))[:, None, None])
    assert sizes == (250, 500, 750, 900, 990)
    assert "25, 50, 75, 90, 99 %" in how
