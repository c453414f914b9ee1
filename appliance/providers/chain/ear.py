"""The hearing of one conversation: speech to text that survives its service.

A turn's sound is kept until its final transcript is there. A connection that is lost is dialled again without end, and
what it has not answered is sent again, from the turn's start. While somebody waits for too long, the next rung takes
over; when there is none, `lost` says so, and the session's own ladder goes on.
"""

import asyncio
import contextlib
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from appliance.errors import ApplianceError, ProviderUnavailable, kind_and_place
from appliance.providers.chain.journal import FRAME_MS, Entry, TurnJournal
from appliance.providers.chain.rungs import Rungs, verdict
from appliance.providers.chain.stage_faults import blamed_on, told_of
from appliance.stages import (
    EagerEnd,
    Ended,
    Hearing,
    SpeechToText,
    Transcript,
    TranscriptEvent,
    Transcription,
    TurnResumed,
)

RESEND_FRAMES: Final = 5
"""Sent at once when there is more to send than the newest frame: 100 ms."""
RESEND_SPEED: Final = 4.0
DIAL_SECONDS: Final = 10.0
HASTY_SECONDS: Final = 1.5
"""The same where another stage can be asked: a session's own dial, in which the ear is opened, takes 2.5 s at first."""
FALLBACK_SECONDS: Final = 3.0
FINAL_SECONDS: Final = 8.0
"""A stage that owes a final transcript for so long hangs, whatever its socket says."""
TRIES: Final = 3
"""Connections that may be lost over one turn before it is given up."""
CLIMB_SECONDS: Final = 15.0
FIRST_DELAY: Final = 0.25
LONGEST_DELAY: Final = 10.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Climbed:
    rung: int
    connection: Transcription


class Ear:
    """Belongs to the loop's thread. `told` is called with the stages' events; `lost` once, when all is lost."""

    def __init__(
        self,
        stages: Sequence[SpeechToText],
        rungs: Rungs,
        hearing: Hearing,
        *,
        trouble: Callable[[str, str], None],
    ) -> None:
        self.told: Callable[[TranscriptEvent], None] = _untold
        self.lost: Callable[[ApplianceError], None] = self._deafened
        self._stages = stages
        self._rungs = rungs
        self.hearing = hearing
        self.trouble = trouble
        self._turns = TurnJournal()
        self._counts: Counter[str] = Counter()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_lost = False

    # --- from the session ---

    async def open(self) -> None:
        """Connect to the first stage that can be reached. Raise the fault that speaks for all when none can."""
        faults: list[ApplianceError] = []
        order = self._rungs.order(self._now())
        for rung in order:
            seconds = DIAL_SECONDS if rung == order[-1] else HASTY_SECONDS
            try:
                connection = await self._dial(rung, seconds)
            except ApplianceError as fault:
                faults.append(fault)
                continue
            self._task = asyncio.get_running_loop().create_task(self._run(rung, connection), name="chain ear")
            self._task.add_done_callback(self._ended)
            return
        raise verdict(faults or [ProviderUnavailable("the chain has no speech to text")])

    def hear(self, turn: int, pcm: bytes) -> None:
        """20 ms of `turn`, at 16 kHz."""
        self._turns.hear(turn, pcm)
        self._wake.set()

    def commit(self, turn: int) -> None:
        self._turns.commit(turn)
        self._wake.set()

    def discard(self, turn: int) -> None:
        if self._turns.discard(turn):
            self._wake.set()

    async def close(self) -> None:
        """Idempotent; at most 2 s."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task}, timeout=1.9)

    def rest(self) -> None:
        """Its conversation is over: forget what was said, tell nobody, stay connected."""
        self.told, self.lost, self.trouble = _untold, self._deafened, _untold
        self._turns.next_conversation()
        self._wake.set()

    @property
    def deaf(self) -> bool:
        """It hears nothing any more."""
        return self._task is None or self._task.done() or self._is_lost

    @property
    def waiting(self) -> bool:
        """Somebody has said something that is not understood yet."""
        return bool(self._turns)

    def counters(self) -> Mapping[str, int]:
        """Since it began to hear; more than one conversation may have been heard since."""
        dropped = {"stt_dropped_ms": self._turns.dropped_ms} if self._turns.dropped_ms else {}
        return {**self._counts, **dropped}

    # --- inside ---

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _dial(self, rung: int, seconds: float, *, patient: bool = False) -> Transcription:
        """With `patient` a fault that a retry may mend is not held against the stage."""
        stage = self._stages[rung]
        try:
            with blamed_on(stage.name):
                connection = await self._connected(stage, seconds)
        except ApplianceError as fault:
            if not patient or not fault.retryable:
                self._rungs.failed(rung, fault, self._now())
            raise
        self._rungs.worked(rung)
        return connection

    async def _connected(self, stage: SpeechToText, seconds: float) -> Transcription:
        await stage.warm()
        try:
            async with asyncio.timeout(seconds):
                return await stage.connect(self.hearing)
        except TimeoutError as error:
            raise ProviderUnavailable(f"{stage.name} did not answer in time") from error

    async def _run(self, rung: int, connection: Transcription) -> None:
        while True:
            outcome = await self._serve(rung, connection)
            if isinstance(outcome, _Climbed):
                rung, connection = outcome.rung, outcome.connection
                self._turns.send_anew()
                continue
            fault = outcome
            self._counts["stt_drops"] += 1
            self.trouble("stt_lost", told_of(self._stages[rung].name, fault))
            if not fault.retryable:
                self._rungs.failed(rung, fault, self._now())
            for turn in self._turns.connection_lost(TRIES):
                self._give_up(turn)
            rung, connection = await self._dial_again(rung)
            self._counts["stt_redials"] += 1

    def _give_up(self, turn: int) -> None:
        """Each connection was lost over it: that must not go on for ever."""
        self._counts["stt_given_up"] += 1
        self.trouble("turn_not_understood", "speech to text broke off over one turn again and again")
        self.told(Transcript(turn, "", final=True))

    async def _dial_again(self, rung: int) -> tuple[int, Transcription]:
        """Without end. The same rung while nobody waits or not for long; then the others too."""
        down_since = self._now()
        for attempt in itertools.count():
            if attempt:
                delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (attempt - 1))
                await self._sleep(delay)
            now = self._now()
            waited_for = bool(self._turns) and now - down_since >= FALLBACK_SECONDS
            mine = [] if waited_for or self._rungs.cooling(rung, now) else [rung]
            faults: list[ApplianceError] = []
            order = self._rungs.order(now)
            for each in mine or order:
                last = len(order) == 1 or (not mine and each == order[-1])
                try:
                    seconds = DIAL_SECONDS if last else HASTY_SECONDS
                    return each, await self._dial(each, seconds, patient=bool(mine))
                except ApplianceError as fault:
                    faults.append(fault)
            hopeless = not any(fault.retryable for fault in faults)
            if not mine and (hopeless or waited_for):
                self._is_lost = True
                self.lost(verdict(faults))
                await asyncio.Event().wait()
        raise AssertionError

    async def _sleep(self, seconds: float) -> None:
        """Shorter as soon as somebody begins to speak: nobody should wait for a delay that has grown in silence."""
        if self._turns:
            await asyncio.sleep(min(seconds, 1.0))
            return
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _serve(self, rung: int, connection: Transcription) -> "ApplianceError | _Climbed":
        """Until the connection is lost, and return why; or until a better one is there."""
        loop = asyncio.get_running_loop()
        jobs: set[asyncio.Task[ApplianceError | _Climbed]] = {
            loop.create_task(self._read(connection)),
            loop.create_task(self._write(connection)),
        }
        if rung:
            jobs.add(loop.create_task(self._climb(rung)))
        self._wake.set()
        try:
            done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            outcomes = [job.result() for job in done]
            return next((one for one in outcomes if isinstance(one, _Climbed)), outcomes[0])
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.wait(jobs, timeout=1.0)
            await connection.close()

    async def _climb(self, rung: int) -> "_Climbed":
        """Look for a rung above this one, in quiet moments."""
        while True:
            await asyncio.sleep(CLIMB_SECONDS)
            best = self._rungs.order(self._now())[0]
            if self._turns or best >= rung:
                continue
            with contextlib.suppress(ApplianceError):
                connection = await self._dial(best, DIAL_SECONDS)
                if not self._turns:
                    return _Climbed(best, connection)
                await connection.close()

    async def _read(self, connection: Transcription) -> ApplianceError:
        try:
            with blamed_on("speech to text"):
                async for event in connection:
                    self._take(event)
        except ApplianceError as fault:
            return fault
        return ProviderUnavailable("the connection ended")

    def _take(self, event: TranscriptEvent) -> None:
        if isinstance(event, Transcript | EagerEnd | TurnResumed | Ended):
            turn = self._turns.turn_of(event.turn)
            if turn is None:
                self._counts["stt_late"] += 1
                return
            event = replace(event, turn=turn)
        if isinstance(event, Transcript):
            entry = self._turns.find(event.turn)
            if entry is None:
                self._counts["stt_late"] += 1
                return
            if event.final:
                self._turns.understood(entry, self._now())
                self._wake.set()
        self.told(event)

    async def _write(self, connection: Transcription) -> ApplianceError:
        try:
            with blamed_on("speech to text"):
                await self._write_all(connection)
        except ApplianceError as fault:
            return fault
        return ProviderUnavailable("no final transcript comes")

    async def _write_all(self, connection: Transcription) -> None:
        """Return when a final transcript is owed for too long."""
        free_at = 0.0
        while True:
            self._wake.clear()
            while (key := self._turns.next_unwanted()) is not None:
                await connection.discard(key)
            entry = self._turns.next_to_send()
            if self._left_alone():
                return
            if entry is None or not await self._send(connection, entry):
                await self._idle()
                continue
            now = self._now()
            free_at = max(free_at, now - 1.0 / RESEND_SPEED) + RESEND_FRAMES * FRAME_MS / 1000 / RESEND_SPEED
            if entry.behind > RESEND_FRAMES and free_at > now:
                await asyncio.sleep(free_at - now)

    async def _send(self, connection: Transcription, entry: Entry) -> bool:
        """The next that is to be sent of `entry`; whether there was anything."""
        if entry.behind:
            await connection.hear(entry.key, entry.take(RESEND_FRAMES))
            return True
        if entry.committed:
            entry.commit_sent, entry.owed_since = True, self._now()
            await connection.commit(entry.key)
            return True
        return False

    def _left_alone(self) -> bool:
        """A final transcript is owed for too long."""
        since = self._turns.owed_since()
        return since is not None and self._now() >= since + FINAL_SECONDS

    async def _idle(self) -> None:
        """Wait for something to send, or until a final transcript is owed for too long."""
        since = self._turns.owed_since()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(None if since is None else since + FINAL_SECONDS):
                await self._wake.wait()

    def _ended(self, task: asyncio.Task[None]) -> None:
        fault = None if task.cancelled() else task.exception()
        if fault is not None:
            # A bug of ours, or of a stage: the session dials anew.
            logger.error("%s failed: %s", task.get_name(), kind_and_place(fault))
            self._is_lost = True
            self.lost(ProviderUnavailable(f"speech to text: {type(fault).__name__}"))

    def _deafened(self, _: ApplianceError) -> None:
        """Nobody listens to what it tells: `deaf` says it."""


def _untold(*_: object) -> None:
    """Nobody is there to be told."""
