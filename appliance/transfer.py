"""A call handed over to a person: they are called beside it, told who it is, and joined; else the caller comes back.

The caller hears ringing, and music once the other side has answered: never silence.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from appliance.audio import tones
from appliance.bus import EventBus
from appliance.call.call import Call
from appliance.call.controller import Calls
from appliance.call.machine import ANSWERED, HELD_HERE, CallState
from appliance.call.outcome import NO_ANSWER_CODE, Outcome, outcome_of, sentence
from appliance.config.schema import Transfer as Settings
from appliance.errors import ApplianceError, NotPossible, kind_and_place
from appliance.events import CallChanged, DtmfReceived, Event
from appliance.interfaces import Voice
from appliance.session.allowance import warning_seconds
from appliance.session.bridge import Bridge
from appliance.session.line import Line

ACCEPT_KEY: Final = "1"
ACCEPT_SECONDS: Final = 12.0
SUMMARY_SECONDS: Final = 60.0
VOICE_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.05
_REFER_SECONDS: Final = 65.0
_TAKEN_OVER_SECONDS: Final = 3.0
"""How long after the caller's phone took our place the other phone may take to hang up on us."""
_FAILED: Final = "transfer failed"
_STAYED: Final = frozenset({CallState.CONNECTED, CallState.HELD})
_ACCEPT_LINE: Final = "Press 1 to take the call."
logger = logging.getLogger(__name__)


class NotTaken(Exception):
    """Nobody took the call."""

    def __init__(self, outcome: Outcome, code: int = 0) -> None:
        super().__init__(outcome.value)
        self.outcome = outcome
        self.code = code


class CallerGone(Exception):
    """Who was to be handed over has hung up."""


class Transfer:
    """One hand-over; `run` once. `line_of` gives the line of an answered call."""

    def __init__(
        self,
        caller: Call,
        line: Line,
        to: str,
        summary: str,
        *,
        by_agent: bool,
        notice: str,
        calls: Calls,
        line_of: Callable[[str], Line],
        bus: EventBus,
        voice: Voice | None,
        settings: Settings,
    ) -> None:
        self._caller = caller
        self._line = line
        self._to = to
        self._summary = summary
        self._by_agent = by_agent
        self._notice_first = notice
        self._calls = calls
        self._line_of = line_of
        self._bus = bus
        self._voice = voice
        self._settings = settings
        self._asked: Call | None = None
        self._digits = ""
        self._held = caller.state is CallState.HELD
        """The call to the caller is on hold; its state tells of the transfer."""
        self._held_here = self._held and caller.reason == HELD_HERE
        self._changed = asyncio.Event()

    async def run(self) -> Bridge:
        """Return the two joined lines; raise NotPossible with the reason when the caller is back with the agent."""
        leave = self._bus.listen(self._notice)
        loan = self._line.lend()
        loan.repeat(tones.ringing(self._line.playout.rate))
        try:
            self._calls.mark(self._caller, CallState.TRANSFERRING, 0, f"calling {self._to}")
            asked = self._asked = self._calls.consult(self._caller, self._to, by_agent=self._by_agent)
            await self._ask(asked, loan.repeat)
            bridge = Bridge(self._line, self._line_of(asked.id))
        except NotTaken as fault:
            self._come_back(fault.code, str(fault.outcome))
            raise NotPossible(sentence(fault.outcome, self._to)) from fault
        except ApplianceError as fault:
            self._come_back(0, fault.message)
            raise
        except CallerGone as fault:
            self._drop_asked()
            raise NotPossible("The caller has hung up.", hint="nothing is left to do") from fault
        except BaseException as fault:
            # Also for a bug: nobody else would take the caller from the music.
            self._come_back(0, "cancelled" if isinstance(fault, asyncio.CancelledError) else "internal")
            raise
        finally:
            leave()
        if self._held:
            bridge.hold(self._line, True)
        state = CallState.HELD if self._held else CallState.CONNECTED
        self._calls.mark(self._caller, state, 0, f"joined with {asked.id}")
        if self._held and self._held_here:
            # Who was held while somebody was found for them is not kept waiting.
            self._calls.resume(self._caller.id)
        return bridge

    @property
    def asked(self) -> Call | None:
        """The call to whom the caller is handed over to."""
        return self._asked

    async def _ask(self, asked: Call, tune: Callable[[bytes], None]) -> None:
        try:
            await self._until(lambda: asked.state in ANSWERED and bool(asked.line), self._settings.ring_time)
        except TimeoutError:
            self._calls.give_up(asked)
            raise NotTaken(Outcome.NO_ANSWER, NO_ANSWER_CODE) from None
        tune(tones.music(self._line.playout.rate))
        by_key = self._settings.accept == "key"
        parts = (self._notice_first, self._summary, _ACCEPT_LINE if by_key else "")
        text = " ".join(part for part in parts if part)
        if text and self._voice is not None:
            await self._tell(self._voice, self._line_of(asked.id), text, lambda: by_key and self._accepted())
        if by_key:
            try:
                await self._until(self._accepted, ACCEPT_SECONDS)
            except TimeoutError:
                raise NotTaken(Outcome.VOICEMAIL) from None

    def _accepted(self) -> bool:
        return ACCEPT_KEY in self._digits

    async def _tell(self, voice: Voice, line: Line, text: str, enough: Callable[[], bool]) -> None:
        """Say `text` to who was asked, until it is heard or `enough`; a voice that fails keeps nobody waiting."""
        loan = line.lend()
        try:
            async with asyncio.timeout(VOICE_SECONDS):
                async for piece in voice.speak(text):
                    loan.playout.play("summary", piece.pcm, piece.rate)
        except (TimeoutError, ApplianceError) as fault:
            logger.warning("the summary could not be spoken: %s", type(fault).__name__)
        loan.playout.finish("summary")
        try:
            await self._until(lambda: enough() or not loan.playout.active(), SUMMARY_SECONDS)
        except TimeoutError:
            logger.warning("the summary did not end")

    async def _until(self, done: Callable[[], bool], seconds: float) -> None:
        """Raise TimeoutError, NotTaken when the call to them ends, CallerGone when the caller does."""
        async with asyncio.timeout(seconds):
            while not done():
                self._check()
                self._changed.clear()
                try:
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await self._changed.wait()
                except TimeoutError:
                    continue
        self._check()

    def _check(self) -> None:
        asked = self._asked
        if self._caller.state is CallState.ENDED:
            raise CallerGone
        if asked is not None and asked.state is CallState.ENDED:
            answered = asked.connected_at is not None
            raise NotTaken(Outcome.DECLINED if answered else outcome_of(asked.code), asked.code)

    def _come_back(self, code: int, reason: str) -> None:
        self._drop_asked()
        if self._held:
            # The session goes on when the call does.
            self._line.lend().repeat(tones.music(self._line.playout.rate))
        else:
            self._line.reclaim()
        state = CallState.HELD if self._held else CallState.CONNECTED
        self._calls.mark(self._caller, state, code, f"{_FAILED}: {reason}")

    def _drop_asked(self) -> None:
        asked = self._asked
        if asked is None or asked.state is CallState.ENDED:
            return
        try:
            self._calls.hang_up(asked.id)
        except ApplianceError as fault:
            logger.info("call %s had gone: %s", asked.id, fault.code)

    def _notice(self, event: Event) -> None:
        asked = self._asked
        match event:
            case DtmfReceived(call=call, digit=digit) if asked is not None and call == asked.id:
                self._digits += digit
            case CallChanged(call=call, state=state):
                if call == self._caller.id and state in _STAYED:
                    self._held = state == CallState.HELD
            case _:
                return
        self._changed.set()


class Transfers:
    """Those under way, and the calls that they have joined. Belongs to the loop's thread.

    `notice` is what whoever takes a call must hear first: that it is recorded.
    """

    def __init__(
        self,
        settings: Settings,
        bus: EventBus,
        voice: Voice | None,
        calls: Callable[[], Calls],
        line_of: Callable[[str], Line],
        notice: Callable[[Call], str],
        minutes: int = 0,
    ) -> None:
        self._settings = settings
        self._bus = bus
        self._voice = voice
        self._calls = calls
        self._line_of = line_of
        self._notice = notice
        self._running: dict[str, asyncio.Task[None]] = {}
        self._minutes = minutes
        """Of a call, also while two talk to each other; 0 is no limit."""
        self._bridges: dict[str, tuple[Bridge, str]] = {}
        """By call: what it is joined by, and the other call."""

    def concerns(self, call: str) -> bool:
        """Whether its line is used for a transfer, or joined with another."""
        return call in self._running or call in self._bridges

    def has_joined(self, call: str) -> bool:
        return call in self._bridges

    async def hand_over(self, call: Call, to: str, summary: str) -> None:
        """For an agent, as the settings say; raise NotPossible with the reason when the caller stays."""
        if self._settings.mode == "attended":
            # The session that waits here may end; the transfer goes on.
            await asyncio.shield(self.begin(call, to, summary, by_agent=True))
        else:
            await self._refer(call, to)

    def begin(self, call: Call, to: str, summary: str, *, by_agent: bool = False) -> asyncio.Task[None]:
        """An attended one. Raise NotPossible where one is under way."""
        if self.concerns(call.id):
            raise NotPossible(
                "This call is being transferred already.", hint="hang up whom it is transferred to first"
            )
        if call.locked or call.place or call.beside:
            raise NotPossible(
                "This call cannot be transferred now.",
                hint="a call in the room is handed to the agent first (line agent); mode blind needs no agent",
            )
        transfer = Transfer(
            call,
            self._line_of(call.id),
            to,
            summary,
            by_agent=by_agent,
            notice=self._notice(call),
            calls=self._calls(),
            line_of=self._line_of,
            bus=self._bus,
            voice=self._voice,
            settings=self._settings,
        )
        task = asyncio.get_running_loop().create_task(self._run(call, transfer), name=f"transfer {call.id}")
        self._running[call.id] = task
        task.add_done_callback(lambda done: self._over(call.id, done))
        return task

    def notice(self, event: CallChanged) -> None:
        """One of two that are joined is on hold, or goes on."""
        bridge, other = self._bridges.get(event.call, (None, ""))
        if bridge is not None and other in self._bridges and event.state in _STAYED:
            bridge.hold(self._line_of(event.call), event.state == CallState.HELD)

    def part(self, call: Call) -> None:
        """A call has ended: hang up the one that it was joined with, unless a phone takes our place there."""
        bridge, other = self._bridges.pop(call.id, (None, ""))
        if bridge is None:
            return
        self._bridges.pop(other, None)
        patience = _TAKEN_OVER_SECONDS if call.reason == "transferred" else 0.0
        asyncio.get_running_loop().call_later(patience, self._hang_up, other)

    async def _run(self, call: Call, transfer: Transfer) -> None:
        session = self._line_of(call.id).session
        bridge = await transfer.run()
        asked = transfer.asked
        if asked is None:
            return
        self._bridges[call.id], self._bridges[asked.id] = (bridge, asked.id), (bridge, call.id)
        logger.info("call %s is joined with %s", call.id, asked.id)
        if self._minutes:
            self._limit(call, bridge)
        if self._settings.join == "auto":
            try:
                self._calls().join(call, asked)
            except ApplianceError as error:
                logger.info("call %s stays joined here: %s", call.id, error.code)
        # Last: the tool that asked for this runs in that session.
        if session is not None:
            session.end("transferred")

    def _limit(self, call: Call, bridge: Bridge) -> None:
        """Both hear a tone before the call's time is over, and are hung up on when it is."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        talked = now - call.answered_at if call.answered_at is not None else 0.0
        left = max(0.0, self._minutes * 60 - talked)
        loop.call_later(max(0.0, left - warning_seconds(self._minutes)), self._warn, call.id, bridge)
        loop.call_later(left, self._time_over, call.id, bridge)

    def _warn(self, call: str, bridge: Bridge) -> None:
        if self._bridges.get(call, (None, ""))[0] is bridge:
            bridge.signal()

    def _time_over(self, call: str, bridge: Bridge) -> None:
        if self._bridges.get(call, (None, ""))[0] is bridge:
            logger.info("call %s has reached limits.minutes_per_call", call)
            self._hang_up(call)

    def _over(self, call: str, task: asyncio.Task[None]) -> None:
        self._running.pop(call, None)
        if task.cancelled() or (fault := task.exception()) is None:
            return
        if isinstance(fault, ApplianceError):
            logger.info("call %s was not handed over: %s", call, fault.code)
        else:
            logger.error("the transfer of call %s broke: %s", call, kind_and_place(fault))

    async def _refer(self, call: Call, to: str) -> None:
        """Blind: ask the far phone to call `to`, and wait for what becomes of it."""
        changed = asyncio.Event()
        leave = self._bus.listen(lambda _: changed.set())
        try:
            self._calls().transfer(call.id, to, by_agent=True)
            async with asyncio.timeout(_REFER_SECONDS):
                while call.state is not CallState.ENDED:
                    if call.state in _STAYED and call.reason.startswith(_FAILED):
                        raise NotPossible(sentence(outcome_of(call.code), to))
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            raise NotPossible(sentence(Outcome.NO_ANSWER, to)) from None
        finally:
            leave()

    def _hang_up(self, call: str) -> None:
        try:
            self._calls().hang_up(call)
        except ApplianceError as error:
            logger.info("call %s had gone: %s", call, error.code)
