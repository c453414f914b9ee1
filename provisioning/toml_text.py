"""TOML as text: writing a tree, finding the line of a key, and reading what is sound of a broken file. Pure."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from appliance.config.syntax import line_of, remedy
from provisioning.draft import Note, Tree

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_HEADER: Final = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY: Final = re.compile(
    r"""\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|[A-Za-z0-9_-]+))*)\s*="""
)
_WHERE: Final = re.compile(r"\(at (?:line \d+, column \d+|end of document)\)")
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
_MOST_FAULTS: Final = 20


def dump(tree: Mapping[str, Any]) -> str:
    """`tree` as TOML: strings, numbers, truth values, lists and tables. What is None is left out."""
    return "\n".join(_table(tree, ())).strip("\n") + "\n" if tree else ""


def _table(tree: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    plain = {
        key: value for key, value in tree.items() if not isinstance(value, Mapping) and value is not None
    }
    tables = {key: value for key, value in tree.items() if isinstance(value, Mapping)}
    if path and (plain or not tables):
        yield f"\n[{'.'.join(map(_name, path))}]"
    for key, value in plain.items():
        yield f"{_name(key)} = {_value(value)}"
    for key, value in tables.items():
        yield from _table(value, (*path, key))


def _name(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_name(key)} = {_value(under)}" for key, under in value.items()) + "}"
    return _text(str(value))


def _text(text: str) -> str:
    return '"' + "".join(map(_character, text)) + '"'


def _character(one: str) -> str:
    if one in _ESCAPES:
        return _ESCAPES[one]
    return f"\\u{ord(one):04x}" if ord(one) < 0x20 or ord(one) == 0x7F else one


def read_sound(text: str) -> tuple[Tree, list[Note]]:
    """The tree of all lines that can be read, and a fault for each that cannot.

    A broken heading takes all that stands under it along: elsewhere it would mean something else.
    """
    lines = text.splitlines()
    notes: list[Note] = []
    while True:
        try:
            return tomllib.loads("\n".join(lines)), notes
        except tomllib.TOMLDecodeError as error:
            line = line_of(error, "\n".join(lines))
            notes.append(_fault(error, line, lines[line - 1] if line else ""))
            if len(notes) > _MOST_FAULTS or not _blank(lines, line):
                return {}, notes


def _blank(lines: list[str], line: int) -> bool:
    """Take out the statement at `line`; False where nothing is left to take out."""
    at = line - 1
    while at >= 0 and not lines[at].strip():
        at -= 1
    if at < 0:
        return False
    heading = lines[at].lstrip().startswith("[")
    lines[at] = ""
    if heading:
        for below in range(at + 1, len(lines)):
            if lines[below].lstrip().startswith("["):
                break
            lines[below] = ""
    return True


def _fault(error: tomllib.TOMLDecodeError, line: int, text: str) -> Note:
    reason = _WHERE.sub("", str(error)).strip()
    return Note(
        f"this line is not TOML: {reason[:1].lower()}{reason[1:]}",
        line=line,
        hint=remedy(text, reason),
        kind="fault",
    )


def lines_of(text: str) -> dict[str, int]:
    """The line of each dotted key and heading, counted from 1; of keys in inline tables that of the table."""
    found: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if heading := _HEADER.match(line):
            section = _plain(heading[1])
            found.setdefault(section, number)
        elif key := _KEY.match(line):
            found.setdefault(".".join(filter(None, [section, _plain(key[1])])), number)
    return found


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
