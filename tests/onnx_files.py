"""ONNX files made for tests: a graph from ``x`` to ``y``."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def node(kind, inputs, output="y", **attributes):
    name = attributes.pop("name", f"{kind}_{output}")
    return helper.make_node(kind, inputs.split(), [output], name=name, **attributes)


def made(nodes, weights=(), *, shape=("N", 3, 8, 8), opset=17, name="x", outputs=("y",)):
    """Return a model; ``weights`` are arrays by name."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None) for output in outputs],
        [numpy_helper.from_array(np.asarray(array), key) for key, array in dict(weights).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    model = onnx.shape_inference.infer_shapes(model)
    for output in model.graph.output:
        output.type.tensor_type.shape.dim.extend([])  # a shape has to be there, be it unknown
    return model


def write(path, nodes, weights=(), **choices):
    """Write a model, see ``made``."""
    onnx.save(made(nodes, weights, **choices), path)
    return path
