"""Takes secrets out of a boot file once they are in force: # signs over them, in the same bytes of the card.

The partition is FAT: no rights, and whoever holds the card reads it. A file keeps its length, so that what is written
goes where the secret was; what a card keeps of worn-out blocks nobody can reach from here (docs/security.md). Pure but
for `overwrite`.
"""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_KEY: Final = re.compile(r"^[\s\-{]*[\"']?([\w.-]+)[\"']?\s*[:=]")
_SECRET_KEY: Final = re.compile(r"pass|psk|secret|token|api_key|pin|key", re.IGNORECASE)
TAKEN: Final = "#"
"""What stands for each byte of a secret; an asterisk would be an alias to YAML."""
_SHORT: Final = 6
"""A secret so short may be part of another word: it is looked for only where the line's key says that it is one."""


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """`text` with # signs over `secrets`, byte for byte as long; however TOML, YAML or JSON have to write them."""
    forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
    lines = [_line(line, forms) for line in text.splitlines(keepends=True)]
    result = "".join(lines)
    for form in forms:
        if len(form) >= _SHORT:
            result = result.replace(form, _blanks(form))
    return result


def _line(line: str, forms: list[str]) -> str:
    found = _KEY.match(line)
    if found is None or not _SECRET_KEY.search(found[1]):
        return line
    head, value = line[: found.end()], line[found.end() :]
    for form in forms:
        value = value.replace(form, _blanks(form))
    return head + value


def _forms(secret: str) -> set[str]:
    if not secret:
        return set()
    escaped = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return {secret, *escaped, secret.replace("'", "''")}


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
