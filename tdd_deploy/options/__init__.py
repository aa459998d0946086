"""Options of the commands, each declared once: one frozen dataclass per concern. Standard library only."""

from .declare import Options


def owners() -> list[type[Options]]:
    """Return every class that declares options and was imported."""
    found, left = [], [Options]
    while left:
        for owner in left.pop().__subclasses__():
            found.append(owner)
            left.append(owner)
    return found
