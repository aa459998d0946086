"""ONNX files, opened with care: one file, or one with the files beside it that hold its weights."""

import hashlib
import math
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from tdd_deploy.errors import BadFile, MissingDependency
from tdd_deploy.memory import ran_out

REMEDY = "name an ONNX file of a feed-forward network"
EXPORT_AGAIN = "export it again"
MOST_BYTES = 2 << 30  # the limit of protobuf
OURS = "tdd_deploy"  # the prefix of the metadata in files that tdd-deploy exports


@dataclass(frozen=True)
class OnnxFile:
    """A model that passed onnx's checker, with all weights in it, and the SHA-256 of each of its files by name."""

    model: Any
    digests: Mapping[str, str]


def open_onnx(path: Path) -> OnnxFile:
    """Read a model, and weights that are in other files of the same folder.

    Raises:
        MissingDependency: onnx is not installed.
        BadFile: a file cannot be read, the model is not valid, or tdd-deploy exported it.
    """
    try:
        import onnx  # noqa: PLC0415  (optional)
    except ImportError as error:
        raise MissingDependency("onnx", f"{path}", "'tdd-deploy[onnx]'") from error
    with _opened(path, path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise BadFile(path, f"holds {size:,} bytes, more than 2 GiB", REMEDY)
        data = file.read()
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's message does not help a user
        if ran_out(error):
            raise
        raise BadFile(path, "is not an ONNX file, or is damaged", REMEDY) from error
    if any(each.key.startswith(OURS) for each in model.metadata_props):
        found = "is a spiking network that tdd-deploy exported, unrolled for ONNX"
        raise BadFile(path, found, "name the .nir file or the run folder that it was exported from")
    beside = _fill_in(path, model)
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        if ran_out(error):
            raise
        reason = " ".join(str(error).split())[:200]
        raise BadFile(path, f"is not a valid ONNX model ({reason})", EXPORT_AGAIN) from error
    return OnnxFile(model, {path.name: hashlib.sha256(data).hexdigest(), **beside})


def _opened(path: Path, subject: Path, missing: str = REMEDY) -> BufferedReader:
    """Open a regular file. Refuse devices and pipes, and links to files of weights."""
    flags = os.O_RDONLY | os.O_NONBLOCK | (os.O_NOFOLLOW if path != subject else 0)
    where = "" if path == subject else f"stores weights in {path.name}, which "
    try:
        handle = os.open(path, flags)
    except FileNotFoundError as error:
        raise BadFile(subject, f"{where}is missing", missing) from error
    except OSError as error:
        reason = "is a link" if path.is_symlink() and path != subject else f"cannot be read ({error.strerror})"
        raise BadFile(subject, f"{where}{reason}", missing) from error
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise BadFile(subject, f"{where}is {'a folder' if stat.S_ISDIR(mode) else 'not a regular file'}", missing)
    return os.fdopen(handle, "rb")


def _tensors(model: Any) -> Iterator[Any]:
    """Yield all tensors that can be in another file; graphs within nodes are refused anyway."""
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _fill_in(path: Path, model: Any) -> dict[str, str]:
    """Load weights from other files into the model; return the SHA-256 of each file."""
    outside: dict[str, list[Any]] = {}
    for tensor in _tensors(model):
        if tensor.data_location == tensor.EXTERNAL:
            outside.setdefault(_location_of(tensor).get("location", ""), []).append(tensor)
    for name in outside:
        if not name or name != Path(name).name or name in (".", "..") or "\\" in name or "\0" in name:
            found = f"stores the weights {outside[name][0].name} in {name!r}"
            raise BadFile(
                path, found, "put the weights in a file of the same folder, and refer to it by its name alone"
            )
    total = model.ByteSize() + sum(_size(path, tensor) for tensors in outside.values() for tensor in tensors)
    if outside and total > MOST_BYTES:
        raise BadFile(path, f"holds {total:,} bytes with its weights, more than 2 GiB", REMEDY)
    digests = {}
    for name, tensors in outside.items():
        with _opened(path.parent / name, path, f"put {Path(name).name} beside it, as it was exported") as file:
            for tensor in tensors:
                _read(path, tensor, name, file)
            file.seek(0)
            digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _location_of(tensor: Any) -> dict[str, str]:
    """Read the entries that locate a tensor in another file."""
    return {entry.key: entry.value for entry in tensor.external_data}


def _size(path: Path, tensor: Any) -> int:
    """Compute how many bytes a tensor takes."""
    import onnx  # noqa: PLC0415  (optional)

    try:
        width = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except KeyError as error:
        raise BadFile(
            path, f"has weights {tensor.name} of an unknown type, {tensor.data_type}", EXPORT_AGAIN
        ) from error
    if any(n < 0 for n in tensor.dims):
        raise BadFile(path, f"has weights {tensor.name} of shape {list(tensor.dims)}", EXPORT_AGAIN)
    return int(math.prod(tensor.dims) * width)


def _read(path: Path, tensor: Any, name: str, file: BufferedReader) -> None:
    """Read the bytes of a tensor into it."""
    size, place = os.fstat(file.fileno()).st_size, _location_of(tensor)
    needed = _size(path, tensor)
    try:
        offset, length = int(place.get("offset", 0)), int(place.get("length", needed))
    except ValueError as error:
        found = f"offset {place.get('offset')!r}, length {place.get('length')!r}"
        raise BadFile(path, f"stores the weights {tensor.name} in {name} at {found}", EXPORT_AGAIN) from error
    if length != needed or not 0 <= offset <= size - length:
        found = f"stores the weights {tensor.name} in {name}: {length:,} bytes from {offset:,} on"
        held = f"{found}, but the file holds {size:,} and the weights take {needed:,}"
        raise BadFile(path, held, "use the two files of one export")
    file.seek(offset)
    tensor.raw_data = file.read(length)
    tensor.data_location = tensor.DEFAULT
    del tensor.external_data[:]
