"""Time a training step of tdd-deploy, SpikingJelly and snnTorch with the same network, batch, loss and optimizer.

    make peers && .venv-peers/bin/python -m benchmarks.training.speed [--threads 2] [--rounds 7]

The network is conv-medium on 28x28: four convolutions with batch norm, one dense layer, LIF, hard reset, beta 0.5. The
input is one random image per sample, shown at every step; the loss is TET's, the optimizer AdamW. SpikingJelly runs in
its multi-step mode, snnTorch step by step, as their documentation shows. The process keeps freed memory, for all three,
since page faults cause much of the noise. Rounds are interleaved; medians and their ratios are reported. Outputs in
evaluation mode are compared first, since equal weights must give equal outputs. Writes results/speed.json.
"""

import argparse
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

warnings.simplefilter("ignore")

import snntorch  # noqa: E402
from spikingjelly.activation_based import functional, layer, neuron, surrogate  # noqa: E402

from tdd_deploy.files import write_json  # noqa: E402
from tdd_deploy.options.training import TrainOptions  # noqa: E402
from tdd_deploy.training.architectures import NETWORKS  # noqa: E402
from tdd_deploy.training.build import make_network  # noqa: E402
from tdd_deploy.training.malloc import keep_freed_memory  # noqa: E402
from tdd_deploy.training.network import Connection  # noqa: E402

CLASSES, SIZE = 10, 28
BATCH_NORMS = nn.BatchNorm1d | nn.BatchNorm2d


class Ours(nn.Module):
    def __init__(self, n_steps: int) -> None:
        super().__init__()
        self.n_steps = n_steps
        self.network = make_network(TrainOptions(network="conv-medium"), (1, SIZE, SIZE), CLASSES)
        self.network.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        return self.network.unroll(x.to(memory_format=torch.channels_last)[None], self.n_steps).outputs


def parts_of(kit: Any, lif: Callable[[], nn.Module]) -> list[nn.Module]:
    """Return conv-medium as a list of a library's maps and neurons, in order."""
    parts: list[nn.Module] = []
    channels, size = 1, SIZE
    for n_out, stride in NETWORKS["conv-medium"].convolutions:
        parts += [kit.Conv2d(channels, n_out, 3, stride, 1, bias=False), kit.BatchNorm2d(n_out), lif()]
        channels, size = n_out, (size - 1) // stride + 1
    parts += [kit.Flatten(), kit.Linear(channels * size**2, 128, bias=False), kit.BatchNorm1d(128), lif()]
    return [*parts, kit.Linear(128, CLASSES)]


class SpikingJelly(nn.Module):
    def __init__(self, n_steps: int) -> None:
        super().__init__()
        self.n_steps = n_steps
        self.parts = nn.Sequential(*parts_of(layer, self._lif))
        functional.set_step_mode(self, "m")

    def forward(self, x: Tensor) -> Tensor:
        functional.reset_net(self)
        return self.parts(x.expand(self.n_steps, *x.shape))

    @staticmethod
    def _lif() -> nn.Module:
        # tau 2 without decay of the input: v = v / 2 + x
        return neuron.LIFNode(tau=2.0, decay_input=False, surrogate_function=surrogate.ATan())


class SnnTorch(nn.Module):
    def __init__(self, n_steps: int) -> None:
        super().__init__()
        self.n_steps = n_steps
        self.parts = nn.ModuleList(parts_of(nn, self._lif))

    def forward(self, x: Tensor) -> Tensor:
        membranes: dict[int, Tensor] = {}
        outputs = []
        for _ in range(self.n_steps):
            value = x
            for place, part in enumerate(self.parts):
                if isinstance(part, snntorch.Leaky):
                    before = membranes[place] if place in membranes else part.reset_mem()
                    value, membranes[place] = part(value, before)
                else:
                    value = part(value)
            outputs.append(value)
        return torch.stack(outputs)

    @staticmethod
    def _lif() -> nn.Module:
        return snntorch.Leaky(beta=0.5, reset_mechanism="zero", reset_delay=False)


def weights_of(module: nn.Module) -> list[nn.Module]:
    """Return the modules that hold weights, in the order of execution."""
    if isinstance(module, Ours):
        found: list[nn.Module] = []
        for connection in module.network.connections.values():
            assert isinstance(connection, Connection)
            found += [connection.weights, *([] if connection.norm is None else [connection.norm])]
        return found
    return [part for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear | BATCH_NORMS)]


def same_weights(modules: list[nn.Module]) -> None:
    first, *others = [weights_of(module) for module in modules]
    for other in others:
        for mine, theirs in zip(first, other, strict=True):
            theirs.load_state_dict(mine.state_dict())


def step_of(module: nn.Module, x: Tensor, labels: Tensor, n_steps: int) -> Callable[[], float]:
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4)
    repeated = labels.repeat(n_steps)

    def step() -> float:
        begin = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(module(x).flatten(0, 1), repeated).backward()
        optimizer.step()
        return time.perf_counter() - begin

    return step


def same_fraction(modules: dict[str, nn.Module], x: Tensor) -> dict[str, float]:
    """Return the fraction of outputs, over all steps, that equal ours within 1e-3, in evaluation mode.

    The others belong to samples in which a potential met its threshold within the rounding of float32.
    """
    with torch.no_grad():
        outputs = {name: module.eval()(x) for name, module in modules.items()}
    for module in modules.values():
        module.train()
    ours = outputs["tdd-deploy"]
    return {name: float(((found - ours).abs() < 1e-3).float().mean()) for name, found in outputs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=64)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    rows: list[dict[str, Any]] = []
    for n_steps in (4, 6):
        torch.manual_seed(0)
        kinds = {"tdd-deploy": Ours, "spikingjelly": SpikingJelly, "snntorch": SnnTorch}
        modules: dict[str, nn.Module] = {name: kind(n_steps) for name, kind in kinds.items()}
        same_weights(list(modules.values()))
        x, labels = torch.rand(given.batch, 1, SIZE, SIZE), torch.randint(0, CLASSES, (given.batch,))
        same = same_fraction(modules, x)
        steps = {name: step_of(module, x, labels, n_steps) for name, module in modules.items()}
        seconds: dict[str, list[float]] = {name: [] for name in steps}
        for round_ in range(given.rounds + 2):
            for name, step in steps.items():
                took = step()
                if round_ >= 2:  # the first ones compile and allocate
                    seconds[name].append(took)
        for name, took in seconds.items():
            median = statistics.median(took)
            ratio = median / statistics.median(seconds["tdd-deploy"])
            rows.append({
                "steps": n_steps, "name": name, "median_ms": 1e3 * median, "times_ours": ratio,
                "fastest_ms": 1e3 * min(took), "same_outputs": same[name],
            })  # fmt: skip
            print(f"T={n_steps} {name:12} {1e3 * median:8.1f} ms  {ratio:5.2f} x ours  ({same[name]:.1%} same)")
    versions = {name: metadata.version(name) for name in ("torch", "spikingjelly", "snntorch")}
    document = {
        "threads": given.threads,
        "batch": given.batch,
        "rounds": given.rounds,
        "versions": {"python": platform.python_version(), **versions},
        "rows": rows,
    }
    write_json(Path(__file__).parent / "results" / "speed.json", document)


if __name__ == "__main__":
    main()
