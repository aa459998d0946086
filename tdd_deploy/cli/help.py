"""What --help prints: groups of commands, options under headings, and examples."""

import re
from collections.abc import Iterable

import click

FIRST = ("The network file", "The data", "The network")  # of the headings; others follow as they come
OTHERS = "Options"
WHOLE_HYPHEN = "\N{NON-BREAKING HYPHEN}"


class Formatter(click.HelpFormatter):
    """A formatter that keeps flags whole: click breaks lines at hyphens."""

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write terms and their meanings in two columns."""
        super().write_dl([(_whole(term), _whole(text)) for term, text in rows], col_max, col_spacing)

    def write_text(self, text: str) -> None:
        """Write paragraphs."""
        super().write_text(_whole(text))

    def getvalue(self) -> str:
        """Return what was written."""
        return super().getvalue().replace(WHOLE_HYPHEN, "-")


def _whole(text: str) -> str:
    return text.replace("-", WHOLE_HYPHEN)


def command_name(context: click.Context) -> str:
    """Return the name of a command, with the group that it is in: train, or lava run."""
    names = [str(context.command.name)]
    while context.parent is not None and context.parent.parent is not None:  # the outermost group is the program
        context = context.parent
        names.insert(0, str(context.command.name))
    return " ".join(names)


class Context(click.Context):
    """A context whose help keeps flags whole."""

    formatter_class = Formatter


class Command(click.Command):
    """A command whose help has headings and examples."""

    context_class = Context

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings; those without one come last."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                groups.setdefault(getattr(param, "heading", "") or OTHERS, []).append(record)
        others = groups.pop(OTHERS, [])
        first = [title for title in FIRST if title in groups]
        for title in (*first, *(title for title in groups if title not in FIRST)):
            write_records(formatter, title, groups[title])
        write_records(formatter, OTHERS, others)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        from .examples import EXAMPLES  # nothing but help needs them

        write_examples(formatter, EXAMPLES.get(command_name(ctx), ()))


def write_records(formatter: click.HelpFormatter, title: str, records: list[tuple[str, str]]) -> None:
    """Write what there is to choose from under a title."""
    with formatter.section(title):
        formatter.write_dl(records)


def write_examples(formatter: click.HelpFormatter, lines: Iterable[str]) -> None:
    """Write command lines; one that is too long goes on at a flag in the next line, as a shell reads it."""
    with formatter.section("Examples"):
        for line in lines:
            first, *flags = re.split(r" (?=--)", f"tdd-deploy {line}")
            parts = [first]
            for flag in flags:
                if len(parts[-1]) + len(flag) + len("   \\") > formatter.width:
                    parts.append(f"   {flag}")
                else:
                    parts[-1] += f" {flag}"
            formatter.write("".join(f"  {part}\n" for part in " \\\n  ".join(parts).split("\n  ")))
