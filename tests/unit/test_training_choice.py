"""The masks of neurons that may fire freely: how many, which, and what decides among equals."""

import numpy as np
import pytest
import torch

from tdd_deploy.training import choice
from tdd_deploy.training.choice import OUTSIDE, highest, highest_of_members

SHAPES = [(1,), (10,), (25,), (3, 5, 4)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def scores(shape, *, members=0.4, zeros=0.3, seed=0):
    """Random scores; some neurons are no members, and some members have a score of 0."""
    rng = np.random.default_rng(seed)
    values = rng.random((2, 3, *shape))
    values[rng.random(values.shape) < zeros] = 0
    values[rng.random(values.shape) > members] = OUTSIDE
    return torch.tensor(values, dtype=torch.float32)


@pytest.fixture(params=["compiled", "torch"])
def way(request, monkeypatch):
    """Both ways to choose: compiled loops, and the sorting that a GPU does."""
    if request.param == "torch":
        monkeypatch.setattr(choice, "is_compiled", lambda rows: False)


@pytest.mark.parametrize("keep", [0, 0.01, 0.2, 0.5, 0.77, 1])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ties", [False, True])
def test_among_all_neurons_the_same_number_is_kept_in_every_step_and_sample(shape, keep, ties):
    score = torch.zeros(2, 3, *shape) if ties else torch.rand(2, 3, *shape, generator=generator())
    mask = highest(score, keep)
    assert mask.shape == score.shape
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert mask.flatten(2).sum(2).eq(round(keep * np.prod(shape))).all()


def test_among_all_neurons_the_highest_scores_are_kept():
    score = torch.tensor([[[1.0, 9.0, 3.0, 7.0], [0.4, 0.1, 0.3, 0.2]], [[5.0, 6.0, 7.0, 8.0], [8.0, 7.0, 6.0, 5.0]]])
    assert highest(score, 0.5).tolist() == [[[0, 1, 0, 1], [1, 0, 1, 0]], [[0, 0, 1, 1], [1, 1, 0, 0]]]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("keep", [0, 0.01, 0.2, 0.5, 0.77, 1])
@pytest.mark.parametrize("shape", SHAPES)
def test_members_of_highest_score_are_kept_and_a_score_of_zero_never(shape, keep):
    score = scores(shape)
    mask = highest_of_members(score, keep, generator())
    assert mask.shape == score.shape
    for t, sample in np.ndindex(2, 3):
        row, kept = score[t, sample].flatten().tolist(), mask[t, sample].flatten().tolist()
        wanted = round(keep * sum(value != OUTSIDE for value in row))
        best = sorted((k for k, value in enumerate(row) if value > 0), key=lambda k: -row[k])[:wanted]
        assert {k for k, value in enumerate(kept) if value} == set(best)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_an_image_is_chosen_from_as_a_whole_whatever_its_layout(layout):
    score = scores((3, 5, 4))
    laid_out = score.flatten(0, 1).contiguous(memory_format=layout).view(score.shape)
    assert torch.equal(highest_of_members(laid_out, 0.5, generator()), highest_of_members(score, 0.5, generator()))
    score[0, 0] = OUTSIDE
    score[0, 0, 2, 1, 3] = score[0, 0, 0, 4, 0] = 1.0
    score[0, 0, 1, 1, 1] = score[0, 0, 1, 2, 1] = 0.5
    found = highest_of_members(score, 0.5, generator())[0, 0]
    assert found.nonzero().tolist() == [[0, 4, 0], [2, 1, 3]]


@pytest.mark.usefixtures("way")
def test_equal_scores_are_kept_at_random_by_the_generator_and_none_is_preferred():
    score = torch.full((1, 1, 40), OUTSIDE)
    score[..., 10:30] = 0.5
    score[..., 35] = 0.7
    counts = torch.zeros(40)
    for seed in range(400):
        mask = highest_of_members(score, 10.4 / 21, generator(seed))[0, 0]
        assert torch.equal(mask, highest_of_members(score, 10.4 / 21, generator(seed))[0, 0])
        assert mask.sum() == 10
        counts += mask
    assert counts[35] == 400  # above all others
    assert counts[:10].sum() == counts[30:35].sum() == 0
    assert 9 * 400 / 20 * 0.75 < counts[10:30].min() <= counts[10:30].max() < 9 * 400 / 20 * 1.25


def test_both_ways_keep_the_same_neurons(monkeypatch):
    score = (scores((6, 7, 5)) * 4).ceil() / 4  # many equals
    compiled = highest_of_members(score, 0.6, generator())
    monkeypatch.setattr(choice, "is_compiled", lambda rows: False)
    assert torch.equal(highest_of_members(score, 0.6, generator()), compiled)
    assert compiled.any()
