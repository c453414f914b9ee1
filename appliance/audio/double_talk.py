"""Somebody talks over what is played, told by level: the microphone takes more than the echo can be. Pure.

An echo canceller that has not learnt the room yet, or finds no echo in it, holds back whoever talks while something is
played, for a second and more. The microphone does not, but what it takes may be the echo. How loud an echo can be is
learnt: the highest ratio of the microphone's level to the played one, band by band, while nobody talked.
"""

import math
from collections import deque
from typing import Final

import numpy as np

from appliance.audio.floor import FRAME_SAMPLES, Levels, NoiseFloor, band_levels
from appliance.audio.vad import LIKELY, Confirmation, Rechunked
from appliance.config.schema import Vad
from appliance.frames import BYTES_PER_SAMPLE, FRAME_MS
from appliance.interfaces import VoiceDetector

ECHO_MS: Final = 500.0
"""For so long a played sound is heard: the delay of its echo, up to 300 ms, and the reverberation."""
ECHO_FRAMES: Final = round(ECHO_MS / FRAME_MS)
SILENT_DB: Final = -65.0
"""What is played more quietly than this in every band is no sound."""
SPREAD_DB: Final = 25.0
"""Loudspeakers distort: every band is taken to be played at least so close to the loudest."""
BEST_BANDS: Final = 3
NEW_MARGIN_DB: Final = 15.0
MARGIN_DB: Final = 9.0
"""By how much the best bands have to exceed the loudest echo: at first, and once KNOWN_MS of it were heard."""
KNOWN_MS: Final = 4_000.0
LEAST_MS: Final = 400.0
"""Before so much of it was heard, nothing is said about the echo."""
FLOOR_MARGIN_DB: Final = 12.0
"""By how much they have to exceed the room's noise: what is played may be as quiet as that."""
HELD_MS: Final = 300.0
"""The newest frames are not learnt from yet: it may be speech that has not been found."""
CALM_MS: Final = 500.0
"""So long after the last frame that exceeded the echo it is certain what that was."""
TRUST_MS: Final = 1_000.0
"""So long after it was last certain, level alone tells that somebody still talks: the canceller may be slow to open."""
BLOCK_MS: Final = 500.0
BLOCKS: Final = 40
CERTAIN_DB: Final = 5.0
"""What exceeds the echo guard's margin by so much is somebody, as far as that frame tells."""
WITNESS_FRAMES: Final = 10
WITNESS_DB: Final = 4.0
"""Of the newest WITNESS_FRAMES: so much excess in all will do where the detectors behind the canceller hear a voice."""
LONGEST_MS: Final = 1_500.0
"""What lasts longer and is not found to be speech is echo as well."""


_SILENCE: Final = band_levels(bytes(FRAME_SAMPLES * BYTES_PER_SAMPLE))


class EchoLevel:
    """The loudest that an echo can be, against what was played in the last ECHO_MS; one frame at a time."""

    def __init__(self) -> None:
        self._held: deque[Levels] = deque(maxlen=round(LONGEST_MS / FRAME_MS))
        self._blocks: deque[Levels] = deque(maxlen=BLOCKS)
        self._block: Levels | None = None
        self._loudest: Levels | None = None
        self._known_ms = 0.0

    @property
    def full(self) -> bool:
        """LONGEST_MS wait to be learnt from."""
        return len(self._held) == self._held.maxlen

    def exceeded_by(self, ratio: Levels) -> bool:
        """Take the next frame's ratio to what was played, dB a band; return whether it is more than an echo."""
        self._held.append(ratio)
        if self._loudest is None or self._known_ms < LEAST_MS:
            return False
        known = min(1.0, self._known_ms / KNOWN_MS)
        margin = NEW_MARGIN_DB + known * (MARGIN_DB - NEW_MARGIN_DB)
        return best(ratio - self._loudest) >= margin

    def learn(self) -> None:
        """What was taken was echo, as far as is known; the newest HELD_MS of it wait."""
        count = len(self._held) - round(HELD_MS / FRAME_MS)
        for _ in range(count):
            ratio = self._held.popleft()
            self._block = ratio if self._block is None else np.maximum(self._block, ratio)
            self._known_ms += FRAME_MS
            if self._known_ms % BLOCK_MS == 0:
                self._blocks.append(self._block)
                self._block = None
        if count > 0:
            newest = [] if self._block is None else [self._block]
            self._loudest = np.maximum.reduce([*self._blocks, *newest])

    def forget(self) -> None:
        """What waits was speech."""
        self._held.clear()


class DoubleTalk:
    """Says when somebody seems to talk over what is played, `vad.start_ms` after their first sound."""

    def __init__(self, settings: Vad, detector: VoiceDetector, confirm: VoiceDetector | None = None) -> None:
        self.louder = False
        """The newest frame is so much louder than an echo that there is little of one in it."""
        self._start_ms = settings.start_ms
        self._detector = Rechunked(detector)
        self._confirm = Confirmation(confirm) if confirm is not None else None
        self._echo = EchoLevel()
        self._floor = NoiseFloor()
        self._played: deque[Levels] = deque(maxlen=ECHO_FRAMES)
        self._silent_frames = 0
        self._detected = False
        self._excess: deque[float] = deque(maxlen=WITNESS_FRAMES)
        self._run_ms = 0
        self._trusted_ms = 0.0
        self._calm_ms = CALM_MS

    def process(
        self, near: bytes, far: bytes, *, speech: bool, voice: bool = False, excess_db: float = -math.inf
    ) -> bool:
        """Take 20 ms of the raw microphone and of what is played, s16le mono at 16 kHz.

        `speech` was found behind the canceller, or the beginning of a `voice`. `excess_db`: by how much the echo guard
        cannot explain the frame. False whenever nothing was played in the last second.
        """
        for likelihood in self._detector.likelihoods(near):
            self._detected = likelihood >= LIKELY
        levels = band_levels(near)
        stands_out = self._floor.stands_out_db(levels) >= FLOOR_MARGIN_DB
        self.louder = self._exceeds(levels, far)
        heard = stands_out and self._detected
        over = heard and (self.louder or excess_db >= CERTAIN_DB)
        self._excess.append(min(WITNESS_DB, max(0.0, excess_db)) if heard else 0.0)
        self._run_ms = self._run_ms + FRAME_MS if over else max(0, self._run_ms - FRAME_MS)
        self._calm_ms = 0.0 if over else self._calm_ms + FRAME_MS
        if speech:
            self._echo.forget()
        elif self._calm_ms >= CALM_MS or self._echo.full:
            self._echo.learn()
        if self._agreed(near) and over and self._run_ms >= self._start_ms:
            self._trusted_ms = TRUST_MS
        self._trusted_ms = max(0.0, self._trusted_ms - FRAME_MS)
        return (over and self._trusted_ms > 0) or (voice and sum(self._excess) >= WITNESS_DB)

    def _exceeds(self, near: Levels, far: bytes) -> bool:
        silent = far.count(0) == len(far)
        self._played.append(_SILENCE if silent else band_levels(far))
        self._silent_frames = self._silent_frames + 1 if silent else 0
        if self._silent_frames >= ECHO_FRAMES:
            return False
        played = np.maximum.reduce(list(self._played))
        loudest = float(played.max())
        if loudest < SILENT_DB:
            return False
        return self._echo.exceeded_by(near - np.maximum(played, loudest - SPREAD_DB))

    def _agreed(self, near: bytes) -> bool:
        if self._confirm is None:
            return True
        if self._run_ms:
            return self._confirm.agrees(near)
        self._confirm.idle(near)
        return False

    def reset(self) -> None:
        """Forget what is under way, but not the room."""
        self._detector.reset()
        if self._confirm is not None:
            self._confirm.reset()
        self._echo.forget()
        self._played.clear()
        self._excess.clear()
        self._detected = False
        self._run_ms, self._trusted_ms, self._calm_ms = 0, 0.0, CALM_MS

    def close(self) -> None:
        """Let go of the confirming detector."""
        self._confirm = None


def best(excess: Levels) -> float:
    """Mean of the BEST_BANDS highest."""
    return float(np.sort(excess)[-BEST_BANDS:].sum()) / BEST_BANDS
