"""The expected shape of a document: the keys, texts and numbers that a reader needs. Other keys may hold anything."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from .errors import Violation

LONGEST_SHOWN = 60  # characters


class Shape(Protocol):
    """What a value must be."""

    def fault(self, found: object) -> Violation | None:
        """Describe the first place in a value that is wrong; None if there is none."""
        ...

    def schema(self) -> dict[str, Any]:
        """Return the shape as a JSON Schema, draft 2020-12."""
        ...


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number within bounds; ``above`` leaves out the lower one."""

    least: float = -math.inf
    most: float = math.inf
    above: bool = False
    whole: bool = False

    def fault(self, found: object) -> Violation | None:
        """Describe a value that is no such number."""
        is_number = type(found) is int or (type(found) is float and not self.whole)  # True is no number
        if is_number and self.least <= found <= self.most and not (self.above and found == self.least):  # type: ignore[operator]
            return None
        return Violation("", shown(found), str(self))

    def schema(self) -> dict[str, Any]:
        """Return its type and its bounds."""
        bounds = {"exclusiveMinimum" if self.above else "minimum": self.least, "maximum": self.most}
        finite = {name: bound for name, bound in bounds.items() if math.isfinite(bound)}
        return {"type": "integer" if self.whole else "number", **finite}

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        if self.above:
            return f"{kind} above {self.least:g}"
        if math.isinf(self.most):
            return kind if math.isinf(self.least) else f"{kind}, {self.least:g} or more"
        return f"{kind}, {self.least:g} to {self.most:g}"


@dataclass(frozen=True)
class Text:
    """Any text."""

    def fault(self, found: object) -> Violation | None:
        """Describe a value that is no text."""
        return None if isinstance(found, str) else Violation("", shown(found), "a text")

    def schema(self) -> dict[str, Any]:
        """Return its type."""
        return {"type": "string"}


@dataclass(frozen=True)
class Boolean:
    """True or false."""

    def fault(self, found: object) -> Violation | None:
        """Describe a value that is neither."""
        return None if isinstance(found, bool) else Violation("", shown(found), "true or false")

    def schema(self) -> dict[str, Any]:
        """Return its type."""
        return {"type": "boolean"}


@dataclass(frozen=True)
class Anything:
    """A value that no reader takes apart."""

    def fault(self, found: object) -> Violation | None:
        """Find nothing wrong."""
        return None

    def schema(self) -> dict[str, Any]:
        """Allow every value."""
        return {}


@dataclass(frozen=True)
class Maybe:
    """A value of a shape, or null."""

    shape: Shape

    def fault(self, found: object) -> Violation | None:
        """Describe what is wrong with a value that is not null."""
        return None if found is None else self.shape.fault(found)

    def schema(self) -> dict[str, Any]:
        """Return both alternatives."""
        return {"anyOf": [self.shape.schema(), {"type": "null"}]}


@dataclass(frozen=True)
class ListOf:
    """A list whose values all have one shape."""

    shape: Shape
    least: int = 0  # values

    def fault(self, found: object) -> Violation | None:
        """Describe the first wrong value."""
        if not isinstance(found, list):
            return Violation("", shown(found), "a list")
        if len(found) < self.least:
            return Violation("", f"{len(found)} values", f"a list of {self.least} or more")
        for i, value in enumerate(found):
            if (fault := self.shape.fault(value)) is not None:
                return _within(f"[{i}]", fault)
        return None

    def schema(self) -> dict[str, Any]:
        """Return the schema of its values."""
        return {"type": "array", "items": self.shape.schema(), **({"minItems": self.least} if self.least else {})}


@dataclass(frozen=True)
class Table:
    """A table that has these keys, possibly the optional ones, and possibly others."""

    parts: Mapping[str, Shape]
    optional: Mapping[str, Shape] = field(default_factory=dict)

    def fault(self, found: object) -> Violation | None:
        """Describe the first key that is missing or holds a wrong value."""
        if not isinstance(found, dict):
            return Violation("", shown(found), "a table")
        for name, shape in (*self.parts.items(), *self.optional.items()):
            if name not in found:
                if name in self.optional:
                    continue
                return Violation(f".{name}", "is missing")
            if (fault := shape.fault(found[name])) is not None:
                return _within(f".{name}", fault)
        return None

    def schema(self) -> dict[str, Any]:
        """Return the schemas of its keys, all of them required."""
        properties = {name: shape.schema() for name, shape in {**self.parts, **self.optional}.items()}
        return {"type": "object", "properties": properties, "required": list(self.parts)}


@dataclass(frozen=True)
class Each:
    """A table of any keys, whose values all have one shape."""

    shape: Shape

    def fault(self, found: object) -> Violation | None:
        """Describe the first wrong value."""
        if not isinstance(found, dict):
            return Violation("", shown(found), "a table")
        for name, value in found.items():
            if (fault := self.shape.fault(value)) is not None:
                return _within(f"[{shown(name)}]", fault)
        return None

    def schema(self) -> dict[str, Any]:
        """Return the schema of its values."""
        return {"type": "object", "additionalProperties": self.shape.schema()}


COUNT = Number(least=0, whole=True)
POSITIVE = Number(least=1, whole=True)
FRACTION = Number(least=0, most=1)
NUMBER = Number()
TEXT = Text()
BOOLEAN = Boolean()
ANYTHING = Anything()


def fault_in(found: object, shape: Shape, contradictions: Callable[[Any], Iterable[str]] = lambda found: ()) -> str:
    """Describe the first fault of a document, as a predicate of its file; empty if there is none.

    Args:
        found: the content of the document.
        shape: what it must be.
        contradictions: describes places that contradict each other, in a document of this shape.
    """
    fault = shape.fault(found)
    if fault is None:
        text = next(iter(contradictions(found)), "")
    else:
        text = str(replace(fault, where=fault.where.lstrip(".") or "all of it")).rstrip(".")
    return f"is damaged: {text}" if text else ""


def shown(found: object) -> str:
    """Write a refused value in a few characters of ASCII; of a table or a list, only the kind."""
    if isinstance(found, dict | list):
        return "a table" if isinstance(found, dict) else "a list"
    text = json.dumps(found, default=str)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def _within(place: str, fault: Violation) -> Violation:
    return replace(fault, where=f"{place}{fault.where}")
