"""What stories about a session's connection have in common: three rungs, and what is seen of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from appliance.events import ProviderChanged, SessionStateChanged
from appliance.interfaces import HistoryItem
from tests.fakes.provider import FakeProvider
from tests.rig.booth import Booth

NO_KEY = "A speech service does not accept my key. Please have it checked."
NO_SETUP = "A speech service does not accept my settings. Please have them checked."
NO_CREDIT = "The credit of a speech service is used up."
TOO_BUSY = "A speech service is too busy just now."
DOWN = "I have lost the connection and go on another way."
OUTAGE = "I have no connection just now. I keep trying."
NO_ANSWER = "Sorry, I did not get an answer. Please try again."
NO_SERVICE = "Sorry, I cannot answer at the moment."
SETTLED = 12.0
LONG = "one two three four five six seven eight nine ten"


def three() -> list[FakeProvider]:
    return [FakeProvider(name, first_level=1000 * rung + 500) for rung, name in enumerate("abc")]


def numbers(frames: list[bytes]) -> list[int]:
    return [int.from_bytes(frame[:2], "little") for frame in frames]


def whole(booth: Booth, provider: FakeProvider, turn: int) -> bool:
    """The newest connection has got all that the person said last, in order, nothing twice."""
    got = numbers(provider.turns[turn].frames)
    said = booth.microphone.voiced_frames
    return set(said[-10:]) <= set(got) and got == list(range(got[0], got[0] + len(got)))


async def all_is_answered(booth: Booth) -> None:
    """The person, who has said but one thing, stops: all of it came, in order, nothing twice, and is answered."""
    booth.microphone.voiced = False
    await booth.state("speaking")
    assert set(booth.microphone.voiced_frames) <= set(numbers(booth.provider.turns[1].frames))
    assert whole(booth, booth.provider, 1)


async def answered_by(provider: FakeProvider, booth: Booth, seconds: float = 30.0) -> None:
    """It is another that answers the first turn, and it was given all of it."""
    await booth.until(lambda: provider.answers != [], seconds)
    await booth.idle()
    assert whole(booth, provider, 1)


@asynccontextmanager
async def fallen(far: FakeProvider, near: FakeProvider, **conversation: Any) -> AsyncIterator[Booth]:
    """A session that found `far` out of reach, and went on with `near`."""
    far.go_down()
    async with Booth(providers=[far, near], open_session=False, **conversation) as booth:
        booth.lines.open_session(booth.line)
        await booth.on("b")
        yield booth


def said(provider: FakeProvider) -> list[str]:
    """The history that its newest connection began with."""
    history = provider.connection.setup.history
    return [item.text for item in history if isinstance(item, HistoryItem)]


def states(booth: Booth) -> list[tuple[str, str]]:
    return [(event.to, event.reason) for event in booth.of(SessionStateChanged)]


def told(booth: Booth) -> list[tuple[str, str, str]]:
    return [(event.provider, event.state, event.code) for event in booth.of(ProviderChanged)]
