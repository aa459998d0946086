import math

import numpy as np
import pytest

from tdd_deploy.program.discrete import gained, kept, tau_for

INTEGRATIONS = ["euler", "exact"]


def test_euler_keeps_one_minus_dt_over_tau():
    assert kept(1e-3, np.array(4e-3), "euler") == 0.75
    assert gained(1e-3, np.array(4e-3), "euler") == 0.25


def test_exact_integration_keeps_an_exponential():
    assert kept(1e-3, np.array(2e-3), "exact") == pytest.approx(math.exp(-0.5), rel=1e-15)
    assert gained(1e-3, np.array(2e-3), "exact") == pytest.approx(1 - math.exp(-0.5), rel=1e-15)


@pytest.mark.parametrize("integration", INTEGRATIONS)
def test_a_constant_current_settles_where_kept_and_gained_say(integration):
    tau_s = np.array([1e-3, 5e-3, 1.0])
    np.testing.assert_allclose(kept(1e-3, tau_s, integration) + gained(1e-3, tau_s, integration), 1, rtol=1e-15)


@pytest.mark.parametrize("integration", INTEGRATIONS)
@pytest.mark.parametrize("dt_s", [1e-3, 1e-4, 1.0, 1 / 3, 7e-5])
def test_every_float32_fraction_has_a_time_constant(integration, dt_s):
    fraction = np.random.default_rng(0).random(10_000, np.float32) * 0.999 + np.float32(1e-4)
    tau_s = tau_for(fraction, dt_s, integration)
    np.testing.assert_array_equal(kept(dt_s, tau_s, integration).astype(np.float32), fraction)


@pytest.mark.parametrize("integration", INTEGRATIONS)
def test_quarters_have_a_float64_time_constant_at_a_millisecond(integration):
    quarters = np.array([0.25, 0.5, 0.75])
    np.testing.assert_array_equal(kept(1e-3, tau_for(quarters, 1e-3, integration), integration), quarters)


def test_float64_fractions_above_a_half_seldom_lack_a_time_constant_in_exact_integration():
    fraction = np.random.default_rng(0).uniform(0.5, 1, 10_000)
    back = kept(0.1, tau_for(fraction, 0.1, "exact"), "exact")
    assert np.mean(back == fraction) > 0.998
    np.testing.assert_allclose(back, fraction, rtol=1e-15)


def test_a_shape_is_kept():
    assert tau_for(np.array(0.5), 1e-3, "euler").shape == ()
    assert tau_for(np.full((2, 3), 0.5), 1e-3, "euler").shape == (2, 3)
