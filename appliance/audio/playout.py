"""Playout of one line: utterances in order, pause and flush with a fade, and the count of what was really heard.

The loop's thread queues, the driver's thread takes. They share no lock: every value has one writing thread, and
what the loop takes back (`flush`) it takes back by putting a new `Queue` in the old one's place.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from appliance.audio.cover import JitterCover
from appliance.audio.level import SILENCE_DBFS, level_dbfs
from appliance.audio.resample import Resampler
from appliance.audio.ring import Ring
from appliance.audio.utterance import EMPTY, Queue, Samples, Utterance
from appliance.frames import BYTES_PER_SAMPLE, samples_in

REMEMBERED_UTTERANCES: Final = 64
OVERTAKEN_AFTER_MS: Final = 1_000.0
"""An utterance without audio for this long lets the next go first; what still comes of it is lined up again."""


@dataclass(frozen=True, slots=True)
class Mark:
    """`kind` is started (the driver took the first sample) or finished (it took the last).

    `at` is the monotonic second of that; it sounds `lag()` milliseconds later.
    """

    utterance: str
    kind: str
    at: float


@dataclass(frozen=True, slots=True)
class Heard:
    """How much of an interrupted utterance sounded: `ms` from its first sample."""

    utterance: str
    ms: float


class Playout:
    """One per line. All methods but `pull` belong to the loop's thread; `pull` to the driver's.

    `start_ms` is how far ahead of its own pace an utterance is, by what has come or by the time it was held back, when
    its first sample goes out, unless `finish` was called. It rises when one runs dry and falls again slowly
    (`appliance.audio.cover`). After `flush`, audio of the utterances that it dropped is refused. `at` of the marks is
    read from `clock`.
    """

    def __init__(
        self,
        rate: int,
        *,
        bound_ms: int = 120_000,
        fade_ms: float = 5.0,
        start_ms: float = 40.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rate = rate
        self.volume = 100
        self.ducked = 1.0
        """A factor beside the volume: less than one while something else is more important."""
        self.trim = 1.0
        """One more: less than one where the room's echo would be too loud otherwise."""
        self.lag: Callable[[], float] = lambda: 0.0
        self.reference: Ring | None = None
        self._bound = samples_in(bound_ms, rate)
        self._fade = max(1, samples_in(fade_ms, rate))
        self._clock = clock
        self._cover = JitterCover(start_ms)
        self._utterances: dict[str, Utterance] = {}
        self._queue = Queue()
        self._paused = False
        self._refused_bytes = 0
        self._dropped = 0
        # The driver's thread alone writes what follows.
        self._playing = self._queue
        self._position = 0
        self._envelope = self._fade
        self._gain = 1.0
        self._last_block = b""
        self._marks: deque[Mark] = deque(maxlen=4 * REMEMBERED_UTTERANCES)
        self._underruns = 0
        self._overtaken = 0

    # --- the loop's thread ---

    def play(self, utterance: str, pcm: bytes, rate: int) -> None:
        """Queue `pcm` (s16le mono at `rate`) as the next piece of `utterance`; beyond the bound it is dropped."""
        entry = self._utterances.get(utterance) or self._admit(utterance)
        if entry.ended:
            self._refused_bytes += len(pcm)
            return
        if entry.resampler is None or entry.resampler.from_rate != rate:
            if entry.resampler is not None:
                self._append(entry, entry.resampler.flush())
            entry.resampler = Resampler(rate, self.rate)
        pcm = entry.half_sample + pcm
        whole = len(pcm) - len(pcm) % BYTES_PER_SAMPLE
        entry.half_sample = pcm[whole:]
        entry.covered_ms += whole / BYTES_PER_SAMPLE * 1000 / rate
        self._append(entry, entry.resampler.process(pcm[:whole]))

    def _admit(self, name: str) -> Utterance:
        entry = self._utterances[name] = Utterance(name)
        self._queue.order.append(entry)
        if len(self._utterances) > REMEMBERED_UTTERANCES:
            queued = set(self._queue.order)
            oldest = next((key for key, value in self._utterances.items() if value not in queued), None)
            if oldest is not None:
                del self._utterances[oldest]
        return entry

    def _append(self, entry: Utterance, pcm: bytes) -> None:
        samples: Samples = np.frombuffer(pcm, dtype="<i2")
        space = max(0, self._bound - self._queue.samples())
        if len(samples) > space:
            self._dropped += len(samples) - space
            samples = samples[:space]
        if len(samples):
            entry.pieces.append(samples)
            entry.queued += len(samples)
            self._line_up(entry)

    def _line_up(self, entry: Utterance) -> None:
        """Put an utterance that was overtaken at the end of the queue."""
        if entry.aside:
            entry.aside = False
            self._queue.order.append(entry)

    def finish(self, utterance: str) -> None:
        """No more audio of `utterance` comes. Unknown and ended ones are let be."""
        entry = self._utterances.get(utterance)
        if entry is None or entry.ended:
            return
        if entry.resampler is not None:
            self._append(entry, entry.resampler.flush())
        entry.ended = True
        self._line_up(entry)

    def pause(self) -> None:
        """Fade out with the next pull and keep what is queued."""
        self._paused = True

    def resume(self) -> None:
        """Go on with the very next sample, faded in."""
        self._paused = False

    def flush(self) -> Heard | None:
        """Drop all that is queued, end a pause, and refuse what still comes of the dropped utterances.

        The next pull fades out. Return what is heard of the oldest dropped utterance, with what is on its way to sound;
        None when nothing was queued.
        """
        dropped, self._queue, self._paused = self._queue, Queue(), False
        entries = tuple(dropped.order)
        for entry in entries:
            entry.ended = True
        return Heard(entries[0].name, self.taken_ms(entries[0].name)) if entries else None

    def forget(self) -> None:
        """Flush, and know no utterance any more: another session begins, and names its own from the start."""
        self.flush()
        self._utterances.clear()

    def heard_ms(self, utterance: str) -> float:
        """Milliseconds of `utterance` that sounded: samples that the driver took, less those still on their way.

        0 for an unknown utterance; the last REMEMBERED_UTTERANCES are known.
        """
        entry = self._utterances.get(utterance)
        if entry is None:
            return 0.0
        sounded = self._position - max(0, round(self.lag() * self.rate / 1000))
        return max(0, entry.taken - entry.unheard(sounded)) * 1000 / self.rate

    def taken_ms(self, utterance: str) -> float:
        """Milliseconds of `utterance` that the driver took: so much of it is heard, for nobody can take it back."""
        entry = self._utterances.get(utterance)
        return self._ms(entry.taken) if entry is not None else 0.0

    def queued_ms(self) -> float:
        """Audio that the driver has not taken yet."""
        return self._queue.samples() * 1000 / self.rate

    def active(self) -> bool:
        """Whether anything is queued or playing, or an utterance is not finished yet; also while paused."""
        return bool(self._queue.order)

    def paused(self) -> bool:
        return self._paused

    def take_marks(self) -> list[Mark]:
        """What started and finished since the last call. A flushed utterance never finishes."""
        marks: list[Mark] = []
        while self._marks:
            marks.append(self._marks.popleft())
        return marks

    async def room(self, below_ms: float) -> None:
        """Wait until less than `below_ms` is queued. The caller sets the deadline: a paused line makes no room."""
        # The driver's thread may wake nobody, so the loop looks for itself.
        while (excess := self.queued_ms() - below_ms) >= 0:  # noqa: ASYNC110
            await asyncio.sleep(min(0.05, max(0.005, excess / 2000)))

    def level_dbfs(self) -> float:
        """Level of the newest block that the driver took."""
        return level_dbfs(np.frombuffer(self._last_block, dtype="<i2")) if self._last_block else SILENCE_DBFS

    def counters(self) -> Mapping[str, int]:
        """Counts since construction; `..._ms` are milliseconds of audio."""
        return {
            "underruns": self._underruns,
            "bound_dropped_ms": round(self._dropped * 1000 / self.rate),
            "refused_bytes": self._refused_bytes,
            "overtaken": self._overtaken,
            "cover_ms": round(self._cover.ms),
            "queued_ms": round(self.queued_ms()),
        }

    # --- the driver's thread ---

    def pull(self, samples: int) -> bytes:
        """Exactly `samples` samples, s16le; silence where nothing is due. Never waits, logs or raises."""
        block = self._silence(samples) if self._nothing_due() else self._sound_of(samples)
        self._position += len(block) // BYTES_PER_SAMPLE
        self._last_block = block
        if self.reference is not None:
            self.reference.write(block)
        return block

    def _nothing_due(self) -> bool:
        queue = self._queue
        return queue is self._playing and not queue.order and not self._paused

    def _silence(self, samples: int) -> bytes:
        # A change of volume that nobody hears needs no ramp.
        self._gain = self._wanted_gain()
        return bytes(max(0, samples) * BYTES_PER_SAMPLE)

    def _sound_of(self, samples: int) -> bytes:
        out = np.zeros(max(0, samples), dtype="<i2")
        filled = 0
        queue = self._queue
        if queue is not self._playing:
            filled = self._fade_out(out, 0)
            if not self._envelope or filled < len(out) or not self._sounds():
                self._playing, self._envelope = queue, self._fade
        if queue is self._playing:
            if self._paused:
                self._fade_out(out, filled)
            else:
                self._play(out, filled)
        self._apply_volume(out)
        return out.tobytes()

    def _sounds(self) -> bool:
        entry = self._playing.head()
        return entry is not None and entry.sounding

    def _fade_out(self, out: Samples, start: int) -> int:
        """Take on, ever more quietly, until silence; return where in `out` that ended."""
        if not self._sounds():
            self._envelope = 0
        filled = start
        while self._envelope and filled < len(out):
            entry = self._playing.head()
            part = (
                entry.take(min(self._envelope, len(out) - filled), self._position + filled)
                if entry
                else EMPTY
            )
            if not len(part):
                self._envelope = 0
                break
            fall = np.arange(self._envelope, self._envelope - len(part), -1, dtype=np.float32) / np.float32(
                self._fade
            )
            out[filled : filled + len(part)] = part * fall
            self._envelope -= len(part)
            filled += len(part)
        return filled

    def _play(self, out: Samples, start: int) -> None:
        filled = start
        while (entry := self._playing.head()) is not None:
            if entry.over():
                self._end(entry)
                continue
            wanted = len(out) - filled
            if not wanted:
                if not entry.ended:
                    entry.spare = min(entry.spare, entry.left())
                return
            held = self._held(entry, wanted)
            part = entry.take(wanted - held, self._position + filled + held) if held < wanted else EMPTY
            if len(part):
                filled += held
                self._sound(entry, part, out, filled)
                filled += len(part)
            elif entry.left() or not self._dry(entry, out, filled):
                return

    def _held(self, entry: Utterance, wanted: int) -> int:
        """How many of the next `wanted` samples pass before `entry` sounds: all of them while it gathers its cover."""
        if entry.sounding:
            return 0
        left = entry.left()
        if left and entry.ran_dry and entry.dry:
            self._cover.came_late(self._ms(entry.dry))
            entry.dry = 0
        if entry.ended or not left:
            return 0
        gathered_ms = entry.covered_ms - self._ms(entry.taken)
        entry.lead_ms = max(entry.lead_ms, gathered_ms)
        wait_ms = self._cover.wait_ms(entry.lead_ms, self._ms(left), self._ms(wanted))
        entry.lead_ms += self._ms(wanted)
        return min(wanted, round(wait_ms * self.rate / 1000))

    def _ms(self, samples: float) -> float:
        return samples * 1000 / self.rate

    def _sound(self, entry: Utterance, part: Samples, out: Samples, filled: int) -> None:
        if not entry.sounding:
            if entry.ran_dry:
                self._envelope = 0
            entry.sounding, entry.ran_dry = True, False
            entry.lead_ms = 0.0
            entry.dry = 0
            self._begin(entry)
        rising = min(len(part), self._fade - self._envelope)
        out[filled : filled + len(part)] = part
        if rising:
            rise = np.arange(self._envelope, self._envelope + rising, dtype=np.float32) / np.float32(
                self._fade
            )
            out[filled : filled + rising] = part[:rising] * rise
            self._envelope += rising

    def _begin(self, entry: Utterance) -> None:
        if not entry.began:
            entry.began = True
            self._marks.append(Mark(entry.name, "started", self._clock()))

    def _end(self, entry: Utterance) -> None:
        self._begin(entry)
        self._marks.append(Mark(entry.name, "finished", self._clock()))
        self._cover.settled(self._ms(entry.spare))
        self._playing.order.popleft()

    def _dry(self, entry: Utterance, out: Samples, filled: int) -> bool:
        """`entry` has nothing, and more is to come. Return whether the next may overtake it."""
        if entry.sounding:
            entry.sounding, entry.ran_dry = False, True
            self._underruns += 1
            self._settle(out, filled)
        entry.dry += len(out) - filled
        if len(self._playing.order) < 2 or entry.dry * 1000 / self.rate < OVERTAKEN_AFTER_MS:
            return False
        self._overtaken += 1
        entry.dry = 0
        self._playing.order.popleft()
        entry.aside = True
        return True

    def _settle(self, out: Samples, filled: int) -> None:
        """An utterance broke off: let its last value fall to zero instead of jumping there."""
        if not filled or not out[filled - 1]:
            return
        count = min(self._fade, len(out) - filled)
        fall = np.arange(self._fade - 1, self._fade - 1 - count, -1, dtype=np.float32) / np.float32(
            self._fade
        )
        out[filled : filled + count] = float(out[filled - 1]) * fall

    def _wanted_gain(self) -> float:
        return (min(100, max(0, self.volume)) / 100) ** 2 * self.ducked * self.trim

    def _apply_volume(self, out: Samples) -> None:
        gain = self._wanted_gain()
        if gain == self._gain == 1.0:
            return
        curve = np.full(len(out), gain, dtype=np.float32)
        if gain != self._gain and len(out):
            ramp = min(len(out), self._fade)
            curve[:ramp] = np.linspace(self._gain, gain, ramp, dtype=np.float32)
        self._gain = gain
        np.copyto(out, np.rint(out * curve), casting="unsafe")
