"""The epochs of a row of CIFAR-10 follow from the seconds that an epoch of each phase takes."""

import pytest

from benchmarks.training.cifar10 import MARGIN, ROWS, Phase, plan
from tdd_deploy.options.training import TrainOptions

PHASES = (Phase(1, 0.5), Phase(2, 0.1), Phase(6, 0.4))


def test_the_time_is_divided_into_whole_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    # 1100 s are 1000 s and a margin: 500 s of 45 s each, 100 s of 69 s, 400 s of 168 s.
    assert MARGIN == 1.1
    assert plan(PHASES, [45, 69, 168], minutes=1100 / 60) == ["1:11", "2:1", "6:2"]
    assert "about 17 minutes of one core" in capsys.readouterr().out  # 1.1 x (495 + 69 + 336) s = 990 s


def test_a_phase_has_one_epoch_at_least_unless_that_takes_more_than_the_minutes() -> None:
    assert plan(PHASES, [45, 69, 168], minutes=6) == ["1:2", "2:1", "6:1"]  # 327 s of 360 s / 1.1
    with pytest.raises(SystemExit, match="one epoch of each phase takes more"):
        plan(PHASES, [45, 69, 7000], minutes=1)


@pytest.mark.parametrize("name", ROWS)
def test_every_row_is_a_training_run(name: str) -> None:
    row = ROWS[name]
    options = TrainOptions.of(
        network="conv-medium", **row.options, steps_schedule=plan(row.phases, [10] * len(row.phases), 30)
    )
    assert options.steps == row.phases[-1].steps
    assert sum(phase.part for phase in row.phases) == pytest.approx(1)
