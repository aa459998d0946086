"""Checkpoints, from which a run continues as if it had never stopped."""

import io
import pickletools
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tdd_deploy.errors import BadFile
from tdd_deploy.files import replacing

from .memory import is_out_of_memory

RESTART = "start a new run in another folder"
START = b"PK\3\4"  # of an archive; torch would read any other file in an older format
LONGEST_DESCRIPTION = 32 << 20  # bytes; an epoch takes some hundred, a tensor less
DESCRIBED = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    *(
        f"torch {name}Storage"
        for name in ("BFloat16", "Bool", "Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short")
    ),
}


@dataclass
class Progress:
    """The progress of a run; ``seen``, ``loss`` and ``correct`` are sums over the samples of the unfinished epoch."""

    epoch: int = 0  # finished epochs
    batch: int = 0  # finished batches of the next epoch
    seen: int = 0
    loss: float = 0.0
    correct: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)  # one entry per finished epoch
    input_bits: int | None = None  # width of an analog input, once the network learns for integers


def save(path: Path, *, options: dict[str, Any], progress: Progress, parts: dict[str, Any]) -> None:
    """Write a checkpoint; ``parts`` have a ``state_dict``."""
    states = {name: part.state_dict() for name, part in parts.items()}
    content = io.BytesIO()  # torch does not report a full disk
    torch.save({"options": options, "progress": vars(progress), **states}, content)
    with replacing(path) as part:
        part.write_bytes(content.getvalue())


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint: tensors and plain values, never code.

    Raises:
        BadFile: missing, damaged, or not a checkpoint.
        MemoryError: too little memory for it.
    """
    try:
        _check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BadFile(path, "is missing", RESTART) from None
    except Exception as error:
        if is_out_of_memory(error):
            raise MemoryError(str(error)) from error
        raise BadFile(path, "is damaged or not a checkpoint", RESTART) from error
    if not isinstance(content, dict) or not {"options", "progress", "network", "optimizer"} <= set(content):
        raise BadFile(path, "is not a checkpoint of tdd-deploy", RESTART)
    return content


def _check_archive(path: Path) -> None:
    """Check what torch does not: checksums, sizes, and that the content is described with tensors alone.

    torch.load makes no other objects, but some that it makes allocate as much memory as the file asks for.
    """
    with path.open("rb") as file:
        if file.read(len(START)) != START:
            raise zipfile.BadZipFile("no archive")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        descriptions = [each for each in members if each.filename.lower().endswith("data.pkl")]
        is_plain = all(each.compress_type == zipfile.ZIP_STORED for each in members)
        is_whole = sum(each.file_size for each in members) <= path.stat().st_size
        if not (is_plain and is_whole and len(descriptions) == 1 and descriptions[0].file_size <= LONGEST_DESCRIPTION):
            raise zipfile.BadZipFile("not as torch writes it")
        damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(damaged)
        for opcode, argument, _ in pickletools.genops(archive.read(descriptions[0])):
            if opcode.name == "STACK_GLOBAL" or (opcode.name in ("GLOBAL", "INST") and argument not in DESCRIBED):
                raise zipfile.BadZipFile(f"holds {argument}")
