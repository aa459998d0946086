"""Files that are either whole or absent."""

import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import BadFile

FOLDER_OF_FILE = "name a file in a folder you can write to"
FOLDER = "name a folder where you can write"


@contextmanager
def writing(path: Path, remedy: str, *, verb: str = "written") -> Iterator[None]:
    """Turn an error of the system into BadFile, which names the path that was meant."""
    try:
        yield
    except OSError as error:
        raise BadFile(path, f"cannot be {verb} ({error.strerror or error})", remedy) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file; if all went well, rename it to ``path``, and remove it otherwise.

    Its bytes are on the disk before it has the name. A link stays, and the file that it names is replaced.

    Raises:
        BadFile: ``path`` is no regular file, its folder is missing or not writable, or the disk is full.
    """
    target = find_target(path)
    with writing(path, FOLDER_OF_FILE):
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    os.close(handle)
    part = Path(name)
    try:
        with writing(path, "name a file on a disk with enough space"):
            yield part
            part.chmod(0o666 & ~_umask())
            synchronize(part)
            part.replace(target)
            synchronize(target.parent)
    finally:
        part.unlink(missing_ok=True)


def find_target(path: Path) -> Path:
    """Find the file that would be replaced: ``path``, or what a link names; either may be absent.

    Raises:
        BadFile: it is a folder, a pipe or a device, or a link that leads nowhere.
    """
    try:
        target = path.resolve() if path.is_symlink() else path
        mode = target.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return target
    except (OSError, ValueError, RuntimeError) as error:  # a circle of links; no right to look; a zero byte
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise BadFile(path, f"cannot be written ({reason})", FOLDER_OF_FILE) from error
    if stat.S_ISDIR(mode):
        raise BadFile(path, "is a folder", "name a file")
    if not stat.S_ISREG(mode):
        raise BadFile(path, "is a pipe or a device", "name a regular file")
    return target


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder; if all went well, move its files to ``folder``, which must be empty or absent.

    Raises:
        BadFile: the folder is not empty, or cannot be made.
    """
    if folder.exists() and not is_empty(folder):
        raise BadFile(folder, "is not an empty folder", "name a new folder")
    with filling(folder) as part:
        yield part


@contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder; if all went well, move its files to ``folder``, which may hold others.

    A new folder appears whole. A folder that exists stays, since it may be a mount point or the current one; all files
    are on the disk before the first one gets its name there.

    Raises:
        BadFile: the folder is a file, or it or a file in it cannot be written.
    """
    refuse_file(folder)
    is_new = not folder.exists()
    target = folder.resolve()
    make_folder(target.parent)
    prefix, beside = (f".{target.name}.", target.parent) if is_new else (".", target)
    with writing(folder, FOLDER, verb="made" if is_new else "written"):
        part = Path(tempfile.mkdtemp(prefix=prefix, suffix=".part", dir=beside))
    try:
        with writing(folder, FOLDER):
            with _naming(part, folder):
                yield part
            if is_new:
                part.chmod(0o777 & ~_umask())
                part.replace(target)
            else:
                targets = {file: find_target(target / file.name) for file in part.iterdir()}
                for file, place in targets.items():
                    file.replace(place)
            synchronize(beside)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _naming(part: Path, folder: Path) -> Iterator[None]:
    """Let errors name files in the user's folder, not in the hidden one that is filled for it."""
    try:
        yield
    except BadFile as error:
        path = Path(error.path)
        if not path.is_relative_to(part):
            raise
        raise BadFile(folder / path.relative_to(part), error.found, error.remedy) from error


def is_special(path: Path) -> bool:
    """Decide whether a path is a pipe or a device: its reader may wait forever, or never reach an end."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # missing, or no right to look: reading it reports that
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def is_empty(folder: Path) -> bool:
    """Decide whether a path is a folder without anything in it."""
    return folder.is_dir() and not any(folder.iterdir())


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people and programs; NaN and infinity are refused."""
    with replacing(path) as part:
        part.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def make_folder(path: Path) -> None:
    """Make a folder and its parents, unless it exists.

    Raises:
        BadFile: a file is in its place, or it cannot be made.
    """
    with writing(path, FOLDER, verb="made"):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise BadFile(path, "is a file", "name a folder") from error


def check_folder(path: Path, names: Collection[str]) -> None:
    """Find out before a long run whether files can be written into a folder, which may be absent.

    Raises:
        BadFile: the path is a file; the folder, or the one that it would be made in, is not writable; or one of the
            files could not be replaced.
    """
    refuse_file(path)
    there = path if path.is_dir() else next((each for each in path.absolute().parents if each.exists()), Path("/"))
    if not os.access(there, os.W_OK | os.X_OK):
        raise BadFile(path, f"cannot be written ({there} is not writable)", FOLDER)
    for name in names:
        find_target(path / name)


def refuse_file(path: Path) -> None:
    """Refuse a file where a folder will be written.

    Raises:
        BadFile: the path is a file.
    """
    if path.exists() and not path.is_dir():
        raise BadFile(path, "is a file", "name a folder")


def sha256(path: Path) -> str:
    """Compute the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(path: Path) -> str:
    """Hash a file's size, first and last MiB: fast at any size, and enough to distinguish data sets."""
    size, n = path.stat().st_size, 1 << 20
    with path.open("rb") as file:
        first = file.read(n)
        file.seek(max(0, size - n))
        return hashlib.sha256(b"%d %b %b" % (size, first, file.read(n))).hexdigest()


def synchronize(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if not (path.is_dir() and error.errno in (errno.EINVAL, errno.ENOTSUP)):  # not every file system can
            raise
    finally:
        os.close(handle)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
