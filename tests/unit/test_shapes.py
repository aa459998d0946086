import pytest

from tdd_deploy.shapes import (
    COUNT,
    FRACTION,
    NUMBER,
    POSITIVE,
    TEXT,
    Each,
    ListOf,
    Maybe,
    Number,
    Table,
    fault_in,
)

STEP = Table({"step": POSITIVE, "energy_pj": Maybe(NUMBER)})
SHAPE = Table({"steps": ListOf(STEP, least=1), "names": Each(TEXT), "part": FRACTION})
GOOD = {
    "steps": [{"step": 1, "energy_pj": 0.5}, {"step": 2, "energy_pj": None}],
    "names": {},
    "part": 1,
}


def test_a_document_of_its_shape_has_no_fault():
    assert fault_in(GOOD, SHAPE) == ""
    assert fault_in({**GOOD, "more": object(), "names": {"a b": "c"}}, SHAPE) == ""


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"steps": [{"step": 1, "energy_pj": "x"}]}, 'steps[0].energy_pj must be a number (got "x")'),
        ({"steps": [{"step": 0, "energy_pj": 1}]}, "steps[0].step must be a whole number, 1 or more (got 0)"),
        ({"steps": [{"step": 1.5, "energy_pj": 1}]}, "steps[0].step must be a whole number, 1 or more (got 1.5)"),
        ({"steps": [{"step": True, "energy_pj": 1}]}, "steps[0].step must be a whole number, 1 or more (got true)"),
        ({"steps": [{"step": 1}]}, "steps[0].energy_pj is missing"),
        ({"steps": [GOOD["steps"][0], []]}, "steps[1] must be a table (got a list)"),
        ({"steps": {"a": 1}}, "steps must be a list (got a table)"),
        ({"steps": []}, "steps must be a list of 1 or more (got 0 values)"),
        ({"names": {"a b": None}}, 'names["a b"] must be a text (got null)'),
        ({"names": 1}, "names must be a table (got 1)"),
        ({"part": 1.5}, "part must be a number, 0 to 1 (got 1.5)"),
        ({"part": "é" * 100}, "part must be a number, 0 to 1 (got " + '"' + r"\u00e9" * 9 + r"\u00e9"[:5] + "...)"),
    ],
)
def test_the_first_fault_is_named_by_its_place(changed, words):
    assert fault_in({**GOOD, **changed}, SHAPE) == f"is damaged: {words}"


def test_a_document_that_is_no_table_is_reported():
    assert fault_in([], SHAPE) == "is damaged: all of it must be a table (got a list)"


@pytest.mark.parametrize(
    ("number", "found", "words"),
    [
        (Number(least=0, above=True), 0, "a number above 0"),
        (COUNT, -1, "a whole number, 0 or more"),
        (NUMBER, True, "a number"),
        (NUMBER, None, "a number"),
    ],
)
def test_a_number_out_of_bounds_is_refused_with_its_range(number, found, words):
    assert number.fault(found).allowed == words
    assert number.fault(3) is None
