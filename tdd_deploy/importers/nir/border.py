"""The border of an integer program: input and output hold the scales that a file writes after and before them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tdd_deploy.errors import Violation
from tdd_deploy.program import Input, Node, Output, Scale

from .soft_reset import Parts


@dataclass(frozen=True)
class Border:
    """The input and the output, and the nodes next to them."""

    input: Input
    output: Output
    after_input: tuple[Node, ...]
    before_output: tuple[Node, ...]

    @classmethod
    def of(cls, parts: Parts) -> "Border":
        """Find the border of a graph with one input and one output."""
        (begin,) = (node for node in parts.nodes.values() if isinstance(node, Input))
        (end,) = (node for node in parts.nodes.values() if isinstance(node, Output))
        return cls(
            begin,
            end,
            tuple(parts.nodes[target] for source, target in parts.edges if source == begin.name),
            tuple(parts.nodes[source] for source, target in parts.edges if target == end.name),
        )

    def violations(self) -> Iterator[Violation]:
        """Yield the nodes that are not one scale by one number."""
        for where, beside in ((self.input.name, self.after_input), (self.output.name, self.before_output)):
            if len(beside) != 1 or not isinstance(beside[0], Scale) or beside[0].factor.ndim:
                found = ", ".join(sorted(type(node).__name__ for node in beside)) or "nothing"
                yield Violation(f"the node next to {where}", found, "one Scale by one number in an integer file")

    def fold(self, parts: Parts, largest: int) -> Parts:
        """Move the two scales into fields of input and output."""
        scale, unit = self.after_input[0], self.before_output[0]
        assert isinstance(scale, Scale)
        assert isinstance(unit, Scale)
        nodes = {name: node for name, node in parts.nodes.items() if name not in (scale.name, unit.name)}
        nodes[self.input.name] = replace(self.input, scale=float(scale.factor), largest=largest)
        nodes[self.output.name] = replace(self.output, unit=float(unit.factor))
        ends = {(self.input.name, scale.name), (unit.name, self.output.name)}
        joined = {scale.name: self.input.name, unit.name: self.output.name}
        edges = {
            (joined.get(source, source), joined.get(target, target)): steps
            for (source, target), steps in parts.edges.items()
            if (source, target) not in ends
        }
        return Parts(nodes, edges)
