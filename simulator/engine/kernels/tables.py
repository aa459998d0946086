"""The arguments of the compiled loops: the tables of a plan, the memory of one sample, and constants."""

from collections.abc import Callable
from enum import IntEnum, IntFlag
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from tdd_deploy.neurons.loihi import DECAY, LIMIT
from tdd_deploy.simulator.arithmetic import NumberArray
from tdd_deploy.simulator.counts import IntArray

Function = TypeVar("Function", bound=Callable[..., Any])
Array = NDArray[Any]

BLOCK = 512  # neurons updated at a time; their parameters stay in the first cache


class Kind(IntEnum):
    """The kind of a node of a plan: it decides what happens in a time step."""

    INPUT = 0
    SUM = 1
    FLATTEN = 2
    SYNAPSES = 3
    NEURONS = 4  # LIF, IF, CubaLIF, LoihiLIF
    THRESHOLD = 5
    INTEGRATORS = 6  # LI, CubaLI, I: their values are their potentials
    SIGMA_DELTA = 7  # their values are the ones that receivers hold
    VARIANTS = 8  # VariantLIF: their values are counts of spikes
    ROUTE = 9  # counts messages if no receiving map can
    POTENTIALS = 10  # potentials that the neurons of the next node are about to compare with their thresholds


class Count(IntEnum):
    """The column of a count: one of the input and of neurons, or one of three per code of other nodes.

    ``BEYOND``: numbers that are too large to be sent. ``CODE``: effective, stored and macs of a map. ``COSTS``:
    messages, hops in x and in y of what its source sends.
    """

    VALUES = 0
    CHANGES = 1
    ACTIVE = 2
    BEYOND = 3
    SPIKE_CODE = 0
    DELTA_CODE = 3
    SPIKE_COSTS = 6
    DELTA_COSTS = 9


N_COUNTS = 12


class Parameter(IntEnum):
    """A neuron's parameters: it fires above LIMIT; AFTER is added to what the reset leaves of v.

    A sigma-delta neuron is never below FLOOR, and sends when it has moved by more than LIMIT: in multiples of GRID
    where that is not 0. A variant of LIF is never below FLOOR after its reset, which goes to AFTER, or takes away GRID
    per spike.
    """

    KEEP_U = 0
    KEEP_V = 1
    BIAS = 2
    LIMIT = 3
    AFTER = 4
    FLOOR = 5
    GRID = 6


NODE = np.dtype(
    [
        (name, np.uint64)
        for name in (
            *("kind", "size", "source", "n_sources"),  # sources in the table: node, delay
            *("is_spiking", "start", "stride", "slots"),  # where its values are, of the last ``slots`` steps
            *("u", "has_u", "v", "parameters", "is_soft", "variant"),  # neurons; without u, zeros stand for it
            *("is_delta", "size_in", "fans", "has_bias", "bias", "weights", "rows", "columns"),  # maps with weights
            *("n_rows", "n_columns", "block"),  # taps, and the channels that one tap reaches
            *("groups", "channels_in", "width_in", "channels_out", "width_out"),
            *("many", "pairs"),  # events from which on all inputs are multiplied; places that taps connect
            *("has_costs", "costs"),  # what events of the source cost on the mesh
            *("has_classes", "classes"),  # of inputs, from whose events the operations of each core follow
            "events",  # where the values of events are
            *("order", "first", "n_ordered"),  # flattened: this many values from the first place on, then zeros
            "observed",  # the node that has these potentials
        )
    ]
)


class Variant(IntFlag):
    """The properties of a variant of LIF, as flags."""

    SOFT = 1
    NEVER_RESETS = 2
    LATE = 4
    MANY = 8
    HELD = 16


class Plan(NamedTuple):
    """The tables; numbers in the program's format, weights of integers in 16 bits."""

    nodes: NDArray[Any]  # of NODE, in execution order
    table: NDArray[np.uint32]  # whatever is looked up; plan.py says what lies where
    weights: NumberArray  # per map [channel_in, tap row, tap column, channels of the group]
    numbers: NumberArray  # biases and parameters
    largest: NumberArray  # per node, magnitude of numbers that neurons may send, so that all sums are finite


class Memory(NamedTuple):
    """The memory of one sample while it runs. ``words`` are the same bytes as the array before them."""

    spikes: NDArray[np.int8]  # zeros, then what nodes sent
    spike_words: NDArray[np.uint64]
    numbers: NumberArray  # zeros, the values of events, then what nodes sent and hold
    number_words: NDArray[np.uint64]
    kept: IntArray  # [n_nodes, 6]: what the values of this step cost in spike code; graded instead of macs
    kept_by_class: IntArray  # [class]: events of the values of this step
    found: NDArray[np.uint32]  # words that differ
    at: NDArray[np.uint32]  # events
    totals: NDArray[np.float64]  # the output, summed over the steps so far


INPUT, SUM, FLATTEN, SYNAPSES, NEURONS, THRESHOLD, INTEGRATORS, SIGMA_DELTA, VARIANTS, _, POTENTIALS = (
    np.uint64(kind) for kind in Kind
)
VALUES, CHANGES, ACTIVE, BEYOND = int(Count.VALUES), int(Count.CHANGES), int(Count.ACTIVE), int(Count.BEYOND)
SPIKE_CODE, DELTA_CODE = int(Count.SPIKE_CODE), int(Count.DELTA_CODE)
SPIKE_COSTS, DELTA_COSTS = int(Count.SPIKE_COSTS), int(Count.DELTA_COSTS)
KEEP_U, KEEP_V, BIAS, LIMIT_V, AFTER, FLOOR, GRID = (np.uint64(parameter) for parameter in Parameter)
SOFT, NEVER_RESETS, LATE, MANY, HELD = (np.uint64(flag) for flag in Variant)
# Indices are unsigned: signed ones would be tested for being negative, and divided with more care.
ZERO, ONE, TWO, THREE, AT_ONCE, FIVE, SIX, SEVEN = (np.uint64(i) for i in range(8))  # AT_ONCE: what is added together
BLOCK_SIZE = np.uint64(BLOCK)
DECAY_BITS, TURN_BITS = DECAY.bit_length() - 1, (2 * LIMIT).bit_length() - 1

# The interpreter lock is released; sums of floats are not reordered.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
INNER = {**OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # called by compiled code alone


def compiled(function: Function) -> Function:
    """Compile for other compiled functions."""
    return cast(Function, numba.njit(**INNER)(function))


def inlined(function: Function) -> Function:
    """Compile into every caller: a call that passes arrays costs more than the loop over 64 channels."""
    return cast(Function, numba.njit(**INNER, forceinline=True)(function))


def spliced(function: Function) -> Function:
    """Compile as a part of its only caller: a function of its own is optimized alone, and again in its caller."""
    return cast(Function, numba.njit(**INNER, inline="always")(function))
