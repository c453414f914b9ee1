"""Says announcements by the device's own voice, one after the other."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from typing import Final, cast

from appliance.errors import ApplianceError, kind_and_place
from appliance.frames import milliseconds_of
from appliance.interfaces import Spoken, Voice
from appliance.session.announcements import Announcement, Announcements
from appliance.session.downlink import Downlink, Utterance

VOICE_SECONDS: Final = 10.0
"""How long the voice may think about its next piece."""
AHEAD_MS: Final = 10_000.0
_ROOM_PERIOD: Final = 0.05
logger = logging.getLogger(__name__)


async def room(downlink: Downlink, below_ms: float = AHEAD_MS) -> None:
    """Wait until less than `below_ms` waits to be heard. The caller is cancelled when it is not wanted any more."""
    # The driver's thread, which makes the room, may wake nobody.
    while downlink.ahead_ms() >= below_ms:  # noqa: ASYNC110
        await asyncio.sleep(_ROOM_PERIOD)


class Announcer:
    """`changed` is called when there is something new to play or nothing more to come; `failed` when the voice is."""

    def __init__(
        self,
        voice: Voice | None,
        downlink: Downlink,
        changed: Callable[[], None],
        failed: Callable[[ApplianceError], None],
    ) -> None:
        self.waiting = Announcements()
        self._voice = voice
        self._downlink = downlink
        self._changed = changed
        self._failed = failed
        self._current: Announcement | None = None
        self._task: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)

    @property
    def able(self) -> bool:
        """There is a voice."""
        return self._voice is not None

    @property
    def busy(self) -> bool:
        """The voice is at work."""
        return self._task is not None

    def name(self) -> str:
        """A new announcement's id."""
        return f"say-{next(self._numbers)}"

    def begin(self, turn: int, *, free: bool) -> bool:
        """Start with the next that may be said now; return whether there was one."""
        if self._voice is None or self._task is not None:
            return False
        chosen = self.waiting.take(free=free)
        if chosen is None:
            return False
        self._current = chosen
        self._downlink.begin(Utterance(chosen.id, turn, interruptible=chosen.interruptible))
        self._task = asyncio.get_running_loop().create_task(
            self._speak(self._voice, chosen), name="announcer"
        )
        return True

    def yield_floor(self) -> None:
        """The person has the floor: what has not begun to sound waits for another time, what was cut off is over."""
        current = self._current
        if current is None:
            return
        sounding = self._downlink.sounding
        if sounding is not None and sounding.id == current.id:
            return
        if self._downlink.withdraw(lambda utterance: utterance.id == current.id):
            self.waiting.put_back(current)
        self._stop()

    async def close(self) -> None:
        """Stop the voice; at most 1 s."""
        task = self._task
        self._stop()
        if task is not None and task is not asyncio.current_task():
            await asyncio.wait({task}, timeout=1.0)

    def _stop(self) -> None:
        task, self._task, self._current = self._task, None, None
        if task is not None:
            task.cancel()

    async def _speak(self, voice: Voice, announcement: Announcement) -> None:
        try:
            await self._pronounce(voice, announcement)
        except TimeoutError:
            self._failed(ApplianceError("the voice does not answer"))
        except ApplianceError as fault:
            self._failed(fault)
        except Exception as fault:  # noqa: BLE001 - whatever a voice raises, the next announcement is wanted
            logger.warning("the voice failed: %s", kind_and_place(fault))
            self._failed(ApplianceError(f"the voice failed: {type(fault).__name__}"))
        if self._current is announcement:
            self._current = self._task = None
        self._downlink.end(announcement.id)
        self._changed()

    async def _pronounce(self, voice: Voice, announcement: Announcement) -> None:
        begun_ms = 0.0
        async with AsyncExitStack() as stack:
            pieces = voice.speak(announcement.text)
            if hasattr(pieces, "aclose"):
                await stack.enter_async_context(aclosing(cast("_Closable", pieces)))
            while self._downlink.get(announcement.id) is not None:
                async with asyncio.timeout(VOICE_SECONDS):
                    piece = await anext(pieces, None)
                if piece is None:
                    return
                self._downlink.text(announcement.id, f"{piece.text} " if piece.text else "", begun_ms)
                self._downlink.audio(announcement.id, piece.pcm, piece.rate)
                begun_ms += milliseconds_of(piece.pcm, piece.rate)
                self._changed()
                await room(self._downlink)


class _Closable(AsyncIterator[Spoken]):
    async def aclose(self) -> None: ...
