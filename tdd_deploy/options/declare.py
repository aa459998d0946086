"""How an option is declared: once, as a field of a frozen dataclass.

The annotation says what a value is: ``int``, ``float``, ``bool``, ``str``, ``Path``, a ``Literal`` of words, or a tuple
of these, each possibly ``| None``; or a number beside words, ``float | Literal``. ``option`` adds the default, the help
and the range. From the field follow the flag of the command line, the key in a TOML file, the keyword in Python, the
check, the record in JSON, and what travels to a worker. A class declares which values of its fields exclude each other:
``Options.conflicts``.
"""

import math
import struct
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from numbers import Integral, Real
from os import PathLike, fspath
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Literal, Self, TypeVar, Union, cast, get_args, get_origin

from tdd_deploy.errors import BadOptions, Violation, any_of, did_you_mean

T = TypeVar("T")
O = TypeVar("O", bound="Options")  # noqa: E741
LARGEST_INT64 = 2**63 - 1
LONGEST_SHOWN = 60  # characters of a value that is refused
WORDS = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", Path: "a path"}


@dataclass(frozen=True)
class Range:
    """The numbers from ``low`` to ``high``; ``above`` leaves out ``low``, ``below`` leaves out ``high``."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    why: str = ""

    def __contains__(self, value: float) -> bool:
        is_high_enough = value > self.low if self.above else value >= self.low
        is_low_enough = value < self.high if self.below or math.isinf(self.high) else value <= self.high
        return is_high_enough and is_low_enough

    def __str__(self) -> str:
        low, high = _limit(self.low), _limit(self.high)
        if math.isinf(self.high):
            words = f"above {low}" if self.above else f"{low} or more"
        elif self.above:
            words = f"above {low} and {'below' if self.below else 'at most'} {high}"
        elif self.below:
            words = f"at least {low} and below {high}"
        else:
            words = f"{low} to {high}"
        return f"{words}, {self.why}" if self.why else words


def _limit(number: float) -> str:
    """Write a limit; the largest integer of 64 bits is best known as a power of two."""
    return "2**63 - 1" if number == LARGEST_INT64 else f"{number:,}"


@dataclass(frozen=True)
class Declaration:
    """What a field says beyond its annotation and default."""

    help: str
    metavar: str | None = None
    within: Range | None = None
    flag: str | None = None  # without dashes, if it is not the field's name
    heading: str = ""  # in the help of a command with many options
    repeated: bool = False  # several values are given by repeating the flag, not with commas
    recorded: bool = True  # by as_json; False if results do not depend on it, or if it is recorded elsewhere


def option(
    default: T,
    *,
    help: str,
    metavar: str | None = None,
    within: Range | None = None,
    flag: str | None = None,
    heading: str = "",
    repeated: bool = False,
    recorded: bool = True,
) -> T:
    """Declare a field of ``Options`` with its default."""
    declaration = Declaration(
        help=help,
        metavar=metavar,
        within=within,
        flag=flag,
        heading=heading,
        repeated=repeated,
        recorded=recorded,
    )
    return field(default=default, metadata={"option": declaration})


@dataclass(frozen=True)
class Option:
    """One option of a class, as its field declares it."""

    name: str
    kind: type
    words: tuple[str, ...]  # of a Literal
    is_listed: bool  # several values
    is_optional: bool  # None is allowed
    default: object
    declaration: Declaration

    @property
    def key(self) -> str:
        """The word in a TOML file, and without dashes on the command line."""
        return self.declaration.flag or self.name.rstrip("_").replace("_", "-")

    @property
    def allowed(self) -> str:
        """The allowed values, in words."""
        within = self.declaration.within
        if self.words and self.kind is str:
            return f"one or more of {', '.join(self.words)}" if self.is_listed else any_of(self.words)
        if self.words:
            return f"{any_of(self.words)}, or {WORDS[self.kind]} {within or ''}".rstrip()
        if within is not None:
            return str(within)
        return f"{WORDS[self.kind]}, or several" if self.is_listed else WORDS[self.kind]

    def converted(self, value: object) -> object:
        """Return a value in the type of the field: a path of a text, a float of a whole number, a tuple of a list.

        Raises:
            TypeError: it is of another type.
        """
        if value is None and self.is_optional:
            return None
        value = _without_array(value)
        if self.is_listed:
            values = value if isinstance(value, list | tuple | range) else [value]
            return tuple(self._single(_without_array(each)) for each in values)
        return self._single(value)

    def _single(self, value: object) -> object:
        match value:
            case str() if value in self.words:
                converted: object = value
            case bool():
                converted = value if self.kind is bool else None
            case Integral() if self.kind is int:
                converted = int(value)
            case Real() | str() if self.kind is float:
                converted = _number(value)
            case str() | PathLike() if self.kind is Path:
                converted = Path(value)
            case PathLike() if self.kind is str:
                converted = fspath(value)
            case int() | str() if self.kind is str and (isinstance(value, str) or str(value) in self.words):
                converted = str(value)  # 8 for the word "8"
            case _:
                converted = None
        if converted is None:
            raise TypeError
        return converted

    def violation(self, value: object) -> Violation | None:
        """Describe what is wrong with a converted value; None if nothing is."""
        values = value if isinstance(value, tuple) else (value,)
        if self.is_listed and not values and self.default and not self.declaration.repeated:
            return self.refusal([])  # values with commas; without any, nothing would be done
        wrong = [each for each in values if each is not None and not self._allows(each)]
        return self.refusal(wrong if self.is_listed else wrong[0]) if wrong else None

    def _allows(self, value: object) -> bool:
        within = self.declaration.within
        if self.words and (value in self.words or self.kind is str):
            return value in self.words
        return within is None or cast(float, value) in within

    def refusal(self, found: object) -> Violation:
        """Describe a value, or several values, that are not allowed."""
        values = found if isinstance(found, list | tuple) and self.is_listed else [found]
        hint = did_you_mean(str(values[0]), self.words) if self.words and values else ""
        allowed = self.allowed
        if not self.words and self.declaration.within is not None and not all(map(self._is_number, values)):
            allowed = f"{WORDS[self.kind]}, {allowed}"
        return Violation(f"`{self.name}`", ", ".join(map(self._shown, values)) or "nothing", allowed, hint)

    def _is_number(self, value: object) -> bool:
        """Say whether a value has the type of the field, so that only its size can be wrong."""
        return isinstance(value, Integral if self.kind is int else Real) and not isinstance(value, bool)

    def _shown(self, value: object) -> str:
        """Write a value that is refused; a long one, such as an array, by its type alone."""
        if isinstance(value, float) and self.kind is not int:
            return shortest(value)
        text = repr(value) if isinstance(value, str) else str(value)
        is_short = isinstance(value, str) or (len(text) <= LONGEST_SHOWN and "\n" not in text)
        return text if is_short else f"a value of type {type(value).__name__}"


def _without_array(value: object) -> object:
    """Return the number in a scalar of numpy or torch, and the list in a flat array; other values as they are."""
    if getattr(value, "ndim", None) not in (0, 1) or not hasattr(value, "tolist"):
        return value
    plain: object = value.tolist()
    return plain


def in_float32(value: float) -> float:
    """Round a number to float32; one that is too large becomes infinite."""
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def shortest(number: float) -> str:
    """Write a number with all of its digits, a whole one without a fraction."""
    return str(number).removesuffix(".0")


def _number(value: Real | str) -> float:
    """Return a float of a number, or of a text that is a finite number or a fraction such as 1/256."""
    from fractions import Fraction  # noqa: PLC0415  (most runs need none)

    try:
        if not isinstance(value, str):
            return float(value)
        # Fraction("1e999999999") would fill the memory with digits.
        number = float(Fraction(value)) if "/" in value else float(value)
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise TypeError from error
    if not math.isfinite(number):
        raise TypeError
    return number


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of one concern. A subclass declares fields with ``option``, and conflicts between them."""

    heading: ClassVar[str] = ""  # of those fields in the help that declare none

    @classmethod
    def of(cls, **given: object) -> Self:
        """Return checked options.

        Raises:
            BadOptions: every unknown name, wrong type, value out of range, and conflict.
        """
        return gather(given, cls)[cls]

    @classmethod
    def completed(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Add the defaults that depend on other values."""
        return given

    def conflicts(self) -> Iterator[Violation]:
        """Yield which values exclude each other, each as one whole sentence."""
        yield from ()

    def violations(self) -> Iterator[Violation]:
        """Yield every value out of range, and every conflict of the other values."""
        wrong = set()
        for each in options_of(type(self)):
            violation = each.violation(getattr(self, each.name))
            if violation is not None:
                wrong.add(violation.where)
                yield violation
        yield from (conflict for conflict in self.conflicts() if conflict.where not in wrong)

    def checked(self) -> Self:
        """Return these options, unless there is something wrong with them.

        Raises:
            BadOptions: every violation.
        """
        found = list(self.violations())
        if found:
            raise BadOptions("", found)
        return self

    def as_json(self) -> dict[str, Any]:
        """Return the recorded options as plain values, by name."""
        recorded = (each for each in options_of(type(self)) if each.declaration.recorded)
        return {each.name: _plain(getattr(self, each.name)) for each in recorded}


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def options_of(owner: type[Options]) -> tuple[Option, ...]:
    """Return the options that a class declares, in order."""
    return _options_of(cast(Hashable, owner))


@cache
def _options_of(hashable: Hashable) -> tuple[Option, ...]:
    owner = cast(type[Options], hashable)
    return tuple(
        _option(each.name, each.type, each.default, each.metadata["option"])
        for each in fields(owner)
        if "option" in each.metadata
    )


def _option(name: str, hint: Any, default: object, declaration: Declaration) -> Option:
    """Read an annotation."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    is_optional = type(None) in kinds
    values = [each for each in kinds if each is not type(None)]
    is_listed = get_origin(values[0]) is tuple
    if is_listed:
        values = [get_args(values[0])[0]]
    words = tuple(word for each in values if get_origin(each) is Literal for word in get_args(each))
    (kind,) = [each for each in values if get_origin(each) is not Literal] or [str]
    return Option(
        name=name,
        kind=kind,
        words=words,
        is_listed=is_listed,
        is_optional=is_optional,
        default=default,
        declaration=declaration,
    )


class Gathered(dict[type[Options], Options]):
    """Options of several classes, each found by its class."""

    def __getitem__(self, owner: type[O]) -> O:
        """Return the options of a class."""
        return cast(O, super().__getitem__(owner))


def gather(given: Mapping[str, object], *owners: type[Options]) -> Gathered:
    """Hand each value to the class that declares its name.

    Args:
        given: values by the names of fields; a list stands for a tuple, a text for a path.
        owners: the classes; no two declare the same name.

    Raises:
        BadOptions: every unknown name, wrong type, value out of range, and conflict, of all classes.
    """
    known = {each.name: each for owner in owners for each in options_of(owner)}
    found = [_unknown(name, known) for name in given if name not in known]
    gathered = Gathered()
    for owner in owners:
        values: dict[str, object] = {}
        wrong: list[Violation] = []
        for each in options_of(owner):
            if each.name not in given:
                continue
            try:
                values[each.name] = each.converted(given[each.name])
            except TypeError:
                wrong.append(each.refusal(given[each.name]))
        gathered[owner] = owner(**owner.completed(values))
        found += [*wrong, *gathered[owner].violations()]
    if found:
        raise BadOptions("", found)
    return gathered


def _unknown(name: str, known: Iterable[str]) -> Violation:
    near = did_you_mean(name, known)
    return Violation(f"{name}:", f"no such option; {near[0].lower()}{near[1:]}" if near else "no such option")
