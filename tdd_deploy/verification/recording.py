"""What one backend did with samples, and how far another backend may differ from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.program import NeuronLayer, Program

Array = NDArray[Any]
NEAR_OUTPUT = 1e-4  # of the largest output or message: sums that are held over many steps


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What one backend did with samples; arrays ``[batch, n_steps, *shape]``.

    Attributes:
        backend: its name.
        program: what it executed.
        spikes: of every layer of neurons; for layers that do not spike, the numbers that they send (messages).
        output: of the program.
        potentials: what each layer compared with its threshold; empty where the backend does not report it.
        seconds: what the execution took, without its preparation.
        precision: a remark on how it computed, added to the cause of a divergence.
    """

    backend: str
    program: Program
    spikes: Mapping[str, Array]
    output: Array
    potentials: Mapping[str, Array]
    seconds: float
    precision: str = ""


@dataclass(frozen=True)
class Bound:
    """What a comparison must keep.

    Attributes:
        words: the bound in words.
        spikes: the largest fraction of spikes, and of messages, that may differ.
        predictions: the largest fraction of predictions that may differ.
        near: messages and outputs are equal up to this fraction of the largest in their layer; None where the two are
            in different units.
    """

    words: str
    spikes: float
    predictions: float
    near: float | None


EXACT = Bound("0 differing", 0.0, 0.0, 0.0)
FLOATS = Bound("at most 0.01 % of spikes and messages, 0 predictions, 0 outputs", 1e-4, 0.0, NEAR_OUTPUT)
QUANTIZED = Bound("at most 10 % of spikes, 5 % of predictions", 0.10, 0.05, None)


def bound_between(before: Program, after: Program) -> Bound:
    """Choose what must hold between two backends: integers agree exactly, floats nearly."""
    are_integers = {program.number_format == "integer" for program in (before, after)}
    if len(are_integers) > 1:
        return QUANTIZED
    return EXACT if are_integers == {True} else FLOATS


def by_sample(differ: Array) -> Array:
    """Reduce ``[batch, ...]`` to ``[batch]``: whether anything differs in a sample."""
    return np.asarray(differ.reshape(len(differ), -1).any(axis=1))


def thresholds(layer: NeuronLayer) -> Array:
    """Broadcast the thresholds of a layer to its shape."""
    return np.broadcast_to(layer.neuron.parameters()["v_threshold"], layer.shape).astype(np.float64)
