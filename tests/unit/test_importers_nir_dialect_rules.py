"""Rules of dialects that depend on more than one node, or on two choices; held to the frameworks in tests/parity."""

import nir
import numpy as np
import pytest

from tdd_deploy.errors import UnsupportedGraph
from tdd_deploy.importers import lower
from tdd_deploy.neurons import LIF, CubaLIF, Neuron, VariantLIF

LIF_NODE = {"tau": 8e-4, "r": 8.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0}
CUBA_NODE = {"tau_syn": 2e-4, "w_in": 2.0, **LIF_NODE}


def graph(neuron: nir.NIRNode, *, recurrent: bool = False) -> nir.NIRGraph:
    nodes = {"input": nir.Input(np.array([2])), "fc": nir.Linear(np.eye(2)), "n": neuron}
    edges = [("input", "fc"), ("fc", "n"), ("n", "output")]
    if recurrent:
        nodes["back"] = nir.Linear(np.eye(2))
        edges += [("n", "back"), ("back", "n")]
    return nir.NIRGraph(nodes={**nodes, "output": nir.Output(np.array([2]))}, edges=edges)


def lif(**changed: float) -> nir.LIF:
    return nir.LIF(**{key: np.full(2, value) for key, value in {**LIF_NODE, **changed}.items()})


def cuba(**changed: float) -> nir.CubaLIF:
    values = {**CUBA_NODE, **changed}
    values["tau_mem"] = values.pop("tau")
    return nir.CubaLIF(**{key: np.full(2, value) for key, value in values.items()})


def neuron_of(made: nir.NIRGraph, dialect: str) -> Neuron:
    return lower(made, dialect=dialect)["n"].neuron


def test_a_late_hard_reset_of_leaky_is_one_at_once() -> None:
    found = neuron_of(graph(lif()), "snntorch,reset=hard,reset_delay=yes")
    assert isinstance(found, LIF)
    assert found.reset == "hard"


@pytest.mark.parametrize("made", [graph(lif(), recurrent=True), graph(cuba())], ids=["RLeaky", "Synaptic"])
def test_others_lose_what_arrives_in_the_step_of_a_late_hard_reset(made: nir.NIRGraph) -> None:
    found = neuron_of(made, "snntorch,reset=hard,reset_delay=yes")
    assert isinstance(found, VariantLIF)
    assert found.resets == "next step"


@pytest.mark.parametrize(("more", "kind"), [("", VariantLIF), (",left_over=fires", LIF)])
def test_snntorch_holds_what_its_undelayed_subtraction_leaves(more: str, kind: type) -> None:
    assert type(neuron_of(graph(lif()), f"snntorch,reset=soft,reset_delay=no{more}")) is kind


@pytest.mark.parametrize(("more", "gain"), [("", 1.0), (",gain_li=norm", 1 - np.exp(-1 / 4))])
def test_sinabs_normalizes_what_fires_and_not_what_leaks_alone(more: str, gain: float) -> None:
    leaking = nir.LI(tau=np.full(2, 4.0), r=np.ones(2), v_leak=np.zeros(2))
    program = lower(graph(leaking), dialect=f"sinabs{more}")
    np.testing.assert_allclose(program["fc"].weight, gain * np.eye(2), rtol=1e-6)


def test_a_neuron_that_starts_elsewhere_than_it_leaks_to_is_refused() -> None:
    with pytest.raises(UnsupportedGraph, match=r"n\.v_leak must be -0\.25 as v_reset is, where v starts \(got 0\)"):
        neuron_of(graph(cuba(v_reset=-0.25)), "spikingjelly")
    assert isinstance(neuron_of(graph(cuba(v_reset=-0.25)), "spikingjelly,start=rest"), CubaLIF)
