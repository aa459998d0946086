"""What a simulation shows in an interactive session: the network of by_hand.py, two samples, three steps."""

import re
import sys
from types import ModuleType

import numpy as np
import pytest

from tdd_deploy.errors import BadOption
from tdd_deploy.simulator.hardware.profiles import load_profile
from tdd_deploy.simulator.reports.report import priced
from tests import by_hand

OUTPUTS = np.array([[0.5, 2.0, 2.0], [3.0, 1.0, 0.0], [0.0, 0.0, 0.0]])


@pytest.fixture
def without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)  # as if it were not installed


def simulation_by(*names):
    plain = by_hand.simulation(None)
    energies = [priced(plain.trace, load_profile(name), plain.program) for name in names]
    return by_hand.simulation(None, energies=tuple(energies))


def test_predictions_are_the_first_largest_of_the_summed_outputs():
    simulated = by_hand.simulation(outputs=OUTPUTS)
    assert simulated.outputs is OUTPUTS
    assert simulated.predictions.tolist() == [1, 0, 0]
    assert simulated.predictions.dtype == np.int64


def test_without_outputs_there_are_no_predictions():
    simulated = by_hand.simulation()
    assert (simulated.outputs, simulated.predictions) == (None, None)


def test_outputs_are_not_in_the_report():
    assert by_hand.simulation(outputs=OUTPUTS).as_json() == by_hand.simulation().as_json()


def test_layers_and_steps_are_the_rows_of_the_report():
    simulated = by_hand.simulation()
    report = simulated.as_json()
    assert (simulated.layers, simulated.steps) == (report["layers"], report["steps"])


@pytest.mark.parametrize(("by", "first"), [("layer", "name"), ("step", "step")])
def test_without_pandas_a_frame_is_a_dict_of_columns(without_pandas, by, first):
    simulated = by_hand.simulation()
    rows = simulated.as_json()[f"{by}s"]
    columns = simulated.to_frame(by=by)
    assert next(iter(columns)) == first
    for name in (first, "spikes", "synops_effective", "energy_pj"):
        assert columns[name] == [row[name] for row in rows]
    assert columns["delta_code_events"] == [row["delta_code"]["events"] for row in rows]
    assert {len(column) for column in columns.values()} == {len(rows)}


def test_a_frame_has_a_row_per_layer_by_default(without_pandas):
    assert by_hand.simulation().to_frame() == by_hand.simulation().to_frame(by="layer")


def test_with_pandas_a_frame_is_a_data_frame(monkeypatch, without_pandas):
    columns = by_hand.simulation().to_frame()
    pandas = ModuleType("pandas")
    pandas.DataFrame = lambda data: ("frame", data)
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    assert by_hand.simulation().to_frame() == ("frame", columns)


def test_a_frame_by_another_word_is_refused():
    with pytest.raises(BadOption, match=r"^by must be layer or step \(got 'steps'\)\. Did you mean step\?$"):
        by_hand.simulation().to_frame(by="steps")


def test_the_text_shows_accuracy_samples_steps_synops_of_both_codes_and_energy():
    # Of both samples: 7 spikes and 4 changes; 15 synops executed, 13 of them ACs of 0.9 pJ and 2 MACs of 4.6 pJ;
    # 20 in spike code, 13 ACs and 7 MACs. 12 updates of 5.5 pJ, 6 outputs and 2 biases (6 in spike code) of 0.9 pJ.
    totals = by_hand.simulation().as_json()["totals"]
    in_delta_code = totals["delta_code"]["synops_effective"]
    dense = totals["dense"]
    assert repr(simulation_by("cmos45-horowitz")).splitlines() == [
        "Simulation of by hand (test), auto code; means over samples",
        "  samples                  2, 3 time steps",
        "  accuracy                 50.0 %",
        "  events                   3.50 spikes, 2 delta events",
        f"  synops                   7.50 executed, 10 in spike code, {in_delta_code / 2:g} in delta code, "
        f"{dense / 2:g} dense",
        "  energy, cmos45-horowitz  0.0470 nJ executed, 0.0603 nJ in spike code, dynamic",
    ]


def test_the_text_states_what_is_not_known():
    text = repr(by_hand.simulation(None, n_correct=None))
    assert "accuracy  not known: the data have no labels" in text
    assert "energy" not in text
    assert "nothing has a price" in repr(simulation_by("loihi2"))


def test_the_text_has_ten_lines_at_most():
    names = ("cmos45-horowitz", "cmos45-memory", "loihi1-davies2018", "truenorth", "odin", "loihi2", "speck")
    lines = repr(simulation_by(*names)).splitlines()
    assert len(lines) == 10
    assert lines[-1].split(maxsplit=1) == ["energy", "by 3 more profiles"]


def test_the_table_shows_the_same_and_needs_no_other_file():
    simulated = simulation_by("cmos45-horowitz")
    source = simulated._repr_html_()
    title, *lines = repr(simulated).splitlines()
    shown = re.sub(r"<[^>]*>", "|", source)
    assert title in shown
    for line in lines:
        assert re.sub(r"\s{2,}", "||", line.strip()) in shown
    assert not {"script", "link", "img", "style"} & set(re.findall(r"<(\w+)", source))
    assert "://" not in source


def test_names_in_the_table_are_escaped():
    source = by_hand.simulation(data=by_hand.DATA | {"name": "<script>alert(1)</script>"})._repr_html_()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in source
    assert "<script" not in source
