"""Data sets of tonic: by its interface, and where it is installed by the one that comes with it."""

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tdd_deploy.data import Binning, open_data
from tdd_deploy.errors import BadData, BadFile, BadOption, DataNotFound, MissingDependency
from tests.camera import SENSOR, recordings

SPLIT, WHOLE = "tonic:SPLIT", "tonic:WHOLE"


class Dataset:
    """What tonic.Dataset is: files in a folder of the class's name, or a download."""

    sensor_size = (SENSOR[1], SENSOR[0], 2)
    first = 0

    def __init__(self, save_to):
        folder = Path(save_to, self.__class__.__name__)
        if not folder.exists():
            self.download()
        self.data = [sample[["x", "y", "t", "p"]] for sample in recordings(30, seed=self.first)]  # tonic's order
        self.targets = sorted(i % 3 for i in range(30))  # by class, as tonic's are

    def download(self):
        pytest.fail("downloaded")

    def __getitem__(self, i):
        return self.data[i], self.targets[i]

    def __len__(self):
        return len(self.data)


class Split(Dataset):
    def __init__(self, save_to, train=True, transform=None):
        self.first = int(not train)
        super().__init__(save_to)


class Audio(Dataset):
    sensor_size = (700, 1, 1)


class Sizes(Dataset):
    sensor_size = None


class Boxes(Dataset):
    def __init__(self, save_to):
        super().__init__(save_to)
        self.targets = []


class Broken(Dataset):
    def __getitem__(self, i):
        return np.zeros(3), 0


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.delenv("TDD_DEPLOY_DATA", raising=False)
    datasets = ModuleType("tonic.datasets")
    kinds = {"SPLIT": Split, "WHOLE": Dataset, "AUDIO": Audio, "SIZES": Sizes, "BOXES": Boxes, "BROKEN": Broken}
    for name, kind in kinds.items():
        setattr(datasets, name, type(name, (kind,), {}))
        (tmp_path / name).mkdir()
    tonic = ModuleType("tonic")
    tonic.datasets = datasets
    monkeypatch.setitem(sys.modules, "tonic", tonic)
    monkeypatch.setitem(sys.modules, "tonic.datasets", datasets)
    return tmp_path


@pytest.mark.parametrize(("name", "split", "n"), [
    (SPLIT, None, 30), (SPLIT, "test", 30), (SPLIT, "train", 27), (SPLIT, "val", 3),
    (WHOLE, None, 30), (WHOLE, "val", 3),
])  # fmt: skip
def test_splits_are_those_of_tonic_and_the_last_tenth_of_training(folder, name, split, n):
    source = open_data(name, split=split, data_dir=folder, binning=Binning(bins=4))
    x, _ = source.load()
    assert (source.n_samples, source.n_classes, x.shape) == (n, 3, (n, 4, 2, *SENSOR))
    assert source.binned.as_json()["sensor"] == [6, 4]


def test_samples_come_with_their_labels_in_a_fixed_order_that_mixes_classes(folder):
    x, y = open_data(SPLIT, data_dir=folder, binning=Binning(bins=4)).load()
    order = np.random.RandomState(0).permutation(30)
    samples = recordings(30, seed=1)
    assert x.sum(axis=(1, 2, 3, 4)).tolist() == [len(samples[i]) for i in order]
    assert y.tolist() == [i // 10 for i in order]


def test_the_order_does_not_depend_on_that_of_the_disk(folder, monkeypatch):
    class OnDisk(Dataset):
        turned = False

        def __init__(self, save_to):
            super().__init__(save_to)
            order = range(30)[::-1] if self.turned else range(30)
            self.samples = [self.data[i] for i in order]
            self.data, self.targets = [f"{save_to}/{i:02}" for i in order], [i % 3 for i in order]

        def __getitem__(self, i):
            return self.samples[i], self.targets[i]

    monkeypatch.setattr(sys.modules["tonic.datasets"], "WHOLE", type("WHOLE", (OnDisk,), {}))
    first = open_data(WHOLE, data_dir=folder, binning=Binning(bins=4)).load()
    OnDisk.turned = True
    for one, other in zip(first, open_data(WHOLE, data_dir=folder, binning=Binning(bins=4)).load(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_train_and_val_are_of_other_files_than_test(folder):
    test, train = (
        open_data(SPLIT, split=split, data_dir=folder, binning=Binning(bins=4)) for split in ("test", "train")
    )
    assert test.load()[0].sum() != train.load()[0].sum()


def test_the_longest_recording_is_looked_for_only_when_no_steps_are_given(folder, monkeypatch):
    longest = open_data(SPLIT, data_dir=folder, binning=Binning(bin_us=1000))
    assert (longest.sample_shape[0], longest.binned.n_cut) == (5, 0)
    monkeypatch.setattr(Split, "__getitem__", lambda self, i: pytest.fail("read"))
    given = open_data(SPLIT, data_dir=folder, binning=Binning(bin_us=1000, n_steps=3))
    assert (given.sample_shape[0], given.binned.n_cut) == (3, None)


def test_files_that_are_not_there_are_not_downloaded(folder):
    (folder / "SPLIT").rmdir()
    with pytest.raises(DataNotFound) as caught:
        open_data(SPLIT, data_dir=folder, binning=Binning(bins=4))
    assert str(caught.value) == (
        f"data set tonic:SPLIT was not found; looked in {folder}/SPLIT. Put its files there, or let tonic do so: "
        f"tonic.datasets.SPLIT(save_to='{folder}')."
    )
    with pytest.raises(DataNotFound, match=r"Name the folder that holds it with data_dir or \$TDD_DEPLOY_DATA"):
        open_data(SPLIT, binning=Binning(bins=4))


def test_the_environment_names_the_folder_too(folder, monkeypatch):
    monkeypatch.setenv("TDD_DEPLOY_DATA", str(folder))
    assert open_data(SPLIT, binning=Binning(bins=4)).n_samples == 30


@pytest.mark.parametrize("name", ["AUDIO", "SIZES", "NONE"])
def test_what_is_no_data_set_of_one_camera_is_answered_with_those_that_are(folder, name):
    with pytest.raises(BadOption, match="must be one of tonic:BOXES, tonic:BROKEN, tonic:SPLIT, tonic:WHOLE"):
        open_data(f"tonic:{name}", data_dir=folder, binning=Binning(bins=4))


def test_recordings_without_classes_are_refused(folder):
    with pytest.raises(
        BadData, match=r"its targets must be one class for each recording \(got float64 of shape \[0\]\)"
    ):
        open_data("tonic:BOXES", data_dir=folder, binning=Binning(bins=4))


def test_recordings_that_cannot_be_read_are_refused_by_folder(folder):
    source = open_data("tonic:BROKEN", data_dir=folder, binning=Binning(bins=4))
    with pytest.raises(BadFile, match=r"BROKEN holds float64 as recording \d+, not t, x, y, p in integers"):
        source.load()


def test_unknown_splits_are_refused(folder):
    with pytest.raises(BadOption, match=r"^split must be train, val or test \(got 'all'\)"):
        open_data(SPLIT, split="all", data_dir=folder, binning=Binning(bins=4))
    with pytest.raises(
        BadOption, match=r"^split must be all, train or val \(got 'test'\)\. This data set has no test files"
    ):
        open_data(WHOLE, split="test", data_dir=folder, binning=Binning(bins=4))


def test_without_tonic_the_line_that_installs_it_is_given(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tonic.datasets", None)
    monkeypatch.setitem(sys.modules, "tonic", None)
    with pytest.raises(MissingDependency, match=r"^data=tonic:NMNIST needs tonic. .* 'tdd-deploy\[events\]'"):
        open_data("tonic:NMNIST", data_dir=tmp_path, binning=Binning(bins=4))


@pytest.mark.skipif(find_spec("tonic") is None, reason="tonic is not installed")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestWithTonic:
    def test_n_mnist_is_read_from_its_files(self, tmp_path):
        """Five bytes an event: x, y, then a bit of polarity and 23 of time."""
        (tmp_path / "NMNIST").mkdir()
        (tmp_path / "NMNIST/test.zip").touch()
        for digit in range(10):
            folder = tmp_path / f"NMNIST/Test/{digit}"
            folder.mkdir(parents=True)
            for i in range(1000):  # fewer, and tonic would download
                (folder / f"{i:05}.bin").write_bytes(bytes([33, digit, 0x80, 0, 5, digit, 33, 0x01, 0, 0]))
        source = open_data("tonic:NMNIST", data_dir=tmp_path, binning=Binning(bins=2))
        (batch,) = source.batches(4, limit=4)
        assert (source.n_samples, source.n_classes, batch.x.shape) == (10_000, 10, (4, 2, 2, 34, 34))
        for digit, x in zip(batch.y.tolist(), batch.x, strict=True):
            assert np.argwhere(x).tolist() == [[0, 1, digit, 33], [1, 0, 33, digit]]

    def test_n_mnist_is_not_downloaded(self, tmp_path):
        with pytest.raises(DataNotFound, match="tonic:NMNIST was not found"):
            open_data("tonic:NMNIST", data_dir=tmp_path, binning=Binning(bins=4))
        assert not any(tmp_path.iterdir())
