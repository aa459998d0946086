"""Prices of a simulation: profiles, the place on their chip, and ANN baselines beside it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tdd_deploy.data import Source
from tdd_deploy.errors import BadOption, BadOptions
from tdd_deploy.importers.onnx.read import is_onnx
from tdd_deploy.neurons import LIF, LoihiLIF, Neuron
from tdd_deploy.neurons.loihi import DECAY
from tdd_deploy.options.pricing import Pricing
from tdd_deploy.options.quantization import DEPLOYED_BITS
from tdd_deploy.program import Program
from tdd_deploy.program.quantization.loihi_numbers import bits_of
from tdd_deploy.run_folder import RunFolder
from tdd_deploy.simulator.hardware.baseline import disagreements, has_own_layers
from tdd_deploy.simulator.hardware.check import cannot_run
from tdd_deploy.simulator.hardware.chips import load_chip
from tdd_deploy.simulator.hardware.energy import UNPLACED, Energy, price_counts
from tdd_deploy.simulator.hardware.execution import Execution
from tdd_deploy.simulator.hardware.placement import Placement, place
from tdd_deploy.simulator.hardware.process import Numbers
from tdd_deploy.simulator.hardware.profiles import Profile, load_profile, profile_names
from tdd_deploy.simulator.reports.report import Simulation, priced
from tdd_deploy.simulator.reports.verdict import FOR_OTHERS

from .onnx_baseline import measure_onnx

OF_DENSE = "cmos45-memory"  # prices multiplications and memory, in floats and in integers


@dataclass(frozen=True, eq=False, kw_only=True)
class Prices:
    """What a simulation is priced with, checked before it starts."""

    options: Pricing
    profiles: tuple[Profile, ...]
    baselines: tuple[Mapping[str, Any] | None, ...]  # as train with method=ann measured them; None: not yet measured

    @classmethod
    def of(cls, options: Pricing, *, with_dense: bool = False) -> "Prices":
        """Load the profiles and the baselines.

        Args:
            options: as a user gave them.
            with_dense: add a profile that prices a dense network, where energy is asked for and none does.

        Raises:
            BadOption: a clock for hardware without one, profiles of several chips, or a time step at which the
                static power of a profile does not hold.
            TddDeployError: no such profile, or a damaged baseline.
        """
        profiles = tuple(load_profile(name) for name in options.chosen_profiles)
        if with_dense and profiles and not any(profile.is_process for profile in profiles):
            profiles = (*profiles, load_profile(OF_DENSE))
        if options.clock_mhz is not None and not any(profile.clock for profile in profiles):
            names = ", ".join(profile.name for profile in profiles)
            found = f"needs a profile whose static power depends on a clock (got {names})"
            raise BadOption("clock_mhz", found)
        for profile in profiles:
            if profile.step_time is not None and options.step_time_s not in (None, profile.step_time.seconds):
                allowed = f"{profile.step_time.seconds:g}, the only time step at which {profile.name}'s power is known"
                raise BadOption("step_time_s", f"{options.step_time_s:g}", allowed)
        chips = dict.fromkeys(profile.chip for profile in profiles if profile.chip)
        if len(chips) > 1:
            given = ", ".join(profile.name for profile in profiles if profile.chip)
            raise BadOption("profiles", f"{given}: of {' and '.join(chips)}", "profiles of one chip in one run")
        baselines = tuple(None if is_onnx(path) else RunFolder.read_baseline(path) for path in options.baseline)
        return cls(options=options, profiles=profiles, baselines=baselines)

    @property
    def chip(self) -> str | None:
        """The chip of the profiles."""
        return next((profile.chip for profile in self.profiles if profile.chip), None)

    def with_baselines(
        self, program: Program, data: Mapping[str, Any], *, source: Source | None = None, n_samples: int
    ) -> "Prices":
        """Measure the baselines in ONNX files, and refuse the first baseline of another network or other data.

        Args:
            program: what is compared.
            data: the samples, as ``report.Simulation`` describes them.
            source: the samples themselves; without them, no accuracy of an ONNX file is measured.
            n_samples: how many of them are executed.

        Raises:
            BadOptions: everything in which a baseline differs.
            TddDeployError: an ONNX file that cannot be read, or not be counted.
        """
        paths = zip(self.options.baseline, self.baselines, strict=True)
        known = [measure_onnx(path, data, source, n_samples) if found is None else found for path, found in paths]
        for path, baseline in zip(self.options.baseline, known, strict=True):
            found = list(disagreements(baseline, program, data))
            if found:
                raise BadOptions(f"`baseline={path}`", found)
        return replace(self, baselines=tuple(known))

    @property
    def measured_baselines(self) -> tuple[Mapping[str, Any], ...]:
        """The baselines, after ``with_baselines``."""
        return tuple(each for each in self.baselines if each is not None)


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Where a program lies on a chip, or why it does not."""

    placement: Placement | None
    reason: str


def place_program(program: Program, prices: Prices) -> Placed:
    """Place a program on the chip of the profiles."""
    if prices.chip is None:
        return Placed(placement=None, reason=UNPLACED)
    chip = load_chip(prices.chip)
    placement = place(program, chip, weight_bits=weight_bits(program))
    if not placement.exceeded:
        return Placed(placement=placement, reason="")
    what = "; ".join(
        f"{layer} exceeds {', '.join(chip.limits[name].what for name in limits)}"
        for layer, limits in placement.exceeded.items()
    )
    return Placed(placement=None, reason=f"not placed on {chip.name}: {what} (tdd-deploy check says more)")


def price(simulation: Simulation, prices: Prices, placed: Placed | None = None) -> Simulation:
    """Return a simulation with the energy of its counts, by each profile.

    Args:
        simulation: the counts; messages between cores were counted by the same placement.
        prices: the profiles.
        placed: where the program lay when it was executed; by default as the simulation says.
    """
    if placed is None:
        reason = "" if simulation.placement else "not placed: it was executed without a profile of this chip"
        placed = Placed(placement=simulation.placement, reason=reason)
    options = prices.options
    lacks = _lacks(simulation.program, prices.profiles, simulation.data)
    energies = [
        replace(
            priced(
                simulation.trace,
                profile,
                simulation.program,
                placement=placed.placement if profile.chip else None,
                unplaced=placed.reason,
                step_time_s=options.step_time_s,
                clock_mhz=options.clock_mhz,
                exits_early=simulation.early_exit is not None,
            ),
            cannot_execute=lacks.get(profile.chip or "", ""),
        )
        for profile in prices.profiles
    ]
    if not options.profiles:  # nobody chose the first one, so it is one that can execute the network
        energies.sort(key=lambda priced: bool(priced.cannot_execute))
    baselines = prices.measured_baselines or simulation.baselines
    return replace(
        simulation,
        energies=tuple(energies),
        models=_models(simulation, placed.placement) if energies else (),
        placement=placed.placement,
        unplaced=placed.reason if prices.chip else "",
        caveats=(
            *_caveats(simulation.program, prices.profiles, lacks, simulation.data),
            *(
                ()
                if any(map(has_own_layers, baselines))
                else _executed_once(simulation.program, prices.profiles, simulation.data)
            ),
        ),
        baselines=baselines,
        options={**simulation.options, **_recorded(simulation, options)},
    )


def _models(simulation: Simulation, placement: Placement | None) -> tuple[Energy, ...]:
    """Price the executed counts by every profile of the package that has prices, for the range over models.

    Messages are priced only where the network was placed.
    """
    trace, program = simulation.trace, simulation.program
    exits_early = simulation.early_exit is not None
    execution = Execution.of(program, trace, trace.executed, numbers=Numbers.of(program), exits_early=exits_early)
    found = []
    for profile in map(load_profile, profile_names()):
        is_placed = placement is not None and placement.chip.name == profile.chip
        n_chips = placement.n_chips if placement is not None and is_placed else None
        energy = price_counts(trace.executed, trace.layers, profile, execution=execution, n_chips=n_chips)
        if energy.terms:
            found.append(energy)
    return tuple(found)


def _recorded(simulation: Simulation, options: Pricing) -> dict[str, Any]:
    """Return the options for a report; baselines that the simulation has stay."""
    found = options.as_json()
    return found if options.baseline else {**found, "baseline": simulation.options.get("baseline", [])}


def _lacks(program: Program, profiles: Sequence[Profile], data: Mapping[str, Any]) -> dict[str, str]:
    """Find by chip of some profiles what it cannot execute of a program with this input; empty where it can."""
    is_binary = not data["sent"]["neither_0_nor_1"]
    chips = {profile.chip: load_chip(profile.chip) for profile in profiles if profile.chip}
    return {name: cannot_run(program, chip, input_is_binary=is_binary) for name, chip in chips.items()}


def _caveats(
    program: Program, profiles: Sequence[Profile], lacks: Mapping[str, str], data: Mapping[str, Any]
) -> tuple[str, ...]:
    """Report what the chips of some profiles cannot execute of a program with this input."""
    unlike = _unlike_spikes(program, is_binary=not data["sent"]["neither_0_nor_1"])
    of_spikes = [profile.name for profile in profiles if profile.prices and not profile.chip]
    valued = [f"{', '.join(of_spikes)}{FOR_OTHERS}{unlike}"]
    return (
        *(
            f"{load_chip(chip).name} cannot execute this network, and is priced as if it could: {what}"
            for chip, what in lacks.items()
            if what
        ),
        *(valued if of_spikes and unlike else ()),
        *_unlike_lif(program, [profile.name for profile in profiles if profile.is_process]),
    )


def _executed_once(program: Program, profiles: Sequence[Profile], data: Mapping[str, Any]) -> Iterator[str]:
    """Say that untrained dense networks see one time step, where the data hold several different ones."""
    processes = [profile.name for profile in profiles if profile.is_process]
    is_compared = processes and not any(edge.delay for edge in program.edges)
    changes = not data["static"] and data.get("encoder", "direct") == "direct" and data.get("n_steps", 1) > 1
    if is_compared and changes:
        yield (
            f"{', '.join(processes)}: a dense machine executes the layers once per sample, but the input changes from "
            f"step to step; to see all {data['n_steps']} steps it would execute them {data['n_steps']} times"
        )


def _unlike_lif(program: Program, processes: Sequence[str]) -> Iterator[str]:
    """Say that a process prices every neuron as one that leaks and has one state, where others are there."""
    others = sorted({type(layer.neuron).__name__ for layer in program.neuron_layers if not _is_lif(layer.neuron)})
    if processes and others:
        yield (
            f"{', '.join(processes)}: every neuron update is priced as that of a LIF neuron, with one multiplication "
            f"and one state; this network has {', '.join(others)}"
        )


def _is_lif(neuron: Neuron) -> bool:
    """Whether a neuron multiplies one state once per update; an integer neuron may filter its current too."""
    return isinstance(neuron, LIF) or (isinstance(neuron, LoihiLIF) and bool(np.all(neuron.du == DECAY - 1)))


def _unlike_spikes(program: Program, *, is_binary: bool) -> str:
    """Name the events that have a sign or a value; empty if all are plain spikes."""
    sends = {node.name for node in program.neuron_layers if not node.neuron.binary}
    sends |= set() if is_binary else {program.input.name}
    senders = {program.input.name, *(node.name for node in program.neuron_layers)}
    signs = {edge.source for edge in program.edges if edge.code == "delta" and edge.source in senders - sends}
    named = (("signs", signs), ("values", sends))
    return " and ".join(f"events with {what} ({', '.join(sorted(names))})" for what, names in named if names)


def weight_bits(program: Program) -> int:
    """Return the bits of a program's weights on a chip: its own, or for floats those that export would give it."""
    return bits_of(program) if program.number_format == "integer" else DEPLOYED_BITS
