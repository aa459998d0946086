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
