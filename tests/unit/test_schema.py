"""JSON Schemas of profiles and chips hold for the files of the package, and for no damaged ones."""

import copy
import tomllib
from pathlib import Path

import jsonschema
import pytest

from tdd_deploy.commands.schema import SCHEMAS
from tdd_deploy.commands.schema import schema as schema_of
from tdd_deploy.simulator.reports.shape import report_fault
from tests.unit.test_report_redo import REPORTS

HARDWARE = Path(__file__).parents[2] / "simulator" / "hardware"
FILES = [(kind, path) for kind in ("profile", "chip") for path in sorted((HARDWARE / f"{kind}s").glob("*.toml"))]


def validator(kind):
    schema = schema_of(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_there_are_files_of_both_kinds():
    assert {kind for kind, _ in FILES} == SCHEMAS.keys() - {"report"}


@pytest.mark.parametrize(("kind", "path"), FILES, ids=lambda each: getattr(each, "stem", each))
def test_every_file_of_the_package_fits_and_a_damaged_one_does_not(kind, path):
    content, check = tomllib.loads(path.read_text(encoding="utf-8")), validator(kind)
    check.validate(content)
    for damage in ({"name": 3}, {"no_such_key": 1}):
        with pytest.raises(jsonschema.ValidationError):
            check.validate({**content, **damage})
    for name in ("name", "title"):
        damaged = copy.deepcopy(content)
        del damaged[name]
        with pytest.raises(jsonschema.ValidationError):
            check.validate(damaged)


@pytest.mark.parametrize("of", REPORTS)
def test_real_reports_fit_their_schema_and_without_any_of_their_parts_they_do_not(of, tmp_path):
    report, check = of(tmp_path), validator("report")
    check.validate(report)
    assert report_fault(report) == ""
    for name in report:
        with pytest.raises(jsonschema.ValidationError):
            check.validate({key: value for key, value in report.items() if key != name})
    (energy, *_) = report["energies"]
    for name in energy:
        damaged = {**report, "energies": [{key: value for key, value in energy.items() if key != name}]}
        with pytest.raises(jsonschema.ValidationError):
            check.validate(damaged)
        assert name in report_fault(damaged)
