"""The words of options are the keys of the tables that implement them; training's are in test_training_*.py."""

from collections.abc import Collection, Iterable
from typing import get_args

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
        (get_args(vocabulary.Row), TABLES),
        (get_args(vocabulary.TableFormat), FORMATS),
    ],
    ids=["targets", "dialects", "rows", "formats"],
)
def test_every_word_has_its_entry(words: Collection[str], table: Iterable[str]) -> None:
    assert tuple(table) == words
