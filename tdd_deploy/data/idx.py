"""The idx files of MNIST and Fashion-MNIST, gzipped or not."""

import math
import struct
from functools import partial
from pathlib import Path

import numpy as np

from tdd_deploy.errors import BadFile

from .records import Records, check_size, open_file, reading
from .source import Source

N_CLASSES = 10
IMAGE = np.dtype([("x", "u1", (1, 28, 28))])
LABEL = np.dtype([("y", "u1")])


def open_idx(name: str, images: Path, labels: Path) -> Source:
    """Open the images ``[1, 28, 28]`` and labels of two idx files, not yet split.

    Raises:
        BadFile: an idx header is wrong, or promises what the file does not hold.
    """
    n, height, width = _shape(images, n_axes=3)
    if (height, width) != (28, 28):
        raise BadFile(images, f"holds images of {height}x{width} pixels, not 28x28", f"get the file of {name}")
    (n_labels,) = _shape(labels, n_axes=1)
    if n_labels != n:
        raise BadFile(labels, f"holds {n_labels} labels for the {n} images of {images}", f"get both files of {name}")
    x = Records(path=images, parts=(partial(open_file, images),), header=16, n=n, dtype=IMAGE)
    y = Records(path=labels, parts=(partial(open_file, labels),), header=8, n=n, dtype=LABEL)
    return Source(
        name=name,
        split="all",
        n_samples=n,
        n_classes=N_CLASSES,
        files=(images, labels),
        stored="uint8",
        scale=2.0**-8,
        scale_from="pixels of bytes are k/256",
        tables=(x, y),
    )


def _shape(path: Path, *, n_axes: int) -> tuple[int, ...]:
    """Read the shape in an idx header: two zero bytes, type (8: uint8), axes; then each length, big endian."""
    n_bytes = 4 + 4 * n_axes
    with reading(path), open_file(path) as stream:
        head = stream.read(n_bytes)
        magic, *shape = struct.unpack(f">{1 + n_axes}I", head)
        if magic != 0x0800 + n_axes:
            found = f"begins with {head[:4].hex()}, not with {0x0800 + n_axes:08x} as idx{n_axes} bytes do"
            raise BadFile(path, found, "get the idx file of that name")
        if path.suffix != ".gz":
            check_size(path, found=path.stat().st_size, promised=n_bytes + math.prod(shape))
    return tuple(shape)
