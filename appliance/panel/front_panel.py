"""The front panel at work: opens the hardware, takes its reports, and does what the tables say."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from appliance import plugins
from appliance.bus import EventBus
from appliance.config.schema import Gpio
from appliance.errors import ApplianceError, DeviceUnavailable, kind_and_place
from appliance.events import ButtonMoved, HookMoved, Warned
from appliance.health import Part
from appliance.interfaces import ContactMoved, Control, KnobTurned, LightRing, Panel, PanelReport, Wiring
from appliance.panel.contact import Change, Contact, settling
from appliance.panel.lamps import Lamps
from appliance.panel.pins import Pins
from appliance.panel.press import Gesture, Phase, Press, Timing, Told
from appliance.panel.reset import ResetPress
from appliance.panel.room_keys import RoomKeys
from appliance.session.line import HOOK, SWITCH

OUTSTANDING: Final = 64
"""Reports on their way to the loop; a contact that flutters faster is looked at once it has been heard out."""
REPEAT_SECONDS: Final = 0.25
_BUTTONS: Final = (Control.BUTTON, Control.VOLUME_UP, Control.VOLUME_DOWN)
_VOLUME: Final = {Control.VOLUME_UP: 1, Control.VOLUME_DOWN: -1}
logger = logging.getLogger(__name__)


class FrontPanel:
    """`start` and `stop` belong to the loop's thread; the panel's reports may come from any.

    `keys` is what it does in the room, None without a room line. `on_reset`, where it is set, is awaited after a very
    long press in which nobody spoke. `driver` and `amiss` are as presence.py found them.
    """

    def __init__(
        self,
        settings: Gpio,
        keys: RoomKeys | None,
        bus: EventBus,
        part: Part,
        ready: Callable[[], bool],
        driver: Callable[[Wiring], Panel],
        amiss: str = "",
    ) -> None:
        self._amiss = amiss
        self.on_reset: Callable[[], Awaitable[None]] | None = None
        self._settings = settings
        self._keys = keys
        self._bus = bus
        self._part = part
        self._line = keys.line.id if keys is not None else None
        self._loop = asyncio.get_running_loop()
        self._pins = Pins(lambda: driver(self._wiring()), self._there, self._absent)
        self._ring: LightRing | None = None
        leds = settings.ring_leds if settings.ring else 0
        self.lamps = Lamps(bus, self._line or "", ready, brightness=settings.brightness / 100, leds=leds)
        self._reset = ResetPress(keys, self.lamps, self._publish)
        self._wired = {control: pin for control in Control if (pin := getattr(settings, control.value))}
        self._presses: dict[Control, Press] = {}
        self._contacts: dict[Control, Contact] = {}
        self._timers: dict[tuple[str, Control], asyncio.TimerHandle] = {}
        self._as_new()
        self._together = False
        self._outstanding = 0
        self._posting = threading.Lock()
        self._missed = 0
        self._unheard = False
        self._stopped = self._seen = False
        self._warned = ""
        part.required = False

    def start(self) -> None:
        """Shut the microphone until its switch was read, and open the pins; returns at once."""
        if self._keys is not None:
            self._keys.shut_first(self._contacts.keys())
        if self._amiss:
            self._absent(DeviceUnavailable(self._amiss, hint="look at gpio.driver and gpio.chip"))
        elif not self._wired and not self._lit() and not self._settings.ring and not self._settings.knob_a:
            self._part.ok("no pin is set")
        else:
            self._pins.open(self._report)

    async def stop(self) -> None:
        """Lights out, pins released."""
        self._stopped = True
        await self._pins.end()
        for timer in self._timers.values():
            timer.cancel()
        self._reset.cancel()
        self.lamps.stop()
        await self._pins.release()
        if self._ring is not None:
            await asyncio.to_thread(self._ring.stop)

    def counters(self) -> Mapping[str, int]:
        ring = self._ring.counters() if self._ring is not None else {}
        return {"reports_missed": self._missed, **ring}

    def status(self) -> dict[str, Any]:
        """As `status` shows it: which contacts are active, and what the lights tell."""
        return {
            "state": self._state(),
            "reason": self._part.reason,
            "active": sorted(control.value for control, contact in self._contacts.items() if contact.active),
            "light": self.lamps.told,
        }

    def _state(self) -> str:
        if self._pins.there:
            return "ready"
        if self._pins.starting:
            return "starting"
        return "off" if self._part.working else "failed"

    # --- finding it

    async def _there(self, found: Mapping[Control, bool]) -> None:
        """The pins are ours, for the first time or again."""
        self._part.ok()
        self._warned, self._seen = "", True
        self._as_new()
        self._begin(found)
        if self.lamps.lit:
            self.lamps.renew()
        else:
            await self._light()
        if self._pins.there:
            logger.info("the front panel is there: %s", ", ".join(control.value for control in self._wired))

    def _as_new(self) -> None:
        """Nothing is known of any contact: what a finger did before is over."""
        settings = self._settings
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        timing = Timing(settings.double_ms / 1000, settings.long_ms / 1000, settings.very_long_ms / 1000)
        self._presses = {control: Press(timing) for control in self._wired if control in _BUTTONS}
        settle = settling(settings.debounce_ms / 1000)
        self._contacts = {control: Contact(settle[control]) for control in self._wired}

    async def _light(self) -> None:
        self._ring = await self._open_ring() if self._settings.ring else None
        self.lamps.start(
            self._pins.show if self._lit() else None,
            self._ring.show if self._ring is not None else None,
        )
        if self._keys is not None:
            line = self._keys.line
            self.lamps.set(muted=line.muted, awake=line.wake.awake if line.wake is not None else None)

    async def _open_ring(self) -> LightRing | None:
        settings = self._settings
        try:
            ring: LightRing = plugins.load("appliance.light_rings", "spi")(
                settings.ring, settings.ring_device, settings.ring_leds
            )
            await asyncio.to_thread(ring.start)
        except ApplianceError as error:
            self._warn(error)
        except Exception as error:  # noqa: BLE001 - whatever a driver raises, the appliance goes on without it
            logger.error("the driver of the ring broke: %s", kind_and_place(error))
            told = f"the driver of the ring broke: {type(error).__name__}"
            self._warn(DeviceUnavailable(told, hint="look at gpio.ring and gpio.ring_device"))
        else:
            return ring
        return None

    def _begin(self, found: Mapping[Control, bool]) -> None:
        """Take the contacts as they are now: what was reported before this has not been heeded."""
        now = self._loop.time()
        for control, contact in self._contacts.items():
            contact.begin(found.get(control, False), now)
            if control in _BUTTONS and contact.active:
                self._presses[control].found_down(now)
                self._stuck(control, 0.0)
        if self._keys is not None:
            self._keys.found({control: contact.active for control, contact in self._contacts.items()})
        for control in self._contacts:
            self._read(control)

    def _absent(self, error: ApplianceError) -> None:
        """A switch that cannot be read is taken for one that is off, a cradle for what it last was: one that was never
        seen keeps nobody from the room."""
        told = error.message
        if self._keys is not None:
            if Control.MUTE in self._wired:
                self._keys.line.shut(SWITCH, True)
                told += "; the microphone stays off, since its switch cannot be read"
            if not self._seen:
                self._keys.line.shut(HOOK, False)
            elif HOOK in self._keys.line.capture.shut_by:
                told += "; the microphone stays off, since the receiver was last seen on its cradle"
            self._keys.let_go()
        self._part.failing(f"{told}; {error.hint}")
        self._reset.cancel()
        self._as_new()
        if told != self._warned:
            self._warned = told
            self._warn(error)

    def _wiring(self) -> Wiring:
        settings = self._settings
        return Wiring(
            contacts=self._wired,
            knob=(settings.knob_a, settings.knob_b) if settings.knob_a and settings.knob_b else None,
            leds=(settings.led_red, settings.led_green, settings.led_blue),
            active_low=settings.active_low,
            inverted=frozenset(Control(name) for name in settings.inverted),
            led_active_low=settings.led_active_low,
            chip=settings.chip,
        )

    def _lit(self) -> bool:
        return any((self._settings.led_red, self._settings.led_green, self._settings.led_blue))

    # --- reports

    def _report(self, report: PanelReport) -> None:
        """Any thread. The microphone is shut before anybody else gets a turn."""
        muting = isinstance(report, ContactMoved) and report.control is Control.MUTE and report.active
        if muting and self._keys is not None:
            self._keys.line.capture.shut(SWITCH, True)
        with self._posting:
            if self._outstanding >= OUTSTANDING:
                self._missed += 1
                self._unheard = True
                return
            self._outstanding += 1
        try:
            self._loop.call_soon_threadsafe(self._take, report)
        except RuntimeError:
            self._stopped = True

    def _take(self, report: PanelReport) -> None:
        with self._posting:
            self._outstanding -= 1
            again = self._unheard and not self._outstanding
            if again:
                self._unheard = False
        if self._stopped or not self._pins.there:
            return
        match report:
            case ContactMoved(control=control, active=active, at=at):
                self._heed(control, self._contacts[control].move(active, at))
            case KnobTurned(steps=steps):
                self._louder(steps)
        if again:
            for control in self._contacts:
                self._read(control)

    def _read(self, control: Control) -> None:
        """The contact as it stands, where a report was missed."""
        active = self._pins.active(control)
        if active is not None:
            self._heed(control, self._contacts[control].move(active, self._loop.time()))

    def _heed(self, control: Control, changes: tuple[Change, ...]) -> None:
        for change in changes:
            if control in _BUTTONS:
                self._pressed(control, change)
            elif self._keys is None:
                self._tell_hook(control, change.active)
            elif control is Control.HOOK:
                self._tell_hook(control, change.active)
                self._guarded(self._keys.lifted if change.active else self._keys.laid_down)
            else:
                self._switched(self._keys, change.active)
        contact = self._contacts[control]
        self._wake("contact", control, contact.due, lambda: self._heed(control, contact.look(self._now())))

    def _switched(self, keys: RoomKeys, off: bool) -> None:
        """The switch's own thread may have shut the microphone again since: so look once it is open."""
        keys.line.shut(SWITCH, off)
        if not off and self._pins.active(Control.MUTE) is not False:
            keys.line.shut(SWITCH, True)

    def _tell_hook(self, control: Control, active: bool) -> None:
        if control is Control.HOOK:
            self._publish(HookMoved(line=self._line, state="off" if active else "on"))

    # --- buttons

    def _pressed(self, control: Control, change: Change) -> None:
        press = self._presses[control]
        if not change.active:
            self._tell(control, press.up(change.at))
            self._together &= any(self._down(other) for other in self._presses)
            return
        down = [other for other in self._presses if self._down(other)]
        self._tell(control, press.down(change.at))
        if len(down) > 1:
            for other in down:
                self._tell(other, self._presses[other].spoil(change.at))
            if not self._together:
                self._together = True
                names = " and ".join(other.value for other in down)
                self._complain("buttons_together", f"{names} were pressed together", "press one at a time")

    def _down(self, control: Control) -> bool:
        """Somebody has a finger on it. One that is stuck must not spoil what is done with the others."""
        contact = self._contacts[control]
        return contact.active and contact.seen and self._presses[control].phase is not Phase.STUCK

    def _tell(self, control: Control, told: tuple[Told, ...]) -> None:
        for one in told:
            self._gesture(control, one)
        press = self._presses[control]
        self._wake("press", control, press.due, lambda: self._tell(control, press.look(self._now())))

    def _gesture(self, control: Control, told: Told) -> None:
        held_ms = round(told.held * 1000)
        action = told.gesture.value
        self._publish(ButtonMoved(line=self._line, button=control.value, action=action, held_ms=held_ms))
        if told.gesture is Gesture.STUCK:
            self._stuck(control, told.held, event=False)
        if control is Control.BUTTON:
            if self._keys is not None:
                self._guarded(lambda keys=self._keys: keys.talk(self._settings.talk, told.gesture))  # type: ignore[misc]
            self._reset.take(told, self.on_reset if self._settings.factory_reset else None)
        elif told.gesture is Gesture.PRESSED:
            self._louder(_VOLUME[control])
        elif told.gesture is Gesture.HOLD:
            self._repeat(control)

    def _repeat(self, control: Control) -> None:
        """Louder and louder, as long as the button is held."""
        if self._presses[control].held:
            self._louder(_VOLUME[control])
            self._wake("repeat", control, self._now() + REPEAT_SECONDS, lambda: self._repeat(control))

    def _stuck(self, control: Control, held: float, *, event: bool = True) -> None:
        if event:
            self._publish(ButtonMoved(line=self._line, button=control.value, action=Gesture.STUCK.value))
        since = f"has been down for {held:.0f} s" if held else "was down from the start"
        hint = f"free it, or look at its wire and at gpio.{control.value}, gpio.active_low and gpio.inverted"
        self._complain("button_stuck", f"{control.value} {since} and is ignored until it comes up", hint)

    def _louder(self, steps: int) -> None:
        if self._keys is not None:
            self._keys.turn(steps * self._settings.knob_step)

    # --- inside

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except ApplianceError as error:
            self._complain(error.code, error.message, error.hint)

    def _warn(self, error: ApplianceError) -> None:
        logger.warning("front panel: %s; %s", error.message, error.hint)
        self._publish(Warned(line=self._line, code=error.code, message=error.message, hint=error.hint))

    def _complain(self, code: str, message: str, hint: str) -> None:
        logger.warning("front panel: %s", message)
        self._publish(Warned(line=self._line, code=code, message=message, hint=hint))

    def _publish(self, event: ButtonMoved | HookMoved | Warned) -> None:
        self._bus.publish(event)

    def _now(self) -> float:
        return self._loop.time()

    def _wake(self, what: str, control: Control, due: float | None, action: Callable[[], None]) -> None:
        timer = self._timers.pop((what, control), None)
        if timer is not None:
            timer.cancel()
        if due is not None and not self._stopped:
            self._timers[what, control] = self._loop.call_at(due, action)
