"""Chips: how many cores they have, and what a core holds, with sources. Each is one TOML file, read strictly."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from tdd_deploy.errors import BadProfile, Violation
from tdd_deploy.neurons import NEURONS, LoihiLIF, Reset

from .schema import CONFIDENCES, Key, keys_schema, names_in, read_table, table_violations

# What a chip, a core or one neuron can limit, and the unit.
LIMITS = {
    "cores": ("cores per chip", "core"),
    "neurons": ("neurons per core", "neuron"),
    "synapse_bits": ("synapse memory per core", "bit"),
    "axons_in": ("axons into a core", "axon"),
    "axons_out": ("axons out of a core", "axon"),
    "fan_in": ("synapses into a neuron", "synapse"),
    "destinations": ("cores that one neuron reaches", "core"),
    "weight_bits": ("bits of a weight", "bit"),
}
SPIKES = ("binary", "graded")
SHARING = ("none", "pixels", "kernels")
MODELS = (*NEURONS, LoihiLIF.__name__)


@dataclass(frozen=True, kw_only=True)
class Limit:
    """The largest number of something; ``what`` names it."""

    name: str
    value: int
    confidence: str
    source: str

    @property
    def what(self) -> str:
        """The limited quantity, for people."""
        return LIMITS[self.name][0]


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """Tiles in columns, numbered downward, column by column; neighbors are one hop apart."""

    columns: int
    rows: int
    cores_per_tile: int
    source: str


@dataclass(frozen=True, kw_only=True)
class Synapses:
    """How a core stores weights."""

    sharing: str  # none; pixels that use the same taps share a list; kernels: one copy of all weights per core
    source: str
    entry_synapses: int = 1  # synapses in an entry
    entry_bits: int = 0  # what an entry takes in addition; both in whole words
    word_bits: int = 1


@dataclass(frozen=True, kw_only=True)
class Spikes:
    """The content of a message: ``binary``, that a neuron fired; or ``graded``, a number of at most ``bits`` bits."""

    kind: str
    bits: int
    source: str


@dataclass(frozen=True, kw_only=True)
class Neurons:
    """The neuron models of the hardware, by our names, and their resets."""

    models: tuple[str, ...]
    resets: tuple[str, ...]
    source: str


@dataclass(frozen=True, kw_only=True)
class Chip:
    """The published resources of a chip. What no source limits is not checked; ``not_checked`` lists it."""

    name: str
    title: str
    remark: str
    limits: Mapping[str, Limit]
    mesh: Mesh | None
    synapses: Synapses
    spikes: Spikes
    neurons: Neurons | None  # None: programmable
    not_checked: tuple[str, ...]

    def limit(self, name: str) -> int | None:
        """Return a limit, or None where nothing is published."""
        found = self.limits.get(name)
        return None if found is None else found.value


@cache
def chip_names() -> tuple[str, ...]:
    """Return the names of the chips that come with the package."""
    return names_in("chips")


def load_chip(name: str) -> Chip:
    """Read a chip by its name, or from a path that ends in ``.toml``.

    Raises:
        BadOption: no chip has this name.
        BadFile: the file is missing or not TOML.
        BadProfile: every unknown key, missing number, unit or source.
    """
    content, _ = read_table("chips", name, option="chip")
    violations = list(_violations(content))
    if violations:
        raise BadProfile(f"chip {name}", violations)
    neurons = content.get("neurons")
    return Chip(
        name=content["name"],
        title=content["title"],
        remark=content["remark"],
        limits={limit: _limit(limit, figures) for limit, figures in content["limit"].items()},
        mesh=Mesh(**content["mesh"]) if "mesh" in content else None,
        synapses=Synapses(**content["synapses"]),
        spikes=Spikes(**content["spikes"]),
        neurons=Neurons(**_tuples(neurons)) if neurons else None,
        not_checked=tuple(content["not_checked"]),
    )


def _limit(name: str, figures: Mapping[str, Any]) -> Limit:
    others = {key: figures[key] for key in ("value", "confidence", "source")}
    return Limit(name=name, **others)


def _tuples(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


_TOP = {
    "schema": Key(int, (1,)),
    "name": Key(str),
    "title": Key(str),
    "remark": Key(str),
    "not_checked": Key(list, least=1),  # no verdict without it
    "limit": Key(dict),
    "mesh": Key(dict, required=False),
    "synapses": Key(dict),
    "spikes": Key(dict),
    "neurons": Key(dict, required=False),
}
_LIMIT = {
    "value": Key(int, least=1),
    "unit": Key(str),
    "confidence": Key(str, CONFIDENCES),
    "source": Key(str),
}
_TABLES = {
    "mesh": {name: Key(int, least=1) for name in ("columns", "rows", "cores_per_tile")} | {"source": Key(str)},
    "synapses": {
        "sharing": Key(str, SHARING),
        "entry_synapses": Key(int, required=False, least=1),
        "entry_bits": Key(int, required=False),
        "word_bits": Key(int, required=False, least=1),
        "source": Key(str),
    },
    "spikes": {"kind": Key(str, SPIKES), "bits": Key(int), "source": Key(str)},
    "neurons": {
        "models": Key(list, MODELS, least=1),
        "resets": Key(list, get_args(Reset), least=1),
        "source": Key(str),
    },
}


def chip_schema() -> dict[str, Any]:
    """Return the JSON Schema of a chip's file."""
    found = keys_schema(_TOP)
    found["properties"] |= {name: keys_schema(keys) for name, keys in _TABLES.items()}
    limits = {name: keys_schema({**_LIMIT, "unit": Key(str, (unit,))}) for name, (_, unit) in LIMITS.items()}
    found["properties"]["limit"] = {"type": "object", "properties": limits, "additionalProperties": False}
    return found


def _violations(content: Mapping[str, Any]) -> Iterator[Violation]:
    yield from table_violations("", content, _TOP)
    for name, keys in _TABLES.items():
        if isinstance(content.get(name), dict):
            yield from table_violations(f"{name}.", content[name], keys)
    limits = content.get("limit")
    if not isinstance(limits, dict):
        return
    yield from table_violations("limit.", limits, {name: Key(dict, required=False) for name in LIMITS})
    for name, (_, unit) in LIMITS.items():
        if isinstance(limits.get(name), dict):
            yield from table_violations(f"limit.{name}.", limits[name], {**_LIMIT, "unit": Key(str, (unit,))})
