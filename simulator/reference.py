"""The living definition: dense, plain numpy, one time step after the other, nothing but spikes.

Slow and short. Every other machine is held to it, spike for spike.
"""

from functools import partial, reduce

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tdd_deploy.program import Conv, Dense, Flatten, LinearMap, NeuronLayer, Pool, Program, Scale

from .arithmetic import FloatArithmetic, FloatArray


def run(program: Program, inputs: FloatArray) -> dict[str, FloatArray]:
    """Execute a program on encoded inputs ``[n_steps, batch, *shape]``; return what every node sent, likewise."""
    n_steps, batch = inputs.shape[:2]
    arithmetic = FloatArithmetic()

    def zeros(name: str) -> FloatArray:
        return np.zeros((batch, *program.shapes[name]), program.dtype)

    sent = {node.name: np.zeros((n_steps, *zeros(node.name).shape), program.dtype) for node in program.nodes}
    states = {layer.name: layer.neuron.start(partial(zeros, layer.name)) for layer in program.neuron_layers}
    sent[program.input.name][:] = inputs
    for t in range(n_steps):
        for node in program.nodes:
            if node is program.input:
                continue
            received = [
                sent[edge.source][t - edge.delay] if t >= edge.delay else zeros(edge.source)
                for edge in program.incoming[node.name]
            ]
            value: FloatArray = reduce(np.add, received)
            if isinstance(node, LinearMap):
                value = apply(node, value)
            elif isinstance(node, NeuronLayer):
                states[node.name], value = node.neuron.step(arithmetic, states[node.name], value)
            sent[node.name][t] = value
    return sent


def apply(node: LinearMap, x: FloatArray) -> FloatArray:
    """Return what a linear map makes of ``x [batch, *shape]``, bias included."""
    match node:
        case Dense():
            y: FloatArray = x @ node.weight.T
            return y if node.bias is None else y + node.bias
        case Conv():
            y = _correlate(node, x)
            return y if node.bias is None else y + node.bias[:, None, None]
        case Pool():
            y = _windows(x, node.kernel, node.stride, node.padding, (1, 1)).sum(axis=(-2, -1))
            return y / y.dtype.type(node.kernel[0] * node.kernel[1]) if node.average else y
        case Scale():
            return x * node.factor
        case Flatten():
            return x.reshape(len(x), -1)
    raise NotImplementedError(type(node).__name__)


def _correlate(node: Conv, x: FloatArray) -> FloatArray:
    seen = _windows(x, node.weight.shape[2:], node.stride, node.padding, node.dilation)
    grouped = seen.reshape(len(x), node.groups, -1, *seen.shape[2:])  # [batch, group, channel, y, x, ky, kx]
    weight = node.weight.reshape(node.groups, -1, *node.weight.shape[1:])  # [group, out, channel, ky, kx]
    y: FloatArray = np.einsum("bgcyxij,gocij->bgoyx", grouped, weight, optimize=True)
    return y.reshape(len(x), -1, *y.shape[3:])


def _windows(
    x: FloatArray, kernel: tuple[int, ...], stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]
) -> FloatArray:
    """Return the windows of ``x [batch, channel, h, w]`` as ``[batch, channel, y, x, ky, kx]``."""
    (py, px), (dy, dx), (sy, sx) = padding, dilation, stride
    padded = np.pad(x, ((0, 0), (0, 0), (py, py), (px, px)))
    spans = (dy * (kernel[0] - 1) + 1, dx * (kernel[1] - 1) + 1)
    return sliding_window_view(padded, spans, axis=(2, 3))[:, :, ::sy, ::sx, ::dy, ::dx]
