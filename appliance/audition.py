"""A sound card in the hands of a verb: plays samples and records what comes, without a line or a session."""

import queue
import time
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from appliance.errors import DeviceUnavailable
from appliance.frames import BYTES_PER_SAMPLE
from appliance.interfaces import DeviceInfo, DeviceReport, SoundCard

OPEN_SECONDS: Final = 5.0
_BLOCKS: Final = 3_000
"""A minute of sound that nobody read."""

Samples = npt.NDArray[np.float64]


class CardFactory(Protocol):
    """What is asked of an entry of `appliance.sound_cards` beyond the contract of the card itself."""

    def __call__(self, input_name: str, output_name: str) -> SoundCard: ...
    def devices(self) -> list[DeviceInfo]: ...


class Recording:
    """Samples -1 to 1 at the card's capture rate; `began` is the monotonic second of the first."""

    def __init__(self, samples: Samples, began: float, rate: int) -> None:
        self.samples = samples
        self.began = began
        self.rate = rate

    def index(self, at: float) -> float:
        """Which sample was taken at that monotonic second."""
        return (at - self.began) * self.rate


class Audition:
    """A started card: records what it hears, and plays when told."""

    def __init__(self, card: SoundCard) -> None:
        self._card = card
        self._blocks: queue.Queue[tuple[bytes, float]] = queue.Queue(maxsize=_BLOCKS)
        self._present: queue.Queue[DeviceReport] = queue.Queue(maxsize=1_000)
        self._pcm = b""
        self._marks: list[int] = []
        self._position = -1
        self.asked: list[float] = []
        """When the card asked for the sample at each mark, monotonic seconds."""
        self.losses = 0
        """How often a device was lost since the start."""

    def open(self, kinds: set[str]) -> dict[str, str]:
        """Start the card and wait for its devices; returns their names. Raise DeviceUnavailable."""
        self._card.start(self._hear, self._speak, self._note)
        names: dict[str, str] = {}
        deadline = time.monotonic() + OPEN_SECONDS
        while not kinds <= names.keys():
            try:
                report = self._present.get(timeout=max(0.001, deadline - time.monotonic()))
            except queue.Empty:
                missing = " and ".join(
                    {"input": "microphone", "output": "speaker"}[kind]
                    for kind in sorted(kinds - names.keys())
                )
                card: Any = self._card
                there = {device.kind for device in card.devices()}
                held = "see: handset audio list; a running daemon may hold the device"
                raise DeviceUnavailable(
                    f"no {missing} could be opened",
                    hint=held if kinds - names.keys() <= there else "there is none: plug one in",
                ) from None
            names[report.kind] = report.name
        return names

    def play(self, pcm: bytes, marks: list[int]) -> None:
        """Play `pcm` (s16le at the playout rate) from now on; `asked` tells when each mark's sample was asked for."""
        self._position = -1
        self._pcm, self._marks, self.asked = pcm, marks, []
        self._position = 0

    def forget(self) -> None:
        """What was heard until now is not recorded."""
        while True:
            try:
                self._blocks.get_nowait()
            except queue.Empty:
                return

    def record(self, seconds: float) -> Recording:
        """The next `seconds` of the microphone. Raise DeviceUnavailable when it falls silent."""
        rate = self._card.capture_rate
        wanted = round(seconds * rate) * BYTES_PER_SAMPLE
        pcm, began = bytearray(), list[float]()
        deadline = time.monotonic() + seconds + OPEN_SECONDS
        while len(pcm) < wanted:
            try:
                block, at = self._blocks.get(timeout=max(0.001, deadline - time.monotonic()))
            except queue.Empty:
                raise DeviceUnavailable(
                    "the microphone gives no sound", hint="unplug it and plug it in again"
                ) from None
            pcm += block
            began.append(at - len(pcm) / BYTES_PER_SAMPLE / rate)
        # Each block has its own idea of when the first sample was taken: the median is the best of them.
        return Recording(np.frombuffer(bytes(pcm), "<i2") / 32768, float(np.median(began)), rate)

    def _hear(self, pcm: bytes, at: float) -> None:
        try:
            self._blocks.put_nowait((pcm, at))
        except queue.Full:
            return  # nobody reads any more

    def _speak(self, samples: int) -> bytes:
        if self._position < 0:
            return bytes(samples * BYTES_PER_SAMPLE)
        begin, self._position = self._position, self._position + samples
        now = time.monotonic()
        self.asked += [
            now + (mark - begin) / self._card.playout_rate
            for mark in self._marks
            if begin <= mark < self._position
        ]
        block = self._pcm[begin * BYTES_PER_SAMPLE : self._position * BYTES_PER_SAMPLE]
        return block.ljust(samples * BYTES_PER_SAMPLE, b"\0")

    def _note(self, report: DeviceReport) -> None:
        if report.state == "lost":
            self.losses += 1
        else:
            self._present.put_nowait(report)
