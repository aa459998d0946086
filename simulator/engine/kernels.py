"""The loops of the event engine, compiled: one call takes samples through every step and node of a plan.

All node functions see one time step of one sample. Values of neurons are bytes, 0 or 1, so that eight of them are
compared at once; all others are numbers of the program's format. Vectors are padded with zeros to whole words, and are
told by where they begin: a slice is a hundred instructions to compile. What the loops are given is described here too:
a change to this file, and to no other, makes the compiled code out of date.
"""
# ruff: noqa: PLR0917  (a keyword costs the compiler a lookup, and these functions are called from here alone)

from collections.abc import Callable
from enum import IntEnum, IntFlag
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from tdd_deploy.neurons.loihi import DECAY, LIMIT, UNIT
from tdd_deploy.simulator.arithmetic import NumberArray

from .scatter import IntArray

Function = TypeVar("Function", bound=Callable[..., Any])
Array = NDArray[Any]

BLOCK = 512  # neurons updated at a time; their parameters stay in the first cache


class Kind(IntEnum):
    """What a node of a plan does in a time step."""

    INPUT = 0
    SUM = 1
    FLATTEN = 2
    SYNAPSES = 3
    NEURONS = 4  # LIF and its kin
    THRESHOLD = 5
    INTEGRATORS = 6  # LI, CubaLI and I: their values are their potentials
    SIGMA_DELTA = 7  # their values are those that receivers hold
    VARIANTS = 8  # VariantLIF: their values are counts of spikes
    ROUTE = 9  # counts messages if no receiving map can
    POTENTIALS = 10  # potentials that the neurons of the next node are about to compare with their thresholds


class Count(IntEnum):
    """Where a count stands: of the input and of neurons; or, of other nodes, three in each code.

    ``BEYOND``: numbers that are too large to be sent. ``CODE``: effective, stored and macs of a map. ``COSTS``:
    messages, hops in x and in y of what its source sends.
    """

    VALUES = 0
    CHANGES = 1
    ACTIVE = 2
    BEYOND = 3
    SPIKE_CODE = 0
    DELTA_CODE = 3
    SPIKE_COSTS = 6
    DELTA_COSTS = 9


N_COUNTS = 12


class Parameter(IntEnum):
    """A neuron's parameters: it fires above LIMIT; AFTER is added to what the reset leaves of v.

    A sigma-delta neuron is never below FLOOR, and sends when it has moved by more than LIMIT: in multiples of GRID
    where that is not 0. A variant of LIF is never below FLOOR after its reset, which goes to AFTER, or takes away GRID
    per spike.
    """

    KEEP_U = 0
    KEEP_V = 1
    BIAS = 2
    LIMIT = 3
    AFTER = 4
    FLOOR = 5
    GRID = 6


NODE = np.dtype(
    [
        (name, np.uint64)
        for name in (
            *("kind", "size", "source", "n_sources"),  # sources in the table: node, delay
            *("is_spiking", "start", "stride", "slots"),  # where its values are, of the last ``slots`` steps
            *("u", "has_u", "v", "parameters", "is_soft", "variant"),  # neurons; without u, zeros stand for it
            *("is_delta", "size_in", "fans", "has_bias", "bias", "weights", "rows", "columns"),  # maps with weights
            *("n_rows", "n_columns", "block"),  # taps, and the channels that one tap reaches
            *("groups", "channels_in", "width_in", "channels_out", "width_out"),
            *("many", "pairs"),  # events from which on all inputs are multiplied; places that taps connect
            *("has_costs", "costs"),  # of what the source sends, on the mesh
            "events",  # where the values of events are
            *("order", "first", "n_ordered"),  # flattened: so many values from the first place on, and zeros
            "observed",  # the node that has these potentials
        )
    ]
)


class Variant(IntFlag):
    """What a variant of LIF does."""

    SOFT = 1
    NEVER_RESETS = 2
    LATE = 4
    MANY = 8
    HELD = 16


class Plan(NamedTuple):
    """The tables; numbers in the program's format, weights of integers in 16 bits."""

    nodes: NDArray[Any]  # of NODE, in execution order
    table: NDArray[np.uint32]  # whatever is looked up; plan.py says what lies where
    weights: NumberArray  # per map [channel_in, tap row, tap column, channels of the group]
    numbers: NumberArray  # biases and parameters
    largest: NumberArray  # per node, magnitude of numbers that neurons may send, so that all sums are finite


class Memory(NamedTuple):
    """What one sample needs while it runs. ``words`` are the same bytes as the array before them."""

    spikes: NDArray[np.int8]  # zeros, then what nodes sent
    spike_words: NDArray[np.uint64]
    numbers: NumberArray  # zeros, the values of events, then what nodes sent and hold
    number_words: NDArray[np.uint64]
    kept: IntArray  # [n_nodes, 6]: what the values of this step cost in spike code; graded instead of macs
    found: NDArray[np.uint32]  # words that differ
    at: NDArray[np.uint32]  # events
    totals: NDArray[np.float64]  # the output, summed over the steps so far


INPUT, SUM, FLATTEN, SYNAPSES, NEURONS, THRESHOLD, INTEGRATORS, SIGMA_DELTA, VARIANTS, _, POTENTIALS = (
    np.uint64(kind) for kind in Kind
)
VALUES, CHANGES, ACTIVE, BEYOND = int(Count.VALUES), int(Count.CHANGES), int(Count.ACTIVE), int(Count.BEYOND)
SPIKE_CODE, DELTA_CODE = int(Count.SPIKE_CODE), int(Count.DELTA_CODE)
SPIKE_COSTS, DELTA_COSTS = int(Count.SPIKE_COSTS), int(Count.DELTA_COSTS)
KEEP_U, KEEP_V, BIAS, LIMIT_V, AFTER, FLOOR, GRID = (np.uint64(parameter) for parameter in Parameter)
SOFT, NEVER_RESETS, LATE, MANY, HELD = (np.uint64(flag) for flag in Variant)
# Indices are unsigned: signed ones would be tested for being negative, and divided with more care.
ZERO, ONE, TWO, THREE, AT_ONCE, FIVE, SIX, SEVEN = (np.uint64(i) for i in range(8))  # AT_ONCE: what is added together
BLOCK_SIZE = np.uint64(BLOCK)
DECAY_BITS, TURN_BITS = DECAY.bit_length() - 1, (2 * LIMIT).bit_length() - 1


# Without the interpreter lock, and without leave to reorder floats.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
INNER = {**OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # called by compiled code alone


def compiled(function: Function) -> Function:
    """Compile for other compiled functions."""
    return cast(Function, numba.njit(**INNER)(function))


def inlined(function: Function) -> Function:
    """Compile into every caller: a call that passes arrays costs more than the loop over 64 channels."""
    return cast(Function, numba.njit(**INNER, forceinline=True)(function))


def spliced(function: Function) -> Function:
    """Compile as a part of its only caller: a function of its own is optimised alone, and again in its caller."""
    return cast(Function, numba.njit(**INNER, inline="always")(function))


@compiled
def _where(node: Any, t: Any, back: Any) -> Any:
    """Return where the values begin that a node sent ``back`` steps before ``t``: zeros before the first step."""
    return node.start + ((t + node.slots - back) % node.slots) * node.stride


@compiled
def _add(values: Array, source: Any, numbers: Array, to: Any, size: Any) -> None:
    for i in range(size):
        numbers[to + i] += values[source + i]


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
def _find_events(
    table: Array, node: Any, k: int, values: Array, words: Array, now: Any, before: Any, stride: Any,
    found: Array, at: Array, numbers: Array, kept: Array, counts: Array, row: int,
) -> Any:  # fmt: skip
    """Write what a map with weights receives, in its code, to ``at`` and ``numbers``; count both codes.

    What the values cost in spike code follows from what it was the step before, and from what changed.
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
    if not node.is_delta:
        before = ZERO
        n = _find_changes(values, words, now, before, stride, found, at)
    for e in range(n):
        numbers[node.events + e] = values[now + at[e]] - values[before + at[e]]
    return n


@compiled
def _count_messages(
    table: Array, node: Any, k: int, values: Array, now: Any, before: Any, at: Array, n: Any,
    kept: Array, counts: Array, row: int,
) -> None:  # fmt: skip
    """Count what ``n`` changes of a source cost on the mesh, in both codes; see ``_find_events``."""
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
    """Find what changed in a source, and count its messages if that is this node's to do; return how many changed."""
    n = _find_changes(values, words, now, before, stride, found, at)
    if node.has_costs:
        _count_messages(table, node, k, values, now, before, at, n, kept, counts, row)
    return n


@compiled
def _route(
    table: Array, node: Any, k: int, source: Any, now: Any, before: Any, memory: Memory, counts: Array, row: int
) -> None:
    """Count the messages of a source that no map does."""
    found, at, kept = memory.found, memory.at, memory.kept
    values, words = memory.spikes, memory.spike_words
    numbers, number_words = memory.numbers, memory.number_words
    if source.is_spiking:
        _find_routed(table, node, k, values, words, now, before, source.stride, found, at, kept, counts, row)
    else:
        _find_routed(table, node, k, numbers, number_words, now, before, source.stride, found, at, kept, counts, row)


@compiled
def _connect(table: Array, weights: Array, given: Array, node: Any, at: Array, n: Any, numbers: Array, t: Any) -> None:
    """Run a map with weights: its ``n`` events add to what it held, or in spike code to nothing."""
    now, held = _where(node, t, ZERO), _where(node, t, ONE)
    if not node.is_delta:
        held = ZERO
    if held != now:
        for i in range(node.stride):
            numbers[now + i] = numbers[held + i]
    if n < node.many:
        _add_events(table, weights, node, at, n, numbers, now)
    else:
        _spread(at, n, node.size_in, numbers, node.events)
        _multiply(table, weights, node, at, numbers, now)
    if node.has_bias and (t == ZERO or not node.is_delta):
        for start in range(now, now + node.size, node.channels_out):
            for j in range(node.channels_out):
                numbers[start + j] += given[node.bias + j]


@compiled
def _add_events(table: Array, weights: Array, node: Any, at: Array, n: Any, numbers: Array, to: Any) -> None:
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
def _spread(at: Array, n: Any, size: Any, numbers: Array, events: Any) -> None:
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
def _multiply(table: Array, weights: Array, node: Any, at: Array, numbers: Array, to: Any) -> None:
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


def _advance(u: Any, v: Any, current: Any, keep_u: Any, keep_v: Any, bias: Any, has_u: Any) -> tuple[Any, Any]:
    """Filter the current, leak, integrate; return u, zero where it is not kept, and v before reset."""
    raise NotImplementedError  # only compiled code calls it


@overload(_advance, inline="always")
def _advance_of(u: Any, v: Any, current: Any, keep_u: Any, keep_v: Any, bias: Any, has_u: Any) -> Any:
    """Choose LoihiLIF for integers, and for floats CubaLIF; LIF and IF filter nothing. See tdd_deploy/neurons."""

    def loihi(u: Any, v: Any, current: Any, keep_u: Any, keep_v: Any, bias: Any, has_u: Any) -> tuple[Any, Any]:
        u = np.int32(_keep(u, keep_u) + current * np.int32(UNIT))
        turns = np.int32(np.int32(u + np.int32(LIMIT - 1)) >> np.int32(TURN_BITS))
        u = np.int32(u - min(max(turns, np.int32(-1)), np.int32(1)) * np.int32(2 * LIMIT))
        v = np.int32(np.int32(_keep(v, keep_v) + u) + bias)
        return u, min(max(v, np.int32(1 - LIMIT)), np.int32(LIMIT - 1))

    def cuba_lif(u: Any, v: Any, current: Any, keep_u: Any, keep_v: Any, bias: Any, has_u: Any) -> tuple[Any, Any]:
        u = u * keep_u + current
        return u if has_u else has_u, v * keep_v + u  # no product: zeros that all nodes share must stay finite

    return loihi if isinstance(v, numba.types.Integer) else cuba_lif


@compiled
def _keep(x: Any, fraction: Any) -> Any:
    """Return ``x`` times ``fraction`` / 4096, rounded toward zero, by halves of 12 bits: 32 bits hold them all."""
    sign = np.int32(x >> np.int32(31))
    size = np.int32((x ^ sign) - sign)
    high, low = np.int32(size >> np.int32(DECAY_BITS)), np.int32(size & np.int32(DECAY - 1))
    kept = np.int32(np.int32(high * fraction) + np.int32(np.int32(low * fraction) >> np.int32(DECAY_BITS)))
    return np.int32((kept ^ sign) - sign)


@compiled
def _parameter(table: Array, node: Any, parameter: Any, start: Any) -> Any:
    """Return where a parameter of neurons from ``start`` on begins; where blocks are the same, it stands there once."""
    place = node.parameters + TWO * parameter
    return table[place] + start * table[place + ONE]


@compiled
def _fire(
    table: Array, given: Array, node: Any, numbers: Array, spikes: Array, current: Any, now: Any, before: Any,
    counts: Array, row: int,
) -> None:  # fmt: skip
    """Advance a layer of neurons, block by block, and count them."""
    held = numbers.dtype.type(node.is_soft)  # what a spike leaves of v, before AFTER is added
    to_number = numbers.dtype.type
    has_u = to_number(node.has_u)
    n_values, n_changes, n_active = np.int32(0), np.int32(0), np.int32(0)
    for start in range(ZERO, node.size, BLOCK_SIZE):
        keep_u, keep_v = _parameter(table, node, KEEP_U, start), _parameter(table, node, KEEP_V, start)
        bias, limit = _parameter(table, node, BIAS, start), _parameter(table, node, LIMIT_V, start)
        after = _parameter(table, node, AFTER, start)
        u_at, v_at = node.u + start * node.has_u, node.v + start
        current_at, now_at, before_at = current + start, now + start, before + start
        for i in range(_smaller(BLOCK_SIZE, node.size - start)):
            u, v, arrived, b = numbers[u_at + i], numbers[v_at + i], numbers[current_at + i], given[bias + i]
            is_active = (u != 0) | (v != 0) | (arrived != 0) | (b != 0)
            new_u, new_v = _advance(u, v, arrived, given[keep_u + i], given[keep_v + i], b, has_u)
            fires = new_v > given[limit + i]
            numbers[u_at + i] = new_u
            numbers[v_at + i] = numbers.dtype.type(new_v * held + given[after + i]) if fires else new_v
            n_active = np.int32(n_active + is_active)
            n_values = np.int32(n_values + fires)
            n_changes = np.int32(n_changes + (fires != spikes[before_at + i]))
            spikes[now_at + i] = fires
    counts[row, VALUES] += n_values
    counts[row, CHANGES] += n_changes
    counts[row, ACTIVE] += n_active


@compiled
def _smaller(a: Any, b: Any) -> Any:
    return a if a < b else b


@compiled
def _compare(
    table: Array, given: Array, node: Any, numbers: Array, spikes: Array, current: Any, now: Any, before: Any,
    counts: Array, row: int,
) -> None:  # fmt: skip
    """Fire where the current is above the threshold, block by block."""
    n_values, n_changes, n_active = np.int32(0), np.int32(0), np.int32(0)
    for start in range(ZERO, node.size, BLOCK_SIZE):
        limit = _parameter(table, node, LIMIT_V, start)
        current_at, now_at, before_at = current + start, now + start, before + start
        for i in range(_smaller(BLOCK_SIZE, node.size - start)):
            arrived = numbers[current_at + i]
            fires = arrived > given[limit + i]
            n_active = np.int32(n_active + (arrived != 0))
            n_values = np.int32(n_values + fires)
            n_changes = np.int32(n_changes + (fires != spikes[before_at + i]))
            spikes[now_at + i] = fires
    counts[row, VALUES] += n_values
    counts[row, CHANGES] += n_changes
    counts[row, ACTIVE] += n_active


@compiled
def _integrate(
    table: Array, given: Array, node: Any, numbers: Array, current: Any, now: Any, before: Any, largest: Any,
    counts: Array, row: int,
) -> None:  # fmt: skip
    """Filter the current, leak, integrate and send the potential, block by block."""
    to_number = numbers.dtype.type
    has_u = to_number(node.has_u)
    n_values, n_changes, n_active, n_beyond = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
    for start in range(ZERO, node.size, BLOCK_SIZE):
        keep_u, keep_v = _parameter(table, node, KEEP_U, start), _parameter(table, node, KEEP_V, start)
        u_at = node.u + start * node.has_u
        current_at, now_at, before_at = current + start, now + start, before + start
        for i in range(_smaller(BLOCK_SIZE, node.size - start)):
            u, old, arrived = numbers[u_at + i], numbers[before_at + i], numbers[current_at + i]
            new_u = u * given[keep_u + i] + arrived
            v = old * given[keep_v + i] + new_u
            numbers[u_at + i] = new_u if has_u else has_u
            n_active = np.int32(n_active + ((arrived != 0) | (old != 0) | (u != 0)))
            n_values = np.int32(n_values + (v != 0))
            n_changes = np.int32(n_changes + (v != old))
            n_beyond = np.int32(n_beyond + (not abs(v) <= largest))
            numbers[now_at + i] = v
    counts[row, VALUES] += n_values
    counts[row, CHANGES] += n_changes
    counts[row, ACTIVE] += n_active
    counts[row, BEYOND] += n_beyond


@inlined
def _spikes(v: Any, limit: Any, threshold: Any, is_many: Any) -> Any:
    """Return how often a variant fires."""
    if not is_many:
        return v * 0 + (v > limit)
    n, one = np.floor(v / threshold), threshold / threshold  # a literal 1 would widen the number format
    if n * threshold > v:  # quotients are rounded, so products decide
        n -= one
    if (n + one) * threshold <= v:
        n += one
    return max(n, v * 0)


@inlined
def _reset(v: Any, compared: Any, fired: Any, limit: Any, threshold: Any, after: Any, variant: Any) -> Any:
    """Reset v as the variant does, given the potential that was compared and the spikes that it fired."""
    if variant & NEVER_RESETS:
        return v
    if variant & SOFT:
        return v - fired * threshold
    return after if compared > limit else v


@compiled
def _fire_variants(
    table: Array, given: Array, node: Any, numbers: Array, current: Any, now: Any, before: Any, largest: Any,
    counts: Array, row: int,
) -> None:  # fmt: skip
    """Advance a layer of variants of LIF, block by block, and count them."""
    to_number = numbers.dtype.type
    n_values, n_changes, n_active, n_beyond = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
    for start in range(ZERO, node.size, BLOCK_SIZE):
        keep_u, keep_v = _parameter(table, node, KEEP_U, start), _parameter(table, node, KEEP_V, start)
        limits, thresholds = _parameter(table, node, LIMIT_V, start), _parameter(table, node, GRID, start)
        afters, floors = _parameter(table, node, AFTER, start), _parameter(table, node, FLOOR, start)
        u_at, v_at = node.u + start, node.v + start
        current_at, now_at, before_at = current + start, now + start, before + start
        for i in range(_smaller(BLOCK_SIZE, node.size - start)):
            u, old, arrived = numbers[u_at + i], numbers[v_at + i], numbers[current_at + i]
            limit, threshold, after = given[limits + i], given[thresholds + i], given[afters + i]
            n_active = np.int32(n_active + ((u != 0) | (old != 0) | (arrived != 0)))
            new_u = u * given[keep_u + i] + arrived
            v = old * given[keep_v + i] + new_u
            fired_before = to_number(_spikes(old, limit, threshold, node.variant & MANY))  # all in the number format
            if node.variant & LATE:
                v = _reset(v, old, fired_before, limit, threshold, after, node.variant)
            compared = v
            if node.variant & HELD:
                compared = v - fired_before * threshold
            fired = to_number(_spikes(compared, limit, threshold, node.variant & MANY))
            if not node.variant & LATE:
                v = _reset(v, compared, fired, limit, threshold, after, node.variant)
            numbers[u_at + i] = to_number(new_u)
            numbers[v_at + i] = to_number(max(v, given[floors + i]))
            n_values = np.int32(n_values + (fired != 0))
            n_changes = np.int32(n_changes + (fired != numbers[before_at + i]))
            n_beyond = np.int32(n_beyond + (not abs(fired) <= largest))
            numbers[now_at + i] = fired
    counts[row, VALUES] += n_values
    counts[row, CHANGES] += n_changes
    counts[row, ACTIVE] += n_active
    counts[row, BEYOND] += n_beyond


@compiled
def _observe(table: Array, given: Array, node: Any, numbers: Array, current: Any, now: Any) -> None:
    """Write the potentials that a spiking layer is about to compare; its own states do not change.

    Zeros stand for the states that a layer does not have.
    """
    to_number = numbers.dtype.type
    has_u = to_number(node.has_u)
    for start in range(ZERO, node.size, BLOCK_SIZE):
        keep_u, keep_v = _parameter(table, node, KEEP_U, start), _parameter(table, node, KEEP_V, start)
        bias, afters = _parameter(table, node, BIAS, start), _parameter(table, node, AFTER, start)
        limits, thresholds = _parameter(table, node, LIMIT_V, start), _parameter(table, node, GRID, start)
        u_at, v_at = node.u + start * node.has_u, node.v + start
        for i in range(_smaller(BLOCK_SIZE, node.size - start)):
            arrived = numbers[current + start + i]
            u, old, limit, threshold = numbers[u_at + i], numbers[v_at + i], given[limits + i], given[thresholds + i]
            _, v = _advance(u, old, arrived, given[keep_u + i], given[keep_v + i], given[bias + i], has_u)
            fired_before = to_number(_spikes(old, limit, threshold, node.variant & MANY))
            if node.variant & LATE:
                v = _reset(v, old, fired_before, limit, threshold, given[afters + i], node.variant)
            if node.variant & HELD:
                v = v - fired_before * threshold
            numbers[now + start + i] = to_number(v)


@compiled
def _send_on_change(
    table: Array, given: Array, node: Any, numbers: Array, current: Any, now: Any, before: Any, largest: Any,
    counts: Array, row: int,
) -> None:  # fmt: skip
    """Send anew what has moved, block by block."""
    n_values, n_changes, n_active, n_beyond = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
    for start in range(ZERO, node.size, BLOCK_SIZE):
        limit, bias = _parameter(table, node, LIMIT_V, start), _parameter(table, node, BIAS, start)
        floor, grid = _parameter(table, node, FLOOR, start), _parameter(table, node, GRID, start)
        v_at, current_at, now_at, before_at = node.v + start, current + start, now + start, before + start
        for i in range(_smaller(BLOCK_SIZE, node.size - start)):
            y, held, arrived = numbers[v_at + i], numbers[before_at + i], numbers[current_at + i]
            n_active = np.int32(n_active + ((arrived != 0) | (given[bias + i] != 0) | (y != 0) | (held != 0)))
            x = max(arrived + given[bias + i], given[floor + i])
            moved = x if abs(x - y) > given[limit + i] else y
            step = given[grid + i]
            sent = numbers.dtype.type(held + np.floor((moved - y) / step) * step) if step > 0 else moved
            n_values = np.int32(n_values + (sent != 0))
            n_changes = np.int32(n_changes + (sent != held))
            n_beyond = np.int32(n_beyond + (not abs(sent) <= largest))
            numbers[v_at + i] = moved
            numbers[now_at + i] = sent
    counts[row, VALUES] += n_values
    counts[row, CHANGES] += n_changes
    counts[row, ACTIVE] += n_active
    counts[row, BEYOND] += n_beyond


@compiled
def _take(frame: Array, numbers: Array, now: Any, before: Any, counts: Array, row: int) -> None:
    """Take an input."""
    n_values, n_changes = np.int32(0), np.int32(0)
    for i in range(np.uint64(len(frame))):
        value = frame[i]
        n_values = np.int32(n_values + (value != 0))
        n_changes = np.int32(n_changes + (value != numbers[before + i]))
        numbers[now + i] = value
    counts[row, VALUES] += n_values
    counts[row, CHANGES] += n_changes


@compiled
def _flatten(table: Array, node: Any, values: Array, source: Any, now: Any) -> None:
    """Put channels first, or a part in its place among zeros."""
    for i in range(node.first):
        values[now + i] = 0
    for i in range(node.n_ordered):
        values[now + node.first + i] = values[source + table[node.order + i]]
    for i in range(node.first + node.n_ordered, node.size):
        values[now + i] = 0


@compiled
def _add_all(plan: Plan, node: Any, t: Any, memory: Memory, now: Any) -> None:
    """Add what several nodes sent, or turn the bytes of one into numbers."""
    for i in range(node.size):
        memory.numbers[now + i] = 0
    for s in range(node.source, node.source + TWO * node.n_sources, TWO):
        source = plan.nodes[plan.table[s]]
        given = _where(source, t, plan.table[s + ONE])
        if source.is_spiking:
            _add(memory.spikes, given, memory.numbers, now, node.size)
        else:
            _add(memory.numbers, given, memory.numbers, now, node.size)


@spliced
def _step(  # noqa: PLR0912  (a branch per kind)
    plan: Plan, k: int, t: Any, frame: Array, memory: Memory, counts: Array, row: int
) -> None:
    """Execute one time step of one node."""
    node = plan.nodes[k]
    source, back = plan.nodes[plan.table[node.source]], plan.table[node.source + ONE]
    given, given_before = _where(source, t, back), _where(source, t, back + ONE)
    now, before = _where(node, t, ZERO), _where(node, t, ONE)
    spikes, numbers = memory.spikes, memory.numbers
    if node.kind == INPUT:
        _take(frame, numbers, now, before, counts, row)
    elif node.kind == SUM:
        _add_all(plan, node, t, memory, now)
    elif node.kind == FLATTEN and source.is_spiking:
        _flatten(plan.table, node, spikes, given, now)
    elif node.kind == FLATTEN:
        _flatten(plan.table, node, numbers, given, now)
    elif node.kind == SYNAPSES:
        if source.is_spiking:
            n = _find_events(
                plan.table, node, k, spikes, memory.spike_words, given, given_before, source.stride,
                memory.found, memory.at, numbers, memory.kept, counts, row,
            )  # fmt: skip
        else:
            n = _find_events(
                plan.table, node, k, numbers, memory.number_words, given, given_before, source.stride,
                memory.found, memory.at, numbers, memory.kept, counts, row,
            )  # fmt: skip
        _connect(plan.table, plan.weights, plan.numbers, node, memory.at, n, numbers, t)
    elif node.kind == NEURONS:
        _fire(plan.table, plan.numbers, node, numbers, spikes, given, now, before, counts, row)
    elif node.kind == THRESHOLD:
        _compare(plan.table, plan.numbers, node, numbers, spikes, given, now, before, counts, row)
    elif node.kind == INTEGRATORS:
        _integrate(plan.table, plan.numbers, node, numbers, given, now, before, plan.largest[k], counts, row)
    elif node.kind == SIGMA_DELTA:
        _send_on_change(plan.table, plan.numbers, node, numbers, given, now, before, plan.largest[k], counts, row)
    elif node.kind == VARIANTS:
        _fire_variants(plan.table, plan.numbers, node, numbers, given, now, before, plan.largest[k], counts, row)
    elif node.kind == POTENTIALS:
        _observe(plan.table, plan.numbers, plan.nodes[node.observed], numbers, given, now)
    else:
        _route(plan.table, node, k, source, given, given_before, memory, counts, row)


@compiled
def _lead(numbers: Array, now: Any, totals: Array) -> float:
    """Add what the output received to ``totals``; return by how much the largest is ahead of the next."""
    first = second = -np.inf
    for i in range(np.uint64(len(totals))):
        totals[i] += numbers[now + i]
        if totals[i] > first:
            first, second = totals[i], first
        elif totals[i] > second:
            second = totals[i]
    return first - second


def _run(
    plan: Plan, frames: Array, begin: int, end: int, first: int, last: int, memory: Memory,
    record: Array, spikes: Array, numbers: Array, output: int, margin: float, counts: Array, n_running: Array,
) -> bool:  # fmt: skip
    """Take samples ``first`` to ``last - 1`` through steps ``begin`` to ``end - 1``, or until they are decided.

    Args:
        plan: the program, laid out.
        frames: ``[end - begin, batch, n]``, or ``[1, batch, n]`` when the input is the same at every step.
        begin: the first step; memory is cleared before step 0, and after it belongs to one sample.
        end: the first step not taken.
        first: the first sample.
        last: the first sample not taken.
        memory: of one sample.
        record: where in its raster each node is recorded, or -1; what is not executed stays as it is there.
        spikes: raster of bytes ``[batch, n_steps, n]``.
        numbers: raster of numbers, likewise.
        output: the node of the output.
        margin: by how much the largest output, a mean over the steps so far, decides; infinite: never.
        counts: ``[n_nodes * n_steps, n_counts]``, added to.
        n_running: ``[n_steps]``, how many samples were executed, added to.

    Returns:
        Whether the last sample was decided.
    """
    n_steps, lead = len(n_running), -np.inf
    first_place = plan.nodes[0].events  # before it, zeros; then in numbers the values of events, and what nodes keep
    for sample in range(first, last):
        if begin == 0:
            memory.spikes[first_place:] = 0
            memory.numbers[TWO * first_place :] = 0
            memory.kept[:] = 0
            memory.totals[:] = 0
        for step in range(begin, end):
            t, frame = np.uint64(step), frames[step - begin if len(frames) > 1 else 0, sample]
            for k in range(len(plan.nodes)):
                _step(plan, k, t, frame, memory, counts, k * n_steps + step)
                node, to = plan.nodes[k], record[k]
                now = _where(node, t, ZERO)
                if to >= 0 and node.is_spiking:
                    for i in range(node.size):
                        spikes[sample, step, np.uint64(to) + i] = memory.spikes[now + i]
                elif to >= 0:
                    for i in range(node.size):
                        numbers[sample, step, np.uint64(to) + i] = memory.numbers[now + i]
            n_running[step] += 1
            if margin < np.inf:
                lead = _lead(memory.numbers, _where(plan.nodes[output], t, ZERO), memory.totals) / (step + 1)
                if lead >= margin:
                    break
    return bool(lead >= margin)


def _cached() -> Callable[..., bool]:
    """Compile ``_run``, keeping the machine code for the next process where a folder can be written for it."""
    try:
        return cast(Callable[..., bool], numba.njit(**OPTIONS, cache=True)(_run))
    except RuntimeError:  # no such folder
        return _uncached()


def _uncached() -> Callable[..., bool]:
    return cast(Callable[..., bool], numba.njit(**OPTIONS)(_run))


_run_cached, _run_uncached = _cached(), _uncached()


def run(*arguments: Any) -> bool:
    """Call ``_run``, see there; a cache that cannot be written or read is done without."""
    try:
        return _run_cached(*arguments)
    except OSError:  # raised while compiling, before anything ran
        return _run_uncached(*arguments)
