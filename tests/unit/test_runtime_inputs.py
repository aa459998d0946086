"""How samples become inputs: every choice is stated, requested or refused, and reports name its origin."""

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from tdd_deploy import analyze, export, prune, simulate, train, verify
from tdd_deploy import load as read_program
from tdd_deploy.data import encode, open_arrays, open_data
from tdd_deploy.errors import BadData, BadOption, BadOptions, NotExportable
from tdd_deploy.exporters.nir.write import write
from tdd_deploy.neurons import IF, LIF
from tdd_deploy.options.encoding import Encoding
from tdd_deploy.program import Dense, Edge, Flatten, Input, NeuronLayer, Output, Program, build
from tdd_deploy.runtime.inputs import EncodedInputs, InputCounts
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.reports.lines import input_lines, scale_text
from tests.commands import Call
from tests.net_files import CUBA, write_net

DIALECT = "nir,dt=1e-3,integration=euler"
OF_NET = CUBA | {"vThMant": 40, "vDecay": 123, "iDecay": 1024}


def raster(*, n: int = 4, steps: int = 20) -> np.ndarray:
    """Spikes ``[n, steps, 16]`` as booleans."""
    return np.random.default_rng(0).random((n, steps, 16)) < 0.3


def weights(n_out: int, n_in: int) -> np.ndarray:
    return np.random.default_rng(n_out).normal(0.1, 0.4, (n_out, n_in)).astype(np.float32)


def foreign(path: Path) -> Path:
    """Write 16 inputs, 8 LIF and 4 LIF with the nir library alone."""

    def lif(n: int) -> nir.LIF:
        return nir.LIF(tau=np.full(n, 1e-2), r=np.full(n, 10.0), v_leak=np.zeros(n), v_threshold=np.ones(n))

    nodes = {
        "input": nir.Input(np.array([16])),
        "fc1": nir.Linear(weights(8, 16)),
        "lif1": lif(8),
        "fc2": nir.Linear(weights(4, 8)),
        "lif2": lif(4),
        "output": nir.Output(np.array([4])),
    }
    nir.write(path, nir.NIRGraph(nodes, [*pairwise(nodes)], type_check=False))
    return path


def net(path: Path, *first: Mapping[str, Any], simulation: Mapping[str, int] | None = None) -> Path:
    """Write 16 inputs, 8 and 4 neurons as lava-dl does, ``first`` before them."""
    rng = np.random.default_rng(0)
    layers = [
        {"type": "dense", "shape": [n], "neuron": OF_NET, "weight": 2 * rng.integers(-30, 60, (n, n_in))}
        for n_in, n in ((16, 8), (8, 4))
    ]
    return write_net(path, *first, *layers, simulation=simulation)


def ours(*shape: int, n_steps: int | None = 5, **given: Any) -> Program:
    """Return an input of a shape, 4 LIF and the output."""
    neuron = LIF(beta=np.array(0.5), v_threshold=np.array(1.0), v_reset=np.array(0.0))
    nodes = [
        Input(name="input", shape=shape),
        *([Flatten(name="flat")] if len(shape) > 1 else []),
        Dense(name="fc", weight=weights(4, int(np.prod(shape)))),
        NeuronLayer(name="lif", shape=(4,), neuron=neuron),
        Output(name="output"),
    ]
    edges = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    return build(nodes, edges, dt_s=1e-3, n_steps=n_steps, **given)


def saved(path: Path, **arrays: Any) -> str:
    np.savez(path, **arrays)
    return str(path)


def frames_of(x: Any) -> Any:
    x = np.asarray(x, np.float32)
    return encode(x, in_time=False, encoder="direct", n_steps=1, seed=0, start=0)


# The scale


@pytest.mark.parametrize("kind", ["net", "nir"])
def test_the_same_spikes_in_any_type_give_the_same_counts(kind: str, tmp_path: Path) -> None:
    file, spoken = (net(tmp_path / "n.net"), None) if kind == "net" else (foreign(tmp_path / "n.nir"), DIALECT)
    x = raster()
    totals = []
    for dtype in ("bool", "int8", "int16", "int64", "uint16", "float16", "float32", "float64", "uint8"):
        data = saved(tmp_path / "x.npz", x=x.astype(dtype), y=np.arange(4))
        if dtype == "uint8":
            with pytest.raises(BadData, match="bytes that are all 0 and 1"):
                simulate(file, data=data, dialect=spoken)
        report = simulate(file, data=data, dialect=spoken, input_scale=1.0 if dtype == "uint8" else None).as_json()
        totals.append(report["totals"])
        assert report["data"]["input"]["stored"] == dtype
        assert report["data"]["input"]["scale"] == 1
        assert report["data"]["sent"]["nonzero"] == np.count_nonzero(x) > 0
        assert report["data"]["sent"]["neither_0_nor_1"] == 0
    assert totals[0]["spikes"] > 0
    assert all(each == totals[0] for each in totals[1:])


def test_fractions_are_not_rounded_where_whole_numbers_are_taken(tmp_path: Path, call: Call) -> None:
    file = net(tmp_path / "n.net")
    data = saved(tmp_path / "x.npz", x=0.4 * raster())
    called = call("simulate", file, "--data", data)
    assert (called.code, called.out) == (2, "")
    assert "x of sample 0 must be a whole number from -1 to 1" in called.err
    assert "(got 0.4, which would be rounded)" in called.err
    assert "Choose a factor for stored values with --input-scale: 2.5 makes them spikes." in called.err
    scaled = simulate(file, data=data, input_scale=2.5).as_json()["totals"]
    assert scaled == simulate(file, data=saved(tmp_path / "b.npz", x=raster())).as_json()["totals"]
    mixed = saved(tmp_path / "m.npz", x=np.where(raster(), 1, 0.6))
    with pytest.raises(BadData) as caught:
        verify(file, data=mixed)
    assert caught.value.violations[0].remedy == "Choose a factor for stored values with `input_scale`."


def test_bytes_of_images_are_not_rounded_to_spikes(tmp_path: Path) -> None:
    file = net(tmp_path / "n.net")
    data = saved(tmp_path / "x.npz", x=np.full((2, 20, 16), 200, np.uint8))
    with pytest.raises(BadData, match=r"\(got 0\.78125, which would be rounded\)") as refused:
        simulate(file, data=data)
    assert "1 keeps bytes as they are" not in str(refused.value)  # they are too large
    with pytest.raises(BadData, match=r"a value must be .*-1 to 1 \(got 200\)\. Save x != 0 for spikes") as refused:
        simulate(file, data=data, input_scale=1.0)
    assert "input_scale" not in str(refused.value)  # fractions would be refused
    spikes = saved(tmp_path / "spikes.npz", x=np.full((2, 20, 16), 200, np.uint8) != 0)
    assert simulate(file, data=spikes).trace.n_samples == 2


def test_bytes_that_are_whole_numbers_of_the_input_are_taken_with_a_scale_of_1(tmp_path: Path) -> None:
    block = {"type": "input", "shape": [16], "weight": 1, "bias": 0, "neuron": OF_NET | {"vThMant": 2}}
    file = net(tmp_path / "n.net", block)
    data = saved(tmp_path / "x.npz", x=np.full((2, 20, 16), 200, np.uint8))
    with pytest.raises(BadData, match=r"\(got 0\.78125, which would be rounded\).*: 1 keeps bytes as they are"):
        simulate(file, data=data)
    assert simulate(file, data=data, input_scale=1.0).data["sent"]["highest"] == 200


def test_values_that_an_input_block_rounds_are_counted_and_reported(tmp_path: Path, call: Call) -> None:
    block = {"type": "input", "shape": [16], "weight": 4, "bias": 0, "neuron": OF_NET | {"vThMant": 2}}
    file = net(tmp_path / "n.net", block)
    x = np.zeros((2, 20, 16), np.float32)
    x[0, :, :3] = 0.1  # 0.4 of a unit
    x[0, 5:, 3] = 0.3  # 1.2
    x[1, :, 0] = 0.75  # 3
    data = saved(tmp_path / "x.npz", x=x)
    called = call("simulate", file, "--data", data)
    assert called.code == 0
    said = "rounded to the network's integers: 75 of 640 input values, to multiples of 0.25; 60 values other than 0"
    assert f"{said} become 0\n" in called.out
    report = json.loads(call("simulate", file, "--data", data, "--json", "--out", tmp_path / "out").out)
    assert report["data"]["sent"] == {
        "values": 640, "nonzero": 95, "neither_0_nor_1": 20, "off_grid": 75, "lowest": 0.0, "highest": 0.75,
        "rounding": {"rounded": 75, "rounded_to_zero": 60, "unit": 0.25},
    }  # fmt: skip
    assert "75 of 640 input values" in (tmp_path / "out/report.html").read_text()
    shared = simulate(file, data=data, workers=2, batch=1).as_json()
    assert shared["data"] == report["data"]


@pytest.mark.parametrize("run", [simulate, verify])
def test_samples_of_which_rounding_leaves_nothing_are_refused(run: Any, tmp_path: Path) -> None:
    block = {"type": "input", "shape": [16], "weight": 4, "bias": 0, "neuron": OF_NET | {"vThMant": 2}}
    data = saved(tmp_path / "x.npz", x=0.1 * raster())
    with pytest.raises(BadData) as caught:
        run(net(tmp_path / "n.net", block), data=data)
    (violation,) = caught.value.violations
    n = np.count_nonzero(raster())
    assert violation.found == f"{n} from 0 to 0.1, which all round to 0"
    assert "beyond 0.125" in violation.allowed
    half = saved(tmp_path / "half.npz", x=0.125 * raster())  # rounds to the even 0
    with pytest.raises(BadData, match="all round to 0"):
        run(tmp_path / "n.net", data=half)
    assert run(tmp_path / "n.net", data=saved(tmp_path / "zero.npz", x=np.zeros((2, 20, 16))))


def test_counts_of_sent_values_add_up_over_batches() -> None:
    program = ours(3)
    parts = [[0.0, 1.0, 0.5], [0.0, 0.0, 0.0], [-2.0, 0.3, 1.0]]
    whole = InputCounts.of(frames_of(parts), program)
    assert sum((InputCounts.of(frames_of([part]), program) for part in parts), InputCounts()) == whole
    assert whole == InputCounts(values=9, nonzero=5, other=3, off_grid=1, lowest=-2.0, highest=1.0)
    assert not whole.is_binary
    assert InputCounts.of(frames_of([[0, 1, 1]]), program).is_binary
    assert InputCounts.of(frames_of([[3e38, 0, 1]]), program).off_grid == 0
    drawn = encode(np.ones((1, 3), np.float32), in_time=False, encoder="poisson", n_steps=2, seed=0, start=0)
    assert InputCounts.of(drawn, program) == InputCounts()


@pytest.mark.parametrize(
    ("scale", "text"), [(1.0, "1"), (1 / 256, "1/256"), (2.0, "2"), (0.3, "0.3"), (1 / 16, "1/16")]
)
def test_a_scale_is_printed_as_a_fraction_where_that_is_exact(scale: float, text: str) -> None:
    assert scale_text(scale) == text


@pytest.mark.parametrize("word", ["1/0", "x", "1/256/2", "nan", ""])
def test_a_scale_that_is_no_number_is_refused(word: str, call: Call, tmp_path: Path) -> None:
    called = call("simulate", foreign(tmp_path / "n.nir"), "--data", "digits", "--input-scale", word)
    assert (called.code, called.out) == (2, "")
    assert "--input-scale must be a number, above 0 (got" in called.err


# Time


def test_a_missing_number_of_steps_has_to_be_chosen(tmp_path: Path, call: Call) -> None:
    file, data = foreign(tmp_path / "n.nir"), saved(tmp_path / "x.npz", x=raster()[:, 0])
    words = (file, "--dialect", DIALECT, "--data", data)
    for command, more in (("simulate", ()), ("verify", ()), ("sweep", ("--out", tmp_path / "swept"))):
        called = call(command, *words, *more)
        assert (called.code, called.out) == (2, "")
        assert "--steps is not given; " in called.err
        assert "has no time axis, and the network does not state a number of time steps" in called.err
        assert call(command, *words, "--steps", 7, *more).code == 0
    assert read_program(file, dialect=DIALECT).n_steps is None
    assert read_program(file, dialect=f"{DIALECT},steps=9").n_steps == 9
    report = simulate(file, dialect=f"{DIALECT},steps=9", data=data).as_json()
    assert (len(report["steps"]), report["data"]["n_steps_from"]) == (9, "from the network")
    assert "not stated" in call("inspect", file, "--dialect", DIALECT).out


def test_an_exported_file_states_the_steps_that_were_chosen_and_no_others(tmp_path: Path) -> None:
    file = foreign(tmp_path / "n.nir")
    for steps in (None, 7):
        export(file, dialect=DIALECT, target="nir", out=tmp_path / "ours.nir", steps=steps)
        assert read_program(tmp_path / "ours.nir").n_steps == steps
        assert ("n_steps" in nir.read(tmp_path / "ours.nir").metadata) == (steps is not None)
    with pytest.raises(NotExportable, match=r"the network does not state its number of time steps.*steps"):
        export(file, dialect=DIALECT, target="lava", out=tmp_path / "bundle")
    export(file, dialect=DIALECT, target="lava", out=tmp_path / "bundle", steps=7)
    assert json.loads((tmp_path / "bundle/manifest.json").read_text())["n_steps"] == 7
    for steps in (0, 10**12):
        with pytest.raises(BadOptions, match=rf"^steps must be 1 to 16,777,216 \(got {steps}"):
            export(file, dialect=DIALECT, target="nir", out=tmp_path / "ours.nir", steps=steps)


def test_a_bundle_for_lava_needs_a_choice_between_the_steps_of_network_and_data(tmp_path: Path) -> None:
    export(foreign(tmp_path / "n.nir"), dialect=DIALECT, target="nir", out=tmp_path / "ours.nir", steps=6)
    data, bundle = saved(tmp_path / "x.npz", x=raster(n=20)), tmp_path / "bundle"
    with pytest.raises(BadOption, match=r"steps must be .*20 .* the network states 6 time steps, and the data have 20"):
        export(tmp_path / "ours.nir", target="lava", data=data, out=bundle)
    assert not bundle.exists()
    export(tmp_path / "ours.nir", target="lava", data=data, out=bundle, steps=20)
    assert json.loads((bundle / "manifest.json").read_text())["n_steps"] == 20


@pytest.mark.parametrize("command", ["simulate", "verify", "sweep"])
def test_more_steps_than_states_stay_finite_for_are_refused(command: str, tmp_path: Path, call: Call) -> None:
    """Their counts alone filled memory: an internal error in one command, and no answer in another."""
    data = saved(tmp_path / "x.npz", x=raster()[:, 0])
    more = ("--out", tmp_path / "swept") if command == "sweep" else ()
    words = (command, foreign(tmp_path / "n.nir"), "--data", data, *more, "--dialect")
    for given, origin in (
        ((DIALECT, "--steps", 10**12), ""),
        ((f"{DIALECT},steps={10**20}",), ", from the network"),
    ):
        called = call(*words, *given)
        assert called.code == 2
        assert "--steps must be 1 to 16,777,216 (got 1" in called.err
        assert f"00{origin})" in called.err


def test_too_little_memory_is_no_internal_error(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError("Unable to allocate 626. GiB")

    monkeypatch.setattr("tdd_deploy.commands.simulate.simulate", full)
    called = call("simulate", tmp_path / "n.nir", "--data", "x.npz")
    assert (called.code, called.out) == (2, "")
    assert "too little memory (Unable to allocate 626. GiB). Use a smaller --batch" in called.err
    assert "Traceback" not in called.err


def test_calibration_also_needs_a_number_of_steps(tmp_path: Path) -> None:
    file, data = foreign(tmp_path / "n.nir"), saved(tmp_path / "x.npz", x=raster(n=20)[:, 0])
    given: dict[str, Any] = {"dialect": DIALECT, "target": "nir", "out": tmp_path / "q.nir", "bits": 8, "data": data}
    with pytest.raises(BadOption, match=r"^steps is not given"):
        export(file, **given)
    exported = export(file, steps=6, **given)
    assert exported.as_json()["data"]["n_steps"] == exported.program.n_steps == 6


@pytest.mark.parametrize(("simulation", "n_steps"), [(None, None), ({"Ts": 1}, None), ({"Ts": 2, "tSample": 30}, 15)])
def test_a_net_with_a_simulation_group_states_its_steps(simulation: Any, n_steps: Any, tmp_path: Path) -> None:
    file, data = net(tmp_path / "n.net", simulation=simulation), saved(tmp_path / "x.npz", x=raster()[:, 0])
    if n_steps is None:
        with pytest.raises(BadOption, match=r"^steps is not given"):
            simulate(file, data=data)
    else:
        assert len(simulate(file, data=data).as_json()["steps"]) == n_steps


def test_every_choice_of_time_is_reported_with_its_origin(tmp_path: Path, call: Call) -> None:
    write(ours(16), tmp_path / "n.nir")
    moving, still = (saved(tmp_path / f"{len(x.shape)}.npz", x=x) for x in (raster(), raster()[:, 0]))
    for words, line in (
        ((moving,), "time steps per sample: 20 (from the data)"),
        ((moving, "--steps", 6), "time steps per sample: 6 (from --steps), the first of 20 in the data"),
        ((still,), "time steps per sample: 5 (from the network), each showing the whole sample"),
        ((still, "--steps", 6), "time steps per sample: 6 (from --steps), each showing the whole sample"),
    ):
        called = call("simulate", tmp_path / "n.nir", "--data", *words)
        assert f"{line}\n" in called.out
        assert "input: bool times 1 (as stored); direct encoder (from the network)\n" in called.out
    called = call("simulate", tmp_path / "n.nir", "--data", still, "--encoder", "poisson")
    assert "; poisson encoder (from --encoder)\n" in called.out


def test_channels_are_not_taken_for_time_steps(tmp_path: Path, call: Call) -> None:
    write(ours(1, 4, 4), tmp_path / "n.nir")
    x = raster(n=4, steps=3).reshape(4, 3, 4, 4)
    data = saved(tmp_path / "x.npz", x=x, y=np.arange(4))
    words = (tmp_path / "n.nir", "--data", data)
    commands = {
        "simulate": (), "verify": (), "sweep": ("--out", tmp_path / "s"), "check": ("--chip", "loihi2"),
        "export": ("--target", "nir", "--bits", 8, "--out", tmp_path / "q.nir"),
    }  # fmt: skip
    for command, more in commands.items():
        called = call(command, *words, *more)
        assert (called.code, called.out) == (2, "")
        assert (
            "the shape of a sample must be [1, 4, 4] or [T, 1, 4, 4] for the program's input [1, 4, 4]"
            " (got [3, 4, 4], which may be 3 time steps or 3 channels)" in called.err
        )
        assert "Use --frames if the axis after N is time (3 suggests channels)." in called.err
        assert call(command, *words, *more, "--frames").code == 0
    simulation = simulate(tmp_path / "n.nir", data=data, frames=True, record=tmp_path / "r.npz")
    sent = reference.run(read_program(tmp_path / "n.nir"), x.astype("f4").swapaxes(0, 1)[:, :, None])
    with np.load(tmp_path / "r.npz") as recorded:
        np.testing.assert_array_equal(recorded["lif"].swapaxes(0, 1), sent["lif"])
    assert simulation.as_json()["totals"]["spikes"] == np.count_nonzero(sent["lif"]) > 0
    shared = simulate(tmp_path / "n.nir", data=data, frames=True, workers=1).as_json()
    assert shared["totals"] == simulation.as_json()["totals"]


def test_events_are_in_time_without_an_option(tmp_path: Path) -> None:
    events = np.zeros(40, [("t", "i8"), ("x", "i2")])
    events["t"], events["x"] = np.arange(40) * 100, np.arange(40) % 16
    data = saved(tmp_path / "e.npz", events=events, ends=[40], sensor=[16])

    for shape in ((16,), (1, 16)):
        write(ours(*shape), tmp_path / "n.nir")
        report = simulate(tmp_path / "n.nir", data=data, bin_us=1000).as_json()
        assert (report["data"]["n_steps"], report["data"]["input"]["scale_from"]) == (4, "counts of events")
        assert report["data"]["n_steps_from"] == "from the bins of events"
        assert report["data"]["sent"]["nonzero"] == 40


# What data cannot say


def test_targets_that_are_not_labels_are_reported_and_give_no_accuracy(tmp_path: Path, call: Call) -> None:
    file = foreign(tmp_path / "n.nir")
    data = saved(tmp_path / "x.npz", x=raster(), y=np.linspace(0, 1, 4))
    called = call("simulate", file, "--dialect", DIALECT, "--data", data)
    assert "without labels" in called.out
    assert "labels: none, so there is no accuracy; y holds float64 [4], and labels must be integers\n" in called.out
    report = json.loads(call("simulate", file, "--dialect", DIALECT, "--data", data, "--json").out)
    assert (report["accuracy"], report["data"]["input"]["targets"]) == (None, "float64 [4]")
    labels = saved(tmp_path / "y.npz", x=raster(), y=np.arange(4))
    assert "labels must be integers" not in call("simulate", file, "--dialect", DIALECT, "--data", labels).out


def test_values_that_were_sent_decide_a_caveat_about_the_input(tmp_path: Path) -> None:
    file = foreign(tmp_path / "n.nir")

    def caveats(x: np.ndarray, **given: Any) -> tuple[str, ...]:
        data = saved(tmp_path / "x.npz", x=x)
        priced = ["loihi1-davies2018"]
        found = simulate(file, dialect=DIALECT, data=data, code="spike", energy=True, profiles=priced, **given).caveats
        return tuple(line for line in found if line.startswith("loihi1"))

    assert caveats(raster()) == ()
    assert caveats(raster() * 0.5) == (
        "loihi1 cannot execute this network, and is priced as if it could: sends numbers (input)",
    )
    assert caveats(raster()[:, 0] * 0.5, encoder="poisson", steps=9) == ()


def test_prices_of_spikes_that_are_taken_for_signs_and_values_are_a_caveat(tmp_path: Path) -> None:
    file = foreign(tmp_path / "n.nir")

    def caveats(x: np.ndarray, code: str) -> str:
        data, profiles = saved(tmp_path / "x.npz", x=x), ["odin", "loihi2", "truenorth"]
        found = simulate(file, dialect=DIALECT, data=data, code=code, energy=True, profiles=profiles).caveats
        return " ".join(line for line in found if line.startswith("odin"))

    assert caveats(raster(), "spike") == ""
    begin = "odin, truenorth: prices of plain spikes, taken here also for events with "
    assert caveats(raster() * 0.5, "spike") == f"{begin}values (input)"
    assert caveats(raster() * 0.5, "delta").startswith(f"{begin}signs (")
    assert caveats(raster() * 0.5, "delta").endswith(") and events with values (input)")


def test_neurons_that_are_priced_as_lif_and_are_none_are_a_caveat(tmp_path: Path) -> None:
    program = read_program(foreign(tmp_path / "n.nir"), dialect=DIALECT)
    layer = program.neuron_layers[0]
    plain = replace(layer, neuron=IF(v_threshold=np.float32(1), v_reset=np.float32(0)))
    mixed = replace(program, nodes=tuple(plain if node is layer else node for node in program.nodes))

    def caveats(network: Program, profile: str) -> tuple[str, ...]:
        return simulate(network, raster()[:, 0], steps=3, code="spike", energy=True, profiles=[profile]).caveats

    assert caveats(program, "cmos45-memory") == ()
    assert caveats(mixed, "cmos45-memory") == (
        "cmos45-memory: every neuron update is priced as that of a LIF neuron, with one multiplication and one state; "
        "this network has IF",
    )


def test_dense_networks_of_an_input_that_changes_are_executed_once_and_a_caveat_says_so(tmp_path: Path) -> None:
    file = foreign(tmp_path / "n.nir")

    def caveats(x: np.ndarray, **given: Any) -> tuple[str, ...]:
        options = {"dialect": DIALECT, "code": "spike", "energy": True, "profiles": ["odin", "cmos7-jouppi"]}
        return simulate(file, x, **options, **given).caveats

    assert caveats(raster(steps=4)) == (
        "cmos7-jouppi: a dense machine executes the layers once per sample, but the input changes from step to step; "
        "to see all 4 steps it would execute them 4 times",
    )
    assert caveats(raster(steps=1)) == caveats(raster()[:, 0], steps=4) == ()
    assert caveats(raster()[:, 0] * 0.5, encoder="poisson", steps=4) == ()


def test_check_says_what_the_data_show(tmp_path: Path, call: Call) -> None:
    file = foreign(tmp_path / "n.nir")
    words = ("check", file, "--dialect", DIALECT, "--chip", "loihi1", "--code", "spike")
    called = call(*words)
    assert called.code == 0
    assert "no published limit is broken, with one condition\n" in called.out
    assert (
        "if: input sends nothing but spikes; the network does not state this, so check your samples with --data\n"
        in called.out
    )
    data = saved(tmp_path / "x.npz", x=raster())
    called = call(*words, "--data", data)
    assert called.code == 0
    assert "condition" not in called.out
    shown = f"input sends spikes: all 1,280 values of 4 samples of {data} (all) are 0 or 1\n"
    assert f"assumed: {shown}" in called.out
    x = raster() * 1.0
    x[3, 0, 0] = 3
    data = saved(tmp_path / "x.npz", x=x)
    assert call(*words, "--data", data, "--samples", 3).code == 0
    called = call(*words, "--data", data)
    assert called.code == 1
    assert f"sends numbers: 1 of 1,280 values of 4 samples of {data} (all) are not sent as 0 or 1" in called.out
    assert "values range from 0 to 3" in called.out
    assert "poisson" not in called.out  # 3 is no probability
    found = json.loads(call(*words, "--json").out)
    assert (found["fits"], len(found["conditions"]), found["schema_version"]) == (True, 1, 4)


def test_check_advises_binary_bins_of_events_that_are_counted(tmp_path: Path, call: Call) -> None:
    file = foreign(tmp_path / "n.nir")
    events = np.zeros(40, [("t", "i8"), ("x", "i2")])
    data = saved(tmp_path / "e.npz", events=events, ends=[40], sensor=[16])
    words = ("check", file, "--dialect", DIALECT, "--chip", "loihi1", "--data", data, "--bins", 2)
    called = call(*words)
    assert called.code == 1
    assert "With --bin-value binary it fits (checked)." in called.out
    assert call(*words, "--bin-value", "binary").code == 0


def test_options_of_data_are_refused_where_check_has_none(tmp_path: Path, call: Call) -> None:
    called = call(
        "check", foreign(tmp_path / "n.nir"), "--dialect", DIALECT, "--chip", "loihi1",
        "--frames", "--input-scale", 1, "--samples", 2, "--split", "val", "--bins", 3,
    )  # fmt: skip
    assert called.code == 2
    for option in ("--frames", "--input-scale", "--samples", "--split", "--bins"):
        assert f"{option} needs --data." in called.err


def test_currents_that_can_round_are_those_of_the_inputs_that_were_sent(tmp_path: Path) -> None:
    program = ours(16)
    grid = Dense(name="fc", weight=np.random.default_rng(0).integers(-8, 9, (4, 16)) / 8)
    program = build(
        [grid if node.name == "fc" else node for node in program.nodes], program.edges, dt_s=1e-3, n_steps=5
    )
    write(program, tmp_path / "n.nir")

    def rounding(x: np.ndarray, **given: Any) -> list[str]:
        report = simulate(tmp_path / "n.nir", data=saved(tmp_path / "x.npz", x=x), **given).as_json()
        return list(report["program"]["rounding"])

    images = np.arange(2 * 16, dtype=np.uint8).reshape(2, 16) * 8
    assert rounding(images) == []
    assert rounding(images, input_scale=1 / 255) == ["lif"]
    assert rounding(images * np.float32(0.1)) == ["lif"]
    assert rounding(images.astype(int)) == []
    assert rounding(images.astype(int) * 2**14) == ["lif"]


def test_encoded_inputs_report_their_choices(tmp_path: Path) -> None:
    source = open_data(saved(tmp_path / "x.npz", x=raster().astype("f8")))
    found = EncodedInputs.of(ours(16), source, Encoding(steps=6)).as_json(source)
    lines = list(input_lines(found))
    assert lines[0] == "input: float64, rounded to float32, times 1 (as stored); direct encoder (from the network)"
    assert lines[1] == "time steps per sample: 6 (from `steps`), the first of 20 in the data"
    assert len(lines) == 2


def test_arrays_in_memory_are_inputs_like_a_file(tmp_path: Path) -> None:
    file, memory = open_data(saved(tmp_path / "x.npz", x=raster())), open_arrays(raster())
    found, expected = (EncodedInputs.of(ours(16), source) for source in (memory, file))
    ((encoded, labels),), ((other, _),) = found.batches(memory, 4), expected.batches(file, 4)
    assert np.array_equal(encoded.values, other.values)
    assert encoded.values.any()
    assert labels is None
    report = found.as_json(memory)
    assert report["files"] == memory.digests
    assert {**report, "name": "", "files": {}} == {**expected.as_json(file), "name": "", "files": {}}


def test_integers_of_an_input_that_sends_spikes_are_spikes(tmp_path: Path, call: Call) -> None:
    file, data = foreign(tmp_path / "n.nir"), saved(tmp_path / "x.npz", x=raster(n=20))
    words = ("export", file, "--dialect", DIALECT, "--target", "nir", "--bits", 8, "--data", data)
    called = call(*words, "--out", tmp_path / "q.nir")
    assert "the input takes the integers -1, 0 and 1" in called.out
    border = read_program(tmp_path / "q.nir").input
    assert (border.scale, border.largest) == (1, 1)
    assert call("check", tmp_path / "q.nir", "--chip", "loihi1").code == 0
    sent = simulate(tmp_path / "q.nir", data=data).as_json()["data"]["sent"]
    assert (sent["nonzero"], sent["neither_0_nor_1"]) == (np.count_nonzero(raster(n=20)), 0)
    assert verify(file, dialect=DIALECT, data=data, against=("event", "integer")).comparisons
    for given in (data, saved(tmp_path / "half.npz", x=raster(n=20) * 0.5)):
        called = call(*words[:-1], given, "--input-bits", 4, "--out", tmp_path / "q.nir")
        assert "the input takes multiples of 0.0625, from -1 to 1 (--input-bits)\n" in called.out
        assert read_program(tmp_path / "q.nir").input.largest == 16


def test_what_quantizing_does_to_inputs_is_reported(tmp_path: Path, call: Call) -> None:
    x = np.full((20, 16), 0.3, np.float32)
    x[:, :4], x[0, 4] = 0.5, 0.01
    file, data = foreign(tmp_path / "n.nir"), saved(tmp_path / "x.npz", x=x)
    words = ("--dialect", DIALECT, "--data", data, "--steps", 3, "--samples", 18, "--input-bits", 2)
    rounded = 18 * 12  # all but the halves; 0.3 becomes 0.25, and 0.01 becomes 0
    said = f"rounded to the quantized network's integers: {rounded} of 288 input values, to multiples of 0.25; 1 values"
    exported = call("export", file, *words, "--target", "nir", "--bits", 8, "--out", tmp_path / "q.nir")
    compared = call("verify", file, *words, "--against", "event,integer")
    assert (exported.code, exported.out.count(said), compared.out.count(said)) == (0, 1, 1)
    assert "multiples of 0.25, from -1 to 1 (--input-bits)\n" in exported.out
    floats = call("verify", file, *words[:-2], "--against", "reference,event")
    assert (floats.code, "integers" in floats.out) == (0, False)
    plain = call("export", file, "--dialect", DIALECT, "--target", "nir", "--bits", 8, "--out", tmp_path / "q.nir")
    assert "from -1 to 1 (--input-bits; --data measures the range)\n" in plain.out


def test_values_that_are_all_0_show_nothing(tmp_path: Path, call: Call) -> None:
    """They were taken for spikes: the integers of the input became 0 and 1, and a chip of spikes had no objection."""
    file, data = foreign(tmp_path / "n.nir"), saved(tmp_path / "x.npz", x=np.zeros((20, 20, 16), np.float32))
    words = (file, "--dialect", DIALECT, "--data", data)
    assert call("export", *words, "--target", "nir", "--bits", 8, "--out", tmp_path / "q.nir").code == 0
    assert call("export", *words[:3], "--target", "nir", "--bits", 8, "--out", tmp_path / "plain.nir").code == 0
    found, plain = (read_program(tmp_path / name) for name in ("q.nir", "plain.nir"))
    assert (found.input.scale, found.input.largest) == (plain.input.scale, plain.input.largest)
    assert found.input.largest > 1
    checked = call("check", *words, "--chip", "loihi1")
    assert checked.code == 0
    assert "with one condition" in checked.out
    assert f"all values of {data} (all) are 0, and do not show what the input sends" in checked.out
    assert call("check", tmp_path / "q.nir", "--chip", "loihi1", "--data", data).code == 1


def test_check_says_how_it_read_the_data(tmp_path: Path, call: Call) -> None:
    data = saved(tmp_path / "x.npz", x=raster().astype(np.uint8) * 255)
    words = ("check", foreign(tmp_path / "n.nir"), "--dialect", DIALECT, "--chip", "loihi1", "--data", data)
    assert "input: uint8 times 1/256 (bytes are read as pixels" in call(*words).out
    found = json.loads(call(*words, "--json").out)["data"]
    assert (found["input"]["scale"], found["name"]) == (2**-8, data)
    assert json.loads(call(*words[:-2], "--json").out)["data"] is None


def test_check_looks_at_inputs_whatever_their_labels(tmp_path: Path, call: Call) -> None:
    data = saved(tmp_path / "x.npz", x=raster(), y=np.full(4, 9))
    words = (foreign(tmp_path / "n.nir"), "--dialect", DIALECT, "--data", data)
    assert call("check", *words, "--chip", "loihi1").code == 0
    assert "the label of sample 0 must be 0 to 3 (got 9)" in call("simulate", *words).err


@pytest.mark.parametrize("command", ["simulate", "export"])
def test_a_single_sample_is_enough_to_calibrate(command: str, tmp_path: Path, call: Call) -> None:
    more = {"simulate": ("--code", "auto"), "export": ("--target", "nir", "--bits", 8, "--out", tmp_path / "q.nir")}
    data = saved(tmp_path / "x.npz", x=raster(n=1))
    called = call(command, foreign(tmp_path / "n.nir"), "--dialect", DIALECT, "--data", data, *more[command])
    assert (called.code, called.err) == (0, "")


# Training


@pytest.fixture
def bytes_in_time(tmp_path: Path) -> str:
    """Rasters of two classes, saved as bytes."""
    y = np.arange(60) % 2
    x = np.random.default_rng(0).random((60, 4, 1, 4, 4)) < 0.1 + 0.3 * y.reshape(-1, 1, 1, 1, 1)
    return saved(tmp_path / "raster.npz", x=x.astype(np.uint8), y=y)


def test_training_keeps_the_scale_that_was_chosen(bytes_in_time: str, tmp_path: Path, one_thread: None) -> None:
    run = tmp_path / "run"
    given: dict[str, Any] = {"network": "mlp", "method": "tet", "epochs": 1, "steps": 4, "frames": True}
    with pytest.raises(BadData, match="bytes that are all 0 and 1"):
        train(run, data=bytes_in_time, **given)
    found = train(run, data=bytes_in_time, input_scale=1.0, **given).as_json()
    assert (found["options"]["input_scale"], found["data"]["input"]["scale"]) == (1.0, 1.0)
    assert found["data"]["input"]["scale_from"] == "from `input_scale`"
    with np.load(bytes_in_time) as arrays:
        same = saved(tmp_path / "b.npz", x=arrays["x"].astype(bool), y=arrays["y"])
    assert train(tmp_path / "same", data=same, **given).as_json()["program"] == found["program"]
    with pytest.raises(BadOptions, match=r"input_scale must be 1\.0, as the run began \(got 0\.5\)"):
        train(run, resume=True, input_scale=0.5)
    reading: dict[str, Any] = {"data": bytes_in_time, "input_scale": 1.0}
    assert verify(run, **reading, against=("torch", "reference", "event")).passed
    analyzed = analyze(run, **reading, samples=8).as_json()["data"]
    assert (analyzed["input"]["scale"], analyzed["n_steps_from"]) == (1.0, "from the data")
    assert prune(run, data=bytes_in_time, out=tmp_path / "pruned", rounds=1, epochs=1, fisher_samples=8)["rounds"]


def test_integers_that_learned_from_spikes_take_spikes(bytes_in_time: str, tmp_path: Path, one_thread: None) -> None:
    reading: dict[str, Any] = {"data": bytes_in_time, "input_scale": 1.0}
    options: dict[str, Any] = {"network": "mlp", "method": "tet", "epochs": 2, "steps": 4, "frames": True, "qat": 8}
    train(tmp_path / "run", **reading, **options)
    border = read_program(tmp_path / "run").input
    assert (border.scale, border.largest) == (1, 1)
    verified = verify(tmp_path / "run", **reading, against=("torch", "reference", "event"))
    assert verified.passed
    assert sum(comparison.spikes for comparison in verified.comparisons) > 0


def test_training_reports_how_samples_are_read(tmp_path: Path, call: Call, one_thread: None) -> None:
    data = saved(tmp_path / "x.npz", x=raster(n=40), y=np.arange(40) % 2)
    fast = ("--network", "mlp", "--method", "tet", "--epochs", 1, "--steps", 2)
    for words, line in (
        (
            (),
            "a sample [20, 16] has no time axis and is read as [1, 20, 16]; --frames would read its first axis as time",
        ),
        (("--frames",), "a sample [20, 16] is 20 time steps of shape [16]"),
    ):
        called = call("train", "--data", data, *fast, *words, "--out", tmp_path / f"run{len(words)}")
        assert (called.code, f"{line}\n" in called.out) == (0, True)
        assert "input: bool times 1 (as stored)\n" in called.out
        shown = "the first of 20 in the data" if words else "each showing the whole sample"
        assert f"time steps per sample: 2 (from the options of the run), {shown}\n" in called.out


def test_a_run_says_where_data_are_not_scaled_as_when_it_was_trained(
    tmp_path: Path, call: Call, one_thread: None
) -> None:
    data = saved(tmp_path / "x.npz", x=np.arange(40 * 16, dtype=np.uint8).reshape(40, 4, 4), y=np.arange(40) % 2)
    run = tmp_path / "run"
    train(run, data=data, input_scale=1 / 64, network="mlp", method="tet", epochs=1, steps=2)
    line = "the network was trained on uint8 times 1/64 (--input-scale 1/64)\n"
    for words in (("simulate", run), ("verify", run, "--against", "reference,event"), ("analyze", run)):
        assert line in call(*words, "--data", data, "--samples", 4).out
        assert line not in call(*words, "--data", data, "--samples", 4, "--input-scale", "1/64").out
    floats = saved(tmp_path / "floats.npz", x=np.ones((4, 4, 4)))  # other values have a scale of their own
    assert "the network was trained" not in call("simulate", run, "--data", floats).out
    pruned = call("prune", run, "--data", data, "--rounds", 1, "--epochs", 1, "--out", tmp_path / "pruned")
    assert "input: uint8 times 1/64 (from --input-scale)\n" in pruned.out
    resumed = call("train", "--data", data, "--resume", "--out", run, "--encoder", "poisson")
    assert "--encoder must be direct, as the run began (got poisson)" in resumed.err
    resumed = call("train", "--data", data, "--resume", "--out", run, "--mixup", 0.5)
    assert "--mixup must be not given, as the run began (got 0.5)" in resumed.err


@pytest.mark.parametrize("given", [{"train_samples": 1}, {}])
def test_a_single_training_sample_is_refused(given: Mapping[str, Any], tmp_path: Path) -> None:
    n = 20 if given else 2
    data = saved(tmp_path / "x.npz", x=np.ones((n, 4, 4)), y=np.arange(n) % 2)
    with pytest.raises(BadData, match=r"its training samples must be 2 or more.*\(got 1\)"):
        train(tmp_path / "run", data=data, network="mlp", epochs=1, **given)


def test_training_refuses_targets_that_are_not_labels(tmp_path: Path) -> None:
    data = saved(tmp_path / "x.npz", x=np.ones((20, 3)), y=np.ones(20))
    with pytest.raises(BadData, match=r"its labels must be .*one integer per sample.*float64 \[20\]"):
        train(tmp_path / "run", data=data, network="mlp")
