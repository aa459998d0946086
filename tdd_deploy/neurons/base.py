"""The base of every neuron: the arithmetic it is written in, its parameters, and firing with its reset."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, Protocol, Self, TypeAlias

Array: TypeAlias = Any  # numpy.ndarray or torch.Tensor: a neuron is written once for both
State: TypeAlias = tuple[Array, ...]
Reset = Literal["hard", "soft"]
Compare = Literal[">", ">="]


class Arithmetic(Protocol):
    """The operations that a backend implements; neurons also use ``+ - *`` on its arrays."""

    def keep(self, x: Array, fraction: Array) -> Array:
        """Return the part of ``x`` that is kept from one time step to the next; of integers, fraction / 4096."""
        ...

    def fires(self, v: Array, v_threshold: Array, compare: Compare) -> Array:
        """Return 1 where ``v`` passes the threshold, else 0, in the number format of ``v``."""
        ...

    def count(self, v: Array, v_threshold: Array) -> Array:
        """Count the whole thresholds, above 0, in ``v``; 0 where ``v`` is below 0."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Neuron:
    """One neuron model; its parameters are arrays of shape ``()`` or of the layer's shape."""

    spiking: ClassVar[bool] = True
    states: ClassVar[tuple[str, ...]] = ("v",)
    choices: ClassVar[dict[str, Any]] = {}  # the fields that hold a word, and the words

    def start(self, zeros: Callable[[], Array]) -> State:
        """Return the state before the first time step: everything at zero."""
        return tuple(zeros() for _ in self.states)

    def step(self, a: Arithmetic, state: State, current: Array) -> tuple[State, Array]:
        """Advance one time step: return the new state and what the layer sends."""
        raise NotImplementedError

    def is_driven(self, current: Array) -> Array:
        """Mark the neurons whose state the current can change."""
        return current != 0

    @property
    def binary(self) -> bool:
        """Whether it sends only 0 and 1."""
        return self.spiking

    def parameters(self) -> dict[str, Array]:
        """Return the array parameters by name, except those that are None."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in self.choices}
        return {name: value for name, value in values.items() if value is not None}

    def converted(self, convert: Callable[[Array], Array]) -> Self:
        """Copy the neuron with every array parameter converted."""
        return replace(self, **{name: convert(value) for name, value in self.parameters().items()})


@dataclass(frozen=True, eq=False, kw_only=True)
class Firing(Neuron):
    """A neuron that fires and resets its potential.

    ``hard`` reset sets v to ``v_reset``; ``soft`` reset subtracts ``v_threshold``.
    """

    v_threshold: Array
    v_reset: Array
    reset: Reset = "hard"
    compare: Compare = ">"
    choices: ClassVar[dict[str, Any]] = {"reset": Reset, "compare": Compare}

    def fire(self, a: Arithmetic, v: Array) -> tuple[Array, Array]:
        """Compare v with the threshold; return v after the reset, and the spikes."""
        spikes = a.fires(v, self.v_threshold, self.compare)
        if self.reset == "soft":
            return v - spikes * self.v_threshold, spikes
        return (1 - spikes) * v + spikes * self.v_reset, spikes
