"""What a simulation gives in an interactive session: the network of by_hand.py, two samples, three steps."""

import re
import sys
from types import ModuleType

import numpy as np
import pytest

from tdd_deploy.errors import BadOption
from tests import by_hand

OUTPUTS = np.array([[0.5, 2.0, 2.0], [3.0, 1.0, 0.0], [0.0, 0.0, 0.0]])


@pytest.fixture
def without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)  # as if it were not installed


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


def test_a_simulation_shows_its_verdict():
    simulated = by_hand.simulation("cmos45-horowitz")
    line, *others = repr(simulated).splitlines()
    assert line == simulated.verdict["line"]
    assert len(others) <= 8 + len(simulated.verdict["caveats"])
    # Of both samples: 15 operations, 13 of them ACs of 0.9 pJ and 2 MACs of 4.6 pJ; 20 in spike code.
    assert "7.50 executed; 10 as plain spikes" in repr(simulated)
    assert "47.0 pJ by cmos45-horowitz; 60.3 pJ as plain spikes" in repr(simulated)
    assert "`" not in repr(by_hand.simulation(None, n_correct=None))


def test_a_notebook_shows_the_same_and_needs_no_other_file():
    simulated = by_hand.simulation("cmos45-horowitz")
    source = simulated._repr_html_()
    for _, text in simulated.verdict["summary"]:
        assert text in source
    assert simulated.verdict["line"] in source
    assert not {"script", "link", "img", "style"} & set(re.findall(r"<(\w+)", source))
    assert "://" not in source


def test_names_in_a_notebook_are_escaped():
    source = by_hand.simulation(data=by_hand.DATA | {"name": "<script>alert(1)</script>"})._repr_html_()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in source
    assert "<script" not in source
