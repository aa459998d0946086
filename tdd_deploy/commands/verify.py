"""Run the same samples on several backends and compare each one with the one before it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.data import Choice
from tdd_deploy.data.encoders import Encoded
from tdd_deploy.errors import BadOptions, without_backticks
from tdd_deploy.options.encoding import Encoding, Output, Steps
from tdd_deploy.options.model import Model
from tdd_deploy.options.quantization import ComparedQuantization
from tdd_deploy.options.verification import Verification
from tdd_deploy.program import Program, with_reading
from tdd_deploy.program.outputs import predicted
from tdd_deploy.runtime.inputs import EncodedInputs, InputCounts
from tdd_deploy.runtime.progress import Progress, unseen
from tdd_deploy.verification.backends import Backends
from tdd_deploy.verification.comparison import Comparison, compare, joined, with_known_potentials
from tdd_deploy.verification.recording import Recorded

from .load import Network, chosen_samples, describe_inputs, load, path_of
from .quantization import needs_floats, quantize_for

SCHEMA_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Verified:
    """One or more comparisons of backends; ``left_out`` says why a backend is missing."""

    comparisons: tuple[Comparison, ...]
    seconds: Mapping[str, float]  # per backend, for all samples
    accuracies: Mapping[str, float]  # per backend; empty for data without labels
    n_samples: int
    left_out: tuple[str, ...]
    data: Mapping[str, Any] = field(default_factory=dict)  # how samples became inputs

    def __repr__(self) -> str:
        lines = [f"{'passed' if self.passed else 'failed'}: {self.n_samples} samples"]
        for each in self.comparisons:
            found = f"{each.differing:,} of {each.spikes:,} spikes differ"
            lines.append(f"  {'ok' if each.passed else 'NO'}  {each.before} -> {each.after}: {found}")
        return "\n".join([*lines, *(f"  left out: {without_backticks(line)}" for line in self.left_out)])

    @property
    def passed(self) -> bool:
        """Whether every comparison kept its bound."""
        return bool(self.comparisons) and all(each.passed for each in self.comparisons)

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "schema_version": SCHEMA_VERSION,
            "passed": self.passed,
            **asdict(self),
            "comparisons": [each.as_json() for each in self.comparisons],
        }


class _Tally:
    """What the backends did, batch by batch."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._sent = InputCounts()
        self._rounded = InputCounts()
        self._integers: Program | None = None  # of a program in floats
        self.batches: list[list[Comparison]] = []
        self.seconds: dict[str, float] = {}
        self._correct: dict[str, int] = {}

    def take(self, encoded: Encoded, labels: NDArray[np.int64] | None, found: list[Recorded]) -> None:
        """Add a batch that every backend executed."""
        self._sent += InputCounts.of(encoded, self._program)
        if self._program.number_format != "integer":
            self._integers = next((x.program for x in found if x.program.number_format == "integer"), None)
            self._rounded += InputCounts() if self._integers is None else InputCounts.of(encoded, self._integers)
        for recorded in found:
            name = recorded.backend
            self.seconds[name] = self.seconds.get(name, 0.0) + recorded.seconds
            if labels is not None:
                n_correct = int((predicted(recorded.output) == labels).sum())
                self._correct[name] = self._correct.get(name, 0) + n_correct
        self.batches.append(_in_turn(found))

    def accuracies(self, n_samples: int) -> dict[str, float]:
        """Return the accuracy of each backend."""
        return {name: n / n_samples for name, n in self._correct.items()}

    def sent_json(self, name: str) -> dict[str, Any]:
        """Describe the values that the input received, and what became of them in integers."""
        sent = {"sent": self._sent.checked(self._program, name).as_json(self._program)}
        integers = {} if self._integers is None else {"sent_in_integers": self._rounded.as_json(self._integers)}
        return sent | integers


def verify(
    network: Network,
    data: Choice,
    *,
    options: Verification = Verification(),
    model: Model = Model(),
    steps: Steps = Steps(),
    quantization: ComparedQuantization = ComparedQuantization(),
    output: Output = Output(),
    progress: Progress = unseen,
) -> Verified:
    """Run the same samples on several backends, each compared with the one before.

    Args:
        network: a .nir, .net or .onnx file, a run folder, or a Program; the backend torch needs the folder.
        data: the samples.
        options: the backends, executed in order; by default all that are installed.
        model: how a file of another tool is read.
        steps: time steps per sample.
        quantization: how a program in floats is quantized for ``integer`` and ``lava``.
        output: the spikes of the last layer, or its potential before the reset.
        progress: receives the number of finished samples.

    Raises:
        BadOption: no such backend, or too few of them.
        BadOptions: options of quantization, for a program that is in integers.
        MissingEnvironment: Lava was asked for and is not set up.
        TddDeployError: anything wrong with the file, the data or an option.
    """
    program = with_reading(load(network, model), output.output)
    if program.number_format == "integer" and quantization.chosen:
        raise BadOptions("", tuple(map(needs_floats, quantization.chosen)))
    source = data.open_chosen(by_step=True).without_step_labels()
    inputs = EncodedInputs.of(program, source, Encoding(steps=steps.steps), frames=data.options.frames)
    n_samples = chosen_samples(source, data)
    path = path_of(network)
    chosen = Backends(
        path=path,
        program=program,
        quantized=lambda: quantize_for(program, quantization, source, n_samples),
        mapping=options.mapping,
        timeout_s=options.timeout_s,
    )
    backends, left_out = chosen.available() if options.against is None else (chosen.named(options.against), [])
    tally = _Tally(program)
    for encoded, labels in inputs.batches(source, options.batch, limit=n_samples, progress=progress):
        values = np.stack([encoded.at(t) for t in range(inputs.n_steps)])
        tally.take(encoded, labels, [backend(values) for backend in backends])
    return Verified(
        comparisons=tuple(joined(batches) for batches in zip(*tally.batches, strict=True)),
        seconds=tally.seconds,
        accuracies=tally.accuracies(n_samples),
        n_samples=n_samples,
        left_out=tuple(left_out),
        data={**describe_inputs(inputs, source, path), **tally.sent_json(source.name)},
    )


def _in_turn(found: Sequence[Recorded]) -> list[Comparison]:
    """Compare each backend with the one before it."""
    comparisons = []
    before = found[0]
    for after in found[1:]:
        comparisons.append(compare(before, after))
        before = with_known_potentials(before, after, comparisons[-1])
    return comparisons
