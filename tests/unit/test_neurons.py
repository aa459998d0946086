"""Each neuron against its equation, by hand; all numbers are dyadic, so that equality is exact."""

from dataclasses import fields

import numpy as np
import pytest

from tdd_deploy.neurons import IF, LI, LIF, NEURONS, CubaLI, CubaLIF, I, Observing, SigmaDelta, Threshold, VariantLIF
from tdd_deploy.simulator.arithmetic import FloatArithmetic

FIRES = {"v_threshold": np.array(1.0), "v_reset": np.array(0.0)}


def made(cls, **changed):
    """Any neuron, its parameters all 1/2 unless they are given."""
    values = {f.name: np.array(-0.5 if f.name == "v_min" else 0.5) for f in fields(cls) if f.name not in cls.choices}
    return cls(**(values | changed))


def run(neuron, currents, *, dtype=np.float64):
    """Return what the neuron sends, and its potential after each step."""
    state = neuron.start(lambda: np.zeros(1, dtype))
    sent, potentials = [], []
    for current in currents:
        state, out = neuron.step(FloatArithmetic(), state, np.array([current], dtype))
        sent.append(float(out[0]))
        potentials.append(float(state[-1][0]) if state else None)
    return sent, potentials


@pytest.mark.parametrize("cls", NEURONS.values())
def test_a_neuron_starts_at_rest(cls):
    state = made(cls).start(lambda: np.zeros((2, 3)))
    assert len(state) == len(cls.states)
    for part in state:
        np.testing.assert_array_equal(part, np.zeros((2, 3)))


@pytest.mark.parametrize("cls", NEURONS.values())
def test_a_neuron_at_rest_stays_there_without_a_current(cls):
    sent, potentials = run(made(cls), [0.0] * 5)
    assert sent == [0.0] * 5
    assert set(potentials) <= {0.0, None}


@pytest.mark.parametrize("cls", NEURONS.values())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_neuron_keeps_the_number_format_and_the_shape_of_its_current(cls, dtype):
    neuron = made(cls).converted(lambda p: p.astype(dtype))
    state = neuron.start(lambda: np.zeros((2, 3), dtype))
    for _ in range(3):
        state, sent = neuron.step(FloatArithmetic(), state, np.ones((2, 3), dtype))
        for array in (sent, *state):
            assert (array.dtype, array.shape) == (dtype, (2, 3))


@pytest.mark.parametrize("cls", NEURONS.values())
def test_a_neuron_sends_0_or_1_just_when_it_says_that_it_spikes(cls):
    sent, _ = run(made(cls), [2.0, 0.25, 0.0, 3.0])
    assert (set(sent) <= {0.0, 1.0}) == cls.spiking
    assert any(sent)


@pytest.mark.parametrize("cls", NEURONS.values())
def test_a_step_leaves_the_former_state_and_the_current_as_they_were(cls):
    neuron = made(cls)
    state = tuple(np.full(1, 0.75) for _ in cls.states)
    current = np.full(1, 2.0)
    neuron.step(FloatArithmetic(), state, current)
    np.testing.assert_array_equal(current, [2.0])
    for part in state:
        np.testing.assert_array_equal(part, [0.75])


@pytest.mark.parametrize("cls", NEURONS.values())
def test_the_parameters_of_one_neuron_may_differ_from_those_of_the_next(cls):
    """A layer with a parameter per neuron is two layers of one neuron side by side."""
    names = made(cls).parameters()
    pair = made(cls, **{name: np.array([0.5, 0.25]) for name in names})
    state = pair.start(lambda: np.zeros(2))
    both = []
    for _ in range(4):
        state, sent = pair.step(FloatArithmetic(), state, np.array([0.375, 0.375]))
        both.append(sent)
    for i, value in enumerate([0.5, 0.25]):
        alone, _ = run(made(cls, **{name: np.array(value) for name in names}), [0.375] * 4)
        assert [float(sent[i]) for sent in both] == alone


@pytest.mark.parametrize("cls", NEURONS.values())
def test_conversion_reaches_every_array_and_no_choice(cls):
    converted = made(cls).converted(lambda p: p + 1)
    assert {name: float(value) for name, value in converted.parameters().items()} == {
        name: float(value) + 1 for name, value in made(cls).parameters().items()
    }
    for choice in cls.choices:
        assert getattr(converted, choice) == getattr(made(cls), choice)


def test_if_with_hard_reset():
    # v = v + current: 0.75, 1.5 fires and goes to v_reset 0.25, then 0.25 + 0.75 = 1 does not pass 1.
    neuron = IF(**FIRES | {"v_reset": np.array(0.25)})
    assert run(neuron, [0.75, 0.75, 0.75, 0.0]) == ([0, 1, 0, 0], [0.75, 0.25, 1.0, 1.0])


def test_if_with_soft_reset():
    # 0.75; 1.5 fires, minus 1 leaves 0.5; 1.25 fires, leaves 0.25; 3.25 fires once, leaves 2.25; 2.25 fires, 1.25.
    neuron = IF(**FIRES, reset="soft")
    assert run(neuron, [0.75, 0.75, 0.75, 3.0, 0.0]) == ([0, 1, 1, 1, 1], [0.75, 0.5, 0.25, 2.25, 1.25])


def test_lif_with_hard_reset():
    # v = v / 2 + current: 1; 1/2 + 1 = 1.5 fires, 0; 0 + 0.5 = 0.5; 1/4 - 1 = -0.75; -0.375 + 2 = 1.625 fires, 0.
    neuron = LIF(beta=np.array(0.5), **FIRES)
    assert run(neuron, [1.0, 1.0, 0.5, -1.0, 2.0]) == ([0, 1, 0, 0, 1], [1.0, 0.0, 0.5, -0.75, 0.0])


def test_lif_with_soft_reset():
    # 1; 1.5 fires, 0.5; 0.25 + 2 = 2.25 fires, 1.25; 0.625 does not.
    neuron = LIF(beta=np.array(0.5), **FIRES, reset="soft")
    assert run(neuron, [1.0, 1.0, 2.0, 0.0]) == ([0, 1, 1, 0], [1.0, 0.5, 1.25, 0.625])


def test_cuba_lif_filters_its_current_before_it_integrates():
    # i = i / 2 + current: 1, 0.5, 0.25, 0.125, 2.0625; the current of the step itself counts in full.
    # v = v / 4 + i: 1; 0.25 + 0.5 = 0.75; 0.1875 + 0.25 = 0.4375; 0.109375 + 0.125 = 0.234375;
    # 0.05859375 + 2.0625 = 2.12109375 fires, 0.
    neuron = CubaLIF(alpha=np.array(0.5), beta=np.array(0.25), **FIRES)
    assert run(neuron, [1.0, 0.0, 0.0, 0.0, 2.0]) == ([0, 0, 0, 0, 1], [1.0, 0.75, 0.4375, 0.234375, 0.0])


def test_a_reset_of_cuba_lif_leaves_the_current():
    # i: 4, 2, 1; v: 4 fires, 0; 0 + 2 fires, 0; 0 + 1 = 1 does not pass 1.
    neuron = CubaLIF(alpha=np.array(0.5), beta=np.array(1.0), **FIRES)
    assert run(neuron, [4.0, 0.0, 0.0]) == ([1, 1, 0], [0.0, 0.0, 1.0])


def test_li_sends_its_potential():
    # v = v / 2 + current: 1, 0.5, 8.25, 4.125
    neuron = LI(beta=np.array(0.5))
    assert run(neuron, [1.0, 0.0, 8.0, 0.0]) == ([1.0, 0.5, 8.25, 4.125],) * 2


def test_the_integrator_forgets_nothing():
    assert run(I(), [1.0, 0.0, -3.0, 0.5]) == ([1.0, 1.0, -2.0, -1.5],) * 2


def test_a_threshold_has_no_memory():
    assert run(Threshold(v_threshold=np.array(1.0)), [1.5, 0.5, 1.0, -2.0, 9.0])[0] == [1, 0, 0, 0, 1]


def test_a_sigma_delta_neuron_sends_what_moved_by_more_than_its_threshold():
    # From 0: 0.5 has not moved by more than 0.5; 0.75 has; 0.25 has not (by 0.5); 0 has (by 0.75); -3 is 0 behind the
    # ReLU; 4 has; 3.5 has not.
    neuron = SigmaDelta(delta_threshold=np.array(0.5))
    assert run(neuron, [0.5, 0.75, 0.25, 0.0, -3.0, 4.0, 3.5])[0] == [0.0, 0.75, 0.75, 0.0, 0.0, 4.0, 4.0]


def test_a_slow_drift_is_followed_as_the_loop_is_closed():
    # 1/4 more per step, threshold 1/2: sent at every third step, never more than 1/2 late.
    neuron = SigmaDelta(delta_threshold=np.array(0.5))
    assert run(neuron, np.arange(1, 8) / 4)[0] == [0.0, 0.0, 0.75, 0.75, 0.75, 1.5, 1.5]


def test_without_an_activation_negative_numbers_are_sent_too():
    neuron = SigmaDelta(delta_threshold=np.array(0.5), activation="none")
    assert run(neuron, [-0.5, -0.75, 0.0, -0.25])[0] == [0.0, -0.75, 0.0, 0.0]


def test_at_the_threshold_a_sigma_delta_neuron_sends_with_the_other_comparison():
    neuron = SigmaDelta(delta_threshold=np.array(0.5), compare=">=")
    assert run(neuron, [0.5, 0.25, 1.0])[0] == [0.5, 0.5, 1.0]


@pytest.mark.parametrize("compare", [">", ">="])
def test_without_a_threshold_a_sigma_delta_neuron_is_a_relu(compare):
    currents = np.random.default_rng(0).normal(size=50)
    neuron = SigmaDelta(delta_threshold=np.array(0.0), compare=compare)
    assert run(neuron, currents)[0] == np.maximum(currents, 0).tolist()


@pytest.mark.parametrize("cls", [IF, LIF, CubaLIF, Threshold])
@pytest.mark.parametrize(("compare", "fires"), [(">", 0.0), (">=", 1.0)])
def test_on_the_threshold_the_comparison_decides(cls, compare, fires):
    neuron = made(cls, v_threshold=np.array(1.0), compare=compare)
    assert run(neuron, [1.0])[0] == [fires]


@pytest.mark.parametrize(
    ("neuron", "as_if"),
    [
        (LIF(beta=np.array(1.0), **FIRES), IF(**FIRES)),
        (CubaLIF(alpha=np.array(0.0), beta=np.array(0.5), **FIRES), LIF(beta=np.array(0.5), **FIRES)),
        (LI(beta=np.array(1.0)), I()),
        (LIF(beta=np.array(0.0), **FIRES), Threshold(v_threshold=np.array(1.0))),
    ],
    ids=["LIF-IF", "CubaLIF-LIF", "LI-I", "LIF-Threshold"],
)
def test_at_the_ends_of_a_fraction_one_neuron_is_another(neuron, as_if):
    currents = np.random.default_rng(0).integers(-8, 17, 200) / 8
    assert run(neuron, currents)[0] == run(as_if, currents)[0]


def variant(**changed):
    return VariantLIF(**{"alpha": np.array(0.0), "beta": np.array(0.5), **FIRES, **changed})


def test_cuba_li():
    # i = i / 2 + current: 1, 0.5, 0.25; v = v / 2 + i: 1, 1, 0.75
    neuron = CubaLI(alpha=np.array(0.5), beta=np.array(0.5))
    assert run(neuron, [1.0, 0.0, 0.0]) == ([1.0, 1.0, 0.75], [1.0, 1.0, 0.75])


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("compare", [">", ">="])
def test_a_variant_without_variants_is_a_lif(reset, compare):
    given = {"beta": np.array(0.5), "v_threshold": np.array(1.0), "v_reset": np.array(0.25)}
    currents = np.random.default_rng(0).integers(-4, 9, 200) / 4
    lif = run(LIF(**given, reset=reset, compare=compare), currents)
    assert run(variant(**given, reset=reset, compare=compare), currents) == lif
    assert sum(lif[0]) > 20


def test_a_current_based_variant_is_a_cuba_lif():
    given = {"alpha": np.array(0.5), "beta": np.array(0.75), **FIRES}
    currents = np.random.default_rng(0).integers(-4, 9, 200) / 8
    assert run(variant(**given), currents) == run(CubaLIF(**given), currents)


def test_a_soft_reset_a_step_late():
    # 1.5 fires; 0.75 + 1 - 1 = 0.75; 0.375 + 1 = 1.375 fires; 0.6875 + 1 - 1
    neuron = variant(reset="soft", resets="next step")
    assert run(neuron, [1.5, 1.0, 1.0, 1.0]) == ([1, 0, 1, 0], [1.5, 0.75, 1.375, 0.6875])


def test_a_hard_reset_a_step_late_loses_what_arrives_then():
    # 1.5 fires; (0.75 + 1) goes to 0.25; 0.125 + 1 = 1.125 fires
    neuron = variant(v_reset=np.array(0.25), resets="next step")
    assert run(neuron, [1.5, 1.0, 1.0]) == ([1, 0, 1], [1.5, 0.25, 1.125])


def test_no_reset():
    assert run(variant(reset="none"), [1.5, 1.0, 0.0]) == ([1, 1, 0], [1.5, 1.75, 0.875])


def test_many_spikes_are_the_whole_thresholds_in_v():
    # 3.5 fires 3, 0.5 is left; 0.25 + 1.75 = 2 fires 2; -1.5 fires none
    neuron = variant(reset="soft", spikes="many")
    assert run(neuron, [3.5, 1.75, -1.5]) == ([3, 2, 0], [0.5, 0.0, -1.5])
    assert not neuron.binary


def test_many_spikes_with_a_hard_reset_leave_nothing():
    # 3.5 fires 3 and goes to 0.25; 0.125 + 0.5
    neuron = variant(v_reset=np.array(0.25), spikes="many")
    assert run(neuron, [3.5, 0.5]) == ([3, 0], [0.25, 0.625])


def test_what_is_left_above_the_threshold_can_be_held():
    # 4 fires, 3 is left; 1.5 + 0.25 is beyond 1, not beyond 2; 0.875 + 0.25 has 1 to pass, as 1.75 was left; 0.5625
    neuron = variant(reset="soft", left_over="held")
    assert run(neuron, [4.0, 0.25, 0.25, 0.0]) == ([1, 0, 0, 0], [3.0, 1.75, 1.125, 0.5625])
    assert run(variant(reset="soft"), [4.0, 0.25]) == ([1, 1], [3.0, 0.75])


def test_the_lowest_potential():
    # -3 becomes -1; -0.5 + 1 = 0.5; the bound holds after the reset: 2 fires, 2 - 1 = 1
    neuron = variant(reset="soft", v_min=np.array(-1.0))
    assert run(neuron, [-3.0, 1.0, 1.75]) == ([0, 0, 1], [-1.0, 0.5, 1.0])


def test_the_potential_that_is_compared_is_seen_with_a_lowest_one_too():
    seen = Observing(FloatArithmetic())
    variant(reset="soft", v_min=np.array(-1.0)).step(seen, (np.zeros(1), np.zeros(1)), np.array([1.75]))
    assert seen.compared == 1.75
