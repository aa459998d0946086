#!/bin/sh
# OpenVINO 2026.4.1: a state of a Scan that takes over the scanned input by Identity gets the next step's values.
#
# Expected: a Scan whose body says a_next = Identity(x), b_next = Identity(a), y = Identity(b) delays by two steps:
#           of x = 1, 2, 3, 4, 5 it makes y = 0, 0, 1, 2, 3, as onnxruntime and onnx's ReferenceEvaluator do.
# Seen:     OpenVINO on a CPU makes y = 0, 0, 2, 3, 4: a holds the x of the next step, and the first x is lost. With
#           a_next = Max(x, x), all three agree.
# Matters:  a synapse with a delay, and a neuron that sends changes, keep the former x like this. The wrong values look
#           plausible, and nothing is reported.
#
# Exit code 0: as described. 1: something has changed. 2: the packages could not be installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
{ python3 -m venv "$folder/venv" &&
    "$folder/venv/bin/python" -m pip install --quiet 'openvino==2026.4.1' 'onnx==1.23.2' 'onnxruntime==1.31.1' 'numpy==2.4.6'; } >&2 || exit 2
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

GIVEN = {"a0": np.zeros(1, np.float32), "b0": np.zeros(1, np.float32), "xs": np.arange(1, 6, dtype=np.float32)[:, None]}


def values(names, *shape):
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names]


def copy(kind, source, target):
    return helper.make_node(kind, [source] * (1 if kind == "Identity" else 2), [target])


def delay_of_two(kind):
    """Return a loop: a keeps the former x, by this kind of node, and b the former a; y is b."""
    nodes = [copy(kind, "x", "a_next"), copy("Identity", "a", "b_next"), copy("Identity", "b", "y")]
    body = helper.make_graph(nodes, "body", values("abx", 1), values(["a_next", "b_next", "y"], 1))
    loop = helper.make_node("Scan", ["a0", "b0", "xs"], ["a1", "b1", "ys"], body=body, num_scan_inputs=1)
    inputs = values(["a0", "b0"], 1) + values(["xs"], 5, 1)
    graph = helper.make_graph([loop], "loop", inputs, values(["a1", "b1"], 1) + values(["ys"], 5, 1))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def executed(model):
    """Return y of every runtime."""
    content = model.SerializeToString()
    compiled = openvino.Core().compile_model(openvino.Core().read_model(content), "CPU")
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found = {
        "onnx": ReferenceEvaluator(model).run(["ys"], GIVEN)[0],
        "onnxruntime": session.run(["ys"], GIVEN)[0],
        "openvino": compiled(GIVEN)["ys"],
    }
    return {name: y.ravel().astype(int).tolist() for name, y in found.items()}


print(", ".join(f"{name} {version(name)}" for name in ("openvino", "onnx", "onnxruntime", "numpy")))
right, early = [0, 0, 1, 2, 3], [0, 0, 2, 3, 4]
by_identity, by_max = (executed(delay_of_two(kind)) for kind in ("Identity", "Max"))
for name in by_max:
    print(f"{name:11}  a_next by Identity: y = {by_identity[name]}  by Max: y = {by_max[name]}")
seen = by_identity == {"onnx": right, "onnxruntime": right, "openvino": early}
seen = seen and all(y == right for y in by_max.values())
print("as described" if seen else "changed")
sys.exit(not seen)
PYTHON
