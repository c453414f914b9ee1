"""What to do about a line that is not TOML: the mistakes of people who write their first file. Pure."""

import re
import tomllib
from typing import Final

GENERAL: Final = "text needs quotes, lists need brackets, tables a heading as [sip]"
UTF_8: Final = 'save it as "UTF-8" in the editor'
_CURLY: Final = re.compile("[\u201c\u201d\u201e\u201f\u2018\u2019\u00ab\u00bb]")
_HEADING: Final = re.compile(r"\s*\[{1,2}[^\]=\"']*(#.*)?$")
_COLON: Final = re.compile(r"\s*[A-Za-z0-9_-]+\s*:(?!\S*=)")
_BLANKS: Final = re.compile(r"\s*[A-Za-z0-9_-]+(\s+[A-Za-z0-9_-]+)+\s*=")
_SWITCH: Final = re.compile(r"=\s*(yes|no|on|off|true|false)\s*(#.*)?$", re.IGNORECASE)
_BARE: Final = re.compile(r"=\s*[^\s\"'\[{#]")
_WHERE: Final = re.compile(r"\(at line (\d+), column \d+\)")
_REMEDIES: Final = (
    (_HEADING, "a heading needs both its brackets, as [sip]"),
    (_COLON, "write an equals sign in place of the colon: key = value"),
    (_BLANKS, "the name of a key has no blanks; see docs/configuration.md for its spelling"),
    (_SWITCH, "write true or false, in small letters"),
    (_BARE, 'text needs quotes: key = "value"'),
)


def remedy(line: str, reason: str) -> str:
    """What to write instead. `line` is the one that the reader stopped at, `reason` its message."""
    if _CURLY.search(line):
        return 'write straight quotes, "; those that a word processor makes are others'
    if "Cannot declare" in reason or "Cannot overwrite" in reason:
        return "it stands here already: put both together, each heading and each key once"
    return next((told for pattern, told in _REMEDIES if pattern.search(line)), GENERAL)


def line_of(error: tomllib.TOMLDecodeError, text: str) -> int:
    """The line of `text`, counted from 1, that the reader stopped at: the last one where the end is what it did not
    expect; 0 of a text without lines."""
    found = _WHERE.search(str(error))
    last = len(text.splitlines())
    return min(int(found[1]), last) if found else last
