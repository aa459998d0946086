"""Turn a user's PyTorch modules into NIR graphs through nirtorch; refuse by name whatever nirtorch would lose.

A module computes one time step: it takes ``[batch, ...]``, and its neurons keep their states themselves, or take and
return them. Between neurons are torch's own linear layers, and sums.
"""

import copy
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor, fx, nn

from tdd_deploy.errors import MissingDependency, NotExportable, Violation
from tdd_deploy.program import Shape

Neurons = Mapping[type[nn.Module], Callable[[Any], nir.NIRNode]]
PASS_THROUGH = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout)  # in evaluation mode
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
NEURON_NODES = (nir.I, nir.IF, nir.LI, nir.LIF, nir.CubaLI, nir.CubaLIF, nir.Threshold)


def to_nir(module: nn.Module, sample: Tensor, *, neurons: Neurons) -> nir.NIRGraph:
    """Turn a torch module in evaluation mode into a NIR graph.

    Linear, Conv1d, Conv2d, AvgPool2d and Flatten become their nodes; Identity and Dropout are left out. The reader of
    the graph makes the choices that NIR leaves open, such as dt: ``lower(graph,
    dialect="nir,dt=1e-3,integration=euler")``.

    Args:
        module: computes one time step; it is not changed.
        sample: one step of one batch, ``[batch, ...]``; the graph's input has its shape.
        neurons: makes the node of each class of neurons; a parameter is one number, or one for each neuron. Other
            classes may be here too, and come before the nodes that are made otherwise.

    Raises:
        MissingDependency: nirtorch is not installed.
        NotExportable: something in the module would be lost or changed; every reason is in the error.
    """
    try:
        import nirtorch
        from nirtorch.torch_tracer import NIRTorchTracer
    except ModuleNotFoundError as error:
        raise MissingDependency("nirtorch", "a NIR graph of a torch module", "'tdd-deploy[nirtorch]'") from error
    traced = _traced(module, NIRTorchTracer((*neurons, *MAPS, *PASS_THROUGH)))
    _refuse(_inputs_without_a_default(traced))
    calls = _Calls(traced, _shapes(traced, sample), neurons)
    _refuse(calls.violations())
    received = {module: calls.received(node) for node, module in calls.layers.items()}
    maps = {kind: partial(_made, make, received) for kind, make in MAPS.items()}
    maps |= {kind: partial(_spread, make, received) for kind, make in neurons.items()}
    calls.remove_pass_through()
    try:
        graph = nirtorch.torch_to_nir(traced, maps, {}, type_check=False, stateful_modules=set(neurons))
    except ValueError as error:
        raise _refused(Violation("nirtorch", f"refused the module ({error})")) from error
    ends = {nir.Input: nir.Input(np.array(sample.shape[1:])), nir.Output: nir.Output(np.array(calls.sent))}
    nodes = {name: ends.get(type(node), node) for name, node in graph.nodes.items()}
    return nir.NIRGraph(nodes=nodes, edges=graph.edges, type_check=False)


def _traced(module: nn.Module, tracer: fx.Tracer) -> fx.GraphModule:
    """Return a copy of a module as a graph of calls."""
    try:
        copied = copy.deepcopy(module).eval()
    except RuntimeError as error:  # of tensors in the middle of a backward pass
        found = f"cannot be copied ({error})"
        raise _refused(Violation("the module", found, remedy="Reset the states of its neurons.")) from error
    whole = nn.Sequential(copied) if tracer.is_leaf_module(copied, "") else copied
    try:
        return fx.GraphModule(whole, tracer.trace(whole))
    except (fx.proxy.TraceError, NameError, RuntimeError, TypeError) as error:
        found, remedy = f"cannot be traced ({error})", "Call the same layers of the module for every input."
        raise _refused(Violation("forward", found, remedy=remedy)) from error


def _refused(*violations: Violation) -> NotExportable:
    return NotExportable("this module does not fit NIR", violations)


def _refuse(violations: Iterable[Violation]) -> None:
    found = tuple(violations)
    if found:
        raise _refused(*found)


def _inputs_without_a_default(traced: fx.GraphModule) -> Iterator[Violation]:
    for node in [node for node in traced.graph.nodes if node.op == "placeholder"][1:]:
        if not node.args:
            remedy = "Give states the default None, or let neurons keep them."
            yield Violation("forward", f"needs a second input, {node.target}", remedy=remedy)


def _shapes(traced: fx.GraphModule, sample: Tensor) -> Mapping[fx.Node, Shape]:
    running = _Running(traced)
    with torch.no_grad():
        running.run(sample)
    return running.shapes


class _Running(fx.Interpreter):
    """Makes the calls, and records the shape that each returned, without the batch; of several values the first."""

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__(traced)
        self.shapes: dict[fx.Node, Shape] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Make one call."""
        result = super().run_node(n)
        first = result[0] if isinstance(result, tuple) and result else result
        if isinstance(first, Tensor):
            self.shapes[n] = tuple(first.shape[1:])
        return result


@dataclass(frozen=True)
class _Calls:
    """The calls that a module makes in one step, and their violations."""

    traced: fx.GraphModule
    shapes: Mapping[fx.Node, Shape]
    neurons: Neurons

    def module(self, node: fx.Node) -> nn.Module | None:
        """Return the called module; None for another call."""
        return self.traced.get_submodule(str(node.target)) if node.op == "call_module" else None

    @cached_property
    def layers(self) -> dict[fx.Node, nn.Module]:
        """The calls that become nodes, and the called modules."""
        called = {node: self.module(node) for node in self.traced.graph.nodes}
        known = {*MAPS, *self.neurons}
        return {node: module for node, module in called.items() if module is not None and type(module) in known}

    @property
    def sent(self) -> Shape:
        """The shape that the module returns."""
        return self.shapes[next(node for node in self.traced.graph.nodes if node.op == "output")]

    def received(self, node: fx.Node) -> Shape:
        """Return the shape that a call takes."""
        signal: Any = node.args[0]
        return self.shapes[signal]

    def remove_pass_through(self) -> None:
        """Remove the calls that do nothing: NIR has no node for them."""
        for node in list(self.traced.graph.nodes):
            if isinstance(self.module(node), PASS_THROUGH) and node not in self.layers:
                node.replace_all_uses_with(node.args[0])
                self.traced.graph.erase_node(node)
        self.traced.recompile()

    # ---- violations

    def violations(self) -> Iterator[Violation]:
        """Yield everything that would be lost or changed."""
        if not self.layers:
            yield Violation("the module", "has no layers", remedy="Make it of layers of torch.nn, and neurons.")
        for node in self.traced.graph.nodes:
            match node.op:
                case "call_module":
                    yield from self._of_layer(node)
                case "call_function" | "call_method":
                    yield from self._of_function(node)
                case "get_attr":
                    found = "is used outside of layers and would be lost"
                    yield Violation(f"self.{node.target}", found, remedy="Make it the weight or bias of a layer.")
                case "output":
                    yield from self._of_output(node)
        yield from self._of_modules_called_twice()

    def _of_layer(self, node: fx.Node) -> Iterator[Violation]:
        module = self.module(node)
        kind = type(module).__name__
        if node not in self.layers and not isinstance(module, PASS_THROUGH):
            remedy = FOLD if isinstance(module, NORMS) else f"Name its node: neurons={{{kind}: ...}}."
            yield Violation(str(node.target), f"a module of class {kind}", f"{KNOWN} or neurons", remedy)
            return
        signal, *states = self._args(node) or [None]
        if not self._is_signal(signal) or not all(map(self._is_passed_in, states)):
            found = f"is called with {', '.join(map(str, self._args(node)))}"
            remedy = "Call layers as layer(x), and neurons as neurons(x, state) with a state that forward takes."
            yield Violation(str(node.target), found, remedy=remedy)
        elif module is not None and type(module) in LIMITS and type(module) not in self.neurons:
            for found, remedy in LIMITS[type(module)](module, self.received(node)):
                yield Violation(str(node.target), found, remedy=remedy)

    def _of_function(self, node: fx.Node) -> Iterator[Violation]:
        name, args = getattr(node.target, "__name__", str(node.target)), self._args(node)
        if node.target is operator.getitem:
            if not self._is_state(node) and not self._is_first_of_neurons(node):
                remedy = "Take the first value of neurons, and states as a whole."
                yield Violation(node.name, "takes a value apart", remedy=remedy)
        elif node.target is not operator.add and node.target != "add":
            remedy = "Use a + b." if "add" in name else "Use a layer of torch.nn." if name != "flatten" else USE_FLATTEN
            found = f"calls {name}(...) outside of a layer, where only sums of two signals are allowed"
            yield Violation(node.name, found, remedy=remedy)
        elif len(args) != 2 or not all(map(self._is_signal, args)):
            added = [value for value in args if not self._is_signal(value)]
            found = f"adds {', '.join(map(str, added))}, which would be lost"
            yield Violation(node.name, found, remedy="Make it the bias of a layer.")
        elif len({self.shapes[value] for value in args}) > 1:
            shapes = " and ".join(str(self.shapes[value]) for value in args)
            yield Violation(node.name, f"adds signals of different shapes, {shapes}")
        else:
            sources = self._sources(node)
            for source in sorted({str(source) for source in sources if sources.count(source) > 1}):
                remedy = "Put a layer between, or double the weights."
                yield Violation(node.name, f"adds {source} to itself", remedy=remedy)

    def _of_output(self, node: fx.Node) -> Iterator[Violation]:
        (values,) = self._args(node)
        returned = values if isinstance(values, tuple | list) else (values,)
        signals = [value for value in returned if self._is_signal(value)]
        if len(signals) != 1 or returned[0] is not signals[0]:
            found = f"returns {', '.join(map(str, returned))}"
            yield Violation("forward", found, remedy="Return one signal, or one signal and states.")

    def _of_modules_called_twice(self) -> Iterator[Violation]:
        calls: dict[nn.Module, list[fx.Node]] = {}
        for node, module in self.layers.items():
            calls.setdefault(module, []).append(node)
        for module, nodes in calls.items():
            if len(nodes) == 1:
                continue
            if type(module) in self.neurons:
                found = f"is called {len(nodes)} times per step, and each call of neurons needs a state of its own"
                yield Violation(str(nodes[0].target), found, remedy="Make a module for each call.")
            elif len({self.received(node) for node in nodes}) > 1:
                found = f"is called {len(nodes)} times with different shapes"
                yield Violation(str(nodes[0].target), found, remedy="Make a module for each shape.")

    # ---- signals and states

    def _args(self, node: fx.Node) -> list[Any]:
        return [*node.args, *node.kwargs.values()]

    def _is_signal(self, value: Any) -> bool:
        return isinstance(value, fx.Node) and not self._is_state(value) and value.op != "get_attr"

    def _is_passed_in(self, value: Any) -> bool:
        """Decide whether a value is a state that a single call receives."""
        return isinstance(value, fx.Node) and value.op == "placeholder" and len(value.users) == 1

    def _is_state(self, node: fx.Node) -> bool:
        """Decide whether a call gives a state: an argument after the first, or a value after the spikes of neurons."""
        if node.op == "placeholder":
            return node is not next(iter(self.traced.graph.nodes))
        return self._is_of_neurons(node) and self._args(node)[1] != 0

    def _is_first_of_neurons(self, node: fx.Node) -> bool:
        return self._is_of_neurons(node) and self._args(node)[1] == 0

    def _is_of_neurons(self, node: fx.Node) -> bool:
        if node.target is not operator.getitem:
            return False
        source = self._args(node)[0]
        return isinstance(source, fx.Node) and type(self.module(source)) in self.neurons

    def _sources(self, node: fx.Node) -> list[fx.Node]:
        """Return the layers that add up to a value."""
        if node.target is operator.add or node.target == "add":
            return [source for value in self._args(node) for source in self._sources(value)]
        if isinstance(self.module(node), PASS_THROUGH) or self._is_first_of_neurons(node):
            return self._sources(self._args(node)[0])
        return [node]


# ---- layers

Received = Mapping[nn.Module, Shape]
Limits = Iterator[tuple[str, str]]  # the fault, as a predicate, and the remedy


def _made(make: Callable[[Any, Shape], nir.NIRNode], received: Received, module: nn.Module) -> nir.NIRNode:
    return make(module, received[module])


def _spread(make: Callable[[Any], nir.NIRNode], received: Received, module: nn.Module) -> nir.NIRNode:
    """Return the node of neurons, with every single number repeated for each neuron."""
    node = make(module)
    if not isinstance(node, NEURON_NODES):
        return node
    given = {f.name: getattr(node, f.name) for f in fields(node) if f.init and f.name not in NOT_NUMBERS}
    spread = {name: np.asarray(value, np.float64) for name, value in given.items()}
    full = {name: np.full(received[module], v.item()) if v.size == 1 else v for name, v in spread.items()}
    return type(node)(**full)


def _numbers(values: Tensor) -> np.ndarray:
    return values.detach().cpu().numpy()


def _linear(module: nn.Linear, shape: Shape) -> nir.NIRNode:
    weight = _numbers(module.weight)
    return nir.Linear(weight) if module.bias is None else nir.Affine(weight, _numbers(module.bias))


def _bias(module: nn.Conv1d | nn.Conv2d) -> np.ndarray:
    return _numbers(module.weight.new_zeros(module.out_channels) if module.bias is None else module.bias)


def _conv1d(module: nn.Conv1d, shape: Shape) -> nir.NIRNode:
    return nir.Conv1d(
        input_shape=shape[-1],
        weight=_numbers(module.weight),
        stride=module.stride[0],
        padding=module.padding if isinstance(module.padding, str) else module.padding[0],
        dilation=module.dilation[0],
        groups=module.groups,
        bias=_bias(module),
    )


def _conv2d(module: nn.Conv2d, shape: Shape) -> nir.NIRNode:
    return nir.Conv2d(
        input_shape=shape[1:],
        weight=_numbers(module.weight),
        stride=module.stride,
        padding=module.padding,
        dilation=module.dilation,
        groups=module.groups,
        bias=_bias(module),
    )


def _pool(module: nn.AvgPool2d, shape: Shape) -> nir.NIRNode:
    kernel, stride, padding = (
        np.array(np.broadcast_to(size, 2)) for size in (module.kernel_size, module.stride, module.padding)
    )
    return nir.AvgPool2d(kernel_size=kernel, stride=stride, padding=padding)


def _flatten(module: nn.Flatten, shape: Shape) -> nir.NIRNode:
    return nir.Flatten(input_type=np.array(shape), start_dim=0, end_dim=-1)


def _limits_of_linear(module: nn.Linear, shape: Shape) -> Limits:
    if len(shape) != 1:
        yield f"receives {('batch', *shape)}", "Give it (batch, n), one step at a time."


def _limits_of_conv(module: nn.Conv1d | nn.Conv2d, shape: Shape) -> Limits:
    if module.padding_mode != "zeros":
        yield f"has the padding_mode {module.padding_mode}", "Use padding_mode='zeros'."
    if len(shape) != module.weight.ndim - 1:
        yield f"receives {('batch', *shape)}", "Give it a batch of signals, or images, with channels."


def _limits_of_pool(module: nn.AvgPool2d, shape: Shape) -> Limits:
    if module.ceil_mode:
        yield "has ceil_mode", "Use windows that lie inside."
    if module.divisor_override is not None:
        yield "has a divisor_override", "Use averages."
    if np.any(module.padding) and not module.count_include_pad:
        yield "leaves padding out of its averages", "Use count_include_pad=True, or no padding."


def _limits_of_flatten(module: nn.Flatten, shape: Shape) -> Limits:
    if module.start_dim != 1 or module.end_dim not in (-1, len(shape)):
        yield f"flattens dimensions {module.start_dim} to {module.end_dim}", "Flatten all dimensions but the batch."


MAPS: dict[type[nn.Module], Callable[[Any, Shape], nir.NIRNode]] = {
    nn.Linear: _linear,
    nn.Conv1d: _conv1d,
    nn.Conv2d: _conv2d,
    nn.AvgPool2d: _pool,
    nn.Flatten: _flatten,
}
LIMITS: dict[type[nn.Module], Callable[[Any, Shape], Limits]] = {
    nn.Linear: _limits_of_linear,
    nn.Conv1d: _limits_of_conv,
    nn.Conv2d: _limits_of_conv,
    nn.AvgPool2d: _limits_of_pool,
    nn.Flatten: _limits_of_flatten,
}
KNOWN = ", ".join(kind.__name__ for kind in (*MAPS, nn.Identity, nn.Dropout))
FOLD = "Fold it into the layer before it: torch.nn.utils.fuse_conv_bn_eval or fuse_linear_bn_eval."
USE_FLATTEN = "Use nn.Flatten."
NOT_NUMBERS = ("input_type", "output_type", "metadata")
