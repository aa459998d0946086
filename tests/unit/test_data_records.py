import io
import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tdd_deploy.data import open_data
from tdd_deploy.data.records import PIECE, Records
from tdd_deploy.errors import BadFile

PAIR = np.dtype([("y", "u1"), ("x", "<i4", (2,))])


def records(*parts, n, header=0):
    openers = tuple(partial(io.BytesIO, part) for part in parts)
    return Records(path=Path("parts"), parts=openers, header=header, n=n, dtype=PAIR)


@pytest.mark.parametrize("cut", [0, 1, 9, 14, 80, 90])
@pytest.mark.parametrize("size", [1, 3, 10, 20])
@pytest.mark.parametrize(("start", "stop"), [(0, 10), (2, 10), (3, 7), (9, 10)])
def test_records_are_read_across_parts_wherever_these_are_cut(cut, size, start, stop):
    table = np.zeros(10, PAIR)
    table["y"], table["x"] = range(10), np.arange(20).reshape(10, 2)
    data = table.tobytes()
    blocks = list(records(b"head" + data[:cut], data[cut:], n=10, header=4).read(start, stop, size))
    assert [len(block) for block in blocks[:-1]] == [size] * (len(blocks) - 1)
    np.testing.assert_array_equal(np.concatenate(blocks), table[start:stop])


@pytest.mark.parametrize("n_bytes", [0, 8, 26])
def test_an_early_end_is_refused(n_bytes):
    with pytest.raises(BadFile, match="parts: ends before its 3 samples of 9 bytes do; get or write it again"):
        list(records(bytes(n_bytes), n=3).read(0, 3, 2))


def test_bytes_left_over_are_refused_when_the_end_is_reached_and_only_then():
    surplus = records(bytes(28), n=3)
    assert len(list(surplus.read(0, 2, 1))) == 2
    with pytest.raises(BadFile, match="holds more than 3 samples of 9 bytes"):
        list(surplus.read(0, 3, 1))


def test_passing_over_more_than_one_piece_comes_out_at_the_right_record():
    n = PIECE // PAIR.itemsize + 5
    table = np.zeros(n, PAIR)
    table["x"][:, 0] = range(n)
    (block,) = records(table.tobytes(), n=n).read(n - 2, n, 2)
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
