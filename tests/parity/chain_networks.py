"""Ten random chains of dense layers, convolutions and neurons, for estimators of others.

Weights and inputs are multiples of 1/16 and half of a potential is kept, so that float32 is exact; thresholds lie
between the potentials that are possible, so that > and >= agree.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tdd_deploy.neurons import IF, LIF
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Node, Output, Program, build
from tdd_deploy.simulator.counts import Trace
from tdd_deploy.simulator.engine.engine import Engine
from tests.zoo import Given

UNIT, BETWEEN, N_STEPS, N_SAMPLES = 1 / 16, 1e-3, 6, 2


@dataclass(frozen=True)
class Network:
    """A chain with inputs ``[n_steps, n_samples, ...]``."""

    program: Program
    inputs: np.ndarray
    has_spike_input: bool

    @property
    def trace(self) -> Trace:
        return Engine(self.program).run(Given(self.inputs), n_steps=len(self.inputs)).trace

    def save(self, path: Path) -> None:
        """Write the network as torch_chains.py reads it."""
        layers, arrays = [], {"input": self.inputs.astype(np.float32)}
        for i, node in enumerate(self.program.linear_maps):
            if isinstance(node, Dense | Conv):
                layers.append({"kind": type(node).__name__, "number": i, "neuron": self._neuron(node.name)})
                arrays[f"weight_{i}"] = node.weight.astype(np.float32)
                if node.bias is not None:
                    arrays[f"bias_{i}"] = node.bias.astype(np.float32)
            if isinstance(node, Conv):
                layers[-1] |= {name: getattr(node, name) for name in ("stride", "padding", "dilation", "groups")}
        np.savez(path, layers=json.dumps(layers), has_spike_input=self.has_spike_input, **arrays)

    def _neuron(self, name: str) -> dict[str, Any] | None:
        receiver = self.program[self.program.outgoing[name][0].target]
        if not isinstance(receiver, NeuronLayer):
            return None
        return {"leaky": isinstance(receiver.neuron, LIF), "threshold": float(receiver.neuron.v_threshold)}


class _Drawn:
    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._seed = seed

    def map(self, kind: str, name: str, n_in: int, n_out: int) -> Dense | Conv:
        rng = self._rng
        shape = (n_out, n_in, 3, 3) if kind == "conv" else (n_out, n_in)
        weight = UNIT * rng.integers(-6, 11, shape)
        weight[rng.random(shape) < 0.2] = 0
        bias = UNIT * rng.integers(-3, 4, n_out) if rng.random() < 0.6 else None
        if kind == "dense":
            return Dense(name=name, weight=weight, bias=bias)
        stride, padding = (int(n) for n in rng.integers((1, 0), (3, 2)))
        return Conv(name=name, weight=weight, bias=bias, stride=(stride, stride), padding=(padding, 1))

    def neurons(self, name: str, shape: tuple[int, ...], fan_in: int) -> NeuronLayer:
        size = UNIT * round(math.sqrt(fan_in) * self._rng.choice([3, 8, 16])) + BETWEEN
        given = {"v_threshold": np.array(size), "v_reset": np.array(0.0)}
        neuron = LIF(beta=np.array(0.5), **given) if self._rng.random() < 0.6 else IF(**given)
        return NeuronLayer(name=name, shape=shape, neuron=neuron)

    def inputs(self, shape: tuple[int, ...], *, spikes: bool) -> np.ndarray:
        values = UNIT * self._rng.integers(0, 17, (N_STEPS, N_SAMPLES, *shape))
        if spikes:
            values = self._rng.random(values.shape) < (0.05, 0.2, 0.5)[self._seed % 3]
        return values.astype(float)

    def network(self) -> Network:
        conv = self._seed % 2 == 0
        shape = (2, 8, 9) if conv else (20,)
        nodes: list[Node] = [Input(name="input", shape=shape)]
        for i, kind in enumerate(("conv", "conv", "dense", "dense") if conv else ("dense", "dense", "dense")):
            if kind == "dense" and len(shape) > 1:
                shape = (math.prod(shape),)
                nodes.append(Flatten(name="flat"))
            node = self.map(kind, f"map{i}", shape[0], int(self._rng.integers(5, 12)))
            fan_in = int(node.weight[0].size)
            shape = node.out_shape(shape)
            nodes += [node, self.neurons(f"neurons{i}", shape, fan_in)]
        if self._seed % 3:
            nodes.pop()  # the output is a sum
        nodes.append(Output(name="out"))
        edges = [Edge(source.name, target.name) for source, target in pairwise(nodes)]
        spikes = self._seed % 5 < 3
        inputs = self.inputs(nodes[0].shape, spikes=spikes)  # type: ignore[attr-defined]
        return Network(build(nodes, edges, dt_s=1e-3, n_steps=N_STEPS), inputs, spikes)


def networks() -> Iterator[Network]:
    """Yield ten networks."""
    for seed in range(10):
        yield _Drawn(seed).network()
