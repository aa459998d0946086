"""Checkpoints, from which a run continues as if it had never stopped."""

import io
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tdd_deploy.errors import BadFile
from tdd_deploy.files import replacing

RESTART = "start a new run in another folder"


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
    """
    try:
        _check_sums(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BadFile(path, "is missing", RESTART) from None
    except Exception as error:
        raise BadFile(path, "is damaged or not a checkpoint", RESTART) from error
    if not isinstance(content, dict) or not {"options", "progress", "network", "optimizer"} <= set(content):
        raise BadFile(path, "is not a checkpoint of tdd-deploy", RESTART)
    return content


def _check_sums(path: Path) -> None:
    """Compare the checksums that torch writes but does not read."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(damaged)
