"""The folder of a bundle: an export replaces what its manifest lists, and keeps every other file."""

import errno
import hashlib
import json
import os
import signal
import stat
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tdd_deploy.errors import BadFile
from tdd_deploy.exporters.lava import environment
from tdd_deploy.exporters.lava import folder as folder_module
from tdd_deploy.exporters.lava.folder import BUNDLE, name_some, other_code
from tdd_deploy.exporters.lava.write import write
from tdd_deploy.program import Program
from tdd_deploy.program.quantization.quantize import quantize
from tdd_deploy.version import __version__
from tests import by_hand
from tests.commands import Call
from tests.effort import IS_LONG

INTEGERS = quantize(by_hand.program(), input_bits=4).program
THREE, NINE = INTEGERS, replace(INTEGERS, n_steps=9)
FILES = ("open", "os.", "shutil.")  # events of Python when it touches files


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle with notes, results in folders, a link that leads nowhere, and a pipe."""
    path = tmp_path / "bundle"
    write(THREE, path)
    (path / "notes.txt").write_text("mine")
    (path / "results" / "day 1").mkdir(parents=True)
    (path / "results" / "day 1" / "y.npz").write_bytes(b"days of work")
    (path / "results" / "day 1").chmod(0o555)  # write-protected
    (path / "empty").mkdir(0o700)
    (path / "tdd_lif" / "mine.py").write_text("mine too")
    (path / "link").symlink_to("nowhere")
    os.mkfifo(path / "pipe")
    return path


def check_files_of_the_user(path: Path) -> None:
    assert (path / "notes.txt").read_text() == "mine"
    assert (path / "results" / "day 1" / "y.npz").read_bytes() == b"days of work"
    assert stat.S_IMODE((path / "results" / "day 1").stat().st_mode) == 0o555
    assert stat.S_IMODE((path / "empty").stat().st_mode) == 0o700
    assert (path / "tdd_lif" / "mine.py").read_text() == "mine too"
    assert (path / "link").readlink() == Path("nowhere")
    assert (path / "pipe").is_fifo()


def manifest_of(path: Path) -> Any:
    return json.loads((path / "manifest.json").read_text())


def names(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir())


def test_the_manifest_lists_every_file_with_its_hash(tmp_path: Path) -> None:
    write(THREE, tmp_path / "bundle")
    files = {path for path in (tmp_path / "bundle").rglob("*") if path.is_file() and path.name != "manifest.json"}
    found = {path.relative_to(tmp_path / "bundle").as_posix(): path.read_bytes() for path in files}
    assert {"run.py", "README.md", "requirements.txt", "weights.npz", "tdd_lif/process.py"} <= set(found)
    listed = {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}
    assert manifest_of(tmp_path / "bundle")["sha256"] == listed


def test_files_that_no_export_wrote_stay(bundle: Path, tmp_path: Path) -> None:
    bundle.chmod(0o750)
    write(NINE, bundle)
    assert manifest_of(bundle)["n_steps"] == 9
    check_files_of_the_user(bundle)
    assert stat.S_IMODE(bundle.stat().st_mode) == 0o750
    assert names(tmp_path) == ["bundle"]


def test_files_of_an_older_version_go_with_its_bundle(bundle: Path) -> None:
    (bundle / "tdd_old").mkdir()
    (bundle / "tdd_old" / "gone.py").write_text("old")
    manifest = manifest_of(bundle)
    manifest["sha256"]["tdd_old/gone.py"] = hashlib.sha256(b"old").hexdigest()
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    write(NINE, bundle)
    assert not (bundle / "tdd_old" / "gone.py").exists()
    check_files_of_the_user(bundle)


def test_a_manifest_that_lists_the_weights_alone_is_of_an_older_bundle(bundle: Path) -> None:
    manifest = manifest_of(bundle)
    manifest["sha256"] = {"weights.npz": manifest["sha256"]["weights.npz"]}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    (bundle / "run.py").write_text("an older run.py")
    write(NINE, bundle)
    assert (bundle / "run.py").read_bytes() == (BUNDLE / "run.py").read_bytes()
    check_files_of_the_user(bundle)


def test_an_edited_bundle_is_refused_with_the_files(bundle: Path, tmp_path: Path) -> None:
    (bundle / "run.py").write_text("my own")
    (bundle / "README.md").unlink()  # nothing of the user is lost with it
    (bundle / "weights.npz").write_bytes(b"damaged")  # and an export is the remedy for this
    with pytest.raises(BadFile, match=r"edited after the export \(run\.py\)\. Move them elsewhere, or name a new fold"):
        write(NINE, bundle)
    assert (bundle / "run.py").read_text() == "my own"
    check_files_of_the_user(bundle)
    (bundle / "run.py").unlink()
    write(NINE, bundle)
    check_files_of_the_user(bundle)
    assert names(tmp_path) == ["bundle"]


def test_a_file_of_the_user_under_a_name_that_is_needed_is_refused(bundle: Path, tmp_path: Path) -> None:
    manifest = manifest_of(bundle)
    del manifest["sha256"]["README.md"]  # a later version has a file that this one has not
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BadFile, match=r"no export wrote, under names that it needs \(README\.md\)\. Move them"):
        write(NINE, bundle)
    assert manifest_of(bundle)["n_steps"] == 3
    check_files_of_the_user(bundle)
    assert names(tmp_path) == ["bundle"]


def test_a_file_that_cannot_be_kept_is_refused(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **_options: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(folder_module.os, "link", refuse)
    with pytest.raises(BadFile, match=r"holds .*, which cannot be kept \(Operation not permitted\)\. Move them"):
        write(NINE, bundle)
    assert manifest_of(bundle)["n_steps"] == 3
    check_files_of_the_user(bundle)


def test_the_current_folder_is_not_replaced(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bundle / "results")
    for path in (bundle, Path("..")):
        with pytest.raises(BadFile, match=r"is the current folder.*\. Go to another folder first"):
            write(NINE, path)


def test_a_link_to_a_bundle_stays_a_link(bundle: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(bundle)
    write(NINE, link)
    assert link.is_symlink()
    assert manifest_of(bundle)["n_steps"] == 9
    check_files_of_the_user(bundle)
    (tmp_path / "ahead").symlink_to(tmp_path / "new")
    write(NINE, tmp_path / "ahead")
    assert manifest_of(tmp_path / "new")["n_steps"] == 9
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(BadFile, match=r"circle is a circle of links\. Name a new folder"):
        write(NINE, tmp_path / "circle")


def test_a_file_of_the_bundle_that_is_a_link_is_replaced_and_what_it_names_stays(bundle: Path, tmp_path: Path) -> None:
    (bundle / "weights.npz").rename(tmp_path / "large.npz")
    (bundle / "weights.npz").symlink_to(tmp_path / "large.npz")
    before = (tmp_path / "large.npz").read_bytes()
    write(NINE, bundle)
    assert not (bundle / "weights.npz").is_symlink()
    assert (tmp_path / "large.npz").read_bytes() == before


def test_a_file_that_appears_during_the_export_stays(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = folder_module._exchange

    def late(new: Path, folder: Path, spare: Path) -> Path:
        (folder / "late.txt").write_text("just in time")
        return exchange(new, folder, spare)

    monkeypatch.setattr(folder_module, "_exchange", late)
    write(NINE, bundle)
    assert (bundle / "late.txt").read_text() == "just in time"
    check_files_of_the_user(bundle)


def test_a_system_that_cannot_exchange_folders_renames_them(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module.ctypes, "CDLL", lambda _: None)
    write(NINE, bundle)
    assert manifest_of(bundle)["n_steps"] == 9
    check_files_of_the_user(bundle)
    rename = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(BadFile, match="cannot be written"):
        write(THREE, bundle)
    assert manifest_of(bundle)["n_steps"] == 9
    check_files_of_the_user(bundle)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot exchange folders")
def test_a_kill_at_any_moment_leaves_a_whole_bundle_and_all_files_of_the_user(bundle: Path) -> None:
    """The export is killed at its first touch of a file, at its fourth, and so on until it survives."""
    found, touches, program = [], 0, NINE
    while killed(program, bundle, after=touches):
        manifest = manifest_of(bundle)
        for name, digest in manifest["sha256"].items():
            assert hashlib.sha256((bundle / name).read_bytes()).hexdigest() == digest
        check_files_of_the_user(bundle)
        found.append(manifest["n_steps"])
        program = THREE if found[-1] == 9 else NINE
        touches += 1 if IS_LONG else 3
    assert touches > 50
    assert set(found) == {3, 9}


def killed(program: Program, path: Path, *, after: int) -> bool:
    """Export in a copy of this process, which dies at its ``after``th touch of a file; return whether it did."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about forks beside threads; the copy runs one
        copy = os.fork()
    if not copy:
        left = after

        def count(event: str, _arguments: object) -> None:
            nonlocal left
            if event.startswith(FILES) and event != "os.kill":
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1

        try:
            sys.addaudithook(count)
            write(program, path)
        finally:
            os._exit(0)
    _, status = os.waitpid(copy, 0)
    return os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def test_a_sentence_names_five_files_at_most() -> None:
    assert name_some(["a", "b"]) == "a, b"
    assert name_some([*"abcdefg"]) == "a, b, c, d, e and 2 more"


def test_modules_that_are_other_than_ours_are_listed(bundle: Path) -> None:
    assert other_code(bundle) == []
    (bundle / "README.md").write_text("notes")  # is not executed
    (bundle / "run.py").write_bytes((BUNDLE / "run.py").read_bytes()[:-1] + b" ")
    (bundle / "tdd_lif" / "process.py").unlink()
    (bundle / "tdd_io" / "__init__.py").unlink()
    (bundle / "tdd_io" / "__init__.py").mkdir()
    assert other_code(bundle) == ["run.py", "tdd_io/__init__.py", "tdd_lif/process.py"]


def test_no_code_in_a_bundle_is_executed_and_other_code_is_reported(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    monkeypatch.setattr(environment, "require", lambda _needed_for: Path(sys.executable))  # it has no Lava
    monkeypatch.setenv("TDD_DEPLOY_LAVA_HOME", str(tmp_path / "home"))
    np.savez(tmp_path / "x.npz", x=np.zeros(1))
    words = ["lava", "run", bundle, "--inputs", tmp_path / "x.npz", "--out", tmp_path / "y.npz"]
    called = call(*words)
    assert called.code == 2
    assert "Lava 0.10.0 runs on Python 3.10 only" in called.err
    assert "other code" not in called.err
    for name in ("run.py", "numpy.py", "tdd_run/guard.py"):
        (bundle / name).write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    called = call(*words)
    assert called.code == 2
    said, *_ = called.err.splitlines()
    assert said.startswith(f"{bundle} holds other code than tdd-deploy {__version__} (run.py, tdd_run/guard.py). ")
    assert "Lava 0.10.0 runs on Python 3.10 only" in called.err
    assert not (tmp_path / "executed").exists()
