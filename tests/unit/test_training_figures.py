"""Pictures: what they are made of, and that they are whole files of the right size."""

import struct
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tdd_deploy.errors import MissingDependency
from tdd_deploy.training import figures
from tdd_deploy.training.analysis import Analysis, Findings
from tdd_deploy.training.compared import Curve
from tdd_deploy.training.diagnostics import Activity
from tdd_deploy.training.theory import Differences


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "DPI", 40)


def size_of(path: Path) -> tuple[int, int]:
    """Width and height as a PNG's header says them."""
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def raster(*shape, seed=0):
    return np.random.default_rng(seed).random(shape) < 0.3


def report(n_steps=4, layers=("conv1_spikes", "fc1_spikes"), epochs=()):
    spikes = {name: raster(n_steps, 3, 20, seed=row) for row, name in enumerate(layers)}
    spikes[layers[-1]][1:] = 0  # some shares are not defined
    analysis = Analysis(
        program="0",
        network="mlp",
        data={"name": "digits", "split": "test"},
        shapes=dict.fromkeys(layers, (20,)),
        findings=Findings(
            Activity.of(spikes, {name: np.ones(20) for name in layers}), Differences.of(spikes), (), (), None
        ),
        map_norms={},
        epochs=epochs,
    )
    return analysis.as_json()


def test_channels_stand_side_by_side_with_gaps_between() -> None:
    values = np.arange(3)[:, None, None] * np.ones((3, 1, 2)) + 1  # three channels of 1 x 2
    gap = np.nan
    by_hand = [[1, 1, gap, 2, 2], [gap] * 5, [3, 3, gap, gap, gap]]
    np.testing.assert_array_equal(figures.mosaic(values, np.arange(3)), by_hand)


def test_a_layer_without_channels_is_a_block() -> None:
    by_hand = [[0, 1, 2], [3, 4, np.nan]]
    np.testing.assert_array_equal(figures.mosaic(np.arange(5), np.arange(5)), by_hand)


def test_the_busiest_channels_are_shown_in_their_own_order() -> None:
    spikes = np.zeros((2, 20, 3, 3), np.int8)
    spikes[0, 5:] = 1
    spikes[1, 7, 0, 0] = 1
    assert figures.busiest(spikes).tolist() == [0, *range(5, 20)]  # of those that were silent, the first


@pytest.mark.parametrize("shape", [(4, 20, 6, 5), (4, 2, 8, 8), (4, 30), (12, 3, 4, 4)])
def test_feature_maps_are_drawn_for_any_layer(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "features.png"
    figures.feature_maps(path, raster(*shape), layer="conv1_spikes", sample="sample 0")
    width, _ = size_of(path)
    assert width == int((1.75 * min(shape[0], figures.STEPS) + 0.5) * 40)


@pytest.mark.parametrize("n_steps", [1, 2, 6])
def test_the_first_maps_have_one_row_and_three_steps_at_most(n_steps: int, tmp_path: Path) -> None:
    path = tmp_path / "features.png"
    maps = raster(n_steps, 20, 6, 5)
    figures.feature_maps(path, maps, layer="conv1_spikes", sample="sample 0", with_changes=False, most_steps=3)
    width, height = size_of(path)
    assert width == int((1.75 * min(n_steps, 3) + 0.5) * 40)
    figures.feature_maps(path, maps, layer="conv1_spikes", sample="sample 0", most_steps=3)
    assert size_of(path)[0] == width
    assert size_of(path)[1] > height + 80


@pytest.mark.parametrize("n_methods", [1, 9])
def test_methods_are_drawn_however_many_there_are(n_methods: int, tmp_path: Path) -> None:
    curves = [Curve(f"method {n}, reset to 1", (1, 2, 6), (1, 2 + n, 3), (1, 1, n)) for n in range(n_methods)]
    curves.append(Curve("a method with one run", (4,), (3,), (2,)))
    figures.method_curves(tmp_path / "curves.png", curves, title="Events", against="T")
    width, height = size_of(tmp_path / "curves.png")
    assert width == int(8.2 * 40)
    assert height > 150


@pytest.mark.parametrize("n_steps", [1, 4, 50])
def test_curves_are_drawn_for_any_number_of_steps_and_layers(n_steps: int, tmp_path: Path) -> None:
    found = report(n_steps, layers=["conv1_spikes", "fc1_spikes", "gate"])
    figures.event_curves(tmp_path / "events.png", found)
    size_of(tmp_path / "events.png")
    if n_steps > 1:
        figures.overlap_maps(tmp_path / "overlap.png", found)
        assert max(size_of(tmp_path / "overlap.png")) < 1300


def test_the_centroid_is_drawn_over_epochs_when_they_are_known(tmp_path: Path) -> None:
    path = tmp_path / "fisher.png"
    fisher = {"traces": [3.0, 1.0], "centroid": 1.25, "epochs": []}
    figures.fisher_curves(path, fisher)
    width, _ = size_of(path)
    figures.fisher_curves(path, {**fisher, "epochs": [{"epoch": 1, "centroid": 1.5}, {"epoch": 2, "centroid": 1.2}]})
    assert size_of(path)[0] == 2 * width
    figures.fisher_curves(path, {"traces": [0.0, 0.0], "centroid": None, "epochs": [{"epoch": 1, "centroid": None}]})
    assert size_of(path)[0] == width


def test_drawing_leaves_pyplot_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it would fail
    figures.feature_maps(tmp_path / "features.png", raster(2, 3, 4, 4), layer="a", sample="sample 0")
    figures.event_curves(tmp_path / "events.png", report())
    figures.overlap_maps(tmp_path / "overlap.png", report())


def test_without_matplotlib_the_install_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    figures.require()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependency, match=r"pip install 'tdd-deploy\[report\]'"):
        figures.require()


def test_on_and_off_differ_in_lightness_too() -> None:
    def lightness(color: str) -> float:
        red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
        return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255

    shades = [lightness(color) for color in (figures.APPEARED, figures.VANISHED, figures.SILENT)]
    assert all(after - before > 0.2 for before, after in pairwise(shades))
