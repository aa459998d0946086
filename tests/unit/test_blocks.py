"""Blocks of rows: everything is there once, and sums equal numpy's to the last bit."""

import numpy as np
import pytest

from tdd_deploy.program import blocks


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 1024)


@pytest.mark.parametrize("shape", [(), (5,), (0, 3), (1, 5000), (64, 16), (1000, 7), (300, 2, 3, 3)])
def test_blocks_are_views_of_all_rows_in_order(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    parts = list(blocks.blocks(array))
    assert all(np.shares_memory(part, array) for part in parts)
    assert [number for part in parts for number in part.ravel()] == array.ravel().tolist()


@pytest.mark.parametrize("size", [0, 1, 7, 1024, 1025, 8191, 100_003, 1 << 17])
def test_a_sum_in_pairs_is_that_of_numpy_to_the_last_bit(size: int) -> None:
    numbers = np.random.default_rng(size).standard_normal(size)
    assert blocks.sum_in_pairs(size, lambda start, stop: numbers[start:stop]) == numbers.sum()


def test_magnitudes_of_rows_are_those_of_the_whole() -> None:
    weight = np.random.default_rng(1).standard_normal((501, 33)).astype(np.float32)
    assert np.array_equal(blocks.row_magnitudes(weight), np.abs(weight.astype(np.float64)).sum(axis=1))
