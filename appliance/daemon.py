"""The appliance: its parts from their start to their stop, and what a new configuration changes meanwhile.

The only place that knows them all; how the larger ones are built and joined is in `assembly/`.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from importlib.metadata import version
from typing import Any, Final

from appliance import log, plugins, power, tidings
from appliance.agents.agent import agents_from
from appliance.agents.timers import Ring, TimerFile, Timers
from appliance.agents.tools import Services
from appliance.assembly.history import build_store, recall
from appliance.assembly.lines import build_lines, build_tools
from appliance.assembly.panel import build_panel, no_panel_status
from appliance.assembly.room import build_room, measure_at_night
from appliance.assembly.telephone import build_telephone
from appliance.assembly.usage import build_usage
from appliance.bus import EventBus
from appliance.calibration import CalibrationFile
from appliance.call.call import ROOM
from appliance.call.controller import Calls
from appliance.clock import Clock
from appliance.config import accounts
from appliance.config.check import usable
from appliance.config.schema import Configuration
from appliance.control.auth import Tokens
from appliance.control.mqtt import MqttDoor
from appliance.control.ports import Actions
from appliance.control.server import ControlServer
from appliance.errors import ApplianceError, DriverMissing, UnknownName, kind_and_place
from appliance.events import Warned
from appliance.fleet import open_mqtt
from appliance.health import Health
from appliance.interfaces import LineKind, SoundCard
from appliance.phone import Phones
from appliance.releases import ReleaseNews, SystemNews
from appliance.rungs import Rungs
from appliance.service import Notifier
from appliance.session.checkpoint import Checkpoints
from appliance.session.line import Line
from appliance.session.place import Surroundings
from appliance.session.record import NoJournal
from appliance.session.session import SHUTDOWN, Session
from appliance.session.standing import Standings
from appliance.session.turn import TurnState
from provisioning.release.places import Places
from provisioning.release.trial import Releases
from provisioning.slots.trial import Slots

STOP_SECONDS: Final = 4.5
FIRST_STOP_SECONDS: Final = 3.9
"""What telephone and sound card get of it: the rest must still be closed when one of them hangs."""
LINGER_SECONDS: Final = 0.3
_SILENT_SECONDS: Final = 20.0
_SILENT_SHARE: Final = 2 / 3
"""Of the watchdog's limit: a frozen part is named in the log before the limit is over."""
_RECALL_SECONDS: Final = 2.0
"""How long the start waits for what the last run left; on a slow card it comes later."""
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
        self.store = build_store(configuration.storage.directory, self.bus, self.health)
        self.rungs = Rungs(configuration, self.bus)
        book = None if alone else self.store
        self.usage = build_usage(configuration.limits, self.rungs.providers, book, self.bus, self.health)
        self.checkpoints = Checkpoints(book)
        kept = None if alone else TimerFile(configuration.storage.directory / "timers.json")
        self.timers = Timers(kept, self._ring)
        self.standings = Standings()
        services = self._services(configuration.contacts)
        self.lines = build_lines(configuration, self._around(), services, self._session_over)
        self.calibrations = None if alone else CalibrationFile(configuration.storage.directory)
        self.room = build_room(
            configuration.room,
            card,
            self.lines,
            self.bus,
            self.health,
            self.calibrations,
            self._silent_seconds,
        )
        self.releases = ReleaseNews(
            Releases(Places()),
            configuration.storage.directory,
            self.bus,
            self.lines.notify_room,
            version("handset"),
        )
        self.system = SystemNews(Slots(), configuration.storage.directory, self.bus, self.lines.notify_room)
        self.control: ControlServer | None = None
        self.mqtt: MqttDoor | None = None
        in_room = self.lines.line(ROOM) if self.room is not None else None
        self.phones: Phones | None = None
        self.calls: Calls | None = None
        self.panel = None
        if not alone:
            self.phones, self.calls = self._build_telephone(in_room)
            self.panel = build_panel(configuration, self.lines, in_room, self.calls, self.bus, self.health)

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
            if self.calibrations is not None and self.configuration.room.night_check:
                line = self.lines.line(ROOM)
                self._spawn(measure_at_night(self.room, line, self.calibrations, self.bus, self._unused))
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
            tools = build_tools(agents, self._services(fresh.contacts))
            self.lines.set_agents(agents_from(agents, tools))
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

    def _around(self) -> Surroundings:
        """What sessions live in."""
        configuration = self.configuration
        return Surroundings(
            bus=self.bus,
            providers=self.rungs.providers,
            journal=NoJournal() if self._alone else self.store,
            voice=plugins.load("appliance.voices", "espeak")(),
            conversation=configuration.conversation,
            vad=configuration.vad,
            standings=self.standings,
            limits=configuration.limits,
            usage=self.usage,
            checkpoints=self.checkpoints,
        )

    def _services(self, contacts: Mapping[str, str]) -> Services:
        """What tools live on."""
        return Services(self.timers, contacts, self.clock.believed)

    def _build_telephone(self, room: Line | None) -> tuple[Phones, Calls] | tuple[None, None]:
        return build_telephone(
            self.configuration,
            self.lines,
            room,
            self.store,
            self.bus,
            self.health,
            lambda: self.configuration.agents,
            self._silent_seconds,
        )

    def _unused(self) -> bool:
        """Nobody talks to it, or over it."""
        return not self.lines.sessions() and not (self.calls is not None and self.calls.status())

    def _panel_status(self) -> Mapping[str, Any]:
        return self.panel.status() if self.panel is not None else no_panel_status(self.health)

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
        await asyncio.wait(
            {self._spawn(recall(self.store, self.usage, self.checkpoints, self.calls))},
            timeout=_RECALL_SECONDS,
        )
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

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_over)
        return task

    def _task_over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            logger.error("a background task broke: %s", kind_and_place(fault))


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
