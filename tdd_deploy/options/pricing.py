"""What an execution costs: on which hardware, and beside which baselines."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tdd_deploy.errors import Violation

from .declare import Options, Range, option
from .vocabulary import DEFAULT_PROFILES


@dataclass(frozen=True, kw_only=True)
class Pricing(Options):
    """What an execution costs."""

    heading = "Energy"

    energy: bool = option(False, help="Price what was executed.")
    profiles: tuple[str, ...] = option(
        (),
        flag="profile",
        repeated=True,
        help="With `energy`: price by this profile, a name that tdd-deploy profiles lists or a path to a .toml; repeat "
        f"it to compare, the most important one first. Default: {', '.join(DEFAULT_PROFILES)}.",
    )
    step_time_s: float | None = option(
        None,
        flag="step-time",
        within=Range(0, above=True, below=True),
        help="Let a time step take this number of seconds on the hardware, for its static power.",
    )
    clock_mhz: float | None = option(
        None,
        flag="clock",
        within=Range(0, above=True, below=True),
        help="Let the hardware run at this number of MHz. Default: as its profile says.",
    )
    baseline: tuple[Path, ...] = option(
        (),
        repeated=True,
        help="Compare with the ANN in this run folder (train, `method=ann`), or with any network in an .onnx file, "
        "which is executed on the same samples; repeat it for several.",
    )

    @property
    def chosen_profiles(self) -> tuple[str, ...]:
        """The profiles by which energy is priced: none without ``energy``."""
        return (self.profiles or DEFAULT_PROFILES) if self.energy else ()

    def conflicts(self) -> Iterator[Violation]:
        """Yield every option that needs ``energy``."""
        yield from super().conflicts()
        for name in ("profiles", "step_time_s", "clock_mhz"):
            if getattr(self, name) not in (None, ()) and not self.energy:
                yield Violation(f"`{name}`", "needs `energy`")
