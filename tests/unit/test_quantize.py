"""Scales, integers and reports by hand; every reason to refuse; and what must never happen, on random programs."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tdd_deploy.errors import BadOptions, NotExportable
from tdd_deploy.neurons import IF, LI, LIF, CubaLIF, I, LoihiLIF, SigmaDelta, Threshold
from tdd_deploy.neurons.loihi import WRAP
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Output, Pool, Scale, build
from tdd_deploy.program.bounds import worst_case_sums, wrapping_layers
from tdd_deploy.program.quantization.loihi_numbers import (
    LARGEST_BIAS,
    decay_of,
    largest_weight,
    rounded,
    rounded_bias,
)
from tdd_deploy.program.quantization.quantize import quantize
from tdd_deploy.simulator import reference
from tests.zoo import grow

FIRE = {"v_threshold": np.array(1.0), "v_reset": np.array(0.0)}
NEURON = IF(**FIRE)
SPIKES = {"encoder": "poisson"}  # an input of spikes has scale 1, an analog one 256


def made(nodes, edges, **choices):
    return build(nodes, edges, **{"dt_s": 1e-3, "n_steps": 4, "number_format": "float64"} | choices)


def chain(*nodes, more=(), edges=(), **choices):
    return made([*nodes, *more], [*(Edge(a.name, b.name) for a, b in pairwise(nodes)), *edges], **choices)


def dense(name, weight, bias=None):
    return Dense(name=name, weight=np.array(weight), bias=None if bias is None else np.array(bias))


def conv(name, *weights, **changed):
    """A convolution of one pixel, one channel per weight, one input channel."""
    return Conv(name=name, weight=np.array(weights).reshape(-1, 1, 1, 1), **changed)


def layer(name, *shape, neuron=NEURON):
    return NeuronLayer(name=name, shape=shape, neuron=neuron)


AVERAGE = Pool(name="pool", kernel=(2, 2), stride=(2, 2), average=True)
OUT = Output(name="out")


def source(*shape):
    return Input(name="in", shape=shape)


def single(weight, *, bias=None, neuron=NEURON, encoder="poisson"):
    """Return in -> fc -> n -> read -> out; read has the weight 1."""
    fc = dense("fc", weight, bias)
    read = dense("read", np.eye(len(fc.weight)))
    n_out, n_in = fc.weight.shape
    return chain(source(n_in), fc, layer("n", n_out, neuron=neuron), read, OUT, encoder=encoder)


def neuron_of(quantized, name="n"):
    return {key: value.tolist() for key, value in quantized.program[name].neuron.parameters().items()}


def report(quantized, name="n"):
    return next(found for found in quantized.layers if found.name == name)


# Scales by hand


def test_the_largest_weight_becomes_254_and_the_threshold_follows():
    found = quantize(single([[1.0, -0.5]]))
    assert found.program["fc"].weight.tolist() == [[254, -128]]  # -127 lies between -128 and -126; halves to even
    assert neuron_of(found) == {"v_threshold": 254 * 64, "v_reset": 0, "du": 4095, "dv": 0, "bias": 0}
    assert report(found).scale == (254, 254)
    assert report(found).limited_by == "weights"
    assert (report(found).weights, report(found).clipped, report(found).worst_case_sum) == (2, 0, 382)
    assert report(found).error == pytest.approx(1 / np.hypot(254, 127))


def test_an_analog_input_brings_its_own_scale():
    found = quantize(single([[1.0, -0.5]], encoder="direct"))
    assert (found.program.input.scale, found.program.input.largest) == (256, 256)
    assert found.program["fc"].weight.tolist() == [[254, -128]]
    assert neuron_of(found)["v_threshold"] == 254 * 256 * 64


def test_the_input_is_scaled_by_its_bits_and_its_largest_value():
    found = quantize(single([[1.0]], encoder="direct"), input_bits=4, largest_input=8.0)
    assert (found.program.input.scale, found.program.input.largest) == (2, 16)
    assert neuron_of(found)["v_threshold"] == 254 * 2 * 64


def test_spikes_are_integers_already():
    found = quantize(single([[1.0]]), largest_input=7.0)
    assert (found.program.input.scale, found.program.input.largest) == (1, 1)


def test_the_output_is_in_units_of_its_scale():
    found = quantize(single([[1.0]]))
    assert found.program["read"].weight.tolist() == [[254]]
    assert found.program.output.unit == 1 / 254


@pytest.mark.parametrize(
    ("bias", "threshold", "fan_in", "limited_by", "scale"),
    [
        (0.0, 1.0, 3, "weights", 254),
        (0.0, 1000.0, 1, "threshold", 131.071),
        (100.0, 1.0, 1, "bias", 81.9),  # 4095 << 7 LSB are 8190 units
        (0.0, 1.0, 600, "sums", 131_071 / 600),
    ],
)
def test_a_scale_is_as_large_as_everything_allows(bias, threshold, fan_in, limited_by, scale):
    neuron = IF(**FIRE | {"v_threshold": np.array(threshold)})
    found = report(quantize(single(np.ones((1, fan_in)), bias=[bias], neuron=neuron)))
    assert found.limited_by == limited_by
    assert found.scale[0] == pytest.approx(scale)


def test_rounding_that_lifts_a_sum_to_its_bound_makes_the_scale_smaller():
    # 1000 weights of 131.071 would become 132 each, 132,000 together
    found = quantize(single(np.ones((1, 1000))))
    assert set(found.program["fc"].weight.flat) == {130}
    assert report(found).limited_by == "sums"
    assert wrapping_layers(found.program) == ()


def test_sums_that_still_wrap_are_made_smaller_again_each_time_by_twice_as_much():
    """131,071 / 565 is 231.98, rounded to 232: 131,080 in all. 231.73 and 231.25 become 232 too, 230.32 does not."""
    found = quantize(single(np.ones((1, 565))))
    assert set(found.program["fc"].weight.flat) == {230}
    scale = 131_071 / 565
    for by in (0.001, 0.002, 0.004):
        scale *= (1 - by) * 131_071 / 131_080
    assert report(found).scale[0] == pytest.approx(scale, rel=1e-12)
    assert round(scale, 2) == 230.32


def test_a_scale_never_loses_more_than_half_at_once():
    """Weights of 2 bits are multiples of 128: the tenth time, 66.8 is halved, and below 64 they are 0."""
    found = quantize(single(np.ones((1, 1033))), bits=2)
    assert set(found.program["fc"].weight.flat) == {0}
    scale = 131_071 / 1033
    for by in (*(0.001 * 2**k for k in range(9)), 0.5):
        assert round(scale / 128) == 1
        scale *= (1 - by) * 131_071 / (1033 * 128)
    assert report(found).scale[0] == pytest.approx(scale, rel=1e-12)


def test_an_output_may_exceed_the_bound_of_u():
    """Its sums are weights of 2, so rounding lifts them; no u of an output wraps."""
    program = chain(source(70_000), dense("fc", np.ones((1, 70_000))), OUT, **SPIKES)
    assert report(quantize(program), "out").worst_case_sum == 140_000


def test_branches_share_the_scale_of_their_receiver():
    nodes = source(1), dense("a", [[1.0]]), layer("n", 1), dense("read", [[1.0]]), OUT
    program = chain(*nodes, more=[dense("b", [[0.25]])], edges=[Edge("in", "b"), Edge("b", "n")], **SPIKES)
    found = quantize(program).program
    assert (found["a"].weight.item(), found["b"].weight.item()) == (254, 64)  # 63.5


def test_an_average_before_a_map_is_a_sum_and_weights_of_a_quarter():
    program = chain(source(1, 2, 2), AVERAGE, conv("c", 1.0), layer("n", 1, 1, 1), OUT, **SPIKES)
    found = quantize(program)
    assert not found.program["pool"].average
    assert found.program["c"].weight.item() == 254
    assert neuron_of(found)["v_threshold"] == 4 * 254 * 64


def test_an_average_after_a_map_is_a_sum_and_weights_of_a_quarter():
    program = chain(source(1, 2, 2), conv("c", 1.0), AVERAGE, layer("n", 1, 1, 1), OUT, **SPIKES)
    found = quantize(program)
    assert not found.program["pool"].average
    assert found.program["c"].weight.item() == 254
    assert neuron_of(found)["v_threshold"] == 4 * 254 * 64


def test_averages_on_both_sides_of_a_map_multiply():
    pools = [replace(AVERAGE, name=name) for name in "pq"]
    program = chain(source(1, 4, 4), pools[0], conv("c", 1.0), pools[1], layer("n", 1, 1, 1), OUT, **SPIKES)
    assert neuron_of(quantize(program))["v_threshold"] == 16 * 254 * 64


def test_a_sum_pool_changes_no_scale():
    program = chain(
        source(1, 2, 2), replace(AVERAGE, average=False), conv("c", 1.0), layer("n", 1, 1, 1), OUT, **SPIKES
    )
    assert neuron_of(quantize(program))["v_threshold"] == 254 * 64


@pytest.mark.parametrize("factor", [0.5, [[[0.5, 0.5], [0.5, 0.5]]], [[[0.5, 0.25], [-0.5, 0]]]])
def test_a_scale_is_a_map_with_weights(factor):
    node = Scale(name="s", factor=np.array(factor))
    found = quantize(chain(source(1, 2, 2), node, layer("n", 1, 2, 2), OUT, **SPIKES)).program
    expected = np.array([[[254, 128], [-254, 0]]]) if np.ptp(factor) else np.array(254)
    np.testing.assert_array_equal(found["s"].factor, expected)
    assert found["n"].neuron.v_threshold == 508 * 64


def test_an_edge_without_weights_becomes_a_scale():
    """It once ended in a KeyError."""
    found = quantize(chain(source(2), dense("fc", np.eye(2)), layer("a", 2), layer("b", 2), OUT, **SPIKES)).program
    assert [(edge.source, edge.target) for edge in found.edges if "b" in edge.source + edge.target] == [
        ("a", "a_to_b"),
        ("a_to_b", "b"),
        ("b", "b_to_out"),
        ("b_to_out", "out"),
    ]
    factor = found["a_to_b"].factor
    assert (factor.item(), factor.dtype, factor.shape) == (254, np.int32, ())  # it once was no array
    assert found["b"].neuron.v_threshold == 254 * 64


def test_the_scale_of_a_bare_edge_takes_a_name_that_is_free():
    """It once ended in a program with one name twice."""
    nodes = source(2), dense("fc", np.eye(2)), layer("a", 2), dense("a_to_c", np.eye(2)), layer("b", 2), layer("c", 2)
    found = quantize(chain(*nodes, OUT, edges=[Edge("a", "c")], **SPIKES)).program
    assert {edge.source for edge in found.incoming["c"]} == {"b_to_c", "a_to_c_2"}


def test_a_bare_edge_beside_a_map_shares_its_scale():
    nodes = source(1), dense("fc", [[4.0]]), layer("a", 1), dense("long", [[2.0]]), layer("b", 1), OUT
    found = quantize(chain(*nodes, edges=[Edge("a", "b")], **SPIKES)).program
    assert (found["long"].weight.item(), found["a_to_b"].factor.item()) == (254, 128)  # 127


def test_a_bare_edge_into_an_average_is_divided_by_its_window():
    """The window was once forgotten: the shortcut counted four times."""
    maps = source(1, 2, 2), conv("c", 1.0), layer("a", 1, 2, 2), conv("d", 1.0), AVERAGE, layer("b", 1, 1, 1), OUT
    found = quantize(chain(*maps, edges=[Edge("a", "pool")], **SPIKES)).program
    assert (found["d"].weight.item(), found["a_to_pool"].factor.item()) == (254, 254)
    assert found["b"].neuron.v_threshold == 4 * 254 * 64


def test_a_delayed_bare_edge_keeps_its_delay_in_front_of_the_scale():
    nodes = source(1), dense("fc", [[1.0]]), layer("n", 1), OUT
    found = quantize(chain(*nodes, edges=[Edge("n", "n", 1)], **SPIKES)).program
    assert {
        (edge.source, edge.target, edge.delay) for edge in found.edges if "n_to_n" in (edge.source, edge.target)
    } == {
        ("n", "n_to_n", 1),
        ("n_to_n", "n", 0),
    }


def test_codes_stay_as_they_are():
    program = single([[1.0]])
    coded = replace(program, edges=tuple(replace(edge, code="spike") for edge in program.edges))
    assert {edge.code for edge in quantize(coded).program.edges} == {"spike"}


# Per neuron


def test_each_neuron_may_have_a_scale_of_its_own():
    found = quantize(single([[1.0], [0.25], [0.0]]), per="neuron")
    assert found.program["fc"].weight.tolist() == [[254], [254], [0]]
    assert neuron_of(found)["v_threshold"] == [254 * 64, 1016 * 64, 131_071 * 64]  # nothing reaches the last
    assert report(found).scale == (254, 131_071)


def test_each_channel_may_have_a_scale_of_its_own():
    neuron = LIF(beta=np.array(0.5), v_threshold=np.array(1.0), v_reset=np.array([[[0.0, 1.0]], [[0.0, -1.0]]]))
    found = quantize(
        chain(source(1, 1, 2), conv("c", 1.0, 0.5), layer("n", 2, 1, 2, neuron=neuron), OUT, **SPIKES), per="neuron"
    )
    assert found.program["c"].weight.reshape(-1).tolist() == [254, 254]
    thresholds = np.array([254, 254, 508, 508]).reshape(2, 1, 2) * 64
    np.testing.assert_array_equal(found.program["n"].neuron.v_threshold, thresholds)
    np.testing.assert_array_equal(found.program["n"].neuron.v_reset, thresholds * [[[0, 1]], [[0, -1]]])


def test_after_a_flatten_a_layer_has_one_scale_as_channels_are_not_neurons_there():
    nodes = source(1, 1, 2), conv("c", 1.0, 0.5), Flatten(name="flat"), layer("n", 4), OUT
    assert report(quantize(chain(*nodes, **SPIKES), per="neuron")).scale == (254, 254)


def test_the_output_has_one_scale():
    assert quantize(single([[1.0], [0.5]]), per="neuron").program.output.unit == 1 / 254


# Bits


@pytest.mark.parametrize("bits", range(2, 9))
def test_weights_are_the_multiples_that_their_bits_hold(bits):
    every = rounded(np.linspace(-300, 300, 6001), bits)
    step = 2 ** (9 - bits)
    assert sorted(set(every.tolist())) == list(range(-256, 256, step))
    assert largest_weight(bits) == every.max()
    assert len(set(every.tolist())) == 2**bits


@pytest.mark.parametrize("bits", range(2, 9))
def test_a_layer_of_normal_weights_loses_less_with_more_bits(bits):
    weight = np.random.default_rng(0).normal(size=(10, 30))
    found = quantize(single(weight), bits=bits)
    assert np.all(found.program["fc"].weight % 2 ** (9 - bits) == 0)
    assert np.abs(found.program["fc"].weight).max() <= 256
    assert report(found).error < 2 * 2.0**-bits
    assert bits <= 6 or report(found).clipped == 0


def test_few_bits_clip_the_outlier_that_many_do_not():
    weight = np.ones((1, 100)) * 0.3
    weight[0, 0] = 1.0
    assert report(quantize(single(weight), bits=8)).clipped == 0
    few = report(quantize(single(weight), bits=2))
    assert few.clipped == 1
    assert few.scale[0] > 128


def test_clipping_respects_the_threshold_and_only_weights_beyond_half_a_step_count_as_clipped():
    """At 2 bits weights are -256, -128, 0 and 128. The many weights of 0.3 want a scale of 213 or more, where they are
    128; the threshold allows 220. There -1.6 is -352, more than half a step below -256, and 0.9 is 198, as much above
    128: these are clipped. -1.4 is -308 and 0.85 is 187, which are only rounded.
    """
    weight = np.concatenate([[-1.6, -1.4, 0.9, 0.85], np.full(1000, 0.3)])
    found = quantize(single([weight], neuron=IF(**FIRE | {"v_threshold": np.array(131_071 / 220)})), bits=2)
    assert report(found).scale == (pytest.approx(220), pytest.approx(220))
    assert report(found).limited_by == "weights"
    assert found.program["fc"].weight[0, :5].tolist() == [-256, -256, 128, 128, 128]
    assert neuron_of(found)["v_threshold"] == 131_071 * 64
    assert report(found).clipped == 2


# Neurons


@pytest.mark.parametrize(
    ("neuron", "du", "dv"),
    [
        (IF(**FIRE), 4095, 0),
        (LIF(beta=np.array(0.75), **FIRE), 4095, 1024),
        (LIF(beta=np.array(0.9), **FIRE), 4095, 410),  # 409.6
        (LIF(beta=np.array(1.0), **FIRE), 4095, 0),
        (LIF(beta=np.array(0.0), **FIRE), 4095, 4095),  # 12 bits hold no 4096
        (CubaLIF(alpha=np.array(0.5), beta=np.array(0.75), **FIRE), 2047, 1024),
        (CubaLIF(alpha=np.array(1.0), beta=np.array(1.0), **FIRE), -1, 0),
        (CubaLIF(alpha=np.array(0.0), beta=np.array(0.0), **FIRE), 4095, 4095),
        (Threshold(v_threshold=np.array(1.0)), 4095, 4095),
    ],
)
def test_fractions_kept_become_parts_of_4096(neuron, du, dv):
    found = neuron_of(quantize(single([[1.0]], neuron=neuron)))
    assert (found["du"], found["dv"], found["v_threshold"]) == (du, dv, 254 * 64)


def test_a_fraction_per_neuron_stays_one_unless_all_become_equal():
    beta = np.array([0.5, 0.75])
    assert neuron_of(quantize(single(np.eye(2), neuron=LIF(beta=beta, **FIRE))))["dv"] == [2048, 1024]
    close = np.array([0.5, 0.50001])
    assert neuron_of(quantize(single(np.eye(2), neuron=LIF(beta=close, **FIRE))))["dv"] == 2048


def test_the_reset_is_scaled_with_the_threshold():
    neuron = IF(v_threshold=np.array([1.0, 0.5]), v_reset=np.array(-0.25))
    found = neuron_of(quantize(single(np.eye(2), neuron=neuron)))
    assert (found["v_threshold"], found["v_reset"]) == ([254 * 64, 127 * 64], -254 * 16)


def test_a_soft_reset_stays_soft_and_has_no_v_reset():
    """It has no use for one, which must not limit the scale."""
    found = quantize(single([[1.0]], neuron=IF(v_threshold=np.array(1.0), v_reset=np.array(1e6), reset="soft")))
    neuron = found.program["n"].neuron
    assert (neuron.reset, neuron.v_reset.item(), neuron.v_threshold.item()) == ("soft", 0, 254 * 64)


def test_at_least_becomes_more_than_one_less():
    neuron = neuron_of(quantize(single([[1.0]], neuron=IF(**FIRE, compare=">="))))
    assert neuron["v_threshold"] == 254 * 64 - 1


def test_biases_move_into_the_neurons():
    found = quantize(single([[1.0], [0.5]], bias=[0.5, 0.0]))
    assert found.program["fc"].bias is None
    assert neuron_of(found)["bias"] == [127 * 64, 0]  # 8128 = 4064 << 1


def test_biases_of_a_scale_move_into_the_neurons_or_stay_before_the_output():
    shifted = Scale(name="s", factor=np.array(1.0), bias=np.array([0.5, 0.0]))
    found = quantize(chain(source(2), shifted, layer("n", 2), OUT, **SPIKES)).program
    assert found["s"].bias is None
    assert found["n"].neuron.bias.tolist() == [127 * 64, 0]
    found = quantize(chain(source(2), shifted, OUT, **SPIKES)).program
    assert (found["s"].factor.item(), found["s"].bias.tolist()) == (254, [127, 0])


def test_biases_of_the_output_stay_in_their_map():
    program = chain(source(1, 2, 2), conv("c", 1.0, bias=np.array([0.5])), AVERAGE, OUT, **SPIKES)
    found = quantize(program).program
    assert found["c"].bias.tolist() == [127]  # the scale is 1016, and four of them are summed
    assert found.output.unit == 1 / 1016


@pytest.mark.parametrize(
    ("bias", "expected"),
    [
        (0.4, 0),
        (-1.6, -2),
        (4095.4, 4095),
        (4095.6, 4096),
        (4097, 4096),  # 2048.5 << 1, to even
        (-8190, -8190),
        (8191, 8192),  # 2047.75 << 2
        (LARGEST_BIAS, LARGEST_BIAS),
        (2.0 * LARGEST_BIAS, LARGEST_BIAS),
        (-1e9, -LARGEST_BIAS),
    ],
)
def test_a_bias_is_a_mantissa_of_13_bits_and_an_exponent_of_3(bias, expected):
    assert rounded_bias(np.array(bias)).item() == expected


def test_a_bias_is_rounded_by_less_than_one_part_in_4095():
    biases = np.random.default_rng(0).uniform(-LARGEST_BIAS, LARGEST_BIAS, 10_000)
    found = rounded_bias(biases)
    assert np.all(np.abs(found - biases) <= np.maximum(0.5, np.abs(biases) / 4095))
    np.testing.assert_array_equal(rounded_bias(found.astype(float)), found)


def test_decays_stay_within_12_bits():
    assert decay_of(np.array([0.0, 1e-9, 0.5, 1 - 1e-9, 1.0], np.float32)).tolist() == [4095, 4095, 2048, 0, 0]


# Refusals


def refused(program, **options):
    with pytest.raises(NotExportable) as caught:
        quantize(program, **options)
    return {violation.where: violation.found for violation in caught.value.violations}


def test_integers_are_not_quantized_again():
    assert refused(quantize(single([[1.0]])).program) == {"number_format": "integer"}


@pytest.mark.parametrize("neuron", [LI(beta=np.array(0.5)), I(), SigmaDelta(delta_threshold=np.array(0.5))])
def test_neurons_that_send_potentials_are_refused(neuron):
    assert refused(single([[1.0]], neuron=neuron)) == {"n": f"{type(neuron).__name__}, which sends numbers"}


def test_a_neuron_made_from_one_of_ours_is_not_taken_for_it():
    class Adaptive(IF):
        """Might do anything."""

    assert refused(single([[1.0]], neuron=Adaptive(**FIRE))) == {"n": "Adaptive"}


def test_a_filter_after_a_bias_is_refused():
    neuron = CubaLIF(alpha=np.array(0.5), beta=np.array(0.5), **FIRE)
    found = "is a CubaLIF that filters a bias, but Loihi 2 adds biases to v, unfiltered"
    assert refused(single([[1.0]], bias=[1.0], neuron=neuron)) == {"n": found}
    assert quantize(single([[1.0]], bias=[0.0], neuron=neuron))
    assert quantize(single([[1.0]], bias=[1.0], neuron=replace(neuron, alpha=np.array(0.0))))


@pytest.mark.parametrize("between", [(), (AVERAGE,), (replace(AVERAGE, average=False),)])
def test_weights_after_weights_are_refused(between):
    program = chain(source(1, 2, 2), conv("a", 1.0), *between, conv("b", 1.0), OUT)
    before = between[0].name if between else "a"
    assert refused(program) == {"b": f"follows a map with weights ({before}), without neurons between them"}


def test_a_map_for_two_receivers_is_refused():
    program = chain(source(1), dense("fc", [[1.0]]), layer("n", 1), OUT, edges=[Edge("fc", "out")])
    assert refused(program) == {"fc": "drives several receivers (n, out), each with a scale of its own"}


def test_values_of_different_scales_into_one_map_are_refused():
    mixed = "receives integers of different scales: the input, or averages, together with spikes"
    nodes = source(1), dense("a", [[1.0]]), layer("n", 1), dense("b", [[1.0]]), OUT
    assert refused(chain(*nodes, edges=[Edge("in", "b")])) == {"b": mixed}
    assert quantize(chain(*nodes, edges=[Edge("in", "b")], **SPIKES))
    images = source(1, 2, 2), conv("a", 1.0), layer("n", 1, 2, 2), AVERAGE, conv("b", 1.0), OUT
    assert refused(chain(*images, edges=[Edge("in", "pool")])) == {"pool": mixed}


def test_all_reasons_come_at_once():
    nodes = source(1), dense("a", [[1.0]]), dense("b", [[1.0]], [1.0]), layer("i", 1, neuron=I()), dense("c", [[1.0]])
    cuba = layer("cuba", 1, neuron=CubaLIF(alpha=np.array(0.5), beta=np.array(0.5), **FIRE))
    program = chain(*nodes, OUT, more=[cuba], edges=[Edge("b", "cuba"), Edge("cuba", "c"), Edge("in", "c")])
    assert refused(program).keys() == {"i", "cuba", "a", "b", "c"}


def test_options_that_are_not_allowed_are_named_together():
    with pytest.raises(BadOptions) as caught:
        quantize(single([[1.0]]), bits=9, per="synapse", input_bits=13, largest_input=np.inf)
    assert [str(violation) for violation in caught.value.violations] == [
        "`bits` must be 2 to 8 (got 9).",
        "`per` must be layer or neuron (got 'synapse').",
        "`input_bits` must be 1 to 12 (got 13).",
        "`largest_input` must be above 0 (got inf).",
    ]


@pytest.mark.parametrize("options", [{"bits": 1}, {"input_bits": 0}, {"largest_input": 0.0}, {"largest_input": np.nan}])
def test_an_option_just_outside_its_range_is_refused(options):
    with pytest.raises(BadOptions):
        quantize(single([[1.0]]), **options)


# Programs


def test_the_provenance_says_what_it_was_made_from():
    program = replace(single([[1.0]]), provenance={"trained": "yes"})
    found = quantize(program, bits=5).program.provenance
    assert found == {"trained": "yes", "quantized_bits": "5", "quantized_from": program.digest}


def representable(seed, *, reset, compare):
    """A recurrent, residual program whose numbers are multiples of 1/256 that its integers hold exactly."""
    rng = np.random.default_rng(seed)

    def weight(*shape):
        values = 2 * rng.integers(-127, 128, shape)
        values[..., 0] = 254  # in every row, so that each scale is 256
        return values / 256

    def neuron(n):
        heights = {"v_threshold": rng.integers(100, 300, n) / 256, "v_reset": rng.integers(-20, 20, n) / 256}
        return IF(**heights, reset=reset, compare=compare)

    nodes = [
        source(9),
        dense("a", weight(12, 9), rng.integers(-500, 500, 12) / 2**14),
        layer("n", 12, neuron=neuron(12)),
        dense("back", weight(12, 12)),
        dense("b", weight(12, 12)),
        dense("short", weight(12, 9)),
        layer("m", 12, neuron=neuron(12)),
        dense("read", weight(3, 12), weight(3)),
        OUT,
    ]
    edges = [Edge(*pair) for pair in pairwise(["in", "a", "n", "b", "m", "read", "out"])]
    edges += [Edge("n", "back", 1), Edge("back", "n"), Edge("in", "short"), Edge("short", "m")]
    return made(nodes, edges, **SPIKES)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("reset", "compare"), [("hard", ">"), ("hard", ">="), ("soft", ">")])
@pytest.mark.parametrize("per", ["layer", "neuron"])
def test_numbers_that_the_integers_hold_change_no_spike(seed, reset, compare, per):
    program = representable(seed, reset=reset, compare=compare)
    quantized = quantize(program, per=per)
    inputs = (np.random.default_rng(seed).random((30, 8, 9)) < 0.4).astype(float)
    before, after = reference.run(program, inputs), reference.run(quantized.program, inputs)
    for name in "nm":
        assert 0.01 < before[name].mean() < 0.99
        np.testing.assert_array_equal(before[name], after[name])
    np.testing.assert_allclose(after["out"] * quantized.program.output.unit, before["out"], rtol=1e-12)


def busy(seed, neuron):
    rng = np.random.default_rng(seed)
    weights = [rng.normal(0.1, 0.4, (40, 40)) for _ in range(2)]
    nodes = source(40), dense("a", weights[0]), layer("n", 40, neuron=neuron), dense("b", weights[1])
    return chain(*nodes, layer("m", 40, neuron=neuron), OUT, **SPIKES)


@pytest.mark.parametrize(
    "neuron",
    [
        LIF(beta=np.array(0.75), **FIRE),
        LIF(beta=np.array(0.9), **FIRE, reset="soft"),
        CubaLIF(alpha=np.array(0.5), beta=np.array(0.75), **FIRE),
    ],
)
def test_eight_bits_flip_few_spikes_and_four_bits_more(neuron):
    program = busy(0, neuron)
    inputs = (np.random.default_rng(1).random((20, 20, 40)) < 0.3).astype(float)
    before = reference.run(program, inputs)
    assert 0.05 < before["n"].mean() < 0.95
    flips = {}
    for bits in (8, 4):
        after = reference.run(quantize(program, bits=bits).program, inputs)
        flips[bits] = np.mean(before["n"] != after["n"]), np.mean(before["m"] != after["m"])
    assert flips[8][0] < 0.02
    assert flips[8][1] < 0.08
    assert flips[4][0] > flips[8][0]


@pytest.mark.parametrize("per", ["layer", "neuron"])
@pytest.mark.parametrize("bits", [2, 5, 8])
def test_no_random_program_can_wrap_whatever_the_bits(bits, per):
    n_quantized = 0
    for seed in range(300):
        case = grow(seed, n_blocks=1 + seed % 3, n_steps=1, batch=1, spatial=seed % 2 == 0)
        try:
            program = quantize(case.program, bits=bits, per=per).program
        except NotExportable:
            assert refused(case.program).keys() <= {node.name for node in case.program.nodes}
            continue
        n_quantized += 1
        sums = worst_case_sums(program)
        neurons = {node.name: node.neuron for node in program.neuron_layers}
        assert all(isinstance(neuron, LoihiLIF) for neuron in neurons.values())
        assert all(sums[name].max() < WRAP for name in neurons)
        assert all(neurons[name].du.min() < 4095 for name in wrapping_layers(program))
        for node in program.linear_maps:
            weight = getattr(node, "weight", getattr(node, "factor", np.array(0)))
            assert -256 <= weight.min() <= weight.max() <= largest_weight(bits)
            assert not np.any(weight % 2 ** (9 - bits))
    assert n_quantized > 15
