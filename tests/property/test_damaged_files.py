"""Damaged files of every kind that is read: a sentence or a result, within ten seconds and a GiB, and nothing written.

TDD_DEPLOY_EXAMPLES=1000 damages that many files of each kind instead of the default. Some files that this once made
kept HDF5 2.0.0 (h5py 3.16.0) busy forever, or made it take gigabytes: none of them is kept, and no file is damaged any
more where that began. tests/unit/test_importers_probe.py tests the guard against such files, with readers that do as
much harm.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.damage import KINDS

N = int(os.environ.get("TDD_DEPLOY_EXAMPLES", "60"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_read_or_refused(kind: str, tmp_path: Path) -> None:
    found = damaged(kind, 0, N, tmp_path)
    assert found["bugs"] == []
    assert found["refused"] > N / 3 or kind == "sweep"  # its damaged points are executed again


def damaged(kind: str, first: int, last: int, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.damage", kind, str(first), str(last), str(folder)]
    return dict(json.loads(subprocess.check_output(command, cwd=Path(__file__).parents[2])))
