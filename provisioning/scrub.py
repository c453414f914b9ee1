"""Takes secrets out of a boot file once they are in force: # signs over them, in the same bytes of the card.

The partition is FAT: no rights, and whoever holds the card reads it. A file keeps its length, so that what is written
goes where the secret was; what a card keeps of worn-out blocks nobody can reach from here (docs/security.md). Pure but
for `overwrite`.
"""

import json
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final
from urllib.parse import quote
from xml.sax.saxutils import escape

_KEY: Final = re.compile(r"^[\s\-{]*[\"']?([\w.-]+)[\"']?\s*[:=]")
_SECRET_KEY: Final = re.compile(r"pass|psk|secret|token|api_key|pin|key", re.IGNORECASE)
_HEAD: Final = r"""([\w.-]*(?i:pass|psk|secret|token|api_key|pin|key)[\w.-]*["']?\s*[=:]\s*["']{0,3})"""
"""A key that says that a secret follows, anywhere in a line: in a table within braces, or behind a semicolon."""
_VALUE: Final = r"""([=:>]\s*["']{0,3})"""
TAKEN: Final = "#"
"""What stands for each byte of a secret; an asterisk would be an alias to YAML."""
_SHORT: Final = 6
"""A secret so short may be part of another word: it is looked for only where the line's key says that it is one."""


def scrubbed(text: str, secrets: Iterable[str], known: Collection[int] = ()) -> str:
    """`text` with # signs over `secrets`, byte for byte as long; however TOML, YAML, XML or JSON have to write them.

    `known` are lines, counted from 1, of which it is known that one stands there.
    """
    forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
    lines = text.splitlines(keepends=True)
    result = "".join(_line(line, forms, known=number in known) for number, line in enumerate(lines, 1))
    for form in forms:
        if len(form) >= _SHORT:
            result = result.replace(form, _blanks(form))
    return result


def blanked(text: str, lines: Collection[int]) -> str:
    """`text` with # signs all over `lines`, counted from 1."""
    return "".join(
        _blanks(line.rstrip("\r\n")) + line[len(line.rstrip("\r\n")) :] if number in lines else line
        for number, line in enumerate(text.splitlines(keepends=True), 1)
    )


def _line(line: str, forms: list[str], *, known: bool) -> str:
    found = _KEY.match(line)
    if found is not None and _SECRET_KEY.search(found[1]):
        head, line = line[: found.end()], line[found.end() :]
        for form in forms:
            line = line.replace(form, _blanks(form))
        return head + line
    for form in forms:
        there = _after(_HEAD, form, line)
        line = _after(_VALUE, form, line) if known and there == line else there
    return line


def _after(head: str, form: str, line: str) -> str:
    place = re.compile(head + re.escape(form) + r"(?!\w)")
    return place.sub(lambda found: found[1] + _blanks(form), line)


def _forms(secret: str) -> set[str]:
    if not secret:
        return set()
    escaped = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    markup = {escape(secret), escape(secret, {'"': "&quot;"}), escape(secret, {'"': "&quot;", "'": "&apos;"})}
    return {secret, *escaped, *markup, quote(secret, safe=""), secret.replace("'", "''")}


def _blanks(form: str) -> str:
    return TAKEN * len(form.encode())


def is_taken_over(value: object) -> bool:
    """Whether a secret stood here that was taken over at an earlier start."""
    return isinstance(value, str) and len(value) > 0 and not value.strip(TAKEN)


def overwrite(path: Path, text: str) -> None:
    """Write `text` over the bytes that are there, and see that they reach the card. Raises OSError."""
    data = text.encode()
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
