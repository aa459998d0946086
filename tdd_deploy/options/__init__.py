"""Options of the commands, each declared once: one frozen dataclass per concern. Standard library only."""

from importlib import import_module
from pkgutil import iter_modules

from .declare import Options


def owners() -> list[type[Options]]:
    """Return every class that declares options."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    found, left = [], [Options]
    while left:
        for owner in left.pop().__subclasses__():
            found.append(owner)
            left.append(owner)
    return found
