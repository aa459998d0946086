"""ONNX files whose weights are in a file beside them, as PyTorch has exported them by default since 2.9."""

import hashlib
import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tdd_deploy.errors import BadFile
from tdd_deploy.importers import read
from tests.onnx_files import made, node, write

RNG = np.random.default_rng(0)
WEIGHTS = {"w": RNG.normal(size=(6, 5)).astype(np.float32), "b": RNG.normal(size=5).astype(np.float32)}
NODES = [node("Gemm", "x w b", "h"), node("Relu", "h")]


def apart(folder, location="net.onnx.data"):
    """Write a model and its weights as two files; return the first."""
    path = folder / "net.onnx"
    model = made(NODES, WEIGHTS, shape=("N", 6))
    onnx.save(model, path, save_as_external_data=True, location=location, size_threshold=0)
    return path


def changed(path, **entries):
    """Change the entries that locate the weights ``w``; None removes an entry."""
    model = onnx.load(path, load_external_data=False)
    (tensor,) = [each for each in model.graph.initializer if each.name == "w"]
    located = {each.key: each.value for each in tensor.external_data} | entries
    del tensor.external_data[:]
    for key, value in located.items():
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    path.write_bytes(model.SerializeToString())
    return path


def test_a_network_in_two_files_is_the_network_in_one(tmp_path):
    whole = read(write(tmp_path / "one.onnx", NODES, WEIGHTS, shape=("N", 6)))
    assert read(apart(tmp_path)).nodes[1].weight.size == 30
    found = read(tmp_path / "net.onnx")
    assert found.digest == whole.digest


def test_provenance_holds_the_name_and_the_hash_of_both_files(tmp_path):
    provenance = read(apart(tmp_path)).provenance
    assert provenance["file"] == "net.onnx"
    assert provenance["sha256"] == hashlib.sha256((tmp_path / "net.onnx").read_bytes()).hexdigest()
    assert provenance["weights"] == "net.onnx.data"
    assert provenance["weights sha256"] == hashlib.sha256((tmp_path / "net.onnx.data").read_bytes()).hexdigest()


def test_weights_without_an_offset_or_a_length_begin_at_the_start_and_take_what_they_need(tmp_path):
    path = apart(tmp_path)
    (tmp_path / "w.data").write_bytes(WEIGHTS["w"].tobytes() + b"more")
    program = read(changed(path, location="w.data", offset=None, length=None))
    np.testing.assert_array_equal(program.linear_maps[0].weight, WEIGHTS["w"].T)
    assert set(program.provenance["weights"].split(", ")) == {"w.data", "net.onnx.data"}


def test_a_constant_of_a_node_can_be_in_the_other_file_too(tmp_path):
    tensor = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[6], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="c.data")
    (tmp_path / "c.data").write_bytes(np.arange(6, dtype=np.float32).tobytes())
    nodes = [helper.make_node("Constant", [], ["c"], value=tensor), node("Mul", "x c")]
    onnx.save(made([node("Relu", "x")], shape=("N", 6)), tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    (scale,) = read(tmp_path / "net.onnx").linear_maps
    np.testing.assert_array_equal(scale.factor, np.arange(6))


@pytest.mark.parametrize(
    "location",
    ["/etc/passwd", "../net.onnx.data", "folder/net.onnx.data", ".", "..", "", "..\\net.onnx.data", "./net.onnx.data"],
)
def test_a_location_that_is_no_plain_name_is_refused(tmp_path, location):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "net.onnx.data").write_bytes(bytes(200))
    with pytest.raises(BadFile, match="in a file of the same folder, and refer to it by its name alone"):
        read(changed(apart(tmp_path), location=location))


def test_a_link_a_folder_and_a_pipe_are_refused(tmp_path):
    path = apart(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "net.onnx.data")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, found in {"link": "is a link", "folder": "is a folder", "pipe": "is not a regular file"}.items():
        with pytest.raises(BadFile, match=f"stores weights in {name}, which {found}. Put {name} beside it"):
            read(changed(path, location=name))


def test_a_model_that_is_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "net.onnx")
    with pytest.raises(BadFile, match=r"net\.onnx is not a regular file"):
        read(tmp_path / "net.onnx")


def test_a_file_that_is_not_there_is_named(tmp_path):
    path = apart(tmp_path)
    (tmp_path / "net.onnx.data").unlink()
    with pytest.raises(
        BadFile, match=r"stores weights in net\.onnx\.data, which is missing\. Put net\.onnx\.data beside"
    ):
        read(path)


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        ({"offset": 10**9}, "120 bytes from 1,000,000,000 on"),
        ({"offset": -4}, "120 bytes from -4 on"),
        ({"length": 116}, "116 bytes from .*, but the file holds .* and the weights take 120"),
        ({"length": 10**12}, "1,000,000,000,000 bytes from"),
        ({"offset": "start"}, "at offset 'start', length '120'"),
    ],
)
def test_weights_beyond_the_end_of_the_file_are_refused(tmp_path, entries, found):
    with pytest.raises(BadFile, match=f"stores the weights w in net.onnx.data.*{found}"):
        read(changed(apart(tmp_path), **entries))


def test_a_file_that_was_cut_off_is_refused(tmp_path):
    path = apart(tmp_path)
    (tmp_path / "net.onnx.data").write_bytes((tmp_path / "net.onnx.data").read_bytes()[:100])
    with pytest.raises(BadFile, match="Use the two files of one export"):
        read(path)


def test_weights_that_share_bytes_many_times_over_are_bounded(tmp_path):
    """One small file can name the same bytes again and again."""
    path = apart(tmp_path)
    model = onnx.load(path, load_external_data=False)
    for number in range(3):
        tensor = TensorProto(name=f"t{number}", data_type=1, dims=[1 << 28], data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="net.onnx.data")
        model.graph.initializer.append(tensor)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(BadFile, match=r"holds [\d,]+ bytes with its weights, more than 2 GiB"):
        read(path)
