"""tdd-deploy: spiking networks from the trainer to the chip, executed as changes between time steps.

Use it as ``import tdd_deploy as td``. Everything is loaded when it is first used.
"""

import importlib
from typing import TYPE_CHECKING

from .version import __version__

if TYPE_CHECKING:
    from .api import (
        analyze,
        check,
        export,
        inspect,
        load,
        price,
        prune,
        quantize,
        simulate,
        sweep,
        train,
        tune_exit,
        verify,
    )
    from .api_data import open_data, stream
    from .program import Program

__all__ = [
    "Program",
    "__version__",
    "analyze",
    "check",
    "export",
    "inspect",
    "load",
    "open_data",
    "price",
    "prune",
    "quantize",
    "simulate",
    "stream",
    "sweep",
    "train",
    "tune_exit",
    "verify",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{'program' if name == 'Program' else 'api'}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
