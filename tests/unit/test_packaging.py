"""The package holds every folder, under one name."""

import os
import tomllib
from pathlib import Path

import pytest

import tdd_deploy.exporters
import tdd_deploy.simulator

ROOT = Path(__file__).parents[2]


def test_the_list_of_packages_is_that_of_the_folders() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = [
        Path(folder) for folder, _, files in os.walk(ROOT / "tdd_deploy", followlinks=True) if "__init__.py" in files
    ]
    assert sorted(listed) == sorted(".".join(folder.relative_to(ROOT).parts) for folder in folders)


@pytest.mark.parametrize("name", ["simulator", "exporters"])
def test_the_two_rooms_at_the_root_are_linked_into_the_package(name: str) -> None:
    link = ROOT / "tdd_deploy" / name
    assert link.is_symlink()
    assert link.resolve() == ROOT / name
    assert getattr(tdd_deploy, name).__name__ == f"tdd_deploy.{name}"


def test_simulating_never_imports_torch(run_folder: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from tdd_deploy.pipeline import simulate; "
        f"simulate(Path({str(run_folder)!r}), data='digits', samples=5, profile='loihi1-sanafe'); "
        "print('torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
