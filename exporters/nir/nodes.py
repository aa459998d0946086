"""Write each node of a Program as a node of NIR."""

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from tdd_deploy.neurons import IF, LI, LIF, CubaLI, CubaLIF, Firing, I, LoihiLIF, Neuron, Threshold, VariantLIF
from tdd_deploy.neurons.loihi import UNIT
from tdd_deploy.program import (
    Conv,
    Dense,
    Flatten,
    Input,
    LinearMap,
    NeuronLayer,
    Node,
    Output,
    Place,
    Pool,
    Program,
    Scale,
    Shape,
    Slice,
)
from tdd_deploy.program.discrete import gained, tau_for
from tdd_deploy.program.exact import next_below

FloatArray = NDArray[np.floating[Any]]

DIAGONAL = {"map": "diagonal"}  # metadata of an Affine that is a Scale with a bias


def make_node(program: Program, node: Node, shape: Shape) -> nir.NIRNode:
    """Make the NIR node for a node, or for a part of one, that receives ``shape``."""
    match node:
        case Input() | Slice():
            return nir.Input(np.array(node.shape))
        case Output() | Place():
            return nir.Output(np.array(shape))
        case NeuronLayer(neuron=LoihiLIF() as neuron):
            return _integer_neurons(program, node.shape, neuron)
        case NeuronLayer():
            return _neurons(program, node)
        case LinearMap():
            return _map(node, shape)
    raise NotImplementedError(type(node).__name__)


def _map(node: LinearMap, shape: Shape) -> nir.NIRNode:
    match node:
        case Dense(bias=None):
            return nir.Linear(weight=_as_floats(node.weight))
        case Dense():
            assert node.bias is not None
            return nir.Affine(weight=_as_floats(node.weight), bias=_as_floats(node.bias))
        case Conv():
            return _convolution(node, shape)
        case Pool():
            pool = nir.AvgPool2d if node.average else nir.SumPool2d
            return pool(kernel_size=np.array(node.kernel), stride=np.array(node.stride), padding=np.array(node.padding))
        case Scale():
            return _scale(node, shape)
        case Flatten():
            return nir.Flatten(input_type=np.array(shape), start_dim=0, end_dim=-1)
    raise NotImplementedError(type(node).__name__)


def _scale(node: Scale, shape: Shape) -> nir.Scale | nir.Affine:
    """Write a Scale; with a bias it takes a whole matrix in NIR, and metadata of the node mark it."""
    factor = np.full(shape, _as_floats(node.factor))
    if node.bias is None:
        return nir.Scale(scale=factor)
    return nir.Affine(weight=np.diag(factor), bias=np.full(shape, _as_floats(node.bias)), metadata=dict(DIAGONAL))


def _convolution(node: Conv, shape: Shape) -> nir.Conv2d:
    return nir.Conv2d(
        input_shape=shape[1:],
        weight=_as_floats(node.weight),
        stride=node.stride,
        padding=node.padding,
        dilation=node.dilation,
        groups=node.groups,
        bias=_as_floats(np.zeros(len(node.weight), node.weight.dtype) if node.bias is None else node.bias),
    )


def _as_floats(array: FloatArray) -> FloatArray:
    """Convert integers to the float32 that other tools expect; it holds them exactly."""
    return array.astype(np.float32) if array.dtype.kind == "i" else array


def _neurons(program: Program, layer: NeuronLayer) -> nir.NIRNode:
    def full(values: FloatArray | float) -> NDArray[np.float64]:
        return np.full(layer.shape, values, np.float64)

    def leak(fraction: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute tau, and the r or w_in that makes the gain 1."""
        tau = tau_for(fraction, program.dt_s, program.integration)
        return full(tau), full(1 / gained(program.dt_s, tau, program.integration))

    neuron = layer.neuron
    firing: dict[str, Any] = {}
    if isinstance(neuron, Firing):
        firing = {
            "v_threshold": full(strict_threshold(neuron)),
            "v_reset": full(neuron.v_reset),
            "metadata": _compared(neuron),
        }
    match neuron:
        case IF():
            return nir.IF(r=full(1 / program.dt_s), **firing)
        case LIF():
            tau, r = leak(neuron.beta)
            return nir.LIF(tau=tau, r=r, v_leak=full(0), **firing)
        case CubaLIF() | CubaLI():
            (tau_syn, w_in), (tau_mem, r) = leak(neuron.alpha), leak(neuron.beta)
            cuba = nir.CubaLIF if isinstance(neuron, CubaLIF) else nir.CubaLI
            return cuba(tau_syn=tau_syn, tau_mem=tau_mem, r=r, w_in=w_in, v_leak=full(0), **firing)
        case LI():
            tau, r = leak(neuron.beta)
            return nir.LI(tau=tau, r=r, v_leak=full(0))
        case I():
            return nir.I(r=full(1 / program.dt_s))
        case Threshold():
            return nir.Threshold(threshold=full(strict_threshold(neuron)), metadata=_compared(neuron))
    raise NotImplementedError(type(neuron).__name__)


def _integer_neurons(program: Program, shape: Shape, n: LoihiLIF) -> nir.NIRNode:
    def full(values: FloatArray) -> NDArray[np.float64]:
        return np.full(shape, values, np.float64)

    def leak(fraction: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute tau and gain for a fraction kept; all of it becomes a fraction that is read back as all."""
        tau = tau_for(np.minimum(fraction, 1 - 2.0**-40), program.dt_s, program.integration)
        return full(tau), full(1 / gained(program.dt_s, tau, program.integration))

    tau, r = leak(n.beta)
    v_leak = full(n.bias / UNIT) * r
    if n.reset == "soft":
        return nir.LI(tau=tau, r=r, v_leak=v_leak)
    firing: dict[str, Any] = {
        "v_threshold": full(strict_threshold(n) / UNIT),
        "v_reset": full(n.v_reset / UNIT),
        "v_leak": v_leak,
        "metadata": _compared(n),
    }
    if not n.is_current_based:
        return nir.LIF(tau=tau, r=r, **firing)
    tau_syn, w_in = leak(n.alpha)
    return nir.CubaLIF(tau_syn=tau_syn, tau_mem=tau, r=r, w_in=w_in, **firing)


def strict_threshold(neuron: Firing | VariantLIF | Threshold) -> FloatArray:
    """Return the threshold for which ``>`` gives what the neuron's own comparison gives."""
    height: FloatArray = neuron.v_threshold
    return height if neuron.compare == ">" else next_below(height)


def _compared(neuron: Firing | VariantLIF | Threshold) -> dict[str, str]:
    """Return the metadata of a node that compares."""
    return {} if neuron.compare == ">" else {"compare": neuron.compare}


def unit_of(neuron: Neuron) -> int:
    """Return the LSB of v per unit of weight; 1 for floats."""
    return UNIT if isinstance(neuron, LoihiLIF) else 1
