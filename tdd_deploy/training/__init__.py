"""Training in torch: networks, losses, the loop. No other package imports torch."""

from .ann import ReluNetwork
from .architectures import NETWORKS
from .baseline import measure
from .execution import executing
from .from_torch import to_nir
from .logs import Board, require_tensorboard, write_metrics
from .lower import lower
from .network import Network
from .options import METHODS, OF_DATA, OF_EVENTS, TrainOptions, by_field, checked, flag
from .replay import load, load_run, replay
from .samples import Samples, TrainingData
from .trainer import EpochMetrics, Trained, Watcher, fit, n_threads

__all__ = [
    "METHODS",
    "NETWORKS",
    "OF_DATA",
    "OF_EVENTS",
    "Board",
    "EpochMetrics",
    "Network",
    "ReluNetwork",
    "Samples",
    "TrainOptions",
    "Trained",
    "TrainingData",
    "Watcher",
    "by_field",
    "checked",
    "executing",
    "fit",
    "flag",
    "load",
    "load_run",
    "lower",
    "measure",
    "n_threads",
    "replay",
    "require_tensorboard",
    "to_nir",
    "write_metrics",
]
