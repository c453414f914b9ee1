"""What people leave standing where a password or key belongs: "...", "sk-...", "changeme", "your key here". Pure."""

import re
from typing import Final

MESSAGE: Final = "this stands for a secret, and is none"
_WHAT: Final = "(?:key|password|passphrase|passwort|secret|token|pin)"
_LEFT_OUT: Final = re.compile(r"[.…]{2,}|…|x{3,}|\*{3,}|\?{2,}|_{2,}|-{2,}")
_CUT_SHORT: Final = re.compile(r"(?:sk-|aiza|\$\d\$).*(?:\.\.\.|…|x{4,})")
_TO_BE_FILLED: Final = re.compile(r"<[a-z][a-z0-9 _.-]*>|\{\{.*\}\}|\$\{\w+\}|%[a-z_]+%")
_WORDS: Final = re.compile(
    rf"(?:please )?(?:change|replace) ?(?:me|this|it)(?: now| please)?"
    rf"|(?:sk )?(?:(?:put|insert|enter|type|paste|add|fill in) )?your(?: \w+){{0,4}} ?{_WHAT}(?: goes)?(?: here)?"
    rf"|(?:insert|enter|paste)(?: api)? {_WHAT}"
    rf"|(?:\w+ ){{0,5}}{_WHAT}(?: goes)? here"
    rf"|(?:put |insert |enter )?your own(?: here)?|to ?do|tbd|fix ?me|placeholder|to be (?:filled in|done|set)"
)


def is_placeholder(text: str) -> bool:
    """Whether `text`, given as a secret, only keeps the place of one."""
    plain = text.strip().lower()
    if any(pattern.fullmatch(plain) for pattern in (_LEFT_OUT, _CUT_SHORT, _TO_BE_FILLED)):
        return True
    return _WORDS.fullmatch(" ".join(re.split(r"[\s_.!-]+", plain.strip("<>[]{}()'\"!. ")))) is not None


def remedy(key: str) -> str:
    """What to write in place of one, under the dotted `key`."""
    return f"put the real {_name(key)} in its place, or take the line out"


def _name(key: str) -> str:
    last = key.rpartition(".")[2]
    return next((word for word in ("password", "token", "pin", "secret") if word in last), "key")
