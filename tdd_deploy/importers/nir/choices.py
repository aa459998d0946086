"""What NIR leaves open: in a file of tdd-deploy, metadata of the graph decide it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from reprlib import repr as short
from typing import Any, cast, get_args

import numpy as np

from tdd_deploy.errors import Violation, any_of, did_you_mean
from tdd_deploy.program import Integration, NumberFormat

PROVENANCE = "provenance_"
WRITER = "tdd_deploy"


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the nodes and edges of a NIR graph leave open."""

    dt_s: float
    n_steps: int | None  # None: not stated
    integration: Integration
    number_format: NumberFormat
    encoder: str
    input_largest: int = 1  # used in integer programs only
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Expected:
    """What the value of one key must be."""

    allowed: str
    is_met: Callable[[Any], bool]


def one_of(*words: str) -> Expected:
    """Expect one of these words."""
    return Expected(any_of(words), lambda value: isinstance(value, str) and value in words)


TEXT = Expected("text", lambda value: isinstance(value, str))
EXPECTED = {
    WRITER: TEXT,
    "dt_s": Expected(
        "a positive number of seconds",
        lambda value: isinstance(value, int | float | np.integer | np.floating) and bool(0 < value < np.inf),
    ),
    "integration": one_of(*get_args(Integration)),
    "reset": one_of("hard", "soft", "mixed", "none"),
    "compare": one_of(">"),
    "encoder": TEXT,
    "number_format": one_of(*get_args(NumberFormat)),
}
OPTIONAL = {
    "n_steps": Expected(
        "a whole number of time steps, 1 or more",
        lambda value: isinstance(value, int | np.integer) and bool(value >= 1),
    ),
}
INTEGER = {
    "input_largest": Expected(
        "a whole number, 1 or more", lambda value: isinstance(value, int | np.integer) and bool(value >= 1)
    )
}


def is_integer(metadata: Mapping[str, Any]) -> bool:
    """Read from unchecked metadata whether a graph is in integers."""
    return str(metadata.get("number_format")) == "integer"


def not_understood(metadata: Mapping[str, Any]) -> Iterator[Violation]:
    """Yield the keys that are missing or unknown, or whose values are not allowed."""
    all_expected = EXPECTED | (INTEGER if is_integer(metadata) else {})
    for key, expected in all_expected.items():
        if key not in metadata:
            yield Violation(f"metadata {key}", "is missing", remedy=f"Write {expected.allowed}.")
    for key, value in metadata.items():
        known = TEXT if key.startswith(PROVENANCE) else (all_expected | OPTIONAL).get(key)
        if known is None:
            other = f"Remove the key, or read the file with tdd-deploy {metadata[WRITER]}, which wrote it."
            remedy = f"{did_you_mean(key, all_expected | OPTIONAL)} {other}".strip()
            yield Violation(f"metadata {key}", "is an unknown key", remedy=remedy)
        elif not known.is_met(value):
            yield Violation(f"metadata {key}", short(value), known.allowed)


def read_choices(metadata: Mapping[str, Any]) -> Choices:
    """Read the choices from valid metadata."""
    return Choices(
        dt_s=float(metadata["dt_s"]),
        n_steps=int(metadata["n_steps"]) if "n_steps" in metadata else None,
        integration=cast(Integration, metadata["integration"]),
        number_format=cast(NumberFormat, metadata["number_format"]),
        encoder=metadata["encoder"],
        input_largest=int(metadata.get("input_largest", 1)),
        provenance={
            key.removeprefix(PROVENANCE): value for key, value in metadata.items() if key.startswith(PROVENANCE)
        },
    )
