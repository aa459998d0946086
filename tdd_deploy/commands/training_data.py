"""The samples that a network learns from, and the facts by which a resumed run recognizes them."""

from dataclasses import dataclass
from typing import Any

from tdd_deploy.data import Batch, Choice, Source, digest_of
from tdd_deploy.errors import BadData, BadOption, Violation
from tdd_deploy.options.training import TrainOptions
from tdd_deploy.program import Shape
from tdd_deploy.training import Samples, TrainingData


@dataclass(frozen=True)
class Learned:
    """What is learned from, and its description for train.json."""

    data: TrainingData
    facts: dict[str, Any]


def training_data(choice: Choice, options: TrainOptions) -> Learned:
    """Load the training and validation samples.

    Raises:
        BadData: no labels, a shape that no network takes, or values that cannot be probabilities of spikes.
        BadOption: more steps or samples than there are.
    """
    parts = [choice.open(split) for split in ("train", "val")]
    source = parts[0]
    in_time = is_in_time(choice)
    if not source.labeled or source.n_classes is None:
        found = f"y holds {source.targets}" if source.targets else "y is missing"
        raise BadData(source.name, [Violation("its labels", found, "one integer per sample, in y")])
    shape = _input_shape(source, in_time=in_time)
    if in_time and source.sample_shape[0] < options.most_steps:
        name = "steps_schedule" if options.steps_schedule else "steps"
        raise BadOption(name, str(options.most_steps), f"1 to {source.sample_shape[0]}, the frames of a sample")
    limits = {"train_samples": options.train_samples, "val_samples": options.val_samples}
    batches = [_first(part, *limit) for part, limit in zip(parts, limits.items(), strict=True)]
    loaded = []
    for batch in batches:
        x, y = batch.x, batch.y
        assert y is not None
        if batch is batches[0] and len(y) < 2:
            raise BadData(source.name, [Violation("its training samples", "1", "2 or more, as batch norm needs")])
        if options.encoder == "poisson" and not (x.min() >= 0 and x.max() <= 1):
            raise BadData(
                source.name, [Violation("x", f"{x.min()} to {x.max()}", "0 to 1, as the probability of a spike")]
            )
        lead = x.shape[:2] if in_time else x.shape[:1]
        loaded.append(Samples(x.reshape(*lead, *shape), y))
    train, validation = loaded
    facts = {
        "name": source.name,
        "train_samples": len(train.y),
        "validation_samples": len(validation.y),
        "n_classes": source.n_classes,
        "input_shape": list(shape),
        "input": source.as_json(),
        "static": not in_time,
        "n_steps": options.steps,
        "n_steps_from": "from the options of the run",
        "n_steps_of_data": source.sample_shape[0] if in_time else None,
        "sha256": digest_of(batches),
    }
    data = TrainingData(
        train=train, validation=validation, input_shape=shape, n_classes=source.n_classes, in_time=in_time
    )
    return Learned(data, facts)


def is_in_time(choice: Choice) -> bool:
    """Whether samples have a time axis."""
    return choice.in_time


def _first(source: Source, option: str, wanted: int | None) -> Batch:
    """Read the first samples of a split, as many as an option asks for; by default all."""
    if wanted is not None and wanted > source.n_samples:
        raise BadOption(option, str(wanted), f"1 to {source.n_samples}, as there are no more")
    (batch,) = source.batches(wanted or source.n_samples, limit=wanted)
    return batch


def _input_shape(source: Source, *, in_time: bool) -> Shape:
    shape = source.sample_shape[1:] if in_time else source.sample_shape
    input_shape = (1, *shape) if len(shape) == 2 else shape
    if len(input_shape) not in (1, 3):
        allowed = "of shape (n,), (height, width) or (channels, height, width)"
        raise BadData(source.name, [Violation("a sample", f"shape {shape}", allowed)])
    return input_shape
