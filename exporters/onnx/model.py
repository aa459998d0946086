"""Build a whole ONNX model: the graph of its form, and metadata for people and runners."""

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict

import onnx
from onnx import GraphProto, ModelProto, ValueInfoProto, helper

from tdd_deploy.options.vocabulary import Form
from tdd_deploy.program import Node, Program, Shape, describe
from tdd_deploy.version import __version__

from .graph import Graph
from .splice import Array, Spliced
from .states import next_of, states
from .step import add_step

OPSET, IR_VERSION = 18, 8  # onnxruntime 1.20 reads IR versions up to 10
BODY = "step/"  # before names within a loop; names of nodes hold no slash
BATCH, STEPS = "batch", "n_steps"  # the dimensions that are free


def make(program: Program, form: Form, *, fast: bool, layers: bool) -> Spliced:
    """Build a serialized model that passed ``onnx.checker``; the same program gives the same bytes.

    Args:
        program: one that the rules have passed.
        form: ``step`` or ``scan``.
        fast: whether float32 is summed by Conv and Gemm.
        layers: whether the values that layers of neurons send are outputs too.
    """
    recorded = [layer.name for layer in program.neuron_layers] if layers else []
    graph, large = (_step if form == "step" else _scan)(program, recorded, fast=fast)
    model: ModelProto = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="tdd-deploy",
        producer_version=__version__,
    )
    helper.set_model_props(model, _properties(program, form, fast=fast))
    content: bytes = model.SerializeToString(deterministic=True)
    _check(model, large)
    return Spliced(content, large)


def _check(model: ModelProto, large: Collection[bytes]) -> None:
    """Check a model; it gets its large arrays as inputs, since the checker would copy them."""
    body = next((a.g for node in model.graph.node for a in node.attribute if a.name == "body"), model.graph)
    kept = [tensor for tensor in body.initializer if tensor.raw_data not in large]
    for tensor in body.initializer:
        if tensor.raw_data in large:
            given = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            model.graph.input.append(given)
    del body.initializer[:]
    body.initializer.extend(kept)
    onnx.checker.check_model(model.SerializeToString(), full_check=True)


def _step(
    program: Program, recorded: list[str], *, fast: bool, prefix: str = ""
) -> tuple[GraphProto, dict[bytes, Array]]:
    """Build the graph of one time step, and the arrays that are put in when it is written."""
    graph = Graph(prefix=prefix, fast=fast)
    add_step(graph, program)
    kept, sent = _states(program, prefix), [program.output.name, *recorded]
    if prefix:
        graph.kept_apart([*sent, *(next_of(state.name) for state in states(program))])
    nodes, constants = graph.protos()
    inputs = [_value(program, prefix + program.input.name, program.input.shape, BATCH, doc=_shown(program))]
    outputs = [_value(program, prefix + name, program.shapes[name], BATCH) for name in sent]
    if prefix:  # Scan wants states first
        return helper.make_graph(nodes, "step", [*kept[0], *inputs], [*kept[1], *outputs], constants), graph.large
    return helper.make_graph(nodes, "step", [*inputs, *kept[0]], [*outputs, *kept[1]], constants), graph.large


def _scan(program: Program, recorded: list[str], *, fast: bool) -> tuple[GraphProto, dict[bytes, Array]]:
    """Build a loop over all time steps, whose body holds the weights."""
    before, after = _states(program, "")
    sent = [program.output.name, *recorded]
    shown = _value(program, program.input.name, program.input.shape, STEPS, BATCH, doc=_shown(program))
    outputs = [_value(program, name, program.shapes[name], STEPS, BATCH) for name in sent]
    body, large = _step(program, recorded, fast=fast, prefix=BODY)
    loop = helper.make_node(
        "Scan",
        [*(state.name for state in before), shown.name],
        [*(state.name for state in after), *sent],
        "steps",
        body=body,
        num_scan_inputs=1,
    )
    return helper.make_graph([loop], "scan", [shown, *before], [*outputs, *after]), large


def _shown(program: Program) -> str:
    """Describe the input."""
    if program.number_format != "integer":
        return "the input of the network"
    return f"the input of the network: integers of at most {program.input.largest} in magnitude"


def _states(program: Program, prefix: str) -> tuple[list[ValueInfoProto], list[ValueInfoProto]]:
    """Return the states before and after."""
    before = [_value(program, prefix + s.name, s.shape, BATCH, doc=s.meaning) for s in states(program)]
    after = [_value(program, prefix + next_of(s.name), s.shape, BATCH, doc=s.meaning) for s in states(program)]
    return before, after


def _value(program: Program, name: str, shape: Shape, *free: str, doc: str = "") -> ValueInfoProto:
    dtype = helper.np_dtype_to_tensor_dtype(program.dtype)
    # Within a loop they have no names: tract 0.23 reads the same name there as another size.
    dimensions = [None] * len(free) if name.startswith(BODY) else free
    return helper.make_tensor_value_info(name, dtype, [*dimensions, *shape], doc_string=doc)


def _properties(program: Program, form: Form, *, fast: bool) -> dict[str, str]:
    """Collect the metadata: units, choices and names, which the graph does not contain."""
    found = {
        "tdd_deploy": __version__,
        "program": program.digest,
        "form": form,
        "code": _one_of(edge.code for edge in program.edges),
        "dt_s": repr(float(program.dt_s)),
        "integration": program.integration,
        "number_format": program.number_format,
        "encoder": program.encoder,
        "nodes": json.dumps([_described(node) for node in program.nodes]),
        "states": json.dumps([asdict(state) for state in states(program)]),
    }
    if program.n_steps is not None:
        found["n_steps"] = str(program.n_steps)
    neurons = [layer.neuron for layer in program.neuron_layers]
    for choice in sorted({choice for neuron in neurons for choice in neuron.choices}):
        found[choice] = _one_of(getattr(neuron, choice) for neuron in neurons if choice in neuron.choices)
    if program.number_format == "float32":
        found["sums"] = "fast" if fast else "exact"
    if program.number_format == "integer":
        found["input_scale"] = repr(float(program.input.scale))
        found["input_largest"] = str(program.input.largest)
        found["output_unit"] = repr(float(program.output.unit))
    return found | {f"provenance_{key}": value for key, value in program.provenance.items()}


def _one_of(words: Iterable[str]) -> str:
    first, *others = sorted(set(words))
    return "mixed" if others else first


def _described(node: Node) -> dict[str, str]:
    return {"name": node.name, "kind": describe.kind(node), "parameters": describe.parameters(node)}
