"""Where a key stands in a file in TOML: faults are told with their lines. Pure."""

import re
from collections.abc import Mapping
from typing import Final

_HEADER: Final = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY: Final = re.compile(
    r"""\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|[A-Za-z0-9_-]+))*)\s*="""
)
_MARKS: Final = ('"""', "'''")


def lines_of(text: str) -> dict[str, int]:
    """The line of each dotted key and heading, counted from 1; of keys in inline tables that of the table."""
    found: dict[str, int] = {}
    section, lines, end = "", text.splitlines(), 0
    for number, line in enumerate(lines, 1):
        if number <= end:
            continue
        if heading := _HEADER.match(line):
            section = _plain(heading[1])
            found.setdefault(section, number)
        elif key := _KEY.match(line):
            found.setdefault(".".join(filter(None, [section, _plain(key[1])])), number)
            end = _end_of_text(lines, number)
    return found


def _end_of_text(lines: list[str], number: int) -> int:
    """The last line of a text of several lines that begins in line `number`; 0 where none does, or it has no end."""
    mark = next((mark for mark in _MARKS if lines[number - 1].count(mark) % 2), None)
    if mark is None:
        return 0
    return next((at for at, line in enumerate(lines[number:], number + 1) if mark in line), 0)


def heading_above(text: str, line: int) -> str:
    """The table that `line`, counted from 1, stands in; "" before the first heading, and of a heading itself."""
    lines = text.splitlines()[: max(line, 0)]
    if lines and lines[-1].lstrip().startswith("["):
        return ""
    return next((_plain(found[1]) for above in reversed(lines) if (found := _HEADER.match(above))), "")


def _plain(key: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in key.split("."))


def nearest_line(lines: Mapping[str, int], key: str) -> int:
    """The line of `key`, or of the nearest table above it; 0 where nothing of it stands in the text."""
    parts = key.split(".")
    return next(
        (lines[found] for end in range(len(parts), 0, -1) if (found := ".".join(parts[:end])) in lines), 0
    )
