import numpy as np
import pytest

from tdd_deploy.neurons import IF, LI, LIF, NEURONS, CubaLI, CubaLIF, I, SigmaDelta, Threshold, VariantLIF
from tdd_deploy.program import Conv, Dense, Flatten, Input, LinearMap, NeuronLayer, Output, Place, Pool, Scale, Slice
from tdd_deploy.program.describe import kind, parameters

ONE, ZERO = np.array(1.0), np.array(0.0)
FIRES = {"v_threshold": ONE, "v_reset": ZERO}


def layer(neuron):
    return NeuronLayer(name="n", shape=(2,), neuron=neuron)


WORDS = [
    (Input(name="i", shape=(2,)), "Input", ""),
    (Output(name="o"), "Output", ""),
    (Flatten(name="f"), "Flatten", ""),
    (Dense(name="d", weight=np.ones((3, 2))), "Dense", "weight 3 x 2"),
    (Dense(name="d", weight=np.ones((3, 2)), bias=np.ones(3)), "Dense", "weight 3 x 2 + bias"),
    (Conv(name="c", weight=np.ones((4, 2, 3, 3))), "Conv", "weight 4 x 2 x 3 x 3, padding 0 x 0"),
    (
        Conv(
            name="c",
            weight=np.ones((4, 2, 3, 1)),
            bias=np.ones(4),
            stride=(2, 1),
            padding=(1, 1),
            dilation=(1, 3),
            groups=2,
        ),
        "Conv",
        "weight 4 x 2 x 3 x 1 + bias, stride 2 x 1, padding 1 x 1, dilation 1 x 3, 2 groups",
    ),
    (Pool(name="p", kernel=(2, 2), stride=(2, 1)), "Pool", "sum of 2 x 2, stride 2 x 1"),
    (
        Pool(name="p", kernel=(2, 3), stride=(1, 1), padding=(1, 0), average=True),
        "Pool",
        "average of 2 x 3, stride 1 x 1, padding 1 x 0",
    ),
    (Slice(name="a", start=2, shape=(2, 2, 3)), "Slice", "numbers 3 to 14 of the input"),
    (Place(name="b", start=2, size=9), "Place", "from number 3 of the output on"),
    (Scale(name="s", factor=np.array(0.25)), "Scale", "factor 0.25"),
    (Scale(name="s", factor=np.array([0.25, -1.0, 0.0])), "Scale", "factor -1 to 0.25"),
    (Scale(name="s", factor=np.array(1.0), bias=np.array([0.5, 0.0])), "Scale", "factor 1 + bias"),
    (layer(IF(**FIRES)), "IF", "v_threshold 1, v_reset 0, hard reset, fires when v > v_threshold"),
    (
        layer(LIF(beta=np.array([0.5, 0.75]), **FIRES, reset="soft", compare=">=")),
        "LIF",
        "v_threshold 1, v_reset 0, beta 0.5 to 0.75, soft reset, fires when v >= v_threshold",
    ),
    (
        layer(CubaLIF(alpha=np.array(0.25), beta=np.array(0.5), **FIRES)),
        "CubaLIF",
        "v_threshold 1, v_reset 0, alpha 0.25, beta 0.5, hard reset, fires when v > v_threshold",
    ),
    (layer(LI(beta=np.array(0.5))), "LI", "beta 0.5"),
    (layer(CubaLI(alpha=np.array(0.25), beta=np.array(0.5))), "CubaLI", "alpha 0.25, beta 0.5"),
    (
        layer(VariantLIF(alpha=ZERO, beta=np.array(0.5), **FIRES, reset="none")),
        "VariantLIF",
        "alpha 0, beta 0.5, v_threshold 1, v_reset 0, no reset, fires when v > v_threshold",
    ),
    (
        layer(VariantLIF(alpha=ZERO, beta=ONE, **FIRES, v_min=-ONE, reset="soft", resets="next step", spikes="many")),
        "VariantLIF",
        "alpha 0, beta 1, v_threshold 1, v_reset 0, v_min -1, soft reset, a step late, "
        "fires as often as v_threshold is in v",
    ),
    (layer(I()), "I", ""),
    (
        layer(SigmaDelta(delta_threshold=ONE)),
        "SigmaDelta",
        "delta_threshold 1, sends x = max(0, current) when |x - last sent| > delta_threshold",
    ),
    (
        layer(SigmaDelta(delta_threshold=ONE, activation="none", compare=">=")),
        "SigmaDelta",
        "delta_threshold 1, sends x = current when |x - last sent| >= delta_threshold",
    ),
    (layer(Threshold(v_threshold=ONE)), "Threshold", "v_threshold 1, fires when v > v_threshold"),
]


@pytest.mark.parametrize(("node", "name", "text"), WORDS, ids=[f"{name}: {text}" for _, name, text in WORDS])
def test_a_node_is_described_in_words(node, name, text):
    assert (kind(node), parameters(node)) == (name, text)


def test_every_kind_of_node_is_described():
    kinds = {name for _, name, _ in WORDS}
    with_words = {name for name, cls in NEURONS.items() if cls.choices}  # others are described by their numbers
    maps = {cls.__name__ for cls in LinearMap.__subclasses__() if cls.__module__ == LinearMap.__module__}
    assert kinds >= {"Input", "Output", *with_words, *maps}


def test_float32_numbers_are_described_as_they_were_written():
    assert parameters(Scale(name="s", factor=np.array(0.9, np.float32))) == "factor 0.9"
