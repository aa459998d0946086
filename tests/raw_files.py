"""Prophesee's .raw, written word by word: the reader's counterpart, as plain as its specification."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

Event = tuple[int, int, int, int]  # t (us), x, y, p
WIDTH, HEIGHT = 1280, 720
HEADER = "% camera_integrator_name Prophesee\n% evt {n}.0\n% format EVT{n};height=720;width=1280\n% end\n"


def high(value: int) -> int:
    return 0x8000 | value


def low(value: int) -> int:
    return 0x6000 | value


def row(y: int) -> int:
    return y


def single(x: int, p: int) -> int:
    return 0x2000 | p << 11 | x


def base(x: int, p: int) -> int:
    return 0x3000 | p << 11 | x


def vector_12(bits: int) -> int:
    return 0x4000 | bits


def vector_8(bits: int) -> int:
    return 0x5000 | bits


def evt3_words(events: Iterable[Event], *, vectors: bool) -> list[int]:
    """Encode events in order of time; with ``vectors``, neighbors of one time, row and polarity become a vector."""
    words: list[int] = []
    time, places = None, [*events]
    while places:
        t, x, y, p = places.pop(0)
        if time is None or t >> 12 != time >> 12:
            first = t >> 12 if time is None else (time >> 12) + 1
            words += [high(value & 0xFFF) for value in range(first, (t >> 12) + 1)]
        time = t
        words += [low(t & 0xFFF), row(y)]
        columns = [x]
        while vectors and places and places[0][::2] == (t, y) and places[0][3] == p and places[0][1] > columns[-1]:
            columns.append(places.pop(0)[1])
        if len(columns) == 1:
            words.append(single(x, p))
            continue
        words.append(base(x, p))
        for start in range(x, columns[-1] + 1, 20):
            bits = sum(1 << column - start for column in columns if start <= column < start + 20)
            words += [vector_12(bits & 0xFFF), vector_8(bits >> 12)]
    return words


def evt2_words(events: Iterable[Event]) -> list[int]:
    """Encode events in order of time."""
    words, time = [], None
    for t, x, y, p in events:
        if time != t >> 6:
            time = t >> 6
            words.append(0x8 << 28 | time & (1 << 28) - 1)
        words.append(p << 28 | (t & 63) << 22 | x << 11 | y)
    return words


def write_raw(path: Path, words: Sequence[int], *, evt: int = 3, header: str | None = None) -> Path:
    """Write a file of these words."""
    text = HEADER.format(n=evt) if header is None else header
    path.write_bytes(text.encode() + np.array(words, "<u2" if evt == 3 else "<u4").tobytes())
    return path
