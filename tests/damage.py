"""Damages files, one per seed, and gives each to the command line: python -m tests.damage KIND FIRST LAST FOLDER.

Prints a JSON object: how many were refused and how many were read, and what should not be: any line here is a bug.
"""

import io
import json
import math
import random
import re
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import onnx

from tdd_deploy.cli import app as cli
from tdd_deploy.exporters.nir.write import lift
from tdd_deploy.importers import lower
from tests.aedat4_files import write_aedat4
from tests.by_hand import program
from tests.camera import SENSOR, recordings
from tests.camera import write as write_events
from tests.damage_documents import DOCUMENTS
from tests.net_files import CUBA, SDNN, write_net
from tests.raw_files import evt3_words, write_raw

SECONDS = 10  # that a file may take
BYTES = 1 << 30  # that it may take
GLOBAL_HEAP = re.compile(rb"GCOL.{4}(.{8})", re.DOTALL)
Damage = Callable[[random.Random, Path], None]
Reading = Callable[[random.Random, Path], list[str]]
SHOWN = [np.nan, np.inf, -1, 0, 1, 2**31, 2**63 - 1, 1e300, "text", b"", [], [[1, 2], [3, 4]], [1.5] * 7, True]


def damaged_bytes(rng: random.Random, content: bytes) -> bytes:
    """Change, cut, repeat or insert bytes, where a test is allowed to."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at, size = rng.randrange(len(data)), rng.choice((1, 2, 8, 64))
        if is_in_a_global_heap(data, at, size):
            continue
        match rng.randrange(6):
            case 0:
                data[at : at + size] = rng.randbytes(len(data[at : at + size]))
            case 1:
                data[at] ^= 1 << rng.randrange(8)
            case 2:
                data[at : at + size] = bytes(len(data[at : at + size]))
            case 3:
                data[at:at] = rng.randbytes(size)
            case 4:
                del data[at : at + size]
            case 5:
                data[at : at + size] = b"\xff" * len(data[at : at + size])
        if not data:
            break
    return bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.1 else data)


def is_in_a_global_heap(data: bytes | bytearray, at: int, size: int) -> bool:
    """Whether bytes belong to the part of an HDF5 file that no test damages.

    HDF5 2.0.0, as h5py 3.16.0 brings it, did not return from some damaged files.
    """
    heaps = ((found.start(), int.from_bytes(found[1], "little")) for found in GLOBAL_HEAP.finditer(data))
    return any(at < start + length and start < at + size for start, length in heaps)


def damaged_hdf5(rng: random.Random, path: Path) -> None:
    """Put another value, another type or nothing in place of some values, or one node in place of another."""
    with h5py.File(path, "a") as file:
        names: list[str] = []
        file.visit(names.append)
        for name in rng.sample(names, rng.choice((1, 1, 2, 4))):
            if name not in file:
                continue
            value: Any = rng.choice(SHOWN)
            other = rng.choice(names)
            del file[name]
            match rng.randrange(4):
                case 0:
                    file[name] = value
                case 1:
                    file[name] = np.full(tuple(rng.choices(range(5), k=rng.randrange(4))), rng.choice(SHOWN[:8]))
                case 2 if other in file:
                    file[name] = file[other] if rng.random() < 0.3 else h5py.SoftLink(f"/{other}")


def damaged_arrays(rng: random.Random, path: Path) -> None:
    """Save arrays of other shapes, types and values."""
    with np.load(path) as found:
        arrays = {name: found[name] for name in found.files}
    for name in rng.sample(sorted(arrays), min(len(arrays), rng.choice((1, 1, 2)))):
        value = arrays[name]
        match rng.randrange(5):
            case 0:
                del arrays[name]
            case 1:
                arrays[name] = np.asarray(rng.choice(SHOWN[:9]))
            case 2 | 4 if value.dtype.names:
                field = rng.choice(value.dtype.names)
                kinds = [
                    (key, rng.choice(("i8", "f4", "u1")) if key == field else value.dtype[key])
                    for key in value.dtype.names
                ]
                arrays[name] = value.astype(kinds)
                arrays[name][field][rng.randrange(len(value))] = rng.choice((0, 1, 200, 2**31, 2**62)) % (
                    2**8 if arrays[name][field].dtype == "u1" else 2**63
                )
            case 2:
                arrays[name] = value.astype(rng.choice(("f8", "i8", "u2", "?", "c16", "S3", "f2")))
            case 3:
                arrays[name] = value[: rng.randrange(len(value) + 1)] if value.ndim else value[None]
            case 4:
                arrays[name] = np.where(np.arange(value.size).reshape(value.shape) == 0, rng.choice(SHOWN[:8]), value)
    np.savez(path, **arrays)


def damaged_model(rng: random.Random, path: Path) -> None:
    """Change a node, an attribute, a name or a shape of an ONNX model."""
    model = onnx.load(path)
    for _ in range(rng.choice((1, 1, 3))):
        node = rng.choice(model.graph.node)
        tensor = rng.choice(model.graph.initializer)
        match rng.randrange(8):
            case 0:
                node.op_type = rng.choice(("Relu", "Loop", "Conv", "If", "MaxPool", "Gemm", "", "Add", "Flatten"))
            case 1:
                node.input[:] = rng.sample([*node.input, "nowhere", *(n.output[0] for n in model.graph.node)], 1)
            case 2:
                tensor.dims[:] = rng.choices((0, 1, 2, 3, 2**40, -1), k=rng.randrange(5))
            case 3:
                tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data) + 1)]
            case 4:
                tensor.data_type = rng.randrange(25)
            case 5 if node.attribute:
                attribute = rng.choice(node.attribute)
                attribute.ints[:] = rng.choices((-1, 0, 1, 2, 3, 2**40), k=rng.randrange(5))
                attribute.i = rng.choice((-1, 0, 2**40))
            case 6:
                del model.graph.node[rng.randrange(len(model.graph.node)) :]
                model.graph.node.append(node)
            case 7:
                shape = model.graph.input[0].type.tensor_type.shape.dim
                shape[rng.randrange(len(shape))].dim_value = rng.choice((0, 1, 2**40, 7))
    path.write_bytes(model.SerializeToString())


def make_nir(path: Path) -> None:
    """Write a file of another tool, with a graph in a graph."""
    one = np.ones(3)
    inner = nir.NIRGraph(
        {
            "input": nir.Input(np.array([3])),
            "li": nir.LI(tau=one, r=one, v_leak=0 * one),
            "output": nir.Output(np.array([3])),
        },
        [("input", "li"), ("li", "output")],
        type_check=False,
    )
    conv = nir.Conv2d((6, 6), np.ones((2, 1, 3, 3)), 1, "same", 1, 1, np.ones(2))
    nodes = {
        "in": nir.Input(np.array([1, 6, 6])),
        "conv": conv,
        "lif": nir.LIF(
            tau=np.ones((2, 6, 6)), r=np.ones((2, 6, 6)), v_leak=np.zeros((2, 6, 6)), v_threshold=np.ones((2, 6, 6))
        ),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flat": nir.Flatten(np.array([2, 3, 3]), 0, -1),
        "fc": nir.Affine(np.ones((3, 18)), one),
        "late": nir.Delay(0.5 * one),
        "inner": inner,
        "out": nir.Output(np.array([3])),
    }
    names = list(nodes)
    graph = nir.NIRGraph(nodes, [*pairwise(names)], type_check=False)
    graph.nodes["fc"] = nir.Linear(np.ones((3, 18)))
    nir.write(path, graph)


def make_ours(path: Path) -> None:
    """Write a file of ours."""
    nir.write(path, lift(program()))


def make_net(path: Path) -> None:
    """Write a file of lava-dl."""
    conv = {"type": "conv", "shape": [2, 4, 4], "inChannels": 1, "outChannels": 2, "kernelSize": [3, 3]}
    conv |= {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1}
    weight = np.full((2, 1, 3, 3, 1), 4.0)
    dense = {"type": "dense", "shape": [3], "inFeatures": 32, "outFeatures": 3, "weight": np.full((3, 32), 6.0)}
    start = {"type": "input", "shape": [1, 6, 6], "weight": [36.0], "bias": [34.0], "neuron": CUBA}
    write_net(
        path,
        start,
        {**conv, "weight": weight, "neuron": CUBA},
        {"type": "flatten", "shape": [32]},
        {**dense, "neuron": CUBA},
    )


def make_sdnn(path: Path) -> None:
    """Write a sigma-delta file of lava-dl."""
    dense = {"type": "dense", "shape": [3], "inFeatures": 4, "outFeatures": 3, "weight": np.full((3, 4), 6.0)}
    write_net(path, {**dense, "neuron": SDNN}, simulation={"Ts": 1, "tSample": 8})


def make_onnx(path: Path) -> None:
    """Write a ReLU network."""
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["a"], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("AveragePool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "v"], ["y"], transB=1),
    ]
    arrays = {"w": np.ones((2, 1, 3, 3)), "b": np.ones(2), "v": np.ones((3, 18))}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", floats, ["n", 1, 6, 6])],
        [helper.make_tensor_value_info("y", floats, ["n", 3])],
        [onnx.numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)


def make_npz(path: Path) -> None:
    """Write samples for the network by hand."""
    shape = program().input.shape
    np.savez(path, x=np.ones((4, 3, *shape), np.float32), y=np.zeros(4, np.int64))


def make_events(path: Path) -> None:
    """Write what a camera sent."""
    write_events(path, recordings(4), [0, 1, 0, 1])


def events_by_hand() -> list[tuple[int, int, int, int]]:
    """Return what such a camera sent in one recording."""
    return [(int(t), int(x), int(y), int(p)) for t, x, y, p in recordings(1)[0]]


def make_raw(path: Path) -> None:
    """Write a recording word by word."""
    height, width = SENSOR
    header = f"% evt 3.0\n% format EVT3;height={height};width={width}\n% end\n"
    write_raw(path, evt3_words(events_by_hand(), vectors=True), header=header)


def make_aedat4(path: Path) -> None:
    """Write a recording with compressed packets."""
    height, width = SENSOR
    write_aedat4(path, [events_by_hand()] * 2, compression=3, streams={0: ("EVTS", width, height)})


def damaged_anywhere(rng: random.Random, path: Path) -> None:
    """Change bytes."""
    path.write_bytes(damaged_bytes(rng, path.read_bytes()))


def make_seeing(path: Path) -> None:
    """Write a network for such a camera."""
    size = 2 * math.prod(SENSOR)
    nodes = {
        "in": nir.Input(np.array([2, *SENSOR])),
        "flat": nir.Flatten(np.array([2, *SENSOR]), 0, -1),
        "fc": nir.Linear(np.ones((3, size))),
        "out": nir.Output(np.array([3])),
    }
    graph = nir.NIRGraph(nodes, [*pairwise(nodes)], type_check=False)
    nir.write(path, lift(lower(graph, dialect="nir")))


def reading_network(*words: str) -> Reading:
    """Print what the file holds."""
    return lambda rng, path: ["inspect", str(path), *words]


def reading_samples(*words: str) -> Reading:
    """Execute a network on the samples."""
    return lambda rng, path: ["simulate", str(path.parent / "network.nir"), "--data", str(path), *words]


KINDS: dict[str, tuple[str, Callable[[Path], None], Damage, Reading]] = {
    "nir": (".nir", make_nir, damaged_hdf5, reading_network("--dialect", "nir,dt=0.5,integration=euler")),
    "nir open": (".nir", make_nir, damaged_hdf5, reading_network()),
    "ours": (".nir", make_ours, damaged_hdf5, reading_network()),
    "net": (".net", make_net, damaged_hdf5, reading_network()),
    "sdnn": (".net", make_sdnn, damaged_hdf5, reading_network()),
    "onnx": (".onnx", make_onnx, damaged_model, reading_network()),
    "npz": (".npz", make_npz, damaged_arrays, reading_samples()),
    "events": (".npz", make_events, damaged_arrays, reading_samples("--bin-us", "1000")),
    "raw": (".raw", make_raw, damaged_anywhere, reading_samples("--bin-us", "1000")),
    "aedat4": (".aedat4", make_aedat4, damaged_anywhere, reading_samples("--bin-us", "1000")),
    **DOCUMENTS,
}


def run(kind: str, seeds: range, folder: Path) -> dict[str, Any]:
    """Damage a file once per seed, and read it."""
    suffix, make, damage, reading = KINDS[kind]
    whole, path, network = folder / f"whole{suffix}", folder / f"bad{suffix}", folder / "network.nir"
    (make_seeing if kind in ("events", "raw", "aedat4") else make_ours)(network)
    make_npz(folder / "samples.npz")
    make(whole)
    found: dict[str, Any] = {"refused": 0, "read": 0, "bugs": []}
    code, _, message = call(reading(random.Random(0), whole))
    assert code == 0, message
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + BYTES
    for seed in seeds:
        rng = random.Random(seed)
        path.write_bytes(whole.read_bytes())
        if seed % 2:
            damage(rng, path)
        else:
            path.write_bytes(damaged_bytes(rng, whole.read_bytes()))
        words = reading(rng, path)
        before = changes(folder)
        begin = time.monotonic()
        code, out, message = call(words)
        after = changes(folder)
        wrong = {
            f"exit code {code}": code not in ((0, 1, 2) if words[0] == "check" else (0, 2)),
            "a traceback": "Traceback" in message,
            "no sentence": code == 2 and not message.strip(),
            f"{len(message)} characters": len(message) > 20_000,
            "output of what was refused": code == 2 and bool(out),
            f"{time.monotonic() - begin:.1f} s": time.monotonic() - begin > SECONDS,
            "more than 1 GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > memory,
            "files written": before != after,
        }
        found["refused" if code == 2 else "read"] += 1
        found["bugs"] += [f"{kind} {seed}: {what}: {message[-300:]}" for what, is_so in wrong.items() if is_so]
    return found


def changes(folder: Path) -> dict[str, int]:
    """When each file in a folder was written; a sweep writes into a folder of its own."""
    return {file.name: file.stat().st_mtime_ns for file in folder.iterdir() if file.is_file()}


def call(words: list[str]) -> tuple[int, str, str]:
    """Return exit code, output and errors of a command."""
    out, message = io.StringIO(), io.StringIO()
    sys.argv = ["tdd-deploy", *words]
    signal.alarm(3 * SECONDS)  # ends the process: a hang cannot be caught otherwise
    with redirect_stdout(out), redirect_stderr(message):
        try:
            cli.main()
        except SystemExit as stopped:
            code = int(stopped.code or 0)
    signal.alarm(0)
    return code, out.getvalue(), message.getvalue()


if __name__ == "__main__":
    name, first, last, where = sys.argv[1:]
    print(json.dumps(run(name, range(int(first), int(last)), Path(where))))  # noqa: T201
