"""What a Gemini Live session begins with: its configuration, and the silent history. Pure.

Source: the Live API's BidiGenerateContentSetup, in the snake case in which the SDK takes it.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from appliance.interfaces import CalledTool, HistoryItem, Setup, ToolDeclaration, ToolResult
from appliance.providers.realtime.gemini.settings import Settings
from appliance.voice_names import wished

TOOL_TEXT_BOUND: Final = 4_000
Json = dict[str, Any]


def live_config(settings: Settings, setup: Setup, *, handle: str) -> Json:
    """The session's configuration: taken up by `handle`, or fresh, with a history to come where there is one."""
    config: Json = {
        "response_modalities": ["AUDIO"],
        "input_audio_transcription": _transcription(settings, setup),
        "output_audio_transcription": {},
        "session_resumption": {"handle": handle} if handle else {},
        "context_window_compression": _compression(settings),
        "realtime_input_config": _detection(settings, setup),
    }
    if setup.instructions:
        config["system_instruction"] = setup.instructions
    if speech := _speech(settings, setup):
        config["speech_config"] = speech
    if settings.temperature is not None:
        config["temperature"] = settings.temperature
    if setup.tools:
        config["tools"] = [{"function_declarations": [_declaration(tool) for tool in setup.tools]}]
    if setup.history and not handle:
        config["history_config"] = {"initial_history_in_client_content": True}
    return config


def server_turns(settings: Settings, setup: Setup) -> bool:
    """Whether the service finds the end of a turn: never while a key is pressed to talk."""
    return settings.turns == "server" and not setup.by_key


def seed(history: Sequence[HistoryItem | CalledTool]) -> list[Json]:
    """The history as turns of `client_content`; neighbours of one role become parts of one turn.

    Tool calls are told as text: a functionCall with the id of another session is refused by some models (1007, or
    1008 "entity was not found") and by none that is known is it needed.
    """
    turns: list[Json] = []
    for item in history:
        role, text = _told(item)
        if not text.strip():
            continue
        part = {"text": clean(text)}
        if turns and turns[-1]["role"] == role:
            turns[-1]["parts"].append(part)
        else:
            turns.append({"role": role, "parts": [part]})
    return turns


def told_result(call: CalledTool, result: ToolResult) -> str:
    """The result of a call that this session of the service does not know, as text that asks for the answer."""
    outcome = f"error: {result.error}" if result.error else json.dumps(dict(result.result), default=str)
    return f"[The tool call {_asked(call)} has returned: {outcome[:TOOL_TEXT_BOUND]} Go on with this result.]"


def clean(text: str) -> str:
    """Without lone surrogates, which are no UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _told(item: HistoryItem | CalledTool) -> tuple[str, str]:
    if isinstance(item, HistoryItem):
        return ("model" if item.role == "assistant" else "user"), item.text
    if item.outcome is None:
        return "user", f"[You called the tool {_asked(item)}; its result will follow.]"
    return "user", f"[You called the tool {_asked(item)}; it returned: {item.outcome[:TOOL_TEXT_BOUND]}]"


def _asked(call: CalledTool) -> str:
    return f"{call.tool}({call.arguments[:TOOL_TEXT_BOUND]})"


def _transcription(settings: Settings, setup: Setup) -> Json:
    language = settings.language or setup.language
    return {"language_codes": [language]} if language else {}


def _compression(settings: Settings) -> Json:
    # An empty sliding window takes the service's own trigger; without it a session ends after 15 minutes.
    config: Json = {"sliding_window": {}}
    if settings.compress_from_tokens is not None:
        config["trigger_tokens"] = settings.compress_from_tokens
    if settings.compress_to_tokens is not None:
        config["sliding_window"] = {"target_tokens": settings.compress_to_tokens}
    return config


def _detection(settings: Settings, setup: Setup) -> Json:
    if not server_turns(settings, setup):
        return {"automatic_activity_detection": {"disabled": True}}
    detection: Json = {"disabled": False}
    if settings.start_sensitivity:
        detection["start_of_speech_sensitivity"] = f"START_SENSITIVITY_{settings.start_sensitivity.upper()}"
    if settings.end_sensitivity:
        detection["end_of_speech_sensitivity"] = f"END_SENSITIVITY_{settings.end_sensitivity.upper()}"
    if settings.prefix_padding_ms is not None:
        detection["prefix_padding_ms"] = settings.prefix_padding_ms
    if settings.silence_ms is not None:
        detection["silence_duration_ms"] = settings.silence_ms
    # The appliance decides what interrupts: a cough must not cut the answer off at the service.
    return {"automatic_activity_detection": detection, "activity_handling": "NO_INTERRUPTION"}


def _speech(settings: Settings, setup: Setup) -> Json:
    config: Json = {}
    voice = wished(setup.voice, "gemini") or settings.voice
    if voice:
        config["voice_config"] = {"prebuilt_voice_config": {"voice_name": voice}}
    if settings.language:
        config["language_code"] = settings.language
    return config


def _declaration(tool: ToolDeclaration) -> Json:
    return {
        "name": tool.name,
        "description": tool.description,
        "parameters_json_schema": dict(tool.parameters),
        "behavior": "NON_BLOCKING",
    }
