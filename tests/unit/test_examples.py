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
    command = [sys.executable, EXAMPLES / "01_train_export_simulate.py", tmp_path / "run", "--epochs", "1"]
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


def test_sigma_delta_video_sends_less_with_a_larger_threshold() -> None:
    command = [sys.executable, EXAMPLES / "08_sigma_delta_video.py", "--epochs", "1", "--videos", "12"]
    rows = [line.split() for line in subprocess.check_output(command, text=True).splitlines() if "accuracy" in line]
    assert [row[0] for row in rows] == ["dense", "nonzero", "0", "0.02", "0.05", "0.1", "0.2", "0.4", "0.8", "0"]
    accuracies, macs = (
        [row[2] for row in rows],
        [int(row[row.index("MACs;" if "MACs;" in row else "MACs") - 1].replace(",", "")) for row in rows[:-1]],
    )
    events = [int(row[row.index("events,") - 1].replace(",", "")) for row in rows[2:-1]]
    assert len(set(accuracies[:3])) == 1  # dense, as values, and as changes without a threshold
    assert events == sorted(events, reverse=True)
    assert events[-1] < events[0] / 2
    assert macs[0] > macs[2] > macs[-1]
    assert rows[-1][-1] == "0"  # a frame that is repeated costs nothing: said apart
