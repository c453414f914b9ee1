"""What a test says to the talk with OpenAI's transcription, and reads of it."""

import json
from typing import Any

from appliance.providers.stt.openai_talk import OpenAiTalk
from appliance.stages import Transcript, TranscriptEvent

FRAME = bytes(640)
PREFIX = "conversation.item.input_audio_transcription"


def said(talk: OpenAiTalk) -> list[TranscriptEvent]:
    return list(talk.post.events)


def speak(talk: OpenAiTalk, turn: int, frames: int = 10) -> None:
    for _ in range(frames):
        talk.hear(turn, FRAME)


def read(talk: OpenAiTalk, kind: str, **fields: Any) -> None:
    talk.read(json.dumps({"type": kind, **fields}))


def sent(talk: OpenAiTalk) -> list[str]:
    """The types of what was sent since the last time, without the audio."""
    kinds = [json.loads(text)["type"].removeprefix("input_audio_buffer.") for text in talk.post.outgoing]
    talk.post.outgoing.clear()
    return [kind for kind in kinds if kind != "append"]


def end(talk: OpenAiTalk, item: str) -> None:
    """The service finds the end of what is said."""
    read(talk, "input_audio_buffer.speech_started", item_id=item)
    read(talk, "input_audio_buffer.speech_stopped", item_id=item)
    read(talk, "input_audio_buffer.committed", item_id=item)


def complete(talk: OpenAiTalk, item: str, text: str) -> None:
    read(talk, f"{PREFIX}.completed", item_id=item, transcript=text)


def finals(talk: OpenAiTalk) -> list[tuple[int, str]]:
    return [(event.turn, event.text) for event in said(talk) if isinstance(event, Transcript) and event.final]
