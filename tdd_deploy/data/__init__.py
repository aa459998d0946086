"""Samples and labels from files, in batches and constant memory, and as input for time steps. numpy only."""

from .arrangement import Arrangement, arrange
from .catalog import DATASETS, open_data
from .encoders import ENCODERS, Frames, encode
from .labels import check_labels
from .source import Batch, Source

__all__ = [
    "DATASETS",
    "ENCODERS",
    "Arrangement",
    "Batch",
    "Frames",
    "Source",
    "arrange",
    "check_labels",
    "encode",
    "open_data",
]
