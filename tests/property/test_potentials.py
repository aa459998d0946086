"""Potentials: the engine keeps the values that the reference compares in each layer, on both paths, in every code.

Numbers of random programs are dyadic or integers, so all of them must be equal.
"""

import contextlib
from itertools import count

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tdd_deploy.errors import BadOption
from tdd_deploy.neurons import Firing, LoihiLIF, Neuron, Threshold, VariantLIF
from tdd_deploy.program import CODES, with_code, with_potential_output
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.engine.engine import Engine, Result
from tdd_deploy.simulator.engine.plan import is_covered
from tests.property.test_execution import examples
from tests.property.test_integer_execution import grown, integer_case
from tests.zoo import Case, Given, with_delays


def drawn(seed: int) -> Case:
    if seed % 2:
        return integer_case(seed)
    case = grown(seed, None, number_format="float64")
    return with_delays(case, seed) if seed % 4 == 0 else case


def spiking(case: Case) -> list[str]:
    return [layer.name for layer in case.program.neuron_layers if layer.neuron.spiking]


def assert_potentials_agree(case: Case) -> int:
    """Compare them, and return how many there were."""
    expected: dict[str, np.ndarray] = {}
    sent = reference.run(case.program, case.inputs, potentials=expected)
    assert list(expected) == spiking(case)
    n = 0
    for program in (case.program, *(with_code(case.program, code) for code in CODES)):
        for compiled in (False, True):
            engine = Engine(program, compiled=compiled, potentials=spiking(case))
            result = engine.run(Given(case.inputs), n_steps=len(case.inputs))
            assert result.potentials.keys() == expected.keys()
            np.testing.assert_array_equal(result.output, sent["output"].swapaxes(0, 1))
            for name, potentials in result.potentials.items():
                assert potentials.dtype == program.dtype
                np.testing.assert_array_equal(potentials, expected[name].swapaxes(0, 1), err_msg=name)
                n += potentials.size
    return n


@examples(200)
@given(st.integers(0, 2**32 - 1))
def test_potentials_are_the_same_in_the_reference_and_on_both_paths_in_every_code(seed):
    case = drawn(seed)
    assume(spiking(case))
    assert is_covered(case.program)
    assert assert_potentials_agree(case) > 0


def neurons_of(seeds: range) -> list[Neuron]:
    return [layer.neuron for seed in seeds for layer in drawn(seed).program.neuron_layers if layer.neuron.spiking]


def test_programs_that_are_drawn_hold_every_kind_of_potential():
    found = neurons_of(range(200))
    assert sum(isinstance(neuron, LoihiLIF) for neuron in found) > 20
    assert sum(isinstance(neuron, Firing) and not isinstance(neuron, LoihiLIF) for neuron in found) > 20
    assert sum(isinstance(neuron, Threshold) for neuron in found) > 5
    variants = {(n.reset, n.resets, n.spikes, n.left_over) for n in found if isinstance(n, VariantLIF)}
    assert {word for words in variants for word in words} >= {"none", "next step", "many", "held"}


def read(seed: int) -> Case:
    """The next case whose output is the spikes of a layer, changed so that the layer's potential is the output."""
    for later in count(seed):
        case = drawn(later)
        with contextlib.suppress(BadOption):
            return Case(with_potential_output(case.program), case.inputs)
    raise AssertionError("there is always another seed")


def runs(case: Case, **options: object) -> list[Result]:
    return [
        Engine(with_code(case.program, code), compiled=compiled).run(
            Given(case.inputs), n_steps=len(case.inputs), **options
        )
        for code in CODES
        for compiled in (False, True)
    ]


@examples(150)
@given(st.integers(0, 2**32 - 1))
def test_an_output_that_reads_a_potential_equals_the_potential_that_the_last_layer_compares(seed):
    case = read(seed)
    (edge,) = case.program.incoming["output"]
    potentials: dict[str, np.ndarray] = {}
    sent = reference.run(case.program, case.inputs, potentials=potentials)
    np.testing.assert_array_equal(sent["output"], potentials[edge.source])
    assert sent["output"].size > 0
    for result in runs(case):
        np.testing.assert_array_equal(result.output, sent["output"].swapaxes(0, 1))


@examples(100)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 0.9))
def test_a_sample_ends_early_by_the_potentials_that_are_its_output(seed, quantile):
    case = read(seed)
    shape = case.program.shapes["output"]
    assume(len(shape) == 1 and shape[0] > 1)
    output = reference.run(case.program, case.inputs)["output"].swapaxes(0, 1)
    steps = np.arange(1, len(case.inputs) + 1)[None, :, None]
    ranked = np.sort(output.cumsum(axis=1, dtype=np.float64) / steps, axis=2)
    leads = ranked[..., -1] - ranked[..., -2]
    margin = max(float(np.quantile(leads, quantile)), 1e-3) * 1.0001
    ends = np.where((leads >= margin).any(axis=1), (leads >= margin).argmax(axis=1), len(case.inputs) - 1)
    runs_on = np.arange(len(case.inputs))[None, :] <= ends[:, None]
    for result in runs(case, early_exit=margin):
        np.testing.assert_array_equal(result.output, output * runs_on[..., None])
        assert result.trace.n_running.tolist() == runs_on.sum(axis=0).tolist()


def test_only_layers_that_spike_have_potentials_to_keep():
    case = drawn(2)
    with pytest.raises(AssertionError, match="only spiking layers"):
        Engine(case.program, potentials=["input"])
