"""What docs/trust.md states: each test that it names exists, and no module executes what a file holds."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
SOURCES = sorted(path for part in ("tdd_deploy", "simulator", "exporters") for path in (ROOT / part).rglob("*.py"))
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml"}
CALLS = {"eval", "exec", "compile"}
ARGUMENTS = {"allow_pickle": False, "weights_only": True}  # the only values that are allowed
LOADS = {("torch", "load"): "weights_only", ("np", "load"): "allow_pickle"}


def test_every_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 15
    for path, name in named:
        assert re.search(rf"^def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), (path, name)


def test_no_module_unpickles_or_evaluates_text() -> None:
    assert len(SOURCES) > 100
    for path in SOURCES:
        assert [*_faults(ast.parse(path.read_text(encoding="utf-8")))] == [], path


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "eval(text)",
        "np.load(path, allow_pickle=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
    ],
)
def test_the_check_finds_what_it_looks_for(code: str) -> None:
    assert len([*_faults(ast.parse(code))]) == 1


def test_onnxruntime_keeps_no_identifier_and_reports_nothing(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("ORT_")}
    code = "from tdd_deploy.exporters.onnx.run import load_runtime; load_runtime('onnxruntime', 'a test')"
    places = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), str(tmp_path))
    subprocess.run([sys.executable, "-c", code], env=kept | places, check=True)
    assert [*tmp_path.rglob("*")] == []


def _faults(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
            yield from (f"line {node.lineno}: imports {name}" for name in names if name.split(".")[0] in MODULES)
        if isinstance(node, ast.Call):
            yield from (f"line {node.lineno}: {fault}" for fault in _faults_of_call(node))


def _faults_of_call(node: ast.Call) -> Iterator[str]:
    given = {word.arg: word.value for word in node.keywords}
    if isinstance(node.func, ast.Name) and node.func.id in CALLS:
        yield f"calls {node.func.id}"
    for name, allowed in ARGUMENTS.items():
        if name in given and not (isinstance(given[name], ast.Constant) and given[name].value is allowed):
            yield f"{name} is not {allowed}"
    if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        needed = LOADS.get((node.func.value.id, node.func.attr))
        if needed == "weights_only" and needed not in given:
            yield "torch.load without weights_only"
