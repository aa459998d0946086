"""Compiled loops: advance layers of neurons, and count spikes, changes and updates."""
# ruff: noqa: PLR0917  (a keyword costs the compiler a lookup, and these functions are called from compiled code alone)

from typing import Any

import numba
import numpy as np
from numba.extending import overload

from tdd_deploy.neurons.loihi import DECAY, LIMIT, UNIT

from .tables import (
    ACTIVE,
    AFTER,
    BEYOND,
    BIAS,
    BLOCK_SIZE,
    CHANGES,
    DECAY_BITS,
    FLOOR,
    GRID,
    HELD,
    KEEP_U,
    KEEP_V,
    LATE,
    LIMIT_V,
    MANY,
    NEVER_RESETS,
    ONE,
    SOFT,
    TURN_BITS,
    TWO,
    VALUES,
    ZERO,
    Array,
    compiled,
    inlined,
)


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
    """Return where a parameter of neurons from ``start`` on begins; equal blocks are stored once."""
    place = node.parameters + TWO * parameter
    return table[place] + start * table[place + ONE]


@compiled
def fire(
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
def compare(
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
def integrate(
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
def fire_variants(
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
def observe(table: Array, given: Array, node: Any, numbers: Array, current: Any, now: Any) -> None:
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
def send_on_change(
    table: Array, given: Array, node: Any, numbers: Array, current: Any, now: Any, before: Any, largest: Any,
    counts: Array, row: int,
) -> None:  # fmt: skip
    """Resend values that have moved far enough, block by block."""
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
