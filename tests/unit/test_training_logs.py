import subprocess
import sys

import pytest

from tdd_deploy.errors import BadFile
from tdd_deploy.training.logs import Board, write_metrics

HISTORY = [
    {"epoch": 1, "loss": 1 / 3, "accuracy": 0.5},
    {"epoch": 2, "loss": 0.25, "accuracy": 0.75},
    {"epoch": 3, "loss": 0.125, "accuracy": 1.0},
]


def test_a_row_per_epoch_with_every_digit(tmp_path):
    write_metrics(tmp_path / "metrics.csv", HISTORY[:1])
    write_metrics(tmp_path / "metrics.csv", HISTORY[:2])
    assert (tmp_path / "metrics.csv").read_text() == f"epoch,loss,accuracy\n1,{1 / 3!r},0.5\n2,0.25,0.75\n"
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_without_an_epoch_there_is_an_empty_table(tmp_path):
    write_metrics(tmp_path / "metrics.csv", [])
    assert (tmp_path / "metrics.csv").read_text() == ""


def test_what_a_network_does_not_have_is_left_empty(tmp_path):
    history = [{"epoch": 1, "loss": 0.5, "raw_events": None}]
    write_metrics(tmp_path / "metrics.csv", history)
    assert (tmp_path / "metrics.csv").read_text() == "epoch,loss,raw_events\n1,0.5,\n"
    board = Board(tmp_path / "board", epochs=0)
    board.epoch(history)
    board.close()
    assert shown(tmp_path / "board") == {"loss": [(1, 0.5)]}


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "board").touch()
    with pytest.raises(BadFile, match="board is a file"):
        Board(tmp_path / "board", epochs=0)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    board = Board(tmp_path / "board", epochs=0)
    (tmp_path / "board").touch()
    with pytest.raises(BadFile, match=r"board cannot be written \(File exists\)"):
        board.epoch(HISTORY)


def shown(folder):
    """What TensorBoard shows of a folder: (step, value) by name."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}


def test_tensorboard_shows_every_epoch_once_after_a_resumed_run_too(tmp_path):
    for before, epochs in ((0, (1, 2)), (1, (2, 3))):  # stopped before the second epoch was known to be done
        board = Board(tmp_path, epochs=before)
        for epoch in epochs:
            board.epoch(HISTORY[:epoch])
        board.close()
    assert shown(tmp_path) == {
        "loss": [(1, pytest.approx(1 / 3)), (2, 0.25), (3, 0.125)],
        "accuracy": [(1, 0.5), (2, 0.75), (3, 1.0)],
    }


def test_without_tensorboard_it_says_what_to_install():
    code = (
        "import sys; sys.modules['tensorboard'] = None; "
        "from tdd_deploy.training.logs import require_tensorboard; require_tensorboard()"
    )
    called = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "train with tensorboard needs tensorboard. Install it with: pip install 'tdd-deploy[tensorboard]'" in (
        called.stderr
    )
