#!/bin/sh
# tract 0.23.9: a Scan in which a state of integers is multiplied or divided by one integer is refused.
#
# Expected: v_next = 3 v + x in a Scan runs in int32 as in float32, and as onnxruntime runs it.
# Seen:     in int32 tract refuses it, "inconsistent fact: body input 0 is 1,2,I32 [...] 3 and body output 0 is 1,2,I32".
#           With the constant [3, 3] in the place of 3, or in float32, it runs and gives the right numbers.
# Matters:  a leak of integers is a product with one integer, so loops over integer networks do not load.
#
# Exit code 0: as described. 1: something has changed. 2: the packages could not be installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
{ python3 -m venv "$folder/venv" &&
    "$folder/venv/bin/python" -m pip install --quiet 'tract==0.23.9' 'onnx==1.23.2' 'onnxruntime==1.31.1' 'numpy==2.4.6'; } >&2 || exit 2
"$folder/venv/bin/python" -W ignore - "$folder/loop.onnx" <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
import onnx
import onnxruntime
import tract
from onnx import helper, numpy_helper

PATH = sys.argv[1]


def loop(factor):
    """Return a loop whose state is multiplied by a constant."""
    kind = helper.np_dtype_to_tensor_dtype(factor.dtype)

    def values(names, *shape):
        return [helper.make_tensor_value_info(name, kind, shape) for name in names]

    nodes = [
        helper.make_node("Mul", ["v", "factor"], ["kept"]),
        helper.make_node("Add", ["kept", "x"], ["sum"]),
        helper.make_node("Identity", ["sum"], ["v_next"]),
        helper.make_node("Identity", ["sum"], ["y"]),
    ]
    constants = [numpy_helper.from_array(factor, "factor")]
    body = helper.make_graph(nodes, "body", values("vx", 1, 2), values(["v_next", "y"], 1, 2), constants)
    scan = helper.make_node("Scan", ["v0", "xs"], ["v1", "ys"], body=body, num_scan_inputs=1)
    inputs, outputs = values(["v0"], 1, 2) + values(["xs"], 5, 1, 2), values(["v1"], 1, 2) + values(["ys"], 5, 1, 2)
    graph = helper.make_graph([scan], "loop", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def outcome(factor):
    model = loop(factor)
    onnx.save(model, PATH)
    given = [np.zeros((1, 2), factor.dtype), np.arange(10).reshape(5, 1, 2).astype(factor.dtype)]
    session = onnxruntime.InferenceSession(PATH, providers=["CPUExecutionProvider"])
    expected = session.run(["ys"], dict(zip(["v0", "xs"], given, strict=True)))[0]
    try:
        found = tract.onnx().load(PATH).into_model().into_runnable().run(given)[1].to_numpy()
    except tract.TractError as error:
        return "refused: " + next((line.strip() for line in str(error).splitlines() if "inconsistent fact" in line), str(error))
    return "equal" if np.array_equal(found, expected) else "other numbers"


print(", ".join(f"{name} {version(name)}" for name in ("tract", "onnx", "onnxruntime", "numpy")))
one, two, floats = outcome(np.int32(3)), outcome(np.array([3, 3], np.int32)), outcome(np.float32(3))
print(f"int32, 3:      {one}\nint32, [3, 3]: {two}\nfloat32, 3:    {floats}")
seen = one.startswith("refused") and "inconsistent fact" in one and two == floats == "equal"
print("as described" if seen else "changed")
sys.exit(not seen)
PYTHON
