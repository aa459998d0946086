"""Tests of progress bars and of the time that is left."""

import io

import pytest
from numba.core import event
from rich.console import Console

from tdd_deploy.runtime import progress
from tdd_deploy.runtime.progress import COMPILING, TimeLeft, bar, duration


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that pass; the last one is now."""
    seconds = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: seconds[-1])
    return seconds


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "1 s"),
        (1.4, "1 s"),
        (99.4, "99 s"),
        (99.6, "2 min"),
        (3600, "60 min"),
        (99 * 60 + 29, "99 min"),
        (100 * 60, "1 h 40 min"),
        (48 * 3600, "48 h 0 min"),
    ],
)
def test_a_time_is_written_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_the_time_left_follows_from_the_part_that_was_done_since_the_first_call(clock: list[float]) -> None:
    left = TimeLeft()
    assert left.at(0.5) is None
    clock.append(10.0)
    assert left.at(0.5) is None
    assert left.at(0.6) == "40 s left"
    clock.append(30.0)
    assert left.at(1.0) == "1 s left"


def test_a_bar_counts_in_its_unit_and_says_what_is_left(clock: list[float]) -> None:
    text = io.StringIO()
    with bar("sweeping", Console(file=text, force_terminal=True, width=80), unit="points") as update:
        update(0, 4)
        clock.append(30.0)
        update(1, 4)
    assert "sweeping" in text.getvalue()
    assert "points, 90 s left" in text.getvalue()


def test_a_bar_says_that_the_engine_is_compiled() -> None:
    text = io.StringIO()
    with bar("simulating", Console(file=text, force_terminal=True, width=80)) as update:
        with event.trigger_event("numba:compile"):
            with event.trigger_event("numba:compile"):
                pass
            assert "simulating" not in text.getvalue().rpartition(COMPILING)[2]  # the outer function is not done
        update(10, 10)
    assert "simulating" in text.getvalue().rpartition(COMPILING)[2]
