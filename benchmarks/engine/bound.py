"""What the engine costs: additions per second beside the machine's bound, time by events, memory by steps and samples.

    .venv/bin/python -m benchmarks.engine.bound

The bound is measured: the fastest loop that adds vectors of float32, from the first or second cache, to others, one at
a time as ``a += b`` does, and four at a time. One thread. Writes results/engine_bound.json.
"""

import platform
import time
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numba
import numpy as np

from tdd_deploy import __version__
from tdd_deploy.files import write_json
from tdd_deploy.neurons import LIF
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Output, Program, build, with_code
from tdd_deploy.simulator import kernels
from tdd_deploy.simulator.engine import Engine

RESULTS = Path(__file__).parents[1] / "results" / "engine_bound.json"
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5)
CONVOLUTIONS = ((64, 16), (128, 8), (256, 8), (512, 4))  # channels in and out, height and width
ROUNDS = 15


@numba.njit(error_model="numpy")
def one_at_a_time(vectors: Any, sums: Any, repeats: int) -> None:
    n = len(sums)
    for _ in range(repeats):
        for start in range(0, len(vectors), n):
            vector = vectors[start : start + n]
            for j in range(n):
                sums[j] += vector[j]


@numba.njit(error_model="numpy")
def four_at_a_time(vectors: Any, sums: Any, repeats: int) -> None:
    n = len(sums)
    for _ in range(repeats):
        for start in range(0, len(vectors), 4 * n):
            a, b = vectors[start : start + n], vectors[start + n : start + 2 * n]
            c, d = vectors[start + 2 * n : start + 3 * n], vectors[start + 3 * n : start + 4 * n]
            for j in range(n):
                sums[j] += a[j] + b[j] + c[j] + d[j]


@numba.njit(nogil=True, error_model="numpy")
def add_events(plan: Any, place: int, n: int, memory: Any, sums: Any, repeats: int) -> None:  # noqa: PLR0917
    for _ in range(repeats):
        kernels._add_events(plan, plan.nodes[place], n, memory, sums)


def fastest_s(run: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the time of the fastest of several calls, the first not among them."""
    run()
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return min(times)


def bounds() -> dict[str, float]:
    """Return additions per second, the best over lengths of vectors and over what stays in which cache."""
    found = {}
    for loop in (one_at_a_time, four_at_a_time):
        best = 0.0
        for n in (192, 576, 2304):
            for kib in (16, 256):
                vectors = np.ones(max(4, kib * 256 // n // 4 * 4) * n, np.float32)
                sums, repeats = np.zeros(n, np.float32), max(1, 10**7 // len(vectors))
                best = max(best, len(vectors) * repeats / fastest_s(lambda: loop(vectors, sums, repeats)))  # noqa: B023
        found[loop.__name__] = best
    return found


def program_of(channels: int, size: int) -> Program:
    """Return a convolution of 3x3 between two layers of neurons, of which the first repeats the input."""
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


def additions(bound: dict[str, float]) -> Iterator[dict[str, Any]]:
    """Yield additions per second of the loop that spreads events, by layer and share of inputs that are events."""
    rng = np.random.default_rng(1)
    for channels, size in CONVOLUTIONS:
        planned = Engine(program_of(channels, size), threads=1)._compiled._planned  # type: ignore[union-attr]
        place = planned.place["conv"]
        node, memory, n_inputs = planned.plan.nodes[place], planned.memory(), channels * size**2
        sums = np.zeros(node["stride"], np.float32)
        for rate in RATES:
            n = max(1, round(rate * n_inputs))
            at = np.sort(rng.choice(n_inputs, n, replace=False))
            memory.at[:n], memory.values[:n] = at, 1
            synops = int(planned.plan.fans[node["fans"] : node["fans"] + n_inputs][at, 1].sum())
            repeats = max(1, 10**7 // synops)
            took = fastest_s(lambda: add_events(planned.plan, place, n, memory, sums, repeats))  # noqa: B023
            per_s = synops * repeats / took
            yield {
                "channels": channels, "size": size, "rate": rate, "additions_per_s": per_s,
                **{f"of_{name}": per_s / value for name, value in bound.items()},
            }  # fmt: skip


class Given:
    """Frames that are encoded already."""

    def __init__(self, frames: np.ndarray) -> None:
        self._frames = frames

    def at(self, t: int) -> np.ndarray:
        return self._frames[t % len(self._frames)]


def flipping(rng: np.random.Generator, rate: float, n_steps: int, shape: tuple[int, ...]) -> Given:
    """Return binary frames in which a share of the values changes from step to step."""
    flips = rng.random((n_steps, *shape)) < rate
    return Given((np.cumsum(flips, axis=0) % 2).astype(np.float32))


def linearity() -> dict[str, Any]:
    """Return the time of whole runs by the number of synaptic operations, and the line through it."""
    rng, program = np.random.default_rng(2), program_of(128, 16)
    engine = Engine(program, threads=1)
    rows = []
    for rate in (0.0, 0.01, 0.02, 0.04, 0.08, 0.12, 0.16, 0.2):
        frames = flipping(rng, rate, 8, (4, 128, 16, 16))
        seconds = fastest_s(lambda: engine.run(frames, n_steps=8), 7)  # noqa: B023
        trace = engine.run(frames, n_steps=8).trace
        rows.append({"rate": rate, "synops": trace.executed.total("synops_stored") / 32, "seconds": seconds / 32})
    x, y = (np.array([row[name] for row in rows]) for name in ("synops", "seconds"))
    slope, offset = np.polyfit(x, y, 1)
    r2 = 1 - ((y - slope * x - offset) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    return {"rows": rows, "seconds_per_synop": slope, "seconds_per_step": offset, "r2": r2}


def peak_bytes(n_samples: int, n_steps: int) -> int:
    """Return the most that numpy holds while samples are executed 16 at a time."""
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
    bound = bounds()
    print({name: f"{value / 1e9:.1f} G additions/s" for name, value in bound.items()})
    rows = []
    for row in additions(bound):
        rows.append(row)
        print(
            f"{row['channels']:4} channels, {row['rate']:6.1%} events: {row['additions_per_s'] / 1e9:5.1f} G/s, "
            f"{row['of_one_at_a_time']:.0%} and {row['of_four_at_a_time']:.0%} of the bounds"
        )
    line = linearity()
    print(f"time by synaptic operations: {1e12 * line['seconds_per_synop']:.1f} ps each, R2 = {line['r2']:.4f}")
    memory = [
        {"samples": samples, "steps": steps, "peak_bytes": peak_bytes(samples, steps)}
        for samples, steps in ((16, 4), (160, 4), (1600, 4), (16, 16), (16, 64))
    ]
    for found in memory:
        print(f"{found['samples']:5} samples, {found['steps']:3} steps: {found['peak_bytes'] / 1e6:.2f} MB")
    versions = {"tdd-deploy": __version__, "python": platform.python_version(), "numba": numba.__version__}
    write_json(RESULTS, {"versions": versions, "bounds": bound, "additions": rows, "linearity": line, "memory": memory})


if __name__ == "__main__":
    main()
