"""The weights that a run begins with: those of another run."""

from collections.abc import Mapping

import torch
from safetensors.torch import load
from torch import Tensor

from tdd_deploy.errors import BadOptions, Violation

from .network import Network, Neurons

StateDict = Mapping[str, Tensor]  # weights, and statistics of norms, by name


def read_weights(content: bytes) -> StateDict:
    """Read the weights of a run from the content of its network.safetensors.

    Raises:
        ValueError: it is damaged.
    """
    try:
        found: StateDict = load(content)
    except Exception as error:  # safetensors raises errors of several kinds, some without a public name
        raise ValueError("damaged") from error
    if not all(bool(values.isfinite().all()) for values in found.values()):
        raise ValueError("not finite")
    return found


@torch.no_grad()
def begin_with(network: Network, weights: StateDict) -> None:
    """Copy the weights of another run, with the statistics of its norms, into a network.

    The network keeps its own number of its neurons, such as beta or a norm of potentials, where only one of the two
    learns it.

    Raises:
        BadOptions: every weight that is missing, unknown, or of another shape.
    """
    own = network.state_dict()
    of_neurons = tuple(f"{part.name}." for part in network.parts if isinstance(part.module, Neurons))
    spiking = {name: name.startswith(of_neurons) for name in own.keys() | weights.keys()}
    found = []
    for name in [*own, *sorted(weights.keys() - own.keys())]:
        if name not in own or name not in weights:
            if not spiking[name]:
                where = "only in this network" if name in own else "only in the other run"
                found.append(Violation(name, f"is {where}"))
        elif own[name].shape != weights[name].shape:
            now, then = (" x ".join(map(str, each[name].shape)) or "one number" for each in (own, weights))
            found.append(Violation(name, f"is {now} in this network and {then} in the other run"))
    if found:
        raise BadOptions("the weights of `from` do not fit this network", found)
    for name, values in weights.items():
        if name in own:
            own[name].copy_(values)
