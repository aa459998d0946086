import subprocess
import sys

import pytest

from tdd_deploy.data import DATASETS, open_data
from tdd_deploy.errors import BadOption


def test_the_data_sets_have_these_names():
    assert DATASETS == ("digits", "mnist", "fashion-mnist", "cifar10", "cifar100")


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(BadOption) as caught:
        open_data("imagenet")
    assert str(caught.value) == (
        "data must be digits, mnist, fashion-mnist, cifar10, cifar100, tonic:NAME, or a path to an .npz, .raw or "
        ".aedat4 (got 'imagenet')."
    )


def test_a_slip_of_the_finger_is_guessed():
    with pytest.raises(BadOption, match=r"\(got 'mnsit'\)\. Did you mean mnist\?$"):
        open_data("mnsit")


@pytest.mark.parametrize("name", DATASETS)
def test_an_unknown_split_is_refused_before_any_file_is_looked_for(name):
    with pytest.raises(BadOption, match=r"^split must be train, val or test \(got 'all'\)\.$"):
        open_data(name, split="all")


def test_importing_the_room_imports_neither_torch_nor_scikit_learn():
    code = "import sys, tdd_deploy.data; sys.exit(any(name in sys.modules for name in ('torch', 'sklearn')))"
    subprocess.run([sys.executable, "-c", code], check=True)
