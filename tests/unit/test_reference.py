"""The reference against torch's own maps, and by hand where torch has none."""

import numpy as np
import pytest

from tdd_deploy.neurons import IF, I
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, LinearMap, NeuronLayer, Output, Pool, Scale, build
from tdd_deploy.simulator import reference

torch = pytest.importorskip("torch")


def integers(seed, *shape):
    """Small integers in float64: every sum is exact."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float64)


@pytest.mark.parametrize("bias", [False, True])
def test_dense_is_linear_of_torch(bias):
    x, weight, offset = integers(0, 3, 5), integers(1, 4, 5), integers(2, 4) if bias else None
    expected = torch.nn.functional.linear(*(None if a is None else torch.from_numpy(a) for a in (x, weight, offset)))
    np.testing.assert_array_equal(reference.apply(Dense(name="d", weight=weight, bias=offset), x), expected.numpy())


@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (1, 3)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 2)])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1)])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_conv_is_conv2d_of_torch(stride, padding, dilation, groups):
    x, weight, bias = integers(0, 2, 4, 7, 8), integers(1, 8, 4 // groups, 3, 2), integers(2, 8)
    choices = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    expected = torch.nn.functional.conv2d(*(torch.from_numpy(a) for a in (x, weight, bias)), **choices).numpy()
    node = Conv(name="c", weight=weight, bias=bias, **choices)
    np.testing.assert_array_equal(reference.apply(node, x), expected)
    assert node.out_shape(x.shape[1:]) == expected.shape[1:]


@pytest.mark.parametrize("kernel", [(2, 2), (1, 2), (4, 2)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (1, 3)])
@pytest.mark.parametrize("padding", [(0, 0), (0, 1)])
def test_an_average_pool_is_that_of_torch_and_a_sum_pool_so_many_times_it(kernel, stride, padding):
    x = integers(0, 2, 3, 6, 7)
    average = torch.nn.functional.avg_pool2d(torch.from_numpy(x), kernel, stride, padding).numpy()
    choices = {"kernel": kernel, "stride": stride, "padding": padding}
    np.testing.assert_array_equal(reference.apply(Pool(name="p", **choices, average=True), x), average)
    np.testing.assert_array_equal(
        reference.apply(Pool(name="p", **choices), x), average * np.prod(kernel)
    )  # kernels are powers of two


def test_scale_multiplies_element_by_element():
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(reference.apply(Scale(name="s", factor=np.array([2.0, -1.0])), x), [[2, -2], [6, -4]])
    np.testing.assert_array_equal(reference.apply(Scale(name="s", factor=np.array(0.5)), x), [[0.5, 1], [1.5, 2]])


def test_flatten_runs_through_columns_first_and_channels_last():
    x = np.arange(8.0).reshape(1, 2, 2, 2)
    np.testing.assert_array_equal(reference.apply(Flatten(name="f"), x), [[0, 1, 2, 3, 4, 5, 6, 7]])


def test_a_map_that_nobody_knows_is_refused():
    class Mystery(LinearMap):
        pass

    with pytest.raises(NotImplementedError, match="Mystery"):
        reference.apply(Mystery(name="m"), np.zeros((1, 1)))


def run(nodes, edges, inputs):
    program = build(nodes, edges, dt_s=1e-3, n_steps=len(inputs), number_format="float64")
    return reference.run(program, np.array(inputs, float).reshape(len(inputs), 1, -1))


def test_a_delay_of_d_brings_what_was_sent_d_steps_before_and_nothing_at_first():
    nodes = [Input(name="i", shape=(1,)), NeuronLayer(name="n", shape=(1,), neuron=I()), Output(name="o")]
    # n(t) = n(t-1) + i(t) + i(t-2) would need two edges from one node, so i(t-2) alone: 0, 0, 1, 1+2, 1+2+4
    sent = run(nodes, [Edge("i", "n", 2), Edge("n", "o")], [1, 2, 4, 8, 16])
    assert sent["n"].ravel().tolist() == [0, 0, 1, 3, 7]
    assert sent["o"].ravel().tolist() == [0, 0, 1, 3, 7]
    assert sent["i"].ravel().tolist() == [1, 2, 4, 8, 16]


def test_several_edges_into_a_node_are_added():
    nodes = [
        Input(name="i", shape=(1,)),
        Dense(name="a", weight=np.array([[2.0]]), bias=np.array([1.0])),
        Dense(name="b", weight=np.array([[10.0]])),
        Output(name="o"),
    ]
    edges = [Edge("i", "a"), Edge("i", "b"), Edge("a", "o"), Edge("b", "o"), Edge("i", "o", 1)]
    # 2 x + 1 + 10 x + the x before
    assert run(nodes, edges, [1, 3])["o"].ravel().tolist() == [13, 38]


def test_a_neuron_that_inhibits_itself_one_step_later():
    neuron = IF(v_threshold=np.array(1.5), v_reset=np.array(0.0))
    nodes = [
        Input(name="i", shape=(1,)),
        NeuronLayer(name="n", shape=(1,), neuron=neuron),
        Scale(name="back", factor=np.array(-3.0)),
        Output(name="o"),
    ]
    edges = [Edge("i", "n"), Edge("n", "back", 1), Edge("back", "n"), Edge("n", "o")]
    # v: 2 fires, 0; 0 + 2 - 3 = -1; -1 + 2 = 1; 1 + 2 = 3 fires, 0; 0 + 2 - 3 = -1; 1
    assert run(nodes, edges, [2, 2, 2, 2, 2, 2])["n"].ravel().tolist() == [1, 0, 0, 1, 0, 0]
