"""The telephone: its driver, the controller of its calls and their lines; with a room, who is there can use it."""

import functools
import logging
from collections.abc import Callable, Mapping

from appliance import plugins
from appliance.bus import EventBus
from appliance.call.controller import Calls
from appliance.call.registration import remedy
from appliance.config import accounts
from appliance.config.schema import Agent, Configuration
from appliance.errors import DriverMissing
from appliance.health import Health, Part
from appliance.interfaces import Telephone
from appliance.phone import Phones
from appliance.room_calls import RoomCalls
from appliance.session.line import Line
from appliance.session.lines import Lines
from appliance.store.store import Store

logger = logging.getLogger(__name__)


def build_telephone(
    configuration: Configuration,
    lines: Lines,
    room: Line | None,
    store: Store,
    bus: EventBus,
    health: Health,
    agents: Callable[[], Mapping[str, Agent]],
    silent_seconds: float,
) -> tuple[Phones, Calls] | tuple[None, None]:
    """Nothing where it is off, or has no driver, as its part then says. `agents()` are those of the moment."""
    settings = configuration.sip
    if not settings.enabled:
        return None, None
    part = health.part("sip")
    try:
        telephone: Telephone = plugins.load("appliance.telephones", settings.telephone)(
            accounts.plain(settings)
        )
    except DriverMissing as error:
        part.failing(f"{error.message}; {error.hint}")
        logger.error("no phone line: %s", error.message)
        return None, None
    phones, calls = _join(telephone, configuration, lines, store, bus, agents)
    if room is not None:
        _join_room(configuration, room, lines, phones, calls, bus)
    _judge(part, calls)
    health.count("sip", calls.counters)
    health.watch("sip", silent_seconds, lambda: telephone.silent_for)
    return phones, calls


def _join(
    telephone: Telephone,
    configuration: Configuration,
    lines: Lines,
    store: Store,
    bus: EventBus,
    agents: Callable[[], Mapping[str, Agent]],
) -> tuple[Phones, Calls]:
    """Calls and their lines, which tell each other."""
    settings = configuration.sip
    phones = Phones(
        telephone,
        lines,
        bus,
        configuration.recording,
        configuration.storage.directory,
        keypad_pause=settings.keypad_pause,
        transfer=configuration.transfer,
        agents=agents,
        agent=configuration.conversation.agent,
        ears=_digits_said,
        minutes_per_call=configuration.limits.minutes_per_call,
        voice=plugins.load("appliance.voices", "espeak")(),
    )
    calls = Calls(
        telephone,
        settings,
        bus,
        store,
        phones.connected,
        phones.ended,
        configuration.contacts,
        phones.recorded.record_on_request,
        configuration.limits,
        agents,
    )
    phones.calls = calls
    calls.on_digit = phones.digits.digit
    calls.on_tones = phones.digits.sound
    calls.on_pause = phones.recorded.pause
    calls.on_attended = phones.attended
    lines.phone = phones
    calls.free = lines.free
    return phones, calls


def _join_room(
    configuration: Configuration, room: Line, lines: Lines, phones: Phones, calls: Calls, bus: EventBus
) -> None:
    """The person in the room can use the telephone."""
    settings = configuration.room
    rooms = RoomCalls(room, calls, phones.line_of, phones.serve, lines.notify_room, bus, settings.on_call)
    rooms.on_joined = phones.recorded.joined
    phones.rooms = rooms
    phones.room_dials_for = settings.calls
    calls.room = phones


def _judge(part: Part, calls: Calls) -> None:
    """From now on the part says how the telephone is, and what may help."""

    def judge(reason: str) -> None:
        hint = "" if calls.fault else remedy(calls.registrations())
        part.failing(reason, hint) if reason else part.ok()

    calls.on_condition = judge


@functools.cache
def _digit_ears() -> Callable[[bytes], str]:
    # Imported with the first PIN that is asked for: most appliances never ask for one.
    from appliance.providers.offline.digits import SpokenDigits

    return SpokenDigits().hear


def _digits_said(pcm: bytes) -> str:
    """Blocks: the first time, recognition is loaded."""
    return _digit_ears()(pcm)
