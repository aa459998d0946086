"""The streams of an .aedat4, which its header lists in XML."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Never
from xml.parsers import expat

from tdd_deploy.errors import BadFile

from .events import Sensor
from .records import REMEDY

DEEPEST = 32  # nodes in each other
EVENTS = "EVTS"
TYPE, NAME, WIDTH, HEIGHT = "typeIdentifier", "originalOutputName", "info/sizeX", "info/sizeY"


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A stream of events."""

    number: int
    name: str
    sensor: Sensor


@dataclass
class _Tree:
    """Collects the attributes of each numbered node of outInfo."""

    nodes: list[str] = field(default_factory=list)
    key: str | None = None
    streams: dict[int, dict[str, str]] = field(default_factory=dict)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "node":
            self.nodes.append(attributes.get("name", ""))
            if len(self.nodes) > DEEPEST:
                raise ValueError(f"nodes lie more than {DEEPEST} deep")
        self.key = attributes.get("key") if tag == "attr" else None

    def text(self, text: str) -> None:
        if self.key is None or len(self.nodes) < 2 or self.nodes[0] != "outInfo":
            return
        number, *inner = self.nodes[1:]
        if number.isascii() and number.isdigit() and len(number) < 10:
            values = self.streams.setdefault(int(number), {})
            key = "/".join([*inner, self.key])
            values[key] = values.get(key, "") + text

    def end(self, tag: str) -> None:
        self.key = None
        if tag == "node":
            self.nodes.pop()


def read_streams(path: Path, text: bytes) -> list[Stream]:
    """Find the streams of events.

    Raises:
        BadFile: the text is no XML, declares types or entities, or states no size of a stream of events.
    """
    tree = _Tree()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.text
    parser.StartDoctypeDeclHandler = _refuse_declaration
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, ValueError) as error:
        raise BadFile(path, f"lists its streams in a text that is damaged: {error}", REMEDY) from error
    streams = []
    for number, values in sorted(tree.streams.items()):
        if values.get(TYPE, "").strip() != EVENTS:
            continue
        sizes = [values.get(key, "").strip() for key in (WIDTH, HEIGHT)]
        if not all(size.isascii() and size.isdigit() and len(size) < 10 for size in sizes):
            found = f"states no size of the sensor for stream {number}"
            raise BadFile(path, found, "record it with sizeX and sizeY in its header")
        width, height = map(int, sizes)
        name = values.get(NAME, "").strip() or "without a name"
        streams.append(Stream(number=number, name=name, sensor=Sensor(height=height, width=width)))
    return streams


def _refuse_declaration(*_: object) -> Never:
    raise ValueError("it declares types")
