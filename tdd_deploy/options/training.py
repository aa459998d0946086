"""The options of a training run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from tdd_deploy.errors import Violation, any_of

from .dataset import HEADING, NAMES, OF_EVENTS, OF_WINDOWS, StoredData
from .declare import Options, Range, option
from .neurons import TrainedNeurons
from .optimization import ABOVE_0, FRACTION, LEARNING, OPTIMIZER_DEFAULTS
from .quantization import WEIGHT_BITS
from .schedules import Schedules
from .vocabulary import (
    ANN,
    GATED,
    SPIKING,
    TAB,
    Augmentation,
    DdlaReading,
    Device,
    Encoder,
    KeepOf,
    Loss,
    Method,
    Network,
    Norm,
    Score,
    ScoreFrom,
    Strategy,
    Transmission,
    Weigh,
)

Chosen = TypeVar("Chosen", bound="TrainOptions")
OF_DATA = ("data", "frames", "input_scale", *OF_EVENTS, *OF_WINDOWS)  # recorded beside the fields of TrainOptions
L1: Mapping[str, Any] = {"penalty_weight": 1 / 3, "weigh": "layers"}
METHOD_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "tet": {},
    "tdd-ddla": {
        "score": "gsc", "score_from": "step", "reading": "F", "keep": 0.5, "keep_of": "changed",
        "penalty_weight": 11 / 9, "weigh": "layers", "transmit": "all",
    },
    "l1-spikes": L1,
    "l1-delta": L1,
    "l1-onset": L1,
    ANN: {"sparsity": 0.0},
}  # fmt: skip
LOSS_DEFAULTS: Mapping[str, Mapping[str, Any]] = {"tet": {"tet_mse": 0.0}, "rate": {}, "rmp": {"rmp_weight": 0.1}}
STRATEGY_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "bptt": {},
    "sltt": {},
    "sltt-k": {"sltt_steps": 2},
    "stdl": {"local_parts": 2},
}
WITHOUT_NEURONS = ("neuron", "reset", "reset_to", "beta", "threshold", "learn", "norm")
WITHOUT_TIME = ("encoder", "strategy", "fisher", "steps_schedule")
NETWORK, METHOD, PLACE = "The network", "The objective", "Where it learns"


@dataclass(frozen=True, kw_only=True)
class LearnedData(StoredData):
    """The data that a network learns from."""

    data: str | None = option("digits", help=f"Learn from these samples: {NAMES}.", heading=HEADING)
    frames: bool = option(
        False, help="Read x of an .npz as [N, steps, ...]. Default: as images without a time axis.", heading=HEADING
    )


@dataclass(frozen=True, kw_only=True)
class Start(Options):
    """The run whose weights a network begins with."""

    from_: Path | None = option(
        None,
        metavar="RUN",
        recorded=False,
        help="Begin with the weights of this finished run, instead of random ones.",
        heading=NETWORK,
    )


@dataclass(frozen=True, kw_only=True)
class Place(Options):
    """Where a network learns; the result does not depend on these options, but for rounding."""

    device: Device = option("auto", help="Learn on this device; auto takes cuda where there is one.", heading=PLACE)
    tensorboard: bool = option(False, help="Also write TensorBoard's files.", heading=PLACE)


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Schedules, TrainedNeurons):
    """Every option that affects the result of a training run, except the data.

    ``checked`` fills in the defaults of the method, the loss, the strategy and the optimizer.
    """

    network: Network = option("conv-small", help="Train this network.", heading=NETWORK)
    method: Method = option(
        "tdd-ddla", help="Penalize events in this way; tet penalizes none. ann: train the ANN baseline.", heading=METHOD
    )
    loss: Loss = option(
        "tet",
        help="Compute the loss of each step's output (tet), of their mean (rate), or of potentials too (rmp).",
        heading=METHOD,
    )
    tet_mse: float | None = option(
        None,
        metavar="FRACTION",
        within=FRACTION,
        help="tet: give this fraction of the loss to the outputs' squared distance from 1; TET's scripts have 0.001. "
        "Default: 0.",
        heading=METHOD,
    )
    rmp_weight: float | None = option(
        None,
        metavar="WEIGHT",
        within=Range(0, below=True),
        help="rmp: weigh the potentials' squared distance from their spikes by this factor. Default: 0.1.",
        heading=METHOD,
    )
    strategy: Strategy = option(
        "bptt",
        help="Take gradients through time (bptt), step by step (sltt), of some steps (sltt-k), or part by part (stdl).",
        heading=LEARNING,
    )
    seed: int = option(
        0,
        within=Range(0, 2**63 - 1),
        help="Draw first weights, batches, changes of images and spikes with this seed.",
        heading=LEARNING,
    )
    train_samples: int | None = option(
        None,
        metavar="N",
        within=Range(1),
        help="Learn from the first N training samples. Default: all.",
        heading=HEADING,
    )
    val_samples: int | None = option(
        None,
        metavar="N",
        within=Range(1),
        help="Measure each epoch on the first N validation samples. Default: all.",
        heading=HEADING,
    )
    label_smoothing: float = option(
        0.0, within=FRACTION, help="Spread this fraction of a label over all classes.", heading=METHOD
    )
    augment: Augmentation | None = option(
        None, help="Change images at random; randaugment crops and flips too. Default: none.", heading=HEADING
    )
    mixup: float | None = option(
        None,
        metavar="ALPHA",
        within=ABOVE_0,
        help="Blend pairs of images and their labels, by fractions from Beta(ALPHA, ALPHA). Default: none.",
        heading=HEADING,
    )
    cutmix: float | None = option(
        None,
        metavar="ALPHA",
        within=ABOVE_0,
        help="Paste boxes of other images; with `mixup`, each batch has one of the two. Default: none.",
        heading=HEADING,
    )
    amp: bool = option(False, help="Compute connections in bfloat16; neurons stay in float32.", heading=PLACE)
    fisher: int = option(
        0,
        metavar="N",
        within=Range(0),
        help="Record the Fisher information of N samples per step, for analyze. Default: none.",
        heading=LEARNING,
    )
    norm: Norm = option(
        "batch",
        help="Normalize currents (batch), potentials too (mpbn), or each step by all steps so far (tab, without an "
        "exported network). tebn is refused with the reason. Default: batch.",
        heading=NETWORK,
    )
    encoder: Encoder = option(
        "direct", help="Show the image itself at every step (direct), or random spikes (poisson).", heading=HEADING
    )
    qat: int | None = option(
        None,
        metavar="BITS",
        within=WEIGHT_BITS,
        help="Train for Loihi 2's integers, with weights of 2 to 8 bits. Default: floats.",
        heading=NETWORK,
    )
    sparsity: float | None = option(
        None,
        within=FRACTION,
        help="ann: set this fraction of the weights to 0, the smallest ones, step by step while learning. Default: 0.",
        heading=METHOD,
    )
    score: Score | None = option(None, help="tdd-ddla: keep spikes by this score. Default: gsc.", heading=METHOD)
    score_from: ScoreFrom | None = option(
        None,
        help="tdd-ddla: score a step by its own loss alone, with steps executed one by one (step), or by the loss of "
        "all steps, through time (run). Default: step; run for `loss=rate`.",
        heading=METHOD,
    )
    reading: DdlaReading | None = option(
        None, help="tdd-ddla: penalize spikes (F) or changes (D). Default: F.", heading=METHOD
    )
    keep: float | None = option(
        None, within=Range(0, 1), help="tdd-ddla: leave this fraction of `keep_of` free. Default: 0.5.", heading=METHOD
    )
    keep_of: KeepOf | None = option(
        None,
        help="tdd-ddla: choose among the neurons that changed at the step before, those that fired, or all of them. "
        "Default: changed; all, where `transmit` is not all.",
        heading=METHOD,
    )
    penalty_weight: float | None = option(
        None,
        metavar="W",
        within=Range(0),
        help="Learn from the loss plus W times the penalty, where the paper's lambda is 1 / (1 + W). "
        "Default: 11/9, which is lambda = 0.45; l1: 1/3.",
        heading=METHOD,
    )
    convex: bool = option(
        False,
        help="Divide the sum of the loss and the weighted penalty by 1 + W, as printed in Algorithm 1. "
        "Default: the loss keeps a weight of 1.",
        heading=METHOD,
    )
    weigh: Weigh | None = option(
        None, help="Penalize all layers alike, or by their synops. Default: layers.", heading=METHOD
    )
    transmit: Transmission | None = option(
        None,
        help="tdd-ddla: while learning, send all changes, or those of high score: from the step before (open), or from "
        "the receiver's sum (closed). Default: all.",
        heading=METHOD,
    )
    sltt_steps: int | None = option(
        None,
        metavar="K",
        within=Range(1),
        help="sltt-k: learn from this number of steps per batch. Default: 2.",
        heading=LEARNING,
    )
    local_parts: int | None = option(
        None,
        metavar="N",
        within=Range(2),
        help="stdl: cut the network into this number of parts. Default: 2.",
        heading=LEARNING,
    )

    @property
    def is_ann(self) -> bool:
        """Whether an ANN baseline is trained."""
        return self.method == ANN

    @property
    def has_program(self) -> bool:
        """Whether one Program describes the trained network: an ANN has ReLUs, and TAB a linear map per step."""
        return not self.is_ann and self.norm != TAB

    @property
    def loss_factor(self) -> float:
        """The loss's factor: 1, or in a convex sum ``1 / (1 + W)``, the paper's lambda."""
        return 1 / (1 + (self.penalty_weight or 0.0)) if self.convex else 1.0

    @property
    def penalty_factor(self) -> float:
        """The penalty's factor: ``W``, or in a convex sum ``W / (1 + W)``."""
        return (self.penalty_weight or 0.0) * self.loss_factor

    @property
    def runs_serially(self) -> bool:
        """Whether time steps are executed one by one, whatever is scored."""
        return self.strategy != "bptt" or self.transmit in ("open", "closed")

    @classmethod
    def completed(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Add the number of time steps of an ANN, which is one, and the numbers that schedules determine."""
        found = super().completed(given)
        return {"steps": 1, **found} if found.get("method") == ANN else found

    def conflicts(self) -> Iterator[Violation]:
        """Yield which choices exclude each other, and why."""
        yield from super().conflicts()
        yield from _belonging_to_others(self)
        yield from _incompatible(_with_defaults(self))
        if self.qat is not None:
            yield from _incompatible_with_integers(self)
        if self.is_ann:
            yield from _incompatible_with_ann(self)

    def checked(self) -> Self:
        """Return the options with the defaults of the method, the loss, the strategy and the optimizer.

        Raises:
            BadOptions: every violation.
        """
        return _with_defaults(super().checked())

    @classmethod
    def from_json(cls, recorded: Mapping[str, Any]) -> dict[str, Any]:
        """Read the values of ``as_json`` back, by the names and types of fields."""
        return {name: tuple(value) if isinstance(value, list) else value for name, value in recorded.items()}


def _choosers(options: TrainOptions) -> tuple[tuple[str, str, Mapping[str, Mapping[str, Any]]], ...]:
    """Return each option that brings defaults of others, what it chose, and the defaults of each choice."""
    return (
        ("method", options.method, METHOD_DEFAULTS),
        ("loss", options.loss, LOSS_DEFAULTS),
        ("strategy", options.strategy, STRATEGY_DEFAULTS),
        ("optimizer", options.optimizer, OPTIMIZER_DEFAULTS),
    )


def _with_defaults(options: Chosen) -> Chosen:
    """Fill in the defaults of the method, the loss, the strategy and the optimizer."""
    defaults = {
        name: value
        for _, chosen, table in _choosers(options)
        for name, value in table.get(chosen, {}).items()
        if getattr(options, name) is None
    }
    if "score_from" in defaults and options.loss == "rate" and not options.runs_serially:
        defaults["score_from"] = "run"  # the mean of all outputs needs the last step
    if "keep_of" in defaults and options.transmit in ("open", "closed"):
        defaults["keep_of"] = "all"
    return replace(options, **defaults)


def _belonging_to_others(options: TrainOptions) -> Iterator[Violation]:
    """Yield options that belong to another method, loss, strategy or optimizer than the chosen one."""
    for chooser, chosen, table in _choosers(options):
        if chosen not in table:
            continue
        for name in dict.fromkeys(name for row in table.values() for name in row if name not in table[chosen]):
            if getattr(options, name) is not None:
                owners = [f"`{chooser}={choice}`" for choice, row in table.items() if name in row]
                yield Violation(f"`{name}`", f"needs {any_of(owners)} (got {chosen})")


def _incompatible(options: TrainOptions) -> Iterator[Violation]:
    """Yield which choices exclude each other, and why."""
    if options.norm == TAB and not options.is_ann:
        yield from _incompatible_with_tab(options)
    if options.norm == "tebn":
        found = "has statistics that differ from step to step, and TDD needs one linear map for all steps"
        yield Violation(f"`norm={options.norm}`", found, remedy="Use `norm=batch` or `norm=mpbn`.")
    if options.loss == "rate" and options.strategy != "bptt":
        found = f"cannot be combined with `strategy={options.strategy}`: the mean of all outputs needs the last step"
        yield Violation("`loss=rate`", found, remedy="Use `loss=tet` or `loss=rmp`, or `strategy=bptt`.")
    is_masked = options.transmit in ("open", "closed")
    if options.loss == "rate" and options.strategy == "bptt" and (is_masked or options.score_from == "step"):
        which = f"transmit={options.transmit}" if is_masked else "score_from=step"
        found = f"cannot be combined with `{which}`, which scores each step"
        yield Violation("`loss=rate`", found, remedy="Use `loss=tet` or `loss=rmp`.")
    if options.size_schedule and options.strategy == "stdl":
        found = "cannot be combined with `strategy=stdl`, whose heads have the size of the data"
        yield Violation("`size_schedule`", found, remedy="Use another `strategy`.")
    if options.score_from == "run" and options.runs_serially:
        which = f"strategy={options.strategy}" if options.strategy != "bptt" else f"transmit={options.transmit}"
        yield Violation(
            "`score_from=run`",
            f"cannot be combined with `{which}`, which runs step after step",
            remedy="Use `score_from=step`.",
        )
    if options.keep_of in ("changed", "fired") and is_masked:
        found = (
            f"cannot be combined with `transmit={options.transmit}`: a neuron that is silent at first could never send"
        )
        yield Violation(f"`keep_of={options.keep_of}`", found, remedy="Use `keep_of=all`.")
    if options.convex and options.penalty_weight is None:
        yield Violation("`convex`", f"needs a method with a penalty (got {options.method})")
    if options.strategy == "sltt-k" and options.score in ("gsc", "jac", "grad"):
        found = "cannot be combined with `strategy=sltt-k`, which leaves out the step before that the score needs"
        yield Violation(f"`score={options.score}`", found, remedy="Use `score=random` or `strategy=sltt`.")
    if options.reset == "soft" and options.norm == "mpbn":
        found = "cannot be combined with `reset=soft`, which subtracts in the unit before the norm"
        yield Violation("`norm=mpbn`", found, remedy="Use `norm=batch` or `reset=hard`.")


def _incompatible_with_tab(options: TrainOptions) -> Iterator[Violation]:
    where, together = "`norm=tab`", "cannot be combined with"
    if options.method != "tet":
        found = f"{together} `method={options.method}`, whose penalty serves an exported network"
        yield Violation(where, f"{found}; it has a linear map per step", remedy="Use `method=tet`.")
    if options.strategy != "bptt":
        found = f"{together} `strategy={options.strategy}`, which learns from single steps"
        yield Violation(where, f"{found}; its statistics are of several", remedy="Use `strategy=bptt`.")
    if options.qat is not None:
        yield Violation(where, f"{together} `qat`, which needs one linear map for all steps")
    if options.steps_schedule:
        yield Violation(where, f"{together} `steps_schedule`, which leaves the norms of later steps untrained")
    if options.fisher:
        yield Violation(where, f"{together} `fisher`, which analyze reads beside an exported network")


def _incompatible_with_ann(options: TrainOptions) -> Iterator[Violation]:
    default, spiking = TrainOptions(), f"Choose another `method`: {', '.join(SPIKING)}."
    why = dict.fromkeys(WITHOUT_NEURONS, "has no neurons") | dict.fromkeys(WITHOUT_TIME, "has no time steps")
    for name, reason in why.items():
        if getattr(options, name) != getattr(default, name):
            found = f"cannot be combined with `method=ann`, which {reason}"
            yield Violation(f"`{name}`", found, remedy=spiking)
    if options.steps > 1:
        yield Violation("`steps`", str(options.steps), "1 with `method=ann`, which is one forward pass")
    if options.loss == "rmp":
        found = "cannot be combined with `method=ann`, which has no potentials"
        yield Violation("`loss=rmp`", found, remedy="Use `loss=tet` or `loss=rate`: both are one cross-entropy.")
    if options.qat is not None:
        found = "cannot be combined with `method=ann`, which is measured in 16 to 2 bits after every training"
        yield Violation("`qat`", found, remedy=spiking)
    if options.sparsity and options.patience is not None:
        found = "cannot be combined with `sparsity`, whose early epochs keep more weights than its last"
        yield Violation("`patience`", found)
    if options.network in GATED:
        found = "cannot be combined with `method=ann`, since its gates take spikes alone"
        yield Violation(f"`network={options.network}`", found, remedy="Use a network without gates.")


def _incompatible_with_integers(options: TrainOptions) -> Iterator[Violation]:
    if options.strategy != "bptt":
        yield Violation(
            "`qat`", f"cannot be combined with `strategy={options.strategy}`", remedy="Use `strategy=bptt`."
        )
    if options.ema is not None:
        yield Violation("`ema`", "cannot be combined with `qat`, whose integers are chosen for each batch")
    if options.patience is not None:
        found = "cannot be combined with `qat`, whose first epochs are measured in floats and whose last in integers"
        yield Violation("`patience`", found)
    if options.size_schedule:
        found = "cannot be combined with `size_schedule`, since its integers fit images of one size"
        yield Violation("`qat`", found)
    if options.amp:
        yield Violation("`amp`", "cannot be combined with `qat`, whose integers bfloat16 would round")
