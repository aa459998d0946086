import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdd_deploy.program.exact import bound_of, grid_of, on_grid

NO_BIAS = np.zeros(1)


def grid_for(weight, bias, *, input_bits=0, largest=1, number_format="float32"):
    """The grid of the weights, if products with inputs of ``input_bits`` fractional bits lie on the sums' grid."""
    return grid_of(bound_of(weight, bias, largest=largest), number_format) * 2.0**input_bits


def test_no_sum_exceeds_the_largest_row_and_its_bias():
    weight = np.array([[0.25, 0.5], [0.5, -1.25]])
    assert bound_of(weight, np.array([3.0, -0.25])) == 3.75
    assert bound_of(weight, np.array([0.0, -0.25])) == 2.0


def test_inputs_that_are_counts_make_the_weights_terms_larger_and_not_the_bias():
    assert bound_of(np.array([[0.25, -0.5]]), np.array([1.0]), largest=16) == 16 * 0.75 + 1


def test_bounds_of_maps_that_meet_add_up_to_the_bound_of_their_sum():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(4, 7)), rng.normal(size=(4, 9))
    sums = one @ rng.choice([-1, 0, 1], (7, 500)) + other @ rng.choice([-1, 0, 1], (9, 500))
    assert np.abs(sums).max() <= bound_of(one, np.zeros(4)) + bound_of(other, np.zeros(4))


def test_the_grid_leaves_23_bits_to_the_largest_sum_of_float32():
    # Row 2 sums to 0.5 + 1.25 + bias 0.25 = 2 in magnitude: 2^1; one bit is left free, so the grid is 2^(1 - 23).
    weight = np.array([[0.25, 0.5], [0.5, -1.25]])
    assert grid_for(weight, np.array([0.0, -0.25])) == 2.0**-22


def test_float64_leaves_52_bits():
    assert grid_for(np.array([[1.5]]), NO_BIAS, number_format="float64") == 2.0 ** (1 - 52)


def test_inputs_with_fractional_bits_need_a_coarser_grid():
    # Products of weights on 2^-15 and pixels k / 256 lie on 2^-23.
    assert grid_for(np.array([[1.0]]), NO_BIAS, input_bits=8) == 2.0 ** (0 - 23 + 8)


def test_inputs_that_are_counts_need_a_coarser_grid():
    # Sums of 16 ones: the largest current is 16, and 2^4 takes 4 of the 23 bits.
    assert grid_for(np.array([[1.0]]), NO_BIAS, largest=16) == 2.0 ** (4 - 23)


def test_a_convolution_sums_over_its_whole_kernel():
    assert grid_for(np.ones((2, 2, 2, 2)), np.zeros(2)) == 2.0 ** (3 - 23)


def test_a_layer_of_zeros_has_a_grid_too():
    assert grid_for(np.zeros((2, 2)), np.zeros(2)) == 1.0


def test_rounding_goes_to_the_nearest_multiple_halves_to_even():
    np.testing.assert_array_equal(
        on_grid(np.array([0.3, 0.625, 0.875, -0.625, 1.0]), 0.25), [0.25, 0.5, 1.0, -0.5, 1.0]
    )


def test_what_is_on_the_grid_stays():
    weight = np.random.default_rng(0).normal(size=(20, 30))
    grid = grid_for(weight, NO_BIAS)
    once = on_grid(weight, grid)
    np.testing.assert_array_equal(on_grid(once, grid), once)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_rounding_costs_less_than_float32_of_the_largest_sum(size):
    weight = size * np.random.default_rng(1).normal(size=(10, 100))
    grid = grid_for(weight, NO_BIAS)
    bound = np.abs(weight).sum(axis=1).max()
    assert np.abs(on_grid(weight, grid) - weight).max() <= grid / 2
    assert grid <= bound * 2.0**-22  # bound < 2^ceil, which is less than twice the bound


@given(
    seed=st.integers(0, 2**32 - 1),
    n_in=st.integers(1, 400),
    log_size=st.integers(-20, 20),
    input_bits=st.sampled_from([0, 1, 8]),
    largest=st.sampled_from([1, 3, 16]),
)
def test_on_the_grid_float32_sums_are_exact_in_any_order(seed, n_in, log_size, input_bits, largest):
    """Fractions are the judge: numpy's float32 sum, rounded after each addition, equals the sum without rounding."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(1, n_in)) * 2.0**log_size
    bias = rng.normal(size=1) * 2.0**log_size
    grid = grid_for(weight, bias, input_bits=input_bits, largest=largest)
    weight, bias = on_grid(weight, grid).astype(np.float32), on_grid(bias, grid).astype(np.float32)
    steps = largest * 2**input_bits
    inputs = (rng.integers(-steps, steps + 1, n_in) / 2**input_bits).astype(np.float32)
    terms = np.append(weight[0] * inputs, bias)
    exact = Fraction(float(bias[0])) + sum(
        Fraction(float(w)) * Fraction(float(x)) for w, x in zip(weight[0], inputs, strict=True)
    )
    for order in (np.arange(n_in + 1), rng.permutation(n_in + 1), np.argsort(np.abs(terms))):
        total = np.float32(0)
        for term in terms[order]:
            total = np.float32(total + term)
        assert Fraction(float(total)) == exact


def test_off_the_grid_the_order_matters():
    # 2^24 + 1 has 25 bits: float32 drops the 1 when it comes second, and keeps it when it comes last.
    assert np.float32(2**24) + np.float32(1) - np.float32(2**24) == 0
    assert np.float32(2**24) - np.float32(2**24) + np.float32(1) == 1
    weight = np.array([[2.0**24, 1.0]])
    grid = grid_for(weight, NO_BIAS)
    assert grid == 4  # 2^24 + 1 lies below 2^25; 25 - 23
    np.testing.assert_array_equal(on_grid(weight, grid), [[2.0**24, 0.0]])


@pytest.mark.parametrize("power", [-5, 0, 7])
def test_a_bound_that_is_a_power_of_two_is_its_own_ceiling(power):
    assert math.log2(grid_for(np.array([[2.0**power]]), NO_BIAS)) == power - 23
