"""A Program as a NIR file: standard nodes, and what NIR leaves open as metadata of the graph."""

import io
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from tdd_deploy import __version__
from tdd_deploy.errors import NotExportable, Violation
from tdd_deploy.files import replacing
from tdd_deploy.neurons import IF, LI, LIF, CubaLI, CubaLIF, Firing, I, LoihiLIF, Neuron, Threshold, VariantLIF
from tdd_deploy.neurons.loihi import DECAY, UNIT
from tdd_deploy.program import (
    Conv,
    Dense,
    Edge,
    Flatten,
    Input,
    LinearMap,
    NeuronLayer,
    Node,
    Output,
    Place,
    Pool,
    Program,
    Scale,
    Shape,
    Slice,
)
from tdd_deploy.program.discrete import gained, kept, tau_for
from tdd_deploy.program.exact import next_below
from tdd_deploy.program.nodes import INPUTS, OUTPUTS
from tdd_deploy.program.recurrence import recurrence

FloatArray = NDArray[np.floating[Any]]
Rule = Callable[[Program], Iterator[Violation]]

DIAGONAL = {"map": "diagonal"}  # metadata of an Affine that is a Scale with a bias
LARGEST_DIAGONAL = 1 << 12  # values of such a Scale, whose matrix has as many rows and columns
INPUT_SCALE, OUTPUT_UNIT = "input_scale", "output_unit"  # nodes at the border of an integer program

NEURONS = (IF, LIF, CubaLIF, LI, CubaLI, I, Threshold, VariantLIF, LoihiLIF)  # and no class made from them
LEAKLESS = {LIF: "Use IF, which does not leak.", LI: "Use I, which does not leak."}


def write(program: Program, path: Path) -> None:
    """Write a Program as a NIR file; the same program gives the same bytes, and a failure leaves nothing behind.

    Raises:
        NotExportable: NIR cannot hold the program; every reason is named.
        BadFile: the file cannot be written.
    """
    content = io.BytesIO()  # the HDF5 library can crash on a disk without room
    nir.write(content, lift(program))
    with replacing(path) as part:
        part.write_bytes(content.getbuffer())


def lift(program: Program) -> nir.NIRGraph:
    """Turn a Program into a NIR graph: from time steps to continuous time.

    A fraction kept becomes a time constant, ``tau_s = dt_s / (1 - beta)`` ("euler") or ``-dt_s / log(beta)`` ("exact"),
    and r makes the gain of a current 1. A layer X with soft reset becomes ``X_membrane`` (LI or I) -> ``X``
    (Threshold) -> ``X_reset`` (Scale by ``-beta v_threshold``, a step late ``-v_threshold``) -> ``X_membrane``. An edge
    with a delay that no cycle implies becomes a Delay. ``v >= v_threshold`` becomes ``v >`` the next lower number, and
    metadata of the node say so. A Scale with a bias becomes an Affine, and metadata of the node say that its matrix is
    diagonal. The codes of edges are left out.

    An integer program is written in units of weight: thresholds are divided by 64, a bias becomes v_leak, the input's
    and the output's scales become nodes. Other tools read it as the floats that it approximates.

    Raises:
        NotExportable: NIR cannot hold the program; every reason is named.

    Source: NIR primitives, doi:10.1038/s41467-024-52259-9.
    """
    violations = tuple(violation for rule in RULES for violation in rule(program))
    if violations:
        raise NotExportable("this program does not fit NIR", violations)
    replaced = _replaced_by_parts(program)
    nodes = {
        part.name: _lifted(program, part, shape)
        for node in program.nodes
        if node.name not in replaced
        for part, shape in _parts(program, node)
    }
    for edge in _explicit_delays(program):
        nodes[_wire(edge)] = nir.Delay(np.full(program.shapes[edge.source], edge.delay * program.dt_s))
    return nir.NIRGraph(
        nodes=nodes,
        edges=list(_edges(program)),
        metadata=_metadata(program),
        type_check=all(_is_checkable(node) for node in program.nodes),
    )


def _is_checkable(node: Node) -> bool:
    """NIR 1.0.8 infers a wrong shape for other convolutions."""
    return not isinstance(node, Conv) or (node.groups == 1 and node.weight.shape[2] == node.weight.shape[3])


def _metadata(program: Program) -> dict[str, str | int | float]:
    neurons = [layer.neuron for layer in program.neuron_layers]
    resets = sorted({neuron.reset for neuron in neurons if isinstance(neuron, Firing)})
    choices: dict[str, str | int | float] = {
        "tdd_deploy": __version__,
        "dt_s": float(program.dt_s),
        "integration": program.integration,
        "reset": "mixed" if len(resets) > 1 else "".join(resets) or "none",
        "compare": ">",
        "encoder": program.encoder,
        "number_format": program.number_format,
    }
    if program.n_steps is not None:
        choices["n_steps"] = program.n_steps
    if program.number_format == "integer":
        choices["input_largest"] = program.input.largest
    return choices | {f"provenance_{key}": value for key, value in program.provenance.items()}


def _edges(program: Program) -> Iterator[tuple[str, str]]:
    soft = {layer.name for layer in program.neuron_layers if _is_soft(layer)}
    entries, exits = {name: _membrane(name) for name in soft}, {}
    if program.number_format == "integer":
        exits[program.input.name], entries[program.output.name] = INPUT_SCALE, OUTPUT_UNIT
        yield program.input.name, INPUT_SCALE
        yield OUTPUT_UNIT, program.output.name
    explicit, replaced = _explicit_delays(program), _replaced_by_parts(program)
    for edge in program.edges:
        if edge.source in replaced or edge.target in replaced:
            continue
        pair = exits.get(edge.source, edge.source), entries.get(edge.target, edge.target)
        wire = _wire(edge)
        yield from [(pair[0], wire), (wire, pair[1])] if edge in explicit else [pair]
    for name in sorted(soft):
        yield _membrane(name), name
        yield name, _reset(name)
        yield _reset(name), _membrane(name)


def _replaced_by_parts(program: Program) -> set[str]:
    """Return the input and the output, where parts of them are inputs and outputs of a graph."""
    replaced = set()
    if any(isinstance(node, Slice) for node in program.nodes):
        replaced.add(program.input.name)
    if any(isinstance(node, Place) for node in program.nodes):
        replaced.add(program.output.name)
    return replaced


def _explicit_delays(program: Program) -> tuple[Edge, ...]:
    """Return the edges whose delay is written as a node: those that no cycle implies, or not that delay."""
    explicit: tuple[Edge, ...] = ()
    while True:
        found = _read_delays(program, explicit)
        more = [edge for edge in program.edges if edge not in explicit and edge.delay and edge.delay != found[edge]]
        if not more:
            return explicit
        explicit += tuple(more)


def _read_delays(program: Program, explicit: Collection[Edge]) -> Mapping[Edge, int]:
    """Return the delay of each edge as NIR has it, given those that nodes say."""
    pairs = [(edge.source, edge.target) for edge in program.edges]
    found = recurrence(program.nodes, pairs, delayed=[(edge.source, edge.target) for edge in explicit])
    return {
        edge: edge.delay if edge in explicit else int((edge.source, edge.target) in found.delayed)
        for edge in program.edges
    }


def _wire(edge: Edge) -> str:
    return f"{edge.source}_to_{edge.target}"


def _is_soft(layer: NeuronLayer) -> bool:
    return isinstance(layer.neuron, Firing | VariantLIF) and layer.neuron.reset == "soft"


def _membrane(name: str) -> str:
    return f"{name}_membrane"


def _reset(name: str) -> str:
    return f"{name}_reset"


def _parts(program: Program, node: Node) -> Iterator[tuple[Node, Shape]]:
    """Yield what stands for a node among NIR's nodes, and the shape that it receives."""
    shape = node.shape if isinstance(node, Input) else program.in_shape(node.name)
    if program.number_format == "integer" and isinstance(node, Input):
        yield Scale(name=INPUT_SCALE, factor=np.asarray(node.scale)), shape
    if program.number_format == "integer" and isinstance(node, Output):
        yield Scale(name=OUTPUT_UNIT, factor=np.asarray(node.unit)), shape
    if not (isinstance(node, NeuronLayer) and _is_soft(node)):
        yield node, shape
        return
    assert isinstance(node.neuron, Firing | VariantLIF)
    beta, membrane, unit = _soft_parts(node.neuron)
    yield NeuronLayer(name=_membrane(node.name), shape=shape, neuron=membrane), shape
    yield NeuronLayer(name=node.name, shape=shape, neuron=unit), shape
    yield Scale(name=_reset(node.name), factor=-(beta * unit.v_threshold)), shape


def _soft_parts(neuron: Firing | VariantLIF) -> tuple[FloatArray | int, Neuron, Threshold]:
    """Return what the reset is multiplied by, the membrane's neuron and the threshold of a neuron with soft reset."""
    unit = Threshold(v_threshold=neuron.v_threshold / _unit(neuron), compare=neuron.compare)
    match neuron:
        case LoihiLIF():
            return neuron.beta, neuron, unit
        case LIF():
            return neuron.beta, LI(beta=neuron.beta), unit
        case VariantLIF():
            return 1, LI(beta=neuron.beta), unit
    return 1, I(), unit


def _unit(neuron: Neuron) -> int:
    return UNIT if isinstance(neuron, LoihiLIF) else 1


def _strict(neuron: Firing | VariantLIF | Threshold) -> FloatArray:
    """Return the threshold that ``>`` compares with to the same result."""
    height: FloatArray = neuron.v_threshold
    return height if neuron.compare == ">" else next_below(height)


def _compared(neuron: Firing | VariantLIF | Threshold) -> dict[str, str]:
    """Return the metadata of a node that compares."""
    return {} if neuron.compare == ">" else {"compare": neuron.compare}


def _lifted(program: Program, node: Node, shape: Shape) -> nir.NIRNode:
    match node:
        case Input() | Slice():
            return nir.Input(np.array(node.shape))
        case Output() | Place():
            return nir.Output(np.array(shape))
        case NeuronLayer(neuron=LoihiLIF() as neuron):
            return _integer_neurons(program, node.shape, neuron)
        case NeuronLayer():
            return _neurons(program, node)
        case LinearMap():
            return _map(node, shape)
    raise NotImplementedError(type(node).__name__)


def _map(node: LinearMap, shape: Shape) -> nir.NIRNode:
    match node:
        case Dense(bias=None):
            return nir.Linear(weight=_as_floats(node.weight))
        case Dense():
            assert node.bias is not None
            return nir.Affine(weight=_as_floats(node.weight), bias=_as_floats(node.bias))
        case Conv():
            return _convolution(node, shape)
        case Pool():
            pool = nir.AvgPool2d if node.average else nir.SumPool2d
            return pool(kernel_size=np.array(node.kernel), stride=np.array(node.stride), padding=np.array(node.padding))
        case Scale():
            return _scale(node, shape)
        case Flatten():
            return nir.Flatten(input_type=np.array(shape), start_dim=0, end_dim=-1)
    raise NotImplementedError(type(node).__name__)


def _scale(node: Scale, shape: Shape) -> nir.Scale | nir.Affine:
    """Write a Scale; with a bias it takes a whole matrix in NIR, and metadata of the node mark it."""
    factor = np.full(shape, _as_floats(node.factor))
    if node.bias is None:
        return nir.Scale(scale=factor)
    return nir.Affine(weight=np.diag(factor), bias=np.full(shape, _as_floats(node.bias)), metadata=dict(DIAGONAL))


def _convolution(node: Conv, shape: Shape) -> nir.Conv2d:
    return nir.Conv2d(
        input_shape=shape[1:],
        weight=_as_floats(node.weight),
        stride=node.stride,
        padding=node.padding,
        dilation=node.dilation,
        groups=node.groups,
        bias=_as_floats(np.zeros(len(node.weight), node.weight.dtype) if node.bias is None else node.bias),
    )


def _as_floats(array: FloatArray) -> FloatArray:
    """Return integers as the float32 that hold them, as other tools expect."""
    return array.astype(np.float32) if array.dtype.kind == "i" else array


def _neurons(program: Program, layer: NeuronLayer) -> nir.NIRNode:
    def full(values: FloatArray | float) -> NDArray[np.float64]:
        return np.full(layer.shape, values, np.float64)

    def leak(fraction: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return tau and the r, or w_in, that makes the gain 1."""
        tau = tau_for(fraction, program.dt_s, program.integration)
        return full(tau), full(1 / gained(program.dt_s, tau, program.integration))

    neuron = layer.neuron
    firing: dict[str, Any] = {}
    if isinstance(neuron, Firing):
        firing = {
            "v_threshold": full(_strict(neuron)),
            "v_reset": full(neuron.v_reset),
            "metadata": _compared(neuron),
        }
    match neuron:
        case IF():
            return nir.IF(r=full(1 / program.dt_s), **firing)
        case LIF():
            tau, r = leak(neuron.beta)
            return nir.LIF(tau=tau, r=r, v_leak=full(0), **firing)
        case CubaLIF() | CubaLI():
            (tau_syn, w_in), (tau_mem, r) = leak(neuron.alpha), leak(neuron.beta)
            cuba = nir.CubaLIF if isinstance(neuron, CubaLIF) else nir.CubaLI
            return cuba(tau_syn=tau_syn, tau_mem=tau_mem, r=r, w_in=w_in, v_leak=full(0), **firing)
        case LI():
            tau, r = leak(neuron.beta)
            return nir.LI(tau=tau, r=r, v_leak=full(0))
        case I():
            return nir.I(r=full(1 / program.dt_s))
        case Threshold():
            return nir.Threshold(threshold=full(_strict(neuron)), metadata=_compared(neuron))
    raise NotImplementedError(type(neuron).__name__)


def _integer_neurons(program: Program, shape: Shape, n: LoihiLIF) -> nir.NIRNode:
    def full(values: FloatArray) -> NDArray[np.float64]:
        return np.full(shape, values, np.float64)

    def leak(fraction: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return tau and gain for a fraction of 4096 kept, all of it being a fraction that rounds to all."""
        tau = tau_for(np.minimum(fraction, 1 - 2.0**-40), program.dt_s, program.integration)
        return full(tau), full(1 / gained(program.dt_s, tau, program.integration))

    tau, r = leak(n.beta)
    v_leak = full(n.bias / UNIT) * r
    if n.reset == "soft":
        return nir.LI(tau=tau, r=r, v_leak=v_leak)
    firing: dict[str, Any] = {
        "v_threshold": full(_strict(n) / UNIT),
        "v_reset": full(n.v_reset / UNIT),
        "v_leak": v_leak,
        "metadata": _compared(n),
    }
    if not n.is_current_based:
        return nir.LIF(tau=tau, r=r, **firing)
    tau_syn, w_in = leak(n.alpha)
    return nir.CubaLIF(tau_syn=tau_syn, tau_mem=tau, r=r, w_in=w_in, **firing)


def texts_can_be_stored(program: Program) -> Iterator[Violation]:
    """HDF5 reads ``/`` and ``.`` in a name as a path, and ends a text at NUL."""
    for node in program.nodes:
        if node.name == "." or not _is_storable(node.name):
            yield Violation(repr(node.name), "the name of a node", "Unicode text without NUL, not '.'", "Rename it.")
    if not _is_storable(program.encoder):
        yield Violation("encoder", repr(program.encoder), "Unicode text without NUL", "Rename it.")
    for key, value in program.provenance.items():
        if "/" in key or not _is_storable(key + value):
            yield Violation(
                f"provenance {key!r}", repr(value), "Unicode text without NUL; no '/' in the key", "Rename it."
            )


def _is_storable(text: str) -> bool:
    return "\0" not in text and text.encode(errors="replace").decode() == text


def names_of_parts_are_free(program: Program) -> Iterator[Violation]:
    """A layer with soft reset becomes three nodes, two of them with names made here."""
    names = {node.name for node in program.nodes}
    if program.number_format == "integer":
        for part in names & {INPUT_SCALE, OUTPUT_UNIT}:
            yield Violation(
                part, "a node of this name, which the border of integers takes", "other names", "Rename it."
            )
    for layer in program.neuron_layers:
        for part in (_membrane(layer.name), _reset(layer.name)):
            if _is_soft(layer) and part in names:
                yield Violation(
                    part, f"a node of this name, which soft reset of {layer.name} takes", "other names", "Rename one."
                )


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
        allowed = f"two or more, in the order of their names, that together are all of a node called {name}"
        yield Violation(end.name, f"parts {found}", allowed)


def sizes_are_positive(program: Program) -> Iterator[Violation]:
    """NIR files hold arrays of at least one number."""
    for node in program.nodes:
        shape = program.shapes[node.name]
        if min(shape, default=0) < 1:
            yield Violation(node.name, f"sends shape {shape}", "one or more dimensions, each 1 or more")


def outputs_are_sent(program: Program) -> Iterator[Violation]:
    """NIR's output node takes the values that nodes send, not potentials."""
    if program.output.reading != "spikes":
        found = f"reads a {program.output.reading}"
        yield Violation(program.output.name, found, "an output of spikes or sums", "Read its spikes instead.")


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
            found = f"Scale with a bias, of shape {list(shape)}"
            allowed = f"a vector of at most {LARGEST_DIAGONAL:,} values, since NIR can hold it only as a matrix"
            yield Violation(f"{node.name}.bias", found, allowed, "Move the bias into a Dense or Conv next to it.")


def neurons_are_standard(program: Program) -> Iterator[Violation]:
    """Threshold and Scale make soft reset of one state alone."""
    for layer in program.neuron_layers:
        neuron = layer.neuron
        if type(neuron) not in NEURONS:
            found = f"{type(neuron).__name__}, for which NIR has no node"
            yield Violation(layer.name, found, "NIR's neurons", "Simulate it as it is.")
        if isinstance(neuron, VariantLIF):
            yield from _unwritten(layer.name, neuron)
        if isinstance(neuron, CubaLIF) and neuron.reset == "soft":
            yield Violation(
                layer.name,
                "CubaLIF with soft reset",
                "soft reset of LIF and IF, hard reset of all",
                "Build the layer with reset='hard'.",
            )
        if isinstance(neuron, LoihiLIF) and neuron.reset == "soft" and neuron.is_current_based:
            yield Violation(layer.name, "soft reset with a memory of currents", "du 4095", "Use reset='hard'.")
        if isinstance(neuron, LoihiLIF) and neuron.reset == "soft" and np.any(neuron.v_reset):
            yield Violation(f"{layer.name}.v_reset", "not 0, with soft reset", "0", "Soft reset does not use it.")


def _unwritten(name: str, neuron: VariantLIF) -> Iterator[Violation]:
    """Yield what no nodes of NIR compute; a soft reset a step late is what Threshold and Scale make."""
    faults = {
        "fires several times per step": neuron.spikes == "many",
        f"{neuron.reset} reset, {neuron.resets}": (neuron.reset, neuron.resets) != ("soft", "next step"),
        "a lowest potential": neuron.v_min is not None,
        "what a reset leaves is held": neuron.left_over != "fires",
        "soft reset with a memory of currents": bool(np.any(neuron.alpha)),
    }
    found = "; ".join(fault for fault, is_so in faults.items() if is_so)
    if found:
        remedy = "Keep the file that it came from, and name its --dialect."
        yield Violation(name, found, "one spike per step, hard reset, or soft reset of LIF and IF", remedy)


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
            yield Violation(f"{layer.name}.du", "4095 beside others", "below 4095 in exact integration", remedy)
        forgets = isinstance(layer.neuron, LoihiLIF) and np.any(layer.neuron.parameters()["dv"] == DECAY)
        if forgets and program.integration == "exact":
            remedy = "Build the program with integration='euler'."
            yield Violation(f"{layer.name}.dv", "4096", "below 4096 in exact integration", remedy)


def _timeless(program: Program, layer: NeuronLayer, name: str, fraction: FloatArray) -> Iterator[Violation]:
    where = f"{layer.name}.{name}"
    if np.any(fraction == 1):
        yield Violation(
            where,
            "1",
            "below 1, which has a finite time constant",
            LEAKLESS.get(type(layer.neuron), "Use a value below 1."),
        )
    elif program.integration == "exact" and np.any(fraction == 0):
        yield Violation(where, "0", "above 0 in exact integration", "Build the program with integration='euler'.")
    else:
        tau_s = tau_for(fraction, program.dt_s, program.integration)
        lost = fraction[kept(program.dt_s, tau_s, program.integration).astype(program.dtype) != fraction]
        if lost.size:
            yield Violation(
                where,
                f"{lost[0]} lies between what two neighbouring time constants in float64 keep",
                "fractions that a time constant gives back exactly",
                "Build the program in float32, or round the fraction to fewer bits.",
            )


def delays_close_cycles(program: Program) -> Iterator[Violation]:
    """A delay of 1 is read where a cycle closes; others become nodes with names made here."""
    explicit = _explicit_delays(program)
    found = recurrence(
        program.nodes,
        [(edge.source, edge.target) for edge in program.edges],
        delayed=[(edge.source, edge.target) for edge in explicit],
    )
    yield from found.violations
    read = _read_delays(program, explicit)
    for edge in program.edges:
        if edge.delay != read[edge] and not found.violations:
            yield Violation(
                f"edge {edge.source} -> {edge.target}",
                f"delay is {edge.delay}",
                f"{read[edge]}, as NIR reads it: the edge closes a cycle",
                f"Build the edge with delay={read[edge]}.",
            )
    names = {node.name for node in program.nodes}
    for edge in explicit:
        if _wire(edge) in names:
            yield Violation(_wire(edge), "a node of this name, which a delay takes", "other names", "Rename it.")


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
