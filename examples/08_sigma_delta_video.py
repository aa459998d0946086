"""A ReLU network as a sigma-delta network on video: what thresholds save, and what they cost in accuracy.

python examples/08_sigma_delta_video.py [--epochs 20] [--videos 200]

Handwritten digits drift over a canvas before a camera with noise. A convolutional network learns single frames and is
then executed frame by frame: each ReLU is resent only after it has changed by more than a threshold.
"""

import argparse
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import tdd_deploy as td
from tdd_deploy.data.encoders import Frames
from tdd_deploy.neurons import SigmaDelta
from tdd_deploy.program import (
    Conv,
    Dense,
    Edge,
    Flatten,
    Input,
    NeuronLayer,
    Output,
    Program,
    build,
    with_code,
    with_delta_threshold,
)
from tdd_deploy.simulator.engine.engine import Engine

SIZE, N_STEPS, PACE, NOISE = 16, 24, 4, 0.02  # pixels, frames, frames per pixel of movement, deviation of a pixel
THRESHOLDS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)


def videos(digits: np.ndarray, rng: np.random.Generator, *, pace: int = PACE) -> np.ndarray:
    """Return ``[N_STEPS, n, 1, SIZE, SIZE]`` of 8 x 8 digits that drift and turn back at the edges, with noise."""
    path = SIZE - 8  # pixels that a digit can move by
    start, heading = rng.integers(0, path + 1, (len(digits), 2)), rng.choice([-1, 1], (len(digits), 2))
    frames = rng.normal(0, NOISE, (N_STEPS, len(digits), 1, SIZE, SIZE))
    for t in range(N_STEPS):
        place = (start + heading * (t // pace)) % (2 * path)
        for i, (y, x) in enumerate(np.minimum(place, 2 * path - place)):
            frames[t, i, 0, y : y + 8, x : x + 8] += digits[i]
    return frames.astype(np.float32)


def trained(digits: np.ndarray, labels: np.ndarray, epochs: int) -> nn.Sequential:
    """Train a small ReLU network on single frames."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    network = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 10)),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(epochs):
        frames = torch.from_numpy(videos(digits, rng)[rng.integers(N_STEPS, size=8)])  # eight moments of every video
        for frame in frames:
            for part in torch.from_numpy(rng.permutation(len(digits))).split(64):
                optimizer.zero_grad()
                functional.cross_entropy(network(frame[part]), torch.from_numpy(labels)[part]).backward()
                optimizer.step()
    return network.eval()


def sigma_delta(network: nn.Sequential) -> Program:
    """Return the same network with a sigma-delta neuron for the camera and for every ReLU."""

    def neurons(name: str, *shape: int, activation: str = "relu") -> NeuronLayer:
        neuron = SigmaDelta(delta_threshold=np.zeros(()), activation=activation)
        return NeuronLayer(name=name, shape=shape, neuron=neuron)

    def learned(index: int) -> dict[str, np.ndarray]:
        return {name: p.detach().numpy() for name, p in network[index].named_parameters()}

    halved = {"stride": (2, 2), "padding": (1, 1)}
    nodes = [
        Input(name="input", shape=(1, SIZE, SIZE)),
        neurons("camera", 1, SIZE, SIZE, activation="none"),
        Conv(name="conv1", **learned(0), **halved),
        neurons("relu1", 8, 8, 8),
        Conv(name="conv2", **learned(2), **halved),
        neurons("relu2", 16, 4, 4),
        Flatten(name="flat"),
        Dense(name="fc1", **learned(5)),
        neurons("relu3", 64),
        Dense(name="fc2", **learned(7)),
        Output(name="output"),
    ]
    edges = [Edge(source.name, target.name) for source, target in pairwise(nodes)]
    return build(nodes, edges, dt_s=1 / 30, n_steps=N_STEPS, number_format="float32")


def main() -> None:
    """Train, then execute with several thresholds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--videos", type=int, default=200)
    chosen = parser.parse_args()

    (learned, labels), (seen, truth) = (td.open_data("digits", split=split).load() for split in ("train", "test"))
    network = trained(learned.reshape(-1, 8, 8), labels, chosen.epochs)
    seen, truth = seen[: chosen.videos].reshape(-1, 8, 8), truth[: chosen.videos]
    moving = videos(seen, np.random.default_rng(1))
    with torch.no_grad():
        dense = network(torch.from_numpy(moving).flatten(0, 1)).numpy().reshape(N_STEPS, len(seen), 10)
    program = sigma_delta(network)

    def row(name: str, frames: np.ndarray, theta: float | None) -> None:
        coded = with_code(program, "spike") if theta is None else with_delta_threshold(program, theta)
        result = Engine(coded).run(Frames(static=False, values=frames), n_steps=N_STEPS)
        right = result.output.argmax(axis=2) == truth[:, None]  # frame by frame
        counts, n = result.trace.executed, len(truth)
        later = counts.synops_effective[:, 1:].sum() / n / (N_STEPS - 1)
        print(
            f"{name:>9}  accuracy {right.mean():.1%}; per frame {counts.events.sum() / n / N_STEPS:7,.0f} events, "
            f"{counts.synops_effective.sum() / n / N_STEPS:8,.0f} MACs; from the second on {later:8,.0f}"
        )

    right = dense.argmax(axis=2) == truth
    macs = Engine(program).run(Frames(static=False, values=moving[:1]), n_steps=1).trace.executed.total("dense")
    print(f"    dense  accuracy {right.mean():.1%}; per frame {'':15}{macs / len(truth):8,.0f} MACs")
    row("nonzero", moving, None)
    for theta in THRESHOLDS:
        row(f"{theta:g}", moving, theta)
    print("the first frame repeated: every network saves this much, so it says nothing about a video")
    row("0", np.repeat(moving[:1], N_STEPS, axis=0), 0.0)


if __name__ == "__main__":
    main()
