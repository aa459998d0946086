"""Lava's environment, made by shell scripts that pretend to be Python: nothing is downloaded."""

import fcntl
import json
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tdd_deploy.cli import app as cli
from tdd_deploy.errors import BadFile, BadOption, MissingDependency, MissingEnvironment, WorkerFailed
from tdd_deploy.exporters.lava import doctor, environment, supervisor
from tdd_deploy.exporters.lava.environment import find, home, pins, require, setup

# Prints its version; makes a "venv" that holds itself; records the calls of pip.
INTERPRETER = """#!/bin/sh
for last; do :; done
case "$*" in
  *version_info*) printf VERSION ;;
  *"-m venv"*) mkdir -p "$last/bin"; cp "$0" "$last/bin/python" ;;
  *"-m pip"*) echo "$@" >> PLACE/pip; test ! -e PLACE/offline || { echo no route to the index; exit 1; } ;;
esac
"""
SHIM = "#!/bin/sh\necho 'pyenv: python3.10: command not found' >&2\nexit 127\n"


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def interpreter(tmp_path: Path) -> Callable[..., Path]:
    """Make an interpreter somewhere."""

    def make(name: str, version: str = "3.10.9") -> Path:
        return script(
            tmp_path / name, INTERPRETER.replace("VERSION", version).replace("PLACE", str(tmp_path))
        ).absolute()

    return make


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No environment and no Python 3.10 anywhere, but for /usr/bin, which the scripts need."""
    for name in ("bin", "empty"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("TDD_DEPLOY_LAVA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setattr(environment.os, "get_exec_path", lambda: [str(tmp_path / "empty"), str(tmp_path / "bin")])
    monkeypatch.setattr(environment.shutil, "which", lambda name: None)


def pip_calls(tmp_path: Path) -> list[str]:
    path = tmp_path / "pip"
    return path.read_text().splitlines() if path.exists() else []


def test_the_home_is_where_the_variable_says_or_the_cache_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert home() == tmp_path / "home"
    monkeypatch.delenv("TDD_DEPLOY_LAVA_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert home().parts[-2:] == ("tdd-deploy", "lava-0.10.0")
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    with pytest.raises(MissingDependency, match=r"pip install 'tdd-deploy\[lava\]'"):
        home()


def test_every_requirement_is_pinned() -> None:
    assert pins()["lava-nc"] == "0.10.0"
    assert pins()["numpy"].startswith("1.")
    assert all(version.count(".") == 2 for version in pins().values())


def test_setup_makes_the_environment_once(tmp_path: Path, interpreter: Callable[..., Path]) -> None:
    interpreter("bin/python3.10")
    steps: list[str] = []
    assert find() is None
    python = setup(None, steps.append)
    assert python == find() == tmp_path / "home" / "env" / "bin" / "python"
    assert [call.split()[2] for call in pip_calls(tmp_path)] == ["install", "check"]
    assert str(environment.REQUIREMENTS) in pip_calls(tmp_path)[0]
    assert "making" in steps[0]
    before = pip_calls(tmp_path)
    assert setup(None, steps.append) == python
    assert "already" in steps[-1]
    assert pip_calls(tmp_path) == before


def test_an_environment_of_an_interrupted_setup_is_made_again(tmp_path: Path, interpreter: Callable[..., Path]) -> None:
    interpreter("bin/python3.10")
    half = script(tmp_path / "home" / "env" / "bin" / "python", "half")
    (tmp_path / "home" / "env" / "rubbish").touch()
    assert find() is None
    steps: list[str] = []
    setup(None, steps.append)
    assert "not complete" in steps[0]
    assert half.read_text() != "half"
    assert not (tmp_path / "home" / "env" / "rubbish").exists()


@pytest.mark.parametrize("stamp", ["", "{}", "[]", '{"requirements": "other ones"}'])
def test_a_stamp_of_other_requirements_is_none(stamp: str, tmp_path: Path, interpreter: Callable[..., Path]) -> None:
    interpreter("bin/python3.10")
    setup()
    (tmp_path / "home" / "env" / "tdd-deploy.json").write_text(stamp)
    assert find() is None


def test_an_environment_whose_interpreter_has_gone_is_none(interpreter: Callable[..., Path]) -> None:
    interpreter("bin/python3.10")
    setup().unlink()
    assert find() is None


def test_a_pip_that_fails_is_quoted_and_the_next_setup_goes_well(
    tmp_path: Path, interpreter: Callable[..., Path]
) -> None:
    interpreter("bin/python3.10")
    (tmp_path / "offline").touch()
    with pytest.raises(WorkerFailed, match=r"installing Lava(.|\n)*no route to the index"):
        setup()
    assert find() is None
    (tmp_path / "offline").unlink()
    assert setup() == find()


def test_two_setups_wait_for_each_other(tmp_path: Path, interpreter: Callable[..., Path]) -> None:
    interpreter("bin/python3.10")
    (tmp_path / "home").mkdir()
    steps: list[str] = []
    waits = threading.Event()

    def progress(sentence: str) -> None:
        steps.append(sentence)
        waits.set()

    second = threading.Thread(target=setup, args=(None, progress))
    with (tmp_path / "home" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second.start()
        assert waits.wait(10)
        assert steps == ["waiting for another setup that is running"]
        assert pip_calls(tmp_path) == []
    second.join(10)
    assert find() is not None


def test_a_home_that_cannot_be_written_is_reported(tmp_path: Path, interpreter: Callable[..., Path]) -> None:
    interpreter("bin/python3.10")
    (tmp_path / "home").write_text("a file")
    with pytest.raises(BadFile, match="is a file"):
        setup()


def test_without_python_310_every_place_and_remedy_is_named(tmp_path: Path) -> None:
    script(tmp_path / "bin" / "python3.10", SHIM)
    with pytest.raises(MissingEnvironment) as missing:
        setup()
    assert missing.value.exit_code == 3
    for word in ("PATH", str(tmp_path / "pyenv"), "pyenv install 3.10", "uv python install 3.10", "python=PATH"):
        assert word in str(missing.value)
    assert not (tmp_path / "home" / "env").exists()


def test_a_shim_that_only_fails_is_passed_over(tmp_path: Path, interpreter: Callable[..., Path]) -> None:
    script(tmp_path / "empty" / "python3.10", SHIM)
    interpreter("bin/python3.10", "3.10.7")
    setup()
    assert made_with(tmp_path) == "3.10.7"


def test_the_latest_python_310_of_pyenv_is_taken(tmp_path: Path, interpreter: Callable[..., Path]) -> None:
    for patch in ("4", "13", "9"):
        interpreter(f"pyenv/versions/3.10.{patch}/bin/python", f"3.10.{patch}")
    interpreter("pyenv/versions/3.10.13-dev/bin/python", "3.10.1")
    setup()
    assert made_with(tmp_path) == "3.10.13"


def test_uv_is_asked_last(tmp_path: Path, interpreter: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    python = interpreter("far/away/python", "3.10.5")
    uv = script(tmp_path / "bin" / "uv", f'#!/bin/sh\ntest "$*" = "python find 3.10" && echo {python}\n')
    monkeypatch.setattr(environment.shutil, "which", lambda name: str(uv))
    setup()
    assert made_with(tmp_path) == "3.10.5"


def test_a_python_that_is_named_is_taken(tmp_path: Path, interpreter: Callable[..., Path]) -> None:
    interpreter("bin/python3.10", "3.10.1")
    setup(interpreter("mine", "3.10.2"))
    assert made_with(tmp_path) == "3.10.2"


def made_with(tmp_path: Path) -> str:
    stamp = json.loads((tmp_path / "home" / "env" / "tdd-deploy.json").read_text())
    return str(stamp["versions"]["python"])


def test_a_python_that_does_not_fit_is_refused(tmp_path: Path, interpreter: Callable[..., Path]) -> None:
    with pytest.raises(
        BadOption, match=r"^python must be the path of a Python 3\.10 \(got .*, which is Python 3\.11\.4\)"
    ):
        setup(interpreter("mine", "3.11.4"))
    with pytest.raises(BadOption, match="does not run"):
        setup(tmp_path / "none")
    assert not (tmp_path / "home").exists()


def test_a_missing_environment_comes_with_the_command_that_makes_it() -> None:
    with pytest.raises(MissingEnvironment, match=r"lava run needs .*\. Run tdd-deploy lava setup\.") as missing:
        require("tdd-deploy lava run")
    assert missing.value.exit_code == 3


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["tdd-deploy", "lava", *words])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


def test_the_commands_set_up_and_say_so_on_stderr(
    interpreter: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "run", "bundle", "--inputs", "x.npz", "--out", "y.npz") == 3
    assert "Run tdd-deploy lava setup." in capsys.readouterr().err
    assert command(monkeypatch, "setup", "--python", str(interpreter("mine"))) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{find()}\n"
    assert "installing Lava" in captured.err


@pytest.fixture
def tidy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Shared memory of our own, and no processes."""
    (tmp_path / "shm").mkdir()
    monkeypatch.setattr(supervisor, "SHARED_MEMORY", tmp_path / "shm")
    monkeypatch.setattr(supervisor, "processes", lambda: iter([]))
    return tmp_path / "shm"


def test_the_doctor_names_a_remedy_for_what_is_missing(
    tidy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "doctor", "--json") == 1
    report = json.loads(capsys.readouterr().out)
    checks = {check["name"]: check for check in report["checks"]}
    assert (report["schema_version"], report["ok"]) == (1, False)
    assert checks["environment"]["remedy"] == "run tdd-deploy lava setup"
    assert checks["leftovers of earlier runs"]["ok"]
    assert command(monkeypatch, "doctor") == 1
    assert "BAD  environment" in capsys.readouterr().out


def test_the_doctor_finds_leftovers_of_earlier_runs_and_nothing_else(
    tidy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tddabcde_1f", "tddwork1_2e", "psm_1234", "tdd_other"):
        (tidy / name).touch()
    monkeypatch.setattr(supervisor, "processes", lambda: iter([(7, "abcde"), (8, "work1")]))
    monkeypatch.setattr(supervisor, "at_work", lambda: {"work1"})
    check = doctor.doctor()[-1]
    assert not check.ok
    assert check.found == "1 processes, 1 segments of shared memory"
    assert check.remedy == f"kill -9 7; rm {tidy / 'tddabcde_1f'}"


@pytest.mark.parametrize(
    ("changes", "bad"),
    [
        ({}, []),
        ({"python": "3.11.2"}, ["interpreter"]),
        ({"lava": "ImportError: no"}, ["lava imports"]),
        ({"packages": {**pins(), "scipy": "1.0.0"}}, ["packages"]),
        ({"packages": {**pins(), "numpy": "2.1.0"}}, ["packages", "numpy below 2"]),
    ],
)
def test_the_doctor_compares_the_environment_with_what_it_should_be(
    changes: Mapping[str, object],
    bad: list[str],
    tidy: Path,
    interpreter: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setup(interpreter("mine"))
    fine = {"python": "3.10.9", "packages": pins(), "lava": "fine"}
    monkeypatch.setattr(environment, "report", lambda python: {**fine, **changes})
    monkeypatch.setattr(doctor, "_spikes", lambda python: doctor.Check("spikes", True, "right"))
    checks = doctor.doctor()
    assert [check.name for check in checks if not check.ok] == bad
    assert all(check.remedy for check in checks if not check.ok)


def test_an_interpreter_that_reports_nonsense_fails_one_check(tidy: Path, interpreter: Callable[..., Path]) -> None:
    setup(interpreter("mine"))
    (bad,) = (check for check in doctor.doctor() if not check.ok)
    assert bad.name == "interpreter"
    assert "does not answer" in bad.found
