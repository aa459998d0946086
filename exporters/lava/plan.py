"""Plan a Program as processes of Lava: the manifest and the weights of a bundle.

Pools become convolutions of ones, one group per channel; Flatten is a way of wiring. Where branches of unequal length
meet, processes that only wait make them equal.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.neurons import IF, LoihiLIF, Neuron
from tdd_deploy.options.vocabulary import Mapping
from tdd_deploy.program import Conv, Dense, Edge, Flatten, LinearMap, NeuronLayer, Pool, Program, Scale, with_code
from tdd_deploy.program.biases import currents_of_biases
from tdd_deploy.program.blocks import BLOCK
from tdd_deploy.version import __version__

from .latency import Latencies, latencies

Array = NDArray[Any]
KIND = "tdd-deploy lava bundle"


@dataclass(frozen=True)
class Plan:
    """A bundle's manifest, without hashes, and its arrays, which are written as ``dtype``."""

    manifest: dict[str, Any]
    arrays: dict[str, Array]
    dtype: np.dtype[Any]


def plan_bundle(program: Program, mapping: Mapping) -> Plan:
    """Plan the processes, edges and arrays of a program that breaks no rule of ``rules.py``."""
    if mapping != "fused":
        program = with_code(program, "delta" if mapping == "stock" else "spike")
    late = latencies(program)
    assert late is not None, "a rule is broken"
    return _Planner(program, mapping, late).plan()


@dataclass
class _Planner:
    program: Program
    mapping: Mapping
    late: Latencies
    arrays: dict[str, Array] = field(default_factory=dict)

    def plan(self) -> Plan:
        program = self.program
        biases = currents_of_biases(program)
        output_bias = biases[program.output.name]
        synapses = [self._synapses(node) for node in program.linear_maps if not isinstance(node, Flatten)]
        edges = [*self._edges(synapses)]
        manifest = {
            "schema_version": 1,
            "kind": KIND,
            "tdd_deploy": __version__,
            "program": program.digest,
            "provenance": dict(program.provenance),
            "arithmetic": "fixed_pt" if self._is_integer else "floating_pt",
            "mapping": self.mapping,
            "n_steps": program.n_steps,
            "restart": any(edge.delay for edge in program.edges),
            "input": {
                "name": program.input.name,
                "shape": list(program.input.shape),
                "scale": program.input.scale,
                "largest": program.input.largest if self._is_integer else None,
            },
            "output": {
                "name": program.output.name,
                "shape": list(program.shapes[program.output.name]),
                "latency": self.late.of[program.output.name],
                "bias": self._array("output.bias", output_bias) if np.any(output_bias) else None,
                "unit": program.output.unit,
            },
            "synapses": synapses,
            "neurons": [self._neurons(layer, biases[layer.name]) for layer in program.neuron_layers],
            "edges": edges,
        }
        return Plan(manifest, self.arrays, np.dtype(np.int32 if self._is_integer else np.float64))

    @property
    def _is_integer(self) -> bool:
        return self.program.number_format == "integer"

    def _array(self, key: str, values: Array) -> str:
        is_large = values.size > BLOCK and not self._is_integer  # converted in parts, when it is written
        self.arrays[key] = values if is_large else np.asarray(values, np.int32 if self._is_integer else np.float64)
        return key

    def _synapses(self, node: LinearMap) -> dict[str, Any]:
        in_shape = self.program.in_shape(node.name)
        node = _as_weights(node, in_shape)
        entry: dict[str, Any] = {
            "name": node.name,
            "kind": type(node).__name__.lower(),
            "weight": self._array(f"{node.name}.weight", node.weight),
            "in_shape": list(in_shape),
            "out_shape": list(node.out_shape(in_shape)),
        }
        if isinstance(node, Conv):
            entry |= {
                "stride": list(node.stride),
                "padding": list(node.padding),
                "dilation": list(node.dilation),
                "groups": node.groups,
            }
        return entry

    def _neurons(self, layer: NeuronLayer, bias: Array) -> dict[str, Any]:
        parameters = _parameters(layer.neuron, bias)
        entry: dict[str, Any] = {
            "name": layer.name,
            "shape": list(layer.shape),
            "latency": self.late.of[layer.name],
            "reset": getattr(layer.neuron, "reset", "hard"),
        }
        for name in ("v_threshold", "v_reset", "bias"):
            entry[name] = self._array(f"{layer.name}.{name}", parameters[name])
        for name in ("du", "dv"):
            decay = parameters[name]
            entry[name] = self._array(f"{layer.name}.{name}", decay) if decay.ndim else decay.item()
        return entry

    def _edges(self, synapses: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the edges between processes; put those that only wait among the synapses."""
        for edge in self.program.edges:
            if isinstance(self.program[edge.source], Flatten):
                continue  # wired through below
            for target, waits in self._ends(edge):
                source = edge.source
                for number in range(1, waits + 1):
                    shape = list(self.program.shapes[edge.source])
                    name = f"{edge.source}_to_{target}_wait{number}"
                    synapses.append({"name": name, "kind": "identity", "in_shape": shape, "out_shape": shape})
                    yield {"source": source, "target": name, "code": edge.code, "flatten": False}
                    source = name
                is_flattened = target != edge.target and len(self.program.shapes[edge.source]) == 3
                yield {"source": source, "target": target, "code": edge.code, "flatten": is_flattened}

    def _ends(self, edge: Edge, waits: int = 0) -> Iterator[tuple[str, int]]:
        """Yield the ends of an edge, through any number of Flatten nodes, and the steps to wait on the way."""
        waits += self.late.waits[edge]
        if not isinstance(self.program[edge.target], Flatten):
            yield edge.target, waits
            return
        for further in self.program.outgoing[edge.target]:
            yield from self._ends(further, waits)


def _as_weights(node: LinearMap, in_shape: tuple[int, ...]) -> Dense | Conv:
    """Express a linear map as a dense map or a convolution, without bias."""
    match node:
        case Dense() | Conv():
            return replace(node, bias=None)
        case Pool():
            return node.as_conv(in_shape[0])
        case Scale() if len(in_shape) == 3:
            per_channel = np.broadcast_to(node.factor, in_shape)[:, :1, :1]
            return Conv(name=node.name, weight=per_channel[:, None], groups=in_shape[0])
        case Scale():
            return Dense(name=node.name, weight=np.diag(np.broadcast_to(node.factor, in_shape)))
    raise NotImplementedError(type(node).__name__)


def _parameters(neuron: Neuron, bias: Array) -> dict[str, Array]:
    """Convert threshold, reset, bias and decays to Lava's; decays of floats are fractions lost."""
    if isinstance(neuron, LoihiLIF):
        return neuron.parameters()
    values = {name: value.astype(np.float64) for name, value in neuron.parameters().items()}
    nothing = np.asarray(0.0)
    alpha = values.get("alpha", nothing)
    beta = values.get("beta", np.asarray(1.0 if isinstance(neuron, IF) else 0.0))
    v_reset = values.get("v_reset", nothing)
    return {"v_threshold": values["v_threshold"], "v_reset": v_reset, "bias": bias, "du": 1 - alpha, "dv": 1 - beta}
