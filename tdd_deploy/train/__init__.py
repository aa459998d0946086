"""Training in torch: networks, losses, the loop. torch is imported here and nowhere else."""

from .architectures import NETWORKS
from .network import Network
from .options import METHODS, TrainOptions, by_field, checked, flag
from .replay import load, load_run, replay
from .trainer import EpochMetrics, Samples, Trained, TrainingData, Watcher, fit, n_threads

__all__ = [
    "METHODS",
    "NETWORKS",
    "EpochMetrics",
    "Network",
    "Samples",
    "TrainOptions",
    "Trained",
    "TrainingData",
    "Watcher",
    "by_field",
    "checked",
    "fit",
    "flag",
    "load",
    "load_run",
    "n_threads",
    "replay",
]
