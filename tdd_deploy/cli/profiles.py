"""``tdd-deploy profiles``."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from .console import echo_json, json_option, make_table, print_table, say
from .flags import with_options


@click.command()
@click.argument("names", nargs=-1)
@with_options()
@json_option
def profiles(names: tuple[str, ...], *, as_json: bool) -> None:
    """List hardware profiles, or with NAMES (or paths to a .toml) print every figure and its source."""
    from tdd_deploy.commands.profiles import profiles as run

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
    columns = ("profile", "prices", "static power", "measured points", "hardware")
    table = make_table(*columns, left=("profile", "static power", "hardware"))
    rows = []
    for profile in found:
        static = "" if profile["static_mw"] is None else f"{profile['static_mw']:g} mW"
        counts = (str(len(profile[kind])) if profile[kind] else "" for kind in ("prices", "points"))
        rows.append([profile["name"], next(counts), static, next(counts), profile["title"]])
    print_table(table, rows)


def _profile_lines(profile: Mapping[str, Any]) -> Iterator[str]:
    """Describe everything that a profile holds."""
    yield f"{profile['name']}: {profile['title']}"
    yield f"  {profile['remark']}"
    for price in profile["prices"]:
        layers = f" of {' and '.join(price['layers'])} layers" if price["layers"] else ""
        low, high = price["low_pj"], price["high_pj"]
        bounds = f" ({low:g} to {high:g}; {price['range_source']})" if low < high else ""
        yield f"  {price['term']}: {price['value_pj']:g} pJ{bounds} for each of {' + '.join(price['counts'])}{layers}"
        yield f"    {price['confidence']}: {price['source']}"
    for part in profile["static"]:
        per = " per MHz" if part["is_per_mhz"] else ""
        yield f"  static, {part['name']}: {part['value_mw']:g} mW{per}"
        yield f"    {part['confidence']}: {part['source']}"
    if profile["clock"]:
        yield f"  clock: {profile['clock']['mhz']:g} MHz ({profile['clock']['source']})"
    for point in profile["points"]:
        yield f"  {point_line(point)}"
    for line in profile["not_priced"]:
        yield f"  not priced: {line}"


def point_line(point: Mapping[str, Any]) -> str:
    """Describe a measured operating point."""
    low, high = point["low"], point["high"]
    value = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    scope = point["scope"].replace("_", " ")
    return f"measured, {point['name']}: {value} {point['unit']}, {scope} ({point['confidence']}: {point['source']})"
