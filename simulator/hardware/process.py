"""Prices of events that follow from what a manufacturing process needs: operations, and accesses to memory.

Published figures are for a few widths. A sum, weight or address of a program has its own:

- floats are priced at their width, 16 or 32 bits;
- integers at 8 and 32 bits as published, at other widths by the power law through both: an addition in its width, a
  multiplication in the product of its two widths;
- an access to memory in proportion to its width.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tdd_deploy.program import Program
from tdd_deploy.program.quantization.loihi_numbers import bits_of

from .figures import Memory, Operation, Price, least_direct
from .profile_file import INTEGER_BITS
from .profiles import Profile

WORD = 32  # bits of a float
SUM_BITS = 24  # of sums and potentials in integers, as Loihi 2 holds them
DECAY_BITS = 12  # of the factor of a leak in integers, as Loihi holds it
SUMS, UPDATES, EVENTS = ("acs", "macs"), ("updates_active", "updates_idle"), ("events", "input_events")
# execution.py counts these
GRADED_EVENTS, NEURON_BIASES, READOUT, EXIT_COMPARISON = "graded_events", "neuron_biases", "readout", "exit_comparison"
PRICED_IN_PART = (
    "bias",
    "neuron_bias",
    "readout",
)  # arithmetic with memory, or one of them where the other is not published


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """The widths of a program's numbers, in bits."""

    is_float: bool
    weight_bits: int
    sum_bits: int  # of sums and potentials
    address_bits: int
    value_bits: int  # of what an input or a graded event carries

    @classmethod
    def of(cls, program: Program) -> "Numbers":
        """Find the widths of a program.

        An address counts the values of the largest layer that sends events; in delta code it has a sign.
        """
        senders = [program.input, *program.neuron_layers]
        most = max(math.prod(program.shapes[node.name]) for node in senders)
        address_bits = max((most - 1).bit_length(), 1) + any(edge.code == "delta" for edge in program.edges)
        if program.number_format != "integer":
            return cls(is_float=True, weight_bits=WORD, sum_bits=WORD, address_bits=address_bits, value_bits=WORD)
        signed = int(program.input.largest).bit_length() + 1
        return cls(
            is_float=False,
            weight_bits=bits_of(program),
            sum_bits=SUM_BITS,
            address_bits=address_bits,
            value_bits=min(signed, SUM_BITS),
        )


@dataclass(frozen=True, kw_only=True)
class Figure:
    """An energy in pJ, with what it was derived from."""

    value_pj: float
    low_pj: float
    high_pj: float
    confidence: str
    read: str
    source: str
    range_source: str

    def times(self, n: int) -> "Figure":
        """Multiply a figure."""
        return replace(
            self,
            value_pj=n * self.value_pj,
            low_pj=n * self.low_pj,
            high_pj=n * self.high_pj,
            confidence="derived" if n > 1 else self.confidence,
        )


@dataclass(frozen=True)
class Process:
    """The energy of operations and accesses, at any width; None where a profile has no figures for one."""

    profile: Profile

    def add(self, bits: int, *, is_float: bool = False) -> Figure | None:
        """Price an addition."""
        return self._float("add", bits) if is_float else self._integer("add", bits, exponent=1)

    def multiply(self, bits_a: int, bits_b: int, *, is_float: bool = False) -> Figure | None:
        """Price a multiplication of numbers of two widths; floats are of one width, the wider one."""
        if is_float:
            return self._float("mul", max(bits_a, bits_b))
        return self._integer("mul", math.sqrt(bits_a * bits_b), exponent=2, shown=f"{bits_a} x {bits_b}")

    def without(self, bits: int, bits_a: int, bits_b: int, *, is_float: bool) -> tuple[bool, bool]:
        """Return whether figures are missing for sums of a width, and for products of two widths."""
        return self.add(bits, is_float=is_float) is None, self.multiply(bits_a, bits_b, is_float=is_float) is None

    def access(self, bits: int) -> Figure | None:
        """Price a read or a write of a number: in the smallest memory on the chip, at most in the largest one."""
        on_chip = [memory for memory in self.profile.memories if not memory.is_off_chip]
        if not on_chip:
            return None
        ranked = sorted(on_chip, key=lambda memory: (memory.kilobytes or 0, memory.low_pj / memory.bits))
        near, far = ranked[0], ranked[-1]
        low, value = (bits * pj / near.bits for pj in (near.low_pj, near.high_pj))
        high = max(bits * memory.high_pj / memory.bits for memory in ranked)
        return Figure(
            value_pj=value,
            low_pj=low,
            high_pj=high,
            confidence=near.confidence if bits == near.bits else "derived",
            read=near.read,
            source=f"{bits} bits of {_described(near)}",
            range_source="" if low == high else f"high: {_described(far)}",
        )

    def _float(self, what: str, bits: int) -> Figure | None:
        found = self._operation(f"float{bits}_{what}")
        return None if found is None else _published(found, f"float {what} of {bits} bits")

    def _integer(self, what: str, bits: float, *, exponent: int, shown: str = "") -> Figure | None:
        """Follow the power law through the two published widths; ``exponent`` is 2 for a product of widths."""
        width = f"integer {what} of {shown or f'{bits:g}'} bits"
        narrow, wide = (self._operation(f"int{published}_{what}") for published in INTEGER_BITS)
        if narrow is None or wide is None:
            one = narrow or wide
            published = INTEGER_BITS[0] if narrow else INTEGER_BITS[1]
            return _published(one, width) if one and bits == published else None
        if bits in INTEGER_BITS:
            found = _published(narrow if bits == INTEGER_BITS[0] else wide, width)
        else:
            slope = math.log(wide.value_pj / narrow.value_pj) / math.log(INTEGER_BITS[1] / INTEGER_BITS[0])
            by = "product of the widths" if exponent > 1 else "width"
            law = f"{narrow.value_pj:g} pJ at 8 and {wide.value_pj:g} at 32 bits, by the power law in the {by}"
            found = Figure(
                value_pj=narrow.value_pj * (bits / INTEGER_BITS[0]) ** slope,
                low_pj=0,
                high_pj=0,
                confidence="derived",
                read=least_direct([narrow.read, wide.read]),
                source=f"{width}: {law}, {narrow.source}",
                range_source="",
            )
        return replace(
            found,
            low_pj=min(narrow.value_pj, found.value_pj),
            high_pj=max(wide.value_pj, found.value_pj),
            range_source=f"low: integer {what} of 8 bits; high: of 32 bits",
        )

    def _operation(self, name: str) -> Operation | None:
        return next((operation for operation in self.profile.operations if operation.name == name), None)


def prices_of(profile: Profile, numbers: Numbers) -> tuple[Price, ...]:
    """Return the prices of events: of a chip as published, of a process for these numbers.

    Args:
        profile: of a chip or of a process.
        numbers: the widths of a program's numbers.
    """
    return tuple(_prices(Process(profile), numbers)) if profile.is_process else profile.prices


def _prices(process: Process, numbers: Numbers) -> Iterator[Price]:
    """Yield a price per term, of the parts that the process has figures for."""
    bits, is_float = numbers.sum_bits, numbers.is_float
    add, word = process.add(bits, is_float=is_float), process.access(bits)
    multiply = process.multiply(numbers.weight_bits, numbers.value_bits, is_float=is_float)
    leak = process.multiply(bits, bits if is_float else DECAY_BITS, is_float=is_float)
    weight, address, value = (
        process.access(width) for width in (numbers.weight_bits, numbers.address_bits, numbers.value_bits)
    )
    terms: tuple[tuple[str, tuple[str, ...], str, tuple[tuple[int, Figure | None], ...]], ...] = (
        ("ac", ("acs",), "a weight added", ((1, add),)),
        ("mac", ("macs",), "a value times a weight, added", ((1, multiply), (1, add))),
        ("weight_read", SUMS, "a weight read", ((1, weight),)),
        ("sum_read_write", SUMS, "a sum read and written", ((2, word),)),
        ("neuron_arithmetic", UPDATES, "leak, integrate, and compare as an add", ((1, leak), (2, add))),
        ("neuron_read_write", UPDATES, "current read, potential read and written", ((3, word),)),
        ("event_address", EVENTS, "an address written and read", ((2, address),)),
        ("event_value", (GRADED_EVENTS,), "the value of an event written and read", ((2, value),)),
        ("bias", ("bias_adds",), "a bias added and read", ((1, add), (1, word))),
        ("neuron_bias", (NEURON_BIASES,), "a bias that a neuron holds, added and read", ((1, add), (1, word))),
        ("readout", (READOUT,), "an output added to its sum over time, read and written", ((1, add), (2, word))),
        ("exit_comparison", (EXIT_COMPARISON,), "the margin compared, as two adds per output", ((2, add),)),
    )
    for term, counts, what, parts in terms:
        found = [figure.times(n) for n, figure in parts if figure is not None]
        if len(found) == len(parts):
            yield _price(term, counts, what, found)
        elif found and term in PRICED_IN_PART:
            yield _price(term, counts, f"{what}; the part that is published", found)


def _price(term: str, counts: tuple[str, ...], what: str, parts: list[Figure]) -> Price:
    low, value, high = (sum(getattr(part, name) for part in parts) for name in ("low_pj", "value_pj", "high_pj"))
    sources = dict.fromkeys(part.source for part in parts)
    ranges = dict.fromkeys(part.range_source for part in parts if part.range_source)
    return Price(
        term=term,
        counts=counts,
        layers=(),
        value_pj=value,
        low_pj=low,
        high_pj=high,
        confidence=parts[0].confidence if len(parts) == 1 else "derived",
        read=least_direct([part.read for part in parts]),
        source=f"{what}: {'; '.join(sources)}",
        range_source="; ".join(ranges),
    )


def _published(operation: Operation, what: str) -> Figure:
    pj = operation.value_pj
    return Figure(
        value_pj=pj,
        low_pj=pj,
        high_pj=pj,
        confidence=operation.confidence,
        read=operation.read,
        source=f"{what}, {pj:g} pJ, {operation.source}",
        range_source="",
    )


def _described(memory: Memory) -> str:
    low, high = memory.low_pj, memory.high_pj
    pj = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    width = "bit" if memory.bits == 1 else f"{memory.bits} bits"
    return f"{memory.name}, {pj} pJ per {width}, {memory.source}"
