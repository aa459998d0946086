"""The console of rich, for texts that may hold anything."""

from typing import Any

from rich import console
from rich.text import Text

from tdd_deploy.text import shortened, visible


class Console(console.Console):
    """A console of stdout that takes every text as it is: no markup, no emoji, nothing that a terminal would obey."""

    def __init__(self, *, width: int) -> None:
        super().__init__(width=width, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **given: Any) -> Text:
        """Render a line, or a cell of a table; a long one is cut."""
        return super().render_str(shortened(visible(text)), **given)
