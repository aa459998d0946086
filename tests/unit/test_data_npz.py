import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tdd_deploy.data import open_data
from tdd_deploy.errors import BadData, BadFile, BadOption

SAVES = [np.savez, np.savez_compressed]


@pytest.fixture
def saved(tmp_path):
    def save(**arrays):
        path = tmp_path / "own.npz"
        np.savez(path, **arrays)
        return str(path)

    return save


def npy(array, **kwargs):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, **kwargs)
    return stream.getvalue()


def write_zip(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return str(path)


@pytest.mark.parametrize("save", SAVES)
@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize("split", ["all", "train", "val"])
def test_streaming_equals_loading_equals_what_was_saved(tmp_path, save, size, split):
    rng = np.random.default_rng(0)
    stored, labels = rng.random((31, 5, 2, 3)), rng.integers(0, 4, 31, dtype=np.int16)
    save(tmp_path / "own.npz", x=stored, y=labels)
    part = {"all": slice(None), "train": slice(27), "val": slice(27, None)}[split]
    source = open_data(str(tmp_path / "own.npz"), split=split)
    batches = list(source.batches(size))
    x, y = source.load()
    np.testing.assert_array_equal(x, stored[part].astype(np.float32))
    np.testing.assert_array_equal(y, labels[part])
    np.testing.assert_array_equal(np.concatenate([batch.x for batch in batches]), x)
    np.testing.assert_array_equal(np.concatenate([batch.y for batch in batches]), y)
    assert [batch.start for batch in batches] == list(range(0, len(x), size))
    assert (x.dtype, y.dtype) == (np.float32, np.int64)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (np.array([0, 255], np.uint8), [0.0, 255 / 256]),
        (np.array([-128, 127], np.int8), [-128.0, 127.0]),
        (np.array([False, True]), [0.0, 1.0]),
        (np.array([0.1, -3.0], np.float16), [float(np.float16(0.1)), -3.0]),
        (np.array([0.5, 2.0], ">f8"), [0.5, 2.0]),
    ],
)
def test_each_type_has_its_scale(saved, x, expected):
    values, _ = open_data(saved(x=x)).load()
    assert values.tolist() == expected


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "bool", "float16", "float32", "float64"])
@pytest.mark.parametrize("scale", [1, 0.5, np.float16(4)])
def test_a_scale_in_the_file_multiplies_instead(saved, dtype, scale):
    source = open_data(saved(x=np.array([0, 100], dtype), scale=scale))
    assert source.load()[0].tolist() == [0.0, float(np.array(100, dtype)) * float(scale)]
    assert (source.as_json()["scale"], source.scale_from) == (scale, "from the array scale of the file")


@pytest.mark.parametrize("name", ["digits", "own"])
def test_a_scale_that_the_user_chose_overrides_every_other(saved, name):
    data = name if name == "digits" else saved(x=np.array([[0, 1], [7, 255]], np.uint8), scale=2.0)
    stored = open_data(data, input_scale=1.0).load()[0]
    assert stored.max() == (16 if name == "digits" else 255)
    chosen = open_data(data, input_scale=0.75)
    np.testing.assert_array_equal(chosen.load()[0], stored * np.float32(0.75))
    assert (chosen.as_json()["scale"], chosen.scale_from) == (0.75, "from `input_scale`")
    for bad in (0.0, -1.0, 1e300, np.nan):
        with pytest.raises(BadOption, match=r"^input_scale must be a number above 0"):
            open_data(data, input_scale=bad)


@pytest.mark.parametrize("save", SAVES)
@pytest.mark.parametrize("at", [0, 77, 2 * 10**6])
def test_bytes_that_are_all_0_and_1_need_a_scale_wherever_the_1_is(tmp_path, save, at):
    x = np.zeros((40_001, 50), np.uint8)
    path = str(tmp_path / "own.npz")
    save(path, x=x)
    assert not open_data(path).load()[0].any()
    x.ravel()[at] = 1
    save(path, x=x)
    with pytest.raises(BadData) as caught:
        open_data(path)
    (violation,) = caught.value.violations
    assert "all 0 and 1" in violation.found
    assert "`input_scale=1` for spikes, which these data suggest, or `input_scale=1/256`" in violation.remedy
    assert open_data(path, input_scale=1).load()[0].max() == 1
    assert open_data(path, input_scale=1 / 256).load()[0].max() == 1 / 256
    x.ravel()[at] = 2
    save(path, x=x)
    source = open_data(path, split="val")
    assert (source.scale, source.load()[0].max()) == (1 / 256, 2 / 256 if at > x.size // 2 else 0)
    assert "k/256" in source.scale_from
    save(path, x=x > 0)
    assert open_data(path).load()[0].max() == 1


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", ">i2", ">u8"])
def test_integers_of_every_size_are_as_they_are_stored(saved, dtype):
    low, high = max(np.iinfo(dtype).min, -(2**24)), min(np.iinfo(dtype).max, 2**24)
    source = open_data(saved(x=np.array([[low, 0, 1], [3, 2, high]], dtype)))
    assert source.load()[0].tolist() == [[low, 0, 1], [3, 2, high]]
    assert (source.scale, source.stored) == (1, np.dtype(dtype).name)


@pytest.mark.parametrize(("dtype", "value"), [("int32", -(2**24) - 1), ("uint32", 2**32 - 1), ("int64", 2**62)])
def test_integers_that_float32_could_round_are_refused(saved, dtype, value):
    x = np.zeros((7, 2, 3), dtype)
    x[4, 1, 1] = value
    with pytest.raises(BadData, match=rf"x of sample 4 must be -16,777,216 to 16,777,216, .*\(got {value}\)"):
        open_data(saved(x=x)).load()


@pytest.mark.parametrize("save", SAVES)
@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize("split", ["all", "train", "val"])
@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64"])
def test_an_array_in_fortran_order_is_the_same_as_in_c_order(tmp_path, save, size, split, dtype):
    x = np.random.default_rng(0).integers(0, 99, (31, 5, 2, 3)).astype(dtype)
    for order in "CF":
        save(tmp_path / f"{order}.npz", x=np.asarray(x, order=order), y=np.arange(31) % 4)
    c, fortran = (open_data(str(tmp_path / f"{order}.npz"), split=split) for order in "CF")
    batches = list(fortran.batches(size))
    np.testing.assert_array_equal(np.concatenate([batch.x for batch in batches]), c.load()[0])
    np.testing.assert_array_equal(np.concatenate([batch.y for batch in batches]), c.load()[1])
    assert np.count_nonzero(c.load()[0]) > 0
    one = next(fortran.batches(1, first=2, limit=1))
    np.testing.assert_array_equal(one.x, c.load()[0][2:3])


def test_an_array_in_fortran_order_that_fills_memory_is_refused(saved, monkeypatch):
    path = saved(x=np.zeros((40, 50), order="F"))
    monkeypatch.setattr("tdd_deploy.data.samples.IN_MEMORY", 16_000)
    with pytest.raises(
        BadData, match=r"x has 16,128 bytes in Fortran order, more than .* numpy.ascontiguousarray\(x\)"
    ):
        open_data(path)


@pytest.mark.parametrize("y", [np.array([0.5, 1, 2]), np.zeros((3, 2), "f4"), np.full((3, 1), 1.0), np.arange(3.0)])
def test_floats_in_y_are_targets_and_not_labels(saved, y):
    source = open_data(saved(x=np.ones((3, 2)), y=y))
    assert (source.labeled, source.n_classes, source.targets) == (False, None, f"{y.dtype.name} {list(y.shape)}")
    assert source.load()[1] is None


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "float32"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_one_hot_labels_are_refused_with_a_remedy(saved, dtype, order):
    y = np.eye(4, dtype=dtype)[[0, 3, 1]]
    with pytest.raises(
        BadData, match=r"the shape of y must be .*\[3, 4\].*one-hot.* Use numpy.argmax\(y, axis=1\) for labels"
    ):
        open_data(saved(x=np.ones((3, 2)), y=np.asarray(y, order=order)))
    assert open_data(saved(x=np.ones((3, 2)), y=y.argmax(axis=1))).load()[1].tolist() == [0, 3, 1]


def test_labels_of_two_classes_can_be_booleans(saved):
    source = open_data(saved(x=np.ones((3, 2)), y=np.array([True, False, True])))
    assert (source.load()[1].tolist(), source.n_classes, source.targets) == ([1, 0, 1], 2, None)


@pytest.mark.parametrize(
    ("arrays", "found"),
    [
        (
            {"x": np.zeros(3, "m8[s]")},
            r"the type of x must be bool, .* integers of 8 to 64 bits \(got timedelta64\[s\]\)",
        ),
        ({"x": np.zeros(3, complex)}, r"the type of x must be .*\(got complex128\)"),
        ({"x": np.array(["a"])}, r"the type of x must be .*\(got str32\)"),
        (
            {"x": np.zeros((0, 3), np.float32)},
            r"the shape of x must be \[N, ...\] with 1 sample or more.*\(got \[0, 3\]\)",
        ),
        ({"x": np.zeros((3, 0), np.float32)}, r"the shape of x must be .*\(got \[3, 0\]\)"),
        ({"x": np.float32(1)}, r"the shape of x must be .*\(got \[\]\)"),
        (
            {"x": np.zeros(3), "y": np.zeros(2, int)},
            r"the shape of y must be \[3\], one label per sample.*\(got \[2\]\)",
        ),
        ({"x": np.zeros(3), "y": np.zeros((3, 4), int)}, r"the shape of y must be \[3\].*\(got \[3, 4\]\)"),
        (
            {"x": np.zeros((3, 5)), "y": np.zeros(5, int)},
            r"the shape of y .* If time is the first axis of x, use numpy.swapaxes",
        ),
        (
            {"x": np.zeros(3), "y": np.zeros((3, 1), int)},
            r"the shape of y must be \[3\].*\(got \[3, 1\]\)\. Use y.ravel\(\)",
        ),
        ({"x": np.zeros(3), "y": np.zeros(3, complex)}, r"the type of y must be integers.*\(got complex128\)"),
        (
            {"x": np.zeros(3), "y": np.array([0, 2**63, 1], np.uint64)},
            r"the label of sample 1 must be .*\(got 9223372036854775808\)",
        ),
        ({"x": np.zeros(3), "y": np.array([0, -1, -2])}, r"the label of sample 1 must be 0 or more \(got -1\)"),
        (
            {"x": np.zeros(3, np.uint8), "scale": np.ones(3)},
            r"scale must be one number.*\(got float64 of shape \[3\]\)",
        ),
        ({"x": np.zeros(3, np.uint8), "scale": np.array(True)}, "scale must be one number.*bool of shape"),
        ({"x": np.zeros(3, np.uint8), "scale": np.nan}, r"scale must be a number above 0.*\(got nan\)"),
        ({"x": np.zeros(3, np.uint8), "scale": 0}, r"scale must be .*\(got 0\)"),
        ({"x": np.zeros(3, np.uint8), "scale": 1e300}, r"scale must be .*\(got 1e\+300\)"),
    ],
)
def test_arrays_that_cannot_be_used_are_refused(saved, arrays, found):
    with pytest.raises(BadData, match=found):
        open_data(saved(**arrays))


def test_all_that_is_wrong_is_named_at_once(saved):
    path = saved(x=np.zeros((3, 0), complex), y=np.zeros(2), scale=np.ones(2))
    with pytest.raises(BadData) as caught:
        open_data(path)
    assert [violation.where for violation in caught.value.violations] == [
        "the type of x", "the shape of x", "the shape of y", "scale"
    ]  # fmt: skip


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


@pytest.mark.parametrize("name", ["x", "y", "scale"])
def test_python_objects_are_refused_and_never_unpickled(tmp_path, name):
    arrays = {"x": npy(np.zeros(1, np.uint8)), name: npy(np.array([Trap()]), allow_pickle=True)}
    path = write_zip(tmp_path / "trap.npz", {f"{key}.npy": data for key, data in arrays.items()})
    with pytest.raises(BadData, match=rf"(the type of )?{name} must be .*\(got object"):
        open_data(path)


def test_a_zip_without_x_is_refused_with_what_it_holds(saved):
    with pytest.raises(
        BadFile, match=r"no array x among its 2 files \(images.npy, y.npy\)\. Write it with numpy.savez"
    ):
        open_data(saved(images=np.zeros(3), y=np.zeros(3, int)))


def test_a_member_that_does_not_hold_what_its_header_promises_is_refused_at_once(tmp_path):
    path = write_zip(tmp_path / "short.npz", {"x.npy": npy(np.zeros((4, 2)))[:-8]})
    with pytest.raises(BadFile, match=r"holds 184 bytes where the header of x.npy promises 192\."):
        open_data(path)


@pytest.mark.parametrize(
    "x",
    [
        b"",
        b"\x93NUMPY",
        b"not an array",
        npy(np.zeros(3)).replace(b"'shape': (3,)", b"'shape': (((("),
        npy(np.zeros(3)).replace(b"'<f8'", b"'<?!'"),
        b"\x93NUMPY\x01\x00\x06\x00'''(((",
    ],
)
def test_a_member_that_is_no_array_is_refused(tmp_path, x):
    with pytest.raises(BadFile, match=r"is damaged, cut short or of another format\. Get or write it again"):
        open_data(write_zip(tmp_path / "bad.npz", {"x.npy": x}))


def test_records_that_numpy_cannot_hold_are_refused(tmp_path):
    header = npy(np.zeros((1, 2))).replace(b"(1, 2), }          ", b"(1, 9000000000), } ")
    with pytest.raises(BadFile, match="of another format"):
        open_data(write_zip(tmp_path / "huge.npz", {"x.npy": header}))


def test_a_header_of_npy_version_3_is_refused(tmp_path):
    with pytest.raises(BadFile, match=r"holds x as npy version \(3, 0\)"):
        open_data(write_zip(tmp_path / "v3.npz", {"x.npy": npy(np.zeros(3), version=(3, 0))}))


def test_a_header_of_npy_version_2_is_read(tmp_path):
    path = write_zip(tmp_path / "v2.npz", {"x.npy": npy(np.arange(3.0), version=(2, 0))})
    assert open_data(path).load()[0].tolist() == [0, 1, 2]


def test_a_member_compressed_in_another_way_is_refused(tmp_path):
    path = write_zip(tmp_path / "bz2.npz", {"x.npy": npy(np.zeros(3))}, zipfile.ZIP_BZIP2)
    with pytest.raises(BadFile, match=r"compresses x by zip method 12\. Store or deflate it"):
        open_data(path)


def test_what_is_no_npz_is_refused(tmp_path):
    path = tmp_path / "text.npz"
    path.write_text("x = 3")
    with pytest.raises(BadFile, match=r"text.npz is damaged, cut short or of another format"):
        open_data(str(path))


def test_a_missing_npz_is_refused(tmp_path):
    with pytest.raises(BadFile, match=r"No such file or directory\. Name a file that can be read"):
        open_data(str(tmp_path / "absent.npz"))


def test_a_directory_named_like_an_npz_is_refused(tmp_path):
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(BadFile, match="Is a directory"):
        open_data(str(tmp_path / "folder.npz"))


@pytest.mark.parametrize("save", SAVES)
def test_no_broken_byte_leaks_another_error(tmp_path, save):
    path = tmp_path / "own.npz"
    rng = np.random.default_rng(0)
    save(path, x=rng.integers(0, 256, (20, 9), dtype=np.uint8), y=np.arange(20))
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ int(rng.integers(1, 256))]) + data[at + 1 :])
        try:
            x, _ = open_data(str(path)).load()
        except (BadFile, BadData):
            continue
        assert len(x) == 20


@pytest.mark.parametrize("save", SAVES)
def test_no_cut_leaks_another_error(tmp_path, save):
    path = tmp_path / "own.npz"
    save(path, x=np.zeros((20, 9), np.uint8))
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(BadFile):
            open_data(str(path))


def test_a_changed_value_of_a_stored_member_does_not_pass_its_checksum(saved):
    path = saved(x=np.full((20, 9), 0.5))
    with Path(path).open("r+b") as stream:
        stream.seek(stream.read().index(np.float64(0.5).tobytes()))
        stream.write(np.float64(0.25).tobytes())
    with pytest.raises(BadFile, match="damaged"):
        open_data(path).load()


def test_the_test_split_of_an_npz_is_another_file(saved):
    with pytest.raises(
        BadOption, match=r"^split must be all, train or val \(got 'test'\)\. A \.npz has no test split: name the test"
    ):
        open_data(saved(x=np.zeros(3)), split="test")
