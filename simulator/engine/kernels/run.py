"""The entry of the compiled loops: one call takes samples through every step and node of a plan.

All functions for nodes see one time step of one sample. Values of neurons are bytes, 0 or 1, so that eight of them are
compared at once; all others are numbers of the program's format. Vectors are padded with zeros to whole words, and are
named by where they begin: a slice is a hundred instructions to compile.

Numba's cache notices a change to the file of the compiled function alone. So the entry holds a digest of all files of
this package in a closure, which is a part of the cache's key: a change to any of them compiles the loops again.
"""
# ruff: noqa: PLR0917  (a keyword costs the compiler a lookup, and these functions are called from compiled code alone)

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import numba
import numpy as np

from .events import find_events, route, where
from .neurons import compare, fire, fire_variants, integrate, observe, send_on_change
from .synapses import connect
from .tables import (
    CHANGES,
    FLATTEN,
    INPUT,
    INTEGRATORS,
    NEURONS,
    ONE,
    OPTIONS,
    POTENTIALS,
    SIGMA_DELTA,
    SUM,
    SYNAPSES,
    THRESHOLD,
    TWO,
    VALUES,
    VARIANTS,
    ZERO,
    Array,
    Memory,
    Plan,
    compiled,
    spliced,
)


@compiled
def _add(values: Array, source: Any, numbers: Array, to: Any, size: Any) -> None:
    for i in range(size):
        numbers[to + i] += values[source + i]


@compiled
def _take(frame: Array, numbers: Array, now: Any, before: Any, counts: Array, row: int) -> None:
    """Take over an input, and count its values and changes."""
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
    """Put channels first, or put a part in its place among zeros."""
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
        given = where(source, t, plan.table[s + ONE])
        if source.is_spiking:
            _add(memory.spikes, given, memory.numbers, now, node.size)
        else:
            _add(memory.numbers, given, memory.numbers, now, node.size)


@spliced
def _step(  # noqa: PLR0912  (a branch per kind)
    plan: Plan, k: int, t: Any, frame: Array, memory: Memory, counts: Array, row: int, by_class: Array
) -> None:
    """Execute one time step of one node."""
    node = plan.nodes[k]
    source, back = plan.nodes[plan.table[node.source]], plan.table[node.source + ONE]
    given, given_before = where(source, t, back), where(source, t, back + ONE)
    now, before = where(node, t, ZERO), where(node, t, ONE)
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
            n = find_events(
                plan.table, node, k, spikes, memory.spike_words, given, given_before, source.stride,
                memory.found, memory.at, numbers, memory.kept, counts, row, memory.kept_by_class, by_class,
            )  # fmt: skip
        else:
            n = find_events(
                plan.table, node, k, numbers, memory.number_words, given, given_before, source.stride,
                memory.found, memory.at, numbers, memory.kept, counts, row, memory.kept_by_class, by_class,
            )  # fmt: skip
        connect(plan.table, plan.weights, plan.numbers, node, memory.at, n, numbers, t)
    elif node.kind == NEURONS:
        fire(plan.table, plan.numbers, node, numbers, spikes, given, now, before, counts, row)
    elif node.kind == THRESHOLD:
        compare(plan.table, plan.numbers, node, numbers, spikes, given, now, before, counts, row)
    elif node.kind == INTEGRATORS:
        integrate(plan.table, plan.numbers, node, numbers, given, now, before, plan.largest[k], counts, row)
    elif node.kind == SIGMA_DELTA:
        send_on_change(plan.table, plan.numbers, node, numbers, given, now, before, plan.largest[k], counts, row)
    elif node.kind == VARIANTS:
        fire_variants(plan.table, plan.numbers, node, numbers, given, now, before, plan.largest[k], counts, row)
    elif node.kind == POTENTIALS:
        observe(plan.table, plan.numbers, plan.nodes[node.observed], numbers, given, now)
    else:
        route(plan.table, node, k, source, given, given_before, memory, counts, row)


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


def digest_of(folder: Path) -> str:
    """Return a digest of the Python files of a folder."""
    return sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))).hexdigest()


# The outer loops are the body of the entry: called by a smaller entry, they take a quarter longer to compile.
def _entry_of(digest: str) -> Callable[..., bool]:
    """Return the entry of the loops, whose closure holds a digest of their code."""

    def run_samples(
        plan: Plan, frames: Array, begin: int, end: int, first: int, last: int, memory: Memory,
        record: Array, spikes: Array, numbers: Array, output: int, margin: float, counts: Array, n_running: Array,
        by_class: Array,
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
            record: where in its raster each node is recorded, or -1; steps that are not executed leave it as it is.
            spikes: raster of bytes ``[batch, n_steps, n]``.
            numbers: raster of numbers of the same shape.
            output: the node of the output.
            margin: by how much the largest output, a mean over the steps so far, decides; infinite: never.
            counts: ``[n_nodes * n_steps, n_counts]``, added to.
            n_running: ``[n_steps]``, how many samples were executed, added to.
            by_class: ``[n_steps, code, class]``, events of maps by the class of their inputs, added to.

        Returns:
            Whether the last sample was decided.
        """
        _ = digest  # a variable of the closure is a part of the cache's key
        n_steps, lead = len(n_running), -np.inf
        # Before this place there are zeros; after it, in numbers, the values of events, and then what nodes keep.
        first_place = plan.nodes[0].events
        for sample in range(first, last):
            if begin == 0:
                memory.spikes[first_place:] = 0
                memory.numbers[TWO * first_place :] = 0
                memory.kept[:] = 0
                memory.kept_by_class[:] = 0
                memory.totals[:] = 0
            for step in range(begin, end):
                t, frame = np.uint64(step), frames[step - begin if len(frames) > 1 else 0, sample]
                by_class_now = by_class[step]
                for k in range(len(plan.nodes)):
                    _step(plan, k, t, frame, memory, counts, k * n_steps + step, by_class_now)
                    node, to = plan.nodes[k], record[k]
                    now = where(node, t, ZERO)
                    if to >= 0 and node.is_spiking:
                        for i in range(node.size):
                            spikes[sample, step, np.uint64(to) + i] = memory.spikes[now + i]
                    elif to >= 0:
                        for i in range(node.size):
                            numbers[sample, step, np.uint64(to) + i] = memory.numbers[now + i]
                for of_class in range(np.uint64(len(memory.kept_by_class))):
                    by_class_now[ZERO, of_class] += memory.kept_by_class[of_class]
                n_running[step] += 1
                if margin < np.inf:
                    lead = _lead(memory.numbers, where(plan.nodes[output], t, ZERO), memory.totals) / (step + 1)
                    if lead >= margin:
                        break
        return bool(lead >= margin)

    return run_samples


_entry = _entry_of(digest_of(Path(__file__).parent))


def _cached() -> Callable[..., bool]:
    """Compile the entry, keeping the machine code for the next process where a folder can be written for it."""
    try:
        return cast(Callable[..., bool], numba.njit(**OPTIONS, cache=True)(_entry))
    except RuntimeError:  # no such folder
        return _uncached()


def _uncached() -> Callable[..., bool]:
    return cast(Callable[..., bool], numba.njit(**OPTIONS)(_entry))


_run_cached, _run_uncached = _cached(), _uncached()


def run(*arguments: Any) -> bool:
    """Call ``run_samples``, with its arguments; compile it again if its cache cannot be written or read."""
    try:
        return _run_cached(*arguments)
    except OSError:  # raised while compiling, before anything ran
        return _run_uncached(*arguments)


def cache_folder() -> Path | None:
    """Return the folder in which machine code is kept; None if there is none."""
    stats = getattr(_run_cached, "stats", None)
    return Path(stats.cache_path) if stats is not None and stats.cache_path else None
