"""Outputs of a program: spikes or the potential of the last layer; and runs whose output never changes."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from tdd_deploy import export, simulate, verify
from tdd_deploy import load as read_program
from tdd_deploy.commands.verify import Verified
from tdd_deploy.data import Frames
from tdd_deploy.errors import BadData, BadOption, BadOptions, BadProgram, NotExportable, TddDeployError
from tdd_deploy.exporters import TARGETS
from tdd_deploy.exporters.nir.write import write
from tdd_deploy.neurons import LI, LIF, LoihiLIF
from tdd_deploy.program import (
    Code,
    Dense,
    Edge,
    Flatten,
    Input,
    NeuronLayer,
    Node,
    Output,
    Program,
    Scale,
    build,
    with_code,
    with_potential_output,
)
from tdd_deploy.program.outputs import unchanging
from tdd_deploy.program.quantization.quantize import quantize
from tdd_deploy.runtime.shards import check_finite
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.verification.backends import torch_backend
from tests.commands import Call
from tests.net_files import CUBA, SDNN, write_net

N_SAMPLES, N_STEPS = 6, 9
FC = Dense(name="fc", weight=np.array([[1.0, 0.5, -1.0], [0.5, -1.0, 1.0]]))
NEVER = {"v_threshold": np.array(100.0), "v_reset": np.array(0.0)}  # the potential stays below 2 * 1.5


def layer(*, shape: tuple[int, ...] = (2,), **changed: Any) -> NeuronLayer:
    return NeuronLayer(name="last", shape=shape, neuron=LIF(**{"beta": np.array(0.5)} | NEVER | changed))


def chain(*nodes: Node, **options: Any) -> Program:
    edges = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    return build(nodes, edges, dt_s=1e-3, n_steps=N_STEPS, **options)


def silent(*between: Node) -> Program:
    return chain(Input(name="input", shape=(3,)), FC, layer(), *between, Output(name="out"))


def samples(folder: Path) -> tuple[Path, np.ndarray]:
    """Spikes, and labels that argmax of the potential, summed over time, gives for all but the last sample."""
    x = (np.random.default_rng(3).random((N_SAMPLES, N_STEPS, 3)) < 0.4).astype(np.float32)
    v = np.zeros((N_SAMPLES, N_STEPS, 2), np.float32)
    for t in range(N_STEPS):
        v[:, t] = (v[:, t - 1] / 2 if t else 0) + x[:, t] @ FC.weight.T
    y = v.sum(axis=1).argmax(axis=1)
    assert len({*y.tolist()}) == 2
    y[-1] = 1 - y[-1]
    np.savez(folder / "samples.npz", x=x, y=y)
    return folder / "samples.npz", v


@pytest.fixture
def network(tmp_path: Path) -> Path:
    write(silent(), tmp_path / "network.nir")
    return tmp_path / "network.nir"


def test_a_potential_as_the_output_is_the_answer_and_is_recorded(network: Path, tmp_path: Path) -> None:
    data, v = samples(tmp_path)
    options: dict[str, Any] = {"data": str(data), "output": "potential", "record_potentials": True}
    found = simulate(network, **options, record=tmp_path / "r.npz")
    assert found.accuracy == (N_SAMPLES - 1) / N_SAMPLES
    with np.load(tmp_path / "r.npz", allow_pickle=False) as recorded:
        assert set(recorded) == {"last", "v/last", "output"}
        np.testing.assert_array_equal(recorded["output"], v)
        np.testing.assert_array_equal(recorded["v/last"], v)
        assert recorded["v/last"].dtype == np.float32
        assert not recorded["last"].any()
    report = found.as_json()
    assert report["options"]["output"] == "potential"
    assert (report["output"]["reading"], report["output"]["sources"]) == ("potential", ["last"])
    assert not report["output"]["never_changes"]


@pytest.mark.parametrize("options", [{"threads": 2, "batch": 1}, {"workers": 2}, {"early_exit": 100.0}])
def test_threads_workers_and_early_exit_read_the_same_potential(
    options: dict[str, Any], network: Path, tmp_path: Path
) -> None:
    data, _ = samples(tmp_path)
    found = simulate(network, data=str(data), output="potential", **options)
    assert found.accuracy == (N_SAMPLES - 1) / N_SAMPLES
    assert found.trace.n_samples == N_SAMPLES


def test_counts_do_not_depend_on_the_reading_of_the_output(network: Path, tmp_path: Path) -> None:
    data, _ = samples(tmp_path)
    reports = [simulate(network, data=str(data), output=output).as_json() for output in ("spikes", "potential")]  # type: ignore[arg-type]
    assert reports[0]["totals"]["synops_effective"] > 0
    for part in ("layers", "steps", "totals"):
        assert reports[0][part] == reports[1][part]


def test_a_regression_of_lava_dl_whose_last_threshold_is_the_highest_has_an_answer(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = [2.0 * rng.integers(-30, 60, (32, 16)), 2.0 * rng.integers(-20, 21, (1, 32))]
    never = CUBA | {"vDecay": 0, "vThMant": 2**17 - 1}
    layers = [
        {"type": "dense", "shape": [len(w)], "weight": w.astype(np.float32), "neuron": neuron}
        for w, neuron in zip(weights, (CUBA, never), strict=True)
    ]
    file = write_net(tmp_path / "n.net", *layers)
    np.savez(tmp_path / "x.npz", x=(rng.random((2, 40, 16)) < 0.3).astype(np.float32))
    simulate(file, data=str(tmp_path / "x.npz"), output="potential", record=tmp_path / "r.npz", record_potentials=True)
    with np.load(tmp_path / "r.npz", allow_pickle=False) as recorded:
        answer, spikes, v = recorded["output"], recorded["layer0"].astype(np.int64), recorded["v/layer0"]
        assert not recorded["layer1"].any()
    expected = np.cumsum(64 * spikes @ weights[1].T, axis=1)  # no leak, and 64 to a unit of weight
    assert np.ptp(expected) > 0
    np.testing.assert_array_equal(answer, expected)
    assert answer.dtype == v.dtype == np.int32
    np.testing.assert_array_equal(v > 64 * CUBA["vThMant"], spikes)


def test_a_network_of_snntorch_whose_reset_is_none_answers_by_its_potential(tmp_path: Path) -> None:
    lif = nir.LIF(
        tau=np.full(2, 2e-4), r=np.full(2, 2.0), v_leak=np.zeros(2), v_threshold=np.full(2, 1.0), v_reset=np.zeros(2)
    )
    nodes = {
        "input": nir.Input(np.array([3])), "fc": nir.Linear(FC.weight), "lif": lif, "output": nir.Output(np.array([2]))
    }  # fmt: skip
    names = [*nodes]
    nir.write(tmp_path / "n.nir", nir.NIRGraph(nodes, [*pairwise(names)]))
    data, v = samples(tmp_path)
    dialect = "snntorch,reset=none,reset_delay=no"
    found = simulate(tmp_path / "n.nir", data=str(data), dialect=dialect, output="potential", record=tmp_path / "r.npz")
    with np.load(tmp_path / "r.npz", allow_pickle=False) as recorded:
        np.testing.assert_allclose(recorded["output"], v, rtol=1e-6)
        assert recorded["lif"].any()  # it fires, and its potential continues as if it had not
    assert found.accuracy == (N_SAMPLES - 1) / N_SAMPLES


# Programs that the pass accepts, and programs that it refuses


def test_maps_that_treat_all_spikes_alike_are_left_out() -> None:
    between = [Scale(name="twice", factor=np.full(2, 2.0)), Flatten(name="flat")]
    found = with_potential_output(silent(*between))
    assert (found.output.reading, found.shapes["out"]) == ("potential", (2,))
    assert [node.name for node in found.nodes] == ["input", "fc", "last", "out"]
    assert found == with_potential_output(silent())


def test_an_output_of_integers_is_in_the_layers_own_numbers() -> None:
    made = quantize(silent(), bits=8, input_bits=4).program
    assert made.output.unit != 1
    found = with_potential_output(made)
    assert (found.output.unit, found.output.reading) == (1.0, "potential")
    inputs = np.ones((4, 1, 3))
    potentials: dict[str, np.ndarray] = {}
    sent = reference.run(found, inputs, potentials=potentials)
    assert sent["out"].any()
    np.testing.assert_array_equal(sent["out"], potentials["last"])


def per_neuron() -> Program:
    neuron = LoihiLIF(
        v_threshold=np.array([64, 128]), v_reset=np.array(0), du=np.array(4095), dv=np.array(0), bias=np.array(0)
    )
    nodes = [
        Input(name="input", shape=(3,)),
        Dense(name="fc", weight=2 * np.ones((2, 3))),
        NeuronLayer(name="last", shape=(2,), neuron=neuron),
        Output(name="out"),
    ]
    return chain(*nodes, number_format="integer")


def two_sources() -> Program:
    edges = [Edge("input", "fc"), Edge("fc", "last"), Edge("last", "out"), Edge("fc", "out")]
    nodes = [Input(name="input", shape=(3,)), FC, layer(), Output(name="out")]
    return build(nodes, edges, dt_s=1e-3, n_steps=2)


def delayed() -> Program:
    edges = [Edge("input", "fc"), Edge("fc", "last"), Edge("last", "out", 1)]
    return build([Input(name="input", shape=(3,)), FC, layer(), Output(name="out")], edges, dt_s=1e-3, n_steps=2)


def scale_with_another_receiver() -> Program:
    twice = Scale(name="twice", factor=np.array(2.0))
    second = replace(layer(), name="second")
    nodes = [Input(name="input", shape=(3,)), FC, layer(), twice, second, Dense(name="back", weight=np.eye(2))]
    edges = [Edge("input", "fc"), Edge("fc", "last"), Edge("last", "twice"), Edge("twice", "out")]
    edges += [Edge("twice", "second"), Edge("second", "back", 1), Edge("back", "last")]
    return build([*nodes, Output(name="out")], edges, dt_s=1e-3, n_steps=2)


REFUSED: dict[str, tuple[Callable[[], Program], str]] = {
    "a readout": (lambda: silent(Dense(name="fc2", weight=np.eye(2))), "comes from fc2"),
    "a scale per neuron": (lambda: silent(Scale(name="uneven", factor=np.array([1.0, 2.0]))), "comes from uneven"),
    "a sign": (lambda: silent(Scale(name="less", factor=np.array(-1.0))), "comes from less"),
    "a scale that others need": (scale_with_another_receiver, "comes from twice"),
    "a shift": (lambda: silent(Scale(name="s", factor=np.array(1.0), bias=np.array([1.0, 0.0]))), "comes from s"),
    "two sources": (two_sources, "comes from fc and last"),
    "a delay": (delayed, r"comes from last \(delayed\)"),
    "potentials already": (
        lambda: chain(
            Input(name="input", shape=(3,)), FC, replace(layer(), neuron=LI(beta=np.array(0.5))), Output(name="o")
        ),
        r"last \(LI\) sends numbers\. Leave it out",
    ),
    "integers per neuron": (per_neuron, "scale of its own.*with per=layer"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_output_that_is_not_the_spikes_of_one_layer_has_no_potential(case: str) -> None:
    make, words = REFUSED[case]
    with pytest.raises(BadOption, match=words):
        with_potential_output(make())


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_that_cannot_read_a_potential_refuses_it_by_name(target: str, tmp_path: Path) -> None:
    with pytest.raises(NotExportable, match="out reads a potential"):
        TARGETS[target](with_potential_output(silent()), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_integers_are_made_before_their_potential_is_read(tmp_path: Path) -> None:
    with pytest.raises(NotExportable, match=r"out reads a potential.*Quantize the program first, then"):
        quantize(with_potential_output(silent()))
    with pytest.raises(BadOption, match="against cannot include torch, since the program's output is a potential"):
        torch_backend(tmp_path, with_potential_output(silent()))


def test_verify_compares_potentials_that_are_the_output(network: Path, tmp_path: Path) -> None:
    data, _ = samples(tmp_path)
    found = verify(network, data=str(data), output="potential")
    assert found.passed
    assert [comparison.outputs for comparison in found.comparisons] == [
        N_SAMPLES * N_STEPS * 2
    ] * 2  # the event engine, in two codes
    assert {name: round(n * N_SAMPLES) for name, n in found.accuracies.items()} == {
        "reference": N_SAMPLES - 1, "event, delta code": N_SAMPLES - 1, "event, spike code": N_SAMPLES - 1
    }  # fmt: skip
    left_out = "\n".join(found.left_out)
    assert all(name in left_out for name in ("torch", "onnx", "integer"))
    assert [comparison.always_zero for comparison in found.comparisons] == [("last",)] * 2
    plain = verify(network, data=str(data), against=["reference", "event"])
    assert [comparison.always_zero for comparison in plain.comparisons] == [("last", "out")] * 2


# A run whose output never changes


def test_an_output_that_is_the_same_in_every_sample_and_step_is_found() -> None:
    output = np.full((3, 4, 2), [1.0, -2.0])
    assert unchanging(output).tolist() == [1.0, -2.0]  # type: ignore[union-attr]
    for place in ((0, 0, 0), (2, 3, 1), (1, 0, 1)):
        other = output.copy()
        other[place] += 1e-6
        assert unchanging(other) is None


def test_an_output_that_stays_0_is_reported_beside_the_accuracy(network: Path, tmp_path: Path, call: Call) -> None:
    data, _ = samples(tmp_path)
    words = ("simulate", network, "--data", data, "--batch", 2)
    plain = call(*words, "--out", tmp_path / "report")
    assert plain.code == 0
    html = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    for text, option in ((plain.out, "--output potential"), (html, "output=potential")):
        assert "0 in every sample and time step" in text
        assert "last never fires" in text
        assert option in text
    report = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert report["output"] == {
        "reading": "spikes", "sources": ["last"], "silent_layer": "last", "always_zero": True, "never_changes": True
    }  # fmt: skip
    read = call(*words, "--output", "potential", "--out", tmp_path / "read")
    for text in (read.out, (tmp_path / "read" / "report.html").read_text(encoding="utf-8")):
        assert "never changes" not in text
        assert "potential of last" in text


def test_an_output_that_stays_the_same_is_reported_where_samples_could_differ(tmp_path: Path) -> None:
    fc = replace(FC, weight=np.zeros((2, 3)), bias=np.array([1.0, 2.0]))
    write(chain(Input(name="input", shape=(3,)), fc, Output(name="out")), tmp_path / "n.nir")
    data, _ = samples(tmp_path)
    for n, expected in ((N_SAMPLES, True), (1, False)):
        for batch in (1, 4):
            report = simulate(tmp_path / "n.nir", data=str(data), samples=n, batch=batch).as_json()
            assert (report["output"]["never_changes"], report["output"]["always_zero"]) == (expected, False)


def test_one_sample_that_differs_changes_the_output(tmp_path: Path) -> None:
    fc = replace(FC, weight=np.array([[1.0, 0, 0], [0, 0, 0]]))
    write(chain(Input(name="input", shape=(3,)), fc, Output(name="out")), tmp_path / "n.nir")
    x = np.zeros((7, N_STEPS, 3), np.float32)
    for last in (0.0, 1.0):
        x[6, 4, 0] = last
        np.savez(tmp_path / "x.npz", x=x)
        for batch in (1, 3, 64):
            report = simulate(tmp_path / "n.nir", data=str(tmp_path / "x.npz"), batch=batch).as_json()
            assert report["output"]["always_zero"] == report["output"]["never_changes"] == (last == 0)


def test_steps_that_an_early_exit_left_out_prove_nothing(tmp_path: Path) -> None:
    fc = replace(FC, weight=np.zeros((2, 3)), bias=np.array([1.0, 2.0]))
    write(chain(Input(name="input", shape=(3,)), fc, Output(name="out")), tmp_path / "n.nir")
    data, _ = samples(tmp_path)
    for margin in (0.5, 100.0):
        report = simulate(tmp_path / "n.nir", data=str(data), early_exit=margin).as_json()
        assert not report["output"]["never_changes"]


def test_the_layer_that_never_fires_is_found_before_the_scale_that_quantizing_puts_after_it(
    network: Path, tmp_path: Path
) -> None:
    data, _ = samples(tmp_path)
    export(network, target="nir", out=tmp_path / "integers.nir", bits=8)
    report = simulate(tmp_path / "integers.nir", data=str(data)).as_json()
    assert report["output"]["sources"] != ["last"]
    assert (report["output"]["always_zero"], report["output"]["silent_layer"]) == (True, "last")
    read = simulate(tmp_path / "integers.nir", data=str(data), output="potential")
    assert read.accuracy == (N_SAMPLES - 1) / N_SAMPLES


def test_an_output_of_zeros_without_such_a_layer_has_no_advice(tmp_path: Path) -> None:
    write(
        chain(Input(name="input", shape=(3,)), replace(FC, weight=np.zeros((2, 3))), Output(name="out")),
        tmp_path / "n.nir",
    )
    data, _ = samples(tmp_path)
    report = simulate(tmp_path / "n.nir", data=str(data)).as_json()
    assert (report["output"]["always_zero"], report["output"]["silent_layer"]) == (True, None)


# Options, and numbers that are none


def test_another_reading_is_refused(network: Path, tmp_path: Path) -> None:
    data, _ = samples(tmp_path)
    for command in (simulate, verify):
        with pytest.raises(BadOptions, match=r"^output must be spikes or potential \(got 'current'\)"):
            command(network, data=str(data), output="current")  # type: ignore[operator]


def test_potentials_are_recorded_with_a_recording_alone(network: Path, tmp_path: Path) -> None:
    data, _ = samples(tmp_path)
    with pytest.raises(BadOptions, match=r"^record_potentials needs record"):
        simulate(network, data=str(data), record_potentials=True)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_an_output_that_is_not_finite_is_refused_with_its_sample_and_step(number: float) -> None:
    output = np.zeros((3, 4, 2))
    check_finite(output, start=10)
    output[2, 1, 0] = output[2, 3, 1] = number
    with pytest.raises(BadData, match="NaN or infinite in sample 12, time step 2"):
        check_finite(output, start=10)


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_a_recurrent_network_that_grows_beyond_floats_is_refused_where_it_does(batch: int, tmp_path: Path) -> None:
    """Potentials that are sent have no bound: here they grow by 2**40 per step, beyond float32 at the fifth."""
    nodes = [
        Input(name="input", shape=(1,)),
        NeuronLayer(name="li", shape=(1,), neuron=LI(beta=np.array(0.5))),
        Dense(name="back", weight=np.array([[2.0**40]])),
        Output(name="out"),
    ]
    edges = [Edge("input", "li"), Edge("li", "back", 1), Edge("back", "li"), Edge("li", "out")]
    write(build(nodes, edges, dt_s=1e-3, n_steps=N_STEPS), tmp_path / "n.nir")
    x = np.zeros((5, N_STEPS, 1), np.float32)
    x[3, 2] = 1
    for n_samples, is_finite in ((3, True), (5, False)):
        np.savez(tmp_path / "x.npz", x=x[:n_samples])
        if is_finite:
            assert simulate(tmp_path / "n.nir", data=str(tmp_path / "x.npz"), batch=batch).trace.n_samples == 3
        else:
            with pytest.raises(BadData, match=r"numbers from li must be up to .*larger ones, or NaN, at time step 6"):
                simulate(tmp_path / "n.nir", data=str(tmp_path / "x.npz"), batch=batch)


def huge(scale: float) -> Program:
    """Its sums reach ``4 scale``, for spikes."""
    fc = Dense(name="fc", weight=scale * np.array([[2.0, -1.0, 1.0], [1.0, 1.0, -2.0]]))
    return chain(Input(name="input", shape=(3,)), fc, Output(name="out"))


def test_inputs_that_could_make_sums_infinite_are_refused(tmp_path: Path) -> None:
    """Half of the largest float32 is just below 2**127: sums up to 4 * 2**100 allow inputs below 2**25."""
    write(huge(2.0**100), tmp_path / "n.nir")
    x = np.ones((2, N_STEPS, 3), np.float32)
    for largest, is_allowed in ((2.0**24, True), (-(2.0**25), False)):
        x[1, 3, 2] = largest
        np.savez(tmp_path / "x.npz", x=x)
        run = [lambda: simulate(tmp_path / "n.nir", data=str(tmp_path / "x.npz"))]
        run.append(lambda: verify(tmp_path / "n.nir", data=str(tmp_path / "x.npz"), against=["reference", "event"]))
        for command in run:
            if is_allowed:
                command()
            else:
                with pytest.raises(
                    BadData, match=r"a value must be .*\(got 3\.35544e\+07\)\. Scale values down with in"
                ):
                    command()


def tall(weight: float, *, more: float) -> Program:
    """Numbers of a leaky integrator, times weights, into a layer that spikes."""
    signs = np.array([[1.0, 1.0], [1.0, -1.0]])
    return chain(
        Input(name="input", shape=(2,)),
        Dense(name="fc", weight=weight * signs),
        NeuronLayer(name="li", shape=(2,), neuron=LI(beta=np.array(0.5))),
        Dense(name="more", weight=more * signs),
        layer(v_threshold=np.array(1.0)),
        Output(name="out"),
    )


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("code", ["delta", "spike"])
def test_numbers_whose_sums_could_be_infinite_are_refused_though_spikes_hide_them(compiled: bool, code: Code) -> None:
    """A potential beyond float32 fired like any other, and the answer was finite: 0 and 1."""
    x = np.ones((2, 3, 2), np.float32)
    frames = Frames(static=False, values=x)
    program = with_code(tall(2.0**70, more=2.0**60), code)
    with pytest.raises(
        BadData, match=r"numbers from li must be up to 3.\d*e\+19, .*larger ones, or NaN, at time step 1\)"
    ):
        Engine(program, compiled=compiled).run(frames, n_steps=2)
    # Sums of the layers before do not count: what follows is small.
    program = with_code(tall(2.0**120, more=2.0**-60), code)
    found = Engine(program, compiled=compiled).run(frames, n_steps=2, record=["li", "last"])
    expected = reference.run(program, x[:2])
    assert expected["last"].any()
    assert np.array_equal(found.layers["last"].swapaxes(0, 1), expected["last"])
    assert np.array_equal(found.layers["li"].swapaxes(0, 1), expected["li"])


def test_an_infinite_potential_is_not_seen_by_other_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """It once made the zeros of missing states NaN, for all layers and samples that came afterwards."""
    monkeypatch.setattr("tdd_deploy.simulator.engine.plan.largest_sent", lambda program: {"li": np.inf})
    program = with_code(tall(2.0**70, more=2.0**60), "spike")
    x = np.zeros((3, 2, 2), np.float32)
    x[:, 0] = 1  # infinite
    x[:, 1] = 2.0**-65
    with np.errstate(over="ignore", invalid="ignore"):
        found = Engine(program, threads=1).run(Frames(static=False, values=x), n_steps=3, record=["li", "last"])
        expected = reference.run(program, x[:, 1:])
    assert expected["li"].any()
    for name in ("li", "last"):
        assert np.array_equal(found.layers[name][1:].swapaxes(0, 1), expected[name])


def test_weights_near_the_largest_float_are_refused_when_a_file_is_read(tmp_path: Path) -> None:
    nodes = {
        "input": nir.Input(np.array([3])), "fc": nir.Linear(np.full((2, 3), 3e38)), "output": nir.Output(np.array([2]))
    }  # fmt: skip
    nir.write(tmp_path / "n.nir", nir.NIRGraph(nodes, [("input", "fc"), ("fc", "output")]))
    with pytest.raises(TddDeployError, match=r"fc can reach 9e\+38.*Use smaller weights"):
        read_program(tmp_path / "n.nir", dialect="nir,dt=1e-3,integration=euler")


def test_the_reading_of_the_output_is_part_of_a_program() -> None:
    spikes, potential = silent(), with_potential_output(silent())
    assert spikes.digest != potential.digest
    with pytest.raises(BadProgram, match=r"reads a potential, so it needs .* receives fc2"):
        chain(
            Input(name="input", shape=(3,)), FC, layer(), Dense(name="fc2", weight=np.eye(2)),
            Output(name="out", reading="potential"),
        )  # fmt: skip


# Sigma-delta networks in verify


def test_verify_compares_the_messages_of_a_sigma_delta_network_whose_output_stays_0(tmp_path: Path, call: Call) -> None:
    rng = np.random.default_rng(0)
    first, last = (2.0 * rng.integers(-30, 30, shape) for shape in ((32, 16), (4, 32)))
    file = write_net(
        tmp_path / "n.net",
        {"type": "input", "shape": [16], "neuron": SDNN | {"vThMant": 0}},
        {"type": "dense", "shape": [32], "weight": first, "neuron": SDNN | {"vThMant": 40}},
        {"type": "dense", "shape": [4], "weight": last, "neuron": SDNN | {"vThMant": 100_000}},
    )
    np.savez(tmp_path / "x.npz", x=rng.random((4, 6, 16)))
    found = verify(file, data=str(tmp_path / "x.npz"), against=["reference", "event", "onnx"])
    assert found.passed
    for comparison in found.comparisons:
        assert (comparison.spikes, comparison.messages, comparison.outputs) == (0, 4 * 6 * (16 + 32 + 4), 4 * 6 * 4)
        assert (comparison.messages_differing, comparison.not_compared) == (0, 0)
        assert comparison.always_zero == ("layer2", "output")
    verified = call("verify", file, "--data", tmp_path / "x.npz", "--against", "reference,event,onnx")
    assert verified.code == 0
    assert "0 of 1,248" in verified.out
    assert "always 0 on every backend: layer2, output" in verified.out
    report = json.loads(
        call("verify", file, "--data", tmp_path / "x.npz", "--against", "reference,event", "--json").out
    )
    assert [comparison["messages"] for comparison in report["comparisons"]] == [1248, 1248]


def test_no_comparison_at_all_is_never_passed() -> None:
    assert not Verified(comparisons=(), seconds={}, accuracies={}, n_samples=3, left_out=()).passed
