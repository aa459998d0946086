"""The run whose weights another run begins with."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tdd_deploy import training
from tdd_deploy.errors import BadFile, BadOption
from tdd_deploy.files import is_special, writing
from tdd_deploy.run_folder import RunFolder

REMEDY = "Name the folder of a finished run of train in `from_`."


@dataclass(frozen=True, eq=False)
class Origin:
    """The weights of a finished run, and the entry of train.json that identifies them."""

    recorded: Mapping[str, Any]
    weights: training.StateDict


def read_origin(path: Path) -> Origin:
    """Read the weights of a finished run.

    Raises:
        BadFile: the folder holds no finished run, or its weights are damaged.
    """
    run = RunFolder(path)
    record, file = run.read_record(REMEDY), run.network_safetensors
    if record.get("finished") is not True:
        raise BadFile(path, "is an unfinished run", "Finish it with `resume` first.")
    if not file.exists() or is_special(file):
        raise BadFile(file, "is missing", REMEDY)
    with writing(file, REMEDY, verb="read"):
        content = file.read_bytes()
    try:
        weights = training.read_weights(content)
    except ValueError as error:
        raise BadFile(file, "is damaged or holds numbers that are NaN or infinite", REMEDY) from error
    recorded = {"run": str(path), "program": record.get("program"), "sha256": hashlib.sha256(content).hexdigest()}
    return Origin(recorded, weights)


def read_origin_again(recorded: Mapping[str, Any] | None) -> Origin | None:
    """Read the weights that a run began with, for one that was killed before its first checkpoint.

    Raises:
        BadFile: they are not there, or have changed.
    """
    if recorded is None:
        return None
    origin = read_origin(Path(recorded["run"]))
    if origin.recorded["sha256"] != recorded["sha256"]:
        remedy = "Start the run again in another folder, without `resume`."
        raise BadFile(Path(recorded["run"]), "holds other weights than when the run began", remedy)
    return origin


def check_same_origin(recorded: Mapping[str, Any] | None, given: Path | None) -> None:
    """Refuse to continue a run as if it had begun with the weights of another one.

    Raises:
        BadOption: the given run is not the one that the record names.
    """
    began = None if recorded is None else recorded["run"]
    if given is not None and str(given) != began:
        how = "with random weights" if began is None else f"with the weights of {began}"
        raise BadOption("from_", str(given), f"left out: `resume` continues a run that began {how}")
