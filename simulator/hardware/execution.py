"""What prices need to know of an execution beside its counts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tdd_deploy.program import LinearMap, NeuronLayer, Program
from tdd_deploy.simulator.counts import Counts, IntArray, Trace

from .process import EXIT_COMPARISON, GRADED_EVENTS, NEURON_BIASES, READOUT, Numbers


@dataclass(frozen=True, kw_only=True)
class Execution:
    """The widths of a program's numbers, and counts that follow from the program and its trace.

    Attributes:
        numbers: the widths.
        derived: counts ``[n_layers, n_steps]`` by name; what is not among them did not take place.

    """

    numbers: Numbers
    derived: Mapping[str, IntArray]

    @classmethod
    def of(
        cls, program: Program, trace: Trace, counts: Counts, *, numbers: Numbers, exits_early: bool = False
    ) -> "Execution":
        """Derive counts from an execution.

        Args:
            program: what was executed.
            trace: its counts in all codes.
            counts: those that are priced.
            numbers: the widths of the program's numbers.
            exits_early: whether each step ends with a comparison of the outputs.
        """
        values = math.prod(program.shapes[program.output.name]) * trace.n_running
        readout = np.zeros_like(counts.events)
        readout[_output_row(program, trace)] = values
        derived = {GRADED_EVENTS: _graded_events(program, trace, counts), READOUT: readout}
        biases = _neuron_biases(program, trace)
        if biases.any():
            derived[NEURON_BIASES] = biases
        return cls(
            numbers=numbers,
            derived={**derived, EXIT_COMPARISON: readout} if exits_early else derived,
        )


def _neuron_biases(program: Program, trace: Trace) -> IntArray:
    """Count nonzero biases that neurons add in every step, as on Loihi 2; the maps before them then have no biases."""
    biases = np.zeros_like(trace.executed.events)
    for row, layer in enumerate(trace.layers):
        node = program[layer.name]
        if isinstance(node, NeuronLayer):
            biases[row] = biases_of(node) * trace.n_running
    return biases


def biases_of(layer: NeuronLayer) -> int:
    """Count the neurons of a layer that hold a bias other than 0."""
    bias = getattr(layer.neuron, "bias", 0)
    return int(np.count_nonzero(np.broadcast_to(bias, layer.shape)))


def _output_row(program: Program, trace: Trace) -> int:
    """Find the row of the layer that feeds the output, through maps that have no row."""
    rows = {layer.name: row for row, layer in enumerate(trace.layers)}
    name = program.output.name
    while name not in rows:
        name = program.incoming[name][0].source
    return rows[name]


def _graded_events(program: Program, trace: Trace, counts: Counts) -> IntArray:
    """Count events that carry a value: of graded neurons, and of the input if a map that it feeds multiplied."""
    fed = fed_by_input(program)
    multiplied = any(trace.spike_code.macs[row].any() for row, layer in enumerate(trace.layers) if layer.name in fed)
    graded = np.zeros_like(counts.events)
    for row, layer in enumerate(trace.layers):
        node = program[layer.name]
        if isinstance(node, NeuronLayer) and not node.neuron.binary:
            graded[row] = counts.events[row]
        elif node is program.input and multiplied:
            graded[row] = counts.input_events[row]
    return graded


def fed_by_input(program: Program) -> set[str]:
    """Return the input, and the linear maps that it reaches before any neuron."""
    reached = {program.input.name}
    for node in program.nodes:
        if isinstance(node, LinearMap) and any(e.source in reached for e in program.incoming[node.name]):
            reached.add(node.name)
    return reached
