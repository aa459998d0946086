"""Samples and labels from files, in batches and constant memory, and as input for time steps. numpy only."""

from .arrangement import Arrangement, arrange
from .binning import BIN_VALUES, Binning
from .catalog import DATASETS, is_file, open_data
from .choice import Choice
from .encoders import ENCODERS, Frames, encode
from .labels import check_labels
from .source import Batch, Source

__all__ = [
    "BIN_VALUES",
    "DATASETS",
    "ENCODERS",
    "Arrangement",
    "Batch",
    "Binning",
    "Choice",
    "Frames",
    "Source",
    "arrange",
    "check_labels",
    "encode",
    "is_file",
    "open_data",
]
