"""Read untrusted documents in JSON and TOML as plain values, or refuse them in one sentence.

Whole numbers have at most 64 bits, numbers in JSON are finite, and texts can be written in UTF-8. A document that would
take long is refused before it is parsed.
"""

import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from .errors import BadFile
from .files import is_special
from .shapes import shown

MOST_JSON = 32 << 20  # bytes; 10,000 points of a sweep take 10 MiB
MOST_TOML = 256 << 10  # bytes, half a second; our own files take 3 KiB
DEEPEST = 32  # tables and lists in each other; our own files hold 8
MOST_DOTS = 16  # in a key of TOML: the time that tomllib takes grows with their square
LONGEST_REASON = 200  # characters of a sentence of a library
LARGEST = 2**63 - 1
TOO_DEEP = f"holds tables or lists that are nested more than {DEEPEST} times"
TOO_LARGE = "holds a whole number of more than 64 bits"
# Strings and comments of TOML; what is not closed ends with the line or the text, so that no character is read twice.
OPAQUE = re.compile(
    r'"""(?:\\.|[^\\])*?(?:"{3,5}|\Z)' r"|'''.*?(?:'{3,5}|\Z)" r'|"(?:\\[^\n]|[^"\\\n])*"?' r"|'[^'\n]*'?" r"|\#[^\n]*",
    re.DOTALL,
)
BETWEEN_KEYS = re.compile(r"[^\w\-. \t]")


class _Unusable(ValueError):
    """A document that is well formed, but holds what no reader expects; the message is a predicate."""


def read_json(path: Path, remedy: str, *, most: int = MOST_JSON) -> Any:
    """Read a JSON file of at most ``most`` bytes.

    Raises:
        BadFile: it is missing, no regular file, too large, not JSON, or holds what no reader expects; the error has the
            caller's remedy.
    """
    return _read(path, most, "JSON", _parse_json, remedy)


def read_toml(path: Path, remedy: str) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        BadFile: see ``read_json``.
    """
    found: dict[str, Any] = _read(path, MOST_TOML, "TOML", _parse_toml, remedy)
    return found


def _read(path: Path, most: int, language: str, parse: Callable[[str], Any], remedy: str) -> Any:
    text = _read_text(path, most, remedy)
    try:
        content = parse(text)
        _check_values(content, finite=language == "JSON")
    except _Unusable as error:
        raise BadFile(path, str(error), remedy) from error
    except RecursionError as error:
        raise BadFile(path, TOO_DEEP, remedy) from error
    except ValueError as error:
        raise BadFile(path, f"is not {language} ({str(error)[:LONGEST_REASON]})", remedy) from error
    return content


def _read_text(path: Path, most: int, remedy: str) -> str:
    """Read a text of at most ``most`` bytes; the mark of the byte order that some editors write is dropped."""
    if is_special(path):
        raise BadFile(path, "is a pipe or a device", remedy)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            content = file.read(min(size, most) + 1)  # takes this much memory at once
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadFile(path, "is missing", remedy) from error
    except IsADirectoryError as error:
        raise BadFile(path, "is a folder", remedy) from error
    except (OSError, ValueError) as error:  # not permitted; a name with a zero byte
        reason = getattr(error, "strerror", None) or error
        raise BadFile(path, f"cannot be read ({reason})", remedy) from error
    if len(content) > most:
        raise BadFile(path, f"holds more than {most >> 10:,} KiB", remedy)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadFile(path, f"is not a text file in UTF-8 (byte {error.start:,})", remedy) from error


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_table)
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        if isinstance(error, _Unusable):
            raise
        raise _Unusable(TOO_LARGE) from error  # int() refuses thousands of digits


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        found.clear()
        for name, value in pairs:
            if name in found:
                raise _Unusable(f"holds the key {shown(name)} twice in one table")
            found[name] = value
    return found


def _parse_toml(text: str) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415  (most runs need none)

    for piece in BETWEEN_KEYS.split(OPAQUE.sub("s", text)):
        if piece.count(".") > MOST_DOTS:
            raise _Unusable(f"holds a key of more than {MOST_DOTS} dots")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:
        raise _Unusable(TOO_LARGE) from error


def _check_values(content: object, *, finite: bool) -> None:
    """Refuse depth, numbers and texts that would make a reader fail later; TOML may write nan and inf."""
    level = [content]
    for _ in range(DEEPEST + 1):
        kinds = set(map(type, level))
        if finite and float in kinds and not all(math.isfinite(each) for each in level if isinstance(each, float)):
            raise _Unusable("holds a number that is not finite")
        if int in kinds and not all(-LARGEST - 1 <= each <= LARGEST for each in level if isinstance(each, int)):
            raise _Unusable(TOO_LARGE)
        if str in kinds:
            _check_text("".join(each for each in level if isinstance(each, str)))
        holders = [each for each in level if isinstance(each, dict | list)]
        if not holders:
            return
        level = list(chain.from_iterable(map(_parts, holders)))
    raise _Unusable(TOO_DEEP)


def _check_text(text: str) -> None:
    if "\0" in text:
        raise _Unusable("holds a text with a zero byte")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _Unusable("holds half a character, which no text can hold") from error


def _parts(holder: Mapping[str, Any] | list[Any]) -> Iterator[Any]:
    return iter(holder) if isinstance(holder, list) else chain(holder, holder.values())
