"""Choices of a dialect for single nodes: match the names that were given to the layers of a graph."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tdd_deploy.errors import Violation

from .dialects import APPLIES_TO, Chosen, did_you_mean
from .rules import refuse


def assign_choices(said: Chosen, kinds: Mapping[str, str], *, subject: str) -> Chosen:
    """Assign every choice for a node to the layer that it names, or to each layer of the inner graph that it names.

    Args:
        said: the choices of ``--dialect``.
        kinds: of all nodes, by their names; a node of the inner graph ``x`` is called ``x.name``.
        subject: how errors name the graph.

    Raises:
        UnsupportedGraph: an unknown name, a choice that does not concern its node, or two values for one layer.
    """
    faults: list[Violation] = []
    given: dict[str, dict[str, dict[str, Any]]] = defaultdict(lambda: defaultdict(dict))  # layer, key, name: value
    for name, choices in said.of_nodes.items():
        inside = [name] if name in kinds else [node for node in kinds if node.startswith(f"{name}.")]
        for key, value in choices.items():
            layers = [node for node in inside if kinds[node] in APPLIES_TO[key]]
            if not layers:
                faults.append(_not_concerned(key, name, inside, kinds))
            for layer in layers:
                given[layer][key][name] = value
    faults += _contradictions(said, given)
    refuse(subject, faults)
    of_nodes = {
        layer: {key: next(iter(values.values())) for key, values in keys.items()} for layer, keys in given.items()
    }
    return replace(said, of_nodes=of_nodes)


def _not_concerned(key: str, name: str, inside: list[str], kinds: Mapping[str, str]) -> Violation:
    concerned = [node for node, kind in kinds.items() if kind in APPLIES_TO[key]]
    if not inside:
        found = f"there is no node of this name{did_you_mean(name, concerned)}"
    else:
        found = f"{name} is of kind {kinds[name]}" if name in kinds else f"{name} contains no such node"
    allowed = ", ".join(concerned) or f"none, as the file has no {' or '.join(APPLIES_TO[key])}"
    return Violation(f"--dialect {key}[{name}]", found, allowed)


def _contradictions(said: Chosen, given: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterator[Violation]:
    """Yield layers to which two names give different values."""
    for layer, keys in given.items():
        for key, values in keys.items():
            if len(set(values.values())) > 1:
                found = " and ".join(f"{key}[{name}]={said.given[f'{key}[{name}]']}" for name in values)
                yield Violation(f"--dialect {key} of {layer}", found, "one value")
