"""The folder of a training run: the names of its files, and the record that they hold."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .documents import read_json
from .errors import BadFile
from .files import make_folder
from .shapes import COUNT, FRACTION, NUMBER, POSITIVE, TEXT, Each, ListOf, Maybe, Number, Shape, Table, fault_in, shown

BASELINE_VERSION = 4  # schema of baseline.json
RECORD_VERSION = 1  # schema of train.json
EXIT_VERSION = 1  # schema of exit.json
LARGEST = 2.0**100  # of a number in a record
_SCALE = Number(least=0, most=LARGEST, above=True)
_RECORD = Table(
    {
        "options": Table({}),
        "data": Table({}),
        "epochs": ListOf(Each(Maybe(Number(least=-LARGEST, most=LARGEST)))),  # an ANN has no events
    }
)
_ORIGIN = Maybe(Table({"run": TEXT, "program": Maybe(TEXT), "sha256": TEXT}))  # of the weights a run began with
_EXIT = Table(
    {
        "margin": Number(least=0, most=LARGEST, above=True),
        "lost_points": Number(least=-100, most=100),
        "expected_points": Number(least=0, most=100),
        "options": Table({"lose": Number(least=0, most=100)}),
        "samples": POSITIVE,
        "program": TEXT,
        "data": Table({"name": TEXT, "split": TEXT, "input": Table({"stored": TEXT})}),
        "inputs": Table({"steps": POSITIVE, "encoder": TEXT, "input_threshold": NUMBER, "input_scale": NUMBER}),
    }
)
_RESULT: dict[str, Shape] = {
    "split": TEXT,
    "weight_bits": Maybe(POSITIVE),
    "activation_bits": Maybe(POSITIVE),
    "n_samples": POSITIVE,
    "n_correct": COUNT,
    "accuracy": FRACTION,
    "effective_macs": Each(Number(least=0)),
}
_SIZES, _COUNTS = ("weights", "inputs", "outputs"), ("macs", "nonzero_weights", "biases")
_BASELINE = Table(
    {
        "network": TEXT,
        "input_shape": ListOf(POSITIVE),
        "n_classes": POSITIVE,
        "sparsity": FRACTION,
        "data": Table(
            {
                "name": TEXT,
                "input_scale": Number(least=0, above=True),
                "splits": Each(Table({"n_samples": POSITIVE, "files": Each(TEXT)})),
            }
        ),
        "quantization": Table({"method": TEXT}),
        "layers": ListOf(
            Table({"name": TEXT, "kind": TEXT, **dict.fromkeys(_SIZES, POSITIVE), **dict.fromkeys(_COUNTS, COUNT)})
        ),
        "results": ListOf(Table(_RESULT), least=1),
    }
)


class _File:
    """The path of a file in a run folder."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, run: "RunFolder", owner: type["RunFolder"]) -> Path:
        return run.path / self.name


@dataclass(frozen=True)
class RunFolder:
    """A folder that ``train`` or ``prune`` writes; no other module knows the names of its files."""

    path: Path

    network_nir = _File("network.nir")
    network_onnx = _File("network.onnx")  # of an ANN, for which NIR has no node
    network_safetensors = _File("network.safetensors")  # the weights as they were trained, in floats
    checkpoint_pt = _File("checkpoint.pt")
    train_json = _File("train.json")  # options, data and epochs
    metrics_csv = _File("metrics.csv")
    baseline_json = _File("baseline.json")  # MACs and accuracy of an ANN
    exit_json = _File("exit.json")  # the margin of an early exit, chosen on validation samples
    tensorboard = _File("tensorboard")

    @staticmethod
    def network_of(path: Path) -> Path:
        """Return the file that holds the network of a run folder; return any other path unchanged.

        Raises:
            BadFile: a folder without a network.
        """
        return RunFolder(path).find_network() if path.is_dir() else path

    @staticmethod
    def read_baseline(path: Path) -> dict[str, Any]:
        """Read the measurements of an ANN baseline.

        Args:
            path: a run folder, or the file in it.

        Raises:
            BadFile: the file is missing, damaged, or of another schema.
        """
        file = RunFolder(path).baseline_json if path.is_dir() else path
        remedy = "name the folder of a finished run of train with `method=ann`"
        found = read_json(file, remedy)
        if not isinstance(found, dict) or "schema_version" not in found:
            raise BadFile(file, "is no baseline", remedy)
        if found["schema_version"] != BASELINE_VERSION:
            version = f"is a baseline of schema {shown(found['schema_version'])}, not {BASELINE_VERSION}"
            raise BadFile(file, version, "train the ANN again")
        if fault := fault_in(found, _BASELINE, _baseline_contradictions):
            raise BadFile(file, fault, remedy)
        return found

    def make(self) -> None:
        """Make the folder, unless it exists.

        Raises:
            BadFile: a file is in its place, or it cannot be made.
        """
        make_folder(self.path)

    def find_network(self) -> Path:
        """Find the file of the network.

        Raises:
            BadFile: the folder holds none; the error says whether the run is unfinished, or has no program.
        """
        for file in (self.network_nir, self.network_onnx):
            if file.exists():
                return file
        if self.is_ann:
            remedy = "Train it where onnx is installed (pip install 'tdd-deploy[onnx]'), or give it to simulate as"
            found = f"is the run of an ANN (`method=ann`) without {self.network_onnx.name}"
            raise BadFile(self.path, found, f"{remedy} `baseline`")
        if self.options(["norm"]) == {"norm": "tab"}:
            found = "is a run with `norm=tab`, whose linear maps differ from step to step, so no program describes it"
            raise BadFile(self.path, found, "Train the network with `norm=batch` or `norm=mpbn`")
        if self.is_unfinished:
            found = f"is an unfinished run without {self.network_nir.name}"
            raise BadFile(self.path, found, f"Finish it: run train with `out={self.path}` and `resume`")
        found = f"is a folder without {self.network_nir.name}"
        raise BadFile(self.path, found, "name a .nir file or a folder that train wrote")

    @property
    def is_begun(self) -> bool:
        """Whether a run was begun here, which train can resume."""
        return self.train_json.exists()

    @property
    def is_new(self) -> bool:
        """Whether a run may begin here: the folder is absent, or empty but for parts of files."""
        return not self.path.exists() or (
            self.path.is_dir() and len(self.find_parts()) == sum(1 for _ in self.path.iterdir())
        )

    def find_parts(self) -> list[Path]:
        """Find the hidden parts of files that a killed run left."""
        names = "|".join(re.escape(each.name) for each in vars(RunFolder).values() if isinstance(each, _File))
        pattern = re.compile(rf"\.({names})\.[a-z0-9_]{{8}}\.part")
        return [path for path in self.path.iterdir() if pattern.fullmatch(path.name) and path.is_file()]

    @property
    def is_unfinished(self) -> bool:
        """Whether a run was begun here that has no network yet."""
        return self.checkpoint_pt.exists() and not (self.network_nir.exists() or self.network_onnx.exists())

    @property
    def is_ann(self) -> bool:
        """Whether this is the run of an ANN, finished or not."""
        return self.options(["method"]) == {"method": "ann"}

    def options(self, names: Sequence[str]) -> dict[str, Any]:
        """Return some options of the run, as recorded; none unless all are there, as in a folder of another tool."""
        options = _table(self._recorded(), "options")
        return {name: options[name] for name in names} if options.keys() >= set(names) else {}

    def learned_scale(self, stored: str) -> float | None:
        """Return the factor that the run learned stored values of a type with; None where it recorded none."""
        learned = _table(self.learned_data(), "input")
        scale: Any = learned.get("scale") if learned.get("stored") == stored else None
        return None if _SCALE.fault(scale) else float(scale)

    def learned_data(self) -> Mapping[str, Any]:
        """Return the description of the samples that the run learned from; an empty one where it recorded none."""
        return _table(self._recorded(), "data")

    def read_record(self, remedy: str) -> dict[str, Any]:
        """Read the record of the run: options, data, epochs and more.

        Raises:
            BadFile: the record is missing or damaged; the error has the caller's remedy.
        """
        found = read_json(self.train_json, remedy)
        version = found.get("schema_version", RECORD_VERSION) if isinstance(found, dict) else RECORD_VERSION
        if version != RECORD_VERSION:
            other = f"is a record of schema {shown(version)}, not {RECORD_VERSION}"
            raise BadFile(self.train_json, other, remedy)
        if fault := fault_in(found, _RECORD, _record_contradictions):
            raise BadFile(self.train_json, fault, remedy)
        record: dict[str, Any] = found
        return record

    def read_exit(self) -> dict[str, Any]:
        """Read the margin of an early exit that was chosen for this run, and how it was chosen.

        Raises:
            BadFile: the file is missing, damaged, or of another schema.
        """
        remedy = f"find the margin with tdd-deploy tune-exit {self.path}"
        found = read_json(self.exit_json, remedy)
        if isinstance(found, dict) and found.get("schema_version") != EXIT_VERSION:
            other = f"is a margin of schema {shown(found.get('schema_version'))}, not {EXIT_VERSION}"
            raise BadFile(self.exit_json, other, remedy)
        if fault := fault_in(found, _EXIT):
            raise BadFile(self.exit_json, fault, remedy)
        record: dict[str, Any] = found
        return record

    def _recorded(self) -> Any:
        try:
            return read_json(self.train_json, "")
        except BadFile:  # no run, or that of another tool
            return None


def _baseline_contradictions(baseline: Mapping[str, Any]) -> Iterator[str]:
    """Yield layers with too many zeros, and results that are not of all layers and of the samples of their split."""
    names = [layer["name"] for layer in baseline["layers"]]
    macs = {layer["name"]: layer["macs"] for layer in baseline["layers"]}
    for i, layer in enumerate(baseline["layers"]):
        if layer["nonzero_weights"] > layer["weights"]:
            yield f"layers[{i}].nonzero_weights is more than weights"
    splits = baseline["data"]["splits"]
    for i, row in enumerate(baseline["results"]):
        if (row["weight_bits"] is None) != (row["activation_bits"] is None):
            yield f"results[{i}] has only one of weight_bits and activation_bits"
        if list(row["effective_macs"]) != names:
            yield f"results[{i}].effective_macs does not name the layers"
        for name in row["effective_macs"].keys() & macs:
            if row["effective_macs"][name] > macs[name]:
                yield f"results[{i}].effective_macs.{name} is more than the layer's macs"
        if row["split"] not in splits or splits[row["split"]]["n_samples"] != row["n_samples"]:
            yield f"results[{i}] is not of the samples in data.splits"
        if row["n_correct"] > row["n_samples"]:
            yield f"results[{i}].n_correct is more than n_samples"


def _record_contradictions(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield epochs that are not numbered from 1 on, and an origin of weights that names no run."""
    if fault := _ORIGIN.fault(record.get("from")):
        yield str(replace(fault, where=f"from{fault.where}")).rstrip(".")
    for i, entry in enumerate(record["epochs"]):
        if entry.get("epoch") != i + 1:
            yield f"epochs[{i}] is not the record of epoch {i + 1}"


def _table(holder: Any, name: str) -> Mapping[str, Any]:
    """Return a table in another one; an empty one where there is none."""
    found = holder.get(name) if isinstance(holder, Mapping) else None
    return found if isinstance(found, Mapping) else {}
