"""Places of factors and shifts of a ReLU network, found by hand; tests/property has random networks."""

import time

import numpy as np
import onnxruntime
import pytest

import tdd_deploy as td
from tdd_deploy.importers import read
from tdd_deploy.program import Conv, Dense, Scale
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.engine.engine import Engine
from tests.onnx_files import node, write
from tests.zoo import Given

RNG = np.random.default_rng(0)


def random(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def checked(path, shape):
    """Compare a file's program with onnxruntime, and with the engine; return it, and the counts of one sample."""
    program = read(path)
    x = np.maximum(random(1, *shape), 0)
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": x})
    found = reference.run(program, x[None])[program.output.name][0]
    assert expected.size
    np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    result = Engine(program).run(Given(x[None]), n_steps=1)
    np.testing.assert_allclose(result.output[:, 0], found, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    return program, result.trace.executed


def scales(program):
    return [node.name for node in program.linear_maps if isinstance(node, Scale)]


def norm(n):
    return {"s": random(n), "g": random(n), "m": random(n), "v": random(n) ** 2 + 0.5}


# Conv - Relu - Flatten - BatchNorm1d - Linear, as PyTorch exports it: 8 channels of 12 x 12, 4 classes.

N = 8 * 12 * 12
MACS = 8 * 3 * 34 * 34 + 4 * N  # 34 of 36 taps of a 3 x 3 kernel with pads in each direction: 10 * 3 + 2 * 2


def two_forms(folder):
    """Write a network with a batch norm after Flatten, and the same network with it folded into the next weights."""
    conv = {"w": random(8, 3, 3, 3), "b": random(8)}
    statistics = norm(N)
    v, c = random(4, N), random(4)
    factor = (statistics["s"] / np.sqrt(statistics["v"].astype(np.float64) + 1e-5)).astype(np.float64)
    shift = statistics["g"] - statistics["m"] * factor
    head = [node("Conv", "x w b", "c", pads=[1] * 4), node("Relu", "c", "r"), node("Flatten", "r", "f")]
    shape = {"shape": ("N", 3, 12, 12)}
    exported = write(
        folder / "exported.onnx",
        [*head, node("BatchNormalization", "f s g m v", "n"), node("Gemm", "n k q", transB=1)],
        {**conv, **statistics, "k": v, "q": c},
        **shape,
    )
    by_hand = {"k": (v * factor).astype(np.float32), "q": (c + v @ shift).astype(np.float32)}
    folded = write(folder / "folded.onnx", [*head, node("Gemm", "f k q", transB=1)], {**conv, **by_hand}, **shape)
    return exported, folded


def test_a_batch_norm_between_flatten_and_linear_costs_nothing(tmp_path):
    for path in two_forms(tmp_path):
        program, counts = checked(path, (3, 12, 12))
        assert counts.total("dense") == MACS == 32_352
        assert [type(each).__name__ for each in program.linear_maps] == ["Conv", "Flatten", "Dense"]


def test_energy_counts_and_needs_of_a_chip_are_those_of_the_network_folded_by_hand(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.maximum(random(3, 3, 12, 12), 0))
    totals, placed = [], []
    for path in two_forms(tmp_path):
        result = td.simulate(path, data=str(tmp_path / "x.npz"), energy=True, profiles=["cmos45-horowitz"])
        totals.append(result.as_json()["totals"])
        placed.append(td.check(path, chip="loihi2"))
    assert totals[0] == totals[1]
    assert totals[0]["energy_pj"] > 0
    first, second = (each.placement for each in placed)
    assert first.n_cores == second.n_cores > 0
    assert [block.load for block in first.blocks] == [block.load for block in second.blocks]


def test_a_batch_norm_of_more_features_than_a_matrix_could_be_made_for_is_read(tmp_path):
    n = 5_000
    nodes = [node("Relu", "x", "r"), node("BatchNormalization", "r s g m v", "n"), node("Relu", "n")]
    program, counts = checked(write(tmp_path / "net.onnx", nodes, norm(n), shape=("N", n)), (n,))
    assert scales(program) == ["BatchNormalization_n"]
    assert counts.total("dense") == n
    assert counts.total("bias_adds") == n


@pytest.mark.parametrize("shape", [(), (1,), (3, 1, 1), (3, 8, 8), (1, 1, 8), (1, 3, 1, 1)])
def test_a_shift_before_pads_costs_one_synapse_per_value(tmp_path, shape):
    """Pads are zeros and have no shift, so it cannot go into the bias of the convolution."""
    nodes = [node("Sub", "x c", "d"), node("Conv", "d w", "h", pads=[1] * 4), node("Relu", "h")]
    path = write(tmp_path / "net.onnx", nodes, {"c": random(*shape), "w": random(2, 3, 3, 3)})
    program, counts = checked(path, (3, 8, 8))
    assert isinstance(program.linear_maps[0], Scale if shape in ((), (3, 8, 8), (1, 1, 8), (1,)) else Conv)
    assert len(program.linear_maps) == 2
    assert counts.total("dense") == 3 * 8 * 8 + 2 * 3 * 22 * 22
    assert counts.total("bias_adds") == 3 * 8 * 8


@pytest.mark.parametrize("shape", [(), (3, 1, 1), (3, 8, 8), (8,)])
def test_a_shift_before_a_convolution_without_pads_goes_into_its_bias_if_channels_share_it(tmp_path, shape):
    nodes = [node("Add", "x c", "d"), node("Conv", "d w", "h"), node("Relu", "h")]
    path = write(tmp_path / "net.onnx", nodes, {"c": random(*shape), "w": random(2, 3, 3, 3)})
    program, counts = checked(path, (3, 8, 8))
    alike = shape in ((), (3, 1, 1))
    assert counts.total("dense") == 2 * 3 * 18 * 18 + (0 if alike else 3 * 8 * 8)
    assert len(scales(program)) == (0 if alike else 1)


@pytest.mark.parametrize("shape", [(1, 1, 1, 5), (3, 1, 1), (3, 4, 5), ()])
def test_shifts_and_factors_per_value_go_into_the_dense_map_after_them(tmp_path, shape):
    nodes = [
        node("Relu", "x", "r"), node("Mul", "r c", "m"), node("Add", "m d", "a"), node("Flatten", "a", "f"),
        node("Gemm", "f w", transB=1),
    ]  # fmt: skip
    weights = {"c": random(*shape), "d": random(*shape), "w": random(4, 60)}
    program, counts = checked(write(tmp_path / "net.onnx", nodes, weights, shape=("N", 3, 4, 5)), (3, 4, 5))
    assert counts.total("dense") == 240
    assert [type(each).__name__ for each in program.linear_maps] == ["Flatten", "Dense"]


@pytest.mark.parametrize(
    ("nodes", "n_scales"),
    [
        ([node("Add", "x x", "h")], 0),
        ([node("Mul", "x c", "m"), node("Add", "x m", "h")], 0),
        ([node("Mul", "x c", "m"), node("Add", "x d", "n"), node("Add", "n m", "h")], 0),
        ([node("Sub", "c x", "h")], 0),
        ([node("Relu", "x", "r"), node("Sub", "x r", "m"), node("Add", "m c", "h")], 1),
        ([node("Relu", "x", "r"), node("Add", "x c", "m"), node("Add", "m r", "h")], 0),
    ],
)
def test_parallel_paths_become_one(tmp_path, nodes, n_scales):
    weights = {"c": random(6), "d": random(6), "w": random(4, 6)}
    program, _ = checked(write(tmp_path / "net.onnx", [*nodes, node("Gemm", "h w", transB=1)], weights,
                               shape=("N", 6)), (6,))  # fmt: skip
    assert len(scales(program)) == n_scales


def test_a_shift_that_no_map_takes_is_added_where_the_sum_is_received(tmp_path):
    """Before a sum, on any of its branches, or after it: the same counts."""
    forms = [
        [node("Add", "r c", "a"), node("Add", "a x", "s"), node("Relu", "s")],
        [node("Add", "x c", "a"), node("Add", "r a", "s"), node("Relu", "s")],
        [node("Add", "r x", "a"), node("Add", "a c", "s"), node("Relu", "s")],
    ]
    found = []
    for form in forms:
        path = write(tmp_path / "net.onnx", [node("Relu", "x", "r"), *form], {"c": random(6) + 9}, shape=("N", 6))
        program, counts = checked(path, (6,))
        found.append((len(scales(program)), counts.total("dense"), counts.total("bias_adds")))
    assert found == [(1, 6, 6)] * 3


def test_one_receiver_takes_a_shift_although_another_cannot(tmp_path):
    nodes = [
        node("Relu", "x", "r"), node("Add", "r c", "a"), node("Conv", "a w", "p", pads=[1] * 4),
        node("Conv", "a k", "q"), node("Add", "p q", "s"), node("Relu", "s"),
    ]  # fmt: skip
    weights = {"c": random(3, 1, 1), "w": random(2, 3, 3, 3), "k": random(2, 3, 1, 1)}
    program, counts = checked(write(tmp_path / "net.onnx", nodes, weights), (3, 8, 8))
    assert {edge.source for edge in program.incoming["Conv_q"]} == {"Relu_r"}
    assert counts.total("dense") == 3 * 64 + 2 * 3 * 22 * 22 + 2 * 3 * 64


def test_a_channel_that_batch_norm_turned_off_costs_nothing(tmp_path):
    nodes = [node("Conv", "x w", "c"), node("BatchNormalization", "c s g m v", "n"), node("Relu", "n", "r"),
             node("GlobalAveragePool", "r")]  # fmt: skip
    statistics = norm(4)
    statistics["s"][1] = 0
    program, _ = checked(write(tmp_path / "net.onnx", nodes, {"w": random(4, 3, 3, 3), **statistics}), (3, 8, 8))
    (conv,) = [each for each in program.linear_maps if isinstance(each, Conv)]
    assert not conv.weight[1].any()
    np.testing.assert_allclose(conv.bias[1], statistics["g"][1])


def test_a_constant_passes_maps_with_pads_if_a_later_map_takes_it(tmp_path):
    nodes = [node("Sub", "x c", "d"), node("Conv", "d w", "h", pads=[1] * 4), node("Flatten", "h", "f"),
             node("Gemm", "f k", transB=1)]  # fmt: skip
    weights = {"c": random(3, 8, 8), "w": random(2, 3, 3, 3), "k": random(4, 128)}
    program, counts = checked(write(tmp_path / "net.onnx", nodes, weights), (3, 8, 8))
    assert not scales(program)
    assert counts.total("bias_adds") == 4


def test_thousands_of_factors_in_a_row_become_one(tmp_path):
    nodes = [node("Relu", "x", "v0")]
    nodes += [node("Mul" if i % 2 else "Add", f"v{i} c", f"v{i + 1}") for i in range(3000)]
    nodes += [node("Gemm", "v3000 w")]
    path = write(tmp_path / "net.onnx", nodes, {"c": np.full(6, 1 + 2**-10, np.float32), "w": random(6, 4)},
                 shape=("N", 6))  # fmt: skip
    program, _ = checked(path, (6,))
    assert [type(each) for each in program.linear_maps] == [Dense]


def test_paths_that_branch_and_join_many_times_are_read_in_bounded_time(tmp_path):
    """60 pairs of pools in a row: 2 ** 60 paths from the shift to its place."""
    nodes = [node("Relu", "x", "r"), node("Add", "r c", "v0")]
    for i in range(60):
        pool = {"kernel_shape": [1, 1]}
        nodes += [node("AveragePool", f"v{i}", f"{side}{i}", **pool) for side in "ab"]
        nodes += [node("Add", f"a{i} b{i}", f"v{i + 1}")]
    nodes += [node("Relu", "v60")]
    path = write(tmp_path / "net.onnx", nodes, {"c": random(3, 1, 1)}, shape=("N", 3, 2, 2))
    start = time.monotonic()
    checked(path, (3, 2, 2))
    assert time.monotonic() - start < 60
