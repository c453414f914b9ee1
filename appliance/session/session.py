"""One conversation on one line: its states, its connection, and the commands that others may give it."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Final

from appliance.agents.agent import Agent
from appliance.audio.capture import Captured
from appliance.audio.playout import Mark
from appliance.errors import ApplianceError, NotPossible, kind_and_place
from appliance.events import Failed, Notified, SessionStateChanged
from appliance.interfaces import CalledTool, HistoryItem, LineKind, ProviderEvent, Setup, ToolContext
from appliance.session.checkpoint import WINDOW_SECONDS, Bookmark, Item
from appliance.session.dialogue import QUIET_SECONDS, Dialogue
from appliance.session.ladder import Ladder
from appliance.session.link import CLIMB, Link
from appliance.session.machine import (
    Ended,
    LinkFell,
    LinkRose,
    SessionEvent,
    SessionMachine,
    SessionState,
    Started,
)
from appliance.session.news import ConnectionNews
from appliance.session.parting import Parting
from appliance.session.phrases import Phrase, phrase
from appliance.session.place import SessionLine, Surroundings
from appliance.session.timeouts import Timeouts
from appliance.session.turn import Phase, TurnState

CHECK_SECONDS: Final = 0.1
SHUTDOWN: Final = "shutdown"
"""The reason for which a session is closed that the next run of the appliance may go on with."""
logger = logging.getLogger(__name__)


class Session:
    """All methods belong to the loop's thread. `on_closed(session, reason)` is called once, when all is released."""

    def __init__(
        self,
        line: SessionLine,
        agent: Agent,
        around: Surroundings,
        context_for: Callable[["Session"], ToolContext],
        on_closed: Callable[["Session", str], None],
        *,
        user: str = "",
        about: str = "",
    ) -> None:
        self.id = f"s-{secrets.token_hex(4)}"
        self.agent = agent.name
        self.user = user
        self._about = about
        self.provider = ""
        """The one that is, or was last, connected; `rung` is its place on the ladder."""
        self.rung: int | None = None
        self.started_at = time.time()
        self._line = line
        self._agent = agent
        self._around = around
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._machine = SessionMachine()
        names = [provider.name for provider in around.providers]
        fallback_after = around.conversation.fallback_after
        self.link = Link(
            around.providers, self, Ladder(names, fallback_after, around.standings, around.chance)
        )
        self._dialogue = Dialogue(self.id, line, agent, around, context_for(self), self)
        self._news = ConnectionNews(self.id, line.id, around.bus, self._dialogue.appliance_says)
        self._parting = Parting(self._dialogue, self.end)
        now = self._loop.time()
        self._timeouts = Timeouts(
            line, around, self._dialogue, self.link, self._news, self._parting, self.end, now
        )
        self._before: tuple[Item, ...] = ()
        """What was said before a restart."""
        self._bookmark: Bookmark | None = None
        if line.kind is LineKind.ROOM:
            self._bookmark = Bookmark(around.checkpoints, line.id, self.id, agent.name, agent.language)
        self.parked = False
        """The line is used for something else: nobody hears this session, and it hears nobody."""
        self._check: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    # --- for everybody ---

    @property
    def line(self) -> SessionLine:
        return self._line

    @property
    def state(self) -> SessionState:
        return self._machine.state

    @property
    def turn(self) -> int:
        return self._dialogue.floor.turn

    @property
    def turn_state(self) -> TurnState:
        return self._dialogue.floor.phase.state

    @property
    def phase(self) -> Phase:
        """The turn table's own, finer than `turn_state`."""
        return self._dialogue.floor.phase

    @property
    def history(self) -> tuple[HistoryItem | CalledTool, ...]:
        """What was said, called and answered: for the assistant, what was heard."""
        return self._dialogue.strands.record.history()

    def start(self, *, greeting: bool = True) -> None:
        """Dial the provider, and greet; or, where the day's minutes are used up, say so and end."""
        self._around.journal.begin_session(self.id, self._line.id, self.agent, self.started_at, self.user)
        self._move(Started(), self._recall())
        self._check = self._loop.call_later(CHECK_SECONDS, self._look)
        if not self._timeouts.begin(self._loop.time()):
            return
        self._news.started(self._loop.time())
        self.link.start().add_done_callback(self._link_ended)
        if greeting:
            self.greet()

    def greet(self) -> None:
        """Say the agent's greeting, if it has one."""
        if self._agent.greeting and self._around.voice is not None and not self._parting.begun:
            self.say(self._agent.greeting)

    def announce(self, which: Phrase) -> str:
        """Say one of the appliance's own lines to its end, before all that waits; return its words.

        Raise NotPossible without a voice.
        """
        words = phrase(which, self._agent.language)
        self.say(words, interruptible=False, priority="high")
        return words

    def hear(self, captured: Captured) -> None:
        """20 ms of the person's side."""
        if self.open and not self._parting.said:
            self._dialogue.hearing.hear(captured)

    def deafen(self) -> None:
        """The person's side is cut off for a while (mute): what they have begun to say ends here."""
        if self.open:
            self._dialogue.hearing.deafen()

    def dismiss(self) -> None:
        """What the person has begun to say is for nobody: no turn comes of it."""
        if self.open:
            self._dialogue.hearing.dismiss()

    def park(self) -> None:
        """The line is on hold, or lent: what was begun ends here, no limit runs, and nobody loses patience."""
        if not self.parked:
            self.parked = True
            self.deafen()

    def unpark(self) -> None:
        """Go on where it was left."""
        self.parked = False

    async def heard_out(self) -> None:
        """Wait until what is being said has been heard; at most 15 s. A tool may wait so, while its answer is owed."""
        deadline = self._loop.time() + QUIET_SECONDS
        speaking = True
        while speaking and self._loop.time() < deadline:
            await asyncio.sleep(CHECK_SECONDS / 2)
            speaking = self.open and not self.parked and self._dialogue.speaking

    def miss(self, captured: Captured) -> None:
        """20 ms that the person's side may not be listened to: half duplex."""
        if self.open:
            self._dialogue.hearing.miss(captured)

    def press(self) -> None:
        """Push-to-talk: an unconditional barge-in; the turn lasts until `release`."""
        if self.open and not self._parting.said:
            self._dialogue.hearing.press()

    def release(self) -> None:
        if self.open:
            self._dialogue.hearing.release()

    def send_text(self, text: str) -> int:
        """The person types; return the turn. It interrupts what is being said, and waits while the floor is taken."""
        if self._parting.said:
            raise NotPossible(f"session {self.id} is ending")
        return self._dialogue.send_text(text)

    def say(self, text: str, *, interruptible: bool = True, priority: str = "normal") -> str:
        """Say `text` word for word, in the device's voice, after what is being said; "high" before all that waits.

        Return the utterance's id.
        """
        return self._dialogue.announce(text, interruptible=interruptible, urgent=priority == "high")

    def notify(self, text: str, *, label: str = "", urgent: bool = False) -> None:
        """Tell `text` when the floor is free: nobody talks, and nobody waits for an answer."""
        self._dialogue.announce(text, urgent=urgent, patient=True)
        self._dialogue.publish(Notified(session=self.id, line=self._line.id, text=text, label=label))

    def interrupt(self, reason: str) -> None:
        """Be silent: nothing more of what is being said or thought about is heard."""
        if self.open:
            self._dialogue.interrupt(reason)

    def when_quiet(self, action: Callable[[], None]) -> None:
        """Call `action` once what is being said has been heard and no answer is owed; after 15 s in any case."""
        if not self.open:
            raise NotPossible(f"session {self.id} is closed")
        self._dialogue.when_quiet(action)

    async def close(self, reason: str) -> None:
        """End it, within 2 s. Idempotent."""
        self.end(reason)
        if self._closing is not None and self._closing is not asyncio.current_task():
            await asyncio.shield(self._closing)

    def end(self, reason: str) -> None:
        """Begin to close; who must wait for it calls `close`. Idempotent."""
        if self.open:
            self._closing = self._loop.create_task(self._shut(reason), name=f"close {self.id}")
            self._move(Ended(), reason)

    def counters(self) -> Mapping[str, int]:
        return {**self._dialogue.counters(), **self.link.counters()}

    def played(self, mark: Mark) -> None:
        """For the line: its playout began or ended something."""
        if self.open:
            self._dialogue.played(mark)

    # --- for its dialogue ---

    @property
    def open(self) -> bool:
        return self._closing is None

    def stir(self) -> None:
        self._timeouts.stir(self._loop.time())

    # --- for its link ---

    def setup(self, *, bare: bool = False) -> Setup:
        known = self._dialogue.retelling.set_up(bare=bare)
        return Setup(
            session=self.id,
            instructions=f"{self._agent.instructions}\n\n{self._about}".strip(),
            language=self._agent.language,
            voice=self._agent.voice,
            tools=self._agent.declarations,
            history=() if bare else (*self._before, *known),
            line_kind=self._line.kind,
            by_key=not self._line.by_voice,
            rate=self._line.playout.rate,
        )

    def quiet(self) -> bool:
        strands = self._dialogue.strands
        sounding = strands.downlink.sounding is not None or strands.downlink.ready
        idle = self.turn_state is TurnState.IDLE and not self._dialogue.runner.running
        return self.open and idle and not sounding and not self._owed()

    def waited_for(self) -> bool:
        return self.state is SessionState.CONNECTING or self._owed()

    def link_rose(self) -> None:
        if not self.open:
            return
        self.provider, self.rung = self.link.provider.name, self.link.rung
        self._move(LinkRose())
        self._news.rose(self.provider, self.rung)
        self._dialogue.retelling.restore()
        self.stir()

    def link_fell(self, reason: str, fault: ApplianceError | None) -> None:
        if not self.open:
            return
        self._move(LinkFell(), reason)
        if fault is not None:
            self._news.fell(self.provider, fault, self._loop.time())
        elif reason != CLIMB:
            self._news.renewing(self.provider, reason)
        self._dialogue.lost(broken=fault is not None)

    def dial_failed(self, provider: str, fault: ApplianceError, *, probe: bool) -> None:
        if self.open:
            self._news.dial_failed(provider, fault, aloud=not probe)

    def nobody_left(self, code: str) -> None:
        if self.open:
            self._news.nobody_left(code)

    def take(self, event: ProviderEvent) -> None:
        if self.open:
            self.stir()
            self._dialogue.take(event)

    async def room(self) -> None:
        await self._dialogue.room()

    # --- inside ---

    def _move(self, event: SessionEvent, reason: str = "") -> None:
        before = self._machine.state
        after = self._machine.handle(event)
        self._dialogue.publish(
            SessionStateChanged(
                session=self.id,
                line=self._line.id,
                from_=before.value,
                to=after.value,
                reason=reason,
                provider=self.provider or None,
            )
        )

    def _fail(self, code: str, message: str, hint: str = "") -> None:
        self._dialogue.publish(
            Failed(session=self.id, line=self._line.id, code=code, message=message, hint=hint)
        )

    def _look(self) -> None:
        if not self.open:
            return
        self._check = self._loop.call_later(CHECK_SECONDS, self._look)
        self._dialogue.check()
        self.link.look()
        now = self._loop.time()
        if self.parked:
            self._timeouts.wait(now)
            return
        self._timeouts.count_talk(now)
        if self._bookmark is not None:
            self._bookmark.look((*self._before, *self.history), self.link.handle(), now)
        self._timeouts.look(now)

    def _owed(self) -> bool:
        """Somebody talks, or waits for an answer."""
        strands = self._dialogue.strands
        return strands.answers.owed is not None or bool(strands.uplink.unanswered())

    def _recall(self) -> str:
        """Take up the conversation that a restart cut off; say so in the reason that is told."""
        agent, checkpoints = self._agent, self._around.checkpoints
        left = checkpoints.take(self._line.id, agent.name, agent.language) if self._bookmark else None
        if left is None:
            return ""
        self._before = left.history
        fresh = abs(checkpoints.now() - left.handle_at) <= WINDOW_SECONDS
        if left.handle and fresh and left.provider == self._around.providers[0].name:
            self.link.resume(left.provider, left.handle)
        return "resumed"

    def _close_bookmark(self, reason: str) -> None:
        """A session that ends by itself is over; one that is cut off goes on in the next run."""
        if self._bookmark is None:
            return
        if reason == SHUTDOWN:
            self._bookmark.write((*self._before, *self.history), self.link.handle())
        else:
            self._bookmark.drop()

    def _link_ended(self, task: asyncio.Task[None]) -> None:
        """The link ends by itself only through a bug; a session without one would be deaf for ever."""
        if not task.cancelled() and (fault := task.exception()) is not None:
            logger.error("session %s: its link broke: %s", self.id, kind_and_place(fault))
            self._fail("internal", f"the session broke: {type(fault).__name__}")
            self.end("internal")

    async def _shut(self, reason: str) -> None:
        if self._check is not None:
            self._check.cancel()
        self._timeouts.count_talk(self._loop.time())
        self._around.usage.write()
        try:
            async with asyncio.timeout(2.0):
                await asyncio.gather(self._dialogue.close(), self.link.close())
        except TimeoutError:
            logger.warning("session %s did not close in time", self.id)
        self._close_bookmark(reason)
        self._around.journal.end_session(self.id, reason, time.time())
        self._on_closed(self, reason)
