"""What must hold for a NIR graph to become a Program; the rules of ``program/verify.py`` follow."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from reprlib import repr as short

import nir
import numpy as np
from numpy.typing import NDArray

from tdd_deploy.errors import UnsupportedGraph, Violation
from tdd_deploy.program import Program
from tdd_deploy.program.discrete import gained

from .choices import Choices, is_integer
from .kinds import KINDS, as_shape, kind_name, stated_shape

GAIN_TOLERANCE = 8 * float(np.finfo(np.float64).eps)  # r is tau / dt_s, rounded


def refuse(subject: str, violations: Iterable[Violation]) -> None:
    """Raise UnsupportedGraph with all violations, if there are any."""
    found = tuple(violations)
    if found:
        raise UnsupportedGraph(subject, found)


def unknown_kinds(kinds: Mapping[str, str]) -> Iterator[Violation]:
    """Yield the nodes that no Program can hold, given each node's name and kind."""
    for name, kind in kinds.items():
        if kind not in KINDS:
            yield Violation(name, kind or "no kind", f"a node of kind {', '.join(KINDS)}")


def loose_edges(graph: nir.NIRGraph) -> Iterator[Violation]:
    """Yield edges that do not join two nodes once, missing inputs and outputs, and in integers all beyond one."""
    for (source, target), count in Counter((source, target) for source, target in graph.edges).items():
        for name in sorted({source, target} - graph.nodes.keys()):
            yield Violation(f"edge {source} -> {target}", f"names the node {name}, which does not exist")
        if count > 1:
            yield Violation(f"edge {source} -> {target}", f"occurs {count} times", remedy="Keep one of them.")
    for kind in (nir.Input, nir.Output):
        found = [name for name, node in graph.nodes.items() if isinstance(node, kind)]
        if not found:
            yield Violation("the graph", f"has no node of kind {kind.__name__}")
        elif len(found) > 1 and is_integer(graph.metadata):
            listed = f"{len(found)} nodes of kind {kind.__name__} ({', '.join(found)})"
            yield Violation("the graph", f"has {listed}, but a graph in integers has exactly one")


def malformed_values(name: str, node: nir.NIRNode) -> Iterator[Violation]:
    """Yield the values of a node that are not of their type."""
    kind = KINDS[kind_name(node)]
    for key in kind.arrays:
        array = np.asarray(getattr(node, key))
        if array.dtype.kind not in "fiu" or array.ndim == 0 or array.size == 0:
            yield Violation(f"{name}.{key}", short(getattr(node, key)), "an array of numbers, not empty")
    for key in kind.pairs:
        pair = np.asarray(getattr(node, key))
        if pair.dtype.kind not in "iu" or pair.shape not in ((), (2,)):
            yield Violation(f"{name}.{key}", short(getattr(node, key)), "one or two whole numbers")
    if isinstance(node, nir.Conv2d) and not isinstance(node.groups, int | np.integer):
        yield Violation(f"{name}.groups", short(node.groups), "a whole number")
    if isinstance(node, nir.Flatten) and (node.start_dim, node.end_dim) != (0, -1):
        found = f"flattens dimensions {short(node.start_dim)} to {short(node.end_dim)}, not all of them"
        yield Violation(name, found, remedy="Flatten all dimensions: start_dim 0, end_dim -1.")
    if isinstance(node, nir.Input | nir.Output) and as_shape(node.input_type["input"]) is None:
        yield Violation(f"{name}.shape", short(node.input_type["input"]), "one or more sizes, each 1 or more")


def unholdable_neurons(name: str, node: nir.NIRNode, *, has_bias: bool) -> Iterator[Violation]:
    """Yield well-formed values that no neuron of a Program can have; only neurons in integers have a bias."""
    kind = KINDS[kind_name(node)]
    if kind.leaks or kind.integrates:
        shapes = sorted({np.shape(getattr(node, key)) for key in kind.arrays})
        if len(shapes) > 1:
            found = f"has parameters of shapes {', '.join(map(str, shapes))}"
            yield Violation(name, found, remedy="Give all parameters one shape.")
    for leak in kind.leaks:
        tau_s = getattr(node, leak.tau)
        if not np.all(tau_s > 0):
            yield Violation(f"{name}.{leak.tau}", short(tau_s), "above 0 seconds")
    if np.any(getattr(node, "v_leak", 0)) and not has_bias:
        remedy = "Add v_leak / r to the bias of the map before it."
        yield Violation(f"{name}.v_leak", short(node.v_leak), "0", remedy)


def gains_other_than_one(name: str, node: nir.NIRNode, choices: Choices) -> Iterator[Violation]:
    """Yield the factors by which an otherwise valid neuron multiplies its current."""
    for key, gain in _gains(node, choices).items():
        wrong = gain[~(np.abs(gain - 1) <= GAIN_TOLERANCE)]
        if wrong.size:
            found = f"multiplies the current by {wrong[0]:.9g} per time step, not by 1"
            yield Violation(f"{name}.{key}", found, remedy="Multiply the weights before it instead.")


def _gains(node: nir.NIRNode, choices: Choices) -> Mapping[str, NDArray[np.float64]]:
    kind = KINDS[kind_name(node)]
    with np.errstate(all="ignore"):  # what is not finite is not 1
        if kind.integrates:
            return {"r": node.r * np.float64(choices.dt_s)}
        return {
            leak.gain: getattr(node, leak.gain) * gained(choices.dt_s, getattr(node, leak.tau), choices.integration)
            for leak in kind.leaks
        }


def uneven_delays(name: str, node: nir.NIRNode) -> Iterator[Violation]:
    """Yield a well-formed delay that differs between values."""
    if isinstance(node, nir.Delay) and not np.all(node.delay == np.ravel(node.delay)[0]):
        yield Violation(
            f"{name}.delay", f"{np.min(node.delay):g} to {np.max(node.delay):g} s", "the same for all values"
        )


def misstated_shapes(graph: nir.NIRGraph, program: Program) -> Iterator[Violation]:
    """Yield nodes that state a shape that they do not receive."""
    for node in program.nodes:
        if node is not program.input and node.name in graph.nodes:
            received = program.in_shape(node.name)
            stated = stated_shape(graph.nodes[node.name], received)
            if stated not in (None, received):
                yield Violation(node.name, f"states that it receives shape {stated}, but receives {received}")
