"""What must hold for every Program: one short function per rule, run after every pass.

The rules stand in stages; a rule may rely on those of the stages before its own.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import get_args

import numpy as np

from tdd_deploy.errors import BadProgram, Violation
from tdd_deploy.neurons import LoihiLIF, SigmaDelta
from tdd_deploy.neurons.loihi import DECAY, LIMIT

from .bounds import SUM_BITS, largest_finite, largest_numbers, worst_case_sums
from .nodes import Conv, Dense, Input, LinearMap, NeuronLayer, Output, Pool, Reading, ShapeError
from .program import Code, Integration, NumberFormat, Program, arrays

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
            yield Violation(name, f"{count} nodes have this name", "one")
        if not name or "/" in name:
            yield Violation(repr(name), "the name of a node", "a name without '/', not empty")


def edges_join_nodes(program: Program) -> Iterator[Violation]:
    """Every edge leads from a node to a node, once."""
    names = {node.name for node in program.nodes}
    pairs = Counter((edge.source, edge.target) for edge in program.edges)
    for (source, target), count in pairs.items():
        for name in sorted({source, target} - names):
            yield Violation(
                f"edge {source} -> {target}", f"there is no node {name}", f"one of {', '.join(sorted(names))}"
            )
        if count > 1:
            yield Violation(f"edge {source} -> {target}", f"stands {count} times", "once")
    for edge in program.edges:
        if edge.delay < 0:
            yield Violation(f"edge {edge.source} -> {edge.target}", f"delay is {edge.delay}", "0 or more time steps")


def one_input_one_output(program: Program) -> Iterator[Violation]:
    """A program has one input and one output."""
    for kind in (Input, Output):
        found = [node.name for node in program.nodes if isinstance(node, kind)]
        if len(found) != 1:
            listed = f" ({', '.join(found)})" if found else ""
            yield Violation("the program", f"{len(found)} nodes of kind {kind.__name__}{listed}", "exactly 1")


def every_node_is_joined(program: Program) -> Iterator[Violation]:
    """A node without a source or without a receiver computes nothing."""
    sources = {edge.source for edge in program.edges}
    targets = {edge.target for edge in program.edges}
    for node in program.nodes:
        if isinstance(node, Input) == (node.name in targets):
            yield Violation(
                node.name,
                "an edge leads into the input" if isinstance(node, Input) else "no edge leads to it",
                "none" if isinstance(node, Input) else "at least 1",
            )
        if isinstance(node, Output) == (node.name in sources):
            yield Violation(
                node.name,
                "an edge leads out of the output" if isinstance(node, Output) else "no edge leads away",
                "none" if isinstance(node, Output) else "at least 1",
            )


def order_is_executable(program: Program) -> Iterator[Violation]:
    """Every edge without a delay leads forward, so every cycle holds a delay."""
    place = {node.name: i for i, node in enumerate(program.nodes)}
    for edge in program.edges:
        if edge.delay == 0 and place[edge.source] >= place[edge.target]:
            yield Violation(
                f"edge {edge.source} -> {edge.target}",
                "leads backwards without a delay",
                "forwards in execution order, or a delay of at least 1 time step",
            )


def delays_leave_neurons(program: Program) -> Iterator[Violation]:
    """An edge with a delay carries a former step's spikes, never a former step's currents."""
    for edge in program.edges:
        if edge.delay and isinstance(program[edge.source], LinearMap):
            yield Violation(
                f"edge {edge.source} -> {edge.target}",
                f"delay {edge.delay} behind a linear map",
                "a delay on an edge that leaves a layer of neurons or the input",
            )


def choices_are_known(program: Program) -> Iterator[Violation]:
    """Time step, number of steps, and words from their lists."""
    if not (math.isfinite(program.dt_s) and program.dt_s > 0):
        yield Violation("dt_s", f"{program.dt_s}", "a positive number of seconds")
    if program.n_steps is not None and program.n_steps < 1:
        yield Violation("n_steps", f"{program.n_steps}", "1 or more")
    words = {"integration": get_args(Integration), "number_format": get_args(NumberFormat)}
    for choice, allowed in words.items():
        if getattr(program, choice) not in allowed:
            yield Violation(choice, repr(getattr(program, choice)), " or ".join(allowed))
    for node in program.neuron_layers:
        for choice, words_of_it in node.neuron.choices.items():
            found, allowed = getattr(node.neuron, choice), get_args(words_of_it)
            if found not in allowed:
                yield Violation(f"{node.name}.{choice}", repr(found), " or ".join(allowed))
    for edge in program.edges:
        if edge.code not in get_args(Code):
            yield Violation(f"edge {edge.source} -> {edge.target}", f"code {edge.code!r}", " or ".join(get_args(Code)))


def maps_are_well_formed(program: Program) -> Iterator[Violation]:
    """Weights have the dimensions of their kind; strides and dilations are positive."""
    for node in program.linear_maps:
        if isinstance(node, Dense | Conv):
            dims = 2 if isinstance(node, Dense) else 4
            if node.weight.ndim != dims or 0 in node.weight.shape:
                yield Violation(
                    f"{node.name}.weight", f"shape {node.weight.shape}", f"{dims} dimensions, none of them 0"
                )
            elif node.bias is not None and node.bias.shape != (node.weight.shape[0],):
                yield Violation(f"{node.name}.bias", f"shape {node.bias.shape}", f"({node.weight.shape[0]},)")
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
            yield Violation(
                f"{node.name}.groups", f"{node.groups}", f"a divisor of its {node.weight.shape[0]} output channels"
            )


def shapes_fit(program: Program) -> Iterator[Violation]:
    """What a node receives is what it can take, the same from every source."""
    shapes = {node.name: node.shape for node in program.nodes if isinstance(node, Input | NeuronLayer)}
    for node in program.nodes:
        if isinstance(node, Input):
            continue
        received = {e.source: shapes[e.source] for e in program.incoming[node.name] if e.source in shapes}
        if not received:
            continue  # behind a map that is reported already
        if len(set(received.values())) > 1:
            found = ", ".join(f"{shape} from {source}" for source, shape in received.items())
            yield Violation(node.name, f"receives {found}", "the same shape from every source")
            continue
        (shape,) = set(received.values())
        if isinstance(node, NeuronLayer) and shape != node.shape:
            yield Violation(node.name, f"receives shape {shape}", f"{node.shape}, its own shape")
        if isinstance(node, LinearMap):
            try:
                shapes[node.name] = node.out_shape(shape)
            except ShapeError as error:
                yield Violation(node.name, f"receives shape {shape}", str(error))


def parameters_are_numbers(program: Program) -> Iterator[Violation]:
    """Every parameter is finite, in the program's number format, of a fitting shape."""
    for node in program.nodes:
        for name, array in arrays(node):
            where = f"{node.name}.{name}"
            bad = np.count_nonzero(~np.isfinite(array))
            if bad:
                yield Violation(where, f"{bad} of {array.size} values are NaN or infinite", "finite numbers")
            if array.dtype != program.dtype:
                yield Violation(where, f"number format {array.dtype}", program.number_format)
        if isinstance(node, NeuronLayer):
            for name, array in node.neuron.parameters().items():
                if array.shape not in ((), node.shape):
                    yield Violation(f"{node.name}.{name}", f"shape {array.shape}", f"() or {node.shape}")


def fractions_are_fractions(program: Program) -> Iterator[Violation]:
    """What is kept from one time step to the next lies between nothing and all."""
    for node in program.neuron_layers:
        for name in ("alpha", "beta"):
            kept = node.neuron.parameters().get(name)
            if kept is not None and not np.all((kept >= 0) & (kept <= 1)):
                yield Violation(f"{node.name}.{name}", f"{np.min(kept)} to {np.max(kept)}", "0 to 1, the fraction kept")


def delta_thresholds_are_sizes(program: Program) -> Iterator[Violation]:
    """What a value has to move by is not below nothing."""
    for node in program.neuron_layers:
        if isinstance(node.neuron, SigmaDelta) and not np.all(node.neuron.delta_threshold >= 0):
            yield Violation(f"{node.name}.delta_threshold", f"{np.min(node.neuron.delta_threshold)}", "0 or more")


def readings_are_of_neurons(program: Program) -> Iterator[Violation]:
    """Only neurons with a threshold have a potential that the output can read."""
    if program.output.reading not in get_args(Reading):
        yield Violation(f"{program.output.name}.reading", repr(program.output.reading), " or ".join(get_args(Reading)))
    if program.output.reading != "potential":
        return
    edges = program.incoming[program.output.name]
    sources = [program[edge.source] for edge in edges]
    spiking = [node for node in sources if isinstance(node, NeuronLayer) and node.neuron.spiking]
    if len(sources) != 1 or not spiking or edges[0].delay:
        found = "reads a potential, but receives " + ", ".join(
            f"{edge.source} (delay {edge.delay})" if edge.delay else edge.source for edge in edges
        )
        yield Violation(program.output.name, found, "one layer of neurons that spike, without a delay")


def codes_pass_through_maps(program: Program) -> Iterator[Violation]:
    """A linear map turns changes into changes and values into values."""
    for node in program.linear_maps:
        codes = {edge.code for edge in (*program.incoming[node.name], *program.outgoing[node.name])}
        if len(codes) > 1:
            yield Violation(node.name, "edges of both codes meet at this map", "one code on all its edges")


def neurons_are_of_the_format(program: Program) -> Iterator[Violation]:
    """Integers have a neuron of their own."""
    is_integer = program.number_format == "integer"
    for node in program.neuron_layers:
        if isinstance(node.neuron, LoihiLIF) != is_integer:
            allowed = "LoihiLIF" if is_integer else "any other neuron"
            remedy = "quantize(program) makes it." if is_integer else "Build the program with number_format='integer'."
            found = f"{type(node.neuron).__name__} in a program of {program.number_format}"
            yield Violation(node.name, found, allowed, remedy)


def integers_fit_their_registers(program: Program) -> Iterator[Violation]:
    """Ranges of LoihiLIF's parameters, and of the input."""
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
        found = f"scale {border[0]}, largest {border[1]}, unit {border[2]}"
        yield Violation("input and output", found, "1 each, in a program of floats", "They are of integers alone.")
    if not (math.isfinite(program.input.scale) and program.input.scale > 0):
        yield Violation(f"{program.input.name}.scale", f"{program.input.scale}", "a positive number")
    if program.input.largest < 1:
        yield Violation(f"{program.input.name}.largest", f"{program.input.largest}", "1 or more")
    if not (math.isfinite(program.output.unit) and program.output.unit > 0):
        yield Violation(f"{program.output.name}.unit", f"{program.output.unit}", "a positive number")


def integers_have_no_averages(program: Program) -> Iterator[Violation]:
    """A mean of integers is none."""
    for node in program.linear_maps:
        if program.number_format == "integer" and isinstance(node, Pool) and node.average:
            remedy = "Use a sum, and smaller weights behind it."
            yield Violation(node.name, "an average of integers", "sums", remedy)


def sums_fit_their_bits(program: Program) -> Iterator[Violation]:
    """Lava's convolutions wrap at 24 bits, sign included; no sum of integers may come there."""
    if program.number_format != "integer":
        return
    bounds = {name: float(sums.max()) for name, sums in worst_case_sums(program).items()}
    for name, bound in bounds.items():
        is_first = all(bounds.get(edge.source, 0) < 2.0**SUM_BITS for edge in program.incoming[name])
        if bound >= 2.0**SUM_BITS and is_first:
            yield Violation(
                name,
                f"the worst case of its sums is {bound:,.0f}",
                f"below {2**SUM_BITS:,}",
                "Use smaller weights, or smaller inputs.",
            )


def sums_are_finite(program: Program) -> Iterator[Violation]:
    """Beyond the largest float a sum depends on the order of its terms, so backends would differ."""
    if program.number_format == "integer":
        return
    limit, largest = largest_finite(program), largest_numbers(program)
    for name, bound in largest.items():
        is_first = all(largest.get(edge.source, 0.0) <= limit for edge in program.incoming[name])
        if not bound <= limit and is_first:
            node, ways = program[name], ["Use smaller weights"]
            if isinstance(node, NeuronLayer) and getattr(node.neuron, "spikes", "one") == "many":
                ways.append("or larger thresholds")
            if program.number_format == "float32":
                ways.append("or build it in float64")
            found = f"spikes or inputs of 1 can make its numbers as large as {bound:.6g}"
            allowed = f"up to {limit:.6g}, half of the largest {program.number_format}"
            yield Violation(name, found, allowed, f"{', '.join(ways)}.")


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
