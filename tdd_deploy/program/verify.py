"""Rules for every Program: one short function per rule, run after every pass.

The rules are grouped in stages; a rule may rely on the rules of earlier stages.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import get_args

import numpy as np

from tdd_deploy.errors import BadProgram, Violation, any_of
from tdd_deploy.neurons import LoihiLIF, SigmaDelta
from tdd_deploy.neurons.loihi import DECAY, LIMIT
from tdd_deploy.options.vocabulary import Code, Reading

from .blocks import blocks
from .bounds import SUM_BITS, largest_finite, largest_numbers, worst_case_sums
from .nodes import Conv, Dense, Input, LinearMap, NeuronLayer, Output, Pool, ShapeError
from .program import Integration, NumberFormat, Program, arrays

Rule = Callable[[Program], Iterator[Violation]]


def verify(program: Program, *, subject: str = "this program") -> Program:
    """Return the program when it keeps every rule; raise BadProgram with all violations otherwise."""
    for rules in STAGES:
        violations = tuple(violation for rule in rules for violation in rule(program))
        if violations:
            raise BadProgram(subject, violations)
    return program


def names_are_unique(program: Program) -> Iterator[Violation]:
    """NIR files cannot hold ``/`` in a name, nor two nodes of one name."""
    for name, count in Counter(node.name for node in program.nodes).items():
        if count > 1:
            yield Violation(name, f"is the name of {count} nodes")
        if not name or "/" in name:
            yield Violation(f"node name {name!r}", "must not be empty or contain '/'")


def edges_join_nodes(program: Program) -> Iterator[Violation]:
    """Every edge leads from a node to a node, once."""
    names = {node.name for node in program.nodes}
    pairs = Counter((edge.source, edge.target) for edge in program.edges)
    for (source, target), count in pairs.items():
        for name in sorted({source, target} - names):
            found = f"needs a node {name}, which does not exist"
            yield Violation(f"edge {source} -> {target}", found, remedy=f"The nodes are {', '.join(sorted(names))}.")
        if count > 1:
            yield Violation(f"edge {source} -> {target}", f"is listed {count} times")
    for edge in program.edges:
        if edge.delay < 0:
            where = f"delay of edge {edge.source} -> {edge.target}"
            yield Violation(where, f"{edge.delay}", "0 or more time steps")


def one_input_one_output(program: Program) -> Iterator[Violation]:
    """A program has one input and one output."""
    for kind in (Input, Output):
        found = [node.name for node in program.nodes if isinstance(node, kind)]
        if len(found) != 1:
            listed = f" ({', '.join(found)})" if found else ""
            yield Violation(
                "the program", f"has {len(found)} nodes of kind {kind.__name__}{listed}, but needs exactly 1"
            )


def every_node_is_joined(program: Program) -> Iterator[Violation]:
    """A node without a source or without a receiver computes nothing."""
    sources = {edge.source for edge in program.edges}
    targets = {edge.target for edge in program.edges}
    for node in program.nodes:
        if isinstance(node, Input) == (node.name in targets):
            is_input = isinstance(node, Input)
            yield Violation(node.name, "is the input, but an edge leads into it" if is_input else "has no edge into it")
        if isinstance(node, Output) == (node.name in sources):
            is_output = isinstance(node, Output)
            yield Violation(
                node.name, "is the output, but an edge leads out of it" if is_output else "has no edge out of it"
            )


def order_is_executable(program: Program) -> Iterator[Violation]:
    """Every edge without a delay leads forward, so every cycle contains a delay."""
    place = {node.name: i for i, node in enumerate(program.nodes)}
    for edge in program.edges:
        if edge.delay == 0 and place[edge.source] >= place[edge.target]:
            found = "leads backward in execution order without a delay"
            yield Violation(f"edge {edge.source} -> {edge.target}", found, remedy="Delay it by at least 1 time step.")


def delays_leave_neurons(program: Program) -> Iterator[Violation]:
    """An edge with a delay carries the spikes of an earlier step, never its currents."""
    for edge in program.edges:
        if edge.delay and isinstance(program[edge.source], LinearMap):
            found = f"leaves a linear map with delay {edge.delay}"
            remedy = "Delay an edge that leaves a layer of neurons or the input."
            yield Violation(f"edge {edge.source} -> {edge.target}", found, remedy=remedy)


def choices_are_known(program: Program) -> Iterator[Violation]:
    """Time step, number of steps, and words from their lists."""
    if not (math.isfinite(program.dt_s) and program.dt_s > 0):
        yield Violation("dt_s", f"{program.dt_s}", "a positive number of seconds")
    if program.n_steps is not None and program.n_steps < 1:
        yield Violation("n_steps", f"{program.n_steps}", "1 or more")
    words = {"integration": get_args(Integration), "number_format": get_args(NumberFormat)}
    for choice, allowed in words.items():
        if getattr(program, choice) not in allowed:
            yield Violation(choice, repr(getattr(program, choice)), any_of(allowed))
    for node in program.neuron_layers:
        for choice, words_of_it in node.neuron.choices.items():
            found, allowed = getattr(node.neuron, choice), get_args(words_of_it)
            if found not in allowed:
                yield Violation(f"{node.name}.{choice}", repr(found), any_of(allowed))
    for edge in program.edges:
        if edge.code not in get_args(Code):
            where = f"code of edge {edge.source} -> {edge.target}"
            yield Violation(where, repr(edge.code), any_of(get_args(Code)))


def maps_are_well_formed(program: Program) -> Iterator[Violation]:
    """Weights have the dimensions of their kind; strides and dilations are positive."""
    for node in program.linear_maps:
        if isinstance(node, Dense | Conv):
            dims = 2 if isinstance(node, Dense) else 4
            if node.weight.ndim != dims or 0 in node.weight.shape:
                allowed = f"an array of {dims} dimensions, none of them 0"
                yield Violation(f"{node.name}.weight", f"shape {node.weight.shape}", allowed)
            elif node.bias is not None and node.bias.shape != (node.weight.shape[0],):
                allowed = f"an array of shape ({node.weight.shape[0]},)"
                yield Violation(f"{node.name}.bias", f"shape {node.bias.shape}", allowed)
        if isinstance(node, Conv | Pool):
            positive = {"stride": node.stride} | (
                {"dilation": node.dilation} if isinstance(node, Conv) else {"kernel": node.kernel}
            )
            for choice, found in positive.items():
                if min(found) < 1:
                    yield Violation(f"{node.name}.{choice}", f"{found}", "1 or more in both directions")
            if min(node.padding) < 0:
                yield Violation(f"{node.name}.padding", f"{node.padding}", "0 or more in both directions")
        if isinstance(node, Conv) and node.weight.ndim and (node.groups < 1 or node.weight.shape[0] % node.groups):
            allowed = f"a divisor of its {node.weight.shape[0]} output channels"
            yield Violation(f"{node.name}.groups", f"{node.groups}", allowed)


def shapes_fit(program: Program) -> Iterator[Violation]:
    """A node receives a shape that it can take, the same from every source."""
    shapes = {node.name: node.shape for node in program.nodes if isinstance(node, Input | NeuronLayer)}
    for node in program.nodes:
        if isinstance(node, Input):
            continue
        received = {e.source: shapes[e.source] for e in program.incoming[node.name] if e.source in shapes}
        if not received:
            continue  # after a map that is reported already
        if len(set(received.values())) > 1:
            found = ", ".join(f"{shape} from {source}" for source, shape in received.items())
            yield Violation(node.name, f"receives different shapes: {found}")
            continue
        (shape,) = set(received.values())
        if isinstance(node, NeuronLayer) and shape != node.shape:
            yield Violation(node.name, f"receives shape {shape}, but takes {node.shape}, its own shape")
        if isinstance(node, LinearMap):
            try:
                shapes[node.name] = node.out_shape(shape)
            except ShapeError as error:
                yield Violation(node.name, f"receives shape {shape}, but takes {error}")


def parameters_are_numbers(program: Program) -> Iterator[Violation]:
    """Every parameter is finite, in the program's number format, of a fitting shape."""
    for node in program.nodes:
        for name, array in arrays(node):
            where = f"{node.name}.{name}"
            bad = sum(part.size - np.count_nonzero(np.isfinite(part)) for part in blocks(array))
            if bad:
                yield Violation(where, f"contains NaN or infinite values ({bad} of {array.size})")
            if array.dtype != program.dtype:
                yield Violation(where, f"{array.dtype}", f"in number format {program.number_format}")
        if isinstance(node, NeuronLayer):
            for name, array in node.neuron.parameters().items():
                if array.shape not in ((), node.shape):
                    allowed = f"an array of shape () or {node.shape}"
                    yield Violation(f"{node.name}.{name}", f"shape {array.shape}", allowed)


def fractions_are_fractions(program: Program) -> Iterator[Violation]:
    """A neuron keeps between nothing and all of a state from one time step to the next."""
    for node in program.neuron_layers:
        for name in ("alpha", "beta"):
            kept = node.neuron.parameters().get(name)
            if kept is not None and not np.all((kept >= 0) & (kept <= 1)):
                found = f"{np.min(kept)} to {np.max(kept)}"
                yield Violation(f"{node.name}.{name}", found, "a fraction from 0 to 1")


def delta_thresholds_are_sizes(program: Program) -> Iterator[Violation]:
    """A value changes by 0 or more."""
    for node in program.neuron_layers:
        if isinstance(node.neuron, SigmaDelta) and not np.all(node.neuron.delta_threshold >= 0):
            yield Violation(f"{node.name}.delta_threshold", f"{np.min(node.neuron.delta_threshold)}", "0 or more")


def readings_are_of_neurons(program: Program) -> Iterator[Violation]:
    """Only neurons with a threshold have a potential that the output can read."""
    if program.output.reading not in get_args(Reading):
        yield Violation(f"{program.output.name}.reading", repr(program.output.reading), any_of(get_args(Reading)))
    if program.output.reading != "potential":
        return
    edges = program.incoming[program.output.name]
    sources = [program[edge.source] for edge in edges]
    spiking = [node for node in sources if isinstance(node, NeuronLayer) and node.neuron.spiking]
    if len(sources) != 1 or not spiking or edges[0].delay:
        listed = ", ".join(f"{edge.source} (delay {edge.delay})" if edge.delay else edge.source for edge in edges)
        found = f"reads a potential, so it needs one spiking layer without a delay, but it receives {listed}"
        yield Violation(program.output.name, found)


def codes_pass_through_maps(program: Program) -> Iterator[Violation]:
    """A linear map turns changes into changes and values into values."""
    for node in program.linear_maps:
        codes = {edge.code for edge in (*program.incoming[node.name], *program.outgoing[node.name])}
        if len(codes) > 1:
            yield Violation(
                node.name, "is a linear map with edges of both codes, but it needs one code on all its edges"
            )


def neurons_are_of_the_format(program: Program) -> Iterator[Violation]:
    """Programs of integers, and no others, have LoihiLIF neurons."""
    is_integer = program.number_format == "integer"
    for node in program.neuron_layers:
        if isinstance(node.neuron, LoihiLIF) != is_integer:
            program_kind = f"{'an' if is_integer else 'a'} {program.number_format} program"
            allowed = f"{'a' if is_integer else 'another neuron than'} LoihiLIF in {program_kind}"
            remedy = "Use quantize(program)." if is_integer else "Build the program with number_format='integer'."
            yield Violation(node.name, type(node.neuron).__name__, allowed, remedy)


def integers_fit_their_registers(program: Program) -> Iterator[Violation]:
    """Parameters of LoihiLIF, the input and the output have ranges."""
    # A dv of 4096 keeps nothing of v. Lava accepts it: netx uses it for layers without neurons.
    ranges = {"du": (-1, DECAY - 1), "dv": (0, DECAY)} | dict.fromkeys(
        ("v_threshold", "v_reset", "bias"), (1 - LIMIT, LIMIT - 1)
    )
    for node in program.neuron_layers:
        if isinstance(node.neuron, LoihiLIF):
            parameters = node.neuron.parameters()
            for name, (low, high) in ranges.items():
                found = parameters[name]
                if found.min() < low or found.max() > high:
                    yield Violation(f"{node.name}.{name}", f"{found.min()} to {found.max()}", f"{low} to {high}")
    border = (program.input.scale, program.input.largest, program.output.unit)
    if program.number_format != "integer" and border != (1, 1, 1):
        found = f"have scale {border[0]}, largest {border[1]} and unit {border[2]}, but floats need 1 for each"
        yield Violation("input and output", found)
    if not (math.isfinite(program.input.scale) and program.input.scale > 0):
        yield Violation(f"{program.input.name}.scale", f"{program.input.scale}", "a positive number")
    if program.input.largest < 1:
        yield Violation(f"{program.input.name}.largest", f"{program.input.largest}", "1 or more")
    if not (math.isfinite(program.output.unit) and program.output.unit > 0):
        yield Violation(f"{program.output.name}.unit", f"{program.output.unit}", "a positive number")


def integers_have_no_averages(program: Program) -> Iterator[Violation]:
    """A mean of integers need not be an integer."""
    for node in program.linear_maps:
        if program.number_format == "integer" and isinstance(node, Pool) and node.average:
            yield Violation(node.name, "averages integers", remedy="Use a sum, and smaller weights after it.")


def sums_fit_their_bits(program: Program) -> Iterator[Violation]:
    """Lava's convolutions wrap at 24 bits, sign included; no sum of integers may reach them."""
    if program.number_format != "integer":
        return
    bounds = {name: float(sums.max()) for name, sums in worst_case_sums(program).items()}
    for name, bound in bounds.items():
        is_first = all(bounds.get(edge.source, 0) < 2.0**SUM_BITS for edge in program.incoming[name])
        if bound >= 2.0**SUM_BITS and is_first:
            found = f"can have sums as large as {bound:,.0f}, but they must be below {2**SUM_BITS:,}"
            yield Violation(name, found, remedy="Use smaller weights, or smaller inputs.")


def sums_are_finite(program: Program) -> Iterator[Violation]:
    """Beyond the largest float a sum depends on the order of its terms, so backends would differ."""
    if program.number_format == "integer":
        return
    limit, largest = largest_finite(program), largest_numbers(program)
    for name, bound in largest.items():
        is_first = all(largest.get(edge.source, 0.0) <= limit for edge in program.incoming[name])
        if not bound <= limit and is_first:
            node, remedies = program[name], ["Use smaller weights"]
            if isinstance(node, NeuronLayer) and getattr(node.neuron, "spikes", "one") == "many":
                remedies.append("or larger thresholds")
            if program.number_format == "float32":
                remedies.append("or build it in float64")
            found = f"can reach {bound:.6g} from spikes or inputs of 1, but the limit is {limit:.6g}"
            reason = f"half of the largest {program.number_format}"
            yield Violation(name, f"{found}, {reason}", remedy=f"{', '.join(remedies)}.")


STAGES: tuple[tuple[Rule, ...], ...] = (
    (names_are_unique, edges_join_nodes, one_input_one_output, every_node_is_joined),
    (order_is_executable, choices_are_known, maps_are_well_formed),
    (
        delays_leave_neurons,
        shapes_fit,
        parameters_are_numbers,
        fractions_are_fractions,
        delta_thresholds_are_sizes,
        readings_are_of_neurons,
        codes_pass_through_maps,
        neurons_are_of_the_format,
        integers_fit_their_registers,
        integers_have_no_averages,
    ),
    (sums_fit_their_bits, sums_are_finite),
)
