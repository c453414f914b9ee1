"""The stop word's ear: which sound it asks a spotter about, and when."""

import math
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np

from appliance.audio.capture import Captured
from appliance.audio.stop_word import SpokenStop
from appliance.errors import DriverMissing
from appliance.frames import Frame

LOUD, QUIET = 3_000, 10


class Spotter:
    """Takes any utterance for the word; keeps their lengths in milliseconds."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.prepared = 0
        self.asked: list[float] = []
        self._fault = fault

    def prepare(self) -> None:
        self.prepared += 1
        if self._fault is not None:
            raise self._fault

    def said(self, pcm: bytes) -> str | None:
        self.asked.append(len(pcm) / 32)
        return "stop"


class Thread:
    """Does what it is asked when the test says so, at once unless told otherwise."""

    def __init__(self) -> None:
        self.stalled = False
        self._waiting: list[Callable[[], None]] = []

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(function(*arguments))
            except Exception as error:  # noqa: BLE001  as an executor does
                future.set_exception(error)

        self._waiting.append(run)
        if not self.stalled:
            self.go_on()
        return future

    def go_on(self) -> None:
        while self._waiting:
            self._waiting.pop(0)()


class Ears:
    """20 ms after 20 ms; `heard` is what was found, with the milliseconds at which."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.spotter, self.thread = Spotter(fault), Thread()
        self.ear = SpokenStop(self.spotter, submit=self.thread.submit)
        self.heard: list[tuple[str, float]] = []
        self.at = 0.0
        self._foreign: list[bool] = [False] * 15
        self._voiced_ms = 0.0

    def take(
        self,
        ms: float,
        *,
        person: bool,
        busy: bool = True,
        echo: bool = False,
        plays: bool = True,
        hidden: bool = False,
    ) -> None:
        for _ in range(round(ms / 20)):
            self.at += 20
            self._foreign = [*self._foreign[1:], person]
            self._voiced_ms = self._voiced_ms + 20 if person else 0.0
            level = LOUD if (person and not hidden) or echo else QUIET
            frame = Frame(np.full(320, level, "<i2").tobytes(), 16_000, self.at / 1000)
            foreign = 20.0 * sum(self._foreign) if plays else math.inf
            word = self.ear.heard(
                Captured(frame, person, None, self._voiced_ms, -20.0, foreign_ms=foreign), busy=busy
            )
            if word is not None:
                self.heard.append((word, self.at))


def test_a_word_between_two_pauses_is_found_soon_after_its_end():
    ears = Ears()
    ears.take(1_000, person=False)
    ears.take(400, person=True)
    ears.take(1_000, person=False)
    assert [word for word, _ in ears.heard] == ["stop"]
    assert 1_400 < ears.heard[0][1] <= 1_620
    assert 500 <= ears.spotter.asked[0] <= 900, "with a little before it"


def test_the_stillness_within_a_word_does_not_end_it():
    ears = Ears()
    for person, ms in ((False, 600), (True, 200), (False, 120), (True, 160), (False, 600)):
        ears.take(ms, person=person)
    assert len(ears.spotter.asked) == 1
    assert ears.spotter.asked[0] >= 480


def test_a_sentence_is_not_asked_about():
    ears = Ears()
    ears.take(600, person=False)
    ears.take(3_000, person=True)
    ears.take(600, person=False)
    assert ears.spotter.asked == []


def test_a_sentence_of_which_the_canceller_hides_a_part_is_one():
    ears = Ears()
    ears.take(600, person=False)
    ears.take(500, person=True)
    ears.take(500, person=True, hidden=True)
    ears.take(800, person=True)
    ears.take(600, person=False)
    assert ears.spotter.asked == []


def test_a_word_after_a_sentence_and_a_pause_is():
    ears = Ears()
    for person, ms in ((True, 3_000), (False, 500), (True, 400), (False, 600)):
        ears.take(ms, person=person)
    assert len(ears.spotter.asked) == 1


def test_what_is_the_echo_of_our_own_voice_is_not_asked_about():
    ears = Ears()
    for _ in range(5):
        ears.take(400, person=False, echo=True)
        ears.take(400, person=False)
    assert ears.spotter.asked == []


def test_where_nothing_plays_yet_the_detector_says_who_speaks():
    ears = Ears()
    ears.take(600, person=False, plays=False)
    ears.take(400, person=True, plays=False)
    ears.take(600, person=False, plays=False)
    assert len(ears.heard) == 1


def test_while_the_appliance_neither_speaks_nor_thinks_nothing_is_loaded_or_asked():
    ears = Ears()
    for _ in range(3):
        ears.take(400, person=True, busy=False)
        ears.take(600, person=False, busy=False)
    assert ears.spotter.prepared == 0
    assert ears.spotter.asked == []


def test_a_word_that_was_begun_over_the_answer_counts_after_its_end():
    ears = Ears()
    ears.take(400, person=False)
    ears.take(200, person=True)
    ears.take(200, person=True, busy=False)
    ears.take(600, person=False, busy=False)
    assert len(ears.heard) == 1


def test_a_slow_recogniser_is_not_asked_twice_at_once():
    ears = Ears()
    ears.take(400, person=False)
    ears.thread.stalled = True
    for _ in range(3):
        ears.take(400, person=True)
        ears.take(400, person=False)
    assert ears.heard == []
    ears.thread.go_on()
    ears.take(100, person=False)
    assert len(ears.spotter.asked) == 1
    assert len(ears.heard) == 1


def test_without_its_library_there_is_no_stop_word_and_that_is_told_once(caplog):
    ears = Ears(DriverMissing("speech recognition needs pocketsphinx", hint="install it"))
    ears.take(600, person=False)
    ears.take(400, person=True)
    ears.take(600, person=False)
    assert ears.heard == []
    assert [record.message for record in caplog.records] == [
        "no stop word any more: speech recognition needs pocketsphinx (install it)"
    ]
