"""stream, as a stranger uses it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tdd_deploy as td
from tdd_deploy.errors import BadData, BadOption, BadOptions
from tests import camera
from tests.commands import Call
from tests.shared_data import needs, shared

ECG, DVS, UNPACK = (shared(name) for name in ("ecg_qtdb.npz", "dvs128_objects.npz", "unpack.py"))
SLOW = np.repeat([[0.0, 0.25, 0.5, 1.0]], 8, axis=1).astype(np.float32)  # [1, 32]: each value stays for 8 steps


def save(path: Path, **arrays: object) -> str:
    np.savez(path, **arrays)
    return str(path)


@pytest.fixture
def slow(tmp_path: Path) -> str:
    return save(tmp_path / "slow.npz", x=np.stack([SLOW, 2 * SLOW], axis=-1))


def verdict(x: np.ndarray, **options: object) -> dict[str, object]:
    found = td.stream(x, **options).as_json()["verdict"]
    assert isinstance(found, dict)
    return found


def test_values_that_stay_pay_as_deltas(call: Call, slow: str) -> None:
    said = call("stream", slow)
    assert (said.code, said.err) == (0, "")
    # 24 of 32 values of each channel are not zero, and 3 change
    assert "deltas pay on this stream: 88 % fewer events than values that are not zero" in said.out
    for word in ("75.0", "9.4", "37.5", "0.12", "2p(1 - p)", "32 steps of shape [2]"):
        assert word in said.out


def test_the_line_says_when_deltas_do_not_pay() -> None:
    blinking = np.tile(np.float32([1, 0]), 16)[None, :, None]
    line = verdict(blinking)["line"]
    assert line == "deltas do not pay on this stream: 100 % more events than values that are not zero; use `code=spike`"
    assert "all values of this stream are zero" in str(verdict(np.zeros((1, 4, 2), np.float32))["line"])


def test_as_many_changes_as_values_make_no_difference() -> None:
    x = np.float32([1, 1, 0, 0])[None, :, None]  # two values that are not zero, two changes
    assert "deltas make no difference on this stream" in str(verdict(x)["line"])


def test_a_threshold_that_makes_deltas_pay_is_a_caveat() -> None:
    rng = np.random.default_rng(0)
    noisy = (1 + 0.01 * rng.standard_normal((1, 500, 2))).astype(np.float32)
    (caveat,) = verdict(noisy, thresholds=(0.5,))["caveats"]  # type: ignore[misc]
    assert "they pay with `input_threshold=0.5`" in caveat
    assert verdict(noisy, thresholds=(100.0,))["caveats"] == []  # nothing is sent, so nothing is received


@pytest.mark.parametrize("threshold", [0.0, 0.3])
def test_events_are_those_that_the_engine_counts(threshold: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    x = np.repeat(rng.choice(np.float32([0, 0.25, 0.5, 1]), (6, 10, 24)), 2, axis=1)
    network = Path(__file__).parents[1] / "golden" / "commands" / "network.nir"
    shape = td.load(network).input.shape
    x = np.resize(x, (6, 20, *shape))
    (_, *more) = found = td.stream(x, thresholds=(threshold,)).as_json()["thresholds"]
    row = found[-1]
    assert row["threshold"] == threshold
    assert len(more) == (threshold > 0)
    run = td.simulate(network, x, input_threshold=threshold, code="delta", frames=True).as_json()
    assert row["events"] == run["totals"]["input_events"]


def test_seconds_need_the_length_of_a_step(slow: str, tmp_path: Path) -> None:
    rows = [td.stream(slow, dt_s=dt).as_json()["thresholds"][0] for dt in (None, 0.5)]
    assert [row["events_per_s"] for row in rows] == [None, rows[0]["events_per_step"] / 0.5]
    recorded = camera.write(tmp_path / "camera.npz", camera.recordings(3))
    found = td.stream(recorded, bin_us=500).as_json()
    assert found["dt_s"] == 0.0005
    assert [row["name"] for row in found["channels"]] == ["off", "on"]
    with pytest.raises(BadOption, match="dt_s cannot be combined with bin_us=500"):
        td.stream(recorded, bin_us=500, dt_s=0.1)


def test_silence_after_a_recording_does_not_count(tmp_path: Path) -> None:
    events = [np.zeros(n, camera.EVENT) for n in (11, 101)]
    for each in events:
        each["t"] = 100 * np.arange(len(each))  # one event per step
    found = td.stream(camera.write(tmp_path / "two.npz", events), bin_us=100).as_json()
    assert (found["n_steps"], found["mean_steps"]) == (101, 56)
    assert found["total"]["rate"] == pytest.approx(1 / 48)  # one of 2 x 6 x 4 values at every step


def test_many_values_are_shown_by_channel_and_extremes(call: Call, tmp_path: Path) -> None:
    x = np.zeros((2, 50, 2, 30, 40), np.float32)
    x[:, :, 0, 3, 4] = 1
    x[:, ::2, 1, 5, 6] = 1
    path = save(tmp_path / "many.npz", x=x)
    report = json.loads(call("stream", path, "--json").out)
    assert [row["name"] for row in report["channels"]] == ["0", "1"]
    assert [row["name"] for row in report["extremes"]] == ["[0, 3, 4]", "[1, 5, 6]"]
    assert len(call("stream", path).out.splitlines()) < 40


def test_files_hold_the_report_and_its_tables(call: Call, slow: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert call("stream", slow, "--thresholds", "0.3,0.1", "--out", out).code == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "channels.csv", "stream.json", "stream.svg", "thresholds.csv",
    ]  # fmt: skip
    report = json.loads((out / "stream.json").read_text())
    assert [row["threshold"] for row in report["thresholds"]] == [0, 0.1, 0.3]
    assert len((out / "thresholds.csv").read_text().splitlines()) == 4
    assert (out / "stream.svg").read_text().startswith("<svg")


def test_samples_without_time_are_refused(call: Call) -> None:
    said = call("stream", "digits")
    assert said.code == 2
    assert "an image, which does not change" in said.err
    with pytest.raises(BadData, match=r"x\[None\]"):
        td.stream(np.zeros(5, np.float32))


def test_the_data_are_named_once(call: Call, slow: str) -> None:
    assert call("stream", "--data", slow).out == call("stream", slow).out
    assert "Name the samples once" in call("stream", slow, "--data", slow).err
    assert "Missing argument 'DATA'" in call("stream").err
    with pytest.raises(BadOptions, match="thresholds"):
        td.stream(slow, thresholds=(-1.0,))


@needs(ECG)
def test_level_crossings_of_an_ecg_are_changes_already() -> None:
    with np.load(ECG) as arrays:
        x = arrays["x_train"]
    crossings = td.stream(x, samples=618).as_json()
    levels = td.stream(np.cumsum(x, axis=1, dtype=np.float32), samples=618).as_json()
    assert crossings["verdict"]["line"].startswith("deltas do not pay")
    assert levels["verdict"]["line"].startswith("deltas pay")
    assert levels["total"]["changes"] == np.count_nonzero(x) == crossings["total"]["nonzero"]
    assert crossings["total"]["change_rate"] < crossings["total"]["independent_rate"]  # beats are not independent bits


@needs(DVS)
@needs(UNPACK)
def test_events_of_a_camera_are_changes_already(tmp_path: Path) -> None:
    path = camera_file(tmp_path / "dvs.npz", 2)
    found = [td.stream(path, bin_us=us, bin_value="binary", downsample=4).as_json()["total"] for us in (1000, 50_000)]
    short, long = (each["changes_per_nonzero"] for each in found)
    assert short > 1.5  # hardly an event is followed by another one in the next millisecond
    assert long < short


def camera_file(path: Path, n: int) -> str:
    """Write the first recordings of the real camera as a file of events."""
    subprocess.run([sys.executable, UNPACK, path.parent, "dvs128-objects"], check=True, capture_output=True)
    with np.load(path.parent / "dvs128-objects.npz") as arrays:
        columns = {f"events_{name}": [arrays[f"{name}_{i}"] for i in range(n)] for name in "txyp"}
        return save(
            path,
            **{name: np.concatenate(parts) for name, parts in columns.items()},
            ends=np.cumsum([len(part) for part in columns["events_t"]]),
            sensor=(128, 128),
            labels=arrays["label"][:n].astype(np.int64),
        )
