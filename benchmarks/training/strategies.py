"""Measure memory and time of the strategies BPTT, SLTT, SLTT-K and STDL on ResNet-19-small.

    .venv/bin/python -m benchmarks.training.strategies [--threads 1] [--rounds 15]

Memory counts the tensors that autograd saves for backward passes: the largest sum of their bytes at any moment, each
storage once, without parameters. Time is measured over whole training steps (forward, backward, AdamW), with rounds
interleaved, a quarter as many at T = 12. Means are reported, since SLTT-K draws its steps, and fractions of BPTT at the
same T. Writes results/strategies.json.
"""

import argparse
import platform
import statistics
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from tdd_deploy.files import write_json
from tdd_deploy.options.training import TrainOptions
from tdd_deploy.training.build import make_network, make_objective, make_strategy
from tdd_deploy.training.malloc import keep_freed_memory
from tdd_deploy.training.strategies import Batch
from tests.kept import most_kept

STRATEGIES: dict[str, dict[str, Any]] = {
    "bptt": {"strategy": "bptt"},
    "sltt": {"strategy": "sltt"},
    "sltt-k, 2 steps": {"strategy": "sltt-k", "sltt_steps": 2},
    "stdl, 2 parts": {"strategy": "stdl", "local_parts": 2},
    "stdl, 4 parts": {"strategy": "stdl", "local_parts": 4},
}


class Learner:
    """A network with its strategy, one batch, and its optimizer."""

    def __init__(self, n_steps: int, batch: int, options: dict[str, Any]) -> None:
        chosen = TrainOptions(network="resnet19-small", method="tet", steps=n_steps, **options).checked()
        torch.manual_seed(0)
        self.network = make_network(chosen, (3, 32, 32), 10).to(memory_format=torch.channels_last)
        self.strategy = make_strategy(chosen, self.network, 10)
        self.network.train()
        x = torch.rand(batch, 3, 32, 32).to(memory_format=torch.channels_last)
        labels, objective = torch.randint(0, 10, (batch,)), make_objective(chosen, self.network)
        self.batch = Batch(x[None], labels, n_steps, objective, torch.Generator())
        self.optimizer = torch.optim.AdamW(self.network.parameters())

    def step(self) -> float:
        begin = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        self.strategy.learn(self.network, self.batch)
        self.optimizer.step()
        return time.perf_counter() - begin

    def saved_bytes(self) -> int:
        return most_kept(self.step, left_out=self.network.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=32)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    rows = []
    for n_steps in (6, 12):
        learners = {name: Learner(n_steps, given.batch, options) for name, options in STRATEGIES.items()}
        saved = {name: learner.saved_bytes() for name, learner in learners.items()}
        seconds: dict[str, list[float]] = {name: [] for name in learners}
        for _ in range(given.rounds if n_steps == 6 else max(2, given.rounds // 4)):
            for name, learner in learners.items():
                seconds[name].append(learner.step())
        means = {name: statistics.mean(took) for name, took in seconds.items()}
        for name in learners:
            row = {
                "steps": n_steps,
                "strategy": name,
                "saved_mb": saved[name] / 1e6,
                "saved_share": saved[name] / saved["bptt"],
                "mean_s": means[name],
                "time_share": means[name] / means["bptt"],
            }
            rows.append(row)
            print(
                f"T={n_steps:2} {name:16} {row['saved_mb']:7.1f} MB ({row['saved_share']:4.0%})"
                f"  {row['mean_s']:6.2f} s ({row['time_share']:4.0%})",
                flush=True,
            )
    document = {
        "network": "resnet19-small",
        "input": [3, 32, 32],
        "threads": given.threads,
        "batch": given.batch,
        "rounds": given.rounds,
        "versions": {"python": platform.python_version(), "torch": metadata.version("torch")},
        "rows": rows,
    }
    write_json(Path(__file__).parent / "results" / "strategies.json", document)


if __name__ == "__main__":
    main()
