"""Check the content of a checkpoint before a run takes anything from it.

torch.load returns tensors and plain values of any shape, type and size. A network would round numbers of another type,
and an optimizer would accept anything.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .checkpoint import Progress

PLAIN = (bool, int, float, str, type(None))
LARGEST = 2**53  # of an integer; no count of a run is larger
OF_SGD = {"momentum_buffer"}
OF_ADAM = {"step", "exp_avg", "exp_avg_sq"}


class NotFinite(ValueError):
    """A tensor holds NaN or infinity."""


def check_options(saved: object) -> None:
    """Raise ValueError unless options are names with plain values, or lists of them."""
    for name, value in saved.items() if isinstance(saved, dict) else [(None, saved)]:
        values = value if type(value) is list else [value]
        if type(name) is not str or any(type(each) not in PLAIN for each in values):
            raise ValueError("other options")


def check_state(saved: object, now: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless tensors have the names, shapes and types of others, and finite numbers."""
    if not isinstance(saved, Mapping) or saved.keys() != now.keys():
        raise ValueError("other names")
    for name, tensor in now.items():
        _check_tensor(saved[name], tensor.shape, tensor.dtype)
        if not bool(saved[name].isfinite().all()):
            raise NotFinite(name)
        if name.endswith("running_var") and bool((saved[name] < 0).any()):
            raise ValueError("a negative variance")


def optimizer_state(saved: Any, optimizer: torch.optim.Optimizer, *, done: int) -> dict[str, Any]:
    """Return the state of an optimizer after ``done`` batches; all but its rate comes from the options of the run.

    Raises:
        ValueError: it is not the state of this optimizer.
    """
    group = optimizer.state_dict()["param_groups"][0]
    parameters = optimizer.param_groups[0]["params"]
    rate = saved["param_groups"][0]["lr"]
    if not _is_number(rate):
        raise ValueError("lr")
    names = OF_SGD if isinstance(optimizer, torch.optim.SGD) else OF_ADAM
    for index, state in saved["state"].items():
        if type(index) is not int or not 0 <= index < len(parameters) or state.keys() != names:
            raise ValueError(index)
        for name, value in state.items():
            if name == "momentum_buffer" and value is None:
                continue
            _check_tensor(value, () if name == "step" else parameters[index].shape, torch.float32)
            if bool(value.isnan().any()):
                raise NotFinite(name)
            if name == "step" and not 0 <= float(value) <= done:
                raise ValueError(name)
    return {"state": saved["state"], "param_groups": [group | {"lr": rate}]}


def progress_of(
    saved: Any, *, epochs: int, n_batches: int, batch: int, input_bits: Sequence[int], names: Mapping[str, bool]
) -> Progress:
    """Return the progress of a run.

    Args:
        saved: the fields of ``Progress``.
        epochs: the number of epochs of the run.
        n_batches: the number of batches of an epoch.
        batch: the number of samples of a batch.
        input_bits: the widths that an input may have.
        names: the names in the record of an epoch; each says whether a number belongs to it, or None.

    Raises:
        ValueError, TypeError: it is not the progress of this run.
    """
    found = Progress(**saved)
    whole = (found.epoch, found.batch, found.seen, found.correct)
    if not (
        all(type(number) is int for number in whole)
        and 0 <= found.epoch <= epochs
        and 0 <= found.batch <= n_batches
        and found.seen == found.batch * batch
        and 0 <= found.correct <= found.seen
        and (found.input_bits is None or (type(found.input_bits) is int and found.input_bits in input_bits))
        and len(found.history) == found.epoch
        and is_history_of(found.history, names)
    ):
        raise ValueError("other progress")
    if not _is_number(found.loss):
        raise NotFinite("loss")
    return found


def is_history_of(found: Any, names: Mapping[str, bool]) -> bool:
    """Decide whether values are the records of epochs, each with these names, and with numbers or None."""
    return type(found) is list and all(
        type(entry) is dict
        and entry.keys() == names.keys()
        and type(entry["epoch"]) is int
        and entry["epoch"] == number
        and all(_is_number(value) if names[name] else value is None for name, value in entry.items())
        for number, entry in enumerate(found, 1)
    )


def _is_number(value: object) -> bool:
    if type(value) is int:
        return abs(value) <= LARGEST
    return type(value) is float and math.isfinite(value)


def _check_tensor(found: object, shape: Sequence[int], dtype: torch.dtype) -> None:
    if not (
        type(found) is Tensor
        and found.layout is torch.strided
        and not found.is_meta
        and tuple(found.shape) == tuple(shape)
        and found.dtype is dtype
    ):
        raise ValueError("a tensor of another shape or type")
