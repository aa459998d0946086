"""Measure the peak memory of commands on one dense network, as a multiple of the memory of its weights.

    .venv/bin/python -m benchmarks.memory [--size 10000] [--only WORD]

The network has one layer of ``size`` x ``size`` float32 weights: 400 MB for 10,000. Each command is executed twice as a
process of its own: on a network of 8 x 8, whose peak comes from the libraries, and on the large one. The multiple is
the difference divided by the bytes of the weights. A process and the processes that it starts are measured by the
largest resident set among them. A new process starts with the peak of the one that starts it, so another process makes
the networks. Writes results/memory.json.
"""

import argparse
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import tdd_deploy as td
from tdd_deploy.files import write_json
from tdd_deploy.neurons import LIF
from tdd_deploy.program import Dense, Edge, Input, NeuronLayer, Output, Program, build

RESULTS = Path(__file__).parent / "results" / "memory.json"
SMALL = 8
COMMANDS = (
    "inspect NET.nir",
    "check NET.nir --chip loihi2",
    "simulate NET.nir --data NET.npz",
    "export NET.nir --target nir --out out.nir",
    "export NET.nir --target onnx --out out.onnx",
    "export NET.nir --target onnx --form scan --out out.onnx",
    "export NET.nir --target lava --floats --out out",
    "export NET.nir --target lava --out out",
    "verify NET.nir --data NET.npz --against reference,event",
    "verify NET.nir --data NET.npz --against event,integer",
    "verify NET.nir --data NET.npz --against event,onnx",
)


def network(n: int) -> Program:
    """Make a dense network of n inputs and n neurons."""
    weight = np.random.default_rng(0).standard_normal((n, n), dtype=np.float32)
    weight /= np.float32(np.sqrt(n))
    one = np.float32(1)
    nodes = [
        Input(name="in", shape=(n,)),
        Dense(name="fc", weight=weight),
        NeuronLayer(name="lif", shape=(n,), neuron=LIF(v_threshold=one / 2, v_reset=0 * one, beta=one / 2)),
        Output(name="out"),
    ]
    edges = [Edge("in", "fc"), Edge("fc", "lif"), Edge("lif", "out")]
    return build(nodes, edges, dt_s=1e-3, n_steps=3)


def make(n: int, folder: Path) -> None:
    """Write a network and its data."""
    td.export(network(n), target="nir", out=folder / f"{n}.nir")
    np.savez(folder / f"{n}.npz", x=np.random.default_rng(1).random((4, n), np.float32), y=np.arange(4))


def peak(words: list[str], folder: Path) -> tuple[int, float]:
    """Execute a command in a new folder; return its largest resident set in bytes, and seconds."""
    begin = time.perf_counter()
    child = os.fork()
    if not child:
        os.chdir(tempfile.mkdtemp(dir=folder))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.execv(sys.executable, [sys.executable, "-m", "tdd_deploy", *words])
    _, status, used = os.wait4(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, 1), words
    return used.ru_maxrss * 1024, time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--only", default="", help="commands that contain this word")
    chosen = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="tdd-deploy-") as name:
        folder = Path(name)
        for n in (SMALL, chosen.size):
            maker = multiprocessing.get_context("spawn").Process(target=make, args=(n, folder))
            maker.start()
            maker.join()
        for command in COMMANDS:
            if chosen.only not in command:
                continue
            small, large = (
                peak(command.replace("NET", str(folder / str(n))).split(), folder) for n in (SMALL, chosen.size)
            )
            multiple = (large[0] - small[0]) / (4 * chosen.size**2)
            rows.append({"command": command, "multiple": multiple, "peak_bytes": large[0], "seconds": large[1]})
            measured = f"{large[0] >> 20:7,} MiB {large[1]:7.1f} s {multiple:6.2f} times the weights"
            print(f"{command:60} {measured}", flush=True)
    if not chosen.only:
        write_json(RESULTS, {"size": chosen.size, "platform": platform.platform(), "rows": rows})


if __name__ == "__main__":
    main()
