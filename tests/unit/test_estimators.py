"""Estimators of others, by hand; tests/parity/test_energy_estimators.py holds them to their authors' code."""

from itertools import pairwise

import numpy as np
import pytest

from tdd_deploy.neurons import IF
from tdd_deploy.program import Conv, Dense, Edge, Input, NeuronLayer, Output, Scale, build
from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.simulator.hardware.chains import obstacles
from tdd_deploy.simulator.hardware.estimators import ESTIMATORS, estimates
from tests import by_hand
from tests.zoo import Given, grow

NAMES = ("NeuroBench", "syops", "SpikingJelly simple", "Lemaire 2022", "SpikingJelly Lemaire")


def found(program, inputs, **given):
    trace = Engine(program).run(Given(np.asarray(inputs, float)), n_steps=len(inputs)).trace
    return {estimate.name: estimate for estimate in estimates(program, trace, **given)}


def access(words):
    """What Lemaire's authors charge for an access to a memory of 32-bit words."""
    return 13.2 + 1.09e-5 * 32 * words


def sram(words):
    """What SpikingJelly charges below 8 KiB."""
    return 10 * 4 * words / 8192


# by_hand.py: input (2) -> fc, 4 weights and 2 biases -> 2 LIF -> readout, 2 weights -> out; 3 steps.
BOTH = found(by_hand.program(), by_hand.INPUTS)  # spikes, and grey values: per inference 4 inputs and 3.5 spikes
SPIKES = found(by_hand.program(), by_hand.INPUTS[:, :1])  # the sample of spikes: 4 of the input, 4 of the neurons


def chain(*nodes):
    edges = [Edge(source.name, target.name) for source, target in pairwise(nodes)]
    return build(nodes, edges, dt_s=1e-3, n_steps=1)


def conv(**changed):
    """4 x 4 inputs -> 2 channels of 2 x 2, kernel 3 x 3 -> IF that never fire."""
    given = {"weight": np.ones((2, 1, 3, 3)), "stride": (2, 2), "padding": (1, 1), **changed}
    return chain(
        Input(name="input", shape=(1, 4, 4)),
        Conv(name="conv", **given),
        NeuronLayer(name="n", shape=(2, 2, 2), neuron=IF(v_threshold=np.array(99.0), v_reset=np.array(0.0))),
        Output(name="out"),
    )


ONE_SPIKE = np.zeros((1, 1, 1, 4, 4))
ONE_SPIKE[0, 0, 0, 1, 1] = 1
CONV = found(conv(), ONE_SPIKE)


def test_every_estimator_is_a_row():
    assert tuple(BOTH) == NAMES
    assert tuple(e.name for e in ESTIMATORS) == NAMES[1:]
    for estimate in BOTH.values():
        assert estimate.ratio == estimate.spiking_pj / estimate.dense_pj
        assert estimate.source
        assert estimate.assumes


def test_neurobench_prices_effective_operations():
    # ACs: 6 of the spikes in fc, 7 in readout; MACs: 7 of the grey values in fc; two samples
    assert BOTH["NeuroBench"].spiking_pj == pytest.approx((13 * 0.9 + 7 * 4.6) / 2)
    assert BOTH["NeuroBench"].dense_pj == pytest.approx(6 * 4.6)


def test_neurobench_knows_no_scales():
    inputs = np.ones((1, 1, 2))
    ends = Input(name="input", shape=(2,)), Output(name="out")
    dense = Dense(name="fc", weight=np.ones((2, 2)))
    with_scale = found(chain(ends[0], Scale(name="s", factor=np.full(2, 1.0)), dense, ends[1]), inputs)
    without = found(chain(ends[0], dense, ends[1]), inputs)
    assert with_scale["NeuroBench"] == without["NeuroBench"]
    assert without["NeuroBench"].spiking_pj == pytest.approx(4 * 0.9)


def test_syops_prices_the_rate_of_spikes_and_every_mac_of_grey_values():
    # fc: 3 steps x (4 + 2) MACs; 3 x 2 neurons; readout: a rate of 3.5 / 2 over all steps x 2 MACs
    assert BOTH["syops"].spiking_pj == pytest.approx(0.9 * (6 + 3.5) + 4.6 * 18)
    # fc: 4 / 2 x 6; 6 neurons; readout: 4 / 2 x 2
    assert SPIKES["syops"].spiking_pj == pytest.approx(0.9 * (12 + 6 + 4))
    assert BOTH["syops"].dense_pj == SPIKES["syops"].dense_pj == pytest.approx(4.6 * (6 + 2 + 2))  # 2 ReLUs


def test_syops_counts_padding():
    assert CONV["syops"].spiking_pj == pytest.approx(0.9 * (72 / 16 + 8))
    assert CONV["syops"].dense_pj == pytest.approx(4.6 * (72 + 8))


def test_the_simple_estimator_prices_weights_biases_and_potentials_by_the_byte():
    # fc: 12 MACs; 12 weights, 6 biases, 6 potentials read and written; readout: 3.5 ACs and weights
    words = 12 + 6 + 2 * 6 + 3.5
    assert BOTH["SpikingJelly simple"].spiking_pj == pytest.approx(4.6 * 12 + 0.9 * 3.5 + 4 * 24.96 * words)
    assert BOTH["SpikingJelly simple"].dense_pj == pytest.approx(4.6 * 6 + 4 * 24.96 * (6 + 2))
    # the spike is at (1, 1), and reaches 2 x 2 places of both channels: no weight meets padding
    assert CONV["SpikingJelly simple"].spiking_pj == pytest.approx(0.9 * 8 + 4 * 24.96 * (8 + 16))


def test_lemaires_model_prices_operations_addresses_and_memory():
    fc = 0.1 * (4 * 2 + 6 + 4) + 3.2 * 6 + 0.1 * 8  # spikes, integration, resets; leak; addresses
    fc += 2 * (8 + 6) * access(2) + 8 * access(4) + 6 * access(2) + (4 + 4) * access(1000)
    readout = 0.1 * (4 + 3) + 0.1 * 4 + 2 * (4 + 3) * access(1) + 4 * access(2) + 4 * access(1000)
    assert SPIKES["Lemaire 2022"].spiking_pj == pytest.approx(fc + readout)
    fc = 3.2 * 4 + 0.1 * 2 + 0.1 * 4 + 2 * access(2) + 4 * access(4) + (2 + 2) * access(2)
    readout = 3.2 * 2 + 0.1 + 0.1 * 2 + 2 * access(2) + 2 * access(2) + access(1)
    assert SPIKES["Lemaire 2022"].dense_pj == pytest.approx(fc + readout)


def test_lemaires_model_executes_an_analog_input_in_one_step():
    # 4 values over 3 steps are a rate of 2/3 and 8/3 MACs; bias, resets, leak; addresses
    fc = 3.2 * 8 / 3 + 0.1 * (2 + 3.5) + 3.1 * 2 + 0.1 * 8 / 3
    fc += 2 * (8 + 6) * access(2) + 8 / 3 * access(4) + 6 * access(2) + (4 / 3 + 3.5) * access(1000)
    readout = 0.1 * (3.5 + 3) + 0.1 * 3.5 + 2 * (3.5 + 3) * access(1) + 3.5 * access(2) + 3.5 * access(1000)
    assert BOTH["Lemaire 2022"].spiking_pj == pytest.approx(fc + readout)


def test_lemaires_model_of_a_convolution():
    # One spike: 2 x 2 places of 2 channels by equation 1.4, 18 weights; 2 MACs and 18 additions for addresses.
    spiking = 0.1 * (8 + 8) + 0.1 * 18 + 3.2 * 2 + 2 * (18 + 8) * access(8) + 18 * access(18) + access(1000)
    assert CONV["Lemaire 2022"].spiking_pj == pytest.approx(spiking)
    dense = 3.2 * 72 + 0.1 * 8 + 0.1 * (16 + 8 + 18) + 72 * access(16) + 72 * access(18) + 8 * access(8)
    assert CONV["Lemaire 2022"].dense_pj == pytest.approx(dense)


def test_lemaires_model_of_a_grey_value_into_neurons_without_a_leak():
    # One value of 16 needs a sixteenth of the 72 MACs, and no neuron multiplies.
    spiking = 3.2 * 72 / 16 + 0.1 * 8 + 0.1 * 18 + 3.2 * 2 + 2 * (18 + 8) * access(8) + 18 * access(18) + access(1000)
    assert found(conv(), ONE_SPIKE / 2)["Lemaire 2022"].spiking_pj == pytest.approx(spiking)


def test_spikingjellys_reading_of_lemaire():
    spiking = 0.1 * (8 + 18) + 3.2 * 2 + sram(1000) + 18 * sram(18) + 2 * (18 + 8) * sram(8)
    assert CONV["SpikingJelly Lemaire"].spiking_pj == pytest.approx(spiking)
    dense = 3.2 * 72 + 0.1 * (16 + 8 + 18) + 72 * sram(16) + 72 * sram(18) + 8 * sram(8)
    assert CONV["SpikingJelly Lemaire"].dense_pj == pytest.approx(dense)
    fc = 0.1 * (8 + 6 + 8 + 4) + 3.2 * 6 + (4 + 4) * sram(1000) + (8 + 6) * sram(6) + 2 * (8 + 6) * sram(2)
    readout = 0.1 * (4 + 4) + 4 * sram(1000) + 4 * sram(2) + 2 * 4 * sram(1)
    assert SPIKES["SpikingJelly Lemaire"].spiking_pj == pytest.approx(fc + readout)


@pytest.mark.parametrize(("words", "pj"), [(2048, 10), (8192, 20), (262_144, 100), (1_000_000, 100)])
def test_spikingjellys_memory_costs_what_its_size_says(words, pj):
    dense = chain(Input(name="input", shape=(words,)), Dense(name="fc", weight=np.ones((1, words))), Output(name="out"))
    estimate = found(dense, np.zeros((1, 1, words)))["SpikingJelly Lemaire"]
    # MACs, addresses; inputs and weights from memories of this size, an output
    assert estimate.dense_pj == pytest.approx(3.2 * words + 0.1 * (words + 1) + 2 * words * pj + sram(1))


def test_values_of_minus_one_are_no_spikes_to_those_that_need_zeros_and_ones():
    inputs = by_hand.INPUTS[:, :1] * -1
    signed, grey = found(by_hand.program(), inputs, has_spike_input=False), BOTH
    assert signed["NeuroBench"].spiking_pj < grey["NeuroBench"].spiking_pj  # they are ACs
    assert signed["syops"].spiking_pj > 4.6 * 18


@pytest.mark.parametrize("seed", range(40))
def test_a_program_that_an_estimator_does_not_fit_has_a_reason_and_no_number(seed):
    case = grow(seed, n_blocks=2, n_steps=4, batch=2, spatial=bool(seed % 2))
    fits = not list(obstacles(case.program))
    neurobench, *others = found(case.program, case.inputs).values()
    assert neurobench.spiking_pj is not None
    assert (neurobench.dense_pj is None) == any(edge.delay for edge in case.program.edges)
    for estimate in others:
        if not fits:
            assert (estimate.spiking_pj, estimate.dense_pj, estimate.ratio) == (None, None, None)
            assert estimate.assumes.startswith("does not apply: ")


def test_lemaires_formulas_have_no_groups():
    inputs = np.zeros((1, 1, 2, 4, 4))
    nodes = [node for node in conv().nodes if node.name not in ("input", "conv")]
    grouped = Conv(name="conv", weight=np.ones((2, 1, 3, 3)), stride=(2, 2), padding=(1, 1), groups=2)
    by_name = found(chain(Input(name="input", shape=(2, 4, 4)), grouped, *nodes), inputs)
    assert by_name["Lemaire 2022"].assumes == "does not apply: conv has groups"
    # 2 channels x 2 x 2 outputs with 9 weights each
    assert by_name["SpikingJelly simple"].dense_pj == pytest.approx((4.6 + 4 * 24.96) * 72)
