"""Records of epochs for other programs: a CSV table, and TensorBoard's files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdd_deploy.errors import MissingDependency
from tdd_deploy.files import refuse_file, replacing, writing
from tdd_deploy.text import csv_table

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

REMEDY = "use a folder on a disk with enough space, or leave out `tensorboard`"


def write_metrics(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Replace the table: one row per finished epoch."""
    with replacing(path) as part:
        part.write_text(csv_table(history), encoding="utf-8")


class Board:
    """Epochs in TensorBoard's files; nothing is written before the first new one.

    Args:
        folder: the folder of the files.
        epochs: the number of epochs that are in the files already; later entries are hidden.

    Raises:
        BadFile: a file is in the place of the folder, or it cannot be written.
    """

    def __init__(self, folder: Path, *, epochs: int) -> None:
        refuse_file(folder)
        self._folder = folder
        self._n_shown = epochs
        self._writer: SummaryWriter | None = None

    def epoch(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Add the epochs that are not in the files yet."""
        if self._n_shown >= len(history):
            return
        with writing(self._folder, REMEDY):
            if self._writer is None:
                self._writer = _writer_class()(str(self._folder), purge_step=self._n_shown + 1)
            for entry in history[self._n_shown :]:
                for name, value in entry.items():
                    if name != "epoch" and value is not None:
                        self._writer.add_scalar(name, value, entry["epoch"])
            self._writer.flush()
        self._n_shown = len(history)

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            with writing(self._folder, REMEDY):
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
