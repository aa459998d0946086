"""From samples to the input of each time step: their values, or spikes drawn from them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tdd_deploy.errors import BadData, BadOption, Violation, any_of, did_you_mean
from tdd_deploy.options.vocabulary import ENCODERS


@dataclass(frozen=True, eq=False, kw_only=True)
class Frames:
    """The input of a batch, time step by time step."""

    static: bool
    values: npt.NDArray[np.float32]  # [B, *shape], the same at every step, when static; else [n_steps, B, *shape]

    def at(self, t: int) -> npt.NDArray[np.float32]:
        """Return ``[B, *shape]`` for time step ``t``, counted from 0."""
        if self.static:
            return self.values
        frame: npt.NDArray[np.float32] = self.values[t]
        return frame


class Draws:
    """Spikes drawn from probabilities, a time step at a time: only one step is held, however many there are."""

    static = False

    def __init__(
        self, probabilities: npt.NDArray[np.float32], *, in_time: bool, n_steps: int, seed: int, start: int
    ) -> None:
        self._probabilities = probabilities  # as ``encode`` takes them
        self._in_time = in_time
        self._n_steps = n_steps
        self._keys = [[seed, start + i] for i in range(len(probabilities))]
        self._t, self._frame = -1, np.empty(0, np.float32)  # the last step drawn: an engine asks more than once
        self._turn(0)

    def at(self, t: int) -> npt.NDArray[np.float32]:
        """Return ``[B, *shape]`` for time step ``t``, counted from 0; steps may be requested in any order."""
        if t != self._t:
            p = self._probabilities[:, t] if self._in_time else self._probabilities
            if t != self._t + 1:
                self._turn(t * p[0].size)
            drawn = np.stack([generator.random(p.shape[1:]) for generator in self._generators])
            self._t, self._frame = t, (drawn < p).astype(np.float32)
        return self._frame

    @property
    def values(self) -> npt.NDArray[np.float32]:
        """All steps, ``[n_steps, B, *shape]``."""
        return np.stack([self.at(t) for t in range(self._n_steps)])

    def _turn(self, n_drawn: int) -> None:
        """Set every sample's generator to its state after ``n_drawn`` draws."""
        bits = [np.random.PCG64(key).advance(n_drawn) for key in self._keys]
        self._generators = [np.random.Generator(each) for each in bits]


Encoded = Frames | Draws


def encode(x: npt.NDArray[np.float32], *, in_time: bool, encoder: str, n_steps: int, seed: int, start: int) -> Encoded:
    """Encode a batch for ``n_steps`` time steps.

    ``direct`` gives the values themselves. ``poisson`` gives a spike (1) with probability x, else 0; sample i draws
    from ``default_rng([seed, start + i])``, so that its spikes do not depend on its batch.

    Args:
        x: ``[B, *shape]``, or in time ``[B, T, *shape]``; only the first ``n_steps`` of T are used.
        in_time: whether x has the axis T.
        encoder: one of ``vocabulary.ENCODERS``.
        n_steps: time steps, in time at most T.
        seed: 0 or more; ``direct`` does not use it.
        start: index of the first sample in its split.

    Raises:
        BadOption: an unknown encoder, a number of steps that the data do not have, a negative seed.
        BadData: ``poisson`` met a value outside 0 to 1.
    """
    check_encoder(encoder)
    if in_time and not 1 <= n_steps <= x.shape[1]:
        raise BadOption("steps", str(n_steps), f"1 to {x.shape[1]}, the time steps of the data")
    if n_steps < 1:
        raise BadOption("steps", str(n_steps), "1 or more")
    if in_time:
        x = x[:, :n_steps]
    if encoder == "poisson":
        _check_draws(x, seed=seed, start=start)
        return Draws(x, in_time=in_time, n_steps=n_steps, seed=seed, start=start)
    return Frames(static=not in_time, values=x.swapaxes(0, 1) if in_time else x)


def check_encoder(encoder: str) -> None:
    """Refuse an unknown encoder.

    Raises:
        BadOption: no encoder has this name.
    """
    if encoder not in ENCODERS:
        raise BadOption("encoder", repr(encoder), any_of(ENCODERS), did_you_mean(encoder, ENCODERS))


def sent_on_change(frames: Frames, threshold: float) -> Frames:
    """Hold each input value until it has changed by more than a threshold, and resend it only then.

    Each value is compared with its last sent value, at first with zero, so errors stay within the threshold and do not
    add up (send-on-delta; Miskowicz, Sensors 6(1):49-63, 2006).

    Args:
        frames: the input.
        threshold: in the input's unit; 0 sends every change.
    """
    steps = frames.values[None] if frames.static else frames.values
    held = np.zeros_like(steps)
    last = np.zeros_like(steps[0])
    for t, values in enumerate(steps):
        last = held[t] = np.where(np.abs(values - last) > threshold, values, last)
    return Frames(static=frames.static, values=held[0] if frames.static else held)


def _check_draws(x: npt.NDArray[np.float32], *, seed: int, start: int) -> None:
    if seed < 0:
        raise BadOption("seed", str(seed), "0 or more")
    low, high = x.min(), x.max()
    if not (low >= 0 and high <= 1):
        where = f"values of samples {start} to {start + len(x) - 1}"
        found = f"{low:g} to {high:g}"
        remedy = "Scale x, or use `encoder=direct`."
        raise BadData("poisson encoder", [Violation(where, found, "probabilities from 0 to 1", remedy)])
