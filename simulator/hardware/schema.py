"""Read TOML files of figures with sources, strictly: files of the package by name, files of a user by path."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from tdd_deploy.documents import read_toml
from tdd_deploy.errors import BadOption, Violation, any_of, did_you_mean
from tdd_deploy.files import sha256

NUMBER = (int, float)
MOST = 10**12  # of any figure, in any unit: products with counts stay finite, and positions on a chip in 64 bits
# What a figure is. "unknown": the texts that quote it do not say how it was found.
CONFIDENCES = ("measured", "regression", "simulated", "vendor", "derived", "unknown")
# How a figure was read, the most direct way first: in the publication itself, recomputed from the authors' files, in an
# abstract or a web page of theirs, in two or more texts that quote it, in one text alone.
READS = ("primary", "data", "abstract", "quoted", "quoted1")


@dataclass(frozen=True)
class Key:
    """What a key of a file may hold; ``least`` bounds a number, or the length of a list of texts."""

    kind: type | tuple[type, ...]
    allowed: tuple[Any, ...] = ()
    required: bool = True
    least: int = 0


@cache
def names_in(folder: str) -> tuple[str, ...]:
    """Return the names of the files of a folder of the package."""
    found = (resources.files(__package__) / folder).iterdir()
    return tuple(sorted(path.name.removesuffix(".toml") for path in found if path.name.endswith(".toml")))


def read_table(folder: str, name: str, *, option: str) -> tuple[dict[str, Any], str]:
    """Read a file by its name in a folder of the package, or from a path that ends in ``.toml``.

    Returns:
        Its content, and its SHA-256.

    Raises:
        BadOption: none has this name; ``option`` is the parameter that gave it.
        BadFile: the file is missing or not TOML.
    """
    names = names_in(folder)
    if name in names:
        with resources.as_file(resources.files(__package__) / folder / f"{name}.toml") as path:
            return read_toml(path, "install tdd-deploy again"), sha256(path)
    if not name.endswith(".toml"):
        longer = [known for known in names if name and known.startswith(name)]
        hint = f"Did you mean {any_of(longer)}?" if longer else did_you_mean(name, names)
        raise BadOption(option, repr(name), f"{', '.join(names)}, or a path to a .toml file", hint)
    path = Path(name)
    content = read_toml(path, f"name one of the {folder} of the package, or a .toml file of the same form")
    return content, sha256(path)


def table_violations(where: str, found: Any, keys: Mapping[str, Key]) -> Iterator[Violation]:
    """Yield every unknown or missing key of a table, and every value that a key does not allow."""
    if not isinstance(found, dict):
        yield Violation(where.rstrip("."), f"{found!r}", "a table")
        return
    for key in sorted(found.keys() - keys.keys()):
        found_key = f"is an unknown key; the keys here are {', '.join(keys)}"
        yield Violation(f"{where}{key}", found_key, remedy=did_you_mean(key, keys))
    for name, key in keys.items():
        if name not in found:
            if key.required:
                yield Violation(f"{where}{name}", "is missing", remedy=f"Give {allowed(key)}.")
            continue
        value = found[name]
        values = value if isinstance(value, list) else [value]
        is_short = isinstance(value, list) and len(value) < key.least
        is_kind = isinstance(value, key.kind) and isinstance(value, bool) == (key.kind is bool)
        if is_short or not is_kind or not all(_fits(v, key) for v in values):
            yield Violation(f"{where}{name}", repr(value), allowed(key))


def _fits(value: Any, key: Key) -> bool:
    if key.allowed:
        return value in key.allowed
    if key.kind is list:
        return isinstance(value, str) and value != ""
    if key.kind is bool:
        return True
    if isinstance(value, float | int):
        return key.least <= value <= MOST
    return value not in ("", {})


def allowed(key: Key) -> str:
    """Describe what a key may hold."""
    if key.allowed:
        words = ", ".join(str(value) for value in key.allowed)
        some = "some of" if key.kind is list else "one of" if len(key.allowed) > 1 else ""
        return f"{some} {words}".lstrip()
    if key.kind is str:
        return "a text that is not empty"
    if key.kind is bool:
        return "true or false"
    if key.kind is dict:
        return "a table that is not empty"
    if key.kind is list:
        return "a list of texts that is not empty" if key.least else "a list of texts"
    return f"{'a whole number' if key.kind is int else 'a number'}, {key.least} or more"


def keys_schema(keys: Mapping[str, Key]) -> dict[str, Any]:
    """Return the JSON Schema of a table with these keys, and no others."""
    return {
        "type": "object",
        "properties": {name: _key_schema(key) for name, key in keys.items()},
        "required": [name for name, key in keys.items() if key.required],
        "additionalProperties": False,
    }


def tables_schema(keys: Mapping[str, Key]) -> dict[str, Any]:
    """Return the JSON Schema of tables of any name, each with these keys."""
    return {"type": "object", "minProperties": 1, "additionalProperties": keys_schema(keys)}


def _key_schema(key: Key) -> dict[str, Any]:
    single: dict[str, Any] = {"enum": list(key.allowed)} if key.allowed else {}
    if key.kind is list:
        return {"type": "array", "items": single or {"type": "string", "minLength": 1}, "minItems": key.least}
    if key.kind is bool or key.kind is dict:
        return {"type": "boolean" if key.kind is bool else "object"}
    if key.kind is str:
        return {"type": "string", **(single or {"minLength": 1})}
    bounds = single or {"minimum": key.least, "maximum": MOST}
    return {"type": "integer" if key.kind is int else "number", **bounds}
