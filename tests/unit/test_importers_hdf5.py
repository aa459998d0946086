"""Files that are half written or half copied are refused as such; other damage is not called half written."""

from pathlib import Path
from typing import Literal

import h5py
import nir
import numpy as np
import pytest

from tdd_deploy.errors import BadFile
from tdd_deploy.importers import read, survey
from tdd_deploy.importers.hdf5 import find_missing_end
from tests.net_files import CUBA, write_net

DIALECT = "nir,dt=1e-4,integration=euler"


def graph(**nodes: nir.NIRNode) -> nir.NIRGraph:
    inside: dict[str, nir.NIRNode] = {
        "in": nir.Input(np.array([2])),
        **nodes,
        "fc": nir.Linear(np.eye(2)),
        "out": nir.Output(np.array([2])),
    }
    return nir.NIRGraph(inside, list(zip(list(inside)[:-1], list(inside)[1:], strict=True)), type_check=False)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    nir.write(tmp_path / "whole.nir", graph())
    return tmp_path / "whole.nir"


def reason_of(path: Path) -> str:
    with pytest.raises(BadFile) as refused:
        read(path, dialect=DIALECT)
    with pytest.raises(BadFile):
        survey(path)
    return str(refused.value).removeprefix(f"{path} ")


@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.5, 0.99])
def test_a_truncated_file_is_refused_with_its_size_and_its_full_size(fraction: float, whole: Path) -> None:
    content = whole.read_bytes()
    whole.write_bytes(content[: int(fraction * len(content))])
    kept = int(fraction * len(content))
    assert reason_of(whole) == f"was half written: it holds {kept:,} of {len(content):,} bytes. Write or copy it again."


def test_the_last_byte_counts(whole: Path) -> None:
    content = whole.read_bytes()
    whole.write_bytes(content[:-1])
    assert f"it holds {len(content) - 1:,} of {len(content):,} bytes" in reason_of(whole)
    whole.write_bytes(content)
    assert find_missing_end(whole) == ""
    assert read(whole, dialect=DIALECT).input.shape == (2,)


def test_a_file_that_ends_within_its_header_is_refused_by_name(whole: Path) -> None:
    whole.write_bytes(whole.read_bytes()[:40])
    assert reason_of(whole) == "was half written: it ends after 40 bytes, within its header. Write or copy it again."


def test_an_empty_file_is_refused_by_name(whole: Path) -> None:
    whole.write_bytes(b"")
    assert reason_of(whole) == "is not a NIR file, as it is empty. Name a .nir, .net or .onnx file."


@pytest.mark.parametrize("version", ["earliest", "latest"])
def test_every_form_of_header_is_known(version: Literal["earliest", "latest"], tmp_path: Path) -> None:
    path = tmp_path / "some.nir"
    with h5py.File(path, "w", libver=version) as file:
        file["numbers"] = np.arange(1000)
    assert find_missing_end(path) == ""
    assert "without a NIR graph" in reason_of(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 8])
    assert f"it holds {len(content) - 8:,} of {len(content):,} bytes" in reason_of(path)


def test_a_file_that_was_not_closed_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "some.nir"
    with h5py.File(path, "w", libver="latest") as file:
        file["version"] = "1"
    content = bytearray(path.read_bytes())
    assert content[8] == 3
    content[11] |= 1  # the flag that a program holds while it writes
    path.write_bytes(content)
    assert reason_of(path).startswith("is still being written, or the program that wrote it did not close it")


def test_the_rest_of_a_failed_nir_write_is_called_half_written(tmp_path: Path) -> None:
    """nir 1.0.8 writes nodes before edges, and raises at a parameter of shape ()."""
    one = np.array(1.0)
    path = tmp_path / "half.nir"
    with pytest.raises(TypeError):
        nir.write(path, graph(n=nir.LIF(tau=one, r=one, v_leak=one, v_threshold=one, v_reset=one)))
    reason = reason_of(path)
    assert reason.startswith("is a half-written NIR file: it has no node/type, node/edges")
    assert reason.endswith(". Write it again.")


@pytest.mark.parametrize("part", ["type", "nodes", "edges", "nodes/fc/type"])
def test_a_missing_part_is_named(part: str, whole: Path) -> None:
    with h5py.File(whole, "a") as file:
        del file["node"][part]
    assert reason_of(whole) == f"is a half-written NIR file: it has no node/{part}. Write it again."


def test_a_missing_part_of_an_inner_graph_is_named(tmp_path: Path) -> None:
    path = tmp_path / "inner.nir"
    nir.write(path, graph(inner=graph()))
    with h5py.File(path, "a") as file:
        del file["node/nodes/inner/edges"]
    assert "it has no node/nodes/inner/edges" in reason_of(path)


def test_many_missing_parts_are_not_all_listed(tmp_path: Path) -> None:
    path = tmp_path / "many.nir"
    nir.write(path, graph(**{f"n{k}": nir.Linear(np.eye(2)) for k in range(9)}))
    with h5py.File(path, "a") as file:
        for name in file["node/nodes"]:
            del file[f"node/nodes/{name}/type"]
    assert reason_of(path).count("/type") == 5
    assert ", and more" in reason_of(path)


def test_a_file_without_any_part_of_nir_is_not_called_half_written(tmp_path: Path) -> None:
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["numbers"] = np.arange(9)
    assert reason_of(path) == "is an HDF5 file without a NIR graph. Name a .nir, .net or .onnx file."
    with h5py.File(path, "a") as file:
        file["version"] = "1.0.8"
    assert "or is a half-written NIR file" in reason_of(path)


def test_other_damage_is_not_called_half_written(whole: Path) -> None:
    content = bytearray(whole.read_bytes())
    content[-400:-300] = bytes(100)
    content[100:160] = bytes(60)
    whole.write_bytes(content)
    assert reason_of(whole).startswith("is damaged (")


def test_a_truncated_net_file_is_refused_by_name(tmp_path: Path) -> None:
    path = write_net(
        tmp_path / "some.net", {"type": "dense", "shape": [40], "weight": np.ones((40, 90)), "neuron": CUBA}
    )
    content = path.read_bytes()
    path.write_bytes(content[:2000])
    assert reason_of(path).startswith(f"was half written: it holds 2,000 of {len(content):,} bytes")
