"""What a connection begins with: the session's configuration, and the conversation so far. Pure."""

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from appliance.interfaces import CalledTool, HistoryItem, LineKind, Setup
from appliance.providers.realtime.openai import wire
from appliance.providers.realtime.openai.settings import DEFAULT_VOICE, Settings
from appliance.voice_names import openai_voice, wished

RATE: Final = 24_000
"""The only rate of the service's linear PCM."""
_PCM: Final = {"type": "audio/pcm", "rate": RATE}
SETUP_EVENT: Final = "setup"
LONGEST_NAME: Final = 32
"""Of an item or a call: the service refuses a longer one (string_above_max_length)."""
FIRST_PLACE: Final = "root"
"""What the service calls the place before the first item."""


def server_turns(settings: Settings, setup: Setup) -> bool:
    """Whether the service ends the turns of this connection."""
    return settings.turns != "local" and not setup.by_key


def session_update(settings: Settings, setup: Setup) -> str:
    session: dict[str, Any] = {
        "type": "realtime",
        "output_modalities": [settings.output],
        "audio": {"input": _input(settings, setup), "output": _output(settings, setup)},
        "tools": [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.parameters),
            }
            for tool in setup.tools
        ],
        "tool_choice": "auto",
    }
    if setup.instructions:
        session["instructions"] = setup.instructions
    if settings.reasoning:
        session["reasoning"] = {"effort": settings.reasoning}
    if settings.max_output_tokens:
        session["max_output_tokens"] = settings.max_output_tokens
    return wire.event("session.update", SETUP_EVENT, session=session)


@dataclass(frozen=True, slots=True)
class Recalled:
    """An answer of the history that sounds still: its item, and the one before it."""

    item_id: str
    before: str


def replay(setup: Setup) -> Iterator[str]:
    """The conversation so far, as items: nothing of it is answered."""
    for item in _past(setup):
        yield wire.event("conversation.item.create", item=item)


def sounding(setup: Setup) -> dict[str, Recalled]:
    """By the response's name, what of the history may yet be cut to what was heard."""
    found: dict[str, Recalled] = {}
    before = FIRST_PLACE
    for entry, items in _numbered(setup):
        if isinstance(entry, HistoryItem) and entry.response and items:
            found[entry.response] = Recalled(items[0]["id"], before)
        before = items[-1]["id"] if items else before
    return found


def message(role: str, said: str) -> dict[str, Any]:
    """A message item: `role` user or assistant."""
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": said}]}


def outcome(call_id: str, text: str) -> dict[str, Any]:
    """The item with a tool's result; `text` is JSON."""
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def call_names(setup: Setup) -> Mapping[str, str]:
    """What the service calls the calls of the history; another provider's may have longer names than it takes."""
    return {entry.call_id: _call_name(entry) for entry in setup.history if isinstance(entry, CalledTool)}


def _call_name(entry: CalledTool) -> str:
    if len(entry.call_id) <= LONGEST_NAME:
        return entry.call_id
    return hashlib.sha256(entry.call_id.encode("utf-8", "replace")).hexdigest()[:LONGEST_NAME]


def _past(setup: Setup) -> Iterator[Mapping[str, Any]]:
    for _, items in _numbered(setup):
        yield from items


def _numbered(setup: Setup) -> Iterator[tuple[HistoryItem | CalledTool, list[dict[str, Any]]]]:
    """Each entry of the history with its items, which we name ourselves."""
    numbers = itertools.count(1)
    for entry in setup.history:
        yield entry, [{"id": f"past_{next(numbers)}", **item} for item in _items(entry)]


def _items(entry: HistoryItem | CalledTool) -> Iterator[dict[str, Any]]:
    if isinstance(entry, HistoryItem):
        if entry.text.strip():
            yield message("assistant" if entry.role == "assistant" else "user", entry.text)
        return
    yield {
        "type": "function_call",
        "call_id": _call_name(entry),
        "name": entry.tool,
        "arguments": entry.arguments,
    }
    if entry.outcome is not None:
        yield outcome(_call_name(entry), entry.outcome)


def _input(settings: Settings, setup: Setup) -> dict[str, Any]:
    return {
        "format": _PCM,
        "transcription": _transcription(settings, setup),
        "noise_reduction": _noise_reduction(settings, setup),
        "turn_detection": _turn_detection(settings, setup),
    }


def _output(settings: Settings, setup: Setup) -> dict[str, Any]:
    speed = {} if settings.speed == 1.0 else {"speed": settings.speed}
    voice = wished(setup.voice, "openai") or settings.voice or DEFAULT_VOICE
    return {"format": _PCM, "voice": openai_voice(voice), **speed}


def _transcription(settings: Settings, setup: Setup) -> dict[str, str] | None:
    if settings.transcription_model == "off":
        return None
    language = (settings.language or setup.language).partition("-")[0].lower()
    return {"model": settings.transcription_model, **({"language": language} if language else {})}


def _noise_reduction(settings: Settings, setup: Setup) -> dict[str, str] | None:
    if settings.noise_reduction == "off":
        return None
    if settings.noise_reduction != "auto":
        return {"type": settings.noise_reduction}
    return {"type": "far_field" if setup.line_kind is LineKind.ROOM else "near_field"}


def _turn_detection(settings: Settings, setup: Setup) -> dict[str, Any] | None:
    """The device silences itself at an onset, so the service never interrupts."""
    if not server_turns(settings, setup):
        return None
    answers = {"create_response": True, "interrupt_response": False}
    if settings.turns == "server":
        return {"type": "server_vad", **answers}
    return {"type": "semantic_vad", "eagerness": settings.eagerness, **answers}
