"""The lights: keeps the facts, and shows what the table makes of them."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from appliance.bus import EventBus
from appliance.events import (
    CallChanged,
    DeviceChanged,
    Event,
    MuteChanged,
    PowerChanged,
    ProviderChanged,
    Provisioned,
    SessionStateChanged,
    SetupChanged,
    TurnChanged,
    WakeChanged,
)
from appliance.interfaces import Colour
from appliance.panel.lights import DARK, Facts, Row, lamp, lasts, ring, shown

LOOK_SECONDS: Final = 1.0
STARTING_SECONDS: Final = 20.0
"""What is not ready after this is no longer starting: something is wrong."""
TAKEN_SECONDS: Final = 10.0
"""For so long it is shown that new settings are in force."""
_RINGS: Final = frozenset({"incoming", "ringing"})
_TALKS: Final = frozenset({"connected", "held", "transferring"})


class Lamps:
    """Belongs to the loop's thread. `single` lights the LEDs, `ring` the ring; each is None where there is none.

    While nothing moves no timer runs but one a second, which asks whether the appliance is `ready`.
    """

    def __init__(
        self, bus: EventBus, line: str, ready: Callable[[], bool], *, brightness: float = 1.0, leds: int = 0
    ) -> None:
        self.facts = Facts(starting=True, ready=False)
        self._line = line
        self._ready = ready
        self._brightness = brightness
        self._leds = leds
        self._loop = asyncio.get_running_loop()
        self._single: Callable[[Colour], None] | None = None
        self._ring: Callable[[Sequence[Colour]], None] | None = None
        self._row: Row | None = None
        self._began = self._since = 0.0
        self._frame: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None
        self._calls: dict[str, tuple[str, str]] = {}
        self._lost: set[str] = set()
        self._settled: asyncio.TimerHandle | None = None
        # Before there is any light: what happens while the pins are opened is shown then.
        self._leave = bus.listen(self._notice)

    @property
    def told(self) -> str:
        """The name of what is shown; empty while nothing is."""
        return self._row.name if self._row is not None else ""

    @property
    def lit(self) -> bool:
        """Whether `start` gave it anything to light."""
        return self._single is not None or self._ring is not None

    def renew(self) -> None:
        """Show it once more: the lights were out."""
        self._draw()

    def start(
        self, single: Callable[[Colour], None] | None, ring: Callable[[Sequence[Colour]], None] | None
    ) -> None:
        """Light up; with neither, what happens is noted until it is started with one: the pins may come back."""
        self._single, self._ring = single, ring
        if not self.lit:
            return
        self._began = self._loop.time()
        self._ask()

    def stop(self) -> None:
        """Dark. Whoever lights them is stopped after this."""
        for timer in (self._frame, self._look, self._settled):
            if timer is not None:
                timer.cancel()
        self._leave()
        if self._row is not None:
            self._row = None
            self._light(DARK, (DARK,) * self._leds)

    def set(self, **facts: Any) -> None:
        """Change facts by their names in lights.py."""
        self.facts = replace(self.facts, **facts)
        if not self.lit:
            return
        row = shown(self.facts)
        if row is not self._row:
            self._row, self._since = row, self._loop.time()
            self._draw()

    def _ask(self) -> None:
        self._look = self._loop.call_later(LOOK_SECONDS, self._ask)
        ready = self._ready()
        starting = self.facts.starting and not ready and self._loop.time() - self._began < STARTING_SECONDS
        self.set(ready=ready, starting=starting)

    def _notice(self, event: Event) -> None:
        match event:
            case TurnChanged(line=line, state=state) if line == self._line:
                self.set(turn=state)
            case SessionStateChanged(line=line, to="closed") if line == self._line:
                self.set(turn="idle")
            case MuteChanged(line=line, on=on) if line == self._line:
                self.set(muted=on)
            case ProviderChanged(state=state):
                self.set(unreachable=state == "down")
            case WakeChanged(line=line, state=state) if line == self._line:
                self.set(awake=state == "awake")
            case DeviceChanged(line=line, kind=kind, state=state) if line == self._line:
                self._lost = self._lost | {kind} if state == "lost" else self._lost - {kind}
                self.set(device_lost=bool(self._lost))
            case SetupChanged(state=state):
                self.set(setup=state == "open")
            case Provisioned(ok=ok) if not self.facts.setup:
                self._settle(ok)
            case PowerChanged(state=state):
                self.set(power_low=state == "low")
            case CallChanged():
                self._heed(event)

    def _settle(self, ok: bool) -> None:
        if self._settled is not None:
            self._settled.cancel()
        self._settled = self._loop.call_later(TAKEN_SECONDS, lambda: self.set(settings="")) if ok else None
        self.set(settings="taken" if ok else "faulty")

    def _heed(self, event: CallChanged) -> None:
        if event.state == "ended":
            self._calls.pop(event.call, None)
        else:
            self._calls[event.call] = (event.direction, event.state)
        calls = self._calls.values()
        self.set(
            ringing=any(direction == "in" and state in _RINGS for direction, state in calls),
            in_call=any(state in _TALKS for _, state in calls),
        )

    def _draw(self) -> None:
        if self._frame is not None:
            self._frame.cancel()
            self._frame = None
        if self._row is None:
            return
        pattern, seconds = self._row.pattern, self._loop.time() - self._since
        self._light(lamp(pattern, seconds), ring(pattern, seconds, self._leds))
        rest = lasts(pattern, seconds)
        if rest is not None:
            self._frame = self._loop.call_later(rest, self._draw)

    def _light(self, single: Colour, around: Sequence[Colour]) -> None:
        if self._single is not None:
            self._single(self._dimmed(single))
        if self._ring is not None:
            self._ring([self._dimmed(colour) for colour in around])

    def _dimmed(self, colour: Colour) -> Colour:
        red, green, blue = colour
        return red * self._brightness, green * self._brightness, blue * self._brightness
