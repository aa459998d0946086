"""What other frameworks make of our NIR files, as docs/dialects.md says it: ``make parity``."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest

from tdd_deploy.exporters.nir.write import write
from tdd_deploy.neurons import IF, LI, LIF, CubaLIF, Neuron, VariantLIF
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Node, Output, Pool, Program, build
from tdd_deploy.simulator import reference

PYTHON = Path(__file__).parents[2] / ".venv-peers" / "bin" / "python"
pytestmark = pytest.mark.skipif(
    not (PYTHON.parents[1] / "installed").exists(), reason="the peers' environment is missing: make parity"
)
STEPS, BATCH = 24, 4
FIRES = {"v_threshold": np.array(1.001), "v_reset": np.array(0.0)}  # never met exactly: > and >= are the same
BETA = np.array(0.875)
NEURONS: dict[str, Neuron] = {
    "lif": LIF(beta=BETA, **FIRES),
    "lif_below": LIF(beta=BETA, **{**FIRES, "v_reset": np.array(-0.25)}),
    "lif_soft": LIF(beta=BETA, **FIRES, reset="soft"),
    "if": IF(**FIRES),
    "cuba": CubaLIF(alpha=np.array(0.5), beta=np.array(0.75), **FIRES),
    "li": LI(beta=BETA),
}
MILLISECOND, TENTH, STEP = 1e-3, 1e-4, 1.0  # dt_s


@dataclass(frozen=True)
class Written:
    """A program of ours, what it was given, and what others made of its file: outputs, or an error."""

    program: Program
    inputs: np.ndarray  # [STEPS, BATCH, ...]
    theirs: dict[str, np.ndarray | str]


def weights(*shape: int) -> np.ndarray:
    fan_in = np.prod(shape[1:])
    drawn = np.random.default_rng(int(fan_in)).normal(1.2 / fan_in, 1.2 / np.sqrt(fan_in), shape)
    return np.round(drawn * 16) / 16


def dense(kind: str, dt_s: float, *, bias: bool = True) -> Program:
    first = NEURONS["lif" if kind == "li" else kind]
    return chain(
        [
            Input(name="input", shape=(12,)),
            Dense(name="fc1", weight=weights(20, 12), bias=np.full(20, 0.0625)),
            NeuronLayer(name="hidden", shape=(20,), neuron=first),
            Dense(name="fc2", weight=weights(8, 20), bias=np.full(8, 0.0625) if bias else None),
            NeuronLayer(name="readout", shape=(8,), neuron=NEURONS[kind]),
        ],
        dt_s,
    )


def image(kind: str, dt_s: float) -> Program:
    return chain(
        [
            Input(name="input", shape=(2, 8, 8)),
            Conv(name="conv", weight=weights(4, 2, 3, 3)),
            NeuronLayer(name="hidden", shape=(4, 6, 6), neuron=NEURONS[kind]),
            Pool(name="pool", kernel=(2, 2), stride=(2, 2), average=True),
            Flatten(name="flat"),
            Dense(name="fc", weight=weights(8, 36), bias=np.full(8, 0.0625)),
            NeuronLayer(name="readout", shape=(8,), neuron=NEURONS[kind]),
        ],
        dt_s,
    )


def chain(nodes: list[Node], dt_s: float) -> Program:
    nodes = [*nodes, Output(name="output")]
    return build(
        nodes,
        [Edge(source.name, target.name) for source, target in pairwise(nodes)],
        dt_s=dt_s,
        n_steps=STEPS,
        integration="exact" if dt_s == STEP else "euler",
        number_format="float32",
    )


PROGRAMS = {
    **{f"{kind}": dense(kind, TENTH) for kind in NEURONS},
    "lif_ms": dense("lif", MILLISECOND),
    "lif_steps": dense("lif", STEP),
    "if_steps": dense("if", STEP),
    "no_bias": dense("lif", STEP, bias=False),
    "image": image("lif", TENTH),
    "image_if": image("if", TENTH),
    "image_alone": image("lif", TENTH),  # one sample
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Written]:
    folder = tmp_path_factory.mktemp("ours")
    rng = np.random.default_rng(0)
    inputs = {}
    for name, program in PROGRAMS.items():
        shape = (STEPS, 1 if name == "image_alone" else BATCH, *program.input.shape)
        inputs[name] = (rng.integers(0, 5, shape) / 4 * (rng.random(shape) < 0.6)).astype(np.float32)
        write(program, folder / f"{name}.nir")
        np.savez(folder / f"{name}.npz", input=inputs[name], dt_s=program.dt_s)
    script = Path(__file__).with_name("open_elsewhere.py")
    run = subprocess.run([PYTHON, script, folder], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return {name: Written(p, inputs[name], results(folder, name)) for name, p in PROGRAMS.items()}


def results(folder: Path, name: str) -> dict[str, np.ndarray | str]:
    found: dict[str, np.ndarray | str] = {}
    for path in folder.glob(f"{name}.*.*"):
        framework = path.suffixes[0].removeprefix(".")
        found[framework] = path.read_text() if path.suffix == ".txt" else np.load(path)["output"]
    return found


def read_as(program: Program, change: Callable[[Neuron], Neuron]) -> Program:
    """Return a program with other neurons."""
    nodes = [replace(n, neuron=change(n.neuron)) if isinstance(n, NeuronLayer) else n for n in program.nodes]
    return replace(program, nodes=tuple(nodes))


def as_sinabs(beta: float, v_min: float | None = None) -> Callable[[Neuron], Neuron]:
    """Several spikes per step, soft reset; an IF stays above minus its threshold."""
    lowest = None if v_min is None else np.array(v_min, np.float32)
    said = {"alpha": np.float32(0), "beta": np.float32(beta), "reset": "soft", "spikes": "many", "v_min": lowest}
    return lambda n: VariantLIF(**said, v_threshold=n.v_threshold, v_reset=n.v_reset)


def unchanged(neuron: Neuron) -> Neuron:
    return neuron


def with_reset_to_zero(neuron: Neuron) -> Neuron:
    return replace(neuron, v_reset=np.float32(0))


def without_r(neuron: Neuron) -> Neuron:
    """A current is multiplied by dt / tau = 1 / 8 alone: as a threshold eight times as high."""
    return replace(neuron, v_threshold=neuron.v_threshold * 8)


def in_tenths(neuron: Neuron) -> Neuron:
    """Ten steps of snnTorch's dt go into one of ours; its threshold makes up for r dt / tau = 1 / 10."""
    return replace(neuron, beta=np.float32(1 - 1e-4 / 8e-3), v_threshold=neuron.v_threshold * 10)


OPENED = {
    ("snntorch", "lif"): unchanged,
    ("snntorch", "cuba"): unchanged,
    ("snntorch", "lif_below"): with_reset_to_zero,
    ("snntorch", "lif_ms"): in_tenths,
    ("snntorch", "image_alone"): unchanged,
    ("norse", "if"): unchanged,
    ("norse", "if_steps"): unchanged,
    ("norse", "cuba"): unchanged,
    ("norse", "lif"): without_r,
    ("sinabs", "lif_steps"): as_sinabs(0.875),
    ("sinabs", "if_steps"): as_sinabs(1, v_min=-1.001),
    ("sinabs", "lif"): as_sinabs(0),  # takes a tau of 0.8 ms for 0.0008 steps
    **{("spikingjelly", name): unchanged for name in ("lif", "lif_ms", "if", "if_steps", "cuba", "image", "image_if")},
}
REFUSED = {
    ("snntorch", "if"): "r != 1 not supported",
    ("snntorch", "lif_soft"): "Unknown node type <class 'nir.ir.threshold.Threshold'>",
    ("snntorch", "li"): "Unknown node type <class 'nir.ir.neuron.LI'>",
    ("snntorch", "image"): "mat1 and mat2 shapes cannot be multiplied",  # flattens the samples of a batch into one
    ("norse", "lif_soft"): "KeyError",  # leaves out what it does not know: Threshold
    ("sinabs", "lif_soft"): "`r` must be 1",
    ("sinabs", "li"): "`r` must be 1",
    ("sinabs", "cuba"): "KeyError",
    ("sinabs", "image"): "The truth value of an array",
    ("spikingjelly", "lif_below"): "v_leak must equal v_reset",
    ("spikingjelly", "lif_soft"): "Unknown node type <class 'nir.ir.threshold.Threshold'>",
    ("spikingjelly", "lif_steps"): "r must equal 1 or tau / dt",  # of exact integration
    ("spikingjelly", "li"): "Unknown node type <class 'nir.ir.neuron.LI'>",
}
# Nodes that are not known are left out, and what is joined to one end is executed: to which depends on a set's order.
CUT = [("norse", "li"), ("norse", "image"), ("norse", "image_if"), ("sinabs", "image_if"), ("sinabs", "no_bias")]


@pytest.mark.parametrize(("framework", "name"), OPENED)
def test_others_compute_what_the_documentation_says(framework: str, name: str, written: dict[str, Written]) -> None:
    file = written[name]
    found = file.theirs[framework]
    assert isinstance(found, np.ndarray), found
    expected = reference.run(read_as(file.program, OPENED[framework, name]), file.inputs)["output"]
    np.testing.assert_array_equal(found.reshape(expected.shape), expected)


@pytest.mark.parametrize(("framework", "name"), REFUSED)
def test_others_refuse_what_the_documentation_says(framework: str, name: str, written: dict[str, Written]) -> None:
    found = written[name].theirs[framework]
    assert isinstance(found, str)
    assert REFUSED[framework, name] in found


@pytest.mark.parametrize(("framework", "name"), CUT)
def test_others_cut_networks_where_they_do_not_know_a_node(
    framework: str, name: str, written: dict[str, Written]
) -> None:
    found = written[name].theirs[framework]
    ours = reference.run(written[name].program, written[name].inputs)["output"]
    assert isinstance(found, str) or found.shape != ours.shape or not np.allclose(found, ours)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_file_passes_the_check_of_nir(name: str, tmp_path: Path) -> None:
    write(PROGRAMS[name], tmp_path / "ours.nir")
    assert nir.read(tmp_path / "ours.nir", type_check=True).nodes


@pytest.mark.parametrize("weight", [weights(4, 1, 3, 3), weights(4, 2, 3, 2)], ids=["groups", "not square"])
def test_shapes_that_nir_gets_wrong_need_its_check_off(weight: np.ndarray, tmp_path: Path) -> None:
    conv = Conv(name="conv", weight=weight, groups=2 // weight.shape[1])
    hidden = NeuronLayer(name="hidden", shape=conv.out_shape((2, 8, 8)), neuron=NEURONS["lif"])
    write(chain([Input(name="input", shape=(2, 8, 8)), conv, hidden], TENTH), tmp_path / "ours.nir")
    assert nir.read(tmp_path / "ours.nir", type_check=False).nodes
    with pytest.raises(ValueError, match="type mismatch"):
        nir.read(tmp_path / "ours.nir")


def test_programs_spike(written: dict[str, Written]) -> None:
    for name, file in written.items():
        sent = reference.run(file.program, file.inputs)
        assert all(np.count_nonzero(sent[layer.name]) > 10 for layer in file.program.neuron_layers), name
