"""What a raw caller says and hears: mu-law to samples and back, and a talker who asks and waits for the answer."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import numpy as np
import numpy.typing as npt

from tests.rig.raw_caller import RawCaller
from tests.rig.sounds import Samples
from tests.rig.spoken import speech

RATE = 8_000
PACKET = 160
LOUD = 400
_BIAS = 132
_CLIP = 32_635


def _table() -> npt.NDArray[np.int16]:
    code = ~np.arange(256)
    exponent, mantissa = (code >> 4) & 7, code & 15
    magnitude = (((mantissa << 3) + _BIAS) << exponent) - _BIAS
    return np.asarray(np.where(code & 0x80, -magnitude, magnitude), dtype=np.int16)


_DECODED = _table()


def from_mu_law(payload: bytes) -> Samples:
    return _DECODED[np.frombuffer(payload, dtype=np.uint8)]


def to_mu_law(samples: Samples) -> bytes:
    """G.711 mu-law."""
    wide = samples.astype(np.int32)
    magnitude = np.minimum(np.abs(wide), _CLIP) + _BIAS
    exponent = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    mantissa = (magnitude >> (exponent + 3)) & 15
    code = ~((exponent << 4) | mantissa) & 0x7F
    return bytes((code | np.where(wide < 0, 0, 0x80)).astype(np.uint8).tobytes())


@contextlib.asynccontextmanager
async def calling(port: int) -> AsyncIterator[RawCaller]:
    """A raw call, without blocking the loop."""
    caller = RawCaller(port)
    await asyncio.to_thread(caller.__enter__)
    try:
        yield caller
    finally:
        await asyncio.to_thread(caller.__exit__, None, None, None)


class Talker:
    """Speaks and listens on a raw call."""

    def __init__(self, caller: RawCaller) -> None:
        self.caller = caller

    def say(self, what: str | Samples) -> float:
        """Begin to say it; returns how many seconds it lasts."""
        samples = speech(what, RATE) if isinstance(what, str) else what
        samples = np.pad(samples, (0, -len(samples) % PACKET))
        for begin in range(0, len(samples), PACKET):
            self.caller.speak(to_mu_law(samples[begin : begin + PACKET]))
        return len(samples) / RATE

    def loud(self, since: int = 0) -> list[float]:
        """When each loud packet came, of those from number `since` on."""
        arrived = self.caller.arrived
        return [
            came for came, payload in arrived[since:] if np.abs(from_mu_law(payload).astype(int)).max() > LOUD
        ]

    async def sounds(self, *, for_seconds: float = 0.2, since: int = 0, seconds: float = 30.0) -> None:
        """Wait until so much has been heard."""
        deadline = time.monotonic() + seconds
        while len(self.loud(since)) * 0.02 < for_seconds:
            if time.monotonic() > deadline:
                raise TimeoutError("nothing is heard on the call")
            await asyncio.sleep(0.02)

    async def quiet(self, *, for_seconds: float = 1.2, seconds: float = 60.0) -> None:
        """Wait until nothing has been heard for so long."""
        deadline = time.monotonic() + seconds
        while (last := self.loud(-round(for_seconds * 50) - 5)) and time.monotonic() - last[-1] < for_seconds:
            if time.monotonic() > deadline:
                raise TimeoutError("it does not stop")
            await asyncio.sleep(0.05)

    async def ask(self, question: str) -> None:
        """Ask, and hear the answer to its end."""
        since = len(self.caller.arrived)
        await asyncio.sleep(self.say(question))
        await self.sounds(since=since)
        await self.quiet()
