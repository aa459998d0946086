import numpy as np
import pytest

from tdd_deploy.data import check_labels
from tdd_deploy.errors import BadData


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_labels_in_range_pass(dtype):
    check_labels(np.array([0, 4, 9], dtype), 10, "mine")


def test_labels_without_a_known_number_of_classes_need_only_not_be_negative():
    check_labels(np.array([0, 10**9]), None, "mine")
    with pytest.raises(BadData, match=r"mine: the label of sample 1 must be 0 or more \(got -5\)\."):
        check_labels(np.array([0, -5]), None, "mine")


@pytest.mark.parametrize(("y", "sample", "label"), [([1, 3, 4], 11, 3), ([0, 0, -1], 12, -1), ([7, 0, -1], 10, 7)])
def test_the_first_label_out_of_range_is_named(y, sample, label):
    with pytest.raises(BadData, match=rf"mine: the label of sample {sample} must be 0 to 2 \(got {label}\)\."):
        check_labels(np.array(y), 3, "mine", start=10)
