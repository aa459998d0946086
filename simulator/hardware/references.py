"""The publications behind a profile, and how they are cited."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tdd_deploy.errors import Violation
from tdd_deploy.tables.latex import escaped

from .schema import Key, table_violations

TYPES = ("article", "inproceedings", "misc")
LINKS = ("doi", "arxiv", "url")
KEY = re.compile(r"[A-Za-z][A-Za-z0-9:._-]*")
REFERENCE = {
    "type": Key(str, TYPES),
    "author": Key(str),
    "title": Key(str),
    "in": Key(str, required=False),
    "volume": Key(str, required=False),
    "number": Key(str, required=False),
    "pages": Key(str, required=False),
    "year": Key(int),
    **{link: Key(str, required=False) for link in LINKS},
}
CONTAINERS = {"article": "journal", "inproceedings": "booktitle", "misc": "howpublished"}


@dataclass(frozen=True)
class Reference:
    """A publication. ``author`` is written as in BibTeX, and ``container`` is its journal or its conference."""

    key: str
    type: str
    author: str
    title: str
    year: int
    container: str = ""
    volume: str = ""
    number: str = ""
    pages: str = ""
    doi: str = ""
    arxiv: str = ""
    url: str = ""

    @classmethod
    def of(cls, key: str, content: Mapping[str, Any]) -> "Reference":
        """Read a table without violations."""
        return cls(key=key, **{"container" if name == "in" else name: value for name, value in content.items()})

    @property
    def link(self) -> str:
        """Where the publication is found."""
        if self.doi:
            return f"https://doi.org/{self.doi}"
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else self.url

    @property
    def bibtex(self) -> str:
        """The entry for a bibliography in BibTeX."""
        fields = {
            "author": escaped(self.author),
            "title": f"{{{escaped(self.title)}}}",  # braces keep capital letters
            CONTAINERS[self.type]: escaped(self.container),
            "volume": escaped(self.volume),
            "number": escaped(self.number),
            "pages": escaped(self.pages).replace("-", "--"),
            "year": str(self.year),
            "doi": self.doi,
            "eprint": self.arxiv,
            "archiveprefix": "arXiv" if self.arxiv else "",
            "url": self.url,
        }
        lines = [f"  {name} = {{{text}}}," for name, text in fields.items() if text]
        return "\n".join([f"@{self.type}{{{self.key},", *lines, "}"])


def reference_violations(references: Any) -> Iterator[Violation]:
    """Yield every rule that the references of a profile break."""
    for key, content in references.items() if isinstance(references, dict) else ():
        where = f"reference.{key}"
        if not KEY.fullmatch(key):
            yield Violation(f"the name of {where}", repr(key), "letters, digits and :._-, a letter first")
        yield from table_violations(f"{where}.", content, REFERENCE)
        if not isinstance(content, dict):
            continue
        if not set(LINKS) & content.keys():
            yield Violation(where, f"has none of {', '.join(LINKS)}", remedy="Say where it is found.")
        for link in LINKS:
            text = content.get(link)
            if isinstance(text, str) and re.search(r"[\s{}\\]", text):
                yield Violation(f"{where}.{link}", repr(text), "a link without spaces, braces and backslashes")
