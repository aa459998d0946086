"""Early exit on random programs: the same as running each sample for just the steps until it is decided."""

from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tdd_deploy.errors import BadOption
from tdd_deploy.program import Edge, Input, Output, build
from tdd_deploy.program.outputs import predicted
from tdd_deploy.simulator.counts import FIELDS, Counts
from tdd_deploy.simulator.early_exit import Decisions
from tdd_deploy.simulator.engine.engine import Engine
from tests import by_hand
from tests.property.test_execution import examples
from tests.property.test_integer_execution import grown, integer_case
from tests.zoo import Case, Given


def leads(case: Case) -> np.ndarray:
    """The lead of the largest mean output, ``[batch, n_steps]``, of a full run."""
    output = Engine(case.program).run(Given(case.inputs), n_steps=len(case.inputs)).output
    steps = np.arange(1, len(case.inputs) + 1)[None, :, None]
    ranked = np.sort(output.cumsum(axis=1, dtype=np.float64) * case.program.output.unit / steps, axis=2)
    return ranked[..., -1] - ranked[..., -2]


def ended_early(case: Case, quantile: float) -> tuple[float, np.ndarray]:
    """Return a margin that some samples reach, and where each still runs, ``[n_steps, batch, 1]``."""
    shape = case.program.shapes[case.program.output.name]
    assume(len(shape) == 1 and shape[0] > 1)
    found = leads(case)
    margin = max(float(np.quantile(found, quantile)), 1e-3) * 1.0001  # on no lead itself
    n_steps = len(case.inputs)
    is_decided = found >= margin
    last = np.where(is_decided.any(axis=1), is_decided.argmax(axis=1) + 1, n_steps)
    return margin, np.arange(n_steps)[:, None, None] < last[None, :, None]


def padded(counts: Counts, n_steps: int) -> dict[str, np.ndarray]:
    return {name: np.pad(c := getattr(counts, name), ((0, 0), (0, n_steps - c.shape[1]))) for name in FIELDS}


@examples(200)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.floats(0.1, 0.9))
def test_a_sample_ends_when_it_is_decided_and_nothing_later_is_counted(seed, is_integer, quantile):
    case = integer_case(seed) if is_integer else grown(seed, None, number_format="float64")
    shape = case.program.shapes["output"]
    assume(len(shape) == 1 and shape[0] > 1)
    found = leads(case)
    margin = max(float(np.quantile(found, quantile)), 1e-3) * 1.0001  # on no lead itself: sums may differ in a bit
    n_steps = len(case.inputs)
    is_decided = found >= margin
    last = np.where(is_decided.any(axis=1), is_decided.argmax(axis=1) + 1, n_steps)
    engine = Engine(case.program)
    alone = [engine.run(Given(case.inputs[:n, [i]]), n_steps=n) for i, n in enumerate(last)]
    for compiled in (True, False):
        result = Engine(case.program, compiled=compiled).run(Given(case.inputs), n_steps=n_steps, early_exit=margin)
        np.testing.assert_array_equal(result.trace.n_running, (last[:, None] > np.arange(n_steps)).sum(axis=0))
        for i, n in enumerate(last):
            np.testing.assert_array_equal(result.output[i, :n], alone[i].output[0])
            assert not result.output[i, n:].any()
        for code in ("executed", "spike_code", "delta_code"):
            parts = [padded(getattr(one.trace, code), n_steps) for one in alone]
            for name in FIELDS:
                expected = reduce(add, [part[name] for part in parts])
                np.testing.assert_array_equal(getattr(getattr(result.trace, code), name), expected, err_msg=name)


@pytest.mark.parametrize("margin", [0.0, -1.0, float("nan"), float("inf")])
def test_a_margin_is_above_zero(margin):
    with pytest.raises(BadOption, match=r"^early_exit must be a number above 0, .* \(got "):
        Engine(by_hand.program()).run(Given(by_hand.INPUTS), n_steps=3, early_exit=margin)


@pytest.mark.parametrize("shape", [(1,), (2, 3, 3)])
def test_an_output_that_is_not_one_number_per_class_cannot_be_decided(shape):
    program = build([Input(name="in", shape=shape), Output(name="out")], [Edge("in", "out")], dt_s=1e-3, n_steps=1)
    with pytest.raises(BadOption, match="an output of 2 numbers or more, one per class"):
        Engine(program).run(Given(np.zeros((1, 1, *shape))), n_steps=1, early_exit=1.0)


@examples(100)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_every_margin_ends_samples_where_the_outputs_of_a_full_run_say(seed, is_integer):
    case = integer_case(seed) if is_integer else grown(seed, None, number_format="float64")
    shape = case.program.shapes["output"]
    assume(len(shape) == 1 and shape[0] > 1)
    n_steps, batch = case.inputs.shape[:2]
    labels = np.random.default_rng(seed).integers(0, shape[0], batch)
    found = Decisions.of(case.program, Engine(case.program).run(Given(case.inputs), n_steps=n_steps).output, labels)
    leads = np.unique(found.leads[found.leads > 1e-9])
    for margin in [*(leads[1:] + leads[:-1]) / 2, 1e-9, found.safe_margin(0), found.safe_margin(50)]:
        for compiled in (True, False):
            result = Engine(case.program, compiled=compiled).run(
                Given(case.inputs), n_steps=n_steps, early_exit=float(margin)
            )
            steps = found.steps_at(margin)
            np.testing.assert_array_equal(result.trace.n_running, (steps[:, None] > np.arange(n_steps)).sum(axis=0))
            is_right = predicted(result.output) == labels
            np.testing.assert_array_equal(found.is_right[:, -1].astype(int) - is_right, found.lost_at(margin))
