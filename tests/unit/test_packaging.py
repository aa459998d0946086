"""The package holds every folder, under one name."""

import os
import tomllib
from pathlib import Path

import pytest

import tdd_deploy.exporters
import tdd_deploy.simulator

ROOT = Path(__file__).parents[2]


SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
DATA = [ROOT / "tdd_deploy" / "exporters" / "lava" / name for name in ("bundle", "selftest")]  # run in Lava's Python


def test_the_list_of_packages_is_that_of_the_folders() -> None:
    folders = [
        Path(folder) for folder, _, files in os.walk(ROOT / "tdd_deploy", followlinks=True) if "__init__.py" in files
    ]
    packages = [folder for folder in folders if not any(folder.is_relative_to(data) for data in DATA)]
    assert sorted(SETUPTOOLS["packages"]) == sorted(".".join(folder.relative_to(ROOT).parts) for folder in packages)


def test_what_runs_in_lava_is_listed_as_data_to_the_last_file() -> None:
    lava = ROOT / "exporters" / "lava"
    listed = {
        path for pattern in SETUPTOOLS["package-data"]["tdd_deploy.exporters.lava"] for path in lava.glob(pattern)
    }
    there = {path for data in DATA for path in data.resolve().rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert listed == {*there, lava / "requirements.txt"}


def test_profiles_chips_and_the_page_are_listed_as_data() -> None:
    listed = {
        path
        for package, patterns in SETUPTOOLS["package-data"].items()
        if package.startswith("tdd_deploy.simulator")
        for pattern in patterns
        for path in (ROOT / SETUPTOOLS["package-dir"][package]).glob(pattern)
    }
    there = {
        path
        for path in (ROOT / "simulator").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc", ".nbi", ".nbc")
    }
    assert listed == there


@pytest.mark.parametrize("name", ["simulator", "exporters"])
def test_the_two_folders_at_the_root_are_linked_into_the_package(name: str) -> None:
    link = ROOT / "tdd_deploy" / name
    assert link.is_symlink()
    assert link.resolve() == ROOT / name
    assert getattr(tdd_deploy, name).__name__ == f"tdd_deploy.{name}"


def test_simulating_never_imports_torch(run_folder: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from tdd_deploy import simulate; "
        f"simulate(Path({str(run_folder)!r}), data='digits', samples=5, energy=True, profiles=['loihi1-sanafe']); "
        "print('torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
