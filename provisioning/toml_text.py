"""TOML as text: writing a tree, and reading what is sound of a broken file. Pure."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from appliance.config.syntax import line_of, remedy
from provisioning.draft import Note, Tree

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
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
