"""A transcription session of OpenAI: what is asked of it. Pure."""

import json
from collections.abc import Sequence
from typing import Any, Final

RATE: Final = 24_000
"""The only rate of the service's linear PCM."""
SETUP_EVENT: Final = "setup"
KEYWORDS: Final = 100
WITHOUT_TURNS: Final = frozenset({"gpt-live-transcribe", "gpt-realtime-whisper"})
"""Models that refuse any turn detection."""
WITH_KEYWORDS: Final = frozenset({"gpt-transcribe", "gpt-live-transcribe"})


def session_update(model: str, language: str, keywords: Sequence[str], *, server_turns: bool) -> str:
    """The one event before the audio."""
    transcription: dict[str, Any] = {"model": model}
    if code := language.partition("-")[0].lower():
        transcription["language"] = code
    if keywords and model in WITH_KEYWORDS:
        transcription["keywords"] = list(keywords[:KEYWORDS])
    audio = {
        "format": {"type": "audio/pcm", "rate": RATE},
        "transcription": transcription,
        "turn_detection": {"type": "server_vad"} if server_turns else None,
    }
    session = {"type": "transcription", "audio": {"input": audio}}
    return json.dumps({"type": "session.update", "event_id": SETUP_EVENT, "session": session})
