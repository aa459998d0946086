"""Every example runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nir
import numpy as np
import pytest

from tdd_deploy.exporters import TARGETS
from tdd_deploy.exporters.lava import environment
from tdd_deploy.program.quantization.quantize import quantize
from tests import by_hand

EXAMPLES = Path(__file__).parents[2] / "examples"


def lines_of(name: str, *words: object, code: int = 0, **variables: str) -> list[str]:
    """Run an example as a shell would; return what it printed."""
    command = [sys.executable, EXAMPLES / name, *map(str, words)]
    run = subprocess.run(command, text=True, capture_output=True, env=os.environ | variables, check=False)
    assert run.returncode == code, run.stderr
    return (run.stdout + run.stderr).splitlines()


def numbers(line: str) -> list[float]:
    return [float(number.replace(",", "")) for number in re.findall(r"[\d,]*\d(?:\.\d+)?", line)]


def test_every_example_is_in_the_table_and_is_run_here() -> None:
    names = [path.name for path in sorted(EXAMPLES.glob("*.py"))]
    assert [name[:2] for name in names] == [f"{n:02}" for n in range(1, 9)]
    table = [line for line in (EXAMPLES / "README.md").read_text(encoding="utf-8").splitlines() if ".py" in line]
    tests = Path(__file__).read_text(encoding="utf-8")
    for name, line in zip(names, table, strict=True):
        assert line.startswith(f"| [{name}]({name}) |")
        assert f"`python examples/{name}" in line
        assert f"python examples/{name}" in (EXAMPLES / name).read_text(encoding="utf-8")
        assert f'"{name}"' in tests


def test_training_exporting_and_simulating_in_python(tmp_path: Path) -> None:
    printed = lines_of("01_train_export_simulate.py", tmp_path / "run", "--epochs", 1)
    assert [line.split()[0] for line in printed] == ["spike", "delta", "auto"]
    assert len({line.split("accuracy")[1].split(";")[0] for line in printed}) == 1


def test_one_file_in_two_dialects_gives_two_energies() -> None:
    printed = lines_of("02_energy_of_any_nir_file.py")
    assert printed[0] == "what each dialect makes of lif1:"
    spikes, totals = [], []
    for i, line in enumerate(printed):
        if line.startswith("read as"):
            spikes.append(numbers(printed[i + 1])[0])
            terms = [row for row in printed[i + 2 :] if "nJ" in row][:4]  # three terms and their sum
            *parts, total = (numbers(row)[0] for row in terms)
            assert sum(parts) == pytest.approx(total, abs=0.2)
            totals.append(total)
    assert numbers(printed[-1])[1:] == totals
    assert len(set(spikes)) == len(set(totals)) == 2


def test_the_energy_of_a_file_of_ones_own_on_data_of_ones_own(tmp_path: Path) -> None:
    graph = {
        "in": nir.Input(np.array([3])),
        "fc": nir.Linear(np.ones((2, 3))),
        "n": nir.IF(r=np.ones(2), v_threshold=np.full(2, 1.5)),
        "out": nir.Output(np.array([2])),
    }
    nir.write(tmp_path / "n.nir", nir.NIRGraph(nodes=graph, edges=[("in", "fc"), ("fc", "n"), ("n", "out")]))
    np.savez(tmp_path / "x.npz", x=np.ones((1, 4, 3), np.float32))
    command = ("02_energy_of_any_nir_file.py", tmp_path / "n.nir", "--data", tmp_path / "x.npz")
    assert lines_of(*command, code=1)[-1] == "name the tool that wrote it with --dialects; nothing is guessed"
    printed = lines_of(*command, "--dialects", "nir,dt=1,integration=euler")
    assert "  8 spikes, 24 synaptic operations per sample" in printed  # 3 passes 1.5 at each of four steps
    assert lines_of(*command, "--dialects", "brian", code=1)[-1].startswith("dialect must be one of nir, ")


def test_a_new_neuron_spikes_alike_on_every_backend() -> None:
    printed = lines_of("03_new_neuron.py")
    backends = ["reference", "engine, spike code", "engine, delta code", "onnxruntime"]
    assert [line[:18].strip() for line in printed[:4]] == backends
    assert len({line[18:] for line in printed[:4]}) == 1
    assert numbers(printed[0])[0] > 100
    early, _, late, _ = numbers(printed[4])
    assert late < early
    assert "\n".join(printed[5:]).count("AdaptiveLIF") == 4  # two layers, by NIR and by Lava


def test_a_new_target_refuses_all_at_once_and_computes_what_the_reference_does(tmp_path: Path) -> None:
    printed = lines_of("04_new_target.py", tmp_path / "network.h")
    assert printed[0] == "this program does not fit the C header (4 found):"
    assert len([line for line in printed if line.startswith("  - ")]) == 4
    assert (tmp_path / "network.h").read_text(encoding="utf-8").count("static const ") == 2 + 4 + 2  # fc1, hidden, fc2
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    n, n_nonzero, _, n_differ = numbers(printed[-1])
    assert (n, n_differ) == (800, 0)
    assert n_nonzero > n / 2


def test_a_profile_and_a_chip_of_ones_own(tmp_path: Path) -> None:
    printed = lines_of("05_new_hardware_profile.py", tmp_path / "mine")
    text = "\n".join(printed)
    (total,) = [line for line in printed if line.startswith("total")]
    (energy,) = re.findall(
        r"^  energy +([\d.]+) nJ \([\d.]+ to [\d.]+\) by tiny; ([\d.]+) nJ as plain spikes$", text, re.MULTILINE
    )
    assert 10 <= float(energy[0]) == pytest.approx(float(total.split()[-1]), abs=0.5)
    assert float(energy[1]) == pytest.approx(float(total.split()[-1]), abs=0.5)
    assert "  static               300 nJ in addition, in 20,000 us\n" in text  # 15 uW, 20 steps of 1 ms
    assert "needs a placement" not in text  # messages were counted on the chip that the profile names
    assert "tiny-chip: no published limit is broken\n" in text
    assert "tiny-chip: does not fit, for 1 reason\n" in text
    assert "at most 4 (got 9): each block" in text
    assert (tmp_path / "mine" / "tiny.toml").exists()


def test_a_bundle_gives_lavas_spikes() -> None:
    if environment.find() is None:
        pytest.skip("Lava's environment is not set up: tdd-deploy lava setup makes it")
    *_, hidden, last = lines_of("06_lava_bundle.py")
    assert hidden.startswith("  hidden: ")
    for line in (hidden, last):
        n, _, n_differ = numbers(line)
        assert (n > 100, n_differ) == (True, 0)


def test_a_bundle_is_exported_without_lava_too(tmp_path: Path) -> None:
    printed = lines_of("06_lava_bundle.py", TDD_DEPLOY_LAVA_HOME=str(tmp_path))
    assert printed[0].startswith("bundle: README.md, manifest.json")
    assert printed[-1].startswith("not run in Lava: tdd-deploy lava run needs Lava's own environment")
    assert printed[-1].endswith("Run tdd-deploy lava setup.")


@pytest.mark.parametrize("kind", ["small", "float", "integer"])
def test_onnx_step_by_step_and_in_one_call(kind: str, tmp_path: Path) -> None:
    words = []
    if kind != "small":
        program = by_hand.program() if kind == "float" else quantize(by_hand.program(), input_bits=4).program
        TARGETS["nir"](program, tmp_path / "network.nir")
        words.append(tmp_path / "network.nir")
    signature, verdict = lines_of("07_onnx_step_loop.py", *words)
    assert "hidden.v" in signature
    assert verdict == "20 steps one by one and in one call agree"


def test_sigma_delta_video_sends_less_with_a_larger_threshold() -> None:
    printed = lines_of("08_sigma_delta_video.py", "--epochs", 1, "--videos", 12)
    rows = [line.split() for line in printed if "accuracy" in line]
    assert [row[0] for row in rows] == ["dense", "nonzero", "0", "0.02", "0.05", "0.1", "0.2", "0.4", "0.8", "0"]
    accuracies, macs = (
        [row[2] for row in rows],
        [int(row[row.index("MACs;" if "MACs;" in row else "MACs") - 1].replace(",", "")) for row in rows[:-1]],
    )
    events = [int(row[row.index("events,") - 1].replace(",", "")) for row in rows[2:-1]]
    assert len(set(accuracies[:3])) == 1  # dense, as values, and as changes without a threshold
    assert events == sorted(events, reverse=True)
    assert events[-1] < events[0] / 2
    assert macs[0] > macs[2] > macs[-1]
    assert rows[-1][-1] == "0"  # a repeated frame costs nothing: reported separately
