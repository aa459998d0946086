"""Every command on digits prints what it printed before; ``--update-golden`` rewrites the files in ``commands``.

``network.nir`` was trained on digits; its weights are multiples of a power of two, so that sums are exact on every
processor. ``integers.nir`` was quantized from it. ``spikes.nir`` ends in a layer of neurons. ``baseline.json`` was
measured with an ANN that has the layers of ``network.nir``.
"""

import hashlib
import json
import re
import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.commands import Call

FOLDER = Path(__file__).parent / "commands"
PLACES = {
    "net": FOLDER / "network.nir",
    "integers": FOLDER / "integers.nir",
    "spikes": FOLDER / "spikes.nir",
    "baseline": FOLDER / "baseline.json",
}
ON_20 = "--data digits --samples 20"
# Two folders for report and compare.
SIMULATED = (
    f"simulate {{net}} {ON_20} --energy --baseline {{baseline}} --out {{tmp}}/a",
    f"simulate {{net}} {ON_20} --energy --code auto --out {{tmp}}/b",
)
# The command lines of each golden file. `read FILE` adds a file that a command wrote.
JSON = {
    "inspect": ("inspect {net} --json", "inspect {integers} --json"),
    "simulate-auto": (f"simulate {{net}} {ON_20} --code auto --energy --json",),
    "simulate-delta": (f"simulate {{net}} {ON_20} --code delta --energy --json",),
    "simulate-spike": (f"simulate {{net}} {ON_20} --code spike --energy --profile loihi1-sanafe --json",),
    "simulate-hardware": (
        f"simulate {{net}} {ON_20} --energy --profile odin --profile truenorth --step-time 1e-3 --clock 50 --json",
    ),
    "simulate-baseline": (f"simulate {{net}} {ON_20} --baseline {{baseline}} --json",),
    "simulate-early-exit": (f"simulate {{net}} {ON_20} --early-exit 0.3 --json",),
    "simulate-potential": (f"simulate {{spikes}} {ON_20} --output potential --json",),
    "simulate-input-threshold": (
        f"simulate {{net}} {ON_20} --encoder poisson --seed 3 --steps 5 --split val --json",
        f"simulate {{net}} {ON_20} --input-threshold 0.3 --input-scale 1/8 --json",
    ),
    "simulate-threads": (
        f"simulate {{net}} {ON_20} --threads 2 --batch 7 --record {{tmp}}/record.npz --record-potentials --json",
        "read {tmp}/record.npz",
    ),
    "simulate-integers": (f"simulate {{integers}} {ON_20} --energy --json",),
    "export-nir": (
        "export {net} --target nir --out {tmp}/copy.nir --json",
        "inspect {tmp}/copy.nir --json",
        f"export {{net}} --target nir --out {{tmp}}/four.nir --bits 4 --per neuron {ON_20} --json",
        "inspect {tmp}/four.nir --json",
        "export {net} --target nir --out {tmp}/eight.nir --bits 8 --input-bits 4 --steps 5 --json",
        "inspect {tmp}/eight.nir --json",
    ),
    "export-lava": (
        f"export {{net}} --target lava --out {{tmp}}/bundle {ON_20} --json",
        "read {tmp}/bundle/manifest.json",
        "read {tmp}/bundle/weights.npz",
        "export {net} --target lava --out {tmp}/stock --mapping stock --json",
        "read {tmp}/stock/manifest.json",
        "export {net} --target lava --out {tmp}/floats --floats --code spike --json",
        "read {tmp}/floats/manifest.json",
    ),
    "export-onnx": (
        "export {net} --target onnx --out {tmp}/step.onnx --json",
        "read {tmp}/step.onnx",
        "export {net} --target onnx --out {tmp}/scan.onnx --form scan --code delta --json",
        "read {tmp}/scan.onnx",
        "export {net} --target onnx --out {tmp}/fast.onnx --fast --json",
        "read {tmp}/fast.onnx",
        "export {integers} --target onnx --out {tmp}/integers.onnx --json",
        "read {tmp}/integers.onnx",
    ),
    "check": tuple(
        f"check {{net}} --chip {chip} {data}--json"
        for chip in ("loihi1", "loihi2", "truenorth")
        for data in ("", f"{ON_20} ")
    ),
    "verify": (
        "verify {net} --data digits --samples 10 --against reference,event,integer,onnx --json",
        "verify {spikes} --data digits --samples 10 --against reference,event --output potential --json",
    ),
    "sweep": (
        f"sweep {{net}} {ON_20} --bits float,4 --input-threshold 0,0.1 --out {{tmp}}/sweep --json",
        "read {tmp}/sweep/sweep.json",
        "read {tmp}/sweep/sweep.csv",
    ),
    "report": (*SIMULATED, "report {tmp}/a --json", "compare {tmp}/a {tmp}/b --json"),
    "profiles": ("profiles --json", "profiles loihi1-davies2018 --json"),
}
TEXTS = {
    "inspect": ("inspect {net}", "inspect {integers}"),
    "simulate": (
        f"simulate {{net}} {ON_20} --energy --baseline {{baseline}}",
        f"simulate {{net}} {ON_20} --by layer --early-exit 0.3",
        f"simulate {{net}} {ON_20} --energy --profile cmos45-memory --code auto",
    ),
    "verify": ("verify {net} --data digits --samples 10 --against reference,event,integer,onnx",),
    "check": (
        "check {net} --chip loihi1 --data digits",
        "check {net} --chip loihi2",
        "check {net} --chip truenorth",
    ),
    "export": (
        f"export {{net}} --target nir --out {{tmp}}/four.nir --bits 4 --per neuron {ON_20}",
        "export {net} --target nir --out {tmp}/eight.nir --bits 8",
        "export {net} --target onnx --out {tmp}/net.onnx",
    ),
    "profiles": ("profiles", "profiles loihi1-davies2018"),
    "report": (
        *SIMULATED,
        "read {tmp}/a/steps.csv",
        *(
            f"report {{tmp}}/a --by {row} --format {form}"
            for row in ("layer", "step", "term", "profile", "placement", "ann-baseline", "estimators")
            for form in ("md", "csv", "latex")
        ),
        *(f"compare {{tmp}}/a {{tmp}}/b --format {form}" for form in ("md", "csv", "latex")),
    ),
}
LITTLE = "--data digits --train-samples 200 --network mlp --steps 3 --epochs 1 --device cpu"
RUN = f"train {LITTLE} --method tet --out {{tmp}}/run"
TRAINED = {
    "train-tet": (RUN, "read {tmp}/run/train.json"),
    "train-tdd-ddla": (f"train {LITTLE} --method tdd-ddla --fisher 8 --out {{tmp}}/run", "read {tmp}/run/train.json"),
    "train-ann": (
        f"train {LITTLE.replace('--steps 3 ', '')} --method ann --out {{tmp}}/run",
        "read {tmp}/run/train.json",
        "read {tmp}/run/baseline.json",
    ),
    "analyze": (RUN, "analyze {tmp}/run --data digits --samples 4 --json"),
    "prune": (
        RUN,
        "prune {tmp}/run --data digits --fisher-samples 4 --sparsity 0.5 --rounds 1 --epochs 1 --json --out {tmp}/new",
        "read {tmp}/new/train.json",
    ),
}
# Training does not change the numbers under the first keys; it changes even words and nulls under the second.
OF_NO_TRAINING = {
    "options", "data", "schema_version", "shape", "neurons", "samples", "macs", "step", "round", "epoch",
    "weight_bits", "activation_bits", "weights", "biases", "inputs", "outputs",
    "kept_epoch", "n_samples", "n_classes", "input_shape", "calibration_samples", "input_bits", "execution",
}  # fmt: skip
OF_TRAINING = {"program", "fewer", "overlap", "persistence", "exponent"}


def read(path: Path) -> Any:
    """Read JSON, text, digests of arrays, or the operators and metadata of a graph."""
    if path.suffix == ".json":
        return json.loads(path.read_text())
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {k: [str(v.dtype), v.shape, hashlib.sha256(v.tobytes()).hexdigest()] for k, v in arrays.items()}
    if path.suffix == ".onnx":
        model = onnx.load(path)
        facts = {each.key: each.value for each in model.metadata_props}
        return {"operators": Counter(node.op_type for node in model.graph.node), "metadata": facts}
    return path.read_text()


def masked(value: Any, key: str = "", *, is_top: bool = True) -> Any:
    """Mask times, versions and hashes of files; round floats, whose last digits the order of a sum may change."""
    if isinstance(value, Mapping):
        if key in {"versions", "sha256"} or (key == "seconds" and is_top):
            return dict.fromkeys(value, f"<{key}>")
        return {name: masked(part, name, is_top=not key) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [masked(part, f"{key}[]", is_top=False) for part in value]
    if key in {"tdd_deploy", "threads"} and value is not None:
        return f"<{key}>"
    return float(f"{value:.12g}") if isinstance(value, float) else value


def masked_training(value: Any, key: str = "") -> Any:
    """Mask numbers that follow from training, which differ from one processor to another."""
    if key in OF_NO_TRAINING:
        return value
    if key in OF_TRAINING:
        return "<trained>"
    if isinstance(value, Mapping):
        return {name: masked_training(part, name) for name, part in value.items()}
    if isinstance(value, list):
        return [masked_training(part) for part in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "<number>"
    return value


def outputs(call: Call, lines: tuple[str, ...], tmp: Path) -> dict[str, Any]:
    """Run command lines; return what each one printed or read, and the exit code if it is not 0."""
    found = {}
    for line in lines:
        words = [word.format(tmp=tmp, **PLACES) for word in shlex.split(line)]
        if words[0] == "read":
            found[line] = masked(read(Path(words[1])))
            continue
        called = call(*words)
        is_json = "--json" in words or words[-1] == "json"
        found[line] = masked(json.loads(called.out)) if is_json else called.out
        if called.code:
            found[f"{line}: exit code"] = called.code
            assert called.code == 1, called.err
    without_paths: dict[str, Any] = json.loads(
        json.dumps(found).replace(str(tmp), "{tmp}").replace(str(FOLDER), "{folder}")
    )
    return without_paths


def as_text(found: Mapping[str, Any]) -> str:
    """Write JSON with an innermost list or mapping per line."""
    innermost = re.compile(r"[\[{][^\[\]{}]*[\]}]")
    return innermost.sub(lambda match: re.sub(r"\n *", " ", match[0]), json.dumps(found, indent=1)) + "\n"


def compare(text: str, name: str, request: pytest.FixtureRequest) -> None:
    path = FOLDER / name
    if request.config.getoption("--update-golden"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", JSON)
def test_json_stays_as_it_was(name: str, call: Call, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    compare(as_text(outputs(call, JSON[name], tmp_path)), f"{name}.json", request)


@pytest.mark.parametrize("name", TEXTS)
def test_tables_stay_as_they_were(name: str, call: Call, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    found = outputs(call, TEXTS[name], tmp_path)
    text = "\n".join(f"$ {line}\n{out}" for line, out in found.items())
    if name == "verify":
        text = re.sub(r"^((?:ok|NO) .*?) +[\d.,]+$", r"\1 <ms>", text, flags=re.MULTILINE)
    compare(text, f"{name}.txt", request)


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.usefixtures("one_thread")
def test_what_training_writes_keeps_its_form(
    name: str, call: Call, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    found = outputs(call, TRAINED[name], tmp_path)
    lines = {line: re.sub(r"\d[\d,.]*", "#", out) if isinstance(out, str) else out for line, out in found.items()}
    compare(as_text(masked_training(lines)), f"{name}.json", request)
