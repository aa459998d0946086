"""Write the tables and plots of the documents from the committed results.

    .venv/bin/python -m benchmarks.report [--check]

Replaces the text between `<!-- NAME -->` and `<!-- end -->` in docs/energy.md, docs/results.md, docs/speed.md and
README.md, and writes docs/plots/*.svg. With --check no page is written; the exit code is 1 if a page differs from the
results.
"""

import argparse
import re
import sys
from pathlib import Path

from . import energy_report as energy
from .engine import report as engine
from .training import report as training

ROOT = Path(__file__).parents[1]
PAGES = (*(ROOT / "docs" / f"{name}.md" for name in ("energy", "results", "speed")), ROOT / "README.md")
PARTS = training.PARTS | engine.PARTS | energy.PARTS


def filled(page: Path, text: str) -> str:
    """Return a page with tables and plots from the current results."""

    def between(marks: re.Match[str]) -> str:
        if marks[2] not in PARTS:
            sys.exit(f"{page}: '{marks[2]}' must be one of {', '.join(PARTS)}")
        return f"{marks[1]}{PARTS[marks[2]]()}\n{marks[3]}"

    return re.sub(r"(<!-- ([a-z0-9 ]+) -->\n).*?(<!-- end -->)", between, text, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    before = {page: page.read_text() for page in PAGES}
    after = {page: filled(page, text) for page, text in before.items()}
    if given.check:
        sys.exit(before != after)
    for page, text in after.items():
        page.write_text(text)


if __name__ == "__main__":
    main()
