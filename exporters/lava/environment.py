"""The Python 3.10 environment that Lava needs: make it once, find it, examine it."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tdd_deploy.documents import read_json
from tdd_deploy.errors import BadFile, BadOption, MissingDependency, MissingEnvironment, WorkerFailed
from tdd_deploy.files import make_folder, write_json

Progress = Callable[[str], None]  # receives a sentence about each step

PYTHON = "3.10"  # the only one that Lava runs on
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
HOME_VARIABLE = "TDD_DEPLOY_LAVA_HOME"
SETUP = "tdd-deploy lava setup"
LAST_LINES = 20
QUESTION_S = 20.0  # for an interpreter to report its version
REPORT_S = 60.0  # for an environment to import Lava

VERSION = "import sys; sys.stdout.write('.'.join(map(str, sys.version_info[:3])))"
REPORT = """
import json, sys
from importlib import metadata
found = {"python": "%d.%d.%d" % sys.version_info[:3], "packages": {}, "lava": "fine"}
for package in sys.argv[1:]:
    try:
        found["packages"][package] = metadata.version(package)
    except metadata.PackageNotFoundError:
        found["packages"][package] = "missing"
try:
    from lava.proc.lif.process import LIF
except BaseException as error:
    found["lava"] = "%s: %s" % (type(error).__name__, error)
sys.stdout.write("\\n" + json.dumps(found))
"""


@dataclass(frozen=True)
class Found:
    """An interpreter that runs, and its version."""

    path: Path
    version: str


def home() -> Path:
    """Find the folder of the environment and of the logs of failed runs.

    Raises:
        MissingDependency: $TDD_DEPLOY_LAVA_HOME is not set, and the package that finds cache folders is missing.
    """
    if given := os.environ.get(HOME_VARIABLE):
        return Path(given).expanduser().absolute()
    try:
        from platformdirs import user_cache_path  # noqa: PLC0415  (optional)
    except ImportError as error:
        raise MissingDependency("platformdirs", "tdd-deploy lava", "'tdd-deploy[lava]'") from error
    return user_cache_path("tdd-deploy", appauthor=False) / "lava-0.10.0"


def find() -> Path | None:
    """Find the environment's interpreter; None until the setup of this version is complete."""
    python = _python()
    stamp = _stamp()
    try:
        found = read_json(stamp, f"run {SETUP}")
    except BadFile:
        return None
    complete = isinstance(found, dict) and found.get("requirements") == _requirements_hash()
    return python if complete and os.access(python, os.X_OK) else None


def require(needed_for: str) -> Path:
    """Find the environment's interpreter.

    Raises:
        MissingEnvironment: it is not set up.
    """
    python = find()
    if python is None:
        raise MissingEnvironment(needed_for, "Lava's own environment", [str(_folder())], f"run {SETUP}")
    return python


def setup(python: Path | None = None, progress: Progress = lambda sentence: None) -> Path:
    """Make the environment unless it exists; return its interpreter.

    An incomplete one is made again from scratch. Two setups at once wait for each other.

    Args:
        python: a Python 3.10; by default the first that is found on PATH, in pyenv or by uv.
        progress: receives a sentence about each step.

    Raises:
        BadOption: ``python`` is no Python 3.10.
        MissingEnvironment: there is no Python 3.10.
        BadFile: the environment cannot be written.
        WorkerFailed: venv or pip failed.
    """
    given = None if python is None else _checked(python)
    make_folder(home())
    with _lock(progress) as lock:
        there = find()
        if there is not None:
            progress(f"Lava's environment is set up already: {_folder()}")
            return there
        base = given or _python_310()
        _remove(_folder(), progress)
        make_folder(_temporary())
        _run(
            [base.path, "-m", "venv", _folder()],
            lock,
            progress,
            f"making {_folder()} with {base.path} ({base.version})",
        )
        install = ["install", "--no-deps", "--only-binary", ":all:", "--no-input", "--disable-pip-version-check"]
        _run([_python(), "-m", "pip", *install, "-r", REQUIREMENTS], lock, progress, "installing Lava 0.10.0")
        _run([_python(), "-m", "pip", "check"], lock, progress, "checking the installed packages")
        shutil.rmtree(_temporary(), ignore_errors=True)
        versions = {"python": base.version, **pins()}
        write_json(_stamp(), {"schema_version": 1, "requirements": _requirements_hash(), "versions": versions})
    return _python()


def pins() -> dict[str, str]:
    """Read the version of every package in requirements.txt."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def report(python: Path) -> Mapping[str, Any]:
    """Ask an environment for its versions ``python`` and ``packages``, and for ``lava``: "fine", or the import's error.

    Raises:
        WorkerFailed: it does not answer.
    """
    command = [str(python), "-I", "-c", REPORT, *pins()]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=REPORT_S, check=True, env=_variables())
        found: Mapping[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError, json.JSONDecodeError, IndexError) as error:
        raise WorkerFailed(str(python), f"does not answer ({error})") from error
    return found


def _folder() -> Path:
    return home() / "env"


def _python() -> Path:
    return _folder() / "bin" / "python"


def _stamp() -> Path:
    """Return the file that is written last, in the folder of the environment."""
    return _folder() / "tdd-deploy.json"


def _temporary() -> Path:
    """Return the folder for pip's downloads: a killed pip leaves them, and the next setup removes them."""
    return _folder() / "tmp"


def _requirements_hash() -> str:
    return hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()


@contextlib.contextmanager
def _lock(progress: Progress) -> Iterator[int]:
    """Hold the lock; pip inherits it, so that the next setup waits for a pip that outlives us."""
    path = home() / "lock"
    try:
        file = path.open("a")
    except OSError as error:
        remedy = f"set ${HOME_VARIABLE} to a folder you can write to"
        raise BadFile(path, f"cannot be written ({error.strerror})", remedy) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another setup that is running")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _remove(folder: Path, progress: Progress) -> None:
    if not folder.exists():
        return
    progress(f"removing {folder}, which is not complete")
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise BadFile(folder, f"cannot be removed ({error.strerror})", "remove it by hand") from error


def _run(command: Sequence[object], lock: int, progress: Progress, step: str) -> None:
    """Run one step of the setup; an error quotes the output of its command."""
    progress(step)
    words = [str(word) for word in command]
    try:
        subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=True,
            env={**_variables(), "TMPDIR": str(_temporary())},
            pass_fds=[lock],
        )
    except OSError as error:
        raise WorkerFailed(step, f"failed: {words[0]} does not run ({error.strerror})") from error
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stdout.decode(errors="replace").splitlines() if line.strip()]
        found = f"failed with exit code {error.returncode}: {' '.join(words)}"
        raise WorkerFailed(step, found, f"fix the cause and run {SETUP} again", lines[-LAST_LINES:]) from error


def _variables() -> dict[str, str]:
    """Return our environment without the variables that would mislead another interpreter."""
    misleading = ("PYTHON", "VIRTUAL_ENV", "__PYVENV", "PIP_TARGET", "PIP_PREFIX", "PIP_USER")
    ours = {name: value for name, value in os.environ.items() if not name.startswith(misleading)}
    return {**ours, "PYTHONNOUSERSITE": "1"}


def _checked(python: Path) -> Found:
    """Check that a named interpreter is one that Lava needs."""
    version = _version(python)
    if version is None:
        raise BadOption("python", f"{python}, which does not run", f"the path of a Python {PYTHON}")
    if not _fits(version):
        raise BadOption("python", f"{python}, which is Python {version}", f"the path of a Python {PYTHON}")
    return Found(python.absolute(), version)


def _python_310() -> Found:
    """Find the first Python 3.10 that runs.

    Raises:
        MissingEnvironment: there is none.
    """
    for path in _candidates():
        version = _version(path)
        if version is not None and _fits(version):
            return Found(path, version)
    raise MissingEnvironment(
        SETUP,
        f"Python {PYTHON}",
        [f"PATH (python{PYTHON})", f"pyenv ({_pyenv() / 'versions'})", f"uv (uv python find {PYTHON})"],
        f"get one with 'pyenv install {PYTHON}' or 'uv python install {PYTHON}', or name one with `python=PATH`",
    )


def _candidates() -> Iterator[Path]:
    """Yield interpreters that may be a Python 3.10; pyenv's ``python3.10`` is often a script that only fails."""
    for folder in os.get_exec_path():
        yield Path(folder) / f"python{PYTHON}"
    versions = _pyenv() / "versions"
    yield from sorted(versions.glob(f"{PYTHON}.*/bin/python"), key=_patch, reverse=True)
    uv = shutil.which("uv")
    if uv is not None and (found := _answer([uv, "python", "find", PYTHON])):
        yield Path(found)


def _patch(python: Path) -> int:
    """Read 13 from .../3.10.13/bin/python, and -1 from a path that is no release."""
    patch = python.parents[1].name.removeprefix(f"{PYTHON}.")
    return int(patch) if patch.isdecimal() else -1


def _pyenv() -> Path:
    return Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser()


def _version(python: Path) -> str | None:
    """Ask an interpreter for its version; None when it does not run."""
    return _answer([python.absolute(), "-E", "-s", "-c", VERSION])


def _fits(version: str) -> bool:
    return version.startswith(f"{PYTHON}.")


def _answer(command: Sequence[object]) -> str | None:
    """Return the output of a command, or None when it fails."""
    try:
        answer = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=QUESTION_S,
            check=True,
            env=_variables(),
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return answer.stdout.strip() or None
