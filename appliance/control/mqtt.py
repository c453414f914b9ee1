"""The control API over MQTT: state and events out, commands in, in the scope `control`."""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from appliance.bus import EventBus
from appliance.control import mqtt_topics as topics
from appliance.control import protocol
from appliance.control.client_line import ClientLine
from appliance.control.commands import Commands
from appliance.control.ports import LinePort, SessionPort
from appliance.control.protocol import Malformed, Refusal, Scope
from appliance.errors import ApplianceError, NotPossible, kind_and_place
from appliance.events import Event
from appliance.health import Part
from appliance.interfaces import Broker

STATE_SECONDS: Final = 1.0
WAITING: Final = 32
_WITHIN: Final = 10.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Naming:
    """Where in the broker's tree we are; `discovery` empty: Home Assistant is not told."""

    topic: str
    name: str
    version: str
    discovery: str = ""


class _Anybody:
    """Implements commands.Caller: whoever may write to our topics; no sound goes this way."""

    scope = Scope.CONTROL
    talk: ClientLine | None = None

    def subscribe(self, wanted: tuple[str, ...]) -> None:
        raise NotPossible("events come in topics of their own", hint="BASE/event/#")

    def begin_talk(self, line: LinePort, session: SessionPort, rate: int) -> None:
        raise NotPossible("no sound goes over MQTT", hint="use the WebSocket /v1")

    async def end_talk(self, reason: str) -> None:
        return


def _remedy(reason: str) -> str:
    """For what a broker gives as its reason: MQTT has a few, in English."""
    if any(word in reason.lower() for word in ("authorized", "password", "authorised", "banned")):
        return "correct mqtt.user and mqtt.password, or the broker's list of users; then restart"
    return "see whether the broker runs, and mqtt.server and mqtt.tls"


class MqttDoor:
    """Belongs to the loop; the broker's thread only hands over. `part` says whether the broker is there."""

    def __init__(
        self,
        broker: Broker,
        naming: Naming,
        commands: Commands,
        snapshot: Callable[[], Mapping[str, Any]],
        bus: EventBus,
        part: Part,
    ) -> None:
        self._broker = broker
        self._naming = naming
        self._base = topics.base_of(naming.topic, naming.name)
        self._commands = commands
        self._snapshot = snapshot
        self._bus = bus
        self._part = part
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._news = asyncio.Event()
        self._told = ""
        self._stopping = False
        self._leave: Callable[[], None] = lambda: None
        self._counted = {"commands_total": 0, "commands_dropped_total": 0, "events_dropped_total": 0}

    def start(self) -> None:
        """Returns at once; the broker is reached sooner or later."""
        self._part.failing("not connected to the broker yet")
        self._leave = self._bus.listen(self._publish)
        self._broker.start(
            (f"{self._base}/set/+", f"{self._base}/command"),
            lambda topic, payload: self._hand_over(self._heard, topic, payload),
            lambda up, reason: self._hand_over(self._changed, up, reason),
            will=(f"{self._base}/availability", topics.OFFLINE),
        )

    async def stop(self) -> None:
        """Say that we are off, and disconnect; at most 2 s."""
        self._leave()
        self._stopping = True
        self._broker.publish(f"{self._base}/availability", topics.OFFLINE, keep=True)
        await asyncio.to_thread(self._broker.stop)

    def counters(self) -> Mapping[str, int]:
        return dict(self._counted)

    async def run(self) -> None:
        """Carry out what comes and tell the state where it changed, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(STATE_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                self._tell_state()
            self._news.clear()
            while self._waiting:
                await self._carry_out(*self._waiting.popleft())

    def _hand_over(self, function: Callable[..., None], *arguments: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    def _changed(self, up: bool, reason: str) -> None:
        if not up:
            told = reason or "not connected to the broker"
            if told != self._part.reason and not self._stopping:
                _log.warning("no MQTT broker: %s", told)  # once for each reason: it is tried again and again
            self._part.failing(told, _remedy(told))
            return
        if not self._part.working:
            _log.info("connected to the MQTT broker")
        self._part.ok()
        if self._naming.discovery:
            naming = self._naming
            self._broker.publish(
                *topics.discovery(naming.discovery, self._base, naming.name, naming.version), keep=True
            )
        self._broker.publish(f"{self._base}/availability", topics.ONLINE, keep=True)
        self._told = ""
        self._tell_state()

    def _heard(self, topic: str, payload: bytes) -> None:
        if len(self._waiting) >= WAITING:
            self._counted["commands_dropped_total"] += 1
            return
        self._waiting.append((topic, payload))
        self._news.set()

    def _publish(self, event: Event) -> None:
        told = topics.event_of(event)
        if told is not None and not self._broker.publish(f"{self._base}/{told[0]}", told[1]):
            self._counted["events_dropped_total"] += 1

    def _tell_state(self) -> None:
        state = json.dumps(topics.state_of(self._snapshot(), self._naming.version))
        if state != self._told and self._broker.publish(f"{self._base}/state", state.encode(), keep=True):
            self._told = state

    async def _carry_out(self, topic: str, payload: bytes) -> None:
        """Do it, and answer in BASE/result, as the control API answers."""
        self._counted["commands_total"] += 1
        key = topic.removeprefix(f"{self._base}/set/")
        if key == topic:
            answer = await self._answer(payload.decode(errors="replace")[: topics.PAYLOAD_BYTES])
        elif (command := topics.command_of(key, payload)) is not None:
            answer = await self._answer(json.dumps({"id": key, **command}))
        else:
            hint = f"BASE/set/ takes {', '.join(topics.COMMANDS)}"
            answer = protocol.failure(key, NotPossible(f"this is no payload for set/{key}", hint=hint))
        self._broker.publish(f"{self._base}/result", answer.encode())
        self._tell_state()

    async def _answer(self, message: str) -> str:
        try:
            request = protocol.parse(message)
        except Malformed as error:
            return protocol.failure(None, NotPossible(str(error)))
        if isinstance(request, Refusal):
            return protocol.failure(request.id, request.error)
        try:
            protocol.authorize(request, Scope.CONTROL)
            async with asyncio.timeout(_WITHIN):
                return protocol.result(request.id, await self._commands.carry_out(_Anybody(), request))
        except ApplianceError as error:
            return protocol.failure(request.id, error)
        except TimeoutError:
            return protocol.failure(request.id, protocol.TookTooLong(f"{request.command} took too long"))
        except Exception as error:  # noqa: BLE001 - a fault of ours must not leave a command unanswered
            _log.error("%s failed: %s", request.command, kind_and_place(error))
            return protocol.failure(request.id, NotPossible("a fault inside the appliance; see its log"))
