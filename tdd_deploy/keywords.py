"""The keywords of each function of the front door, made from the options classes.

Do not edit: tests/golden/test_keywords.py writes this file when golden files are updated.
"""

from collections.abc import Sequence
from os import PathLike
from typing import TypedDict

from .options import vocabulary


class Load(TypedDict, total=False):
    """The options of ``load``; their classes are listed in ``options/functions.py``."""

    dialect: str | None
    strict: bool


class OpenData(TypedDict, total=False):
    """The options of ``open_data``; their classes are listed in ``options/functions.py``."""

    data: str | None
    data_dir: str | PathLike[str] | None
    input_scale: float | None
    frames: bool
    bin_us: int | None
    bins: int | None
    bin_value: vocabulary.BinValue | None
    downsample: int | None
    window: int | None
    stride: int | None
    split: str | None
    samples: int | None


class Train(TypedDict, total=False):
    """The options of ``train``; their classes are listed in ``options/functions.py``."""

    data: str | None
    data_dir: str | PathLike[str] | None
    input_scale: float | None
    frames: bool
    bin_us: int | None
    bins: int | None
    bin_value: vocabulary.BinValue | None
    downsample: int | None
    window: int | None
    stride: int | None
    neuron: vocabulary.NeuronKind
    reset: vocabulary.Reset
    reset_to: Sequence[float]
    beta: float
    threshold: float
    learn: Sequence[vocabulary.Learnable]
    epochs: int
    batch: int
    optimizer: vocabulary.Optimizer
    momentum: float | None
    learning_rate: float
    weight_decay: float
    schedule: vocabulary.Schedule
    warmup: float
    clip: float | None
    ema: float | None
    patience: int | None
    steps: int
    steps_schedule: Sequence[str]
    size_schedule: Sequence[str]
    network: vocabulary.Network
    method: vocabulary.Method
    loss: vocabulary.Loss
    tet_mse: float | None
    rmp_weight: float | None
    strategy: vocabulary.Strategy
    seed: int
    train_samples: int | None
    val_samples: int | None
    label_smoothing: float
    augment: vocabulary.Augmentation | None
    mixup: float | None
    cutmix: float | None
    amp: bool
    fisher: int
    norm: vocabulary.Norm
    encoder: vocabulary.Encoder
    qat: int | None
    sparsity: float | None
    score: vocabulary.Score | None
    score_from: vocabulary.ScoreFrom | None
    reading: vocabulary.DdlaReading | None
    keep: float | None
    keep_of: vocabulary.KeepOf | None
    penalty_weight: float | None
    convex: bool
    weigh: vocabulary.Weigh | None
    transmit: vocabulary.Transmission | None
    sltt_steps: int | None
    local_parts: int | None
    from_: str | PathLike[str] | None
    device: vocabulary.Device
    tensorboard: bool


class Quantize(TypedDict, total=False):
    """The options of ``quantize``; their classes are listed in ``options/functions.py``."""

    bits: int | None
    per: vocabulary.Per
    input_bits: int | None
    data: str | None
    data_dir: str | PathLike[str] | None
    input_scale: float | None
    frames: bool
    bin_us: int | None
    bins: int | None
    bin_value: vocabulary.BinValue | None
    downsample: int | None
    window: int | None
    stride: int | None
    samples: int
    steps: int | None


class Simulate(TypedDict, total=False):
    """The options of ``simulate``; their classes are listed in ``options/functions.py``."""

    dialect: str | None
    strict: bool
    data: str | None
    data_dir: str | PathLike[str] | None
    input_scale: float | None
    frames: bool
    bin_us: int | None
    bins: int | None
    bin_value: vocabulary.BinValue | None
    downsample: int | None
    window: int | None
    stride: int | None
    split: str | None
    samples: int | None
    steps: int | None
    seed: int
    encoder: vocabulary.Encoder | None
    input_threshold: float
    output: vocabulary.Reading
    code: vocabulary.CodeChoice | None
    delta_threshold: float | None
    energy: bool
    profiles: Sequence[str]
    step_time_s: float | None
    clock_mhz: float | None
    baseline: str | PathLike[str] | Sequence[str | PathLike[str]]
    batch: int
    threads: int | None
    workers: int | None
    scheduler: str | None
    early_exit: float | vocabulary.Tuned | None
    record: str | PathLike[str] | None
    record_potentials: bool


class TuneExit(TypedDict, total=False):
    """The options of ``tune_exit``; their classes are listed in ``options/functions.py``."""

    data: str | None
    data_dir: str | PathLike[str] | None
    input_scale: float | None
    frames: bool
    bin_us: int | None
    bins: int | None
    bin_value: vocabulary.BinValue | None
    downsample: int | None
    window: int | None
    stride: int | None
    split: str | None
    samples: int | None
    steps: int | None
    seed: int
    encoder: vocabulary.Encoder | None
    input_threshold: float
    batch: int
    lose: float
    folds: int
    threads: int | None


class Price(TypedDict, total=False):
    """The options of ``price``; their classes are listed in ``options/functions.py``."""

    energy: bool
    profiles: Sequence[str]
    step_time_s: float | None
    clock_mhz: float | None
    baseline: str | PathLike[str] | Sequence[str | PathLike[str]]


class Check(TypedDict, total=False):
    """The options of ``check``; their classes are listed in ``options/functions.py``."""

    dialect: str | None
    strict: bool
    bits: int | None
    code: vocabulary.Code | None
    chips: int
    data: str | None
    data_dir: str | PathLike[str] | None
    input_scale: float | None
    frames: bool
    bin_us: int | None
    bins: int | None
    bin_value: vocabulary.BinValue | None
    downsample: int | None
    window: int | None
    stride: int | None
    split: str | None
    samples: int | None


class Verify(TypedDict, total=False):
    """The options of ``verify``; their classes are listed in ``options/functions.py``."""

    dialect: str | None
    strict: bool
    data: str | None
    data_dir: str | PathLike[str] | None
    input_scale: float | None
    frames: bool
    bin_us: int | None
    bins: int | None
    bin_value: vocabulary.BinValue | None
    downsample: int | None
    window: int | None
    stride: int | None
    split: str | None
    samples: int | None
    steps: int | None
    batch: int
    against: Sequence[vocabulary.Backend] | None
    mapping: vocabulary.Mapping
    timeout_s: float
    bits: int | None
    per: vocabulary.Per
    input_bits: int | None
    output: vocabulary.Reading


class Export(TypedDict, total=False):
    """The options of ``export``; their classes are listed in ``options/functions.py``."""

    dialect: str | None
    strict: bool
    bits: int | None
    per: vocabulary.Per
    input_bits: int | None
    mapping: vocabulary.Mapping | None
    form: vocabulary.Form | None
    fast: bool
    code: vocabulary.Code | None
    floats: bool
    steps: int | None
    data: str | None
    data_dir: str | PathLike[str] | None
    input_scale: float | None
    frames: bool
    bin_us: int | None
    bins: int | None
    bin_value: vocabulary.BinValue | None
    downsample: int | None
    window: int | None
    stride: int | None
    samples: int


class Inspect(TypedDict, total=False):
    """The options of ``inspect``; their classes are listed in ``options/functions.py``."""

    dialect: str | None
    strict: bool


class Sweep(TypedDict, total=False):
    """The options of ``sweep``; their classes are listed in ``options/functions.py``."""

    dialect: str | None
    strict: bool
    data: str | None
    data_dir: str | PathLike[str] | None
    input_scale: float | None
    frames: bool
    bin_us: int | None
    bins: int | None
    bin_value: vocabulary.BinValue | None
    downsample: int | None
    window: int | None
    stride: int | None
    split: str | None
    samples: int | None
    steps: int | None
    seed: int
    batch: int
    codes: Sequence[vocabulary.CodeChoice]
    bits: Sequence[vocabulary.NumberFormat]
    input_thresholds: Sequence[float]
    delta_thresholds: Sequence[float] | None
    profiles: Sequence[str]


class Analyze(TypedDict, total=False):
    """The options of ``analyze``; their classes are listed in ``options/functions.py``."""

    data: str | None
    data_dir: str | PathLike[str] | None
    input_scale: float | None
    frames: bool
    bin_us: int | None
    bins: int | None
    bin_value: vocabulary.BinValue | None
    downsample: int | None
    window: int | None
    stride: int | None
    split: str | None
    samples: int | None
    layers: Sequence[str]
    sample: int
    epsilon: float
    compare: str | PathLike[str] | Sequence[str | PathLike[str]]


class Stream(TypedDict, total=False):
    """The options of ``stream``; their classes are listed in ``options/functions.py``."""

    data: str | None
    data_dir: str | PathLike[str] | None
    input_scale: float | None
    frames: bool
    bin_us: int | None
    bins: int | None
    bin_value: vocabulary.BinValue | None
    downsample: int | None
    window: int | None
    stride: int | None
    split: str | None
    samples: int | None
    thresholds: Sequence[float]
    dt_s: float | None


class Prune(TypedDict, total=False):
    """The options of ``prune``; their classes are listed in ``options/functions.py``."""

    data: str | None
    data_dir: str | PathLike[str] | None
    sparsity: float
    rounds: int
    epochs: int
    importance: vocabulary.Importance
    fisher_samples: int
    learning_rate: float
