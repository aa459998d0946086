"""Windows of recordings: their values, their labels, and what stays together."""

import json
from pathlib import Path

import numpy as np
import pytest

import tdd_deploy as td
from tdd_deploy.data import Choice, Source
from tdd_deploy.errors import BadData, BadOption, BadOptions
from tdd_deploy.options.dataset import Dataset
from tests import camera
from tests.commands import Call
from tests.shared_data import needs, shared

ECG = shared("ecg_qtdb.npz")
N, T = 20, 11
X = np.arange(N * T * 2, dtype=np.float32).reshape(N, T, 2)  # no value occurs twice
Y = np.arange(N) % 3
BY_STEP = np.arange(N * T).reshape(N, T) % 4
NETWORK = Path(__file__).parents[1] / "golden" / "commands" / "network.nir"


def recordings_of(source: Source) -> set[int]:
    x, _ = source.load()
    return set((x[:, 0, 0] // (2 * T)).astype(int).tolist())


@pytest.fixture
def path(tmp_path: Path) -> str:
    np.savez(tmp_path / "own.npz", x=X, y=Y)
    return str(tmp_path / "own.npz")


@pytest.mark.parametrize(("window", "stride"), [(4, None), (4, 4), (4, 3), (3, 1), (11, None), (1, 1), (2, 5)])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_windows_are_slices_of_their_recordings(window: int, stride: int | None, size: int) -> None:
    source = td.open_data(X, Y, window=window, stride=stride)
    starts = range(0, T - window + 1, stride or window)
    expected = np.stack([x[start : start + window] for x in X for start in starts])
    batches = list(source.batches(size))
    assert np.array_equal(np.concatenate([batch.x for batch in batches]), expected)
    assert np.array_equal(np.concatenate([batch.y for batch in batches]), np.repeat(Y, len(starts)))
    (middle,) = source.batches(2, first=len(expected) // 2, limit=2)
    assert np.array_equal(middle.x, expected[len(expected) // 2 :][:2])


def test_a_file_gives_the_same_windows_as_arrays(path: str) -> None:
    for split in ("all", "train", "val"):
        of_file, of_arrays = (td.open_data(*each, window=4, stride=2, split=split) for each in ((path,), (X, Y)))
        for mine, theirs in zip(of_file.load(), of_arrays.load(), strict=True):
            assert np.array_equal(mine, theirs)
    assert set(of_file.digests) == {"own.npz"}
    assert set(of_arrays.digests) == {"x", "y"}


@pytest.mark.parametrize("is_handed_over", [False, True])
def test_windows_of_a_recording_are_never_in_two_parts(is_handed_over: bool) -> None:
    if is_handed_over:  # windows that were made before are handed over as they are
        whole = td.open_data(X, Y, window=3, stride=1)
        choice = Choice(options=Dataset(data="arrays"), whole=whole)
    else:
        choice = Choice(options=Dataset(data="arrays", window=3, stride=1), whole=td.open_data(X, Y))
    train, val = (recordings_of(choice.open(split)) for split in ("train", "val"))
    assert train == set(range(18))
    assert val == {18, 19}
    assert choice.open("train").n_samples + choice.open("val").n_samples == N * (T - 2)


def test_parts_of_windows_with_gaps_end_where_a_recording_ends() -> None:
    y = BY_STEP.copy()
    y[:10, ::2] = -1  # fewer windows of the first recordings
    choice = Choice(options=Dataset(data="arrays"), whole=td.open_data(X, y, window=3, stride=1))
    assert recordings_of(choice.open("train")) == set(range(18))


def test_windows_of_one_recording_are_for_training() -> None:
    choice = Choice(options=Dataset(data="arrays"), whole=td.open_data(X[:1], Y[:1], window=3))
    assert choice.open("train").n_samples == 3
    with pytest.raises(BadData, match="split val would hold none"):
        choice.open("val")


def test_the_label_of_a_window_is_that_of_its_last_step() -> None:
    _, y = td.open_data(X, BY_STEP, window=4, stride=3).load()
    assert y is not None
    assert np.array_equal(y, BY_STEP[:, [3, 6, 9]].ravel())


@pytest.mark.parametrize(("none", "dtype"), [(255, np.uint8), (-1, np.int64), (255, np.int32)])
def test_windows_that_end_without_a_label_are_left_out_and_counted(none: int, dtype: type) -> None:
    y = BY_STEP.astype(dtype)
    y[3, 5:] = none
    y[4, :3] = none  # no last step of a window
    source = td.open_data(X, y, window=4, stride=3)
    x, labels = source.load()
    assert labels is not None
    kept = [(i, last) for i in range(N) for last in (3, 6, 9) if y[i, last] != none]
    assert labels.tolist() == [y[i, last] for i, last in kept]
    assert x[:, -1, 0].tolist() == [X[i, last, 0] for i, last in kept]
    assert source.n_classes == 4
    assert source.as_json()["windows"] == {
        "window": 4, "stride": 3, "steps_of_recording": T, "recordings": N, "labels_from": "last step",
        "unlabeled": 2, "short": 0,
    }  # fmt: skip


def test_a_recording_with_the_label_255_keeps_it() -> None:
    _, y = td.open_data(X, np.full(N, 255), window=4).load()
    assert y is not None
    assert set(y.tolist()) == {255}


def test_labels_by_step_need_windows() -> None:
    with pytest.raises(BadData, match=r"holds a label per time step.*window"):
        td.open_data(X, BY_STEP)


@pytest.mark.parametrize(
    ("y", "found"),
    [
        (np.where(np.arange(T) == 5, -2, BY_STEP), "the label of step 5 in sample 0"),
        (np.full((N, T), 255), "none has a label"),
        (BY_STEP[:, :7], "the shape of y"),
    ],
)
def test_labels_by_step_that_cannot_be_used_are_refused(y: np.ndarray, found: str) -> None:
    with pytest.raises(BadData, match=found):
        td.open_data(X, y, window=2)


def test_no_last_step_with_a_label_is_refused() -> None:
    y = np.where(np.arange(T) == 0, BY_STEP, -1)
    with pytest.raises(BadData, match="the last step of every window has no label"):
        td.open_data(X, y, window=2)


def test_windows_that_cannot_be_cut_are_refused(path: str) -> None:
    with pytest.raises(BadOption, match=r"window must be 1 to 11"):
        td.open_data(path, window=12)
    with pytest.raises(BadOptions, match="stride needs window"):
        td.open_data(path, stride=12)
    with pytest.raises(BadOption, match="windows already"):
        td.open_data(td.open_data(path, window=4), window=2)
    with pytest.raises(BadData, match="an image"):
        td.open_data("digits", window=2)


def test_windows_of_a_camera_end_with_its_recording(tmp_path: Path) -> None:
    events = [np.zeros(n, camera.EVENT) for n in (11, 101, 31)]
    for each in events:
        each["t"] = 100 * np.arange(len(each))  # one event per step
    path = camera.write(tmp_path / "three.npz", events, [0, 1, 2])
    source = td.open_data(path, bin_us=100, window=20)
    x, y = source.load()
    assert x.shape == (6, 20, 2, 6, 4)
    assert (x.sum(axis=(1, 2, 3, 4)) == 20).all()  # no window of silence
    assert y is not None
    assert y.tolist() == [1] * 5 + [2]
    assert source.as_json()["windows"]["short"] == 1


def test_a_network_executes_windows(call: Call, tmp_path: Path) -> None:
    shape = td.load(NETWORK).input.shape
    x = np.random.default_rng(0).random((3, 12, *shape), np.float32)
    y = np.arange(36).reshape(3, 12) % 10
    np.savez(tmp_path / "own.npz", x=x, y=y)
    words = ("simulate", NETWORK, "--data", tmp_path / "own.npz", "--window", 5, "--stride", 2, "--code", "delta")
    report = json.loads(call(*words, "--json").out)
    ours = np.stack([x[i, start : start + 5] for i in range(3) for start in range(0, 8, 2)])
    labels = np.asarray([y[i, start + 4] for i in range(3) for start in range(0, 8, 2)])
    run = td.simulate(NETWORK, ours, labels, frames=True, code="delta")
    assert (report["accuracy"], report["data"]["n_steps"]) == (run.accuracy, 5)
    assert report["totals"]["synops_effective"] == run.as_json()["totals"]["synops_effective"]
    assert "a sample is a window of 5 of the 12 time steps of a recording, one every 2" in call(*words).out
    assert call(*words, "--steps", 3, "--json").code == 0
    shared_out = json.loads(call(*words, "--workers", 2, "--json").out)
    assert shared_out["totals"] == report["totals"]


@pytest.mark.parametrize("batch", [1, 5])
def test_accuracy_is_per_labeled_step_without_windows(call: Call, tmp_path: Path, batch: int) -> None:
    shape = td.load(NETWORK).input.shape
    rng = np.random.default_rng(0)
    x = rng.random((5, 9, *shape), np.float32)
    y = rng.choice([0, 1, 2, 255], (5, 9)).astype(np.uint8)
    np.savez(tmp_path / "own.npz", x=x, y=y)
    words = ("simulate", NETWORK, "--data", tmp_path / "own.npz", "--frames", "--code", "delta", "--batch", batch)
    report = json.loads(call(*words, "--json").out)
    n_steps = report["data"]["n_steps"]
    right = 0
    for t in range(n_steps):  # outputs of each step alone, by differences of sums over time
        sums = [td.simulate(NETWORK, x, frames=True, steps=t + k).outputs if t + k else 0 for k in (0, 1)]
        right += int((np.argmax(sums[1] - sums[0], axis=1) == y[:, t]).sum())
    n_labeled = int((y[:, :n_steps] != 255).sum())
    assert (report["labeled_steps"], report["accuracy"]) == (n_labeled, right / n_labeled)
    assert f"% of {n_labeled} labeled time steps of 5 samples" in call(*words).out


def test_labels_of_steps_do_not_go_with_everything(call: Call, tmp_path: Path) -> None:
    shape = td.load(NETWORK).input.shape
    x = np.zeros((4, 3, *shape), np.float32)
    x[..., 0] = 1
    y = np.arange(12).reshape(4, 3)
    with pytest.raises(BadData, match="the largest label in y must be at most 9"):
        td.simulate(NETWORK, x, y, frames=True, code="delta")
    with pytest.raises(BadOption, match="early_exit cannot be combined with labels of time steps"):
        td.simulate(NETWORK, x, y % 10, frames=True, code="delta", early_exit=0.5)
    assert td.verify(NETWORK, x, y % 10, frames=True, samples=2, against=("reference", "event")).passed
    with pytest.raises(BadData, match="holds a label per time step"):
        td.train(tmp_path / "run", x, y % 10, frames=True)


def test_a_network_learns_from_windows_in_all_of_their_steps(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((20, 9, 6), np.float32)
    y = (x.sum(axis=2) > 3).astype(np.int64)
    run = td.train(tmp_path / "run", x, y, window=3, stride=3, network="mlp", method="tet", epochs=1)
    facts = json.loads((tmp_path / "run" / "train.json").read_text())
    assert (facts["options"]["window"], facts["options"]["steps"]) == (3, 3)
    assert (facts["data"]["train_samples"], facts["data"]["validation_samples"]) == (54, 6)
    assert td.verify(run, x, y, window=3, samples=4, against=("torch", "reference", "event")).passed


@needs(ECG)
def test_windows_of_the_ecg_end_in_labeled_steps() -> None:
    with np.load(ECG) as arrays:
        x, y = arrays["x_test"], arrays["y_test"]
    source = td.open_data(x, y, window=100, stride=50)
    found = source.load()[1]
    last = y[:, 99::50].ravel()
    assert found is not None
    assert np.array_equal(found, last[last != 255])
    assert source.as_json()["windows"]["unlabeled"] == (last == 255).sum() > 0
    assert source.n_classes == 6
