"""The appliance's own pulse: parts and their reasons, heartbeats, loop lag, counters; what systemd is told of it."""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from appliance.service import Notifier

Counters = Callable[[], Mapping[str, float]]

LAG_PERIOD: Final = 0.25
_LOOP: Final = "loop"
_NOT_IN_A_NAME: Final = re.compile(r"[^a-zA-Z0-9_]")
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Part:
    """Something that must work before the appliance is of use, and why it does not. Starts out as failing."""

    name: str
    required: bool = True
    working: bool = False
    reason: str = "starting"
    since: float = field(default_factory=time.time)
    hint: str = ""

    def ok(self, reason: str = "") -> None:
        """It works; `reason` may say how."""
        self._set(True, reason)

    def failing(self, reason: str, hint: str = "") -> None:
        """It does not work, because of `reason`: a sentence for whoever reads /ready. `hint` is what may help."""
        self._set(False, reason, hint)

    def _set(self, working: bool, reason: str, hint: str = "") -> None:
        self.hint = hint
        if working != self.working:
            self.since = time.time()
        self.working, self.reason = working, reason


@dataclass(slots=True)
class _Heart:
    within: float
    at: float


@dataclass(frozen=True, slots=True)
class _Source:
    group: str
    labels: Mapping[str, str]
    read: Counters


class Health:
    """Collects; anybody may ask. `beat` may be called on any thread, all else on the loop's."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._parts: dict[str, Part] = {}
        self._hearts: dict[str, _Heart] = {_LOOP: _Heart(10.0, clock())}
        self._watched: dict[str, tuple[float, Callable[[], float]]] = {}
        self._sources: list[_Source] = []
        self.loop_lag_ms = 0.0
        self.loop_lag_max_ms = 0.0

    def part(self, name: str, *, required: bool = True) -> Part:
        """The part of that name, made at the first call. Only required parts hold readiness back."""
        return self._parts.setdefault(name, Part(name, required))

    def remove(self, name: str) -> None:
        """Forget a part and a heartbeat: it is configured no longer."""
        self._parts.pop(name, None)
        self._hearts.pop(name, None)
        self._watched.pop(name, None)

    def expect(self, name: str, within: float) -> None:
        """From now on, `beat(name)` must come every `within` seconds, or the watchdog is not fed."""
        self._hearts[name] = _Heart(within, self._clock())

    def watch(self, name: str, within: float, age: Callable[[], float]) -> None:
        """As `expect`, for what keeps its own time: `age()` is the seconds since its last sign of life."""
        self._watched[name] = (within, age)

    def beat(self, name: str) -> None:
        """A sign of life. Of an unexpected name it is ignored."""
        heart = self._hearts.get(name)
        if heart is not None:
            heart.at = self._clock()

    def count(self, group: str, read: Counters, **labels: str) -> Callable[[], None]:
        """Show the numbers of `read()` as GROUP_KEY; the returned function takes them away."""
        source = _Source(group, labels, read)
        self._sources.append(source)

        def leave() -> None:
            if source in self._sources:
                self._sources.remove(source)

        return leave

    def ready(self) -> bool:
        return all(part.working for part in self._parts.values() if part.required)

    def reasons(self) -> list[str]:
        """Why it is not ready; empty when it is."""
        return [
            f"{part.name}: {part.reason}"
            for part in self._parts.values()
            if part.required and not part.working
        ]

    def stale(self) -> list[str]:
        """The heartbeats that are overdue."""
        return [name for name, (age, within) in self._ages().items() if age > within]

    def counters(self) -> dict[str, float]:
        """All numbers, flat: what the event `metrics` carries."""
        flat = {
            "uptime_seconds": round(self._clock() - self._began, 1),
            "loop_lag_ms": round(self.loop_lag_ms, 1),
        }
        for source in tuple(self._sources):
            prefix = ".".join([source.group, *source.labels.values()])
            flat.update({f"{prefix}.{key}": value for key, value in source.read().items()})
        return flat

    def report(self) -> dict[str, Any]:
        """/health: everything, for a person or a program."""
        now = self._clock()
        return {
            "ready": self.ready(),
            "reasons": self.reasons(),
            "parts": {
                part.name: {
                    "ok": part.working,
                    "required": part.required,
                    "reason": part.reason,
                    "hint": part.hint,
                    "since": round(part.since, 3),
                }
                for part in self._parts.values()
            },
            "heartbeats": {
                name: {"age": round(age, 3), "within": within, "fresh": age <= within}
                for name, (age, within) in self._ages().items()
            },
            "loop_lag_ms": round(self.loop_lag_ms, 1),
            "loop_lag_max_ms": round(self.loop_lag_max_ms, 1),
            "uptime": round(now - self._began, 1),
            "counters": self.counters(),
        }

    def prometheus(self) -> str:
        """/metrics: the Prometheus text format 0.0.4."""
        families: dict[str, list[str]] = {}

        def add(name: str, value: float, /, **labels: str) -> None:
            inside = ",".join(f'{_metric(key)}="{_escape(text)}"' for key, text in labels.items())
            shown = f"{{{inside}}}" if inside else ""
            families.setdefault(f"handset_{_metric(name)}", []).append(
                f"handset_{_metric(name)}{shown} {float(value)!r}"
            )

        now = self._clock()
        add("up", 1)
        add("ready", self.ready())
        add("uptime_seconds", round(now - self._began, 3))
        add("loop_lag_seconds", self.loop_lag_ms / 1000)
        add("loop_lag_max_seconds", self.loop_lag_max_ms / 1000)
        for part in self._parts.values():
            add("part_ok", part.working, part=part.name)
        for name, (age, _) in self._ages().items():
            add("heartbeat_age_seconds", age, name=name)
        for source in tuple(self._sources):
            for key, value in source.read().items():
                add(f"{source.group}_{key}", value, **source.labels)
        return "".join(
            f"# TYPE {name} {_kind(name)}\n" + "\n".join(lines) + "\n" for name, lines in families.items()
        )

    def _ages(self) -> dict[str, tuple[float, float]]:
        """Of each heart: the seconds since its last beat, and how many it may take."""
        now = self._clock()
        beaten = {name: (now - heart.at, heart.within) for name, heart in tuple(self._hearts.items())}
        return beaten | {name: (age(), within) for name, (within, age) in self._watched.items()}

    def sentence(self) -> str:
        """STATUS for systemd."""
        if stale := self.stale():
            return f"no sign of life from {', '.join(stale)}"
        if reasons := self.reasons():
            return f"waiting for {'; '.join(reasons)}"
        without = [f"{part.name}: {part.reason}" for part in self._parts.values() if not part.working]
        return f"ready, but for {'; '.join(without)}" if without else "ready"

    async def run(self, notifier: Notifier) -> None:
        """Measure the loop's lag, tell the service manager and feed its watchdog, until cancelled.

        READY is not told here: that is for whoever knows that the control API listens.
        """
        said = ""
        fed = self._clock()
        while True:
            asleep = self._clock()
            await asyncio.sleep(LAG_PERIOD)
            self.loop_lag_ms = max(0.0, (self._clock() - asleep - LAG_PERIOD) * 1000)
            self.loop_lag_max_ms = max(self.loop_lag_max_ms, self.loop_lag_ms)
            self.beat(_LOOP)
            stale = self.stale()
            if notifier.watchdog and self._clock() - fed >= notifier.watchdog / 3 and not stale:
                fed = self._clock()
                notifier.feed()
            if (sentence := self.sentence()) != said:
                said = sentence
                notifier.status(sentence)
                if stale:
                    logger.error("%s: the watchdog is not fed", sentence)


def _metric(name: str) -> str:
    plain = _NOT_IN_A_NAME.sub("_", name)
    return f"_{plain}" if plain[:1].isdigit() else plain


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _kind(name: str) -> str:
    return "counter" if name.endswith("_total") else "gauge"
