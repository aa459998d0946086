"""Torch, the reference, the event engine and onnxruntime side by side."""

import numpy as np
import torch

from tdd_deploy.data import Frames
from tdd_deploy.exporters.onnx.rules import FORMS
from tdd_deploy.exporters.onnx.run import Model
from tdd_deploy.exporters.onnx.write import model
from tdd_deploy.program import with_code
from tdd_deploy.program.inputs import as_input
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.engine.engine import Engine


def assert_every_backend_agrees(net, program, inputs):
    """Compare every spike and every output, given inputs ``[n_steps, batch, ...]``; -0 is 0."""
    n_steps = len(inputs)
    with torch.no_grad():
        run = net.unroll(torch.from_numpy(inputs), n_steps)
    layers = [layer.name for layer in program.neuron_layers]
    assert run.spikes.keys() == {*layers}
    expected = {name: raster.numpy() for name, raster in run.spikes.items()}
    assert expected
    assert all(raster.any() for raster in expected.values())
    expected["output"] = run.outputs.numpy()
    sent = reference.run(program, inputs)
    for name, values in expected.items():
        assert sent[name].dtype == program.dtype
        assert np.array_equal(sent[name], values), f"{name}: the reference differs"
    for code in ("delta", "spike"):
        coded = with_code(program, code)
        frames = Frames(static=False, values=inputs)
        result = Engine(coded).run(frames, n_steps=n_steps, record=layers)
        found = {**result.layers, "output": result.output}
        assert found.keys() == expected.keys()
        for name, values in found.items():
            assert np.array_equal(values.swapaxes(0, 1), expected[name]), f"{name}: the engine differs in {code} code"
        for form in FORMS:
            found, _ = Model(model(coded, form=form, layers=True), needed_for="this test").run(
                as_input(program, inputs)
            )
            assert found.keys() == expected.keys()
            for name, values in found.items():
                assert np.array_equal(values, expected[name]), f"{name}: {form}.onnx differs in {code} code"
