"""A ReLU network as plain ONNX: a static program of sigma-delta neurons that send every change.

The ONNX importer reads the file back to the same numbers, and any other tool runs it as the ReLU network that it is.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tdd_deploy.errors import MissingDependency, NotExportable, Violation
from tdd_deploy.files import replacing
from tdd_deploy.neurons import SigmaDelta
from tdd_deploy.program import Conv, Dense, Flatten, Input, NeuronLayer, Node, Output, Pool, Program, Scale
from tdd_deploy.version import __version__

OPSET, IR = 17, 8  # from 2022: old enough for any runtime
BATCH = "N"
Operation = tuple[str, dict[str, Any], dict[str, Any]]  # a node's kind, constants and attributes
WITHOUT_NUMBERS: dict[type[Node], str] = {Flatten: "Flatten", NeuronLayer: "Relu", Output: "Identity"}


def write(program: Program, path: Path) -> None:
    """Write a program whose every layer of neurons is a ReLU; input and output are ``[N, *shape]`` in float32.

    Raises:
        MissingDependency: onnx is not installed.
        NotExportable: the program is no ReLU network; every reason is named.
        BadFile: the file cannot be written.
    """
    try:
        import onnx  # noqa: PLC0415  (optional)
    except ImportError as error:
        raise MissingDependency("onnx", "a ReLU network in ONNX", "'tdd-deploy[onnx]'") from error
    if found := list(_faults(program)):
        raise NotExportable(f"{path} as a ReLU network", found)
    helper, tensor = onnx.helper, onnx.numpy_helper.from_array
    weights: list[Any] = []
    nodes: list[Any] = []
    for node in program.nodes:
        if isinstance(node, Input):
            continue
        sources = [edge.source for edge in program.incoming[node.name]]
        total = sources[0]
        for number, source in enumerate(sources[1:]):
            nodes.append(helper.make_node("Add", [total, source], [f"{node.name}/sum{number}"]))
            total = f"{node.name}/sum{number}"
        operations = _operations(node, program.shapes[sources[0]])
        for number, (kind, arrays, attributes) in enumerate(operations, start=1):
            given = [f"{node.name}/{name}" for name in arrays]
            weights += [
                tensor(np.ascontiguousarray(array), name) for name, array in zip(given, arrays.values(), strict=True)
            ]
            made = node.name if number == len(operations) else f"{node.name}/{kind}"
            nodes.append(helper.make_node(kind, [total, *given], [made], name=made, **attributes))
            total = made
    ends = (program.input.name, program.output.name)
    values = [helper.make_tensor_value_info(name, 1, [BATCH, *program.shapes[name]]) for name in ends]
    graph = helper.make_graph(nodes, "network", values[:1], values[1:], weights)
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(
        graph, producer_name="tdd-deploy", producer_version=__version__, opset_imports=[opset], ir_version=IR
    )
    onnx.checker.check_model(model)
    with replacing(path) as part:
        part.write_bytes(model.SerializeToString())


def _faults(program: Program) -> Iterator[Violation]:
    if program.number_format != "float32":
        yield Violation("number_format", program.number_format, "float32")
    for edge in program.edges:
        if edge.delay:
            found = f"has delay {edge.delay}, but a ReLU network is a single forward pass"
            yield Violation(f"edge {edge.source} -> {edge.target}", found)
    for layer in program.neuron_layers:
        neuron = layer.neuron
        if not isinstance(neuron, SigmaDelta) or neuron.activation != "relu" or np.any(neuron.delta_threshold):
            allowed = "SigmaDelta neurons with activation relu and a delta_threshold of 0"
            found = type(neuron).__name__
            if isinstance(neuron, SigmaDelta):
                largest = float(neuron.delta_threshold.max())
                found += f" with activation {neuron.activation} and a delta_threshold of {largest:g}"
            yield Violation(layer.name, found, allowed)


def _operations(node: Node, shape: tuple[int, ...]) -> list[Operation]:
    """Find the operator that computes a node which receives ``shape``."""
    match node:
        case Dense():
            return [("Gemm", _weights(node), {"transB": 1})]
        case Pool():  # ONNX knows no sums over windows
            return _operations(node.as_conv(shape[0]), shape)
        case Conv():
            attributes = {"strides": node.stride, "dilations": node.dilation, "group": node.groups}
            return [("Conv", _weights(node), {**attributes, "pads": node.padding * 2})]
        case Scale():
            constants = {"Mul": ("factor", node.factor), "Add": ("bias", node.bias)}
            return [
                (kind, {name: array.astype(np.float32)}, {})
                for kind, (name, array) in constants.items()
                if array is not None
            ]
    return [(WITHOUT_NUMBERS[type(node)], {}, {})]


def _weights(node: Dense | Conv) -> dict[str, Any]:
    bias = {} if node.bias is None else {"bias": node.bias.astype(np.float32)}
    return {"weight": node.weight.astype(np.float32), **bias}
