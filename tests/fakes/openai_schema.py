"""What OpenAI Realtime takes from a client: its events, field by field. What it does not know it refuses."""

from collections.abc import Callable, Mapping
from typing import Any

RATE = 24_000
VOICES = frozenset({"alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"})
TRANSCRIBERS = frozenset({"gpt-transcribe", "gpt-live-transcribe", "gpt-4o-transcribe", "whisper-1"})


class Refused(Exception):
    """The service answers a client event with an error."""

    def __init__(self, code: str, message: str, param: str = "", kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.kind = kind


Check = Callable[[Any, str], None]


def _one_of(*allowed: object) -> Check:
    def check(value: Any, path: str) -> None:
        if isinstance(value, bool) != any(isinstance(one, bool) for one in allowed) or value not in allowed:
            raise Refused("invalid_value", f"Invalid value: {value!r}.", path)

    return check


def _typed(*kinds: type) -> Check:
    def check(value: Any, path: str) -> None:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise Refused("invalid_type", f"Invalid type for '{path}'.", path)

    return check


def _between(low: float, high: float) -> Check:
    def check(value: Any, path: str) -> None:
        _typed(int, float)(value, path)
        if not low <= value <= high:
            raise Refused("invalid_value", f"'{path}' is out of range.", path)

    return check


def _maybe(check: Check) -> Check:
    return lambda value, path: None if value is None else check(value, path)


def _list_of(check: Check) -> Check:
    def all_of(value: Any, path: str) -> None:
        _typed(list)(value, path)
        for index, one in enumerate(value):
            check(one, f"{path}[{index}]")

    return all_of


def _object(fields: Mapping[str, Check], *needed: str) -> Check:
    def check(value: Any, path: str) -> None:
        _typed(dict)(value, path)
        for key, one in value.items():
            where = f"{path}.{key}" if path else key
            if key not in fields:
                raise Refused("unknown_parameter", f"Unknown parameter: '{where}'.", where)
            fields[key](one, where)
        for key in needed:
            if key not in value:
                raise Refused(
                    "missing_required_parameter", f"Missing required parameter: '{path}.{key}'.", path
                )

    return check


_text = _typed(str)
_flag = _typed(bool)


def _form(value: Any, path: str) -> None:
    _object({"type": _text, "rate": _typed(int)}, "type")(value, path)
    if value["type"] == "audio/pcm":
        _one_of(RATE)(value.get("rate"), f"{path}.rate")
    else:
        _one_of("audio/pcmu", "audio/pcma")(value["type"], f"{path}.type")


def _turn_detection(value: Any, path: str) -> None:
    _typed(dict)(value, path)
    common = {"type": _text, "create_response": _flag, "interrupt_response": _flag}
    if value.get("type") == "server_vad":
        own: dict[str, Check] = {
            "threshold": _between(0, 1),
            "prefix_padding_ms": _typed(int),
            "silence_duration_ms": _typed(int),
            "idle_timeout_ms": _maybe(_typed(int)),
        }
    else:
        _one_of("semantic_vad")(value.get("type"), f"{path}.type")
        own = {"eagerness": _one_of("low", "medium", "high", "auto")}
    _object({**common, **own})(value, path)


def _voice(value: Any, path: str) -> None:
    """One of the service's own by its name, or one that was made for the account, by its id."""
    if isinstance(value, dict):
        _object({"id": _text}, "id")(value, path)
        if not value["id"].startswith("voice_"):
            raise Refused("invalid_value", "No such voice.", f"{path}.id")
    else:
        _one_of(*VOICES)(value, path)


_function = _object(
    {"type": _one_of("function"), "name": _text, "description": _text, "parameters": _typed(dict)},
    "type",
    "name",
)
_modalities = _list_of(_one_of("audio", "text"))
_session = _object(
    {
        "type": _one_of("realtime"),
        "instructions": _text,
        "output_modalities": _modalities,
        "audio": _object(
            {
                "input": _object(
                    {
                        "format": _form,
                        "transcription": _maybe(
                            _object(
                                {
                                    "model": _one_of(*TRANSCRIBERS),
                                    "language": _text,
                                    "prompt": _text,
                                    "keywords": _list_of(_text),
                                }
                            )
                        ),
                        "noise_reduction": _maybe(
                            _object(
                                {"type": _one_of("near_field", "far_field"), "strength": _between(0, 1)},
                                "type",
                            )
                        ),
                        "turn_detection": _maybe(_turn_detection),
                    }
                ),
                "output": _object({"format": _form, "voice": _voice, "speed": _between(0.25, 1.5)}),
            }
        ),
        "tools": _list_of(_function),
        "tool_choice": _typed(str, dict),
        "parallel_tool_calls": _flag,
        "reasoning": _object({"effort": _one_of("minimal", "low", "medium", "high", "xhigh")}),
        "max_output_tokens": _typed(int, str),
        "truncation": _typed(str, dict),
        "tracing": _maybe(_typed(str, dict)),
    },
    "type",
)
_content = {
    "user": _object({"type": _one_of("input_text", "input_audio"), "text": _text, "audio": _text}, "type"),
    "assistant": _object({"type": _one_of("output_text"), "text": _text}, "type", "text"),
    "system": _object({"type": _one_of("input_text"), "text": _text}, "type", "text"),
}
_named = {"id": _text, "type": _text, "status": _text, "object": _one_of("realtime.item")}


def _item(value: Any, path: str) -> None:
    _typed(dict)(value, path)
    kind = value.get("type")
    if kind == "message":
        _one_of(*_content)(value.get("role"), f"{path}.role")
        _object({**_named, "role": _text, "content": _list_of(_content[value["role"]])}, "content")(
            value, path
        )
    elif kind == "function_call":
        _object({**_named, "call_id": _text, "name": _text, "arguments": _text}, "name", "arguments")(
            value, path
        )
    elif kind == "function_call_output":
        _object({**_named, "call_id": _text, "output": _text}, "call_id", "output")(value, path)
    else:
        raise Refused("invalid_value", "Invalid item type.", f"{path}.type")


_response = _object(
    {
        "metadata": _maybe(_typed(dict)),
        "instructions": _text,
        "output_modalities": _modalities,
        "conversation": _one_of("auto", "none"),
        "input": _list_of(_item),
        "tools": _list_of(_function),
        "tool_choice": _typed(str, dict),
        "max_output_tokens": _typed(int, str),
        "audio": _object({"output": _object({"voice": _voice, "format": _form})}),
    }
)
EVENTS: dict[str, Check] = {
    "session.update": _object({"session": _session}, "session"),
    "input_audio_buffer.append": _object({"audio": _text}, "audio"),
    "input_audio_buffer.commit": _object({}),
    "input_audio_buffer.clear": _object({}),
    "conversation.item.create": _object({"item": _item, "previous_item_id": _maybe(_text)}, "item"),
    "conversation.item.delete": _object({"item_id": _text}, "item_id"),
    "conversation.item.truncate": _object(
        {"item_id": _text, "content_index": _typed(int), "audio_end_ms": _typed(int)},
        "item_id",
        "content_index",
        "audio_end_ms",
    ),
    "response.create": _object({"response": _response}),
    "response.cancel": _object({"response_id": _text}),
}
