"""The keywords of the front door follow from the options classes; --update-golden writes them."""

import re
from pathlib import Path
from typing import get_type_hints

import pytest

import tdd_deploy
from tdd_deploy.options import vocabulary
from tdd_deploy.options.declare import options_of
from tdd_deploy.options.functions import OPTIONS

HEAD = '''"""The keywords of each function of the front door, made from the options classes.

Do not edit: tests/golden/test_keywords.py writes this file when golden files are updated.
"""

from collections.abc import Sequence
from os import PathLike
from typing import TypedDict

from .options import vocabulary
'''
WORDS = {value: name for name, value in vars(vocabulary).items() if name[0].isupper() and name != "Literal"}


def annotation(hint: object) -> str:
    """Write a type as source."""
    if hint in WORDS:
        return f"vocabulary.{WORDS[hint]}"
    args = getattr(hint, "__args__", ())
    if getattr(hint, "__origin__", None) is tuple:
        several = f"Sequence[{annotation(args[0])}]"
        return f"{annotation(Path)} | {several}" if args[0] is Path else several
    if args:
        return " | ".join(annotation(each) for each in args)
    if hint is type(None):
        return "None"
    return "str | PathLike[str]" if hint is Path else hint.__name__


def text() -> str:
    classes = []
    for function, owners in OPTIONS.items():
        name = "".join(map(str.capitalize, function.split("_")))
        lines = [
            f"    {each.name}: {annotation(get_type_hints(owner)[each.name])}"
            for owner in owners
            for each in options_of(owner)
        ]
        doc = f'    """The options of ``{function}``; their classes are listed in ``options/functions.py``."""\n\n'
        classes.append(f"\n\nclass {name}(TypedDict, total=False):\n{doc}" + "\n".join(lines) + "\n")
    return HEAD + "".join(classes)


def test_the_keywords_of_python_are_the_fields_of_the_options(request: pytest.FixtureRequest) -> None:
    path = Path(tdd_deploy.__file__).with_name("keywords.py")
    if request.config.getoption("--update-golden"):
        path.write_text(text(), encoding="utf-8")
    written = re.sub(r"\n\n+", "\n\n", path.read_text(encoding="utf-8"))
    assert written == re.sub(r"\n\n+", "\n\n", text())
