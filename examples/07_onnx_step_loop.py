"""Run a network exported to ONNX, step by step and in one call: both need onnxruntime and numpy alone.

python examples/07_onnx_step_loop.py [network.nir]
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

import tdd_deploy as td
from tdd_deploy.exporters import TARGETS
from tdd_deploy.neurons import LIF
from tdd_deploy.program import Dense, Edge, Input, NeuronLayer, Output, build

N_STEPS, BATCH = 20, 3


def main() -> None:
    """Export both forms, run both, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path, nargs="?", help="a .nir file or run folder; by default one is made")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        network = chosen.network or small_network(Path(folder) / "small.nir")
        step, scan = (Path(folder) / f"{form}.onnx" for form in ("step", "scan"))
        td.export(network, "onnx", step, form="step")
        td.export(network, "onnx", scan, form="scan")
        one_step, all_steps = onnxruntime.InferenceSession(step), onnxruntime.InferenceSession(scan)

    frames, *states = one_step.get_inputs()
    dtype = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int32)": np.int32}[frames.type]
    zeros = {state.name: np.zeros((BATCH, *state.shape[1:]), dtype) for state in states}  # all of them begin at zero
    spikes = np.random.default_rng(0).integers(0, 2, (N_STEPS, BATCH, *frames.shape[1:])).astype(dtype)
    names = [output.name for output in one_step.get_outputs()]

    kept, outputs = zeros, []
    for frame in spikes:
        found = dict(zip(names, one_step.run(None, {frames.name: frame, **kept}), strict=True))
        kept = {name: found[f"{name}_next"] for name in kept}
        outputs.append(found[names[0]])

    at_once, *last = all_steps.run(None, {frames.name: spikes, **zeros})

    agree = np.array_equal(outputs, at_once) and all(map(np.array_equal, kept.values(), last))
    about = one_step.get_modelmeta().custom_metadata_map
    print(f"{frames.name} {frames.shape} and states {', '.join(zeros)}; {about['number_format']}, dt {about['dt_s']} s")
    print(f"{N_STEPS} steps one by one and in one call {'agree' if agree else 'DIFFER'}")
    raise SystemExit(not agree)


def small_network(path: Path) -> Path:
    """Write input (16) -> LIF (8), recurrent -> readout (4) with random weights."""
    rng = np.random.default_rng(1)

    def weight(n_out: int, n_in: int) -> np.ndarray:
        return rng.integers(-8, 9, (n_out, n_in)) / 16

    neuron = LIF(beta=np.array(0.75), v_threshold=np.array(1.0), v_reset=np.array(0.0))
    nodes = [
        Input(name="input", shape=(16,)),
        Dense(name="fc", weight=weight(8, 16)),
        NeuronLayer(name="hidden", shape=(8,), neuron=neuron),
        Dense(name="back", weight=weight(8, 8)),
        Dense(name="readout", weight=weight(4, 8)),
        Output(name="output"),
    ]
    edges = [
        Edge("input", "fc"), Edge("fc", "hidden"), Edge("hidden", "back", delay=1), Edge("back", "hidden"),
        Edge("hidden", "readout"), Edge("readout", "output"),
    ]  # fmt: skip
    TARGETS["nir"](build(nodes, edges, dt_s=1e-3, n_steps=N_STEPS), path)
    return path


if __name__ == "__main__":
    main()
