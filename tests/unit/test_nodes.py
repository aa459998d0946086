import math

import numpy as np
import pytest

from tdd_deploy.program import Conv, Dense, Flatten, Pool, Scale, ShapeError


def conv(*weight_shape, **choices):
    return Conv(name="conv", weight=np.ones(weight_shape), **choices)


def pool(kernel, stride, **choices):
    return Pool(name="pool", kernel=kernel, stride=stride, **choices)


DENSE = Dense(name="fc", weight=np.ones((3, 2)))


@pytest.mark.parametrize(
    ("node", "shape", "out"),
    [
        (DENSE, (2,), (3,)),
        (conv(5, 2, 3, 3), (2, 8, 9), (5, 6, 7)),
        (conv(5, 2, 3, 3, padding=(1, 1)), (2, 8, 9), (5, 8, 9)),
        # rows: 8 + 2*1 - 3 = 7 left, every second: 0, 2, 4, 6; columns: 9 + 2*2 - 3 = 10, every third: 0, 3, 6, 9
        (conv(5, 2, 3, 3, stride=(2, 3), padding=(1, 2)), (2, 8, 9), (5, 4, 4)),
        # a dilated kernel spans 2*(3-1)+1 = 5 rows and 3*(2-1)+1 = 4 columns
        (conv(5, 2, 3, 2, dilation=(2, 3)), (2, 8, 9), (5, 4, 6)),
        (conv(6, 1, 1, 1, groups=4), (4, 2, 2), (6, 2, 2)),
        (conv(5, 2, 8, 9), (2, 8, 9), (5, 1, 1)),
        (pool((2, 2), (2, 2)), (3, 5, 6), (3, 2, 3)),
        (pool((2, 3), (1, 2), padding=(1, 0)), (3, 4, 7), (3, 5, 3)),
        (Scale(name="s", factor=np.ones(())), (3, 4, 7), (3, 4, 7)),
        (Scale(name="s", factor=np.ones((2,))), (2,), (2,)),
        (Flatten(name="f"), (3, 4, 7), (84,)),
        (Flatten(name="f"), (7,), (7,)),
    ],
)
def test_a_map_knows_the_shape_that_it_sends(node, shape, out):
    assert node.out_shape(shape) == out


@pytest.mark.parametrize(
    ("node", "shape", "text"),
    [
        (DENSE, (3,), "(2,), as its weight is [3, 2]"),
        (DENSE, (2, 1, 1), "(2,), as its weight is [3, 2]"),
        (conv(5, 2, 3, 3), (3, 8, 8), "(2, height, width), as its weight is [5, 2, 3, 3]"),
        (conv(4, 2, 3, 3, groups=2), (2, 8, 8), "(4, height, width), as its weight is [4, 2, 3, 3]"),
        (conv(5, 2, 3, 3), (128,), "(2, height, width), as its weight is [5, 2, 3, 3]"),
        (conv(5, 2, 3, 3), (2, 2, 8), "at least 3 x 3 pixels, padding (0, 0) included"),
        (
            conv(5, 2, 3, 2, dilation=(2, 3), padding=(1, 0)),
            (2, 2, 8),
            "at least 5 x 4 pixels, padding (1, 0) included",
        ),
        (pool((2, 2), (2, 2)), (3, 4), "(channels, height, width)"),
        (pool((2, 2), (2, 2)), (3, 1, 4), "at least 2 x 2 pixels, padding (0, 0) included"),
        (Scale(name="s", factor=np.ones((2,))), (3,), "(2,), the shape of its factor"),
        (Scale(name="s", factor=np.ones(()), bias=np.ones((2,))), (3,), "(2,), the shape of its bias"),
    ],
)
def test_a_map_says_which_shape_it_could_take(node, shape, text):
    with pytest.raises(ShapeError) as caught:
        node.out_shape(shape)
    assert str(caught.value) == text


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("dilation", [1, 2])
def test_windows_are_those_that_can_be_counted_one_by_one(size, kernel, stride, padding, dilation):
    starts = [
        start
        for start in range(0, size + 2 * padding, stride)
        if start + dilation * (kernel - 1) <= size + 2 * padding - 1
    ]
    node = conv(1, 1, kernel, 1, stride=(stride, 1), padding=(padding, 0), dilation=(dilation, 1))
    if starts:
        assert node.out_shape((1, size, 4)) == (1, len(starts), 4)
    else:
        with pytest.raises(ShapeError):
            node.out_shape((1, size, 4))


def test_flatten_keeps_every_value():
    assert math.prod(Flatten(name="f").out_shape((2, 3, 5))) == 30
