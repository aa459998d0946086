"""The folder of a run; its baseline is tested with the command that writes it."""

import ast
import json
import re
from pathlib import Path

import pytest

import tdd_deploy
from tdd_deploy.errors import BadFile
from tdd_deploy.run_folder import RunFolder

RECORD = {
    "options": {"method": "tet", "keep": None},
    "data": {"input": {"stored": "uint8", "scale": 0.0625}},
    "epochs": [{"epoch": 1}],
    "pruning": {"rounds": []},
}
FILES = (
    "network_nir",
    "network_onnx",
    "network_safetensors",
    "checkpoint_pt",
    "train_json",
    "metrics_csv",
    "baseline_json",
    "exit_json",
)


def run(folder, record=RECORD, *files):
    """A run folder with a record, unless that is None, and with some files, empty."""
    made = RunFolder(folder)
    if record is not None:
        made.train_json.write_text(record if isinstance(record, str) else json.dumps(record))
    for file in files:
        getattr(made, file).write_text("")
    return made


def strings(path):
    """The strings of a module, docstrings apart."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    described = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, described) and _is_text(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def _is_text(node):
    return bool(node.body) and isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)


def test_no_other_module_knows_the_names_of_the_files():
    package = Path(tdd_deploy.__file__).parent
    names = {getattr(RunFolder(Path()), file).name for file in FILES}
    modules = [path for path in package.rglob("*.py") if path.name != "run_folder.py"]
    assert len(modules) > 100
    found = {(path.name, name) for path in modules for text in strings(path) for name in names if name in text}
    assert found == set()


def test_the_files_of_a_run_lie_in_its_folder():
    folder = RunFolder(Path("runs/digits"))
    paths = [getattr(folder, file) for file in (*FILES, "tensorboard")]
    assert [path.parent for path in paths] == [folder.path] * len(paths)
    assert [path.name.replace(".", "_") for path in paths] == [*FILES, "tensorboard"]


def test_the_network_of_a_run_is_its_nir_file_or_that_of_an_ann(tmp_path):
    assert (
        run(tmp_path, RECORD, "network_onnx").find_network()
        == RunFolder.network_of(tmp_path)
        == tmp_path / "network.onnx"
    )
    assert (
        run(tmp_path, RECORD, "network_nir").find_network()
        == RunFolder.network_of(tmp_path)
        == tmp_path / "network.nir"
    )
    assert RunFolder.network_of(tmp_path / "other.nir") == tmp_path / "other.nir"


@pytest.mark.parametrize(
    ("record", "files", "words"),
    [
        ({"options": {"method": "ann"}}, (), r"is the run of an ANN \(method=ann\) without network.onnx\. Train it"),
        ({"options": {"method": "ann"}}, ("checkpoint_pt",), "is the run of an ANN"),
        (RECORD, ("checkpoint_pt",), "is an unfinished run without network.nir. Finish it: .* out=.* and resume"),
        (None, ("checkpoint_pt",), "is an unfinished run"),
        (RECORD, (), "is a folder without network.nir. Name a .nir file"),
        (None, (), "is a folder without network.nir"),
    ],
)
def test_a_folder_without_a_network_is_refused_with_what_to_do(record, files, words, tmp_path):
    run(tmp_path, record, *files)
    with pytest.raises(BadFile, match=words) as refused:
        RunFolder.network_of(tmp_path)
    assert str(tmp_path) in str(refused.value)


@pytest.mark.parametrize(
    ("files", "is_unfinished"),
    [
        ((), False),
        (("checkpoint_pt",), True),
        (("checkpoint_pt", "network_nir"), False),
        (("checkpoint_pt", "network_onnx"), False),
    ],
)
def test_a_run_is_unfinished_until_it_has_a_network(files, is_unfinished, tmp_path):
    assert run(tmp_path, RECORD, *files).is_unfinished == is_unfinished


def test_what_a_run_recorded_is_read_back(tmp_path):
    made = run(tmp_path)
    assert made.read_record("") == RECORD
    assert made.options(["method", "keep"]) == RECORD["options"]
    assert made.options(["method", "penalty_weight"]) == {}
    assert (made.learned_scale("uint8"), made.learned_scale("float32")) == (0.0625, None)
    assert not made.is_ann
    assert run(tmp_path, {"options": {"method": "ann"}}).is_ann


DAMAGED = [None, "", "[]", "{", "7", '{"options": []}', '{"options": {}, "data": {"input": 3}}', "[" * 10**5]
CHANGES = [
    {"epochs": [{"epoch": 2}]},
    {"epochs": [{"epoch": True}]},
    {"epochs": [{"epoch": 1, "loss": "much"}]},
    {"epochs": [{"epoch": 1, "loss": 10**400}]},
    {"epochs": [7]},
    {"epochs": {}},
    {"more": float("nan")},
    {"more": [{"a": float("inf")}]},
    {"more": json.loads("[" * 300 + "]" * 300)},
    {"schema_version": "1"},
    {"schema_version": None},
    {"data": []},
]


@pytest.mark.parametrize("text", DAMAGED, ids=range(len(DAMAGED)))
def test_a_record_that_is_missing_or_damaged_says_nothing_and_cannot_be_read(text, tmp_path):
    made = run(tmp_path, text)
    assert (made.options(["method"]), made.learned_scale("uint8"), made.is_ann) == ({}, None, False)
    with pytest.raises(BadFile, match=r"train\.json .*\. Start again\."):
        made.read_record("start again")


@pytest.mark.parametrize("changes", CHANGES, ids=range(len(CHANGES)))
def test_a_record_with_values_that_no_run_writes_is_damaged(changes, tmp_path):
    with pytest.raises(BadFile, match=r"train\.json .*\. Start again\."):
        run(tmp_path, RECORD | changes).read_record("start again")


def test_a_record_of_another_version_is_named(tmp_path):
    assert run(tmp_path, RECORD | {"schema_version": 1}).read_record("")["schema_version"] == 1
    with pytest.raises(BadFile, match=r"train\.json is a record of schema 7, not 1\. Start again\."):
        run(tmp_path, RECORD | {"schema_version": 7}).read_record("start again")


def test_a_run_may_begin_where_nothing_is_but_hidden_parts(tmp_path):
    folder = RunFolder(tmp_path / "run")
    assert (folder.is_new, folder.is_begun) == (True, False)
    folder.make()
    part = folder.path / ".checkpoint.pt.a1_b2c3d.part"
    part.write_text("")
    assert (folder.is_new, folder.is_begun, folder.find_parts()) == (True, False, [part])
    for name in (".part", ".other.a1_b2c3d.part", "train.json.a1_b2c3d.part", "train.json"):
        (folder.path / name).write_text("")
        assert (folder.is_new, folder.is_begun) == (False, name == "train.json")
        (folder.path / name).unlink()
    assert not RunFolder(part).is_new


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"stored": "uint8"},
        *({"stored": "uint8", "scale": scale} for scale in ("much", None, 0, -1, float("nan"), 1e300, True, [1])),
    ],
)
def test_a_scale_that_is_not_recorded_is_none(record, tmp_path):
    assert run(tmp_path, {"data": {"input": record}}).learned_scale("uint8") is None


def test_a_folder_is_made_once(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "digits")
    folder.make()
    folder.make()
    assert folder.path.is_dir()
    file = run(tmp_path, None, "network_nir").network_nir
    with pytest.raises(BadFile, match=r"is a file\. Name a folder\."):
        RunFolder(file).make()


def test_a_file_in_place_of_the_folder_is_no_run(tmp_path):
    (tmp_path / "network.nir").write_text("")
    assert RunFolder(tmp_path / "network.nir").options(["method"]) == {}


@pytest.mark.parametrize(
    ("origin", "said"),
    [(3, "from must be a table (got 3)"), ({"run": "a", "program": None}, "from.sha256 is missing")],
)
def test_the_origin_of_weights_names_a_run(tmp_path: Path, origin: object, said: str) -> None:
    (tmp_path / "train.json").write_text(json.dumps({**RECORD, "from": origin}))
    with pytest.raises(BadFile, match=re.escape(said)):
        RunFolder(tmp_path).read_record("Start again.")
