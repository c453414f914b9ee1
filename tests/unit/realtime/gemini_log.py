"""A dialogue with nothing at its other end: what was sent and told."""

import json
from typing import Any

from appliance.frames import Frame
from appliance.interfaces import (
    CommitTurn,
    ProviderCommand,
    ProviderEvent,
    SendAudio,
)
from appliance.providers.realtime.gemini.dialogue import Dialogue

SOUND = {"modelTurn": {"parts": [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AAAAAA=="}}]}}
DONE = {"turnComplete": True}
BROKEN = {"interrupted": True}


def content(**fields: Any) -> bytes:
    return json.dumps({"serverContent": fields}).encode()


def called(call_id: str = "a", tool: str = "get_time", **more: Any) -> bytes:
    return json.dumps({"toolCall": {"functionCalls": [{"id": call_id, "name": tool, **more}]}}).encode()


def audio(turn: int, samples: int = 320) -> SendAudio:
    return SendAudio(turn, Frame(bytes(samples * 2), 16_000, 0.0))


class Log:
    """Feeds a dialogue, and keeps what follows."""

    def __init__(self, **options: Any) -> None:
        self.dialogue = Dialogue(**options)
        self.sent: list[Any] = []
        self.events: list[ProviderEvent] = []

    def say(self, *commands: ProviderCommand) -> "Log":
        for command in commands:
            step = self.dialogue.command(command)
            self.sent += [json.loads(one) for one in step.messages]
            self.events += step.events
        return self

    def hear(self, *messages: bytes) -> "Log":
        for message in messages:
            step = self.dialogue.receive(message)
            self.sent += [json.loads(one) for one in step.messages]
            self.events += step.events
        return self

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    def of(self, *kinds: type[ProviderEvent]) -> list[ProviderEvent]:
        return [event for event in self.events if isinstance(event, kinds)]


def asked(turn: int = 1, **options: Any) -> Log:
    return Log(**options).say(audio(turn), CommitTurn(turn))
