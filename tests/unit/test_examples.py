"""Every example runs."""

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_training_exporting_and_simulating_in_python(tmp_path: Path) -> None:
    command = [sys.executable, EXAMPLES / "train_export_simulate.py", tmp_path / "run", "--epochs", "1"]
    printed = subprocess.check_output(command, text=True).splitlines()
    assert [line.split()[0] for line in printed] == ["spike", "delta", "auto"]
    assert len({line.split("accuracy")[1].split(";")[0] for line in printed}) == 1
