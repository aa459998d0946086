"""Camera events through the commands: what the input of a network gets is what the camera sent."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tdd_deploy import analyze, export, open_data, prune, simulate, sweep, train, verify
from tdd_deploy import load as read_program
from tdd_deploy.errors import BadData, BadFile, BadOption, BadOptions
from tdd_deploy.exporters.nir.write import write
from tdd_deploy.neurons import LIF
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Output, build
from tdd_deploy.runtime import inputs as runtime_inputs
from tdd_deploy.simulator import reference
from tests.camera import EVENT, SENSOR, recordings
from tests.camera import write as write_events

UNPACK = Path(__file__).parents[3] / "shared/data/unpack.py"
WINDOW_US = 50_000
TENTHS = np.arange(1, 10) * 5000


def network(path: Path, *, sensor: tuple[int, int] = SENSOR, stride: int = 1, n_steps: int = 4) -> Path:
    """A convolution over both polarities, a layer of LIF and a readout, with random weights."""
    rng = np.random.default_rng(0)
    shape = (3, *((size - 1) // stride + 1 for size in sensor))
    numbers = {"beta": np.array(0.5), "v_threshold": np.array(1.0), "v_reset": np.array(0.0)}
    nodes = [
        Input(name="input", shape=(2, *sensor)),
        Conv(name="conv", weight=rng.normal(size=(3, 2, 3, 3)), stride=(stride, stride), padding=(1, 1)),
        NeuronLayer(name="spikes", shape=shape, neuron=LIF(**numbers)),
        Flatten(name="flat"),
        Dense(name="readout", weight=rng.normal(size=(3, int(np.prod(shape))))),
        Output(name="output"),
    ]
    names = [node.name for node in nodes]
    edges = [Edge(source=a, target=b) for a, b in pairwise(names)]
    write(build(nodes, edges, dt_s=1e-3, n_steps=n_steps), path)
    return path


@pytest.fixture
def file(tmp_path):
    return network(tmp_path / "network.nir")


@pytest.fixture
def samples(tmp_path):
    return write_events(tmp_path / "events.npz", recordings(30), np.arange(30) % 3)


def input_events(simulation):
    """Events that the input sent, by what was executed."""
    return simulation.trace.executed.total("input_events")


@pytest.mark.parametrize("value", ["count", "binary"])
def test_in_spike_code_the_input_sends_what_is_not_zero(file, samples, value):
    cut = {"bin_us": 1000, "bin_value": value}
    x, _ = open_data(samples, **cut).load()
    assert input_events(simulate(file, data=samples, **cut, code="spike")) == np.count_nonzero(x)


def test_with_bins_of_one_event_per_pixel_and_polarity_the_input_sends_every_event_of_the_camera(file, tmp_path):
    apart = [np.unique(sample) for sample in recordings(20, longest=50)]  # no two at one place and time
    path = write_events(tmp_path / "events.npz", apart)
    simulation = simulate(file, data=path, bin_us=1, code="spike")
    assert input_events(simulation) == sum(map(len, apart))


def test_spikes_are_those_of_the_reference(file, samples, tmp_path):
    simulate(file, data=samples, bins=5, record=tmp_path / "spikes.npz", batch=7)
    x, _ = open_data(samples, bins=5).load()
    sent = reference.run(read_program(file), x.swapaxes(0, 1))
    with np.load(tmp_path / "spikes.npz") as recorded:
        np.testing.assert_array_equal(recorded["spikes"].swapaxes(0, 1), sent["spikes"])


def test_the_report_says_how_events_were_cut(file, samples, call, tmp_path):
    words = ["simulate", file, "--data", samples, "--bin-us", 1000]
    n_longer = sum(np.ptp(sample["t"]) >= 3000 for sample in recordings(30) if len(sample))
    called = call(*words, "--steps", 3, "--out", tmp_path / "out")
    assert (
        "events of a camera of 6 x 4 pixels in 3 time steps of 1,000 us, counts, off and on events apart; "
        f"{n_longer} samples are longer, and cut"
    ) in called.out
    assert "3 time steps of 1,000 us, counts" in (tmp_path / "out/report.html").read_text()
    data = json.loads(call(*words, "--json").out)["data"]
    assert (data["n_steps"], data["static"]) == (5, False)
    assert data["binned"] == {
        "bin_us": 1000, "bins": None, "bin_value": "count", "downsample": 1, "n_steps": 5,
        "sensor": [6, 4], "polarities": 2, "samples_cut": 0,
    }  # fmt: skip
    fewer = call("simulate", file, "--data", samples, "--bins", 6, "--steps", 4)
    assert "in 6 time steps of equal length from first to last event, counts, " in fewer.out
    assert "; the first 4 of them are executed" in fewer.out
    assert json.loads(call(*words, "--json", "--steps", 9).out)["data"]["n_steps"] == 9


def test_workers_read_the_events_themselves(file, samples):
    alone, shared = (
        simulate(file, data=samples, bin_us=1000, steps=4, batch=5, workers=n).as_json() for n in (None, 2)
    )
    assert alone == shared


@pytest.mark.parametrize("code", ["delta", "spike", "auto"])
def test_counts_of_every_code_are_those_of_the_same_frames_from_a_file(file, samples, tmp_path, code):
    x, y = open_data(samples, bins=6).load()
    np.savez(tmp_path / "frames.npz", x=x, y=y)
    events = simulate(file, data=samples, bins=6, code=code).as_json()
    frames = simulate(file, data=str(tmp_path / "frames.npz"), code=code).as_json()
    for part in ("accuracy", "layers", "steps", "totals"):
        assert events[part] == frames[part]


def test_a_camera_of_other_pixels_is_refused_with_the_factor_that_helps(tmp_path, samples):
    small = network(tmp_path / "small.nir", sensor=(3, 2))
    with pytest.raises(BadData, match=r"\(got \[5, 2, 6, 4\]\)\. Use downsample=2, which fits"):
        simulate(small, data=samples, bin_us=1000)
    whole = network(tmp_path / "whole.nir")
    with pytest.raises(BadData, match="Use downsample=1, which fits"):
        simulate(whole, data=samples, bin_us=1000, downsample=2)
    assert simulate(small, data=samples, bin_us=1000, downsample=2).trace.n_samples == 30


def test_training_takes_events_and_every_command_takes_the_run(samples, tmp_path, one_thread):
    cut: dict[str, Any] = {"data": samples, "bins": 4}
    run = train(tmp_path / "run", **cut, network="mlp", method="tet", epochs=1, batch=16)
    found = run.recorded
    assert (found["options"]["steps"], found["options"]["bins"], found["data"]["input_shape"]) == (4, 4, [2, 6, 4])
    assert verify(run, **cut, against=("torch", "reference", "event", "integer")).passed
    assert analyze(run, **cut, samples=8).as_json()["samples"] == 8
    assert export(run, target="nir", out=tmp_path / "q.nir", bits=8, **cut).calibration
    pruned = prune(run, data=samples, out=tmp_path / "pruned", rounds=1, epochs=1, fisher_samples=8)
    assert pruned["rounds"][-1]["sparsity"] > 0.7
    grid = {"out": tmp_path / "sweep", "codes": ("spike",), "profiles": ("cmos45-horowitz",)}
    kept = [sweep([run], data=samples, bins=n, **grid)["grid"]["binning"] for n in (4, 2)]
    assert [each["bins"] for each in kept] == [4, 2]


def test_a_run_on_windows_has_the_steps_of_the_longest_sample_or_those_that_are_given(
    samples, tmp_path, call, one_thread
):
    options = {"data": samples, "bin_us": 1000, "network": "mlp", "method": "tet", "epochs": 1}
    longest, given = (train(tmp_path / f"run{n}", **steps, **options) for n, steps in enumerate(({}, {"steps": 3})))
    assert (longest.recorded["options"]["steps"], given.recorded["options"]["steps"]) == (5, 3)
    assert read_program(given).n_steps == 3
    (tmp_path / "tdd.toml").write_text("[train]\nbin_us = 1000\nbin_value = 'binary'\ndownsample = 2\nepochs = 1\n")
    words = (
        "train",
        "--config",
        tmp_path / "tdd.toml",
        "--network",
        "mlp",
        "--method",
        "tet",
        "--out",
        tmp_path / "run",
    )
    assert call(*words, "--data", samples).code == 0
    assert json.loads((tmp_path / "run/train.json").read_text())["data"]["input_shape"] == [2, 3, 2]
    with pytest.raises(BadOptions, match="bin_us must be 1000, as the run began \\(got 500\\)"):
        train(tmp_path / "run", resume=True, bin_us=500)


def test_an_ann_takes_no_events(samples, tmp_path):
    with pytest.raises(BadOption, match="bins cannot be combined with method=ann"):
        train(tmp_path / "run", data=samples, bins=4, method="ann")


def test_binning_without_data_is_refused(file, tmp_path):
    with pytest.raises(BadOptions, match="bins needs data"):
        export(file, target="nir", out=tmp_path / "out.nir", bits=8, bins=3)


def test_a_damaged_file_is_refused_by_name(file, samples):
    path = Path(samples)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BadFile, match=r"events\.npz is damaged"):
        simulate(file, data=samples, bins=3)


@pytest.fixture(scope="module")
def real_recordings(tmp_path_factory):
    """Recordings of a DVS128: arrays t_i (us), x_i, y_i and p_i."""
    folder = os.environ.get("TDD_DEPLOY_DATA")
    if folder and (path := Path(folder) / "dvs128-objects.npz").exists():
        return path
    if not UNPACK.exists():
        pytest.skip("no real recordings: neither $TDD_DEPLOY_DATA/dvs128-objects.npz nor ../shared/data/unpack.py")
    folder = tmp_path_factory.mktemp("camera")
    subprocess.run([sys.executable, "-B", UNPACK, folder, "dvs128-objects"], check=True, capture_output=True)
    return folder / "dvs128-objects.npz"


@pytest.fixture(scope="module")
def windows(real_recordings):
    """Two recordings in windows of 50 ms."""
    cut = []
    with np.load(real_recordings) as data:
        for i in (0, 7):
            events = np.zeros(len(data[f"t_{i}"]), EVENT)
            for name in EVENT.names:
                events[name] = data[f"{name}_{i}"]
            cut += np.split(events, np.searchsorted(events["t"], np.arange(WINDOW_US, 10**7 + 1, WINDOW_US)))[:200]
    return cut


def bins_of(window):
    """A number for each event's time step of 1 ms, polarity and pixel."""
    t, x, y, p = (window[name].astype(np.int64) for name in "txyp")
    return (((t - t[:1]) // 1000 * 2 + p) * 128 + y) * 128 + x


def test_a_real_camera_s_events_are_the_input_s(windows, tmp_path):
    """A pixel that says the same twice in a millisecond is one event, worth 2."""
    path = write_events(tmp_path / "events.npz", windows, sensor=(128, 128))
    network(tmp_path / "network.nir", sensor=(128, 128), stride=4)
    simulation = simulate(tmp_path / "network.nir", data=path, bin_us=1000, code="spike", batch=8)
    assert input_events(simulation) == sum(len(np.unique(bins_of(window))) for window in windows)
    batches = open_data(path, bin_us=1000).batches(8)
    assert sum(float(batch.x.sum()) for batch in batches) == sum(map(len, windows))


def test_where_no_pixel_of_a_real_camera_says_the_same_twice_the_input_sends_its_every_event(windows, tmp_path):
    short = [part for window in windows for part in np.split(window, np.searchsorted(window["t"] % WINDOW_US, TENTHS))]
    plain = [window for window in short if len(np.unique(bins_of(window))) == len(window)]
    path = write_events(tmp_path / "events.npz", plain, sensor=(128, 128))
    network(tmp_path / "network.nir", sensor=(128, 128), stride=4)
    simulation = simulate(tmp_path / "network.nir", data=path, bin_us=1000, code="spike", batch=8)
    assert input_events(simulation) == sum(map(len, plain))
    assert sum(map(len, plain)) > 10_000


def test_long_recordings_come_in_smaller_batches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = write_events(tmp_path / "events.npz", recordings(5))
    path = network(tmp_path / "network.nir")
    whole = simulate(path, data=data, bins=4, code="delta").as_json()["totals"]
    taken: list[int] = []
    batches = runtime_inputs.Source.batches

    def watched(self: runtime_inputs.Source, size: int, **given: Any) -> Any:
        taken.append(size)
        return batches(self, size, **given)

    monkeypatch.setattr(runtime_inputs, "LARGEST_BATCH", 2 * 4 * 2 * SENSOR[0] * SENSOR[1])
    monkeypatch.setattr(runtime_inputs.Source, "batches", watched)
    assert simulate(path, data=data, bins=4, code="delta").as_json()["totals"] == whole
    assert taken == [2]
