import numpy as np
import pytest

from tdd_deploy.data import arrange
from tdd_deploy.errors import BadData


@pytest.mark.parametrize(
    ("sample", "wanted", "n_steps"),
    [
        ((3, 32, 32), (3, 32, 32), None),
        ((5, 3, 32, 32), (3, 32, 32), 5),
        ((28, 28), (1, 28, 28), None),
        ((5, 28, 28), (1, 28, 28), 5),
        ((5, 1, 28, 28), (1, 28, 28), 5),
        ((2, 4), (4,), 2),
        ((9,), (1,), 9),
        ((), (1,), None),
        ((1, 28, 28), (28, 28), 1),
    ],
)
def test_samples_are_static_or_in_time(sample, wanted, n_steps):
    arrangement = arrange(sample, wanted, "mine")
    assert (arrangement.in_time, arrangement.n_steps) == (n_steps is not None, n_steps)
    x = np.arange(2 * int(np.prod(sample)), dtype=np.float32).reshape(2, *sample)
    view = arrangement.view(x)
    assert view.shape == ((2, *wanted) if n_steps is None else (2, n_steps, *wanted))
    np.testing.assert_array_equal(view.ravel(), x.ravel())


@pytest.mark.parametrize(("sample", "in_time"), [((1, 8), False), ((8, 8), True), ((1, 1, 8), True)])
def test_the_first_match_wins(sample, in_time):
    assert arrange(sample, (1, 8), "mine").in_time is in_time


def test_the_refusal_shows_both_shapes_and_what_would_fit():
    with pytest.raises(BadData) as caught:
        arrange((8, 8), (1, 28, 28), "mine.npz")
    assert str(caught.value) == (
        "mine.npz: samples: shape is [8, 8]; allowed: [1, 28, 28] or [T, 1, 28, 28] or [28, 28] or [T, 28, 28]"
        " for the program's input [1, 28, 28]."
    )


@pytest.mark.parametrize(
    ("sample", "wanted"), [((28, 28), (3, 28, 28)), ((64,), (1, 8, 8)), ((), (4,)), ((1, 5), (4,))]
)
def test_what_does_not_fit_is_refused(sample, wanted):
    with pytest.raises(BadData):
        arrange(sample, wanted, "mine")
