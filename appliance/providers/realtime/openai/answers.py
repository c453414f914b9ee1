"""The service's responses: what came of each, and what of it was heard. Pure.

Text and audio of a response come item by item; an item is what the service remembers, and what it is told to cut.
"""

from dataclasses import dataclass, field
from typing import Final

from appliance.frames import BYTES_PER_SAMPLE, milliseconds_of
from appliance.interfaces import ResponseAudio, ResponseText
from appliance.providers.realtime.mail import Mail
from appliance.providers.realtime.openai import wire
from appliance.providers.realtime.openai.setup import message

_REMEMBERED: Final = 16


@dataclass(slots=True)
class Item:
    """A message of the model. `ms` is the audio that came of it, told or not."""

    id: str
    ms: float = 0.0
    text: str = ""
    odd: bytes = b""
    cut_ms: int | None = None
    """It was cut there, in the service's memory."""


@dataclass(slots=True)
class Answer:
    """One response. `cancelled` when the person wants nothing more of it; `wire` is what the service calls it."""

    id: str
    turn: int
    wire: str
    items: dict[str, Item] = field(default_factory=dict)
    gave: bool = False
    called: bool = False
    cancelled: bool = False
    stopped: bool = False
    """The service was told to stop."""
    done: bool = False
    retried: bool = False
    """The service failed, and was asked once more."""
    heard: str = ""
    heard_ms: float = 0.0

    @property
    def ms(self) -> float:
        return sum(item.ms for item in self.items.values())


class Answers:
    """The responses of one connection that still matter."""

    def __init__(self, mail: Mail, rate: int) -> None:
        self.rate = rate
        """Of the audio that comes."""
        self.active: Answer | None = None
        self._mail = mail
        self._known: dict[str, Answer] = {}

    def begin(self, response: str, turn: int) -> Answer:
        return self._enter(response, Answer(response, turn, response))

    def begin_again(self, response: str, answer: Answer) -> None:
        """The service failed before it said anything, and calls its second try `response`."""
        answer.wire, answer.done = response, False
        self._enter(response, answer)

    def _enter(self, response: str, answer: Answer) -> Answer:
        self._known[response] = answer
        while len(self._known) > _REMEMBERED:
            self._known.pop(next(iter(self._known)))
        self.active = answer
        return answer

    def get(self, response: str) -> Answer | None:
        return self._known.get(response)

    def text(self, answer: Answer, item_id: str, piece: str) -> None:
        """The next piece of an item's text."""
        item = self._item(answer, item_id)
        item.text += piece
        if piece and not answer.cancelled:
            answer.gave = True
            self._mail.tell(ResponseText(answer.id, piece, answer.ms))

    def whole_text(self, answer: Answer, item_id: str, whole: str) -> None:
        """An item's text as it stands at its end: what came of it before is not told again."""
        item = self._item(answer, item_id)
        if whole.startswith(item.text):
            self.text(answer, item_id, whole[len(item.text) :])

    def audio(self, answer: Answer, item_id: str, pcm: bytes) -> None:
        """The next piece of an item's audio. Half a sample waits for its other half."""
        item = self._item(answer, item_id)
        if (len(item.odd) + len(pcm)) % BYTES_PER_SAMPLE:
            self._mail.trouble("odd_audio", "a piece of audio ended within a sample")
        pcm = item.odd + pcm
        whole = len(pcm) // BYTES_PER_SAMPLE * BYTES_PER_SAMPLE
        pcm, item.odd = pcm[:whole], pcm[whole:]
        item.ms += milliseconds_of(pcm, self.rate)
        if pcm and not answer.cancelled:
            answer.gave = True
            self._mail.tell(ResponseAudio(answer.id, pcm, self.rate))

    def cut_audio(self, answer: Answer) -> list[tuple[str, int]]:
        """Cut the answer's items to what was heard; return which item ends where, in milliseconds."""
        cuts: list[tuple[str, int]] = []
        left = max(0.0, answer.heard_ms)
        for item in answer.items.values():
            keep = min(left, item.ms)
            left -= keep
            if item.ms and item.cut_ms is None:
                item.cut_ms = int(keep)
                cuts.append((item.id, item.cut_ms))
        return cuts

    def rewrite_text(self, answer: Answer) -> list[str]:
        """For an answer without audio: the client events that leave only the heard words in the service's memory."""
        written = [item for item in answer.items.values() if item.text and not item.ms]
        events = [wire.event("conversation.item.delete", item_id=item.id) for item in written]
        if events and answer.heard.strip():
            said = message("assistant", answer.heard.strip())
            events.append(wire.event("conversation.item.create", item=said))
        return events

    def _item(self, answer: Answer, item_id: str) -> Item:
        return answer.items.setdefault(item_id, Item(item_id))
