import numpy as np
import pytest

from tdd_deploy.data import open_data
from tdd_deploy.errors import BadData, BadFile, DataNotFound


def write_cifar(path, *, n, n_classes, seed=0):
    """Write records of the binary version; return x [n, 3, 32, 32] and the (fine) labels."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
    y = rng.integers(0, n_classes, (n, 1), dtype=np.uint8)
    labels = [np.full((n, 1), 255, np.uint8), y] if n_classes == 100 else [y]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(np.concatenate([*labels, x.reshape(n, -1)], axis=1).tobytes())
    return x, y[:, 0]


def write_training(folder):
    parts = [write_cifar(folder / f"data_batch_{i}.bin", n=4, n_classes=10, seed=i) for i in range(1, 6)]
    return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))


@pytest.mark.parametrize("size", [1, 3, 4, 7, 100])
def test_the_five_files_of_cifar10_are_read_as_one(tmp_path, size):
    stored, labels = write_training(tmp_path / "cifar-10-batches-bin")
    sources = [open_data("cifar10", split=split, data_dir=tmp_path) for split in ("train", "val")]
    assert [source.n_samples for source in sources] == [18, 2]
    assert [path.name for path in sources[0].files] == [f"data_batch_{i}.bin" for i in range(1, 6)]
    batches = [batch for source in sources for batch in source.batches(size)]
    np.testing.assert_array_equal(np.concatenate([batch.x for batch in batches]) * 256, stored)
    np.testing.assert_array_equal(np.concatenate([batch.y for batch in batches]), labels)


@pytest.mark.parametrize("folder", ["cifar-10-batches-bin", "cifar10", "cifar10/cifar-10-batches-bin", "."])
def test_cifar10_is_found_in_every_usual_folder(tmp_path, folder):
    write_cifar(tmp_path / folder / "test_batch.bin", n=3, n_classes=10)
    source = open_data("cifar10", data_dir=tmp_path)
    assert (source.sample_shape, source.n_samples, source.n_classes) == ((3, 32, 32), 3, 10)


def test_cifar100_gives_the_fine_label(tmp_path):
    stored, labels = write_cifar(tmp_path / "cifar-100-binary/test.bin", n=5, n_classes=100)
    source = open_data("cifar100", data_dir=tmp_path)
    x, y = source.load()
    np.testing.assert_array_equal(x * 256, stored)
    np.testing.assert_array_equal(y, labels)
    assert source.n_classes == 100


def test_a_file_that_is_not_whole_records_is_refused_at_once(tmp_path):
    write_cifar(tmp_path / "test_batch.bin", n=2, n_classes=10)
    with (tmp_path / "test_batch.bin").open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(BadFile, match=r"holds 6147 bytes, not whole records of 3073\. Get or write it again"):
        open_data("cifar10", data_dir=tmp_path)


def test_an_empty_cifar_file_is_refused(tmp_path):
    (tmp_path / "test.bin").touch()
    with pytest.raises(BadData, match="split test would hold none of the 0 samples"):
        open_data("cifar100", data_dir=tmp_path)


def test_a_directory_in_place_of_a_cifar_file_is_refused(tmp_path):
    (tmp_path / "test_batch.bin").mkdir()
    with pytest.raises(BadFile, match="Is a directory"):
        open_data("cifar10", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "pickled"),
    [("cifar10", "cifar-10-batches-py"), ("cifar10", "cifar10/data_batch_1"), ("cifar100", "cifar-100-python")],
)
def test_the_pickled_version_is_never_read_and_the_binary_one_is_asked_for(tmp_path, name, pickled):
    (tmp_path / pickled).mkdir(parents=True)
    with pytest.raises(
        DataNotFound, match=f"{pickled} is the Python version.*never read: get the binary version and put"
    ):
        open_data(name, data_dir=tmp_path)
