"""The values that a shell completes, by the name of the parameter."""

from collections.abc import Callable, Iterable, Mapping

import click
from click.shell_completion import CompletionItem


def _profiles() -> Iterable[str]:
    from tdd_deploy.simulator.hardware.profiles import profile_names

    return profile_names()


def _chips() -> Iterable[str]:
    from tdd_deploy.simulator.hardware.chips import chip_names

    return dict.fromkeys((*chip_names(), *_profiles()))


def _dialects() -> Iterable[str]:
    from tdd_deploy.importers.nir.dialects import DIALECTS

    return DIALECTS


def _data_sets() -> Iterable[str]:
    from tdd_deploy.data.catalog import DATASETS

    return DATASETS


NAMES: Mapping[str, Callable[[], Iterable[str]]] = {
    "profiles": _profiles,
    "names": _profiles,
    "chip": _chips,
    "dialect": _dialects,
    "data": _data_sets,
    "named": _data_sets,
}
FOLDERS = ("run", "compare", "baseline")  # of runs


def complete(context: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the names that begin like a word, and files, which are named in the same place."""
    known = NAMES.get(str(param.name), tuple)()
    found = [CompletionItem(name) for name in known if name.startswith(incomplete)]
    kind = "dir" if param.name in FOLDERS else "file"
    return found or [CompletionItem(incomplete, type=kind)]
