"""Runs in Lava's own interpreter: Delta, Conv, SigmaDelta, Dense, SigmaDelta, Dense, Sigma, joined as in netx.

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
dense, dense_last = (
    Dense(weights=given[name], num_message_bits=16, sign_mode=SignMode.MIXED) for name in ("weight0", "weight1")
)
second = SigmaDelta(shape=(len(given["weight0"]),), vth=int(given["vth"][1]), **EXPONENTS)
last = Sigma(shape=(len(given["weight1"]),))
source.s_out.connect(delta.a_in)
delta.s_out.connect(conv.s_in)
conv.a_out.connect(hidden.a_in)
hidden.s_out.transpose([2, 1, 0]).flatten().connect(dense.s_in)
dense.a_out.connect(second.a_in)
second.s_out.connect(dense_last.s_in)
dense_last.a_out.connect(last.a_in)
sinks = {}
for name, process in {"input": delta, "hidden": hidden, "second": second, "output": last}.items():
    sinks[name] = Sink(shape=process.s_out.shape, buffer=n_steps)
    process.s_out.connect(sinks[name].a_in)
last.run(condition=RunSteps(num_steps=n_steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
found = {name: sink.data.get() for name, sink in sinks.items()}
last.stop()
np.savez(sys.argv[2], **found)
