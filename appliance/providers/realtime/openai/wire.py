"""The JSON of the protocol: client events as text, server events as mappings. Pure."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, Final

MESSAGE_BOUND: Final = 2 * 1024 * 1024
"""Bytes of a message that is read. The longest audio delta is a tenth of that."""


class Malformed(Exception):
    """What came cannot be used. `code` is stable; the message repeats nothing of what came."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def event(kind: str, event_id: str = "", **fields: Any) -> str:
    """A client event. Lone surrogates, which no socket takes, become question marks."""
    named = {"type": kind, **({"event_id": event_id} if event_id else {}), **fields}
    text = json.dumps(named, default=str)
    return _without_surrogates(named) if "\\ud" in text else text


def append(pcm: bytes) -> str:
    """`input_audio_buffer.append`, written without a JSON encoder: it goes out fifty times a second."""
    return f'{{"type":"input_audio_buffer.append","audio":"{base64.b64encode(pcm).decode("ascii")}"}}'


def decode(raw: bytes) -> Mapping[str, Any]:
    """A server event: a mapping with a `type`. Raise Malformed for anything else."""
    if len(raw) > MESSAGE_BOUND:
        raise Malformed("message_too_big", f"a message of {len(raw)} bytes was not read")
    try:
        decoded = json.loads(raw)
    except (ValueError, RecursionError):
        raise Malformed("invalid_json", "a message was no JSON") from None
    if not isinstance(decoded, dict) or not isinstance(decoded.get("type"), str):
        raise Malformed("invalid_event", "a message was no event")
    return decoded


def pcm(encoded: object) -> bytes:
    """The bytes of an audio delta, any number. Raise Malformed where it is no base64."""
    try:
        return base64.b64decode(encoded, validate=True)  # type: ignore[arg-type]
    except (binascii.Error, TypeError, ValueError):
        raise Malformed("invalid_audio", "a piece of audio was no base64") from None


def text(event: Mapping[str, Any], name: str) -> str:
    """A field that must be text. Raise Malformed where it is not."""
    value = event.get(name)
    if not isinstance(value, str):
        raise Malformed("invalid_event", f"an event had no {name}")
    return value


def name(event: Mapping[str, Any], field: str) -> str:
    """A field that must be a name: text, and not empty."""
    value = text(event, field)
    if not value:
        raise Malformed("invalid_event", f"an event had an empty {field}")
    return value


def mapping(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A field that must be an object. Raise Malformed where it is not."""
    value = event.get(name)
    if not isinstance(value, dict):
        raise Malformed("invalid_event", f"an event had no {name}")
    return value


def number(event: Mapping[str, Any], name: str) -> float:
    """A count or length; 0 where there is none. Raise Malformed for what is negative, absurd or no number."""
    value = event.get(name)
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise Malformed("invalid_number", f"an event had a senseless {name}")
    return float(value)


def _without_surrogates(value: Any) -> str:
    plain = json.dumps(value, default=str, ensure_ascii=False)
    return plain.encode("utf-8", "replace").decode("utf-8")
