"""The answer of /v1/audio/transcriptions, streamed or whole. Pure."""

import json
from typing import Any, Final

from appliance import openai_faults
from appliance.errors import ProviderUnavailable
from appliance.providers.stt.one_shot import Understood
from appliance.providers.stt.openai_talk import TEXT_BOUND

_END: Final = "[DONE]"


class StreamReading:
    """Reads the lines of the event stream, also of servers that send pieces in the shape of chat completions."""

    def __init__(self) -> None:
        self.understood = Understood("")
        self.done = False
        self.passed_over = 0
        """Lines that could not be used."""

    def read(self, line: str) -> bool:
        """Whether `understood` is newer. Raise the ApplianceError that the stream tells."""
        if not line.startswith("data:"):
            return False
        data = line.removeprefix("data:").strip()
        if data == _END:
            self.done = True
            return False
        event = _object(data)
        error = event.get("error")
        if isinstance(error, dict):
            raise openai_faults.of_answer(error) or ProviderUnavailable("openai failed to transcribe")
        piece, text = _delta(event), event.get("text")
        if event.get("type") == "transcript.text.done" and isinstance(text, str):
            self.done = True
            self.understood = Understood(text[:TEXT_BOUND])
            return True
        if piece:
            self.understood = Understood((self.understood.text + piece)[:TEXT_BOUND])
            return True
        self.passed_over += 1
        return False

    def end(self) -> None:
        """The stream is over. Raise ProviderUnavailable where it broke off."""
        if not self.done:
            raise ProviderUnavailable("openai: the transcript broke off")


def whole(body: bytes) -> Understood:
    """An answer that was not streamed. Raise ProviderUnavailable for one that cannot be used."""
    text = _object(body).get("text")
    if not isinstance(text, str):
        raise ProviderUnavailable("openai answered something that is no transcript")
    return Understood(text[:TEXT_BOUND])


def _delta(event: dict[str, Any]) -> str:
    piece = event.get("delta") if event.get("type") == "transcript.text.delta" else None
    if event.get("object") == "transcription.chunk":
        try:
            piece = event["choices"][0]["delta"]["content"]
        except (KeyError, IndexError, TypeError):
            piece = None
    return piece if isinstance(piece, str) else ""


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        decoded = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return decoded if isinstance(decoded, dict) else {}
