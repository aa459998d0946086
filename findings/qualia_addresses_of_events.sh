#!/bin/sh
# Qualia 2.6.0: the energy to find the targets of an event does not grow with the layer that it reaches.
#
# Expected: the model of Lemaire et al. 2022 counts one addition per target: events x output channels x kernel for a
#           convolution (equation 16.3), events x outputs for a dense layer (equation 17.2). The docstrings repeat both.
# Seen:     a convolution with 64 output channels needs as many additions as one with a single channel, and a dense layer
#           with 1,000 inputs as many as one with 10, at the same rate: channels are left out, and the rate stands for the
#           number of events.
# Matters:  Qualia is the code of the model's own group, and users quote its figures as the model's. Addressing of a spiking
#           layer comes out many times too small, while the dense layer's is complete.
#
# Exit code 0: as described. 1: something has changed. 2: the packages could not be installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
{ python3 -m venv "$folder/venv" &&
    "$folder/venv/bin/python" -m pip install --quiet 'torch==2.13.0' 'numpy==2.4.6' matplotlib tqdm loguru msgpack PyYAML packaging \
        'ndindex==1.10.1' 'numexpr==2.14.2' &&
    "$folder/venv/bin/python" -m pip install --quiet --no-deps 'spikingjelly==2.0.0' 'qualia-core==2.6.0' \
        'qualia-codegen-core==2.6.0' 'qualia-plugin-snn==2.6.0' 'qualia-codegen-plugin-snn==2.6.0' 'lightning==2.6.6' \
        'lightning-utilities==0.15.3' 'torchmetrics==1.9.0' 'blosc2==4.14.1' 'httpx==0.28.1' 'idna==3.20' 'tomlkit==0.15.2'; } >&2 || exit 2
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
from qualia_codegen_core.graph.layers import TConv2DLayer, TDenseLayer
from qualia_codegen_core.graph.layers.TActivationLayer import TActivation
from qualia_plugin_snn.postprocessing.EnergyEstimationMetric import EnergyEstimationMetric

RATE = 0.5  # events per input and inference
NO_BIAS = (False, np.zeros(0))
metric = EnergyEstimationMetric(mem_width=32, fifo_size=0)


def convolution(channels):
    """A convolution of 3 x 3 over an image of 8 x 8 with 4 channels."""
    common = ([(1, 8, 8, 4)], [(1, 8, 8, channels)], [np.float32], "conv", TActivation.LINEAR)
    kernel = np.ones((channels, 4, 3, 3), np.float32)
    return TConv2DLayer(*common, kernel, (3, 3), (1, 1), channels, *NO_BIAS, 1, ((1, 1), (1, 1)))


def dense(inputs):
    """A dense layer with 20 outputs."""
    common = ([(1, inputs)], [(1, 20)], [np.float32], "dense", TActivation.LINEAR)
    return TDenseLayer(*common, np.ones((20, inputs), np.float32), 20, *NO_BIAS)


print(", ".join(f"{name} {version(name)}" for name in ("qualia-plugin-snn", "qualia-codegen-core", "numpy")))
found = []
for channels in (1, 64):
    additions, expected = metric._acc_addr_conv_snn(convolution(channels), RATE), RATE * 8 * 8 * 4 * channels * 9
    found.append(additions)
    print(f"convolution, {channels:2} output channels: {additions:,.0f} additions; equation 16.3 gives {expected:,.0f}")
for inputs in (10, 1000):
    additions, expected = metric._acc_addr_fc_snn(dense(inputs), RATE), RATE * inputs * 20
    found.append(additions)
    print(f"dense layer, {inputs:4} inputs: {additions:,.0f} additions; equation 17.2 gives {expected:,.0f}")
seen = found[0] == found[1] and found[2] == found[3] == RATE * 20
print("as described" if seen else "changed")
sys.exit(not seen)
PYTHON
