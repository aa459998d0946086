import csv
import json
import sys
from itertools import pairwise
from typing import Any

import nir
import numpy as np
import pytest

import tdd_deploy as td
from tdd_deploy import sweep
from tdd_deploy.commands import sweep as commands_sweep
from tdd_deploy.commands.sweep import pareto
from tdd_deploy.errors import BadFile, BadOption, Interrupted, MissingDependency
from tdd_deploy.importers import AmbiguousGraph
from tdd_deploy.simulator.reports.sweep_picture import accuracy_by_energy

PROFILES = ("loihi2", "cmos45-horowitz")  # the first has no prices


def swept(run_folder, out, **changed):
    given = {"data": "digits", "samples": 10, "profiles": PROFILES, "out": out}
    return sweep([run_folder], **given | changed)


def watched(monkeypatch):
    """A list that receives the code of every point that is executed."""
    executed, execute = [], commands_sweep._Sweep.execute

    def run(self, path, point):
        executed.append(point.code)
        return execute(self, path, point)

    monkeypatch.setattr(commands_sweep._Sweep, "execute", run)
    return executed


def test_every_combination_is_one_run_of_simulate(run_folder, tmp_path):
    found = swept(run_folder, tmp_path / "out", bits=("float", 8), input_thresholds=(0.0, 0.25))
    keys = [(point["code"], point["bits"], point["input_threshold"]) for point in found["points"]]
    assert keys == [(code, n, theta) for code in ("delta", "spike") for n in (None, 8) for theta in (0.0, 0.25)]
    alone = td.simulate(
        run_folder, data="digits", samples=10, code="spike", input_threshold=0.25, energy=True, profiles=PROFILES[1:]
    ).as_json()
    point = found["points"][keys.index(("spike", None, 0.25))]
    assert point["accuracy"] == alone["accuracy"]
    assert point["synops_effective"] == alone["totals"]["synops_effective"] / 10
    assert point["energy_nj"] == {
        "loihi2": None,
        "cmos45-horowitz": pytest.approx(alone["energies"][0]["dynamic_pj"] / 1e4),
    }
    assert found["profile"] == "cmos45-horowitz"


def test_integers_are_those_that_export_writes(run_folder, tmp_path):
    (point,) = swept(run_folder, tmp_path / "out", codes=("delta",), bits=(4,))["points"]
    td.export(run_folder, target="nir", out=tmp_path / "q.nir", bits=4, data="digits")
    alone = td.simulate(tmp_path / "q.nir", data="digits", samples=10, code="delta")
    assert point["synops_effective"] == alone.trace.executed.total("synops_effective") / 10


def test_files_say_what_was_found(run_folder, tmp_path):
    out = tmp_path / "out"
    found = swept(run_folder, out)
    assert json.loads((out / "sweep.json").read_text()) == json.loads(json.dumps(found))
    with (out / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["code"] for row in rows] == ["delta", "spike"]
    assert [float(row["cmos45-horowitz_nj"]) for row in rows] == [
        point["energy_nj"]["cmos45-horowitz"] for point in found["points"]
    ]
    assert int(rows[0]["steps"]) == found["points"][0]["trained"]["steps"]
    picture = (out / "sweep.svg").read_text()
    assert "delta code, floats" in picture
    assert "cmos45-horowitz" in picture


def test_the_picture_names_what_differs_between_its_points() -> None:
    def point(**changes: object) -> dict[str, Any]:
        point = {"run": "runs/a", "code": "delta", "bits": None, "input_threshold": 0.0, "delta_threshold": None}
        return {**point, "energy_nj": {"p": 3.0}, "accuracy": 0.5, "is_best": True, **changes}

    others = [point(run="runs/b", energy_nj={"p": 1.0}), point(input_threshold=0.05), point(code="spike")]
    picture = accuracy_by_energy([point(), *others], "p")
    assert ">a, input threshold 0<" in picture
    assert ">b, input threshold 0<" in picture
    assert ">a, input threshold 0.05<" in picture
    assert "delta threshold" not in picture
    named = accuracy_by_energy([point(run="x/net.nir"), point(run="y/net.nir", energy_nj={"p": 1.0})], "p")
    assert ">x/net.nir<" in named


def test_a_stopped_sweep_goes_on_where_it_was(run_folder, tmp_path, monkeypatch):
    out, executed, progress = tmp_path / "out", watched(monkeypatch), []

    def stop(done, total):
        progress.append((done, total))
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=r"1 of 2 points are in .*; the same command continues"):
        swept(run_folder, out, progress=stop)
    assert (executed, progress) == (["delta"], [(0, 2), (1, 2)])
    resumed = swept(run_folder, out)
    assert executed == ["delta", "spike"]
    assert resumed == swept(run_folder, tmp_path / "whole")


@pytest.mark.parametrize("changed", [{"samples": 9}, {"seed": 1}, {"profiles": PROFILES[1:]}, {"split": "val"}])
def test_points_of_other_data_or_prices_are_not_kept(run_folder, tmp_path, monkeypatch, changed):
    out = tmp_path / "out"
    swept(run_folder, out, codes=("delta",))
    executed = watched(monkeypatch)
    swept(run_folder, out, codes=("delta",), **changed)
    assert executed == ["delta"]


@pytest.mark.parametrize("damage", ["", "{", '{"schema_version": 1}', '{"schema_version": 1, "grid": {}, "points": 5}'])
def test_what_is_damaged_is_done_again(run_folder, tmp_path, damage):
    out = tmp_path / "out"
    whole = swept(run_folder, out, codes=("delta",))
    (out / "sweep.json").write_text(damage)
    assert swept(run_folder, out, codes=("delta",)) == whole


@pytest.mark.parametrize(
    ("key", "value"), [("accuracy", "x"), ("energy_nj", {"loihi2": []}), ("trained", 1), ("bits", "4")]
)
def test_a_point_with_a_wrong_value_is_done_again(run_folder, tmp_path, key, value):
    out = tmp_path / "out"
    whole = swept(run_folder, out, codes=("delta",))
    damaged = {**whole, "points": [{**whole["points"][0], key: value}]}
    (out / "sweep.json").write_text(json.dumps(damaged))
    assert swept(run_folder, out, codes=("delta",)) == whole


def test_what_cannot_be_swept_is_refused_before_anything_runs(run_folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadFile, match=r"is a file\. Name a folder"):
        swept(run_folder, tmp_path / "file")
    td.export(run_folder, target="nir", out=tmp_path / "q.nir", bits=8)
    with pytest.raises(BadOption, match=r"bits needs programs in floats \(.*q\.nir is in integers already\)"):
        swept(tmp_path / "q.nir", tmp_path / "out", bits=("float", 4))
    assert not (tmp_path / "out").exists()


def test_the_best_are_those_that_no_other_beats():
    assert pareto([(1, 0.9), (2, 0.95), (2, 0.9), (3, 0.94), (1, 0.9)]) == [True, True, False, False, True]
    assert pareto([(None, 0.9), (1, None), (1, 0.5)]) == [False, False, True]


def test_a_file_of_another_tool_is_swept_in_its_dialect(tmp_path):
    nodes = {
        "in": nir.Input(np.array([2])),
        "fc": nir.Linear(np.full((3, 2), 0.5)),
        "lif": nir.LIF(tau=np.full(3, 3e-4), r=np.ones(3), v_leak=np.zeros(3), v_threshold=np.ones(3) / 4),
        "out": nir.Output(np.array([3])),
    }
    nir.write(tmp_path / "n.nir", nir.NIRGraph(nodes, [*pairwise(nodes)], type_check=False))
    np.savez(tmp_path / "x.npz", x=np.ones((2, 8, 2), np.float32))
    given = {"data": str(tmp_path / "x.npz"), "out": tmp_path / "out", "bits": ("float", 4), "profiles": PROFILES}
    with pytest.raises(AmbiguousGraph):
        sweep([tmp_path / "n.nir"], **given)
    found = sweep([tmp_path / "n.nir"], dialect="nir,dt=1e-4,integration=euler", **given)
    assert [point["spikes"] > 0 for point in found["points"]] == [True] * 4


def test_matplotlib_is_asked_for_before_anything_is_computed(monkeypatch, run_folder, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    executed = watched(monkeypatch)
    out = tmp_path / "out"
    with pytest.raises(MissingDependency, match=r"sweep\.svg needs matplotlib") as missing:
        swept(run_folder, out)
    assert missing.value.exit_code == 3
    assert (executed, out.exists()) == ([], False)
    for command in (td.simulate, td.analyze):
        with pytest.raises(MissingDependency, match="matplotlib"):
            command(run_folder, data="digits", samples=10, out=out)
    assert not out.exists()
    swept(run_folder, out, profiles=PROFILES[:1])  # without prices there is no picture
    assert executed == ["delta", "spike"]


def test_paths_are_no_formulas_of_a_spreadsheet(run_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "=cmd").symlink_to(run_folder)
    sweep(["=cmd"], data="digits", samples=10, profiles=PROFILES[:1], codes=("delta",), out=tmp_path / "out")
    with (tmp_path / "out" / "sweep.csv").open(newline="") as file:
        assert [row["run"] for row in csv.DictReader(file)] == ["'=cmd"]
