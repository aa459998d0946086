"""The result of a simulation: one JSON object, and rows for tables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.errors import BadOption, did_you_mean, without_backticks
from tdd_deploy.files import replacing
from tdd_deploy.program import NeuronLayer, Program, with_potential_output
from tdd_deploy.program.rounding import PIXELS, SPIKES, rounding_receivers_of
from tdd_deploy.simulator.arithmetic import NumberArray
from tdd_deploy.simulator.counts import FIELDS, Counts, Trace
from tdd_deploy.simulator.hardware.baseline import comparison, dense_work, has_own_layers, left_out_of_dense
from tdd_deploy.simulator.hardware.dense import Candidate, Work
from tdd_deploy.simulator.hardware.energy import UNPLACED, Energy, Seconds, price_counts
from tdd_deploy.simulator.hardware.estimators import Estimate, estimates
from tdd_deploy.simulator.hardware.execution import Execution, fed_by_input
from tdd_deploy.simulator.hardware.placement import Placement, codes_sent, placement_json
from tdd_deploy.simulator.hardware.process import Numbers
from tdd_deploy.simulator.hardware.profiles import Profile
from tdd_deploy.simulator.hardware.timing import BASIS, SERIAL_BASIS, STEP_TIME_BASIS, run_time, serial_time
from tdd_deploy.simulator.routes import COSTS
from tdd_deploy.text import csv_table

from .energies import energy_json, energy_sums, model_json
from .frames import Columns, flat, to_frame
from .verdict import Verdict, verdict_html, verdict_text

if TYPE_CHECKING:
    from pandas import DataFrame

SCHEMA_VERSION = 6
WIDTH = 100  # characters of a line in an interactive session
MOST_CELLS = 500_000  # numbers of the matrix of layers and time steps
GIVEN = "the time per step that was given"
BY_CODE = ("events", "input_events", "synops_effective", "synops_stored", "acs", "macs", "bias_adds", *COSTS)


@dataclass(frozen=True, kw_only=True)
class Priced:
    """The energy of one run: as executed, and in one code throughout."""

    executed: Energy
    spike_code: Energy
    delta_code: Energy
    cannot_execute: str = ""  # what the chip of the profile has no means for; it is priced as if it had


@dataclass(frozen=True, eq=False, kw_only=True)
class Simulation:
    """A finished simulation; counts are sums over its samples."""

    program: Program
    data: Mapping[str, Any]  # name, split, encoder, seed, static, files with their hashes
    code: str  # auto, delta or spike
    code_from: str  # where the code comes from
    trace: Trace
    n_correct: int | None  # None: the data have no labels
    labeled_steps: int | None = None  # time steps with a label; None if labels belong to samples
    energies: tuple[Priced, ...] = ()  # one per profile
    placement: Placement | None = None  # by which messages were counted
    unplaced: str = ""  # why a network is not placed on the chip of the profiles
    caveats: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)  # as they were given, for people
    command: str | None = None  # the command line; None from Python
    baselines: tuple[Mapping[str, Any], ...] = ()  # as training with the method ann measured them
    models: tuple[Energy, ...] = ()  # by each profile of the package that has prices, as executed
    early_exit: float | None = None  # the margin
    margin_from: str | None = None  # how it was chosen; None: by the user
    constant_output: NumberArray | None = None  # the output, if it is the same in all samples and time steps
    # [n_samples, n_classes], summed over time steps; None for other shapes, and above 16 million numbers
    outputs: NumberArray | None = None

    @property
    def energy(self) -> Priced | None:
        """The energy by the profile that was named first."""
        return self.energies[0] if self.energies else None

    @property
    def accuracy(self) -> float | None:
        """Fraction of samples whose largest output, summed over time, is their label.

        With labels of time steps, the fraction of labeled steps at which the largest output is the label.
        """
        n = self.trace.n_samples if self.labeled_steps is None else self.labeled_steps
        return None if self.n_correct is None else self.n_correct / n

    @property
    def predictions(self) -> NDArray[np.int64] | None:
        """The class of each sample, ``[n_samples]``: the largest output, summed over time; None without ``outputs``."""
        return None if self.outputs is None else self.outputs.argmax(axis=1)

    @property
    def layers(self) -> list[dict[str, Any]]:
        """A row per layer: counts and energies, as sums over samples and time steps."""
        rows = self._rows(lambda cells: np.ascontiguousarray(cells).sum(axis=1))
        return [
            {"name": layer.name, "kind": layer.kind, "shape": list(layer.shape), **row}
            for layer, row in zip(self.trace.layers, rows, strict=True)
        ]

    @property
    def steps(self) -> list[dict[str, Any]]:
        """A row per time step: counts and energies, as sums over samples and layers."""
        rows = self._rows(lambda cells: np.ascontiguousarray(cells.T).sum(axis=1))
        n_running = self.trace.n_running.tolist()
        return [
            {"step": t, "samples": n, **row} for t, (n, row) in enumerate(zip(n_running, rows, strict=True), start=1)
        ]

    def to_frame(self, *, by: Literal["layer", "step"] = "layer") -> "DataFrame | Columns":
        """Return ``layers`` or ``steps`` as a pandas DataFrame, or without pandas as a dict of columns.

        Raises:
            BadOption: ``by`` is another word.
        """
        if by not in ("layer", "step"):
            raise BadOption("by", repr(by), "layer or step", did_you_mean(by, ("layer", "step")))
        return to_frame(self.layers if by == "layer" else self.steps)

    def __repr__(self) -> str:
        return without_backticks(verdict_text(self.verdict, WIDTH))

    def _repr_html_(self) -> str:
        return verdict_html(self.verdict)

    @property
    def verdict(self) -> Mapping[str, Any]:
        """What the simulation shows, in a line and a few more: see ``verdict.Verdict``."""
        verdict: Mapping[str, Any] = self.as_json()["verdict"]
        return verdict

    def as_json(self) -> dict[str, Any]:
        """Return the simulation as plain values."""
        (total,) = self._rows(lambda cells: cells.sum(keepdims=True)[0])
        report = {
            "program": self._program_json(),
            "data": dict(self.data),
            "command": self.command,
            "versions": {name: metadata.version(name) for name in ("tdd-deploy", "numpy", "numba")},
            "options": dict(self.options),
            "accuracy": self.accuracy,
            **({} if self.labeled_steps is None else {"labeled_steps": self.labeled_steps}),
            "output": self._output_json(),
            "steps": self.steps,
            "layers": self.layers,
            "early_exit": self._early_exit_json(),
            "overlap": self._overlap_json(),
            "caveats": list(self.caveats),
            "placement": None if self.placement is None else placement_json(self.placement),
            "unplaced": self.unplaced or None,
            "totals": {
                "samples": self.trace.n_samples,
                **total,
                "saved_by_repeating_input": self.saved_by_repeating_input,
            },
            "matrix": self._matrix_json(),
            "energies": [self._energy_json(priced) for priced in self.energies],
            "models": [model_json(energy) for energy in self.models],
            "estimators": [{**asdict(estimate), "ratio": estimate.ratio} for estimate in self.estimates],
            "dense": {"passes": 1, **asdict(self._dense_work), "left_out": list(left_out_of_dense(self.program))},
            "baselines": list(self.baselines),
        }
        return {"schema_version": SCHEMA_VERSION, "verdict": Verdict.of(report).as_json(), **report}

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        """The energy by estimators of others; none where energy was not asked for."""
        if self.energy is None:
            return ()
        return estimates(self.program, self.trace, has_spike_input=not self.data["sent"]["neither_0_nor_1"])

    @property
    def saved_by_repeating_input(self) -> int | None:
        """Effective synaptic operations saved merely since a static input is sent once; None for other inputs."""
        if not self.data["static"]:
            return None
        row = {layer.name: i for i, layer in enumerate(self.trace.layers)}
        first = [row[name] for name in fed_by_input(self.program) & row.keys()]
        saved = self.trace.spike_code.synops_effective - self.trace.executed.synops_effective
        return int(saved[first, 1:].sum())

    def _overlap_json(self) -> dict[str, list[float | None]] | None:
        """Return for each layer that spikes, at each step from the second on, the fraction that was there a step ago.

        None when samples ended early: their spikes of the step before cannot be separated from the others.
        """
        if self.early_exit is not None:
            return None
        counts, fractions = self.trace.executed, {}
        for row, layer in enumerate(self.trace.layers):
            node = self.program[layer.name]
            if isinstance(node, NeuronLayer) and node.neuron.binary:
                spikes, changes = counts.spikes[row], counts.delta_events[row]
                stayed = (spikes[1:] + spikes[:-1] - changes[1:]) / 2
                pairs = zip(stayed.tolist(), spikes[1:].tolist(), strict=True)
                fractions[layer.name] = [both / now if now else None for both, now in pairs]
        return fractions if len(counts.spikes[0]) > 1 else None

    def _output_json(self) -> dict[str, Any]:
        """Describe the output, and whether it ever changes: it may be 0 throughout, or equal for all samples."""
        program = self.program
        is_zero = self.constant_output is not None and not np.any(self.constant_output)
        return {
            "reading": program.output.reading,
            "sources": [edge.source for edge in program.incoming[program.output.name]],
            "silent_layer": _silent_layer(program) if is_zero else None,
            "always_zero": is_zero,
            "never_changes": is_zero or (self.constant_output is not None and self.trace.n_samples > 1),
        }

    def _early_exit_json(self) -> dict[str, Any] | None:
        if self.early_exit is None:
            return None
        n_running = self.trace.n_running
        mean = float(n_running.sum() / self.trace.n_samples)
        return {
            "margin": self.early_exit,
            "margin_from": self.margin_from or "from `early_exit`",
            "mean_steps": mean,
            "steps_saved": 1 - mean / len(n_running),
        }

    def _energy_json(self, priced: Priced) -> dict[str, Any]:
        energy = priced.executed
        codes = {
            f"{code}_pj": energy_sums(getattr(priced, code))["dynamic_pj"] for code in ("spike_code", "delta_code")
        }
        return {
            **energy_json(energy, int(self.trace.n_running.sum())),
            **codes,
            "cannot_execute": priced.cannot_execute or None,
            "comparison": comparison(self.program, self.trace, energy, self._candidates, accuracy=self.accuracy),
        }

    def _matrix_json(self) -> dict[str, Any]:
        """Return counts and energies by layer and time step; nothing where they are too many for a file of text."""
        unknown = () if self.placement else COSTS
        counts = {
            code: {name: getattr(getattr(self.trace, code), name) for name in names if name not in unknown}
            for code, names in (("executed", FIELDS), ("spike_code", BY_CODE), ("delta_code", BY_CODE))
        }
        derived = self._derived_counts() if self.energies else {}
        n_matrices = sum(map(len, (*counts.values(), *derived.values()))) + len(self.energies)
        n_cells = n_matrices * len(self.trace.layers) * len(self.trace.n_running)
        if n_cells > MOST_CELLS:
            return {"left_out": f"{n_cells:,} numbers, more than {MOST_CELLS:,}; execute fewer `steps`"}
        return {
            "left_out": None,
            **_as_lists(counts),
            "derived": _as_lists(derived),
            "energy_pj": {
                priced.executed.profile.name: priced.executed.per_cell_pj.tolist()
                for priced in self.energies
                if priced.executed.terms
            },
        }

    def _derived_counts(self) -> dict[str, Mapping[str, NumberArray]]:
        """Return by code the counts that follow from others, and that only prices need."""
        numbers, exits_early = Numbers.of(self.program), self.early_exit is not None
        return {
            code: Execution.of(
                self.program, self.trace, getattr(self.trace, code), numbers=numbers, exits_early=exits_early
            ).derived
            for code in ("executed", "spike_code", "delta_code")
        }

    @cached_property
    def _dense_work(self) -> Work:
        """The work of its layers in a dense execution; to count it, every map is laid out."""
        return dense_work(self.program)

    @cached_property
    def _candidates(self) -> tuple[Candidate, ...]:
        """The dense networks to compare with: given ones, and the same layers without a training.

        Layers without a training are left out where a baseline has the same ones. A network with delayed edges has
        none: executed once, it would remember nothing.
        """
        given = Candidate.trained(self.baselines, self.data["split"])
        if any(map(has_own_layers, self.baselines)) or any(edge.delay for edge in self.program.edges):
            return given
        return *given, *Candidate.untrained(self._dense_work, len(self.trace.n_running))

    def _rounding(self) -> tuple[str, ...]:
        """Find layers whose currents can round, for the inputs of this run."""
        sent = self.data["sent"]
        if not sent["neither_0_nor_1"]:
            return rounding_receivers_of(self.program, SPIKES)
        on_grid = replace(PIXELS, bound=max(abs(sent["lowest"]), abs(sent["highest"])))
        return rounding_receivers_of(self.program, None if sent["off_grid"] else on_grid)

    def _program_json(self) -> dict[str, Any]:
        program = self.program
        codes = {f"{edge.source} -> {edge.target}": edge.code for edge in program.edges}
        return {
            **program.provenance,
            "digest": program.digest,
            "number_format": program.number_format,
            "dt_s": program.dt_s,
            "integration": program.integration,
            "code": self.code,
            "code_from": self.code_from,
            "codes": codes,
            "sent": {name: sorted(found) for name, found in codes_sent(program).items()},
            "rounding": list(self._rounding()),
        }

    def _rows(self, sums: Callable[[NumberArray], NumberArray]) -> list[dict[str, Any]]:
        """Return rows of counts and energies, from sums over the cells of layers and time steps."""
        priced = self.energy if self.energy and self.energy.executed.terms else None  # None: nothing has a price
        unknown = () if self.placement else COSTS

        def rows(code: str, names: Sequence[str]) -> list[dict[str, Any]]:
            counts = getattr(self.trace, code)
            columns = {name: sums(getattr(counts, name)).tolist() for name in names if name not in unknown}
            n_rows = len(next(iter(columns.values())))
            energy: Energy | None = None if priced is None else getattr(priced, code)
            columns["energy_pj"] = [None] * n_rows if energy is None else sums(energy.per_cell_pj).tolist()
            return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]

        by_code = rows("executed", FIELDS), rows("spike_code", BY_CODE), rows("delta_code", BY_CODE)
        return [
            {**row, "spike_code": spikes, "delta_code": deltas} for row, spikes, deltas in zip(*by_code, strict=True)
        ]


def _as_lists(counts: Mapping[str, Mapping[str, NumberArray]]) -> dict[str, dict[str, Any]]:
    """Return counts by code and name as lists."""
    return {code: {name: cells.tolist() for name, cells in found.items()} for code, found in counts.items()}


def _silent_layer(program: Program) -> str | None:
    """Find the layer whose potential the output could read instead of spikes that never come."""
    if program.output.reading == "potential":
        return None
    try:
        read = with_potential_output(program)
    except BadOption:
        return None
    return read.incoming[read.output.name][0].source


def priced(
    trace: Trace,
    profile: Profile,
    program: Program,
    *,
    placement: Placement | None = None,
    unplaced: str = UNPLACED,
    step_time_s: float | None = None,
    clock_mhz: float | None = None,
    exits_early: bool = False,
) -> Priced:
    """Price a run as executed and in one code throughout.

    Args:
        trace: the counts; messages were counted by the same placement.
        profile: the prices.
        program: what was executed.
        placement: on the chip of the profile.
        unplaced: why there is none.
        step_time_s: the time of a step on the hardware; by default, it follows from the profile.
        clock_mhz: replaces the clock of the profile.
        exits_early: whether samples could end early, so that each step compared the outputs.
    """
    numbers = Numbers.of(program)

    def steps_of(step_s: float) -> Seconds:
        seconds = step_s * float(trace.n_running.sum())
        return Seconds(seconds, seconds, step=step_s)

    def price(code: str) -> Energy:
        counts: Counts = getattr(trace, code)
        seconds, basis = None, ""
        if step_time_s is not None:
            seconds, basis = steps_of(step_time_s), GIVEN
        elif profile.step_time is not None:
            seconds, basis = steps_of(profile.step_time.seconds), STEP_TIME_BASIS
        elif placement is not None:
            core_synops = None if trace.core_synops is None else getattr(trace.core_synops, code)
            rows = trace.layers, trace.n_running, core_synops
            seconds = run_time(program, counts, *rows, profile=profile, placement=placement, clock_mhz=clock_mhz)
            basis = BASIS
        elif profile.chip is None:
            seconds = serial_time(counts, trace.n_running, profile=profile, clock_mhz=clock_mhz)
            basis = SERIAL_BASIS
        return price_counts(
            counts,
            trace.layers,
            profile,
            execution=Execution.of(program, trace, counts, numbers=numbers, exits_early=exits_early),
            seconds=seconds,
            time_basis=basis,
            clock_mhz=clock_mhz,
            n_chips=None if placement is None else placement.n_chips,
            unplaced=unplaced,
        )

    return Priced(executed=price("executed"), spike_code=price("spike_code"), delta_code=price("delta_code"))


def write_csv(path: Path, report: Mapping[str, Any]) -> None:
    """Write one line per time step of what ``Simulation.as_json`` returned."""
    with replacing(path) as part:
        part.write_text(csv_table([flat(step) for step in report["steps"]]), encoding="utf-8")
