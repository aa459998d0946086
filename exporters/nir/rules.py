"""What a NIR file cannot hold of a Program; one short function per rule."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tdd_deploy.errors import Violation
from tdd_deploy.neurons import IF, LI, LIF, CubaLI, CubaLIF, I, LoihiLIF, Threshold, VariantLIF
from tdd_deploy.neurons.loihi import DECAY
from tdd_deploy.program import Input, NeuronLayer, Output, Place, Program, Scale, Slice
from tdd_deploy.program.discrete import kept, tau_for
from tdd_deploy.program.nodes import INPUTS, OUTPUTS
from tdd_deploy.program.recurrence import recurrence

from .nodes import FloatArray
from .parts import (
    INPUT_SCALE,
    OUTPUT_UNIT,
    delay_name,
    delays_as_read,
    explicit_delays,
    is_soft,
    membrane_name,
    reset_name,
)

Rule = Callable[[Program], Iterator[Violation]]

LARGEST_DIAGONAL = 1 << 12  # values of a Scale with a bias, whose matrix has as many rows and columns
NEURONS = (IF, LIF, CubaLIF, LI, CubaLI, I, Threshold, VariantLIF, LoihiLIF)  # and no class made from them
TEXT = "Unicode text without NUL"
LEAKLESS = {LIF: "Use IF, which does not leak.", LI: "Use I, which does not leak."}


def texts_can_be_stored(program: Program) -> Iterator[Violation]:
    """HDF5 reads ``/`` and ``.`` in a name as a path, and ends a text at NUL."""
    for node in program.nodes:
        if node.name == "." or not _is_storable(node.name):
            yield Violation(f"node name {node.name!r}", "cannot be stored in HDF5", remedy=f"Use {TEXT}, but not '.'.")
    if not _is_storable(program.encoder):
        yield Violation("encoder", repr(program.encoder), TEXT)
    for key, value in program.provenance.items():
        if "/" in key or not _is_storable(key + value):
            yield Violation(f"provenance {key!r}", repr(value), f"{TEXT}, under a key without '/'")


def _is_storable(text: str) -> bool:
    return "\0" not in text and text.encode(errors="replace").decode() == text


def names_of_parts_are_free(program: Program) -> Iterator[Violation]:
    """A layer with soft reset becomes three nodes, two of them with names made here."""
    names = {node.name for node in program.nodes}
    if program.number_format == "integer":
        for part in names & {INPUT_SCALE, OUTPUT_UNIT}:
            found = "is the name of a node, but the border of integers takes this name"
            yield Violation(part, found, remedy="Rename it.")
    for layer in program.neuron_layers:
        for part in (membrane_name(layer.name), reset_name(layer.name)):
            if is_soft(layer) and part in names:
                found = f"is the name of a node, but soft reset of {layer.name} takes this name"
                yield Violation(part, found, remedy="Rename one.")


def parts_are_in_order(program: Program) -> Iterator[Violation]:
    """Several inputs, or outputs, of a graph are parts of one, in the order of their names."""
    slices = [(node, math.prod(node.shape)) for node in program.nodes if isinstance(node, Slice)]
    places = [(node, math.prod(program.in_shape(node.name))) for node in program.nodes if isinstance(node, Place)]
    targets = [edge.target for edge in program.outgoing[program.input.name]]
    sources = [edge.source for edge in program.incoming[program.output.name]]
    yield from _out_of_order(program.input, INPUTS, slices, targets, math.prod(program.input.shape))
    yield from _out_of_order(program.output, OUTPUTS, places, sources, math.prod(program.shapes[program.output.name]))


def _out_of_order(
    end: Input | Output, name: str, parts: Sequence[tuple[Slice | Place, int]], beside: Sequence[str], total: int
) -> Iterator[Violation]:
    ordered = sorted(parts, key=lambda part: part[0].name)
    ends = np.cumsum([0, *(size for _, size in ordered)]).tolist()
    is_whole = [node.start for node, _ in ordered] == ends[:-1] and ends[-1] == total and end.name == name
    if parts and not (len(parts) > 1 and is_whole and sorted(beside) == [node.name for node, _ in ordered]):
        found = ", ".join(f"{node.name} from {node.start} on" for node, _ in ordered)
        allowed = f"two or more, in the order of their names, and together a whole node called {name}"
        yield Violation(f"parts of {end.name}", found, allowed)


def sizes_are_positive(program: Program) -> Iterator[Violation]:
    """NIR files hold arrays of at least one number."""
    for node in program.nodes:
        shape = program.shapes[node.name]
        if min(shape, default=0) < 1:
            yield Violation(node.name, f"sends shape {shape}, but NIR needs one or more dimensions, each 1 or more")


def outputs_are_sent(program: Program) -> Iterator[Violation]:
    """NIR's output node takes the values that nodes send, not potentials."""
    if program.output.reading != "spikes":
        found = f"reads a {program.output.reading}, which no node of NIR sends"
        yield Violation(program.output.name, found, remedy="Read its spikes instead.")


def step_has_an_inverse(program: Program) -> Iterator[Violation]:
    """NIR's integrators take r = 1 / dt_s."""
    if not _has_inverse(program.dt_s):
        yield Violation("dt_s", f"{program.dt_s}", "1e-100 to 1e100 seconds", "Build the program in another unit.")


def _has_inverse(dt_s: float) -> bool:
    return 1e-100 < dt_s < 1e100


def biased_scales_fit_a_matrix(program: Program) -> Iterator[Violation]:
    """NIR's Scale only multiplies; its Affine, which adds a bias, is a whole matrix of a vector."""
    for node in program.linear_maps:
        shape = program.shapes[node.name]
        if isinstance(node, Scale) and node.bias is not None and (len(shape) != 1 or shape[0] > LARGEST_DIAGONAL):
            allowed = f"a vector of at most {LARGEST_DIAGONAL:,} values, since NIR holds such a Scale as a matrix"
            remedy = "Move the bias into a Dense or Conv next to it."
            yield Violation(f"{node.name}.bias", f"shape {list(shape)}", allowed, remedy)


def neurons_are_standard(program: Program) -> Iterator[Violation]:
    """Threshold and Scale make soft reset of one state alone."""
    for layer in program.neuron_layers:
        neuron = layer.neuron
        if type(neuron) not in NEURONS:
            found = f"is of model {type(neuron).__name__}, for which NIR has no node"
            yield Violation(layer.name, found, remedy="Simulate it as it is.")
        if isinstance(neuron, VariantLIF):
            yield from _unwritten(layer.name, neuron)
        if isinstance(neuron, CubaLIF) and neuron.reset == "soft":
            found = "is a CubaLIF with soft reset, which NIR cannot express"
            yield Violation(layer.name, found, remedy="Build the layer with reset='hard'.")
        if isinstance(neuron, LoihiLIF) and neuron.reset == "soft" and neuron.is_current_based:
            found = "combines soft reset with a memory of currents, which NIR cannot express"
            yield Violation(layer.name, found, remedy="Use reset='hard', or du 4095.")
        if isinstance(neuron, LoihiLIF) and neuron.reset == "soft" and np.any(neuron.v_reset):
            found = f"{neuron.v_reset[neuron.v_reset != 0][0]}"
            yield Violation(f"{layer.name}.v_reset", found, "0 with soft reset", "Soft reset does not use it.")


def _unwritten(name: str, neuron: VariantLIF) -> Iterator[Violation]:
    """Yield what no nodes of NIR compute; a soft reset one step late is possible, with Threshold and Scale."""
    faults = {
        "fires several times per step": neuron.spikes == "many",
        f"has {neuron.reset} reset ({neuron.resets})": (neuron.reset, neuron.resets) != ("soft", "next step"),
        "has a lowest potential": neuron.v_min is not None,
        "holds what a reset leaves": neuron.left_over != "fires",
        "combines soft reset with a memory of currents": bool(np.any(neuron.alpha)),
    }
    found = ", ".join(fault for fault, is_so in faults.items() if is_so)
    if found:
        remedy = "Keep the file that it came from, and name its `dialect`."
        yield Violation(name, f"{found}, which NIR cannot express", remedy=remedy)


def fractions_have_time_constants(program: Program) -> Iterator[Violation]:
    """What is read back from tau must be the fraction itself, to the last bit."""
    if not _has_inverse(program.dt_s):
        return  # reported already
    for layer in program.neuron_layers:
        if isinstance(layer.neuron, VariantLIF) and any(_unwritten(layer.name, layer.neuron)):
            continue  # reported already
        for name in ("beta",) if isinstance(layer.neuron, VariantLIF) else ("alpha", "beta"):
            fraction = layer.neuron.parameters().get(name)
            if fraction is not None:
                yield from _timeless(program, layer, name, fraction)
        is_current_based = isinstance(layer.neuron, LoihiLIF) and layer.neuron.is_current_based
        if is_current_based and program.integration == "exact" and np.any(layer.neuron.parameters()["du"] == DECAY - 1):
            remedy = "Build the program with integration='euler'."
            yield Violation(f"{layer.name}.du", "4095 among others", "below 4095 in exact integration", remedy)
        forgets = isinstance(layer.neuron, LoihiLIF) and np.any(layer.neuron.parameters()["dv"] == DECAY)
        if forgets and program.integration == "exact":
            remedy = "Build the program with integration='euler'."
            yield Violation(f"{layer.name}.dv", "4096", "below 4096 in exact integration", remedy)


def _timeless(program: Program, layer: NeuronLayer, name: str, fraction: FloatArray) -> Iterator[Violation]:
    where = f"{layer.name}.{name}"
    if np.any(fraction == 1):
        remedy = LEAKLESS.get(type(layer.neuron), "Use a value below 1.")
        yield Violation(where, "1", "below 1, so that its time constant is finite", remedy)
    elif program.integration == "exact" and np.any(fraction == 0):
        yield Violation(where, "0", "above 0 in exact integration", "Build the program with integration='euler'.")
    else:
        tau_s = tau_for(fraction, program.dt_s, program.integration)
        lost = fraction[kept(program.dt_s, tau_s, program.integration).astype(program.dtype) != fraction]
        if lost.size:
            remedy = "Build the program in float32, or round the fraction to fewer bits."
            yield Violation(
                where, f"{lost[0]}", "a fraction that some time constant in float64 gives back exactly", remedy
            )


def delays_close_cycles(program: Program) -> Iterator[Violation]:
    """A delay of 1 is read where a cycle closes; others become nodes with names made here."""
    explicit = explicit_delays(program)
    unreadable = recurrence(
        program.nodes,
        [(edge.source, edge.target) for edge in program.edges],
        delayed=[(edge.source, edge.target) for edge in explicit],
    ).violations
    yield from unreadable
    read = delays_as_read(program, explicit)
    for edge in program.edges:
        if edge.delay != read[edge] and not unreadable:
            found = f"has delay {edge.delay}, but closes a cycle, so NIR reads {read[edge]}"
            remedy = f"Build the edge with delay={read[edge]}."
            yield Violation(f"edge {edge.source} -> {edge.target}", found, remedy=remedy)
    names = {node.name for node in program.nodes}
    for edge in explicit:
        if delay_name(edge) in names:
            found = "is the name of a node, but a delay takes this name"
            yield Violation(delay_name(edge), found, remedy="Rename it.")


RULES: tuple[Rule, ...] = (
    texts_can_be_stored,
    names_of_parts_are_free,
    parts_are_in_order,
    sizes_are_positive,
    outputs_are_sent,
    step_has_an_inverse,
    biased_scales_fit_a_matrix,
    neurons_are_standard,
    fractions_have_time_constants,
    delays_close_cycles,
)
