"""A network in Lava, Intel's simulation of Loihi 2: exported in integers, executed there, compared spike for spike.

python examples/06_lava_bundle.py [network.nir]

Lava needs a Python 3.10 of its own; ``tdd-deploy lava setup`` makes that environment. Without it this exports the
bundle, a folder that anybody with lava-nc can start, and reports what is missing. Nothing here runs on a chip.
"""

import argparse
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np

import tdd_deploy as td
from tdd_deploy.commands.lava import lava_run
from tdd_deploy.data import Frames
from tdd_deploy.errors import MissingDependency, MissingEnvironment
from tdd_deploy.exporters import TARGETS
from tdd_deploy.neurons import LIF
from tdd_deploy.program import Dense, Edge, Input, NeuronLayer, Output, build
from tdd_deploy.program.inputs import as_input
from tdd_deploy.simulator.engine.engine import Engine

SAMPLES = 4


def main() -> None:
    """Export; run in the event engine; run in Lava, if it is installed; compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path, nargs="?", help="a .nir file or run folder; by default one is made")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = chosen.network or small_network(folder / "small.nir")
        exported = td.export(network, "lava", folder / "bundle")  # quantizes floats to 8 bits
        program = exported.program
        files = ", ".join(sorted(path.name for path in (folder / "bundle").iterdir()))
        print(f"bundle: {files}")
        for layer in exported.layers:
            print(f"  {layer.name}: {layer.scale[0]:.1f} integers per float, weights rounded by {layer.error:.2%}")

        spikes = np.random.default_rng(1).integers(0, 2, (program.n_steps, SAMPLES, *program.input.shape))
        layers = [layer.name for layer in program.neuron_layers]
        ours = Engine(program).run(Frames(static=False, values=spikes), n_steps=program.n_steps, record=layers)

        np.savez(folder / "inputs.npz", x=as_input(program, spikes).swapaxes(0, 1))  # integers; samples come first
        try:
            took = lava_run(folder / "bundle", inputs=folder / "inputs.npz", out=folder / "outputs.npz", layers=True)
        except (MissingEnvironment, MissingDependency) as error:
            print(f"not run in Lava: {error}")
            return
        with np.load(folder / "outputs.npz") as arrays:
            lavas = {layer: arrays[f"spikes/{layer}"] for layer in layers}

    print(f"Lava: {took.lava_steps} time steps in {took.seconds:.2f} s, and {took.start_seconds:.1f} s to start")
    n_differ = {layer: np.count_nonzero(ours.layers[layer] != lavas[layer]) for layer in layers}
    for layer in layers:
        print(f"  {layer}: {lavas[layer].sum():,} spikes of {lavas[layer].size:,} possible, {n_differ[layer]} differ")
    raise SystemExit(1 if any(n_differ.values()) else 0)


def small_network(path: Path) -> Path:
    """Write input (16) -> 32 LIF -> 8 LIF -> output, with random weights."""
    rng = np.random.default_rng(0)

    def lif(name: str, n: int) -> NeuronLayer:
        neuron = LIF(beta=np.array(0.875), v_threshold=np.array(1.0), v_reset=np.array(0.0))
        return NeuronLayer(name=name, shape=(n,), neuron=neuron)

    nodes = [
        Input(name="input", shape=(16,)),
        Dense(name="fc1", weight=rng.normal(0.05, 0.2, (32, 16)), bias=rng.normal(0, 0.1, 32)),
        lif("hidden", 32),
        Dense(name="fc2", weight=rng.normal(0.05, 0.2, (8, 32))),
        lif("last", 8),
        Dense(name="readout", weight=rng.normal(0, 0.2, (4, 8))),
        Output(name="output"),
    ]
    edges = [Edge(source.name, target.name) for source, target in pairwise(nodes)]
    TARGETS["nir"](build(nodes, edges, dt_s=1e-3, n_steps=50, encoder="poisson"), path)
    return path


if __name__ == "__main__":
    main()
