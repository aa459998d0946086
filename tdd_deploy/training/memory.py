"""Too little memory: how torch reports it, and what a user can lower."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tdd_deploy.errors import BadOption
from tdd_deploy.options.training import TrainOptions

WORDS = ("allocate memory", "not enough memory", "out of memory", "bad_alloc", "alloc_failed")


def is_out_of_memory(error: BaseException) -> bool:
    """Decide whether an error reports too little memory; torch has no type of its own for memory of the CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in WORDS)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise MemoryError wherever torch reports too little memory."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        first_line, *_ = str(error).splitlines()
        raise MemoryError(first_line) from error


@contextmanager
def naming_what_to_lower(options: TrainOptions) -> Iterator[None]:
    """Name the options of a run that needs more memory than there is.

    Raises:
        BadOption: too little memory.
    """
    try:
        with memory_errors():
            yield
    except MemoryError as error:
        lower = "Use a smaller `batch`, fewer `steps` or `train_samples`, or a smaller `network`, in a new folder."
        raise BadOption(f"batch={options.batch}", "needs more memory than there is", remedy=lower) from error
