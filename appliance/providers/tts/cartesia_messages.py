"""What is said to Cartesia's socket, and what its messages mean. Pure.

Fields are those of its API of 2026: one context a piece, raw PCM, word times of the text as it was written.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import Field

from appliance import link_faults
from appliance.config.services import ServiceSettings
from appliance.errors import ApplianceError
from appliance.providers.tts.plain import nearest_rate, plain, portions, primary, untagged
from appliance.providers.tts.utterance import Utterance, listed, seconds
from appliance.stages import Piece
from appliance.voice_names import wished

NAME: Final = "cartesia"
DEFAULT_VOICE: Final = "f786b574-daa5-4673-aa0c-cbe3e8534c02"
RATES: Final = (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)
LONGEST_TRANSCRIPT: Final = 2_000
"""Characters a message: a longer text comes in several messages of one context."""


class CartesiaSettings(ServiceSettings):
    """`[providers.cartesia]`. `speed` and `volume` are factors, 1.0 the voice's own."""

    model: str = "sonic-3.5"
    voice: str = DEFAULT_VOICE
    language: str = ""
    """Empty: the conversation's."""
    speed: float | None = Field(default=None, ge=0.6, le=1.5)
    volume: float | None = Field(default=None, ge=0.5, le=2.0)
    emotion: str = ""
    parallel: int = Field(default=2, ge=1, le=15)
    """Pieces at once; the smallest plan allows two."""


class CartesiaDialect:
    """Implements link.Dialect."""

    name = NAME
    contexts = 64
    lingering = False

    def __init__(self, settings: CartesiaSettings) -> None:
        self._settings = settings

    def utterance(self, piece: Piece) -> Utterance:
        return Utterance(NAME, piece, untagged(plain(piece.text)), nearest_rate(RATES, piece.rate))

    def ask(self, context: str, utterance: Utterance) -> Sequence[Mapping[str, Any]]:
        common = self._common(utterance)
        parts = portions(utterance.text, LONGEST_TRANSCRIPT)
        return [
            {"context_id": context, "transcript": part, "continue": number < len(parts), **common}
            for number, part in enumerate(parts, 1)
        ]

    def cancel(self, context: str) -> Sequence[Mapping[str, Any]]:
        return [{"context_id": context, "cancel": True}]

    def context(self, message: Mapping[str, Any]) -> str | None:
        found = message.get("context_id")
        return found if isinstance(found, str) else None

    def ends(self, message: Mapping[str, Any]) -> bool:
        return message.get("type") in {"done", "error"}

    def read(
        self, context: str, message: Mapping[str, Any], utterance: Utterance
    ) -> Sequence[Mapping[str, Any]]:
        match message.get("type"):
            case "chunk":
                utterance.audio(message.get("data"))
            case "timestamps":
                _read_words(message, utterance)
            case "done":
                utterance.end()
            case "error":
                utterance.fail(_fault(message))
            case "flush_done" | "phoneme_timestamps":
                pass
            case _:
                utterance.counts["unknown"] += 1
        return ()

    def fault(self, message: Mapping[str, Any]) -> ApplianceError | None:
        return _fault(message) if message.get("type") == "error" else None

    def _common(self, utterance: Utterance) -> dict[str, Any]:
        """What must be the same in all messages of a context."""
        settings, piece = self._settings, utterance.piece
        how = {"speed": settings.speed, "volume": settings.volume, "emotion": settings.emotion or None}
        config = {name: value for name, value in how.items() if value is not None}
        language = primary(settings.language or piece.language)
        return {
            "model_id": settings.model,
            "voice": {"mode": "id", "id": wished(piece.voice, NAME) or settings.voice},
            "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": utterance.rate},
            "add_timestamps": True,
            "use_normalized_timestamps": False,
            **({"language": language} if language else {}),
            **({"generation_config": config} if config else {}),
        }


def _read_words(message: Mapping[str, Any], utterance: Utterance) -> None:
    times = message.get("word_timestamps")
    if not isinstance(times, dict):
        utterance.counts["invalid_times"] += 1
        return
    for said, start in zip(listed(times, "words"), listed(times, "start"), strict=False):
        at = seconds(start)
        if isinstance(said, str) and at is not None:
            utterance.word(said, at * 1000)
        else:
            utterance.counts["invalid_times"] += 1


def _fault(message: Mapping[str, Any]) -> ApplianceError:
    status = message.get("status_code")
    body = json.dumps({"error": {"code": message.get("error_code")}}).encode()
    return link_faults.refused(NAME, status if isinstance(status, int) else 500, {}, body)
