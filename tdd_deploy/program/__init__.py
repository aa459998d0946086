"""The Program, the heart of the project: nodes, edges, rules and passes."""

from tdd_deploy.options.vocabulary import Code, Reading

from .build import build
from .nodes import (
    Conv,
    Dense,
    Flatten,
    Input,
    LinearMap,
    NeuronLayer,
    Node,
    Output,
    Place,
    Pool,
    Scale,
    Shape,
    ShapeError,
    Slice,
)
from .passes import CODES, code_groups, with_code, with_codes, with_delta_threshold, with_potential_output, with_reading
from .program import Edge, Integration, NumberFormat, Program
from .verify import verify

__all__ = [
    "CODES",
    "Code",
    "Conv",
    "Dense",
    "Edge",
    "Flatten",
    "Input",
    "Integration",
    "LinearMap",
    "NeuronLayer",
    "Node",
    "NumberFormat",
    "Output",
    "Place",
    "Pool",
    "Program",
    "Reading",
    "Scale",
    "Shape",
    "ShapeError",
    "Slice",
    "build",
    "code_groups",
    "verify",
    "with_code",
    "with_codes",
    "with_delta_threshold",
    "with_potential_output",
    "with_reading",
]
