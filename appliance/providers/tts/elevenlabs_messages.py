"""What is said to ElevenLabs' multi-context socket, and what its messages mean. Pure.

What we say is in snake_case; what comes is in camelCase, and `is_final` has been seen as well. A context says that it
is over only when it was closed. One that is closed before its first sound may be forgotten: so it is closed after that.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

from pydantic import Field

from appliance import link_faults
from appliance.config.services import ServiceSettings
from appliance.errors import ApplianceError, ProviderUnavailable
from appliance.providers.tts.plain import nearest_rate, plain, portions, primary, untagged
from appliance.providers.tts.utterance import Utterance, listed, seconds
from appliance.stages import Piece
from appliance.voice_names import wished

NAME: Final = "elevenlabs"
HOST: Final = "api.elevenlabs.io"
DEFAULT_VOICE: Final = "JBFqnCBsd6RMkjVDRZzb"
CONTEXTS: Final = 5
"""More on one socket, and the service closes it."""
RATES: Final = (8_000, 16_000, 22_050, 24_000, 44_100)
LONGEST_TEXT: Final = 1_000
"""Characters a message: a longer text comes in several messages of one context."""
INACTIVITY_SECONDS: Final = 180
"""The longest that the service keeps a context of which it hears nothing."""
_STATUS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("invalid_api_key", "missing_permissions", "authentication_error", "unauthorized"), 401),
    **dict.fromkeys(("quota_exceeded", "payment_required"), 402),
    **dict.fromkeys(("rate_limit_exceeded", "too_many_concurrent_requests", "system_busy"), 429),
    **dict.fromkeys(("voice_id_does_not_exist", "voice_not_found", "invalid_voice_id"), 404),
    **dict.fromkeys(("model_not_found", "model_id_does_not_exist", "unsupported_model"), 404),
    **dict.fromkeys(("unsupported_language", "output_format_not_allowed", "invalid_output_format"), 404),
}
_UNAVAILABLE: Final = ("max_active_conversations", "input_timeout_exceeded", "internal_server_error")


class ElevenLabsSettings(ServiceSettings):
    """`[providers.elevenlabs]`. What is not set is the voice's own."""

    model: str = "eleven_flash_v2_5"
    voice: str = DEFAULT_VOICE
    language: str = ""
    """Empty: the conversation's."""
    stability: float | None = Field(default=None, ge=0, le=1)
    similarity_boost: float | None = Field(default=None, ge=0, le=1)
    style: float | None = Field(default=None, ge=0, le=1)
    speed: float | None = Field(default=None, ge=0.7, le=1.2)
    highest_rate: int = Field(default=24_000, ge=8_000)
    """Hertz: 44100 is only for the larger plans."""
    parallel: int = Field(default=3, ge=1, le=CONTEXTS)
    """Pieces at once; the plan limits them too."""


class ElevenLabsDialect:
    """Implements link.Dialect."""

    name = NAME
    contexts = CONTEXTS
    lingering = True

    def __init__(self, settings: ElevenLabsSettings) -> None:
        self._settings = settings
        self._rates = [rate for rate in RATES if rate <= settings.highest_rate]

    def utterance(self, piece: Piece) -> Utterance:
        return Utterance(NAME, piece, untagged(plain(piece.text)), nearest_rate(self._rates, piece.rate))

    def address(self, utterance: Utterance) -> str:
        """Path and query of the socket that speaks it: pieces with the same share one."""
        settings, piece = self._settings, utterance.piece
        query = {
            "model_id": settings.model,
            "output_format": f"pcm_{utterance.rate}",
            "auto_mode": "true",
            "sync_alignment": "true",
            "inactivity_timeout": str(INACTIVITY_SECONDS),
        }
        language = primary(settings.language or piece.language)
        if language and settings.model.endswith("_v2_5"):  # the others refuse it
            query["language_code"] = language
        voice = quote(wished(piece.voice, NAME) or settings.voice, safe="")
        return f"/v1/text-to-speech/{voice}/multi-stream-input?{urlencode(query)}"

    def ask(self, context: str, utterance: Utterance) -> Sequence[Mapping[str, Any]]:
        voice = {"voice_settings": found} if (found := self._voice_settings()) else {}
        parts = portions(utterance.text, LONGEST_TEXT)
        return [
            {"text": " ", "context_id": context, **voice},
            *({"text": part, "context_id": context} for part in parts[:-1]),
            {"text": f"{parts[-1].rstrip()} ", "context_id": context, "flush": True},
        ]

    def cancel(self, context: str) -> Sequence[Mapping[str, Any]]:
        return [_close(context)]

    def context(self, message: Mapping[str, Any]) -> str | None:
        found = message.get("contextId", message.get("context_id"))
        return found if isinstance(found, str) else None

    def ends(self, message: Mapping[str, Any]) -> bool:
        return message.get("isFinal", message.get("is_final")) is True or "error" in message

    def read(
        self, context: str, message: Mapping[str, Any], utterance: Utterance
    ) -> Sequence[Mapping[str, Any]]:
        if fault := self.fault(message):
            utterance.fail(fault)
            return ()
        before = utterance.ms
        if "audio" in message and message["audio"] is not None:
            utterance.audio(message["audio"])
            _read_letters(message, before, utterance)
        elif not self.ends(message):
            utterance.counts["unknown"] += 1
        if self.ends(message):
            utterance.end()
            return ()
        return [_close(context)] if utterance.ms and not before else ()

    def fault(self, message: Mapping[str, Any]) -> ApplianceError | None:
        code = message.get("error")
        if code is None:
            return None
        status = _STATUS.get(code) if isinstance(code, str) else None
        if status is None:
            return ProviderUnavailable(f"{NAME} gave up ({code if code in _UNAVAILABLE else 'unknown'})")
        return link_faults.refused(NAME, status, {}, json.dumps({"error": {"code": code}}).encode())

    def _voice_settings(self) -> dict[str, float]:
        settings = self._settings
        chosen = {
            "stability": settings.stability,
            "similarity_boost": settings.similarity_boost,
            "style": settings.style,
            "speed": settings.speed,
        }
        return {name: value for name, value in chosen.items() if value is not None}


def _close(context: str) -> Mapping[str, Any]:
    return {"context_id": context, "close_context": True}


def _read_letters(message: Mapping[str, Any], offset_ms: float, utterance: Utterance) -> None:
    """The letters of the text as it was written; their times count from the beginning of their own chunk."""
    times = message.get("alignment") or message.get("normalizedAlignment")
    if times is None:
        return
    if not isinstance(times, dict):
        utterance.counts["invalid_times"] += 1
        return
    letters = listed(times, "chars")
    starts = listed(times, "charStartTimesMs") or listed(times, "char_start_times_ms")
    for letter, start in zip(letters, starts, strict=False):
        at = seconds(start)
        if isinstance(letter, str) and at is not None:
            utterance.letter(letter, offset_ms + at)
        else:
            utterance.counts["invalid_times"] += 1
