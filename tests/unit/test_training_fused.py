"""Charge, fire, reset in one pass against the neuron's own step with torch's own autograd.

A surrogate gradient is not the derivative of a step, so no finite difference can judge it (torch.autograd.gradcheck
would refuse every right answer): the witness is eager autograd, which applies the surrogate at each step by itself.
"""

import os
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
import torch

from tdd_deploy.neurons import IF, LIF, CubaLIF, Observing
from tdd_deploy.training import fused
from tdd_deploy.training.arithmetic import TorchArithmetic
from tdd_deploy.training.fused import BLOCK, charge_fire_reset, is_fused
from tdd_deploy.training.network import fire
from tests.kept import most_kept
from tests.untrained import neuron

N_STEPS, SHAPE = 6, (3, 4, 5, 7)

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = [
    {"kind": kind, "reset": reset, "compare": compare, "reset_to": reset_to}
    for kind, reset, compare, reset_to in product(("lif", "if"), ("hard", "soft"), (">", ">="), (0.0, 0.375))
    if not (reset == "soft" and reset_to)
]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: " ".join(map(str, kind.values())))
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def made(kind, dtype=torch.float32, *, learned=False):
    """Binary numbers, so that potentials meet the threshold 1 exactly now and then."""
    found = neuron(beta=0.75, **kind, dtype=dtype) if kind["kind"] == "lif" else neuron(**kind, dtype=dtype)
    return found.converted(lambda value: value.clone().requires_grad_(learned))


def currents(n_steps=N_STEPS, shape=SHAPE, dtype=torch.float32, seed=0):
    """Multiples of 1/8."""
    return torch.from_numpy(np.random.default_rng(seed).integers(-4, 10, (n_steps, *shape)) / 8).to(dtype)


def eager(each, current, n_steps, v=None):
    """Spikes, the potentials compared, and v after the last step, as the neuron's own equation gives them."""
    arithmetic = Observing(TorchArithmetic())
    state = (torch.zeros_like(current[0]) if v is None else v,)
    spikes, potentials = [], []
    for t in range(n_steps):
        state, sent = each.step(arithmetic, state, current[t if len(current) > 1 else 0])
        spikes.append(sent)
        potentials.append(arithmetic.compared)
    return torch.stack(spikes), torch.stack(potentials), state[0]


def in_one_pass(each, current, n_steps, v=None):
    found = charge_fire_reset(each, current, n_steps, None if v is None else (v,))
    return found.spikes, found.u, found.state[0]


def gradients(run, kind, dtype, *, n_steps=N_STEPS, static=False, asked=(True, True, True), current=None, seed=1):
    """What comes out, and the gradients of current, v before, and every number, of random sums of what comes out."""
    each = made(kind, dtype, learned=True)
    current = currents(1 if static else n_steps, dtype=dtype) if current is None else current
    current = current.clone(memory_format=torch.preserve_format).requires_grad_()
    v = (currents(1, current.shape[1:], dtype=dtype, seed=5)[0] / 2).requires_grad_()
    out = run(each, current, n_steps, v)
    rng = np.random.default_rng(seed)
    weights = [torch.from_numpy(rng.normal(size=tuple(value.shape))).to(dtype) for value in out]
    sum((w * value).sum() for w, value, wanted in zip(weights, out, asked, strict=True) if wanted).backward()
    found = {"current": current.grad, "v": v.grad}
    for name, value in each.parameters().items():
        is_used = name != "v_reset" or kind["reset"] == "hard"
        found[name] = value.grad if is_used else torch.zeros_like(value)
    return [value.detach() for value in out], found


def assert_same(found, expected, dtype):
    for one, other in zip(found[0], expected[0], strict=True):
        assert torch.equal(one, other)
    tolerance = 1e-12 if dtype == torch.float64 else 3e-5
    assert found[1].keys() == expected[1].keys()
    for name, one in found[1].items():
        other = expected[1][name]
        largest = float(other.abs().max())
        assert largest > 0 or name == "v_reset", name
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * max(1, largest), msg=name)


@each_dtype
@pytest.mark.parametrize("static", [False, True])
@each_kind
def test_one_pass_and_its_gradients_are_those_of_step_after_step(kind, static, dtype):
    expected = gradients(eager, kind, dtype, static=static)
    spikes, potentials, _ = expected[0]
    assert 0.1 < spikes.mean() < 0.9
    assert (potentials == 1).any()  # > and >= differ
    assert_same(gradients(in_one_pass, kind, dtype, static=static), expected, dtype)


@each_dtype
@pytest.mark.parametrize("asked", [(True, False, False), (False, True, False), (False, False, True)])
@pytest.mark.parametrize("kind", [KINDS[0], KINDS[4]], ids=["hard", "soft"])
def test_each_of_spikes_potentials_and_state_may_be_all_that_is_asked(kind, asked, dtype):
    expected = gradients(eager, kind, dtype, asked=asked)
    assert_same(gradients(in_one_pass, kind, dtype, asked=asked), expected, dtype)


@each_dtype
def test_one_neuron_by_hand(dtype):
    """u = v / 2 + I, threshold 1, hard reset to 0; triangles 1 - |u - 1|.

    I = 0.75, 0.75, 0.5: u = 0.75, 1.125 (spike), 0.5. Of the sum of the spikes, backward from the last:
    dL/du3 = 0.5; dL/dv2 = 0.25; dL/du2 = 0.875 (1 + 0.25 (0 - 1.125)) + 0 = 0.62890625;
    dL/dv1 = 0.314453125; dL/du1 = 0.75 (1 + 0.314453125 (0 - 0.75)) + 0.314453125 = 0.8875732421875.
    beta: dL/du3 v2 + dL/du2 v1 = 0.62890625 0.75. Reset level: dL/dv2, where it spiked.
    Threshold: minus the triangles times what arrives at the spikes: 0.5 + 0.62890625 + 0.573120117...
    """
    each = made({"kind": "lif"}, dtype, learned=True)
    each.beta.data.fill_(0.5)
    current = torch.tensor([0.75, 0.75, 0.5], dtype=dtype).reshape(3, 1).requires_grad_()
    found = charge_fire_reset(each, current, 3)
    assert found.spikes.flatten().tolist() == [0, 1, 0]
    assert found.u.flatten().tolist() == [0.75, 1.125, 0.5]
    assert found.state[0].item() == 0.5
    found.spikes.sum().backward()
    assert current.grad.flatten().tolist() == [0.8875732421875, 0.62890625, 0.5]
    assert each.beta.grad.item() == 0.4716796875
    assert each.v_reset.grad.item() == 0.25
    assert each.v_threshold.grad.item() == -(0.5 + 0.62890625 + (0.8875732421875 - 0.314453125))


@each_dtype
@each_kind
def test_two_pieces_with_the_state_carried_are_one(kind, dtype):
    def in_two(each, current, n_steps, v):
        first = in_one_pass(each, current[:2], 2, v)
        second = in_one_pass(each, current[2:], n_steps - 2, first[2])
        return torch.cat([first[0], second[0]]), torch.cat([first[1], second[1]]), second[2]

    assert_same(gradients(in_two, kind, dtype), gradients(in_one_pass, kind, dtype), dtype)


@each_dtype
@pytest.mark.parametrize("kind", [KINDS[0], KINDS[4]], ids=["hard", "soft"])
@pytest.mark.parametrize("layout", ["channels last", "expanded", "sliced", "flat"])
def test_every_layout_in_memory_gives_the_same(layout, kind, dtype):
    current = currents(dtype=dtype)
    if layout == "channels last":
        current = current.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, current.shape[:2])
        assert not current.is_contiguous()
    elif layout == "expanded":
        current = current[..., :1, :1].expand(-1, -1, -1, 5, 7)
    elif layout == "sliced":
        current = currents(shape=(3, 8, 5, 9), dtype=dtype)[:, :, ::2, :, 1:8]
    else:
        current = current.flatten(2)
    found = gradients(in_one_pass, kind, dtype, current=current)
    assert_same(found, gradients(eager, kind, dtype, current=current), dtype)
    if layout == "channels last":
        assert found[0][0].stride() == current.stride()  # so that the next convolution need not copy


@each_dtype
@pytest.mark.parametrize("kind", [KINDS[0], KINDS[4]], ids=["hard", "soft"])
def test_one_step_is_a_step(kind, dtype):
    expected = gradients(eager, kind, dtype, n_steps=1)
    assert_same(gradients(in_one_pass, kind, dtype, n_steps=1), expected, dtype)


@pytest.mark.parametrize("static", [False, True])
def test_more_neurons_than_a_block_holds(static):
    current = currents(1 if static else 3, (2, BLOCK // 2 + 501))
    found, expected = (
        gradients(run, KINDS[0], torch.float32, n_steps=3, current=current) for run in (in_one_pass, eager)
    )
    assert_same(found, expected, torch.float32)


def test_compiled_loops_and_tensors_give_the_same(monkeypatch):
    """In float32: the loops, and what runs where there are none."""
    for kind in KINDS:
        compiled = gradients(in_one_pass, kind, torch.float32)
        with monkeypatch.context() as patch:
            patch.setattr(fused, "is_compiled", lambda x: False)
            in_tensors = gradients(in_one_pass, kind, torch.float32)
        assert_same(compiled, in_tensors, torch.float32)


def test_without_a_state_neurons_start_at_rest():
    each, current = made(KINDS[0]), currents()
    for one, other in zip(
        in_one_pass(each, current, N_STEPS), in_one_pass(each, current, N_STEPS, torch.zeros(SHAPE)), strict=True
    ):
        assert torch.equal(one, other)


@each_dtype
@pytest.mark.parametrize("n_steps", [1, 4, 8])
@pytest.mark.parametrize("static", [False, True])
def test_nothing_but_the_potentials_is_kept_for_backward(static, n_steps, dtype):
    each = made(KINDS[0], dtype)
    current = currents(1 if static else n_steps, dtype=dtype).requires_grad_()
    of_one_step = current[0].numel() * current.element_size()
    numbers = 3 * current.element_size()
    assert most_kept(lambda: in_one_pass(each, current, n_steps)) == n_steps * of_one_step + numbers
    v = torch.zeros(SHAPE, dtype=dtype)
    assert most_kept(lambda: in_one_pass(each, current, n_steps, v)) == (n_steps + 1) * of_one_step + numbers
    assert most_kept(lambda: eager(each, current, n_steps)) > 2 * n_steps * of_one_step


def test_what_is_fused_is_lif_and_if_in_floats_with_one_number_for_all():
    current = torch.zeros(1, 3)
    assert is_fused(neuron(), current)
    assert is_fused(neuron("if"), current)
    assert not is_fused(neuron(), current.long())
    assert not is_fused(neuron().converted(lambda value: value.expand(3)), current)
    one = torch.tensor(1.0)
    assert not is_fused(CubaLIF(v_threshold=one, v_reset=one, alpha=one, beta=one), current)


@each_kind
def test_neurons_with_numbers_of_their_own_take_the_eager_way_to_the_same_spikes(kind):
    one_for_all = made(kind)
    of_their_own = one_for_all.converted(lambda value: value.expand(SHAPE[1:]))
    current = currents()
    found, expected = fire(of_their_own, current, N_STEPS), fire(one_for_all, current, N_STEPS)
    assert torch.equal(found.spikes, expected.spikes)
    assert torch.equal(found.u, expected.u)
    assert torch.equal(found.state[0], expected.state[0])


def test_a_state_that_learns_nothing_gets_no_gradient():
    each, current = made(KINDS[0]), currents().requires_grad_()
    v = torch.zeros(SHAPE)
    charge_fire_reset(each, current, N_STEPS, (v,)).spikes.sum().backward()
    assert v.grad is None
    assert all(value.grad is None for value in each.parameters().values())
    assert current.grad.ne(0).any()


@pytest.mark.parametrize("kind", [LIF, IF])
def test_what_is_asked_is_not_changed(kind):
    each = made({"kind": "lif" if kind is LIF else "if"})
    current, v = currents(), currents(1, seed=3)[0]
    before = current.clone(), v.clone()
    out = in_one_pass(each, current.requires_grad_(), N_STEPS, v)
    sum(value.sum() for value in out).backward()
    assert torch.equal(current, before[0])
    assert torch.equal(v, before[1])


THREADS = """
import torch
from tdd_deploy.neurons import LIF
from tdd_deploy.training.fused import charge_fire_reset
torch.set_num_threads(1)
number = torch.tensor(0.5)
charge_fire_reset(LIF(beta=number, v_threshold=number, v_reset=number), torch.rand(1, 4, 8), 2)
print(torch.get_num_threads())
"""


def test_the_loops_leave_torch_the_threads_it_was_given():
    """Numba tells OpenMP how many threads there are when it starts, and torch listens to OpenMP."""
    done = subprocess.run(
        [sys.executable, "-c", THREADS], env={**os.environ, "NUMBA_NUM_THREADS": "2"}, capture_output=True, check=True
    )
    assert done.stdout == b"1\n"
