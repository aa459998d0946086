"""Estimate energy by the code of Lemaire's co-authors, Qualia; runs in the peers' environment.

Usage: qualia_energy.py FOLDER

Prints JSON: for each network of the folder (torch_chains.py) the energy in pJ of the spiking network and of the dense
one. Rates are means over samples, as Qualia takes them.
"""

import json
import logging
import math
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from qualia_codegen_core.graph import ModelGraph
from qualia_codegen_core.graph.LayerNode import LayerNode
from qualia_codegen_core.graph.layers import TConv2DLayer, TDenseLayer, TInputLayer
from qualia_codegen_core.graph.layers.TActivationLayer import TActivation
from qualia_codegen_plugin_snn.graph.layers import TIfLayer, TLifLayer
from qualia_plugin_snn.postprocessing.EnergyEstimationMetric import EnergyEstimationMetric
from spikingjelly.activation_based import functional
from spikingjelly_energy import neurons
from torch import nn
from torch_chains import Chain, chains

QUEUED = 1000


def graph_of(chain: Chain, outputs: list[torch.Tensor]) -> ModelGraph:
    """Build Qualia's graph: an input, then each map, with its neurons."""
    graph = ModelGraph()
    shape: tuple[int, ...] = channel_last(chain.inputs[0])
    before = LayerNode(TInputLayer([shape], [shape], [np.float32], "input"))
    graph.add_node(before)
    for i, (layer, made, output) in enumerate(zip(chain.maps, chain.neurons, outputs, strict=True)):
        out = channel_last(output)
        shape = shape if isinstance(layer, nn.Conv2d) else (1, math.prod(shape[1:]))
        node = LayerNode(described(layer, ([shape], [out], [np.float32], f"map{i}")))
        graph.add_node(node, innodes=[before])
        before, shape = node, out
        if made is not None:
            given = ([out], [out], [np.float32], f"neurons{i}", made["threshold"], 0.0, False)
            before = LayerNode(TLifLayer(*given, 0.5, False) if made["leaky"] else TIfLayer(*given))
            graph.add_node(before, innodes=[node])
    return graph


def channel_last(x: torch.Tensor) -> tuple[int, ...]:
    """Return the shape of one sample, ``(1, height, width, channels)`` or ``(1, n)``."""
    return (1, *x.shape[2:], x.shape[1])


def described(layer: nn.Module, common: tuple[Any, ...]) -> TConv2DLayer | TDenseLayer:
    kernel = layer.weight.detach().numpy()
    bias = np.zeros(0) if layer.bias is None else layer.bias.detach().numpy()
    given = (layer.bias is not None, bias)
    if isinstance(layer, nn.Linear):
        return TDenseLayer(*common, TActivation.LINEAR, kernel, len(kernel), *given)
    padding = tuple((n, n) for n in layer.padding)
    sizes = (layer.kernel_size, layer.stride, len(kernel))
    return TConv2DLayer(*common, TActivation.LINEAR, kernel, *sizes, *given, layer.groups, padding)


def recorded(chain: Chain) -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
    """Return what enters each map, what leaves it, and what its neurons send, over all steps."""
    network = chain.spiking(neurons)
    ins, outs, sent = ([[] for _ in chain.maps] for _ in range(3))
    for i, layer in enumerate(chain.maps):
        at = list(network).index(layer)
        after = network[at + 1] if chain.neurons[i] else layer
        layer.register_forward_hook(lambda _, x, y, i=i: ins[i].append(x[0]))
        layer.register_forward_hook(lambda _, x, y, i=i: outs[i].append(y))
        after.register_forward_hook(lambda _, x, y, i=i: sent[i].append(y))
    functional.reset_net(network)
    for frame in chain.inputs:
        network(frame)
    return tuple([torch.stack(values) for values in kept] for kept in (ins, outs, sent))  # type: ignore[return-value]


def estimated(chain: Chain) -> dict[str, float]:
    metric = EnergyEstimationMetric(mem_width=32, fifo_size=QUEUED)
    access = partial(metric._e_ram, bits=32)
    ins, outs, sent = recorded(chain)
    graph = graph_of(chain, [values[0] for values in outs])
    names = [f"map{i}" for i in range(len(chain.maps))]

    def by_name(values: list[Any], total: Any) -> dict[str, Any]:
        return {**dict(zip(names, values, strict=True)), "__TOTAL__": total}

    rates = [[float(x.count_nonzero() / x.numel()) for x in kept] for kept in (ins, sent)]
    binary = [[bool(((x == 0) | (x == 1)).all()) for x in kept] for kept in (ins, sent)]
    (*_, spiking) = metric._compute_model_energy_snn(
        graph,
        *(by_name(each, 0.0) for each in rates),
        *({**by_name(each, False), **{node.layer.name: False for node in graph.nodes if node.layer.name not in names}}
          for each in binary),
        *(by_name([0] * len(names), 0) for _ in range(2)),
        dict.fromkeys(names, True),
        len(chain.inputs),
        access,
        access,
    )  # fmt: skip
    (*_, dense) = metric._compute_model_energy_fnn(graph, access, access)
    return {"spiking": spiking.total, "dense": dense.total}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable()
    torch.set_num_threads(1)
    with torch.inference_mode():
        json.dump([estimated(chain) for chain in chains(Path(sys.argv[1]))], sys.stdout)
