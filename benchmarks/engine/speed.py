"""The event engine beside other libraries: the same trained networks and samples, spikes compared first, then time.

    make bench
    .venv/bin/python -m benchmarks.engine.speed RUN --data digits [--data-dir DIR] [--samples 64] [--rounds 7]

Every machine is a process of its own, in the environment that ``make peers`` made, and waits while another one works;
rounds are interleaved, medians compared. Writes a row per machine, batch and number of threads into
results/engine_speed.json.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from tdd_deploy import __version__
from tdd_deploy.data import Frames, open_data
from tdd_deploy.files import write_json
from tdd_deploy.neurons import LIF
from tdd_deploy.pipeline import read_program
from tdd_deploy.program import Conv, Dense, Flatten, Input, NeuronLayer, Output, Program, with_code
from tdd_deploy.simulator.engine import Engine

from .case import Case, Layer

RESULTS = Path(__file__).parents[1] / "results" / "engine_speed.json"
PEERS = Path(__file__).parents[2] / ".venv-peers" / "bin" / "python"
MACHINES = {"torch": Path(sys.executable), **dict.fromkeys(("snntorch", "spikingjelly", "norse", "sinabs"), PEERS)}
SETTINGS = ((1, 1), (64, 1), (64, 2))  # samples at once, threads


def case_of(program: Program, name: str, x: np.ndarray) -> Case:
    """Write a chain of maps and LIF neurons, reset to zero, for other libraries."""
    layers: list[Layer] = []
    for node in program.nodes:
        match node:
            case Conv() | Dense():
                bias = np.zeros(len(node.weight), np.float32) if node.bias is None else node.bias
                layers.append(Layer(node.weight, bias, node.stride[0] if isinstance(node, Conv) else 1, None, 0.0))
            case NeuronLayer(neuron=LIF() as lif):
                assert (lif.reset, lif.compare, float(lif.v_reset)) == ("hard", ">", 0.0), "what all libraries know"
                last = layers.pop()
                layers.append(Layer(last.weight, last.bias, last.stride, float(lif.beta), float(lif.v_threshold)))
            case Input() | Output() | Flatten():
                pass
            case _:
                raise SystemExit(f"{node.name}: {type(node).__name__} is not what all libraries know")
    return Case(name, program.n_steps, tuple(layers), x)


class Machine:
    """A library in a process of its own."""

    def __init__(self, name: str, case: Path, threads: int) -> None:
        command = [MACHINES[name], "-m", "benchmarks.engine.serve", name, case, str(threads)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.torch = self._answer()["torch"]

    def ask(self, order: str) -> dict[str, Any]:
        """Send an order; return the answer."""
        assert self._process.stdin is not None
        print(order, file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> "Machine":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


class Ours:
    """The event engine in this process, counting included."""

    def __init__(self, program: Program, x: np.ndarray, threads: int) -> None:
        self._engine = Engine(with_code(program, "delta"), threads=threads)
        self._n_steps = program.n_steps
        self._x = x

    def ask(self, order: str) -> dict[str, Any]:
        """Do what ``serve`` does."""
        if order == "spikes":
            result = self._run(0, len(self._x))
            n_spikes = result.trace.executed.total("spikes")
            return {"output": result.output.sum(axis=1).tolist(), "spikes": n_spikes}
        begin = time.perf_counter()
        for start in range(0, len(self._x), int(order)):
            self._run(start, int(order))
        return {"seconds": time.perf_counter() - begin}

    def _run(self, start: int, size: int) -> Any:
        return self._engine.run(Frames(static=True, values=self._x[start : start + size]), n_steps=self._n_steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--machines", default=",".join(MACHINES))
    given = parser.parse_args()
    program = read_program(given.run)
    x = open_data(given.data, split="test", data_dir=given.data_dir).load()[0][: given.samples]
    case = case_of(program, f"{given.data}, {given.run.name}", x.reshape(-1, *program.input.shape))
    rows = []
    for batch, threads in SETTINGS:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            case.write(folder / "case.npz")
            ours = Ours(program, case.x, threads)
            machines: dict[str, Any] = {"tdd-deploy": ours}
            for name in given.machines.split(","):
                machines[name] = stack.enter_context(Machine(name, folder / "case.npz", threads))
            said = {name: machine.ask("spikes") for name, machine in machines.items()}
            expected = np.array(said["tdd-deploy"]["output"])
            seconds: dict[str, list[float]] = {name: [] for name in machines}
            for round_ in range(given.rounds + 1):
                for name, machine in machines.items():
                    took = machine.ask(str(batch))["seconds"]
                    if round_:  # the first one warms up
                        seconds[name].append(took / len(case.x))
            ours_ms = 1e3 * statistics.median(seconds["tdd-deploy"])
            for name, took in seconds.items():
                median_ms = 1e3 * statistics.median(took)
                same = float((np.abs(np.array(said[name]["output"]) - expected) < 1e-3).all(axis=1).mean())
                rows.append({
                    "case": case.name, "machine": name, "batch": batch, "threads": threads, "median_ms": median_ms,
                    "times_ours": median_ms / ours_ms, "fastest_ms": 1e3 * min(took), "same_samples": same,
                    "spikes": said[name]["spikes"],
                })  # fmt: skip
                print(
                    f"{case.name}, {batch} at once, {threads} threads  {name:12} {median_ms:9.3f} ms per sample "
                    f"{rows[-1]['times_ours']:7.2f} x ours   {same:.1%} same"
                )
    before = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    kept = [row for row in before if row["case"] != case.name]
    versions = {"tdd-deploy": __version__, "python": platform.python_version(), "numpy": np.__version__}
    write_json(RESULTS, {"rounds": given.rounds, "versions": versions, "rows": [*kept, *rows]})


if __name__ == "__main__":
    main()
