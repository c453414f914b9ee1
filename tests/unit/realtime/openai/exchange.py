"""A conversation of the protocol with nothing at its other end: what commands send, what events tell."""

import base64
import json
from typing import Any

from appliance.frames import Frame
from appliance.interfaces import (
    ProviderCommand,
    ProviderEvent,
    ProviderTrouble,
    SendAudio,
    SendText,
    Setup,
)
from appliance.providers.realtime.openai.conversation import Conversation
from appliance.providers.realtime.openai.settings import read

LOUD = b"\x01\x02" * 480


class Wire:
    """A conversation with nothing at its other end."""

    def __init__(self, setup: Setup | None = None, **section: Any) -> None:
        self.talk = Conversation(read(section), setup or Setup("s1"))

    def take(self, *commands: ProviderCommand) -> list[dict[str, Any]]:
        """What these commands send."""
        for command in commands:
            self.talk.take(command)
        return self.sent()

    def read(self, kind: str, **fields: Any) -> list[ProviderEvent]:
        """What this event of the service tells."""
        self.talk.read(json.dumps({"type": kind, **fields}).encode())
        return self.told()

    def reads(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """What this event of the service sends."""
        self.talk.read(json.dumps({"type": kind, **fields}).encode())
        return self.sent()

    def ask(self, turn: int = 1, response: str = "r1") -> None:
        """A turn is typed, and its answer begins."""
        create = self.take(SendText(turn, "hello"))[-1]
        assert create["type"] == "response.create"
        self.begin(create, response)

    def begin(self, create: dict[str, Any], response: str = "r1") -> None:
        self.read("response.created", response={"id": response, "metadata": create["response"]["metadata"]})

    def done(self, response: str = "r1", status: str = "completed") -> list[ProviderEvent]:
        return self.read("response.done", response={"id": response, "status": status})

    def audio(self, pcm: bytes, response: str = "r1", item: str = "i1") -> list[ProviderEvent]:
        encoded = base64.b64encode(pcm).decode()
        return self.read("response.output_audio.delta", response_id=response, item_id=item, delta=encoded)

    def call(self, call_id: str, response: str = "r1", **more: Any) -> list[ProviderEvent]:
        fields = {"call_id": call_id, "name": "get_time", "arguments": "{}", **more}
        return self.read(
            "response.function_call_arguments.done", response_id=response, item_id=call_id, **fields
        )

    def sent(self) -> list[dict[str, Any]]:
        sent = [json.loads(text) for text in self.talk.mail.outgoing]
        self.talk.mail.outgoing.clear()
        return sent

    def told(self) -> list[ProviderEvent]:
        told = list(self.talk.mail.events)
        self.talk.mail.events.clear()
        return told


def frames(turn: int, count: int) -> list[SendAudio]:
    return [SendAudio(turn, Frame(LOUD, 24_000, 0.0))] * count


def kinds(sent: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in sent]


def troubles(told: list[ProviderEvent]) -> list[str]:
    return [event.code for event in told if isinstance(event, ProviderTrouble)]
