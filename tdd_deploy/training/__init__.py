"""Training in torch: networks, losses, the loop. No other package imports torch."""

from .ann import ReluNetwork
from .architectures import NETWORKS
from .baseline import measure
from .build import make_network
from .execution import Execution, executing
from .from_torch import to_nir
from .logs import Board, require_tensorboard, write_metrics
from .lower import lower
from .memory import memory_errors, naming_what_to_lower
from .network import Network
from .replay import load, load_run, replay
from .samples import Samples, TrainingData
from .starting import StateDict, read_weights
from .trainer import Trained, fit, is_history, n_threads
from .watching import BatchMetrics, EpochMetrics, Watcher

__all__ = [
    "NETWORKS",
    "BatchMetrics",
    "Board",
    "EpochMetrics",
    "Execution",
    "Network",
    "ReluNetwork",
    "Samples",
    "StateDict",
    "Trained",
    "TrainingData",
    "Watcher",
    "executing",
    "fit",
    "is_history",
    "load",
    "load_run",
    "lower",
    "make_network",
    "measure",
    "memory_errors",
    "n_threads",
    "naming_what_to_lower",
    "read_weights",
    "replay",
    "require_tensorboard",
    "to_nir",
    "write_metrics",
]
