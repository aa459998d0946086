"""Pass-through nodes, which send what they receive, now or some steps later: edges bypass them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tdd_deploy.errors import Violation

from .plain import Pair

LONGEST = 10_000  # steps that a delay may take
ROUNDED = 2**-21  # a larger relative distance from a whole number, or from 1, is no rounding in float32


@dataclass
class Connections:
    """Edges between the other nodes, and how many steps each takes."""

    delays: dict[Pair, int] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)


def bypass(edges: Iterable[Pair], pass_through: Mapping[str, float], *, dt_s: float) -> Connections:
    """Replace each path through pass-through nodes by one edge.

    Args:
        edges: between all nodes.
        pass_through: how many seconds later each of these nodes, by name, sends what it receives.
        dt_s: seconds per time step; a delay must be a whole number of them.
    """
    found = Connections()
    steps = {name: _steps(name, seconds, dt_s, found.violations) for name, seconds in pass_through.items()}
    targets: dict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        targets[source].append(target)
    for source in targets.keys() - steps.keys():
        reached: set[str] = set()  # each once: the number of paths can be exponential
        waiting = [(target, 0) for target in targets[source]]
        while waiting:
            target, taken = waiting.pop()
            if target in reached:
                where = f"edge {source} -> {target}"
                found.violations.append(
                    Violation(where, "replaces two paths through inner graphs or delays", remedy="Keep one.")
                )
            elif target in steps:
                waiting += [(far, taken + steps[target]) for far in targets[target]]
            else:
                found.delays[source, target] = taken
            reached.add(target)
    return found


def _steps(name: str, seconds: float, dt_s: float, violations: list[Violation]) -> int:
    if not seconds:
        return 0
    ratio = seconds / dt_s
    if not 0.5 <= ratio <= LONGEST or abs(ratio - round(ratio)) > ROUNDED * ratio:
        found = f"{seconds:g} s, {ratio:g} time steps of {dt_s:g} s"
        violations.append(Violation(f"{name}.delay", found, f"a whole number of time steps, up to {LONGEST:,}"))
        return 0
    return round(ratio)
