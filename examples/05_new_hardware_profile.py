"""Hardware of your own: its prices and its limits, each in one TOML file, with a source per figure.

python examples/05_new_hardware_profile.py [folder]

All figures below are made up; so is the chip. Leave out what you do not know: reports then list it as "not priced",
and never take it for zero. An unknown key, a missing unit or a missing source is an error.
"""

import argparse
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np

from tdd_deploy.exporters import TARGETS
from tdd_deploy.neurons import LIF
from tdd_deploy.program import Dense, Edge, Input, NeuronLayer, Output, build

PROFILE = """
schema = 1
name = "tiny"
title = "Tiny, an example: 22 nm, 0.6 V"
remark = "All figures are made up."
chip = "tiny-chip.toml"  # where networks are placed, so that messages are counted: a name, or a file beside this one
not_priced = ["wake-up from sleep"]  # what these prices leave out, as far as you know

[price.synop]  # the price of one more of these counts
counts = ["synops_stored"]  # zero weights are read too
value = 2.5
unit = "pJ"
low = 2.0
high = 4.0
range_source = "made up: from the slow corner to the fast one"
scope = "marginal"
confidence = "simulated"  # or measured, regression, vendor, derived, unknown
read = "primary"  # or data, abstract, quoted, quoted1: how you know the figure
source = "made up for this example: post-layout simulation, report 7, table 2"

[price.neuron_update]
counts = ["updates_active", "updates_idle"]  # every neuron, at every step
value = 900
unit = "fJ"
scope = "marginal"
confidence = "simulated"
read = "primary"
source = "made up for this example: the same table"

[price.message]
counts = ["messages"]
value = 1.2
unit = "pJ"
scope = "marginal"
confidence = "derived"
read = "primary"
source = "made up for this example: a packet of 24 bits at 50 fJ per bit"

[static.leakage]
value = 15
unit = "uW"
state = "in use"  # the parts of a state add up; another state is an alternative, and the report spans them
scope = "floor"  # with nothing to do, in use; or boot: before a program ever ran
confidence = "measured"
read = "data"
source = "made up for this example: supply current at a stopped clock"
"""
CHIP = """
schema = 1
name = "tiny-chip"
title = "Tiny, an example of 2 x 2 cores"
remark = "It does not exist."
not_checked = ["bandwidth of the mesh"]  # every verdict lists this

[limit.cores]
value = 4
unit = "core"
confidence = "derived"
source = "made up for this example"

[limit.neurons]
value = 64
unit = "neuron"
confidence = "derived"
source = "made up for this example"

[limit.weight_bits]
value = 8
unit = "bit"
confidence = "derived"
source = "made up for this example"

[mesh]
columns = 2
rows = 2
cores_per_tile = 1
source = "made up for this example"

[synapses]
sharing = "none"
source = "made up for this example: one word per synapse"

[spikes]
kind = "binary"
bits = 0
source = "made up for this example: events carry no number"

[neurons]
models = ["IF", "LIF"]
resets = ["hard"]
source = "made up for this example"
"""
SAMPLES, N_STEPS = 16, 20


def main() -> None:
    """Write both files, a network that fits and one that does not; call the command line on them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="where to keep the files; by default they are deleted")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tiny.toml").write_text(PROFILE)
        (folder / "tiny-chip.toml").write_text(CHIP)
        write_network(folder / "small.nir", hidden=96)
        write_network(folder / "large.nir", hidden=512)
        np.savez(folder / "spikes.npz", x=np.random.default_rng(1).random((SAMPLES, N_STEPS, 32)) < 0.2)

        tdd_deploy(folder, "profiles tiny.toml")
        run = "simulate small.nir --data spikes.npz --code spike --by layer"
        tdd_deploy(folder, f"{run} --energy --profile tiny.toml --step-time 1e-3")
        tdd_deploy(folder, "check small.nir --chip tiny-chip.toml")
        tdd_deploy(folder, "check large.nir --chip tiny-chip.toml")


def tdd_deploy(folder: Path, words: str) -> None:
    """Call the command line in a folder, as a shell would; exit code 1 means that the answer is no."""
    print(f"\n$ tdd-deploy {words}", flush=True)
    code = subprocess.call([sys.executable, "-m", "tdd_deploy", *words.split()], cwd=folder)
    if code > 1:
        sys.exit(code)


def write_network(path: Path, *, hidden: int) -> None:
    """Write input (32) -> LIF -> output (10) with random weights, for spikes."""
    rng = np.random.default_rng(0)
    nodes = [
        Input(name="input", shape=(32,)),
        Dense(name="fc1", weight=rng.normal(0.05, 0.2, (hidden, 32))),
        NeuronLayer(
            name="hidden",
            shape=(hidden,),
            neuron=LIF(beta=np.array(0.9), v_threshold=np.array(1.0), v_reset=np.array(0.0)),
        ),
        Dense(name="fc2", weight=rng.normal(0, 0.2, (10, hidden))),
        Output(name="output"),
    ]
    edges = [Edge(source.name, target.name) for source, target in pairwise(nodes)]
    TARGETS["nir"](build(nodes, edges, dt_s=1e-3, n_steps=N_STEPS, encoder="poisson"), path)


if __name__ == "__main__":
    main()
