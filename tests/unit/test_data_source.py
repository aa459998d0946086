import numpy as np
import pytest

from tdd_deploy.data import open_data
from tdd_deploy.errors import BadData, BadOption


@pytest.fixture
def saved(tmp_path):
    def save(**arrays):
        path = tmp_path / "own.npz"
        np.savez(path, **arrays)
        return str(path)

    return save


def test_a_source_says_what_it_holds(saved):
    path = saved(x=np.zeros((4, 2, 3), np.uint8), y=np.array([0, 6, 1, 2]))
    source = open_data(path)
    assert (source.name, source.split, source.n_samples, source.sample_shape) == (path, "all", 4, (2, 3))
    assert (source.labeled, source.n_classes, [str(file) for file in source.files]) == (True, 7, [path])


def test_samples_without_labels_stream_without(saved):
    source = open_data(saved(x=np.ones((3, 2), np.float32)))
    (batch,) = source.batches(5)
    assert (source.labeled, source.n_classes, batch.y) == (False, None, None)


@pytest.mark.parametrize("limit", [1, 4, 5, 9, 100])
def test_a_limit_gives_the_first_samples_only(saved, limit):
    source = open_data(saved(x=np.arange(9, dtype=np.float32)))
    x = np.concatenate([batch.x for batch in source.batches(4, limit=limit)])
    assert x.tolist() == list(range(min(limit, 9)))


@pytest.mark.parametrize(
    ("bad", "found"),
    [*((bad, "NaN or infinity") for bad in (np.nan, np.inf, -np.inf)), (-1e300, r"1e\+300, times 1")],
)
def test_a_value_that_is_not_a_finite_float32_is_named_with_its_first_sample(saved, bad, found):
    x = np.zeros((10, 3))
    x[[7, 9], 1] = bad
    batches = open_data(saved(x=x)).batches(4)
    assert next(batches).start == 0
    with pytest.raises(
        BadData, match=rf"own.npz, split all: x of sample 7 must be finite numbers of float32 \(got {found}"
    ):
        list(batches)


@pytest.mark.parametrize(("size", "limit"), [(0, None), (-1, None), (4, 0)])
def test_a_size_or_limit_below_1_is_refused(saved, size, limit):
    with pytest.raises(BadOption, match="1 or more"):
        open_data(saved(x=np.zeros(3))).batches(size, limit=limit)


def test_a_single_sample_is_for_training(saved):
    assert open_data(saved(x=np.zeros((1, 2))), split="train").n_samples == 1
    with pytest.raises(BadData, match="split val would hold none of the 1 samples"):
        open_data(saved(x=np.zeros((1, 2))), split="val")
