"""Files of PyTorch's exporters, compared with onnxruntime; the newer exporter needs onnxscript."""

import logging
import warnings
from importlib.util import find_spec

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from tdd_deploy.importers import read
from tdd_deploy.program import Scale
from tdd_deploy.simulator import reference

NEWER = pytest.mark.skipif(find_spec("onnxscript") is None, reason="the newer exporter needs onnxscript")
EXPORTERS = [pytest.param(False, id="torchscript"), pytest.param(True, id="dynamo", marks=NEWER)]


class Clamped(nn.Module):
    """A shift of an image without a channel axis, and a ReLU in other words."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(64, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.two(torch.clamp(self.one(torch.flatten(1 - x, 1)), min=0))


NETWORKS = {
    "batch norm after flatten": (
        nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.BatchNorm1d(256), nn.Linear(256, 4)
        ),
        (1, 3, 8, 8),
    ),
    "signals in time": (
        nn.Sequential(
            nn.Conv1d(2, 6, 9, stride=2, padding=4), nn.BatchNorm1d(6), nn.ReLU(), nn.AvgPool1d(2),
            nn.Conv1d(6, 6, 3, dilation=2), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(6, 3),
        ),
        (1, 2, 64),
    ),
    "rows of an image": (nn.Sequential(nn.Flatten(), nn.Linear(784, 8), nn.ReLU(), nn.Linear(8, 3)), (1, 28, 28)),
    "pads": (
        nn.Sequential(
            nn.ZeroPad2d(1), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ZeroPad2d((1, 0, 0, 1)), nn.AvgPool2d(2), nn.Flatten(),
            nn.Linear(4 * 16, 4),
        ),
        (1, 3, 8, 8),
    ),
    "a clamp": (Clamped(), (1, 8, 8)),
}  # fmt: skip


@pytest.mark.parametrize("newer", EXPORTERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_read_as_pytorch_exports_them(tmp_path, name, newer):
    network, shape = NETWORKS[name]
    torch.manual_seed(0)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm1d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias)
    path = tmp_path / "net.onnx"
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters, about themselves
        torch.onnx.export(network.eval(), (torch.rand(shape),), path, dynamo=newer)
    logging.disable(logging.NOTSET)
    program = read(path)
    assert not any(isinstance(each, Scale) for each in program.linear_maps)
    assert ("weights" in program.provenance) == (tmp_path / "net.onnx.data").exists()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).random(shape, np.float32)
    (expected,) = session.run(None, {session.get_inputs()[0].name: x})
    found = reference.run(program, x.reshape(1, 1, *program.input.shape))[program.output.name][0]
    assert expected.size > 2
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
