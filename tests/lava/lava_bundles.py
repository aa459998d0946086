"""Random bundles for run.py, and what they must give: a second implementation in plain numpy that knows no Lava.

A network is described by layers and the branches that lead to them. ``write_bundle`` turns it into what an exporter
writes: edges with codes, latencies, delays. ``expected`` computes it step by step from spikes, with no deltas, no
latencies and no accumulators.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import tdd_deploy.exporters

RUNTIME = Path(tdd_deploy.exporters.__file__).parent / "lava" / "bundle"
UNIT = 4096
LARGEST = 2**23


@dataclass(frozen=True)
class Map:
    """A linear map; ``weight`` in torch's layout."""

    kind: str
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    weight: np.ndarray
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.weight @ x.reshape(-1) if self.kind == "dense" else _conv(self, x)


@dataclass(frozen=True)
class Branch:
    """From ``source``, ``delay`` steps ago, through ``maps`` to the layer that holds the branch."""

    source: str
    maps: Sequence[Map]
    code: str
    delay: int = 0


@dataclass(frozen=True)
class Layer:
    """Neurons and what leads to them; parameters as in the manifest."""

    name: str
    shape: tuple[int, ...]
    branches: Sequence[Branch]
    reset: str
    v_threshold: np.ndarray
    v_reset: np.ndarray
    bias: np.ndarray
    du: Any
    dv: Any


@dataclass(frozen=True)
class Net:
    """A whole network."""

    arithmetic: str
    mapping: str
    n_steps: int
    input_shape: tuple[int, ...]
    layers: Sequence[Layer]
    output_shape: tuple[int, ...]
    output: Sequence[Branch]
    output_bias: np.ndarray
    largest: int = 20

    @property
    def restart(self) -> bool:
        return any(branch.delay for layer in self.layers for branch in layer.branches)

    @property
    def fixed(self) -> bool:
        return self.arithmetic == "fixed_pt"


# --- what must come out -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Expected:
    output: np.ndarray  # [samples, n_steps, *shape]
    spikes: Mapping[str, np.ndarray]
    v: Mapping[str, np.ndarray]


def expected(net: Net, x: np.ndarray) -> Expected:
    """Run every sample, from values alone."""
    if x.ndim == 1 + len(net.input_shape):
        x = np.repeat(x[:, np.newaxis], net.n_steps, axis=1)
    runs = [_sample(net, frames) for frames in x]
    names = [layer.name for layer in net.layers]
    return Expected(
        np.stack([run[0] for run in runs]),
        {name: np.stack([run[1][name] for run in runs]) for name in names},
        {name: np.stack([run[2][name] for run in runs]) for name in names},
    )


def _sample(net: Net, frames: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    dtype = np.int64 if net.fixed else np.float64
    values = {layer.name: np.zeros((net.n_steps, *layer.shape), dtype) for layer in net.layers}
    values["input"] = frames.astype(dtype)
    potentials = {layer.name: np.zeros((net.n_steps, *layer.shape), dtype) for layer in net.layers}
    output = np.zeros((net.n_steps, *net.output_shape), dtype)
    state = {layer.name: np.zeros((2, *layer.shape), dtype) for layer in net.layers}
    for step in range(net.n_steps):
        for layer in net.layers:
            a = _current(layer.shape, layer.branches, values, step)
            u, v = (_integers if net.fixed else _floats)(layer, *state[layer.name], a)
            spikes = v > layer.v_threshold
            potentials[layer.name][step], values[layer.name][step] = v, spikes
            after = v - layer.v_threshold if layer.reset == "soft" else layer.v_reset
            state[layer.name] = np.stack([u, np.where(spikes, after, v)])
        output[step] = _current(net.output_shape, net.output, values, step) + net.output_bias
    return output, {name: values[name] for name in potentials}, potentials


def _current(shape: tuple[int, ...], branches: Sequence[Branch], values: Mapping[str, np.ndarray], step: int) -> Any:
    total: Any = np.zeros(shape, np.int64)
    for branch in branches:
        if step < branch.delay:
            continue
        x = values[branch.source][step - branch.delay]
        for each in branch.maps:
            x = each(x)
        total = total + x.reshape(shape)
    return total


def _integers(layer: Layer, u: np.ndarray, v: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    u = _lost(u, UNIT - 1 - np.asarray(layer.du)) + 64 * a
    u = np.where(u > LARGEST, u - 2 * LARGEST, np.where(u <= -LARGEST, u + 2 * LARGEST, u))
    v = _lost(v, UNIT - np.asarray(layer.dv)) + u + layer.bias
    return u, np.clip(v, 1 - LARGEST, LARGEST - 1)


def _lost(state: np.ndarray, kept: np.ndarray) -> np.ndarray:
    return np.trunc(state * kept / UNIT).astype(np.int64)  # below 2^36, exact in float64


def _floats(layer: Layer, u: np.ndarray, v: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    u = u * (1 - np.asarray(layer.du)) + a
    return u, v * (1 - np.asarray(layer.dv)) + u + layer.bias


def _conv(each: Map, x: np.ndarray) -> np.ndarray:
    n_out, per_group, height, width = each.weight.shape
    out = np.zeros(each.out_shape, np.result_type(x, each.weight))
    x = np.pad(x, ((0, 0), *((padding, padding) for padding in each.padding)))
    for channel in range(n_out):
        first = channel // (n_out // each.groups) * per_group
        for c, i, j in np.ndindex(per_group, height, width):
            top, left = i * each.dilation[0], j * each.dilation[1]
            rows = slice(top, top + each.stride[0] * (each.out_shape[1] - 1) + 1, each.stride[0])
            columns = slice(left, left + each.stride[1] * (each.out_shape[2] - 1) + 1, each.stride[1])
            out[channel] += each.weight[channel, c, i, j] * x[first + c, rows, columns]
    return out


# --- the bundle -------------------------------------------------------------------------------------------------------


@dataclass
class _Writer:
    """Collects the lists of a manifest and the arrays they name."""

    net: Net
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    synapses: list[dict[str, Any]] = field(default_factory=list)
    neurons: list[dict[str, Any]] = field(default_factory=list)
    edges: list[dict[str, Any]] = field(default_factory=list)
    latency: dict[str, int] = field(default_factory=dict)
    shape: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.latency["input"], self.shape["input"] = 0, self.net.input_shape
        output = ("output", self.net.output_shape, self.net.output)
        for name, shape, branches in (*((each.name, each.shape, each.branches) for each in self.net.layers), output):
            arrive = [self.latency[branch.source] + len(branch.maps) for branch in branches if not branch.delay]
            self.latency[name], self.shape[name] = max(arrive), shape

    def key(self, name: str, array: Any) -> str:
        self.arrays[name] = np.asarray(array)
        return name

    def layer(self, layer: Layer) -> None:
        self.join(layer.name, layer.branches)
        numbers = {name: getattr(layer, name) for name in ("v_threshold", "v_reset", "bias", "du", "dv")}
        parameters = {
            name: number if isinstance(number, int | float) else self.key(f"{layer.name}.{name}", number)
            for name, number in numbers.items()
        }
        where = {"name": layer.name, "shape": layer.shape, "latency": self.latency[layer.name], "reset": layer.reset}
        self.neurons.append(where | parameters)

    def join(self, target: str, branches: Sequence[Branch]) -> None:
        for number, branch in enumerate(branches):
            self._branch(f"{target}.{number}", target, branch)

    def _branch(self, name: str, target: str, branch: Branch) -> None:
        late = self.latency[target] + branch.delay - self.latency[branch.source] - len(branch.maps)
        assert late >= 0
        source, shape = branch.source, self.shape[branch.source]
        for delay in range(late):
            kind = {"name": f"{name}.delay{delay}", "kind": "identity", "in_shape": shape, "out_shape": shape}
            self.synapses.append(kind)
            self._edge(source, kind["name"], branch.code, flatten=False)
            source = kind["name"]
        for number, each in enumerate(branch.maps):
            here = f"{name}.map{number}"
            settings = {key: getattr(each, key) for key in ("kind", "in_shape", "out_shape")}
            if each.kind == "conv":
                settings |= {key: getattr(each, key) for key in ("stride", "padding", "dilation", "groups")}
            weight = self.key(f"{here}.weight", each.weight)
            self.synapses.append({"name": here, "weight": weight, **settings})
            self._edge(source, here, branch.code, flatten=len(shape) > len(each.in_shape))
            source, shape = here, each.out_shape
        self._edge(source, target, branch.code, flatten=len(shape) > len(self.shape[target]))

    def _edge(self, source: str, target: str, code: str, *, flatten: bool) -> None:
        self.edges.append({"source": source, "target": target, "code": code, "flatten": flatten})


def write_bundle(net: Net, folder: Path) -> Path:
    """Write the bundle as an exporter would."""
    shutil.copytree(RUNTIME, folder, ignore=shutil.ignore_patterns("__pycache__"))
    writer = _Writer(net)
    for layer in net.layers:
        writer.layer(layer)
    writer.join("output", net.output)
    bias = writer.key("output.bias", net.output_bias) if np.any(net.output_bias) else None
    np.savez(folder / "weights.npz", **writer.arrays)
    output = {
        "name": "output",
        "shape": net.output_shape,
        "latency": writer.latency["output"],
        "bias": bias,
        "unit": 1.0,
    }
    manifest = {
        "schema_version": 1,
        "kind": "tdd-deploy lava bundle",
        "tdd_deploy": "test",
        "program": "test",
        "arithmetic": net.arithmetic,
        "mapping": net.mapping,
        "n_steps": net.n_steps,
        "restart": net.restart,
        "input": {"name": "input", "shape": net.input_shape, "scale": 1.0, "largest": net.largest},
        "output": output,
        "synapses": writer.synapses,
        "neurons": writer.neurons,
        "edges": writer.edges,
        "sha256": {"weights.npz": hashlib.sha256((folder / "weights.npz").read_bytes()).hexdigest()},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


# --- random networks --------------------------------------------------------------------------------------------------


def random_net(rng: np.random.Generator, mapping: str, arithmetic: str, *, recurrent: bool = False) -> Net:
    """Return a network of a few layers: images or vectors, junctions, pools, biases, all kinds of neurons."""
    return _Maker(rng, mapping, arithmetic).net(recurrent=recurrent)


def random_input(rng: np.random.Generator, net: Net, samples: int, *, static: bool) -> np.ndarray:
    """Return graded numbers, some of them zero."""
    shape = (samples, *net.input_shape) if static else (samples, net.n_steps, *net.input_shape)
    x = rng.integers(-net.largest, net.largest + 1, shape) * (rng.random(shape) < 0.7)
    return x if net.fixed else x / 8


@dataclass
class _Maker:
    rng: np.random.Generator
    mapping: str
    arithmetic: str

    @property
    def fixed(self) -> bool:
        return self.arithmetic == "fixed_pt"

    def net(self, *, recurrent: bool) -> Net:
        shape: tuple[int, ...] = (self.pick(1, 2, 3), self.pick(5, 6), self.pick(6, 7)) if self.chance(0.7) else (9,)
        shapes, layers = {"input": shape}, []
        for number in range(self.pick(1, 2, 3)):
            name = f"layer{number}"
            branches = list(self.branches(shapes))
            shapes[name] = branches[0].maps[-1].out_shape
            layers.append(self.layer(name, shapes[name], branches))
        if recurrent:
            layers = self.with_loop(layers)
        classes = (4,)
        code = self.code()
        out = [Branch(layers[-1].name, [self.dense(layers[-1].shape, classes)], code)]
        if self.chance() and len(layers) > 1:  # a second way to the output
            out.append(Branch(layers[0].name, [self.dense(layers[0].shape, classes)], self.code()))
        bias = self.number(self.rng.integers(-50, 50, classes) * self.chance())
        return Net(
            self.arithmetic, self.mapping, 8 if recurrent else self.pick(1, 3, 5), shape, layers, classes, out, bias
        )

    def branches(self, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Branch]:
        source = list(shapes)[-1]
        maps = self.maps(shapes[source])
        yield Branch(source, maps, self.code())
        target = maps[-1].out_shape
        if self.chance():  # a junction: a shorter or a longer way to the same layer
            other = self.pick(*shapes)
            yield Branch(other, self.maps_between(shapes[other], target), self.code())

    def maps(self, shape: tuple[int, ...]) -> list[Map]:
        if len(shape) == 1 or min(shape[1:]) < 3 or self.chance(0.15):
            return [self.dense(shape, (self.pick(6, 8),))]
        if self.chance(0.3):
            pool = self.pool(shape)
            return [pool, self.conv(pool.out_shape)]
        return [self.conv(shape)]

    def maps_between(self, shape: tuple[int, ...], target: tuple[int, ...]) -> list[Map]:
        """Return a way from one shape to another: dense, or a convolution with the kernel and padding it takes."""
        if len(target) == 1:
            return [self.dense(shape, target)]
        sizes = list(zip(shape[1:], target[1:], strict=True))
        padding = tuple(max(0, there - here) for here, there in sizes)
        kernel = tuple(here + 2 * pad - there + 1 for (here, there), pad in zip(sizes, padding, strict=True))
        return [Map("conv", shape, target, self.weights((target[0], shape[0], *kernel), step=1), padding=padding)]

    def dense(self, shape: tuple[int, ...], target: tuple[int, ...]) -> Map:
        n_in = math.prod(shape)
        return Map("dense", (n_in,), target, self.weights((*target, n_in), step=2))

    def conv(self, shape: tuple[int, ...]) -> Map:
        channels = self.pick(2, 4)
        groups = self.pick(*(g for g in (1, 2) if shape[0] % g == 0 and channels % g == 0))
        kernel = tuple(self.pick(*range(1, min(3, size) + 1)) for size in shape[1:])
        stride, padding = (self.pick(1, 2), self.pick(1, 2)), (self.pick(0, 1), self.pick(0, 1))
        dilation = (self.pick(1, 2) if shape[1] > 4 else 1, self.pick(1, 2) if shape[2] > 4 else 1)
        weight = self.weights((channels, shape[0] // groups, *kernel), step=1)
        size = tuple(
            (here + 2 * p - d * (k - 1) - 1) // s + 1
            for here, p, d, k, s in zip(shape[1:], padding, dilation, kernel, stride, strict=True)
        )
        return Map("conv", shape, (channels, *size), weight, stride, padding, dilation, groups)

    def pool(self, shape: tuple[int, ...]) -> Map:
        size = tuple((here - 2) // 2 + 1 for here in shape[1:])
        weight = self.number(np.ones((shape[0], 1, 2, 2), np.int64))
        return Map("conv", shape, (shape[0], *size), weight, stride=(2, 2), groups=shape[0])

    def layer(self, name: str, shape: tuple[int, ...], branches: Sequence[Branch]) -> Layer:
        each = self.mapping == "fused"
        per_neuron = (lambda: self.pick(shape, (shape[0], *(1 for _ in shape[1:])), ())) if each else (lambda: ())
        threshold = 64 * self.rng.integers(10, 400, per_neuron())
        if each:
            threshold = threshold + self.rng.integers(0, 64, threshold.shape)
        bias = self.rng.integers(-2000, 2000, self.pick(shape, ()))
        if self.chance(0.3):
            bias = (bias // 8) << 7
        du, dv = self.decays(per_neuron) if self.fixed else (self.pick(1.0, 0.5, 0.0), self.pick(0.0, 0.25, 1.0))
        scale: Callable[[Any], Any] = (lambda n: n) if self.fixed else (lambda n: n / 64)
        return Layer(
            name,
            shape,
            branches,
            self.pick("hard", "soft") if each else "hard",
            scale(threshold),
            scale(self.rng.integers(-500, 500, per_neuron()) * each * self.chance()),
            scale(bias),
            du,
            dv,
        )

    def decays(self, per_neuron: Callable[[], tuple[int, ...]]) -> tuple[Any, Any]:
        if self.mapping == "fused" and self.chance(0.3):
            return self.rng.integers(-1, 4096, per_neuron()), self.rng.integers(0, 4097, per_neuron())
        return self.pick(4095, 4095, 3000, 0, -1), self.pick(0, 512, 2048, 4096)

    def with_loop(self, layers: list[Layer]) -> list[Layer]:
        """Let spikes of a later layer come back to the first one, as late as they must, or later.

        Lava's own neurons must not fire before the sample reaches them, so there no bias is positive.
        """
        first = layers[0]
        last = layers[-1] if len(layers[-1].shape) == len(first.shape) else first
        delay = self.pick(1, 2) if last is first else 2 * len(layers)
        back = Branch(last.name, self.maps_between(last.shape, first.shape), self.code(), delay)
        layers = [replace(first, branches=[*first.branches, back]), *layers[1:]]
        return layers if self.mapping == "fused" else [replace(layer, bias=-abs(layer.bias)) for layer in layers]

    def weights(self, shape: tuple[int, ...], *, step: int) -> np.ndarray:
        return self.number(self.rng.integers(-40, 41, shape) // step * step)

    def number(self, array: np.ndarray) -> np.ndarray:
        return array if self.fixed else array / 16

    def code(self) -> str:
        return {"fused": self.pick("delta", "spike"), "stock": "delta", "spike": "spike"}[self.mapping]

    def pick(self, *options: Any) -> Any:
        return options[self.rng.integers(len(options))]

    def chance(self, probability: float = 0.5) -> bool:
        return bool(self.rng.random() < probability)
