"""Every example runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from tdd_deploy.exporters import TARGETS
from tdd_deploy.program.quantize import quantize
from tests import by_hand

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_training_exporting_and_simulating_in_python(tmp_path: Path) -> None:
    command = [sys.executable, EXAMPLES / "train_export_simulate.py", tmp_path / "run", "--epochs", "1"]
    printed = subprocess.check_output(command, text=True).splitlines()
    assert [line.split()[0] for line in printed] == ["spike", "delta", "auto"]
    assert len({line.split("accuracy")[1].split(";")[0] for line in printed}) == 1


@pytest.mark.parametrize("kind", ["small", "float", "integer"])
def test_onnx_step_by_step_and_in_one_call(kind: str, tmp_path: Path) -> None:
    command: list[str | Path] = [sys.executable, EXAMPLES / "07_onnx_step_loop.py"]
    if kind != "small":
        program = by_hand.program() if kind == "float" else quantize(by_hand.program(), input_bits=4).program
        TARGETS["nir"](program, tmp_path / "network.nir")
        command.append(tmp_path / "network.nir")
    signature, verdict = subprocess.check_output(command, text=True).splitlines()
    assert "hidden.v" in signature
    assert verdict == "20 steps one by one and in one call agree"
