"""The words that options take, each list once. What implements a word is a table keyed by it."""

from typing import Literal, get_args

Network = Literal["mlp", "conv-small", "conv-medium", "resnet19", "resnet19-small", "sdt-2-256", "sdt-2-64"]
Method = Literal["tet", "tdd-ddla", "l1-spikes", "l1-delta", "l1-onset", "ann"]
Loss = Literal["tet", "rate", "rmp"]
Strategy = Literal["bptt", "sltt", "sltt-k", "stdl"]
Score = Literal["gsc", "jac", "grad", "random"]
DdlaReading = Literal["F", "D"]
KeepOf = Literal["changed", "fired", "all"]
ScoreFrom = Literal["run", "step"]
Norm = Literal["batch", "mpbn", "tab", "tebn"]
Transmission = Literal["all", "open", "closed"]
Optimizer = Literal["adamw", "adam", "sgd"]
Schedule = Literal["cosine", "constant"]
Augmentation = Literal["crop-flip", "randaugment"]
Weigh = Literal["layers", "synops"]
Device = Literal["auto", "cpu", "cuda"]
NeuronKind = Literal["lif", "if"]
Reset = Literal["hard", "soft"]
Learnable = Literal["beta", "threshold"]
Target = Literal["nir", "lava", "onnx"]
Encoder = Literal["direct", "poisson"]
BinValue = Literal["count", "binary"]
Mapping = Literal["fused", "stock", "spike"]
Form = Literal["step", "scan"]
Importance = Literal["fisher", "magnitude"]
Backend = Literal["torch", "reference", "event", "onnx", "openvino", "integer", "lava"]
Code = Literal["delta", "spike"]
CodeChoice = Literal["auto", "delta", "spike"]
Reading = Literal["spikes", "potential"]
Per = Literal["layer", "neuron"]
Tuned = Literal["tuned"]
Row = Literal["layer", "step", "term", "profile", "placement", "ann-baseline", "estimators"]
TableFormat = Literal["md", "csv", "latex", "html"]
PrintedFormat = Literal["text", "md", "csv", "latex", "html"]
EnergyUnit = Literal["J", "mJ", "uJ", "nJ", "pJ"]
Document = Literal["report", "profile", "chip"]
NumberFormat = Literal["float", "8", "7", "6", "5", "4", "3", "2"]

METHODS: tuple[Method, ...] = get_args(Method)
NETWORKS: tuple[Network, ...] = get_args(Network)
ANN: Method = "ann"
SPIKING = tuple(method for method in METHODS if method != ANN)
GATED: tuple[Network, ...] = ("sdt-2-256", "sdt-2-64")  # their gates take spikes alone, so no ANN has them
TAB: Norm = "tab"  # trains networks that no Program describes
BACKENDS: tuple[Backend, ...] = get_args(Backend)
TARGETS: tuple[Target, ...] = get_args(Target)
ENCODERS: tuple[Encoder, ...] = get_args(Encoder)
CODES: tuple[CodeChoice, ...] = get_args(CodeChoice)
DIALECTS = ("nir", "snntorch", "norse", "sinabs", "spikingjelly", "rockpool", "spyx", "lava")
DEFAULT_PROFILES = ("loihi1-davies2018", "cmos45-memory", "cmos45-horowitz")
