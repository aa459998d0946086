"""The compiled loops where small random programs do not reach; the rest is in property/test_integer_execution.py."""

import math
import shutil
import subprocess
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import numba
import numpy as np
import pytest

from tdd_deploy.neurons import LIF, LoihiLIF
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Output, Pool, Program, build, with_code
from tdd_deploy.simulator.counts import FIELDS
from tdd_deploy.simulator.engine import compiled, plan
from tdd_deploy.simulator.engine.engine import Engine, Result
from tdd_deploy.simulator.engine.kernels import run as kernels
from tdd_deploy.simulator.engine.kernels.tables import BLOCK
from tdd_deploy.simulator.engine.plan import Planned, is_covered
from tdd_deploy.simulator.hardware.placement import place
from tdd_deploy.simulator.routes import Routes
from tests import by_hand
from tests.zoo import Given

KERNELS = Path(kernels.__file__).parent

N = 2 * BLOCK + 77  # neurons: two whole blocks and a part of one
LIMIT = 2**23


def chain(*nodes, number_format: str = "integer") -> Program:
    edges = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    return build(nodes, edges, dt_s=1e-3, n_steps=6, number_format=number_format)


def both(program: Program, inputs: np.ndarray) -> tuple[Result, Result]:
    """What numpy and the compiled loops give."""
    assert is_covered(program)
    names = ["input", *(layer.name for layer in program.neuron_layers)]
    slow, fast = (
        Engine(program, compiled=choice).run(Given(inputs), n_steps=len(inputs), record=names)
        for choice in (False, True)
    )
    return slow, fast


def assert_same(slow: Result, fast: Result) -> None:
    np.testing.assert_array_equal(fast.output, slow.output)
    assert fast.layers.keys() == slow.layers.keys()
    for name, raster in slow.layers.items():
        np.testing.assert_array_equal(fast.layers[name], raster)
        assert fast.layers[name].dtype == raster.dtype
    for code in ("executed", "spike_code", "delta_code"):
        for name in FIELDS:
            found, expected = (getattr(getattr(result.trace, code), name) for result in (fast, slow))
            np.testing.assert_array_equal(found, expected, err_msg=f"{name} of {code}")
        found, expected = (result.trace.core_synops for result in (fast, slow))
        assert (found is None) == (expected is None)
        if found is not None:
            np.testing.assert_array_equal(getattr(found, code), getattr(expected, code))


def loihi(rng: np.random.Generator, *, reset: str, compare: str) -> LoihiLIF:
    """Every neuron another one, at the edges of the registers."""
    edges = [0, 1, -1, 64, -64, LIMIT - 1, 1 - LIMIT, LIMIT - 64, 4096, -4096, 4095]
    return LoihiLIF(
        du=rng.choice([-1, 0, 1, 2047, 4094, 4095], N),
        dv=rng.choice([0, 1, 2048, 4095], N),
        bias=rng.choice(edges, N),
        v_threshold=rng.choice(edges, N),
        v_reset=rng.choice(edges, N),
        reset=reset,
        compare=compare,
    )


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("compare", [">", ">="])
def test_integers_at_the_edges_of_their_registers_are_those_of_numpy(reset, compare):
    """u wraps from 2 ** 23 + 1 and from -2 ** 23, v stops at 2 ** 23 - 1; fractions are rounded toward zero."""
    rng = np.random.default_rng(0)
    neurons = NeuronLayer(name="n", shape=(N,), neuron=loihi(rng, reset=reset, compare=compare))
    program = chain(Input(name="input", shape=(N,), largest=2**22 - 1), neurons, Output(name="output"))
    wrap = LIMIT // 64
    choices = [0, 0, 1, -1, wrap, wrap - 1, wrap + 1, -wrap, 1 - wrap, -wrap - 1, 2 * wrap, 2**22 - 1, 1 - 2**22]
    inputs = rng.choice(choices, (12, 3, N))
    assert_same(*both(program, inputs))


def test_a_threshold_that_is_just_met_fires_only_where_it_shall():
    for compare, expected in ((">", 0), (">=", 1)):
        zero = np.array(0)
        neuron = LoihiLIF(
            du=np.array(4095), dv=zero, bias=zero, v_threshold=np.array(64), v_reset=zero, compare=compare
        )
        nodes = [Input(name="input", shape=(1,)), NeuronLayer(name="n", shape=(1,), neuron=neuron)]
        program = chain(*nodes, Output(name="output"))
        _, fast = both(program, np.ones((1, 1, 1)))
        assert fast.output.tolist() == [[[expected]]]


def test_parameters_of_each_neuron_are_those_of_its_place():
    """Channels with a common number have one block; a number per neuron does not."""
    rng = np.random.default_rng(1)
    shape = (3, 20, 20)
    per_channel = np.broadcast_to(np.array([1, 5, 9])[:, None, None] * 64, shape)
    for threshold in (per_channel, rng.integers(0, 10, shape) * 64):
        neuron = LoihiLIF(
            du=np.array(4095),
            dv=np.array(2048),
            bias=np.array(0),
            v_threshold=threshold,
            v_reset=np.array(0),
        )
        layer = NeuronLayer(name="n", shape=shape, neuron=neuron)
        program = chain(Input(name="input", shape=shape, largest=9), layer, Output(name="output"))
        assert_same(*both(program, rng.integers(0, 10, (5, 2, *shape))))


@pytest.mark.parametrize("code", ["delta", "spike"])
@pytest.mark.parametrize("n_out", [1, 3, 64, 70])
def test_many_channels_many_events_at_one_place_and_zero_weights_are_added_and_counted(code, n_out):
    rng = np.random.default_rng(2)
    weight = rng.integers(-9, 10, (n_out, 37, 3, 3)) * (rng.random((n_out, 37, 3, 3)) < 0.5)
    conv = Conv(name="conv", weight=weight, bias=rng.integers(-3, 4, n_out), stride=(1, 2), padding=(1, 1))
    nodes = [Input(name="input", shape=(37, 9, 8)), conv, Flatten(name="flat")]
    dense = Dense(name="fc", weight=rng.integers(-3, 4, (5, n_out * 9 * 4)))
    program = with_code(chain(*nodes, dense, Output(name="output")), code)
    assert_same(*both(program, rng.integers(-1, 2, (4, 3, 37, 9, 8))))


def test_a_static_input_is_read_once_and_counted_at_every_step():
    class Still:
        static = True

        def at(self, t: int) -> np.ndarray:
            return frame

    frame = by_hand.INPUTS[0]
    for code in ("delta", "spike"):
        program = with_code(by_hand.program(), code)
        still = Engine(program).run(Still(), n_steps=3)
        moving = Engine(program, compiled=False).run(Given(np.stack([frame] * 3)), n_steps=3)
        assert_same(moving, still)


@pytest.mark.parametrize("code", ["delta", "spike"])
@pytest.mark.parametrize(
    "conv",
    [
        {"weight": (6, 4, 3, 3), "padding": (1, 1)},
        {"weight": (3, 8, 3, 2), "stride": (2, 1), "padding": (2, 0), "dilation": (1, 2)},
        {"weight": (16, 12, 1, 1)},
    ],
)
def test_the_product_of_all_inputs_is_that_of_the_events(conv, code, monkeypatch):
    """From a fraction of events on, all inputs are multiplied: here from none, from some, and never."""
    rng = np.random.default_rng(4)
    shape = (conv["weight"][1], 7, 9)
    node = Conv(**conv | {"name": "conv", "weight": rng.integers(-8, 9, conv["weight"]).astype(np.float32) / 8})
    after = Dense(name="fc", weight=np.ones((2, math.prod(node.out_shape(shape))), np.float32))
    nodes = [Input(name="input", shape=shape), node, Flatten(name="flat"), after, Output(name="output")]
    program = with_code(chain(*nodes, number_format="float32"), code)
    rates = np.array([0, 0.1, 0.3, 0.45, 0.5, 0.6, 1])
    drawn = rng.random((len(rates), 3, *shape)) < rates[:, None, None, None, None]
    inputs = (rng.integers(-8, 9, drawn.shape) * drawn / 8).astype(np.float32)
    slow = Engine(program, compiled=False).run(Given(inputs), n_steps=len(rates))
    for many in (0, plan.MANY, 2):
        monkeypatch.setattr(plan, "MANY", many)
        assert_same(slow, Engine(program).run(Given(inputs), n_steps=len(rates)))


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("batch", [1, 4, 5, 33])
def test_results_do_not_depend_on_threads(threads, batch, monkeypatch):
    monkeypatch.setattr(compiled, "WORTH", 1)
    rng = np.random.default_rng(3)
    inputs = rng.integers(0, 2, (3, batch, 2)).astype(np.float32)
    program = by_hand.program()
    routes = by_hand.placed(program).routes
    slow = Engine(program, compiled=False, routes=routes).run(Given(inputs), n_steps=3)
    assert_same(slow, Engine(program, threads=threads, routes=routes).run(Given(inputs), n_steps=3))


@pytest.mark.parametrize("at_once", [1, 3, 4])
@pytest.mark.parametrize("margin", [None, 0.5])
def test_results_do_not_depend_on_how_many_steps_of_the_input_are_laid_out_at_once(at_once, margin, monkeypatch):
    rng = np.random.default_rng(3)
    lif = LIF(beta=np.array(0.5), v_threshold=np.array(1.0), v_reset=np.array(0.0))
    program = chain(
        Input(name="input", shape=(2,)),
        Dense(name="fc", weight=rng.integers(-2, 3, (8, 2)).astype(float)),
        NeuronLayer(name="hidden", shape=(8,), neuron=lif),
        Dense(name="readout", weight=rng.integers(-2, 3, (3, 8)).astype(float)),
        Output(name="output"),
        number_format="float64",
    )
    inputs = rng.integers(0, 2, (10, 5, 2)).astype(float)
    run = partial(Engine.run, frames=Given(inputs), n_steps=10, record=["input", "hidden"], early_exit=margin)
    routes = place(program, by_hand.with_limit("neurons", 2), weight_bits=8).routes
    slow = run(Engine(program, compiled=False, routes=routes))
    monkeypatch.setattr(compiled, "WORTH", 1)
    monkeypatch.setattr(compiled, "STAGED", at_once * inputs[0].nbytes)
    for threads in (1, 2):
        assert_same(slow, run(Engine(program, threads=threads, routes=routes)))
    assert (slow.trace.n_running[-1] < 5) == (margin is not None)


def test_an_error_in_a_thread_comes_out(monkeypatch):
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(kernels, "run", broken)
    monkeypatch.setattr(compiled, "WORTH", 1)
    with pytest.raises(ZeroDivisionError):
        Engine(by_hand.program(), threads=2).run(Given(np.ones((1, 33, 2))), n_steps=1)


def test_what_the_loops_do_not_know_is_left_to_numpy():
    node = Pool(name="x", kernel=(3, 2), stride=(1, 1), average=True)  # a sixth is no float
    program = chain(Input(name="input", shape=(1, 4, 6)), node, Output(name="output"), number_format="float32")
    assert not is_covered(program)
    Engine(program).run(Given(np.ones((2, 1, 1, 4, 6))), n_steps=2)


def test_without_a_compiler_numpy_executes(monkeypatch):
    """NUMBA_DISABLE_JIT=1 once ended in a traceback."""
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
    assert not is_covered(by_hand.program())


def test_weights_of_more_than_16_bits_are_left_to_numpy():
    for largest, covered in ((2**15 - 1, True), (2**15, False)):
        dense = Dense(name="fc", weight=np.array([[largest]]))
        assert is_covered(chain(Input(name="input", shape=(1,)), dense, Output(name="output"))) == covered


def test_no_weight_is_stored_twice_and_neighboring_taps_are_one_run():
    """3x3 taps, stride 2, padding 1: an even column of the input is reached through the middle tap alone."""
    conv = Conv(name="conv", weight=np.ones((4, 1, 3, 3)), stride=(2, 2), padding=(1, 1))
    program = chain(Input(name="input", shape=(1, 6, 6)), conv, Output(name="output"))
    engine = Engine(program)
    tables = Planned(program, engine.maps, Routes()).plan
    assert len(tables.weights) == 4 * 9
    node = next(node for node in tables.nodes if node["block"] == 4)
    starts = tables.table[int(node["columns"]) :][:7]
    assert np.diff(starts).tolist() == [3] * 6
    taps = tables.table[starts[0] : starts[-1]].reshape(-1, 3)
    assert taps[:, 1:].tolist() == [[0, 1], [0, 2], [1, 1], [1, 2], [2, 1], [2, 1]]


def test_a_cache_that_has_no_folder_is_done_without(monkeypatch):
    def njit(**options: object) -> object:
        if "cache" in options:
            raise RuntimeError("cannot cache function")
        return lambda function: function

    monkeypatch.setattr(numba, "njit", njit)
    assert kernels._cached() is kernels._entry


def test_a_cache_that_cannot_be_written_is_done_without(monkeypatch):
    """A full disk once broke the run whose code could not be kept."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    calls = []
    monkeypatch.setattr(kernels, "_run_cached", full)
    monkeypatch.setattr(kernels, "_run_uncached", lambda *arguments: calls.append(arguments))
    kernels.run(1, 2)
    assert calls == [(1, 2)]


def test_what_does_not_execute_does_not_load_the_compiler():
    code = (
        "import sys, tdd_deploy.cli.app; from pathlib import Path; from tdd_deploy import inspect; "
        "inspect(Path('tests/golden/small.nir')); sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_floating_point_threshold_that_is_just_met_fires_only_where_it_shall():
    for number_format in ("float32", "float64"):
        for compare, expected in ((">", 0), (">=", 1)):
            half = np.array(0.3)
            neuron = LIF(beta=np.array(0.0), v_threshold=half, v_reset=half, compare=compare)
            nodes = [Input(name="input", shape=(1,)), NeuronLayer(name="n", shape=(1,), neuron=neuron)]
            program = chain(*nodes, Output(name="output"), number_format=number_format)
            _, fast = both(program, np.full((1, 1, 1), 0.3))
            assert fast.output.tolist() == [[[expected]]]


def test_a_change_to_any_file_of_the_loops_compiles_them_again(tmp_path):
    """Numba's cache compares the file of the compiled function alone; the key of its entries must hold the rest."""
    original = cache_key(copied(tmp_path / "original"))
    assert cache_key(copied(tmp_path / "same")) == original
    names = sorted(path.name for path in KERNELS.glob("*.py"))
    assert {"events.py", "neurons.py", "run.py", "synapses.py", "tables.py"} < set(names)
    for name in names:
        changed = copied(tmp_path / name.removesuffix(".py"))
        (changed / name).write_text((changed / name).read_text() + "# a comment\n")
        assert cache_key(changed) != original


def copied(folder: Path) -> Path:
    return Path(shutil.copytree(KERNELS, folder / "kernels", ignore=shutil.ignore_patterns("__pycache__")))


def cache_key(folder: Path) -> object:
    """Return what numba would look for in its cache, where machine code and signature are the same."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from kernels import run; from numba.core import registry; "
        "cache, target = run._run_cached._cache, registry.cpu_target.target_context; "
        "print(cache._index_key((), target.codegen()))"
    )
    done = subprocess.run([sys.executable, "-c", code, folder.parent], check=True, capture_output=True, text=True)
    return done.stdout
