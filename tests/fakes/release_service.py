"""The machine around releases, in virtual time: each release runs as its file `behaviour` says."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from provisioning.release.gate import Reading
from provisioning.release.places import Places

WELL = Reading(active=True, process=100, answers=True, ready=True)


class FakeService:
    """Implements provisioning.release.update.Service.

    `behaviour` of a release is a word: well; dies (crash loop); deaf (a heartbeat is overdue); mute_sip; slow (well
    after 20 s); flutters (ready and not ready in turn); no_provider (doctor); rejects (the configuration).
    """

    def __init__(self, places: Places, *, calls_until: float = 0.0, failing: tuple[str, ...] = ()) -> None:
        self.places = places
        self.time = 1000.0
        self.calls_until = calls_until
        self.failing = failing
        self.started = 0.0
        self.on_restart: Callable[[], None] = lambda: None
        self.restarts = 0
        self.on_sleep: Callable[[], None] = lambda: None

    def behaviour(self, release: Path | None = None) -> str:
        return (release or self.places.current).joinpath("behaviour").read_text()

    def reading(self) -> Reading:
        age = self.time - self.started
        now = replace(WELL, busy=self.time < self.calls_until, failing=frozenset(self.failing))
        match self.behaviour():
            case "dies":
                return Reading(active=False, restarts=int(age // 3), process=100 + int(age // 3))
            case "deaf":
                return replace(now, stale=frozenset({"capture"}))
            case "mute_sip":
                reasons = ("sip: the registrar refuses",)
                return replace(now, ready=False, failing=now.failing | {"sip"}, reasons=reasons)
            case "slow" if age < 20:
                return Reading(active=False, process=100)
            case "flutters":
                return replace(now, ready=int(age) % 20 < 15)
        return now

    def restart(self) -> None:
        self.on_restart()
        self.restarts += 1
        self.started = self.time

    def rejects(self, release: Path) -> str:
        return "sip.sever: there is no such key" if self.behaviour(release) == "rejects" else ""

    def failures(self, release: Path) -> list[str]:
        return ["provider openai"] if self.behaviour(release) == "no_provider" else []

    def now(self) -> float:
        return self.time

    def steady(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.on_sleep()
