import copy
import json

import pytest

from tdd_deploy.shapes import Each, ListOf, Maybe, Table
from tdd_deploy.simulator.reports.shape import REPORT, report_fault
from tests import by_hand


def whole():
    """A report with a placement, energies and a baseline."""
    changed = {"baselines": (by_hand.ANN_BASELINE,), "models": {"cmos45-memory": 1.0}}
    return json.loads(json.dumps(by_hand.simulation("cmos45-memory", **changed).as_json()))


def places(shape, found, where=()):
    """Yield the path of everything in a document that its shape names."""
    if isinstance(shape, Maybe) and found is not None:
        yield from places(shape.shape, found, where)
        return
    if where:
        yield where
    if isinstance(shape, Table):
        for name, part in shape.parts.items():
            yield from places(part, found[name], (*where, name))
    if isinstance(shape, ListOf):
        yield from places(shape.shape, found[0], (*where, 0))
    if isinstance(shape, Each):
        name = next(iter(found))
        yield from places(shape.shape, found[name], (*where, name))


PLACES = list(places(REPORT, whole()))


def changed(path, value):
    report = copy.deepcopy(whole())
    holder = report
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return report


def test_a_report_has_its_shape():
    assert len(PLACES) > 80
    assert report_fault(whole()) == ""
    assert report_fault(json.loads(json.dumps(by_hand.simulation(energies=()).as_json()))) == ""


@pytest.mark.parametrize("path", PLACES, ids=str)
def test_another_type_anywhere_is_named_by_its_place(path):
    fault = report_fault(changed(path, [{}] if path[-1] != "samples" else "text"))
    assert str(path[-1]).removeprefix("0") in fault
    assert fault.startswith("is damaged: ")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("steps", 2, "energy_pj"), "x", 'steps[2].energy_pj must be a number (got "x")'),
        (("totals", "samples"), 0, "totals.samples must be a whole number, 1 or more (got 0)"),
        (("accuracy",), 1.5, "accuracy must be a number, 0 to 1 (got 1.5)"),
        (("data", "input", "scale"), 0, "data.input.scale must be a number above 0 (got 0)"),
        (("energies", 0, "high_pj"), None, "energies[0] has only one of low_pj and high_pj"),
        (("energies", 0, "comparison", "most_favorable"), 99, "most_favorable names row 99 of 18"),
        (("energies", 0, "comparison", "rows", 0, "skips_zeros"), 1, "skips_zeros must be true or false (got 1)"),
    ],
)
def test_a_number_that_tables_could_not_use_is_named(path, value, words):
    assert words in report_fault(changed(path, value))
