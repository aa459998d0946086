"""A neuron of your own, written once: the reference, the event engine and ONNX all run it, with the same spikes.

python examples/03_new_neuron.py

A neuron is a frozen dataclass with one method. ``step`` uses the arithmetic that it receives and ``+ - *``, so the
same lines compute with numpy's arrays and write the operators of an ONNX graph. The event engine has compiled loops for
the neurons of the package; it executes others in numpy, slower, with the same counts. In the package, a neuron is such
a file in neurons/ and a line in its __init__.py; the tests then run it on every backend.
"""

import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnxruntime

from tdd_deploy.data import Frames
from tdd_deploy.errors import NotExportable
from tdd_deploy.exporters import TARGETS
from tdd_deploy.neurons import Arithmetic, Array, Neuron, State
from tdd_deploy.program import Dense, Edge, Input, NeuronLayer, Output, Program, build, with_code
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.simulator.hardware.profiles import load_profile
from tdd_deploy.simulator.reports.report import priced

N_STEPS, BATCH = 60, 8


@dataclass(frozen=True, eq=False, kw_only=True)
class AdaptiveLIF(Neuron):
    """LIF with adaptation: every spike raises the threshold by ``lift``, and this rise decays with ``rho``.

    ``v = beta v + current``, ``h = rho h``; fires where ``v > v_threshold + h``; then ``v = 0``, ``h = h + lift``.
    """

    beta: Array
    rho: Array
    v_threshold: Array
    lift: Array
    states: ClassVar[tuple[str, ...]] = ("v", "h")  # all zero before the first time step

    def step(self, a: Arithmetic, state: State, current: Array) -> tuple[State, Array]:
        """Leak, integrate, compare, fire, reset, adapt."""
        v, h = state
        v = a.keep(v, self.beta) + current
        h = a.keep(h, self.rho)
        spikes = a.fires(v, self.v_threshold + h, ">")
        return ((1 - spikes) * v, h + spikes * self.lift), spikes


def main() -> None:
    """Run the neuron on three backends; compare; show which targets refuse it."""
    program = network()
    inputs = (np.random.default_rng(1).random((N_STEPS, BATCH, 16)) < 0.3).astype(np.float32)

    spikes = {"reference": reference.run(program, inputs)["output"]}
    for code in ("spike", "delta"):
        result = Engine(with_code(program, code)).run(Frames(static=False, values=inputs), n_steps=N_STEPS)
        spikes[f"engine, {code} code"] = result.output.swapaxes(0, 1)  # it has the batch first
    spikes["onnxruntime"] = in_onnxruntime(program, inputs)

    n_differ = {backend: np.count_nonzero(found != spikes["reference"]) for backend, found in spikes.items()}
    for backend, found in spikes.items():
        print(f"{backend:18} {found.sum():,.0f} spikes, {n_differ[backend]} differ")
    early, late = spikes["reference"][:20].mean(), spikes["reference"][-20:].mean()
    print(f"it adapts: {early:.3f} spikes per neuron and step in the first 20 steps, {late:.3f} in the last 20")
    energy = priced(result.trace, load_profile("loihi1-davies2018"), program).executed  # of the last run, in delta code
    print(f"{energy.dynamic_pj / BATCH / 1e3:,.0f} nJ per sample, if Loihi 1 had this neuron at the price of its own")

    for target in ("nir", "lava"):  # they have a fixed list of neurons
        try:
            TARGETS[target](program, Path("never-written"))
        except NotExportable as error:
            print(error)
    raise SystemExit(1 if any(n_differ.values()) else 0)


def network() -> Program:
    """Return input (16) -> 32 -> 8 neurons -> output; weights are multiples of 1/16, whose sums are exact."""
    rng = np.random.default_rng(0)
    neuron = AdaptiveLIF(beta=np.array(0.9), rho=np.array(0.95), v_threshold=np.array(1.0), lift=np.array(0.2))
    nodes = [
        Input(name="input", shape=(16,)),
        Dense(name="fc1", weight=rng.integers(-4, 9, (32, 16)) / 16),
        NeuronLayer(name="hidden", shape=(32,), neuron=neuron),
        Dense(name="fc2", weight=rng.integers(-4, 9, (8, 32)) / 16),
        NeuronLayer(name="last", shape=(8,), neuron=neuron),
        Output(name="output"),
    ]
    edges = [Edge(source.name, target.name) for source, target in pairwise(nodes)]
    return build(nodes, edges, dt_s=1e-3, n_steps=N_STEPS)


def in_onnxruntime(program: Program, inputs: np.ndarray) -> np.ndarray:
    """Export one time step, and execute it repeatedly: states are its inputs and its outputs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "step.onnx"
        TARGETS["onnx"](with_code(program, "spike"), path, form="step")
        session = onnxruntime.InferenceSession(path)
    frames, *states = session.get_inputs()
    kept = {state.name: np.zeros((BATCH, *state.shape[1:]), np.float32) for state in states}
    outputs = []
    for frame in inputs:
        output, *after = session.run(None, {frames.name: frame, **kept})
        kept = dict(zip(kept, after, strict=True))
        outputs.append(output)
    return np.stack(outputs)


if __name__ == "__main__":
    main()
