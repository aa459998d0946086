"""Which edges of a graph without delays carry the previous step: the meaning of NIR's cycles.

The NIR importer and the NIR exporter share this module.

NIR: "recurrence = the previous step's output". A cycle entered at one node closes with the edge back to that node. The
delay belongs to the edges that leave neurons: the closing edge itself, or edges upstream of the maps that it leaves.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from tdd_deploy.errors import Violation

from .nodes import Input, LinearMap, Node

Pair = tuple[str, str]  # source, target


@dataclass(frozen=True)
class Recurrence:
    """The edges that carry the previous step, and the cycles for which these are not defined."""

    delayed: frozenset[Pair]
    violations: tuple[Violation, ...]
    opened: tuple[str, ...] = ()  # the assumed first nodes of loops that no input enters: the first by name


def recurrence(nodes: Iterable[Node], edges: Iterable[Pair], *, delayed: Collection[Pair] = ()) -> Recurrence:
    """Find the edges that carry the previous step.

    Args:
        nodes: exactly one Input among them.
        edges: between these nodes, whatever their delays.
        delayed: edges that are known to carry an earlier step; a cycle through one of them is closed by it.
    """
    by_name = {node.name: node for node in nodes}
    start = next(node.name for node in by_name.values() if isinstance(node, Input))
    edges = set(edges)
    opened = _unentered(start, by_name, _grouped(edges))
    starts = [start, *opened, *sorted({target for _, target in delayed})]
    targets = _grouped(edges - set(delayed))
    sources = _grouped((target, source) for source, target in edges)
    linear = {node.name for node in by_name.values() if isinstance(node, LinearMap)}
    violations: list[Violation] = []
    found: set[Pair] = set()
    for edge in _closing(starts, targets):
        source, target = edge
        if source in _reached(starts, targets, without=target):
            violations.append(_ambiguous(edge))
            continue
        upstream = _through_maps(edge, sources, linear)
        violations += _unsplittable(edge, upstream, targets, linear)
        found |= {passed for passed in upstream if passed[0] not in linear and passed not in delayed}
    return Recurrence(frozenset(found), tuple(violations), tuple(opened))


def _unentered(start: str, names: Iterable[str], targets: Mapping[str, list[str]]) -> list[str]:
    """Find nodes, the first by name, from which everything is reached that the input does not reach."""
    opened: list[str] = []
    reached = _reached([start], targets)
    for name in sorted(names):
        if name not in reached:
            opened.append(name)
            reached |= _reached([name], targets)
    return opened


def _grouped(pairs: Iterable[Pair]) -> Mapping[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for key, value in sorted(pairs):
        groups[key].append(value)
    return groups


def _reached(starts: list[str], targets: Mapping[str, list[str]], *, without: str | None = None) -> set[str]:
    """Find the nodes on paths from ``starts`` that do not pass ``without``."""
    seen: set[str] = set()
    pending = list(starts)
    while pending:
        name = pending.pop()
        if name not in seen and name != without:
            seen.add(name)
            pending += targets.get(name, [])
    return seen


def _closing(starts: list[str], targets: Mapping[str, list[str]]) -> Iterator[Pair]:
    """Walk depth first, names in order, and yield the edges that lead back onto the path walked."""
    seen: set[str] = set()
    for start in starts:
        if start not in seen:
            yield from _closing_from(start, targets, seen)


def _closing_from(start: str, targets: Mapping[str, list[str]], seen: set[str]) -> Iterator[Pair]:
    path = {start: iter(targets.get(start, []))}
    seen.add(start)
    while path:
        name, rest = next(reversed(path.items()))
        target = next(rest, None)
        if target is None:
            del path[name]
        elif target in path:
            yield name, target
        elif target not in seen:
            seen.add(target)
            path[target] = iter(targets.get(target, []))


def _through_maps(edge: Pair, sources: Mapping[str, list[str]], linear: set[str]) -> set[Pair]:
    """Find the edge and the edges upstream of it, up to the nearest neurons."""
    seen: set[Pair] = set()
    pending = [edge]
    while pending:
        passed = pending.pop()
        if passed in seen:
            continue
        seen.add(passed)
        if passed[0] in linear:
            pending += [(source, passed[0]) for source in sources[passed[0]]]
    return seen


def _unsplittable(
    edge: Pair, upstream: set[Pair], targets: Mapping[str, list[str]], linear: set[str]
) -> Iterator[Violation]:
    maps = sorted({source for source, _ in upstream if source in linear})
    if edge[1] in maps:
        found = "closes a cycle of linear maps alone"
        yield Violation(_where(edge), found, remedy="Put a layer of neurons into the cycle.")
        return
    for name in maps:
        if len(targets[name]) > 1:
            listed = ", ".join(targets[name])
            found = f"sends the previous step along {_where(edge)}, but this step to other nodes ({listed})"
            yield Violation(name, found, remedy="Give each of its targets a map of its own.")


def _ambiguous(edge: Pair) -> Violation:
    entered = f"closes a cycle that is also entered elsewhere than at {edge[1]}"
    found = f"{entered}, so several edges could carry the previous step"
    return Violation(_where(edge), found, remedy="Join the entries in one layer.")


def _where(edge: Pair) -> str:
    return f"edge {edge[0]} -> {edge[1]}"
