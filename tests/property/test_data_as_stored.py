"""Values read from an .npz or an array are the stored values times the reported scale, or they are refused."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import event, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tdd_deploy.data import open_arrays, open_data
from tdd_deploy.errors import BadData

WHOLE = 2**24
DTYPES = st.one_of(
    arrays.boolean_dtypes(),
    arrays.integer_dtypes(endianness="?"),
    arrays.unsigned_integer_dtypes(endianness="?"),
    arrays.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
)
SHAPES = arrays.array_shapes(min_dims=1, max_dims=4, max_side=5)


@given(
    stored=arrays.arrays(DTYPES, SHAPES),
    order=st.sampled_from("CF"),
    scale=st.none() | st.floats(2.0**-10, 2.0**10),
    size=st.integers(1, 6),
    in_memory=st.booleans(),
)
def test_values_are_the_stored_values_times_the_reported_scale(
    stored: np.ndarray, order: str, scale: float | None, size: int, in_memory: bool
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x.npz"
        given_x = np.asarray(stored, order=order)
        np.savez(path, x=given_x)
        is_whole = stored.dtype.kind in "iu" and stored.dtype.itemsize > 1
        with np.errstate(over="ignore"):
            in_float32 = stored.astype(np.float32)
            expected = in_float32 * np.float32(1.0 if scale is None else scale)
        is_held = bool(np.isfinite(expected).all())
        if is_whole:
            is_held = all(-WHOLE <= value <= WHOLE for value in stored.ravel().tolist())
        is_open = scale is None and stored.dtype == np.uint8 and stored.max() == 1
        try:
            source = open_arrays(given_x, input_scale=scale) if in_memory else open_data(str(path), input_scale=scale)
            x = np.concatenate([batch.x for batch in source.batches(size)])
        except BadData:
            event("refused")
            assert is_open or not is_held
            return
        event("read")
        assert is_held
        assert not is_open
        assert source.stored == stored.dtype.name
        assert source.scale == (scale or (2.0**-8 if stored.dtype == np.uint8 else 1.0))
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(x, in_float32 * np.float32(source.scale), strict=True)
        assert x.size == stored.size > 0
