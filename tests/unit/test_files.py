import errno
import json
import os
from pathlib import Path

import pytest

from tdd_deploy.errors import BadFile
from tdd_deploy.files import (
    appearing,
    check_folder,
    filling,
    fingerprint,
    make_folder,
    replacing,
    sha256,
    write_json,
)


@pytest.fixture
def umask():
    """Set a umask for one test."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def test_a_file_appears_whole_under_its_name(tmp_path):
    path = tmp_path / "report.json"
    with replacing(path) as part:
        part.write_text("half")
        assert not path.exists()
        assert part.parent == tmp_path  # else the last rename could cross a disk, and not be one step
        part.write_text("whole")
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def write_half(path, error):
    with replacing(path) as part:
        part.write_text("half")
        raise error


def test_a_failure_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError, match="disk on fire"):
        write_half(tmp_path / "a", RuntimeError("disk on fire"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_leaves_the_old_file_as_it_was(tmp_path, error):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(error):
        write_half(path, error)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_old_file_is_replaced(tmp_path):
    path = tmp_path / "a"
    path.write_text("old and longer")
    with replacing(path) as part:
        part.write_text("new")
    assert path.read_text() == "new"


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_file_has_the_permissions_that_open_would_give_it(tmp_path, umask, mask, mode):
    umask(mask)
    with replacing(tmp_path / "a") as part:
        part.write_text("x")
    assert (tmp_path / "a").stat().st_mode & 0o777 == mode
    assert os.umask(mask) == mask  # and the process keeps its own


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path):
    with pytest.raises(BadFile, match=r"is a folder\. Name a file\.$"), replacing(tmp_path):
        pytest.fail("the body must not run")


def test_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadFile, match="is a pipe or a device"), replacing(tmp_path / "pipe"):
        pytest.fail("the body must not run")


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "a").write_text("old")
    (tmp_path / "link").symlink_to("far/a")
    with replacing(tmp_path / "link") as part:
        part.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "far" / "a").read_text() == "new"
    assert names(tmp_path) == ["far", "link"]


def test_a_link_to_a_file_that_is_not_there_yet_makes_it(tmp_path):
    (tmp_path / "link").symlink_to("a")
    with replacing(tmp_path / "link") as part:
        part.write_text("new")
    assert (tmp_path / "a").read_text() == "new"
    assert (tmp_path / "link").is_symlink()


def test_links_in_a_circle_and_links_to_a_pipe_are_refused(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to-pipe").symlink_to("pipe")
    for name in ("a", "to-pipe"):
        with pytest.raises(BadFile, match=rf"{name} (cannot be written|is a pipe)"), replacing(tmp_path / name):
            pytest.fail("the body must not run")


def test_a_name_that_no_file_can_have_is_refused(tmp_path):
    for path in (Path("a\0b"), tmp_path / ("a" * 300)):
        with pytest.raises(BadFile, match="cannot be written"), replacing(path):
            pytest.fail("the body must not run")


def test_bytes_are_on_the_disk_before_they_have_the_name_and_then_the_name_is(tmp_path, monkeypatch):
    path = tmp_path / "a"
    seen = []

    def synchronized(handle):
        seen.append((Path(f"/proc/self/fd/{handle}").readlink().name, path.exists()))

    monkeypatch.setattr(os, "fsync", synchronized)
    with replacing(path) as part:
        part.write_text("x")
    assert seen == [(part.name, False), (tmp_path.name, True)]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def fill(folder, text, error=None):
    with filling(folder) as part:
        for name in ("a", "b"):
            write_json(part / name, text)
        if error:
            raise error


def test_a_folder_is_filled_whole(tmp_path):
    fill(tmp_path / "new", 1)
    assert names(tmp_path) == ["new"]
    assert names(tmp_path / "new") == ["a", "b"]


def test_a_folder_that_is_filled_again_keeps_other_files_and_links(tmp_path):
    folder = tmp_path / "old"
    fill(folder, 1)
    (folder / "a").rename(tmp_path / "far")
    (folder / "a").symlink_to(tmp_path / "far")
    (folder / "notes").write_text("mine")
    fill(folder, 2)
    assert names(folder) == ["a", "b", "notes"]
    assert (folder / "a").is_symlink()
    assert [(folder / name).read_text() for name in ("a", "b", "notes")] == ["2\n", "2\n", "mine"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_folder_that_was_not_filled_stays_as_it_was(tmp_path, error):
    with pytest.raises(error):
        fill(tmp_path / "new", 1, error)
    assert names(tmp_path) == []
    fill(tmp_path / "old", 1)
    with pytest.raises(error):
        fill(tmp_path / "old", 2, error)
    assert names(tmp_path / "old") == ["a", "b"]
    assert (tmp_path / "old" / "a").read_text() == "1\n"


def test_a_pipe_in_a_folder_leaves_all_its_files_as_they_were(tmp_path):
    fill(tmp_path, 1)
    (tmp_path / "b").unlink()
    os.mkfifo(tmp_path / "b")
    with pytest.raises(BadFile, match="b is a pipe or a device"):
        fill(tmp_path, 2)
    assert (tmp_path / "a").read_text() == "1\n"


def test_before_a_long_run_a_folder_is_checked(tmp_path, monkeypatch):
    check_folder(tmp_path / "new" / "er", ("a",))
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "a")
    with pytest.raises(BadFile, match="file is a file"):
        check_folder(tmp_path / "file", ())
    with pytest.raises(BadFile, match="a is a pipe or a device"):
        check_folder(tmp_path, ("a",))
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(BadFile, match=f"new cannot be written \\({tmp_path} is not writable"):
        check_folder(tmp_path / "new", ())


@pytest.mark.parametrize("held", [[], ["other"]], ids=["new", "filled"])
def test_an_error_names_the_file_of_the_folder_and_no_hidden_one(tmp_path, held):
    folder = tmp_path / "out"
    folder.mkdir()
    for name in held:
        (folder / name).touch()
    with pytest.raises(BadFile) as error, filling(folder) as part:
        write_json(part / "absent" / "a.json", {})
    assert error.value.path == folder / "absent" / "a.json"


def test_a_missing_folder_is_named(tmp_path):
    path = tmp_path / "none" / "a"
    with pytest.raises(BadFile) as caught, replacing(path):
        pytest.fail("the body must not run")
    assert str(caught.value) == (
        f"{path} cannot be written ({os.strerror(errno.ENOENT)}). Name a file in a folder you can write to."
    )


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadFile, match="cannot be written"), replacing(tmp_path / "file" / "a"):
        pytest.fail("the body must not run")


def test_a_bare_name_lands_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with replacing(Path("a")) as part:
        part.write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_json_is_readable_and_ends_with_a_newline(tmp_path):
    write_json(tmp_path / "a.json", {"energy_pj": 23.6, "steps": [1, 2], "none": None})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"energy_pj": 23.6, "steps": [1, 2], "none": None}
    assert text.splitlines()[1] == '  "energy_pj": 23.6,'
    assert text.endswith("}\n")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_json_has_no_nan_and_no_infinity(tmp_path, number):
    path = tmp_path / "a.json"
    write_json(path, {"energy_pj": 1.0})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"energy_pj": number})
    assert json.loads(path.read_text()) == {"energy_pj": 1.0}
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_made_with_those_above_it_and_may_be_there_already(tmp_path):
    for _ in range(2):
        make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_file_where_a_folder_should_be_is_named(tmp_path):
    (tmp_path / "a").write_text("x")
    with pytest.raises(BadFile, match=r"is a file\. Name a folder\."):
        make_folder(tmp_path / "a")
    with pytest.raises(BadFile, match=r"cannot be made \(.*\)\. Name a folder where you can write"):
        make_folder(tmp_path / "a" / "b")


def test_sha256_is_that_of_the_standard(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")  # the example of FIPS 180-2, appendix B.1
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_folder_appears_whole_under_its_name(tmp_path, umask):
    umask(0o027)
    path = tmp_path / "above" / "run"
    with appearing(path) as part:
        (part / "a").write_text("half")
        assert not path.exists()
        assert part.parent == path.parent
    assert [each.name for each in path.iterdir()] == ["a"]
    assert path.stat().st_mode & 0o777 == 0o750
    assert list(path.parent.iterdir()) == [path]


def test_an_empty_folder_is_filled_and_no_other(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    before = path.stat().st_ino
    with appearing(path) as part:
        (part / "a").write_text("a")
    assert path.stat().st_ino == before  # it may be a mount point, or the current folder of a shell
    with pytest.raises(BadFile, match=r"is not an empty folder\. Name a new folder"), appearing(path):
        pass
    with pytest.raises(BadFile, match="is not an empty folder"), appearing(path / "a"):
        pass
    assert (path / "a").read_text() == "a"


def write_half_a_folder(path, error):
    with appearing(path) as part:
        (part / "a").write_text("half")
        raise error


def test_a_failure_leaves_no_folder_behind(tmp_path):
    for error in (KeyboardInterrupt(), RuntimeError("disk on fire")):
        with pytest.raises(type(error)):
            write_half_a_folder(tmp_path / "run", error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("at", [0, 1 << 20, (3 << 20) - 1])
def test_a_fingerprint_knows_the_size_and_both_ends(tmp_path, at):
    path, data = tmp_path / "data", bytearray(3 << 20)
    path.write_bytes(data)
    before = fingerprint(path)
    assert fingerprint(path) == before
    data[at] = 1
    path.write_bytes(data)
    assert (fingerprint(path) == before) == (at == 1 << 20)  # the middle is not read
    path.write_bytes(bytes((3 << 20) + 1))
    assert fingerprint(path) != before


def test_a_small_file_is_in_its_fingerprint_whole(tmp_path):
    found = set()
    for data in (b"", b"a", b"b", b"ab", b"ba", bytes(1 << 20), bytes((1 << 20) + 5)):
        (tmp_path / "data").write_bytes(data)
        found.add(fingerprint(tmp_path / "data"))
    assert len(found) == 7
