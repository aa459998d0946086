"""What blocks of layers need of a core: by hand for Loihi 1's entries, by brute force for images."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest

from tdd_deploy.neurons import IF
from tdd_deploy.program import (
    Conv,
    Dense,
    Edge,
    Flatten,
    Input,
    LinearMap,
    NeuronLayer,
    Node,
    Output,
    Pool,
    Scale,
    build,
)
from tdd_deploy.program.apply import apply
from tdd_deploy.simulator.hardware.chips import Chip, Limit, Synapses, load_chip
from tdd_deploy.simulator.hardware.needs import Needs
from tests import by_hand

LOIHI = load_chip("loihi1")
BITS = 8


def layer_after(shape, *maps):
    """input -> maps -> layer -> out."""
    nodes: list[Node] = [Input(name="input", shape=shape), *maps]
    for node in maps:
        shape = node.out_shape(shape)
    neuron = IF(v_threshold=np.array(1.0), v_reset=np.array(0.0))
    nodes += [NeuronLayer(name="layer", shape=shape, neuron=neuron), Output(name="out")]
    return build(nodes, [Edge(a.name, b.name) for a, b in pairwise(nodes)], dt_s=1e-3, n_steps=1)


def dense(n_in, n_out):
    return Dense(name="fc", weight=np.ones((n_out, n_in)))


def conv(*shape, **choices):
    return Conv(name="conv", weight=np.ones(shape), **choices)


def needs(shape, *maps, chip=LOIHI, bits=BITS):
    return Needs(layer_after(shape, *maps), "layer", chip, bits)


def chip_with(**synapses):
    return replace(by_hand.CHIP, synapses=Synapses(**{"sharing": "none", "source": "made up"} | synapses))


# Dense layers on Loihi 1. An entry holds up to 64 synapses of 8 bits and 10 bits more, in words of 64 bits:
# 64 * 8 + 10 = 522 bits are 9 words.


@pytest.mark.parametrize(
    ("targets", "bits", "words"),
    [
        (1, 8, 1),  # 8 + 10 = 18
        (6, 8, 1),  # 58
        (7, 8, 2),  # 66
        (63, 8, 9),  # 514
        (64, 8, 9),
        (65, 8, 9 + 1),
        (128, 8, 18),
        (256, 8, 36),
        (1024, 8, 144),
        (64, 7, 8),  # 458
        (64, 1, 2),  # 74
        (1000, 4, 15 * 5 + 3),  # 15 entries of 266 bits; 40 * 4 + 10 = 170
    ],
)
def test_a_source_of_a_dense_layer_takes_entries_in_whole_words(targets, bits, words):
    found = needs((3,), dense(3, targets), bits=bits).load((targets,))
    assert (found.synapse_bits, found.axons_in, found.fan_in, found.neurons) == (3 * words * 64, 3, 3, targets)


@pytest.mark.parametrize(("neurons", "sources"), [(1024, 113), (512, 227), (256, 455)])
def test_so_many_sources_fill_a_core_of_loihi_1(neurons, sources):
    """2^20 bits: 113 * 9,216 = 1,041,408; 227 * 4,608 = 1,046,016; 455 * 2,304 = 1,048,320; one more is too much."""
    assert needs((sources,), dense(sources, neurons)).largest_block(1024) == ((neurons,), ())
    ((fewer,), broken) = needs((sources + 1,), dense(sources + 1, neurons)).largest_block(1024)
    assert (fewer, broken) == (neurons // 2, ())


def test_synapses_without_a_form_take_the_bits_of_their_weights():
    assert needs((5,), dense(5, 7), chip=by_hand.CHIP, bits=3).load((7,)).synapse_bits == 5 * 7 * 3


def test_a_layer_is_cut_into_as_few_blocks_as_go():
    # 228 sources: a third of 1,024 neurons, 342, takes 5 * 9 + 3 words (22 * 8 + 10 = 186 bits), 700,416 bits in all.
    assert needs((228,), dense(228, 1024)).largest_block(1024) == ((512 - 170,), ())
    assert needs((2,), dense(2, 10)).largest_block(4) == ((4,), ())  # three blocks: 4, 4 and 2
    assert needs((2,), dense(2, 10)).largest_block(None) == ((10,), ())


def test_what_a_single_neuron_breaks_is_named_and_left_out_of_account():
    chip = replace(by_hand.with_limit("axons_in", 4), synapses=Synapses(sharing="none", source="made up"))
    assert needs((5,), dense(5, 3), chip=chip).largest_block(2) == ((2,), ("axons_in",))
    assert needs((4,), dense(4, 3), chip=chip).largest_block(2) == ((2,), ())
    chip = by_hand.with_limit("fan_in", 4)
    assert needs((5,), dense(5, 3), chip=chip).largest_block(None) == ((3,), ("fan_in",))
    chip = by_hand.with_limit("synapse_bits", 39)
    assert needs((5,), dense(5, 3), chip=chip).largest_block(None) == ((3,), ("synapse_bits",))
    assert needs((5,), dense(5, 3), chip=by_hand.with_limit("synapse_bits", 40)).largest_block(None) == ((1,), ())


def test_neurons_that_take_spikes_as_they_are_have_a_synapse_each():
    """8 bits of weight, 6 of index, 10 of the entry: 24 bits, a word."""
    found = needs((4, 5, 6)).load((2, 3, 1))
    assert (found.synapse_bits, found.axons_in, found.fan_in) == (6 * 64, 6, 1)


# Images. Brute force: which pixels of a large image reach a block somewhere in its middle, weights of one throughout.

IMAGE = 19
MAPS = {
    "3 x 3": [conv(2, 2, 3, 3)],
    "padded": [conv(2, 2, 3, 3, padding=(1, 1))],
    "oblong": [conv(2, 2, 2, 3)],
    "strided": [conv(2, 2, 3, 3, stride=(2, 1))],
    "stride above kernel": [conv(2, 2, 1, 1, stride=(2, 2))],
    "dilated": [conv(2, 2, 3, 2, dilation=(2, 3))],
    "dilated and strided": [conv(2, 2, 3, 3, dilation=(2, 2), stride=(2, 3))],
    "grouped": [conv(4, 1, 3, 3, groups=2)],
    "groups of two": [conv(4, 2, 1, 1, groups=1)],
    "depthwise": [conv(2, 1, 3, 3, groups=2)],
    "pooled": [Pool(name="pool", kernel=(2, 2), stride=(2, 2))],
    "pooled with holes": [Pool(name="pool", kernel=(2, 1), stride=(3, 2), average=True)],
    "pool before": [Pool(name="pool", kernel=(2, 2), stride=(2, 2)), conv(2, 2, 3, 3)],
    "pool after": [conv(2, 2, 3, 3), Pool(name="pool", kernel=(2, 2), stride=(2, 2))],
    "overlapping pool after": [conv(2, 2, 2, 2, stride=(2, 1)), Pool(name="pool", kernel=(3, 2), stride=(1, 1))],
    "two": [conv(2, 2, 1, 1, stride=(2, 2)), Conv(name="next", weight=np.ones((2, 2, 3, 3)), dilation=(2, 1))],
}
BLOCKS = [(1, 1, 1), (2, 1, 1), (1, 2, 3), (2, 3, 1), (2, 2, 2)]


def with_ones(node: LinearMap) -> LinearMap:
    return replace(node, weight=np.ones(node.weight.shape)) if isinstance(node, Conv) else node


def reaching(maps, block):
    """The most inputs that reach a block in the middle, wherever its channels begin."""
    channels = 2
    identity = np.eye(channels * IMAGE * IMAGE, dtype=np.float32).reshape(-1, channels, IMAGE, IMAGE)
    x = identity
    for node in maps:
        x = apply(with_ones(node), x)
    (c, h, w), (_, _, height, width) = block, x.shape
    top, left = (height - h) // 2, (width - w) // 2
    middle = x[:, :, top : top + h, left : left + w] > 0
    starts = range(0, middle.shape[1] - c + 1)
    return max(int(middle[:, at : at + c].any(axis=(1, 2, 3)).sum()) for at in starts)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("maps", MAPS.values(), ids=MAPS.keys())
def test_axons_and_synapses_of_a_block_are_the_inputs_that_reach_it(maps, block):
    found = needs((2, IMAGE, IMAGE), *maps, chip=by_hand.CHIP).load(block)
    assert found.axons_in == reaching(maps, block)
    assert found.fan_in == reaching(maps, (1, 1, 1))


def test_no_more_reaches_a_block_than_there_is():
    """A 5 x 5 kernel on 2 x 2 pixels of 3 channels; a layer after a dense one takes all there is before it."""
    found = needs((3, 2, 2), conv(4, 3, 5, 5, padding=(2, 2)), chip=by_hand.CHIP).load((4, 2, 2))
    assert (found.axons_in, found.fan_in) == (12, 12)
    found = needs((3, 2, 2), Flatten(name="flat"), dense(12, 5), chip=by_hand.CHIP).load((2,))
    assert (found.axons_in, found.fan_in, found.synapse_bits) == (12, 12, 2 * 12 * BITS)
    maps = [conv(3, 3, 2, 2), Flatten(name="flat"), dense(3 * 9, 5)]
    found = needs((3, 4, 4), *maps, chip=by_hand.CHIP).load((5,))
    assert (found.axons_in, found.fan_in) == (48, 48)


def test_synapses_of_branches_that_meet_are_added():
    nodes = [
        Input(name="input", shape=(6,)),
        NeuronLayer(name="first", shape=(6,), neuron=IF(v_threshold=np.array(1.0), v_reset=np.array(0.0))),
        dense(6, 6),
        NeuronLayer(name="layer", shape=(6,), neuron=IF(v_threshold=np.array(1.0), v_reset=np.array(0.0))),
        Dense(name="back", weight=np.ones((6, 6))),
        Output(name="out"),
    ]
    edges = [Edge("input", "first"), Edge("first", "fc"), Edge("fc", "layer"), Edge("first", "layer")]
    edges += [Edge("layer", "back", 1), Edge("back", "layer"), Edge("layer", "out")]
    program = build(nodes, edges, dt_s=1e-3, n_steps=1)
    found = Needs(program, "layer", by_hand.CHIP, BITS).load((4,))
    # Of fc 6, of first itself 4, one for each neuron, and of the layer's own 6.
    assert (found.axons_in, found.fan_in) == (6 + 4 + 6, 6 + 1 + 6)
    # 4 neurons with 6, 1 and 6 synapses; without a map between, an index has 6 bits.
    assert found.synapse_bits == 4 * 6 * 8 + 4 * (8 + 6) + 4 * 6 * 8


# Lists that pixels have in common.

ENTRIES = [
    {"entry_synapses": 64, "entry_bits": 10, "word_bits": 64},
    {"entry_synapses": 5, "entry_bits": 3, "word_bits": 7},
    {},
]


def in_entries(synapses, width, *, entry_synapses=1, entry_bits=0, word_bits=1):
    """Fill entries one synapse after the other, and round each up to words."""
    bits = 0
    while synapses:
        taken = min(synapses, entry_synapses)
        bits += word_bits * -(-(taken * width + entry_bits) // word_bits)
        synapses -= taken
    return bits


def shared_lists(node, block, width, form):
    """A list for each different set of taps by which a pixel reaches the block, found pixel by pixel."""
    channels, *size = block
    (sy, sx), (dy, dx), (ky, kx) = node.stride, node.dilation, node.weight.shape[2:]
    lists = set()
    for y, x in product(range(IMAGE), repeat=2):
        lists.add(
            frozenset(
                (tap_y, tap_x)
                for tap_y, tap_x, to_y, to_x in product(range(ky), range(kx), range(size[0]), range(size[1]))
                if (to_y * sy + tap_y * dy, to_x * sx + tap_x * dx) == (y, x)
            )
        )
    return sum(in_entries(len(taps) * node.weight.shape[1] * channels, width, **form) for taps in lists)


@pytest.mark.parametrize("form", ENTRIES)
@pytest.mark.parametrize("name", [name for name, maps in MAPS.items() if len(maps) == 1 and "pool" not in name])
@pytest.mark.parametrize("block", [(1, 1, 1), (2, 3, 2), (2, 4, 4)])
def test_pixels_that_use_the_same_taps_share_a_list_where_this_is_less(name, block, form):
    (node,) = MAPS[name]
    inputs = (node.weight.shape[1] * node.groups, IMAGE, IMAGE)
    width = BITS + 6  # an index of 6 bits, the least, will do for 32 neurons
    shared = needs(inputs, node, chip=chip_with(sharing="pixels", **form)).load(block)
    alone = needs(inputs, node, chip=chip_with(sharing="none", **form)).load(block)
    assert shared.synapse_bits == min(shared_lists(node, block, width, form), alone.synapse_bits)
    assert shared.fan_in == alone.fan_in
    assert alone.axons_in % shared.axons_in == 0  # an axon for all channels of a pixel


def test_lists_of_a_3_x_3_convolution_by_hand():
    """One row, four columns of windows: pixels before them use taps 1, 2, 3, 3, 2 and 1 wide, all three sets apart.

    By rows 1 tap three times: 3 x (1 + 2 + 3 + 2 + 1) taps = 27 in lists of 9, 18 .. synapses of 2 x 1 channels.
    """
    form = {"entry_synapses": 1000, "entry_bits": 1, "word_bits": 1}
    node = conv(1, 2, 3, 3)
    found = needs((2, IMAGE, IMAGE), node, chip=chip_with(sharing="pixels", **form)).load((1, 1, 4))
    # 15 lists, each with a bit of its own: by columns {0}, {1, 0}, {2, 1, 0}, {2, 1}, {2}, times {0}, {1}, {2} by rows.
    assert found.synapse_bits == 3 * (1 + 2 + 3 + 2 + 1) * 2 * (BITS + 6) + 15
    assert found.axons_in == 3 * 6  # pixels of both channels


def test_the_rest_of_a_layer_fits_on_a_core_as_its_largest_block_does():
    """Taps 0, 2 and 4 of 4 windows make lists {0} {0 2} {2 4} {4}; of 3 windows {0} {0 2} {2} {2 4} {4}, one more."""
    of_layer = needs((1, 1, 7), conv(1, 1, 1, 3, dilation=(1, 2), padding=(0, 2)), chip=chip_with(sharing="pixels"))
    synapse = BITS + 6
    assert [of_layer.load((1, 1, n)).synapse_bits for n in (4, 3, 2)] == [6 * synapse, 7 * synapse, 3 * synapse]
    limits = {"synapse_bits": Limit(name="synapse_bits", value=6 * synapse, confidence="derived", source="made up")}
    chip = replace(chip_with(sharing="pixels"), limits=limits)
    limited = needs((1, 1, 7), conv(1, 1, 1, 3, dilation=(1, 2), padding=(0, 2)), chip=chip)
    assert limited.largest_block(None) == ((1, 1, 2), ())  # 4 and 3 do not fit, 2 + 2 + 2 + 1 do


def test_an_average_after_a_convolution_makes_a_larger_kernel():
    """3 x 3, then 2 x 2 windows: 4 x 4 weights, two pixels from window to window."""
    maps, chip = MAPS["pool after"], chip_with(sharing="pixels")
    larger = [conv(2, 2, 4, 4, stride=(2, 2))]
    for block in BLOCKS:
        composed, one = (needs((2, IMAGE, IMAGE), *each, chip=chip).load(block) for each in (maps, larger))
        assert composed == one


@pytest.mark.parametrize("neurons", [1, 64, 65, 128, 129, 4096])
def test_indices_of_targets_grow_with_the_neurons_of_a_core(neurons):
    """6 bits up to 64 neurons, and one for each doubling."""
    width = BITS + max(6, int(np.ceil(np.log2(neurons))))
    found = needs((1, 1, 8192), conv(1, 1, 1, 1), chip=chip_with(sharing="none")).load((1, 1, neurons))
    assert found.synapse_bits == neurons * width


def test_a_core_that_shares_kernels_holds_those_of_its_channels_once():
    chip: Chip = chip_with(sharing="kernels")
    assert needs((6, 9, 9), conv(4, 3, 5, 3, groups=2), chip=chip).load((3, 2, 2)).synapse_bits == 3 * 3 * 5 * 3 * BITS
    assert needs((6, 9, 9), conv(4, 6, 1, 1), chip=chip).load((4, 9, 9)).synapse_bits == 4 * 6 * BITS
    assert needs((6,), dense(6, 5), chip=chip).load((2,)).synapse_bits == 2 * 6 * BITS
    assert needs((6, 2, 2), chip=chip).load((6, 2, 2)).synapse_bits == BITS  # spikes as they are: one weight
    alike = Scale(name="scale", factor=np.array(0.5))
    assert needs((6, 2, 2), alike, chip=chip).load((6, 2, 2)).synapse_bits == BITS
    each = replace(alike, factor=np.ones((6, 2, 2)))
    assert needs((6, 2, 2), each, chip=chip).load((6, 2, 2)).synapse_bits == 24 * BITS
    flat = [conv(4, 6, 3, 3), Flatten(name="flat")]
    assert needs((6, 5, 5), *flat, chip=chip).load((36,)).synapse_bits == 4 * 6 * 9 * BITS
