"""Compiled loops: maps with weights, event by event or, where that is faster, all inputs at once."""
# ruff: noqa: PLR0917  (a keyword costs the compiler a lookup, and these functions are called from compiled code alone)

from typing import Any

import numpy as np

from .events import where
from .tables import AT_ONCE, FIVE, ONE, SEVEN, SIX, THREE, TWO, ZERO, Array, compiled, inlined


@compiled
def connect(table: Array, weights: Array, given: Array, node: Any, at: Array, n: Any, numbers: Array, t: Any) -> None:
    """Run a map with weights: its ``n`` events add to what it held, or in spike code to nothing."""
    now, held = where(node, t, ZERO), where(node, t, ONE)
    if not node.is_delta:
        held = ZERO
    if held != now:
        for i in range(node.stride):
            numbers[now + i] = numbers[held + i]
    if n < node.many:
        add_events(table, weights, node, at, n, numbers, now)
    else:
        spread(at, n, node.size_in, numbers, node.events)
        multiply(table, weights, node, at, numbers, now)
    if node.has_bias and (t == ZERO or not node.is_delta):
        for start in range(now, now + node.size, node.channels_out):
            for j in range(node.channels_out):
                numbers[start + j] += given[node.bias + j]


@compiled
def add_events(table: Array, weights: Array, node: Any, at: Array, n: Any, numbers: Array, to: Any) -> None:
    """Add the weights of ``n`` events, times their value, to the sums they reach; events of one place together."""
    groups, channels, block = node.groups, node.channels_in // node.groups, node.block
    stride = node.n_rows * node.n_columns * block
    first = ZERO
    while first < n:
        cell = at[first] // channels  # one group of channels at one place
        last, end = first + ONE, (cell + ONE) * channels
        while last < n and at[last] < end:
            last += ONE
        place, group = cell, ZERO
        if groups > ONE:
            place = cell // groups
            group = cell - place * groups
        y = place // node.width_in
        row, column = node.rows + y, node.columns + place - y * node.width_in
        begin = node.weights - place * node.channels_in * stride
        for r in range(table[row], table[row + ONE], THREE):
            for c in range(table[column], table[column + ONE], THREE):
                start = begin + (table[r] * node.n_columns + table[c]) * block
                o = to + (table[r + ONE] * node.width_out + table[c + ONE]) * node.channels_out + group * block
                _add_weights(weights, start, stride, at, first, last, numbers, node.events, o, table[c + TWO] * block)
        first = last


@inlined
def _add_weights(
    weights: Array, start: Any, stride: Any, at: Array, first: Any, last: Any, numbers: Array, events: Any,
    to: Any, n: Any,
) -> None:  # fmt: skip
    """Add the weights of events, ``AT_ONCE`` at a time, to the same sums: what is added together is stored once."""
    whole = last - (last - first) % AT_ONCE
    for e in range(first, whole, AT_ONCE):
        w0, w1 = start + at[e] * stride, start + at[e + ONE] * stride
        w2, w3 = start + at[e + TWO] * stride, start + at[e + THREE] * stride
        a, b = numbers[events + e], numbers[events + e + ONE]
        c, d = numbers[events + e + TWO], numbers[events + e + THREE]
        for j in range(n):
            numbers[to + j] += a * weights[w0 + j] + b * weights[w1 + j] + c * weights[w2 + j] + d * weights[w3 + j]
    for e in range(whole, last):
        w0, a = start + at[e] * stride, numbers[events + e]
        for j in range(n):
            numbers[to + j] += a * weights[w0 + j]


@compiled
def spread(at: Array, n: Any, size: Any, numbers: Array, events: Any) -> None:
    """Make an event of every input: those that were none have value zero."""
    for k in range(size):
        i = size - ONE - k
        if n > ZERO and at[n - ONE] == i:
            n -= ONE
            numbers[events + i] = numbers[events + n]
        else:
            numbers[events + i] = 0
        at[i] = i


@compiled
def multiply(table: Array, weights: Array, node: Any, at: Array, numbers: Array, to: Any) -> None:
    """Add the weights of all inputs, times their values, ``AT_ONCE`` channels of ``AT_ONCE`` places at a time."""
    block, n_taps = node.block, node.n_rows * node.n_columns
    stride, pair = n_taps * block, node.pairs
    for tap in range(n_taps):
        n_pairs, start = table[pair], node.weights + tap * block
        pair += ONE
        rest, end = pair + TWO * (n_pairs - n_pairs % AT_ONCE), pair + TWO * n_pairs
        for p in range(pair, rest, TWO * AT_ONCE):
            x0, x1 = node.events + table[p], node.events + table[p + TWO]
            x2, x3 = node.events + table[p + AT_ONCE], node.events + table[p + SIX]
            o0, o1 = to + table[p + ONE], to + table[p + THREE]
            o2, o3 = to + table[p + FIVE], to + table[p + SEVEN]
            for channel in range(ZERO, node.channels_in, AT_ONCE):
                w0 = start + channel * stride
                w1, w2, w3 = w0 + stride, w0 + TWO * stride, w0 + THREE * stride
                i0, i1, i2, i3 = x0 + channel, x1 + channel, x2 + channel, x3 + channel
                a0, b0, c0, d0 = numbers[i0], numbers[i0 + ONE], numbers[i0 + TWO], numbers[i0 + THREE]
                a1, b1, c1, d1 = numbers[i1], numbers[i1 + ONE], numbers[i1 + TWO], numbers[i1 + THREE]
                a2, b2, c2, d2 = numbers[i2], numbers[i2 + ONE], numbers[i2 + TWO], numbers[i2 + THREE]
                a3, b3, c3, d3 = numbers[i3], numbers[i3 + ONE], numbers[i3 + TWO], numbers[i3 + THREE]
                for j in range(block):
                    a, b, c, d = weights[w0 + j], weights[w1 + j], weights[w2 + j], weights[w3 + j]
                    numbers[o0 + j] += a0 * a + b0 * b + c0 * c + d0 * d
                    numbers[o1 + j] += a1 * a + b1 * b + c1 * c + d1 * d
                    numbers[o2 + j] += a2 * a + b2 * b + c2 * c + d2 * d
                    numbers[o3 + j] += a3 * a + b3 * b + c3 * c + d3 * d
        for p in range(rest, end, TWO):
            first, last, o = np.uint64(table[p]), table[p] + node.channels_in, to + table[p + ONE]
            _add_weights(weights, start - first * stride, stride, at, first, last, numbers, node.events, o, block)
        pair = end
