"""Training in torch: networks, losses, the loop. No other package imports torch."""

from .ann import ReluNetwork
from .architectures import NETWORKS
from .baseline import measure
from .build import make_network
from .execution import Execution, executing
from .from_torch import to_nir
from .logs import Board, require_tensorboard, write_metrics
from .lower import lower
from .network import Network
from .replay import load, load_run, replay
from .samples import Samples, TrainingData
from .trainer import EpochMetrics, Trained, Watcher, fit, n_threads

__all__ = [
    "NETWORKS",
    "Board",
    "EpochMetrics",
    "Execution",
    "Network",
    "ReluNetwork",
    "Samples",
    "Trained",
    "TrainingData",
    "Watcher",
    "executing",
    "fit",
    "load",
    "load_run",
    "lower",
    "make_network",
    "measure",
    "n_threads",
    "replay",
    "require_tensorboard",
    "to_nir",
    "write_metrics",
]
