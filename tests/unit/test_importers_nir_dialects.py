"""Files of other tools, read in their dialects: what each tool recorded of its own file is what we compute."""

from pathlib import Path

import h5py
import nir
import numpy as np
import pytest

from tdd_deploy.errors import BadFile, BadOption, BadOptions, TddDeployError, UnsupportedGraph
from tdd_deploy.exporters.nir.write import write
from tdd_deploy.importers import AmbiguousGraph, lower, read, survey
from tdd_deploy.importers.nir.dialects import DIALECTS, KEYS, parse_dialect
from tdd_deploy.neurons import IF, LIF, VariantLIF
from tdd_deploy.options import vocabulary
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.engine.engine import Engine
from tests.shared_data import needs, shared
from tests.zoo import Given

FILES = shared("nir")
needs_files = needs(FILES)
NORSE = FILES / "lif_norse.nir"


def both(program, inputs):
    """Return the output of the reference, which is that of the event engine too, ``[n_steps, batch, *shape]``."""
    sent = reference.run(program, inputs)
    for compiled in (True, False):
        found = Engine(program, compiled=compiled).run(Given(inputs), n_steps=len(inputs))
        np.testing.assert_allclose(found.output.swapaxes(0, 1), sent[program.output.name], rtol=1e-5, atol=1e-6)
    return sent


# What others recorded


@needs_files
@pytest.mark.parametrize(
    ("name", "dialect"),
    [
        ("snntorch_conv_leaky_zero_nodelay", "snntorch,reset=hard,reset_delay=no"),
        ("norse_conv_lifbox_fixed_tau", "norse"),
        ("sinabs_conv_iaf_singlespike", "sinabs,spikes=one"),
        ("spikingjelly_conv_lif_hard", "spikingjelly"),
    ],
)
def test_a_network_fires_the_spikes_that_its_own_tool_recorded(name, dialect):
    program = read(FILES / "exported" / f"{name}.nir", dialect=dialect)
    with np.load(FILES / "exported" / f"{name}.npz", allow_pickle=False) as recorded:
        sent = both(program, recorded["input"][:, None])
        first = program.neuron_layers[0].name
        assert np.count_nonzero(sent[first][:, 0] != recorded["layer1"]) == 0
        assert np.count_nonzero(sent[program.output.name][:, 0] != recorded["output"]) == 0
        assert recorded["layer1"].sum() > 100


TRACES = {
    "exact": "nir,dt=1e-4,integration=exact",
    "nengo": "nir,dt=1e-4,integration=exact",
    "norse": "norse,dt=1e-4",
    "snntorch": "snntorch,reset=hard,reset_delay=no",
    "spinnaker2": "nir,dt=1e-4,integration=euler",
    "sinabs": "sinabs,dt=1e-4,gain=nir,spikes=many",
    "rockpool": "rockpool,dt=1e-4,gain=nir",
    "spyx": "spyx,dt=1e-4,gain=nir",
    "lava_cpu_float": "lava,dt=1e-4",
    "lava_cpu_fixed": "lava,dt=1e-4",
    "lava_loihi_fixed": "lava,dt=1e-4",
}


@needs_files
@pytest.mark.parametrize("platform", TRACES)
def test_one_file_fires_at_the_steps_that_each_platform_recorded(platform):
    trace = np.genfromtxt(FILES / "lif_norse_traces" / f"lif_{platform}.csv", delimiter=",")
    program = read(NORSE, dialect=TRACES[platform])
    current = (trace[:, 0] > 0).astype(np.float32)  # sinabs recorded it after its weight
    sent = both(program, current[:, None, None])
    fired = np.flatnonzero(sent[program.output.name])
    assert fired.tolist() == np.flatnonzero(trace[:, 2]).tolist()
    assert len(fired) == 4


@needs_files
@pytest.mark.parametrize(
    ("platform", "scale"), [("exact", None), ("norse", 1.0), ("snntorch", 25.0), ("spyx", 1.0), ("nengo", 10.0)]
)
def test_the_potentials_between_spikes_are_those_recorded_too(platform, scale):
    trace = np.genfromtxt(FILES / "lif_norse_traces" / f"lif_{platform}.csv", delimiter=",")
    program = read(NORSE, dialect=f"{TRACES[platform]},numbers=float64")
    potentials = {}
    reference.run(program, (trace[:, 0] > 0)[:, None, None].astype(float), potentials=potentials)
    before = slice(0, 455)  # the first spike
    expected, found = trace[before, 1], potentials["1"][before, 0, 0]
    if scale is None:  # recorded in the middle of a step
        assert np.corrcoef(expected, found)[0, 1] > 0.999
    else:
        np.testing.assert_allclose(found * scale, expected, rtol=2e-3, atol=2e-4 * scale)


@needs_files
def test_a_loop_that_no_input_enters_runs():
    program = read(FILES / "feedback_graph.nir", dialect="nir,dt=1e-3,integration=exact")
    assert "begins at feedback_ir" in program.provenance["assumed"]
    sent = both(program, np.zeros((50, 1, 3), np.float32))
    assert 0 < sent["state"].mean() < 1
    assert np.abs(sent["feedback_ir"][-1]).max() > 0


@needs_files
@pytest.mark.parametrize(
    ("name", "repair"),
    [
        ("conv_without_input_shape", "0: input_shape is missing, read as [34, 34], which it receives"),
        ("conv_without_input_shape", "input: the batch of 1 in its shape (1, 2, 34, 34) is left out"),
        ("dangling_edge_subgraph", "edges name a node lif1.lif that does not exist: read as lif1.lif1"),
        ("parameters_of_unequal_shape", "1: r [], v_leak [] broadcast to [1]"),
        ("type_mismatch_lif_rockpool", "output: states shape (1, 1, 1), but receives (1,), which is used"),
    ],
)
def test_a_damaged_file_is_repaired_and_reported_or_refused(name, repair):
    path = FILES / "damaged" / f"{name}.nir"
    program = read(path, dialect="nir,dt=1e-4,integration=euler")
    assert repair in program.provenance["repaired"]
    assert np.isfinite(both(program, np.ones((3, 1, *program.input.shape), np.float32))[program.output.name]).all()
    with pytest.raises(UnsupportedGraph, match="strict allows no repair: "):
        read(path, dialect="nir,dt=1e-4,integration=euler", strict=True)


@needs_files
def test_what_is_no_nir_file_is_not_called_damaged():
    with pytest.raises(BadFile, match=r"it is a zip archive, such as PyTorch saves\. Name a "):
        read(FILES / "damaged" / "not_hdf5_torch_zip.nir", dialect="norse")


# What has to be chosen


def lif(**changed):
    one = np.ones(2)
    given = {"tau": 1e-3 * one, "r": 10 * one, "v_leak": 0 * one, "v_threshold": 0.3 * one, "v_reset": 0 * one}
    return nir.LIF(**(given | changed))


def graph_of(node, *, weight=None, type_check=False):
    weight = np.array([[0.3, 0.0], [0.0, 0.3]]) if weight is None else weight
    nodes = {"in": nir.Input(np.array([2])), "fc": nir.Linear(weight), "n": node, "out": nir.Output(np.array([2]))}
    return nir.NIRGraph(nodes, [("in", "fc"), ("fc", "n"), ("n", "out")], type_check=type_check)


def test_a_graph_of_another_tool_without_a_dialect_is_an_error_that_lists_them_all():
    with pytest.raises(AmbiguousGraph) as refused:
        lower(graph_of(lif()))
    message = str(refused.value)
    assert all(f"dialect={name}" in message for name in DIALECTS)
    assert all(f"`dialect={name}" in refused.value.message for name in DIALECTS)
    assert "v = 0.9 v + 1 x, fires at v >= 0.3, then goes to 0" in message  # spikingjelly
    assert "nir,dt=...,integration=..." in message
    assert "v = (1 - dt / 0.001 or exp(-dt / 0.001)) v + 10 dt / 0.001 x" in message
    assert "then loses 0.3, goes to 0 or stays, at once or a step later" in message  # snntorch
    assert "v = (1 - dt / 0.001) v + 10 dt / 0.001 x" in message  # lava
    assert "v = exp(-dt / 0.001) v + 1 x" in message  # rockpool


def test_one_graph_fires_50_40_or_0_times_by_its_dialect():
    """The counts that the tools themselves gave for this graph and input, 200 steps of 1."""
    expected = {
        "snntorch,reset=hard,reset_delay=no": 50,
        "nir,dt=1e-4,integration=euler": 50,
        "nir,dt=1e-4,integration=exact": 40,
        "norse": 0,
        "sinabs,gain=one,spikes=one": 0,
    }
    x = np.ones((200, 1, 2), np.float32)
    graph = graph_of(lif(v_threshold=np.ones(2)))
    assert {name: both(lower(graph, dialect=name), x)["n"][:, 0, 0].sum() for name in expected} == expected


@pytest.mark.parametrize(
    ("dialect", "asked"),
    [
        ("nir", ["dt of dialect nir", "integration of dialect nir"]),
        ("snntorch", ["reset of dialect snntorch", "reset_delay of dialect snntorch"]),
        ("snntorch,reset=soft", ["reset_delay of dialect snntorch"]),
        ("sinabs", ["gain of dialect sinabs", "spikes of dialect sinabs"]),
        ("rockpool", ["dt of dialect rockpool"]),
    ],
)
def test_what_a_dialect_leaves_open_has_to_be_chosen(dialect, asked):
    with pytest.raises(UnsupportedGraph) as refused:
        lower(graph_of(lif()), dialect=dialect)
    assert [violation.where for violation in refused.value.violations] == asked
    assert all("Add ," in violation.remedy for violation in refused.value.violations)


def test_only_what_matters_for_the_graph_has_to_be_chosen():
    unit = nir.IF(r=np.ones(2), v_threshold=np.ones(2))
    assert isinstance(lower(graph_of(unit), dialect="sinabs,spikes=one")["n"].neuron, IF)
    assert lower(graph_of(nir.Threshold(np.ones(2))), dialect="nir")["n"].neuron.v_threshold == 1


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (
            "nengo",
            ["`dialect` must be one of nir, snntorch, norse, sinabs", "(got 'nengo'). Put choices after a comma."],
        ),
        ("snntrch", ["(got 'snntrch'). Did you mean snntorch?"]),
        ("nir,rest=soft", ["must be KEY=VALUE", "(got 'rest=soft'). Did you mean reset?"]),
        ("nir,rest[a]=soft", ["must be KEY=VALUE", "(got 'rest[a]=soft'). Did you mean reset?"]),
        ("nir,dt", ["must be KEY=VALUE or KEY[NODE]=VALUE", "(got 'dt')."]),
        ("nir,dtt=1", ["must be KEY=VALUE", "(got 'dtt=1'). Did you mean dt?"]),
        ("nir,mood=1", ["must be KEY=VALUE", "(got 'mood=1')."]),
        (
            "nir,dt=0,integration=rk4",
            ["dt in `dialect` must be a number above 0 (got '0')", "must be euler, exact or impulse (got 'rk4')"],
        ),
        ("nir,dt=nan", ["dt in `dialect` must be a number above 0 (got 'nan')"]),
        ("nir,dt=1,dt=2", ["dt in `dialect` is given twice"]),
        ("nir,compare=>>", ["compare in `dialect` must be gt or ge (got '>>')"]),
        ("nir,steps=1.5", ["steps in `dialect` must be a whole number, 1 or more (got '1.5')"]),
        ("nir,v_min=low", ["v_min in `dialect` must be a number, or none (got 'low')"]),
    ],
)
def test_a_dialect_that_cannot_be_read_is_named_with_those_that_can(text, faults):
    with pytest.raises(BadOptions) as refused:
        parse_dialect(text)
    assert refused.value.subject == ""  # each violation names the parameter
    assert all(fault in refused.value.message for fault in faults)
    assert all("`dialect`" in violation.where for violation in refused.value.violations)


def test_every_key_can_be_given():
    given = {
        "dt": "2e-3", "integration": "impulse", "gain": "kept", "gain_li": "one", "gain_syn": "r", "gain_if": "one",
        "tau": "times_dt",
        "reset": "none", "reset_to": "zero", "left_over": "held", "reset_delay": "yes", "compare": "ge",
        "spikes": "many",
        "spike_delay": "yes", "map_delay": "yes", "v_min": "-2", "v_leak": "ignored", "start": "rest",
        "numbers": "float64", "steps": "7",
    }  # fmt: skip
    assert given.keys() == set(KEYS)
    chosen = parse_dialect(",".join(["nir", *(f"{key}={value}" for key, value in given.items())]))
    assert (chosen.choices.dt, chosen.choices.compare, chosen.choices.v_min, chosen.choices.steps) == (
        2e-3,
        ">=",
        -2.0,
        7,
    )
    assert str(chosen).count("=") == len(given)


def test_our_own_files_take_no_other_dialect(tmp_path):
    write(lower(graph_of(lif()), dialect="spikingjelly"), tmp_path / "n.nir")
    assert read(tmp_path / "n.nir") == read(tmp_path / "n.nir", dialect="tdd-deploy")
    with pytest.raises(BadOptions, match=r"cannot be norse .* Omit dialect, or use dialect=tdd-deploy\."):
        read(tmp_path / "n.nir", dialect="norse")


def test_the_dialect_of_a_file_goes_with_the_program(tmp_path):
    nir.write(tmp_path / "theirs.nir", graph_of(lif()))
    program = read(tmp_path / "theirs.nir", dialect="spikingjelly")
    assert program.provenance["dialect"] == "spikingjelly"
    write(program, tmp_path / "ours.nir")
    again = read(tmp_path / "ours.nir")
    assert again == program
    assert again.provenance["dialect"] == "spikingjelly"


# What each choice makes


def neuron_of(node, dialect):
    return lower(graph_of(node), dialect=dialect)["n"].neuron


def test_a_gain_goes_into_the_weights_before_it():
    program = lower(graph_of(lif(r=np.array([10.0, 20.0]))), dialect="nir,dt=1e-4,integration=euler,numbers=float64")
    np.testing.assert_allclose(program["fc"].weight, [[0.3, 0], [0, 0.6]])
    assert [node.name for node in program.nodes] == ["in", "fc", "n", "out"]


def test_a_leak_goes_into_the_bias_before_it():
    program = lower(graph_of(lif(v_leak=np.array([0.5, 0.0]))), dialect="nir,dt=1e-4,integration=euler,numbers=float64")
    np.testing.assert_allclose(program["fc"].bias, [0.05, 0])


def test_a_gain_without_a_map_before_it_becomes_a_scale():
    nodes = {"in": nir.Input(np.array([2])), "n": lif(r=20 * np.ones(2)), "out": nir.Output(np.array([2]))}
    graph = nir.NIRGraph(nodes, [("in", "n"), ("n", "out")], type_check=False)
    program = lower(graph, dialect="nir,dt=1e-4,integration=euler,numbers=float64")
    assert program["n.gain"].factor == pytest.approx(2.0)
    leaky = nir.NIRGraph({**nodes, "n": lif(v_leak=np.array([0.5, 0]))}, [("in", "n"), ("n", "out")], type_check=False)
    program = lower(leaky, dialect="nir,dt=1e-4,integration=euler,numbers=float64")
    assert program["n.gain"].factor == pytest.approx(1.0)
    np.testing.assert_allclose(program["n.gain"].bias, [0.05, 0])


def test_a_leak_of_many_neurons_without_a_map_before_them_costs_one_synapse_each():
    """It was a matrix, and refused beyond 4,096 neurons."""
    n = 5_000
    one = np.ones(n)
    leaky = nir.LIF(tau=1e-3 * one, r=10 * one, v_leak=np.arange(n) / n, v_threshold=one, v_reset=0 * one)
    nodes = {"in": nir.Input(np.array([n])), "n": leaky, "out": nir.Output(np.array([n]))}
    graph = nir.NIRGraph(nodes, [("in", "n"), ("n", "out")], type_check=False)
    program = lower(graph, dialect="nir,dt=1e-4,integration=euler,numbers=float64")
    trace = Engine(program).run(Given(np.zeros((1, 1, n))), n_steps=1).trace
    assert (trace.executed.total("dense"), trace.executed.total("bias_adds")) == (n, n - 1)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", LIF),
        (",reset=soft", LIF),
        (",reset=none", VariantLIF),
        (",reset=soft,reset_delay=yes", VariantLIF),
        (",spikes=many,reset=soft", VariantLIF),
        (",v_min=-1", VariantLIF),
    ],
)
def test_variants_alone_need_the_neuron_that_has_them(words, expected):
    assert type(neuron_of(lif(), f"nir,dt=1e-4,integration=euler{words}")) is expected


def test_time_constants_below_a_step_are_named_with_a_remedy():
    with pytest.raises(
        UnsupportedGraph, match=r"n\.tau must be dt or more .*\(got 0\.001 s with dt 0\.002 s\).*integration=exact"
    ):
        neuron_of(lif(), "nir,dt=2e-3,integration=euler")
    with pytest.raises(UnsupportedGraph, match="add ,tau=times_dt"):
        neuron_of(lif(tau=np.full(2, 5e-6)), "norse")
    assert neuron_of(lif(tau=np.full(2, 5e-6)), "norse,tau=times_dt").beta == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("dialect", "remedy"),
    [
        ("norse,tau=times_dt", "Drop tau=times_dt if the file states seconds."),
        ("nir,integration=euler,tau=times_dt,dt=1", "Drop tau=times_dt if the file states seconds."),
        (
            "snntorch,reset=none",
            "Add ,dt=... to `dialect` with the dt of its export, or name the dialect of the tool that wrote it.",
        ),
        ("spyx", "Add ,dt=... to `dialect` with the dt of its export, or name the dialect of the tool that wrote it."),
        ("snntorch,reset=none,dt=1e-3", "Choose a smaller dt, or integration=exact."),
    ],
)
def test_the_remedy_for_a_short_time_constant_is_not_already_in_use(dialect, remedy):
    with pytest.raises(UnsupportedGraph) as refused:
        neuron_of(lif(tau=np.full(2, 5e-7)), dialect)
    assert [violation.remedy for violation in refused.value.violations] == [remedy]


@pytest.mark.parametrize("dialect", ["lava,dt=2e-3", "spyx,dt=2e-3"])
def test_faults_are_reported_where_edges_are_delayed_too(dialect):
    with pytest.raises(UnsupportedGraph, match=r"n\.tau must be dt or more .*\(got 0\.001 s with dt 0\.002 s\)"):
        neuron_of(lif(), dialect)


def test_an_r_that_belongs_to_another_dt_is_refused():
    for dialect in ("spyx", "rockpool,dt=1e-4"):
        with pytest.raises(UnsupportedGraph, match="Choose the dt of its export, or gain=nir"):
            neuron_of(lif(tau=np.full(2, 5.0)), dialect)
    assert neuron_of(lif(tau=np.full(2, 5.0), r=np.full(2, 0.8)), "spyx").beta == pytest.approx(0.8)


def test_what_starts_at_rest_is_held_as_the_distance_from_there():
    """v starts at v_leak and leaks to it: with v_leak 0.5 and threshold 0.8, it is 0.3 that has to be passed."""
    unit = lif(v_leak=np.full(2, 0.5), v_threshold=np.full(2, 0.8), v_reset=np.full(2, 0.25))
    found = neuron_of(unit, "norse,dt=1e-4,numbers=float64")
    np.testing.assert_allclose([found.v_threshold, found.v_reset], [0.3, -0.25])


@needs_files
def test_inspect_of_a_file_without_a_dialect_shows_what_is_open(call):
    called = call("inspect", NORSE)
    assert called.code == 0
    assert "repaired:\n  1: v_reset is missing" in called.out
    assert "what each dialect makes of 1:" in called.out
    assert "rockpool,dt=...: v = exp(-dt / 0.0025) v + 1 x" in called.out
    assert [node["name"] for node in survey(NORSE)["nodes"]] == ["input", "0", "1", "output"]


@needs_files
def test_every_command_that_reads_a_network_takes_a_dialect(call, tmp_path):
    spoken = (NORSE, "--dialect", "norse,dt=1e-4")
    np.savez(tmp_path / "x.npz", x=np.ones((2, 50, 1), np.float32))
    data = ("--data", tmp_path / "x.npz")
    assert "time constants: 1 tau 25 steps" in call("inspect", *spoken).out
    assert call("export", *spoken, "--target", "nir", "--out", tmp_path / "ours.nir").code == 0
    assert call("simulate", *spoken, *data, "--energy").code == 0
    assert call("verify", *spoken, *data, "--against", "reference,event").code == 0
    assert call("check", *spoken, "--chip", "loihi2").code == 0
    ambiguous = call("simulate", NORSE, *data)
    assert (ambiguous.code, ambiguous.out) == (2, "")
    assert "Choose a reading with --dialect. " in ambiguous.err
    strict = call("simulate", *spoken, *data, "--strict")
    assert (strict.code, "v_reset is missing" in strict.err) == (2, True)


def test_a_net_file_takes_no_dialect(tmp_path):
    with h5py.File(tmp_path / "n.net", "w") as file:
        file.create_group("layer")
    with pytest.raises(BadOption, match=r"has only one meaning\. Omit dialect\."):
        read(tmp_path / "n.net", dialect="norse")


@pytest.mark.parametrize("name", ["missing.nir", "."])
def test_a_survey_of_nothing_is_refused(name, tmp_path):
    with pytest.raises((TddDeployError, OSError)):
        survey(tmp_path / Path(name))


def test_the_help_names_every_dialect() -> None:
    assert tuple(DIALECTS) == vocabulary.DIALECTS
