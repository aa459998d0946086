"""Random networks of other frameworks, run by them and written by their own exporters; in the peers' environment.

Usage: peer_networks.py FRAMEWORK FOLDER

Writes for each network NAME.nir and NAME.npz: ``input`` [steps, batch, ...], and what each layer of neurons sent, under
the name that its node has; and dialects.json: {NAME: the --dialect that says what the file does not}.
"""

import itertools
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from torch import nn

Make = Callable[..., nn.Module]
STEPS, BATCH, SIZES, IMAGE = 24, 8, (12, 20, 8), (2, 8, 8)
SHAPES = {"dense": ((20,), (8,)), "conv": ((4, 6, 6), (8,))}  # of the layers of neurons


@dataclass(frozen=True)
class Network:
    """A network, the dialect of its file, its neurons by the names of their nodes, and its framework's exporter."""

    name: str
    dialect: str
    module: nn.Module
    neurons: Mapping[str, nn.Module]
    export: Callable[[], nir.NIRGraph]


def fill(module: nn.Module, seed: int, *, gaussian: bool) -> None:
    """Draw weights: multiples of 1/16, so that float32 sums them exactly in any order, or numbers that round."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            fan_in = part.weight[0].numel()
            for values in [part.weight] if part.bias is None else [part.weight, part.bias]:
                drawn = torch.randn(values.shape, generator=generator) * 1.2 / fan_in**0.5 + 0.6 / fan_in
                values.data = drawn if gaussian else torch.round(drawn * 16) / 16


def drawn_input(seed: int, *, conv: bool) -> torch.Tensor:
    """Draw [steps, batch, ...] of 0, 1/4, ... 1."""
    generator = torch.Generator().manual_seed(1000 + seed)
    shape = (STEPS, BATCH, *(IMAGE if conv else SIZES[:1]))
    return torch.randint(0, 5, shape, generator=generator) / 4 * (torch.rand(shape, generator=generator) < 0.6)


def stack(
    first: nn.Module, second: nn.Module, *, conv: bool, pool: type[nn.Module] | None = nn.AvgPool2d, bias: bool = True
) -> list[nn.Module]:
    """Return the layers of a network of two layers of neurons."""
    if not conv:
        return [nn.Linear(*SIZES[:2], bias=bias), first, nn.Linear(*SIZES[1:], bias=bias), second]
    pooled = [] if pool is None else [pool(2)]
    n_pooled = 36 if pool else 144
    maps = [nn.Conv2d(2, 4, 3, bias=bias), first, *pooled, nn.Flatten(), nn.Linear(n_pooled, 8, bias=bias)]
    return [*maps, second]


def numbered(module: nn.Module, kinds: Any, prefix: str = "", suffix: str = "") -> dict[str, nn.Module]:
    """Return the children of some kinds by the names of their nodes."""
    return {f"{prefix}{name}{suffix}": part for name, part in module.named_children() if isinstance(part, kinds)}


# ---- snnTorch


def snntorch() -> Iterator[Network]:
    import snntorch as snn
    from snntorch.export_nir import export_to_nir

    def leaky(shape: tuple[int, ...], **said: Any) -> nn.Module:
        return snn.Leaky(beta=torch.full(shape, 0.875), threshold=torch.ones(shape), **said)

    def synaptic(shape: tuple[int, ...], **said: Any) -> nn.Module:
        alpha, beta = torch.full(shape, 0.5), torch.full(shape, 0.75)
        return snn.Synaptic(alpha=alpha, beta=beta, threshold=torch.ones(shape), **said)

    def rleaky(shape: tuple[int, ...], **said: Any) -> nn.Module:
        return snn.RLeaky(beta=0.875, linear_features=shape[0], **said)

    def one_to_one(shape: tuple[int, ...], **said: Any) -> nn.Module:
        return snn.RLeaky(beta=0.875, all_to_all=False, V=torch.arange(shape[0]) / 16 - 0.5, **said)

    def rsynaptic(shape: tuple[int, ...], **said: Any) -> nn.Module:
        return snn.RSynaptic(alpha=0.5, beta=0.75, linear_features=shape[0], **said)

    class Carrying(snn.RSynaptic):
        """An RSynaptic with states as arguments: snnTorch 1.0 computes reset_delay=False in no other way."""

        states: tuple[torch.Tensor, ...] | None = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.states = super().forward(x, *(self.states or 3 * (torch.zeros_like(x),)))
            return self.states[0]

    def carrying(shape: tuple[int, ...], **said: Any) -> nn.Module:
        return Carrying(alpha=0.5, beta=0.75, linear_features=shape[0], **said | {"init_hidden": False})

    resets = {"subtract": "soft", "zero": "hard", "none": "none"}
    kinds = {"leaky": leaky, "synaptic": synaptic, "rleaky": rleaky, "one_to_one": one_to_one, "rsynaptic": rsynaptic}
    dense = itertools.product(kinds, ["dense"], resets, (True, False), (False, True))
    conv = itertools.product(["leaky", "synaptic"], ["conv"], resets, (True, False), [False])
    for kind, where, reset, delay, gaussian in [*dense, *conv]:
        if kind == "rsynaptic" and not delay:
            continue  # snnTorch 1.0 computes it with a name that it has not set, and raises
        shapes = SHAPES[where]
        said: dict[str, Any] = {"init_hidden": True, "reset_mechanism": reset, "reset_delay": delay}
        module = nn.Sequential(*stack(*(kinds[kind](shape, **said) for shape in shapes), conv=where == "conv"))
        fill(module, 1, gaussian=gaussian)
        suffix = ".lif" if kind.startswith(("r", "one")) else ""
        sample = drawn_input(0, conv=where == "conv")[0, :1]
        yield Network(
            "-".join([kind, where, reset, "delay" if delay else "now", *(["gaussian"] if gaussian else [])]),
            f"snntorch,reset={resets[reset]},reset_delay={'yes' if delay else 'no'}",
            module,
            numbered(module, snn.SpikingNeuron, suffix=suffix),
            partial(export_to_nir, module, sample, ignore_dims=[0]),
        )
    now, late, soft, hard, none = {"reset_delay": False}, {"reset_delay": True}, "subtract", "zero", "none"
    mixed: list[tuple[str, Make, str, dict[str, bool], Make, str, dict[str, bool]]] = [
        ("reset=subtract,reset_delay=yes,reset[3]=none", leaky, soft, late, leaky, none, late),
        ("reset=zero,reset_delay=no,reset[3]=subtract,reset_delay[3]=yes", leaky, hard, now, leaky, soft, late),
        ("reset=soft,reset[3.lif]=hard,reset_delay=no,reset_delay[3]=yes", synaptic, soft, now, rleaky, hard, late),
        ("reset=soft,reset_delay[1]=no,reset_delay[3]=yes", synaptic, soft, now, carrying, soft, now),
        ("reset=hard,reset_delay=no,reset_delay[1]=yes", carrying, hard, now, synaptic, hard, now),
        ("reset=soft,reset[1.lif]=none,reset_delay=no", carrying, none, now, synaptic, soft, now),
    ]
    for number, (choices, first, reset, when, second, reset_2, when_2) in enumerate(mixed):
        layers = [
            make(shape, init_hidden=True, reset_mechanism=mechanism, **delay)
            for make, shape, mechanism, delay in zip(
                (first, second), SHAPES["dense"], (reset, reset_2), (when, when_2), strict=True
            )
        ]
        module = nn.Sequential(*stack(*layers, conv=False))
        fill(module, 5 + number, gaussian=False)
        neurons = {
            name + (".lif" if isinstance(part, snn.RLeaky | snn.RSynaptic) else ""): part
            for name, part in numbered(module, snn.SpikingNeuron).items()
        }
        export = partial(export_to_nir, module, drawn_input(0, conv=False)[0, :1], ignore_dims=[0])
        yield Network(f"mixed-dense-{number}", f"snntorch,{choices}", module, neurons, export)


# ---- Norse


class _Stepped(nn.Module):
    """A stateful network of Norse that keeps its own state."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module, self.state = module, None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, self.state = self.module(x, self.state)
        return out


def norse() -> Iterator[Network]:
    import norse.torch as nt
    from norse.torch.functional.leaky_integrator_box import LIBoxParameters
    from norse.torch.functional.lif_box import LIFBoxParameters
    from norse.torch.functional.reset import reset_subtract

    def lif_box(shape: tuple[int, ...], v_leak: float = 0.0, **said: Any) -> nn.Module:
        full = {"v_leak": torch.full(shape, v_leak), "v_th": torch.full(shape, 0.3), "v_reset": torch.zeros(shape)}
        return nt.LIFBoxCell(LIFBoxParameters(tau_mem_inv=torch.full(shape, 250.0), **full, **said))

    def soft(shape: tuple[int, ...]) -> nn.Module:
        return lif_box(shape, reset_method=reset_subtract)

    def leaking(shape: tuple[int, ...]) -> nn.Module:
        return lif_box(shape, v_leak=0.125)

    def iaf(shape: tuple[int, ...]) -> nn.Module:
        return nt.IAFCell(nt.IAFParameters(v_th=torch.ones(shape)))

    def lif(shape: tuple[int, ...]) -> nn.Module:
        tau_syn_inv, tau_mem_inv, zero = torch.full(shape, 500.0), torch.full(shape, 250.0), torch.zeros(shape)
        return nt.LIFCell(nt.LIFParameters(tau_syn_inv, tau_mem_inv, zero, torch.full(shape, 0.4), zero))

    def li(shape: tuple[int, ...]) -> nn.Module:
        return nt.LIBoxCell(LIBoxParameters(tau_mem_inv=torch.full(shape, 125.0), v_leak=torch.zeros(shape)))

    kinds = {
        "lif_box": (lif_box, lif_box, ""),
        "soft": (soft, soft, ",reset=soft"),
        "leaking": (leaking, leaking, ""),
        "iaf": (iaf, iaf, ""),
        "lif": (lif, lif, ""),
        "lif_li": (lif, li, ""),
    }
    for kind, gaussian in itertools.product(kinds, (False, True)):
        first, second, more = kinds[kind]
        module = nt.SequentialState(
            *stack(*(make(s) for make, s in zip((first, second), SHAPES["dense"], strict=True)), conv=False)
        )
        fill(module, 2, gaussian=gaussian)
        name = f"{kind}-dense{'-gaussian' if gaussian else ''}"
        cells = (nt.LIFBoxCell, nt.IAFCell, nt.LIFCell, nt.LIBoxCell)
        export = partial(nt.to_nir, module, drawn_input(0, conv=False)[0, :1])
        yield Network(name, f"norse,tau=times_dt{more}", _Stepped(module), numbered(module, cells), export)
    module = nt.SequentialState(nn.Conv2d(2, 4, 3), lif_box((4, 6, 6)), nn.Conv2d(4, 4, 3), iaf((4, 4, 4)))
    fill(module, 2, gaussian=False)
    yield Network(
        "lif_box-conv",
        "norse,tau=times_dt",
        _Stepped(module),
        numbered(module, (nt.LIFBoxCell, nt.IAFCell)),
        lambda: sized(nt.to_nir(module, drawn_input(0, conv=True)[0, :1]), {"0": (8, 8), "2": (6, 6)}),
    )


def sized(graph: nir.NIRGraph, sizes: Mapping[str, tuple[int, int]]) -> nir.NIRGraph:
    """Say what size the images have that convolutions receive: left open, it cannot be written."""
    for name, size in sizes.items():
        graph.nodes[name].input_shape = size
    return graph


# ---- sinabs


class _Batched(nn.Module):
    """A network of sinabs's ``Squeeze`` layers, whose first dimension is sample after sample of steps."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(x.transpose(0, 1).flatten(0, 1))


def sinabs() -> Iterator[Network]:
    import sinabs.layers as sl
    from sinabs.activation import MembraneReset, MembraneSubtract, MultiSpike, SingleSpike
    from sinabs.nir import to_nir

    spikes = {"many": MultiSpike, "one": SingleSpike}
    resets = {"soft": MembraneSubtract(), "hard": MembraneReset()}

    def neuron(kind: str, shape: tuple[int, ...], norm: str, **said: Any) -> nn.Module:
        said |= {"spike_threshold": torch.full(shape, 1.0), "batch_size": BATCH}
        if kind == "iaf":
            return sl.IAFSqueeze(**said)
        return sl.LIFSqueeze(tau_mem=torch.full(shape, 6.0), norm_input=norm == "norm", **said)

    dense = itertools.product(("iaf", "lif"), ["dense"], spikes, resets, ("norm", "one"), (None, -0.5), (False, True))
    conv = itertools.product(("iaf", "lif"), ["conv"], spikes, ["soft"], ["one"], (None, -0.5), [False])
    for kind, where, many, reset, norm, lowest, gaussian in [*dense, *conv]:
        if kind == "iaf" and norm == "norm":
            continue
        said: dict[str, Any] = {"spike_fn": spikes[many], "reset_fn": resets[reset], "min_v_mem": lowest}
        first, second = (neuron(kind, shape, norm, **said) for shape in SHAPES[where])
        module = nn.Sequential(*stack(first, second, conv=where == "conv", pool=sl.SumPool2d))
        fill(module, 3, gaussian=gaussian)
        louder(module, 5 if norm == "norm" else 1)
        parts = [kind, where, many, reset, norm, *(["lowest"] if lowest else []), *(["gaussian"] if gaussian else [])]
        least = f",v_min={lowest}" if lowest else ""
        yield Network(
            "-".join(parts),
            f"sinabs,gain={norm},spikes={many},reset={reset}{least}",
            _Batched(module),
            numbered(module, (sl.IAFSqueeze, sl.LIFSqueeze)),
            lambda module=module, conv=where == "conv": inferred(to_nir(module, flat_input(conv=conv))),
        )
    for gain in (True, False):
        first = neuron("lif", (20,), "norm")
        last = sl.ExpLeakSqueeze(tau_mem=torch.full((8,), 10.0), norm_input=gain, batch_size=BATCH)
        module = nn.Sequential(*stack(first, last, conv=False))
        fill(module, 3, gaussian=False)
        louder(module, 5)
        yield Network(
            f"exp_leak-dense-{'norm' if gain else 'one'}",
            f"sinabs,gain=norm,spikes=many{',gain_li=norm' if gain else ''}",
            _Batched(module),
            numbered(module, (sl.LIFSqueeze, sl.ExpLeakSqueeze)),
            partial(to_nir, module, flat_input(conv=False)),
        )


def louder(module: nn.Module, factor: float) -> None:
    """Multiply weights: what is normalized arrives as a fraction."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            part.weight.data *= factor


def flat_input(*, conv: bool) -> torch.Tensor:
    return drawn_input(0, conv=conv)[:2].transpose(0, 1).flatten(0, 1)


def inferred(graph: nir.NIRGraph) -> nir.NIRGraph:
    """Say what shapes convolutions and flattenings receive: left open, they cannot be written."""
    graph.infer_types()
    return graph


# ---- SpikingJelly


def spikingjelly() -> Iterator[Network]:
    from spikingjelly.activation_based import layer, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    def made(kind: str, v_reset: float) -> nn.Module:
        said: dict[str, Any] = {"v_reset": v_reset}
        match kind:
            case "if":
                return neuron.IFNode(**said)
            case "lif_decaying":
                return neuron.LIFNode(tau=4.0, v_threshold=0.25, decay_input=True, **said)
            case "lif":
                return neuron.LIFNode(tau=4.0, decay_input=False, **said)
            case "plif":
                return neuron.ParametricLIFNode(init_tau=4.0, decay_input=False, **said)
            case "plif_decaying":
                return neuron.ParametricLIFNode(init_tau=4.0, v_threshold=0.25, decay_input=True, **said)
        return neuron.CUBALIFNode(c_decay=0.5, v_decay=0.75, v_threshold=1.0, **said)

    kinds = ("if", "lif_decaying", "lif", "plif", "plif_decaying", "cuba")
    dense = itertools.product(kinds, ["dense"], (0.0, -0.25), (False, True))
    conv = itertools.product(kinds, ["conv"], [0.0], [False])
    for kind, where, v_reset, gaussian in [*dense, *conv]:
        if kind == "cuba" and v_reset:
            continue  # starts at v_reset and leaks to 0: refused here
        conv_too = where == "conv"
        layers = stack(made(kind, v_reset), made(kind, v_reset), conv=conv_too, bias=not gaussian)
        module = nn.Sequential(*(layer.AvgPool2d(2) if isinstance(part, nn.AvgPool2d) else part for part in layers))
        fill(module, 4, gaussian=gaussian)
        louder(module, 2)
        parts = [kind, where, *(["below"] if v_reset else []), *(["gaussian"] if gaussian else [])]
        neurons = numbered(module, neuron.BaseNode, prefix="_")
        export = partial(export_to_nir, module, drawn_input(0, conv=conv_too)[0, :1])
        yield Network("-".join(parts), "spikingjelly", module, neurons, export)


# ---- all


def sent(network: Network, x: torch.Tensor, *, at_once: bool) -> dict[str, np.ndarray]:
    """Return what each layer of neurons sends, [steps, batch, ...]."""
    kept: dict[str, list[torch.Tensor]] = {name: [] for name in network.neurons}
    for name, module in network.neurons.items():

        def keep(_: nn.Module, __: Any, out: Any, name: str = name) -> None:
            kept[name].append(out[0] if isinstance(out, tuple) else out)

        module.register_forward_hook(keep)
    if at_once:
        network.module(x)
        return {n: v[0].unflatten(0, (BATCH, STEPS)).transpose(0, 1).detach().numpy() for n, v in kept.items()}
    for frame in x:
        network.module(frame)
    return {name: torch.stack(values).detach().numpy() for name, values in kept.items()}


def write(network: Network, folder: Path, *, at_once: bool) -> None:
    """Run first and export then: exporters leave states behind, and sinabs's needs those of a run."""
    x = drawn_input(0, conv="conv" in network.name)
    rasters = sent(network, x, at_once=at_once)
    nir.write(folder / f"{network.name}.nir", network.export())
    np.savez(folder / f"{network.name}.npz", input=x.numpy(), **rasters)


FRAMEWORKS = {"snntorch": snntorch, "norse": norse, "sinabs": sinabs, "spikingjelly": spikingjelly}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable()
    torch.set_num_threads(1)
    framework, folder = sys.argv[1], Path(sys.argv[2])
    dialects = {}
    for network in FRAMEWORKS[framework]():
        write(network, folder, at_once=framework == "sinabs")
        dialects[network.name] = network.dialect
    (folder / "dialects.json").write_text(json.dumps(dialects))
