"""Samples in memory follow the rules of an .npz, and say which argument is wrong."""

import hashlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tdd_deploy.data import open_arrays, open_data
from tdd_deploy.errors import BadData, BadOption, TddDeployError

RNG = np.random.default_rng(0)
X = RNG.random((31, 2, 3)).astype(np.float32)
Y = RNG.integers(0, 4, 31)


def saved(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "own.npz", **arrays)
    return str(folder / "own.npz")


def batched(*arrays: Any, size: int = 8) -> Iterator[Any]:
    for start in range(0, len(arrays[0]), size):
        yield [array[start : start + size] for array in arrays]


def refusal(*given: Any, **options: Any) -> str:
    with pytest.raises(TddDeployError) as caught:
        open_arrays(*given, **options).load()
    return str(caught.value)


@pytest.mark.parametrize("split", [None, "all", "train", "val"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["float64", "float16", "uint8", "int16", "bool"])
def test_arrays_are_read_as_from_a_file(split: str | None, order: str, dtype: str, tmp_path: Path) -> None:
    x = (X * 200).astype(dtype)
    path = saved(tmp_path, x=x, y=Y)
    file, memory = open_data(path, split=split), open_arrays(np.asarray(x, order=order), Y, split=split)
    for size in (1, 7, 100):
        for expected, found in zip(file.batches(size, first=1), memory.batches(size, first=1), strict=True):
            np.testing.assert_array_equal(found.x, expected.x, strict=True)
            np.testing.assert_array_equal(found.y, expected.y, strict=True)
            assert found.start == expected.start
    assert memory.as_json() == file.as_json()
    assert (memory.n_classes, memory.split, memory.name, memory.files) == (file.n_classes, file.split, "arrays", ())


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": np.zeros(3, complex)},
        {"x": np.zeros((0, 3))},
        {"x": np.zeros((3, 0), complex), "y": np.zeros(2)},
        {"x": np.zeros(3), "y": np.zeros((3, 4), int)},
        {"x": np.zeros((3, 5)), "y": np.zeros(5, int)},
        {"x": np.zeros(3), "y": np.zeros((3, 1), int)},
        {"x": np.zeros((4, 2)), "y": np.eye(4)},
        {"x": np.zeros(3), "y": np.zeros(3, complex)},
        {"x": np.zeros(3), "y": np.array([0, -1, -2])},
        {"x": np.zeros(3), "y": np.array([0, 2**63, 1], np.uint64)},
        {"x": np.array([[0], [1]], np.uint8)},
        {"x": np.array([0.5, np.nan])},
        {"x": np.array([0.5, 1e300])},
        {"x": np.array([1, 2**30])},
    ],
)
def test_arrays_are_refused_as_from_a_file(arrays: dict[str, Any], tmp_path: Path) -> None:
    path = saved(tmp_path, **arrays)
    with pytest.raises(BadData) as caught:
        open_data(path).load()
    assert refusal(arrays["x"], arrays.get("y"), name=path) == str(caught.value)
    assert str(caught.value).startswith(path)


def test_a_scale_is_the_users_or_that_of_images() -> None:
    pixels = np.full((2, 3), 64, np.uint8)
    assert open_arrays(pixels).load()[0].max() == 0.25
    assert open_arrays(pixels, input_scale=1 / 64).load()[0].max() == 1
    assert "input_scale=1 for spikes" in refusal(np.eye(2, dtype=np.uint8))
    assert open_arrays(np.eye(2, dtype=np.uint8), input_scale=1.0).load()[0].max() == 1
    assert "input_scale must be a number above 0" in refusal(X, input_scale=0.0)


def test_what_numpy_can_read_is_an_array() -> None:
    source = open_arrays([[0.0, 0.5], [1.0, 0.0]], (1, 0))
    x, y = source.load()
    assert (x.tolist(), y is not None and y.tolist()) == ([[0.0, 0.5], [1.0, 0.0]], [1, 0])
    torch = pytest.importorskip("torch")
    tensors = open_arrays(torch.from_numpy(X), torch.from_numpy(Y))
    np.testing.assert_array_equal(tensors.load()[0], X)
    assert tensors.digests == open_arrays(X, Y).digests
    assert "detach" in refusal(torch.from_numpy(X).requires_grad_())
    assert "BFloat16" in refusal(torch.from_numpy(X).bfloat16())


def test_a_data_loader_is_joined() -> None:
    data = pytest.importorskip("torch.utils.data")
    torch = pytest.importorskip("torch")
    tensors = data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    found = open_arrays(data.DataLoader(tensors, batch_size=8))
    assert (found.n_samples, found.digests) == (31, open_arrays(X, Y).digests)
    assert open_arrays(data.DataLoader(data.TensorDataset(tensors.tensors[0]), batch_size=8)).digests.keys() == {"x"}
    assert "DataLoader" in refusal(tensors)  # it yields samples, not batches


def test_batches_are_joined_in_their_order() -> None:
    x, y = open_arrays(batched(X, Y)).load()
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)
    for alone in (batched(X), (part for (part,) in batched(X))):
        source = open_arrays(alone)
        assert not source.labeled
        np.testing.assert_array_equal(source.load()[0], X)


def test_batches_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(BadOption, match=r"^y cannot be combined with batches"):
        open_arrays(batched(X, Y), Y)
    assert "x has no batches" in refusal(iter([]))
    assert "y is missing in some" in refusal(iter([(X, Y), (X,)]))
    assert r"the shape of x differs between batches: [2, 3] and [1, 3]" in refusal(iter([(X, Y), (X[:, :1], Y)]))
    assert "batch 1 must be x or (x, y) (got a tuple of 3)" in refusal(iter([(X, Y), (X, Y, Y)]))
    assert "the shape of y in batch 0 must be [B, ...] (got [])" in refusal(zip(X, Y, strict=True))
    assert "y of batch 0 cannot be read" in refusal(iter([(X, [[1], [1, 2]])]))


def test_what_numpy_cannot_read_names_its_argument() -> None:
    assert "arrays: x cannot be read as a numpy array" in refusal([[1, 2], [3]])
    assert "mine: y cannot be read as a numpy array" in refusal(X, [[1, 2], [3]], name="mine")
    assert "the type of x must be bool, float16, float32" in refusal("digits")
    assert "x is a masked array" in refusal(np.ma.masked_array([1.0, 2.0], [False, True]))


@pytest.mark.parametrize(
    ("split", "remedy"), [("test", "pass the test samples as x"), ("trian", "Did you mean train?")]
)
def test_an_unknown_split_is_refused_with_a_remedy(split: str, remedy: str) -> None:
    assert refusal(X, split=split).startswith(f"split must be all, train or val (got {split!r}). ")
    assert remedy in refusal(X, split=split)


def test_a_report_identifies_arrays_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in (("x", X), ("y", Y))}
    monkeypatch.setattr("tdd_deploy.data.memory.PIECE", 100)  # several pieces
    assert open_arrays(X, Y).digests == open_arrays(np.asfortranarray(X), Y, split="val").digests == sums
    assert open_arrays(X, X[:, 0, 0]).digests == {"x": sums["x"]}  # other targets are not read
    assert open_arrays(X, Y).fingerprints == {}


def test_a_source_in_memory_travels_to_other_processes() -> None:
    source = open_arrays(X, Y, split="val")
    received = pickle.loads(pickle.dumps(source))
    assert received.digests == source.digests
    for found, expected in zip(received.load(), source.load(), strict=True):
        np.testing.assert_array_equal(found, expected, strict=True)


def test_arrays_are_neither_copied_nor_changed() -> None:
    x = np.ones((4, 3), np.float32)
    (batch,) = open_arrays(x).batches(4)
    batch.x[:] = 5
    assert x.max() == 1
    source = open_arrays(x)
    x[:] = 2
    assert source.load()[0].min() == 2
