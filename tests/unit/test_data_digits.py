import numpy as np
import pytest

from tdd_deploy.data import digits, open_data
from tdd_deploy.errors import MissingDependency

SPLITS = ("test", "val", "train")


def test_the_splits_have_their_documented_sizes():
    sources = [open_data("digits", split=split) for split in SPLITS]
    assert [source.n_samples for source in sources] == [500, 200, 1097]
    assert {(source.sample_shape, source.n_classes, source.labeled, source.files) for source in sources} == {
        ((1, 8, 8), 10, True, ())
    }


@pytest.mark.parametrize("file", [digits.FILE, "moved elsewhere"])
def test_the_splits_are_disjoint_and_together_are_all_digits_in_the_frozen_order(file, monkeypatch):
    monkeypatch.setattr(digits, "FILE", file)
    from sklearn.datasets import load_digits

    expected = load_digits()
    x, y = (
        np.concatenate(columns) for columns in zip(*(open_data("digits", split=s).load() for s in SPLITS), strict=True)
    )
    order = np.random.RandomState(0).permutation(1797)
    np.testing.assert_array_equal(x[:, 0] * 16, expected.images[order])
    np.testing.assert_array_equal(y, expected.target[order])
    assert x.max() == 1.0


def test_the_frozen_order_is_the_one_numpy_gave_when_this_was_written():
    (batch,) = open_data("digits").batches(8, limit=8)
    assert batch.y.tolist() == [2, 8, 2, 6, 6, 7, 1, 9]


def test_digits_stream_as_they_load():
    source = open_data("digits", split="val")
    x, y = source.load()
    batches = list(source.batches(64))
    assert [len(batch.x) for batch in batches] == [64, 64, 64, 8]
    np.testing.assert_array_equal(np.concatenate([batch.x for batch in batches]), x)
    np.testing.assert_array_equal(np.concatenate([batch.y for batch in batches]), y)


def test_without_scikit_learn_the_install_line_is_given(monkeypatch):
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"the data set digits needs scikit-learn. .*pip install scikit-learn"):
        open_data("digits")
