"""The arguments of the functions of ``api``: options by keyword, and samples as arrays or by name."""

from collections.abc import Mapping
from os import PathLike, fspath

from numpy.typing import ArrayLike

from tdd_deploy.data import Choice, Source, open_arrays
from tdd_deploy.data.arrays import Batches
from tdd_deploy.errors import BadOption
from tdd_deploy.options.dataset import ARRAYS, StoredData
from tdd_deploy.options.declare import Gathered, gather
from tdd_deploy.options.encoding import Steps
from tdd_deploy.options.functions import OPTIONS

X = ArrayLike | Batches | Source


def gather_all(
    function: str, options: Mapping[str, object], x: X | None, y: ArrayLike | None
) -> tuple[Gathered, Choice]:
    """Return the checked options of a function, and the data that they or arrays give."""
    gathered = gather(name_data(options, x, y), *OPTIONS[function])
    (data,) = (each for each in gathered.values() if isinstance(each, StoredData))
    steps = next((each.steps for each in gathered.values() if isinstance(each, Steps)), None)
    return gathered, Choice(options=data, steps=steps, whole=open_whole(x, y, data.input_scale))


def name_data(options: Mapping[str, object], x: X | None, y: ArrayLike | None) -> dict[str, object]:
    """Return options that name the data, also data in memory."""
    if x is None:
        if y is not None:
            raise BadOption("y", "needs x")
        return dict(options)
    if y is not None and isinstance(x, str | PathLike | Source):
        raise BadOption("y", "cannot be combined with named data, which bring their own labels", remedy="Leave y out.")
    if options.get("data") is not None:
        raise BadOption("data", "cannot be combined with x", remedy="give one of the two")
    return {**options, "data": fspath(x) if isinstance(x, str | PathLike) else ARRAYS}


def open_whole(x: X | None, y: ArrayLike | None, input_scale: float | None) -> Source | None:
    """Open data in memory; return None for named data."""
    if x is None or isinstance(x, str | PathLike):
        return None
    return x.scaled(input_scale) if isinstance(x, Source) else open_arrays(x, y, input_scale=input_scale)
