"""Quantize a program, and measure on samples what that changes."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.data import Choice, Source
from tdd_deploy.data.encoders import Encoded
from tdd_deploy.errors import BadOptions, Violation
from tdd_deploy.options.encoding import Encoding
from tdd_deploy.options.quantization import DEPLOYED_BITS, Quantization
from tdd_deploy.program import Program
from tdd_deploy.program.quantization.quantize import quantize as in_integers
from tdd_deploy.program.quantization.scales import LayerReport
from tdd_deploy.runtime.inputs import EncodedInputs, InputCounts
from tdd_deploy.runtime.progress import Progress, unseen

from .load import CALIBRATION_SAMPLES, chosen_samples, describe_inputs

if TYPE_CHECKING:
    from tdd_deploy.simulator.engine.calibration import Calibration


NEEDS_FLOATS = "needs a program in floats (this one is in integers already)"


def needs_floats(name: str) -> Violation:
    """Return the violation of an option that is given although the program is in integers."""
    return Violation(f"`{name}`", NEEDS_FLOATS, remedy=f"Leave out `{name}`.")


class SeenInput(TypedDict, total=False):
    """What samples show of an input, as ``quantize`` takes it."""

    largest_input: float
    samples: NDArray[np.float32]
    binary_input: bool


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """A program in integers, and what that changed."""

    program: Program
    layers: tuple[LayerReport, ...] = ()
    calibration: "Calibration | None" = None
    data: Mapping[str, Any] | None = None  # how samples of the calibration became inputs

    def __repr__(self) -> str:
        found = f"{self.program.number_format} program {self.program.digest[:12]}, {len(self.layers)} layers quantized"
        measured = self.calibration
        if measured is None or measured.accuracy_integer is None:
            return found
        return f"{found}; accuracy {measured.accuracy_float:.1%} in floats, {measured.accuracy_integer:.1%} in integers"

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "schema_version": 1,
            "program": self.program.digest,
            "number_format": self.program.number_format,
            "layers": [asdict(layer) for layer in self.layers],
            "calibration": asdict(self.calibration) if self.calibration else None,
            "input": self.input_of_integers,
            "data": self.data,
        }

    @property
    def input_of_integers(self) -> dict[str, float] | None:
        """The value of one integer of the input, and the largest value; None without quantization or values."""
        if not self.layers or self.program.encoder != "direct":
            return None
        unit = 1 / self.program.input.scale
        return {"unit": unit, "largest": unit * self.program.input.largest}


def quantize(
    program: Program,
    options: Quantization = Quantization(),
    *,
    data: Choice | None = None,
    path: Path | None = None,
    progress: Progress = unseen,
) -> Quantized:
    """Turn a program in floats into Loihi 2's integers; with data, measure what that changes.

    Args:
        program: in floats.
        options: bits of a weight (by default 8), scales, bits of the input.
        data: training samples: they bound the input, and show what changes.
        path: the run folder of the program, whose scale of the data is reported.
        progress: receives the number of samples that were executed.

    Raises:
        BadOptions: the program is in integers.
        NotExportable: every reason why integers cannot hold the program.
    """
    if program.number_format == "integer":
        itself = Violation("quantization", NEEDS_FLOATS, remedy="Use the program as it is.")
        raise BadOptions("", tuple(map(needs_floats, options.chosen)) or (itself,))
    bits = DEPLOYED_BITS if options.bits is None else options.bits
    if data is None or data.options.data is None:
        made = in_integers(program, bits=bits, per=options.per, input_bits=options.input_bits)
        return Quantized(program=made.program, layers=made.layers)
    from tdd_deploy.simulator.engine.calibration import calibrate

    source = data.open("train", by_step=True).without_step_labels()
    samples = chosen_samples(source, data)
    inputs = EncodedInputs.of(program, source, Encoding(steps=data.steps), frames=data.options.frames)
    made = in_integers(program, bits=bits, per=options.per, input_bits=options.input_bits, **seen(source, samples))
    sent: list[InputCounts] = []

    def batches() -> Iterator[tuple[Encoded, NDArray[np.int64] | None]]:
        for encoded, labels in inputs.batches(source, CALIBRATION_SAMPLES, limit=samples, progress=progress):
            sent.append(InputCounts.of(encoded, made.program))
            yield encoded, labels

    calibration = calibrate(program, made.program, batches(), n_steps=inputs.n_steps)
    counts = sum(sent, InputCounts()).as_json(made.program)
    found = {**describe_inputs(inputs, source, path), "sent_in_integers": counts}
    return Quantized(program=made.program, layers=made.layers, calibration=calibration, data=found)


def seen(source: Source, samples: int) -> SeenInput:
    """Measure an input: the least power of two, from 1 on, that bounds it, and values.

    If all values are 0 and 1, the input sends spikes. Values that are all 0 say nothing.
    """
    batches = [batch.x for batch in source.batches(CALIBRATION_SAMPLES, limit=samples)]
    largest = max(float(np.abs(x).max()) for x in batches)
    if not largest:
        return {}
    is_binary = all(((x == 0) | (x == 1)).all() for x in batches)
    bound = 2.0 ** math.ceil(math.log2(max(largest, 1.0)))
    return {"largest_input": bound, "samples": batches[0], "binary_input": is_binary}


def quantize_for(program: Program, options: Quantization, source: Source, samples: int) -> Program:
    """Return a program in integers whose input is bounded by samples that are executed anyway."""
    bits = DEPLOYED_BITS if options.bits is None else options.bits
    shown = seen(source, samples)
    return in_integers(program, bits=bits, per=options.per, input_bits=options.input_bits, **shown).program
