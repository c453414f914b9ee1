"""The audio of one client's session: what it sends goes to the line's capture, what the line plays goes to it."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from appliance.control.limits import AudioIntake, Limits
from appliance.control.outbox import Outbox
from appliance.control.ports import LinePort, SessionPort
from appliance.frames import BYTES_PER_SAMPLE, FRAME_MS, samples_in

_PERIOD: Final = FRAME_MS / 1000
_CATCH_UP_FRAMES: Final = 5


class ClientLine:
    """A client line with its session. `hear` takes audio as it comes; `run` keeps the time until it is cancelled."""

    def __init__(
        self, line: LinePort, session: SessionPort, rate: int, outbox: Outbox, limits: Limits
    ) -> None:
        self.line = line
        self.session = session
        self.rate = rate
        self._outbox = outbox
        self._intake = AudioIntake(rate, limits)
        self._samples = samples_in(FRAME_MS, rate)
        line.playout.lag = self._unsent_ms

    def hear(self, pcm: bytes) -> bool:
        """Take audio of any length; False when it came too fast for too long."""
        taken = self._intake.put(pcm)
        self._feed()
        return taken

    async def run(self, now: Callable[[], float]) -> None:
        """Every 20 ms: give on what waits, and send what is due."""
        next_at = now()
        while True:
            self._feed()
            self._play(now())
            next_at += _PERIOD
            # After a stall the client gets a few frames at once; what is older it has missed, and hears later.
            next_at = max(next_at, now() - _CATCH_UP_FRAMES * _PERIOD)
            await asyncio.sleep(next_at - now())

    def _feed(self) -> None:
        at = time.monotonic()
        for piece in self._intake.due(at):
            self.line.capture.feed(piece, at)

    def _play(self, at: float) -> None:
        playing = self.line.playout.active()
        pcm = self.line.playout.pull(self._samples)
        # The fade after a flush comes when nothing is active any more.
        if playing or any(pcm):
            self._outbox.put(bytes(pcm), at)

    def _unsent_ms(self) -> float:
        return self._outbox.audio_bytes / BYTES_PER_SAMPLE * 1000 / self.rate
