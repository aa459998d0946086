"""Measure what TDD-DDLA's masks choose on trained networks, and what its training step costs.

    .venv/bin/python -m benchmarks.training.ddla RUN [RUN ...]   # runs of digits by pareto.py

Masks of the same network and samples are compared: of a serial and of an unrolled run, of a score and of random
numbers. Their agreement is the fraction of the neurons freed by the first mask that the second frees too. Writes
results/ddla.json; report.py makes tables of it.
"""

import argparse
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tdd_deploy import load
from tdd_deploy.data import open_data
from tdd_deploy.files import write_json
from tdd_deploy.options.training import TrainOptions
from tdd_deploy.training import load_run
from tdd_deploy.training.build import make_network, make_objective, make_strategy
from tdd_deploy.training.chance import generator_of
from tdd_deploy.training.choice import highest, highest_of_members
from tdd_deploy.training.malloc import keep_freed_memory
from tdd_deploy.training.methods import Sent, TetLoss
from tdd_deploy.training.network import Network
from tdd_deploy.training.scores import Scoring
from tdd_deploy.training.strategies import Batch, Objective, Unrolling

SAMPLES, N_STEPS = 256, 6
MODES: Mapping[str, Mapping[str, Any]] = {
    "TET": {"method": "tet"},
    "L1 on spikes": {"method": "l1-spikes"},
    "gsc": {},
    "jac": {"score": "jac"},
    "random": {"score": "random"},
    "gsc, `--score-from run`": {"score_from": "run"},
    "random, `--score-from run`": {"score": "random", "score_from": "run"},
    "gsc, `--transmit closed`": {"transmit": "closed"},
}
SHAPES = {"conv-small": ((1, 8, 8), 6), "conv-medium": ((1, 28, 28), 4)}
ROUNDS, BATCH = 9, 32
Masks = list[tuple[Tensor, Tensor]]  # by layer: what is free at t >= 2, and the spikes one step before


@dataclass(frozen=True)
class Seen:
    """A penalty of 0 that keeps what it is asked about."""

    asked: list[Sent] = field(default_factory=list)

    def __call__(self, sent: Sent) -> Tensor:
        self.asked.append(sent)
        return 0 * sent.now.sum()


def masks(network: Network, x: Tensor, y: Tensor, scoring: Scoring, keep: float, *, serial: bool = False) -> Masks:
    """Return the masks that training would use for a batch."""
    seen, n_layers = Seen(), len(network.layers)
    objective = Objective(TetLoss(), seen, 1.0, dict.fromkeys(network.layers, 1.0), scoring, serial=serial)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    Unrolling().learn(network.train(), Batch(x, y, N_STEPS, objective, generator_of(0)))
    network.load_state_dict(state)  # the running statistics of batch norm
    found = []
    for number in range(n_layers):
        of_layer = seen.asked[number::n_layers]
        score = torch.cat([sent.score for sent in of_layer if sent.score is not None])
        now = torch.cat([sent.now.detach() for sent in of_layer])
        is_old = scoring.among == "all"
        mask = highest(score, keep) if is_old else highest_of_members(score, keep, generator_of(1))
        found.append((mask, now[:-1]))
    return found


def agreement(first: Masks, second: Masks) -> float:
    """Return the fraction of the neurons freed by the first masks that the second free too."""
    both = sum(float((a * b).sum()) for (a, _), (b, _) in zip(first, second, strict=True))
    return both / sum(float(a.sum()) for a, _ in first)


def freed(found: Masks) -> float:
    """Return the fraction of the spikes at a step whose neurons are free at the next one."""
    return sum(float((mask * spikes).sum()) for mask, spikes in found) / sum(float(s.sum()) for _, s in found)


def measure_masks(run: Path) -> dict[str, Any]:
    program = load(run)
    network = load_run(run, program).network
    samples, labels = open_data("digits", split="test").load()
    x, y = torch.from_numpy(samples[:SAMPLES])[None], torch.from_numpy(labels[:SAMPLES])

    def of(by: Any, among: Any, keep: float, *, serial: bool = False) -> Masks:
        return masks(network, x, y, Scoring(by, among), keep, serial=serial)

    row: dict[str, Any] = {"run": run.name}
    for among in ("changed", "fired"):
        step = of("gsc", among, 0.5, serial=True)
        unrolled = of("gsc", among, 0.5)
        others = {by: of(by, among, 0.5) for by in ("random", "jac", "grad")}
        row[among] = {
            "run_of_step": agreement(step, unrolled),
            **{f"{by}_of_gsc": agreement(unrolled, found) for by, found in others.items()},
            "freed": freed(unrolled),
        }
    row["all"] = {f"freed_{keep:g}": freed(of("gsc", "all", keep)) for keep in (0.2, 0.5)}
    return row


def measure_modes(name: str) -> list[dict[str, Any]]:
    """Time a training step of each mode, side by side."""
    shape, n_steps = SHAPES[name]
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(1, BATCH, *shape, generator=generator), torch.randint(0, 10, (BATCH,), generator=generator)
    cases, seconds = {}, {mode: list[float]() for mode in MODES}
    for mode, chosen in MODES.items():
        options = TrainOptions(network=name, steps=n_steps, **chosen).checked()
        torch.manual_seed(0)
        network = make_network(options, shape, 10)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        cases[mode] = network, make_strategy(options, network, 10), make_objective(options, network)
    for round_ in range(ROUNDS + 2):
        for mode, (network, strategy, objective) in cases.items():
            network.train().zero_grad(set_to_none=True)
            batch = Batch(x, y, n_steps, objective, generator_of(0, round_))
            begin = time.perf_counter()
            strategy.learn(network, batch)
            if round_ >= 2:  # the first ones compile and allocate
                seconds[mode].append(time.perf_counter() - begin)
    base = statistics.median(seconds["TET"])
    return [
        {
            "network": name,
            "steps": n_steps,
            "mode": mode,
            "median_ms": 1e3 * statistics.median(took),
            "times_tet": statistics.median(took) / base,
        }
        for mode, took in seconds.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    document = {
        "samples": SAMPLES,
        "batch": BATCH,
        "rounds": ROUNDS,
        "torch": torch.__version__,
        "masks": [measure_masks(run) for run in given.runs],
        "modes": [row for name in SHAPES for row in measure_modes(name)],
    }
    write_json(Path(__file__).parent / "results" / "ddla.json", document)


if __name__ == "__main__":
    main()
