"""Estimate energy as others do, from our own counts: a second opinion beside the hardware profiles.

Each function is one public estimator. It returns pJ per inference of the network in plain spikes, as those tools
execute it, and of the dense network with the same layers, executed once. All of them price 32-bit numbers at 45 nm.
tests/parity holds them to their authors' code, and lists each difference by name.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tdd_deploy.program import Conv, Program, Scale
from tdd_deploy.simulator.counts import Trace

from .chains import Chain, Stage, chain_of, obstacles

Picojoules = tuple[float, float]  # of the spiking network, of the dense one
ADD_PJ, MAC_PJ = 0.9, 4.6  # Horowitz, ISSCC 2014: floats of 32 bits at 45 nm
INTEGER_ADD_PJ, INTEGER_MAC_PJ = 0.1, 3.1 + 0.1  # the same source: integers of 32 bits
QUEUED = 1000  # events that the queue before and after a layer holds, in both versions of Lemaire's model
WORD_BYTES = 4
STEP_PJ = 24.96 * WORD_BYTES  # 3.12 pJ per bit
SRAM_BYTES = (0, 8 << 10, 32 << 10, 1 << 20)
SRAM_PJ = (0, 10, 20, 100)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Energy per inference by an estimator; None where it does not apply, and then ``assumes`` says why."""

    name: str
    spiking_pj: float | None
    dense_pj: float | None
    assumes: str
    source: str

    @property
    def ratio(self) -> float | None:
        """Energy of the spiking network, as a multiple of the dense network's."""
        return self.spiking_pj / self.dense_pj if self.spiking_pj is not None and self.dense_pj else None


@dataclass(frozen=True, kw_only=True)
class Estimator:
    """One estimator for chains, with the words that explain it."""

    name: str
    estimate: Callable[[Chain], Picojoules]
    assumes: str
    source: str
    has_groups: bool = True  # its formulas hold for grouped convolutions


def estimates(program: Program, trace: Trace, *, has_spike_input: bool = True) -> tuple[Estimate, ...]:
    """Return what every estimator says, per inference.

    Args:
        program: what was executed.
        trace: its counts.
        has_spike_input: the data are zeros and ones. Where the counts show other values, they count.
    """
    found = [neurobench(program, trace)]
    faults = list(obstacles(program))
    grouped = [f"{n.name} has groups" for n in program.linear_maps if isinstance(n, Conv) and n.groups > 1]
    for estimator in ESTIMATORS:
        reasons = faults if estimator.has_groups else faults + grouped
        if reasons:
            spiking_pj, dense_pj, assumes = None, None, f"does not apply: {reasons[0]}"
        else:
            spiking_pj, dense_pj = estimator.estimate(chain_of(program, trace, has_spike_input=has_spike_input))
            assumes = estimator.assumes
        found.append(
            Estimate(
                name=estimator.name, spiking_pj=spiking_pj, dense_pj=dense_pj, assumes=assumes, source=estimator.source
            )
        )
    return tuple(found)


def neurobench(program: Program, trace: Trace) -> Estimate:
    """Price NeuroBench's effective operations; nonzero values meet nonzero weights, and padding is left out.

    NeuroBench counts and does not price. It knows no element-wise scales.
    """
    scales = {node.name for node in program.linear_maps if isinstance(node, Scale)}
    weighted = np.array([layer.name not in scales for layer in trace.layers])
    counts = trace.spike_code
    acs, macs, dense = (
        float(count[weighted].sum()) / trace.n_samples for count in (counts.acs, counts.macs, counts.dense[:, 0])
    )
    is_feed_forward = not any(edge.delay for edge in program.edges)
    return Estimate(
        name="NeuroBench",
        spiking_pj=ADD_PJ * acs + MAC_PJ * macs,
        dense_pj=MAC_PJ * dense if is_feed_forward else None,
        assumes="arithmetic alone, 0.9 pJ per effective AC and 4.6 pJ per MAC; no memory, biases or neurons",
        source="Yik et al., Nature Communications 2025, doi:10.1038/s41467-025-56739-4; neurobench 2.3.0",
    )


def syops(chain: Chain) -> Picojoules:
    """Price steps x mean rate of a map's input x its MACs and biases, padding included, as ACs.

    A map that receives values other than 0 and 1 is priced as MACs, without a rate. A neuron is one AC per time step.
    """
    acs = macs = 0.0
    for stage in chain.stages:
        operations = stage.macs + stage.biases
        if stage.is_graded:
            macs += chain.n_steps * operations
        else:
            acs += stage.events / stage.n_in * operations
        acs += chain.n_steps * stage.n_neurons
    dense = sum(stage.macs + stage.biases + stage.n_neurons for stage in chain.stages)  # one MAC per ReLU
    return ADD_PJ * acs + MAC_PJ * macs, MAC_PJ * dense


def spikingjelly_simple(chain: Chain) -> Picojoules:
    """Price MACs, ACs, and each read of a weight or bias, each read and write of a potential, at 24.96 pJ per byte.

    A map that receives values other than 0 and 1 executes all its MACs, padding included. What SpikingJelly adds for
    the arithmetic of its own neurons, 3 to 7 ACs per time step, is left out.
    """
    spiking = dense = 0.0
    for stage in chain.stages:
        uses = chain.n_steps * stage.macs if stage.is_graded else stage.weight_uses
        words = uses + chain.n_steps * (stage.biases + 2 * stage.n_neurons)
        spiking += (MAC_PJ if stage.is_graded else ADD_PJ) * uses + STEP_PJ * words
        dense += MAC_PJ * stage.macs + STEP_PJ * (stage.macs + stage.biases)
    return spiking, dense


def lemaire(chain: Chain) -> Picojoules:
    """Price operations, addresses and memory by the formulas of Lemaire et al., with their authors' memory.

    An access costs 13.2 pJ and 1.09e-5 pJ per bit of its memory. Equation 2.4 has the authors' own correction: a spike
    into a dense layer causes one addition per output. An analog input is executed in one of the time steps.
    """
    spiking = sum(_lemaire_spiking(stage, chain.n_steps) for stage in chain.stages)
    return spiking, sum(_lemaire_dense(stage) for stage in chain.stages)


def _lemaire_access_pj(words: float) -> float:
    return 1.09e-5 * 32 * words + 13.2


def _lemaire_spiking(stage: Stage, n_steps: float) -> float:
    is_conv = isinstance(stage.node, Conv)
    received = stage.events / n_steps if stage.is_graded else stage.events  # by the queue, the weights and addresses
    if stage.is_graded:
        # Values times weights, one bias; a leak is a multiplication.
        macs, adds = stage.macs * received / stage.n_in, stage.n_out + stage.spikes
        operations = INTEGER_MAC_PJ * macs + INTEGER_ADD_PJ * adds
        operations += (INTEGER_MAC_PJ - INTEGER_ADD_PJ) * stage.n_out * stage.is_leaky
    else:
        adds = received * _reached(stage) + n_steps * stage.n_out + stage.spikes
        operations = INTEGER_ADD_PJ * adds + INTEGER_MAC_PJ * n_steps * stage.n_out * stage.is_leaky
    addresses = INTEGER_ADD_PJ * received * stage.fan_out + INTEGER_MAC_PJ * 2 * received * is_conv
    potentials = 2 * (stage.events * stage.fan_out + n_steps * stage.n_out)
    return (
        operations
        + addresses
        + potentials * _lemaire_access_pj(stage.n_out)
        + received * stage.fan_out * _lemaire_access_pj(stage.node.weight.size)
        + n_steps * stage.biases * _lemaire_access_pj(len(stage.node.weight))
        + (received + stage.spikes) * _lemaire_access_pj(QUEUED)
    )


def _lemaire_dense(stage: Stage) -> float:
    is_conv = isinstance(stage.node, Conv)
    operations = INTEGER_MAC_PJ * stage.macs + INTEGER_ADD_PJ * stage.n_out
    addresses = stage.n_in + stage.n_out + len(stage.node.weight) * stage.taps if is_conv else stage.macs
    return (
        operations
        + INTEGER_ADD_PJ * addresses
        + (stage.macs if is_conv else stage.n_in) * _lemaire_access_pj(stage.n_in)
        + stage.macs * _lemaire_access_pj(stage.node.weight.size)
        + stage.biases * _lemaire_access_pj(len(stage.node.weight))
        + stage.n_out * _lemaire_access_pj(stage.n_out)
    )


def _reached(stage: Stage) -> int:
    """Return how many outputs of a map a value reaches, without borders: equation 1.4."""
    if not isinstance(stage.node, Conv):
        return stage.n_out
    strides = zip(stage.node.weight.shape[2:], stage.node.stride, strict=True)
    places: int = math.prod(math.ceil(size / stride) for size, stride in strides)
    return stage.fan_out // stage.taps * places


def spikingjelly_lemaire(chain: Chain) -> Picojoules:
    """Price SpikingJelly's reading of Lemaire et al., a sample at a time.

    An access costs what its memory costs, between 10 pJ (8 KiB), 20 pJ (32 KiB) and 100 pJ (1 MiB), and less below.
    Potentials are read and written per neuron and time step, and per weight that a spike meets.
    """
    spiking = sum(_jelly_spiking(stage, chain.n_steps) for stage in chain.stages)
    return spiking, sum(_jelly_dense(stage, 1) + stage.n_out * _sram_pj(stage.n_out) for stage in chain.stages)


def _sram_pj(words: int) -> float:
    return float(np.interp(words * WORD_BYTES, SRAM_BYTES, SRAM_PJ))


def _jelly_spiking(stage: Stage, n_steps: float) -> float:
    updates = n_steps * stage.n_neurons
    neurons = INTEGER_ADD_PJ * stage.spikes + INTEGER_MAC_PJ * updates * stage.is_leaky
    neurons += 2 * updates * _sram_pj(stage.n_out) + stage.spikes * _sram_pj(QUEUED)
    if stage.is_graded:
        return _jelly_dense(stage, n_steps) + neurons
    uses, is_conv = stage.events * stage.fan_out, isinstance(stage.node, Conv)
    adds = stage.events * _reached(stage) + n_steps * stage.biases + uses  # the last for addresses
    return (
        INTEGER_ADD_PJ * adds
        + INTEGER_MAC_PJ * 2 * stage.events * is_conv
        + stage.events * _sram_pj(QUEUED)
        + (uses + n_steps * stage.biases) * _parameters_pj(stage)
        + 2 * uses * _sram_pj(stage.n_out)
        + neurons
    )


def _jelly_dense(stage: Stage, n_steps: float) -> float:
    is_conv = isinstance(stage.node, Conv)
    addresses = stage.n_in + stage.n_out + len(stage.node.weight) * stage.taps * is_conv
    return n_steps * (
        INTEGER_MAC_PJ * stage.macs
        + INTEGER_ADD_PJ * (stage.biases + addresses)
        + (stage.macs if is_conv else stage.n_in) * _sram_pj(stage.n_in)
        + (stage.macs + stage.biases) * _parameters_pj(stage)
    )


def _parameters_pj(stage: Stage) -> float:
    bias = stage.node.bias
    return _sram_pj(stage.node.weight.size + (0 if bias is None else bias.size))


ESTIMATORS = (
    Estimator(
        name="syops",
        estimate=syops,
        assumes=(
            "arithmetic alone: steps x mean input rate x MACs x 0.9 pJ, an analog input at 4.6 pJ; padding and biases "
            "count, and a neuron is one AC per step; no memory"
        ),
        source="Chen et al. 2023, arXiv:2301.11929; syops 0.0.5",
    ),
    Estimator(
        name="SpikingJelly simple",
        estimate=spikingjelly_simple,
        assumes=(
            "0.9 pJ per AC, 4.6 pJ per MAC, 24.96 pJ per byte of weights and biases read and of potentials read and "
            "written; no sending of events"
        ),
        source="spikingjelly 2.0.0, estimate_simple_energy",
    ),
    Estimator(
        name="Lemaire 2022",
        estimate=lemaire,
        assumes=(
            "32-bit integers; weights, potentials, queues and addresses, with an SRAM per layer; an analog input is "
            "executed in one step; the dense network reads memory for each MAC"
        ),
        source="Lemaire et al., ICONIP 2022, arXiv:2210.13107; qualia-plugin-snn 2.6.0",
        has_groups=False,
    ),
    Estimator(
        name="SpikingJelly Lemaire",
        estimate=spikingjelly_lemaire,
        assumes=(
            "32-bit integers; weights, potentials, queues and addresses, with an SRAM per layer; an analog input is "
            "executed in every step; the dense network reads memory for each MAC"
        ),
        source="spikingjelly 2.0.0, estimate_lemaire_energy, a sample at a time",
    ),
)
