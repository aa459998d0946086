"""iniVation's .aedat4: events of every compression, and what is refused. Files are written by hand."""

import struct
import sys

import lz4.frame
import numpy as np
import pytest

from tdd_deploy.data import Binning, compression, open_data
from tdd_deploy.data.aedat4 import open_aedat4
from tdd_deploy.errors import BadData, BadFile, MissingDependency
from tests.aedat4_files import OTHER, PACK, VERSION, event_packet, header, packet, write_aedat4, xml

NOW = 1_700_000_000_000_000  # us since 1970
PACKETS = [[(NOW, 0, 0, 1), (NOW + 5, 345, 259, 0)], [], [(NOW + 5, 7, 8, 1), (NOW + 20_000, 7, 8, 0)]]
EVENTS = [event for each in PACKETS for event in each]
CUT = Binning(bins=1)


def events_of(path):
    (recording,) = open_aedat4(path).read(0, 1)
    return [*zip(*(getattr(recording, name).tolist() for name in ("t", "x", "y", "p")), strict=True)]


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("table", [None, b"table of packets"])
def test_every_compression_is_read_with_and_without_a_table_of_packets(tmp_path, number, table):
    path = write_aedat4(tmp_path / "own.aedat4", PACKETS, compression=number, table=table)
    assert events_of(path) == EVENTS
    assert open_aedat4(path).sensor.size == (260, 346)


@pytest.mark.parametrize("number", range(5))
def test_what_was_written_is_read_in_order_of_time(tmp_path, number):
    rng = np.random.default_rng(number)
    columns = (rng.integers(0, 1000, 500) + NOW, rng.integers(0, 346, 500), rng.integers(0, 260, 500),
               rng.integers(0, 2, 500))  # fmt: skip
    events = [*zip(*(column.tolist() for column in columns), strict=True)]
    cuts = sorted(rng.integers(0, 500, 6).tolist())
    packets = [events[a:b] for a, b in zip([0, *cuts], [*cuts, 500], strict=True)]
    expected = sorted(events, key=lambda event: event[0])  # stable
    assert events_of(write_aedat4(tmp_path / "own.aedat4", packets, compression=number)) == expected


def test_packets_of_other_streams_are_skipped_and_counted(tmp_path):
    source = open_data(str(write_aedat4(tmp_path / "own.aedat4", PACKETS)), binning=Binning(bin_us=10_000))
    x, y = source.load()
    assert source.scale_from == "counts of events; ignored: 3 packets of other streams"
    assert (x.shape, y) == ((1, 3, 2, 260, 346), None)
    assert {tuple(place) for place in np.argwhere(x[0]).tolist()} == {
        (0, 1, 0, 0), (0, 0, 259, 345), (0, 1, 8, 7), (2, 0, 8, 7),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (xml({0: ("FRME", 4, 4)}), "holds no stream of events"),
        (xml({0: ("EVTS", 4, 4), 3: ("EVTS", 6, 5)}), r"2 streams of events: 0 \(events, 4 x 4\), 3 \(events, 6 x 5\)"),
        (xml({0: ("EVTS", -4, 4)}), "no size of the sensor for stream 0"),
        ("<dv>", "lists its streams in a text that is damaged"),
        ("", "lists its streams in a text that is damaged"),
        ('<!DOCTYPE dv [<!ENTITY a "b">]><dv>&a;</dv>', "it declares types"),
        ('<node name="a">' * 40 + "</node>" * 40, "more than 32 deep"),
    ],
)
def test_streams_that_cannot_be_read_are_refused(tmp_path, text, found):
    with pytest.raises(BadFile, match=found):
        open_aedat4(write_aedat4(tmp_path / "own.aedat4", PACKETS, text=text))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda data: data.replace(b"DAT4.0", b"DAT3.1"), "record or convert it as AEDAT 4.0|begins with"),
        (lambda data: data[:14] + b"\xff\xff\xff\x00" + data[18:], "states a header of 16,777,215 bytes"),
        (lambda data: data.replace(b"IOHE", b"EVTS"), "damaged header: it is of type b'EVTS', not b'IOHE'"),
        (lambda data: data.replace(b"EVTS\x06\x00", b"FRME\x06\x00"), "damaged packet at byte .*b'FRME', not b'EVTS'"),
    ],
)
def test_what_is_of_another_type_is_refused(tmp_path, change, found):
    path = write_aedat4(tmp_path / "own.aedat4", PACKETS)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(BadFile, match=found):
        events_of(path)


def test_an_unknown_compression_and_a_table_outside_the_file_are_refused(tmp_path):
    path = tmp_path / "own.aedat4"
    for number, table, found in ((5, -1, "states compression 5, not 0 to 4"), (0, 1 << 40, "table of packets at byte")):
        path.write_bytes(VERSION + header(number, table, xml({0: ("EVTS", 4, 4)})))
        with pytest.raises(BadFile, match=found):
            open_aedat4(path)


@pytest.mark.parametrize("number", range(5))
def test_a_file_that_is_cut_anywhere_is_refused(tmp_path, number):
    content = write_aedat4(tmp_path / "own.aedat4", PACKETS, compression=number, table=None).read_bytes()
    path = tmp_path / "cut.aedat4"
    first = content.index(packet(PACK[number](event_packet(PACKETS[0]))))
    whole = [first]  # where packets end
    while whole[-1] < len(content):
        whole.append(whole[-1] + 8 + struct.unpack_from("<i", content, whole[-1] + 4)[0])
    for n in (*range(0, first, 7), *range(first, len(content))):
        path.write_bytes(content[:n])
        if n in whole:
            assert events_of(path) == EVENTS[: len(events_of(path))]
        else:
            with pytest.raises(BadFile):
                events_of(path)


@pytest.mark.parametrize("number", range(5))
def test_a_damaged_file_is_refused_or_read(tmp_path, number):
    content = write_aedat4(tmp_path / "own.aedat4", PACKETS, compression=number).read_bytes()
    path = tmp_path / "bad.aedat4"
    outcomes = set()
    for at in range(len(content)):
        flip = (1, 0x80, 0xFF)[at % 3]
        path.write_bytes(content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :])
        try:
            open_data(str(path), binning=CUT)
            outcomes.add("read")
        except (BadFile, BadData) as error:
            outcomes.add(type(error).__name__)
    assert {"read", "BadFile"} <= outcomes


@pytest.mark.parametrize("event", [(0, 346, 0, 0), (0, -1, 0, 0), (0, 0, 260, 0), (0, 0, 0, 2)])
def test_events_beyond_the_sensor_are_refused(tmp_path, event):
    with pytest.raises(BadData, match="event 0 in sample 0 must be 0 to"):
        open_data(str(write_aedat4(tmp_path / "own.aedat4", [[event]])), binning=CUT)


@pytest.mark.parametrize("number", [1, 3])
def test_a_packet_that_unpacks_to_far_more_than_its_bytes_is_refused(tmp_path, monkeypatch, number):
    path = tmp_path / "own.aedat4"
    start = VERSION + header(number, -1, xml({0: ("EVTS", 4, 4)}))
    bomb = PACK[number](bytes(compression.LARGEST_PACKET + 1))
    path.write_bytes(start + packet(bomb))
    with pytest.raises(BadFile, match="has a packet of more than 67,108,864 bytes"):
        events_of(path)
    monkeypatch.setattr(compression, "LARGEST_FILE", 1000)
    path.write_bytes(start + packet(PACK[number](event_packet([(0, 0, 0, 0)] * 1000))) * 20)
    with pytest.raises(BadFile, match=r"unpacks to more than [\d,]+ bytes"):
        events_of(path)


@pytest.mark.parametrize(("number", "package"), [(2, "lz4"), (4, "zstandard")])
def test_without_its_package_a_compression_names_the_extra(tmp_path, monkeypatch, number, package):
    path = write_aedat4(tmp_path / "own.aedat4", PACKETS, compression=number)
    for name in (package, "lz4.frame"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependency, match=rf"needs {package}\. .*pip install 'tdd-deploy\[aedat\]'"):
        open_data(str(path), binning=CUT)


def test_bytes_of_other_streams_are_never_unpacked(tmp_path):
    path = write_aedat4(tmp_path / "own.aedat4", PACKETS, compression=1)
    with pytest.raises(RuntimeError):
        lz4.frame.decompress(OTHER)
    assert events_of(path) == EVENTS
