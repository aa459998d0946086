"""What a checkpoint holds is checked before a run takes anything from it."""

import io
import pickle
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tdd_deploy.errors import BadFile
from tdd_deploy.training.checkpoint import Progress, load, save
from tdd_deploy.training.restoring import NotFinite, check_options, check_state, optimizer_state, progress_of

NAMES = {"epoch": True, "loss": True, "raw_events": False}
HISTORY = [{"epoch": 1, "loss": 0.5, "raw_events": None}]
PROGRESS = {"epoch": 1, "batch": 2, "seen": 16, "loss": 3.5, "correct": 9, "history": HISTORY, "input_bits": 4}
RUN: dict[str, Any] = {"epochs": 3, "n_batches": 4, "batch": 8, "input_bits": range(1, 9), "names": NAMES}


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


def test_progress_is_read_back() -> None:
    assert progress_of(PROGRESS, **RUN) == Progress(**PROGRESS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": 4}, {"epoch": -1}, {"epoch": True}, {"epoch": 1.0}, {"epoch": "1"}, {"epoch": 2},
        {"batch": 5, "seen": 40}, {"batch": -1}, {"seen": 15}, {"correct": 17}, {"correct": None},
        {"loss": float("nan")}, {"loss": float("inf")}, {"loss": "much"}, {"loss": 10**400},
        {"input_bits": 0}, {"input_bits": 9}, {"input_bits": 4.0},
        {"history": []}, {"history": HISTORY * 2}, {"history": {"epoch": 1}}, {"history": [7]},
        {"history": [{"epoch": 1}]}, {"history": [HISTORY[0] | {"loss": None}]},
        {"history": [HISTORY[0] | {"raw_events": 2.0}]},
        {"history": [HISTORY[0] | {"epoch": 2}]}, {"history": [HISTORY[0] | {"more": 1.0}]},
        {"color": "red"},
    ],
    ids=str,
)  # fmt: skip
def test_progress_of_another_run_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        progress_of(PROGRESS | changes, **RUN)


@pytest.mark.parametrize(
    "options", [None, [], {1: 2}, {"a": {}}, {"a": [[]]}, {"a": torch.zeros(2)}, {"a": (1,)}, {"a": 1j}], ids=str
)
def test_options_are_plain(options: object) -> None:
    check_options({"a": 1, "b": None, "c": [0.5, "x"], "d": True})
    with pytest.raises(ValueError, match="other options"):
        check_options(options)


CHANGES: dict[str, Callable[[torch.Tensor], Any]] = {
    "type": lambda t: t.double(),
    "complex": lambda t: t.to(torch.complex64),
    "shape": lambda t: t[None],
    "rank": lambda t: t.flatten(),
    "size": lambda t: torch.zeros(1).expand(2**40),
    "without values": lambda t: torch.empty_like(t, device="meta"),
    "sparse": lambda t: t.to_sparse(),
    "parameter": nn.Parameter,
    "list": lambda t: t.tolist(),
    "nothing": lambda t: None,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_state_has_the_tensors_of_the_network(change: str) -> None:
    now = network().state_dict()
    check_state(network(1).state_dict(), now)
    saved = {**network(1).state_dict()}
    saved["0.weight"] = CHANGES[change](saved["0.weight"])
    with pytest.raises(ValueError, match="shape or type"):
        check_state(saved, now)
    for names in ({}, {**now, "more": now["0.weight"]}, {name: now[name] for name in list(now)[1:]}, None):
        with pytest.raises(ValueError, match="other names"):
            check_state(names, now)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_named(number: float) -> None:
    saved = network().state_dict()
    saved["0.weight"][1, 2] = number
    with pytest.raises(NotFinite):
        check_state(saved, network().state_dict())


def optimizers() -> dict[str, torch.optim.Optimizer]:
    made: dict[str, torch.optim.Optimizer] = {}
    for name, kind in (("adam", torch.optim.AdamW), ("sgd", torch.optim.SGD)):
        net = network()
        made[name] = kind(net.parameters(), lr=0.1, **({"momentum": 0.9} if name == "sgd" else {}))
        net(torch.rand(5, 4)).square().sum().backward()
        made[name].step()
    return made


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_an_optimizer_keeps_its_own_numbers_but_for_its_rate(kind: str) -> None:
    optimizer = optimizers()[kind]
    saved = optimizer.state_dict()
    saved["param_groups"][0] |= {"lr": 0.025, "weight_decay": "much", "betas": None, "foreach": 7}
    found = optimizer_state(saved, optimizers()[kind], done=1)
    group = optimizer.state_dict()["param_groups"][0]
    assert found["param_groups"] == [group | {"lr": 0.025}]
    assert found["state"] is saved["state"]


@pytest.mark.parametrize(
    "change",
    [
        lambda saved: saved["state"][0].update(exp_avg=torch.zeros(1).expand(2**40)),
        lambda saved: saved["state"][0].update(exp_avg=torch.zeros(3, 4, dtype=torch.float64)),
        lambda saved: saved["state"][0].update(exp_avg=torch.full((3, 4), torch.nan)),
        lambda saved: saved["state"][0].update(step=torch.tensor(-5.0)),
        lambda saved: saved["state"][0].update(step=torch.tensor(2.0)),
        lambda saved: saved["state"][0].update(step=1),
        lambda saved: saved["state"][0].update(more=torch.tensor(2.0)),
        lambda saved: saved["state"][0].pop("step"),
        lambda saved: saved["state"].update({9: saved["state"][0]}),
        lambda saved: saved["state"].update({"0": saved["state"][0]}),
        lambda saved: saved["state"].update({-1: saved["state"][0]}),
        lambda saved: saved["param_groups"][0].update(lr="fast"),
        lambda saved: saved["param_groups"][0].update(lr=float("nan")),
        lambda saved: saved["param_groups"].clear(),
        lambda saved: saved.pop("state"),
    ],
)
def test_the_state_of_another_optimizer_is_refused(change: Callable[[Any], Any]) -> None:
    saved = optimizers()["adam"].state_dict()
    change(saved)
    with pytest.raises((ValueError, LookupError)):
        optimizer_state(saved, optimizers()["adam"], done=1)


# --- archives ----------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.pt"
    optimizer = optimizers()["adam"]
    save(path, options={"a": 1}, progress=Progress(), parts={"network": network(), "optimizer": optimizer})
    return path


def rewrite(path: Path, change: Callable[[dict[str, bytes]], None], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {each.filename: archive.read(each) for each in archive.infolist()}
    change(members)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def description(members: dict[str, bytes]) -> str:
    (name,) = (each for each in members if each.endswith("/data.pkl"))
    return name


def refused(path: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(BadFile, match="is damaged or not a checkpoint"):
        load(path)
    assert time.monotonic() - begin < 5


def test_an_archive_that_was_written_again_is_read(path: Path) -> None:
    rewrite(path, lambda members: None)
    assert load(path)["options"] == {"a": 1}


def test_a_compressed_archive_is_refused_before_it_is_unpacked(path: Path) -> None:
    rewrite(path, lambda members: members.update({"archive/data/bomb": bytes(1 << 28)}), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    refused(path)


@pytest.mark.parametrize(
    "name", ["torch Tensor", "builtins bytearray", "torch._utils _rebuild_sparse_tensor", "collections Counter"]
)
def test_only_tensors_are_described(name: str, path: Path) -> None:
    """torch.load would make a tensor or an array of as many bytes as the file asks for."""
    call = b"\x80\x02c" + name.replace(" ", "\n").encode() + b"\nJ\x00\x00\x00\x40\x85R."
    rewrite(path, lambda members: members.update({description(members): call}))
    refused(path)


def test_a_second_description_is_refused(path: Path) -> None:
    rewrite(path, lambda members: members.update({"archive/DATA.PKL": members[description(members)]}))
    refused(path)


def test_an_old_format_before_an_archive_is_refused(path: Path) -> None:
    old = io.BytesIO()
    torch.save({"a": 1}, old, _use_new_zipfile_serialization=False)
    path.write_bytes(old.getvalue() + path.read_bytes())
    assert zipfile.is_zipfile(path)
    refused(path)
    path.write_bytes(pickle.dumps({}) + path.read_bytes())
    refused(path)


def test_too_little_memory_is_not_called_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **named: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes.")

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(MemoryError, match="can't allocate memory"):
        load(path)
