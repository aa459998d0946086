"""What a run saves so that it can go on as if it had never stopped."""

import io
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tdd_deploy.errors import BadFile
from tdd_deploy.files import replacing


@dataclass
class Progress:
    """How far a run is; ``seen``, ``loss`` and ``correct`` are sums over an unfinished epoch's samples."""

    epoch: int = 0  # epochs finished
    batch: int = 0  # batches finished in the epoch that is not
    seen: int = 0
    loss: float = 0.0
    correct: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)  # one entry per finished epoch
    input_bits: int | None = None  # of an analog input, once the network learns for integers


def save(path: Path, *, options: dict[str, Any], progress: Progress, parts: dict[str, Any]) -> None:
    """Write a checkpoint; ``parts`` have a ``state_dict``."""
    states = {name: part.state_dict() for name, part in parts.items()}
    content = io.BytesIO()  # torch does not say that a disk is full
    torch.save({"options": options, "progress": vars(progress), **states}, content)
    with replacing(path) as part:
        part.write_bytes(content.getbuffer())


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint: tensors and plain values, never code.

    Raises:
        BadFile: missing, damaged, or not a checkpoint.
    """
    try:
        _check_sums(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BadFile(path, "there is no checkpoint", "start the run anew in another folder") from None
    except Exception as error:
        raise BadFile(path, "is damaged or not a checkpoint", "start the run anew in another folder") from error
    if not isinstance(content, dict) or not {"options", "progress", "network", "optimizer"} <= set(content):
        raise BadFile(path, "is not a checkpoint of tdd-deploy", "start the run anew in another folder")
    return content


def _check_sums(path: Path) -> None:
    """Compare the checksums that torch writes and does not read."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(damaged)
