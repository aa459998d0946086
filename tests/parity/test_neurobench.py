"""Our counts against NeuroBench 2.3, which runs in an environment of its own: ``make parity``."""

import json
import subprocess
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tdd_deploy.data import open_data
from tdd_deploy.pipeline import read_program, train
from tdd_deploy.program import Conv, Dense, Program
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.engine import Engine
from tests.zoo import Case, Given, grow

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-neurobench" / "bin" / "python"
pytestmark = pytest.mark.skipif(
    not (PYTHON.parents[1] / "installed").exists(), reason="NeuroBench's environment is missing: make parity"
)
COUNTED = ("macs", "acs", "dense")


def values_into(program: Program, sent: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Return what enters a map at every step, [n_steps, batch, ...]."""

    def delayed(x: np.ndarray, steps: int) -> np.ndarray:
        return np.concatenate([np.zeros_like(x[:steps]), x[: len(x) - steps]])

    return reduce(np.add, [delayed(sent[e.source], e.delay) for e in program.incoming[name]])


def arrays(node: Dense | Conv, inputs: np.ndarray, i: int) -> dict[str, Any]:
    """Return one connection as neurobench_count.py reads it."""
    found: dict[str, Any] = {f"weight_{i}": node.weight, f"input_{i}": inputs}
    if isinstance(node, Conv):
        sizes = {name: getattr(node, name) for name in ("stride", "padding", "dilation", "groups")}
        found |= {f"{name}_{i}": size for name, size in sizes.items()}
    return found


def neurobench(content: dict[str, Any], kinds: list[str], folder: Path) -> list[dict[str, list[int]]]:
    path = folder / "connections.npz"
    np.savez(path, kinds=np.array(kinds), **content)
    script = Path(__file__).with_name("neurobench_count.py")
    run = subprocess.run([PYTHON, script, path], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    counted: list[dict[str, list[int]]] = json.loads(run.stdout)
    return counted


def connections(case: Case) -> Iterator[tuple[Dense | Conv, np.ndarray, dict[str, list[int]]]]:
    """Yield every connection with what enters it and what we count, in spike code and in delta code."""
    sent = reference.run(case.program, case.inputs)
    trace = Engine(case.program).run(Given(case.inputs), n_steps=len(case.inputs)).trace
    row = {layer.name: i for i, layer in enumerate(trace.layers)}
    for node in case.program.linear_maps:
        if isinstance(node, Dense | Conv):
            values = values_into(case.program, sent, node.name)
            changes = np.diff(values, axis=0, prepend=np.zeros_like(values[:1]))
            for inputs, counts in ((values, trace.spike_code), (changes, trace.delta_code)):
                yield node, inputs, {name: getattr(counts, name)[row[node.name]].tolist() for name in COUNTED}


def digits_case(folder: Path) -> Case:
    train(folder, data="digits", method="tdd-ddla", epochs=1)
    batch = next(open_data("digits").batches(10))
    return Case(read_program(folder), np.repeat(batch.x[None], 6, axis=0))


def test_counts_equal_neurobench_in_spike_code_and_in_delta_code(tmp_path: Path) -> None:
    cases = [grow(seed, n_blocks=3, n_steps=4, batch=2, spatial=seed % 4 != 0) for seed in range(40)]
    found = [connection for case in (*cases, digits_case(tmp_path / "run")) for connection in connections(case)]
    kinds = ["dense" if isinstance(node, Dense) else "conv" for node, _, _ in found]
    content: dict[str, Any] = {}
    for i, (node, inputs, _) in enumerate(found):
        content |= arrays(node, inputs, i)
    ours = [counts for _, _, counts in found]
    assert sum(sum(counts["acs"]) for counts in ours) > 1_000_000
    assert sum(sum(counts["macs"]) for counts in ours) > 10_000
    assert neurobench(content, kinds, tmp_path) == ours
