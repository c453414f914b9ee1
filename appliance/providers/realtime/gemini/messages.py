"""The Live API's messages, one by one: what is sent as JSON text, and what is read out of what comes. Pure.

Source: the Live API's reference of BidiGenerateContent, in its own camel case.
"""

import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from appliance.frames import BYTES_PER_SAMPLE
from appliance.interfaces import Delivery
from appliance.providers.realtime.gemini.setup import clean

ACTIVITY_START: Final = '{"realtimeInput":{"activityStart":{}}}'
ACTIVITY_END: Final = '{"realtimeInput":{"activityEnd":{}}}'
AUDIO_STREAM_END: Final = '{"realtimeInput":{"audioStreamEnd":true}}'
OUTPUT_RATE: Final = 24_000
_RATES: Final = range(8_000, 48_001)
_AUDIO: Final = re.compile(r"^audio/(?:pcm|l16)\s*(?:;.*)?$", re.IGNORECASE)
_RATE: Final = re.compile(r";\s*rate=(\d{1,6})\b")
_SECONDS: Final = re.compile(r"^(-?\d{1,12}(?:\.\d{1,12})?)s$")
_NAME: Final = re.compile(r"[^A-Za-z0-9_]")
_LONGEST_SECONDS: Final = 3_600.0
_MOST_TOKENS: Final = 10_000_000


class Malformed(ValueError):
    """A field of a message makes no sense; the text says which, and never what stood in it."""


# --- to the service -----------------------------------------------------------------------------------------------


def audio(pcm: bytes, rate: int) -> str:
    """The hot path: 50 a second."""
    data = binascii.b2a_base64(pcm, newline=False).decode("ascii")
    return f'{{"realtimeInput":{{"audio":{{"data":"{data}","mimeType":"audio/pcm;rate={rate}"}}}}}}'


def realtime_text(text: str) -> str:
    return json.dumps({"realtimeInput": {"text": clean(text)}})


def content(text: str, *, complete: bool) -> str:
    """Something said by the user as text; `complete` asks for the answer."""
    turn = {"role": "user", "parts": [{"text": clean(text)}]}
    return json.dumps({"clientContent": {"turns": [turn], "turnComplete": complete}})


def history(turns: list[dict[str, Any]]) -> str:
    """The silent beginning of a session whose set-up announced it."""
    return json.dumps({"clientContent": {"turns": turns, "turnComplete": True}})


def function_response(call_id: str, name: str, result: Mapping[str, Any], error: str, scheduling: str) -> str:
    response: dict[str, Any] = {"error": clean(error)} if error else {"output": dict(result)}
    one = {"id": call_id, "name": name, "response": response, "scheduling": scheduling}
    return json.dumps({"toolResponse": {"functionResponses": [one]}}, default=str)


def scheduling(delivery: Delivery, *, speaking: bool) -> str:
    """When the service speaks about a result. While an answer is being made, "at once" must not cut its words off."""
    if delivery is Delivery.IMMEDIATE:
        return "WHEN_IDLE" if speaking else "INTERRUPT"
    return {
        Delivery.INTERRUPT: "INTERRUPT",
        Delivery.WHEN_IDLE: "WHEN_IDLE",
        Delivery.SILENT: "SILENT",
    }[delivery]


# --- from the service ---------------------------------------------------------------------------------------------


def parsed(raw: bytes | str) -> dict[str, Any]:
    """A message. Raise Malformed for what is no JSON object."""
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError):
        raise Malformed("a message is no JSON") from None
    if not isinstance(message, dict):
        raise Malformed("a message is no JSON object")
    return message


def completes_setup(raw: bytes | str) -> bool:
    """Whether a message, which may be anything, says that the session is set up."""
    try:
        return "setupComplete" in parsed(raw)
    except Malformed:
        return False


def mapping(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed(f"{name} is no object")
    return value


def sequence(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise Malformed(f"{name} is no list")
    return value


def words(transcription: Any, name: str) -> str:
    """The text of a transcription; empty where there is none."""
    text = mapping(transcription, name).get("text", "")
    if not isinstance(text, str):
        raise Malformed(f"the text of {name} is no text")
    return text


def rate_of(mime: Any) -> int:
    """The declared rate of a sound. Raise Malformed for another format or an absurd rate."""
    if mime is None:
        return OUTPUT_RATE
    if not isinstance(mime, str) or not _AUDIO.match(mime):
        raise Malformed("a sound is no PCM")
    declared = _RATE.search(mime)
    if declared is None:
        return OUTPUT_RATE
    rate = int(declared[1])
    if rate not in _RATES:
        raise Malformed("a sound declares an absurd rate")
    return rate


def samples(data: Any) -> tuple[bytes, bool]:
    """The whole samples of base64 text, and whether half a one was left over. Raise Malformed for what is no base64."""
    if not isinstance(data, str):
        raise Malformed("a sound is no base64")
    try:
        pcm = binascii.a2b_base64(data, strict_mode=True) if data else b""
    except ValueError:
        raise Malformed("a sound is no base64") from None
    # Half a sample is dropped, not carried over: after a stray byte everything else would be noise.
    odd = len(pcm) % BYTES_PER_SAMPLE
    return (pcm[:-1], True) if odd else (pcm, False)


def seconds(value: Any) -> float:
    """A duration as protobuf's JSON writes it ("9.5s"), or as an object of seconds and nanos; 0 to an hour."""
    if isinstance(value, str) and (match := _SECONDS.match(value)):
        found = float(match[1])
    elif isinstance(value, dict):
        found = _number(value.get("seconds", 0)) + _number(value.get("nanos", 0)) / 1e9
    else:
        raise Malformed("a duration is none")
    return min(max(found, 0.0), _LONGEST_SECONDS)


def tokens(usage: Mapping[str, Any], *names: str) -> int:
    """The sum of counts. Raise Malformed for what is no count."""
    total = 0
    for name in names:
        value = usage.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_TOKENS:
            raise Malformed(f"{name} is no count")
        total += value
    return total


def named(keys: list[str]) -> str:
    """Unknown keys, fit for a message: they come from outside."""
    return ", ".join(_NAME.sub("?", key)[:40] for key in sorted(keys)[:5])


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (OverflowError, TypeError, ValueError):
        raise Malformed("a duration is none") from None
    if number != number:
        raise Malformed("a duration is none")
    return number
