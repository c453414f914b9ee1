"""A reset by the button: held for very long while nobody speaks, then let go; the last seconds are counted aloud.

A button that sticks, or whose wire has a short, is never let go: it resets nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from appliance.audio import tones
from appliance.errors import ApplianceError, kind_and_place
from appliance.events import Warned
from appliance.frames import BYTES_PER_SAMPLE
from appliance.panel.lamps import Lamps
from appliance.panel.press import COUNTDOWN_SECONDS, Gesture, Told
from appliance.panel.room_keys import RoomKeys
from appliance.session.loan import Loan

_BEEP_HERTZ: Final = 1200.0
logger = logging.getLogger(__name__)


class ResetPress:
    """Belongs to the loop's thread. Who holds the button to talk does not reset: one word keeps everything."""

    def __init__(
        self,
        keys: RoomKeys | None,
        lamps: Lamps,
        publish: Callable[[Warned], None],
    ) -> None:
        self._keys = keys
        self._lamps = lamps
        self._publish = publish
        self._counting = False
        self._armed = False
        self._loan: Loan | None = None
        self._working: asyncio.Task[None] | None = None

    def take(self, told: Told, reset: Callable[[], Awaitable[None]] | None) -> None:
        """The next gesture of the button; without `reset` nothing is counted."""
        if told.gesture is Gesture.COUNTDOWN:
            if reset is not None and self._meant(told):
                self._count()
        elif told.gesture is Gesture.VERY_LONG:
            if self._counting and reset is not None:
                self.cancel()
                self._arm()
        elif told.gesture is Gesture.RELEASED and self._armed and reset is not None and self._meant(told):
            self._armed = False
            self._working = asyncio.get_running_loop().create_task(self._run(reset), name="reset")
        elif told.gesture in (Gesture.RELEASED, Gesture.VOID, Gesture.STUCK):
            self.cancel()

    def cancel(self) -> None:
        """Count no more. Nothing where nothing is counted."""
        if self._armed:
            self._armed = False
            self._lamps.set(resetting=False)
        if not self._counting:
            return
        self._counting = False
        self._lamps.set(countdown=False)
        loan, self._loan = self._loan, None
        if loan is not None and self._keys is not None and self._keys.line.loan is loan:
            self._keys.line.reclaim()

    def _meant(self, told: Told) -> bool:
        if self._keys is None:
            return True
        line = self._keys.line
        return line.loan is None and line.voiced_at < told.at - told.held

    def _count(self) -> None:
        self._counting = True
        self._lamps.set(countdown=True)
        logger.warning("the button is held: everything is reset in %.0f s", COUNTDOWN_SECONDS)
        self._publish(
            Warned(
                line=self._keys.line.id if self._keys is not None else None,
                code="reset_countdown",
                message=f"everything is reset in {COUNTDOWN_SECONDS:.0f} s",
                hint="let the button go to keep everything",
            )
        )
        if self._keys is not None:
            line = self._keys.line
            self._loan = line.lend()
            if line.session is not None:
                line.session.interrupt("reset")
            beep = tones.beep(line.playout.rate, _BEEP_HERTZ)
            self._loan.repeat(beep.ljust(line.playout.rate * BYTES_PER_SAMPLE, b"\0"))

    def _arm(self) -> None:
        self._armed = True
        self._lamps.set(resetting=True)
        self._publish(
            Warned(
                line=self._keys.line.id if self._keys is not None else None,
                code="reset_ready",
                message="everything is reset when the button is let go",
                hint="say something, or hold it for a minute, to keep everything",
            )
        )

    async def _run(self, reset: Callable[[], Awaitable[None]]) -> None:
        self._lamps.set(resetting=True)
        logger.warning("reset by the button")
        try:
            await reset()
        except ApplianceError as error:
            logger.error("the reset failed: %s", error.message)
            self._publish(
                Warned(code=error.code, message=f"the reset failed: {error.message}", hint=error.hint)
            )
        except Exception as error:  # noqa: BLE001 - it must be told, whatever it was
            logger.error("the reset failed: %s", kind_and_place(error))
            self._publish(Warned(code="internal", message=f"the reset failed: {type(error).__name__}"))
        finally:
            self._lamps.set(resetting=False)
