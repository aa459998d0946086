"""Compare Lava's CPU simulation of Loihi 2 with the event engine on one quantized network: first spikes, then time.

    .venv/bin/python -m benchmarks.lava_speed RUN [--data fashion-mnist] [--data-dir DIR] [--samples 10] [--rounds 3]

RUN is a .nir file or a run folder. In every round Lava (fused and stock mapping) and the engine (batch 1; batch 64 on
one thread and on all) execute test samples; Lava's time is without its start, the engine's without compilation and
layout. Medians over rounds go to benchmarks/results/lava_speed.json, under the name of the data.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tdd_deploy as td
from tdd_deploy.data import Frames
from tdd_deploy.files import write_json
from tdd_deploy.program import Program, with_code
from tdd_deploy.simulator.engine.compiled import THREADS
from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.verification.backends import event_backend, lava_backend
from tdd_deploy.verification.comparison import compare

RESULTS = Path(__file__).parent / "results" / "lava_speed.json"


def engine_seconds(program: Program, x: np.ndarray, *, batch: int, threads: int) -> float:
    """Return seconds per sample of the event engine in delta code, counting included."""
    engine = Engine(with_code(program, "delta"), threads=threads)
    batches = [Frames(static=True, values=x[i : i + batch]) for i in range(0, len(x), batch)]
    engine.run(batches[0], n_steps=program.n_steps)
    begin = time.perf_counter()
    for frames in batches:
        engine.run(frames, n_steps=program.n_steps)
    return (time.perf_counter() - begin) / len(x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    program = td.load(chosen.run)
    if program.number_format != "integer":
        program = td.quantize(program).program
    x = td.open_data(chosen.data, split="test", data_dir=chosen.data_dir).load()[0].reshape(-1, *program.input.shape)
    few, many = x[: chosen.samples], x[:512]
    inputs = np.repeat(few[None], program.n_steps, axis=0)
    ours = event_backend(program, "engine", "delta")(inputs)
    lava: dict[str, Callable[[np.ndarray], Any]] = {
        mapping: lava_backend(program, f"lava, {mapping}", mapping, timeout_s=3600) for mapping in ("fused", "stock")
    }
    seconds: dict[str, list[float]] = {}
    for _ in range(chosen.rounds):
        for mapping, backend in lava.items():
            recorded = backend(inputs)
            comparison = compare(ours, recorded)
            assert comparison.passed, comparison
            seconds.setdefault(f"lava, {mapping}", []).append(recorded.seconds / len(few))
        for batch, threads in ((1, 1), (64, 1), (64, THREADS)):
            took = engine_seconds(program, few if batch == 1 else many, batch=batch, threads=threads)
            seconds.setdefault(f"engine, batch {batch}, {threads} thread{'s' * (threads > 1)}", []).append(took)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    fastest_lava = min(value for name, value in median.items() if name.startswith("lava"))
    for name, value in median.items():
        print(f"{name:32} {1e3 * value:9.3f} ms per sample   Lava takes {fastest_lava / value:8,.1f} times as long")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[chosen.data] = {
        "neurons": sum(int(np.prod(layer.shape)) for layer in program.neuron_layers),
        "n_steps": program.n_steps,
        "samples": {"lava": len(few), "engine": len(many)},
        "spikes_compared": sum(spikes.size for spikes in ours.spikes.values()),
        "delta_events_per_sample": sum(
            int(np.count_nonzero(np.diff(s.astype(np.int8), axis=1, prepend=0))) for s in ours.spikes.values()
        )
        / len(few),
        "seconds_per_sample": median,
        "all_rounds": seconds,
        "python": platform.python_version(),
        "processor": platform.machine(),
    }
    write_json(RESULTS, results)


if __name__ == "__main__":
    main()
