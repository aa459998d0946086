"""The training package, which needs torch."""

import importlib
from importlib.util import find_spec
from pathlib import Path

from tdd_deploy import memory
from tdd_deploy.errors import MissingDependency


def require_torch(needed_for: str) -> None:
    """Refuse to go on without torch and the other packages of training.

    Raises:
        TooLittleMemory: a limit leaves too little memory to load torch.
        MissingDependency: the install line is in the error.
    """
    memory.reserve(memory.TORCH + _size_of_torch(), f"torch, for {needed_for},")
    try:
        importlib.import_module("tdd_deploy.training")
    except ImportError as error:
        if memory.ran_out(error):
            raise
        raise MissingDependency(str(error.name), needed_for, "'tdd-deploy[train]'") from error


def _size_of_torch() -> int:
    """Add up the libraries of torch: they take their size in address space, and those for a GPU are large."""
    found = find_spec("torch")
    folders = found.submodule_search_locations if found else None
    return sum(each.stat().st_size for folder in folders or () for each in Path(folder, "lib").glob("*.so*"))
