"""The network in Lava: one process for each node, one connection for each edge.

Shapes and weights are transposed from torch's order (C, H, W) to Lava's (W, H, C). Lava's convolution flips its
kernel, so kernels are flipped before they go in.
"""

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.process import ProcessServer
from lava.magma.core.process.variable import VarServer
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.conv.models import AbstractPyConvModel
from lava.proc.conv.process import Conv
from lava.proc.dense.process import Dense
from lava.proc.lif.process import LIFReset
from lava.proc.sdn.process import Delta, Sigma
from lava.proc.sparse.process import Sparse
from lava.utils.weightutils import SignMode
from scipy import sparse
from tdd_io import Frames, Recorder
from tdd_lif import TddLif

from .files import Bundle, Neurons, Refused, Synapse
from .guard import Guard
from .infrastructure import put_lava_under

GRADED = 8  # bits of a message; without them Lava takes -1 for a spike
WEIGHT_UNIT = 64  # LSB of v
MANTISSA = 4096  # s13: -4096 to 4095
LARGEST_EXPONENT = 7  # u3

for _setting in ("kernel_size", "stride", "padding", "dilation", "groups"):
    # Lava keeps them in int8, which turns 128 groups into -128.
    setattr(AbstractPyConvModel, _setting, LavaPyType(np.ndarray, np.int32, precision=8))


@dataclass(frozen=True)
class Node:
    """The ports of a node: where edges of a code come in and go out."""

    into: dict[str, Any] = field(default_factory=dict)
    out: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """A port of a node to record, its code, and the rows it is written to."""

    name: str
    node: str
    port: str
    code: str
    latency: int
    rows: np.ndarray  # [samples * n_steps, *shape], in shared memory


def run(bundle: Bundle, x: np.ndarray, guard: Guard, *, layers: bool, potentials: bool) -> dict[str, Any]:
    """Run all samples, one after the other in one network, or each in a network of its own if edges have delays.

    Returns:
        The arrays and times that run.py writes.
    """
    _check_mapping(bundle, potentials=potentials)
    put_lava_under(guard)
    records = list(_records(bundle, len(x) * bundle.n_steps, layers=layers, potentials=potentials))
    spans = [slice(i, i + 1) for i in range(len(x))] if bundle.restart else [slice(0, len(x))]
    runs = [_run_network(bundle, x[span], _part(records, span, bundle.n_steps), guard) for span in spans]
    start_seconds, seconds, lava_steps = (sum(column) for column in zip(*runs, strict=True))
    times = {"start_seconds": start_seconds, "seconds": seconds, "lava_steps": lava_steps}
    return _arrays(bundle, records, len(x)) | times


def _run_network(bundle: Bundle, x: np.ndarray, records: list[Record], guard: Guard) -> tuple[float, float, int]:
    """Build, run and stop one network; return the seconds until it ran, those it ran, and its Lava steps."""
    lava_steps = len(x) * bundle.n_steps + bundle.longest_latency
    begun = time.perf_counter()
    process = _build(bundle, x, records, lava_steps)
    process.create_runtime(run_cfg=Loihi2SimCfg(select_tag=bundle.arithmetic))
    started = time.perf_counter()
    process.run(condition=RunSteps(num_steps=lava_steps))
    ended = time.perf_counter()
    with guard.stopping():
        process.stop()
    _forget()
    return started - begun, ended - started, lava_steps


def _forget() -> None:
    """Let go of a network that has stopped; Lava keeps every process, variable and log handler it ever made."""
    ProcessServer().reset_server()
    VarServer().reset_server()
    logging.getLogger().handlers.clear()


# --- what is recorded -------------------------------------------------------------------------------------------------


def _records(bundle: Bundle, n_rows: int, *, layers: bool, potentials: bool) -> Iterator[Record]:
    out = bundle.output
    for code in bundle.codes_into(out.name):
        yield Record(f"output/{code}", out.name, "", code, out.latency, _rows(n_rows, out.shape, bundle.dtype))
    for layer in bundle.neurons:
        if layers:
            code = "delta" if bundle.codes_from(layer.name) == ["delta"] else "spike"
            rows = _rows(n_rows, layer.shape, np.uint8)
            yield Record(f"spikes/{layer.name}", layer.name, code, code, layer.latency, rows)
        if potentials:
            rows = _rows(n_rows, layer.shape, np.int32 if bundle.fixed else np.float64)
            yield Record(f"v/{layer.name}", layer.name, "v", "spike", layer.latency, rows)


def _rows(n_rows: int, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Return an array in memory that forks share, backed by a file without a name, so that it may be large."""
    n_bytes = n_rows * int(np.prod(shape)) * np.dtype(dtype).itemsize
    with tempfile.TemporaryFile() as file:
        os.posix_fallocate(file.fileno(), 0, n_bytes)  # a full disk is an error here, and a crash later
        return np.memmap(file, dtype, mode="r+", shape=(n_rows, *shape))


def _part(records: list[Record], span: slice, n_steps: int) -> list[Record]:
    rows = slice(span.start * n_steps, span.stop * n_steps)
    return [Record(r.name, r.node, r.port, r.code, r.latency, r.rows[rows]) for r in records]


def _arrays(bundle: Bundle, records: list[Record], samples: int) -> dict[str, np.ndarray]:
    """Collect the recorded arrays, [samples, n_steps, *shape]; the output is the sum of both codes and its bias."""
    arrays = {r.name: r.rows.reshape(samples, bundle.n_steps, *r.rows.shape[1:]) for r in records}
    parts = [arrays.pop(name) for name in list(arrays) if name.startswith("output/")]
    bias = bundle.arrays[bundle.output.bias] if bundle.output.bias else 0
    return {"output": (np.sum(parts, axis=0) + bias).astype(bundle.dtype), **arrays}


# --- the network ------------------------------------------------------------------------------------------------------


def _build(bundle: Bundle, x: np.ndarray, records: list[Record], lava_steps: int) -> Any:
    """Build the network and return one of its processes, by which Lava finds all others."""
    within_samples = None if bundle.mapping == "stock" or bundle.restart else bundle.n_steps
    nodes = {bundle.input.name: _sources(bundle, x)}
    nodes |= {synapse.name: _synapses(bundle, synapse) for synapse in bundle.synapses}
    nodes |= {layer.name: _LAYERS[bundle.mapping](bundle, layer, lava_steps) for layer in bundle.neurons}
    nodes[bundle.output.name] = Node()
    for record in records:
        recorder = Recorder(
            rows=record.rows, latency=record.latency, code=record.code, n_steps=within_samples, name=record.name
        )
        if record.node == bundle.output.name:
            nodes[record.node].into[record.code] = recorder.a_in
        else:
            nodes[record.node].out[record.port].connect(recorder.a_in)
    for edge in bundle.edges:
        _connect(nodes[edge.source].out[edge.code], nodes[edge.target].into[edge.code], torch_order=edge.flatten)
    return recorder


def _connect(source: Any, target: Any, *, torch_order: bool) -> None:
    if torch_order:
        source = source.transpose()
    if len(source.shape) > len(target.shape):
        source = source.flatten()
    source.connect(target)


def _sources(bundle: Bundle, x: np.ndarray) -> Node:
    def source(code: str) -> Frames:
        restart = bundle.mapping == "fused"
        return Frames(frames=x, n_steps=bundle.n_steps, code=code, restart=restart, name=f"{bundle.input.name}/{code}")

    return Node(out={code: source(code).s_out for code in bundle.codes_from(bundle.input.name)})


def _synapses(bundle: Bundle, synapse: Synapse) -> Node:
    process = {"dense": _dense, "conv": _conv, "identity": _identity}[synapse.kind](bundle, synapse)
    out = process.a_out
    if synapse.kind == "identity":
        out = out.reshape(synapse.out_shape[::-1])
    return Node(into={"spike": process.s_in, "delta": process.s_in}, out={"spike": out, "delta": out})


def _dense(bundle: Bundle, synapse: Synapse) -> Dense:
    weights = bundle.arrays[synapse.weight]
    return Dense(
        weights=weights.astype(bundle.dtype),
        weight_exp=0,
        sign_mode=SignMode.MIXED,
        num_message_bits=GRADED,
        name=synapse.name,
    )


def _conv(bundle: Bundle, synapse: Synapse) -> Conv:
    weights = bundle.arrays[synapse.weight]  # [C_out, C_in / groups, kH, kW]
    return Conv(
        weight=weights[:, :, ::-1, ::-1].transpose(0, 3, 2, 1).astype(bundle.dtype),
        input_shape=synapse.in_shape[::-1],
        stride=synapse.stride[::-1],
        padding=synapse.padding[::-1],
        dilation=synapse.dilation[::-1],
        groups=synapse.groups,
        num_message_bits=GRADED,
        name=synapse.name,
    )


def _identity(bundle: Bundle, synapse: Synapse) -> Sparse:
    """Make a delay of one step: ones on the diagonal, which stay odd since they need no sign bit."""
    return Sparse(
        weights=sparse.identity(int(np.prod(synapse.in_shape)), bundle.dtype, format="csr"),
        sign_mode=SignMode.EXCITATORY,
        num_message_bits=GRADED,
        name=synapse.name,
    )


def _fused(bundle: Bundle, layer: Neurons, lava_steps: int) -> Node:
    parameters = {
        name: bundle.value(getattr(layer, name), layer.shape) for name in ("v_threshold", "v_reset", "bias", "du", "dv")
    }
    neurons = TddLif(
        shape=layer.shape[::-1],
        soft=layer.reset == "soft",
        latency=layer.latency,
        n_steps=None if bundle.restart else bundle.n_steps,
        name=layer.name,
        **parameters,
    )
    return Node(
        into={"spike": neurons.a_in, "delta": neurons.d_in},
        out={"spike": neurons.s_out, "delta": neurons.d_out, "v": neurons.v_out},
    )


def _stock(bundle: Bundle, layer: Neurons, lava_steps: int) -> Node:
    shape = layer.shape[::-1]
    sigma, lif, delta = Sigma(shape=shape), _lif(bundle, layer, lava_steps), Delta(shape=shape, vth=0)
    sigma.s_out.connect(lif.a_in)
    lif.s_out.connect(delta.a_in)
    return Node(into={"delta": sigma.a_in}, out={"delta": delta.s_out, "spike": lif.s_out})


def _spike(bundle: Bundle, layer: Neurons, lava_steps: int) -> Node:
    lif = _lif(bundle, layer, lava_steps)
    return Node(into={"spike": lif.a_in}, out={"spike": lif.s_out})


_LAYERS: dict[str, Callable[[Bundle, Neurons, int], Node]] = {"fused": _fused, "stock": _stock, "spike": _spike}


def _lif(bundle: Bundle, layer: Neurons, lava_steps: int) -> LIFReset:
    """Return Lava's own neurons, which are reset for every sample, or once: when the only sample reaches them."""
    number = int if bundle.fixed else float
    v_threshold, du, dv = (_one(bundle, layer, name) for name in ("v_threshold", "du", "dv"))
    mantissa, exponent = _bias(bundle, layer)
    return LIFReset(
        shape=layer.shape[::-1],
        vth=number(v_threshold // WEIGHT_UNIT if bundle.fixed else v_threshold),
        du=number(du),
        dv=number(dv),
        bias_mant=mantissa,
        bias_exp=exponent,
        reset_interval=lava_steps + 1 if bundle.restart else bundle.n_steps,
        reset_offset=layer.latency + 1,
        name=layer.name,
    )


# --- what Lava's own neurons can hold ---------------------------------------------------------------------------------


def _check_mapping(bundle: Bundle, *, potentials: bool) -> None:
    """Refuse a bundle that the mapping cannot execute.

    Raises:
        Refused: with the reason.
    """
    if bundle.mapping == "fused":
        return
    if potentials:
        raise Refused(f"--potentials needs the fused mapping; this bundle's is {bundle.mapping}.")
    for layer in bundle.neurons:
        _check_layer(bundle, layer)


def _check_layer(bundle: Bundle, layer: Neurons) -> None:
    where = f"{layer.name}, in the {bundle.mapping} mapping"
    v_threshold, bias = _one(bundle, layer, "v_threshold"), bundle.value(layer.bias, layer.shape)
    if layer.reset != "hard" or bundle.value(layer.v_reset, layer.shape).any():
        raise Refused(f"{where}: Lava's LIF resets to 0 only.")
    if bundle.fixed and v_threshold % WEIGHT_UNIT:
        raise Refused(f"{where}: v_threshold is {v_threshold}; Lava's LIF takes multiples of {WEIGHT_UNIT}.")
    if bundle.restart and bias.max() * layer.latency > v_threshold:
        raise Refused(f"{where}: a bias fires these neurons before the sample reaches them; use the fused mapping.")
    _bias(bundle, layer)


def _one(bundle: Bundle, layer: Neurons, name: str) -> Any:
    """Return a parameter that is the same for all neurons of a layer."""
    values = np.unique(bundle.value(getattr(layer, name), layer.shape))
    if len(values) > 1:
        raise Refused(f"{layer.name}, in the {bundle.mapping} mapping: Lava's LIF takes one {name} for all neurons.")
    return values.item()


def _bias(bundle: Bundle, layer: Neurons) -> tuple[np.ndarray, np.ndarray]:
    """Split the bias into mantissa and exponent, the smallest possible one for each neuron."""
    bias = bundle.value(layer.bias, layer.shape)
    exponent = np.zeros(bias.shape, np.int64)
    if not bundle.fixed:
        return bias, exponent
    for larger in range(1, LARGEST_EXPONENT + 1):
        exponent[~_is_mantissa(bias >> exponent)] = larger
    mantissa = bias >> exponent
    if not (_is_mantissa(mantissa) & (mantissa << exponent == bias)).all():
        raise Refused(f"{layer.name}, in the {bundle.mapping} mapping: its bias is no mantissa << exponent of Lava's.")
    return mantissa, exponent


def _is_mantissa(number: np.ndarray) -> np.ndarray:
    return (number >= -MANTISSA) & (number < MANTISSA)
