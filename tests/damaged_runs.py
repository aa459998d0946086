"""Damages run folders, one per seed, and gives each to a command: python -m tests.damaged_runs KIND FIRST LAST FOLDER.

Prints a JSON object: how many were refused and how many were taken, and what should not be: any line here is a bug.
"""

import copy
import io
import json
import os
import random
import resource
import shutil
import signal
import struct
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import tdd_deploy as td
from tdd_deploy.errors import Interrupted
from tdd_deploy.training import BatchMetrics
from tests.damage import BYTES, SECONDS, call, damaged_bytes

OPTIONS: dict[str, Any] = {
    "network": "mlp", "method": "tet", "steps": 2, "epochs": 2, "batch": 8, "ema": 0.9, "patience": 2, "fisher": 4,
}  # fmt: skip
TEXT = "x" * 100_000
VALUES: list[Any] = [
    None, True, False, -1, 0, 1, 3, 0.5, 2**31, 2**63, 10**30, 10**400, -1e308, 1e308, 1e-320, float("nan"),
    float("inf"), "", "1", "mlp", "ann", TEXT, "\x1b[31m", [], [1], [[1]], [1.5] * 1000, {}, {"a": 1}, {"": []},
]  # fmt: skip
TENSORS: list[Callable[[torch.Tensor], Any]] = [
    lambda t: t.double(),
    lambda t: t.to(torch.complex64),
    lambda t: t.bool(),
    lambda t: t.half(),
    lambda t: t[None],
    lambda t: t.flatten()[:1],
    lambda t: t * float("nan") if t.is_floating_point() else t - 10**12,
    lambda t: t + float("inf") if t.is_floating_point() else -t,
    lambda t: -t,
    lambda t: torch.zeros(1).expand(2**20, 2**20, 2**20),
    lambda t: torch.zeros(1).expand(2**40),
    lambda t: torch.empty(2**40, device="meta"),
    lambda t: t.float().to_sparse(),
    lambda t: torch.quantize_per_tensor(t.float().contiguous(), 0.1, 0, torch.qint8),
    lambda t: torch.nn.Parameter(t.float()),
    lambda t: t.numpy().tobytes() and bytearray(10),
]


def nodes(holder: Any) -> list[tuple[Any, Any]]:
    """Every place in nested lists and tables, as a holder and a key."""
    found: list[tuple[Any, Any]] = []
    left = [holder]
    while left:
        each = left.pop()
        for key, value in list(each.items() if isinstance(each, dict) else enumerate(each)):
            found.append((each, key))
            left += [value] * isinstance(value, dict | list)
    return found


def some_value(rng: random.Random) -> Any:
    """Choose a value; a copy, since a later change could put a list into itself."""
    return copy.deepcopy(rng.choice(VALUES))


def deep(rng: random.Random) -> Any:
    """Lists in lists."""
    value: Any = []
    for _ in range(rng.choice((40, 200, 800))):
        value = [value] if rng.random() < 0.5 else {"a": value}
    return value


def changed(rng: random.Random, content: Any, values: Callable[[Any], Any]) -> None:
    """Put other values, other names or nothing in some places."""
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        holder, key = rng.choice(nodes(content))
        match rng.randrange(8):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[rng.choice(["new", TEXT, "", "fisher_tx", "penalty_weight", "epoch"])] = holder.pop(key)
            case 2 if isinstance(holder, list):
                holder += holder[: rng.randrange(1, 4)]
            case 3:
                other, name = rng.choice(nodes(content))
                if not isinstance(other[name], dict | list):
                    holder[key] = other[name]
            case _:
                holder[key] = values(holder[key])
        if not content:
            return


def damage_record(rng: random.Random, path: Path) -> None:
    """Put other JSON values into train.json, or damage its bytes."""
    if rng.random() < 0.2:
        path.write_bytes(damaged_bytes(rng, path.read_bytes()))
        return
    content = json.loads(path.read_text())
    if rng.random() < 0.05:
        content = some_value(rng) if rng.random() < 0.95 else deep(rng)
    else:
        changed(rng, content, lambda value: deep(rng) if rng.random() < 0.05 else some_value(rng))
    path.write_text(json.dumps(content))


def damage_checkpoint(rng: random.Random, path: Path) -> None:
    """Put other tensors and values into checkpoint.pt, or damage its archive or its bytes."""
    kind = rng.random()
    if kind < 0.2:
        path.write_bytes(damaged_bytes(rng, path.read_bytes()))
    elif kind < 0.4:
        damage_archive(rng, path)
    else:
        content = torch.load(path, weights_only=True)

        def value(before: Any) -> Any:
            if isinstance(before, torch.Tensor) and rng.random() < 0.8:
                return rng.choice(TENSORS)(before)
            return copy.deepcopy(rng.choice([*VALUES, [[[[[1]]]]], torch.zeros(3)]))

        changed(rng, content, value)
        saved = io.BytesIO()
        torch.save(content, saved, _use_new_zipfile_serialization=rng.random() < 0.95)
        path.write_bytes(saved.getvalue())


def damage_archive(rng: random.Random, path: Path) -> None:
    """Write another archive: compressed, members changed, missing, twice, or of another size than is claimed."""
    with zipfile.ZipFile(path) as archive:
        members = {each.filename: archive.read(each) for each in archive.infolist()}
    names = list(members)
    for _ in range(rng.choice((1, 1, 3))):
        name = rng.choice(names + [each for each in names if each.endswith("data.pkl")] * len(names))
        match rng.randrange(6):
            case 0:
                members.pop(name, None)
            case 1:
                members[name] = bytes(rng.choice((0, 1, 1 << 24)))
            case 2:
                members[name] = damaged_bytes(rng, members.get(name) or b"x")
            case 3:  # numbers of bytes in the description, as of sizes and strides
                found = members.get(name, b"").replace(b"K\x08", b"J" + struct.pack("<i", rng.choice((1 << 30, -1, 9))))
                members[name] = found
            case 4:
                members[name] = rng.choice(list(members.values()) or [b""])
            case 5:
                members[rng.choice((name.upper(), f"{name}x", "other/data.pkl", "constants.pkl"))] = b"\x80\x02]."
    with zipfile.ZipFile(path, "w", rng.choice((0, 0, 8, 14))) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        if rng.random() < 0.1:
            archive.writestr("archive/data/bomb", bytes(1 << 26), zipfile.ZIP_DEFLATED)


def damage_weights(rng: random.Random, path: Path) -> None:
    """Change the header or the tensors of network.safetensors, or damage its bytes."""
    whole = path.read_bytes()
    if rng.random() < 0.3:
        path.write_bytes(damaged_bytes(rng, whole))
        return
    length = int.from_bytes(whole[:8], "little")
    header, data = json.loads(whole[8 : 8 + length]), bytearray(whole[8 + length :])
    if rng.random() < 0.6:
        values = [*VALUES, "F64", "I8", "BF16", "C64", "F8_E5M2", [2**40, 2**40]]
        changed(rng, header, lambda value: copy.deepcopy(rng.choice(values)))
    else:
        numbers = np.frombuffer(data[: len(data) // 4 * 4], np.float32).copy()
        number = rng.choice((np.nan, np.inf, -1, 0, 1e38, 1e-45))
        numbers[rng.randrange(len(numbers)) :: rng.choice((1, 1000, 10**9))] = number
        data[: numbers.nbytes] = numbers.tobytes()
    text = json.dumps(header).encode()
    claimed = rng.choice((len(text), len(text), len(text), 0, 2**63, len(whole), len(text) + 1))
    path.write_bytes(claimed.to_bytes(8, "little") + text + data)


class Stop:
    """Ends a run in its second epoch."""

    def __init__(self) -> None:
        self.n_batches = 0

    def batch(self, now: BatchMetrics) -> None:
        self.n_batches += 1
        if self.n_batches == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    def epoch(self, history: list[dict[str, Any]]) -> None:
        pass


def make_runs(folder: Path) -> str:
    """Train a run to its end, and another into its second epoch; return their data."""
    data, rng = folder / "data.npz", np.random.default_rng(0)
    np.savez(data, x=rng.integers(0, 256, (40, 6)).astype(np.uint8), y=np.arange(40) % 2)
    td.train(folder / "finished", data=str(data), **OPTIONS)
    td.simulate(folder / "finished", data=str(data))  # compiles loops, which no file is to blame for
    try:
        td.train(folder / "unfinished", data=str(data), watcher=Stop(), **OPTIONS)
    except Interrupted:
        return str(data)
    raise AssertionError


RESUME = ["train", "--resume", "--out", "RUN"]
READ = [
    ["analyze", "RUN", "--data", "DATA", "--samples", "4"],
    ["verify", "RUN", "--data", "DATA", "--samples", "4", "--against", "torch,event"],
    ["prune", "RUN", "--data", "DATA", "--rounds", "1", "--epochs", "1", "--fisher-samples", "4", "--out", "OUT"],
    ["simulate", "RUN", "--data", "DATA", "--samples", "4"],
    ["export", "RUN", "--target", "nir", "--out", "OUT"],
    RESUME,
]
KINDS: dict[str, tuple[str, str, Callable[[random.Random, Path], None], list[list[str]]]] = {
    "checkpoint": ("unfinished", "checkpoint.pt", damage_checkpoint, [RESUME]),
    "record": ("unfinished", "train.json", damage_record, [RESUME]),
    "record of a finished run": ("finished", "train.json", damage_record, READ),
    "weights": ("finished", "network.safetensors", damage_weights, READ),
}


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def run(kind: str, seeds: range, folder: Path) -> dict[str, Any]:
    """Damage a run once per seed, and give it to a command."""
    whole, name, damage, commands = KINDS[kind]
    data = make_runs(folder)
    found: dict[str, Any] = {"refused": 0, "taken": 0, "bugs": []}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + BYTES
    for seed in seeds:
        rng = random.Random(seed)
        path, out = folder / "run", folder / "out"
        for each in (path, out):
            shutil.rmtree(each, ignore_errors=True)
            each.unlink(missing_ok=True)
        shutil.copytree(folder / whole, path)
        damage(rng, path / name)
        before = state(path)
        places = {"RUN": str(path), "DATA": data, "OUT": str(out)}
        words = [places.get(word, word) for word in commands[seed % len(commands)]]
        begin = time.monotonic()
        code, _, message = call(words)
        wrong = {
            f"exit code {code}": code not in (0, 2),
            "a traceback": "Traceback" in message,
            "no sentence": code == 2 and not message.strip(),
            f"{len(message)} characters": len(message) > 20_000 + 10 * len(TEXT),
            f"{time.monotonic() - begin:.1f} s": time.monotonic() - begin > SECONDS,
            "more than 1 GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > memory,
            "files written": code != 0 and (before != state(path) or out.exists()),
        }
        found["refused" if code else "taken"] += 1
        found["bugs"] += [
            f"{kind} {seed} {words[0]}: {what}: {message[-400:]}" for what, is_so in wrong.items() if is_so
        ]
    return found


if __name__ == "__main__":
    chosen, first, last, where = sys.argv[1:]
    torch.set_num_threads(1)
    print(json.dumps(run(chosen, range(int(first), int(last)), Path(where))))  # noqa: T201
