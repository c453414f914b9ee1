"""What goes on in a session whatever becomes of its connection: hearing, answering, announcing, typing."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from appliance.agents.agent import Agent
from appliance.agents.runner import ToolRunner
from appliance.audio.playout import Mark
from appliance.bus import EventBus
from appliance.errors import ApplianceError, NotPossible, RequestInvalid
from appliance.events import Event, Warned
from appliance.interfaces import (
    CancelResponse,
    ProviderCommand,
    ProviderEvent,
    ToolContext,
    Voice,
)
from appliance.session.announcements import Announcement
from appliance.session.announcer import Announcer, room
from appliance.session.answers import Answers
from appliance.session.calls import Calls
from appliance.session.downlink import Cut, Downlink
from appliance.session.floor import Floor, Strands
from appliance.session.hearing import Hearing
from appliance.session.latency import TurnStopwatch
from appliance.session.link import Link
from appliance.session.onset import OnsetWatch
from appliance.session.phrases import Phrase, phrase
from appliance.session.place import SessionLine, Surroundings
from appliance.session.record import Record
from appliance.session.replies import Replies
from appliance.session.retelling import Retelling
from appliance.session.turn import Interrupted, Phase, TextTyped
from appliance.session.uplink import Uplink

TYPED_BOUND: Final = 8
TEXT_BOUND: Final = 4_000
QUIET_BOUND: Final = 8
QUIET_SECONDS: Final = 15.0
"""How long `when_quiet` waits for what is being said to be heard."""


class Wire(Protocol):
    """The way to the provider."""

    link: Link

    @property
    def open(self) -> bool:
        """The session is not closed."""
        ...

    def stir(self) -> None:
        """Something happened: nobody needs to lose patience."""
        ...


class Dialogue:
    """All methods belong to the loop's thread."""

    def __init__(
        self,
        session: str,
        line: SessionLine,
        agent: Agent,
        around: Surroundings,
        context: ToolContext,
        wire: Wire,
    ) -> None:
        self._line = line
        self._agent = agent
        self._bus: EventBus = around.bus
        self._wire = wire
        self._loop = asyncio.get_running_loop()
        downlink = Downlink(line.playout)
        self.strands = Strands(
            session=session,
            line=line.id,
            bus=around.bus,
            playout=line.playout,
            uplink=Uplink(around.vad.pre_roll_ms),
            downlink=downlink,
            answers=Answers(),
            record=Record(session, line.id, around.bus, around.journal),
            stopwatch=TurnStopwatch(),
        )
        self.floor = Floor(self.strands, self)
        onset = OnsetWatch(around.vad.start_ms, around.conversation.barge_in_confirm_ms)
        self.hearing = Hearing(self.floor, self.strands.uplink, onset, self, by_voice=line.by_voice)
        self.runner = ToolRunner(agent, context, around.bus)
        self._calls = Calls(self.strands, self.floor, self.runner, self)
        self.retelling = Retelling(self.strands, self.floor, self._calls, self)
        self._replies = Replies(self.strands, self.floor, self._calls, self)
        voice: Voice | None = around.voice
        self._announcer = Announcer(voice, downlink, self._sound_changed, self._voice_failed)
        self._typed: deque[tuple[int, str]] = deque()
        self._quiet: list[Callable[[], None]] = []

    # --- commands ---

    def send_text(self, text: str) -> int:
        """A typed turn: it interrupts what is being said, and waits while somebody talks or thinks."""
        text = self._checked(text)
        if len(self._typed) >= TYPED_BOUND:
            raise NotPossible("too many texts wait for their answer", hint="wait for their transcript events")
        turn = self.floor.number()
        self._typed.append((turn, text))
        if self.floor.phase is Phase.SPEAKING:
            self._send_typed()
        else:
            self.floor.settle()
        return turn

    def announce(
        self, text: str, *, interruptible: bool = True, urgent: bool = False, patient: bool = False
    ) -> str:
        """Line up what the device's voice is to say; return its id. Raise NotPossible without a voice."""
        text = self._checked(text)
        if not self._announcer.able:
            raise NotPossible("there is no voice on this device", hint="install espeak-ng")
        announcement = Announcement(self._announcer.name(), text, interruptible, urgent, patient)
        if self._announcer.waiting.add(announcement) is not None:
            self.warn("announcement_dropped", "too much is waiting to be said: one announcement was dropped")
        self.floor.settle()
        return announcement.id

    def appliance_says(self, which: Phrase, *, interruptible: bool = True, patient: bool = False) -> None:
        """One of the appliance's own lines; without a voice, a warning only."""
        words = phrase(which, self._agent.language)
        self.warn(which.value, words)
        if self._announcer.able and self._wire.open:
            self.announce(words, interruptible=interruptible, urgent=True, patient=patient)

    def interrupt(self, reason: str) -> None:
        self.floor.drive(Interrupted(), reason)

    def when_quiet(self, action: Callable[[], None]) -> None:
        """Call `action` once what is being said was heard and nothing is owed, after QUIET_SECONDS at the latest."""
        if len(self._quiet) >= QUIET_BOUND:
            raise NotPossible("too much waits for the end of what is being said")
        self._quiet.append(action)
        self._loop.call_later(QUIET_SECONDS, self._act, action)
        self._loop.call_soon(self.floor.settle)

    def abandon_answer(self, which: Phrase) -> None:
        """No answer comes: let the floor go, and say so unless something was said."""
        sounding = self.strands.downlink.sounding
        self.floor.give_up()
        if sounding is None or not sounding.response:
            self.appliance_says(which)

    def check(self) -> None:
        """Called now and then: ends and begins what no event does."""
        self.hearing.check()
        self._calls.release()

    @property
    def speaking(self) -> bool:
        """Something sounds, or is about to."""
        downlink = self.strands.downlink
        return downlink.sounding is not None or bool(downlink.ready) or self._announcer.busy

    @property
    def awaits_provider(self) -> bool:
        """The person waits, and only the provider can help: for an answer, or for the rest of what sounded."""
        owed, sounding = self.strands.answers.owed, self.strands.downlink.sounding
        if owed is not None:
            return not self._calls.busy(owed)
        half_said = sounding is not None and bool(sounding.response) and not sounding.finished
        return half_said and self._line.playout.queued_ms() == 0

    @property
    def unanswered(self) -> int | None:
        """The turn that an answer is owed to, where the next connection is given it, or a tool's result for it."""
        owed = self.strands.answers.owed
        if owed is None:
            return None
        resent = any(entry.turn == owed for entry in self.strands.uplink.unanswered())
        return owed if resent or self._calls.keeps(owed) else None

    # --- the connection ---

    def take(self, event: ProviderEvent) -> None:
        self._replies.take(event)

    def lost(self, *, broken: bool) -> None:
        """The connection is gone; `broken`: not on purpose."""
        self._replies.lost()
        self.retelling.lost(broken=broken)

    async def room(self) -> None:
        await room(self.strands.downlink)

    def played(self, mark: Mark) -> None:
        """The playout began or ended something."""
        utterance = self.strands.downlink.played(mark)
        if utterance is None:
            return
        if mark.kind == "finished":
            self.strands.record.said(utterance, utterance.to_be_heard)
            if utterance.broken and self.strands.answers.owed != utterance.turn:
                self.appliance_says(Phrase.CUT_OFF)
        elif utterance.response:
            sounds_at = mark.at + self._line.playout.lag() / 1000
            self.strands.stopwatch.pass_(utterance.turn, "first_sound", sounds_at)
            measured = self.strands.stopwatch.report(utterance.turn, self.strands.session, self._line.id)
            if measured is not None:
                self.publish(measured)
        self._wire.stir()
        self.floor.settle()

    async def close(self) -> None:
        """Stop what sounds, the voice and the tools; at most 1.5 s."""
        cut = self.strands.downlink.flush()
        if cut is not None:
            self.strands.record.said(cut.utterance, cut.heard)
        await asyncio.gather(self._announcer.close(), self.runner.close())

    def counters(self) -> Mapping[str, int]:
        return {
            **self.strands.uplink.counters(),
            **self.strands.downlink.counters(),
            **self.runner.counters(),
            **self._announcer.waiting.counters(),
            **self.retelling.counters(),
            **self._replies.counters(),
        }

    # --- for the floor and the replies ---

    @property
    def generation(self) -> int:
        return self._wire.link.generation

    @property
    def connected(self) -> bool:
        return self._wire.link.up

    @property
    def restores_calls(self) -> bool:
        return self._wire.link.capabilities.restores_calls

    @property
    def provider(self) -> str:
        return self._wire.link.provider.name

    def now(self) -> float:
        return self._loop.time()

    def last_voiced_at(self) -> float:
        return self.hearing.last_voiced_at or self.now()

    def send(self, command: ProviderCommand) -> None:
        self._wire.link.send(command)

    def publish(self, event: Event) -> None:
        self._bus.publish(event)

    def warn(self, code: str, message: str, hint: str = "") -> None:
        self.publish(
            Warned(session=self.strands.session, line=self._line.id, code=code, message=message, hint=hint)
        )

    def stop_tools(self) -> None:
        self._calls.stop()

    def end_turn(self, turn: int) -> bool:
        return self.hearing.end_turn(turn)

    def cut_off(self, cut: Cut) -> None:
        utterance = cut.utterance
        if utterance.response and utterance.generation == self.generation:
            self.send(CancelResponse(utterance.response, cut.heard, cut.heard_ms))
        self.retelling.cut_off(cut)

    def floor_taken(self) -> None:
        self._wire.stir()
        self._announcer.yield_floor()

    def floor_open(self) -> None:
        if not self._wire.open:
            return
        self._calls.release()
        idle = self.floor.phase is Phase.IDLE
        if idle and self._typed:
            self._send_typed()
        elif not self._announcer.begin(self.floor.turn, free=idle) and idle and not self._announcer.busy:
            for action in tuple(self._quiet):
                self._loop.call_soon(self._act, action)

    def sound_begins(self) -> None:
        self._line.watch_playout()

    def answer_failed(self) -> None:
        self.abandon_answer(Phrase.NO_ANSWER)

    # --- inside ---

    def _send_typed(self) -> None:
        turn, text = self._typed.popleft()
        self._wire.stir()
        self.floor.type_text(TextTyped(), turn, text)

    def _act(self, action: Callable[[], None]) -> None:
        if action in self._quiet and self._wire.open:
            self._quiet.remove(action)
            action()

    def _sound_changed(self) -> None:
        if self._wire.open:
            self._wire.stir()
            self.sound_begins()
            self.floor.settle()

    def _voice_failed(self, fault: ApplianceError) -> None:
        self.warn("voice_failed", fault.message, fault.hint)

    def _checked(self, text: str) -> str:
        if not self._wire.open:
            raise NotPossible(f"session {self.strands.session} is closed")
        text = text.strip()
        if not text:
            raise RequestInvalid("there is no text")
        if len(text) > TEXT_BOUND:
            raise RequestInvalid(f"the text is longer than {TEXT_BOUND} characters")
        return text
