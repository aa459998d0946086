"""Prophesee's .raw: times, roll-overs, vectors, and what is refused. Words are written by hand."""

import numpy as np
import pytest

from tdd_deploy.data import Binning, open_data
from tdd_deploy.data import raw_file as module
from tdd_deploy.data.raw_file import open_raw
from tdd_deploy.errors import BadData, BadFile, BadOption
from tests.raw_files import (
    HEADER,
    base,
    evt2_words,
    evt3_words,
    high,
    low,
    row,
    single,
    vector_8,
    vector_12,
    write_raw,
)

TURN = 1 << 24  # us of EVT3's clock
TRIGGER, OTHERS, CONTINUED = 0xA001, 0xE123, 0xF456


def events_of(path):
    (recording,) = open_raw(path).read(0, 1)
    return [*zip(*(getattr(recording, name).tolist() for name in ("t", "x", "y", "p")), strict=True)]


def decoded(tmp_path, words, evt=3):
    return events_of(write_raw(tmp_path / "own.raw", words, evt=evt))


def test_time_is_of_24_bits_and_what_is_stated_holds(tmp_path):
    words = [high(1), low(5), row(7), single(3, 1), single(4, 0), low(9), single(5, 1), row(8), single(5, 1)]
    assert decoded(tmp_path, words) == [(4101, 3, 7, 1), (4101, 4, 7, 0), (4105, 5, 7, 1), (4105, 5, 8, 1)]


def test_a_new_upper_part_begins_at_lower_bits_of_0_and_a_repeated_one_changes_nothing(tmp_path):
    words = [high(1), low(5), row(0), single(1, 0), high(1), single(2, 0), high(2), single(3, 0), high(2), low(1)]
    assert decoded(tmp_path, [*words, single(4, 0)]) == [
        (4101, 1, 0, 0), (4101, 2, 0, 0), (8192, 3, 0, 0), (8193, 4, 0, 0),
    ]  # fmt: skip


@pytest.mark.parametrize("at_once", [1, 5, 9, 1 << 16])
def test_every_roll_over_counts_once(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(module, "WORDS_AT_ONCE", at_once)
    words = [row(0)]
    for _ in range(3):
        words += [high(4095), high(4095), low(4095), row(0), single(0, 1), high(0), high(0), low(2), single(1, 1)]
    times = [t for t, *_ in decoded(tmp_path, words)]
    assert times == [TURN - 1, TURN + 2, 2 * TURN - 1, 2 * TURN + 2, 3 * TURN - 1, 3 * TURN + 2]


def test_a_small_step_back_is_no_roll_over_and_events_are_sorted_by_time(tmp_path):
    words = [high(3), low(100), row(0), single(0, 0), low(50), single(1, 0), high(2), low(0), single(2, 0)]
    assert decoded(tmp_path, words) == [(8192, 2, 0, 0), (12338, 1, 0, 0), (12388, 0, 0, 0)]


def test_vectors_go_on_from_their_base_with_its_polarity(tmp_path):
    words = [
        high(0), row(9), base(100, 1), vector_12(0b1000_0000_0001), vector_8(0b1000_0001), single(7, 0),
        vector_12(0), vector_8(1), base(3, 0), vector_8(0b10),
    ]  # fmt: skip
    columns = [(x, p) for _, x, _, p in decoded(tmp_path, words)]
    assert columns == [(100, 1), (111, 1), (112, 1), (119, 1), (7, 0), (132, 1), (4, 0)]


def test_what_becomes_no_event_is_counted(tmp_path):
    words = [row(5), low(3), single(1, 0), high(0), single(1, 0), row(5), vector_8(1), TRIGGER, OTHERS, CONTINUED]
    path = write_raw(tmp_path / "own.raw", [*words, single(2, 1)])
    source = open_data(str(path), binning=Binning(bins=1))
    assert np.argwhere(source.load()[0][0]).tolist() == [[0, 1, 5, 2]]
    assert source.scale_from == (
        "counts of events; ignored: 3 words before the first time, 2 words without a row or a column before them, "
        "1 external triggers, 2 words of other types"
    )


@pytest.mark.parametrize("words", [[], [TRIGGER], [high(0), TRIGGER]])
def test_a_file_without_events_is_silence(tmp_path, words):
    assert decoded(tmp_path, words) == []


def test_evt2_has_34_bits_of_time_and_rolls_over_once(tmp_path):
    turn = 1 << 34
    events = [(turn - 65, 1279, 719, 1), (turn - 1, 0, 1, 0), (turn + 1, 3, 4, 1), (turn + 2, 3, 4, 0),
              (turn + 64, 5, 6, 1)]  # fmt: skip
    words = evt2_words(events)
    repeated = [each for word in words for each in ([word] * 2 if word >> 28 == 8 else [word, 0xA << 28])]
    for given in (words, repeated):
        assert decoded(tmp_path, [1 << 28, *given], evt=2) == events


@pytest.mark.parametrize("evt", [2, 3])
@pytest.mark.parametrize("at_once", [1, 2, 7, 1 << 18])
def test_what_was_written_is_read_whatever_the_blocks(tmp_path, monkeypatch, evt, at_once):
    monkeypatch.setattr(module, "WORDS_AT_ONCE", at_once)
    rng = np.random.default_rng(evt)
    for seed in range(5):
        t = np.cumsum(rng.integers(0, 3 << rng.integers(0, 22), 60)) + rng.integers(1 << 20)
        columns = (t, rng.integers(0, 40, 60), rng.integers(0, 4, 60), rng.integers(0, 2, 60))
        order = np.lexsort((columns[1], columns[3], columns[2], t // 64))
        events = [*zip(*(column.tolist() for column in (np.sort(t // 64 * 64), *(c[order] for c in columns[1:]))),
                       strict=True)]  # fmt: skip
        start = 0 if evt == 2 else events[0][0] >> 24 << 24  # EVT3 knows the time within a turn alone
        words = evt2_words(events) if evt == 2 else evt3_words(events, vectors=bool(seed % 2))
        assert decoded(tmp_path, words, evt) == [(t - start, *rest) for t, *rest in events]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", "has no header"),
        ("% date today\n% end\n", "states no format"),
        ("% evt 2.1\n% geometry 4x4\n% end\n", "is of format EVT 2.1"),
        ("% format EVT4;height=4;width=4\n% end\n", "is of format EVT4"),
        ("% evt 2.0\n% format EVT3;height=4;width=4\n% end\n", "states two formats"),
        ("% evt 3.0\n% end\n", "states no size of its sensor.*% geometry WIDTHxHEIGHT"),
        ("% evt 3.0\n% format EVT3;height=four;width=4\n% end\n", "states the size of its sensor as 4 x four"),
        ("% evt 3.0\n% format EVT3;height=4;width=4\n% geometry 5x4\n% end\n", "two sizes of its sensor, 4 x 4 and 5"),
        ("% evt 3.0\n% geometry 4x4\n% endianness big\n% end\n", "big-endian"),
        ("% " + "a" * 5000, "does not end, at byte 0"),
        ("% a\n" * 17_000, "does not end"),
    ],
)
def test_a_header_that_cannot_be_read_is_refused(tmp_path, header, found):
    with pytest.raises(BadFile, match=found):
        open_raw(write_raw(tmp_path / "own.raw", [high(0)], header=header))


@pytest.mark.parametrize("header", ["% evt 3.0\n% geometry 7x5\n", "% evt 3.0\n% Width 7\n% Height 5\n% end\n"])
def test_size_and_format_are_read_from_lines_of_their_own(tmp_path, header):
    path = write_raw(tmp_path / "own.raw", [high(0), row(4), single(6, 1)], header=header)
    assert open_raw(path).sensor.size == (5, 7)
    assert events_of(path) == [(0, 6, 4, 1)]


@pytest.mark.parametrize(("evt", "rest"), [(3, 1), (2, 1), (2, 3)])
def test_a_file_that_ends_within_a_word_is_refused_with_its_place(tmp_path, evt, rest):
    path = write_raw(tmp_path / "own.raw", [0x8 << (12 if evt == 3 else 28)] * 3, evt=evt)
    path.write_bytes(path.read_bytes() + b"\0" * rest)
    size = 2 if evt == 3 else 4
    begins = len(HEADER.format(n=evt)) + 3 * size
    with pytest.raises(BadFile, match=f"ends after {rest} of a word of {size} bytes, which begins at byte {begins}"):
        open_data(str(path), binning=Binning(bins=1))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([high(0), row(0), single(1280, 0)], r"x of event 0 .* must be 0 to 1279 \(got 1280\)"),
        ([high(0), row(720), single(0, 0)], r"y of event 0 .* must be 0 to 719"),
        ([high(0), row(0), base(2047, 0), *[vector_12(0)] * 6000, vector_8(128)], r"x of event 0 .* \(got 32775\)"),
    ],
)
def test_events_beyond_the_sensor_are_refused(tmp_path, words, found):
    with pytest.raises(BadData, match=found):
        open_data(str(write_raw(tmp_path / "own.raw", words)), binning=Binning(bins=1))


def test_a_size_that_no_sensor_has_is_refused(tmp_path):
    path = write_raw(tmp_path / "own.raw", [], header="% evt 3.0\n% geometry 0x99999999\n% end\n")
    with pytest.raises(BadData, match=r"height.*99999999(.|\n)*width"):
        open_data(str(path), binning=Binning(bins=1))


def test_a_recording_is_one_sample_without_a_label_and_needs_to_be_cut(tmp_path):
    path = str(write_raw(tmp_path / "own.raw", evt3_words([(0, 1, 2, 1), (99, 1, 2, 1)], vectors=False)))
    source = open_data(path, binning=Binning(bin_us=10))
    assert (source.n_samples, source.labeled, source.sample_shape) == (1, False, (10, 2, 720, 1280))
    with pytest.raises(BadOption, match="Cut them with bin_us or bins"):
        open_data(path)
    with pytest.raises(BadOption, match="raw recording has no test split"):
        open_data(path, split="test", binning=Binning(bins=1))


def test_a_damaged_file_is_refused_or_read(tmp_path):
    words = evt3_words([(5000 * i, 3 + i, 4, 1) for i in range(6)], vectors=True)
    content = write_raw(tmp_path / "own.raw", words).read_bytes()
    path = tmp_path / "bad.raw"
    damaged = [content[:n] for n in range(len(content))]
    damaged += [
        content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :]
        for at in range(len(content))
        for flip in (1, 128, 255)
    ]
    n_read = 0
    for each in damaged:
        path.write_bytes(each)
        try:
            open_data(str(path), binning=Binning(bins=1, downsample=80))
        except (BadFile, BadData):
            continue
        n_read += 1
    assert 0 < n_read < len(damaged)
