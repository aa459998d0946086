"""Tables of trained networks: every row with its early exits, and several processes at one table."""

import json
from pathlib import Path

import pytest

from benchmarks.training import grid
from benchmarks.training.grid import Table, locked

ROWS = {"tet": {"steps": 2}, "tet one step": {"steps": 1}}
COMMON = {"data": "digits", "network": "mlp", "method": "tet", "epochs": 1, "device": "cpu"}


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    monkeypatch.setattr(grid, "RESULTS", tmp_path / "results")
    return Table("small", COMMON, ROWS, seeds=(0, 1), test_samples=50)


def test_a_row_holds_its_early_exits_and_one_step_has_none(table: Table, tmp_path: Path) -> None:
    table.run(tmp_path / "runs", seeds=(1,))
    two, one = table.measured()
    assert [(row["name"], row["seed"]) for row in (two, one)] == [("tet", 1), ("tet one step", 1)]
    assert one["exit"] == {}
    assert list(two["exit"]) == ["0.1", "0.5"]
    for found in two["exit"].values():
        assert 1 <= found["mean_steps"] <= 2 == two["mean_steps"]
        assert found["comparison_adds"] == pytest.approx(20 * found["mean_steps"])
        assert found["delta_events"] == pytest.approx(sum(found["delta_events_by_step"]))
        assert found["delta_events"] <= two["delta_events"]
        assert found["delta_synops"] <= two["delta_synops"]
        assert found["validation_samples"] == 200
        assert found["expected_points"] == pytest.approx(100 / 201)
    # A deleted row is measured again from its run folder.
    document = json.loads(table.path.read_text())
    table.path.write_text(json.dumps({**document, "rows": document["rows"][1:]}))
    table.run(tmp_path / "runs", only="tet", seeds=(1,))
    assert table.measured() == [one, two]


def test_a_row_that_another_process_measures_is_left_to_it(table: Table, tmp_path: Path) -> None:
    with locked(tmp_path / "runs/small/tet_one_step_0.lock", wait=False) as is_free:
        assert is_free
        table.run(tmp_path / "runs", only="one", seeds=(0,))
    assert table.measured() == []
