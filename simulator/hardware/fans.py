"""Find how many weights an event of each input of a map adds on each core.

A core adds the weights on the ways to its neurons. Where a map comes after another map without neurons between them, a
sum that several cores need is made on each of them, as an event goes to each of them.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from tdd_deploy.program import Conv, Dense, LinearMap, Program, Scale, Shape
from tdd_deploy.simulator.counts import IntArray
from tdd_deploy.simulator.engine.scatter import channel_last
from tdd_deploy.simulator.routes import CoreFans

from .reach import Mask, connected, reaching


class _Part(NamedTuple):
    """Weights ``[core, group of inputs]`` on some cores: the columns that differ, and which one each group has."""

    cores: IntArray
    columns: IntArray
    column_of: IntArray


def core_fans(program: Program, receivers: Iterable[tuple[str, IntArray, Mask]], *, n_cores: int) -> CoreFans:
    """Return the weights that events add on each core.

    Args:
        program: what is placed.
        receivers: placed layers, some of their cores, and which neurons each of these holds, ``[cores, *shape]``.
        n_cores: of all layers.
    """
    groups: dict[str, IntArray] = {}
    parts: dict[str, list[_Part]] = {}
    for layer, cores, masks in receivers:
        for node, needed in _needed(program, layer, masks):
            if isinstance(node, Dense | Conv | Scale):
                shape = program.in_shape(node.name)
                groups[node.name] = _groups(node, shape)
                weights = _weights(node, shape, needed)
                columns, column_of = np.unique(weights, axis=1, return_inverse=True)
                parts.setdefault(node.name, []).append(_Part(cores, columns, column_of.reshape(-1)))
    classes: dict[str, IntArray] = {}
    is_delta: list[bool] = []
    entries = [np.zeros((3, 0), np.int64)]
    for name, found in parts.items():
        class_of, (of_class, *others) = _joined(found)
        classes[name] = len(is_delta) + class_of[groups[name]]
        entries.append(np.array([len(is_delta) + of_class, *others]))
        is_delta += [program.incoming[name][0].code == "delta"] * (int(class_of.max()) + 1)
    by_map = np.concatenate(entries, axis=1)
    by_core = by_map[:, np.argsort(by_map[1], kind="stable")]
    return CoreFans(classes=classes, is_delta=np.array(is_delta, np.bool_), entries=by_core, n_cores=n_cores)


def _needed(program: Program, layer: str, masks: Mask) -> Iterator[tuple[LinearMap, Mask]]:
    """Yield the maps before a layer, from the layer on, and which of their outputs each mask of the layer needs."""
    needed = {layer: masks}
    for node in reversed(program.linear_maps):
        for edge in program.outgoing[node.name]:
            if edge.target not in needed:
                continue
            target, mask = program[edge.target], needed[edge.target]
            if isinstance(target, LinearMap):
                mask = reaching(target, program.in_shape(target.name), mask)
            needed[node.name] = np.logical_or(needed[node.name], mask) if node.name in needed else mask
        if node.name in needed:
            yield node, needed[node.name]


def _weights(node: Dense | Conv | Scale, shape: Shape, needed: Mask) -> IntArray:
    """Return how many weights to needed outputs an input of each group has, ``[n_cores, n_groups]``; see ``_groups``.

    One channel of ``needed`` stands for all if all are equal.
    """
    n, weights = len(needed), np.zeros((len(needed), 0), np.int64)
    match node:
        case Dense():
            weights = needed.sum(axis=1, keepdims=True, dtype=np.int64) * (len(node.weight) // needed.shape[1])
        case Conv():
            per_group = len(node.weight) // node.groups
            outs = needed * np.float32(per_group)
            if needed.shape[1] > 1:
                outs = needed.reshape(n, node.groups, per_group, *needed.shape[2:]).sum(axis=2, dtype=np.float32)
            rows, columns = (connected(node, shape, axis, np.any(node.taps, axis=1 - axis)) for axis in (0, 1))
            reached = (rows @ outs @ columns.T).astype(np.int64)
            weights = channel_last(np.broadcast_to(reached, (n, node.groups, *shape[1:])))
        case Scale():
            weights = channel_last(np.broadcast_to(needed, (n, *shape)).astype(np.int64))
    return weights.reshape(n, -1)


def _groups(node: Dense | Conv | Scale, shape: Shape) -> IntArray:
    """Return a group for each input, channel last: all inputs of a group have their weights to the same outputs."""
    groups = np.arange(math.prod(shape))  # of a Scale: each alone
    match node:
        case Dense():
            groups = np.zeros(shape[0], np.int64)
        case Conv():  # by pixel, and group of channels
            place, channel = np.divmod(groups, shape[0])
            groups = node.groups * place + channel // node.weight.shape[1]
    return groups


def _joined(parts: list[_Part]) -> tuple[IntArray, IntArray]:
    """Put groups of inputs with the same weights on all cores into one class.

    Returns:
        The class of each group, and ``[(class, core, weights), n]`` where there are any.
    """
    column_of = np.stack([part.column_of for part in parts])
    _, first, classes = np.unique(column_of, axis=1, return_index=True, return_inverse=True)
    entries = []
    for part in parts:
        weights = part.columns[:, part.column_of[first]]  # [core, class]
        core, of_class = np.nonzero(weights)
        entries.append(np.stack([of_class, part.cores[core], weights[core, of_class]]))
    return classes.reshape(-1), np.concatenate(entries, axis=1)
