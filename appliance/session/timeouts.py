"""What may last too long in a session: the wait for an answer, silence, an outage, the talk itself; what is done then.

When it is too long is decided in pure parts, `patience.py` and `allowance.py`; `parting.py` ends a session politely.
"""

from collections.abc import Callable

from appliance.errors import ProviderUnavailable
from appliance.interfaces import LineKind
from appliance.session.allowance import Allowance, Notice
from appliance.session.dialogue import Dialogue
from appliance.session.link import Link
from appliance.session.news import ConnectionNews
from appliance.session.parting import Parting
from appliance.session.patience import Patience, Sight, Verdict, answer_within
from appliance.session.phrases import Phrase
from appliance.session.place import SessionLine, Surroundings
from appliance.session.turn import TurnState


class Timeouts:
    """Ten times a second either `look` or, while the session is parked, `wait`. The caller tells the monotonic time.

    `end(reason)` ends the session at once, `parting` after a goodbye.
    """

    def __init__(
        self,
        line: SessionLine,
        around: Surroundings,
        dialogue: Dialogue,
        link: Link,
        news: ConnectionNews,
        parting: Parting,
        end: Callable[[str], None],
        now: float,
    ) -> None:
        self._line = line
        self._usage = around.usage
        self._dialogue = dialogue
        self._link = link
        self._news = news
        self._parting = parting
        self._end = end
        self._looked_at = now
        asks = line.kind is not LineKind.ROOM
        self._patience = Patience(around.conversation.idle_timeout, now, asks=asks)
        limits = around.limits
        self._allowance = Allowance(limits.minutes_per_call, limits.minutes_per_day, now)
        self._asked_again: int | None = None
        """The turn that a second connection was asked for, since the first did not answer."""

    def begin(self, now: float) -> bool:
        """Whether there are minutes left today; where not, the session says so and ends."""
        if self._left_today() > 0:
            return True
        self._parting.begin(Phrase.LIMIT_DAY, "limit", now)
        return False

    def stir(self, now: float) -> None:
        """Something happened that an answer may be expected from."""
        self._patience.stir(now)

    def wait(self, now: float) -> None:
        """Since the last look nobody could talk, nor be heard: it counts for nothing."""
        waited = now - self._looked_at
        self._patience.wait(waited)
        self._allowance.wait(waited)
        self._looked_at = now

    def count_talk(self, now: float) -> None:
        """The time since the last look was talk, where there is a connection."""
        if self._link.up:
            self._usage.talked(self._link.provider.name, now - self._looked_at)
        self._looked_at = now

    def look(self, now: float) -> None:
        """Do what is due."""
        if not self._parting.begun:
            self._heed_limits(now)
        if self._parting.begun:
            self._parting.look(now, busy=self._busy())
            return
        if not self._link.up:
            thinking = self._turn_state is TurnState.THINKING
            aloud = thinking and self._link.exhausted and not self._link.hopeless
            self._news.look(now, aloud=aloud)
        self._heed_patience(now)

    def _heed_limits(self, now: float) -> None:
        match self._allowance.look(now, self._left_today()):
            case Notice.NEAR:
                self._dialogue.appliance_says(Phrase.LIMIT_NEAR, patient=True)
            case Notice.CALL_OVER:
                self._parting.begin(Phrase.LIMIT_REACHED, "limit", now)
            case Notice.DAY_OVER:
                self._parting.begin(Phrase.LIMIT_DAY, "limit", now)
            case None:
                return

    def _heed_patience(self, now: float) -> None:
        match self._patience.look(self._sight(), now):
            case Verdict.NO_ANSWER if self._link.up and not self._link.capabilities.local:
                self._give_up_connection()
            case Verdict.NO_ANSWER:
                self._dialogue.abandon_answer(Phrase.NO_ANSWER if self._link.up else Phrase.NO_SERVICE)
            case Verdict.STALLED:
                self._dialogue.interrupt("nothing takes the sound")
            case Verdict.STILL_THERE:
                self._dialogue.appliance_says(Phrase.STILL_THERE)
            case Verdict.IDLE if self._line.kind is LineKind.ROOM:
                self._end("idle_timeout")
            case Verdict.IDLE:
                self._parting.begin(Phrase.IDLE, "idle_timeout", now)
            case None:
                return

    def _give_up_connection(self) -> None:
        """It is there and does not answer: another one is asked, once; the next turn must not wait for this one."""
        turn = self._dialogue.unanswered
        if turn is None or turn == self._asked_again:
            self._dialogue.abandon_answer(Phrase.NO_ANSWER)
        self._asked_again = turn
        self._link.drop(ProviderUnavailable(f"{self._link.provider.name} did not answer"))

    def _left_today(self) -> float:
        return self._usage.left_today(local=self._link.capabilities.local)

    @property
    def _turn_state(self) -> TurnState:
        return self._dialogue.floor.phase.state

    @property
    def _idle(self) -> bool:
        return self._turn_state is TurnState.IDLE and not self._dialogue.runner.running

    def _busy(self) -> bool:
        """The person talks, or an answer is to be expected."""
        if self._turn_state is TurnState.THINKING:
            return self._link.up
        return self._turn_state is not TurnState.IDLE

    def _sight(self) -> Sight:
        playout, strands, link = self._line.playout, self._dialogue.strands, self._link
        moving = strands.downlink.sounding is not None and playout.queued_ms() > 0 and not playout.paused()
        expects = self._turn_state in (TurnState.THINKING, TurnState.SPEAKING)
        owed = self._dialogue.awaits_provider and expects
        return Sight(
            answer_within=answer_within(up=link.up, hopeless=link.hopeless) if owed else None,
            idle=self._idle,
            heard_ms=strands.downlink.heard_ms() if moving else None,
            turn=self._dialogue.floor.turn,
        )
