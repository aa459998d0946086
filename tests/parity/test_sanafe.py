"""Energy from our counts and placement against SANA-FE 2.2, which runs in an environment of its own: ``make parity``.

In SANA-FE a spike acts one step after it was fired, and its synaptic operations are booked in the step of firing. So
what a layer does is found there some steps later: as many as there are layers up to it, less the delays of our edges.
"""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tdd_deploy.neurons import LIF
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, LinearMap, NeuronLayer, Node, Output, Program, build
from tdd_deploy.simulator.engine.engine import Engine, Result
from tdd_deploy.simulator.hardware.chips import Chip, load_chip
from tdd_deploy.simulator.hardware.placement import Placement, place, senders_of
from tdd_deploy.simulator.hardware.profiles import load_profile
from tdd_deploy.simulator.reports.report import priced
from tests.parity.connections import synapses
from tests.zoo import Given

PYTHON = Path(__file__).parents[2] / ".venv-simulators" / "bin" / "python"
pytestmark = pytest.mark.skipif(
    not (PYTHON.parents[1] / "installed").exists(), reason="SANA-FE's environment is missing: make parity"
)
PJ_PER_JOULE = 1e12
UNIT = 16  # of weights: halved in each of 10 steps it is 1/64, below which SANA-FE cuts potentials off
N_STEPS = 10
N_SILENT = 4  # of them, at the end: all spikes have come through
PROFILE = load_profile("loihi1-sanafe")
UPDATE_PJ = next(price.value_pj for price in PROFILE.prices if price.term == "neuron_update")


@dataclass(frozen=True)
class Population:
    """A program as SANA-FE takes it: all its inputs and neurons in one row, inputs first."""

    core: np.ndarray
    layers: dict[str, slice]
    synapses: tuple[str, ...]  # the kind of what leads to each neuron
    threshold: np.ndarray
    leak: np.ndarray
    bias: np.ndarray
    source: np.ndarray
    target: np.ndarray
    weight: np.ndarray

    def arriving(self, sent: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return the sum of ``weight`` at each neuron when some ``[batch, n]`` have fired."""
        n = len(self.core)
        return np.stack([np.bincount(self.target, weight * one[self.source], minlength=n) for one in sent])


@dataclass(frozen=True)
class Case:
    """A program on a chip, with inputs; and by how many steps SANA-FE is later, for each node."""

    program: Program
    lags: dict[str, int]
    chip: Chip
    inputs: np.ndarray  # [N_STEPS, batch, *shape]

    @cached_property
    def placement(self) -> Placement:
        return place(self.program, self.chip, weight_bits=8)

    @cached_property
    def first(self) -> int:
        """Silent steps that ours has more of at the beginning, so that it has begun where the last layer begins."""
        return max(self.lags.values())

    @cached_property
    def result(self) -> Result:
        silent = np.zeros_like(self.inputs)
        padded = np.concatenate([silent[: self.first], self.inputs, silent[:1]])
        engine = Engine(self.program, routes=self.placement.routes)
        layers = [layer.name for layer in self.program.neuron_layers]
        return engine.run(Given(padded), n_steps=len(padded), record=[self.program.input.name, *layers])

    def at(self, name: str, per_step: np.ndarray) -> np.ndarray:
        """Return the steps of a node, the last axis, that SANA-FE executes."""
        begin = self.first - self.lags[name]
        return per_step[..., begin : begin + N_STEPS]

    @cached_property
    def per_step_pj(self) -> np.ndarray:
        """Energy as ``simulate --energy`` prices it, of SANA-FE's steps."""
        energy = priced(self.result.trace, PROFILE, self.program, placement=self.placement).executed
        rows = zip(self.result.trace.layers, energy.per_cell_pj, strict=True)
        return np.sum([self.at(layer.name, cells) for layer, cells in rows], axis=0)

    def counted(self, name: str) -> int:
        rows = zip(self.result.trace.layers, getattr(self.result.trace.executed, name), strict=True)
        return int(sum(self.at(layer.name, cells).sum() for layer, cells in rows))

    @cached_property
    def fired(self) -> np.ndarray:
        """Which inputs and neurons fired ``[N_STEPS, batch, n]``."""
        rasters = self.result.layers
        parts = [self.at(name, np.moveaxis(rasters[name], 1, -1)) for name in self.population.layers]
        flat = [np.moveaxis(part, -1, 0).reshape(N_STEPS, self.inputs.shape[1], -1) for part in parts]
        return np.concatenate(flat, axis=2) != 0

    @cached_property
    def population(self) -> Population:
        program = self.program
        names = [program.input.name, *(layer.name for layer in program.neuron_layers)]
        sizes = [int(np.prod(program.shapes[name])) for name in names]
        ends = np.cumsum(sizes).tolist()
        layers = {name: slice(end - size, end) for name, size, end in zip(names, sizes, ends, strict=True)}
        core = np.zeros(ends[-1], int)
        core[: sizes[0]] = np.arange(sizes[0]) % 4  # inputs enter at the first tile
        for block in self.placement.blocks:
            part = tuple(slice(at, at + n) for at, n in zip(block.first, block.shape, strict=True))
            within = np.arange(ends[-1])[layers[block.layer]].reshape(program.shapes[block.layer])[part]
            core[within] = block.core
        kinds: list[str] = []
        threshold, leak, bias = (np.zeros(ends[-1]) for _ in range(3))
        wires: list[np.ndarray] = []
        for layer in program.neuron_layers:
            at = layers[layer.name]
            threshold[at], leak[at] = layer.neuron.v_threshold.ravel(), layer.neuron.beta.ravel()
            maps = [program[edge.source] for edge in program.incoming[layer.name]]
            kinds += [type(maps[0]).__name__.lower()] * (at.stop - at.start)
            for node in maps:
                bias[at] += biases(node, layer.shape)
                begin = layers[senders_of(program, node.name)[0]].start, at.start, 0
                wires.append(np.array(list(synapses(node, program.in_shape(node.name)))) + begin)
        source, target, weight = np.concatenate(wires).T
        return Population(
            core, layers, tuple(kinds), threshold, leak, bias, source.astype(int), target.astype(int), weight
        )

    @cached_property
    def unseen(self) -> np.ndarray:
        """Neurons in each step that SANA-FE updates and we do not: where weights are zero or cancel, at potential zero.

        A bias counts there even if it is cancelled. On the way, spikes and active neurons are held to brute force.
        """
        p = self.population
        neurons = slice(p.layers[self.program.input.name].stop, None)
        v = np.zeros(self.fired.shape[1:])
        before = np.zeros_like(self.fired[0])
        unseen, n_active = np.zeros(N_STEPS, int), 0
        for t, fired in enumerate(self.fired):
            current = p.arriving(before, p.weight) + p.bias
            active = (v != 0) | (current != 0)
            reached = (p.arriving(before, np.ones_like(p.weight)) > 0) | (p.bias != 0)
            unseen[t] = np.count_nonzero((reached & ~active)[:, neurons])
            n_active += np.count_nonzero(active[:, neurons])
            v = p.leak * v + current
            assert (64 * v == np.rint(64 * v)).all()
            np.testing.assert_array_equal((v > p.threshold)[:, neurons], fired[:, neurons])
            v = np.where(fired, 0, v)
            v[:, : neurons.start] = 0
            before = fired
        assert n_active == self.counted("updates_active")
        return unseen

    def as_json(self) -> dict[str, Any]:
        p = self.population
        n_inputs = p.layers[self.program.input.name].stop
        trains = np.moveaxis(self.fired[:, :, :n_inputs], 0, -1).astype(int)
        return {
            "core": p.core.tolist(),
            "synapses": p.synapses,
            **{name: getattr(p, name)[n_inputs:].tolist() for name in ("threshold", "leak", "bias")},
            **{name: getattr(p, name).tolist() for name in ("source", "target", "weight")},
            "trains": trains.tolist(),
        }


def biases(node: LinearMap, shape: tuple[int, ...]) -> np.ndarray:
    assert isinstance(node, Dense | Conv)
    bias = np.zeros(shape[0]) if node.bias is None else node.bias
    return np.broadcast_to(bias.reshape(-1, *[1] * (len(shape) - 1)), shape).ravel()


class Drawn:
    """Draws the parts of a network; weights above zero, or of both signs with zeros and biases among them."""

    def __init__(self, seed: int, *, signed: bool) -> None:
        self.rng = np.random.default_rng(seed)
        self._signed = signed

    def weight(self, *shape: int) -> np.ndarray:
        return UNIT * self.rng.integers(-2 if self._signed else 1, 4 if self._signed else 3, shape)

    def bias(self, n: int) -> np.ndarray | None:
        return UNIT * self.rng.integers(-1, 2, n) if self._signed else None

    def dense(self, name: str, n_in: int, n_out: int) -> Dense:
        return Dense(name=name, weight=self.weight(n_out, n_in), bias=self.bias(n_out))

    def conv(self, name: str, n_in: int, n_out: int, **sizes: Any) -> Conv:
        weight = self.weight(n_out, n_in // sizes.get("groups", 1), 3, 3)
        return Conv(name=name, weight=weight, bias=self.bias(n_out), **sizes)

    def layer(self, name: str, shape: tuple[int, ...], fan_in: int) -> NeuronLayer:
        """Neurons, leaky or not, with thresholds that neither let all of them fire nor none."""
        beta = self.rng.choice([0.5, 1.0], shape)
        size = UNIT * (np.sqrt(fan_in) if self._signed else fan_in / 3)
        threshold = np.rint(size * self.rng.uniform(0.5, 1.5, shape))
        return NeuronLayer(name=name, shape=shape, neuron=LIF(beta=beta, v_threshold=threshold, v_reset=np.zeros(())))

    def inputs(self, *shape: int) -> np.ndarray:
        drawn = self.rng.random((N_STEPS, 2, *shape)) < 0.3
        drawn[-N_SILENT:] = False
        return drawn.astype(float)


def chained(*nodes: Node, delay: int, beside: Sequence[tuple[str, Dense, str]] = ()) -> tuple[Program, dict[str, int]]:
    """Return a chain as a program, everything sent a number of steps later; and SANA-FE's lags.

    Args:
        nodes: from the input to the output.
        delay: of what the input and neurons send.
        beside: maps outside the chain, each with the layers that it leads from, one step later, and to.
    """
    edges, lags = [], {nodes[0].name: 0}
    for source, target in pairwise(nodes):
        waits = 0 if isinstance(source, LinearMap) else delay
        edges.append(Edge(source.name, target.name, waits, code="spike"))
        lags[target.name] = lags[source.name] - waits + isinstance(target, NeuronLayer)
    for source, node, target in beside:
        edges += [Edge(source, node.name, 1, code="spike"), Edge(node.name, target, code="spike")]
        lags[node.name] = lags[source] - 1
    nodes = (*nodes, *(node for _, node, _ in beside))
    return build(nodes, edges, dt_s=1e-3, n_steps=N_STEPS, number_format="float64"), lags


def loihi(*, neurons: int) -> Chip:
    """Loihi 1 with a number of neurons per core, so that small layers lie on many tiles."""
    chip = load_chip("loihi1")
    return replace(chip, limits={**chip.limits, "neurons": replace(chip.limits["neurons"], value=neurons)})


def dense(seed: int, *, delay: int, signed: bool = False) -> Case:
    drawn = Drawn(seed, signed=signed)
    a, b, c, d = drawn.rng.integers(8, 25, 4).tolist()
    program, lags = chained(
        Input(name="input", shape=(a,)),
        drawn.dense("fc1", a, b),
        drawn.layer("n1", (b,), a),
        drawn.dense("fc2", b, c),
        drawn.layer("n2", (c,), b),
        drawn.dense("fc3", c, d),
        drawn.layer("n3", (d,), c),
        Output(name="out"),
        delay=delay,
        beside=(
            ("n3", drawn.dense("loop", d, d), "n3"),
            ("n1", drawn.dense("skip", b, d), "n3"),
            ("n2", drawn.dense("second", c, d), "n3"),
        )
        if signed
        else (),
    )
    return Case(program, lags, loihi(neurons=2), drawn.inputs(a))


def conv(seed: int, *, delay: int, signed: bool = False) -> Case:
    """Strides, paddings, dilations and groups; after them comes a layer of convolution, too, or a dense one."""
    drawn = Drawn(seed, signed=signed)
    height, width = drawn.rng.integers(7, 10, 2).tolist()
    conv1 = drawn.conv("conv1", 2, 4, stride=(2, 1), padding=(1, 0))
    one = conv1.out_shape((2, height, width))
    conv2 = drawn.conv("conv2", 4, 6, groups=2, padding=(2, 1), dilation=(1 + seed % 2, 1))
    two = conv2.out_shape(one)
    n_flat, n_out = int(np.prod(two)), int(drawn.rng.integers(3, 12))
    program, lags = chained(
        Input(name="input", shape=(2, height, width)),
        conv1,
        drawn.layer("n1", one, 18),
        conv2,
        drawn.layer("n2", two, 18),
        Flatten(name="flat"),
        drawn.dense("fc", n_flat, n_out),
        drawn.layer("n3", (n_out,), n_flat),
        Output(name="out"),
        delay=delay,
    )
    return Case(program, lags, loihi(neurons=10), drawn.inputs(2, height, width))


def sanafe(cases: list[Case], folder: Path) -> list[list[dict[str, Any]]]:
    """Return what SANA-FE finds, by case and sample."""
    networks, results = folder / "networks.json", folder / "results.json"
    networks.write_text(json.dumps([case.as_json() for case in cases]))
    script = Path(__file__).with_name("sanafe_energy.py")
    run = subprocess.run([PYTHON, script, networks, results], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found: list[list[dict[str, Any]]] = json.loads(results.read_text())
    return found


def assert_same(case: Case, found: list[dict[str, Any]]) -> None:
    """Spikes, the energy of each step, and of all."""
    for sample, ours in zip(found, np.moveaxis(case.fired, 1, 0), strict=True):
        assert sample["fired"] == [np.flatnonzero(step).tolist() for step in ours]
    theirs = PJ_PER_JOULE * np.sum([sample["per_step"] for sample in found], axis=0)
    ours = case.per_step_pj + UPDATE_PJ * case.unseen
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    assert ours.sum() == pytest.approx(PJ_PER_JOULE * sum(sample["total"] for sample in found), rel=1e-9)
    for layer in case.population.layers.values():
        assert case.fired[:, :, layer].any()


@pytest.mark.parametrize("grow", [dense, conv])
def test_energy_equals_sanafes(grow: Any, tmp_path: Path) -> None:
    cases = [grow(seed, delay=1) for seed in range(4)]
    for seed, (case, found) in enumerate(zip(cases, sanafe(cases, tmp_path), strict=True)):
        assert case.placement.n_cores > 16  # four tiles: more than a column of the mesh
        assert case.counted("hops_x") > 0
        assert case.counted("hops_y") > 0
        at_once = grow(seed, delay=0)
        assert at_once.as_json() == case.as_json()
        for either in (case, at_once):
            assert not either.unseen.any()
            assert_same(either, found)


@pytest.mark.parametrize("grow", [dense, conv])
def test_zeros_and_what_cancels_are_updates_there_and_none_here(grow: Any, tmp_path: Path) -> None:
    """The one difference, neuron for neuron; with biases, and beside the chain a loop, a shortcut and a second map."""
    cases = [grow(seed, delay=1, signed=True) for seed in range(4)]
    for case, found in zip(cases, sanafe(cases, tmp_path), strict=True):
        assert case.unseen.any()
        assert_same(case, found)


def test_the_chip_as_it_is_and_the_total_that_is_reported(tmp_path: Path) -> None:
    drawn = Drawn(0, signed=False)
    program, lags = chained(
        Input(name="input", shape=(400,)),
        drawn.dense("fc1", 400, 600),
        drawn.layer("n1", (600,), 400),
        drawn.dense("fc2", 600, 400),
        drawn.layer("n2", (400,), 600),
        Output(name="out"),
        delay=1,
    )
    case = Case(program, lags, load_chip("loihi1"), drawn.inputs(400))
    (found,) = sanafe([case], tmp_path)
    assert_same(case, found)
    assert not case.unseen.any()
    assert case.counted("hops_y") > 0
    run = Engine(program, routes=case.placement.routes).run(Given(case.inputs), n_steps=N_STEPS)
    total = priced(run.trace, PROFILE, program, placement=case.placement).executed.dynamic_pj
    assert total == pytest.approx(PJ_PER_JOULE * sum(sample["total"] for sample in found), rel=1e-9)
