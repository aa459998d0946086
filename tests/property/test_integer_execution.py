"""Integer programs, and both paths of the engine: the reference, numpy and the compiled loops give the same numbers.

``test_execution.py`` holds the counters of the engine to brute force; here one path's are held to the other's.
TDD_DEPLOY_EXAMPLES=50000 draws that many programs per test instead of the default.
"""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tdd_deploy.errors import BadProgram
from tdd_deploy.neurons import LoihiLIF, Neuron
from tdd_deploy.program import (
    CODES,
    Conv,
    Flatten,
    Input,
    NeuronLayer,
    Output,
    Pool,
    Program,
    Shape,
    build,
    code_groups,
    with_code,
    with_codes,
)
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.counts import FIELDS
from tdd_deploy.simulator.engine.engine import Engine, Result
from tdd_deploy.simulator.engine.plan import is_covered
from tests.effort import n_examples
from tests.zoo import Case, Given, Grower, with_delays

BITS_24 = 2**23


def examples(n: int) -> settings:
    return settings(max_examples=n_examples(n), deadline=None, suppress_health_check=[HealthCheck.too_slow])


class IntegerGrower(Grower):
    """Grows integer programs; ``limit`` is the largest weight."""

    limit = 254

    def scale(self, source: str, *, delay: int = 0) -> str:
        return source

    def dyadic(self, shape: Shape, *, denominator: int = 4, limit: int = 4) -> np.ndarray:
        values = self.rng.integers(-self.limit, self.limit + 1, shape)
        return np.where(self.rng.random(shape) < 0.25, 0, values)

    def pool(self, source: str) -> str:
        kernel = (2, 2) if self.chance(0.7) else (1, 2)
        padding = (1, 1) if self.chance(0.2) else (0, 0)
        node = Pool(name=self.name("pool"), kernel=kernel, stride=kernel, padding=padding)
        return self.put(node, node.out_shape(self.shapes[source]), source)

    def neuron(self, shape: Shape, *, spiking: bool) -> Neuron:
        def parameter(*choices: int, spread: int = 0) -> np.ndarray:
            of = shape if self.chance(0.3) else ()
            return self.rng.choice(choices, of) + self.rng.integers(-spread, spread + 1, of)

        size = 64 * self.limit
        return LoihiLIF(
            du=parameter(-1, 0, 1000, 4094, 4095, 4095, 4095),
            dv=parameter(0, 1, 1000, 2048, 2048, 4095, 4096),
            bias=parameter(0, 0, size, spread=size // 2) if self.chance(0.5) else np.array(0),
            v_threshold=parameter(size // 4, size, 64, 0, -64, spread=size // 8),
            v_reset=parameter(0, 0, -size, 77),
            reset=str(self.rng.choice(["hard", "soft"])),
            compare=str(self.rng.choice([">", ">="])),
        )


def grown(seed: int, limit: int | None, *, number_format: str) -> Case:
    """Grow blocks one after the other, every choice drawn from the seed."""
    rng = np.random.default_rng(seed)
    grower = Grower(rng) if limit is None else IntegerGrower(rng)
    if limit is not None:
        grower.limit = limit
    shape = tuple(int(n) for n in rng.integers(1, 7, 3 if rng.random() < 0.6 else 1))
    tip = grower.put(Input(name="input", shape=shape, largest=1 if limit is None else 3), shape)
    for _ in range(rng.integers(1, 4)):
        tip = grower.block(tip)
    if rng.random() < 0.6:
        tip = grower.dense(tip, int(rng.integers(1, 5)))
    elif len(grower.shapes[tip]) == 3 and rng.random() < 0.5:
        tip = grower.put(Flatten(name="last"), (int(np.prod(grower.shapes[tip])),), tip)
    grower.put(Output(name="output"), grower.shapes[tip], tip)
    n_steps, batch = int(rng.integers(1, 7)), int(rng.integers(1, 11))
    program = build(grower.nodes, grower.edges, dt_s=1e-3, n_steps=n_steps, number_format=number_format)
    codes = {group: str(rng.choice(["delta", "spike"])) for group in code_groups(program)}
    program = with_codes(program, {edge: code for group, code in codes.items() for edge in group})
    inputs = rng.integers(*((0, 2) if rng.random() < 0.4 else (-3, 4)), (n_steps, batch, *shape)).astype(np.float64)
    if rng.random() < 0.3:
        inputs[:] = inputs[0]
    return Case(program, inputs / (8 if limit is None else 1))


def integer_case(seed: int) -> Case:
    """Grow with the largest weights whose sums fit 24 bits: half of the programs wrap u."""
    for limit in (20_000, 1000, 254, 30, 3, 1):
        try:
            case = grown(seed, limit, number_format="integer")
            return with_delays(case, seed) if seed % 4 == 0 else case
        except BadProgram:
            continue
    raise AssertionError("no weight is small enough")


def execute(program: Program, inputs: np.ndarray, *, compiled: bool) -> Result:
    names = ["input", *(layer.name for layer in program.neuron_layers)]
    return Engine(program, compiled=compiled).run(Given(inputs), n_steps=len(inputs), record=names)


def assert_all_agree(case: Case) -> None:
    assert is_covered(case.program)
    sent = reference.run(case.program, case.inputs)
    for program in (case.program, *(with_code(case.program, code) for code in CODES)):
        slow, fast = (execute(program, case.inputs, compiled=compiled) for compiled in (False, True))
        for result in (slow, fast):
            assert result.output.dtype == program.dtype
            np.testing.assert_array_equal(result.output, sent["output"].swapaxes(0, 1))
            for name, raster in result.layers.items():
                np.testing.assert_array_equal(raster, sent[name].swapaxes(0, 1), err_msg=name)
        assert fast.trace.layers == slow.trace.layers
        assert fast.trace.n_samples == slow.trace.n_samples
        for code in ("executed", "spike_code", "delta_code"):
            for name in FIELDS:
                found, expected = (getattr(getattr(result.trace, code), name) for result in (fast, slow))
                np.testing.assert_array_equal(found, expected, err_msg=f"{name} of {code}")


@examples(300)
@given(st.integers(0, 2**32 - 1))
def test_integers_are_the_same_in_the_reference_and_on_both_paths_in_every_code(seed):
    assert_all_agree(integer_case(seed))


@examples(150)
@given(st.integers(0, 2**32 - 1))
def test_floats_are_the_same_in_the_reference_and_on_both_paths_in_every_code(seed):
    case = grown(seed, None, number_format="float64")
    assert_all_agree(with_delays(case, seed) if seed % 4 == 0 else case)


# The zoo itself.

ZOO = [integer_case(seed) for seed in range(200)]


def test_integer_programs_of_the_zoo_wrap_saturate_and_spike():
    sent = [reference.run(case.program, case.inputs) for case in ZOO]
    currents = [
        np.abs(sum(s[edge.source].astype(np.int64) for edge in case.program.incoming[layer.name])).max()
        for case, s in zip(ZOO, sent, strict=True)
        for layer in case.program.neuron_layers
    ]
    assert sum(current * 64 > BITS_24 for current in currents) > 20
    spikes = [s[layer.name].mean() for case, s in zip(ZOO, sent, strict=True) for layer in case.program.neuron_layers]
    assert sum(0 < rate < 1 for rate in spikes) > 100


def test_integer_programs_of_the_zoo_hold_every_choice():
    layers = [node.neuron for case in ZOO for node in case.program.nodes if isinstance(node, NeuronLayer)]
    for name in ("du", "dv", "bias", "v_threshold", "v_reset"):
        assert sum(getattr(neuron, name).ndim > 0 for neuron in layers) > 20, name
    assert {(neuron.reset, neuron.compare) for neuron in layers} == {
        (r, c) for r in ("hard", "soft") for c in (">", ">=")
    }
    convs = [node for case in ZOO for node in case.program.linear_maps if isinstance(node, Conv)]
    for unusual in ("stride", "dilation"):
        assert sum(getattr(conv, unusual) != (1, 1) for conv in convs) > 20, unusual
    assert sum(conv.groups > 1 for conv in convs) > 20
    assert sum(any(edge.delay for edge in case.program.edges) for case in ZOO) > 20
    assert {edge.code for case in ZOO for edge in case.program.edges} == set(CODES)
