"""Integer program -> NIR -> integer program is the identity; what cannot come back is refused by name."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tdd_deploy.errors import NotExportable
from tdd_deploy.exporters.nir.write import lift, write
from tdd_deploy.importers import lower, read
from tdd_deploy.neurons import LoihiLIF
from tdd_deploy.program import Dense, Edge, Input, NeuronLayer, Output, Program, build, with_code
from tdd_deploy.program.quantization.quantize import quantize
from tdd_deploy.simulator import reference
from tests.effort import n_examples
from tests.lava.networks import grown
from tests.property.test_round_trip import in_nirs_words, is_exportable
from tests.zoo import cases

SEEDS = st.integers(0, 2**32 - 1)
TOP = 2**23 - 1


def integers(seed: int, *, plain: bool) -> Program:
    """Random networks side by side; a filter or an unused number with a soft reset is removed, as NIR needs."""
    program = grown(seed, 2, plain=plain).program
    nodes = [
        replace(node, neuron=holdable(node.neuron)) if isinstance(node, NeuronLayer) else node for node in program.nodes
    ]
    return build(nodes, program.edges, dt_s=program.dt_s, n_steps=program.n_steps, number_format="integer")


def holdable(neuron: LoihiLIF) -> LoihiLIF:
    if neuron.reset == "hard":
        return neuron
    return replace(neuron, du=np.asarray(4095), v_reset=np.asarray(0))


@settings(max_examples=n_examples(60), deadline=None)
@given(SEEDS, st.booleans(), st.floats(1e-9, 1e3))
def test_an_integer_program_comes_back_from_a_nir_graph_at_any_dt(seed, plain, dt_s):
    program = replace(integers(seed, plain=plain), dt_s=dt_s)
    assert lower(lift(program)) == in_nirs_words(program)


@settings(max_examples=n_examples(15), deadline=None)
@given(SEEDS, st.booleans())
def test_an_integer_program_comes_back_from_a_file(seed, plain):
    program = integers(seed, plain=plain)
    with tempfile.TemporaryDirectory() as folder:
        write(program, Path(folder) / "network.nir")
        assert read(Path(folder) / "network.nir") == in_nirs_words(program)


def varied(low: int, high: int) -> st.SearchStrategy[np.ndarray]:
    one = st.integers(low, high) | st.sampled_from([low, high])
    return (one | st.lists(one, min_size=3, max_size=3)).map(np.array)


@settings(max_examples=n_examples(300), deadline=None)
@given(
    neuron=st.builds(
        LoihiLIF,
        v_threshold=varied(-TOP, TOP),
        v_reset=varied(-TOP, TOP),
        bias=varied(-TOP, TOP),
        du=varied(-1, 4095),
        dv=varied(0, 4096),
        reset=st.sampled_from(["hard", "soft"]),
    ),
    integration=st.sampled_from(["euler", "exact"]),
    dt_s=st.floats(1e-9, 1e3),
)
def test_any_neuron_of_integers_comes_back_or_is_refused_by_name(neuron, integration, dt_s):
    nodes = [
        Input(name="in", shape=(2,), scale=0.3, largest=7),
        Dense(name="fc", weight=np.array([[2, -256], [0, 254], [5, 7]])),
        NeuronLayer(name="n", shape=(3,), neuron=neuron),
        Output(name="out", unit=1 / 3),
    ]
    edges = [Edge("in", "fc"), Edge("fc", "n"), Edge("n", "out")]
    program = build(nodes, edges, dt_s=dt_s, n_steps=3, number_format="integer", integration=integration)
    is_filter, is_soft = np.any(neuron.du != 4095), neuron.reset == "soft"
    unholdable = (is_soft and (is_filter or np.any(neuron.v_reset))) or (
        integration == "exact" and ((is_filter and np.any(neuron.du == 4095)) or np.any(neuron.dv == 4096))
    )
    if not unholdable:
        assert lower(lift(program)) == in_nirs_words(program)
        return
    with pytest.raises(NotExportable) as refused:
        lift(program)
    assert {violation.where for violation in refused.value.violations} <= {"n", "n.v_reset", "n.du", "n.dv"}


@settings(max_examples=n_examples(200), deadline=None)
@given(cases(), st.integers(2, 8), st.sampled_from(["layer", "neuron"]))
def test_what_the_quantizer_makes_comes_back_and_computes_the_same(case, bits, per):
    try:
        quantized = with_code(quantize(case.program, bits=bits, per=per).program, "delta")
        graph = lift(quantized)
    except NotExportable:
        return  # most: weights after weights, potentials that are sent
    back = lower(graph)
    assert back == in_nirs_words(quantized)
    inputs = np.clip(case.inputs, 0, 1)
    before, after = reference.run(quantized, inputs), reference.run(back, inputs)
    np.testing.assert_array_equal(before[quantized.output.name], after[back.output.name])


def test_many_random_networks_need_no_change_to_be_exported():
    programs = [grown(seed, 1, plain=seed % 2 == 0).program for seed in range(20)]
    assert sum(is_exportable(program) for program in programs) >= 10
