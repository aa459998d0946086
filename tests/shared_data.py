"""Where files that are not ours lie: ``$TDD_DEPLOY_DATA``, or a folder beside the project."""

import os
from pathlib import Path

import pytest

PLACES = (Path(os.environ.get("TDD_DEPLOY_DATA", "/")), Path(__file__).parents[2] / "shared" / "data")


def shared(name: str) -> Path:
    """Return a folder or file by name; one that is not there when there is none."""
    return next((place / name for place in PLACES if (place / name).exists()), PLACES[0] / name)


def reference(name: str) -> Path:
    """Return a file of facts that were collected from publications; one that is not there when there is none."""
    places = [place / "reference" for place in (PLACES[0], PLACES[1].parent)]
    return next((place / name for place in places if (place / name).exists()), places[0] / name)


def needs(path: Path) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not path.exists(), reason=f"no {path.name} in $TDD_DEPLOY_DATA")
