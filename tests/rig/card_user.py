"""What the appliance is to a sound card, for tests: an ear that remembers, a mouth, and a log of reports."""

import ctypes
import threading
import time
from collections.abc import Callable

import numpy as np

from appliance.interfaces import DeviceReport, SoundCard
from tests.rig.sounds import Samples


def wait_for(condition: Callable[[], bool], seconds: float) -> float:
    """Wait until the condition holds; returns how long that took, and fails the test after `seconds`."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"it did not come about within {seconds} s")
        time.sleep(0.005)
    return time.monotonic() - began


def state_number() -> int:
    """That of the calling thread's Python state; no two states ever have the same."""
    python = ctypes.pythonapi
    python.PyThreadState_Get.restype = ctypes.c_void_p
    python.PyThreadState_GetID.argtypes = [ctypes.c_void_p]
    python.PyThreadState_GetID.restype = ctypes.c_uint64
    return int(python.PyThreadState_GetID(python.PyThreadState_Get()))


class CardUser:
    """Starts a card on entering and stops it on leaving."""

    def __init__(self, card: SoundCard) -> None:
        self.card = card
        self.reports: list[tuple[float, DeviceReport]] = []
        self.blocks: list[tuple[float, float, bytes]] = []
        """When it came, when its last sample was taken, and the samples."""
        self.pulls: list[tuple[float, int]] = []
        self.hearing_states: set[int] = set()
        """Numbers of the Python thread states that blocks came in."""
        self._lock = threading.Lock()
        self._saying = b""

    def __enter__(self) -> "CardUser":
        self.card.start(self._hear, self._speak, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self.card.stop()

    def say(self, samples: Samples) -> None:
        """Queue samples at the card's playout rate."""
        with self._lock:
            self._saying += samples.astype("<i2").tobytes()

    def heard(self, since: float = 0.0) -> Samples:
        """All samples of the microphone that came after `since`."""
        return np.frombuffer(b"".join(pcm for came, _, pcm in self.blocks if came > since), dtype="<i2")

    def states(self, kind: str) -> list[str]:
        return [report.state for _, report in self.reports if report.kind == kind]

    def last(self, kind: str) -> DeviceReport:
        return [report for _, report in self.reports if report.kind == kind][-1]

    def wait_until(self, kind: str, state: str, seconds: float) -> float:
        """Wait until the newest report of that direction is `state`."""
        return wait_for(lambda: self.states(kind)[-1:] == [state], seconds)

    def hears_within(self, seconds: float) -> float:
        """Wait for one more block from the microphone."""
        before = len(self.blocks)
        return wait_for(lambda: len(self.blocks) > before, seconds)

    def is_asked_within(self, seconds: float) -> float:
        """Wait for one more request from the speaker."""
        before = len(self.pulls)
        return wait_for(lambda: len(self.pulls) > before, seconds)

    def _hear(self, pcm: bytes, at: float) -> None:
        self.blocks.append((time.monotonic(), at, pcm))
        self.hearing_states.add(state_number())

    def _speak(self, samples: int) -> bytes:
        self.pulls.append((time.monotonic(), samples))
        with self._lock:
            block, self._saying = self._saying[: samples * 2], self._saying[samples * 2 :]
        return block.ljust(samples * 2, b"\0")

    def _note(self, report: DeviceReport) -> None:
        self.reports.append((time.monotonic(), report))
