"""Find the currents of a program that can round, so that delta code and spike code could differ in the last bit.

The rule in ``exact.py`` is applied from the input and the spikes through the maps to each receiver.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .blocks import blocks, row_magnitudes
from .exact import MANTISSA_BITS
from .nodes import Array, Conv, Dense, Flatten, Input, LinearMap, Place, Pool, Scale, Slice
from .program import Program


@dataclass(frozen=True)
class Values:
    """Multiples of ``2 ** exponent``, at most ``bound`` in magnitude, and so are their partial sums."""

    exponent: int
    bound: float

    def within(self, bits: int) -> "Values | None":
        """Return the values if a mantissa of ``bits`` holds each of them, else None."""
        # Strictly: the bound is a float sum, and may itself have been rounded down to the limit.
        return self if self.bound < 2.0 ** (self.exponent + bits) else None


SPIKES = Values(0, 1.0)
PIXELS = Values(-8, 1.0)  # k / 256, as images are read


def rounding_receivers(program: Program) -> tuple[str, ...]:
    """Find the layers of neurons, and the output, whose currents can round.

    Inputs are assumed to be pixels k / 256 in direct encoding, else spikes. Sums of integers never round.
    """
    return rounding_receivers_of(program, PIXELS if program.encoder == "direct" else SPIKES)


def rounding_receivers_of(program: Program, inputs: Values | None) -> tuple[str, ...]:
    """Find the receivers whose currents can round, for a known input.

    Args:
        program: any.
        inputs: the values that its input sends; None: any numbers.
    """
    if program.number_format == "integer":
        return ()
    bits = MANTISSA_BITS[program.number_format]
    carried: dict[str, Values | None] = {program.input.name: inputs}
    carried |= {layer.name: SPIKES if layer.neuron.binary else None for layer in program.neuron_layers}
    rounding = []
    for node in program.nodes:
        if isinstance(node, Input):
            continue
        total = _sum((carried[edge.source] for edge in program.incoming[node.name]), bits)
        if isinstance(node, LinearMap):
            carried[node.name] = None if total is None else _through(node, total, bits)
        elif total is None:
            rounding.append(node.name)
    return tuple(rounding)


def _sum(parts: Iterable[Values | None], bits: int) -> Values | None:
    known = list(parts)
    found = [part for part in known if part is not None]
    if len(found) < len(known):
        return None
    return Values(min(part.exponent for part in found), sum(part.bound for part in found)).within(bits)


def _through(node: LinearMap, x: Values, bits: int) -> Values | None:
    match node:
        case Flatten() | Slice() | Place():
            return x
        case Scale():
            exponent, bound = x.exponent + _exponent(node.factor), x.bound * float(np.abs(node.factor).max())
            if node.bias is not None:
                exponent, bound = min(exponent, _exponent(node.bias)), bound + float(np.abs(node.bias).max())
            return Values(exponent, bound).within(bits)
        case Pool():
            size = math.prod(node.kernel)
            total = Values(x.exponent, x.bound * size).within(bits)
            if total is None or not node.average:
                return total
            return Values(x.exponent - (size.bit_length() - 1), x.bound) if size.bit_count() == 1 else None
        case Dense() | Conv():
            rows = row_magnitudes(node.weight) * x.bound
            exponent = x.exponent + _exponent(node.weight)
            if node.bias is not None:
                rows = rows + np.abs(node.bias)
                exponent = min(exponent, _exponent(node.bias))
            return Values(exponent, float(rows.max())).within(bits)
    raise NotImplementedError(type(node).__name__)


def _exponent(array: Array) -> int:
    """Find the largest n for which every number is a multiple of ``2 ** n``; 0 when all are zero."""
    return min((_exponent_of(part[part != 0]) for part in blocks(array) if part.any()), default=0)


def _exponent_of(nonzero: Array) -> int:
    mantissa, exponent = np.frexp(nonzero.astype(np.float64))
    whole = np.abs(mantissa * 2.0**53).astype(np.int64)
    lowest_bit = np.log2((whole & -whole).astype(np.float64)).astype(np.int64)
    return int((exponent - 53 + lowest_bit).min())
