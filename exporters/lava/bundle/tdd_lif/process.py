"""The TDD-LIF neuron: it receives changes and values, and sends its spikes and their changes.

A layer in the differential domain sends changes: ``d(k) = s(k) - s(k-1)``, which is -1, 0 or +1. Its receiver sums
them, and so gets the same currents as from values: ``W d(1) + ... + W d(k) = W s(k)``. With Lava's own processes this
takes three for each layer (Sigma, LIF, Delta). This one process replaces them: its thresholds may differ per neuron,
its reset may be soft, and it stays silent until its first sample reaches it.

One step, in Lava's step t (from 1); k = t - latency is the layer's own step:

    k < 1:  inputs are dropped, and zeros are sent
    k = 1, and every ``n_steps`` after it:  u = v = sigma = last = 0         (a sample begins)
    sigma = sigma + d_in                      the sum of changes is held
    a = sigma + a_in                          values count in this step only
    u = decay(u) + a                          current
    v = decay(v) + u + bias                   potential;  v_out = v
    s = v > v_threshold                       s_out = s,  d_out = s - last,  last = s
    where s:  v = v_reset  (hard),  or  v = v - v_threshold  (soft)

The fixed_pt model computes as Lava 0.10's own bit-accurate LIF does, the floating_pt model as its float LIF does.
This folder holds nothing else on purpose: Lava's compiler executes every module in the folder of a process.
"""

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

UNIT = 4096  # decays are fractions of it
SHIFT = 6  # one unit of weight is 2^6 LSB of u and v
LARGEST = 2**23  # u and v are 24 bits wide


class TddLif(AbstractProcess):
    """A layer of TDD-LIF neurons.

    Args:
        shape: of the layer, and of all its ports.
        v_threshold, v_reset, bias: arrays of ``shape``. fixed_pt: whole numbers in LSB of v; floating_pt: as they are.
        du, dv: losses of u and v per step, arrays of ``shape``. fixed_pt: u keeps (4095 - du) / 4096 and v keeps
            (4096 - dv) / 4096, so that du = 4095 has no memory and du = -1 holds; floating_pt: fractions from 0 to 1.
        soft: the reset subtracts the threshold instead of setting ``v_reset``.
        latency: how many Lava steps this layer's first step comes after the input's.
        n_steps: steps per sample, after which the state is reset; None: never.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        v_threshold: np.ndarray,
        v_reset: np.ndarray,
        bias: np.ndarray,
        du: np.ndarray,
        dv: np.ndarray,
        soft: bool = False,
        latency: int = 0,
        n_steps: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(soft=soft, latency=latency, n_steps=n_steps, name=name)
        self.a_in = InPort(shape=shape)  # from edges that send values
        self.d_in = InPort(shape=shape)  # from edges that send changes
        self.s_out = OutPort(shape=shape)
        self.d_out = OutPort(shape=shape)
        self.v_out = OutPort(shape=shape)
        self.u = Var(shape=shape, init=0)
        self.v = Var(shape=shape, init=0)
        self.sigma = Var(shape=shape, init=0)
        self.last = Var(shape=shape, init=0)
        self.v_threshold = Var(shape=shape, init=v_threshold)
        self.v_reset = Var(shape=shape, init=v_reset)
        self.bias = Var(shape=shape, init=bias)
        self.du = Var(shape=shape, init=du)
        self.dv = Var(shape=shape, init=dv)


class AbstractTddLifModel(PyLoihiProcessModel):
    """One step; the arithmetic of u and v is the subclasses'."""

    def __init__(self, proc_params: dict) -> None:
        super().__init__(proc_params)
        self.soft: bool = proc_params["soft"]
        self.latency: int = proc_params["latency"]
        self.n_steps: int | None = proc_params["n_steps"]

    def run_spk(self) -> None:
        """Receive, advance one step, send."""
        changes, values = self.d_in.recv(), self.a_in.recv()
        step = self.time_step - self.latency
        if step < 1:
            self._send(*3 * [np.zeros_like(self.last)])
            return
        if self.n_steps is not None and (step - 1) % self.n_steps == 0:
            self._begin()
        self.sigma += changes
        self.integrate(self.sigma + values)
        spikes = self.v > self.v_threshold
        self._send(spikes, spikes - self.last, self.v)
        self.last[:] = spikes
        self.v[:] = np.where(spikes, self.v - self.v_threshold if self.soft else self.v_reset, self.v)

    def integrate(self, a: np.ndarray) -> None:
        """Advance u and v by one step with the input ``a``."""
        raise NotImplementedError

    def _begin(self) -> None:
        for state in (self.u, self.v, self.sigma, self.last):
            state[:] = 0

    def _send(self, spikes: np.ndarray, changes: np.ndarray, v: np.ndarray) -> None:
        self.s_out.send(spikes)
        self.d_out.send(changes)
        self.v_out.send(v)


@implements(proc=TddLif, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class TddLifModelFixed(AbstractTddLifModel):
    """Integers, as Lava's bit-accurate LIF: everything is int32 but the product of a decay."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    d_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    d_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    v_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    u: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    v: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    sigma: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    last: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    v_threshold: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    v_reset: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    bias: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    du: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=13)
    dv: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=13)

    def integrate(self, a: np.ndarray) -> None:
        """Advance u, which wraps around once, and v, which saturates."""
        self.u[:] = _wrapped(_kept(self.u, UNIT - (self.du + 1)) + np.left_shift(a, SHIFT))
        self.v[:] = np.clip(_kept(self.v, UNIT - self.dv) + self.u + self.bias, 1 - LARGEST, LARGEST - 1)


@implements(proc=TddLif, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class TddLifModelFloat(AbstractTddLifModel):
    """Float64, as Lava's float LIF."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    d_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    d_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    v_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    u: np.ndarray = LavaPyType(np.ndarray, float)
    v: np.ndarray = LavaPyType(np.ndarray, float)
    sigma: np.ndarray = LavaPyType(np.ndarray, float)
    last: np.ndarray = LavaPyType(np.ndarray, float)
    v_threshold: np.ndarray = LavaPyType(np.ndarray, float)
    v_reset: np.ndarray = LavaPyType(np.ndarray, float)
    bias: np.ndarray = LavaPyType(np.ndarray, float)
    du: np.ndarray = LavaPyType(np.ndarray, float)
    dv: np.ndarray = LavaPyType(np.ndarray, float)

    def integrate(self, a: np.ndarray) -> None:
        """Advance u and v."""
        self.u[:] = self.u * (1 - self.du) + a
        self.v[:] = self.v * (1 - self.dv) + self.u + self.bias


def _kept(state: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Compute ``state * kept / 4096``, rounded toward zero."""
    product = state.astype(np.int64) * kept
    return (np.sign(product) * (np.abs(product) >> 12)).astype(np.int32)


def _wrapped(u: np.ndarray) -> np.ndarray:
    """Wrap u around at most once, as a register of 24 bits that is checked once."""
    lowered = np.where(u > LARGEST, u - 2 * LARGEST, u)
    return np.where(lowered <= -LARGEST, u + 2 * LARGEST, lowered)
