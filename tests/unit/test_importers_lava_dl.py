"""Files of lava-dl: what they become, what is refused, and the rasters and values that lava-dl recorded of its own."""

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

import tdd_deploy as td
from tdd_deploy import sweep
from tdd_deploy.errors import BadFile, NotExportable, TddDeployError, UnsupportedGraph
from tdd_deploy.importers import read
from tdd_deploy.importers.lava_dl.read import read_net
from tdd_deploy.neurons import LavaSigmaDelta, LoihiLIF
from tdd_deploy.program import Conv, Dense, Program, with_code
from tdd_deploy.program.apply import apply
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.arithmetic import FloatArithmetic
from tdd_deploy.simulator.counts import FIELDS
from tdd_deploy.simulator.engine.engine import Engine
from tests.damage import is_in_a_global_heap
from tests.net_files import CUBA, SDNN, write_net
from tests.zoo import Given

INPUT = {"type": "input", "shape": [2, 6, 5], "weight": [36.0], "bias": [34.0], "neuron": CUBA}
CONV = {
    "type": "conv",
    "shape": [4, 3, 2],
    "weight": np.arange(-24, 24).reshape(4, 1, 3, 4, 1).astype(np.float32),
    "bias": np.array([-4.0, 0.0, 2.0, 6.0], np.float32),
    "stride": [2, 3],
    "padding": [1, 2],
    "dilation": [1, 1],
    "groups": 2,
    "inChannels": 2,
    "outChannels": 4,
    "kernelSize": [3, 4],
    "neuron": CUBA | {"iDecay": 1000, "vThMant": 7, "scaleRho": 10.0, "tauRho": 0.5, "theta": 1600, "wgtExp": 0},
}
FLATTEN = {"type": "flatten", "shape": [24, 1, 1]}
DENSE = {"type": "dense", "shape": [3], "weight": np.arange(72).reshape(3, 24), "neuron": CUBA}


def written(tmp_path: Path, *layers, **given) -> Program:
    return read(write_net(tmp_path / "some.net", *layers, **given))


def reasons(tmp_path: Path, *layers, **given) -> dict[str, str]:
    path = write_net(tmp_path / "some.net", *layers, **given)
    with pytest.raises(UnsupportedGraph) as refused:
        read(path)
    return {violation.where: str(violation) for violation in refused.value.violations}


# What files become


def test_a_file_becomes_an_integer_program(tmp_path):
    program = written(tmp_path, INPUT, CONV, FLATTEN, DENSE, simulation={"Ts": 2, "tSample": 64})
    assert [node.name for node in program.nodes] == [
        *("input", "layer0", "conv1", "layer1", "flatten2", "dense3", "layer3", "output")
    ]
    assert (program.number_format, program.dt_s, program.n_steps) == ("integer", 2e-3, 32)
    assert (program.input.shape, program.input.scale) == ((2, 6, 5), 36.0)
    assert program.provenance["dialect"] == "lava-dl"
    assert program.provenance["file"] == "some.net"
    assert len(program.provenance["sha256"]) == 64
    assert all(edge.code == "delta" for edge in program.edges)
    assert "assumed" not in program.provenance


def test_a_file_without_a_sample_length_states_no_time_steps(tmp_path):
    program = written(tmp_path, DENSE, simulation={"Ts": 2})
    assert (program.n_steps, program.dt_s) == (None, 2e-3)
    assert "assumed" not in program.provenance


def test_neurons_are_as_netx_gives_them_to_lava(tmp_path):
    program = written(tmp_path, INPUT, CONV, FLATTEN, DENSE)
    first, second = program["layer0"].neuron, program["layer1"].neuron
    assert isinstance(first, LoihiLIF)
    assert {name: int(value) for name, value in first.parameters().items()} == {
        "v_threshold": 25 * 64, "v_reset": 0, "du": 4095, "dv": 1024, "bias": 34 * 64,
    }  # fmt: skip
    assert (int(second.du), int(second.v_threshold), second.reset, second.compare) == (999, 7 * 64, "hard", ">")
    assert second.bias[:, 2, 1].tolist() == [-256, 0, 128, 384]
    assert int(program["layer3"].neuron.bias) == 0
    assert (program.n_steps, program.dt_s) == (None, 1e-3)


def test_sizes_of_a_convolution_are_vertical_first(tmp_path):
    conv = written(tmp_path, INPUT, CONV, FLATTEN, DENSE)["conv1"]
    assert isinstance(conv, Conv)
    assert (conv.stride, conv.padding, conv.dilation, conv.groups) == ((2, 3), (1, 2), (1, 1), 2)
    np.testing.assert_array_equal(conv.weight, CONV["weight"][..., 0])
    wide = CONV | {"stride": 1, "padding": 0, "dilation": [2, 1], "shape": [4, 2, 2]}
    assert written(tmp_path, INPUT, wide)["conv1"].dilation == (2, 1)


def test_a_dense_layer_may_come_first_and_its_weights_may_stand_in_a_row(tmp_path):
    program = written(tmp_path, DENSE | {"weight": np.arange(12.0), "shape": [3, 1, 1]})
    assert (program.input.shape, program.input.scale, program.input.largest) == ((4,), 1, 1)
    dense = program["dense0"]
    assert isinstance(dense, Dense)
    assert dense.weight.tolist() == np.arange(12).reshape(3, 4).tolist()


def test_an_input_without_neurons_says_a_shape(tmp_path):
    program = written(tmp_path, {"type": "input", "shape": [2, 6, 5]}, CONV)
    assert [node.name for node in program.nodes] == ["input", "conv1", "layer1", "output"]


def test_sigma_delta_neurons_are_lavas_integers_over_a_power_of_two(tmp_path):
    last = DENSE | {"neuron": SDNN | {"sigma_output": True}}
    program = written(tmp_path, INPUT | {"neuron": SDNN}, CONV | {"neuron": SDNN}, FLATTEN, last)
    assert program.number_format == "float64"
    assert [node.name for node in program.nodes] == [
        *("input", "scale0", "layer0", "conv1", "layer1", "flatten2", "dense3", "output")
    ]
    first, second = program["layer0"].neuron, program["layer1"].neuron
    assert isinstance(first, LavaSigmaDelta)
    assert (first.activation, first.compare, second.activation) == ("none", ">=", "relu")
    assert {float(value) for value in (first.delta_threshold, first.bias, first.grid)} == {3, 34, 1 / 64}
    np.testing.assert_array_equal(program["dense3"].weight, DENSE["weight"] / 64)


# Layers without neurons, which netx makes integrators

BARE = {"type": "dense", "shape": [2], "weight": np.array([[254.0] * 600, [-3.0] * 600])}


def potentials(program: Program, inputs: np.ndarray, layer: str) -> np.ndarray:
    """Return the potentials of a layer before it fires, [n_steps, ...]; all engines have to give its spikes."""
    found: dict[str, np.ndarray] = {}
    reference.run(program, inputs[:, None], potentials=found)
    assert not executed(program, inputs)[layer].any()
    return found[layer][:, 0]


def test_a_dense_layer_without_neurons_adds_up_all_that_arrives_and_never_fires(tmp_path):
    """64 LSB per unit of weight. 254 * 600 * 64 = 9,753,600 is above 2**23 and wraps by 2**24: -7,023,616."""
    program = written(tmp_path, BARE | {"bias": np.array([0.0, 5.0])})
    assert program.number_format == "integer"
    held = potentials(program, np.ones((4, 600), np.int32), "layer0")
    assert held[:, 0].tolist() == [-7_023_616, 2_729_984, -4_293_632, 5_459_968]
    # v is u + bias: a bias is added once, not in each step
    assert held[:, 1].tolist() == [step * -3 * 600 * 64 + 5 * 64 for step in (1, 2, 3, 4)]
    assert "layer0 has no neurons" in program.provenance["assumed"]


def test_no_sum_makes_an_integrator_fire(tmp_path):
    """516 * 254 + 8 is 2**17 units, 2**23 LSB: v saturates one below, at the threshold. -2**23 wraps there, too."""
    weight = np.array([[254.0] * 516 + [8.0], [-254.0] * 516 + [-8.0]])
    program = written(tmp_path, BARE | {"weight": weight})
    held = potentials(program, np.eye(1, 2).repeat(517, axis=0).T.astype(np.int32), "layer0")
    assert held.tolist() == [[2**23 - 1, 2**23 - 1]] * 2


def test_a_network_of_lava_dls_bootstrap_training_is_read(tmp_path):
    """Flat images through an input block, dense layers without biases, the last one without neurons."""
    rng = np.random.default_rng(0)
    neuron = CUBA | {"vDecay": 123, "vThMant": 80}
    block = {"type": "input", "shape": [30], "weight": [76.0], "bias": [64.0], "neuron": neuron}
    sizes = {"inFeatures": 30, "outFeatures": 20}
    hidden = {"type": "dense", "shape": [20], "weight": rng.integers(-38, 60, (20, 30)), "neuron": neuron, **sizes}
    last = {"type": "dense", "shape": [5], "weight": rng.integers(-38, 43, (5, 20))}
    program = written(tmp_path, block, hidden, last, simulation={"Ts": 1, "tSample": 16})
    assert [node.name for node in program.nodes] == [
        *("input", "layer0", "dense1", "layer1", "dense2", "layer2", "output")
    ]
    assert program.n_steps == 16
    x = np.broadcast_to(rng.uniform(-1, 1, 30), (16, 30))
    sent = executed(program, x)
    assert sent["layer1"].any()
    sums = (sent["layer1"] @ last["weight"].T).cumsum(axis=0)
    np.testing.assert_array_equal(potentials(program, x, "layer2"), 64 * sums)
    assert np.count_nonzero(sums) > 50


def test_layers_after_one_without_neurons_are_silent(tmp_path):
    program = written(tmp_path, BARE, {"type": "dense", "shape": [3], "weight": np.ones((3, 2)), "neuron": CUBA})
    assert not executed(program, np.ones((4, 600), np.int32))["layer1"].any()


def test_netx_reads_no_other_layer_without_neurons(tmp_path):
    (reason,) = reasons(tmp_path, INPUT, layer_with(CONV, neuron=None)).values()
    assert "layer/1/neuron is missing. Use neurons of kind LOIHI, CUBA, SDNN" in reason
    mixed = layer_with(DENSE, neuron=None)
    assert reasons(tmp_path, INPUT | {"neuron": SDNN}, CONV | {"neuron": SDNN}, FLATTEN, mixed) == {
        "layer/3/neuron": "layer/3/neuron is missing among SDNN layers, where netx makes neurons that integrate "
        "spikes. Use SDNN, with sigma_output in the last layer."
    }


def test_an_integrator_goes_through_a_nir_file(tmp_path):
    program = written(tmp_path, BARE)
    td.export(tmp_path / "some.net", target="nir", out=tmp_path / "some.nir")
    assert read(tmp_path / "some.nir")["layer0"].neuron.parameters() == program["layer0"].neuron.parameters()


# Sigma-delta networks in Lava's own integers


def in_integers(program: Program, inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Return messages as Lava's fixed_pt processes make them: shifts, residues, sums of changes; [n_steps, ...]."""
    inputs_of = {"layer0": None, "layer1": "conv1", "layer3": "dense3", "output": "dense4"}
    act, residue, sigma = (dict.fromkeys(inputs_of, 0) for _ in range(3))
    found: dict[str, list[np.ndarray]] = {name: [] for name in inputs_of}
    for x in inputs:
        message = x
        for name, before in inputs_of.items():
            if before is None:
                arrived = x << 12
            else:
                node = replace(program[before], weight=64 * program[before].weight)
                given = message[None] if isinstance(node, Conv) else message.reshape(1, -1)
                arrived = sigma[name] = sigma[name] + apply(node, given)[0].astype(np.int64)
            if name == "output":
                found[name].append(arrived)
                break
            neuron = program[name].neuron
            new = arrived + (neuron.bias.astype(np.int64) << 12)
            new = new if before is None else np.maximum(new, 0)
            delta = new - act[name] + residue[name]
            spikes = np.where(np.abs(delta) >= int(neuron.delta_threshold) << 12, delta, 0)
            residue[name], act[name] = delta - spikes, new
            message = spikes >> 6
            found[name].append(message)
    return {name: np.stack(values) for name, values in found.items()}


@pytest.mark.parametrize("seed", range(5))
def test_messages_are_those_of_lava_value_for_value(tmp_path, seed):
    rng = np.random.default_rng(seed)
    hidden = CONV | {"weight": rng.integers(-60, 61, (4, 1, 3, 4)), "neuron": SDNN | {"vThMant": 5}}
    second = {"type": "dense", "shape": [7], "weight": rng.integers(-60, 61, (7, 24)), "neuron": SDNN}
    last = {
        "type": "dense",
        "shape": [3],
        "weight": rng.integers(-60, 61, (3, 7)),
        "neuron": SDNN | {"sigma_output": 1},
    }
    program = written(tmp_path, INPUT | {"weight": [1.0], "neuron": SDNN}, hidden, FLATTEN, second, last)
    x = np.where(rng.random((20, 2, 6, 5)) < 0.3, rng.integers(-9, 10, (20, 2, 6, 5)), 0).cumsum(axis=0)
    theirs = in_integers(program, x)
    sent = executed(program, x.astype(float))
    for name in ("layer0", "layer1", "layer3"):
        np.testing.assert_array_equal(64 * np.diff(sent[name], axis=0, prepend=0), theirs[name])
    np.testing.assert_array_equal(4096 * sent["output"], theirs["output"])


def test_what_rounding_takes_from_a_message_is_not_made_up_for():
    """In 64ths: changes of 1.5, 1.5, -1.5 and -1.5 are sent as 1, 1, -2 and -2, so of 0 receivers hold -2."""
    neuron = LavaSigmaDelta(delta_threshold=np.array(0.0), grid=np.array(1 / 64), bias=np.array(0.0))
    state, held = neuron.start(lambda: np.zeros(1)), []
    for current in (1.5, 3.0, 1.5, 0.0):
        state, sent = neuron.step(FloatArithmetic(), state, np.array([current / 64]))
        held.append(float(sent[0]) * 64)
    assert held == [1, 2, 0, -2]


# What lava-dl recorded


def recorded() -> Path:
    shared = Path(__file__).parents[2].parent / "shared" / "data" / "lava_dl"
    folders = [Path(os.environ.get("TDD_DEPLOY_DATA", "/")) / "lava_dl", shared]
    found = next((folder for folder in folders if folder.is_dir()), None)
    if found is None:
        pytest.skip("no folder lava_dl in $TDD_DEPLOY_DATA")
    return found


def executed(program: Program, inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the reference sends for one sample [n_steps, *shape], and so do the engines, compiled or not."""
    sent = reference.run(program, inputs[:, None])
    names = [layer.name for layer in program.neuron_layers]
    for code in ("delta", "spike"):
        traces = []
        for compiled in (True, False):
            engine = Engine(with_code(program, code), compiled=compiled)
            result = engine.run(Given(inputs[:, None]), n_steps=len(inputs), record=names)
            traces.append(result.trace.executed)
            for name in names:
                np.testing.assert_array_equal(result.layers[name][0], sent[name][:, 0])
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(traces[0], name), getattr(traces[1], name), err_msg=name)
    return {name: values[:, 0] for name, values in sent.items()}


def test_the_convolutional_net_sends_every_recorded_spike_and_current():
    """The record begins a step before the first input, which Lava's ring buffer takes."""
    folder = recorded()
    x = (np.load(folder / "tinynet" / "input_bias.npy").transpose(2, 1, 0) - 34) / 36
    sent = executed(read(folder / "tiny.net"), np.broadcast_to(x, (15, *x.shape)))
    for name, file, n in (("layer0", "input", 6783), ("conv1", "current", 12076), ("layer1", "layer1", 1633)):
        theirs = np.load(folder / "tinynet" / f"{file}.npy")[0].transpose(3, 0, 1, 2)
        np.testing.assert_array_equal(sent[name], theirs[1:])
        assert np.count_nonzero(theirs) == n
    theirs = np.load(folder / "tinynet" / "output.npy")[0].transpose(3, 0, 1, 2)
    np.testing.assert_array_equal(sent["output"], theirs[1:])
    assert np.count_nonzero(theirs) == 92


def raster(events: np.ndarray) -> np.ndarray:
    """Turn rows of neuron, polarity, time in ms into [2000, 200]; slayer rounds times to steps."""
    spikes = np.zeros((2000, 200))
    spikes[np.round(events[:, 2]).astype(int), events[:, 0].astype(int)] = 1
    return spikes


def test_the_oxford_net_sends_every_recorded_spike_two_steps_earlier():
    """Recorded by a slayer that fired at the threshold. Today's fires above it, as Lava does, and so do we."""
    folder = recorded() / "oxford"
    program = read(folder / "network.net")
    given, theirs = (raster(np.load(folder / f"{name}.npy")) for name in ("input", "ground_truth"))
    assert theirs.sum() == 10178
    at_threshold = replace(
        program,
        nodes=tuple(
            replace(node, neuron=replace(node.neuron, compare=">=")) if node in program.neuron_layers else node
            for node in program.nodes
        ),
    )
    np.testing.assert_array_equal(executed(at_threshold, given)["output"][:-2], theirs[2:])
    differing = np.count_nonzero(executed(program, given)["output"][:-2] != theirs[2:])
    assert differing == 3014


def test_the_sigma_delta_blocks_send_every_recorded_message(tmp_path):
    folder = recorded() / "tinynet_sdnn"
    names = ("input", "input_bias", "layer1", "layer1_bias", "layer1_kernel", "layer2", "layer2_weight")
    arrays = {name: np.load(folder / f"{name}.npy") for name in names}
    kernel = arrays["layer1_kernel"].transpose(0, 3, 2, 1)[:, :, ::-1, ::-1]  # Lava's order, and its true convolution
    weight = arrays["layer2_weight"].reshape(100, 6, 6, 24).transpose(0, 3, 2, 1).reshape(100, 864)
    neuron = SDNN | {"vThMant": 20}
    program = written(
        tmp_path,
        {"type": "input", "shape": [3, 16, 16], "weight": [1.0], "bias": [0.0], "neuron": neuron},
        {"type": "conv", "shape": [24, 6, 6], "weight": kernel, "bias": arrays["layer1_bias"], "stride": [2, 2],
         "neuron": neuron},
        {"type": "flatten", "shape": [864, 1, 1]},
        {"type": "dense", "shape": [100], "weight": weight, "neuron": neuron | {"sigma_output": True}},
    )  # fmt: skip
    wave = np.sin(2 * np.pi * np.arange(15) / 15)  # what lava-dl's test gives the block
    x = (arrays["input_bias"][..., None] * wave).astype(int).transpose(3, 2, 1, 0)
    sent = executed(program, x.astype(float))
    np.testing.assert_array_equal(
        64 * np.diff(sent["layer0"], axis=0, prepend=0), arrays["input"].transpose(3, 2, 1, 0)
    )
    # Of the convolution one step was recorded, before the first input; the input begins with zeros.
    first = arrays["layer1"].transpose(3, 2, 1, 0)[0]
    np.testing.assert_array_equal(64 * sent["layer1"][0], first)
    assert np.count_nonzero(first) == 144
    # The dense block was recorded with messages of no bits, which Lava takes as 0 or 1; a step late.
    np.testing.assert_array_equal(64 * apply(program["dense3"], (first != 0).reshape(1, -1))[0], arrays["layer2"][:, 1])


# What is refused


def layer_with(layer: dict, **changed) -> dict:
    return {**layer, **changed}


@pytest.mark.parametrize(
    ("layer", "where", "words"),
    [
        ({"type": "pool", "shape": [3]}, "layer/3/type", "pool; input, dense, conv, flatten"),
        ({"type": "average", "shape": [3]}, "layer/3/type", "average; input"),
        (layer_with(DENSE, neuron=CUBA | {"type": "ALIF"}), "layer/3/neuron/type", "ALIF; LOIHI, CUBA, SDNN"),
        (layer_with(DENSE, neuron={"type": "RF_PHASE", "vThMant": 3}), "layer/3/neuron/type", "RF_PHASE; LOIHI"),
        (layer_with(DENSE, neuron=CUBA | {"refDelay": 2}), "layer/3/neuron/refDelay", "[2]; 1"),
        (layer_with(DENSE, neuron=CUBA | {"gradedSpike": True}), "layer/3/neuron/gradedSpike", "True; 0"),
        (layer_with(DENSE, neuron=CUBA | {"iDecay": 4097}), "layer/3/neuron/iDecay", "4097; 0 to 4096"),
        (layer_with(DENSE, neuron=CUBA | {"vDecay": 0.5}), "layer/3/neuron/vDecay", "0.5; a whole number"),
        (layer_with(DENSE, neuron=CUBA | {"vThMant": np.nan}), "layer/3/neuron/vThMant", "nan; 0 to 131071"),
        (layer_with(DENSE, neuron=CUBA | {"wgtExp": 2}), "layer/3/neuron/wgtExp", "2; 0"),
        (layer_with(DENSE, weight="many"), "layer/3/weight", "whole numbers"),
        (layer_with(DENSE, weight=np.zeros((3, 0))), "layer/3/weight", "whole numbers"),
        (layer_with(DENSE, shape=np.zeros(0, int)), "layer/3/shape", "1 or 3 sizes"),
        (layer_with(DENSE, shape="large"), "layer/3/shape", "1 or 3 sizes"),
        (layer_with(DENSE, bias=[-(2**63)] * 3), "layer/3/bias", "9.22337e+18"),
        (layer_with(DENSE, neuron=CUBA | {"mood": 2}), "layer/3/neuron/mood", "is an unknown key"),
        (layer_with(DENSE, weight_rec=np.zeros((3, 3))), "layer/3/weight_rec", "is an unknown key"),
        (layer_with(DENSE, weight=DENSE["weight"] + 0.5), "layer/3/weight", "whole numbers"),
        (layer_with(DENSE, weight=DENSE["weight"] * np.nan), "layer/3/weight", "whole numbers"),
        (layer_with(DENSE, weight=DENSE["weight"] * 4), "layer/3/weight", "0 to 284; -256 to 254"),
        (layer_with(DENSE, weight=DENSE["weight"].T), "layer/3/weight", "shape (24, 3); [n_out, n_in]"),
        (layer_with(DENSE, weight=None), "layer/3/weight", "is missing"),
        (layer_with(DENSE, weight=np.zeros((3, 23))), "layer/3", "receives shape (24,); takes (23,)"),
        (layer_with(DENSE, shape=[3.0]), "layer/3/shape", "[3.0]; 1 or 3 sizes"),
        (layer_with(DENSE, shape=[2**40]), "layer/3/shape", "1 or 3 sizes, up to"),
        (layer_with(DENSE, bias=[1.0, 2.0]), "layer/3/bias", "2 numbers; one number, or one per channel"),
        (layer_with(DENSE, bias=[1.0, 2.0, 40000.0]), "layer/3/bias", "40000; -32,767 to 32,767"),
        (layer_with(DENSE, delay=[0, 2, 0]), "layer/3/delay", "delays of single synapses; Train without delays"),
        (INPUT, "layer/3/type", "is input; only the first layer"),
        (CONV, "layer/3", "receives shape (24,); takes (2, height, width)"),
        (layer_with(DENSE, neuron=SDNN), "the network", "neurons of kinds CUBA, SDNN; SDNN in all layers, or in none"),
    ],
)
def test_what_no_program_can_hold_is_refused_by_name(tmp_path, layer, where, words):
    found = reasons(tmp_path, INPUT, CONV, FLATTEN, layer)
    assert where in found
    for word in words.split("; "):
        assert word.strip("[]") in found[where]


@pytest.mark.parametrize(
    ("conv", "where", "words"),
    [
        (layer_with(CONV, weight=np.full((4, 1, 3, 4), np.inf)), "layer/1/weight", "inf; -256 to 254"),
        (layer_with(CONV, weight=CONV["weight"] * 40), "layer/1/weight", "-960 to 920; -256 to 254"),
        (layer_with(CONV, shape=[4, 3, 3]), "layer/1/shape", "(got (4, 3, 3)); must be (4, 3, 2)"),
        (layer_with(CONV, stride=[0, 1]), "layer/1/stride", "[0, 1]; one or two whole numbers"),
        (layer_with(CONV, padding=[1, 2, 3]), "layer/1/padding", "[1, 2, 3]; one or two whole numbers"),
        (layer_with(CONV, weight=np.zeros((4, 1, 3))), "layer/1/weight", "shape (4, 1, 3); [channels_out"),
        (layer_with(CONV, weight=np.zeros((4, 1, 3, 4, 2))), "layer/1/weight", "shape (4, 1, 3, 4, 2)"),
    ],
)
def test_what_no_convolution_has_is_refused_by_name(tmp_path, conv, where, words):
    found = reasons(tmp_path, INPUT, conv)
    for word in words.split("; "):
        assert word in found[where]


def test_a_convolution_needs_an_input_that_says_its_shape(tmp_path):
    assert reasons(tmp_path, CONV) == {
        "layer/0/type": "layer/0/type must be input or dense, which state its shape (got conv). "
        "Export the network with its input block."
    }


def test_a_sum_is_sent_by_the_last_layer_alone(tmp_path):
    neuron = {"type": "SDNN", "sigma_output": True}  # as lava-dl writes a dendrite: without a threshold
    layers = (layer_with(INPUT, neuron=SDNN), layer_with(CONV, neuron=neuron))
    assert written(tmp_path, *layers).neuron_layers[-1].name == "layer0"
    assert reasons(tmp_path, *layers, FLATTEN, layer_with(DENSE, neuron=SDNN)) == {
        "layer/1/neuron/sigma_output": "layer/1/neuron/sigma_output is possible only in the last layer."
    }


def test_all_violations_are_reported_at_once(tmp_path):
    wrong = layer_with(DENSE, weight=DENSE["weight"] + 0.5, neuron=CUBA | {"refDelay": 2, "iDecay": -1})
    found = reasons(tmp_path, INPUT, layer_with(CONV, groups=0), FLATTEN, wrong, simulation={"Ts": 0})
    assert found.keys() == {
        *("simulation/Ts", "layer/1/groups", "layer/3/weight", "layer/3/neuron/refDelay", "layer/3/neuron/iDecay")
    }


def test_layers_are_numbered(tmp_path):
    path = write_net(tmp_path / "some.net", DENSE)
    with h5py.File(path, "a") as file:
        file.move("layer/0", "layer/1")
    with pytest.raises(BadFile, match="not numbered from 0 on"):
        read(path)


def test_a_file_without_a_layer_is_refused(tmp_path):
    path = write_net(tmp_path / "some.net")
    with h5py.File(path, "a") as file:
        file.create_group("layer")
    with pytest.raises(BadFile, match="holds no group layer with 1 to 1000 layers"):
        read(path)


def test_links_out_of_a_file_are_not_followed(tmp_path):
    path = write_net(tmp_path / "some.net", layer_with(DENSE, weight=None))
    with h5py.File(path, "a") as file:
        file["layer/0/weight"] = h5py.ExternalLink("/etc/passwd", "/weight")
    with pytest.raises(BadFile, match="links to other files"):
        read(path)


@pytest.mark.parametrize("key", ["weight", "shape", "delay", "neuron/vDecay", "type"])
def test_a_value_that_is_none_is_named(tmp_path, key):
    path = write_net(tmp_path / "some.net", DENSE)
    with h5py.File(path, "a") as file:
        if key in file["layer/0"]:
            del file["layer/0"][key]
        file["layer/0"][key] = h5py.Empty("f4")
    with pytest.raises(BadFile, match=f"{key} has no value"):
        read(path)


def test_an_array_that_is_larger_than_it_looks_is_not_read(tmp_path):
    path = write_net(tmp_path / "some.net", layer_with(DENSE, weight=None))
    with h5py.File(path, "a") as file:
        file.create_dataset("layer/0/weight", (3, 2**33), "f4", chunks=(1, 1024))
    assert path.stat().st_size < 100_000
    with pytest.raises(BadFile, match=r"unpacks to 103,079,.* bytes, more than 200 times its size"):
        read(path)


@pytest.mark.parametrize("seed", range(200))
def test_a_damaged_file_is_read_or_refused_in_a_sentence(tmp_path, seed):
    rng = np.random.default_rng(seed)
    path = write_net(tmp_path / "some.net", INPUT, CONV, FLATTEN, DENSE, simulation={"Ts": 1, "tSample": 8})
    content = bytearray(path.read_bytes())
    for place in rng.integers(0, len(content), int(rng.integers(1, 9))):
        if not is_in_a_global_heap(content, place, 1):
            content[place] = rng.integers(0, 256)
    path.write_bytes(content[: rng.integers(1, len(content))] if seed % 4 == 0 else content)
    try:
        read(path)
        read_net(path)
    except TddDeployError as error:
        found = str(error)
    else:
        found = str(path)
    assert str(path) in found


ODD = [
    *(0, -1, 2**40, 1.5, np.nan, np.inf, True, "text", [], [0], [[1, 2]], np.float16(3), np.uint64(2**63)),
    *(np.zeros((2, 2, 2)), np.full(3, -(2**63)), np.array(["a"], "S3")),
]


@pytest.mark.parametrize("seed", range(200))
def test_any_value_at_any_place_is_read_or_refused(tmp_path, seed):
    rng = np.random.default_rng(seed)
    neuron = (CUBA, SDNN)[seed % 2]
    layers = [{**layer, "neuron": dict(neuron)} if "neuron" in layer else dict(layer) for layer in (INPUT, CONV, DENSE)]
    layers.insert(2, dict(FLATTEN))
    for _ in range(3):
        layer, value = layers[rng.integers(4)], ODD[rng.integers(len(ODD))]
        group = layer["neuron"] if "neuron" in layer and rng.random() < 0.5 else layer
        names = sorted({*group, "delay", "sigma_output"} - {"type", "neuron"})
        group[names[rng.integers(len(names))]] = value
    with suppress(TddDeployError):  # nothing else may come out
        written(tmp_path, *layers)


# Through the commands


@pytest.fixture
def sigma_delta_net(tmp_path) -> tuple[Path, Path]:
    """A sigma-delta network, and frames of noise that grows slowly, with labels."""
    rng = np.random.default_rng(0)
    kernel, weight = rng.integers(-60, 61, (4, 1, 3, 4)), rng.integers(-60, 61, (3, 24))
    last = {"type": "dense", "shape": [3], "weight": weight, "neuron": SDNN | {"sigma_output": True}}
    hidden = CONV | {"weight": kernel, "neuron": SDNN}
    net = write_net(tmp_path / "sdnn.net", INPUT | {"neuron": SDNN}, hidden, FLATTEN, last)
    frames = rng.normal(size=(4, 8, 2, 6, 5)).cumsum(axis=1).astype(np.float32)
    np.savez(tmp_path / "frames.npz", x=frames, y=np.array([0, 1, 2, 0]))
    return net, tmp_path / "frames.npz"


def test_a_larger_delta_threshold_sends_less(sigma_delta_net, tmp_path):
    net, frames = sigma_delta_net
    reports = [td.simulate(net, data=str(frames), delta_threshold=theta).as_json() for theta in (None, 0.0, 3.0, 100.0)]
    assert [report["options"]["delta_threshold"] for report in reports] == [None, 0.0, 3.0, 100.0]
    events = [report["totals"]["delta_events"] for report in reports]
    assert events[0] == events[2]  # as the file says
    assert events[1] > events[2] > events[3]
    found = sweep(
        [net],
        data=str(frames),
        out=tmp_path / "out",
        codes=("delta",),
        delta_thresholds=(0.0, 100.0),
        profiles=(),
    )
    assert [(point["delta_threshold"], point["delta_events"]) for point in found["points"]] == [
        (0.0, events[1] / 4),
        (100.0, events[3] / 4),
    ]


def test_no_chip_target_holds_a_sigma_delta_network_and_onnx_does(sigma_delta_net, tmp_path):
    net, frames = sigma_delta_net
    for target in ("nir", "lava"):
        with pytest.raises(NotExportable, match="SigmaDelta"):
            td.export(net, target=target, out=tmp_path / target)
    verified = td.verify(net, data=str(frames), against=("reference", "onnx"))
    assert [(comparison.after, comparison.outputs_differing) for comparison in verified.comparisons] == [
        ("onnx, step", 0),
        ("onnx, scan", 0),
    ]


def test_a_net_of_spikes_goes_on_to_nir_and_back(tmp_path):
    path = write_net(tmp_path / "some.net", INPUT, CONV, FLATTEN, DENSE)
    td.export(path, target="nir", out=tmp_path / "some.nir")
    assert [node.name for node in read(tmp_path / "some.nir").nodes] == [node.name for node in read(path).nodes]
    assert td.inspect(path)["dialect"] == "lava-dl"
