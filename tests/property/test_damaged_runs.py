"""Damaged checkpoints, records and weights of runs: a sentence or a result, within ten seconds, and nothing written.

TDD_DEPLOY_EXAMPLES=1000 damages that many files of each kind instead of the default.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.damaged_runs import KINDS

N = int(os.environ.get("TDD_DEPLOY_EXAMPLES", "60"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_run_is_taken_or_refused(kind: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.damaged_runs", kind, "0", str(N), str(tmp_path)]
    found = json.loads(subprocess.check_output(command, cwd=Path(__file__).parents[2]))
    assert found["bugs"] == []
    assert found["refused"] > N / 3
