"""Camera events: their file, and how they become time steps."""

import tracemalloc
from itertools import product

import numpy as np
import pytest

from tdd_deploy.data import Binning, open_data
from tdd_deploy.errors import BadData, BadFile, BadOption, BadOptions
from tdd_deploy.options.dataset import StoredData
from tests.camera import EVENT, SENSOR, recordings, write

#        t,  x, y, p
THREE = [(70, 0, 0, 1), (70, 0, 0, 1), (99, 3, 5, 0), (100, 3, 4, 0), (130, 2, 5, 1)]  # lasts 60 us
ONE = [(5, 1, 1, 0)]


@pytest.fixture
def by_hand(tmp_path):
    return write(tmp_path / "own.npz", [np.array(rows, EVENT) for rows in (THREE, ONE)], [2, 0])


def frames(path, **binning):
    x, _ = open_data(path, binning=Binning(**binning)).load()
    return x


def nonzero(x):
    return {tuple(int(i) for i in place): float(x[tuple(place)]) for place in np.argwhere(x)}


def test_windows_begin_at_the_first_event_of_each_sample_and_the_longest_says_how_many_there_are(by_hand):
    x = frames(by_hand, bin_us=30)  # THREE: 0, 0, 29 | 30 | 60
    assert x.shape == (2, 3, 2, *SENSOR)
    assert nonzero(x[0]) == {(0, 1, 0, 0): 2, (0, 0, 5, 3): 1, (1, 0, 4, 3): 1, (2, 1, 5, 2): 1}
    assert nonzero(x[1]) == {(0, 0, 1, 1): 1}


def test_bins_cut_each_sample_from_its_first_to_its_last_event(by_hand):
    x = frames(by_hand, bins=2)  # 61 microseconds, so 30.5 each: 0, 0, 29, 30 | 60
    assert nonzero(x[0]) == {(0, 1, 0, 0): 2, (0, 0, 5, 3): 1, (0, 0, 4, 3): 1, (1, 1, 5, 2): 1}
    assert nonzero(x[1]) == {(0, 0, 1, 1): 1}


def test_binary_is_one_where_there_are_events(by_hand):
    counts, binary = (frames(by_hand, bins=2, bin_value=value) for value in ("count", "binary"))
    np.testing.assert_array_equal(binary, counts > 0)


def test_downsampling_sums_squares_of_pixels(by_hand):
    full, half = frames(by_hand, bin_us=30), frames(by_hand, bin_us=30, downsample=2)
    np.testing.assert_array_equal(half, full.reshape(2, 3, 2, 3, 2, 2, 2).sum(axis=(4, 6)))


@pytest.mark.parametrize(("n_steps", "n_cut"), [(2, 1), (3, 0), (5, 0)])
def test_samples_are_cut_or_followed_by_silence_and_the_report_says_so(by_hand, n_steps, n_cut):
    longest = frames(by_hand, bin_us=30)
    source = open_data(by_hand, binning=Binning(bin_us=30).in_steps(n_steps))
    x, _ = source.load()
    assert x.shape[1] == n_steps
    both = min(n_steps, 3)
    np.testing.assert_array_equal(x[:, :both], longest[:, :both])
    assert not x[:, both:].any()
    assert source.binned.as_json() == {
        "bin_us": 30, "bins": None, "bin_value": "count", "downsample": 1, "n_steps": n_steps,
        "sensor": [6, 4], "polarities": 2, "samples_cut": n_cut,
    }  # fmt: skip


def test_what_a_split_leaves_out_is_counted_for_that_split(tmp_path):
    path = write(tmp_path / "own.npz", [np.array(ONE, EVENT)] * 9 + [np.array(THREE, EVENT)])
    binning = Binning(bin_us=30, n_steps=1)
    cut = {split: open_data(path, split=split, binning=binning).binned.n_cut for split in ("train", "val")}
    assert cut == {"train": 0, "val": 1}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(("split", "size"), [("all", 1), ("all", 7), ("all", 100), ("train", 4), ("val", 4)])
def test_batches_are_what_a_loop_over_all_events_gives(tmp_path, save, apart, split, size):
    samples, labels = recordings(31), np.arange(31) % 3
    together = np.concatenate(samples)
    columns = {f"events_{name}": together[name] for name in EVENT.names} if apart else {"events": together}
    save(tmp_path / "own.npz", **columns, ends=np.cumsum(list(map(len, samples))), sensor=SENSOR, labels=labels)
    source = open_data(str(tmp_path / "own.npz"), split=split, binning=Binning(bin_us=1000))
    expected = np.zeros((31, 5, 2, *SENSOR), np.float32)
    for i, sample in enumerate(samples):
        for t, x, y, p in sample.tolist():
            expected[i, (t - sample["t"][0]) // 1000, p, y, x] += 1
    part = {"all": slice(None), "train": slice(27), "val": slice(27, None)}[split]
    batches = list(source.batches(size))
    np.testing.assert_array_equal(np.concatenate([batch.x for batch in batches]), expected[part])
    np.testing.assert_array_equal(np.concatenate([batch.y for batch in batches]), labels[part])
    (later,) = source.batches(2, first=2, limit=2)
    np.testing.assert_array_equal(later.x, expected[part][2:4])


def test_no_event_is_lost(tmp_path):
    samples = recordings(20)
    path = write(tmp_path / "own.npz", samples)
    n = sum(map(len, samples))
    for binning in (Binning(bin_us=1), Binning(bin_us=10**6), Binning(bins=1), Binning(bins=7), Binning(bins=10**4)):
        assert sum(float(batch.x.sum()) for batch in open_data(path, binning=binning).batches(3)) == n


@pytest.mark.parametrize("t", [np.uint64, np.int32, np.uint32])
def test_times_may_be_of_any_integer_type(tmp_path, t):
    dtype = np.dtype([("p", bool), ("y", np.int16), ("t", t), ("x", np.uint16), ("more", np.float32)])
    events = np.zeros(3, dtype)
    events["t"] = [0, 1, np.iinfo(np.int32).max]
    path = write(tmp_path / "own.npz", [events])
    assert frames(path, bins=2).sum(axis=(0, 2, 3, 4)).tolist() == [2, 1]


def faulty(**columns):
    events = np.zeros(3, [("t", np.int64), ("x", np.int64), ("y", np.int64), ("p", np.int64)])
    for name, values in columns.items():
        events[name] = values
    return [events]


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"t": [4, 2, 1]}, r"t of event 1 in sample 0 must be 4 us or more.*\(got 2 us\)\. Sort the events"),
        ({"x": [0, 0, 4]}, r"x of event 2 in sample 0 must be 0 to 3 \(got 4\)"),
        ({"y": [0, 6, 7]}, r"y of event 1 in sample 0 must be 0 to 5 \(got 6\)"),
        ({"y": [-1, 6, 7]}, r"y of event 0 in sample 0 must be 0 to 5 \(got -1\)"),
        ({"p": [0, -1, 1]}, r"p of event 1 in sample 0 must be 0 to 1 \(got -1\)\. Save p > 0\."),
        ({"t": [0, 0, 1 << 41]}, r"the duration of sample 0 must be .*\(got 2,199,023,255,552 us\)"),
        (
            {"t": [-(1 << 63), 0, (1 << 63) - 1]},
            r"the duration of sample 0 must be .*\(got 18,446,744,073,709,551,615 us\)",
        ),
    ],
)
def test_events_that_cannot_be_are_refused(tmp_path, columns, found):
    with pytest.raises(BadData, match=found):
        open_data(write(tmp_path / "own.npz", faulty(**columns)), binning=Binning(bin_us=1000))


def test_all_rules_that_events_break_are_named_at_once(tmp_path):
    broken = [*faulty(), *faulty(x=[0, 9, 9], p=[7, 7, 7]), *faulty(t=[3, 2, 1], y=[8, 8, 8])]
    with pytest.raises(BadData) as caught:
        open_data(write(tmp_path / "own.npz", broken), binning=Binning(bin_us=1000))
    assert [violation.where for violation in caught.value.violations] == [
        "x of event 1 in sample 1", "p of event 0 in sample 1", "y of event 0 in sample 2", "t of event 1 in sample 2"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arrays", "found"),
    [
        ({"events": np.zeros((6, 1), EVENT)}, r"the shape of events must be \[E\].*\(got \[6, 1\]\)"),
        (
            {"events": np.zeros(6)},
            r"the type of events must be a structured type with t, x, optionally y.*\(got float64\)",
        ),
        ({"events": np.zeros(6, [("t", int), ("y", int), ("p", int)])}, "a structured type with t, x, optionally y"),
        (
            {"events": np.zeros(6, [("t", int), ("x", int)])},
            r"the height of sensor must be 1, since the events have no y \(got 6\)",
        ),
        (
            {"events": np.zeros(6, [("t", float), ("x", int), ("y", int), ("p", int)])},
            r"the type of field t of events must be an integer type \(got float64\)",
        ),
        (
            {"events": np.zeros(6, [("t", int, 2), ("x", int), ("y", int), ("p", int)])},
            "the type of field t of events must be an integer type",
        ),
        ({"ends": np.zeros(2)}, r"the type of ends must be an integer type \(got float64\)"),
        ({"ends": np.zeros((0,), int)}, r"the shape of ends must be \[N\] with 1 sample or more \(got \[0\]\)"),
        ({"ends": np.array([5, 4, 6])}, r"the end of sample 1 must be 5 or more.*\(got 4\)\. Save numpy.cumsum"),
        ({"ends": np.array([-1, 6])}, r"the end of sample 0 must be 0 or more.*\(got -1\)"),
        ({"ends": np.array([5])}, r"the last of ends must be 6, the number of events \(got 5\)"),
        ({"sensor": np.array([6, 4, 2])}, r"the shape of sensor must be \[2\]: height, width \(got \[3\]\)"),
        ({"sensor": np.array([6, 0])}, r"the width of sensor must be 1 to 16,384 \(got 0\)"),
        ({"labels": np.array([1])}, r"the shape of labels must be \[2\], one for each of ends \(got \[1\]\)"),
        ({"labels": np.array([1, -2])}, r"the label of sample 1 must be 0 or more \(got -2\)"),
        (
            {"labels": np.array([1, 2**63], np.uint64)},
            r"the label of sample 1 must be 0 to .*\(got 9223372036854775808\)",
        ),
        ({"ends": np.array([3, 2**64 - 1], np.uint64)}, r"the end of sample 1 must be 3 or more.*\(got -1\)"),
    ],
)
def test_arrays_that_cannot_be_used_are_refused(tmp_path, arrays, found):
    with pytest.raises(BadData, match=found):
        open_data(write(tmp_path / "own.npz", [np.zeros(3, EVENT)] * 2, **arrays), binning=Binning(bin_us=1000))


def test_arrays_that_an_event_file_does_not_read_are_refused_with_their_place(by_hand):
    with np.load(by_hand) as file:
        np.savez(by_hand, **file, x=np.zeros((2, 3)), y=np.zeros(2, int), scale=np.array(0.5))
    with pytest.raises(BadData) as caught:
        open_data(by_hand, binning=Binning(bins=2))
    remedies = {violation.where: violation.remedy for violation in caught.value.violations}
    assert remedies.keys() == {"x", "y", "scale"}
    assert "labels" in remedies["y"]
    assert "`input_scale`" in remedies["scale"]


def test_columns_apart_have_to_be_of_one_length(tmp_path):
    columns = {f"events_{name}": np.zeros(3, int) for name in "txy"}
    path = tmp_path / "own.npz"
    np.savez(path, **columns, events_p=np.zeros(4), ends=[3], sensor=SENSOR)
    with pytest.raises(BadData) as caught:
        open_data(str(path), binning=Binning(bin_us=1000))
    assert [str(violation) for violation in caught.value.violations] == [
        "the shape of events_p must be [3], as events_t has (got [4]).",
        "the type of events_p must be an integer type (got float64).",
    ]


def test_a_file_without_ends_is_refused_with_how_to_write_it(tmp_path):
    path = write(tmp_path / "own.npz", [np.zeros(3, EVENT)], ends=None, sensor=None)
    with pytest.raises(
        BadFile, match=r"no array ends, sensor among its 1 file \(events.npy\)\. Write it with numpy.savez"
    ):
        open_data(path, binning=Binning(bin_us=1000))


def test_python_objects_are_never_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    path = tmp_path / "own.npz"
    for name, dtype in product(("events", "ends", "labels", "sensor"), (object, [("t", object)])):
        arrays = {"events": np.zeros(1, EVENT), "ends": np.array([1]), "sensor": np.array(SENSOR)}
        trap = np.zeros(1, dtype)
        trap[...] = Trap() if dtype is object else (Trap(),)
        np.savez(path, **{**arrays, name: trap})
        with pytest.raises((BadData, BadFile)):
            open_data(str(path), binning=Binning(bin_us=1000))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_no_broken_byte_leaks_another_error(tmp_path, save):
    path, rng = tmp_path / "own.npz", np.random.default_rng(0)
    samples = recordings(5, longest=20)
    arrays = {"events": np.concatenate(samples), "ends": np.cumsum(list(map(len, samples))), "sensor": SENSOR}
    save(path, **arrays, labels=np.zeros(5, int))
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ int(rng.integers(1, 256))]) + data[at + 1 :])
        try:
            x, _ = open_data(str(path), binning=Binning(bins=3)).load()
        except (BadFile, BadData, BadOption):  # the last: a broken name makes it no events
            continue
        except BadOptions as error:
            assert "need events of a camera" in str(error)  # noqa: PT017
            continue
        assert len(x) == 5


def test_frames_that_no_memory_holds_are_refused(tmp_path):
    events = np.zeros(2, EVENT)
    events["t"][1] = 10**9
    with pytest.raises(BadData, match=r"48,000,000,048 for 1,000,000,001 time steps of 6 x 4 pixels.* bins"):
        open_data(write(tmp_path / "own.npz", [events]), binning=Binning(bin_us=1))


def test_a_factor_that_does_not_divide_the_sensor_is_refused(by_hand):
    with pytest.raises(BadData, match=r"downsample must be a divisor of the sensor.s 6 and 4 pixels \(got 4\)"):
        open_data(by_hand, binning=Binning(bins=3, downsample=4))


def test_events_need_binning_and_other_data_refuse_it(by_hand, tmp_path):
    with pytest.raises(BadOption, match=r"events of a camera \(.*own\.npz\).* Cut them with bin_us or bins"):
        open_data(by_hand)
    np.savez(tmp_path / "x.npz", x=np.zeros(3))
    for name in ("digits", str(tmp_path / "x.npz")):
        with pytest.raises(BadOptions, match=r"need events of a camera, and .* holds none"):
            open_data(name, binning=Binning(bins=3))


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"bin_us": 0}, r"^bin_us must be 1 to 1,099,511,627,776 \(got 0\)"),
        ({"bins": 1 << 21}, r"^bins must be 1 to 1,048,576 \(got 2097152\)"),
        ({"bin_us": 3, "bins": 3}, "^bin_us and bins cannot be combined"),
        ({"downsample": 2}, "^downsample needs bin_us or bins"),
        ({"bins": 3, "downsample": 0}, r"^downsample must be 1 or more \(got 0\)"),
        ({"bins": 3, "bin_value": "mean"}, r"^bin_value must be count or binary \(got 'mean'\)"),
    ],
)
def test_options_that_cannot_be_are_refused(given, found):
    with pytest.raises(BadOptions, match=found):
        StoredData.of(data="own.npz", **given)


def test_no_option_is_no_binning():
    assert Binning.of(StoredData.of(data="own.npz")) is None


def test_a_file_of_many_events_is_read_in_little_memory(tmp_path):
    path = write(tmp_path / "own.npz", [np.zeros(1000, EVENT)] * 2000)
    tracemalloc.start()
    for batch in open_data(path, binning=Binning(bin_us=1000)).batches(64):
        assert batch.x.sum() == 1000 * len(batch.x)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20  # the events are 22 MB
    tracemalloc.stop()


# One row of channels, one polarity, other names


def row_of(n, *, seed=0):
    """Events of n samples with 8 channels and two polarities."""
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(n):
        events = np.zeros(rng.integers(5, 50), [("t", "<i8"), ("x", "<i2"), ("p", "<i2")])
        events["t"] = np.sort(rng.integers(0, 4000, len(events)))
        events["x"], events["p"] = rng.integers(0, 8, len(events)), rng.integers(0, 2, len(events))
        samples.append(events)
    return samples


def counted(samples, n_steps):
    """Count events by hand, ``[N, n_steps, 2, 8]``, in steps of 1 ms."""
    expected = np.zeros((len(samples), n_steps, 2, 8), np.float32)
    for frames, events in zip(expected, samples, strict=True):
        for t, x, p in events.tolist():
            frames[(t - events["t"][0]) // 1000, p, x] += 1
    assert expected.sum() == sum(map(len, samples)) > 0
    return expected


@pytest.mark.parametrize("sensor", [(1, 8), (8,)])
def test_events_without_y_are_one_row_of_channels(tmp_path, sensor):
    samples = row_of(5)
    source = open_data(write(tmp_path / "own.npz", samples, sensor=sensor), binning=Binning(bin_us=1000).in_steps(4))
    np.testing.assert_array_equal(source.load()[0], counted(samples, 4))
    assert (source.binned.sensor, source.binned.polarities) == ((1, 8), 2)


@pytest.mark.parametrize("p", [0, 1, None])
def test_a_row_whose_events_have_one_polarity_has_no_axis_for_it(tmp_path, p):
    samples = row_of(5)
    for events in samples:
        events["p"] = p or 0
    given = [events[["t", "x"]] if p is None else events for events in samples]
    path = write(tmp_path / "own.npz", given, sensor=[8])
    source = open_data(path, binning=Binning(bin_us=1000).in_steps(4))
    np.testing.assert_array_equal(source.load()[0], counted(samples, 4).sum(axis=2))
    assert source.binned.as_json()["polarities"] == 1
    halved = open_data(path, binning=Binning(bin_us=1000, downsample=2).in_steps(4))
    expected = counted(samples, 4).sum(axis=2).reshape(5, 4, 4, 2).sum(axis=3)
    np.testing.assert_array_equal(halved.load()[0], expected)


def test_pixels_without_polarity_have_one_channel(tmp_path):
    samples = recordings(6)
    columns = {f"events_{name}": np.concatenate([events[name] for events in samples]) for name in "txy"}
    path = write(tmp_path / "own.npz", samples, events=None, **columns)
    both = open_data(write(tmp_path / "both.npz", samples), binning=Binning(bins=3)).load()[0]
    one = open_data(path, binning=Binning(bins=3)).load()[0]
    assert one.shape == (6, 3, 1, *SENSOR)
    np.testing.assert_array_equal(one, both.sum(axis=2, keepdims=True))
    assert one.sum() > 0


@pytest.mark.parametrize(
    ("sensor", "found"),
    [
        ((6, 8), r"the height of sensor must be 1, since the events have no y \(got 6\)"),
        ((0,), r"the width of sensor must be 1 to .*\(got 0\)"),
    ],
)
def test_a_row_has_no_height(tmp_path, sensor, found):
    with pytest.raises(BadData, match=found):
        open_data(write(tmp_path / "own.npz", row_of(2), sensor=sensor), binning=Binning(bins=2))


def test_only_the_width_of_a_row_has_to_be_divisible(tmp_path):
    with pytest.raises(BadData, match=r"downsample must be a divisor of the sensor's 8 channels \(got 3\)"):
        open_data(write(tmp_path / "own.npz", row_of(2), sensor=(1, 8)), binning=Binning(bins=2, downsample=3))


@pytest.mark.parametrize("titled", [{"p": "on"}, {"t": "timestamp", "x": "column", "y": "row", "p": "polarity"}])
def test_fields_are_found_by_their_titles_too(tmp_path, titled):
    samples = recordings(6)
    kinds = {"t": "<u8", "x": "<u2", "y": "<u2", "p": "?"}
    kind = np.dtype([((name, titled[name]) if name in titled else name, kinds[name]) for name in "txyp"])
    others = []
    for events in samples:
        other = np.zeros(len(events), kind)
        for name in "txyp":
            other[name] = events[name]
        others.append(other)
    plain, other = (
        open_data(write(tmp_path / f"{name}.npz", each), binning=Binning(bin_us=700)).load()[0]
        for name, each in (("plain", samples), ("titled", others))
    )
    np.testing.assert_array_equal(plain, other)
    assert plain.sum() == sum(map(len, samples))
