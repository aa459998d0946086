"""Fixtures that more than one file uses."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conv-small network trained on digits for one epoch."""
    from tdd_deploy.pipeline import train

    folder = tmp_path_factory.mktemp("trained") / "run"
    train(folder, data="digits", method="tet", epochs=1)
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch sums with one thread, so that tests side by side do not crowd each other out."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the files in tests/golden anew")
