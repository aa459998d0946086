"""Networks, strategies and objectives of the options of a run."""

import torch
from torch import nn

from tdd_deploy.neurons import IF, LIF, Neuron
from tdd_deploy.options.training import TrainOptions
from tdd_deploy.options.vocabulary import ANN, TAB
from tdd_deploy.program import Shape

from .ann import relu_network_of
from .architectures import MakeNeurons
from .architectures import make_network as make_architecture
from .local import cut
from .methods import (
    Ddla,
    L1Delta,
    L1Onset,
    L1Spikes,
    Penalty,
    RateLoss,
    RmpLoss,
    StepLoss,
    TetLoss,
    layer_weights,
)
from .network import Network, Neurons
from .scores import Scoring
from .strategies import Local, Objective, Online, Strategy, Unrolling


def neurons_of(options: TrainOptions) -> MakeNeurons:
    """Return a function that makes a layer's neurons."""

    def make(shape: Shape, before: int, threshold: float = 1.0, window: int = 1) -> Neurons:
        v_threshold = torch.tensor(threshold * options.threshold)
        level = options.reset_to[min(before, len(options.reset_to) - 1)]
        v_reset = torch.tensor(level * threshold * options.threshold)
        neuron: Neuron
        if options.neuron == "if":
            neuron = IF(v_threshold=v_threshold, v_reset=v_reset, reset=options.reset)
        else:
            beta = torch.tensor(options.beta)
            neuron = LIF(v_threshold=v_threshold, v_reset=v_reset, reset=options.reset, beta=beta)
        kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
        norm = kind(shape[0]) if options.norm == "mpbn" else None
        return Neurons(neuron, learned=options.learn, norm=norm, window=window)

    return make


def make_network(options: TrainOptions, input_shape: Shape, n_classes: int) -> Network:
    """Make an untrained network for samples of a shape; see ``architectures.make_network``."""
    network = make_architecture(
        options.network,
        input_shape=input_shape,
        n_classes=n_classes,
        neurons=neurons_of(options),
        analog_input=options.encoder == "direct",
        accumulated_steps=options.steps if options.norm == TAB else None,
    )
    return relu_network_of(network) if options.is_ann else network


def make_strategy(options: TrainOptions, network: Network, n_classes: int) -> Strategy:
    """Make the strategy that finds gradients; the heads that ``stdl`` needs draw weights from torch's generator.

    Raises:
        BadOption: the network cannot be cut into this number of parts.
    """
    if options.strategy == "stdl":
        assert options.local_parts is not None
        return Local(cut(network, options.local_parts, neurons=neurons_of(options), n_classes=n_classes))
    return Unrolling() if options.strategy == "bptt" else Online(options.sltt_steps)


def make_objective(options: TrainOptions, network: Network) -> Objective:
    """Make the objective of every batch."""
    return Objective(
        loss=make_loss(options),
        penalty=make_penalty(options),
        weight=options.penalty_factor,
        layers=layer_weights(network, by_synops=options.weigh == "synops"),
        loss_factor=options.loss_factor,
        scoring=make_scoring(options),
        serial=options.score_from == "step",
        transmit=options.transmit or "all",
        keep=1.0 if options.keep is None else options.keep,
    )


def make_loss(options: TrainOptions) -> StepLoss:
    """Make the loss of the outputs."""
    match options.loss:
        case "tet":
            assert options.tet_mse is not None
            return TetLoss(options.label_smoothing, options.tet_mse)
        case "rmp":
            assert options.rmp_weight is not None
            return RmpLoss(options.label_smoothing, options.rmp_weight)
        case "rate":
            return RateLoss(options.label_smoothing)


def make_scoring(options: TrainOptions) -> Scoring | None:
    """Make the score of TDD-DDLA; None for every other method."""
    if options.score is None:
        return None
    assert options.keep_of is not None
    return Scoring(options.score, options.keep_of)


def make_penalty(options: TrainOptions) -> Penalty | None:
    """Make the penalty that is added to the loss; None for TET, for an ANN and for no weight."""
    if options.method == "tdd-ddla":
        assert options.reading is not None
        assert options.keep is not None
        return Ddla(options.reading, options.keep, breaks_ties=options.keep_of != "all")
    penalties = {"tet": None, ANN: None, "l1-spikes": L1Spikes(), "l1-delta": L1Delta(), "l1-onset": L1Onset()}
    return penalties[options.method]
