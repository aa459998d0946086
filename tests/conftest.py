"""Fixtures that more than one file uses."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conv-small network trained on digits for one epoch."""
    from tdd_deploy.pipeline import train

    folder = tmp_path_factory.mktemp("trained") / "run"
    train(folder, data="digits", method="tet", epochs=1)
    return folder
