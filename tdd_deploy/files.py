"""Files that are either whole or absent."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import BadFile


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside ``path``; rename it to ``path`` if all went well, remove it otherwise.

    Raises:
        BadFile: ``path`` is a folder, a pipe or a device, its folder is missing or not writable, or the disk is full.
    """
    if path.is_dir():
        raise BadFile(path, "is a folder", "name a file")
    if path.exists() and not path.is_file():
        raise BadFile(path, "is a pipe or a device", "name a regular file")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise BadFile(
            path, f"cannot be written ({error.strerror})", "name a file in a folder you can write to"
        ) from error
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    except OSError as error:
        raise BadFile(
            path, f"cannot be written ({error.strerror})", "name a file on a disk with enough space"
        ) from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``folder``, which must be empty or absent; rename it if all went well.

    Raises:
        BadFile: the folder is not empty, or cannot be made.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise BadFile(folder, "is not an empty folder", "name a new folder")
    make_folder(folder.absolute().parent)
    try:
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.absolute().parent))
    except OSError as error:
        raise BadFile(folder, f"cannot be made ({error.strerror})", "name a folder where you can write") from error
    try:
        yield part
        part.chmod(0o777 & ~_umask())
        part.replace(folder)
    except OSError as error:
        raise BadFile(folder, f"cannot be written ({error.strerror})", "name a folder where you can write") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people and programs; NaN and infinity are refused."""
    with replacing(path) as part:
        part.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path, remedy: str) -> Any:
    """Read a JSON file.

    Raises:
        BadFile: it is missing, not a text file, or not JSON; the error has the caller's remedy.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(path, "is missing or not a text file", remedy) from error
    except (ValueError, RecursionError) as error:
        raise BadFile(path, f"is not JSON ({error})", remedy) from error


def make_folder(path: Path) -> None:
    """Make a folder and its parents, unless it exists.

    Raises:
        BadFile: a file is in its place, or it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise BadFile(path, "is a file", "name a folder") from error
    except OSError as error:
        raise BadFile(path, f"cannot be made ({error.strerror})", "name a folder where you can write") from error


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


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
