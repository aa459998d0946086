"""``tdd-deploy doctor``."""

from typing import TYPE_CHECKING

import click

from .console import echo_json, json_option, print_table, say
from .flags import with_flags, with_options
from .help import Command

if TYPE_CHECKING:
    from tdd_deploy.commands.doctor import Diagnosis


@click.command(cls=Command)
@with_options()
@json_option
def doctor(*, as_json: bool) -> None:
    """Say which versions are installed, what each missing extra would add, and whether the engine and Lava are ready.

    Exit code 1 when a package is missing that every command needs.
    """
    from tdd_deploy.commands.doctor import doctor as run

    found = run()
    if as_json:
        echo_json(found.as_json())
    else:
        _print(found)
    if not found.ok:
        raise click.exceptions.Exit(1)


def _print(found: "Diagnosis") -> None:
    from tdd_deploy.tables import Column, Format, Table

    say([", ".join(f"{name} {version or 'MISSING'}" for name, version in found.versions.items())])
    machine = found.machine
    memory = "" if machine["free_memory_mb"] is None else f", {machine['free_memory_mb']:,} MB of memory free"
    say([f"machine: {machine['processor']}, {machine['cores']} cores{memory}", ""])
    columns = (Column("", Format.MARK), Column("extra"), Column("adds"), Column("missing", drop=1))
    rows = [
        (
            "ok" if each.is_installed else "",
            each.name,
            with_flags(each.adds),
            ", ".join(name for name, version in each.packages.items() if version is None),
        )
        for each in found.extras
    ]
    print_table(Table(columns=columns, rows=tuple(rows)))
    say([""])
    missing = [each for each in found.extras if not each.is_installed]
    say([f"install {each.name}: {each.install}" for each in missing])
    if found.engine["cache"] is None:
        say(["engine: no folder can keep its machine code, so every command compiles it; set NUMBA_CACHE_DIR to one"])
    else:
        ready = "compiled" if found.engine["compiled"] else "compiled by the first command that needs it (20 s)"
        say([f"engine: {ready}, kept in {found.engine['cache']}"])
    python = found.lava["python"]
    say([f"Lava: ready ({python})" if python else f"Lava: not set up; run {found.lava['setup']}"])
