"""Choices for single nodes: one file may hold layers that reset in different ways."""

from pathlib import Path

import nir
import numpy as np
import pytest

import tdd_deploy as td
from tdd_deploy.errors import BadOptions, UnsupportedGraph
from tdd_deploy.exporters.nir.write import write
from tdd_deploy.importers import AmbiguousGraph, lower, read
from tdd_deploy.importers.nir.dialects import APPLIES_TO, DIALECTS, KEYS, OF_THE_FILE, parse_dialect
from tdd_deploy.neurons import CubaLIF, VariantLIF
from tdd_deploy.program import Program
from tdd_deploy.simulator import reference
from tests.shared_data import needs, shared

FILES = shared("nir")
needs_files = needs(FILES)
IDENTITY = nir.Linear(np.array([[1.0]]))


def lif(**changed: float) -> nir.LIF:
    """Keep half of v per step of 1e-4 s, and gain the current."""
    values = {"tau": 2e-4, "r": 2.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0, **changed}
    return nir.LIF(**{key: np.array([value]) for key, value in values.items()})


def cuba() -> nir.CubaLIF:
    values = {"tau_syn": 2e-4, "w_in": 2.0, "tau_mem": 2e-4, "r": 2.0, "v_leak": 0.0, "v_threshold": 1.0}
    return nir.CubaLIF(**{key: np.array([value]) for key, value in values.items()}, v_reset=np.zeros(1))


def chain(**layers: nir.NIRNode) -> nir.NIRGraph:
    """Connect the layers in a row, each after a map ``to_NAME``."""
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input(np.array([1]))}
    for name, layer in layers.items():
        nodes |= {f"to_{name}": IDENTITY, name: layer}
    nodes["output"] = nir.Output(np.array([1]))
    return nir.NIRGraph(nodes, list(zip(list(nodes)[:-1], list(nodes)[1:], strict=True)), type_check=False)


def rsynaptic() -> nir.NIRGraph:
    """A CubaLIF that leads to itself, in a graph of its own, as snnTorch writes an RSynaptic."""
    nodes = {"input": nir.Input(np.array([1])), "lif": cuba(), "w_rec": IDENTITY, "output": nir.Output(np.array([1]))}
    edges = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
    return nir.NIRGraph(nodes, edges, type_check=False)


def spikes(program: Program, layer: str, currents: list[float]) -> list[int]:
    x = np.array(currents, np.float32)[:, None, None]
    return [int(sent) for sent in np.ravel(reference.run(program, x)[layer])]


SNNTORCH = "snntorch,reset=soft,reset_delay=yes"


def test_two_layers_of_one_file_reset_in_different_ways() -> None:
    """By hand: v = v / 2 + x, and the second layer receives one spike, so x = 1, 0, 0, 0 and its threshold is 0.4.

    Without a reset v is 1, 0.5, 0.25 and 0.125; a step after the first spike a soft reset makes 0.5 - 0.4 = 0.1 of 0.5.
    """
    graph = chain(one=lif(), two=lif(v_threshold=0.4))
    currents = [1.5, 0.0, 0.0, 0.0]
    both_soft = lower(graph, dialect=SNNTORCH)
    second_none = lower(graph, dialect=f"{SNNTORCH},reset[two]=none")
    assert spikes(both_soft, "one", currents) == spikes(second_none, "one", currents) == [1, 0, 0, 0]
    assert spikes(both_soft, "two", currents) == [1, 0, 0, 0]
    assert spikes(second_none, "two", currents) == [1, 1, 0, 0]


def test_a_choice_for_a_node_leaves_the_others_as_they_were() -> None:
    graph = chain(one=lif(), two=lif(), three=lif())
    program = lower(graph, dialect=f"{SNNTORCH},reset[two]=zero,reset_delay[two]=no,compare[three]=ge")
    found = {layer.name: layer.neuron for layer in program.neuron_layers}
    assert {name: (neuron.reset, neuron.compare) for name, neuron in found.items()} == {
        "one": ("soft", ">"),
        "two": ("hard", ">"),
        "three": ("soft", ">="),
    }


def test_an_inner_graph_gives_its_choice_to_the_layers_in_it() -> None:
    graph = chain(first=cuba(), second=rsynaptic())
    for name in ("second", "second.lif"):
        program = lower(graph, dialect=f"snntorch,reset=soft,reset_delay=no,reset_delay[{name}]=yes")
        found = {layer.name: layer.neuron.resets for layer in program.neuron_layers}
        assert found == {"first": "at once", "second.lif": "next step"}


def test_an_immediate_reset_of_an_rsynaptic_is_refused_with_both_choices() -> None:
    """snnTorch 1.0 accepts reset_delay=False here, but resets in the next step."""
    graph = chain(first=cuba(), second=rsynaptic())
    with pytest.raises(UnsupportedGraph) as refused:
        lower(graph, dialect="snntorch,reset=soft,reset_delay=no")
    (violation,) = refused.value.violations
    assert violation.where == "second.lif"
    assert "Add ,reset_delay[second.lif]=yes" in violation.remedy
    insisted = lower(graph, dialect="snntorch,reset=soft,reset_delay=no,reset_delay[second]=no")
    assert insisted["second.lif"].neuron.resets == "at once"
    assert lower(graph, dialect="snntorch,reset=none,reset_delay=no")["second.lif"].neuron.reset == "none"


@needs_files
def test_a_published_recurrent_network_is_read_with_the_resets_of_its_layers() -> None:
    """An RSynaptic and a Synaptic of snnTorch, trained for the NIR paper; doi:10.1038/s41467-024-52259-9."""
    path = FILES / "damaged" / "dangling_edge_subgraph.nir"
    with pytest.raises(UnsupportedGraph, match=r"Add ,reset_delay\[lif1\.lif1\]=yes"):
        read(path, dialect="snntorch,reset=zero,reset_delay=no")
    program = read(path, dialect="snntorch,reset=zero,reset_delay=no,reset_delay[lif1]=yes")
    first, second = (program[name].neuron for name in ("lif1.lif1", "lif2"))
    assert isinstance(first, VariantLIF)
    assert (first.reset, first.resets) == ("hard", "next step")
    assert isinstance(second, CubaLIF)
    assert second.reset == "hard"


def test_the_name_of_a_node_is_not_read_as_an_inner_graph() -> None:
    graph = chain(**{"lif": lif(), "lif.1": lif()})
    program = lower(graph, dialect=f"{SNNTORCH},reset[lif]=none")
    assert [layer.neuron.reset for layer in program.neuron_layers] == ["none", "soft"]


@pytest.mark.parametrize("name", ["a,b", "lif[0]", "3", "lif one", "lif=2"])
def test_a_choice_can_name_any_node(name: str) -> None:
    program = lower(chain(**{name: lif(), "last": lif()}), dialect=f"{SNNTORCH},reset[{name}]=none,compare=ge")
    assert [(layer.neuron.reset, layer.neuron.compare) for layer in program.neuron_layers] == [
        ("none", ">="),
        ("soft", ">="),
    ]
    assert program.provenance["dialect"] == f"{SNNTORCH},reset[{name}]=none,compare=ge"


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ("reset[twoo]=none", ["names a node that does not exist", "Did you mean two? Name one of one, two."]),
        ("reset[nothing]=none", ["names a node that does not exist. Name one of one, two."]),
        ("reset[to_one]=none", ["of kind Dense", "Name one of one, two."]),
        ("reset[input]=none", ["of kind Input", "Name one of one, two."]),
        ("map_delay[one]=yes", ["of kind LIF", "Name one of to_one, to_two."]),
        ("gain_li[one]=norm", ["of kind LIF", "the file has no LI."]),
        ("gain_syn[one]=norm", ["the file has no CubaLIF or CubaLI."]),
    ],
)
def test_a_choice_that_means_nothing_for_its_node_is_refused(choice: str, words: list[str]) -> None:
    with pytest.raises(UnsupportedGraph) as refused:
        lower(chain(one=lif(), two=lif()), dialect=f"{SNNTORCH},{choice}")
    for word in [f"{choice.partition('=')[0]} in dialect", *words]:
        assert word in str(refused.value)


def test_all_wrong_names_are_named_at_once() -> None:
    with pytest.raises(UnsupportedGraph) as refused:
        lower(chain(one=lif()), dialect=f"{SNNTORCH},reset[on]=none,reset_delay[two]=no,compare[to_one]=ge")
    assert [violation.where for violation in refused.value.violations] == [
        "reset[on] in `dialect`",
        "reset_delay[two] in `dialect`",
        "compare[to_one] in `dialect`",
    ]


def test_two_values_for_one_layer_are_named() -> None:
    graph = chain(inner=rsynaptic())
    with pytest.raises(
        UnsupportedGraph, match=r"reset of inner\.lif .* \(got reset\[inner\]=none and reset\[inner.lif\]=soft\)"
    ):
        lower(graph, dialect=f"{SNNTORCH},reset[inner]=none,reset[inner.lif]=subtract")
    same = lower(graph, dialect=f"{SNNTORCH},reset[inner]=soft,reset[inner.lif]=subtract")
    assert same["inner.lif"].neuron.reset == "soft"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("nir,reset[a]=none,reset[a]=none", "reset[a] in `dialect`"),
        ("nir,reset[a]=sub", "reset[a] in `dialect`"),
        ("nir,dt[a]=1e-3", "dt[a] in `dialect`"),
        ("nir,numbers[a]=float64", "numbers[a] in `dialect`"),
        ("nir,steps[a]=3", "steps[a] in `dialect`"),
        ("nir,reset[]=none", "a choice in `dialect`"),
        ("nir,reset[a=none", "a choice in `dialect`"),
        ("nir,rest[a]=none", "a choice in `dialect`"),
    ],
)
def test_a_choice_for_a_node_that_cannot_be_read_is_refused(text: str, where: str) -> None:
    with pytest.raises(BadOptions) as refused:
        parse_dialect(text)
    assert [violation.where for violation in refused.value.violations] == [where]


def test_an_open_choice_can_be_made_for_each_node() -> None:
    graph = chain(one=lif(), two=lif())
    assert lower(graph, dialect="snntorch,reset=soft,reset_delay[one]=yes,reset_delay[two]=no")
    with pytest.raises(UnsupportedGraph) as refused:
        lower(graph, dialect="snntorch,reset=soft,reset_delay[one]=yes")
    (violation,) = refused.value.violations
    assert (violation.where, violation.found) == ("reset_delay of dialect snntorch", "nothing for two")


def test_no_reset_delay_is_needed_for_a_layer_without_a_reset() -> None:
    assert lower(chain(one=lif()), dialect="snntorch,reset=none")["one"].neuron.reset == "none"
    graph = chain(one=lif(), two=lif())
    with pytest.raises(UnsupportedGraph, match=r"reset_delay of dialect snntorch must be .* \(got nothing for two\)"):
        lower(graph, dialect="snntorch,reset=soft,reset[one]=none")


@pytest.mark.parametrize(("word", "recorded"), [("subtract", "soft"), ("zero", "hard"), ("none", "none")])
def test_words_of_snntorch_are_recorded_in_one_spelling(word: str, recorded: str) -> None:
    program = lower(chain(one=lif()), dialect=f"snntorch,reset={word},reset_delay=no")
    assert program == lower(chain(one=lif()), dialect=f"snntorch,reset={recorded},reset_delay=no")
    assert program.provenance["dialect"] == f"snntorch,reset={recorded},reset_delay=no"


@pytest.mark.parametrize("word", ["ge", ">="])
def test_a_comparison_is_recorded_in_one_spelling(word: str) -> None:
    assert str(parse_dialect(f"nir,compare={word}")) == "nir,compare=ge"


def test_each_choice_for_a_node_goes_with_the_program(tmp_path: Path) -> None:
    """Also through a file of ours, which holds the resets as nodes."""
    graph = chain(one=lif(), two=lif())
    dialect = "snntorch,reset=hard,reset_delay=no,reset[two]=subtract,reset_delay[two]=yes"
    program = lower(graph, dialect=dialect)
    write(program, tmp_path / "ours.nir")
    again = read(tmp_path / "ours.nir")
    assert again.provenance["dialect"] == dialect.replace("subtract", "soft")
    assert again == program


def test_every_key_states_the_nodes_that_it_applies_to() -> None:
    assert APPLIES_TO.keys() == set(KEYS) - {"numbers", "steps"}
    assert set(OF_THE_FILE) == {"dt", "numbers", "steps"}
    assert all(key in APPLIES_TO for dialect in DIALECTS.values() for key in dialect.words)


def test_a_spike_delay_and_a_map_delay_belong_to_one_node() -> None:
    graph = chain(one=lif(), two=lif())
    delays = {
        choice: {
            (edge.source, edge.target): edge.delay
            for edge in lower(graph, dialect=f"{SNNTORCH},{choice}").edges
            if edge.delay
        }
        for choice in ("spike_delay[one]=yes", "map_delay[to_two]=yes", "map_delay[to_one]=yes")
    }
    assert delays == {
        "spike_delay[one]=yes": {("one", "to_two"): 1},
        "map_delay[to_two]=yes": {("one", "to_two"): 1},
        "map_delay[to_one]=yes": {("input", "to_one"): 1},
    }


def test_inspect_shows_the_choices_for_nodes_and_their_syntax(tmp_path: Path, call) -> None:
    nir.write(tmp_path / "theirs.nir", chain(one=lif(), two=lif()))
    with pytest.raises(
        AmbiguousGraph, match=r"KEY\[NODE\]=VALUE sets a choice for one node, such as reset\[two\]=none"
    ):
        read(tmp_path / "theirs.nir")
    assert "such as reset[two]=none" in call("inspect", tmp_path / "theirs.nir").out
    called = call("inspect", tmp_path / "theirs.nir", "--dialect", f"{SNNTORCH},reset[two]=none")
    assert called.code == 0
    assert f"dialect: {SNNTORCH},reset[two]=none" in called.out
    found = td.inspect(tmp_path / "theirs.nir", dialect=f"{SNNTORCH},reset[two]=none")
    rows = {node["name"]: node["parameters"] for node in found["nodes"]}
    assert "soft reset, a step late" in rows["one"]
    assert "no reset" in rows["two"]
    wrong = call("inspect", tmp_path / "theirs.nir", "--dialect", f"{SNNTORCH},reset[tow]=none")
    assert (wrong.code, "Did you mean two?" in wrong.err) == (2, True)
