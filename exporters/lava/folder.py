"""The folder of a bundle: what it holds, and how a new bundle takes its place while all other files stay.

A file belongs to the bundle if its manifest lists it; every other file is the user's.
"""

import contextlib
import ctypes
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tdd_deploy.documents import read_json
from tdd_deploy.errors import BadFile
from tdd_deploy.files import sha256, synchronize, writing

from .plan import KIND

BUNDLE = Path(__file__).parent / "bundle"  # the files that all bundles share
RUN = "run.py"
MANIFEST = "manifest.json"
WEIGHTS = "weights.npz"
MOVE = "move them elsewhere, or name a new folder"
NAMED = 5  # files in a message
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # Linux: fcntl.h, fs.h


def digests(folder: Path) -> dict[str, str]:
    """Compute the SHA-256 of all files in a folder, by their paths in it; caches of Python are left out."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__")
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}


def other_code(bundle: Path) -> list[str]:
    """List the modules of a bundle that are missing, or differ from this version's modules."""
    return [name for name in digests(BUNDLE) if name.endswith(".py") and not _is_same(bundle / name, BUNDLE / name)]


def check_free(folder: Path) -> None:
    """Refuse a place where a bundle would replace something else.

    Raises:
        BadFile: the folder is the current one or a circle of links, holds no bundle, or one that was edited.
    """
    if folder.is_symlink():
        raise BadFile(folder, "is a circle of links", "name a new folder")
    if not folder.exists():
        return
    if Path.cwd().is_relative_to(folder.resolve()):
        raise BadFile(folder, "is the current folder, which cannot be replaced", "go to another folder first")
    if folder.is_dir() and not any(folder.iterdir()):
        return
    manifest = _read_manifest(folder)
    if manifest is None:
        raise BadFile(folder, "exists already and is no bundle", "name a new folder")
    listed = {name: digest for name, digest in _listed(manifest).items() if name != WEIGHTS}
    edited = [name for name, digest in listed.items() if _digest(folder / name) not in ("", digest)]
    if edited:
        raise BadFile(folder, f"holds files that were edited after the export ({name_some(edited)})", MOVE)


def name_some(files: Sequence[str]) -> str:
    """Name files in a sentence, at most ``NAMED`` of them."""
    more = f" and {len(files) - NAMED:,} more" if len(files) > NAMED else ""
    return ", ".join(files[:NAMED]) + more


@contextmanager
def replacing_bundle(folder: Path) -> Iterator[Path]:
    """Yield a path for a new bundle; if all went well, it takes the place of ``folder``, and the user's files stay.

    Whenever this ends, by SIGKILL too, the folder holds the old bundle or the new one, and all files of the user.

    Raises:
        BadFile: the folder cannot be written, or a file of the user cannot be kept.
    """
    place = folder.absolute()
    with writing(folder, "name a folder in a place you can write to", verb="made"):
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".part", dir=place.parent))
    try:
        with writing(folder, "name a folder on a disk with free space"):
            yield beside / "new"
            for path in (beside / "new", *(beside / "new").rglob("*")):
                synchronize(path)
            if folder.exists():
                _replace(folder, beside / "new", beside / "old")
            else:
                (beside / "new").rename(place)
            synchronize(place.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _replace(folder: Path, new: Path, spare: Path) -> None:
    """Put a new bundle in the place of an old one."""
    ours = {MANIFEST, WEIGHTS, *_listed(_read_manifest(folder) or {})}
    if RUN not in ours:  # manifests once listed the weights alone
        ours |= {*digests(BUNDLE)}
    if taken := _keep(folder, new, ours):
        raise BadFile(folder, f"holds files that no export wrote, under names that it needs ({name_some(taken)})", MOVE)
    shutil.copymode(folder, new)
    old = _exchange(new, folder, spare)
    with contextlib.suppress(OSError):
        _keep(old, folder, ours)  # files that appeared meanwhile


def _keep(old: Path, new: Path, ours: set[str], below: str = "") -> list[str]:
    """Link the user's files in an old bundle into a new one; return those whose names are taken."""
    taken = []
    with os.scandir(old / below) as scanned:
        entries = sorted(scanned, key=lambda entry: entry.name)
    for entry in entries:
        name, target = f"{below}{entry.name}", new / below / entry.name
        try:
            if not entry.is_dir(follow_symlinks=False):
                if name not in ours:
                    os.link(entry.path, target, follow_symlinks=False)
                continue
            is_new = not target.exists()
            target.mkdir(exist_ok=True)
            taken += _keep(old, new, ours, f"{name}/")
            if is_new:
                shutil.copystat(entry.path, target)  # after its files: it may be read-only
        except FileExistsError:
            taken += [] if os.path.samestat(entry.stat(follow_symlinks=False), target.lstat()) else [name]
        except OSError as error:
            raise BadFile(old, f"holds {name}, which cannot be kept ({error.strerror})", MOVE) from error
    return taken


def _exchange(new: Path, folder: Path, spare: Path) -> Path:
    """Exchange two folders, in one moment if the system can; return where the old one is."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename and rename(AT_FDCWD, os.fsencode(new), AT_FDCWD, os.fsencode(folder), RENAME_EXCHANGE) == 0:
        return new
    try:  # some network file systems cannot exchange: a SIGKILL here leaves the old folder as a hidden one
        folder.rename(spare)
        new.rename(folder)
    except BaseException:
        if not folder.exists():
            spare.rename(folder)
        raise
    return spare


def _read_manifest(folder: Path) -> Mapping[str, Any] | None:
    """Read the manifest of a bundle; None if the folder is no bundle: other tools have files of this name too."""
    try:
        manifest = read_json(folder / MANIFEST, "")
    except BadFile:
        return None
    return manifest if isinstance(manifest, dict) and manifest.get("kind") == KIND else None


def _listed(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Read the hashes of a bundle's files."""
    listed = manifest.get("sha256")
    return {name: str(digest) for name, digest in listed.items()} if isinstance(listed, dict) else {}


def _is_same(path: Path, ours: Path) -> bool:
    """Compare an untrusted file with one of ours: first the size, then the hash."""
    try:
        return path.is_file() and path.stat().st_size == ours.stat().st_size and sha256(path) == sha256(ours)
    except OSError:
        return False


def _digest(path: Path) -> str:
    """Compute the SHA-256 of a file; return an empty text if it is absent, and "other" if it is no regular file."""
    if not os.path.lexists(path):
        return ""
    return sha256(path) if path.is_file() else "other"
