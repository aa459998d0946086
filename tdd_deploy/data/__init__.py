"""Samples and labels from files or memory, in batches, and as input for time steps. numpy only."""

from .arrangement import Arrangement, arrange
from .arrays import open_arrays
from .binning import Binning
from .catalog import DATASETS, is_file, open_data
from .choice import Choice
from .encoders import Frames, check_encoder, encode
from .labels import check_labels
from .source import Batch, Source, digest_of

__all__ = [
    "DATASETS",
    "Arrangement",
    "Batch",
    "Binning",
    "Choice",
    "Frames",
    "Source",
    "arrange",
    "check_encoder",
    "check_labels",
    "digest_of",
    "encode",
    "is_file",
    "open_arrays",
    "open_data",
]
