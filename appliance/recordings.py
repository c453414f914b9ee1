"""The recordings of calls: begun, paused, ended and told; those that a cut left are mended, old ones removed."""

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from appliance import clock, private
from appliance.audio.recording import Recorder, mend
from appliance.bus import EventBus
from appliance.config.schema import Recording
from appliance.events import ClockChanged, Event, RecordingChanged, Warned

_SWEEP_SECONDS: Final = 86_400.0
BELIEVED: Final = ".clock"
"""Touched while the clock is believed: what is newer than it was recorded by a clock that was not."""
_STEP_SECONDS: Final = 3600.0
_AT_REST_SECONDS: Final = 10.0
"""A file that was written to so lately may still be recorded to."""
logger = logging.getLogger(__name__)


class Recordings:
    """All methods belong to the loop's thread. `directory` is the state directory, where the settings name no other.

    `believed` says whether the wall clock can be. A board without a battery that is off the network records by the time
    of its last shut-down: when the clock is set, such recordings are dated anew, or they would seem months old.
    """

    def __init__(
        self,
        settings: Recording,
        directory: Path,
        bus: EventBus,
        believed: Callable[[], bool] = lambda: clock.believable(clock.read()),
    ) -> None:
        self._settings = settings
        self._directory = Path(settings.directory) if settings.directory else directory / "recordings"
        self._bus = bus
        self._running: dict[str, tuple[Recorder, str]] = {}
        self._paused: set[str] = set()
        self._believed = believed
        bus.listen(self._notice)

    def begin(self, call: str, line: str, rate: int, lost: Callable[[], None]) -> Recorder:
        """Record a call that is not recorded yet; `lost()` is called should the disk end it."""
        loop = asyncio.get_running_loop()
        path = self._directory / f"call-{time.strftime('%Y%m%d-%H%M%S')}-{call}.wav"

        def failed(code: str) -> None:
            loop.call_soon_threadsafe(self._failed, call, code, lost)

        recorder = Recorder(path, failed, rate=rate)
        recorder.paused = call in self._paused
        self._running[call] = (recorder, line)
        loop.run_in_executor(None, self._mark)
        self._tell(call, "started")
        return recorder

    def end(self, call: str) -> None:
        """Stop; what is queued is still written. Of a call that is not recorded, nothing."""
        if call in self._running:
            self._tell(call, "stopped")
            recorder, _ = self._running.pop(call)
            asyncio.get_running_loop().run_in_executor(None, self._finish, recorder)

    def pause(self, call: str) -> None:
        """Until `resume`, silence is recorded in the place of both sides, also by a recording that begins meanwhile."""
        if call not in self._paused:
            self._paused.add(call)
            self._set_paused(call, True)

    def resume(self, call: str) -> None:
        if call in self._paused:
            self._paused.discard(call)
            self._set_paused(call, False)

    def forget(self, call: str) -> None:
        """The call is over."""
        self.end(call)
        self._paused.discard(call)

    async def sweep(self) -> None:
        """Mend what a cut left, now; remove what is older than `keep_days`, daily, until cancelled."""
        while True:
            await asyncio.to_thread(self._tidy)
            await asyncio.sleep(_SWEEP_SECONDS)

    def _tidy(self) -> None:
        now, believed = time.time(), self._believed()
        self._mark()
        for path in self._directory.glob("call-*.wav"):
            private.tighten([path])
            try:
                age = now - path.stat().st_mtime
                if believed and age > self._settings.keep_days * 86_400:
                    path.unlink(missing_ok=True)
                elif age > _AT_REST_SECONDS and mend(path):
                    logger.info("a recording that was cut off is whole again: %s", path.name)
            except OSError as error:
                logger.warning("a recording cannot be tidied: %s", error.strerror)

    def _finish(self, recorder: Recorder) -> None:
        recorder.stop()
        self._mark()

    def _mark(self) -> None:
        """Note the time, where it is believed."""
        if not self._directory.is_dir() or not self._believed():
            return
        try:
            with open(self._directory / BELIEVED, "a", opener=private.opener) as file:
                os.utime(file.fileno())
        except OSError as error:
            logger.debug("the time is not noted: %s", error.strerror)

    def _notice(self, event: Event) -> None:
        if (
            isinstance(event, ClockChanged)
            and event.state == "stepped"
            and abs(event.by_seconds) >= _STEP_SECONDS
        ):
            asyncio.get_running_loop().run_in_executor(None, self._date_anew, event.by_seconds)

    def _date_anew(self, by_seconds: float) -> None:
        """What was recorded since the clock was last believed is as much younger as the clock was wrong."""
        mark = self._directory / BELIEVED
        since = mark.stat().st_mtime if mark.exists() else 0.0
        for path in self._directory.glob("call-*.wav"):
            try:
                dated = path.stat().st_mtime
                # What is being recorded has the new time already.
                if since < dated < time.time() - by_seconds + _AT_REST_SECONDS:
                    os.utime(path, (dated + by_seconds, dated + by_seconds))
            except OSError as error:
                logger.warning("a recording cannot be dated: %s", error.strerror)
        self._mark()

    def _set_paused(self, call: str, paused: bool) -> None:
        if call in self._running:
            self._running[call][0].paused = paused
            self._tell(call, "paused" if paused else "resumed")

    def _failed(self, call: str, code: str, lost: Callable[[], None]) -> None:
        if call in self._running:
            self._tell(call, "failed")
            del self._running[call]
        lost()
        free_mb = shutil.disk_usage(self._directory).free // 1_000_000 if self._directory.exists() else 0
        self._bus.publish(
            Warned(code=code, message="recording stopped; the call goes on", hint=f"{free_mb} MB are free")
        )

    def _tell(self, call: str, state: str) -> None:
        recorder, line = self._running[call]
        self._bus.publish(RecordingChanged(call=call, state=state, path=str(recorder.path), line=line))
