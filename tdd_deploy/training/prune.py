"""Prune a network: the least important weights are set to zero, round by round, and the others learn on.

The importance of a weight is ``w^2 F``, where F is its Fisher information in early time steps, up to the centroid. A
trained network concentrates its information there (Kim et al., AAAI 2023). With F for the Hessian, the importance is
twice the second-order cost of setting the weight to zero (Theis et al., arXiv:1801.05787). It is the same before and
after batch norm is folded in. The control is the magnitude |w| of the learned weights, before folding.
"""

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from safetensors.torch import save
from torch import Tensor, nn

from tdd_deploy.errors import BadOption, Interrupted
from tdd_deploy.options.pruning import PruneOptions
from tdd_deploy.options.training import TrainOptions
from tdd_deploy.program import Program

from .augment import drawn, make_augmentation
from .build import make_objective, make_strategy
from .chance import generator_of, seeded
from .evaluation import Evaluation, evaluate
from .fisher import Information, information
from .interrupts import interrupt_flag
from .lower import lower
from .network import Network
from .optimize import learning_rate, make_optimizer
from .samples import TrainingData, encoded
from .strategies import Batch, heads_of


@dataclass(frozen=True)
class Round:
    """The network after a round; number 0 is the start."""

    number: int
    weights: int
    pruned: int
    evaluation: Evaluation  # on validation samples
    program: Program
    tensors: bytes  # of all parameters, in the format of safetensors

    @property
    def sparsity(self) -> float:
        """The fraction of weights that is zero."""
        return self.pruned / self.weights


def prune(
    network: Network,
    options: TrainOptions,
    data: TrainingData,
    chosen: PruneOptions,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Round]:
    """Prune a trained network in place; yield it after each round.

    The weights of all connections are ranked together, including the first and the last; biases are not pruned. Each
    connection keeps its most important weight, so that none falls silent. A pruned weight stays zero.

    Args:
        network: the network, in floats.
        options: the options of the run that trained it; it learns on in the same way, on the CPU, without averages.
        data: the samples of learning and of measurement.
        chosen: checked options of pruning.
        progress: receives the numbers of finished and of all batches.

    Raises:
        Interrupted: Ctrl-C, between two batches.
        BadOption: the sparsity would empty a connection, or the network has it already; learning diverged.
    """
    pruning = _Pruning(network, options, data, chosen)
    start = pruning.measured(0)
    pruning.check_reachable(start)
    with interrupt_flag() as interrupted:
        yield start
        for number in range(1, chosen.rounds + 1):
            pruning.remove(round(chosen.sparsity_after(number, start.sparsity) * start.weights))
            pruning.learn(number, interrupted, progress)
            yield pruning.measured(number)


class _Pruning:
    """A network, and masks of the weights that are left."""

    def __init__(self, network: Network, options: TrainOptions, data: TrainingData, chosen: PruneOptions) -> None:
        self.network = network
        self.options = options
        self.data = data
        self.chosen = chosen
        self.left = {name: (c.weights.weight.detach() != 0).float() for name, c in network.connections.items()}
        with seeded(options.seed):
            self.strategy = make_strategy(options, network, data.n_classes)
        self.heads = heads_of(self.strategy)
        self.augmentation = make_augmentation(options, data)
        self.objective = make_objective(options, network)
        self.n_batches = max(1, len(data.train.y) // options.batch)

    def measured(self, number: int) -> Round:
        """Measure the network as it is now."""
        evaluation = evaluate(self.network, self.data.validation, self.options, in_time=self.data.in_time)
        return Round(
            number=number,
            weights=sum(left.numel() for left in self.left.values()),
            pruned=sum(int((left == 0).sum()) for left in self.left.values()),
            evaluation=evaluation,
            program=lower(self.network, n_steps=self.options.steps, encoder=self.options.encoder),
            tensors=save(self.network.state_dict()),
        )

    def check_reachable(self, start: Round) -> None:
        """Refuse a sparsity that the network has already, or that leaves a connection without weights."""
        most = start.weights - len(self.left)
        if not start.pruned < round(self.chosen.sparsity * start.weights) <= most:
            highest = f"at most {most / start.weights:g}, which leaves a weight per connection"
            raise BadOption("sparsity", str(self.chosen.sparsity), f"above {start.sparsity:g} and {highest}")

    def remove(self, n_removed: int) -> None:
        """Set the least important weights to zero, the smaller ones first; ``n_removed`` includes zeros of before."""
        importance = self._importance()
        by_size = _flat(self._folded().values()).abs().argsort(stable=True)
        order = by_size[_flat(importance.values())[by_size].argsort(stable=True)]
        left = torch.ones(len(order))
        left[order[:n_removed]] = 0
        parts = torch.split(left, [each.numel() for each in importance.values()])
        self.left = {name: part.view_as(each) for (name, each), part in zip(importance.items(), parts, strict=True)}
        self._apply()

    @torch.no_grad()
    def _importance(self) -> dict[str, Tensor]:
        """Return a number per weight: -1 for a removed one, infinity for one that must stay."""
        if self.chosen.importance == "magnitude":
            found = {name: connection.weights.weight.abs() for name, connection in self.network.connections.items()}
        else:
            early = self._information().early()
            found = {name: weight.square() * early[name].double() for name, weight in self._folded().items()}
        for name, each in found.items():
            each.masked_fill_(self.left[name] == 0, -1)
            each.view(-1)[each.argmax()] = math.inf
        return found

    @torch.no_grad()
    def _folded(self) -> dict[str, Tensor]:
        return {name: connection.folded()[0] for name, connection in self.network.connections.items()}

    def _information(self) -> Information:
        samples = slice(self.chosen.fisher_samples)
        generator = torch.Generator().manual_seed(self.options.seed)
        x = encoded(self.data.train.x[samples], self.options, in_time=self.data.in_time, generator=generator)
        return information(self.network, x, torch.from_numpy(self.data.train.y[samples]), self.options.steps)

    @torch.no_grad()
    def _apply(self) -> None:
        for name, connection in self.network.connections.items():
            connection.weights.weight.mul_(self.left[name])

    def learn(self, number: int, interrupted: threading.Event, progress: Callable[[int, int], None]) -> None:
        """Train the weights that are left for the epochs of a round."""
        rate, epochs = self.chosen.learning_rate, self.chosen.epochs
        options = replace(self.options, learning_rate=rate, epochs=epochs, warmup=0.0, schedule="cosine")
        parameters = [*self.network.parameters(), *self.heads.parameters()]
        optimizer = make_optimizer(options, parameters)
        optimizer.register_step_post_hook(lambda *_: self._apply())
        self.network.train()
        loss, of_round = 0.0, epochs * self.n_batches
        for done, batch in enumerate(self._batches(number)):
            optimizer.param_groups[0]["lr"] = learning_rate(options, done, self.n_batches)
            optimizer.zero_grad(set_to_none=True)
            loss += self.strategy.learn(self.network, batch).loss
            if options.clip is not None:
                nn.utils.clip_grad_norm_(parameters, options.clip)
            optimizer.step()
            progress((number - 1) * of_round + done + 1, self.chosen.rounds * of_round)
            if interrupted.is_set():
                raise Interrupted(f"round {number} is not finished")
        self._check_finite(loss, number)

    def _check_finite(self, loss: float, number: int) -> None:
        """Refuse to continue with a network that has lost its finite numbers."""
        if not (math.isfinite(loss) and all(bool(x.isfinite().all()) for x in self.network.state_dict().values())):
            found = f"made learning diverge in round {number}"
            raise BadOption(f"learning_rate={self.chosen.learning_rate}", found, remedy="Use a smaller one.")

    def _batches(self, number: int) -> Iterator[Batch]:
        """Yield the batches of a round; random choices follow from (seed, round, epoch, batch)."""
        seed, size = self.options.seed, self.options.batch
        for epoch in range(self.chosen.epochs):
            order = torch.randperm(len(self.data.train.y), generator=generator_of(seed, number, epoch, 0)).numpy()
            for batch in range(self.n_batches):
                chance = generator_of(seed, number, epoch, batch + 1)
                rows = order[batch * size : (batch + 1) * size]
                inputs, targets = drawn(rows, self.data, self.options, self.augmentation, chance)
                yield Batch(inputs, targets, self.options.steps, self.objective, chance)


def _flat(values: Iterable[Tensor]) -> Tensor:
    return torch.cat([each.flatten() for each in values])
