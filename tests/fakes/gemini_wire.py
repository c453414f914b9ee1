"""What the Live API takes from a client, as tables: a field, a value or a form that is not here is refused."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any

Spec = Any
_SNAKE = re.compile(r"_([a-z0-9])")
_OPAQUE = frozenset({"parametersJsonSchema", "args", "response", "responseJsonSchema"})
_MIME = re.compile(r"^audio/pcm;rate=([1-9]\d{3,4})$")
_TOOL = re.compile(r"^[A-Za-z_][A-Za-z0-9_.:-]{0,127}$")
_LANGUAGE = re.compile(r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")


class Refused(Exception):
    """The service closes the connection with `code`."""

    def __init__(self, message: str, code: int = 1007) -> None:
        super().__init__(message)
        self.code = code


def camel(value: Any) -> Any:
    """Keys in the service's own case, down to what belongs to the user."""
    if isinstance(value, list):
        return [camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    made = {}
    for key, one in value.items():
        name = _SNAKE.sub(lambda found: found[1].upper(), key)
        if name in made:
            raise Refused(f"{name} stands twice")
        made[name] = one if name in _OPAQUE else camel(one)
    return made


def check(value: Any, spec: Spec, where: str) -> None:
    """Raise Refused unless `value` is what `spec` describes."""
    if isinstance(spec, dict):
        if not isinstance(value, Mapping):
            raise Refused(f"{where} is no object")
        for key, one in value.items():
            if key not in spec:
                raise Refused(f'Invalid JSON payload received. Unknown name "{key}" at "{where}"')
            check(one, spec[key], f"{where}.{key}")
    elif isinstance(spec, list):
        if not isinstance(value, list):
            raise Refused(f"{where} is no list")
        for place, one in enumerate(value):
            check(one, spec[0], f"{where}[{place}]")
    elif isinstance(spec, frozenset):
        if value not in spec:
            raise Refused(f"{where} is none of {sorted(spec)}")
    elif not spec(value):
        raise Refused(f"{where} is invalid")


def one_of(value: Mapping[str, Any], where: str) -> str:
    """The single key of a oneof."""
    if len(value) != 1:
        raise Refused(f"{where} must have exactly one field, not {sorted(value)}")
    return next(iter(value))


def pcm_of(audio: Mapping[str, Any]) -> tuple[bytes, int]:
    """The samples of an audio blob and their rate."""
    declared = _MIME.match(str(audio.get("mimeType", "")))
    if declared is None or not 8_000 <= int(declared[1]) <= 48_000:
        raise Refused("realtimeInput.audio.mimeType is malformed")
    try:
        pcm = base64.b64decode(str(audio.get("data", "")), validate=True)
    except binascii.Error:
        raise Refused("realtimeInput.audio.data is no base64") from None
    if not pcm or len(pcm) % 2:
        raise Refused("realtimeInput.audio.data holds no whole samples")
    return pcm, int(declared[1])


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _full_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _true(value: Any) -> bool:
    return value is True


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _schema(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == "object"


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _matching(form: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and bool(form.match(value))


PART = {"text": _full_text}
SETUP = {
    "model": _matching(re.compile(r"^models/.+")),
    "generationConfig": {
        "responseModalities": [frozenset({"AUDIO"})],
        "temperature": _number,
        "topP": _number,
        "topK": _number,
        "maxOutputTokens": _count,
        "seed": _count,
        "mediaResolution": _text,
        "thinkingConfig": {"includeThoughts": _flag, "thinkingBudget": _number, "thinkingLevel": _text},
        "speechConfig": {
            "voiceConfig": {"prebuiltVoiceConfig": {"voiceName": _full_text}},
            "languageCode": _matching(_LANGUAGE),
        },
    },
    "systemInstruction": {"parts": [PART], "role": frozenset({"user", "system"})},
    "tools": [
        {
            "functionDeclarations": [
                {
                    "name": _matching(_TOOL),
                    "description": _text,
                    "parameters": _object,
                    "parametersJsonSchema": _schema,
                    "behavior": frozenset({"BLOCKING", "NON_BLOCKING"}),
                }
            ]
        }
    ],
    "sessionResumption": {"handle": _full_text},
    "contextWindowCompression": {"triggerTokens": _count, "slidingWindow": {"targetTokens": _count}},
    "inputAudioTranscription": {
        "languageCodes": [_matching(_LANGUAGE)],
        "customVocabulary": [_text],
    },
    "outputAudioTranscription": {"languageCodes": [_matching(_LANGUAGE)]},
    "realtimeInputConfig": {
        "automaticActivityDetection": {
            "disabled": _flag,
            "startOfSpeechSensitivity": frozenset({"START_SENSITIVITY_HIGH", "START_SENSITIVITY_LOW"}),
            "endOfSpeechSensitivity": frozenset({"END_SENSITIVITY_HIGH", "END_SENSITIVITY_LOW"}),
            "prefixPaddingMs": _count,
            "silenceDurationMs": _count,
        },
        "activityHandling": frozenset({"START_OF_ACTIVITY_INTERRUPTS", "NO_INTERRUPTION"}),
        "turnCoverage": frozenset({"TURN_INCLUDES_ONLY_ACTIVITY", "TURN_INCLUDES_ALL_INPUT"}),
    },
    "proactivity": {"proactiveAudio": _flag},
    "historyConfig": {"initialHistoryInClientContent": _flag},
}
MESSAGES = {
    "setup": SETUP,
    "realtimeInput": {
        "audio": {"data": _text, "mimeType": _text},
        "text": _full_text,
        "activityStart": {},
        "activityEnd": {},
        "audioStreamEnd": _true,
    },
    "clientContent": {
        "turns": [{"role": frozenset({"user", "model"}), "parts": [PART]}],
        "turnComplete": _flag,
    },
    "toolResponse": {
        "functionResponses": [
            {
                "id": _full_text,
                "name": _full_text,
                "response": _object,
                "scheduling": frozenset({"INTERRUPT", "WHEN_IDLE", "SILENT"}),
                "willContinue": _flag,
            }
        ]
    },
}
