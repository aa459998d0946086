"""Too little memory: how torch reports it, and what a user can lower."""

from collections.abc import Iterator
from contextlib import contextmanager

from tdd_deploy.errors import BadOption
from tdd_deploy.memory import ran_out
from tdd_deploy.options.training import TrainOptions

OF_GPU = ("out of memory", "alloc_failed")


def is_out_of_memory(error: BaseException) -> bool:
    """Decide whether an error reports too little memory, of the CPU or of a GPU."""
    return ran_out(error) or (isinstance(error, RuntimeError) and any(word in str(error).lower() for word in OF_GPU))


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
