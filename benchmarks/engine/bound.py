"""Measure the engine: additions per second beside the processor's bound, time by events, memory by steps and samples.

    .venv/bin/python -m benchmarks.engine.bound

Two bounds are measured, in turns with the engine. *peak*: the fastest loop that adds float32 vectors from the first or
second cache to others. *same*: a loop that adds the same vectors to the same sums as the engine does, one after the
other, from a list of their places. The same convolutions are measured as a dense product. Everything runs on one
thread. Writes results/engine_bound.json.
"""

import platform
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numba
import numpy as np

import tdd_deploy as td
from tdd_deploy.files import write_json
from tdd_deploy.neurons import LIF
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Output, Program, build, with_code
from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.simulator.engine.kernels import synapses

RESULTS = Path(__file__).parents[1] / "results" / "engine_bound.json"
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7)
CONVOLUTIONS = ((64, 16), (128, 8), (256, 8), (512, 4))  # channels in and out, height and width
ROUNDS = 15


@numba.njit(nogil=True, error_model="numpy")
def one_at_a_time(vectors: Any, sums: Any, repeats: int) -> None:
    n = len(sums)
    for _ in range(repeats):
        for start in range(0, len(vectors), n):
            vector = vectors[start : start + n]
            for j in range(n):
                sums[j] += vector[j]


@numba.njit(nogil=True, error_model="numpy")
def four_at_a_time(vectors: Any, sums: Any, repeats: int) -> None:
    n = len(sums)
    for _ in range(repeats):
        for start in range(0, len(vectors), 4 * n):
            a, b = vectors[start : start + n], vectors[start + n : start + 2 * n]
            c, d = vectors[start + 2 * n : start + 3 * n], vectors[start + 3 * n : start + 4 * n]
            for j in range(n):
                sums[j] += a[j] + b[j] + c[j] + d[j]


@numba.njit(nogil=True, error_model="numpy")
def add_listed(weights: Any, sums: Any, listed: Any, repeats: int) -> None:
    for _ in range(repeats):
        for k in range(len(listed)):
            start, to, n = listed[k]
            vector, total = weights[start : start + n], sums[to : to + n]
            for j in range(n):
                total[j] += vector[j]


@numba.njit(nogil=True, error_model="numpy")
def add_events(plan: Any, k: int, memory: Any, at: Any, repeats: int) -> None:
    node, n = plan.nodes[k], np.uint64(len(at))
    for _ in range(repeats):
        _put(node, memory, at)
        synapses.add_events(plan.table, plan.weights, node, memory.at, n, memory.numbers, node.start)


@numba.njit(nogil=True, error_model="numpy")
def multiply(plan: Any, k: int, memory: Any, at: Any, repeats: int) -> None:
    node, n = plan.nodes[k], np.uint64(len(at))
    for _ in range(repeats):
        _put(node, memory, at)
        synapses.spread(memory.at, n, node.size_in, memory.numbers, node.events)
        synapses.multiply(plan.table, plan.weights, node, memory.at, memory.numbers, node.start)


@numba.njit(nogil=True, error_model="numpy")
def _put(node: Any, memory: Any, at: Any) -> None:
    for e in range(len(at)):
        memory.at[e] = at[e]
        memory.numbers[node.events + np.uint64(e)] = 1


def fastest_s(*runs: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """Return the shortest time of several calls of each function, in turns; the first calls are not counted."""
    best = [np.inf] * len(runs)
    for round_ in range(rounds + 1):
        for i, run in enumerate(runs):
            begin = time.perf_counter()
            run()
            if round_:
                best[i] = min(best[i], time.perf_counter() - begin)
    return best


def peak() -> float:
    """Return additions per second, the best over loops, lengths of vectors and caches."""
    found = []
    for loop in (one_at_a_time, four_at_a_time):
        for n in (192, 576, 2304):
            for kib in (16, 256):
                vectors = np.ones(max(4, kib * 256 // n // 4 * 4) * n, np.float32)
                sums, repeats = np.zeros(n, np.float32), max(1, 10**7 // len(vectors))
                (seconds,) = fastest_s(partial(loop, vectors, sums, repeats))
                found.append(len(vectors) * repeats / seconds)
    return max(found)


def program_of(channels: int, size: int) -> Program:
    """Return a program of a 3x3 convolution, a layer of neurons and a readout."""
    rng = np.random.default_rng(0)
    shape = (channels, size, size)
    weight = rng.integers(-8, 9, (channels, channels, 3, 3)).astype(np.float32) / 64
    numbers = {name: np.float32(value) for name, value in (("beta", 0.5), ("v_threshold", 1), ("v_reset", 0))}
    readout = rng.integers(-8, 9, (10, channels * size * size)).astype(np.float32) / 64
    nodes = [
        Input(name="input", shape=shape),
        Conv(name="conv", weight=weight, padding=(1, 1)),
        NeuronLayer(name="neurons", shape=shape, neuron=LIF(**numbers)),
        Flatten(name="flat"),
        Dense(name="readout", weight=readout),
        Output(name="output"),
    ]
    edges = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    return with_code(build(nodes, edges, dt_s=1e-3, n_steps=4, number_format="float32"), "delta")


def listed(plan: Any, node: Any, at: Any) -> Any:
    """Return for every vector that the events add where it begins, where its sums begin, and its length."""
    table, block = plan.table.astype(np.int64), int(node["block"])
    per_channel = int(node["n_rows"] * node["n_columns"]) * block
    found = []
    for event in at.tolist():
        place, channel = divmod(event, int(node["channels_in"]))
        y, x = divmod(place, int(node["width_in"]))
        rows, columns = (table[int(node[name]) + i :][:2] for name, i in (("rows", y), ("columns", x)))
        for r in range(rows[0], rows[1], 3):
            for c in range(columns[0], columns[1], 3):
                tap = table[r] * int(node["n_columns"]) + table[c]
                to = (table[r + 1] * int(node["width_out"]) + table[c + 1]) * int(node["channels_out"])
                found.append((int(node["weights"]) + channel * per_channel + tap * block, to, table[c + 2] * block))
    return np.array(found, np.uint64)


def additions(fastest: float) -> Iterator[dict[str, Any]]:
    """Yield additions per second of the loop that spreads events, by layer and fraction of active inputs."""
    rng = np.random.default_rng(1)
    for channels, size in CONVOLUTIONS:
        planned = Engine(program_of(channels, size), threads=1)._compiled._planned  # type: ignore[union-attr]
        plan, k = planned.plan, planned.place["conv"]
        node, memory, n_inputs = plan.nodes[k], planned.memory(), channels * size**2
        sums = np.zeros(int(node["stride"]), np.float32)
        for rate in RATES:
            at = np.sort(rng.choice(n_inputs, max(1, round(rate * n_inputs)), replace=False)).astype(np.uint32)
            vectors = listed(plan, node, at)
            synops = int(vectors[:, 2].sum())
            repeats = max(1, 10**7 // synops)
            events, dense, same = fastest_s(
                partial(add_events, plan, k, memory, at, repeats),
                partial(multiply, plan, k, memory, at, repeats),
                partial(add_listed, plan.weights, sums, vectors, repeats),
            )
            yield {
                "channels": channels, "size": size, "rate": rate, "additions_per_s": synops * repeats / events,
                "of_peak": synops * repeats / events / fastest, "of_same": same / events, "of_dense": events / dense,
            }  # fmt: skip


class Given:
    """Frames that are already encoded."""

    static = False

    def __init__(self, frames: np.ndarray) -> None:
        self._frames = frames

    def at(self, t: int) -> np.ndarray:
        return self._frames[t % len(self._frames)]


def flipping(rng: np.random.Generator, rate: float, n_steps: int, shape: tuple[int, ...]) -> Given:
    """Return binary frames in which a fraction of the values changes from step to step."""
    flips = rng.random((n_steps, *shape)) < rate
    return Given((np.cumsum(flips, axis=0) % 2).astype(np.float32))


def linearity() -> dict[str, Any]:
    """Return the time of whole runs by the number of synaptic operations, and the line through the points."""
    rng, program = np.random.default_rng(2), program_of(128, 16)
    engine = Engine(program, threads=1)
    rates = (0.0, 0.01, 0.02, 0.04, 0.08, 0.12, 0.16, 0.2)
    inputs = [flipping(rng, rate, 8, (4, 128, 16, 16)) for rate in rates]
    runs = [partial(engine.run, frames, n_steps=8) for frames in inputs]
    rows = [
        {"rate": rate, "synops": run().trace.executed.total("synops_stored") / 32, "seconds": seconds / 32}
        for rate, run, seconds in zip(rates, runs, fastest_s(*runs), strict=True)
    ]
    x, y = (np.array([row[name] for row in rows]) for name in ("synops", "seconds"))
    slope, offset = np.polyfit(x, y, 1)
    r2 = 1 - ((y - slope * x - offset) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    return {"rows": rows, "seconds_per_synop": slope, "seconds_per_step": offset, "r2": r2}


def peak_bytes(n_samples: int, n_steps: int) -> int:
    """Return the largest memory of numpy while samples are executed 16 at a time, without their inputs."""
    engine = Engine(program_of(64, 16), threads=1)
    frames = flipping(np.random.default_rng(3), 0.05, 2, (16, 64, 16, 16))
    engine.run(frames, n_steps=2)
    tracemalloc.start()
    for _ in range(n_samples // 16):
        engine.run(frames, n_steps=n_steps)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def main() -> None:
    fastest = peak()
    print(f"peak: {fastest / 1e9:.1f} G additions/s")
    rows = []
    for row in additions(fastest):
        rows.append(row)
        print(
            f"{row['channels']:4} channels, {row['rate']:6.1%} events: {row['additions_per_s'] / 1e9:5.1f} G/s, "
            f"{row['of_peak']:.0%} of the peak, {row['of_same']:.0%} of the same vectors', "
            f"{row['of_dense']:.2f} x the time of the dense product"
        )
    line = linearity()
    print(f"time by synaptic operations: {1e12 * line['seconds_per_synop']:.1f} ps each, R2 = {line['r2']:.4f}")
    memory = [
        {"samples": samples, "steps": steps, "peak_bytes": peak_bytes(samples, steps)}
        for samples, steps in ((16, 4), (160, 4), (1600, 4), (16, 16), (16, 64), (16, 256), (16, 1024))
    ]
    for found in memory:
        print(f"{found['samples']:5} samples, {found['steps']:3} steps: {found['peak_bytes'] / 1e6:.2f} MB")
    versions = {"tdd-deploy": td.__version__, "python": platform.python_version(), "numba": numba.__version__}
    write_json(
        RESULTS, {"versions": versions, "peak_per_s": fastest, "additions": rows, "linearity": line, "memory": memory}
    )


if __name__ == "__main__":
    main()
