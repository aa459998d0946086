from itertools import pairwise

import numpy as np
import pytest

from tdd_deploy.program import Conv, Dense
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.counts import FIELDS, Counts, Layer
from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.simulator.hardware.energy import COVERAGE, EXCLUDED, Seconds, price_counts
from tdd_deploy.simulator.hardware.execution import Execution
from tdd_deploy.simulator.hardware.process import (
    EXIT_COMPARISON,
    GRADED_EVENTS,
    NEURON_BIASES,
    READOUT,
    Numbers,
    prices_of,
)
from tdd_deploy.simulator.hardware.profiles import load_profile, profile_names
from tests import by_hand
from tests.zoo import Given, grow

TRACE = by_hand.result().trace


FLOATS = Numbers(is_float=True, weight_bits=32, sum_bits=32, address_bits=5, value_bits=32)
PLAIN = Execution(numbers=FLOATS, derived={})


def priced(name, counts=TRACE.executed, layers=TRACE.layers, *, execution=PLAIN, n_chips=None, **options):
    return price_counts(counts, layers, load_profile(name), execution=execution, n_chips=n_chips, **options)


def by_hand_priced(name, counts=TRACE.executed, *, exits_early=False):
    execution = Execution.of(
        by_hand.program(), TRACE, counts, numbers=Numbers.of(by_hand.program()), exits_early=exits_early
    )
    return priced(name, counts, execution=execution)


def execution_of(counts):
    """An execution in which everything took place."""
    names = (GRADED_EVENTS, NEURON_BIASES, READOUT, EXIT_COMPARISON)
    of_names = (counts.events, counts.updates_active, counts.spikes, counts.acs)
    return Execution(numbers=FLOATS, derived=dict(zip(names, of_names, strict=True)))


def random_counts(seed, layers, n_steps):
    rng = np.random.default_rng(seed)
    return Counts(**{name: rng.integers(0, 1000, (len(layers), n_steps)) for name in FIELDS})


LAYERS = (
    Layer("input", "input", (1, 8, 8)),
    Layer("conv1", "conv", (4, 8, 8)),
    Layer("conv1_spikes", "LIF", (4, 8, 8)),
    Layer("fc1", "dense", (10,)),
    Layer("fc1_spikes", "IF", (10,)),
)


@pytest.mark.parametrize("name", profile_names())
@pytest.mark.parametrize("n_chips", [None, 1])
@pytest.mark.parametrize("seed", range(5))
def test_the_energy_is_the_sum_of_its_terms_its_layers_and_its_steps(name, n_chips, seed):
    counts = random_counts(seed, LAYERS, 7)
    energy = priced(name, counts, LAYERS, execution=execution_of(counts), n_chips=n_chips)
    assert energy.per_cell_pj.shape == (5, 7)
    assert (energy.dynamic_pj > 0) == load_profile(name).has_prices
    for total in (
        sum(term.energy_pj.sum() for term in energy.terms),
        sum(energy.per_cell_pj[row].sum() for row in range(5)),
        sum(energy.per_cell_pj[:, t].sum() for t in range(7)),
    ):
        assert total == pytest.approx(energy.dynamic_pj, rel=1e-12)
    assert energy.low_pj <= energy.dynamic_pj * (1 + 1e-12)
    assert energy.high_pj >= energy.dynamic_pj * (1 - 1e-12)


@pytest.mark.parametrize("name", profile_names())
def test_nothing_costs_nothing(name):
    energy = priced(name, Counts.zeros(len(LAYERS), 3), LAYERS)
    assert (energy.low_pj, energy.dynamic_pj, energy.high_pj) == (0, 0, 0)


# The network of by_hand.py, as executed: 17 stored and 13 + 2 = 15 effective operations, 11 active and 1 idle updates,
# 7 events. Prices in pJ from energy-figures.toml.


def test_davies_2018_by_hand():
    energy = priced("loihi1-davies2018")
    assert [(term.price.term, int(term.count.sum())) for term in energy.terms] == [
        ("synop", 17),
        ("neuron_active", 11),
        ("neuron_inactive", 1),
    ]
    assert energy.dynamic_pj == pytest.approx(17 * 23.6 + 11 * 81.0 + 1 * 52.0)  # 1344.2
    assert energy.low_pj == pytest.approx(17 * 23.6 + 11 * 72.8 + 1 * 51.2)  # 1253.2
    assert energy.high_pj == pytest.approx(17 * 35.5 + 11 * 81.0 + 1 * 52.0)  # 1546.5


def test_sanafe_by_hand():
    energy = priced("loihi1-sanafe")
    assert energy.dynamic_pj == pytest.approx(17 * 35.5 + 12 * 51.2 + 11 * 21.6 + 7 * 69.3)  # 1940.6
    assert energy.low_pj == pytest.approx(17 * 23.6 + 12 * 51.2 + 11 * 21.6 + 7 * 69.3)
    assert energy.high_pj == pytest.approx(energy.dynamic_pj)


def test_horowitz_by_hand():
    # 12 updates of a multiplication and two additions; 2 biases; one output in 3 steps of 2 samples.
    energy = by_hand_priced("cmos45-horowitz")
    assert energy.dynamic_pj == pytest.approx(13 * 0.9 + 2 * 4.6 + 12 * 5.5 + 2 * 0.9 + 6 * 0.9)  # 94.1
    assert (energy.low_pj, energy.high_pj) == pytest.approx((94.1, 94.1))


def test_biases_are_paid_in_every_step_of_spike_code_and_once_in_delta_code():
    energies = {code: by_hand_priced("cmos45-horowitz", getattr(TRACE, code)) for code in ("spike_code", "delta_code")}
    counts = {
        code: next(term.count for term in energy.terms if term.price.term == "bias").sum(axis=0).tolist()
        for code, energy in energies.items()
    }
    assert counts == {"spike_code": [2, 2, 2], "delta_code": [2, 0, 0]}


def test_an_early_exit_compares_every_output_in_every_step():
    plain, exiting = (by_hand_priced("cmos45-horowitz", exits_early=exits) for exits in (False, True))
    assert exiting.dynamic_pj - plain.dynamic_pj == pytest.approx(6 * 2 * 0.9)
    (term,) = [term for term in exiting.terms if term.price.term == "exit_comparison"]
    np.testing.assert_array_equal(term.count, [[0, 0, 0], [0, 0, 0], [0, 0, 0], [2, 2, 2]])  # at the readout
    davies = by_hand_priced("loihi1-davies2018", exits_early=True).not_priced
    assert "the comparison of an early exit: the profile has no price" in davies
    assert "readout: the profile has no price" in davies


def test_the_memory_model_by_hand():
    """Words of 32 bits cost 5 pJ; an address has a bit for 2 neurons, and a sign; the input sends grey values."""
    energy = by_hand_priced("cmos45-memory")
    found = {term.price.term: float(term.energy_pj.sum()) for term in energy.terms}
    bit = 10 / 64
    assert found == pytest.approx(
        {
            "ac": 13 * 0.9,
            "mac": 2 * 4.6,
            "weight_read": 15 * 5,
            "sum_read_write": 15 * 10,
            "neuron_arithmetic": 12 * 5.5,
            "neuron_read_write": 12 * 15,
            "event_address": (7 + 5) * 2 * 2 * bit,
            "event_value": 5 * 10,
            "bias": 2 * 5.9,
            "readout": 6 * 10.9,
        }
    )


def test_memory_without_arithmetic_prices_memory_alone():
    found = by_hand_priced("cmos28-truenorth-memory")
    terms = {term.price.term: term.price.value_pj for term in found.terms}
    assert terms["weight_read"] == pytest.approx(32 * 0.047)
    assert not {"ac", "mac", "neuron_arithmetic"} & terms.keys()
    assert any("arithmetic" in line for line in found.not_priced)


def test_spike_code_is_priced_from_its_own_counts():
    # 23 stored operations instead of 17; updates are the same.
    energy = priced("loihi1-davies2018", TRACE.spike_code)
    assert energy.dynamic_pj == pytest.approx(23 * 23.6 + 11 * 81.0 + 1 * 52.0)


def test_energy_is_booked_at_its_layer_and_step():
    # Per step: fc stores 4, 2, 4 operations in delta code and readout 2, 3, 2 in spike code;
    # hidden has 4, 4, 3 active and 0, 0, 1 idle updates.
    cells = priced("loihi1-davies2018").per_cell_pj
    np.testing.assert_allclose(
        cells,
        [
            [0, 0, 0],
            [4 * 23.6, 2 * 23.6, 4 * 23.6],
            [4 * 81, 4 * 81, 3 * 81 + 52],
            [2 * 23.6, 3 * 23.6, 2 * 23.6],
        ],
    )


@pytest.mark.parametrize("seed", range(12))
def test_the_formula_of_sanafe_for_the_terms_that_are_priced(seed):
    """counting.md: E = synops x (35.5 dense | 24.0 conv) + 51.2 N_lif + 21.6 N_upd + 69.3 N_fired + messages and hops.

    Synapses, neurons and spikes are counted from the spikes of the reference; N_upd is ours, which is held to brute
    force in test_execution.py. SANA-FE's also counts a neuron that events of weight zero, or that cancel, have reached.
    """
    case = grow(seed, n_blocks=2, n_steps=4, batch=2, spatial=bool(seed % 2))
    program, sent = case.program, reference.run(case.program, case.inputs)
    trace = Engine(program).run(Given(case.inputs), n_steps=4).trace
    expected = 21.6 * trace.spike_code.total("updates_active")
    for layer in program.neuron_layers:
        expected += 51.2 * sent[layer.name].size + 69.3 * np.count_nonzero(sent[layer.name])
    for row, layer in enumerate(trace.layers):
        if isinstance(program[layer.name], Dense | Conv):
            price = 35.5 if isinstance(program[layer.name], Dense) else 24.0
            expected += price * trace.spike_code.synops_stored[row].sum()
    energy = priced("loihi1-sanafe", trace.spike_code, trace.layers)
    assert energy.dynamic_pj == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "excess_percent"), [("loihi1-davies2018", (9, 20)), ("loihi1-sanafe", (54, 71))], ids=str
)
def test_the_published_check_of_frady_2020(name, excess_percent):
    """energy-figures.toml: 667 to 750 spikes x 76800 targets, 76800 idle neurons x 60 steps; measured 1.33 mJ."""
    layers = (Layer("library", "dense", (76800,)), Layer("neighbors", "LIF", (76800,)))
    excess = []
    for spikes in (667, 750):
        counts = Counts.zeros(2, 1)
        counts.synops_stored[0] = spikes * 76800
        counts.updates_idle[1] = 76800 * 60
        energy_mj = priced(name, counts, layers).dynamic_pj * 1e-9
        excess.append(100 * (energy_mj / 1.33 - 1))
    assert excess == pytest.approx(excess_percent, abs=0.6)


def test_the_published_check_on_a_keyword_spotter_is_missed():
    """energy-figures-2.toml: 390-256-256-29, ten steps an inference; a board measured 36 to 37 uJ.

    Rates are not published. The sum meets the measurement only if 8 of 9 inputs and neurons fire in every step: at a
    fifth of them it is 4 times low, at a twentieth 14 times.
    """
    sizes = (390, 256, 256, 29)
    synapses = sum(n * m for n, m in pairwise(sizes))
    assert synapses == 172_800
    layers = (Layer("maps", "dense", (1,)), Layer("neurons", "LIF", (sum(sizes[1:]),)))
    factors = []
    for rate in (1.0, 0.2, 0.05):
        counts = Counts.zeros(2, 1)
        counts.synops_stored[0] = round(synapses * 10 * rate)
        counts.updates_active[1] = sum(sizes[1:]) * 10
        factors.append(36.0 / (priced("loihi1-davies2018", counts, layers).dynamic_pj * 1e-6))
    assert factors == pytest.approx([0.87, 4.2, 14.5], rel=0.02)


def test_a_price_for_one_kind_of_layer_leaves_the_others_free():
    counts = random_counts(0, LAYERS, 2)
    terms = {term.price.term: term.count for term in priced("loihi1-sanafe", counts, LAYERS).terms}
    np.testing.assert_array_equal(terms["synop_dense"][[0, 1, 2, 4]], 0)
    np.testing.assert_array_equal(terms["synop_dense"][3], counts.synops_stored[3])
    np.testing.assert_array_equal(terms["synop_conv"][1], counts.synops_stored[1])
    np.testing.assert_array_equal(terms["neuron_access"], counts.updates_active + counts.updates_idle)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "loihi1-davies2018",
            [
                "spike_in_tile (1.7 pJ each): needs a placement of layers on cores",
                "hop_east_west (3 pJ each): needs a placement of layers on cores",
                "hop_north_south (4 pJ each): needs a placement of layers on cores",
                "bias additions: the profile has no price",
                "static power per chip: 29.6 mW after boot, 100 mW in use, 104.4 mW with all circuits powered (",
                "x86 cores: 65 to 70 mW per chip are apart, and not added (x86, derived: Frady et al. 2020",
                "the barrier between time steps: its time is published, its energy is not",
                f"{EXCLUDED}: outside this count",
            ],
        ),
        (
            "loihi1-sanafe",
            [
                "message_out (111 pJ each): needs a placement of layers on cores",
                "hop_east_west (3 pJ each): needs a placement of layers on cores",
                "hop_north_south (4.2 pJ each): needs a placement of layers on cores",
                "bias additions: the profile has no price",
                "static power: the profile has none",
                f"{EXCLUDED}: outside this count",
            ],
        ),
        (
            "cmos45-horowitz",
            [
                "sending of events: the profile has no price",
                "input events: the profile has no price",
                "static power: the profile has none",
                "memory: cmos45-memory has it",
                f"{EXCLUDED}: outside this count",
            ],
        ),
    ],
)
def test_what_is_not_priced_is_listed(name, lines):
    found = priced(name).not_priced
    assert len(found) == len(lines)
    assert all(line.startswith(start) for line, start in zip(found, lines, strict=True))


@pytest.mark.parametrize("name", profile_names())
def test_every_price_is_either_a_term_or_listed_as_not_priced(name):
    energy = priced(name, execution=execution_of(TRACE.executed))
    terms = {term.price.term for term in energy.terms}
    for price in prices_of(load_profile(name), FLOATS):
        assert (price.term in terms) != any(line.startswith(f"{price.term} (") for line in energy.not_priced)


def test_static_energy_is_power_times_the_time_that_is_given():
    for name, clock_mhz, power_mw in (("truenorth", None, 64.4), ("odin", None, 0.1608), ("odin", 1.3, 0.029614)):
        energy = priced(name, seconds=Seconds(2.0, 3.0), clock_mhz=clock_mhz, n_chips=1)
        assert energy.static_low_pj == pytest.approx(2e9 * power_mw)
        assert energy.static_high_pj == pytest.approx(3e9 * power_mw)
        assert not any("static power" in line for line in energy.not_priced)
    assert priced("odin").static_low_pj is None
    assert priced("loihi1-sanafe", seconds=Seconds(2.0, 2.0)).static_high_pj is None


def test_static_energy_of_a_network_without_a_placement_is_that_of_one_chip_and_says_so():
    alone, placed = (priced("odin", seconds=Seconds(2.0, 3.0), n_chips=n) for n in (None, 1))
    assert alone.static_low_pj == placed.static_low_pj
    assert set(alone.not_priced) - set(placed.not_priced) == {
        "static power of a second chip and more: how many chips the network needs is not known"
    }


def test_static_energy_spans_the_states_of_a_chip():
    energy = priced("loihi1-davies2018", seconds=Seconds(2.0, 3.0), n_chips=2)
    assert energy.static_low_pj == pytest.approx(2 * 2e9 * 29.6)
    assert energy.static_high_pj == pytest.approx(2 * 3e9 * 104.4)
    assert [line for line in energy.not_priced if "x86" in line]  # apart, also where the time is known


def test_what_a_reader_takes_for_granted_are_counts():
    assert {count for counts in COVERAGE.values() for count in counts} <= set(FIELDS)
