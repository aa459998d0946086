"""The loops of the event engine, compiled: one call takes samples through every step and node of a plan.

All node functions see one time step of one sample. Values of neurons are bytes, 0 or 1, so that eight of them are
compared at once; all others are numbers of the program's format. Vectors are padded with zeros to whole words. What
the loops are given is described here too: a change to this file, and to no other, makes the compiled code out of date.
"""
# ruff: noqa: PLR0917  (a keyword costs the compiler a lookup, and these functions are called from here alone)

from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from tdd_deploy.neurons.loihi import DECAY, LIMIT, UNIT

from .arithmetic import NumberArray
from .scatter import IntArray

Function = TypeVar("Function", bound=Callable[..., Any])
Array = NDArray[Any]
Int32Array = NDArray[np.int32]

BLOCK = 512  # neurons updated at a time; their parameters stay in the first cache


class Kind(IntEnum):
    """What a node of a plan does in a time step."""

    INPUT = 0
    SUM = 1
    FLATTEN = 2
    SYNAPSES = 3
    NEURONS = 4  # LIF and its kin
    THRESHOLD = 5
    INTEGRATORS = 6  # LI and I: their values are their potentials
    SCALE = 7


class Count(IntEnum):
    """Where a count stands: of the input and of neurons; of maps, three in each code: effective, stored, macs."""

    VALUES = 0
    CHANGES = 1
    ACTIVE = 2
    SPIKE_CODE = 0
    DELTA_CODE = 3


N_COUNTS = 6


class Parameter(IntEnum):
    """A neuron's parameters: it fires above LIMIT; AFTER is added to what the reset leaves of v."""

    KEEP_U = 0
    KEEP_V = 1
    BIAS = 2
    LIMIT = 3
    AFTER = 4


NODE = np.dtype(
    [
        (name, np.int64)
        for name in (
            *("kind", "size", "source", "n_sources"),  # sources: rows of ``sources``
            *("is_spiking", "start", "stride", "slots"),  # where its values are, of the last ``slots`` steps
            *("state", "parameters", "is_soft", "is_filtered"),  # neurons
            *("is_delta", "size_in", "fans", "bias", "weights", "rows", "columns"),  # maps with weights
            *("n_rows", "n_columns", "block"),  # taps, and the channels that one tap reaches
            *("groups", "channels_in", "width_in", "channels_out", "width_out"),
            *("order", "factor"),  # flattened; scaled
        )
    ]
)


class Plan(NamedTuple):
    """The tables; numbers in the program's format, weights of integers in 16 bits."""

    nodes: NDArray[Any]  # of NODE, in execution order
    sources: IntArray  # [., (node, delay)]
    weights: NumberArray  # per map [channel_in, tap row, tap column, channels of the group]
    starts: Int32Array  # per map and place, where its taps begin
    taps: Int32Array  # [., Tap]
    fans: Int32Array  # [., (effective, stored)]
    numbers: NumberArray  # biases and parameters
    parameters: IntArray  # [., (where it begins, whether each neuron has its own)]
    orders: Int32Array  # where each value of a flattened layer stood


class Memory(NamedTuple):
    """What one sample needs while it runs."""

    spikes: NDArray[np.int8]
    numbers: NumberArray
    kept: IntArray  # [n_nodes, (effective, stored, graded)]: what the values of this step cost in spike code
    words: NDArray[np.uint32]
    at: NDArray[np.uint32]  # events: where, and of what value
    values: NumberArray
    nothing: NDArray[np.uint64]
    totals: NDArray[np.float64]  # the output, summed over the steps so far


INPUT, SUM, FLATTEN, SYNAPSES, NEURONS, THRESHOLD, INTEGRATORS, SCALE = (int(kind) for kind in Kind)
VALUES, CHANGES, ACTIVE = int(Count.VALUES), int(Count.CHANGES), int(Count.ACTIVE)
SPIKE_CODE, DELTA_CODE = int(Count.SPIKE_CODE), int(Count.DELTA_CODE)
KEEP_U, KEEP_V, BIAS, LIMIT_V, AFTER = (int(parameter) for parameter in Parameter)
AT_ONCE = 4  # events whose weights are added together
ONE = np.uint64(1)
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


@compiled
def _values(memory: Array, node: Any, t: int) -> Array:
    """Return what a node sent at step ``t``, padding included; nothing was sent before the first step."""
    start = node.start + (t % node.slots) * node.stride
    return memory[start : start + node.stride]


@compiled
def _add(values: Array, out: Array) -> None:
    for i in range(len(out)):
        out[i] += values[i]


@compiled
def _copy(values: Array, out: Array) -> None:
    for i in range(len(out)):
        out[i] = values[i]


def _per_word(values: Array) -> int:
    """Return how many values are compared at once: a constant for the compiler."""
    raise NotImplementedError  # only compiled code calls it


@overload(_per_word, inline="always")
def _per_word_of(values: Any) -> Any:
    n: int = 64 // values.dtype.bitwidth

    def per_word(values: Any) -> int:
        return n

    return per_word


@compiled
def _find_changes(now: Array, before: Array, words: Array, at: Array) -> int:
    """Write the rising indices at which two vectors differ to ``at``; return how many.

    Words that differ are found first, then values in them; both are written before it is known whether they count,
    since a guess that proves wrong costs more. Signed indices would be tested for being negative.
    """
    now_words, before_words = now.view(np.uint64), before.view(np.uint64)
    n_words = np.uint64(0)
    for w in range(len(now_words)):
        words[n_words] = w
        n_words += np.uint64(now_words[w] != before_words[w])
    per_word = np.uint64(_per_word(now))
    n = np.uint64(0)
    for k in range(n_words):
        first = np.uint64(words[k]) * per_word
        for j in range(per_word):
            at[n] = first + j
            n += np.uint64(now[first + j] != before[first + j])
    return int(n)


@compiled
def _count_changes(plan: Plan, node: Any, now: Array, before: Array, at: Array, kept: Array, counts: Array) -> None:
    """Count the synaptic operations of both codes; ``kept`` holds those of the values themselves and what is graded.

    What the values cost follows from what it was the step before, and from what changed.
    """
    fans = plan.fans[node.fans : node.fans + node.size_in]
    effective, stored, graded = 0, 0, 0
    more_effective, more_stored, more_graded = 0, 0, 0
    for i in at:
        more = int(now[i] != 0) - int(before[i] != 0)
        effective += fans[i, 0]
        stored += fans[i, 1]
        more_effective += more * fans[i, 0]
        more_stored += more * fans[i, 1]
        if _per_word(now) < 8:  # spikes and their changes are never graded
            graded += _is_graded(now[i] - before[i])
            more_graded += _is_graded(now[i]) - _is_graded(before[i])
    kept[0] += more_effective
    kept[1] += more_stored
    kept[2] += more_graded
    _count(counts[DELTA_CODE:], effective, stored, graded)
    _count(counts[SPIKE_CODE:], kept[0], kept[1], kept[2])


@compiled
def _is_graded(value: Any) -> int:
    return int(value != 0 and abs(value) != 1)


@compiled
def _count(counts: Array, effective: int, stored: int, graded: int) -> None:
    counts[0] += effective
    counts[1] += stored
    if graded:
        counts[2] += effective


@compiled
def _add_events(plan: Plan, node: Any, n: int, memory: Memory, out: Array) -> None:
    """Add the weights of ``n`` events, times their value, to the sums they reach; events of one place together.

    Here and below indices are unsigned: signed ones would be tested for being negative, and divided with more care.
    """
    at, values, n_events = memory.at[:n], memory.values[:n], np.uint64(n)
    groups, channels = np.uint64(node.groups), np.uint64(node.channels_in // node.groups)
    first = np.uint64(0)
    while first < n_events:
        cell = np.uint64(at[first]) // channels  # one group of channels at one place
        last = first + ONE
        while last < n_events and np.uint64(at[last]) < (cell + ONE) * channels:
            last += ONE
        place, group = cell, np.uint64(0)
        if groups > ONE:
            place = cell // groups
            group = cell - place * groups
        _add_place(plan, node, place, group, at[first:last], values[first:last], out)
        first = last


@inlined
def _add_place(plan: Plan, node: Any, place: Any, group: Any, at: Array, values: Array, out: Array) -> None:
    """Add the weights of events at one place."""
    y = place // np.uint64(node.width_in)
    x = place - y * np.uint64(node.width_in)
    rows, columns = np.uint64(node.rows) + y, np.uint64(node.columns) + x
    first_column, last_column = np.uint64(plan.starts[columns]), np.uint64(plan.starts[columns + ONE])
    stride = node.n_rows * node.n_columns * node.block
    begin = node.weights - np.int64(place) * node.channels_in * stride
    for r in range(np.uint64(plan.starts[rows]), np.uint64(plan.starts[rows + ONE])):
        for c in range(first_column, last_column):
            n = plan.taps[c, 2] * node.block
            o = (plan.taps[r, 1] * node.width_out + plan.taps[c, 1]) * node.channels_out + np.int64(group) * node.block
            start = begin + (plan.taps[r, 0] * node.n_columns + plan.taps[c, 0]) * node.block
            _add_weights(plan.weights, start, stride, at, values, out[o : o + n])


@inlined
def _add_weights(weights: Array, start: int, stride: int, at: Array, values: Array, sums: Array) -> None:
    """Add the weights of events, ``AT_ONCE`` at a time, to the same sums: what is added together is stored once."""
    n, last = len(sums), len(at) - len(at) % AT_ONCE
    for e in range(0, last, AT_ONCE):
        w0, w1 = start + at[e] * stride, start + at[e + 1] * stride
        w2, w3 = start + at[e + 2] * stride, start + at[e + 3] * stride
        a, b, c, d = weights[w0 : w0 + n], weights[w1 : w1 + n], weights[w2 : w2 + n], weights[w3 : w3 + n]
        of_a, of_b, of_c, of_d = values[e], values[e + 1], values[e + 2], values[e + 3]
        for j in range(n):
            sums[j] += of_a * a[j] + of_b * b[j] + of_c * c[j] + of_d * d[j]
    for e in range(last, len(at)):
        w0 = start + at[e] * stride
        a, of_a = weights[w0 : w0 + n], values[e]
        for j in range(n):
            sums[j] += of_a * a[j]


@compiled
def _add_bias(plan: Plan, node: Any, out: Array) -> None:
    bias = plan.numbers[node.bias : node.bias + node.channels_out]
    for start in range(0, node.size, node.channels_out):
        for j in range(node.channels_out):
            out[start + j] += bias[j]


@compiled
def _find_events(plan: Plan, node: Any, now: Array, before: Array, memory: Memory, kept: Array, counts: Array) -> int:
    """Write what a map with weights receives, in its code, to ``memory.at`` and ``memory.values``; count both codes."""
    n = _find_changes(now, before, memory.words, memory.at)
    _count_changes(plan, node, now, before, memory.at[:n], kept, counts)
    if not node.is_delta:
        before = memory.nothing.view(now.dtype)[: len(now)]
        n = _find_changes(now, before, memory.words, memory.at)
    for e in range(n):
        memory.values[e] = now[memory.at[e]] - before[memory.at[e]]
    return n


@compiled
def _connect(plan: Plan, node: Any, n: int, t: int, memory: Memory) -> None:
    """Run a map with weights: its ``n`` events add to what it held, or in spike code to nothing."""
    out = _values(memory.numbers, node, t)
    if not node.is_delta:
        out[:] = 0
    elif node.slots > 1:
        _copy(_values(memory.numbers, node, t - 1), out)
    _add_events(plan, node, n, memory, out)
    if node.bias >= 0 and (t == 0 or not node.is_delta):
        _add_bias(plan, node, out)


def _advance(u: Any, v: Any, current: Any, keep_u: Any, keep_v: Any, bias: Any, is_filtered: Any) -> tuple[Any, Any]:
    """Filter the current, leak, integrate; return u, which stays zero where nothing is filtered, and v before reset."""
    raise NotImplementedError  # only compiled code calls it


@overload(_advance, inline="always")
def _advance_of(u: Any, v: Any, current: Any, keep_u: Any, keep_v: Any, bias: Any, is_filtered: Any) -> Any:
    """Choose LoihiLIF for integers, and for floats CubaLIF; LIF and IF filter nothing. See tdd_deploy/neurons."""

    def loihi(u: Any, v: Any, current: Any, keep_u: Any, keep_v: Any, bias: Any, is_filtered: Any) -> tuple[Any, Any]:
        u = np.int32(_keep(u, keep_u) + current * np.int32(UNIT))
        turns = np.int32(np.int32(u + np.int32(LIMIT - 1)) >> np.int32(TURN_BITS))
        u = np.int32(u - min(max(turns, np.int32(-1)), np.int32(1)) * np.int32(2 * LIMIT))
        v = np.int32(np.int32(_keep(v, keep_v) + u) + bias)
        return u, min(max(v, np.int32(1 - LIMIT)), np.int32(LIMIT - 1))

    def cuba_lif(
        u: Any, v: Any, current: Any, keep_u: Any, keep_v: Any, bias: Any, is_filtered: Any
    ) -> tuple[Any, Any]:
        u = u * keep_u + current
        return u * is_filtered, v * keep_v + u

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
def _parameter(numbers: Array, place: Array, start: int, stop: int) -> Array:
    """Return a parameter for some neurons of a layer; where blocks are the same, it stands there once."""
    start, stop = (start, stop) if place[1] else (0, stop - start)
    return numbers[place[0] + start : place[0] + stop]


@compiled
def _fire(plan: Plan, node: Any, current: Array, now: Array, before: Array, memory: Memory, counts: Array) -> None:
    """Advance a layer of neurons, block by block."""
    for start in range(0, node.size, BLOCK):
        stop = min(start + BLOCK, node.size)
        state = memory.numbers[node.state + start :]
        u, v = state[: stop - start], state[node.stride : node.stride + stop - start]
        _fire_block(plan, node, start, u, v, current[start:stop], now[start:stop], before[start:stop], counts)


@compiled
def _fire_block(
    plan: Plan, node: Any, start: int, u: Array, v: Array, current: Array, now: Array, before: Array, counts: Array
) -> None:
    """Advance neurons that lie side by side, and count them."""
    stop, numbers, places = start + len(v), plan.numbers, plan.parameters[node.parameters :]
    keep_u, keep_v = _parameter(numbers, places[KEEP_U], start, stop), _parameter(numbers, places[KEEP_V], start, stop)
    bias, limit = _parameter(numbers, places[BIAS], start, stop), _parameter(numbers, places[LIMIT_V], start, stop)
    after = _parameter(numbers, places[AFTER], start, stop)
    held = v.dtype.type(node.is_soft)  # what a spike leaves of v, before ``after`` is added
    is_filtered = v.dtype.type(node.is_filtered)
    n_values, n_changes, n_active = np.int32(0), np.int32(0), np.int32(0)
    for i in range(len(v)):
        is_active = (u[i] != 0) | (v[i] != 0) | (current[i] != 0) | (bias[i] != 0)
        new_u, new_v = _advance(u[i], v[i], current[i], keep_u[i], keep_v[i], bias[i], is_filtered)
        fires = new_v > limit[i]
        u[i] = new_u
        v[i] = v.dtype.type(new_v * held + after[i]) if fires else new_v
        now[i] = fires
        n_active = np.int32(n_active + is_active)
        n_values = np.int32(n_values + fires)
        n_changes = np.int32(n_changes + (fires != before[i]))
    counts[VALUES] += n_values
    counts[CHANGES] += n_changes
    counts[ACTIVE] += n_active


@compiled
def _compare(plan: Plan, node: Any, current: Array, now: Array, before: Array, counts: Array) -> None:
    """Fire where the current is above the threshold, block by block."""
    n_values, n_changes, n_active = np.int32(0), np.int32(0), np.int32(0)
    for start in range(0, node.size, BLOCK):
        stop = min(start + BLOCK, node.size)
        limit = _parameter(plan.numbers, plan.parameters[node.parameters + LIMIT_V], start, stop)
        for i in range(stop - start):
            fires = current[start + i] > limit[i]
            n_active = np.int32(n_active + (current[start + i] != 0))
            n_values = np.int32(n_values + fires)
            n_changes = np.int32(n_changes + (fires != before[start + i]))
            now[start + i] = fires
    counts[VALUES] += n_values
    counts[CHANGES] += n_changes
    counts[ACTIVE] += n_active


@compiled
def _integrate(plan: Plan, node: Any, current: Array, now: Array, before: Array, counts: Array) -> None:
    """Leak, integrate and send the potential, block by block."""
    n_values, n_changes, n_active = np.int32(0), np.int32(0), np.int32(0)
    for start in range(0, node.size, BLOCK):
        stop = min(start + BLOCK, node.size)
        keep_v = _parameter(plan.numbers, plan.parameters[node.parameters + KEEP_V], start, stop)
        for i in range(stop - start):
            old, arrived = before[start + i], current[start + i]
            v = old * keep_v[i] + arrived
            n_active = np.int32(n_active + ((arrived != 0) | (old != 0)))
            n_values = np.int32(n_values + (v != 0))
            n_changes = np.int32(n_changes + (v != old))
            now[start + i] = v
    counts[VALUES] += n_values
    counts[CHANGES] += n_changes
    counts[ACTIVE] += n_active


@compiled
def _take(frame: Array, now: Array, before: Array, counts: Array) -> None:
    """Take an input."""
    n_values, n_changes = np.int32(0), np.int32(0)
    for i in range(len(frame)):
        now[i] = frame[i]
        n_values = np.int32(n_values + (frame[i] != 0))
        n_changes = np.int32(n_changes + (frame[i] != before[i]))
    counts[VALUES] += n_values
    counts[CHANGES] += n_changes


@compiled
def _flatten(plan: Plan, node: Any, values: Array, out: Array) -> None:
    """Put channels first."""
    order = plan.orders[node.order : node.order + node.size]
    for i in range(node.size):
        out[i] = values[order[i]]


@compiled
def _scale(plan: Plan, node: Any, values: Array, out: Array) -> None:
    """Multiply element by element."""
    factor = plan.numbers[node.factor : node.factor + node.size]
    for i in range(node.size):
        out[i] = values[i] * factor[i]


@compiled
def _add_all(plan: Plan, node: Any, t: int, memory: Memory, out: Array) -> None:
    """Add what several nodes sent, or turn the bytes of one into numbers."""
    out[:] = 0
    for s in range(node.source, node.source + node.n_sources):
        source = plan.nodes[plan.sources[s, 0]]
        step = t - plan.sources[s, 1]
        if source.is_spiking:
            _add(_values(memory.spikes, source, step), out)
        else:
            _add(_values(memory.numbers, source, step), out)


@compiled
def _step(plan: Plan, k: int, t: int, frame: Array, memory: Memory, counts: Array) -> None:
    """Execute one time step of one node."""
    node = plan.nodes[k]
    source = plan.nodes[plan.sources[node.source, 0]]
    step = t - plan.sources[node.source, 1]
    if node.kind == INPUT:
        _take(frame, _values(memory.numbers, node, t), _values(memory.numbers, node, t - 1), counts)
    elif node.kind == SUM:
        _add_all(plan, node, t, memory, _values(memory.numbers, node, t))
    elif node.kind == FLATTEN and source.is_spiking:
        _flatten(plan, node, _values(memory.spikes, source, step), _values(memory.spikes, node, t))
    elif node.kind == FLATTEN:
        _flatten(plan, node, _values(memory.numbers, source, step), _values(memory.numbers, node, t))
    elif node.kind == SYNAPSES:
        if source.is_spiking:
            now, before = _values(memory.spikes, source, step), _values(memory.spikes, source, step - 1)
            n = _find_events(plan, node, now, before, memory, memory.kept[k], counts)
        else:
            sums, former = _values(memory.numbers, source, step), _values(memory.numbers, source, step - 1)
            n = _find_events(plan, node, sums, former, memory, memory.kept[k], counts)
        _connect(plan, node, n, t, memory)
    elif node.kind == NEURONS:
        current = _values(memory.numbers, source, step)
        now, before = _values(memory.spikes, node, t), _values(memory.spikes, node, t - 1)
        _fire(plan, node, current, now, before, memory, counts)
    elif node.kind == THRESHOLD:
        current = _values(memory.numbers, source, step)
        _compare(plan, node, current, _values(memory.spikes, node, t), _values(memory.spikes, node, t - 1), counts)
    elif node.kind == INTEGRATORS:
        current = _values(memory.numbers, source, step)
        _integrate(plan, node, current, _values(memory.numbers, node, t), _values(memory.numbers, node, t - 1), counts)
    elif source.is_spiking:
        _scale(plan, node, _values(memory.spikes, source, step), _values(memory.numbers, node, t))
    else:
        _scale(plan, node, _values(memory.numbers, source, step), _values(memory.numbers, node, t))


@compiled
def _lead(plan: Plan, output: int, t: int, memory: Memory) -> float:
    """Add what the output received to ``memory.totals``; return by how much the largest is ahead of the next."""
    values, totals = _values(memory.numbers, plan.nodes[output], t), memory.totals
    first = second = -np.inf
    for i in range(len(totals)):
        totals[i] += values[i]
        second = max(second, min(first, totals[i]))
        first = max(first, totals[i])
    return first - second


def _run(
    plan: Plan, frames: Array, first: int, last: int, memory: Memory,
    record: Array, spikes: Array, numbers: Array, output: int, margin: float, counts: Array, n_running: Array,
) -> None:  # fmt: skip
    """Take samples ``first`` to ``last - 1`` through all steps, or until they are decided.

    Args:
        plan: the program, laid out.
        frames: ``[n_steps, batch, n]``, or ``[1, batch, n]`` when the input is the same at every step.
        first: the first sample.
        last: the first sample not taken.
        memory: of one sample; what it holds does not matter.
        record: where in its raster each node is recorded, or -1; what is not executed stays as it is there.
        spikes: raster of bytes ``[batch, n_steps, n]``.
        numbers: raster of numbers, likewise.
        output: the node of the output.
        margin: by how much the largest output, a mean over the steps so far, decides; infinite: never.
        counts: ``[n_nodes, n_steps, n_counts]``, added to.
        n_running: ``[n_steps]``, how many samples were executed, added to.
    """
    for sample in range(first, last):
        memory.spikes[:] = 0
        memory.numbers[:] = 0
        memory.kept[:] = 0
        memory.totals[:] = 0
        for t in range(counts.shape[1]):
            for k in range(len(plan.nodes)):
                _step(plan, k, t, frames[min(t, len(frames) - 1), sample], memory, counts[k, t])
                node, at = plan.nodes[k], record[k]
                if at >= 0 and node.is_spiking:
                    _copy(_values(memory.spikes, node, t), spikes[sample, t, at : at + node.size])
                elif at >= 0:
                    _copy(_values(memory.numbers, node, t), numbers[sample, t, at : at + node.size])
            n_running[t] += 1
            if margin < np.inf and _lead(plan, output, t, memory) >= margin * (t + 1):
                break


def _cached() -> Callable[..., None]:
    """Compile ``_run``, keeping the machine code for the next process where a folder can be written for it."""
    try:
        return cast(Callable[..., None], numba.njit(**OPTIONS, cache=True)(_run))
    except RuntimeError:  # no such folder
        return _uncached()


def _uncached() -> Callable[..., None]:
    return cast(Callable[..., None], numba.njit(**OPTIONS)(_run))


_run_cached, _run_uncached = _cached(), _uncached()


def run(*arguments: Any) -> None:
    """Call ``_run``, see there; a cache that cannot be written or read is done without."""
    try:
        _run_cached(*arguments)
    except OSError:  # raised while compiling, before anything ran
        _run_uncached(*arguments)
