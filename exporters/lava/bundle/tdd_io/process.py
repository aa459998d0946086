"""A source that reads an array and a sink that writes one.

Lava's own ring buffers pass their data through variables, at 20 us for every element. These two work on the arrays of
the program that started them: its processes are forks, which see its memory, and a sink's array is in shared memory.

Arrays are in torch's order of axes (C, H, W), ports in Lava's (W, H, C): the one is the other's transpose.
"""

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class Frames(AbstractProcess):
    """Sends the frames of an array, one in each Lava step, and zeros when there are no more.

    Args:
        frames: [samples, n_steps, *shape], or [samples, 1, *shape] where a sample is one frame, shown n_steps times.
        n_steps: steps per sample.
        code: "spike" sends the frames, "delta" their differences from the frame before.
        restart: with "delta", whether the frame before a sample's first counts as zero.
    """

    def __init__(self, *, frames: np.ndarray, n_steps: int, code: str, restart: bool, name: str | None = None) -> None:
        super().__init__(frames=frames, n_steps=n_steps, code=code, restart=restart, name=name)
        self.s_out = OutPort(shape=frames.shape[:1:-1])


class AbstractFramesModel(PyLoihiProcessModel):
    """Whatever the port's type."""

    dtype: type

    def __init__(self, proc_params: dict) -> None:
        super().__init__(proc_params)
        self.frames: np.ndarray = proc_params["frames"]
        self.n_steps: int = proc_params["n_steps"]
        self.changes_only: bool = proc_params["code"] == "delta"
        self.restart: bool = proc_params["restart"]

    def run_spk(self) -> None:
        """Send the message of this step."""
        self.s_out.send(self._message(self.time_step - 1).T)

    def _message(self, step: int) -> np.ndarray:
        if step >= len(self.frames) * self.n_steps:
            return np.zeros(self.frames.shape[2:], self.dtype)
        first_of_all = step == 0 or (self.restart and step % self.n_steps == 0)
        if not self.changes_only or first_of_all:
            return self._frame(step)
        return self._frame(step) - self._frame(step - 1)

    def _frame(self, step: int) -> np.ndarray:
        sample, its_step = divmod(step, self.n_steps)
        return self.frames[sample, its_step % self.frames.shape[1]].astype(self.dtype)


@implements(proc=Frames, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class FramesModelFixed(AbstractFramesModel):
    """Whole numbers."""

    dtype = np.int32
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)


@implements(proc=Frames, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class FramesModelFloat(AbstractFramesModel):
    """Float64."""

    dtype = float
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)


class Recorder(AbstractProcess):
    """Writes its input into the rows of an array, one row for each step, until the array is full.

    Args:
        rows: [samples * n_steps, *shape], in shared memory; its type is the type that is written.
        latency: how many Lava steps the first row comes after the input's first frame.
        code: "spike" writes the input, "delta" the sum of all inputs so far.
        n_steps: with "delta", sums restart every n_steps rows; None: never, and they begin with Lava's first step.
    """

    def __init__(
        self, *, rows: np.ndarray, latency: int, code: str, n_steps: int | None, name: str | None = None
    ) -> None:
        super().__init__(rows=rows, latency=latency, code=code, n_steps=n_steps, name=name)
        self.a_in = InPort(shape=rows.shape[:0:-1])


@implements(proc=Recorder, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt", "floating_pt")
class RecorderModel(PyLoihiProcessModel):
    """One for both arithmetics: inputs keep the type of their sender."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)

    def __init__(self, proc_params: dict) -> None:
        super().__init__(proc_params)
        self.rows: np.ndarray = proc_params["rows"]
        self.latency: int = proc_params["latency"]
        self.adds_up: bool = proc_params["code"] == "delta"
        self.n_steps: int | None = proc_params["n_steps"]
        self.sum: np.ndarray | int = 0

    def run_spk(self) -> None:
        """Write the row of this step."""
        arrived = self.a_in.recv().T
        row = self.time_step - 1 - self.latency
        if self.adds_up:
            begins = self.n_steps is not None and row % self.n_steps == 0
            arrived = self.sum = arrived.astype(np.result_type(arrived, np.int64)) + (0 if begins else self.sum)
        if 0 <= row < len(self.rows):
            self.rows[row] = arrived
