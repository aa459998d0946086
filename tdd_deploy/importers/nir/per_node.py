"""Choices of a dialect for single nodes: the names in them are matched with the layers of a graph."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tdd_deploy.errors import Violation, did_you_mean

from .dialects import APPLIES_TO, Chosen
from .rules import refuse


def assign_choices(chosen: Chosen, kinds: Mapping[str, str], *, subject: str) -> Chosen:
    """Assign every choice for a node to the layer that it names, or to each layer of the inner graph that it names.

    Args:
        chosen: the choices of a user.
        kinds: the kind of each node by its name; a node of the inner graph ``x`` is called ``x.name``.
        subject: how errors name the graph.

    Raises:
        UnsupportedGraph: an unknown name, a choice that does not concern its node, or two values for one layer.
    """
    faults: list[Violation] = []
    given: dict[str, dict[str, dict[str, Any]]] = defaultdict(lambda: defaultdict(dict))  # layer, key, name: value
    for name, choices in chosen.of_nodes.items():
        inside = [name] if name in kinds else [node for node in kinds if node.startswith(f"{name}.")]
        for key, value in choices.items():
            layers = [node for node in inside if kinds[node] in APPLIES_TO[key]]
            if not layers:
                faults.append(_not_concerned(key, name, inside, kinds))
            for layer in layers:
                given[layer][key][name] = value
    faults += _contradictions(chosen, given)
    refuse(subject, faults)
    of_nodes = {
        layer: {key: next(iter(values.values())) for key, values in keys.items()} for layer, keys in given.items()
    }
    return replace(chosen, of_nodes=of_nodes)


def _not_concerned(key: str, name: str, inside: list[str], kinds: Mapping[str, str]) -> Violation:
    concerned = [node for node, kind in kinds.items() if kind in APPLIES_TO[key]]
    if not inside:
        found = "names a node that does not exist"
    elif name in kinds:
        found = f"names a node of kind {kinds[name]}, which it does not concern"
    else:
        found = "names an inner graph without a node that it concerns"
    if concerned:
        remedy = f"{did_you_mean(name, concerned)} Name one of {', '.join(concerned)}.".strip()
    else:
        remedy = f"Omit it, as the file has no {' or '.join(APPLIES_TO[key])}."
    return Violation(f"{key}[{name}] in `dialect`", found, remedy=remedy)


def _contradictions(chosen: Chosen, given: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterator[Violation]:
    """Yield layers to which two names give different values."""
    for layer, keys in given.items():
        for key, values in keys.items():
            if len(set(values.values())) > 1:
                found = " and ".join(f"{key}[{name}]={chosen.given[f'{key}[{name}]']}" for name in values)
                yield Violation(f"{key} of {layer} in `dialect`", found, "one value")
