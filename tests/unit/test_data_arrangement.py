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
        ((5, 1, 28, 28), (1, 28, 28), 5),
        ((2, 4), (4,), 2),
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


@pytest.mark.parametrize(("sample", "in_time"), [((1, 8), False), ((8,), False), ((1, 1, 8), True)])
def test_an_exact_shape_leaves_no_other_reading(sample, in_time):
    assert arrange(sample, (1, 8), "mine").in_time is in_time


@pytest.mark.parametrize(
    ("sample", "wanted", "suggested"),
    [
        ((3, 8, 8), (1, 8, 8), "3 suggests channels"),
        ((4, 8, 8), (1, 8, 8), "4 suggests channels"),
        ((40, 8, 8), (1, 8, 8), "40 suggests time"),
        ((8, 8), (1, 8), "8 suggests time"),
        ((9,), (1,), "9 suggests time"),
    ],
)
def test_time_steps_without_the_channel_axis_need_frames(sample, wanted, suggested):
    with pytest.raises(BadData) as caught:
        arrange(sample, wanted, "mine")
    (violation,) = caught.value.violations
    assert f"{sample[0]} time steps or {sample[0]} channels" in violation.found
    assert violation.remedy == f"Use `frames=True` if the axis after N is time ({suggested})."
    arrangement = arrange(sample, wanted, "mine", in_time=True)
    assert (arrangement.in_time, arrangement.n_steps) == (True, sample[0])
    assert arrangement.view(np.zeros((2, *sample), np.float32)).shape == (2, sample[0], *wanted)


def test_frames_makes_the_axis_after_n_time():
    assert arrange((5, 3, 8, 8), (3, 8, 8), "mine", in_time=True).n_steps == 5
    assert arrange((1, 8, 8), (1, 8, 8), "mine", in_time=True).n_steps == 1
    with pytest.raises(BadData, match=r"shape .* must be \[T, 3, 8, 8\] for the program.s input .*\(got \[3, 8, 8\]\)"):
        arrange((3, 8, 8), (3, 8, 8), "mine", in_time=True)


@pytest.mark.parametrize(
    ("sample", "wanted"),
    [((2, 8, 6, 40), (2, 8, 6)), ((64, 40), (64,)), ((8, 6, 40), (1, 8, 6)), ((6, 6, 2), (1, 6, 6))],
)
def test_where_time_may_be_the_last_axis_the_remedy_moves_it(sample, wanted):
    with pytest.raises(BadData) as caught:
        arrange(sample, wanted, "mine")
    assert caught.value.violations[0].remedy == "If the last axis is time, use numpy.moveaxis(x, -1, 1)."
    moved = np.moveaxis(np.zeros((2, *sample)), -1, 1)
    assert arrange(moved.shape[1:], wanted, "mine", in_time=True).n_steps == sample[-1]


@pytest.mark.parametrize(("sample", "wanted"), [((8, 6, 3), (3, 8, 6)), ((28, 28, 1), (1, 28, 28))])
def test_where_channels_may_be_the_last_axis_the_remedy_moves_them(sample, wanted):
    with pytest.raises(BadData, match=r"If the last axis holds the channels, use numpy.moveaxis\(x, -1, 1\)"):
        arrange(sample, wanted, "mine")
    assert not arrange(np.moveaxis(np.zeros((2, *sample)), -1, 1).shape[1:], wanted, "mine").in_time


@pytest.mark.parametrize(
    ("sample", "wanted", "in_time"),
    [
        ((28, 28), (784,), False),
        ((1, 28, 28), (784,), False),
        ((784,), (1, 28, 28), False),
        ((50,), (50, 1, 1), False),
        ((7, 50), (1, 1, 50), True),
        ((5, 64), (1, 8, 8), True),
        ((5, 2, 8, 8), (128,), True),
    ],
)
def test_where_the_same_values_would_fit_the_line_that_reshapes_them_is_shown(sample, wanted, in_time):
    with pytest.raises(BadData) as caught:
        arrange(sample, wanted, "mine")
    remedy = caught.value.violations[0].remedy
    assert remedy.startswith("If the axis after N is time, use " if in_time else "Use ")
    _, shape = remedy.removesuffix("]).").split("x.reshape([len(x), ")
    reshaped = tuple(int(n) for n in shape.split(", "))
    assert np.zeros((3, *sample)).reshape(3, *reshaped).shape == (3, *reshaped)
    assert arrange(reshaped, wanted, "mine").in_time == in_time


@pytest.mark.parametrize(("sample", "wanted"), [((40, 2, 7, 6), (2, 8, 6)), ((8, 6, 2), (2, 6, 8)), ((4, 9), (6, 6))])
def test_no_line_is_shown_that_would_not_help(sample, wanted):
    with pytest.raises(BadData) as caught:
        arrange(sample, wanted, "mine")
    assert caught.value.violations[0].remedy == ""


def test_the_refusal_shows_both_shapes_and_what_would_fit():
    with pytest.raises(BadData) as caught:
        arrange((8, 8), (1, 28, 28), "mine.npz")
    assert str(caught.value) == (
        "mine.npz: the shape of a sample must be [1, 28, 28] or [T, 1, 28, 28] or [28, 28] or [T, 28, 28]"
        " for the program's input [1, 28, 28] (got [8, 8])."
    )


@pytest.mark.parametrize(
    ("sample", "wanted"), [((28, 28), (3, 28, 28)), ((64,), (1, 8, 8)), ((), (4,)), ((1, 5), (4,))]
)
def test_what_does_not_fit_is_refused(sample, wanted):
    with pytest.raises(BadData):
        arrange(sample, wanted, "mine")


@pytest.mark.parametrize(
    ("sample", "n_steps"), [((2, 1, 16), None), ((2, 16), None), ((5, 2, 1, 16), 5), ((5, 2, 16), 5)]
)
def test_signals_of_several_channels_need_no_height_of_1(sample, n_steps):
    found = arrange(sample, (2, 1, 16), "x.npz")
    assert (found.in_time, found.n_steps) == (n_steps is not None, n_steps)
    assert found.view(np.zeros((3, *sample), np.float32)).shape == (3, *([n_steps] if n_steps else []), 2, 1, 16)


@pytest.mark.parametrize("sample", [(16,), (16, 2), (2, 2, 16, 1)])
def test_signals_of_another_shape_are_refused(sample):
    with pytest.raises(BadData, match=r"\[2, 16\]"):
        arrange(sample, (2, 1, 16), "x.npz")
