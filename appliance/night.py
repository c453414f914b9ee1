"""The room is measured again at night: a probe that hardly anybody would hear, while nobody talks or plays."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from appliance.audio.capture import Captured
from appliance.audio.duplex import Trial
from appliance.audio.sweep import Acoustics, Probe, Samples, make_probe, measure
from appliance.bus import EventBus
from appliance.calibration import Calibration, CalibrationFile, calibrated
from appliance.errors import ApplianceError
from appliance.events import RoomMeasured
from appliance.room import Room
from appliance.session.line import Line

HOURS: Final = range(2, 5)
"""Local time."""
LEAST_IDLE_SECONDS: Final = 600.0
EVERY_SECONDS: Final = 20 * 3600.0
AGAIN_SECONDS: Final = 1800.0
"""After an attempt in which somebody was heard."""
LOOK_SECONDS: Final = 60.0
SET_CLOCK: Final = 1_735_700_000.0
"""Unix time of 2025: a clock before it was never set."""

LISTEN_SECONDS: Final = 5.0
QUIET_DBFS: Final = -42.0
SUDDEN_DB: Final = 15.0
LOUDEST_DBFS: Final = -34.0
FAINTEST_DBFS: Final = -60.0
ABOVE_NOISE_DB: Final = 0.0
"""At the microphone the sweeps are as loud as the room's noise: they are found 30 dB below it."""
USUAL_COUPLING_DB: Final = -15.0
CHANGED_DB: Final = 6.0
"""An echo that has changed by more makes the trial with speech worthless."""
_STEP_SECONDS: Final = 0.1
_AFTER_SECONDS: Final = 0.6
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Moment:
    """What is known when the question is put. Seconds since each; None: never."""

    hour: int
    idle: float
    muted: bool
    measured: float | None
    tried: float | None
    clock: float
    """Unix time."""


def due(now: Moment) -> bool:
    """Whether the room is to be measured now."""
    return (
        now.clock >= SET_CLOCK
        and now.hour in HOURS
        and now.idle >= LEAST_IDLE_SECONDS
        and not now.muted
        and (now.measured is None or not 0 <= now.measured < EVERY_SECONDS)
        and (now.tried is None or now.tried >= AGAIN_SECONDS)
    )


def quiet(levels: list[float], *, speech: bool) -> bool:
    """Whether what was heard (dBFS a frame) is a silent room."""
    if speech or not levels:
        return False
    usual = float(np.median(levels))
    return usual <= QUIET_DBFS and max(levels) <= max(usual + SUDDEN_DB, QUIET_DBFS)


def probe_dbfs(noise_dbfs: float, coupling_db: float | None) -> float:
    """How loud the sweeps are played."""
    coupling = USUAL_COUPLING_DB if coupling_db is None else coupling_db
    return min(LOUDEST_DBFS, max(FAINTEST_DBFS, noise_dbfs + ABOVE_NOISE_DB - coupling))


def renewed(
    known: Calibration | None, found: Acoustics, devices: tuple[str, str], at: float, *, canceller: bool
) -> Calibration | None:
    """What holds from now on; None where the probe was not heard, and what is known stays."""
    if found.coupling_db is None:
        return None
    trial = None
    if known is not None and known.coupling_db is not None and known.onsets is not None:
        same = abs(found.coupling_db - known.coupling_db) <= CHANGED_DB
        trial = Trial(known.erle_db, known.onsets) if same else None
    return calibrated(devices, at, found, trial, canceller=canceller)


class Night:
    """Looks once a minute whether to measure. Belongs to the loop's thread.

    `idle` tells whether nobody talks to the appliance, on any line.
    """

    def __init__(
        self,
        room: Room,
        line: Line,
        kept: CalibrationFile,
        bus: EventBus,
        idle: Callable[[], bool],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._room = room
        self._line = line
        self._kept = kept
        self._bus = bus
        self._idle = idle
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._idle_since: float | None = None
        self._tried: float | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Measure where it is due."""
        now = self._loop.time()
        # Who talks on the telephone in the room has the line, and no session.
        if not self._idle() or self._line.loan is not None or (devices := self._room.devices()) is None:
            self._idle_since = None
            return
        self._idle_since = now if self._idle_since is None else self._idle_since
        clock = self._clock()
        hour = time.localtime(clock).tm_hour
        if hour not in HOURS:
            return
        known = await asyncio.to_thread(self._kept.of, *devices)
        moment = Moment(
            hour=hour,
            idle=now - self._idle_since,
            muted=self._line.deaf,
            measured=clock - known.measured_at if known is not None else None,
            tried=now - self._tried if self._tried is not None else None,
            clock=clock,
        )
        if due(moment):
            self._tried = now
            await self._measure(known, devices)

    async def _measure(self, known: Calibration | None, devices: tuple[str, str]) -> None:
        visit = _Visit(self._line, lambda: self._idle() and self._room.devices() == devices)
        try:
            heard = await visit.probe(known.coupling_db if known is not None else None)
        finally:
            visit.leave()
        if heard is None:
            logger.info("the room was not quiet enough to be measured")
            return
        found = await asyncio.to_thread(_judge, *heard)
        fresh = renewed(known, found, devices, self._clock(), canceller=self._line.cancels)
        if fresh is None:
            logger.info("the microphone did not hear the speaker's probe")
            return
        try:
            await asyncio.to_thread(self._kept.keep, fresh)
        except ApplianceError as fault:
            logger.warning("what was measured is not kept: %s", fault.message)
        self._room.adopt(fresh)
        logger.info("the room was measured: %s (%s)", fresh.duplex, fresh.reason)
        self._bus.publish(RoomMeasured(line=self._line.id, duplex=fresh.duplex, reason=fresh.reason))


class _Visit:
    """The line is lent for the measurement, and given back at the first sign of a person."""

    def __init__(self, line: Line, alone: Callable[[], bool]) -> None:
        self._line = line
        self._alone = alone
        self._levels: list[float] = []
        self._speech = False
        self._near: list[bytes] = []
        self._far: list[bytes] = []
        self._loan = line.lend(self._hear)

    async def probe(self, coupling_db: float | None) -> tuple[Samples, Samples, Probe] | None:
        """What the microphone took and what was played beside it; None where somebody is there."""
        if self._line.capture.tap is not None:
            return None
        await self._listen(LISTEN_SECONDS)
        if not quiet(self._levels, speech=self._speech) or not self._undisturbed():
            return None
        rate = self._line.playout.rate
        probe = make_probe(rate, probe_dbfs(float(np.median(self._levels)), coupling_db))
        playout = self._loan.playout
        playout.volume, playout.trim = 100, 1.0
        self._line.capture.tap = self._note
        playout.play("probe", (probe.samples * 32767).astype("<i2").tobytes(), rate)
        playout.finish("probe")
        await self._listen(probe.seconds + _AFTER_SECONDS)
        if not self._undisturbed():
            return None
        near, far = (np.frombuffer(b"".join(side), "<i2") / 32768 for side in (self._near, self._far))
        return near, far, probe

    def leave(self) -> None:
        """Silence, and the line is a room again."""
        self._line.capture.tap = None
        if self._line.loan is self._loan:
            self._line.reclaim()

    async def _listen(self, seconds: float) -> None:
        for _ in range(round(seconds / _STEP_SECONDS)):
            await asyncio.sleep(_STEP_SECONDS)
            if not self._undisturbed():
                return

    def _undisturbed(self) -> bool:
        return self._alone() and not self._speech and not self._line.deaf and self._line.loan is self._loan

    def _hear(self, captured: Captured) -> None:
        self._levels.append(captured.level_dbfs)
        self._speech |= captured.speech

    def _note(self, near: bytes, far: bytes) -> None:
        """The capture worker's thread."""
        self._near.append(near)
        self._far.append(far)


def _judge(near: Samples, far: Samples, probe: Probe) -> Acoustics:
    """`near` and `far` in step: where each sweep was played is looked up, for the far end may have been cut."""
    asked = []
    for start in probe.starts:
        begin = max(0, start - probe.rate // 5)
        window = far[begin : begin + len(probe.sweep) + round(0.5 * probe.rate)]
        if len(window) < len(probe.sweep):
            break
        asked.append(float(begin + int(np.argmax(_likeness(window, probe)))))
    return measure(near, probe, asked)


def _likeness(window: Samples, probe: Probe) -> Samples:
    size = 1 << (len(window) + len(probe.sweep)).bit_length()
    product = np.fft.rfft(window, size) * np.conj(np.fft.rfft(probe.sweep, size))
    return np.asarray(np.abs(np.fft.irfft(product, size))[: len(window) - len(probe.sweep) + 1])
