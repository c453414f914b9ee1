"""Tells the two whom a bridge joins, no agent being there, that their call is recorded."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from appliance.errors import ApplianceError
from appliance.interfaces import Voice
from appliance.session.bridge import Bridge

VOICE_SECONDS: Final = 10.0
NOTICE_SECONDS: Final = 20.0
"""One whose line takes no sound for so long is not told any more."""
_LOOK_SECONDS: Final = 0.05
_LOOKS: Final = round(NOTICE_SECONDS / _LOOK_SECONDS)
logger = logging.getLogger(__name__)


async def tell_both(bridge: Bridge, voice: Voice, words: str, on_hold: Callable[[], bool]) -> bool:
    """Say `words` to both; return whether they have heard it. A hold interrupts it: it is said anew after that.

    False where the voice fails, where a line takes no sound, and where the bridge ends meanwhile.
    """
    sound = await _spoken(voice, words)
    if sound is None:
        return False
    looks = 0
    while bridge.stands() and looks < _LOOKS:
        if on_hold():
            looks = 0
        elif looks == 0:
            bridge.tell(*sound)
        if bridge.told():
            break
        looks += not on_hold()
        await asyncio.sleep(_LOOK_SECONDS)
    told = bridge.stands() and bridge.told()
    bridge.go_on()
    return told


async def _spoken(voice: Voice, words: str) -> tuple[bytes, int] | None:
    """All of it, and its rate."""
    pcm, rate = bytearray(), 0
    try:
        async with asyncio.timeout(VOICE_SECONDS):
            async for piece in voice.speak(words):
                pcm += piece.pcm
                rate = piece.rate
    except (TimeoutError, ApplianceError) as fault:
        logger.warning("the notice of a recording could not be spoken: %s", type(fault).__name__)
        return None
    return (bytes(pcm), rate) if rate else None
