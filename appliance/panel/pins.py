"""The panel's driver, kept open: whatever it raises is told, and it is tried again, after ever longer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from appliance.errors import ApplianceError, DeviceUnavailable, kind_and_place
from appliance.interfaces import Colour, Control, Panel, PanelReport

RETRY_SECONDS: Final = 1.0
RETRY_MOST_SECONDS: Final = 60.0
logger = logging.getLogger(__name__)


class Pins:
    """Belongs to the loop's thread. `build` makes the driver; `found` is awaited each time its pins are ours, with the
    contacts that are active; `absent` is told each time they are not, or not any more."""

    def __init__(
        self,
        build: Callable[[], Panel],
        found: Callable[[Mapping[Control, bool]], Awaitable[None]],
        absent: Callable[[ApplianceError], None],
    ) -> None:
        self._build = build
        self._found = found
        self._absent = absent
        self._panel: Panel | None = None
        self._broken: Panel | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self._over = False
        self.starting = False
        """Until the first attempt has gone well or badly."""

    @property
    def there(self) -> bool:
        """Whether contacts can be read, and lights lit."""
        return self._panel is not None

    def open(self, report: Callable[[PanelReport], None]) -> None:
        """Begin to claim the pins; returns at once."""
        self.starting = True
        self._keeping = asyncio.get_running_loop().create_task(self._keep(report), name="front panel")
        self._keeping.add_done_callback(_ended)

    def active(self, control: Control) -> bool | None:
        """How the contact stands now; None where nobody can say."""
        if self._panel is None:
            return None
        try:
            return self._panel.active(control)
        except Exception as error:  # noqa: BLE001 - as in _claim
            self._break(error)
            return None

    def show(self, colour: Colour) -> None:
        """Light the LEDs, while they are ours."""
        if self._panel is None:
            return
        try:
            self._panel.show(colour)
        except Exception as error:  # noqa: BLE001 - as in _claim
            self._break(error)

    async def end(self) -> None:
        """No more attempts; returns once none is under way. What is open stays so until `release`."""
        self._over = True
        self._moved.set()
        if self._keeping is not None:
            await asyncio.wait({self._keeping})

    async def release(self) -> None:
        """Lights out, pins released."""
        for panel in (self._panel, self._broken):
            if panel is not None:
                await _stopped(panel)
        self._panel = self._broken = None

    async def _keep(self, report: Callable[[PanelReport], None]) -> None:
        loop, wait = asyncio.get_running_loop(), RETRY_SECONDS
        while not self._over:
            began = loop.time()
            fault = await self._claim(report)
            if fault is None:
                await self._moved.wait()
                if loop.time() - began > RETRY_MOST_SECONDS:
                    wait = RETRY_SECONDS
            elif not fault.retryable:
                return
            await self._pause(wait)
            wait = min(2 * wait, RETRY_MOST_SECONDS)

    async def _claim(self, report: Callable[[PanelReport], None]) -> ApplianceError | None:
        """Why the pins are not ours; None where they are, or were until a moment ago."""
        panel: Panel | None = None
        try:
            panel = self._build()
            found = await asyncio.to_thread(panel.start, report)
        except ApplianceError as error:
            return self._failed(error)
        except Exception as error:  # noqa: BLE001 - whatever a driver raises, the appliance goes on without it
            if panel is not None:
                await _stopped(panel)
            return self._failed(_broke(error))
        self._panel, self.starting = panel, False
        await self._found(found)
        return None

    def _failed(self, error: ApplianceError) -> ApplianceError:
        self.starting = False
        self._absent(error)
        return error

    def _break(self, error: Exception) -> None:
        self._broken, self._panel = self._panel, None
        self._moved.set()
        self._absent(_broke(error))

    async def _pause(self, seconds: float) -> None:
        broken, self._broken = self._broken, None
        if broken is not None:
            await _stopped(broken)
        if self._over:
            return
        self._moved.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._moved.wait()
        except TimeoutError:
            return


def _ended(keeping: asyncio.Task[None]) -> None:
    if not keeping.cancelled() and (fault := keeping.exception()) is not None:
        logger.error("the front panel is not looked after any more: %s", kind_and_place(fault))


def _broke(error: Exception) -> DeviceUnavailable:
    logger.error("the driver of the front panel broke: %s", kind_and_place(error))
    told = DeviceUnavailable(
        f"the driver of the front panel broke: {type(error).__name__}",
        hint="it is tried again by itself; if it stays so, see the log, and gpio.driver",
    )
    told.__cause__ = error
    return told


async def _stopped(panel: Panel) -> None:
    """It may have claimed pins before it broke."""
    try:
        await asyncio.to_thread(panel.stop)
    except Exception as error:  # noqa: BLE001 - as in _claim
        logger.warning("the front panel was not released: %s", kind_and_place(error))
