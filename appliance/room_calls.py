"""Calls and the room: a person there takes a call, hands it to the agent and back; calls quieten the room meanwhile.

What the room's conversation had begun goes on when the call is over.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from appliance.audio import tones
from appliance.bus import EventBus
from appliance.call.call import ROOM, Call
from appliance.call.controller import Calls
from appliance.call.machine import CallState
from appliance.call.outcome import outcome_of, sentence
from appliance.errors import ApplianceError, DeviceUnavailable, LineBusy, NotPossible
from appliance.events import CallChanged, CallMoved, Event
from appliance.session.bridge import Bridge
from appliance.session.line import Line
from appliance.session.loan import Loan

DUCKED: Final = 0.2
AGENT: Final = "agent"
_PLUG_IN: Final = "plug it in: it is taken at once (handset audio list); or let the agent talk"
_DEVICES: Final = {"input": "microphone", "output": "speaker"}
_USABLE: Final = frozenset({"present", "recovered"})
_RINGS: Final = frozenset({CallState.RINGING, CallState.EARLY})
logger = logging.getLogger(__name__)


class RoomCalls:
    """Belongs to the loop's thread. `line_of` gives an answered call's line, `serve` gives it an agent.

    `policy` is duck, park or ignore: what becomes of the room's own sound while somebody calls in.
    """

    def __init__(
        self,
        room: Line,
        calls: Calls,
        line_of: Callable[[str], Line],
        serve: Callable[[Call], None],
        tell: Callable[[str], None],
        bus: EventBus,
        policy: str,
    ) -> None:
        self._room = room
        self._calls = calls
        self._line_of = line_of
        self._serve = serve
        self._tell = tell
        self._policy = policy
        self._call: Call | None = None
        """The one that the person in the room has, or is dialling."""
        self._bridge: Bridge | None = None
        self._tune: Loan | None = None
        self._outcome: asyncio.Future[None] | None = None
        self._callers: dict[str, str] = {}
        """Incoming calls of others, with their state."""
        self._parked: Loan | None = None
        self.on_joined: Callable[[Call, Bridge], None] = lambda _, __: None
        """Told of each call that the person has taken, and by what the two are joined."""
        self._bus = bus
        bus.listen(self._notice)

    # --- what is asked for

    def require_ready(self) -> None:
        """Raise LineBusy while the room has a call, and DeviceUnavailable without a microphone and a speaker."""
        if self._call is not None:
            raise LineBusy("The room is on the telephone already.", hint="hang up there first")
        device = self._room.device
        missing = [
            name for kind, name in _DEVICES.items() if device.get(kind, {}).get("state") not in _USABLE
        ]
        if missing:
            raise DeviceUnavailable(
                f"Nobody can talk in the room: there is no {' and no '.join(missing)}.", hint=_PLUG_IN
            )

    def can_take(self, call: Call) -> bool:
        """Whether the person has no other call."""
        return self._call in (None, call)

    def has(self, call: Call) -> bool:
        """Whether the person in the room talks on that call."""
        return self._call is call and self._bridge is not None

    def dialled(self, call: Call) -> None:
        """The person waits for whom they called: they hear it ring."""
        self._call = call
        self._tune = self._room.lend()

    async def outcome(self, call: Call) -> None:
        """Wait until a dialled call is answered; raise NotPossible with the reason when it is not."""
        if call.connected_at is not None:
            return
        if self._call is not call:
            raise NotPossible(sentence(outcome_of(call.code), call.peer))
        self._outcome = asyncio.get_running_loop().create_future()
        try:
            await self._outcome
        finally:
            self._outcome = None

    def take(self, call: Call) -> None:
        """The person in the room talks on that answered call; its agent waits, or has never been there."""
        self._call, call.place, self._tune = call, ROOM, None
        self._callers.pop(call.id, None)
        bridge = self._bridge = Bridge(self._room, self._line_of(call.id))
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(None)
        self.on_joined(call, bridge)
        self._bus.publish(CallMoved(call=call.id, place=ROOM, session=call.session, line=call.line))
        logger.info("call %s is in the room", call.id)

    def give(self, call: Call) -> None:
        """The agent has the call from now on; the room's own conversation goes on."""
        if self._call is not call or self._bridge is None:
            raise NotPossible(f"call {call.id} is not in the room", hint="the agent has it already")
        call.place = ""
        if call.direction == "in":
            self._callers[call.id] = call.state
        self._release()
        if self._line_of(call.id).session is None:
            self._serve(call)
        self._bus.publish(CallMoved(call=call.id, place=AGENT, session=call.session, line=call.line))
        logger.info("call %s is with the agent", call.id)

    # --- what happens

    def _notice(self, event: Event) -> None:
        if not isinstance(event, CallChanged):
            return
        call = self._call
        if call is not None and event.call == call.id:
            if event.state == CallState.ENDED:
                self._over(call)
            elif self._tune is not None and event.state in _RINGS:
                self._tune.repeat(tones.ringing(self._room.playout.rate))
            elif self._bridge is not None and event.state in (CallState.HELD, CallState.CONNECTED):
                self._bridge.hold(self._line_of(call.id), event.state == CallState.HELD)
        elif event.direction == "in":
            self._heed(event)

    def _over(self, call: Call) -> None:
        waited, unanswered = self._outcome, call.connected_at is None
        self._release()
        if not unanswered or call.direction == "in":
            return
        reason = sentence(outcome_of(call.code), call.peer)
        if waited is not None and not waited.done():
            waited.set_exception(NotPossible(reason))
            return
        try:
            self._tell(reason)
        except ApplianceError as error:
            logger.info("the room was not told of call %s: %s", call.id, error.code)

    def _release(self) -> None:
        """The room is its own again. What its agent said while the person talked was for nobody."""
        bridge, self._bridge, self._call, self._tune = self._bridge, None, None, None
        if bridge is not None:
            if self._room.session is not None:
                self._room.session.interrupt("call")
            bridge.end()
        self._room.reclaim()
        self._apply()

    def _heed(self, event: CallChanged) -> None:
        if event.state == CallState.ENDED:
            self._callers.pop(event.call, None)
        else:
            self._callers[event.call] = event.state
        if self._call is None:
            self._apply()

    def _apply(self) -> None:
        """What the policy wants while others are on the telephone."""
        callers = bool(self._callers)
        if self._policy == "duck":
            self._room.playout.ducked = DUCKED if callers else 1.0
        elif self._policy == "park":
            self._park(callers)

    def _park(self, callers: bool) -> None:
        room = self._room
        if callers and room.loan is None:
            self._parked = room.lend()
        parked = self._parked
        if parked is None or room.loan is not parked:
            return
        if not callers:
            self._parked = None
            room.reclaim()
        elif CallState.RINGING in self._callers.values():
            parked.repeat(tones.ringing(room.playout.rate))
        else:
            parked.silence()
