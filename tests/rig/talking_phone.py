"""A baresip phone whose owner talks when he likes, instead of playing one file from the beginning."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np

from tests.rig.appliance import Handset
from tests.rig.peer import until
from tests.rig.sip_peers import Exchange, Phone
from tests.rig.sounds import Samples, write_wav
from tests.rig.spoken import silence, sounding, speech

RATE = 8_000
LISTEN_SECONDS = 0.1
"""Each look goes through all that was heard."""
_OUTLASTS_THE_CALL = 240.0
"""baresip hangs up when its file ends."""


class TalkingPhone(Phone):
    """PCMU; on entering nothing is said."""

    def __init__(self, user: str, registrar: Exchange | None = None, *, answers: str = "manual") -> None:
        self._lines = tempfile.TemporaryDirectory(prefix="handset-lines-")
        self._count = 0
        super().__init__(user, registrar, speaks=self._file(silence(0.1, RATE)), answers=answers)

    async def call(self, uri: str) -> None:
        """Dial, and return when the call stands."""
        # baresip begins a call with what was said last.
        await self.say(silence(0.1, RATE))
        count = len([event for event in self.events if event.get("type") == "CALL_ESTABLISHED"])
        await self.dial(uri)
        await self.event("CALL_ESTABLISHED", 20.0, count=count + 1)

    async def say(self, what: str | Samples) -> float:
        """Begin to say it, in place of what is being said; returns how many seconds it lasts."""
        samples = speech(what, RATE) if isinstance(what, str) else what
        await self.command("ausrc", f"aufile,{self._file(samples)}")
        return len(samples) / RATE

    def ear(self) -> Callable[[], Samples]:
        """What is heard from now on, at 8 kHz."""
        begin = len(self.heard()[0])
        return lambda: self.heard()[0][begin:]

    async def _leave(self) -> None:
        await super()._leave()
        self._lines.cleanup()

    def _file(self, samples: Samples) -> Path:
        self._count += 1
        whole = np.concatenate((samples, silence(_OUTLASTS_THE_CALL, RATE)))
        return write_wav(Path(self._lines.name) / f"{self._count}.wav", whole, RATE)


async def heard_to_the_end(
    ear: Callable[[], Samples], rate: int = RATE, *, seconds: float = 30.0, quiet: float = 1.2
) -> Samples:
    """Wait until somebody has spoken and has been silent for a while; all that was heard."""

    def over() -> bool:
        samples = ear()
        spans = sounding(samples, rate)
        return bool(spans) and len(samples) / rate - spans[-1][1] > quiet

    with contextlib.suppress(AssertionError):
        await until(over, seconds, every=LISTEN_SECONDS)
    samples = ear()
    assert over(), f"nothing was said to its end within {seconds} s: {sounding(samples, rate)}"
    return samples


async def sounds(
    ear: Callable[[], Samples], rate: int = RATE, *, for_seconds: float = 0.2, seconds: float = 20.0
) -> float:
    """Wait until something has been heard for so long; the monotonic second at which that was seen."""
    await until(
        lambda: sum(end - begin for begin, end in sounding(ear(), rate)) >= for_seconds,
        seconds,
        "something is heard",
    )
    return time.monotonic()


async def breathe(seconds: float) -> None:
    """Audio takes the time it takes."""
    await asyncio.sleep(seconds)


@contextlib.asynccontextmanager
async def talk(phone: TalkingPhone, handset: Handset, registrar: Exchange) -> AsyncIterator[tuple[str, str]]:
    """A call through the registrar; the ids of the call and its session. At the end the phone hangs up."""
    client, since = handset.client, handset.client.mark
    await phone.call(f"sip:handset@{registrar.server}")
    try:
        event = await client.event("call", since=since, state="connected")
        active = await client.event("session.state", since=since, to="active")
        await breathe(0.5)
        yield event["call"], active["session"]
    finally:
        await phone.hang_up()
    await client.event("call", since=since, call=event["call"], state="ended")
