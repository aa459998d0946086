"""Two neurons in Lava: do they fire when they should? Called as a bundle's run.py is, by ``tdd-deploy lava doctor``.

usage: run.py INPUTS.npz OUTPUTS.npz      (INPUTS: x, spikes [n_steps, 2]; OUTPUTS: output, spikes [n_steps, 2])
"""

import os
import sys
import time
from multiprocessing import shared_memory

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.dense.process import Dense
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from lava.proc.lif.process import LIF


def main() -> None:
    """Run the network and write what came out."""
    shared_memory._SHM_NAME_PREFIX = f"/tdd{os.environ['TDD_LAVA_RUN_ID']}_"  # by which the worker finds them
    spikes = np.load(sys.argv[1])["x"].T  # [2, n_steps]
    n_steps = spikes.shape[1] + 1  # a synapse sends one step later
    began = time.perf_counter()
    source = Source(data=spikes)
    synapses = Dense(weights=np.diag([8, 4]))
    neurons = LIF(shape=(2,), du=4095, dv=0, vth=10)
    sink = Sink(shape=(2,), buffer=n_steps)
    source.s_out.connect(synapses.s_in)
    synapses.a_out.connect(neurons.a_in)
    neurons.s_out.connect(sink.a_in)
    try:
        neurons.run(condition=RunSteps(num_steps=n_steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        output = sink.data.get().T[1:].astype(np.int64)
    finally:
        neurons.stop()
    np.savez(sys.argv[2], output=output, seconds=time.perf_counter() - began, start_seconds=0.0, lava_steps=n_steps)


main()
