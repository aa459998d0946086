"""How samples become inputs, what edges send, and what the output is."""

from collections.abc import Iterator
from dataclasses import dataclass

from tdd_deploy.errors import Violation

from .declare import Options, Range, option
from .vocabulary import CodeChoice, Encoder, Reading

MOST_STEPS = 2**24  # time steps within which states that do not leak have to stay finite


@dataclass(frozen=True, kw_only=True)
class Steps(Options):
    """The number of time steps."""

    heading = "Time and code"

    steps: int | None = option(
        None,
        within=Range(1, MOST_STEPS),
        help="Execute this number of time steps per sample. Default: as in data with a time axis, else as the network "
        "states.",
    )


@dataclass(frozen=True, kw_only=True)
class StatedSteps(Steps):
    """The number of time steps that an exported file states."""

    steps: int | None = option(
        None,
        within=Range(1, MOST_STEPS),
        help="State this number of time steps per sample in the file. Default: as the network states.",
    )


@dataclass(frozen=True, kw_only=True)
class SeededSteps(Steps):
    """Time steps, and the seed of drawn spikes."""

    seed: int = option(0, within=Range(0), help="Draw spikes of the Poisson encoder with this seed.")


@dataclass(frozen=True, kw_only=True)
class Encoding(SeededSteps):
    """How samples become inputs."""

    encoder: Encoder | None = option(
        None,
        help="Send values as they are (direct), or as random spikes (poisson). Default: as the network was trained.",
    )
    input_threshold: float = option(
        0.0, within=Range(0, below=True), help="Resend an input value only after it has changed by more than this."
    )

    def conflicts(self) -> Iterator[Violation]:
        """Yield a threshold for an input without values."""
        yield from super().conflicts()
        if self.input_threshold and self.encoder == "poisson":
            found = "cannot be combined with `encoder=poisson`, which sends spikes and no values"
            yield Violation("`input_threshold`", found, remedy="Use `encoder=direct`.")


@dataclass(frozen=True, kw_only=True)
class Output(Options):
    """What the output is."""

    heading = "Time and code"

    output: Reading = option(
        "spikes", help="Take the spikes of the last layer as the output, or its potential before the reset."
    )


@dataclass(frozen=True, kw_only=True)
class Coding(Output):
    """What edges send, and what the output is."""

    code: CodeChoice | None = option(
        None,
        help="Send changes (delta), plain spikes (spike), or on each edge what costs fewer synaptic operations (auto), "
        "measured on at most 64 training samples. Default: auto; delta, where no training samples are at hand.",
    )
    delta_threshold: float | None = option(
        None,
        within=Range(0, below=True),
        help="Set this threshold in all SigmaDelta layers. Default: as in the file.",
    )
