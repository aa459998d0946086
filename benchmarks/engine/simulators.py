"""Run an event-driven simulator in its own environment: ``python -m benchmarks.engine.simulators NAME CASE``.

It executes the ``Case`` without its first and last map. The first layer of neurons receives its current as a bias, and
a spike acts one step after it was fired, as in both simulators. For each line that it reads, it answers with a line of
JSON: spikes and seconds of all samples, one after the other. Building, loading and setting biases are not timed.
"""
# ruff: noqa: PLC0415  (each library is imported only where it is chosen)

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .case import Case, Layer

Simulate = Callable[[], tuple[int, float]]


def convolved(layer: Layer, x: np.ndarray) -> np.ndarray:
    """Return the currents of samples ``[batch, channels, height, width]``."""
    kernel, stride = layer.weight.shape[2], layer.stride
    margin = (kernel - 1) // 2
    padded = np.pad(x, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(2, 3))[:, :, ::stride, ::stride]
    return np.einsum("bchwyx,ocyx->bohw", windows, layer.weight) + layer.bias[:, None, None]


def synapses(layer: Layer, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, ...]]:
    """Return source, target and weight of every synapse that is not zero, and the shape of the targets."""
    if layer.weight.ndim == 2:
        target, source = np.nonzero(layer.weight)
        return source, target, layer.weight[target, source], layer.weight.shape[:1]
    channels, height, width = shape
    out, _, kernel, _ = layer.weight.shape
    margin = (kernel - 1) // 2
    height_out, width_out = ((n + 2 * margin - kernel) // layer.stride + 1 for n in (height, width))
    o, c, ky, kx, y, x = np.ix_(*(range(n) for n in (out, channels, kernel, kernel, height_out, width_out)))
    row, column = y * layer.stride + ky - margin, x * layer.stride + kx - margin
    weight = np.broadcast_to(layer.weight[..., None, None], (out, channels, kernel, kernel, height_out, width_out))
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width) & (weight != 0)
    source = np.broadcast_to((c * height + row) * width + column, weight.shape)[inside]
    target = np.broadcast_to((o * height_out + y) * width_out + x, weight.shape)[inside]
    return source, target, weight[inside], (out, height_out, width_out)


def hidden(case: Case) -> Iterator[tuple[Layer, tuple[int, ...], Any]]:
    """Yield the layers of neurons, their shapes, and from the second on their incoming synapses."""
    shape = convolved(case.layers[0], case.x[:1]).shape[1:]
    yield case.layers[0], shape, None
    for layer in case.layers[1:-1]:
        *found, shape = synapses(layer, shape)
        yield layer, shape, found


def sanafe(case: Case) -> Simulate:
    """Use its model of Loihi and its faster model of time; a layer is one group, on one core or more."""
    import sanafe as library

    arch, net = library.load_loihi(), library.Network()
    cores = iter([core for tile in arch.tiles for core in tile.cores])
    groups: list[list[Any]] = []
    for k, (layer, shape, found) in enumerate(hidden(case)):
        size = int(np.prod(shape))
        group = net.create_neuron_group(
            f"layer{k}", size, soma_hw_name="loihi_lif", default_synapse_hw_name="loihi_sparse_synapse",
            default_dendrite_hw_name="loihi_dendrites",
            model_attributes={
                "threshold": layer.threshold, "leak_decay": layer.beta, "reset_mode": "hard", "reset": 0.0,
            },
        )  # fmt: skip
        if found is not None:
            source, target, weight = found
            pairs = list(zip(source.tolist(), target.tolist(), strict=True))
            groups[-1].connect_neurons_sparse(group, {"weight": weight.astype(float).tolist()}, pairs)
        for first in range(0, size, 1024):
            core = next(cores)
            for neuron in list(group.neurons)[first : first + 1024]:
                neuron.map_to_core(core)
        groups.append(group)
    chip = library.SpikingChip(arch)
    chip.load(net)
    biases = convolved(case.layers[0], case.x).reshape(len(case.x), -1).astype(float)
    for k, (layer, shape, _) in enumerate(hidden(case)):
        if k:
            bias = np.broadcast_to(layer.bias.reshape(-1, *[1] * (len(shape) - 1)), shape).ravel().astype(float)
            set_biases(chip, k, bias)

    def simulate() -> tuple[int, float]:
        n_spikes, seconds = 0, 0.0
        for bias in biases:
            chip.reset()
            set_biases(chip, 0, bias)
            begin = time.perf_counter()
            found = chip.sim(case.n_steps, timing_model="simple", processing_threads=1)
            seconds += time.perf_counter() - begin
            n_spikes += found["neurons_fired"]
        return n_spikes, seconds

    return simulate


def set_biases(chip: Any, k: int, bias: np.ndarray) -> None:
    for neuron, value in zip(chip.mapped_neuron_groups[f"layer{k}"], bias.tolist(), strict=True):
        neuron.set_attributes(model_attributes={"bias": value})


def brian2(case: Case) -> Simulate:
    """Compile to C++ once; execute all samples in one run, with potentials reset between them."""
    import brian2 as library

    folder = tempfile.mkdtemp()
    library.set_device("cpp_standalone", build_on_run=False, directory=folder)
    library.prefs.devices.cpp_standalone.openmp_threads = 0
    library.defaultclock.dt = library.ms
    biases = convolved(case.layers[0], case.x).reshape(len(case.x), -1)
    steps = case.n_steps + 1  # in the last step, spikes under way arrive before the reset
    currents = library.TimedArray(np.repeat(biases, steps, axis=0).astype(float), dt=library.ms)  # noqa: F841
    parts: list[Any] = []
    for k, (layer, shape, found) in enumerate(hidden(case)):
        size = int(np.prod(shape))
        current = "currents(t, i)" if k == 0 else "b"
        group = library.NeuronGroup(
            size, "v : 1\narrived : 1\nb : 1 (constant)", threshold=f"v > {layer.threshold!r}", reset="v = 0",
        )  # fmt: skip
        restart = f"int((t_in_timesteps % {steps}) != {steps - 1})"
        group.run_regularly(f"v = ({layer.beta!r} * v + arrived + {current}) * {restart}\narrived = 0", when="start")
        if found is not None:
            bias = np.broadcast_to(layer.bias.reshape(-1, *[1] * (len(shape) - 1)), shape)
            group.b = bias.ravel()
            source, target, weight = found
            wired = library.Synapses(parts[-2], group, "w : 1 (constant)", on_pre="arrived_post += w")
            wired.connect(i=source, j=target)
            wired.w = weight
            parts.insert(len(parts) - 1, wired)
        parts += [group, library.SpikeMonitor(group, record=False)]
    network = library.Network(parts)
    network.run(steps * len(case.x) * library.ms)
    library.device.build(directory=folder, compile=True, run=False)
    monitors = [part for part in parts if isinstance(part, library.SpikeMonitor)]

    def simulate() -> tuple[int, float]:
        library.device.run(directory=folder)
        return sum(int(monitor.num_spikes) for monitor in monitors), float(library.device._last_run_time)

    return simulate


BUILD: dict[str, Callable[[Case], Simulate]] = {"sanafe": sanafe, "brian2": brian2}


def main(name: str, path: Path) -> None:
    case = Case.read(path)
    simulate = BUILD[name](case)
    for _ in sys.stdin:
        n_spikes, seconds = simulate()
        print("\n" + json.dumps({"spikes": n_spikes, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
