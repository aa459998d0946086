"""Our counts against NeuroBench 2.3, which runs in an environment of its own: ``make parity``."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tdd_deploy import load as read_program
from tdd_deploy import train
from tdd_deploy.data import open_data
from tests.parity.connections import Connection, connections, save
from tests.zoo import Case, grow

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-neurobench" / "bin" / "python"
pytestmark = pytest.mark.skipif(
    not (PYTHON.parents[1] / "installed").exists(), reason="NeuroBench's environment is missing: make parity"
)
COUNTED = ("macs", "acs", "dense")


def neurobench(found: list[Connection], folder: Path) -> list[dict[str, list[int]]]:
    path = folder / "connections.npz"
    save(path, found)
    script = Path(__file__).with_name("neurobench_count.py")
    run = subprocess.run([PYTHON, script, path], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    counted: list[dict[str, list[int]]] = json.loads(run.stdout)
    return counted


def digits_case(folder: Path) -> Case:
    train(folder, data="digits", method="tdd-ddla", epochs=1)
    batch = next(open_data("digits").batches(10))
    return Case(read_program(folder), np.repeat(batch.x[None], 6, axis=0))


def test_counts_equal_neurobench_in_spike_code_and_in_delta_code(tmp_path: Path) -> None:
    cases = [grow(seed, n_blocks=3, n_steps=4, batch=2, spatial=seed % 4 != 0) for seed in range(40)]
    found = [connection for case in (*cases, digits_case(tmp_path / "run")) for connection in connections(case)]
    ours = [{name: connection.counts[name] for name in COUNTED} for connection in found]
    assert sum(sum(counts["acs"]) for counts in ours) > 1_000_000
    assert sum(sum(counts["macs"]) for counts in ours) > 10_000
    assert neurobench(found, tmp_path) == ours
