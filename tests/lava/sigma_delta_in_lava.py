"""Runs in Lava's own interpreter: input (Delta) -> Conv -> SigmaDelta -> Dense -> Sigma, as netx of lava-dl builds them.

python sigma_delta_in_lava.py given.npz found.npz
"""

import sys

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.conv.process import Conv
from lava.proc.dense.process import Dense
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from lava.proc.sdn.process import Delta, Sigma, SigmaDelta
from lava.utils.weightutils import SignMode

given = np.load(sys.argv[1])
EXPONENTS = {"spike_exp": 6, "state_exp": 6}
n_steps = given["x"].shape[-1]  # x: [width, height, channels, n_steps], the bias included
kernel = given["kernel"][:, :, ::-1, ::-1].transpose(0, 3, 2, 1)  # torch's to a true convolution
source = Source(data=given["x"].astype(int))
delta = Delta(shape=given["x"].shape[:-1], vth=int(given["vth"][0]), **EXPONENTS)
conv = Conv(input_shape=given["x"].shape[:-1], weight=kernel, stride=given["stride"][::-1], num_message_bits=16)
bias = np.zeros(conv.output_shape, int) + given["bias"]
hidden = SigmaDelta(shape=conv.output_shape, vth=int(given["vth"][1]), bias=bias, **EXPONENTS)
dense = Dense(weights=given["weight"], num_message_bits=16, sign_mode=SignMode.MIXED)
last = Sigma(shape=(len(given["weight"]),))
source.s_out.connect(delta.a_in)
delta.s_out.connect(conv.s_in)
conv.a_out.connect(hidden.a_in)
hidden.s_out.transpose([2, 1, 0]).flatten().connect(dense.s_in)
dense.a_out.connect(last.a_in)
sinks = {}
for name, process in {"input": delta, "hidden": hidden, "output": last}.items():
    sinks[name] = Sink(shape=process.s_out.shape, buffer=n_steps)
    process.s_out.connect(sinks[name].a_in)
last.run(condition=RunSteps(num_steps=n_steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
found = {name: sink.data.get() for name, sink in sinks.items()}
last.stop()
np.savez(sys.argv[2], **found)
