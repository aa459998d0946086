import gzip
import io
import os
import tracemalloc
import zipfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tdd_deploy.data import open_data
from tdd_deploy.data.records import PIECE, Records, open_file
from tdd_deploy.errors import BadFile

PAIR = np.dtype([("y", "u1"), ("x", "<i4", (2,))])


def records(*parts, n, header=0):
    openers = tuple(partial(io.BytesIO, part) for part in parts)
    return Records(path=Path("parts"), parts=openers, header=header, n=n, dtype=PAIR)


def zipped(path, method):
    with zipfile.ZipFile(path.with_suffix(".zip"), "w", method) as archive:
        archive.write(path, "part")
    return open_zipped, path.with_suffix(".zip")


@contextmanager
def open_zipped(path):
    with zipfile.ZipFile(path) as archive, archive.open("part") as stream:
        yield stream


def gzipped(path):
    path.with_suffix(".gz").write_bytes(gzip.compress(path.read_bytes()))
    return open_file, path.with_suffix(".gz")


KEPT = {
    "in memory": lambda path: (io.BytesIO, path.read_bytes()),
    "plain": lambda path: (open_file, path),
    "gzip": gzipped,
    "stored": lambda path: zipped(path, zipfile.ZIP_STORED),
    "deflated": lambda path: zipped(path, zipfile.ZIP_DEFLATED),
}


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("cut", [0, 1, 9, 14, 80, 90])
@pytest.mark.parametrize("size", [1, 3, 20])
@pytest.mark.parametrize(("start", "stop"), [(0, 10), (2, 10), (3, 7), (9, 10)])
def test_records_are_read_across_parts_wherever_these_are_cut(tmp_path, kept, cut, size, start, stop):
    table = np.zeros(10, PAIR)
    table["y"], table["x"] = range(10), np.arange(20).reshape(10, 2)
    data = table.tobytes()
    for name, part in (("first", b"head" + data[:cut]), ("second", data[cut:])):
        (tmp_path / name).write_bytes(part)
    openers = tuple(partial(*KEPT[kept](tmp_path / name)) for name in ("first", "second"))
    in_parts = Records(path=Path("parts"), parts=openers, header=4, n=10, dtype=PAIR)
    blocks = list(in_parts.read(start, stop, size))
    assert [len(block) for block in blocks[:-1]] == [size] * (len(blocks) - 1)
    np.testing.assert_array_equal(np.concatenate(blocks), table[start:stop])


@pytest.mark.parametrize("kept", KEPT)
def test_a_start_behind_the_end_is_refused(tmp_path, kept):
    (tmp_path / "part").write_bytes(bytes(20))
    opener = partial(*KEPT[kept](tmp_path / "part"))
    with pytest.raises(BadFile, match="ends before its 9 samples"):
        list(Records(path=Path("parts"), parts=(opener,), n=9, dtype=PAIR).read(5, 6, 1))


@pytest.mark.parametrize("n_bytes", [0, 8, 26])
def test_an_early_end_is_refused(n_bytes):
    with pytest.raises(BadFile, match=r"parts ends before its 3 samples of 9 bytes do\. Get or write it again"):
        list(records(bytes(n_bytes), n=3).read(0, 3, 2))


def test_bytes_left_over_are_refused_when_the_end_is_reached_and_only_then():
    surplus = records(bytes(28), n=3)
    assert len(list(surplus.read(0, 2, 1))) == 2
    with pytest.raises(BadFile, match="holds more than 3 samples of 9 bytes"):
        list(surplus.read(0, 3, 1))


@pytest.mark.parametrize("kept", KEPT)
def test_passing_over_more_than_one_piece_comes_out_at_the_right_record(tmp_path, kept):
    n = 2 * PIECE // PAIR.itemsize + 5
    table = np.zeros(n, PAIR)
    table["x"][:, 0] = range(n)
    (tmp_path / "part").write_bytes(table.tobytes())
    opener = partial(*KEPT[kept](tmp_path / "part"))
    (block,) = Records(path=Path("parts"), parts=(opener,), n=n, dtype=PAIR).read(n - 2, n, 2)
    assert block["x"][:, 0].tolist() == [n - 2, n - 1]


def test_a_reader_left_early_closes_its_files(tmp_path):
    path = tmp_path / "own.npz"
    np.savez(path, x=np.zeros((10, 2)))
    batches = open_data(str(path)).batches(2)
    next(batches)
    batches.close()  # an open file would warn here, and warnings are errors


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_iterating_50_megabytes_takes_less_than_8(tmp_path, save):
    save(tmp_path / "big.npz", x=np.zeros((16_000, 28, 28), np.float32), y=np.zeros(16_000, np.uint8))
    tracemalloc.start()
    try:
        n = sum(
            len(batch.x)
            for split in ("all", "val")
            for batch in open_data(str(tmp_path / "big.npz"), split=split).batches(256)
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert n == 17_600
    assert peak < 8e6


@pytest.mark.parametrize(
    "name", ["pipe.npz", "MNIST/raw/t10k-images-idx3-ubyte", "cifar-10-batches-bin/test_batch.bin"]
)
def test_a_pipe_is_refused_and_not_waited_for(name, tmp_path):
    (tmp_path / "MNIST/raw").mkdir(parents=True)
    (tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte").write_bytes(b"")
    (tmp_path / "cifar-10-batches-bin").mkdir()
    os.mkfifo(tmp_path / name)
    data = {"M": "mnist", "c": "cifar10"}.get(name[0], str(tmp_path / name))
    with pytest.raises(BadFile, match=rf"{Path(name).name} is a pipe or a device"):
        open_data(data, data_dir=tmp_path)
