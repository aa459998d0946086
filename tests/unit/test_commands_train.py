"""A run that ends at any moment: it goes on to the same bytes, or had not begun and begins."""

import hashlib
import json
import math
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import tdd_deploy as td
from tdd_deploy.cli import signals
from tdd_deploy.errors import BadData, BadFile, BadOption, BadOptions, DataNotFound, Interrupted
from tdd_deploy.training import BatchMetrics, trainer

pytestmark = pytest.mark.usefixtures("one_thread")

Event = Callable[[str], None]
KINDS: dict[str, dict[str, Any]] = {
    "spiking": {"method": "tet", "steps": 2, "ema": 0.9, "patience": 2},
    "ann": {"method": "ann"},
    "without a program": {"method": "tet", "steps": 2, "norm": "tab"},
    "integers": {"method": "tet", "steps": 2, "qat": 8, "fisher": 4},
    "tensorboard": {"method": "tet", "steps": 2, "tensorboard": True, "optimizer": "sgd"},
    "more and more steps": {"method": "tet", "steps_schedule": ["1:1", "3:1"], "val_samples": 2},
}
FIRST = ["before train.json", "after train.json", "before checkpoint.pt", "after checkpoint.pt"]


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run of two epochs, of four batches each."""
    path = tmp_path_factory.mktemp("data") / "data.npz"
    rng = np.random.default_rng(0)
    np.savez(path, x=rng.integers(0, 256, (40, 6)).astype(np.uint8), y=np.arange(40) % 2)
    return {"data": str(path), "network": "mlp", "epochs": 2, "batch": 8}


def listen(monkeypatch: pytest.MonkeyPatch, event: Event) -> None:
    """Report when a file is about to get its name, and when it has it."""
    replace = Path.replace

    def replaced(part: Path, target: Path) -> Path:
        event(f"before {target.name}")
        found = replace(part, target)
        event(f"after {target.name}")
        return found

    monkeypatch.setattr(Path, "replace", replaced)


def files(folder: Path) -> dict[str, bytes]:
    """The files of a run by name; TensorBoard's hold times, and torch may write a checkpoint in another order."""
    paths = (path for path in folder.iterdir() if path.is_file())
    return {path.name: b"" if path.name == "checkpoint.pt" else path.read_bytes() for path in paths}


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    """The files with the time of their last change."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir() if path.is_file()}


def end(folder: Path, options: dict[str, Any]) -> dict[str, bytes]:
    """Finish a run as its folder says: resume it if train.json is there, and begin it otherwise."""
    if (folder / "train.json").exists():
        with pytest.raises(BadFile, match=r"is not empty.*continue its run with resume"):
            td.train(folder, **options)
        td.train(folder, resume=True, **options)
    else:
        with pytest.raises(BadFile, match=r"holds no run yet\. Leave out resume"):
            td.train(folder, resume=True, **options)
        td.train(folder, **options)
    return files(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_any_file_it_goes_on_to_the_same_bytes(
    kind: str, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What SIGKILL would leave is copied before and after every renaming, hidden parts included."""
    from tensorboard.summary.writer import event_file_writer

    # TensorBoard reads files of one second in the order of their names, so 10 comes before 9.
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(1000))
    options = options | KINDS[kind]
    copies: list[Path] = []

    def copy(event: str) -> None:
        copies.append(shutil.copytree(tmp_path / "run", tmp_path / f"{len(copies)} {event}"))

    with monkeypatch.context() as patched:
        listen(patched, copy)
        td.train(tmp_path / "run", **options)
    whole = files(tmp_path / "run")
    assert [path.name.split(" ", 1)[1] for path in copies[:4]] == FIRST
    n_last = 3 if kind == "without a program" else 4  # no network.nir
    assert len(copies) >= 2 * (2 + 2 * 3 + n_last)
    for each in copies:
        assert end(each, options) == whole, each.name
        if kind == "tensorboard":
            assert epochs_shown(each / "tensorboard") == [1, 2]


def epochs_shown(folder: Path) -> list[int]:
    """The epochs that TensorBoard shows."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [each.step for each in events.Scalars("accuracy")]


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize(("number", "every"), [(signal.SIGINT, 1), (signal.SIGTERM, 5), (signal.SIGHUP, 7)])
def test_interrupted_at_any_file_it_says_so_and_goes_on(
    number: int, every: int, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = options | KINDS["spiking"]
    td.train(tmp_path / "whole", **options)
    whole = files(tmp_path / "whole")
    for at in range(0, 100, every):
        signals.end_like_ctrl_c()
        events: list[str] = []
        run = tmp_path / str(at)

        def stop(event: str, events: list[str] = events, at: int = at) -> None:
            events.append(event)
            if len(events) == at + 1:
                os.kill(os.getpid(), number)

        message = None
        with monkeypatch.context() as patched:
            listen(patched, stop)
            try:
                td.train(run, **options)
            except Interrupted as interrupted:
                signals.stop_repeating()
                message = str(interrupted)
        if message is None:  # too late
            assert files(run) == whole
            if len(events) <= at:
                break
            continue
        known = ("saved after batch", "resume continues from its last checkpoint", "the run had not begun")
        assert any(words in message for words in known)
        assert ("had not begun" in message) == (not (run / "train.json").exists())
        assert not [path for path in run.iterdir() if path.suffix == ".part"]
        assert end(run, options) == whole, events[at]
    assert at >= 2 * (2 + 2 * 3 + 4)


@pytest.mark.parametrize("where", ["_Run", "training_data"])
def test_interrupted_before_anything_is_written_nothing_is(
    where: str, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"tdd_deploy.commands.train.{where}", stop)
    with pytest.raises(Interrupted, match="interrupted; the run had not begun"):
        td.train(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_second_ctrl_c_stops_at_once_and_the_run_goes_on(options: dict[str, Any], tmp_path: Path) -> None:
    class Twice:
        def batch(self, now: BatchMetrics) -> None:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)

        def epoch(self, history: list[dict[str, Any]]) -> None:
            raise AssertionError

    with pytest.raises(Interrupted, match="resume continues from its last checkpoint"):
        td.train(tmp_path / "run", watcher=Twice(), **options)
    td.train(tmp_path / "whole", **options)
    assert end(tmp_path / "run", options) == files(tmp_path / "whole")


def test_options_that_do_not_fit_the_data_leave_no_folder(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="local_parts"):
        td.train(tmp_path / "run", **options, strategy="stdl", local_parts=9)
    assert not (tmp_path / "run").exists()


def test_no_epoch_has_more_steps_than_a_sample_has_frames(tmp_path: Path) -> None:
    path = tmp_path / "frames.npz"
    np.savez(path, x=np.zeros((20, 3, 1, 4, 4), np.float32), y=np.arange(20) % 2)
    given: dict[str, Any] = {"data": path, "frames": True, "network": "mlp", "method": "tet"}
    with pytest.raises(BadOption, match=r"steps_schedule must be 1 to 3, the frames of a sample \(got 5\)"):
        td.train(tmp_path / "run", **given, steps_schedule=["5:1", "2:1"])
    with pytest.raises(BadOption, match=r"^steps must be 1 to 3, the frames of a sample \(got 4\)"):
        td.train(tmp_path / "run", **given, steps=4)
    assert not (tmp_path / "run").exists()


def test_a_run_begins_beside_hidden_parts_and_never_beside_other_files(options: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / ".train.json.abcd1234.part").write_text("{")
    td.train(run, **options)
    assert [name for name in files(run) if name.startswith(".")] == []
    for name in ("notes.txt", ".hidden", "checkpoint.pt", ".train.json.part"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_text("")
        with pytest.raises(BadFile, match=r"is not empty\. Name a new folder\.$"):
            td.train(folder, **options)
        with pytest.raises(BadFile, match=r"train\.json is missing.*in another folder, without resume"):
            td.train(folder, resume=True)


# --- a refusal writes nothing ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(options: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return td.train(tmp_path_factory.mktemp("runs") / "finished", **options, method="tet", steps=2).path


@pytest.fixture(scope="module")
def unfinished(options: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run stopped in its second epoch."""

    class Stop:
        def batch(self, now: BatchMetrics) -> None:
            pass

        def epoch(self, history: list[dict[str, Any]]) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    folder = tmp_path_factory.mktemp("runs") / "unfinished"
    with pytest.raises(Interrupted):
        td.train(folder, watcher=Stop(), **options, method="tet", steps=2)
    return folder


def changed_checkpoint(run: Path) -> None:
    content = torch.load(run / "checkpoint.pt", weights_only=True)
    content["progress"]["epoch"] = 7
    torch.save(content, run / "checkpoint.pt")


def other_options(run: Path) -> None:
    content = torch.load(run / "checkpoint.pt", weights_only=True)
    content["options"]["seed"] = 5
    torch.save(content, run / "checkpoint.pt")


def cut(name: str) -> Callable[[Path], None]:
    return lambda run: (run / name).write_bytes((run / name).read_bytes()[:-9]) and None


def changed_record(**changes: object) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        recorded = json.loads((run / "train.json").read_text())
        (run / "train.json").write_text(json.dumps(recorded | changes))

    return change


DAMAGE: dict[str, tuple[Callable[[Path], None], type[Exception]]] = {
    "no checkpoint": (lambda run: (run / "checkpoint.pt").unlink(), BadFile),
    "a checkpoint cut short": (cut("checkpoint.pt"), BadFile),
    "a checkpoint of another epoch": (changed_checkpoint, BadFile),
    "a checkpoint of other options": (other_options, BadOptions),
    "a record cut short": (cut("train.json"), BadFile),
    "a record of another version": (changed_record(schema_version=2), BadFile),
    "a record with a wrong epoch": (changed_record(epochs=[{"epoch": "one"}]), BadFile),
    "a record of other samples": (changed_record(data={"sha256": ""}), BadData),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", ["finished", "unfinished"])
def test_a_refused_resume_writes_nothing(
    damage: str, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    run = shutil.copytree(request.getfixturevalue(kind), tmp_path / "run")
    spoil, error = DAMAGE[damage]
    spoil(run)
    if kind == "finished":  # else it needs no checkpoint
        (run / "network.nir").unlink()
    before = state(run)
    with pytest.raises(error):
        td.train(run, resume=True)
    assert state(run) == before


def test_resume_finds_data_that_have_moved(tmp_path: Path) -> None:
    options = {"data": "mnist", "network": "mlp", "steps": 1, "epochs": 1}
    pixels, labels = (np.arange(math.prod(shape)) % 10 for shape in ((100, 28, 28), (100,)))
    sizes = [number.to_bytes(4, "big") for number in (100, 28, 28)]
    (tmp_path / "here").mkdir()
    for name, head, values in (("images-idx3", b"\3", pixels), ("labels-idx1", b"\1", labels)):
        parts = [b"\0\0\x08", head, *sizes[: head[0]], values.astype(np.uint8).tobytes()]
        (tmp_path / "here" / f"train-{name}-ubyte").write_bytes(b"".join(parts))
    td.train(tmp_path / "run", data_dir=tmp_path / "here", **options)
    (tmp_path / "here").rename(tmp_path / "there")
    again = td.train(tmp_path / "run", data_dir=tmp_path / "there", resume=True, **options)
    assert again.recorded["finished"]
    with pytest.raises(DataNotFound):
        td.train(tmp_path / "run", data_dir=tmp_path / "here", resume=True)


def test_resume_with_other_options_writes_nothing(unfinished: Path, tmp_path: Path) -> None:
    run = shutil.copytree(unfinished, tmp_path / "run")
    before = state(run)
    with pytest.raises(BadOptions, match="seed must be 0, as the run began"):
        td.train(run, resume=True, seed=3)
    assert state(run) == before


@pytest.mark.parametrize("gone", [None, "checkpoint.pt"])
def test_a_finished_run_stays_finished_and_needs_no_checkpoint(
    gone: str | None, finished: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    if gone is not None:
        (run / gone).unlink()
    before = state(run)
    again = td.train(run, resume=True)
    assert again.recorded == json.loads((finished / "train.json").read_text())
    assert state(run) == before


@pytest.mark.parametrize("gone", ["network.nir", "network.safetensors", "metrics.csv"])
def test_a_missing_file_of_a_finished_run_is_written_again(gone: str, finished: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    (run / gone).unlink()
    td.train(run, resume=True)
    assert files(run) == files(finished)


def test_a_run_keeps_the_name_of_its_config_file(unfinished: Path, tmp_path: Path) -> None:
    run = shutil.copytree(unfinished, tmp_path / "run")
    changed_record(config="tdd.toml")(run)
    assert td.train(run, resume=True).recorded["config"] == "tdd.toml"


# --- the weights of another run ---


@pytest.fixture
def begun(options: dict[str, Any], finished: Path) -> dict[str, Any]:
    """A run that begins with the weights of a finished one, with other neurons and more steps."""
    return options | {"method": "l1-spikes", "steps": 3, "reset": "soft", "beta": 0.75, "from_": finished}


def test_a_run_begins_with_the_weights_of_another_and_records_which(
    begun: dict[str, Any], finished: Path, tmp_path: Path
) -> None:
    slow = begun | {"epochs": 1, "learning_rate": 1e-30, "weight_decay": 0.0}
    run = td.train(tmp_path / "run", **slow)
    before = json.loads((finished / "train.json").read_text())
    content = (finished / "network.safetensors").read_bytes()
    assert run.recorded["from"] == {
        "run": str(finished), "program": before["program"], "sha256": hashlib.sha256(content).hexdigest()
    }  # fmt: skip
    old, new = (load_file(folder / "network.safetensors") for folder in (finished, run.path))
    weights = [name for name in old if "running" not in name and "num_batches" not in name]
    assert all(torch.equal(old[name], new[name]) for name in weights)
    assert before["from"] is None


def test_killed_at_any_file_a_run_from_another_goes_on_to_the_same_bytes(
    begun: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies: list[Path] = []

    def copy(event: str) -> None:
        copies.append(shutil.copytree(tmp_path / "run", tmp_path / f"{len(copies)} {event}"))

    with monkeypatch.context() as patched:
        listen(patched, copy)
        td.train(tmp_path / "run", **begun)
    whole = files(tmp_path / "run")
    for each in copies:
        assert end(each, begun) == whole, each.name


def test_once_begun_a_run_does_not_need_the_other_any_more(
    begun: dict[str, Any], finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = shutil.copytree(finished, tmp_path / "other")
    given = begun | {"from_": other}
    copies: dict[str, Path] = {}

    def copy(event: str) -> None:
        if event not in copies:
            copies[event] = shutil.copytree(tmp_path / "run", tmp_path / event)

    with monkeypatch.context() as patched:
        listen(patched, copy)
        whole = td.train(tmp_path / "run", **given)
    early = copies["after train.json"], copies["before checkpoint.pt"]
    shutil.rmtree(other)
    begun_at = td.train(copies["after checkpoint.pt"], resume=True)
    assert begun_at.recorded == whole.recorded
    with pytest.raises(BadFile, match=r"train\.json is missing"):
        td.train(early[0], resume=True)
    shutil.copytree(finished, other)
    tensors = load_file(other / "network.safetensors")
    save_file({name: values + 1 for name, values in tensors.items()}, other / "network.safetensors")
    with pytest.raises(BadFile, match="holds other weights than when the run began"):
        td.train(early[1], resume=True)


def test_resume_with_another_origin_is_refused(finished: Path, unfinished: Path, tmp_path: Path) -> None:
    run = shutil.copytree(unfinished, tmp_path / "run")
    with pytest.raises(BadOption, match="resume continues a run that began with random weights"):
        td.train(run, resume=True, from_=finished)


def test_what_is_no_finished_run_or_does_not_fit_is_refused_and_nothing_is_written(
    begun: dict[str, Any], finished: Path, unfinished: Path, tmp_path: Path
) -> None:
    damaged = shutil.copytree(finished, tmp_path / "damaged")
    cut("network.safetensors")(damaged)
    missing = shutil.copytree(finished, tmp_path / "missing")
    (missing / "network.safetensors").unlink()
    folder = shutil.copytree(missing, tmp_path / "folder")
    (folder / "network.safetensors").mkdir()
    for other, found in (
        (tmp_path / "nowhere", "train.json is missing"),
        (unfinished, "is an unfinished run. Finish it with resume first"),
        (damaged, "network.safetensors is damaged"),
        (missing, "network.safetensors is missing"),
        (folder, r"network.safetensors cannot be read \(Is a directory\)"),
    ):
        with pytest.raises(BadFile, match=found):
            td.train(tmp_path / "run", **begun | {"from_": other})
    x, y = np.zeros((20, 5), np.float32), np.arange(20) % 2
    given = {name: value for name, value in begun.items() if name != "data"}
    with pytest.raises(BadOptions, match=r"fc1\.weights\.weight is 128 x 5 in this network and 128 x 6 in the other"):
        td.train(tmp_path / "run", x, y, **given)
    assert not (tmp_path / "run").exists()


def test_the_first_validation_samples_may_be_enough(options: dict[str, Any], tmp_path: Path) -> None:
    run = td.train(tmp_path / "run", **options | {"epochs": 1}, method="tet", steps=1, val_samples=3)
    assert run.recorded["data"]["validation_samples"] == 3
    with pytest.raises(BadOption, match=r"val_samples must be 1 to 4, as there are no more \(got 5\)"):
        td.train(tmp_path / "more", **options, method="tet", val_samples=5)
    assert not (tmp_path / "more").exists()


# --- too little memory -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_too_little_memory_names_what_to_lower_and_the_checkpoint_stays(
    error: Exception, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(trainer._Run, "_learn", fail)
        with pytest.raises(BadOption, match=r"batch=8 needs more memory than there is\. Use a smaller batch, fewer st"):
            td.train(tmp_path / "run", **options)
    td.train(tmp_path / "whole", **options)
    assert end(tmp_path / "run", options) == files(tmp_path / "whole")


def test_another_error_stays_what_it_is(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(trainer._Run, "_learn", fail)
    with pytest.raises(RuntimeError, match="mat1"):
        td.train(tmp_path / "run", **options)
