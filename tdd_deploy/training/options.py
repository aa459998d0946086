"""The options of a training run."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self, get_args

import torch
from torch import nn

from tdd_deploy.errors import BadOptions, Violation
from tdd_deploy.neurons import IF, LIF, Neuron, Reset
from tdd_deploy.program import Shape
from tdd_deploy.program.bounds import MOST_STEPS
from tdd_deploy.program.quantization.quantize import BITS

from .ann import relu_network_of
from .architectures import NETWORKS, SpikeDrivenTransformer, make_network
from .augment import AUGMENTATIONS
from .local import cut
from .methods import (
    READINGS,
    SCORES,
    STEP_LOSSES,
    Ddla,
    L1Delta,
    L1Onset,
    L1Spikes,
    Penalty,
    Reading,
    Score,
    layer_weights,
)
from .network import Network, Neurons
from .strategies import TRANSMISSIONS, Local, Objective, Online, Strategy, Transmission, Unrolling

OF_EVENTS = ("bin_us", "bins", "bin_value", "downsample")  # options of a run that say how events are cut
OF_DATA = (
    "data",
    "frames",
    "input_scale",
    *OF_EVENTS,
)  # and the data; the others are fields of TrainOptions
Weigh = Literal["layers", "synops"]
L1 = {"lambda_": 0.75, "weigh": "layers"}
ANN = "ann"
METHOD_DEFAULTS: dict[str, dict[str, Any]] = {
    "tet": {},
    "tdd-ddla": {
        "score": "gsc", "reading": "F", "keep": 0.5, "lambda_": 0.45, "weigh": "layers", "transmit": "all"
    },
    "l1-spikes": L1,
    "l1-delta": L1,
    "l1-onset": L1,
    ANN: {},
}  # fmt: skip
STRATEGY_DEFAULTS: dict[str, dict[str, Any]] = {
    "bptt": {},
    "sltt": {},
    "sltt-k": {"sltt_steps": 2},
    "stdl": {"local_parts": 2},
}
OPTIMIZER_DEFAULTS: dict[str, dict[str, Any]] = {"adamw": {}, "adam": {}, "sgd": {"momentum": 0.9}}
SCHEDULES = ("cosine", "constant")
NORMS = ("batch", "mpbn")
STEPWISE_NORMS = ("tab", "tebn")
METHODS = tuple(METHOD_DEFAULTS)
SPIKING = tuple(method for method in METHODS if method != ANN)
LEARNABLE = ("beta", "threshold")
WITHOUT_NEURONS = ("neuron", "reset", "reset_to", "beta", "threshold", "learn", "norm")
WITHOUT_TIME = ("encoder", "strategy", "fisher")


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Everything that decides what a run gives, but for the data's content; ``checked`` fills the method's defaults."""

    network: str = "conv-small"
    method: str = "tdd-ddla"
    loss: str = "tet"
    strategy: str = "bptt"
    steps: int = 6
    epochs: int = 25
    seed: int = 0
    batch: int = 64
    train_samples: int | None = None  # the first so many of them; None: all
    optimizer: str = "adamw"
    momentum: float | None = None  # of sgd
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    schedule: str = "cosine"
    warmup: float = 0.0  # epochs in which the learning rate grows to its full height
    clip: float | None = None  # the largest norm of all gradients together
    label_smoothing: float = 0.0
    augment: str | None = None
    mixup: float | None = None  # both numbers of the beta distribution from which shares are drawn
    cutmix: float | None = None  # likewise
    ema: float | None = None  # fraction of the averaged network kept per batch; what is measured and deployed
    patience: int | None = None  # epochs without a higher accuracy, then the run ends; the best network is kept
    amp: bool = False  # connections in bfloat16
    fisher: int = 0  # of so many training samples the Fisher information is recorded after each epoch
    neuron: str = "lif"
    reset: Reset = "hard"
    # Where a hard reset leaves v, in thresholds; at 1 a neuron that is driven stays on. Per layer of neurons, from the
    # first on; the last number is that of all layers behind.
    reset_to: tuple[float, ...] = (0.0,)
    beta: float = 0.5  # fraction of v kept per step; an IF keeps all
    threshold: float = 1.0
    learn: tuple[str, ...] = ()  # of LEARNABLE: what of each layer's neurons is learned
    norm: str = "batch"
    encoder: str = "direct"
    qat: int | None = None  # bits of the integer weights that are trained for; None: floats
    score: Score | None = None
    reading: Reading | None = None
    keep: float | None = None  # fraction of spikes that DDLA leaves free
    lambda_: float | None = None  # the penalty's weight is (1 - lambda) / lambda
    weigh: Weigh | None = None  # what a layer's penalty counts
    transmit: Transmission | None = None  # which changes are sent while learning
    sltt_steps: int | None = None  # time steps per batch that sltt-k learns from
    local_parts: int | None = None  # of the network, each learning from a head of its own

    @classmethod
    def of(cls, **given: Any) -> Self:
        """Return options; where no time steps are given, those of the method: an ANN has one."""
        return cls(**({"steps": 1} if given.get("method") == ANN else {}) | given)

    @property
    def is_ann(self) -> bool:
        """Whether what is trained is the dense ANN twin of the network."""
        return self.method == ANN

    def as_json(self) -> dict[str, Any]:
        """Return the options by the names that users know."""
        values = {name.rstrip("_"): value for name, value in asdict(self).items()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def make_neurons(self, shape: Shape, before: int) -> Neurons:
        """Return one layer's neurons, given the number of layers before it."""
        v_threshold = torch.tensor(self.threshold)
        v_reset = torch.tensor(self.reset_to[min(before, len(self.reset_to) - 1)] * self.threshold)
        neuron: Neuron
        if self.neuron == "if":
            neuron = IF(v_threshold=v_threshold, v_reset=v_reset, reset=self.reset)
        else:
            neuron = LIF(v_threshold=v_threshold, v_reset=v_reset, reset=self.reset, beta=torch.tensor(self.beta))
        norm = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
        return Neurons(neuron, learned=self.learn, norm=norm(shape[0]) if self.norm == "mpbn" else None)

    def make_network(self, input_shape: Shape, n_classes: int) -> Network:
        """Return an untrained network for samples of a shape; see ``architectures.make_network``."""
        network = make_network(
            self.network,
            input_shape=input_shape,
            n_classes=n_classes,
            neurons=self.make_neurons,
            analog_input=self.encoder == "direct",
        )
        return relu_network_of(network) if self.is_ann else network

    def make_strategy(self, network: Network, n_classes: int) -> Strategy:
        """Return how gradients are found; the heads that ``stdl`` needs get their first weights from torch's generator.

        Raises:
            BadOption: the network cannot be cut into so many parts.
        """
        if self.strategy == "stdl":
            assert self.local_parts is not None
            return Local(cut(network, self.local_parts, neurons=self.make_neurons, n_classes=n_classes))
        return Unrolling() if self.strategy == "bptt" else Online(self.sltt_steps)

    def make_objective(self, network: Network) -> Objective:
        """Return what is asked of every batch."""
        return Objective(
            loss=STEP_LOSSES[self.loss](self.label_smoothing),
            penalty=self.make_penalty(),
            weight=self.penalty_weight,
            layers=layer_weights(network, by_synops=self.weigh == "synops"),
            score=self.score,
            transmit=self.transmit or "all",
            keep=1.0 if self.keep is None else self.keep,
        )

    def make_penalty(self) -> Penalty | None:
        """Return what is added to the loss, or nothing for TET, for an ANN and for no weight."""
        if self.method == "tdd-ddla":
            assert self.reading is not None
            assert self.keep is not None
            return Ddla(self.reading, self.keep)
        return {"tet": None, ANN: None, "l1-spikes": L1Spikes(), "l1-delta": L1Delta(), "l1-onset": L1Onset()}[
            self.method
        ]

    @property
    def penalty_weight(self) -> float:
        """The penalty's factor, ``(1 - lambda) / lambda``."""
        return 0.0 if self.lambda_ is None else (1 - self.lambda_) / self.lambda_


def checked(options: TrainOptions) -> TrainOptions:
    """Fill in the method's defaults; raise BadOptions with every value that is not allowed."""
    words = {
        "network": tuple(NETWORKS),
        "method": METHODS,
        "loss": tuple(STEP_LOSSES),
        "strategy": tuple(STRATEGY_DEFAULTS),
        "optimizer": tuple(OPTIMIZER_DEFAULTS),
        "schedule": SCHEDULES,
        "augment": (*AUGMENTATIONS, None),
        "norm": (*NORMS, *STEPWISE_NORMS),  # the latter are refused with a reason
        "neuron": ("lif", "if"),
        "reset": ("hard", "soft"),
        "encoder": ("direct", "poisson"),
        "score": (*SCORES, None),
        "reading": (*READINGS, None),
        "weigh": (*get_args(Weigh), None),
        "transmit": (*TRANSMISSIONS, None),
    }
    found = [
        Violation(f"--{name}", repr(getattr(options, name)), " or ".join(word for word in allowed if word))
        for name, allowed in words.items()
        if getattr(options, name) not in allowed
    ]
    numbers = {
        "steps": (1 <= options.steps <= MOST_STEPS, f"1 to {MOST_STEPS:,}"),
        "epochs": (options.epochs >= 1, "1 or more"),
        "batch": (options.batch >= 2, "2 or more, as batch norm needs"),
        "seed": (0 <= options.seed < 2**63, "0 to 2**63 - 1"),
        "learning_rate": (0 < _in_float32(options.learning_rate) < math.inf, "above 0, in float32"),
        "weight_decay": (0 <= _in_float32(options.weight_decay) < math.inf, "0 or more, in float32"),
        "train_samples": (_fits(options.train_samples, 1), "1 or more"),
        "momentum": (options.momentum is None or 0 <= options.momentum < 1, "0 to below 1"),
        "warmup": (0 <= options.warmup < max(1, options.epochs), f"0 to below the {options.epochs} epochs of the run"),
        "clip": (options.clip is None or 0 < options.clip < math.inf, "above 0"),
        "label_smoothing": (0 <= options.label_smoothing < 1, "0 to below 1"),
        "mixup": (options.mixup is None or 0 < options.mixup < math.inf, "above 0"),
        "cutmix": (options.cutmix is None or 0 < options.cutmix < math.inf, "above 0"),
        "ema": (options.ema is None or 0 < options.ema < 1, "above 0, below 1"),
        "patience": (_fits(options.patience, 1), "1 or more"),
        "beta": (0 <= options.beta < 1, "0 to below 1; an IF neuron keeps all: --neuron if"),
        "reset_to": (
            bool(options.reset_to) and all(0 <= level <= 1 for level in options.reset_to),
            "0 to 1, or several with commas",
        ),
        "fisher": (options.fisher >= 0, "0, for none, or more"),
        "sltt_steps": (_fits(options.sltt_steps, 1), "1 or more"),
        "local_parts": (_fits(options.local_parts, 2), "2 or more"),
        "learn": (
            set(options.learn) <= set(LEARNABLE) and not (options.beta == 0 and "beta" in options.learn),
            "beta above 0, or threshold",
        ),
        "threshold": (0 < _in_float32(options.threshold) < math.inf, "above 0, in float32"),
        "qat": (options.qat is None or options.qat in BITS, f"{BITS[0]} to {BITS[-1]} bits"),
        "keep": (options.keep is None or 0 <= options.keep <= 1, "0 to 1"),
        "lambda_": (options.lambda_ is None or 0 < options.lambda_ <= 1, "above 0, up to 1; 1 is no penalty"),
    }
    found += [
        Violation(flag(name), str(getattr(options, name)), allowed)
        for name, (fine, allowed) in numbers.items()
        if not fine
    ]
    tables = {"method": METHOD_DEFAULTS, "strategy": STRATEGY_DEFAULTS, "optimizer": OPTIMIZER_DEFAULTS}
    for chooser, table in tables.items():
        options, of_choice = _with_defaults(options, chooser, table)
        found += of_choice
    found += _incompatible(options)
    if found:
        raise BadOptions("these options", found)
    return options


def by_field(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``as_json`` gave by the names of fields."""
    named = {"lambda_" if name == "lambda" else name: value for name, value in options.items()}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in named.items()}


def flag(name: str) -> str:
    """Return how an option is written on the command line."""
    return f"--{name.rstrip('_').replace('_', '-')}"


def _fits(value: int | None, least: int) -> bool:
    return value is None or value >= least


def _in_float32(value: float) -> float:
    return float(torch.tensor(value))


def _with_defaults(
    options: TrainOptions, chooser: str, table: Mapping[str, Mapping[str, Any]]
) -> tuple[TrainOptions, list[Violation]]:
    """Fill in the defaults of what ``chooser`` chose from a table; say what is given that belongs to others."""
    chosen = getattr(options, chooser)
    if chosen not in table:
        return options, []
    defaults = table[chosen]
    others = dict.fromkeys(name for row in table.values() for name in row if name not in defaults)
    found = [
        Violation(
            flag(name),
            f"is given with --{chooser} {chosen}",
            f"only with {' or '.join(choice for choice, row in table.items() if name in row)}",
        )
        for name in others
        if getattr(options, name) is not None
    ]
    missing = {name: value for name, value in defaults.items() if getattr(options, name) is None}
    return replace(options, **missing), found


def _incompatible(options: TrainOptions) -> Iterator[Violation]:
    """Yield which choices exclude each other, and why."""
    if options.norm in STEPWISE_NORMS:
        why = "whose statistics differ from step to step, so that a change of spikes is no change of currents"
        yield Violation("--norm", f"{options.norm}, {why}", "batch or mpbn: TDD needs one linear map for all steps")
    if options.loss == "rate" and options.strategy != "bptt":
        why = "which knows the mean of all outputs only when the last step is done"
        yield Violation("--loss", f"rate, {why}, with --strategy {options.strategy}", "tet or rmp, or --strategy bptt")
    if options.loss == "rate" and options.transmit in ("open", "closed"):
        yield Violation("--loss", f"rate, with --transmit {options.transmit}, which scores each step", "tet or rmp")
    if options.strategy == "sltt-k" and options.score in ("gsc", "jac", "grad"):
        found = f"{options.score}, a gradient of the step before, with --strategy sltt-k, which leaves steps out"
        yield Violation("--score", found, "random, or --strategy sltt")
    if options.reset == "soft" and any(options.reset_to):
        yield Violation("--reset-to", f"{options.reset_to}, with a soft reset, which subtracts", "0, or --reset hard")
    if options.reset == "soft" and options.norm == "mpbn":
        found = "mpbn, whose threshold stands in another unit than the spike a soft reset subtracts"
        yield Violation("--norm", found, "batch, or --reset hard")
    if options.qat is not None and options.strategy != "bptt":
        yield Violation("--qat", f"{options.qat}, with --strategy {options.strategy}", "--strategy bptt")
    if options.qat is not None:
        yield from _incompatible_with_integers(options)
    if options.neuron == "if" and "beta" in options.learn:
        yield Violation("--learn", "beta, of an IF, which keeps all", "threshold, or --neuron lif")
    if options.is_ann:
        yield from _incompatible_with_ann(options)


def _incompatible_with_ann(options: TrainOptions) -> Iterator[Violation]:
    default, spiking = TrainOptions(), f"only with {' or '.join(SPIKING)}"
    why = dict.fromkeys(WITHOUT_NEURONS, "has no neurons") | dict.fromkeys(WITHOUT_TIME, "has no time steps")
    for name, reason in why.items():
        value = getattr(options, name)
        if value != getattr(default, name):
            yield Violation(flag(name), f"{value}, with --method ann, which {reason}", spiking)
    if options.steps != 1:
        yield Violation("--steps", f"{options.steps}, with --method ann, which is one forward pass", "1")
    if options.loss == "rmp":
        yield Violation("--loss", "rmp, with --method ann, which has no potentials", "tet or rate: one cross entropy")
    if options.qat is not None:
        found = f"{options.qat}, with --method ann, which is measured in 8 to 2 bits after every training"
        yield Violation("--qat", found, spiking)
    if isinstance(NETWORKS.get(options.network), SpikeDrivenTransformer):
        found = f"{options.network}, with --method ann: its gates know spikes alone"
        yield Violation("--network", found, "a network without gates")


def _incompatible_with_integers(options: TrainOptions) -> Iterator[Violation]:
    if options.ema is not None:
        found = f"{options.ema}, an average of floats, with --qat, which learns through integers chosen anew per batch"
        yield Violation("--ema", found, "one of the two")
    if options.patience is not None:
        found = f"{options.patience}, with --qat, whose first epochs are measured in floats and whose last in integers"
        yield Violation("--patience", found, "one of the two")
    if options.amp:
        yield Violation("--amp", "bfloat16, which rounds the integers of --qat", "one of the two")
