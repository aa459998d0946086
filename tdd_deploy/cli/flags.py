"""Flags of the command line, made from the fields of options; and sentences that name flags."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, wraps
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from tdd_deploy import memory
from tdd_deploy.documents import read_toml
from tdd_deploy.errors import PARAMETER, BadFile, BadOptions, Violation, any_of, did_you_mean
from tdd_deploy.options.declare import Declaration, Option, Options, gather, options_of

from .help import command_name
from .values import complete

PATH = click.Path(path_type=Path)
Command = TypeVar("Command", bound=Callable[..., Any])
LONGEST_METAVAR, LISTED_IN_HELP = 48, "NAME"  # characters; longer lists of words stand in the help
TOML = "name a file of TOML, such as: [train] and below it epochs = 25"


@cache
def _flags() -> Mapping[str, str]:
    """Return the flag of every parameter, by its name."""
    from tdd_deploy.options.functions import OPTIONS  # no help needs all options
    from tdd_deploy.options.tables import ReportTable

    owners: list[type[Options]] = [ReportTable, *chain.from_iterable(OPTIONS.values())]
    own = {name: f"--{name}" for name in ("out", "resume", "config", "target", "chip", "python", "inputs")}
    return own | {each.name: f"--{each.key}" for owner in owners for each in options_of(owner)}


def with_flags(text: str) -> str:
    """Write flags for the parameters of a sentence: --input-scale 1/256 for `input_scale=1/256`."""
    return PARAMETER.sub(lambda found: _flag(found[0].strip("`"), found[1], found[2]), text)


def _flag(plain: str, name: str, value: str | None) -> str:
    flag = _flags().get(name)
    if flag is None:
        return plain
    return flag if value in (None, "True") else f"{flag} {value}"


def word_option(*names: str, words: Sequence[str], **given: Any) -> Callable[[Command], Command]:
    """Add an option whose value is one of some words; the command refuses others, with a suggestion."""
    return click.option(*names, **_words(words), **given)


def _words(words: Sequence[str]) -> dict[str, Any]:
    def complete(context: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return {"metavar": _metavar(words), "shell_complete": complete}


def _metavar(words: Sequence[str]) -> str:
    shown = f"[{'|'.join(words)}]"
    return shown if len(shown) <= LONGEST_METAVAR else LISTED_IN_HELP


def _listed(value: object) -> tuple[object, ...]:
    """Split a text at its commas; a list of a TOML file is kept."""
    if isinstance(value, list | tuple):
        return tuple(value)
    return tuple(word.strip() for word in str(value).split(",") if word.strip())


class Flag(click.Option):
    """A flag that a field declares."""

    def __init__(self, declared: Option, *, heading: str, required: bool) -> None:
        """Take the field, under which heading it stands unless it declares one, and whether the command needs it."""
        self.declared = declared
        self.heading = declared.declaration.heading or heading
        names = [declared.name, f"--{declared.key}"]
        if declared.kind is bool:
            super().__init__(names, is_flag=True, default=None)
            return
        metavar = declared.declaration.metavar or ("FLOAT" if declared.kind is float else None)
        how: dict[str, Any] = {"type": _TYPES[declared.kind], "metavar": metavar}
        if declared.words:
            how |= _words(declared.words) | ({"metavar": metavar} if metavar else {})
        if declared.is_listed and not declared.declaration.repeated:
            how |= {"type": _LIST, "metavar": f"{how['metavar'] or declared.kind.__name__.upper()},..."}
        if declared.kind in (str, Path) and not declared.words:
            how["shell_complete"] = complete
        repeated = declared.declaration.repeated
        super().__init__(names, multiple=repeated, required=required, **how)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the flag and its help, when somebody asks for it."""
        self.help = _help(self.declared)
        return super().get_help_record(ctx)


_LIST = click.types.FuncParamType(_listed)
_TYPES = {int: click.INT, float: click.UNPROCESSED, Path: PATH, str: click.STRING}  # numbers may be fractions


def _help(declared: Option) -> str:
    text = with_flags(declared.declaration.help)
    if _metavar(declared.words) == LISTED_IN_HELP and declared.declaration.metavar is None:
        text += f" {LISTED_IN_HELP} is {any_of(declared.words)}."
    default = declared.default
    if "Default:" in text or default is None or default is False or default == ():
        return text
    mark = ", " if declared.declaration.repeated else ","
    shown = mark.join(map(_word, default)) if isinstance(default, tuple) else _word(default)
    return f"{text} Default: {shown}."


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def with_options(
    *owners: type[Options], required: Collection[str] = (), check: bool = True
) -> Callable[[Command], Callable[..., Any]]:
    """Give a command the flags of some classes, and the flag --config.

    The command receives ``options``, unless there are no classes: their instances, made from the command line and the
    file. Without ``check`` it receives the given values by name, and checks them itself.
    """
    flags = [
        Flag(each, heading=owner.heading, required=each.name in required)
        for owner in owners
        for each in options_of(owner)
    ]

    def add(command: Command) -> Callable[..., Any]:
        @wraps(command)
        def run(**values: Any) -> Any:
            context = click.get_current_context()
            memory.reserve(memory.NUMPY, f"tdd-deploy {context.command.name}")
            given = {}
            for flag in flags:
                assert flag.name is not None
                value = values.pop(flag.name)
                if context.get_parameter_source(flag.name) not in (ParameterSource.DEFAULT, None):
                    given[flag.name] = value
            values.pop("config", None)
            options = gather(given, *owners) if check else given
            return command(**values, **({"options": options} if owners else {}))

        click_option = click.option(
            "--config",
            type=PATH,
            is_eager=True,
            callback=_read_config,
            help="Take options from the table of this command in a .toml file, by their names here.",
        )
        return with_params(click_option(run), flags)

    return add


def with_params(command: Command, flags: Collection[click.Option]) -> Command:
    """Put flags before the options that a command has."""
    params = getattr(command, "__click_params__", [])
    command.__click_params__ = [*params, *reversed(list(flags))]  # type: ignore[attr-defined]
    return command


def _read_config(context: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    """Let a file give what the command line does not."""
    if path is not None:
        known = {
            _key(each): each for each in context.command.params if isinstance(each, click.Option) and each is not param
        }
        context.default_map = read_table(path, command_name(context), known)
    return path


def _key(param: click.Option) -> str:
    return max(param.opts, key=len).lstrip("-")


def read_table(path: Path, command: str, known: Mapping[str, click.Option]) -> dict[str, Any]:
    """Read the table of a command: values by the names of parameters.

    Args:
        path: the file.
        command: its name; of a command in a group, such as lava run, the table is [lava.run].
        known: the options of the command, by their keys.

    Raises:
        BadFile: the file cannot be read, is not TOML, or has no such table.
        BadOptions: every unknown key, and every value of another type.
    """
    table: object = read_toml(path, TOML)
    title = f"[{command.replace(' ', '.')}]"
    for name in command.split():
        table = table.get(name) if isinstance(table, dict) else None
    if not isinstance(table, dict):
        raise BadFile(path, f"has no table {title}", f"write {title} above the options of tdd-deploy {command}")
    found, values = [], {}
    for key, value in table.items():
        param = known.get(key.replace("_", "-"))
        if param is None:
            remedy = did_you_mean(key.replace("_", "-"), known)
            found.append(Violation(key, f"is no option of tdd-deploy {command}", remedy=remedy))
        elif param.name in values:
            found.append(Violation(key, "is given twice, once with - and once with _"))
        else:
            given = _listed(value) if param.type is _LIST and isinstance(value, str) else value
            if fault := _fault(key, given, param):
                found.append(fault)
            else:
                values[str(param.name)] = [given] if param.multiple and not isinstance(given, list) else given
    if found:
        raise BadOptions(f"{path}, table {title}", found)
    return values


def _fault(key: str, value: object, param: click.Option) -> Violation | None:
    """Describe what is wrong with the type of a value; None if nothing is."""
    declared = param.declared if isinstance(param, Flag) else _declared(param)
    try:
        declared.converted(value)
    except TypeError:
        fault = declared.refusal(value)
        return Violation(key, fault.found, fault.allowed)
    return None


def _declared(param: click.Option) -> Option:
    """Describe an option of a command that no field declares."""
    kind = bool if param.is_flag else float if param.type is click.FLOAT else str
    return Option(
        name=str(param.name),
        kind=kind,
        words=(),
        is_listed=False,
        is_optional=False,
        default=None,
        declaration=Declaration(help=""),
    )
