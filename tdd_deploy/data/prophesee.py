"""The event words of Prophesee's cameras, EVT2 and EVT3, as their public documentation and OpenEB's decoder read them.

Both formats send the upper bits of the time alone (TIME_HIGH) and lower bits with, or before, the events. Words before
the first TIME_HIGH have no time and are dropped. TIME_HIGH that falls by half of its range or more has rolled over; a
smaller step back is taken as it is written. A repeated TIME_HIGH changes nothing; a new one begins at lower bits of 0.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from .events import Recording

Array = npt.NDArray[Any]

CD_ON = 0x1  # EVT2; CD_OFF is 0
ADDR_Y, ADDR_X, VECT_BASE_X, VECT_12, VECT_8, TIME_LOW = 0x0, 0x2, 0x3, 0x4, 0x5, 0x6  # EVT3
TIME_HIGH, EXT_TRIGGER = 0x8, 0xA  # both
ADDRESS = (1 << 11) - 1  # bits of a row or a column
LOW_12 = (1 << 12) - 1
BITS = np.zeros(16, np.uint16)  # of a word of EVT3 with events, the bits that state their columns
BITS[[ADDR_X, VECT_12, VECT_8]] = ADDRESS, LOW_12, (1 << 8) - 1
MOVES = np.zeros(16, np.int64)  # columns from the beginning of a vector to that of the next one
MOVES[[VECT_12, VECT_8]] = 12, 8
BEYOND = 1 << 15  # a column that no sensor has: vectors that never end stay there
UNKNOWN = -1  # a row or a column that no word has stated yet


@dataclass(kw_only=True)
class Ignored:
    """Words that became no event, by reason."""

    before_time: int = 0
    without_address: int = 0
    triggers: int = 0
    others: int = 0

    def __str__(self) -> str:
        words = {
            "words before the first time": self.before_time,
            "words without a row or a column before them": self.without_address,
            "external triggers": self.triggers,
            "words of other types": self.others,
        }
        return ", ".join(f"{n:,} {what}" for what, n in words.items() if n)


class Decoder(Protocol):
    """Decodes the words of a file, a block at a time; what a block leaves open goes on in the next one."""

    @property
    def word(self) -> np.dtype[Any]:
        """Type of a word."""
        ...

    @property
    def ignored(self) -> Ignored:
        """Words that became no event, so far."""
        ...

    def decode(self, words: Array) -> Recording:
        """Decode the next words; times are in the order of the words."""
        ...


@dataclass
class _Clock:
    """The upper bits of the time, ``bits`` wide, with their roll-overs."""

    bits: int
    last: int = UNKNOWN  # TIME_HIGH of the block before
    turns: int = 0  # roll-overs until then

    def unrolled(self, high: Array) -> Array:
        """Return each TIME_HIGH with the roll-overs before it."""
        if not len(high):
            return high.astype(np.int64)
        values = high.astype(np.int64)
        before = np.concatenate([[self.last if self.last != UNKNOWN else values[0]], values[:-1]])
        turns = self.turns + np.cumsum(before - values >= 1 << (self.bits - 1))
        self.last, self.turns = int(values[-1]), int(turns[-1])
        return (turns << self.bits) + values


def _count_others(kinds: Array, known: tuple[int, ...], ignored: Ignored) -> None:
    """Count triggers and words of unknown types."""
    counts = np.bincount(kinds, minlength=16)
    ignored.triggers += int(counts[EXT_TRIGGER])
    ignored.others += int(counts.sum() - counts[[*known, EXT_TRIGGER]].sum())


def _after_first_time(words: Array, kinds: Array, clock: _Clock, ignored: Ignored) -> tuple[Array, Array]:
    """Drop the words before the first TIME_HIGH of a file."""
    if clock.last != UNKNOWN:
        return words, kinds
    is_time = kinds == TIME_HIGH
    first = int(np.argmax(is_time)) if is_time.any() else len(words)
    ignored.before_time += first
    return words[first:], kinds[first:]


@dataclass
class Evt2:
    """Words of 32 bits: 28 bits of TIME_HIGH, and events with 6 lower bits of the time, a column and a row."""

    word: ClassVar[np.dtype[Any]] = np.dtype("<u4")
    ignored: Ignored = field(default_factory=Ignored)
    clock: _Clock = field(default_factory=lambda: _Clock(28))
    high: int = 0  # with roll-overs, of the block before

    def decode(self, words: Array) -> Recording:
        """Decode the next words."""
        kinds = (words >> 28).astype(np.uint8)
        words, kinds = _after_first_time(words, kinds, self.clock, self.ignored)
        _count_others(kinds, (0, CD_ON, TIME_HIGH), self.ignored)
        is_time = kinds == TIME_HIGH
        highs = np.concatenate([[self.high], self.clock.unrolled(words[is_time] & ((1 << 28) - 1))])
        self.high = int(highs[-1])
        at = np.flatnonzero(kinds <= CD_ON)
        events = words[at]
        high = highs[np.cumsum(is_time, dtype=np.int32)[at]]
        return Recording(
            t=(high << 6) + ((events >> 22) & 63),
            x=((events >> 11) & ADDRESS).astype(np.uint16),
            y=(events & ADDRESS).astype(np.uint16),
            p=kinds[at],
        )


@dataclass
class Evt3:
    """Words of 16 bits: each states a part of the time, of the row or of the column, which holds until it changes.

    A vector is a bit for each of the next 12 or 8 columns, from VECT_BASE_X on; the polarity is that of the base.
    """

    word: ClassVar[np.dtype[Any]] = np.dtype("<u2")
    ignored: Ignored = field(default_factory=Ignored)
    clock: _Clock = field(default_factory=lambda: _Clock(12))
    time: int = 0  # with roll-overs
    row: int = UNKNOWN
    base: int = UNKNOWN  # column of the next vector
    polarity: int = 0  # of the next vector

    def decode(self, words: Array) -> Recording:
        """Decode the next words."""
        kinds = (words >> 12).astype(np.uint8)
        words, kinds = _after_first_time(words, kinds, self.clock, self.ignored)
        known = (ADDR_Y, ADDR_X, VECT_BASE_X, VECT_12, VECT_8, TIME_LOW, TIME_HIGH)
        _count_others(kinds, known, self.ignored)
        at = np.flatnonzero(BITS[kinds])
        t = self._times(words, kinds, at)
        y = self._rows(words, kinds, at)
        x, p = self._columns(words, kinds, at)
        bits = words[at] & BITS[kinds[at]]
        bits[kinds[at] == ADDR_X] = 1
        has_address = (y != UNKNOWN) & (x != UNKNOWN)
        if not has_address.all():
            self.ignored.without_address += int(len(at) - has_address.sum())
            bits[~has_address] = 0
        # Each word is a row of 16 bits; a set bit is an event, that many columns on.
        places = np.flatnonzero(np.unpackbits(bits.astype("<u2").view(np.uint8), bitorder="little"))
        of = places >> 4
        return Recording(
            t=t[of],
            x=(np.minimum(x, BEYOND)[of] + (places & 15)).astype(np.uint16),
            y=y[of].astype(np.uint16),
            p=p[of].astype(np.uint8),
        )

    def _times(self, words: Array, kinds: Array, at: Array) -> Array:
        """Return the time of the words ``at``, with roll-overs."""
        is_time = (kinds == TIME_HIGH) | (kinds == TIME_LOW)
        stated, is_high = words[is_time] & LOW_12, kinds[is_time] == TIME_HIGH
        last = self.time >> 12
        highs = np.concatenate([[last], self.clock.unrolled(stated[is_high])])
        is_new = np.zeros(len(stated), bool)
        is_new[is_high] = highs[1:] != highs[:-1]
        sets_low = is_new | ~is_high
        lows = np.concatenate([[self.time & LOW_12], np.where(is_new, 0, stated)[sets_low]])
        times = (highs[np.cumsum(is_high)] << 12) + lows[np.cumsum(sets_low)]
        times = np.concatenate([[self.time], times])
        self.time = int(times[-1])
        return times[np.cumsum(is_time, dtype=np.int32)[at]]

    def _rows(self, words: Array, kinds: Array, at: Array) -> Array:
        """Return the row of the words ``at``."""
        is_row = kinds == ADDR_Y
        rows = np.concatenate([[self.row], words[is_row] & ADDRESS]).astype(np.int32)
        self.row = int(rows[-1])
        return rows[np.cumsum(is_row, dtype=np.int32)[at]]

    def _columns(self, words: Array, kinds: Array, at: Array) -> tuple[Array, Array]:
        """Return the first column and the polarity of the words ``at``."""
        is_base = kinds == VECT_BASE_X
        moves = MOVES[kinds]
        moved = np.cumsum(moves) - moves  # by the vectors before each word
        stated = words[is_base]
        starts = np.concatenate([[self.base], (stated & ADDRESS) - moved[is_base]])
        signs = np.concatenate([[self.polarity], (stated >> 11) & 1])
        of = np.cumsum(is_base, dtype=np.int32)[at]
        x, p = starts[of] + moved[at], signs[of]
        if self.base == UNKNOWN:
            x[of == 0] = UNKNOWN
        single = kinds[at] == ADDR_X
        x[single], p[single] = words[at][single] & ADDRESS, (words[at][single] >> 11) & 1
        if self.base != UNKNOWN or len(stated):
            self.base = int(starts[-1] + moves.sum())
            self.polarity = int(signs[-1])
        return x, p


DECODERS: dict[str, type[Evt2] | type[Evt3]] = {"EVT2": Evt2, "EVT3": Evt3}
