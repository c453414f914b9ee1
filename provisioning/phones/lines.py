"""The texts that desk phones read, taken apart into names and values with their lines. Pure; no maker's names here."""

import re
from collections.abc import Iterator
from typing import Final
from xml.parsers import expat

_ASSIGNMENT: Final = re.compile(r"\s*([A-Za-z0-9_.%$-]+)\s*=\s*(.*?)\s*$")
_COLON: Final = re.compile(r"\s*([A-Za-z0-9_.-]+)[!$&]?\s*:\s*(.*?)\s*$")
Line = tuple[int, str, str]
Element = tuple[int, str, dict[str, str], str]


class NotXml(ValueError):
    """The text is no XML that is read here; `line` is where it ends to be."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def assignments(text: str) -> Iterator[Line]:
    """`name = value`, one a line; # and ; begin a comment where a line begins with them."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.lstrip().startswith(("#", ";", "[")) and (found := _ASSIGNMENT.match(line)):
            yield number, found[1], _unquoted(found[2])


def colons(text: str) -> Iterator[Line]:
    """`name: value` and `name!: value`, one a line."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.lstrip().startswith(("#", "<")) and (found := _COLON.match(line)):
            yield number, found[1], _unquoted(found[2])


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


def elements(text: str) -> list[Element]:
    """Every element: line, name, attributes and its own text. Raise NotXml, also for a document that declares entities:
    no telephone's does, and they can be made to fill the memory."""
    found: list[Element] = []
    open_ones: list[Element] = []
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def start(name: str, attributes: dict[str, str]) -> None:
        open_ones.append((parser.CurrentLineNumber, name, attributes, ""))

    def data(piece: str) -> None:
        if open_ones:
            line, name, attributes, so_far = open_ones[-1]
            open_ones[-1] = (line, name, attributes, so_far + piece)

    def end(_: str) -> None:
        found.append(open_ones.pop())

    def refuse(*_: object) -> None:
        raise NotXml("a document type is not read here", parser.CurrentLineNumber)

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(re.sub(r"^\s*<\?xml[^>]*\?>", "", text), True)
    except expat.ExpatError as error:
        raise NotXml(f"this is no XML: {expat.ErrorString(error.code)}", error.lineno) from error
    return sorted(found, key=lambda element: element[0])
