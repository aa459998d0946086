"""Read what simulate wrote: one report, or several side by side."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from tdd_deploy.documents import read_json
from tdd_deploy.errors import BadFile
from tdd_deploy.shapes import shown
from tdd_deploy.simulator.reports.report import SCHEMA_VERSION
from tdd_deploy.simulator.reports.shape import report_fault

MOST_BYTES = 512 << 20  # 100,000 time steps take 94 MiB
REMEDY = "Name a folder that simulate wrote with `out`."
PARTS = {"schema_version", "program", "data", "steps", "layers", "totals", "energies"}


def report(path: str | PathLike[str]) -> dict[str, Any]:
    """Read a report.

    Args:
        path: the folder that ``simulate`` wrote, or the report.json in it.

    Raises:
        BadFile: no such file, no report, or a damaged one; the error names the place.
    """
    path = Path(path)
    file = path / "report.json" if path.is_dir() else path
    found = read_json(file, REMEDY, most=MOST_BYTES)
    if not isinstance(found, dict) or not found.keys() >= PARTS:
        raise BadFile(file, "is no report of a simulation", REMEDY)
    if found["schema_version"] != SCHEMA_VERSION:
        version = f"is a report of schema {shown(found['schema_version'])}, not {SCHEMA_VERSION}"
        raise BadFile(file, version, "Simulate again.")
    if fault := report_fault(found):
        raise BadFile(file, fault, "Simulate again.")
    return found


def compare(paths: Sequence[str | PathLike[str]]) -> dict[str, dict[str, Any]]:
    """Read several reports, by the name of their folder, or by their path where two names are equal.

    Raises:
        BadFile: see ``report``.
    """
    files = [Path(path) for path in paths]
    names = [(file if file.is_dir() else file.parent).resolve().name for file in files]
    if len(set(names)) < len(names):
        names = [str(file) for file in files]
    return {name: report(file) for name, file in zip(names, files, strict=True)}
