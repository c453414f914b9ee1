"""Timers and alarms."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from appliance.agents.timers import LONGEST_SECONDS, Kind, Pending
from appliance.agents.tools import Services, declare, number_of, text_of
from appliance.errors import NotPossible, RequestInvalid
from appliance.interfaces import ToolContext, ToolDeclaration

_LABEL: Final = {"type": "string", "description": "Its name, for example tea.", "maxLength": 40}
_KIND: Final = {"type": "string", "enum": [str(kind) for kind in Kind]}
_DAYS: Final = ("today", "tonight", "tomorrow", "tomorrow morning")


class TimerTool:
    """Implements interfaces.Tool."""

    declarations: Sequence[ToolDeclaration] = (
        declare(
            "set_timer",
            "Start a timer that rings by itself.",
            ("seconds",),
            seconds={"type": "number", "minimum": 1, "maximum": LONGEST_SECONDS},
            label=_LABEL,
        ),
        declare(
            "set_alarm",
            "Set an alarm for a time of day, local time. Without a day: the next time that it is so late.",
            ("time",),
            time={"type": "string", "description": "HH:MM, 24 hours, or 12 hours with either_half=true."},
            either_half={"type": "boolean", "description": "Nobody said a.m. or p.m.: take the sooner one."},
            day={"type": "string", "enum": list(_DAYS)},
            label=_LABEL,
        ),
        declare(
            "cancel_timer",
            "Cancel a timer or an alarm: the named one, the only one, or all.",
            kind=_KIND,
            label=_LABEL,
            all={"type": "boolean"},
        ),
        declare(
            "list_timers", "The timers and alarms there are, and how long is left.", kind=_KIND, label=_LABEL
        ),
        declare("stop_ringing", "Silence a timer or alarm that rings."),
    )

    def __init__(self, services: Services) -> None:
        self._timers = services.timers

    async def run(
        self, function: str, arguments: Mapping[str, Any], context: ToolContext
    ) -> Mapping[str, Any]:
        label = text_of(arguments, "label", default="", longest=40)
        kind = _kind(arguments)
        match function:
            case "set_timer":
                seconds = number_of(arguments, "seconds", 1, LONGEST_SECONDS)
                if seconds is None:
                    raise RequestInvalid("For how long?")
                return self._start(Kind.TIMER, seconds, label, context)
            case "set_alarm":
                due = alarm_time(arguments, datetime.fromtimestamp(context.now()).astimezone())
                return self._start(Kind.ALARM, due.timestamp() - context.now(), label, context)
            case "cancel_timer":
                return self._cancel(kind, label, every=arguments.get("all") is True)
            case "list_timers":
                return {"timers": [self._row(one) for one in self._timers.find(kind, label)]}
            case _:
                return {"stopped": self._timers.hush()}

    def _start(self, kind: Kind, seconds: float, label: str, context: ToolContext) -> Mapping[str, Any]:
        return self._row(
            self._timers.add(kind, seconds, label=label, session=context.session, line=context.line)
        )

    def _cancel(self, kind: Kind | None, label: str, *, every: bool) -> Mapping[str, Any]:
        if self._timers.hush() and not label and not every:
            return {"cancelled": [], "stopped": True}
        found = self._timers.find(kind, label)
        what = f"{label} {kind or 'timer'}".strip()
        if not found:
            raise NotPossible(f"There is no {what}.")
        if len(found) > 1 and not every:
            names = ", ".join(one.label or "one without a name" for one in found)
            raise NotPossible(f"There are several: {names}. Say which one, or say all.")
        rows = [self._row(one) for one in found]
        self._timers.cancel(found)
        return {"cancelled": rows}

    def _row(self, one: Pending) -> dict[str, Any]:
        return {
            "kind": str(one.kind),
            "label": one.label,
            "seconds": round(one.seconds),
            "seconds_left": round(self._timers.seconds_left(one)),
            "due": datetime.fromtimestamp(one.due).astimezone().isoformat(timespec="seconds"),
        }


def _kind(arguments: Mapping[str, Any]) -> Kind | None:
    name = text_of(arguments, "kind", default="")
    if name and name not in list(Kind):
        raise RequestInvalid("kind must be timer or alarm.")
    return Kind(name) if name else None


def alarm_time(arguments: Mapping[str, Any], now: datetime) -> datetime:
    """When an alarm is due: the next fitting moment after `now` (local time). Raise RequestInvalid."""
    text = text_of(arguments, "time", default="", longest=8)
    hour, colon, minute = text.partition(":")
    if not (colon and hour.isdigit() and minute.isdigit() and int(hour) < 24 and int(minute) < 60):
        raise RequestInvalid("For what time? Hours and minutes, please.")
    day = text_of(arguments, "day", default="", longest=20)
    if day not in ("", *_DAYS):
        raise RequestInvalid(f"day must be one of {', '.join(_DAYS)}.")
    first = now.replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)
    halves = arguments.get("either_half") is True and 1 <= int(hour) <= 12
    moments = [first] if not halves else [first.replace(hour=int(hour) % 12 + half) for half in (0, 12)]
    return _choose(moments, day, now)


def _choose(moments: list[datetime], day: str, now: datetime) -> datetime:
    if day.startswith("tomorrow"):
        return min(moments) + timedelta(days=1)
    if day == "tonight":
        moments = [moment for moment in moments if moment.hour >= 17] or [max(moments)]
    later = [moment for moment in moments if moment > now]
    if later:
        return min(later)
    if day in ("today", "tonight"):
        raise RequestInvalid("That time has passed already.")
    return min(moments) + timedelta(days=1)
