"""The contents of a file, every choice named."""

import math
from typing import Any

from tdd_deploy.importers import AmbiguousGraph, survey
from tdd_deploy.options.model import Model
from tdd_deploy.program import Conv, Dense, Program, describe
from tdd_deploy.program.bounds import wrapping_layers
from tdd_deploy.program.rounding import rounding_receivers
from tdd_deploy.run_folder import RunFolder

from .load import Network, load, path_of


def inspect(network: Network, *, model: Model = Model()) -> dict[str, Any]:
    """Describe the contents of a .nir, .net or .onnx file, a run folder or a Program, as plain values.

    For a file of another tool without a dialect, return its contents and what each dialect would make of it.

    Args:
        network: the file, the folder or the Program.
        model: how a file of another tool is read.
    """
    try:
        program = load(network, model)
    except AmbiguousGraph:
        path = path_of(network)
        assert path is not None
        return survey(RunFolder.network_of(path), strict=model.strict)
    nodes = [
        {
            "name": node.name,
            "kind": describe.kind(node),
            "shape": list(program.shapes[node.name]),
            "parameters": describe.parameters(node),
            "from": [f"{e.source} ({e.delay} step ago)" if e.delay else e.source for e in program.incoming[node.name]],
        }
        for node in program.nodes
    ]
    return {
        "nodes": nodes,
        "neurons": sum(math.prod(layer.shape) for layer in program.neuron_layers),
        "weights": sum(_n_weights(node) for node in program.linear_maps if isinstance(node, Dense | Conv)),
        "time step": f"{program.dt_s:g} s",
        "time constants": ", ".join(describe.time_constants(program)) or "none",
        "time steps per sample": program.n_steps or "not stated: data without a time axis need `steps`",
        "integration": program.integration,
        "encoder": program.encoder,
        "number format": program.number_format,
        "currents that can round": ", ".join(rounding_receivers(program)) or _unrounded(program),
        **_overflow(program),
        "digest": program.digest,
        **program.provenance,
    }


def _n_weights(node: Dense | Conv) -> int:
    """Count the weights of a map, without zeros that even out padding."""
    return int(node.taps.sum()) * math.prod(node.weight.shape[:2]) if isinstance(node, Conv) else node.weight.size


def _unrounded(program: Program) -> str:
    """Describe for which inputs the currents of a program cannot round."""
    is_any = program.number_format == "integer" or program.encoder != "direct"
    return f"none{'' if is_any else ', for inputs k/256 up to 1'}: every code gives the same spikes"


def _overflow(program: Program) -> dict[str, str]:
    """Name the layers of an integer program for which 24 bits may not do."""
    if program.number_format != "integer":
        return {}
    return {"layers whose current can wrap": ", ".join(wrapping_layers(program)) or "none, whatever the input"}
