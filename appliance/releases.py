"""What became of an update, told once by whoever runs after it: as an event, aloud, and in `status`."""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

from appliance.aloud import Aloud
from appliance.bus import EventBus
from appliance.errors import ApplianceError
from appliance.events import ReleaseChanged
from appliance.private import opener
from appliance.slots import slot_status, spoken
from provisioning.release.trial import CUT_OFF, Outcome, Report
from provisioning.slots.trial import Slots

LOOK_SECONDS: Final = 5.0
logger = logging.getLogger(__name__)


def sentence(report: Report) -> str:
    """What is said aloud; empty for what nobody in the room has to know."""
    if report.outcome == Outcome.UPDATED:
        return f"I have been updated to version {_spoken(report.version)}."
    if report.outcome != Outcome.STEPPED_BACK or not report.version:
        return ""
    went = (
        f"so I went back to version {_spoken(report.from_version)}"
        if report.from_version
        else "so I went back"
    )
    if report.reason == CUT_OFF:
        return f"The update to version {_spoken(report.version)} was cut off, {went}."
    return f"Version {_spoken(report.version)} did not work here, {went}."


def _spoken(version: str) -> str:
    return version.replace(".", " point ")


class ReportPlace(Protocol):
    """Where the report lies."""

    @property
    def report(self) -> Path: ...


class Reports(Protocol):
    """Who knows what became of the last update."""

    @property
    def places(self) -> ReportPlace: ...

    def report(self) -> Report | None: ...


class ReleaseNews:
    """`say` has a text spoken in the room; what was told, and what was heard, is remembered in `directory`, so that
    the event comes once, and the sentence until it was heard."""

    what: ClassVar[str] = "application"
    kept_in: ClassVar[str] = "update.json"

    def __init__(
        self, releases: Reports, directory: Path, bus: EventBus, say: Callable[[str], None], version: str
    ) -> None:
        self._releases = releases
        self._told_in = directory / self.kept_in
        self._bus = bus
        self._aloud = Aloud(bus, lambda text, _: say(text))
        self._version = version
        self._seen = 0.0
        self._last: Report | None = None

    def sentence(self, report: Report) -> str:
        return sentence(report)

    def status(self) -> Mapping[str, Any] | None:
        """For `status`: the version that runs, and the last update."""
        return {"version": self._version, "last": asdict(self._last) if self._last else None}

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            report = await asyncio.to_thread(self.news)
            if report is not None:
                self.tell(report)
            await asyncio.sleep(LOOK_SECONDS)

    def news(self) -> Report | None:
        """A report that nobody was told of yet, or that nobody heard. Blocks."""
        try:
            changed = self._releases.places.report.stat().st_mtime
        except OSError:
            return None
        if changed == self._seen:
            return None
        self._seen, self._last = changed, self._releases.report()
        if self._last is None or (self._last.id, True) == self._remembered():
            return None
        return self._last

    def tell(self, report: Report) -> None:
        text = self.sentence(report)
        if self._remembered()[0] != report.id:
            self._publish(report)
            self._remember(report, heard=not text)
        if not text:
            return
        try:
            self._aloud.tell(self.what, text, "", lambda: self._remember(report, heard=True))
        except ApplianceError as error:
            logger.info("the update was not told aloud: %s", error.code)

    def _publish(self, report: Report) -> None:
        logger.info("update of the %s to %s: %s %s", self.what, report.version, report.outcome, report.reason)
        self._bus.publish(
            ReleaseChanged(
                from_=report.from_version,
                to=report.version,
                state=report.outcome,
                reason=report.reason,
                what=self.what,
            )
        )

    def _remembered(self) -> tuple[str, bool]:
        """The report that was told last, and whether it was heard."""
        try:
            kept = json.loads(self._told_in.read_text(encoding="utf-8"))
            return str(kept.get("told", "")), bool(kept.get("heard", True))
        except (OSError, ValueError, AttributeError):
            return "", False

    def _remember(self, report: Report, *, heard: bool) -> None:
        try:
            self._told_in.unlink(missing_ok=True)
            with open(self._told_in, "w", encoding="utf-8", opener=opener) as file:
                json.dump({"told": report.id, "heard": heard}, file)
        except OSError as error:
            logger.warning("what was told of an update is not remembered: %s", error.strerror)


class SystemNews(ReleaseNews):
    """The same of updates of the system; `status` is None where it has no slots."""

    what = "system"
    kept_in = "system-update.json"

    def __init__(self, slots: Slots, directory: Path, bus: EventBus, say: Callable[[str], None]) -> None:
        super().__init__(slots, directory, bus, say, "")
        self._slots = slots
        self._status = slot_status(slots)

    def sentence(self, report: Report) -> str:
        return spoken(report)

    def news(self) -> Report | None:
        self._status = slot_status(self._slots)
        return super().news()

    def status(self) -> Mapping[str, Any] | None:
        return self._status
