"""Samples in memory: numpy arrays, whatever numpy can read as one, or batches of them."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt

from tdd_deploy.errors import BadData, BadOption, Violation
from tdd_deploy.options.dataset import ARRAYS

from .memory import InMemory
from .samples import StoredArray, source_of, with_scale_of_images
from .source import Source
from .splits import SPLITS_OF_ONE, check_split, split_of

Array: TypeAlias = npt.NDArray[Any]
Batches: TypeAlias = Iterable[Sequence[npt.ArrayLike]]  # (x, y), or x alone


def open_arrays(
    x: npt.ArrayLike | Batches,
    y: npt.ArrayLike | None = None,
    *,
    name: str = ARRAYS,
    split: str | None = None,
    input_scale: float | None = None,
) -> Source:
    """Open samples in memory, by the rules of an .npz.

    Bytes are pixels, k/256, unless ``input_scale`` says otherwise; all other values are as they are. Arrays are not
    copied, so leave them unchanged while the source is in use.

    Args:
        x: samples ``[N, ...]``: a numpy array, or whatever ``numpy.asarray`` takes, such as nested lists or a torch
            tensor on the CPU. Or an iterable of batches ``(x, y)``, such as a torch DataLoader: it is iterated once,
            and its batches are joined in memory, in the order in which they come. Lists and tuples are arrays.
        y: labels ``[N]``, integers; or floats, other targets, which are not read. Batches bring their own.
        name: of the data, for reports and errors.
        split: all, the first 90 % (train) or the last 10 % (val); by default all.
        input_scale: values are multiplied by it.

    Raises:
        BadOption: an unknown split, or a scale that float32 does not hold.
        BadData: numpy cannot read x or y, their type, shape or length is wrong, a label is negative, or bytes are all 0
            and 1 and no scale was given.
    """
    split = check_split(split or "all", SPLITS_OF_ONE, "Arrays have no test split: pass the test samples as x.")
    shapes = [getattr(each, "shape", None) for each in x] if isinstance(x, tuple) and len(x) == 2 else []
    if y is None and None not in shapes and len(set(shapes)) > 1:
        found = "is a pair of arrays of different shapes"
        raise BadData(name, [Violation("x", found, remedy="Pass samples as x and labels as y.")])
    if _are_batches(x):
        x, y = _joined(x, y, name)
    labels = None if y is None else _stored("y", y, name)
    source = source_of(name, _stored("x", x, name), labels)
    source = with_scale_of_images(source) if input_scale is None else source.scaled(input_scale)
    return split_of(source, split)


def _are_batches(x: object) -> TypeGuard[Iterable[object]]:
    """Decide whether samples come in batches: from an iterable that is neither an array nor a sequence."""
    return isinstance(x, Iterable) and not hasattr(x, "__array__") and not isinstance(x, Sequence)


def _stored(field: str, values: object, subject: str) -> StoredArray:
    array = _read(field, values, subject)
    return StoredArray(
        name=field, dtype=array.dtype, shape=array.shape, table=lambda: InMemory(name=field, values=array)
    )


def _read(where: str, values: object, subject: str) -> Array:
    """Read values as an array, without a copy where that is possible."""
    if isinstance(values, np.ma.MaskedArray):
        found = "is a masked array, whose mask would be ignored"
        raise BadData(subject, [Violation(where, found, remedy="Use its method filled to choose the masked values.")])
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # lists of unequal lengths; tensors elsewhere or in a graph
        found = f"cannot be read as a numpy array ({str(error).rstrip('.')})"
        remedy = "Pass numpy arrays, tensors on the CPU without gradients, or a DataLoader."
        raise BadData(subject, [Violation(where, found, remedy=remedy)]) from error


def _joined(batches: Iterable[object], y: object, subject: str) -> tuple[Array, Array | None]:
    """Join batches of samples, and of labels if there are any."""
    if y is not None:
        raise BadOption("y", "cannot be combined with batches, which bring their own labels", remedy="Leave y out.")
    found = [_columns(batch, i, subject) for i, batch in enumerate(batches)]
    if not found:
        raise BadData(
            subject, [Violation("x", "has no batches", remedy="Note that an iterator can be used only once.")]
        )
    if len({len(columns) for columns in found}) > 1:
        raise BadData(subject, [Violation("y", "is missing in some of the batches")])
    x = _concatenated("x", [columns[0] for columns in found], subject)
    return x, None if len(found[0]) == 1 else _concatenated("y", [columns[1] for columns in found], subject)


def _columns(batch: object, number: int, subject: str) -> list[Array]:
    """Read a batch as x, or as x and y."""
    parts = batch if isinstance(batch, list | tuple) else (batch,)
    if not 1 <= len(parts) <= 2:
        raise BadData(
            subject, [Violation(f"batch {number}", f"a {type(batch).__name__} of {len(parts)}", "x or (x, y)")]
        )
    arrays = [_read(f"{field} of batch {number}", part, subject) for field, part in zip("xy", parts, strict=False)]
    for field, array in zip("xy", arrays, strict=False):
        if not array.shape:
            remedy = "Pass batches, as a DataLoader makes them, not single samples."
            raise BadData(subject, [Violation(f"the shape of {field} in batch {number}", "[]", "[B, ...]", remedy)])
    return arrays


def _concatenated(field: str, parts: Sequence[Array], subject: str) -> Array:
    """Join the arrays of all batches along their first axis."""
    shapes = dict.fromkeys(part.shape[1:] for part in parts)
    if len(shapes) > 1:
        found = f"differs between batches: {' and '.join(str(list(shape)) for shape in shapes)} after the first axis"
        raise BadData(subject, [Violation(f"the shape of {field}", found)])
    return np.concatenate(parts)
