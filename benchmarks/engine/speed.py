"""Compare the event engine with other software on the same networks and samples: first spikes, then time.

    make bench
    .venv/bin/python -m benchmarks.engine.speed RUN --data digits [--data-dir DIR] [--samples 64] [--rounds 7]
    .venv/bin/python -m benchmarks.engine.speed RUN --data digits --simulators
    .venv/bin/python -m benchmarks.engine.speed --shape conv-medium|resnet19 [--rates 0.001,0.01,0.1]

RUN is a trained network. ``--shape`` makes a network of random weights, with thresholds at which the given fraction of
each layer's neurons fires per step. Every library runs in its own process, in the environment of ``make peers``, and
waits while another one works; rounds are interleaved, medians compared. Writes a row per backend, batch and number of
threads into results/engine_speed.json, in place of older rows of the same case.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

import tdd_deploy as td
from tdd_deploy.data import Frames
from tdd_deploy.exporters.onnx.rules import FORMS
from tdd_deploy.exporters.onnx.run import Model
from tdd_deploy.exporters.onnx.write import model
from tdd_deploy.files import write_json
from tdd_deploy.neurons import LIF
from tdd_deploy.options.vocabulary import Form
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Node, Output, Program, build, with_code
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.engine.engine import Engine, Result

from .case import Case, Layer
from .serve import seconds_of
from .shapes import SHAPES, random_case
from .simulators import convolved

RESULTS = Path(__file__).parents[1] / "results" / "engine_speed.json"
ROOT = Path(__file__).parents[2]
PEERS, SIMULATORS = (ROOT / name / "bin" / "python" for name in (".venv-peers", ".venv-simulators"))
LIBRARIES = {"torch": Path(sys.executable), **dict.fromkeys(("snntorch", "spikingjelly", "norse", "sinabs"), PEERS)}
SIMULATED = ("sanafe", "brian2")
SETTINGS = ((1, 1), (64, 1), (64, 2))  # samples at once, threads


class Backend(Protocol):
    """Software that executes a case."""

    def ask(self, order: str) -> dict[str, Any]:
        """Answer ``spikes`` with spikes and outputs, and the size of a batch with the seconds of all samples."""
        ...


class Process:
    """A backend in its own process."""

    def __init__(self, *command: object) -> None:
        arguments = [str(part) for part in command]
        self._process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, order: str) -> dict[str, Any]:
        """Send an order; return the answer, the first line of JSON: some libraries print other lines before it."""
        assert self._process.stdin is not None
        print(order, file=self._process.stdin, flush=True)
        assert self._process.stdout is not None
        return next(json.loads(line) for line in self._process.stdout if line.startswith("{"))

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


class Ours:
    """The event engine in this process, counting included."""

    def __init__(self, program: Program, x: np.ndarray, *, threads: int) -> None:
        self._program = with_code(program, "delta")
        self._engine = Engine(self._program, threads=threads)
        self._x = x

    def ask(self, order: str) -> dict[str, Any]:
        """Execute all samples."""
        if order == "spikes":
            result = self._run(self._x)
            n_spikes = result.trace.spike_code.total("spikes")
            return {"output": result.output.sum(axis=1).tolist(), "spikes": n_spikes}
        return {"seconds": seconds_of(self._run, self._x, int(order))}

    def _run(self, x: np.ndarray) -> Result:
        return self._engine.run(Frames(static=True, values=x), n_steps=self._program.n_steps)


class Reference:
    """The reference in plain numpy, which defines the engine's results, on one thread."""

    def __init__(self, program: Program, x: np.ndarray) -> None:
        self._program = program
        self._x = np.repeat(x[None], program.n_steps, axis=0)

    def ask(self, order: str) -> dict[str, Any]:
        """Execute all samples."""
        begin, size = time.perf_counter(), self._x.shape[1] if order == "spikes" else int(order)
        with threadpool_limits(1):  # idle threads of numpy would spin and slow down the next backend
            sent = [reference.run(self._program, self._x[:, i : i + size]) for i in range(0, self._x.shape[1], size)]
        n_spikes = sum(int(each[layer.name].sum()) for each in sent for layer in self._program.neuron_layers)
        output = np.concatenate([each[self._program.output.name].sum(axis=0) for each in sent])
        return {"seconds": time.perf_counter() - begin, "output": output.tolist(), "spikes": n_spikes}


class Onnx:
    """The exported model in onnxruntime, on one thread, in spike code, with Conv and Gemm, which are faster there."""

    def __init__(self, program: Program, x: np.ndarray, *, form: Form) -> None:
        spiking = with_code(program, "spike")
        self._n_steps, self._output, self._x = program.n_steps, program.output.name, x
        self._timed, self._recorded = (
            Model(model(spiking, form=form, fast=True, layers=layers), needed_for="this comparison")
            for layers in (False, True)
        )

    def ask(self, order: str) -> dict[str, Any]:
        """Execute all samples."""
        if order == "spikes":
            sent = self._run(self._recorded, self._x)
            output = sent.pop(self._output).sum(axis=0)
            return {"output": output.tolist(), "spikes": int(sum(spikes.sum() for spikes in sent.values()))}
        return {"seconds": seconds_of(partial(self._run, self._timed), self._x, int(order))}

    def _run(self, runner: Model, x: np.ndarray) -> dict[str, np.ndarray]:
        sent, _ = runner.run(np.repeat(x[None], self._n_steps, axis=0))
        return sent


def case_of(program: Program, name: str, x: np.ndarray) -> Case:
    """Describe a chain of maps and LIF neurons, reset to zero, for other libraries."""
    layers: list[Layer] = []
    for node in program.nodes:
        match node:
            case Conv() | Dense():
                bias = np.zeros(len(node.weight), np.float32) if node.bias is None else node.bias
                layers.append(Layer(node.weight, bias, node.stride[0] if isinstance(node, Conv) else 1, None, 0.0))
            case NeuronLayer(neuron=LIF() as lif):
                assert (lif.reset, lif.compare, float(lif.v_reset)) == ("hard", ">", 0.0), (
                    "some library lacks this neuron"
                )
                last = layers.pop()
                layers.append(Layer(last.weight, last.bias, last.stride, float(lif.beta), float(lif.v_threshold)))
            case Input() | Output() | Flatten():
                pass
            case _:
                raise SystemExit(f"{node.name}: some library lacks {type(node).__name__}")
    return Case(name, program.n_steps, tuple(layers), x)


def program_of(case: Case, *, delayed: bool = False) -> Program:
    """Return a case as a program; with ``delayed``, as simulators.py executes it."""
    shape = case.x.shape[1:]
    nodes: list[Node] = [
        Input(name="input", shape=convolved(case.layers[0], case.x[:1]).shape[1:] if delayed else shape)
    ]
    for k, layer in enumerate(case.layers):
        margin = (layer.weight.shape[-1] - 1) // 2
        if layer.weight.ndim == 4:
            options = {"stride": (layer.stride,) * 2, "padding": (margin,) * 2}
            linear: Any = Conv(name=f"map{k}", weight=layer.weight, bias=layer.bias, **options)
            shape = linear.out_shape(shape)
        else:
            linear = Dense(name=f"map{k}", weight=layer.weight, bias=layer.bias)
            nodes += [Flatten(name="flat")] if len(shape) == 3 else []
            shape = layer.weight.shape[:1]
        nodes += [linear] if k or not delayed else []
        if layer.beta is not None:
            numbers = {"beta": layer.beta, "v_threshold": layer.threshold, "v_reset": 0.0}
            lif = LIF(**{name: np.float32(value) for name, value in numbers.items()})
            nodes.append(NeuronLayer(name=f"neurons{k}", shape=shape, neuron=lif))
    nodes.append(Output(name="output"))
    edges = [
        Edge(a.name, b.name, delay=int(delayed and isinstance(a, NeuronLayer) and not isinstance(b, Output)))
        for a, b in pairwise(nodes)
    ]
    return build(nodes, edges, dt_s=1e-3, n_steps=case.n_steps, number_format="float32")


def measured(backends: Mapping[str, Backend], *, batch: int, rounds: int, n_samples: int) -> Iterator[dict[str, Any]]:
    """Yield a row per backend: whether its outputs equal those of the first one, and the median of its times."""
    answers = {name: backend.ask("spikes") for name, backend in backends.items()}
    seconds: dict[str, list[float]] = {name: [] for name in backends}
    for round_ in range(rounds + 1):
        for name, backend in backends.items():
            took = backend.ask(str(batch))["seconds"]
            if round_:  # the first one warms up
                seconds[name].append(took / n_samples)
    ours = next(iter(backends))
    expected = np.array(answers[ours]["output"])
    for name, took in seconds.items():
        row = {
            "backend": name, "spikes": answers[name]["spikes"], "median_ms": 1e3 * statistics.median(took),
            "fastest_ms": 1e3 * min(took), "times_ours": statistics.median(took) / statistics.median(seconds[ours]),
        }  # fmt: skip
        if "output" in answers[name]:
            same = np.abs(np.array(answers[name]["output"]) - expected) < 1e-3 * np.maximum(1, np.abs(expected))
            row["same_samples"] = float(same.all(axis=1).mean())
        yield row


def compared(case: Case, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield rows of a case, in all settings."""
    program, n_samples = program_of(case), len(case.x)
    settings = [(1, 1)] if given.simulators else sorted({(min(batch, n_samples), n) for batch, n in SETTINGS})
    trace = Engine(with_code(program, "delta")).run(Frames(static=True, values=case.x), n_steps=case.n_steps).trace
    sent = trace.delta_code.total("delta_events")
    for batch, threads in settings:
        with ExitStack() as stack:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "case.npz"
            case.write(path)
            backends: dict[str, Backend]
            if given.simulators:
                currents = convolved(case.layers[0], case.x)
                backends = {"tdd-deploy": Ours(program_of(case, delayed=True), currents, threads=1)}
                peers = {name: (SIMULATORS, "-m", "benchmarks.engine.simulators", name, path) for name in SIMULATED}
            else:
                backends = {"tdd-deploy": Ours(program, case.x, threads=threads)}
                if threads == 1:
                    backends |= {f"onnx {form}": Onnx(program, case.x, form=form) for form in FORMS}
                chosen = given.libraries.split(",")
                serve = ("-m", "benchmarks.engine.serve")
                peers = {name: (LIBRARIES[name], *serve, name, path, threads) for name in chosen}
            for name, command in peers.items():
                backends[name] = stack.enter_context(Process(*command))
            if threads == 1 and not given.simulators:
                backends["reference"] = Reference(program, case.x)
            for row in measured(backends, batch=batch, rounds=given.rounds, n_samples=n_samples):
                rate = sent / (n_samples * case.n_steps * n_inputs(program))
                row |= {"case": case.name, "batch": batch, "threads": threads, "events": rate}
                print(
                    f"{case.name}, {rate:.2%} events, {batch} at once, {threads} threads  {row['backend']:12} "
                    f"{row['median_ms']:9.3f} ms per sample {row['times_ours']:7.2f} x ours   {row['spikes']} spikes  "
                    f"{row.get('same_samples', float('nan')):.1%} same",
                    flush=True,
                )
                yield row


def n_inputs(program: Program) -> int:
    """Return the number of neurons."""
    return sum(int(np.prod(layer.shape)) for layer in program.neuron_layers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--rates", default="0.001,0.003,0.01,0.03,0.1,0.2,0.5")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--libraries", default=",".join(LIBRARIES))
    parser.add_argument("--simulators", action="store_true")
    given = parser.parse_args()
    if given.shape:
        cases = [random_case(given.shape, float(rate), given.samples) for rate in given.rates.split(",")]
    else:
        program = td.load(given.run)
        x = td.open_data(given.data, split="test", data_dir=given.data_dir).load()[0][: given.samples]
        name = f"{given.data}, {given.run.name}" + (", one step later" if given.simulators else "")
        cases = [case_of(program, name, x.reshape(-1, *program.input.shape))]
    for case in cases:
        rows = list(compared(case, given))
        before = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
        kept = [row for row in before if row["case"] != case.name]
        versions = {"tdd-deploy": td.__version__, "python": platform.python_version(), "numpy": np.__version__}
        write_json(RESULTS, {"rounds": given.rounds, "versions": versions, "rows": [*kept, *rows]})


if __name__ == "__main__":
    main()
