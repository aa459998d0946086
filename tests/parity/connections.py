"""What enters every connection of a program, what we count there, and the brute force."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from tdd_deploy.program import Conv, Dense, Program
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.engine.engine import Engine
from tests.zoo import Case, Given

COUNTED = ("macs", "acs", "dense", "synops_stored")


@dataclass(frozen=True)
class Connection:
    """A map with what enters it ``[n_steps, batch, ...]``, in spike code or in delta code, and our counts per step."""

    node: Dense | Conv
    inputs: np.ndarray
    counts: dict[str, list[int]]

    @property
    def kind(self) -> str:
        return type(self.node).__name__.lower()


def connections(case: Case) -> Iterator[Connection]:
    """Yield every connection twice, in spike code and in delta code."""
    sent = reference.run(case.program, case.inputs)
    trace = Engine(case.program).run(Given(case.inputs), n_steps=len(case.inputs)).trace
    row = {layer.name: i for i, layer in enumerate(trace.layers)}
    for node in case.program.linear_maps:
        if isinstance(node, Dense | Conv):
            values = values_into(case.program, sent, node.name)
            changes = np.diff(values, axis=0, prepend=np.zeros_like(values[:1]))
            for inputs, counts in ((values, trace.spike_code), (changes, trace.delta_code)):
                yield Connection(
                    node, inputs, {name: getattr(counts, name)[row[node.name]].tolist() for name in COUNTED}
                )


def values_into(program: Program, sent: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Return what enters a map at every step, [n_steps, batch, ...]."""

    def delayed(x: np.ndarray, steps: int) -> np.ndarray:
        return np.concatenate([np.zeros_like(x[:steps]), x[: len(x) - steps]])

    return reduce(np.add, [delayed(sent[e.source], e.delay) for e in program.incoming[name]])


def save(path: Path, found: Iterable[Connection], **others: np.ndarray) -> None:
    """Write connections as torch_layers.py reads them, and other arrays beside them."""
    content: dict[str, Any] = {}
    kinds = []
    for i, connection in enumerate(found):
        node = connection.node
        kinds.append(connection.kind)
        content |= {f"weight_{i}": node.weight, f"input_{i}": connection.inputs}
        if isinstance(node, Conv):
            sizes = {name: getattr(node, name) for name in ("stride", "padding", "dilation", "groups")}
            content |= {f"{name}_{i}": size for name, size in sizes.items()}
    np.savez(path, kinds=np.array(kinds), **content, **others)


def synapses(node: Dense | Conv, shape: tuple[int, ...]) -> Iterator[tuple[int, int, float]]:
    """Yield source, target and weight of what a map stores, one by one; padding is not stored."""
    if isinstance(node, Dense):
        yield from ((i, j, weight) for (j, i), weight in np.ndenumerate(node.weight))
        return
    inputs, outputs = (np.arange(np.prod(s)).reshape(s) for s in (shape, node.out_shape(shape)))
    outs, ins = len(node.weight) // node.groups, node.weight.shape[1]
    for (o, i, *tap), weight in np.ndenumerate(node.weight):
        for place in np.ndindex(outputs.shape[1:]):
            row, column = (
                at * node.stride[axis] - node.padding[axis] + tap[axis] * node.dilation[axis]
                for axis, at in enumerate(place)
            )
            if 0 <= row < shape[1] and 0 <= column < shape[2]:
                yield inputs[o // outs * ins + i, row, column], outputs[o, *place], weight
