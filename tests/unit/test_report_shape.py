import copy
import json
from dataclasses import replace

import jsonschema
import pytest

from tdd_deploy.commands.pricing import Prices, price
from tdd_deploy.commands.schema import schema as schema_of
from tdd_deploy.options.pricing import Pricing
from tdd_deploy.shapes import Anything, Each, ListOf, Maybe, Table
from tdd_deploy.simulator.reports.shape import REPORT, report_fault
from tests import by_hand


def whole():
    """A report with a placement, energies and a baseline."""
    simulated = by_hand.simulation(None)
    simulated = price(simulated, Prices.of(Pricing(energy=True)))
    simulated = replace(simulated, baselines=(by_hand.ANN_BASELINE,))
    return json.loads(json.dumps(simulated.as_json()))


def places(shape, found, where=()):
    """Yield the path of everything in a document that its shape names."""
    if isinstance(shape, Maybe) and found is not None:
        yield from places(shape.shape, found, where)
        return
    if where and not isinstance(shape, Anything):
        yield where
    if isinstance(shape, Table):
        for name, part in shape.parts.items():
            yield from places(part, found[name], (*where, name))
    if isinstance(shape, ListOf):
        for i in {0, len(found) - 1} if found else ():
            yield from places(shape.shape, found[i], (*where, i))
    if isinstance(shape, Each):
        for name in list(found)[:1]:
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
    fault = report_fault(changed(path, object()))
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
        (("energies", 0, "comparison", "rows", 0, "baseline"), 1, "rows[0].baseline names baseline 1 of 1"),
        (("energies", 0, "comparison", "rows", 0, "skips_zeros"), 1, "skips_zeros must be true or false (got 1)"),
    ],
)
def test_a_number_that_tables_could_not_use_is_named(path, value, words):
    assert words in report_fault(changed(path, value))


def test_the_schema_holds_for_real_reports_and_names_every_key():
    schema = schema_of("report")
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for report in (whole(), json.loads(json.dumps(by_hand.simulation(None, n_correct=None).as_json()))):
        validator.validate(report)
        assert list(undeclared(schema, report)) == []
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(changed(("totals", "samples"), "two"))


def undeclared(schema, found, where=""):
    """Yield the place of every key that a schema does not name."""
    schema = schema.get("anyOf", [schema])[0]
    if isinstance(found, dict) and "properties" in schema:
        for name, value in found.items():
            if name not in schema["properties"]:
                yield f"{where}.{name}"
            else:
                yield from undeclared(schema["properties"][name], value, f"{where}.{name}")
    elif isinstance(found, list) and "items" in schema:
        for value in found:
            yield from undeclared(schema["items"], value, f"{where}[]")
