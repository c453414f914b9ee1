"""Phone lines: joins an answered call to a line and session of its own, its audio to the telephone, and a recorder."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from appliance.audio import tones
from appliance.audio.dtmf import Digit
from appliance.bus import EventBus
from appliance.call.call import ROOM, Call
from appliance.call.controller import Calls
from appliance.call.machine import CallState
from appliance.call.pin import PinEntry
from appliance.config.schema import Agent, Recording
from appliance.config.schema import Transfer as TransferSettings
from appliance.errors import ApplianceError, NotPossible, kind_and_place
from appliance.events import CallChanged, Event, Warned
from appliance.interfaces import DtmfReport, LineKind, Telephone, Voice
from appliance.keyed_digits import KeyedDigits
from appliance.pin_gate import PinGate, entry_for
from appliance.recorded_calls import RecordedCalls
from appliance.room_calls import RoomCalls
from appliance.session.line import Line
from appliance.session.lines import Lines
from appliance.tap import Tap
from appliance.transfer import Transfers

_PREFIX: Final = "phone-"
_NOT_ASKED: Final = "a caller could not be asked for the PIN, and was hung up on"
_REPORT: Final = "the log names the fault"
logger = logging.getLogger(__name__)


class Phones:
    """Told of answered and ended calls by the controller; all methods belong to the loop's thread."""

    def __init__(
        self,
        telephone: Telephone,
        lines: Lines,
        bus: EventBus,
        recording: Recording,
        directory: Path,
        *,
        keypad_pause: float = 0.0,
        transfer: TransferSettings | None = None,
        agents: Callable[[], Mapping[str, Agent]] = dict,
        agent: str = "",
        voice: Voice | None = None,
        ears: Callable[[bytes], str] | None = None,
        minutes_per_call: int = 0,
    ) -> None:
        self._telephone = telephone
        self._lines = lines
        self._bus = bus
        self._taps: dict[str, Tap] = {}
        self.recorded = RecordedCalls(recording, directory, bus, self._taps, voice, self._language)
        self.digits = KeyedDigits(self._taps, keypad_pause)
        self._closing: set[asyncio.Task[None]] = set()
        self._agents = agents
        self._agent = agent
        self._voice = voice
        self._ears = ears
        parts = (bus, voice, self._controller, self.line_of, self.recorded.notice)
        self.transfers = Transfers(transfer or TransferSettings(), *parts, minutes_per_call)
        bus.listen(self._notice)
        self.room_dials_for = "person"
        self.rooms: RoomCalls | None = None
        """Calls of the person in the room; set by the daemon, where there is one."""
        self.calls: Calls | None = None
        """The controller; set by the daemon, which builds both."""

    def connected(self, call: Call) -> None:
        """Give the call a line, a session and its audio. Where none is to be had, the call is hung up."""
        line = self._lines.open_line(
            LineKind.PHONE,
            capture_rate=self._telephone.rate,
            playout_rate=self._telephone.rate,
            line_id=f"{_PREFIX}{call.id}",
        )
        tap = self._taps[call.id] = Tap(line, self._telephone.rate, call, self._heard_on(call.id))
        call.line = line.id
        line.playout.lag = lambda: self._telephone.heard_lag_ms(call.id)
        if call.beside:
            line.lend().repeat(tones.music(self._telephone.rate))
            self._telephone.attach(call.id, tap.capture, tap.playout)
            return
        if call.place == ROOM and self.rooms is not None and self.rooms.can_take(call):
            self._telephone.attach(call.id, tap.capture, tap.playout)
            self.rooms.take(call)
            return
        call.place = ""
        section = self._agents().get(call.agent or self._agent)
        pin = entry_for(section, self._bus) if section is not None and call.direction == "in" else None
        if pin is None:
            self._serve(call, tap)
            return
        call.locked = True
        self._telephone.attach(call.id, tap.capture, tap.playout)
        task = asyncio.get_running_loop().create_task(self._unlock(call, tap, pin), name=f"pin {call.id}")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _unlock(self, call: Call, tap: Tap, entry: PinEntry) -> None:
        """Ask for the PIN; then serve the call, or end it. Nothing of it is recorded, told or written down."""
        gate = PinGate(tap.line, entry, self._voice, self._language(call), self._ears)
        self.digits.divert(call.id, gate.press)
        refusal = Warned(
            code="pin_refused", message=f"a caller did not know the PIN: {call.peer}", line=tap.line.id
        )
        try:
            admitted = await gate.run(lambda: call.state is not CallState.ENDED)
        except Exception as fault:  # noqa: BLE001 - whatever it is, the caller must not be left in silence
            logger.error("the PIN of call %s was not asked for: %s", call.id, kind_and_place(fault))
            admitted, refusal = (
                False,
                replace(refusal, code="pin_not_asked", message=_NOT_ASKED, hint=_REPORT),
            )
        finally:
            self.digits.divert(call.id, None)
            call.locked = False
        if call.state is CallState.ENDED:
            return
        tap.line.reclaim()
        if admitted:
            self._controller().admit(call)
            self._serve(call, tap)
        else:
            self._bus.publish(refusal)
            self._hang_up_soon(call.id)

    def _serve(self, call: Call, tap: Tap) -> None:
        line = tap.line
        try:
            session = self._lines.open_session(line, agent=call.agent, greeting=False, about=call.about)
            call.session = session.id
            self._telephone.attach(call.id, tap.capture, tap.playout)
        except ApplianceError as error:
            logger.warning("call %s cannot be served: %s", call.id, error.code)
            self._bus.publish(Warned(line=line.id, code=error.code, message=error.message, hint=error.hint))
            self._hang_up_soon(call.id)
            return
        if call.intercom:
            line.playout.play("intercom", tones.beep(tap.rate), tap.rate)
            line.playout.finish("intercom")
        self.recorded.served(call.id, session)
        session.greet()

    def ended(self, call: Call) -> None:
        """Close the call's line, and its recording; the call that it was joined with ends too."""
        self.transfers.part(call)
        tap = self._taps.pop(call.id, None)
        if tap is None:
            return
        self.digits.ended(call.id)
        self.recorded.ended(call.id, tap)
        task = asyncio.get_running_loop().create_task(
            self._lines.close_line(tap.line.id, call.reason or "hangup")
        )
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _language(self, call: Call) -> str:
        """What its agent speaks."""
        section = self._agents().get(call.agent or self._agent)
        return section.language if section is not None else "en"

    def record_for_agent(self, line: str, on: bool) -> None:
        """PhoneActions: a tool asked for it."""
        self.recorded.record_on_request(self._call_on(line), on)

    def _heard_on(self, call: str) -> Callable[[Digit], None]:
        loop = asyncio.get_running_loop()

        def heard(digit: Digit) -> None:
            report = DtmfReport(call, digit.digit, digit.duration_ms, "inband")
            loop.call_soon_threadsafe(self._controller().handle, report)

        return heard

    async def stop(self) -> None:
        """Wait until all lines are closed; at most 3 s."""
        if self._closing:
            await asyncio.wait(tuple(self._closing), timeout=3.0)

    async def dial(self, line: str, to: str) -> str:
        """PhoneActions: a call that a tool asked for. Who asked in the room talks on it; it rings meanwhile."""
        calls = self._controller()
        if line != ROOM or self.rooms is None or self.room_dials_for != "person":
            return calls.dial(to, by_agent=True)
        name = calls.dial(to, by_agent=True, line=ROOM)
        await self.rooms.outcome(calls.call(name))
        return name

    def line_of(self, call: str) -> Line:
        """An answered call's. Raise NotPossible."""
        if call not in self._taps:
            raise NotPossible(f"call {call} has no audio", hint="answer it first")
        return self._taps[call].line

    def serve(self, call: Call) -> None:
        """An agent takes an answered call that had none."""
        self._serve(call, self._taps[call.id])

    def require_ready(self) -> None:
        """For the controller: raise while nobody in the room could talk on one more call."""
        self._room().require_ready()

    def dialled(self, call: Call) -> None:
        """For the controller: the person in the room waits for whom they called."""
        self._room().dialled(call)

    def place(self, call: Call, line: str) -> None:
        """For the controller: the person in the room takes an answered call, or hands it to the agent."""
        rooms = self._room()
        if self.transfers.concerns(call.id) or call.locked or call.beside:
            raise NotPossible(
                f"call {call.id} cannot be moved now",
                hint="wait until its PIN is given, or its transfer is over",
            )
        if line == ROOM:
            if not rooms.has(call):
                rooms.require_ready()
                rooms.take(call)
        else:
            rooms.give(call)
            session = self.line_of(call.id).session
            if session is not None:
                self.recorded.served(call.id, session)

    async def transfer(self, line: str, to: str, summary: str) -> None:
        """PhoneActions: hand the caller on that line over to somebody else."""
        await self.transfers.hand_over(self._controller().call(self._call_on(line)), to, summary)

    def attended(self, call: Call, to: str, summary: str) -> None:
        """For the controller: an attended transfer that the control API asked for."""
        self.transfers.begin(call, to, summary)

    def session_over(self, line: str) -> None:
        """A session ended by itself: so does its call, unless somebody else has it now."""
        call = self._call_on(line)
        if not self.transfers.has_joined(call) and self._controller().call(call).place != ROOM:
            self._controller().hang_up(call)

    def _notice(self, event: Event) -> None:
        """While a call is held, or the far phone calls somebody else, its session waits and the line has music."""
        if not isinstance(event, CallChanged):
            return
        if self.transfers.concerns(event.call):
            self.transfers.notice(event)
            return
        tap = self._taps.get(event.call)
        if tap is None or tap.line.session is None or tap.call.place == ROOM:
            return
        line = tap.line
        if event.state == CallState.CONNECTED:
            line.reclaim()
        elif event.state == CallState.HELD:
            line.lend().repeat(tones.music(tap.rate))
        elif event.state == CallState.TRANSFERRING:
            line.lend().repeat(tones.ringing(tap.rate))

    def hang_up(self, line: str) -> None:
        """PhoneActions: end the call on that line."""
        self._controller().hang_up(self._call_on(line))

    def _call_on(self, line: str) -> str:
        call = self._controller().on_line(line)
        if call is None:
            raise NotPossible("There is no call on this line.", hint="status lists the calls")
        return call.id

    def _room(self) -> RoomCalls:
        if self.rooms is None:
            raise NotPossible("there is no room", hint="set room.enabled = true")
        return self.rooms

    def _controller(self) -> Calls:
        if self.calls is None:
            raise NotPossible("There is no telephone here.", hint="set sip.enabled = true")
        return self.calls

    def _hang_up_soon(self, call: str) -> None:
        """Not at once: the controller is in the middle of taking the answer."""
        controller = self._controller()
        hang_up: Callable[[str], str] = controller.hang_up
        asyncio.get_running_loop().call_soon(_quietly, hang_up, call)


def _quietly(hang_up: Callable[[str], str], call: str) -> None:
    try:
        hang_up(call)
    except ApplianceError as error:
        logger.info("call %s had gone: %s", call, error.code)
