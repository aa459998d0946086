"""Profiles of hardware as plain values."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tdd_deploy.simulator.hardware.profiles import Profile, load_profile, profile_names


def profiles(names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Describe hardware profiles: all that come with the package, or the named ones.

    Raises:
        TddDeployError: an unknown name, or a file that is no profile.
    """
    return [
        {
            **asdict(profile),
            "references": [{**asdict(reference), "link": reference.link} for reference in profile.references],
            "static_states": profile.static_states(),
            "static_mw": profile.static_mw(),
        }
        for profile in _loaded(names)
    ]


def bibliography(names: Sequence[str] = ()) -> str:
    """Return the publications behind profiles in BibTeX, each one once, after comments that say which profile cites it.

    Raises:
        TddDeployError: an unknown name, or a file that is no profile.
    """
    entries: dict[str, str] = {}
    lines = []
    for profile in _loaded(names):
        cited = ", ".join(reference.key for reference in profile.references)
        lines.append(f"% {profile.name}: {cited or f'no entry; see its sources: {profile.title}'}")
        entries.update({reference.key: reference.bibtex for reference in profile.references})
    return "\n".join([*lines, *entries.values()])


def _loaded(names: Sequence[str]) -> list[Profile]:
    return [load_profile(name, option="names") for name in names or profile_names()]
