import math

import numpy as np
import pytest

from tdd_deploy.data import encode
from tdd_deploy.data.encoders import Frames, sent_on_change
from tdd_deploy.errors import BadData, BadOption
from tdd_deploy.options.vocabulary import ENCODERS

RNG = np.random.default_rng(0)
IMAGES = RNG.random((6, 1, 4, 4), dtype=np.float32)  # [B, *shape]
VIDEOS = RNG.random((6, 5, 1, 4, 4), dtype=np.float32)  # [B, T, *shape]


def test_direct_encoding_of_images_gives_the_same_values_at_every_step():
    frames = encode(IMAGES, in_time=False, encoder="direct", n_steps=3, seed=0, start=0)
    assert frames.static
    for t in range(3):
        np.testing.assert_array_equal(frames.at(t), IMAGES)


def test_direct_encoding_in_time_gives_the_first_frames():
    frames = encode(VIDEOS, in_time=True, encoder="direct", n_steps=3, seed=0, start=0)
    assert (frames.static, frames.values.shape, frames.values.dtype) == (False, (3, 6, 1, 4, 4), np.float32)
    for t in range(3):
        np.testing.assert_array_equal(frames.at(t), VIDEOS[:, t])


@pytest.mark.parametrize(("x", "in_time"), [(IMAGES, False), (VIDEOS, True)])
def test_poisson_spikes_do_not_depend_on_the_batch(x, in_time):
    options = {"in_time": in_time, "encoder": "poisson", "n_steps": 4, "seed": 7}
    whole = encode(x, start=10, **options).values
    parts = [encode(x[i : i + 4], start=10 + i, **options).values for i in (0, 4)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    assert (whole.shape, whole.dtype) == ((4, 6, 1, 4, 4), np.float32)
    assert set(np.unique(whole)) == {0.0, 1.0}


@pytest.mark.parametrize(("x", "in_time"), [(IMAGES, False), (VIDEOS, True)])
def test_a_poisson_step_is_the_same_whenever_it_is_drawn(x, in_time):
    frames = encode(x, in_time=in_time, encoder="poisson", n_steps=4, seed=7, start=10)
    p = x.swapaxes(0, 1)[:4] if in_time else x
    drawn = np.stack([np.random.default_rng([7, 10 + i]).random((4, 1, 4, 4)) for i in range(6)], axis=1)
    for t in (0, 1, 3, 2, 2, 0):
        np.testing.assert_array_equal(frames.at(t), (drawn < p)[t])


@pytest.mark.parametrize("changed", [{"seed": 1}, {"start": 1}])
def test_another_seed_or_sample_number_gives_other_spikes(changed):
    options = {"in_time": False, "encoder": "poisson", "n_steps": 4, "seed": 0, "start": 0}
    first, other = (encode(IMAGES, **o).values for o in (options, options | changed))
    assert (first != other).any()


def test_more_steps_begin_with_the_spikes_of_fewer():
    few, many = (encode(IMAGES, in_time=False, encoder="poisson", n_steps=n, seed=0, start=0).values for n in (3, 8))
    np.testing.assert_array_equal(many[:3], few)


def test_the_rate_is_the_value_within_a_binomial_bound():
    p = np.array([0.0, 0.05, 0.5, 0.9, 1.0], np.float32)
    x = np.tile(p, (20, 1))  # 20 samples
    rate = encode(x, in_time=False, encoder="poisson", n_steps=1000, seed=3, start=0).values.mean(axis=(0, 1))
    assert (rate[0], rate[-1]) == (0.0, 1.0)
    for found, expected in zip(rate, p.astype(float), strict=True):
        assert abs(found - expected) <= 5 * math.sqrt(expected * (1 - expected) / 20_000) + 1e-6


def test_in_time_the_probability_is_that_of_the_step():
    x = np.zeros((2, 3, 4), np.float32)
    x[:, 1] = 1
    values = encode(x, in_time=True, encoder="poisson", n_steps=3, seed=0, start=0).values
    np.testing.assert_array_equal(values, x.swapaxes(0, 1))


@pytest.mark.parametrize(("value", "found"), [(-0.25, "-0.25 to 0.5"), (1.5, "0 to 1.5"), (np.nan, "nan to nan")])
def test_values_that_are_no_probabilities_are_refused(value, found):
    x = np.array([[0.5, 0.0], [value, 0.0]], np.float32)
    with pytest.raises(BadData, match=rf"poisson encoder: values of samples 8 to 9 must be .* 0 to 1 \(got {found}\)"):
        encode(x, in_time=False, encoder="poisson", n_steps=2, seed=0, start=8)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_more_steps_than_the_data_have_are_refused(encoder):
    with pytest.raises(BadOption, match=r"^steps must be 1 to 5, the time steps of the data \(got 6\)"):
        encode(VIDEOS, in_time=True, encoder=encoder, n_steps=6, seed=0, start=0)


@pytest.mark.parametrize(("x", "in_time"), [(IMAGES, False), (VIDEOS, True)])
def test_no_step_at_all_is_refused(x, in_time):
    with pytest.raises(BadOption, match=r"^steps must be 1 .*\(got 0\)"):
        encode(x, in_time=in_time, encoder="direct", n_steps=0, seed=0, start=0)


def test_an_unknown_encoder_is_refused():
    with pytest.raises(BadOption, match=r"^encoder must be direct or poisson \(got 'latency'\)"):
        encode(IMAGES, in_time=False, encoder="latency", n_steps=1, seed=0, start=0)


def test_a_negative_seed_is_refused():
    with pytest.raises(BadOption, match=r"^seed must be 0 or more \(got -1\)"):
        encode(IMAGES, in_time=False, encoder="poisson", n_steps=1, seed=-1, start=0)


def test_an_input_is_sent_anew_when_it_differs_by_more_than_the_threshold_from_what_was_sent():
    # By hand, threshold 1: 0.5 stays 0; 1.5 is sent; 2.4 differs by 0.9 and stays; 2.6 is sent; 1.6 stays; -3 is sent.
    values = np.array([0.5, 1.5, 2.4, 2.6, 1.6, -3.0], np.float32).reshape(6, 1, 1)
    held = sent_on_change(Frames(static=False, values=values), 1.0)
    assert held.values.ravel().tolist() == np.float32([0, 1.5, 1.5, 2.6, 2.6, -3.0]).tolist()
    still = sent_on_change(Frames(static=True, values=values[0]), 0.4)
    assert (still.static, still.values.item()) == (True, 0.5)


def test_without_a_threshold_every_change_is_sent():
    values = np.random.default_rng(0).random((5, 2, 3)).astype(np.float32)
    np.testing.assert_array_equal(sent_on_change(Frames(static=False, values=values), 0.0).values, values)
