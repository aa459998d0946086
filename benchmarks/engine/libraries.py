"""Build the same network in several libraries, as their documentation shows, for inference: ``BUILD[name](case)``.

The returned function executes samples ``[batch, ...]`` for all steps and returns the sums of outputs
``[batch, classes]``. It appends numbers of spikes to a list: per layer, or per step and layer if it goes step by step.
"""
# ruff: noqa: PLC0415  (each library is imported only where it is chosen)

from collections.abc import Callable
from typing import Any

import numpy as np

from .case import Case, Layer

Run = Callable[[np.ndarray, list[int] | None], np.ndarray]


def above(threshold: float) -> float:
    """Return the next float32: ``v >= above(threshold)`` is ``v > threshold``."""
    return float(np.nextafter(np.float32(threshold), np.float32(np.inf)))


def _maps(case: Case) -> list[Any]:
    """Return the linear maps as torch modules, flattening before the first dense one."""
    import torch
    from torch import nn

    torch.set_grad_enabled(False)
    modules: list[Any] = []
    for layer in case.layers:
        weight, bias = torch.from_numpy(layer.weight), torch.from_numpy(layer.bias)
        if weight.ndim == 4:
            out, channels, kernel, _ = weight.shape
            module: Any = nn.Conv2d(channels, out, kernel, layer.stride, (kernel - 1) // 2)
            module = module.to(memory_format=torch.channels_last)
        else:
            module = nn.Linear(weight.shape[1], weight.shape[0])
        module.weight.copy_(weight)
        module.bias.copy_(bias)
        is_first_dense = weight.ndim == 2 and not any(isinstance(m, nn.Sequential | nn.Linear) for m in modules)
        modules.append(nn.Sequential(nn.Flatten(), module) if is_first_dense else module)
    return modules


def _image(x: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(x).to(memory_format=torch.channels_last)


def torch_dense(case: Case) -> Run:
    """Execute layer by layer over all steps, which is fast in oneDNN; the first map once, since its input is static."""
    import torch

    maps = _maps(case)

    def run(x: np.ndarray, n_spikes: list[int] | None = None) -> np.ndarray:
        with torch.inference_mode():
            current = maps[0](_image(x)).expand(case.n_steps, *[-1] * 4)
            for module, layer in zip(maps[1:], case.layers, strict=False):
                v, sent = torch.zeros_like(current[0]), torch.empty_like(current)
                for t in range(case.n_steps):
                    spikes = v.mul_(layer.beta).add_(current[t]) > layer.threshold
                    v.masked_fill_(spikes, 0.0)
                    sent[t] = spikes
                if n_spikes is not None:
                    n_spikes.append(int(sent.sum()))
                current = module(sent.flatten(0, 1)).unflatten(0, (case.n_steps, len(x)))
            return current.sum(0).numpy()

    return run


def _stepped(
    case: Case, neurons: Callable[[Layer], Callable[[Any], Any]], reset: Callable[[], None] = lambda: None
) -> Run:
    """Execute step by step through all layers."""
    import torch

    maps = _maps(case)
    fire = [None if layer.beta is None else neurons(layer) for layer in case.layers]

    def run(x: np.ndarray, n_spikes: list[int] | None = None) -> np.ndarray:
        with torch.inference_mode():
            reset()
            image, total = _image(x), torch.zeros(())
            for _ in range(case.n_steps):
                value = image
                for module, spiking in zip(maps, fire, strict=True):
                    value = module(value)
                    if spiking is not None:
                        value = spiking(value)
                        if n_spikes is not None:
                            n_spikes.append(int(value.sum()))
                total = total + value
        return total.numpy()

    return run


def snntorch(case: Case) -> Run:
    import snntorch as library

    states: dict[int, Any] = {}

    def neurons(layer: Layer) -> Callable[[Any], Any]:
        leaky = library.Leaky(layer.beta, threshold=layer.threshold, reset_mechanism="zero", reset_delay=False)

        def fire(current: Any) -> Any:
            before = states[id(leaky)] if id(leaky) in states else leaky.reset_mem()
            spikes, states[id(leaky)] = leaky(current, before)
            return spikes

        return fire

    return _stepped(case, neurons, states.clear)


def spikingjelly(case: Case) -> Run:
    """Execute all steps of a layer at once, its fastest mode."""
    import torch
    from spikingjelly.activation_based import functional, neuron

    maps = _maps(case)
    fire = [
        neuron.LIFNode(
            tau=1 / (1 - layer.beta), decay_input=False, v_threshold=above(layer.threshold), v_reset=0.0, step_mode="m"
        ).eval()
        for layer in case.layers[:-1]
    ]

    def run(x: np.ndarray, n_spikes: list[int] | None = None) -> np.ndarray:
        with torch.inference_mode():
            current = maps[0](_image(x)).expand(case.n_steps, *[-1] * 4)
            for module, spiking in zip(maps[1:], fire, strict=True):
                functional.reset_net(spiking)
                spikes = spiking(current)
                if n_spikes is not None:
                    n_spikes.append(int(spikes.sum()))
                current = module(spikes.flatten(0, 1)).unflatten(0, (case.n_steps, len(x)))
            return current.sum(0).numpy()

    return run


def norse(case: Case) -> Run:
    import torch
    from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters, lif_box_feed_forward_step

    states: dict[int, Any] = {}

    def neurons(layer: Layer) -> Callable[[Any], Any]:
        gain = 1 - layer.beta  # v + gain (-v + i): its currents are ours / gain
        parameters = LIFBoxParameters(tau_mem_inv=torch.tensor(gain), v_th=torch.tensor(layer.threshold))

        def fire(current: Any) -> Any:
            state = states.get(id(parameters)) or LIFBoxFeedForwardState(v=torch.zeros_like(current))
            spikes, states[id(parameters)] = lif_box_feed_forward_step(current / gain, state, parameters, dt=1.0)
            return spikes

        return fire

    return _stepped(case, neurons, states.clear)


def sinabs(case: Case) -> Run:
    from sinabs import activation, layers

    made: list[Any] = []

    def neurons(layer: Layer) -> Callable[[Any], Any]:
        lif = layers.LIF(
            tau_mem=-1 / np.log(layer.beta), spike_threshold=above(layer.threshold), norm_input=False,
            spike_fn=activation.SingleSpike, reset_fn=activation.MembraneReset(), record_states=False,
        )  # fmt: skip
        made.append(lif)
        return lambda current: lif(current[:, None])[:, 0]

    def reset() -> None:
        for lif in made:
            lif.reset_states()

    return _stepped(case, neurons, reset)


BUILD: dict[str, Callable[[Case], Run]] = {
    "torch": torch_dense,
    "snntorch": snntorch,
    "spikingjelly": spikingjelly,
    "norse": norse,
    "sinabs": sinabs,
}
