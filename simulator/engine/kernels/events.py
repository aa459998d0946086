"""Compiled loops: find what changed in a source, and count what it costs in both codes."""
# ruff: noqa: PLR0917  (a keyword costs the compiler a lookup, and these functions are called from compiled code alone)

from typing import Any

import numpy as np
from numba.extending import overload

from .tables import DELTA_CODE, DELTA_COSTS, ONE, SPIKE_CODE, SPIKE_COSTS, THREE, TWO, ZERO, Array, Memory, compiled


@compiled
def where(node: Any, t: Any, back: Any) -> Any:
    """Return where the values begin that a node sent ``back`` steps before ``t``: zeros before the first step."""
    return node.start + ((t + node.slots - back) % node.slots) * node.stride


def _per_word(values: Array) -> int:
    """Return how many values are compared at once: a constant for the compiler."""
    raise NotImplementedError  # only compiled code calls it


@overload(_per_word, inline="always")
def _per_word_of(values: Any) -> Any:
    n = np.uint64(64 // values.dtype.bitwidth)

    def per_word(values: Any) -> Any:
        return n

    return per_word


@compiled
def _find_changes(values: Array, words: Array, now: Any, before: Any, size: Any, found: Array, at: Array) -> Any:
    """Write the rising indices at which two vectors differ to ``at``; return how many.

    Words that differ are found first, then values in them; both are written before it is known whether they count,
    since a guess that proves wrong costs more.
    """
    per_word = _per_word(values)
    words_now, words_before = now // per_word, before // per_word
    n_words = ZERO
    for w in range(size // per_word):
        found[n_words] = w
        n_words += np.uint64(words[words_now + w] != words[words_before + w])
    n = ZERO
    for k in range(n_words):
        first = found[k] * per_word
        for j in range(per_word):
            at[n] = first + j
            n += np.uint64(values[now + first + j] != values[before + first + j])
    return n


@compiled
def find_events(
    table: Array, node: Any, k: int, values: Array, words: Array, now: Any, before: Any, stride: Any,
    found: Array, at: Array, numbers: Array, kept: Array, counts: Array, row: int,
    kept_by_class: Array, by_class: Array,
) -> Any:  # fmt: skip
    """Write what a map with weights receives, in its code, to ``at`` and ``numbers``; count both codes.

    What the values cost in spike code follows from its cost in the step before, and from what changed.
    """
    n = _find_routed(table, node, k, values, words, now, before, stride, found, at, kept, counts, row)
    effective = stored = graded = np.int64(0)
    more_effective = more_stored = more_graded = np.int64(0)
    for e in range(n):
        new, old = values[now + at[e]], values[before + at[e]]
        more = np.int64(new != 0) - np.int64(old != 0)
        fan = node.fans + TWO * at[e]
        to_effective, to_stored = np.int64(table[fan]), np.int64(table[fan + ONE])
        effective += to_effective
        stored += to_stored
        more_effective += more * to_effective
        more_stored += more * to_stored
        if _per_word(values) < 8:  # spikes and their changes are never graded
            change = new - old
            graded += np.int64((change != 1) & (change != -1))
            more_graded += np.int64((new != 0) & (new != 1) & (new != -1))
            more_graded -= np.int64((old != 0) & (old != 1) & (old != -1))
    kept[k, 0] += more_effective
    kept[k, 1] += more_stored
    kept[k, 2] += more_graded
    counts[row, DELTA_CODE] += effective
    counts[row, DELTA_CODE + 1] += stored
    counts[row, DELTA_CODE + 2] += effective if graded else 0
    counts[row, SPIKE_CODE] += kept[k, 0]
    counts[row, SPIKE_CODE + 1] += kept[k, 1]
    counts[row, SPIKE_CODE + 2] += kept[k, 0] if kept[k, 2] else 0
    if node.has_classes and n:
        _count_by_class(table, node, values, now, before, at, n, kept_by_class, by_class)
    if not node.is_delta:
        before = ZERO
        n = _find_changes(values, words, now, before, stride, found, at)
    for e in range(n):
        numbers[node.events + e] = values[now + at[e]] - values[before + at[e]]
    return n


@compiled
def _count_by_class(
    table: Array, node: Any, values: Array, now: Any, before: Any, at: Array, n: Any, kept: Array, by_class: Array
) -> None:
    """Count ``n`` changes, at least one, by the class of their inputs; and in ``kept`` what spike code has more now.

    Neighbors are of one class more often than not: they are summed before memory is touched.
    """
    last, n_same, more_same = table[node.classes + at[ZERO]], np.int64(0), np.int64(0)
    for e in range(n):
        of_class = table[node.classes + at[e]]
        if of_class != last:
            by_class[ONE, last] += n_same
            kept[last] += more_same
            last, n_same, more_same = of_class, np.int64(0), np.int64(0)
        n_same += 1
        more_same += np.int64(values[now + at[e]] != 0) - np.int64(values[before + at[e]] != 0)
    by_class[ONE, last] += n_same
    kept[last] += more_same


@compiled
def _count_messages(
    table: Array, node: Any, k: int, values: Array, now: Any, before: Any, at: Array, n: Any,
    kept: Array, counts: Array, row: int,
) -> None:  # fmt: skip
    """Count what ``n`` changes of a source cost on the mesh, in both codes; see ``find_events``."""
    messages = hops_x = hops_y = np.int64(0)
    more_messages = more_hops_x = more_hops_y = np.int64(0)
    for e in range(n):
        cost = node.costs + THREE * at[e]
        to, x, y = np.int64(table[cost]), np.int64(table[cost + ONE]), np.int64(table[cost + TWO])
        more = np.int64(values[now + at[e]] != 0) - np.int64(values[before + at[e]] != 0)
        messages += to
        hops_x += x
        hops_y += y
        more_messages += more * to
        more_hops_x += more * x
        more_hops_y += more * y
    kept[k, 3] += more_messages
    kept[k, 4] += more_hops_x
    kept[k, 5] += more_hops_y
    counts[row, DELTA_COSTS] += messages
    counts[row, DELTA_COSTS + 1] += hops_x
    counts[row, DELTA_COSTS + 2] += hops_y
    counts[row, SPIKE_COSTS] += kept[k, 3]
    counts[row, SPIKE_COSTS + 1] += kept[k, 4]
    counts[row, SPIKE_COSTS + 2] += kept[k, 5]


@compiled
def _find_routed(
    table: Array, node: Any, k: int, values: Array, words: Array, now: Any, before: Any, stride: Any,
    found: Array, at: Array, kept: Array, counts: Array, row: int,
) -> Any:  # fmt: skip
    """Find what changed in a source, and count its messages if this node has to; return how many changed."""
    n = _find_changes(values, words, now, before, stride, found, at)
    if node.has_costs:
        _count_messages(table, node, k, values, now, before, at, n, kept, counts, row)
    return n


@compiled
def route(
    table: Array, node: Any, k: int, source: Any, now: Any, before: Any, memory: Memory, counts: Array, row: int
) -> None:
    """Count the messages of a source if no map counts them."""
    found, at, kept = memory.found, memory.at, memory.kept
    values, words = memory.spikes, memory.spike_words
    numbers, number_words = memory.numbers, memory.number_words
    if source.is_spiking:
        _find_routed(table, node, k, values, words, now, before, source.stride, found, at, kept, counts, row)
    else:
        _find_routed(table, node, k, numbers, number_words, now, before, source.stride, found, at, kept, counts, row)
