"""Silence after a person's last word, for a provider that ends the turn itself and hears nothing else of the room."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from appliance.frames import BYTES_PER_SAMPLE, FRAME_MS, samples_in

_STEP: Final = FRAME_MS / 1000


def silent_frame(rate: int) -> bytes:
    """20 ms of silence, s16le mono."""
    return bytes(samples_in(FRAME_MS, rate) * BYTES_PER_SAMPLE)


async def fill(send: Callable[[], Awaitable[None]], wanted: Callable[[], bool], seconds: float) -> bool:
    """Call `send` every 20 ms while `wanted` holds; return True when `seconds` passed and it still does."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    due = began
    while wanted():
        if loop.time() - began >= seconds:
            return True
        await send()
        due += _STEP
        await asyncio.sleep(max(0.0, due - loop.time()))
    return False
