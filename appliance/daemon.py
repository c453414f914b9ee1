"""The appliance: builds every part, wires them, starts and stops them. The only place that knows them all."""
# Longer than other files: one short method for each part that is built here.

import asyncio
import functools
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from appliance import factory_reset, log, plugins, power, tidings
from appliance.agents.agent import agents_from
from appliance.agents.timers import Ring, TimerFile, Timers
from appliance.agents.tools import Services
from appliance.audio.vad import load_confirm, load_detector
from appliance.audio.wake import load_gate
from appliance.calibration import CalibrationFile
from appliance.call.call import ROOM
from appliance.call.controller import Calls
from appliance.call.registration import remedy
from appliance.clock import Clock
from appliance.config import accounts
from appliance.config.check import usable
from appliance.config.schema import Agent as AgentSection
from appliance.config.schema import Configuration
from appliance.control.auth import Tokens
from appliance.control.mqtt import MqttDoor
from appliance.control.ports import Actions
from appliance.control.server import ControlServer
from appliance.errors import ApplianceError, DriverMissing, UnknownName, kind_and_place
from appliance.events import EventBus, Warned
from appliance.fleet import open_mqtt
from appliance.health import Health
from appliance.interfaces import EchoCanceller, LineKind, SoundCard, Telephone, Tool
from appliance.panel import presence
from appliance.phone import Phones
from appliance.releases import ReleaseNews, SystemNews
from appliance.room import Room
from appliance.room_calls import RoomCalls
from appliance.rungs import Rungs
from appliance.service import Notifier
from appliance.session.checkpoint import Checkpoints
from appliance.session.line import Line
from appliance.session.lines import Ears, Lines
from appliance.session.place import Surroundings
from appliance.session.record import NoJournal
from appliance.session.session import SHUTDOWN, Session
from appliance.session.standing import Standings
from appliance.session.turn import TurnState
from appliance.session.usage import Usage
from appliance.store.store import Store
from provisioning.release.places import Places
from provisioning.release.trial import Releases
from provisioning.slots.trial import Slots

if TYPE_CHECKING:
    from appliance.panel.front_panel import FrontPanel

STOP_SECONDS: Final = 4.5
FIRST_STOP_SECONDS: Final = 3.9
"""What telephone and sound card get of it: the rest must still be closed when one of them hangs."""
LINGER_SECONDS: Final = 0.3
_SILENT_SECONDS: Final = 20.0
_SILENT_SHARE: Final = 2 / 3
"""Of the watchdog's limit: a frozen part is named in the log before the limit is over."""
_RECALL_SECONDS: Final = 2.0
"""How long the start waits for what the last run left; on a slow card it comes later."""
_STORE_SECONDS: Final = 30.0
_FIRST_NIGHT_SECONDS: Final = 600.0
_RELOADABLE: Final = frozenset({"log", "agents", "contacts", "providers"})
logger = logging.getLogger(__name__)


class Appliance:
    """All parts, started and stopped in order; belongs to the loop that it is made on.

    `card` stands in for the configured sound card. `alone` leaves out what `handset talk` does without: telephone,
    control API, history. `notifier` reaches whoever started the process.
    """

    def __init__(
        self,
        configuration: Configuration,
        config: str | None = None,
        *,
        card: SoundCard | None = None,
        alone: bool = False,
        notifier: Notifier | None = None,
    ) -> None:
        self.configuration = configuration
        self._config = config
        self._alone = alone
        self._notifier = notifier or Notifier()
        watchdog = self._notifier.watchdog * _SILENT_SHARE
        self._silent_seconds = min(_SILENT_SECONDS, watchdog) if watchdog else _SILENT_SECONDS
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._reloading = asyncio.Lock()
        self.bus = EventBus()
        self.health = Health()
        self.clock = Clock(self.bus, self.health.part("clock", required=False))
        self.power = self._watch_power()
        self.store = self._keep()
        self.rungs = Rungs(configuration, self.bus)
        self.usage = self._meter()
        self.checkpoints = Checkpoints(None if alone else self.store)
        kept = None if alone else TimerFile(configuration.storage.directory / "timers.json")
        self.timers = Timers(kept, self._ring)
        self.tools = self._tools(configuration.agents, configuration.contacts)
        self.standings = Standings()
        self.lines = self._build_lines()
        self.room = self._build_room(card)
        self.releases = ReleaseNews(
            Releases(Places()),
            configuration.storage.directory,
            self.bus,
            self.lines.notify_room,
            version("handset"),
        )
        self.system = SystemNews(Slots(), configuration.storage.directory, self.bus, self.lines.notify_room)
        self.calls: Calls | None = None
        self.phones: Phones | None = None
        self.control: ControlServer | None = None
        self.mqtt: MqttDoor | None = None
        if configuration.sip.enabled and not alone:
            self._build_telephone()
        self.panel = None if alone else self._build_panel()

    async def start(self) -> None:
        """Start every part; return when the control API listens. Raise what forbids that, as a port in use."""
        self.health.count("line", self.lines.counters)
        self.health.watch("capture", self._silent_seconds, self.lines.deaf_for)
        if not self._alone:
            await self._start_control()
        self._spawn(self.health.run(self._notifier))
        if self.panel is not None:
            # Before the room: its switch may have the microphone off.
            self.panel.start()
        if self.room is not None:
            self.room.start()
            self._begin_nights(self.room)
        if self.calls is not None:
            await self._start_telephone(self.calls)
        self.health.count("activity", self._activity)
        if not self._alone:
            self._spawn(self.releases.run())
            self._spawn(self.system.run())
        self.health.count("timer", self.timers.counters)
        self._spawn(self.timers.run())
        self._spawn(self.clock.run())
        if self.power is not None:
            self._spawn(self.power.run())
        self._spawn(self.rungs.warm(self.busy))
        if not self._alone:
            directory = self.configuration.storage.directory
            self._spawn(tidings.watch(directory, self.bus, self.lines.notify_room))

    async def stop(self) -> None:
        """Hang up, close every session and device, write what is left; at most 4.5 s."""
        steps: list[Coroutine[Any, Any, None]] = []
        if self.calls is not None:
            steps.append(self.calls.stop())
        if self.room is not None:
            steps.append(self.room.stop())
        if self.panel is not None:
            steps.append(self.panel.stop())
        if self.mqtt is not None:
            steps.append(self.mqtt.stop())
        await _settle(*steps, within=FIRST_STOP_SECONDS)
        if self.phones is not None:
            await _settle(self.phones.stop())
        await _settle(self.lines.close(SHUTDOWN))
        if self.control is not None:
            await _settle(self.control.stop())
        await _settle(*(provider.close() for provider in self.rungs.providers))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.timers.save()
        self.usage.write()
        await asyncio.to_thread(self.store.close)

    def _activity(self) -> Mapping[str, float]:
        return {
            "calls": len(self.calls.status()) if self.calls is not None else 0,
            "talking": self.busy(),
        }

    def busy(self) -> bool:
        """True while anything plays, is thought about, or waits to be said."""
        playing = any(line.playout.active() for line in self.lines.lines())
        return playing or any(session.turn_state is not TurnState.IDLE for session in self.lines.sessions())

    async def reload(self) -> Mapping[str, Any]:
        """Read the configuration again, put in force what can be, and say what waits. Raise ConfigurationInvalid."""
        # One after the other: what was read last is what holds.
        async with self._reloading:
            return await self._reload()

    async def _reload(self) -> Mapping[str, Any]:
        fresh = (await asyncio.to_thread(usable, self._config)).require()
        changed = [
            name
            for name in Configuration.model_fields
            if getattr(fresh, name) != getattr(self.configuration, name)
        ]
        await _settle(*(provider.close() for provider in self.rungs.renew(fresh)))
        self._spawn(self.rungs.warm(self.busy))
        if "log" in changed:
            log.begin(fresh.log.level)
        # Without the agent that is in force, sessions would find nobody to talk to.
        served = self.configuration.conversation.agent in fresh.agents
        reloadable = _RELOADABLE if served else _RELOADABLE - {"agents"}
        if {"agents", "contacts"} & {*changed}:
            # Tools know whom there is to call.
            agents = fresh.agents if served else self.configuration.agents
            self.lines.set_agents(agents_from(agents, self._tools(agents, fresh.contacts)))
        if "contacts" in changed and self.calls is not None:
            self.calls.set_contacts(fresh.contacts)
        if "sip" in changed and accounts.reloadable(self.configuration.sip, fresh.sip):
            reloadable |= {"sip"}
            if self.calls is not None:
                self.calls.set_accounts(fresh.sip, accounts.plain(fresh.sip))
        self.lines.redial()
        if self.room is not None:
            self.room.recall()
        applied = [name for name in changed if name in reloadable]
        self.configuration = self.configuration.model_copy(
            update={name: getattr(fresh, name) for name in applied}
        )
        waiting = [name for name in changed if name not in reloadable]
        logger.info("configuration reloaded: applied %s, waiting for a restart %s", applied, waiting)
        return {"applied": applied, "restart": waiting}

    async def diagnose(self) -> Mapping[str, Any]:
        """What `doctor` sees, but from inside."""
        return self.health.report()

    async def _recall(self) -> None:
        """What the last run left: usage, and where the conversations stood. Without the history it begins anew."""
        try:
            talk, usage, checkpoints, dialled = await asyncio.to_thread(self._read_kept)
        except ApplianceError as error:
            logger.warning("what was kept is not there: %s", error.message)
            talk, usage, checkpoints, dialled = [], [], [], []
        self.usage.load(talk, usage)
        self.checkpoints.load(checkpoints)
        if self.calls is not None:
            self.calls.outgoing.load(dialled)

    def _read_kept(self) -> tuple[list[Any], list[Any], list[Any], list[tuple[str, float]]]:
        self.store.flush(_STORE_SECONDS)
        day = time.localtime()
        midnight = time.mktime((day.tm_year, day.tm_mon, day.tm_mday, 0, 0, 0, 0, 0, -1))
        dialled = self.store.dialled_by_agents(midnight)
        return self.store.talk(), self.store.usage(), self.store.checkpoints(), dialled

    def _keep(self) -> Store:
        """Where the history is written; its part fails while it is not."""
        store = Store(self.configuration.storage.directory, self._warn_from_thread)
        part = self.health.part("history", required=False)
        part.ok()

        def judge(reason: str, hint: str) -> None:
            part.failing(reason, hint) if reason else part.ok()

        store.on_condition = lambda *told: self._on_loop(judge, *told)
        return store

    def _watch_power(self) -> power.Power | None:
        alarm = None if self._alone else power.find()
        if alarm is None:
            return None
        watch = power.Power(alarm, self.bus, self.health.part("power", required=False))
        self.health.count("power", watch.counters)
        return watch

    def _facts(self) -> Mapping[str, Any]:
        return {
            "release": self.releases.status(),
            "system": self.system.status(),
            "power": self.power.status() if self.power is not None else power.UNKNOWN,
        }

    def _meter(self) -> Usage:
        usage = Usage(
            self.configuration.limits.minutes_per_day,
            local=[provider.name for provider in self.rungs.providers if provider.capabilities.local],
            book=None if self._alone else self.store,
        )
        self.bus.listen(usage.notice)
        self.health.count("usage", usage.counters)
        for name in dict.fromkeys(provider.name for provider in self.rungs.providers):
            self.health.count("provider", functools.partial(usage.provider_counters, name), provider=name)
        return usage

    def _build_lines(self) -> Lines:
        configuration = self.configuration
        agents = agents_from(configuration.agents, self.tools)
        for agent in agents.values():
            for tool in agent.missing:
                logger.warning("agent %s: the tool %s is not installed", agent.name, tool)
        vad = configuration.vad
        around = Surroundings(
            bus=self.bus,
            providers=self.rungs.providers,
            journal=NoJournal() if self._alone else self.store,
            voice=plugins.load("appliance.voices", "espeak")(),
            conversation=configuration.conversation,
            vad=vad,
            standings=self.standings,
            limits=configuration.limits,
            usage=self.usage,
            checkpoints=self.checkpoints,
        )
        ears = Ears(
            detector=lambda: load_detector("webrtc", vad.aggressiveness),
            confirm=lambda: load_confirm(vad.confirm),
            canceller=_canceller,
            wake=lambda: load_gate(configuration.wake_word),
        )
        return Lines(around, agents, ears, room=configuration.room, on_closed=self._session_over)

    def _build_room(self, card: SoundCard | None) -> Room | None:
        settings = self.configuration.room
        if not settings.enabled:
            return None
        part = self.health.part("room")
        if card is None:
            try:
                factory = plugins.load("appliance.sound_cards", settings.sound_card)
                card = factory(settings.input, settings.output, period_ms=settings.period_ms)
            except DriverMissing as error:
                part.failing(f"{error.message}; {error.hint}")
                logger.error("no room line: %s", error.message)
                return None
        line = self.lines.open_line(
            LineKind.ROOM, capture_rate=card.capture_rate, playout_rate=card.playout_rate, line_id="room"
        )
        known = None if self._alone else CalibrationFile(self.configuration.storage.directory)
        room = Room(card, line, settings, self.bus, part, known)
        self.health.count("room", room.counters)
        self.health.watch("sound card", self._silent_seconds, lambda: card.silent_for)
        return room

    def _begin_nights(self, room: Room) -> None:
        if self._alone or not self.configuration.room.night_check:
            return
        self._spawn(self._measure_at_night(room))

    async def _measure_at_night(self, room: Room) -> None:
        await asyncio.sleep(_FIRST_NIGHT_SECONDS)
        # Imported only now: no start has to wait for what is needed hours later.
        from appliance.night import Night

        kept = CalibrationFile(self.configuration.storage.directory)
        await Night(room, self.lines.line(ROOM), kept, self.bus, self._unused).run()

    def _unused(self) -> bool:
        """Nobody talks to it, or over it."""
        return not self.lines.sessions() and not (self.calls is not None and self.calls.status())

    def _build_telephone(self) -> None:
        settings = self.configuration.sip
        part = self.health.part("sip")
        try:
            telephone: Telephone = plugins.load("appliance.telephones", settings.telephone)(
                accounts.plain(settings)
            )
        except DriverMissing as error:
            part.failing(f"{error.message}; {error.hint}")
            logger.error("no phone line: %s", error.message)
            return
        directory = self.configuration.storage.directory
        self.phones = Phones(
            telephone,
            self.lines,
            self.bus,
            self.configuration.recording,
            directory,
            keypad_pause=settings.keypad_pause,
            transfer=self.configuration.transfer,
            agents=lambda: self.configuration.agents,
            agent=self.configuration.conversation.agent,
            ears=_digits_said,
            minutes_per_call=self.configuration.limits.minutes_per_call,
            voice=plugins.load("appliance.voices", "espeak")(),
        )
        self.calls = Calls(
            telephone,
            settings,
            self.bus,
            self.store,
            self.phones.connected,
            self.phones.ended,
            self.configuration.contacts,
            self.phones.recorded.record_on_request,
            self.configuration.limits,
            lambda: self.configuration.agents,
        )
        self.phones.calls = self.calls
        self.calls.on_digit = self.phones.digits.digit
        self.calls.on_tones = self.phones.digits.sound
        self.calls.on_pause = self.phones.recorded.pause
        self.calls.on_attended = self.phones.attended
        if self.room is not None:
            self._join_room(self.phones, self.calls)
        self.lines.phone = self.phones
        self.calls.free = self.lines.free
        calls = self.calls

        def judge(reason: str) -> None:
            hint = "" if calls.fault else remedy(calls.registrations())
            part.failing(reason, hint) if reason else part.ok()

        calls.on_condition = judge
        self.health.count("sip", self.calls.counters)
        self.health.watch("sip", self._silent_seconds, lambda: telephone.silent_for)

    def _join_room(self, phones: Phones, calls: Calls) -> None:
        """The person in the room can use the telephone."""
        rooms = RoomCalls(
            self.lines.line(ROOM),
            calls,
            phones.line_of,
            phones.serve,
            self.lines.notify_room,
            self.bus,
            self.configuration.room.on_call,
        )
        rooms.on_joined = phones.recorded.joined
        phones.rooms = rooms
        phones.room_dials_for = self.configuration.room.calls
        calls.room = phones

    def _build_panel(self) -> "FrontPanel | None":
        part = self.health.part("gpio", required=False)
        driver, amiss = presence.find(self.configuration.gpio, part)
        if driver is None:
            return None
        # Most machines have none: they do without these modules.
        from appliance.panel.front_panel import FrontPanel
        from appliance.panel.room_keys import RoomKeys

        keys = None
        if self.room is not None:
            line = self.lines.line(ROOM)
            keys = RoomKeys(line, self.bus, lambda: self.lines.open_session(line), self.calls)
        panel = FrontPanel(self.configuration.gpio, keys, self.bus, part, self.health.ready, driver, amiss)
        directory = self.configuration.storage.directory
        if directory == factory_reset.WATCHED:
            panel.on_reset = functools.partial(factory_reset.ask, directory)
        self.health.count("panel", panel.counters)
        return panel

    def _panel_status(self) -> Mapping[str, Any]:
        if self.panel is not None:
            return self.panel.status()
        part = self.health.part("gpio", required=False)
        return {
            "state": "off" if part.working else "failed",
            "reason": part.reason,
            "active": [],
            "light": "",
        }

    async def _start_telephone(self, calls: Calls) -> None:
        try:
            await calls.start()
        except DriverMissing as error:
            self.health.part("sip").failing(f"{error.message}; {error.hint}")
            self.bus.publish(Warned(code=error.code, message=error.message, hint=error.hint))
            logger.error("no phone line: %s (%s)", error.message, error.hint)
        if self.phones is not None:
            self._spawn(self.phones.recorded.sweep())

    async def _start_control(self) -> None:
        settings = self.configuration
        self.control = ControlServer(
            settings.control,
            self.bus,
            self.lines,
            self.calls,
            self.store,
            self.health,
            Tokens(settings.storage.directory),
            Actions(
                reload=self.reload,
                diagnose=self.diagnose,
                panel=self._panel_status,
                facts=self._facts,
            ),
            version=version("handset"),
            device={"name": settings.device.name},
            providers=settings.conversation.providers,
        )
        await self.control.start(first=self._open_store)
        self.mqtt = open_mqtt(settings, self.control, self.bus, self.health, version("handset"))
        if self.mqtt is not None:
            self._spawn(self.mqtt.run())

    async def _open_store(self) -> None:
        self.store.open()
        await asyncio.wait({self._spawn(self._recall())}, timeout=_RECALL_SECONDS)
        self.health.count("store", self.store.counters)

    def _session_over(self, line: Line, session: Session, reason: str) -> None:
        """A session ended by itself: end the call or the client's line that it was held on."""
        if line.kind is LineKind.PHONE and self.phones is not None:
            try:
                self.phones.session_over(line.id)
            except ApplianceError as error:
                logger.info("session %s: the call had gone (%s)", session.id, error.code)
        elif line.kind is LineKind.CLIENT:
            self._spawn(self.lines.close_line(line.id, reason))

    def _tools(self, agents: Mapping[str, AgentSection], contacts: Mapping[str, str]) -> dict[str, Tool]:
        services = Services(self.timers, contacts, self.clock.believed)
        wanted = {name for agent in agents.values() for name in agent.tools}
        installed = plugins.names("appliance.tools")
        return {
            name: plugins.load("appliance.tools", name)(services)
            for name in sorted(wanted)
            if name in installed
        }

    def _ring(self, ring: Ring) -> None:
        """Tell the person where the timer was set, or in the room when that line is gone."""
        pending = ring.pending
        try:
            try:
                self.lines.session(pending.session).notify(ring.text, label=pending.label, urgent=True)
            except UnknownName:
                self.lines.notify_room(ring.text, pending.label, True)
        except ApplianceError as error:
            self.bus.publish(
                Warned(
                    code="timer_unheard", message="a timer rang where nobody could hear it", hint=error.hint
                )
            )

    def _warn_from_thread(self, code: str, message: str, hint: str) -> None:
        self._on_loop(self.bus.publish, Warned(code=code, message=message, hint=hint))

    def _on_loop(self, function: Callable[..., object], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(function, *arguments)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_over)
        return task

    def _task_over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            logger.error("a background task broke: %s", kind_and_place(fault))


@functools.cache
def _digit_ears() -> Callable[[bytes], str]:
    # Imported with the first PIN that is asked for: most appliances never ask for one.
    from appliance.providers.offline.digits import SpokenDigits

    return SpokenDigits().hear


def _digits_said(pcm: bytes) -> str:
    """Blocks: the first time, recognition is loaded."""
    return _digit_ears()(pcm)


def _canceller() -> EchoCanceller:
    canceller: EchoCanceller = plugins.load("appliance.echo_cancellers", "webrtc")()
    return canceller


async def _settle(*steps: Coroutine[Any, Any, None], within: float = STOP_SECONDS) -> None:
    """Do all steps side by side. One that fails or takes longer must not keep the others from being done."""
    tasks = {asyncio.ensure_future(step) for step in steps}
    if not tasks:
        return
    done, late = await asyncio.wait(tasks, timeout=within)
    for task in late:
        logger.error("a part did not stop in time")
        task.cancel()
    for task in done:
        if not task.cancelled() and (fault := task.exception()) is not None:
            logger.error("a part did not stop cleanly: %s", kind_and_place(fault))
    if late:
        await asyncio.wait(late, timeout=LINGER_SECONDS)
