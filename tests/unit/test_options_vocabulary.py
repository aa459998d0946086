"""The words of options are the keys of the tables that implement them; training's are in test_training_*.py."""

from collections.abc import Collection, Iterable

import pytest

from tdd_deploy.exporters import TARGETS
from tdd_deploy.importers.nir.dialects import DIALECTS
from tdd_deploy.options import vocabulary
from tdd_deploy.simulator.reports.tables import FORMATS, TABLES


@pytest.mark.parametrize(
    ("words", "table"),
    [
        (vocabulary.TARGETS, TARGETS),
        (vocabulary.DIALECTS, DIALECTS),
        (vocabulary.ROWS, TABLES),
        (vocabulary.TABLE_FORMATS, FORMATS),
    ],
    ids=["targets", "dialects", "rows", "formats"],
)
def test_every_word_has_its_entry(words: Collection[str], table: Iterable[str]) -> None:
    assert tuple(table) == words
