"""Damages JSON and TOML that tdd-deploy reads; ``damage.py`` gives each to the command line."""

import copy
import json
import random
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import tdd_deploy as td
from tdd_deploy.options.vocabulary import Row, TableFormat
from tdd_deploy.run_folder import BASELINE_VERSION
from tests.by_hand import ANN_BASELINE

LONG = "x" * 100_000
DEEP = json.loads("[" * 40 + "]" * 40)
VALUES = [
    *(None, True, -1, 0, 0.5, 7, 1e308, 1e-320, 2**62, 2**63, 10**400, float("nan"), float("inf")),
    *("", "text", "\0", "\ud800", "\x1b[31m", "=1+1", LONG, "delta", [], {}, [1, "a"], {"a": 1}, DEEP),
]
TOML_VALUES = [
    *("true", "-1", "0", "0.5", "7", "1e308", "1e-320", "nan", "inf", "1" * 5000, "0x" + "f" * 400),
    *(str(2**62), str(2**63)),
    *('""', '"text"', r'"\u0000"', r'"\u001b[31m"', f'"{LONG}"', '"delta"', "[]", "{}", '[1, "a"]', "{a = 1}", "[[1]]"),
    *("[" * 40 + "]" * 40, "1979-05-27", "1979-05-27T07:32:00Z", "= 1", "'open", '"""open', '["odin", "odin"]'),
]  # fmt: skip
TOML_NUMBERS = ["0", "1", "2", "3.5", "0.0", "1e-320", "1e-9", "1e12", str(10**6), str(10**12), str(2**31), str(2**62)]
NUMBER = re.compile(r"= [-+.e\d]+$")
CONFIG = """
[simulate]
samples = 2
steps = 3
input-scale = 1.0
frames = true
encoder = "direct"
input-threshold = 0.25
output = "spikes"
code = "delta"
energy = true
profile = ["cmos45-memory", "odin"]
step-time = 0.001
clock = 75
batch = 2
threads = 1
by = "layer"
"""
MORE_TABLES = """
[time.barrier]
low = 100
high = 200
unit = "ns"
confidence = "derived"
read = "primary"
source = "made up"
[static.host]
low = 1
high = 2
unit = "mW"
state = "host"
scope = "boot"
apart = true
confidence = "derived"
read = "primary"
source = "made up"
[step_time]
value = 1
unit = "ms"
confidence = "derived"
read = "primary"
source = "made up"
"""
HARDWARE = Path(td.__file__).parent / "simulator" / "hardware"


def damaged_json(rng: random.Random, path: Path) -> None:
    """Put another value, a part of another place, or nothing in some places; or repeat a key."""
    content = json.loads(path.read_text())
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        holder, key = _place(rng, content)
        match rng.randrange(8):
            case 0:
                del holder[key]
            case 1:
                other, place = _place(rng, content)
                holder[key] = copy.deepcopy(other[place])
            case 2:
                holder[key] = [holder[key]] if rng.random() < 0.5 else {"a": holder[key]}
            case 3 | 4:  # of the same type, so that it comes further
                alike = [value for value in VALUES if type(value) is type(holder[key])]
                holder[key] = copy.deepcopy(rng.choice(alike or VALUES))
            case _:
                holder[key] = copy.deepcopy(rng.choice(VALUES))  # a later change could put a list into itself
        if not isinstance(content, dict | list) or not content:
            break
    text = json.dumps(content)
    if rng.random() < 0.1:
        text = text.replace("{", '{"name": 1, "name": 2, ', 1)
    path.write_text(text)


def _place(rng: random.Random, content: Any) -> tuple[Any, Any]:
    """Choose a key of a table or a list, at any depth alike."""
    holder, key = content, _key(rng, content)
    while rng.random() < 0.7 and isinstance(holder[key], dict | list) and holder[key]:
        holder = holder[key]
        key = _key(rng, holder)
    return holder, key


def _key(rng: random.Random, holder: Any) -> Any:
    return rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))


def damaged_toml(rng: random.Random, path: Path) -> None:
    """Change, remove, repeat or exchange some lines."""
    lines = path.read_text().splitlines()
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.choice([i for i, line in enumerate(lines) if line])
        key, *_ = lines[at].partition(" = ")
        match rng.randrange(8):
            case 0:
                del lines[at]
            case 1:
                lines.insert(rng.randrange(len(lines) + 1), lines[at])
            case 2:
                lines[at] = rng.choice(
                    (f"[{key}.{key}]", f"[[{key}]]", f"{key}.a.b = 1", f"{'a.' * 20}b = 1", "[", "#")
                )
            case 3:
                lines[at] = f"{key} = {rng.choice(lines).partition(' = ')[2]}"
            case 4 | 5:
                numbers = [i for i, line in enumerate(lines) if NUMBER.search(line)]
                at = rng.choice(numbers or [at])
                lines[at] = NUMBER.sub(f"= {rng.choice(TOML_NUMBERS)}", lines[at])
            case _:
                lines[at] = f"{key} = {rng.choice(TOML_VALUES)}"
        if not any(lines):
            break
    path.write_text("\n".join(lines), encoding="utf-8")


def make_baseline(path: Path) -> None:
    """Write the measurements of an ANN baseline of the network beside it, on the samples beside it."""
    data = td.simulate(path.parent / "network.nir", data=str(path.parent / "samples.npz")).data
    results = [{"n_correct": 2, **row, "split": data["split"]} for row in ANN_BASELINE["results"]]
    content = {
        "schema_version": BASELINE_VERSION,
        "input_shape": [2],
        "n_classes": 1,
        **ANN_BASELINE,
        "data": {
            "name": data["name"],
            "input_scale": data["input"]["scale"],
            "splits": {data["split"]: {"n_samples": 4, "files": data["files"]}},
        },
        "results": results[:1],
    }
    path.write_text(json.dumps(content))


def make_report(path: Path) -> None:
    """Write the report of a simulation with everything in it."""
    baseline = path.parent / "baseline.json"
    make_baseline(baseline)
    td.simulate(
        path.parent / "network.nir",
        data=str(path.parent / "samples.npz"),
        energy=True,
        profiles=("loihi1-davies2018", "cmos45-horowitz", "cmos45-memory"),
        baseline=baseline,
        out=path.parent / "report",
    )
    shutil.copy(path.parent / "report" / "report.json", path)


def make_sweep(path: Path) -> None:
    """Write the point that ``reading_sweep`` asks for."""
    out = path.parent / "swept"
    network, data = path.parent / "network.nir", str(path.parent / "unlabeled.npz")
    with np.load(path.parent / "samples.npz") as labeled:
        np.savez(data, x=labeled["x"])  # without an accuracy there is no picture, which takes long
    td.sweep(network, data=data, out=out, codes=("delta",), profiles=("cmos45-memory",))
    shutil.copy(out / "sweep.json", path)


def make_config(path: Path) -> None:
    """Write options of simulate."""
    path.write_text(CONFIG)


def make_profile(path: Path) -> None:
    """Write a hardware profile with a table of every kind."""
    path.write_text('chip = "loihi1"\n' + (HARDWARE / "profiles" / "odin.toml").read_text() + MORE_TABLES)


def make_chip(path: Path) -> None:
    """Write a chip."""
    shutil.copy(HARDWARE / "chips" / "loihi1.toml", path)


def reading_report(rng: random.Random, path: Path) -> list[str]:
    """Print a table of the report, in any format, or beside another one."""
    shown = rng.choice([*TableFormat.__args__])  # type: ignore[attr-defined]
    if rng.random() < 0.25:
        return ["compare", str(path), str(path.with_name("whole.json")), "--format", shown]
    return ["report", str(path), "--by", rng.choice([*Row.__args__]), "--format", shown]  # type: ignore[attr-defined]


def reading_baseline(rng: random.Random, path: Path) -> list[str]:
    """Simulate beside the baseline."""
    return [*_simulate(path), "--energy", "--profile", "cmos45-horowitz", "--baseline", str(path)]


def reading_sweep(rng: random.Random, path: Path) -> list[str]:
    """Go on with a sweep."""
    out = path.parent / "swept"
    shutil.copy(path, out / "sweep.json")
    network, data = (str(path.parent / name) for name in ("network.nir", "unlabeled.npz"))
    return ["sweep", network, "--data", data, "--code", "delta", "--profile", "cmos45-memory", "--out", str(out)]


def reading_config(rng: random.Random, path: Path) -> list[str]:
    """Simulate with the options."""
    return [*_simulate(path), "--config", str(path)]


def reading_profile(rng: random.Random, path: Path) -> list[str]:
    """Print the profile, or price a simulation by it."""
    return (
        ["profiles", str(path)]
        if rng.random() < 0.2
        else [*_simulate(path), "--energy", "--profile", str(path), "--json"]
    )


def reading_chip(rng: random.Random, path: Path) -> list[str]:
    """Place a network on the chip."""
    return ["check", str(path.parent / "network.nir"), "--bits", "8", "--chip", str(path)]


def _simulate(path: Path) -> list[str]:
    return ["simulate", str(path.parent / "network.nir"), "--data", str(path.parent / "samples.npz")]


DOCUMENTS: Mapping[str, tuple[Any, ...]] = {
    "report": (".json", make_report, damaged_json, reading_report),
    "baseline": (".json", make_baseline, damaged_json, reading_baseline),
    "sweep": (".json", make_sweep, damaged_json, reading_sweep),
    "config": (".toml", make_config, damaged_toml, reading_config),
    "profile": (".toml", make_profile, damaged_toml, reading_profile),
    "chip": (".toml", make_chip, damaged_toml, reading_chip),
}
