"""Program -> NIR -> Program is the identity, up to what NIR has no words for: codes, shorthands, parameters unused."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tdd_deploy.errors import NotExportable
from tdd_deploy.exporters.nir.rules import NEURONS as HELD
from tdd_deploy.exporters.nir.write import lift, write
from tdd_deploy.importers import lower, read
from tdd_deploy.neurons import CubaLIF, Firing, I, Neuron, VariantLIF
from tdd_deploy.program import Conv, NeuronLayer, Node, Program, Scale, build, with_code
from tests.effort import n_examples
from tests.zoo import cases, grow

SMALL = st.floats(1e-6, 10.0)  # seconds per step


@settings(max_examples=n_examples(300), deadline=None)
@given(cases())
def test_a_program_comes_back_from_a_nir_graph(case):
    program = holdable(case.program)
    assert lower(lift(program)) == in_nirs_words(program)


@settings(max_examples=n_examples(100), deadline=None)
@given(cases())
def test_a_program_comes_back_from_a_file(case):
    program = holdable(case.program)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.nir"
        write(program, path)
        assert read(path) == in_nirs_words(program)


@settings(max_examples=n_examples(200), deadline=None)
@given(cases(), st.sampled_from(["euler", "exact"]), SMALL, st.randoms(use_true_random=False))
def test_any_float32_fraction_comes_back_at_any_dt(case, integration, dt_s, random):
    program = holdable(case.program)

    def shifted(fraction: np.ndarray) -> np.ndarray:
        return np.float32(random.uniform(1e-6, 1 - 1e-6)) * np.ones_like(fraction, dtype=np.float32)

    nodes = [with_fractions(node, shifted) for node in program.nodes]
    program = build(
        nodes, program.edges, dt_s=dt_s, n_steps=program.n_steps, integration=integration, number_format="float32"
    )
    assert lower(lift(program)) == in_nirs_words(program)


@settings(max_examples=n_examples(100), deadline=None)
@given(cases())
def test_a_random_program_is_exported_or_refused_by_name(case):
    if is_exportable(case.program):
        assert lower(lift(case.program)) == in_nirs_words(case.program)
        return
    with pytest.raises(NotExportable) as refused:
        lift(case.program)
    names = {node.name for node in case.program.nodes}
    assert all(any(name in violation.where for name in names) for violation in refused.value.violations)


def test_many_random_programs_need_no_change_to_be_exported():
    programs = [
        grow(seed, n_blocks=1 + seed % 3, n_steps=1, batch=1, spatial=seed % 2 == 0).program for seed in range(60)
    ]
    assert sum(is_exportable(program) for program in programs) >= 10


@pytest.mark.parametrize("integration", ["euler", "exact"])
@pytest.mark.parametrize("beta", [0.9, 0.3, 0.95, 1e-4, 1 - 2.0**-20])
def test_common_float32_fractions_come_back_exactly(integration, beta):
    program = grow(2, n_blocks=2, n_steps=1, batch=1, spatial=False, number_format="float32").program
    nodes = [with_fractions(node, lambda fraction: np.full_like(fraction, beta)) for node in program.nodes]
    program = holdable(build(nodes, program.edges, dt_s=1e-3, n_steps=1, integration=integration))
    assert lower(lift(program)) == in_nirs_words(program)
    betas = [layer.neuron.beta for layer in program.neuron_layers if "beta" in layer.neuron.parameters()]
    assert betas
    assert all(np.all(kept == np.float32(beta)) for kept in betas)


def holdable(program: Program) -> Program:
    """Replace parts that NIR cannot hold: other neurons, variants, soft CubaLIF, fractions of 1, shifted images."""
    nodes = [with_fractions(node, lambda fraction: np.where(fraction == 1, 0.75, fraction)) for node in program.nodes]
    nodes = [
        replace(node, bias=None) if isinstance(node, Scale) and len(program.shapes[node.name]) == 3 else node
        for node in nodes
    ]
    return build(
        [replace(node, neuron=standard(node.neuron)) if isinstance(node, NeuronLayer) else node for node in nodes],
        program.edges,
        dt_s=program.dt_s,
        n_steps=program.n_steps,
        integration=program.integration,
        number_format=program.number_format,
    )


def standard(neuron: Neuron) -> Neuron:
    if type(neuron) not in HELD:
        return I()
    if isinstance(neuron, VariantLIF):
        late = {"reset": "soft", "resets": "next step", "spikes": "one", "left_over": "fires", "v_min": None}
        return replace(neuron, alpha=np.zeros_like(neuron.alpha), **late)
    return replace(neuron, reset="hard") if isinstance(neuron, CubaLIF) else neuron


def with_fractions(node: Node, change) -> Node:
    if not isinstance(node, NeuronLayer):
        return node
    if isinstance(node.neuron, VariantLIF):
        return replace(node, neuron=replace(node.neuron, beta=change(node.neuron.beta)))
    fractions = {name: change(value) for name, value in node.neuron.parameters().items() if name in ("alpha", "beta")}
    return replace(node, neuron=replace(node.neuron, **fractions))


def is_exportable(program: Program) -> bool:
    try:
        lift(program)
    except NotExportable:
        return False
    return True


def in_nirs_words(program: Program) -> Program:
    """Say the same as NIR would: delta codes, equal numbers as one, no convolution's zero bias, no unused reset."""
    return replace(with_code(program, "delta"), nodes=tuple(node_in_nirs_words(node) for node in program.nodes))


def node_in_nirs_words(node: Node) -> Node:
    match node:
        case Conv(bias=np.ndarray()) if not node.bias.any():
            return replace(node, bias=None)
        case Scale():
            return replace(node, factor=collapsed(node.factor))
        case NeuronLayer():
            neuron = node.neuron.converted(collapsed)
            if isinstance(neuron, Firing | VariantLIF) and neuron.reset == "soft":
                neuron = replace(neuron, v_reset=np.zeros_like(neuron.v_reset, shape=()))
            return replace(node, neuron=neuron)
    return node


def collapsed(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1)[:1].reshape(()) if len(set(values.reshape(-1).tolist())) == 1 else values
