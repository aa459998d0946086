"""Events that are encoded as a camera's raw file come back as they were, whatever they are."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tdd_deploy.data import raw_file
from tdd_deploy.data.aedat4 import open_aedat4
from tdd_deploy.data.events import FIELDS, Recordings
from tests.aedat4_files import write_aedat4
from tests.effort import n_examples
from tests.raw_files import HEIGHT, WIDTH, Event, evt2_words, evt3_words, write_raw

GAPS = st.one_of(st.just(0), st.integers(0, 70), st.integers(0, 10_000), st.integers(0, 40_000_000))
ADDRESSES = st.tuples(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.integers(0, 1))
ROWS = st.lists(st.integers(0, 60), min_size=1, max_size=30, unique=True).map(sorted)
GROUPS = st.lists(st.tuples(GAPS, ADDRESSES, ROWS), max_size=12)  # some columns of one row, at one time


@st.composite
def events(draw: st.DrawFn) -> list[Event]:
    t, found = draw(st.integers(0, (1 << 24) - 1)), []
    for gap, (x, y, p), columns in draw(GROUPS):
        t += gap
        found += [(t, x + column, y, p) for column in columns if x + column < WIDTH]
    return found


def read(file: Recordings) -> list[Event]:
    (recording,) = file.read(0, 1)
    return [*zip(*(getattr(recording, name).tolist() for name in FIELDS), strict=True)]


@settings(max_examples=n_examples(60), deadline=None)
@given(given_events=events(), vectors=st.booleans(), at_once=st.sampled_from([3, 64, 1 << 16]))
def test_evt3(tmp_path_factory: pytest.TempPathFactory, given_events: list[Event], vectors: bool, at_once: int) -> None:
    path = write_raw(_path(tmp_path_factory, "own.raw"), evt3_words(given_events, vectors=vectors))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw_file, "WORDS_AT_ONCE", at_once)
        assert read(raw_file.open_raw(path)) == _from_turn(given_events, 24)


@settings(max_examples=n_examples(60), deadline=None)
@given(given_events=events(), turns=st.sampled_from([0, (1 << 34) - (1 << 25)]))
def test_evt2(tmp_path_factory: pytest.TempPathFactory, given_events: list[Event], turns: int) -> None:
    moved = [(t + turns, x, y, p) for t, x, y, p in given_events]
    path = write_raw(_path(tmp_path_factory, "own.raw"), evt2_words(moved), evt=2)
    assert read(raw_file.open_raw(path)) == _from_turn(moved, 34)


@settings(max_examples=n_examples(60), deadline=None)
@given(given_events=events(), compression=st.integers(0, 4), cut=st.integers(0, 100))
def test_aedat4(
    tmp_path_factory: pytest.TempPathFactory, given_events: list[Event], compression: int, cut: int
) -> None:
    packets = [given_events[:cut], given_events[cut:]]
    path = write_aedat4(_path(tmp_path_factory, "own.aedat4"), packets, compression=compression)
    assert read(open_aedat4(path)) == given_events


def _from_turn(events: list[Event], bits: int) -> list[Event]:
    """Count time from the beginning of the first event's turn, since a file states no earlier one."""
    start = events[0][0] >> bits << bits if events else 0
    return [(t - start, x, y, p) for t, x, y, p in events]


def _path(factory: pytest.TempPathFactory, name: str) -> Path:
    return factory.getbasetemp() / name
