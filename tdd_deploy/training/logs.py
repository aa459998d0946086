"""Records of epochs for other programs: a CSV table, and TensorBoard's files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdd_deploy.errors import MissingDependency
from tdd_deploy.files import replacing
from tdd_deploy.text import csv_table

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def write_metrics(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Replace the table: one row per finished epoch."""
    with replacing(path) as part:
        part.write_text(csv_table(history), encoding="utf-8")


class Board:
    """Epochs in TensorBoard's files.

    Args:
        folder: the folder of the files.
        epochs: the number of epochs that were finished before; later entries in the files are hidden.
    """

    def __init__(self, folder: Path, *, epochs: int) -> None:
        self._writer: SummaryWriter = _writer_class()(str(folder), purge_step=epochs + 1)

    def epoch(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Add the last epoch."""
        last = history[-1]
        for name, value in last.items():
            if name != "epoch" and value is not None:
                self._writer.add_scalar(name, value, last["epoch"])
        self._writer.flush()

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


def require_tensorboard() -> None:
    """Check that TensorBoard is installed.

    Raises:
        MissingDependency: it is not.
    """
    _writer_class()


def _writer_class() -> "type[SummaryWriter]":
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingDependency("tensorboard", "train with `tensorboard`", "'tdd-deploy[tensorboard]'") from error
    return SummaryWriter
