"""What a line is used for while its session waits: music on hold, another phone's ringing, another line's sound."""

import asyncio
from collections.abc import Callable
from typing import Final

import numpy as np

from appliance.audio.capture import Captured
from appliance.audio.level import level_dbfs
from appliance.audio.playout import Playout
from appliance.frames import WORKING_RATE
from appliance.session.backlog import Backlog

AHEAD_MS: Final = 1_000.0
LATE_MS: Final = 200.0
"""Sound of another line that may wait: what is later than this is left out."""
QUIET_DBFS: Final = -50.0
_LOOK_SECONDS: Final = 0.25
Listener = Callable[[Captured], None]


class Loan:
    """A playout of its own, and who listens meanwhile. Belongs to the loop's thread, but for the playout's `pull`."""

    def __init__(self, playout: Playout, listener: Listener | None = None) -> None:
        self.playout = playout
        self.listener = listener
        self.dropped = 0
        self._loop = asyncio.get_running_loop()
        self._tune = b""
        self._timer: asyncio.TimerHandle | None = None
        self._numbers = 0
        self._name = "loan"
        self.telling = False
        """Something is told that nothing else may sound beside."""
        self._backlog = Backlog()

    def repeat(self, pcm: bytes) -> None:
        """Let `pcm` (at the playout's rate) sound again and again, in place of what sounded before."""
        self.silence()
        self._tune = pcm
        self._top_up()

    def play(self, pcm: bytes, rate: int = WORKING_RATE) -> None:
        """The next piece of another line's sound, unless something else is played; what comes too fast is left out."""
        if self._tune or self.telling:
            return
        queued = self.playout.queued_ms()
        quiet = level_dbfs(np.frombuffer(pcm, dtype="<i2")) < QUIET_DBFS
        if self._backlog.leaves_out(queued, quiet=quiet) or queued > LATE_MS:
            self.dropped += 1
            return
        self.playout.play(self._name, pcm, rate)

    def tell(self, pcm: bytes, rate: int) -> None:
        """Let `pcm` sound once, in place of what sounded before and of the other line, until `silence`."""
        self.silence()
        self.telling = True
        self.playout.play(self._name, pcm, rate)
        self.playout.finish(self._name)

    def told(self) -> bool:
        """Whether it has sounded to its end; False also where something else has taken its place."""
        return self.telling and not self.playout.active()

    def silence(self) -> None:
        """Stop what sounds."""
        self.telling = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._tune = b""
        self.playout.flush()
        self._numbers += 1
        self._name = f"loan-{self._numbers}"

    def _top_up(self) -> None:
        while self._tune and self.playout.queued_ms() < AHEAD_MS:
            self.playout.play(self._name, self._tune, self.playout.rate)
        self._timer = self._loop.call_later(_LOOK_SECONDS, self._top_up)
