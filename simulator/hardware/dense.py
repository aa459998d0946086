"""Price a dense execution of the same layers. Which machine is imagined decides whether spikes cost less."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal, Self

from .process import SUM_BITS, WORD, Figure, Process

Dataflow = Literal["none", "register-sums", "full-reuse"]
DATAFLOWS: Mapping[Dataflow, str] = {
    "none": "every MAC reads its weight and its input, and reads and writes its sum",
    "register-sums": "every MAC reads its weight and its input, and a register keeps its sum",
    "full-reuse": "every weight and every input is read once, and registers cost nothing",
}


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one inference needs, summed over layers with weights.

    Attributes:
        macs: multiplications, without those by padding; where zeros are skipped, those of two nonzero numbers.
        weights: weights to read at least once.
        inputs: values that layers receive.
        outputs: values that layers compute.
        biases: additions of a bias.
    """

    macs: float
    weights: int
    inputs: int
    outputs: int
    biases: int


@dataclass(frozen=True)
class DenseTerm:
    """One operation of a dense machine: how often it takes place, and its price."""

    what: str
    count: float
    figure: Figure


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine that executes dense layers one after the other; widths of None are float32."""

    dataflow: Dataflow
    skips_zeros: bool
    weight_bits: int | None
    activation_bits: int | None

    @property
    def _numbers(self) -> tuple[bool, int, int, int]:
        """Whether they are floats; the widths of sums, weights and activations."""
        is_float = self.weight_bits is None
        return is_float, WORD if is_float else SUM_BITS, self.weight_bits or WORD, self.activation_bits or WORD

    def without(self, process: Process) -> tuple[bool, bool]:
        """Return whether a process has no figures for its additions, and for its multiplications."""
        is_float, *widths = self._numbers
        return process.without(*widths, is_float=is_float)

    def terms(self, work: Work, process: Process) -> tuple[DenseTerm, ...]:
        """Return the parts of one inference that a process has figures for.

        Every output is compared with zero, as ReLU does, and written once. Sums are as wide as those of spiking
        networks in the same numbers. To read biases costs nothing here.
        """
        is_float, sum_bits, weight_bits, value_bits = self._numbers
        add = process.add(sum_bits, is_float=is_float)
        multiply = process.multiply(weight_bits, value_bits, is_float=is_float)
        weight, value, total = (process.access(bits) for bits in (weight_bits, value_bits, sum_bits))
        reuses = self.dataflow == "full-reuse"
        parts = [
            ("multiplications", work.macs, multiply),
            ("additions, biases and comparisons with 0", work.macs + work.outputs + work.biases, add),
            ("outputs written", work.outputs, value),
            ("weights read", min(work.weights, work.macs) if reuses else work.macs, weight),
            ("inputs read", min(work.inputs, work.macs) if reuses else work.macs, value),
        ]
        if self.dataflow == "none":
            parts.append(("sums read and written", 2 * work.macs + work.outputs, total))
        return tuple(DenseTerm(what, n, figure) for what, n, figure in parts if figure is not None)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A dense network that could do the work of a spiking one, in one pair of widths.

    Attributes:
        baseline: the place of its training among those that are compared; None for layers without a training.
        sparsity: the fraction of its weights that are zero.
        accuracy: on the split that is compared; None where nobody measured it.
        dense: its work when every product is computed.
        effective: its work when products with zeros are skipped; None where nobody measured them.
        others: the work of layers in other widths, with the widths of weights and activations.
    """

    baseline: int | None
    sparsity: float
    weight_bits: int | None
    activation_bits: int | None
    accuracy: float | None
    dense: Work
    effective: Work | None
    others: tuple[tuple[int | None, int | None, Work], ...] = ()

    @classmethod
    def trained(cls, baselines: Sequence[Mapping[str, Any]], split: str) -> tuple[Self, ...]:
        """Return what trainings of ANN baselines measured on a split, a candidate per pair of widths."""
        return tuple(found for i, each in enumerate(baselines) for found in cls._of(i, each, split))

    @classmethod
    def _of(cls, place: int, baseline: Mapping[str, Any], split: str) -> Iterator[Self]:
        layers = baseline["layers"]
        (_, dense), *others = _by_widths(layers)
        nonzero, weights = (sum(layer[key] for layer in layers) for key in ("nonzero_weights", "weights"))
        for result in baseline["results"]:
            if result["split"] == split:
                skipped = result["effective_macs"]
                yield cls(
                    baseline=place,
                    sparsity=1 - nonzero / weights if weights else 0.0,
                    weight_bits=result["weight_bits"],
                    activation_bits=result["activation_bits"],
                    accuracy=result["accuracy"],
                    dense=dense,
                    effective=None if skipped is None else replace(dense, macs=sum(skipped.values()), weights=nonzero),
                    others=tuple((*widths, work) for widths, work in others),
                )

    @classmethod
    def untrained(cls, dense: Work, n_steps: int) -> tuple[Self, ...]:
        """Return candidates with the layers of the spiking network, of no known accuracy."""
        pairs: list[tuple[int | None, int | None]] = [(None, None), (16, 16), (8, 8), (8, matched_bits(n_steps))]
        return tuple(
            cls(
                baseline=None,
                sparsity=0.0,
                weight_bits=w,
                activation_bits=a,
                accuracy=None,
                dense=dense,
                effective=None,
            )
            for w, a in pairs
        )

    @property
    def other_macs(self) -> float:
        """The multiplications of layers in other widths."""
        return sum(work.macs for *_, work in self.others)

    def parts(self, machine: Machine, work: Work) -> list[tuple[Machine, Work]]:
        """Return a machine and its work, and the same machine for layers in other widths."""
        others = [(replace(machine, weight_bits=w, activation_bits=a), other) for w, a, other in self.others]
        return [(machine, work), *others]

    def machines(self, dataflows: Iterable[Dataflow]) -> Iterator[tuple[Machine, Work]]:
        """Yield every machine that could execute it, with its work there."""
        for dataflow, work in product(dataflows, (self.dense, self.effective)):
            if work is not None:
                machine = Machine(
                    dataflow=dataflow,
                    skips_zeros=work is self.effective,
                    weight_bits=self.weight_bits,
                    activation_bits=self.activation_bits,
                )
                yield machine, work


def _by_widths(layers: Sequence[Mapping[str, Any]]) -> list[tuple[tuple[int | None, int | None], Work]]:
    """Sum the work of layers by the widths of their numbers, most multiplications first; layers may name no widths."""
    groups: dict[tuple[int | None, int | None], list[Mapping[str, Any]]] = {}
    for layer in layers:
        groups.setdefault((layer.get("weight_bits"), layer.get("activation_bits")), []).append(layer)
    works = [
        (
            widths,
            Work(
                **{key: sum(layer[key] for layer in found) for key in ("macs", "weights", "inputs", "outputs")},
                biases=sum(layer["outputs"] for layer in found if layer["biases"]),
            ),
        )
        for widths, found in groups.items()
    ]
    return sorted(works, key=lambda each: -each[1].macs)


def matched_bits(n_steps: int) -> int:
    """Return the width of an activation with a value for each number of spikes in ``n_steps``, 0 among them."""
    return math.ceil(math.log2(n_steps + 1))
