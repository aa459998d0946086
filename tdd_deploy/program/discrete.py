"""From time constants to fractions kept per time step, and back; importers and exporters of NIR share these rules.

``tau dv/dt = -v + r I`` becomes ``v = kept v + gained r I``, with kept + gained = 1: forward Euler, or exact for a
current that is held for the step.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .program import Integration

FloatArray = NDArray[np.floating[Any]]
Float64Array = NDArray[np.float64]

# `tau_for` also tries the neighbors of the quotient, in units of its last place. In exact integration one float64
# fraction in 200 needs them; Euler never does.
NEIGHBORS = (0, -1, 1)


def kept(dt_s: float, tau_s: FloatArray, integration: Integration) -> Float64Array:
    """Compute the fraction of a potential that is left after one time step."""
    ratio = dt_s / tau_s.astype(np.float64)
    return np.asarray(1 - ratio if integration == "euler" else np.exp(-ratio))


def gained(dt_s: float, tau_s: FloatArray, integration: Integration) -> Float64Array:
    """Compute the fraction of ``r I`` that one time step adds to the potential."""
    ratio = dt_s / tau_s.astype(np.float64)
    return np.asarray(ratio if integration == "euler" else -np.expm1(-ratio))


def tau_for(fraction: FloatArray, dt_s: float, integration: Integration) -> Float64Array:
    """Find the time constant in seconds for which ``kept`` comes closest to ``fraction``.

    Args:
        fraction: 0 or more (exact: above 0) and below 1. Float32 fractions come back exactly; float64 fractions
            below a half need not, as tau has no more bits than they.
        dt_s: seconds per time step.
        integration: the rule of ``kept``.
    """
    wanted = fraction.astype(np.float64)
    quotient = np.asarray(dt_s / (1 - wanted) if integration == "euler" else -dt_s / np.log(wanted))
    candidates = np.stack([quotient + n * np.spacing(quotient) for n in NEIGHBORS])
    closest = np.abs(kept(dt_s, candidates, integration) - wanted).argmin(axis=0, keepdims=True)
    return np.asarray(np.take_along_axis(candidates, closest, axis=0)[0])
