"""JSON Schemas of the files that users write or read: reports, hardware profiles and chips."""

from collections.abc import Callable, Mapping
from typing import Any

from tdd_deploy.options.vocabulary import Document
from tdd_deploy.simulator.hardware.chips import chip_schema
from tdd_deploy.simulator.hardware.profile_file import profile_schema
from tdd_deploy.simulator.reports.report import SCHEMA_VERSION
from tdd_deploy.simulator.reports.shape import REPORT

DRAFT = "https://json-schema.org/draft/2020-12/schema"
SCHEMAS: Mapping[Document, tuple[str, Callable[[], dict[str, Any]]]] = {
    "report": (f"report.json of tdd-deploy, schema version {SCHEMA_VERSION}", REPORT.schema),
    "profile": ("hardware profile of tdd-deploy, as TOML", profile_schema),
    "chip": ("chip of tdd-deploy, as TOML", chip_schema),
}


def schema(document: Document) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a kind of document."""
    title, of = SCHEMAS[document]
    return {"$schema": DRAFT, "title": title, **of()}
