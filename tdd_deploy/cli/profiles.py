"""``tdd-deploy profiles``."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from .console import echo, echo_json, json_option, print_table, say
from .flags import with_options
from .help import Command
from .values import complete

HOW_READ = {
    "primary": "in the publication",
    "data": "from its authors' files",
    "abstract": "in its abstract or page",
    "quoted": "in texts that quote it",
    "quoted1": "in one text that quotes it",
}


@click.command(cls=Command)
@click.argument("names", nargs=-1, shell_complete=complete)
@with_options()
@click.option("--bibtex", "as_bibtex", is_flag=True, help="Print the publications behind them in BibTeX.")
@json_option
def profiles(names: tuple[str, ...], *, as_bibtex: bool, as_json: bool) -> None:
    """List hardware profiles, or with NAMES (or paths to a .toml) print every figure and its source."""
    from tdd_deploy.commands.profiles import bibliography
    from tdd_deploy.commands.profiles import profiles as run

    if as_bibtex and as_json:
        raise click.UsageError("--bibtex cannot be combined with --json, which holds the same entries.")
    if as_bibtex:
        echo(bibliography(names))
        return
    found = run(names)
    if as_json:
        echo_json({"schema_version": 1, "profiles": found})
    elif names:
        for profile in found:
            say(_profile_lines(profile))
    else:
        _print(found)


def _print(found: Sequence[Mapping[str, Any]]) -> None:
    """Print a row per profile."""
    from tdd_deploy.tables import Column, Format, Table

    columns = (
        Column("profile"),
        Column("prices", Format.NUMBER),
        Column("operations", Format.NUMBER),
        Column("static power, mW", drop=1),
        Column("points", Format.NUMBER, drop=2),
        Column("hardware"),
    )
    kinds = (("prices",), ("operations", "memories"), ("points",))
    rows = []
    for profile in found:
        static = "" if profile["static_mw"] is None else _span(*profile["static_mw"])
        prices, operations, points = (sum(len(profile[part]) for part in kind) or None for kind in kinds)
        rows.append((profile["name"], prices, operations, static, points, profile["title"]))
    print_table(Table(columns=columns, rows=tuple(rows)))


def _profile_lines(profile: Mapping[str, Any]) -> Iterator[str]:
    """Describe everything that a profile holds."""
    yield f"{profile['name']}: {profile['title']}"
    yield f"  {profile['remark']}"
    for price in profile["prices"]:
        layers = f" of {' and '.join(price['layers'])} layers" if price["layers"] else ""
        low, high = price["low_pj"], price["high_pj"]
        bounds = f" ({low:g} to {high:g}; {price['range_source']})" if low < high else ""
        yield f"  {price['term']}: {price['value_pj']:g} pJ{bounds} for each of {' + '.join(price['counts'])}{layers}"
        yield f"    {_origin(price)}"
    for operation in profile["operations"]:
        yield f"  {operation['name']}: {operation['value_pj']:g} pJ"
        yield f"    {_origin(operation)}"
    for memory in profile["memories"]:
        where = ", off the chip" if memory["is_off_chip"] else ""
        yield f"  {memory['name']}: {_span(memory['low_pj'], memory['high_pj'])} pJ per {memory['bits']} bits{where}"
        yield f"    {_origin(memory)}"
    for part in profile["static"]:
        per = " per MHz" if part["is_per_mhz"] else ""
        apart = "; apart, not added" if part["is_apart"] else ""
        power = _span(part["low_mw"], part["high_mw"])
        yield f"  static, {part['name']}, {part['state']}: {power} mW{per} ({part['scope']}{apart})"
        yield f"    {_origin(part)}"
    for latency in profile["latencies"]:
        counts = f" for each of {' + '.join(latency['counts'])}" if latency["counts"] else " per time step"
        yield f"  time, {latency['term']}: {_span(latency['low_ns'], latency['high_ns'])} ns{counts}"
        yield f"    {_origin(latency)}"
    if profile["clock"]:
        yield f"  clock: {profile['clock']['mhz']:g} MHz ({_origin(profile['clock'])})"
    if profile["step_time"]:
        yield f"  time step: {1e3 * profile['step_time']['seconds']:g} ms ({_origin(profile['step_time'])})"
    for point in profile["points"]:
        yield f"  {point_line(point)}"
    for line in profile["not_priced"]:
        yield f"  not priced: {line}"
    for reference in profile["references"]:
        yield f"  cite {reference['key']}: {reference['title']}. {reference['link']}"


def point_line(point: Mapping[str, Any]) -> str:
    """Describe a measured operating point."""
    scope = point["scope"].replace("_", " ")
    return f"point, {point['name']}: {_span(point['low'], point['high'])} {point['unit']}, {scope} ({_origin(point)})"


def _span(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _origin(figure: Mapping[str, Any]) -> str:
    """Describe what a figure is, how it was read, and its source."""
    return f"{figure['confidence']}, read {HOW_READ[figure['read']]}: {figure['source']}"
