"""Gains of currents, computed by hand to the last bit of the weights that they multiply.

Files hold r as 1 / dt or tau / dt in float32, so a gain of 1 is read back as about 1 +- 2**-23. It has to become 1.
"""

import nir
import numpy as np
import pytest

from tdd_deploy.errors import UnsupportedGraph
from tdd_deploy.importers import lower
from tdd_deploy.program import Conv, Program

W = 0.1  # needs all bits: multiplying it by any neighbor of 1 changes it


def program_of(neuron: nir.NIRNode, dialect: str, linear: nir.NIRNode | None = None, *, n: int = 1) -> Program:
    nodes = {"in": nir.Input(np.array([n]))}
    nodes |= {"fc": nir.Linear(W * np.eye(n))} if linear is None else {"fc": linear}
    nodes |= {"n": neuron, "out": nir.Output(np.array([n]))}
    edges = [("in", "fc"), ("fc", "n"), ("n", "out")]
    return lower(nir.NIRGraph(nodes, edges, type_check=False), dialect=f"{dialect},numbers=float64")


def made(kind: type[nir.NIRNode], **values: float) -> nir.NIRNode:
    return kind(**{key: np.array([value], np.float32).astype(np.float64) for key, value in values.items()})


def integrator(r: float) -> nir.IF:
    return nir.IF(r=np.array([r]), v_threshold=np.ones(1), v_reset=np.zeros(1))


def leaky(kind: type[nir.NIRNode], **values: float) -> nir.NIRNode:
    fires = {"v_threshold": 1.0, "v_reset": 0.0} if "LIF" in kind.__name__ else {}
    return made(kind, v_leak=0.0, **fires, **values)


def weight_of(program: Program) -> float:
    """Return the one weight, and assert that nothing else multiplies."""
    assert {node.name for node in program.nodes} == {"in", "fc", "n", "out"}
    (weight,) = program["fc"].weight.ravel()
    return float(weight)


# Rounded to float32: 1 / 3e-4 = 3333.33325, times 3e-4 = 0.9999999756


@pytest.mark.parametrize("dt", ["1e-4", "3e-4", "7e-4", "1e-3", "1.7e-2"])
@pytest.mark.parametrize("tool", ["nir", "spikingjelly", "snntorch,reset=none", "lava"])
def test_an_r_that_is_a_rounded_1_over_dt_changes_no_bit_of_a_weight(tool: str, dt: str) -> None:
    program = program_of(made(nir.IF, r=1 / float(dt), v_threshold=1.0, v_reset=0.0), f"{tool},dt={dt}")
    assert weight_of(program) == W


@pytest.mark.parametrize("beta", [0.9, 0.7, 0.95, 0.3])
@pytest.mark.parametrize("tool", ["snntorch,reset=none", "spikingjelly", "nir,integration=euler,dt=1e-4"])
def test_an_r_that_is_a_rounded_tau_over_dt_changes_no_bit_of_a_weight(tool: str, beta: float) -> None:
    tau = np.float32(1e-4 / (1 - beta))
    assert weight_of(program_of(leaky(nir.LIF, tau=tau, r=tau / np.float32(1e-4)), tool)) == W


def test_two_rounded_gains_of_a_synapse_and_a_membrane_change_no_bit() -> None:
    syn, mem = np.float32(1e-4 / 0.3), np.float32(1e-4 / 0.07)
    neuron = leaky(nir.CubaLIF, tau_syn=syn, tau_mem=mem, w_in=syn / np.float32(1e-4), r=mem / np.float32(1e-4))
    assert weight_of(program_of(neuron, "snntorch,reset=none")) == W


def test_a_bias_and_a_convolution_keep_their_bits() -> None:
    neuron = made(nir.IF, r=1 / 3e-4, v_threshold=1.0, v_reset=0.0)
    program = program_of(neuron, "nir,dt=3e-4", nir.Affine(np.array([[W]]), np.array([0.3])))
    assert float(program["fc"].bias[0]) == 0.3
    kernel = nir.Conv2d(
        input_shape=(1, 1), weight=np.full((1, 1, 1, 1), W), stride=1, padding=0, dilation=1, groups=1, bias=np.zeros(1)
    )
    nodes = {"in": nir.Input(np.array([1, 1, 1])), "fc": kernel, "n": neuron, "out": nir.Output(np.array([1, 1, 1]))}
    graph = nir.NIRGraph(nodes, [("in", "fc"), ("fc", "n"), ("n", "out")], type_check=False)
    conv = lower(graph, dialect="nir,dt=3e-4,numbers=float64")["fc"]
    assert isinstance(conv, Conv)
    assert float(conv.weight.ravel()[0]) == W


def test_no_scale_is_made_for_a_gain_that_rounding_alone_moves_from_1() -> None:
    r = float(np.float32(1 / 3e-4))
    nodes = {"in": nir.Input(np.array([1])), "n": integrator(r), "out": nir.Output(np.array([1]))}
    graph = nir.NIRGraph(nodes, [("in", "n"), ("n", "out")], type_check=False)
    assert [node.name for node in lower(graph, dialect="nir,dt=3e-4").nodes] == ["in", "n", "out"]


@pytest.mark.parametrize(
    ("away", "is_one"),
    [(2**-23, True), (-(2**-23), True), (2**-22, True), (-(2**-22), True), (2**-20, False), (-(2**-20), False)],
)
def test_a_gain_is_1_up_to_what_float32_rounds_and_no_farther(away: float, is_one: bool) -> None:
    """With dt = 2**-10 the product r dt is exact. W (1 + 2**-20) is rounded once, as here."""
    program = program_of(integrator(1024 * (1 + away)), f"nir,dt={2**-10}")
    assert weight_of(program) == (W if is_one else W * (1 + away))


def test_each_neuron_has_its_own_gain() -> None:
    r = np.array([np.float32(1 / 3e-4), 1024.0, np.float32(2 / 3e-4)], np.float64)
    neuron = nir.IF(r=r, v_threshold=np.ones(3), v_reset=np.zeros(3))
    found = np.diag(program_of(neuron, "nir,dt=3e-4", n=3)["fc"].weight)
    assert found[0] == W
    # 1024 * 3e-4 = 0.3072; a rounded 2 stays rounded: 6666.6665039 * 3e-4 = 1.99999995117
    np.testing.assert_allclose(found[1:], [0.03072, 0.199999995117], rtol=1e-11)


# Every choice of a gain: dt 1, tau 4, r 3, so exp(-1/4) = 0.7788007830714 is kept and 0.2211992169286 lost

KEPT, LOST = 0.7788007830714, 0.2211992169286
GAINS = {
    "euler": {"nir": 0.75, "r": 3.0, "one": 1.0, "norm": 0.25, "kept": 0.75},
    "exact": {"nir": 3 * LOST, "r": 3.0, "one": 1.0, "norm": LOST, "kept": KEPT},
    "impulse": {"nir": 0.75, "r": 3.0, "one": 1.0, "norm": LOST, "kept": KEPT},
}
CHOICES = [(rule, gain, expected) for rule, gains in GAINS.items() for gain, expected in gains.items()]


@pytest.mark.parametrize(("rule", "gain", "expected"), CHOICES)
def test_each_name_of_a_membrane_gain_means_its_formula(rule: str, gain: str, expected: float) -> None:
    choices = f"nir,dt=1,integration={rule}"
    fires = program_of(leaky(nir.LIF, tau=4.0, r=3.0), f"{choices},gain={gain}")
    leaks = program_of(leaky(nir.LI, tau=4.0, r=3.0), f"{choices},gain_li={gain}")
    assert [weight_of(program) for program in (fires, leaks)] == pytest.approx(2 * [W * expected], rel=1e-12)
    assert fires["n"].neuron.beta == pytest.approx(0.75 if rule == "euler" else KEPT, rel=1e-12)
    same = program_of(leaky(nir.LI, tau=4.0, r=3.0), f"{choices},gain={gain}")  # gain_li is "same" in nir
    assert weight_of(same) == weight_of(fires)


@pytest.mark.parametrize(("rule", "gain", "expected"), CHOICES)
def test_each_name_of_a_synapse_gain_means_its_formula(rule: str, gain: str, expected: float) -> None:
    """The membrane keeps a half in euler: tau 2, with gain=one."""
    choices = f"nir,dt=1,integration={rule},gain=one,gain_syn={gain}"
    for kind in (nir.CubaLIF, nir.CubaLI):
        program = program_of(leaky(kind, tau_syn=4.0, w_in=3.0, tau_mem=2.0, r=5.0), choices)
        assert weight_of(program) == pytest.approx(W * expected, rel=1e-12)
        assert program["n"].neuron.alpha == pytest.approx(0.75 if rule == "euler" else KEPT, rel=1e-12)


def test_the_gains_of_synapse_and_membrane_multiply() -> None:
    """Euler: 3 * 1/4 of the synapse, 5 * 1/2 of the membrane."""
    neuron = leaky(nir.CubaLIF, tau_syn=4.0, w_in=3.0, tau_mem=2.0, r=5.0)
    assert weight_of(program_of(neuron, "nir,dt=1,integration=euler")) == pytest.approx(W * 0.75 * 2.5, rel=1e-15)


@pytest.mark.parametrize(("gain", "expected"), [("nir", 3 * 0.25), ("r", 3.0), ("one", 1.0)])
def test_each_name_of_an_integrator_gain_means_its_formula(gain: str, expected: float) -> None:
    program = program_of(integrator(3.0), f"nir,dt=0.25,gain_if={gain}")
    assert weight_of(program) == pytest.approx(W * expected, rel=1e-15)


def test_a_time_constant_that_rounding_alone_puts_below_dt_is_dt() -> None:
    """snnTorch writes float32(1e-4) = 9.99999975e-05 for beta 0. A tau of 0.9999 dt is refused."""
    program = program_of(leaky(nir.LIF, tau=1e-4, r=1.0), "snntorch,reset=none")
    assert float(program["n"].neuron.beta) == 0
    assert weight_of(program) == W
    with pytest.raises(UnsupportedGraph, match=r"n\.tau must be dt or more .*\(got 9\.999e-05 s with dt 0\.0001 s\)"):
        program_of(leaky(nir.LIF, tau=0.9999e-4, r=1.0), "snntorch,reset=none")


def test_a_bias_is_multiplied_like_a_current_and_a_leak_is_added() -> None:
    """Euler, dt 1, tau 4, r 3: 0.75 of the bias 0.3, and a quarter of v_leak 2."""
    neuron = nir.LIF(
        tau=np.array([4.0]), r=np.array([3.0]), v_leak=np.array([2.0]), v_threshold=np.ones(1), v_reset=np.zeros(1)
    )
    program = program_of(neuron, "nir,dt=1,integration=euler", nir.Affine(np.array([[W]]), np.array([0.3])))
    assert float(program["fc"].bias[0]) == pytest.approx(0.3 * 0.75 + 0.25 * 2, rel=1e-15)
    without = program_of(neuron, "nir,dt=1,integration=euler,v_leak=ignored", nir.Affine(np.eye(1), np.array([0.3])))
    assert float(without["fc"].bias[0]) == pytest.approx(0.3 * 0.75, rel=1e-15)
