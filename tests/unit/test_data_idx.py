import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tdd_deploy.data import open_data
from tdd_deploy.errors import BadData, BadFile, DataNotFound

UNPACK = Path(__file__).parents[3] / "shared/data/unpack.py"


def write_idx(path, array, *, n=None):
    """Write uint8 as idx, gzipped when named so; ``n`` promises another number of samples."""
    shape = (array.shape[0] if n is None else n, *array.shape[1:])
    data = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *shape) + array.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_images(folder, *, n=20, prefix="train", name="-idx", end=""):
    rng = np.random.default_rng(n)
    x = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
    y = rng.integers(0, 10, n, dtype=np.uint8)
    write_idx(folder / f"{prefix}-images{name}3-ubyte{end}", x)
    write_idx(folder / f"{prefix}-labels{name}1-ubyte{end}", y)
    return x, y


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("name", ["-idx", ".idx"])
@pytest.mark.parametrize("folder", ["fashion-mnist", "FashionMNIST/raw", "fashion-mnist/FashionMNIST/raw", "."])
def test_idx_files_are_found_under_every_usual_name(tmp_path, folder, name, end):
    stored, labels = write_images(tmp_path / folder, prefix="t10k", name=name, end=end)
    source = open_data("fashion-mnist", data_dir=tmp_path)
    x, y = source.load()
    np.testing.assert_array_equal(x[:, 0] * 256, stored)
    np.testing.assert_array_equal(y, labels)
    assert (x.dtype, y.dtype) == (np.float32, np.int64)
    assert (source.name, source.split, source.n_samples, source.n_classes) == ("fashion-mnist", "test", 20, 10)
    assert (source.sample_shape, source.labeled) == ((1, 28, 28), True)
    assert [path.name[:11] for path in source.files] == ["t10k-images", "t10k-labels"]


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("size", [1, 3, 9, 64])
def test_streaming_train_and_val_gives_the_training_file_in_order(tmp_path, size, end):
    stored, labels = write_images(tmp_path, n=23, end=end)
    batches = []
    for split, n in (("train", 20), ("val", 3)):
        part = list(open_data("mnist", split=split, data_dir=tmp_path).batches(size))
        assert [batch.start for batch in part] == list(range(0, n, size))
        batches += part
    np.testing.assert_array_equal(np.concatenate([batch.x for batch in batches])[:, 0] * 256, stored)
    np.testing.assert_array_equal(np.concatenate([batch.y for batch in batches]), labels)


def test_a_pixel_of_255_is_exactly_255_over_256(tmp_path):
    write_idx(tmp_path / "t10k-images-idx3-ubyte", np.full((1, 28, 28), 255, np.uint8))
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.zeros(1, np.uint8))
    x, _ = open_data("mnist", data_dir=tmp_path).load()
    assert set(x.ravel().tolist()) == {0.99609375}


def test_the_environment_names_the_folder_when_no_option_does(tmp_path, monkeypatch):
    write_images(tmp_path / "mnist", prefix="t10k")
    monkeypatch.setenv("TDD_DEPLOY_DATA", str(tmp_path))
    assert open_data("mnist").n_samples == 20


def test_missing_files_are_reported_with_every_folder_and_the_remedy(tmp_path):
    with pytest.raises(DataNotFound) as caught:
        open_data("mnist", split="train", data_dir=tmp_path)
    assert list(caught.value.looked_in) == [
        tmp_path / "mnist",
        tmp_path / "MNIST/raw",
        tmp_path / "mnist/MNIST/raw",
        tmp_path,
    ]
    for part in (
        "train-images-idx3-ubyte, train-labels-idx1-ubyte",
        f"{tmp_path}/mnist",
        "data_dir",
        "$TDD_DEPLOY_DATA",
    ):
        assert part in str(caught.value)


def test_without_any_folder_the_error_says_so(monkeypatch):
    monkeypatch.delenv("TDD_DEPLOY_DATA", raising=False)
    with pytest.raises(DataNotFound, match=r"no folder, since none was named.*DIR/mnist"):
        open_data("mnist")


def test_images_without_their_labels_are_not_enough(tmp_path):
    write_images(tmp_path, prefix="t10k")
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataNotFound, match="t10k-labels-idx1-ubyte"):
        open_data("mnist", data_dir=tmp_path)


@pytest.mark.parametrize("n", [19, 21, 2**32 - 1])
def test_a_header_that_promises_other_than_the_file_holds_is_refused_at_once(tmp_path, n):
    stored, _ = write_images(tmp_path, prefix="t10k")
    write_idx(tmp_path / "t10k-images-idx3-ubyte", stored, n=n)
    with pytest.raises(BadFile, match=rf"holds 15696 bytes where its header promises {16 + n * 784}\."):
        open_data("mnist", data_dir=tmp_path)


@pytest.mark.parametrize(("n", "found"), [(21, "ends before its 21 samples"), (19, "holds more than 19 samples")])
def test_a_gzipped_header_that_promises_other_than_the_file_holds_is_refused_while_reading(tmp_path, n, found):
    stored, labels = write_images(tmp_path, prefix="t10k", end=".gz")
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", stored, n=n)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.resize(labels, n))
    with pytest.raises(BadFile, match=found):
        list(open_data("mnist", data_dir=tmp_path).batches(8))


def test_labels_and_images_of_different_number_are_refused(tmp_path):
    write_images(tmp_path, prefix="t10k")
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.zeros(7, np.uint8))
    with pytest.raises(BadFile, match="7 labels for the 20 images"):
        open_data("mnist", data_dir=tmp_path)


def test_images_of_another_size_are_refused(tmp_path):
    write_images(tmp_path, prefix="t10k")
    write_idx(tmp_path / "t10k-images-idx3-ubyte", np.zeros((20, 32, 32), np.uint8))
    with pytest.raises(BadFile, match="32x32 pixels, not 28x28"):
        open_data("mnist", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "is damaged, cut short"),
        (b"\0\0\x08\x03\0\0", "is damaged, cut short"),
        (b"\x89PNG\r\n\x1a\n" * 4, "begins with 89504e47, not with 00000803"),
    ],
)
def test_what_is_no_idx_file_is_refused(tmp_path, content, found):
    write_images(tmp_path, prefix="t10k")
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(BadFile, match=found):
        open_data("mnist", data_dir=tmp_path)


def test_a_directory_in_place_of_a_file_is_refused(tmp_path):
    write_images(tmp_path, prefix="t10k")
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    (tmp_path / "t10k-labels-idx1-ubyte").mkdir()
    with pytest.raises(BadFile, match="Is a directory"):
        open_data("mnist", data_dir=tmp_path)


@pytest.mark.parametrize("damage", ["cut", "checksum", "plain"])
def test_a_broken_gzip_is_refused(tmp_path, damage):
    stored, _ = write_images(tmp_path, prefix="t10k", end=".gz")
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    data = path.read_bytes()
    path.write_bytes({"cut": data[:-4000], "checksum": data[:-8] + b"\0" * 8, "plain": stored.tobytes()}[damage])
    with pytest.raises(BadFile, match=r"images-idx3-ubyte.gz is damaged, cut short or of another format. Get or"):
        open_data("mnist", data_dir=tmp_path).load()


def test_no_broken_byte_of_a_gzip_leaks_another_error(tmp_path):
    write_images(tmp_path, n=2, prefix="t10k", end=".gz")
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in [*range(40), *rng.integers(40, len(data), 100)]:
        path.write_bytes(data[:at] + bytes([data[at] ^ int(rng.integers(1, 256))]) + data[at + 1 :])
        try:
            open_data("mnist", data_dir=tmp_path).load()
        except (BadFile, BadData):
            continue
        assert at < 10  # time, flags and name in a gzip header carry no data


def test_an_empty_set_is_refused(tmp_path):
    write_images(tmp_path, n=0, prefix="t10k")
    with pytest.raises(BadData, match="mnist: split test would hold none of the 0 samples"):
        open_data("mnist", data_dir=tmp_path)


def test_a_label_above_9_is_named_with_its_sample(tmp_path):
    write_images(tmp_path, prefix="t10k")
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.array([*range(10), *range(9), 200], np.uint8))
    with pytest.raises(BadData, match=r"mnist, split test: the label of sample 19 must be 0 to 9 \(got 200\)\."):
        list(open_data("mnist", data_dir=tmp_path).batches(8))


@pytest.fixture
def real_mnist(tmp_path):
    folder = os.environ.get("TDD_DEPLOY_DATA")
    if folder and any(Path(folder).glob("mnist/t10k-images*")):
        return Path(folder)
    if not UNPACK.exists():
        pytest.skip("no real MNIST: neither $TDD_DEPLOY_DATA/mnist nor ../shared/data/unpack.py exists")
    command = [sys.executable, "-B", UNPACK, tmp_path, "mnist"]
    subprocess.run(command, check=True, capture_output=True)
    return tmp_path


def test_the_real_mnist_has_its_known_sizes_and_labels(real_mnist):
    sizes = {
        split: open_data("mnist", split=split, data_dir=real_mnist).n_samples for split in ("train", "val", "test")
    }
    assert sizes == {"train": 54000, "val": 6000, "test": 10000}
    (first,) = open_data("mnist", data_dir=real_mnist).batches(10, limit=10)
    assert first.y.tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    (first,) = open_data("mnist", split="train", data_dir=real_mnist).batches(10, limit=10)
    assert first.y.tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    _, y = open_data("mnist", data_dir=real_mnist).load()
    assert np.bincount(y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
