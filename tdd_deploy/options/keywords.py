"""The keywords of each function of the front door, made from the options classes.

Do not edit: pytest tests/golden/test_keywords.py --update-golden writes this file.
"""

from collections.abc import Sequence
from os import PathLike
from typing import TypedDict

from . import vocabulary


class Load(TypedDict, total=False):
    """The options of ``load``; see ``api.OPTIONS`` for the classes that explain them."""

    dialect: str | None
    strict: bool


class OpenData(TypedDict, total=False):
    """The options of ``open_data``; see ``api.OPTIONS`` for the classes that explain them."""

    data: str | None
    data_dir: str | PathLike[str] | None
    input_scale: float | None
    frames: bool
    bin_us: int | None
    bins: int | None
    bin_value: vocabulary.BinValue | None
    downsample: int | None
    split: str | None
    samples: int | None


class Train(TypedDict, total=False):
    """The options of ``train``; see ``api.OPTIONS`` for the classes that explain them."""

    data: str | None
    data_dir: str | PathLike[str] | None
    input_scale: float | None
    frames: bool
    bin_us: int | None
    bins: int | None
    bin_value: vocabulary.BinValue | None
    downsample: int | None
    train_samples: int | None
    encoder: vocabulary.Encoder
    augment: vocabulary.Augmentation | None
    mixup: float | None
    cutmix: float | None
    network: vocabulary.Network
    steps: int
    norm: vocabulary.Norm
    qat: int | None
    neuron: vocabulary.NeuronKind
    beta: float
    threshold: float
    reset: vocabulary.Reset
    reset_to: Sequence[float]
    learn: Sequence[vocabulary.Learnable]
    loss: vocabulary.Loss
    method: vocabulary.Method
    lambda_: float | None
    weigh: vocabulary.Weigh | None
    score: vocabulary.Score | None
    reading: vocabulary.DdlaReading | None
    keep: float | None
    transmit: vocabulary.Transmission | None
    label_smoothing: float
    epochs: int
    batch: int
    seed: int
    strategy: vocabulary.Strategy
    sltt_steps: int | None
    local_parts: int | None
    optimizer: vocabulary.Optimizer
    learning_rate: float
    momentum: float | None
    weight_decay: float
    schedule: vocabulary.Schedule
    warmup: float
    clip: float | None
    ema: float | None
    patience: int | None
    fisher: int
    amp: bool
    device: vocabulary.Device
    tensorboard: bool


class Quantize(TypedDict, total=False):
    """The options of ``quantize``; see ``api.OPTIONS`` for the classes that explain them."""

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
    samples: int
    steps: int | None


class Simulate(TypedDict, total=False):
    """The options of ``simulate``; see ``api.OPTIONS`` for the classes that explain them."""

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
    split: str | None
    samples: int | None
    steps: int | None
    seed: int
    encoder: vocabulary.Encoder | None
    input_threshold: float
    code: vocabulary.CodeChoice
    delta_threshold: float | None
    output: vocabulary.Reading
    energy: bool
    profiles: Sequence[str]
    step_time: float | None
    clock: float | None
    baseline: str | PathLike[str] | None
    batch: int
    threads: int | None
    workers: int | None
    scheduler: str | None
    early_exit: float | None
    record: str | PathLike[str] | None
    record_potentials: bool


class Price(TypedDict, total=False):
    """The options of ``price``; see ``api.OPTIONS`` for the classes that explain them."""

    energy: bool
    profiles: Sequence[str]
    step_time: float | None
    clock: float | None
    baseline: str | PathLike[str] | None


class Check(TypedDict, total=False):
    """The options of ``check``; see ``api.OPTIONS`` for the classes that explain them."""

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
    split: str | None
    samples: int | None


class Verify(TypedDict, total=False):
    """The options of ``verify``; see ``api.OPTIONS`` for the classes that explain them."""

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
    """The options of ``export``; see ``api.OPTIONS`` for the classes that explain them."""

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
    samples: int


class Inspect(TypedDict, total=False):
    """The options of ``inspect``; see ``api.OPTIONS`` for the classes that explain them."""

    dialect: str | None
    strict: bool


class Sweep(TypedDict, total=False):
    """The options of ``sweep``; see ``api.OPTIONS`` for the classes that explain them."""

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
    """The options of ``analyze``; see ``api.OPTIONS`` for the classes that explain them."""

    data: str | None
    data_dir: str | PathLike[str] | None
    input_scale: float | None
    frames: bool
    bin_us: int | None
    bins: int | None
    bin_value: vocabulary.BinValue | None
    downsample: int | None
    split: str | None
    samples: int | None
    layers: Sequence[str]
    sample: int


class Prune(TypedDict, total=False):
    """The options of ``prune``; see ``api.OPTIONS`` for the classes that explain them."""

    data: str | None
    data_dir: str | PathLike[str] | None
    sparsity: float
    rounds: int
    epochs: int
    by: vocabulary.Importance
    samples: int
    learning_rate: float
