"""Profiles of hardware as plain values."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tdd_deploy.simulator.hardware.profiles import load_profile, profile_names


def profiles(names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Describe hardware profiles: all that come with the package, or the named ones.

    Raises:
        TddDeployError: an unknown name, or a file that is no profile.
    """
    found = [load_profile(name, option="names") for name in names or profile_names()]
    return [
        {**asdict(profile), "static_states": profile.static_states(), "static_mw": profile.static_mw()}
        for profile in found
    ]
