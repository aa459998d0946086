import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from tdd_deploy.errors import BadFile
from tdd_deploy.training.checkpoint import Progress, load, save

OPTIONS = {"network": "mlp", "keep": None, "penalty_weight": 1.25, "seed": 2**40}
PROGRESS = Progress(epoch=2, batch=3, seen=48, loss=0.1 + 0.2, correct=31, history=[{"epoch": 1, "loss": 1 / 3}])


def parts(seed=0):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    network(torch.rand(5, 4)).square().sum().backward()
    optimizer.step()
    return {"network": network, "optimizer": optimizer}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save(path, options=OPTIONS, progress=PROGRESS, parts=parts())
    return path


class Code:
    """What a pickle can do to whoever loads it."""

    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return Path.touch, (self.witness,)


def test_what_is_loaded_is_what_was_saved_to_the_bit(path):
    found = load(path)
    assert found["options"] == OPTIONS
    assert Progress(**found["progress"]) == PROGRESS
    saved = parts()
    network = saved["network"].state_dict()
    assert found["network"].keys() == network.keys()
    assert all(torch.equal(found["network"][name], value) for name, value in network.items())
    other = parts(seed=1)
    other["optimizer"].load_state_dict(found["optimizer"])
    before, after = saved["optimizer"].state_dict()["state"], other["optimizer"].state_dict()["state"]
    assert all(torch.equal(before[i][name], after[i][name]) for i in before for name in before[i])


def test_a_checkpoint_replaces_the_one_before_and_leaves_nothing_else(path):
    save(path, options=OPTIONS, progress=Progress(epoch=9), parts=parts())
    assert load(path)["progress"]["epoch"] == 9
    assert list(path.parent.iterdir()) == [path]


def test_when_saving_fails_the_checkpoint_before_stays_whole(path):
    before = path.read_bytes()
    with pytest.raises((AttributeError, pickle.PicklingError)):
        save(path, options={"network": lambda: None}, progress=PROGRESS, parts=parts())
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_saving_over_a_folder_is_refused(tmp_path):
    with pytest.raises(BadFile, match="is a folder"):
        save(tmp_path, options=OPTIONS, progress=PROGRESS, parts=parts())


def test_a_missing_checkpoint_is_answered_with_what_to_do(tmp_path):
    with pytest.raises(BadFile, match=r"none\.pt is missing\. Start a new run in another folder\."):
        load(tmp_path / "none.pt")


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(BadFile):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\0", b"not a checkpoint", b"PK\x03\x04", b"\x80\x04."])
def test_a_file_of_something_else_is_no_checkpoint(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    with pytest.raises(BadFile, match="damaged or not a checkpoint"):
        load(path)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.999])
def test_a_checkpoint_cut_short_is_damaged(path, share):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BadFile, match="damaged or not a checkpoint"):
        load(path)


def test_a_checkpoint_with_one_wrong_byte_is_damaged(path):
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        stored = {archive.read(member) for member in archive.infolist() if "/data" in member.filename}
    assert len(stored) > 5
    for content in stored:
        at = whole.index(content) + len(content) // 2
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
        with pytest.raises(BadFile, match="damaged or not a checkpoint"):
            load(path)


@pytest.mark.parametrize(
    "content",
    [
        {},
        [1, 2],
        torch.zeros(3),
        {"network": {}, "optimizer": {}},
        {"options": {}, "progress": {}, "network": {}},
    ],
)
def test_what_torch_saved_of_something_else_is_no_checkpoint(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    torch.save(content, path)
    with pytest.raises(BadFile, match="is not a checkpoint of tdd-deploy"):
        load(path)


def write_pickle(content, path):
    path.write_bytes(pickle.dumps(content))


def write_old_format(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write", [write_pickle, torch.save, write_old_format])
@pytest.mark.parametrize("where", ["alone", "among the options", "in the place of the network"])
def test_code_in_the_place_of_a_checkpoint_is_refused_and_not_executed(tmp_path, write, where):
    witness, path = tmp_path / "executed", tmp_path / "checkpoint.pt"
    content = {"options": OPTIONS, "progress": vars(PROGRESS), "network": {}, "optimizer": {}}
    harmful = {
        "alone": Code(witness),
        "among the options": content | {"options": {"network": Code(witness)}},
        "in the place of the network": content | {"network": Code(witness)},
    }[where]
    write(harmful, path)
    with pytest.raises(BadFile, match="damaged or not a checkpoint"):
        load(path)
    assert not witness.exists()
    pickle.loads(pickle.dumps(Code(witness)))  # the witness is a true one
    assert witness.exists()
