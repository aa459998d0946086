"""Options of a command in a TOML file: a table of the command's name, keys as on the command line."""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from tdd_deploy.errors import BadFile, BadOptions, Violation

REMEDY = "write TOML, such as: [train] and below it epochs = 25"
WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}


def read_options(path: Path, command: str, hints: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file says, by the names of Python arguments.

    Args:
        path: of the file.
        command: whose table is read.
        hints: type of each option; a single value stands for a tuple of one.

    Raises:
        BadFile: missing, not TOML, or without the table.
        BadOptions: every unknown key, and every value of another type.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(path, "is missing or not a text file", "name a .toml file") from error
    except tomllib.TOMLDecodeError as error:
        raise BadFile(path, f"is not TOML ({error})", REMEDY) from error
    table = tables.get(command)
    if not isinstance(table, dict):
        raise BadFile(path, f"has no table [{command}]", REMEDY)
    found, options = [], {}
    for key, value in table.items():
        name = _argument(key, hints)
        if name is None:
            close = difflib.get_close_matches(key.replace("_", "-"), [_key(known) for known in hints], n=1)
            remedy = f"Did you mean {close[0]}?" if close else ""
            found.append(Violation(key, "an unknown key", f"options of tdd-deploy {command}", remedy))
        elif name in options:
            found.append(Violation(key, "given twice", "once, with - or with _"))
        elif not _fits(value, hints[name]):
            found.append(Violation(key, repr(value), _words(hints[name])))
        else:
            options[name] = _converted(value, hints[name])
    if found:
        raise BadOptions(f"{path}, table [{command}]", found)
    return options


def _argument(key: str, hints: Mapping[str, Any]) -> str | None:
    wanted = key.replace("_", "-")
    return next((name for name in hints if _key(name) == wanted), None)


def _key(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def _kinds(hint: Any) -> tuple[Any, ...]:
    """Return what a hint is a choice of, without None."""
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return tuple(option for option in options if option is not type(None))


def _fits(value: Any, hint: Any) -> bool:
    return any(_is_a(value, kind) for kind in _kinds(hint))


def _is_a(value: Any, kind: Any) -> bool:
    if get_origin(kind) is tuple:
        return all(_is_a(each, get_args(kind)[0]) for each in (value if isinstance(value, list) else [value]))
    if get_origin(kind) is Literal or kind is Path:
        return isinstance(value, str)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is kind


def _converted(value: Any, hint: Any) -> Any:
    for kind in _kinds(hint):
        if get_origin(kind) is tuple:
            (each,) = _kinds(get_args(kind)[0])
            values = value if isinstance(value, list) else [value]
            return tuple(_converted(one, each) for one in values)
        if kind in (float, Path):
            return kind(value)
    return value


def _words(hint: Any) -> str:
    kinds = [get_args(kind)[0] if get_origin(kind) is tuple else kind for kind in _kinds(hint)]
    listed = any(get_origin(kind) is tuple for kind in _kinds(hint))
    words = " or ".join(WORDS.get(kind, WORDS[str]) for kind in kinds)
    return f"{words}, or a list" if listed else words
