"""Nothing that a file holds is a command to the terminal; whatever stdout is, there is a sentence and an exit code."""

import ast
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import nir
import numpy as np
import pytest

from tdd_deploy.cli import app, console
from tdd_deploy.errors import BadData, Violation
from tdd_deploy.tables import Column, Format, Table
from tdd_deploy.text import FIRST_ROWS, LAST_ROWS, visible
from tests.commands import Call

TOOL = (sys.executable, "-m", "tdd_deploy")
NAMES = (
    "a\x1b[31mRED\x1b[0m\x1b]0;title\x07",
    "del\x7f c1\x9b31m",
    "safe\u202egnp.exe",
    "two\nlines",
    "[bold]x[red]",
    ":smile: `steps` $x$",
    "=1+1",
    "a|b & c\\|d",
)
FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
DIALECT = ("--dialect", "nir,dt=0.1,integration=euler")


def write_chain(path: Path, names: tuple[str, ...]) -> Path:
    """Write a network of another tool whose layers of neurons have these names."""
    ones = np.ones(3)
    nodes: dict[str, nir.NIRNode] = {"in": nir.Input(np.array([3]))}
    for i, name in enumerate(names):
        nodes[f"fc{i}"] = nir.Linear(np.eye(3) * 20)
        nodes[name] = nir.LIF(tau=ones, r=ones, v_leak=0 * ones, v_threshold=ones, v_reset=0 * ones)
    nodes["out"] = nir.Output(np.array([3]))
    nir.write(path, nir.NIRGraph(nodes, list(itertools.pairwise(nodes)), type_check=False))
    return path


def write_data(path: Path, steps: int = 4) -> Path:
    np.savez(path, x=np.ones((2, steps, 3), np.float32), y=np.array([0, 1]))
    return path


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network, and data, whose names are commands to a terminal."""
    folder = tmp_path_factory.mktemp("hostile")
    write_chain(folder / "net.nir", NAMES)
    write_data(folder / "\x1b[31mdata.npz")
    return folder


def words_of(command: str, folder: Path) -> list[str]:
    places = {
        "NET": str(folder / "net.nir"),
        "DATA": str(folder / "\x1b[31mdata.npz"),
        "OUT": str(folder / f"\x1b]0;{command[:6]}"),
    }
    words = [places.get(word, word) for word in command.split()]
    return [*words, *(DIALECT if "NET" in command and words[0] != "report" and "plain" not in words else ())]


@pytest.mark.parametrize(
    "command",
    [
        "inspect NET",
        "inspect NET --json",
        "check NET --chip loihi1",
        "check NET --chip loihi1 --json",
        "simulate NET --data DATA --by layer --energy --out OUT",
        "simulate NET --data DATA --json",
        "verify NET --data DATA --against reference --against engine",
        "export NET --target lava --out OUT",
        "sweep NET --data DATA --out OUT",
        "sweep NET --data \x1b[31mnone.npz --out OUT",
    ],
)
def test_names_of_a_file_are_shown_and_not_obeyed(call: Call, hostile: Path, command: str) -> None:
    called = call(*words_of(command, hostile))
    assert called.code in (0, 1, 2)
    assert not FORBIDDEN.findall(called.out)
    assert not FORBIDDEN.findall(called.err)
    assert "--json" not in command or json.loads(called.out)
    assert "Traceback" not in called.err
    if command.startswith(("inspect", "simulate")) and "--json" not in command:
        for name in NAMES:
            assert visible(name) in re.sub(r"\n +", "", called.out)


def test_tables_of_a_report_are_shown_and_not_obeyed(call: Call, hostile: Path) -> None:
    out = hostile / "run\x1b]0;\n=1|&"
    words = words_of("simulate NET --data DATA --energy", hostile)
    assert call(*words, "--out", out).code == 0
    for how in ("--format md", "--format csv", "--format latex", "--by placement", "--by term"):
        called = call("report", out, *how.split())
        assert (called.code, called.err) == (0, "")
        assert not FORBIDDEN.findall(called.out)
        called = call("compare", out, *(how.split() if "format" in how else ()))
        assert (called.code, called.err) == (0, "")
        assert not FORBIDDEN.findall(called.out)


def on_terminal(words: Sequence[str], **variables: str) -> bytes:
    """Run the tool on a terminal; return what it printed on both streams."""
    import pty

    leader, follower = pty.openpty()
    with subprocess.Popen((*TOOL, *words), stdout=follower, stderr=follower, env=os.environ | variables) as run:
        os.close(follower)
        text = b""
        while True:
            try:
                found = os.read(leader, 1 << 16)
            except OSError:  # the other end is closed
                break
            if not found:
                break
            text += found
    os.close(leader)
    assert run.returncode == 0
    return text


def test_a_terminal_gets_no_escape_sequence_of_a_name(hostile: Path) -> None:
    """A terminal gets sequences of our own, for bold lines and bars; none of them comes from a name."""
    text = on_terminal(words_of("simulate NET --data DATA --by layer", hostile), COLUMNS="40", TERM="xterm")
    assert b"\x1b]" not in text
    assert b"\x1b[31mRED" not in text
    assert rb"\x1b[31mRED" in text
    for line in text.decode().splitlines():
        assert not re.search(r"\d,\d{0,2}\s*$", line)  # numbers stay whole on a narrow terminal


@pytest.mark.parametrize(
    ("variables", "is_bold"),
    [
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb", "NO_COLOR": ""}, False),
    ],
)
def test_a_verdict_is_bold_where_a_terminal_shows_it(hostile: Path, variables: dict[str, str], is_bold: bool) -> None:
    text = on_terminal(words_of("simulate NET --data DATA", hostile), COLUMNS="80", **variables)
    assert (b"\x1b[1m" in text, rb"\x1b[1m" in text) == (is_bold, False)


@pytest.mark.parametrize(
    "words",
    [
        ["inspect", "\x1b[31mno.nir"],
        ["\x1b[31mno"],
        ["inspect", "--\x1b[31mno"],
        ["inspect", "a", "\x1b[31mb\u202e\udcff"],
        ["simulate", "a", "--data", "x", "--steps", "\x1b[31m"],
        ["simulate", "a", "--data", "x", "--code", "\x1b[31m"],
        ["simulate", "a", "--data", "x", "--steps", "9" * 10**6],
        ["simulate", "a", "--data", "x", "--code", "x" * 10**6],
        ["inspect", "a" * 5000],
        ["profiles", "\x1b[31m" * 10**5],
    ],
)
def test_errors_quote_values_in_short_and_visible_form(call: Call, words: list[str]) -> None:
    called = call(*words)
    assert called.code == 2
    assert called.out == ""
    assert not FORBIDDEN.findall(called.err)
    assert 0 < len(called.err) < 3000
    assert "Traceback" not in called.err


def test_a_config_file_is_quoted_in_visible_form(call: Call, tmp_path: Path) -> None:
    config = tmp_path / "\x1b[31m.toml"
    config.write_text('[simulate]\n"\\u001b[31mkey" = 1\nsteps = "\\u001b]0;\\u202e"\n', encoding="utf-8")
    called = call("simulate", "a", "--config", config)
    assert called.code == 2
    assert not FORBIDDEN.findall(called.err)
    assert r"\x1b[31mkey is no option" in called.err


def test_a_refusal_with_very_many_violations_prints_the_first_ones() -> None:
    bad = BadData("x.npz", [Violation(f"y[{i}]", "x" * 2000, "0 to 9") for i in range(10**4)])
    lines = bad.brief.splitlines()
    assert len(lines) == 1 + 20 + 1
    assert "10,000 found" in lines[0]
    assert lines[-1] == "  - and 9,980 more"
    assert max(map(len, lines)) < 1100
    assert str(bad).count("\n") == 10**4  # in Python the list is whole


def test_an_internal_error_shows_the_text_of_its_exception(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**given: object) -> None:
        raise RuntimeError("\x1b]0;title\x07")

    monkeypatch.setattr(app.cli, "main", fail)
    called = call("profiles")
    assert called.code == 4
    assert r"RuntimeError: \x1b]0;title\x07" in called.err


def test_very_many_time_steps_are_printed_in_part(call: Call, tmp_path: Path) -> None:
    net = write_chain(tmp_path / "net.nir", ("lif",))
    words = ("simulate", net, "--data", write_data(tmp_path / "d.npz", steps=1000), *DIALECT)
    called = call(*words)
    assert called.code == 0
    rows = [line.split()[0] for line in called.out.splitlines() if re.match(r"\d+ +\d|\.\.\.|total", line)]
    first, last = [str(step) for step in range(1, FIRST_ROWS + 1)], [str(step) for step in range(981, 1001)]
    assert rows == [*first, "...", *last, "total"]
    assert len(last) == LAST_ROWS
    assert "900 of 1,000 rows are left out; --json prints all" in called.out
    assert "steps.csv" in called.out
    assert len(json.loads(call(*words, "--json").out)["steps"]) == 1000


def test_a_table_of_very_many_layers_is_printed_in_part(capsys: pytest.CaptureFixture[str]) -> None:
    columns = (Column("layer"), Column("n", Format.NUMBER))
    console.print_table(Table(columns=columns, rows=tuple((f"fc{i}", i) for i in range(2000))))
    out = capsys.readouterr().out
    assert out.count("fc") == FIRST_ROWS + LAST_ROWS
    assert "1,900 of 2,000 rows are left out; --json prints all of them" in out


@pytest.mark.parametrize(
    ("command", "how", "code", "error"),
    [
        ("profiles", ">&-", 2, "stdout is closed. Redirect it"),
        ("profiles", "2>&-", 0, ""),
        ("profiles", "<&- >&- 2>&-", 2, ""),
        ("profiles", "1</dev/null", 2, "stdout cannot be written (Bad file descriptor)"),
        ("profiles", ">/dev/full", 2, "stdout cannot be written (No space left on device). Redirect it"),
        ("profiles --json", ">/dev/full", 2, "stdout cannot be written (No space left on device). Redirect it"),
        ("--help", ">/dev/full", 2, "stdout cannot be written (No space left on device). Redirect it"),
        ("profiles", ">/dev/full 2>&1", 2, ""),
        ("profiles no", "2>/dev/full", 2, ""),
        ("profiles", "| true", 0, ""),
        ("--help", "| true", 0, ""),
        ("profiles no", "2>&1 | true", 2, ""),
    ],
)
def test_whatever_stdout_is_there_is_an_exit_code(command: str, how: str, code: int, error: str) -> None:
    line = f"set -o pipefail; {' '.join(TOOL)} {command} {how}"
    ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert ended.returncode == code
    assert error in ended.stderr
    assert error or ended.stderr == ""
    assert not re.search("Traceback|Exception ignored", ended.stderr)


def test_a_reader_that_leaves_does_not_change_the_answer(tmp_path: Path) -> None:
    """This network does not fit, so the exit code is 1, also if nobody reads why."""
    net = write_chain(tmp_path / "net.nir", ("lif",))
    words = ["check", str(net), *DIALECT, "--chip", "truenorth"]
    whole = subprocess.run([*TOOL, *words], capture_output=True, check=False).returncode
    line = f"set -o pipefail; {' '.join([*TOOL, *words])} | true"
    assert subprocess.run(["bash", "-c", line], capture_output=True, check=False).returncode == whole == 1


@pytest.mark.parametrize(
    "encoding",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
)
def test_characters_that_stdout_lacks_are_written_as_escapes(tmp_path: Path, encoding: dict[str, str]) -> None:
    net = write_chain(tmp_path / "net.nir", ("Schicht-ä", "层"))
    for words in (["inspect", str(net), *DIALECT], ["inspect", "ä\udcff.nir"]):
        ended = subprocess.run([*TOOL, *words], capture_output=True, env=os.environ | encoding, check=False)
        assert ended.returncode == (0 if "--dialect" in words else 2)
        assert (ended.stdout + ended.stderr).isascii()
        assert b"Traceback" not in ended.stderr
    assert rb"\udcff.nir is missing" in ended.stderr


@pytest.mark.parametrize("size", ["1", "0", "²", "80", "-5"])
def test_a_table_is_whole_at_any_width(
    size: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tdd_deploy.cli.streams import guarded_streams

    monkeypatch.setenv("COLUMNS", size)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    with guarded_streams():
        columns = (Column("name"), Column("n", Format.NUMBER))
        console.print_table(Table(columns=columns, rows=(("fc1", 25_856_000),)))
    assert "fc1   25,856,000" in capsys.readouterr().out


def test_commands_print_through_one_module() -> None:
    """``console`` and the streams make texts visible; print and click.echo elsewhere would go around it."""
    for path in Path(app.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("print", "click.echo", "click.secho"), path
                assert path.name in ("console.py", "__init__.py") or ".stdout.write" not in called, path
    assert click.echo  # the name that this test looks for
