"""Rules, latencies, plans and files of bundles for Lava."""

import errno
import hashlib
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tdd_deploy.errors import BadFile, BadOption, NotExportable
from tdd_deploy.exporters.lava.latency import latencies
from tdd_deploy.exporters.lava.plan import plan_bundle
from tdd_deploy.exporters.lava.rules import MAPPINGS, violations
from tdd_deploy.exporters.lava.write import write
from tdd_deploy.neurons import IF, LI, LIF, CubaLIF, I, LoihiLIF, SigmaDelta, Threshold
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Output, Pool, Program, Scale, build
from tdd_deploy.program.quantization.quantize import quantize

FIRE = {"v_threshold": np.array(1.0), "v_reset": np.array(0.0)}
NEURON = IF(**FIRE)
OUT = Output(name="out")


def loihi(**changed) -> LoihiLIF:
    choices = {key: changed.pop(key) for key in ("reset", "compare") if key in changed}
    numbers = {"v_threshold": 640, "v_reset": 0, "du": 4095, "dv": 1024, "bias": 0} | changed
    return LoihiLIF(**{name: np.array(value) for name, value in numbers.items()}, **choices)


def source(*shape) -> Input:
    return Input(name="in", shape=shape)


def dense(name, weight, bias=None) -> Dense:
    return Dense(name=name, weight=np.array(weight), bias=None if bias is None else np.array(bias))


def layer(name, *shape, neuron=NEURON) -> NeuronLayer:
    return NeuronLayer(name=name, shape=shape, neuron=neuron)


def chain(*nodes, more=(), edges=(), **choices) -> Program:
    links = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    return build([*nodes, *more], [*links, *edges], **{"dt_s": 1e-3, "n_steps": 3} | choices)


def two_layers(*, more=(), edges=()) -> Program:
    """Return in -> a -> n -> b -> m -> out, of one neuron each."""
    one = [[1.0]]
    return chain(source(1), dense("a", one), layer("n", 1), dense("b", one), layer("m", 1), OUT, more=more, edges=edges)


def integers(neuron=None, *, weight=((2, -4), (0, 254)), **choices) -> Program:
    """Return in (2) -> fc -> n (2) -> out, in integers."""
    fc, n = dense("fc", weight), layer("n", 2, neuron=neuron or loihi())
    return chain(replace(source(2), scale=256.0, largest=128), fc, n, OUT, number_format="integer", **choices)


# Latency


def waiting(program: Program) -> dict[str, int]:
    return {f"{edge.source} {edge.target}": n for edge, n in latencies(program).waits.items() if n}


def test_each_map_is_one_step_late_and_nothing_else_is():
    program = two_layers()
    assert latencies(program).of == {"in": 0, "a": 1, "n": 1, "b": 2, "m": 2, "out": 2}
    assert waiting(program) == {}


def test_pools_and_scales_are_maps_and_to_flatten_is_none():
    pool, scale = Pool(name="pool", kernel=(1, 1), stride=(1, 1)), Scale(name="scale", factor=np.array(2.0))
    program = chain(source(1, 1, 1), pool, Flatten(name="flat"), scale, OUT)
    assert latencies(program).of == {"in": 0, "pool": 1, "flat": 1, "scale": 2, "out": 2}


def test_the_shorter_branch_waits():
    program = two_layers(more=[dense("short", [[1.0]])], edges=[Edge("in", "short"), Edge("short", "m")])
    assert latencies(program).of["short"] == 1
    assert waiting(program) == {"short m": 1}


def test_an_edge_without_a_map_waits_as_long_as_the_maps_beside_it():
    assert waiting(two_layers(edges=[Edge("in", "m"), Edge("n", "out")])) == {"in m": 2, "n out": 1}


def test_a_delay_of_one_step_is_the_latency_of_the_map_behind_it():
    back = dense("back", [[1.0]])
    assert waiting(two_layers(more=[back], edges=[Edge("n", "back", 1), Edge("back", "n")])) == {}
    longer = waiting(two_layers(more=[back], edges=[Edge("n", "back", 3), Edge("back", "n")]))
    assert longer == {"n back": 1, "back n": 1}  # back works at the first step: earlier there is none


def test_a_delayed_edge_without_a_map_waits():
    assert waiting(two_layers(edges=[Edge("n", "n", 1)])) == {"n n": 1}


def test_a_delayed_input_waits_and_makes_nothing_late():
    program = chain(source(1), dense("a", [[1.0]]), layer("n", 1), OUT)
    late = latencies(replace(program, edges=tuple(replace(e, delay=2 * (e.source == "in")) for e in program.edges)))
    assert late.of == {"in": 0, "a": 0, "n": 0, "out": 0}
    assert sorted(late.waits.values()) == [0, 0, 1]


@pytest.mark.parametrize(("delay", "feasible"), [(1, False), (2, True), (3, True)])
def test_a_cycle_of_two_maps_needs_a_delay_of_two(delay, feasible):
    program = two_layers(more=[dense("back", [[1.0]])], edges=[Edge("m", "back", delay), Edge("back", "n")])
    assert (latencies(program) is not None) == feasible
    assert bool(violations(program, "fused")) != feasible


@pytest.mark.parametrize("depth", [1, 2, 10])
def test_latencies_do_not_depend_on_the_order_of_names(depth):
    """Names that run backwards are the worst case for going over all edges again and again."""
    maps = [dense(f"{depth - i:03d}", [[1.0]]) for i in range(depth)]
    assert latencies(chain(source(1), *maps, OUT)).of["out"] == depth


# Rules


def reasons(program: Program, mapping="fused") -> dict[str, str]:
    return {violation.where: violation.found for violation in violations(program, mapping)}


def of_floats(neuron, *, bias=None) -> Program:
    return chain(source(2), dense("fc", np.eye(2), bias), layer("n", 2, neuron=neuron), OUT)


PLAIN = [loihi(), loihi(du=7, dv=0), loihi(bias=[4095 << 7, -3]), loihi(v_threshold=0)]
FREE = [  # only our own process holds these: the neuron, and its violation in the other mappings
    (loihi(reset="soft"), "n.reset", "soft"),
    (loihi(v_reset=1), "n.v_reset", "1"),
    (loihi(v_reset=[0, -9]), "n.v_reset", "-9"),  # it was once reported as 0
    (loihi(v_threshold=639), "n.v_threshold", "9.98438 to 9.98438"),
    (loihi(v_threshold=-64), "n.v_threshold", "-1 to -1"),
    (loihi(v_threshold=[64, 128]), "n.v_threshold", "one per neuron"),
    (loihi(du=[1, 2]), "n.du", "one per neuron"),
    (loihi(dv=[1, 2]), "n.dv", "one per neuron"),
    (loihi(bias=4097), "n.bias", "a number with more bits"),
    (loihi(bias=4095 << 8), "n.bias", "a number with more bits"),  # an exponent of 8 was once let through
]


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("neuron", PLAIN)
def test_every_mapping_holds_lavas_own_neurons(neuron, mapping):
    assert reasons(integers(neuron), mapping) == {}


@pytest.mark.parametrize("neuron", [neuron for neuron, _, _ in FREE])
def test_the_fused_mapping_holds_the_others_too(neuron):
    assert reasons(integers(neuron)) == {}


@pytest.mark.parametrize("mapping", ["stock", "spike"])
@pytest.mark.parametrize(("neuron", "where", "found"), FREE)
def test_lavas_own_neurons_hold_no_others(neuron, where, found, mapping):
    assert reasons(integers(neuron), mapping) == {where: found}
    assert all(violation.remedy == "Use `mapping=fused`." for violation in violations(integers(neuron), mapping))


@pytest.mark.parametrize("neuron", [LI(beta=np.array(0.5)), I(), SigmaDelta(delta_threshold=np.array(0.5))])
def test_potentials_are_not_sent(neuron):
    assert reasons(of_floats(neuron)) == {"n": f"{type(neuron).__name__}, which sends numbers"}


def test_a_neuron_made_from_one_of_ours_is_not_taken_for_it():
    class Adaptive(IF):
        """Might do anything."""

    assert reasons(of_floats(Adaptive(**FIRE))) == {"n": "Adaptive"}


@pytest.mark.parametrize("neuron", [IF(**FIRE, compare=">="), Threshold(v_threshold=np.array(1.0), compare=">=")])
def test_lava_compares_with_more_than(neuron):
    assert reasons(of_floats(neuron)) == {"n.compare": ">="}


def test_a_bias_before_a_filter_is_refused():
    cuba = CubaLIF(alpha=np.array(0.5), beta=np.array(0.5), **FIRE)
    found = "filters its current, but Lava would not filter the bias of a map before it"
    assert reasons(of_floats(cuba, bias=[0.0, 1.0])) == {"n": found}
    assert reasons(of_floats(cuba, bias=[0.0, 0.0])) == reasons(of_floats(IF(**FIRE), bias=[0.0, 1.0])) == {}


@pytest.mark.parametrize("mapping", ["stock", "spike"])
def test_floats_of_lavas_own_neurons_are_one_per_layer_and_reset_to_0(mapping):
    beta = np.array([0.5, 0.75])
    assert reasons(of_floats(LIF(beta=beta, **FIRE)), mapping) == {"n.beta": "one per neuron"}
    assert reasons(of_floats(IF(v_threshold=np.array(1.0), v_reset=np.array(0.5))), mapping) == {"n.v_reset": "0.5"}
    assert reasons(of_floats(LIF(beta=np.array(0.3), **FIRE)), mapping) == {}


@pytest.mark.parametrize(
    ("weight", "found"),
    [
        ([[2, 256], [0, 0]], "0 to 256"),
        ([[2, -258], [0, 0]], "-258 to 2"),
        ([[2, 3], [0, 0]], "0 to 3, including odd ones"),
        ([[-1, 300], [0, 0]], "-1 to 300, including odd ones"),
    ],
)
def test_weights_are_even_and_of_eight_bits(weight, found):
    assert reasons(integers(weight=weight)) == {"fc.weight": found}
    assert reasons(integers(weight=[[-256, 254], [0, 2]])) == {}


def remedies(program: Program) -> list[str]:
    return [violation.remedy for violation in violations(program, "fused")]


def test_quantizing_is_not_advised_for_a_program_in_integers():
    """quantize refuses it: it is in integers already."""
    odd = integers(weight=[[2, 3], [0, 0]])
    at_least = integers(loihi(compare=">="))
    kept = integers(loihi(du=7))
    biased = replace(
        kept, nodes=tuple(replace(n, bias=np.array([2, 0], np.int32)) if n.name == "fc" else n for n in kept.nodes)
    )
    for program in (odd, at_least, biased):
        (remedy,) = remedies(program)
        assert remedy
        assert "uantize" not in remedy
        with pytest.raises(NotExportable, match="already in integers"):
            quantize(program)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_quantizing_is_advised_where_it_helps(alpha):
    program = of_floats(CubaLIF(alpha=np.array(alpha), beta=np.array(0.5), **FIRE), bias=[0.0, 1.0])
    (remedy,) = remedies(program)
    if "quantize" in remedy:
        assert remedies(quantize(program).program) == []
    else:
        with pytest.raises(NotExportable):
            quantize(program)


@pytest.mark.parametrize("neuron", [LI(beta=np.array(0.5)), SigmaDelta(delta_threshold=np.array(0.5))])
def test_only_the_last_layer_can_be_replaced_by_its_currents(neuron):
    last = of_floats(neuron)
    between = chain(source(2), dense("fc", np.eye(2)), layer("n", 2, neuron=neuron), dense("fc2", np.eye(2)), OUT)
    for program, is_advised in ((last, True), (between, False)):
        for advice in (remedies(program), [v.remedy for v in refusals(program)]):
            assert ["Read currents" in remedy for remedy in advice] == [is_advised]


def refusals(program: Program):
    with pytest.raises(NotExportable) as refused:
        quantize(program)
    return refused.value.violations


def test_a_scale_of_an_image_is_one_number_per_channel():
    def scaled(factor):
        return chain(source(2, 1, 2), Scale(name="s", factor=np.array(factor)), OUT)

    assert reasons(scaled([[[1.0, 2.0]], [[1.0, 1.0]]])) == {"s": "has a factor per pixel"}
    assert reasons(scaled([[[1.0, 1.0]], [[2.0, 2.0]]])) == reasons(scaled(3.0)) == {}


def test_all_reasons_come_at_once():
    program = integers(loihi(reset="soft", v_reset=1, du=[1, 2]), weight=[[1, 2], [3, 4]])
    assert reasons(program, "stock").keys() == {"fc.weight", "n.reset", "n.v_reset", "n.du"}
    with pytest.raises(NotExportable, match=r"^this program does not fit Lava with mapping=stock \(4 found\):"):
        write(program, Path("unused"), mapping="stock")


# The plan


def test_a_plan_of_integers_by_hand():
    neuron = loihi(v_threshold=[640, 700], v_reset=-3, bias=[0, 9], du=-1, reset="hard")
    program = replace(integers(neuron), provenance={"from": "here"})
    plan = plan_bundle(program, "fused")
    manifest = dict(plan.manifest)
    assert (manifest["schema_version"], manifest["kind"]) == (1, "tdd-deploy lava bundle")
    assert (manifest["program"], manifest["provenance"]) == (program.digest, {"from": "here"})
    assert (manifest["arithmetic"], manifest["mapping"], manifest["n_steps"]) == ("fixed_pt", "fused", 3)
    assert manifest["restart"] is False
    assert manifest["input"] == {"name": "in", "shape": [2], "scale": 256.0, "largest": 128}
    assert manifest["output"] == {"name": "out", "shape": [2], "latency": 1, "bias": None, "unit": 1.0}
    assert manifest["synapses"] == [
        {"name": "fc", "kind": "dense", "weight": "fc.weight", "in_shape": [2], "out_shape": [2]}
    ]
    assert manifest["neurons"] == [
        {
            "name": "n", "shape": [2], "latency": 1, "reset": "hard", "v_threshold": "n.v_threshold",
            "v_reset": "n.v_reset", "bias": "n.bias", "du": -1, "dv": 1024,
        }
    ]  # fmt: skip
    assert manifest["edges"] == [edge("fc", "n"), edge("in", "fc"), edge("n", "out")]
    assert {key: array.tolist() for key, array in plan.arrays.items()} == {
        "fc.weight": [[2, -4], [0, 254]], "n.v_threshold": [640, 700], "n.v_reset": -3, "n.bias": [0, 9]
    }  # fmt: skip
    assert {array.dtype for array in plan.arrays.values()} == {np.dtype(np.int32)}
    json.dumps(manifest)


def edge(source, target, code="delta", flatten=False):
    return {"source": source, "target": target, "code": code, "flatten": flatten}


def test_decays_per_neuron_are_arrays():
    plan = plan_bundle(integers(loihi(du=[1, 2])), "fused")
    assert (plan.manifest["neurons"][0]["du"], plan.arrays["n.du"].tolist()) == ("n.du", [1, 2])


@pytest.mark.parametrize(
    ("mapping", "codes"), [("fused", {"delta", "spike"}), ("stock", {"delta"}), ("spike", {"spike"})]
)
def test_the_fused_mapping_alone_has_codes_of_its_own(mapping, codes):
    program = integers()
    mixed = replace(
        program, edges=tuple(replace(e, code="spike" if e.target == "out" else "delta") for e in program.edges)
    )
    assert {e["code"] for e in plan_bundle(mixed, mapping).manifest["edges"]} == codes


@pytest.mark.parametrize(
    ("neuron", "du", "dv"),
    [
        (IF(**FIRE), 1, 0),
        (LIF(beta=np.array(0.75), **FIRE), 1, 0.25),
        (CubaLIF(alpha=np.array(0.5), beta=np.array(0.75), **FIRE), 0.5, 0.25),
        (Threshold(v_threshold=np.array(1.0)), 1, 1),
    ],
)
def test_decays_of_floats_are_fractions_lost(neuron, du, dv):
    manifest = plan_bundle(of_floats(neuron), "fused").manifest
    assert (manifest["arithmetic"], manifest["input"]["largest"]) == ("floating_pt", None)
    assert (manifest["neurons"][0]["du"], manifest["neurons"][0]["dv"]) == (du, dv)


def test_biases_of_floats_move_into_neurons_and_output():
    program = chain(
        source(1), dense("a", [[1.0]], [0.5]), layer("n", 1), dense("b", [[2.0], [1.0]], [0.25, 0.0]), OUT
    )  # fmt: skip
    plan = plan_bundle(program, "fused")
    assert plan.arrays["n.bias"].tolist() == [0.5]
    assert plan.manifest["output"]["bias"] == "output.bias"
    assert plan.arrays["output.bias"].tolist() == [0.25, 0]
    assert plan.arrays["a.weight"].dtype == np.float64


def test_pools_and_scales_become_convolutions_of_one_channel_each():
    average = Pool(name="p", kernel=(1, 2), stride=(1, 2), padding=(0, 1), average=True)
    scale = Scale(name="s", factor=np.array([[[2.0, 2.0]], [[3.0, 3.0]]]))
    plan = plan_bundle(chain(source(2, 1, 2), average, scale, OUT), "fused")
    pooled, scaled = plan.manifest["synapses"]
    assert pooled == {
        "name": "p", "kind": "conv", "weight": "p.weight", "in_shape": [2, 1, 2], "out_shape": [2, 1, 2],
        "stride": [1, 2], "padding": [0, 1], "dilation": [1, 1], "groups": 2,
    }  # fmt: skip
    assert plan.arrays["p.weight"].tolist() == [[[[0.5, 0.5]]], [[[0.5, 0.5]]]]
    assert (scaled["kind"], scaled["groups"], plan.arrays["s.weight"].reshape(-1).tolist()) == ("conv", 2, [2, 3])


@pytest.mark.parametrize(("factor", "diagonal"), [(2.0, [2, 2]), ([1.0, -3.0], [1, -3])])
def test_a_scale_of_a_vector_becomes_a_diagonal(factor, diagonal):
    plan = plan_bundle(chain(source(2), Scale(name="s", factor=np.array(factor)), OUT), "fused")
    np.testing.assert_array_equal(plan.arrays["s.weight"], np.diag(diagonal))


def test_a_convolution_keeps_its_geometry():
    geometry = {"stride": (1, 2), "padding": (2, 1), "dilation": (2, 1), "groups": 2}
    conv = Conv(name="c", weight=np.ones((4, 1, 2, 3)), bias=np.ones(4), **geometry)
    plan = plan_bundle(chain(source(2, 5, 6), conv, layer("n", 4, 7, 3), OUT), "fused")
    assert plan.manifest["synapses"] == [
        {
            "name": "c", "kind": "conv", "weight": "c.weight", "in_shape": [2, 5, 6], "out_shape": [4, 7, 3],
            "stride": [1, 2], "padding": [2, 1], "dilation": [2, 1], "groups": 2,
        }
    ]  # fmt: skip
    np.testing.assert_array_equal(plan.arrays["n.bias"], np.ones((4, 7, 3)))


def test_to_flatten_is_a_way_of_wiring():
    program = chain(source(1, 1, 2), Flatten(name="f"), Flatten(name="g"), dense("a", np.eye(2)), OUT)
    manifest = plan_bundle(program, "fused").manifest
    assert [synapse["name"] for synapse in manifest["synapses"]] == ["a"]
    assert manifest["edges"] == [edge("a", "out"), edge("in", "a", flatten=True)]


def test_a_flattened_vector_is_one_already():
    manifest = plan_bundle(chain(source(2), Flatten(name="f"), dense("a", np.eye(2)), OUT), "fused").manifest
    assert edge("in", "a", flatten=False) in manifest["edges"]


def test_an_edge_that_waits_passes_processes_that_only_wait():
    manifest = plan_bundle(two_layers(edges=[Edge("in", "m", code="spike")]), "fused").manifest
    waits = [synapse for synapse in manifest["synapses"] if synapse["kind"] == "identity"]
    assert waits == [
        {"name": f"in_to_m_wait{number}", "kind": "identity", "in_shape": [1], "out_shape": [1]} for number in (1, 2)
    ]
    wanted = [("in", "in_to_m_wait1"), ("in_to_m_wait1", "in_to_m_wait2"), ("in_to_m_wait2", "m")]
    assert [edge(*pair, "spike") for pair in wanted] == [e for e in manifest["edges"] if e["code"] == "spike"]


def test_what_waits_before_it_is_flattened_waits_as_an_image():
    nodes = source(1, 1, 2), Pool(name="p", kernel=(1, 1), stride=(1, 1)), layer("n", 1, 1, 2), Flatten(name="f")
    more = [Flatten(name="g")]
    program = chain(*nodes, OUT, more=more, edges=[Edge("in", "g"), Edge("g", "out")])
    manifest = plan_bundle(program, "fused").manifest
    assert manifest["synapses"][-1]["in_shape"] == [1, 1, 2]
    assert edge("in", "in_to_out_wait1") in manifest["edges"]
    assert edge("in_to_out_wait1", "out", flatten=True) in manifest["edges"]


def test_former_spikes_ask_for_a_network_per_sample():
    assert plan_bundle(two_layers(edges=[Edge("n", "n", 1)]), "fused").manifest["restart"] is True


# Files


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_a_bundle_holds_all_it_needs_and_its_hashes_are_true(tmp_path, mapping):
    folder = tmp_path / "new" / "bundle"
    write(integers(), folder, mapping=mapping)
    wanted = {"manifest.json", "weights.npz", "run.py", "tdd_lif", "tdd_io", "README.md", "requirements.txt"}
    assert wanted <= names(folder)
    assert not list(folder.rglob("__pycache__"))
    assert names(tmp_path / "new") == {"bundle"}
    manifest = manifest_of(folder)
    sha = hashlib.sha256((folder / "weights.npz").read_bytes()).hexdigest()
    assert (manifest["sha256"]["weights.npz"], manifest["mapping"]) == (sha, mapping)
    with np.load(folder / "weights.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"fc.weight", "n.v_threshold", "n.v_reset", "n.bias"}


def test_a_bundle_may_be_written_into_an_empty_folder(tmp_path):
    write(integers(), tmp_path)
    assert "manifest.json" in names(tmp_path)


def test_an_existing_bundle_is_replaced(tmp_path):
    write(integers(), tmp_path / "bundle")
    (tmp_path / "bundle" / "notes.txt").touch()
    write(integers(n_steps=9), tmp_path / "bundle")
    assert manifest_of(tmp_path / "bundle")["n_steps"] == 9
    assert "notes.txt" in names(tmp_path / "bundle")
    assert names(tmp_path) == {"bundle"}


@pytest.mark.parametrize(
    "content", [None, "{}", "[]", "no JSON", '{"kind": "web app"}', b"\xff"], ids=["no manifest", *"abcde"]
)
def test_a_folder_of_something_else_is_left_alone(tmp_path, content):
    """Any manifest.json once passed for a bundle's, and the folder was emptied."""
    (tmp_path / "thesis.tex").touch()
    if content is not None:
        (tmp_path / "manifest.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    before = names(tmp_path)
    with pytest.raises(BadFile, match=r"exists already and is no bundle\. Name a new folder"):
        write(integers(), tmp_path)
    assert names(tmp_path) == before


def test_a_file_is_left_alone(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadFile, match="exists already and is no bundle"):
        write(integers(), tmp_path / "file")
    with pytest.raises(BadFile, match="cannot be made"):
        write(integers(), tmp_path / "file" / "bundle")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_named():
    with pytest.raises(
        BadFile, match=r"/proc/nowhere/bundle cannot be made \(.*\)\. Name a folder in a place you can write to"
    ):
        write(integers(), Path("/proc/nowhere/bundle"))


@pytest.mark.parametrize("broken", ["zipfile.ZipFile", "Path.write_text", "shutil.copyfile"])
def test_a_full_disk_leaves_the_existing_bundle_as_it_was(tmp_path, monkeypatch, broken):
    write(integers(), tmp_path / "bundle")

    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"tdd_deploy.exporters.lava.write.{broken}", full)
    with pytest.raises(
        BadFile, match=r"bundle cannot be written \(No space left on device\)\. Name a folder on a disk"
    ):
        write(integers(n_steps=9), tmp_path / "bundle")
    assert names(tmp_path) == {"bundle"}
    assert manifest_of(tmp_path / "bundle")["n_steps"] == 3


def test_ctrl_c_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("tdd_deploy.exporters.lava.write.zipfile.ZipFile", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(integers(), tmp_path / "bundle")
    assert names(tmp_path) == set()


def test_the_same_program_gives_the_same_weights(tmp_path):
    for name in "ab":
        write(integers(), tmp_path / name)
    assert manifest_of(tmp_path / "a") == manifest_of(tmp_path / "b")


def test_an_unknown_mapping_is_named(tmp_path):
    with pytest.raises(BadOption, match=r"^mapping must be fused, stock or spike \(got 'fusion'\)"):
        write(integers(), tmp_path / "bundle", mapping="fusion")


def test_the_bias_of_a_scale_moves_into_neurons_or_the_output():
    scale = Scale(name="s", factor=np.array(0.5), bias=np.array([0.25, 0.0]))
    neuron = LIF(beta=np.array(0.5), v_threshold=np.array(1.0), v_reset=np.array(0.0))
    plan = plan_bundle(chain(source(2), scale, layer("n", 2, neuron=neuron), OUT), "fused")
    assert plan.arrays["n.bias"].tolist() == [0.25, 0.0]
    np.testing.assert_array_equal(plan.arrays["s.weight"], 0.5 * np.eye(2))
    plan = plan_bundle(chain(source(2), scale, OUT), "fused")
    assert plan.arrays["output.bias"].tolist() == [0.25, 0.0]
