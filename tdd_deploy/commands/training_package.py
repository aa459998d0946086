"""The training package, which needs torch."""

import importlib

from tdd_deploy.errors import MissingDependency


def require_torch(needed_for: str) -> None:
    """Refuse to go on without torch and the other packages of training.

    Raises:
        MissingDependency: the install line is in the error.
    """
    try:
        importlib.import_module("tdd_deploy.training")
    except ImportError as error:
        raise MissingDependency(str(error.name), needed_for, "'tdd-deploy[train]'") from error
