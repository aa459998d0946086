"""Rules of the source tree that a machine can check."""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import tdd_deploy

PACKAGE = Path(tdd_deploy.__file__).parent
# Bundles hold programs of their own, with a command line of their own.
APART = ("exporters/lava/bundle", "exporters/lava/selftest")
FILES = sorted(
    path
    for folder, _, names in os.walk(PACKAGE, followlinks=True)
    for path in (Path(folder) / each for each in names)
    if path.suffix == ".py" and not path.relative_to(PACKAGE).as_posix().startswith(APART)
)
FLAG = re.compile(r"(?<![\w-])--[a-z]")
MOST_LINES_OF_A_FILE = 450
MOST_LINES_OF_A_FUNCTION = 60
MOST_PARAMETERS = 9
# Compiled loops take their arrays one by one; a backward pass gets what torch hands over.
LONG = {"training/fused.py: _backward"}


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def is_kernel(path: Path) -> bool:
    return "simulator/engine/kernels" in name(path)


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            yield node


def arguments_of_subprocesses(tree: ast.AST) -> set[int]:
    """The flags in lists, each a word of its own: arguments, not sentences."""
    return {
        id(each)
        for node in ast.walk(tree)
        if isinstance(node, ast.List | ast.Tuple)
        for each in node.elts
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and not re.search(r"\s", each.value)
    }


def test_there_are_files_to_check() -> None:
    assert {"api.py", "simulator/engine/engine.py", "exporters/nir/write.py", "cli/app.py"} <= set(map(name, FILES))


@pytest.mark.parametrize("path", [path for path in FILES if not name(path).startswith("cli/")], ids=name)
def test_below_the_command_line_no_text_speaks_of_a_flag(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    apart = arguments_of_subprocesses(tree)
    found = [
        f"line {node.lineno}: {node.value}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in apart
        and FLAG.search(node.value)
    ]
    assert not found


@pytest.mark.parametrize("path", [path for path in FILES if not is_kernel(path)], ids=name)
def test_functions_fit_the_eye(path: Path) -> None:
    found = [
        f"{name(path)}: {each.name}"
        for each in functions(path)
        if (each.end_lineno or 0) - each.lineno + 1 > MOST_LINES_OF_A_FUNCTION
        or len(each.args.args + each.args.kwonlyargs + each.args.posonlyargs) > MOST_PARAMETERS
    ]
    assert not set(found) - LONG


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_hold_one_topic(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES_OF_A_FILE


@pytest.mark.parametrize("path", [path for path in FILES if name(path).startswith(("commands/", "runtime/"))], ids=name)
def test_commands_neither_print_nor_know_click(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        each.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names
    } | {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert "click" not in imported
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "print"]
