"""The options of each function and command: the one table of who takes which classes."""

from collections.abc import Mapping

from .analysis import AnalysisOptions
from .dataset import AnalyzedData, CalibrationData, ComparedData, Dataset, NamedData, SeenData
from .declare import Options
from .early_exit import ExitOptions, ValidationData
from .encoding import Coding, Encoding, Output, SeededSteps, StatedSteps, Steps
from .execution import Execution
from .export import Export
from .grid import Grid
from .model import Model
from .placement import Placement
from .pricing import Pricing
from .pruning import PruneOptions
from .quantization import ComparedQuantization, Quantization
from .stream import StreamOptions
from .training import LearnedData, Place, Start, TrainOptions
from .verification import Verification

OPTIONS: Mapping[str, tuple[type[Options], ...]] = {
    "load": (Model,),
    "open_data": (Dataset,),
    "train": (LearnedData, TrainOptions, Start, Place),
    "quantize": (Quantization, CalibrationData, Steps),
    "simulate": (Model, Dataset, Encoding, Coding, Pricing, Execution),
    "tune_exit": (ValidationData, Encoding, ExitOptions),
    "price": (Pricing,),
    "check": (Model, Placement, SeenData),
    "verify": (Model, ComparedData, Steps, Verification, ComparedQuantization, Output),
    "export": (Model, Quantization, Export, StatedSteps, CalibrationData),
    "inspect": (Model,),
    "sweep": (Model, Dataset, SeededSteps, Grid),
    "analyze": (AnalyzedData, AnalysisOptions),
    "stream": (AnalyzedData, StreamOptions),
    "prune": (NamedData, PruneOptions),
}
