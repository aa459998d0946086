"""The states of an exported model between time steps: all are zero before the first."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tdd_deploy.neurons import Compare, Neuron
from tdd_deploy.program import Input, LinearMap, NeuronLayer, Program, Shape


@dataclass(frozen=True)
class State:
    """One state ``[batch, *shape]``: an input of the model, and an output with the name ``next_of``."""

    name: str
    shape: Shape
    meaning: str


def states(program: Program) -> tuple[State, ...]:
    """List the states in execution order of their nodes."""
    return tuple(_states(program))


def next_of(name: str) -> str:
    """Name the output that holds a state after the time step, or after all time steps."""
    return f"{name}_next"


def sent(name: str, steps: int) -> str:
    """Name the state that holds the value a node sent some steps ago."""
    return f"{name}.sent_{steps}"


def held(name: str) -> str:
    """Name the state that holds the sum of a receiver."""
    return f"{name}.held"


def _states(program: Program) -> Iterator[State]:
    for node in program.nodes:
        if isinstance(node, LinearMap):
            continue
        shape = program.shapes[node.name]
        if any(edge.code == "delta" for edge in program.incoming[node.name]):
            yield State(held(node.name), shape, f"the sum of all changes that reached {node.name}")
        if isinstance(node, NeuronLayer):
            for state in _remembered(node.neuron):
                yield State(f"{node.name}.{state}", shape, f"{state} of {node.name}")
        if isinstance(node, Input | NeuronLayer):
            for steps in range(1, _memory(program, node.name) + 1):
                ago = "1 step ago" if steps == 1 else f"{steps} steps ago"
                yield State(sent(node.name, steps), shape, f"the value that {node.name} sent {ago}")


def _memory(program: Program, name: str) -> int:
    """Count the values of earlier steps that the edges of a node need; a change needs two."""
    return max(edge.delay + (edge.code == "delta") for edge in program.outgoing[name])


def _remembered(neuron: Neuron) -> tuple[str, ...]:
    """List the states that a step reads, except those of which no neuron keeps anything."""
    before = tuple(_Seen(frozenset([name])) for name in neuron.states)
    after, values = neuron.step(_Seeing(), before, _Seen(frozenset()))
    read = frozenset[str]().union(*(value.states for value in (*after, values) if isinstance(value, _Seen)))
    return tuple(name for name in neuron.states if name in read)


@dataclass(frozen=True)
class _Seen:
    """A value of a step that knows only the states from which it was computed."""

    states: frozenset[str]

    __array_ufunc__ = None  # so an array on the left lets this class handle the operator

    def _with(self, other: Any) -> "_Seen":
        return _Seen(self.states | other.states) if isinstance(other, _Seen) else self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __floordiv__ = __rshift__ = _with

    def __neg__(self) -> "_Seen":
        return self

    def clip(self, low: Any, high: Any) -> "_Seen":
        return self


class _Seeing:
    """The arithmetic of neurons that traces which states a value depends on."""

    def keep(self, x: _Seen, fraction: Any) -> Any:
        """Drop the states of ``x`` if no neuron keeps any of it."""
        return x if fraction.any() else 0

    def fires(self, v: _Seen, v_threshold: Any, compare: Compare) -> _Seen:
        """Return a value that depends on the states of ``v``."""
        return v

    def count(self, v: _Seen, v_threshold: Any) -> _Seen:
        """Return a value that depends on the states of ``v``."""
        return v
