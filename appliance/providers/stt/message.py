"""The JSON that a service says over a socket."""

import json
from typing import Any, Final

MESSAGE_BOUND: Final = 1024 * 1024
"""Bytes of a message that is read."""


def decoded(raw: str | bytes) -> dict[str, Any] | None:
    """A message; None for what is no JSON object, or beyond the bound."""
    if len(raw) > MESSAGE_BOUND:
        return None
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None
