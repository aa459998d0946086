"""Prune a trained network, round by round, and train it on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from tdd_deploy.data import Choice, Source
from tdd_deploy.errors import BadData, BadFile, Interrupted, Violation
from tdd_deploy.exporters import TARGETS
from tdd_deploy.files import appearing, replacing, write_json
from tdd_deploy.options.dataset import NamedData
from tdd_deploy.options.declare import gather
from tdd_deploy.options.encoding import Encoding
from tdd_deploy.options.pruning import PruneOptions
from tdd_deploy.options.training import OF_DATA, LearnedData
from tdd_deploy.run_folder import RunFolder
from tdd_deploy.runtime.inputs import EncodedInputs
from tdd_deploy.runtime.progress import Progress, unseen
from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.training import memory_errors
from tdd_deploy.training.prune import Round
from tdd_deploy.training.prune import prune as rounds_of
from tdd_deploy.training.replay import Finished

from .analyze import finished_run
from .load import CALIBRATION_SAMPLES
from .train import versions
from .training_data import Learned, training_data


@dataclass(frozen=True, kw_only=True)
class PrunedRound:
    """A round of pruning, measured on validation samples; counts are per sample. Round 0 is the start."""

    round: int
    sparsity: float
    accuracy: float
    raw_events: float
    delta_events: float
    delta_synops: float
    spike_synops: float


def prune(
    run: str | PathLike[str],
    data: NamedData,
    out: str | PathLike[str],
    *,
    options: PruneOptions = PruneOptions(),
    whole: Source | None = None,
    progress: Progress = unseen,
) -> dict[str, Any]:
    """Remove weights from a trained network, round by round, and let it learn on.

    Return the entries of train.json about the rounds and the data.

    Args:
        run: a run folder; it stays as it is.
        data: the data that it was trained on.
        out: a new run folder.
        options: how much is removed, and how long it learns.
        whole: data in memory, instead of named data.
        progress: receives the number of finished batches.

    Raises:
        Interrupted: Ctrl-C; the finished rounds are kept.
        TddDeployError: anything wrong with a folder, the data or an option.
    """
    try:
        with memory_errors():
            return _prune(Path(run), data, Path(out), options=options, whole=whole, progress=progress)
    except KeyboardInterrupt as error:
        raise Interrupted("nothing was written") from error


def _prune(
    run: Path,
    data: NamedData,
    out: Path,
    *,
    options: PruneOptions,
    whole: Source | None,
    progress: Progress,
) -> dict[str, Any]:
    program, finished = finished_run(run)
    if finished.options.qat is not None:
        raise BadFile(run, "was trained for integers (`qat`)", "Prune a run in floats, then export it with `bits`.")
    choice = _choice(data, finished, whole)
    learned = _same_data(choice, finished, run)
    origin = {"run": str(run), "program": program.digest, "pruning": finished.recorded.get("pruning")}
    rows: list[PrunedRound] = []
    last: Round | None = None
    stopped: BaseException | None = None  # kept to the end: a signal whose exception is dropped comes again
    with appearing(out) as part:
        try:
            for each in rounds_of(finished.network, finished.options, learned.data, options, progress):
                rows.append(_measured(each, choice.open("val"), in_time=learned.data.in_time))
                last = each
        except (Interrupted, KeyboardInterrupt) as interrupted:
            if last is None or last.number == 0:
                raise Interrupted("no round was finished, so nothing was written") from interrupted
            stopped = interrupted
        assert last is not None
        pruned = _as_json(origin, options, rows[: last.number + 1])
        _write(RunFolder(part), last, {**finished.recorded, "data": learned.facts, "pruning": pruned})
    if stopped is not None:
        raise Interrupted(f"{out} holds the network after round {last.number} of {options.rounds}") from stopped
    return {**pruned, "data": learned.facts}


def _choice(data: NamedData, finished: Finished, whole: Source | None) -> Choice:
    """Return data that are read as the run read them."""
    before = {
        name: value for name, value in finished.recorded["options"].items() if name in OF_DATA and value is not None
    }
    named = {"data": data.data, **({} if data.data_dir is None else {"data_dir": data.data_dir})}
    options = gather({**before, **named}, LearnedData)[LearnedData]
    return Choice(options=options, steps=finished.options.steps, whole=whole)


def _same_data(choice: Choice, finished: Finished, run: Path) -> Learned:
    """Load data that have the shape and the classes of those that the run learned from."""
    learned = training_data(choice, finished.options)
    before = finished.recorded["data"]
    changed = [
        Violation(f"its {name.replace('_', ' ')}", str(learned.facts[name]), f"{before[name]}, as in {run}")
        for name in ("input_shape", "n_classes")
        if learned.facts[name] != before[name]
    ]
    if changed:
        raise BadData(str(choice.options.data), changed)
    return learned


def _measured(each: Round, validation: Source, *, in_time: bool) -> PrunedRound:
    """Count on all validation samples what a round's network executes."""
    engine = Engine(each.program)
    inputs = EncodedInputs.of(each.program, validation, Encoding(), frames=in_time)
    synops = dict.fromkeys(("delta", "spike"), 0)
    for encoded, _ in inputs.batches(validation, CALIBRATION_SAMPLES, limit=None):
        trace = engine.run(encoded, n_steps=inputs.n_steps).trace
        synops["delta"] += trace.delta_code.total("synops_effective")
        synops["spike"] += trace.spike_code.total("synops_effective")
    return PrunedRound(
        round=each.number,
        sparsity=each.sparsity,
        **asdict(each.evaluation),
        **{f"{code}_synops": count / validation.n_samples for code, count in synops.items()},
    )


def _write(folder: RunFolder, each: Round, recorded: Mapping[str, Any]) -> None:
    """Write the network of a round, and its train.json."""
    with replacing(folder.network_safetensors) as file:
        file.write_bytes(each.tensors)
    TARGETS["nir"](each.program, folder.network_nir)
    write_json(folder.train_json, {**recorded, "program": each.program.digest, "versions": versions()})


def _as_json(origin: Mapping[str, Any], options: PruneOptions, rows: Sequence[PrunedRound]) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "from": origin,
        "options": options.as_json(),
        "rounds": [asdict(row) for row in rows],
    }
