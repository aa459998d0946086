"""Float and integer spikes side by side, on networks whose flips are known."""

from itertools import pairwise

import numpy as np
import pytest

from tdd_deploy.neurons import IF, LoihiLIF
from tdd_deploy.program import Dense, Edge, Input, NeuronLayer, Output, build
from tdd_deploy.program.quantization.quantize import quantize
from tdd_deploy.simulator.engine.calibration import calibrate
from tests.zoo import Given

NEURON = IF(v_threshold=np.array(1.0), v_reset=np.array(0.0))


def program(weight, neuron=NEURON, *, number_format="float64"):
    nodes = [
        Input(name="in", shape=(2,)),
        Dense(name="fc", weight=np.array(weight)),
        NeuronLayer(name="n", shape=(2,), neuron=neuron),
        Dense(name="read", weight=np.eye(2)),
        Output(name="out"),
    ]
    edges = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    return build(nodes, edges, dt_s=1e-3, n_steps=2, number_format=number_format, encoder="poisson")


def found(weight, *batches, quantized=None):
    """Calibrate on batches of (samples ``[batch, 2]`` shown twice, labels)."""
    original = program(weight)
    pairs = [(Given(np.stack([np.array(x, float)] * 2)), labels) for x, labels in batches]
    return calibrate(original, quantized or quantize(original).program, pairs, n_steps=2)


def test_flips_are_the_fraction_of_spikes_that_differ():
    # The scale is 254. Twice 0.503 passes 1, as twice 128 passes 254; twice 0.499 does not, nor twice 126.
    same = found([[1.0, 0.503], [0.0, 0.499]], ([[0, 1]], None))
    assert same.layers[0].flips == 0
    # 0.5 + 0.5 does not pass 1, but 127 is rounded to 128, which does: one of two neurons at one of two steps.
    flipped = found([[1.0, 0.5], [0.0, 0.0]], ([[0, 1]], None))
    assert flipped.layers[0].flips == 1 / 4


def test_flips_count_all_batches():
    flipped = found([[1.0, 0.5], [0.0, 0.0]], ([[0, 1]], None), ([[0, 0]] * 3, None))
    assert (flipped.n_samples, flipped.layers[0].flips) == (4, 1 / 16)


def test_sums_are_those_that_arrive():
    layer = found([[1.0, -0.5], [-1.0, -1.0]], ([[1, 1], [0, 0]], None)).layers[0]
    assert (layer.name, layer.largest_sum, layer.wraps) == ("n", 508, 0)


def test_what_wraps_is_counted():
    """The quantizer makes no program whose sums wrap; by hand there are some."""
    numbers = {"v_threshold": 64, "v_reset": 0, "du": 4095, "dv": 0, "bias": 0}
    neuron = LoihiLIF(**{name: np.array(value) for name, value in numbers.items()})
    made = program([[131_072, 1], [-131_072, 1]], neuron, number_format="integer")
    layer = found([[1.0, 0.0], [1.0, 0.0]], ([[1, 0], [1, 1], [0, 1]], None), quantized=made).layers[0]
    # 131,072 stays and -131,072 wraps; 131,073 wraps and -131,071 stays; each at both steps
    assert (layer.largest_sum, layer.wraps) == (131_073, 4)


def test_accuracies_need_labels_of_every_batch():
    x = [[1, 0], [0, 1]]
    labeled = found(np.eye(2) * 1.5, (x, np.array([0, 1])), (x, np.array([0, 0])))
    assert (labeled.accuracy_float, labeled.accuracy_integer) == (0.75, 0.75)
    partly = found(np.eye(2) * 1.5, (x, np.array([0, 1])), (x, None))
    assert (partly.accuracy_float, partly.accuracy_integer) == (None, None)


def test_each_program_is_judged_by_its_own_output():
    silent = quantize(program(np.eye(2) * 0.1)).program
    judged = found(np.eye(2) * 1.5, ([[0, 1], [0, 1]], np.array([1, 1])), quantized=silent)
    assert judged.accuracy_float == 1
    assert judged.accuracy_integer == pytest.approx(0)  # of equal sums the first is taken
