import asyncio
import gc
import logging
import threading
import time
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audio.capture import Captured, CapturePath, CaptureWorker
from appliance.audio.double_talk import DoubleTalk
from appliance.audio.ring import Ring
from appliance.audio.vad import Edge
from appliance.config.schema import Vad
from tests.unit.audio.sounds import at_level, pcm_of, white

RATE = 16_000
BLOCK = 640


class Loudness:
    """A detector that takes what is loud for speech."""

    rate = RATE
    frame_samples = 320

    def likelihood(self, pcm):
        return float(np.abs(np.frombuffer(pcm, dtype="<i2")).max() > 3_000)

    def reset(self):
        pass


class Subtraction:
    """An echo canceller for an echo that is exactly what was played."""

    def __init__(self):
        self.order = []
        self.far = b""

    def far_end(self, pcm):
        self.order.append("far")
        self.far = pcm

    def near_end(self, pcm):
        self.order.append("near")
        near, far = np.frombuffer(pcm, dtype="<i2"), np.frombuffer(self.far, dtype="<i2")
        return (near - far).astype("<i2").tobytes()

    def close(self):
        self.order.append("closed")


class Broken(Subtraction):
    def near_end(self, pcm):
        raise RuntimeError("the library is unwell")


class BrokenDetector(Loudness):
    def likelihood(self, pcm):
        raise RuntimeError("the model is unwell")


def path(rate: int = RATE, **parts) -> CapturePath:
    return CapturePath(rate, Vad(hangover_ms=100), parts.pop("detector", Loudness()), **parts)


def talk(seconds: float, rate: int = RATE):
    """Loud noise with the ups and downs of speech."""
    rise = np.repeat(np.tile([1.0, 0.2], round(seconds * 50)), rate // 50)[: round(seconds * rate)]
    noise = np.random.default_rng(3).standard_normal(len(rise))
    return pcm_of(at_level(noise, -15) * rise)


def pcm_out(captured: list[Captured]) -> bytes:
    return b"".join(item.frame.pcm for item in captured)


@pytest.mark.slow
@given(sizes=st.lists(st.integers(1, 1_500), min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_blocks_of_any_size_become_frames_of_twenty_milliseconds_with_nothing_lost(sizes):
    under_test = path()
    pcm = pcm_of(at_level(white(3)[: sum(sizes)], -20))
    out, at = [], 0
    for size in sizes:
        out += under_test.process(pcm[2 * at : 2 * (at + size)], 0.0)
        at += size
    assert all(item.frame.samples == 320 and item.frame.rate == RATE for item in out)
    assert pcm_out(out) == pcm[: len(out) * BLOCK]
    assert len(pcm) - len(out) * BLOCK < BLOCK


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("period_ms", [10, 20])
def test_each_twenty_milliseconds_bring_one_frame_at_any_rate(rate, period_ms):
    under_test = path(rate)
    counts = [len(under_test.process(bytes(rate * period_ms // 1000 * 2), 0.0)) for _ in range(20)]
    assert counts == ([0, 1] * 10 if period_ms == 10 else [1] * 20)


@pytest.mark.parametrize(("rate", "lag_ms"), [(16_000, 0), (48_000, 1.5), (8_000, 3.0)])
def test_a_frames_time_is_that_of_its_last_sample(rate, lag_ms):
    under_test = path(rate)
    frames = under_test.process(bytes(rate // 10 * 2), 50.0)
    assert [item.frame.at for item in frames] == pytest.approx(
        [50 - lag_ms / 1000 - late for late in (0.08, 0.06, 0.04, 0.02, 0)], abs=0.0001
    )


def test_what_was_played_is_taken_out_far_end_first():
    canceller = Subtraction()
    under_test = path(canceller=canceller)
    played = pcm_of(at_level(white(0.1), -20))
    assert not any(pcm_out(under_test.process(played, 0.0, played)))
    assert canceller.order == ["far", "near"] * 10


def test_a_reference_at_another_rate_reaches_the_canceller_in_step():
    canceller = Subtraction()
    under_test = path(48_000, canceller=canceller, far_rate=8_000)
    for _ in range(10):
        under_test.process(bytes(1_920), 0.0, bytes(320))
    assert canceller.order.count("far") == canceller.order.count("near") == 20


def test_a_canceller_that_breaks_leaves_the_microphone_as_it_is():
    under_test = path(canceller=Broken())
    pcm = talk(0.1)
    assert pcm_out(under_test.process(pcm, 0.0)) == pcm
    assert under_test.faults == 10
    assert under_test.last_fault == "echo canceller: RuntimeError"


def test_a_detector_that_breaks_leaves_the_audio_and_no_speech():
    under_test = path(detector=BrokenDetector())
    out = under_test.process(talk(0.2), 0.0)
    assert pcm_out(out) == talk(0.2)
    assert not any(item.speech for item in out)


def test_speech_has_a_start_and_an_end():
    under_test = path()
    out = under_test.process(bytes(BLOCK * 10) + talk(0.6) + bytes(BLOCK * 20), 0.0)
    assert [item.edge for item in out if item.edge] == [Edge.STARTED, Edge.STOPPED]


@pytest.mark.parametrize("before", [10, 11, 12])
@pytest.mark.parametrize("start_ms", [20, 60, 100])
def test_speech_is_found_no_later_where_frames_are_taken_a_few_at_a_time(before, start_ms):
    sound = bytes(BLOCK * before) + talk(0.6)
    hurried, unhurried = (CapturePath(RATE, Vad(start_ms=start_ms), Loudness()) for _ in range(2))
    waiting = bytearray()
    for at in range(0, len(sound), BLOCK):
        block = sound[at : at + BLOCK]
        waiting += block
        began = [one.edge for one in hurried.process(block, 0.0) if one.edge]
        if not unhurried.calm or len(waiting) >= unhurried.unhurried_ms // 20 * BLOCK:
            assert [one.edge for one in unhurried.process(bytes(waiting), 0.0) if one.edge] == began
            waiting.clear()
        else:
            assert not began
    assert not unhurried.calm


def test_the_level_is_that_of_the_frame():
    out = path().process(pcm_of(np.full(320, 0.5)) + bytes(BLOCK), 0.0)
    assert [round(item.level_dbfs) for item in out] == [-6, -96]


def test_reset_drops_what_is_under_way_and_ends_speech():
    under_test = path()
    under_test.process(bytes(BLOCK * 10) + talk(0.6) + bytes(100), 0.0)
    (ended,) = under_test.reset(7.0)
    assert (ended.edge, ended.speech, ended.frame.pcm, ended.frame.at) == (
        Edge.STOPPED,
        False,
        bytes(BLOCK),
        7.0,
    )
    assert under_test.reset(7.0) == []
    assert pcm_out(under_test.process(bytes(BLOCK), 8.0)) == bytes(BLOCK)


async def until(true) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110  a thread works, and wakes nobody
            await asyncio.sleep(0.001)


class Line:
    """A running worker and what it delivered."""

    def __init__(self, under_test: CapturePath, **options):
        self.got: list[Captured] = []
        self.worker = CaptureWorker("test", under_test, self.got.append, **options)

    async def __aenter__(self):
        self.worker.start(asyncio.get_running_loop())
        return self

    async def __aexit__(self, *_):
        self.worker.stop()

    async def frames(self, count: int) -> list[Captured]:
        await until(lambda: len(self.got) >= count)
        return self.got


async def test_what_is_fed_arrives_on_the_loop():
    async with Line(path()) as line:
        line.worker.feed(talk(0.1), time.monotonic())
        assert pcm_out(await line.frames(5)) == talk(0.1)


async def test_at_ease_frames_come_a_few_at_a_time_and_one_by_one_while_somebody_speaks():
    line = Line(path())
    line.worker.at_ease = lambda: True
    for at, pcm in ((1.0, bytes(BLOCK)), (2.0, bytes(BLOCK)), (3.0, talk(0.02)), (4.0, talk(0.02))):
        line.worker.feed(pcm, at)
    async with line:
        got = await line.frames(4)
    assert [one.frame.at for one in got] == pytest.approx([2.96, 2.98, 3.0, 4.0])


async def test_a_line_that_is_not_at_ease_gets_each_frame_by_itself():
    line = Line(path())
    for at in (1.0, 2.0, 3.0):
        line.worker.feed(bytes(BLOCK), at)
    async with line:
        assert [one.frame.at for one in await line.frames(3)] == [1.0, 2.0, 3.0]


async def test_what_a_device_gave_last_is_not_kept_waiting():
    async with Line(path()) as line:
        line.worker.at_ease = lambda: True
        line.worker.feed(bytes(BLOCK), 1.0)
        assert len(await line.frames(1)) == 1


async def test_the_worker_takes_the_reference_along():
    reference = Ring(64_000)
    canceller = Subtraction()
    played = talk(0.1)
    async with Line(path(canceller=canceller), reference=reference) as line:
        reference.write(played)
        line.worker.feed(played, 1.0)
        assert not any(pcm_out(await line.frames(5)))
    assert canceller.order[-1] == "closed"


async def test_while_muted_nothing_but_the_end_of_speech_passes():
    async with Line(path()) as line:
        line.worker.feed(bytes(BLOCK * 10) + talk(0.6), 1.0)
        await line.frames(40)
        line.worker.muted = True
        for _ in range(20):
            line.worker.feed(talk(0.02), 2.0)
        ended = (await line.frames(41))[-1]
        assert (ended.edge, any(ended.frame.pcm)) == (Edge.STOPPED, False)
        line.worker.muted = False
        async with asyncio.timeout(5):
            while len(line.got) < 42:
                line.worker.feed(bytes(BLOCK), 3.0)
                await asyncio.sleep(0.01)
        assert line.got[41].frame.at == 3.0


async def test_while_anybody_has_it_shut_no_sample_passes_whatever_mute_says():
    async with Line(path()) as line:
        line.worker.shut("switch", True)
        line.worker.shut("hook", True)
        line.worker.muted = False
        line.worker.shut("hook", False)
        for _ in range(50):
            line.worker.feed(talk(0.02), 1.0)
            await asyncio.sleep(0.001)
        assert not any(any(captured.frame.pcm) for captured in line.got)
        line.worker.shut("switch", False)
        async with asyncio.timeout(5):
            while not any(any(captured.frame.pcm) for captured in line.got):
                line.worker.feed(talk(0.02), 2.0)
                await asyncio.sleep(0.001)


async def test_it_is_shut_from_another_thread_before_that_call_returns():
    taps = []
    async with Line(path(), reference=Ring(64_000)) as line:
        line.worker.tap = lambda near, far: taps.append(any(near))
        await asyncio.to_thread(line.worker.shut, "switch", True)
        assert line.worker.shut_by == {"switch"}
        async with asyncio.timeout(5):
            while len(taps) < 3:
                line.worker.feed(talk(0.02), 1.0)
                await asyncio.sleep(0.005)
    assert not any(taps)


async def test_a_muted_line_is_silence_to_the_recording_too():
    taps = []
    async with Line(path(), reference=Ring(64_000)) as line:
        line.worker.tap = lambda near, far: taps.append((near, far))
        line.worker.feed(talk(0.02), 1.0)
        await line.frames(1)
        line.worker.muted = True
        async with asyncio.timeout(5):
            while len(taps) < 2:
                line.worker.feed(talk(0.02), 2.0)
                await asyncio.sleep(0.01)
    assert taps[:2] == [(talk(0.02), bytes(BLOCK)), (bytes(BLOCK), bytes(BLOCK))]


class Held(Subtraction):
    """A canceller that is stuck until it is let go."""

    def __init__(self):
        super().__init__()
        self.entered = threading.Event()
        self.go = threading.Event()

    def near_end(self, pcm):
        self.entered.set()
        assert self.go.wait(5)
        return pcm


async def test_a_backlog_above_its_bound_is_cut_to_the_newest_and_counted():
    held = Held()
    async with Line(path(canceller=held)) as line:
        line.worker.feed(bytes(BLOCK), 0.0)
        assert await asyncio.to_thread(held.entered.wait, 5)
        for number in range(1, 26):
            line.worker.feed(bytes(BLOCK), float(number))
        assert line.worker.counters()["backlog_ms"] == 500
        held.go.set()
        frames = await line.frames(3)
        assert [item.frame.at for item in frames] == [0.0, 24.0, 25.0]
        assert line.worker.counters()["backlog_dropped_ms"] == 460
        assert line.worker.counters()["backlog_ms"] == 0


async def test_one_long_block_is_taken_whole():
    async with Line(path()) as line:
        line.worker.feed(talk(1.0), 0.0)
        assert pcm_out(await line.frames(50)) == talk(1.0)
        assert line.worker.counters()["backlog_dropped_ms"] == 0


async def test_a_broken_canceller_is_logged_once_and_the_worker_lives(caplog):
    caplog.set_level(logging.ERROR)
    async with Line(path(canceller=Broken())) as line:
        for _ in range(5):
            line.worker.feed(talk(0.02), 0.0)
        await line.frames(5)
        assert line.worker.counters()["faults"] == 10
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "capture_fault" in caplog.text


async def test_a_stopped_worker_leaves_no_thread():
    async with Line(path()) as line:
        line.worker.feed(bytes(BLOCK), 0.0)
        await line.frames(1)
    line.worker.stop()
    assert "capture-test" not in [thread.name for thread in threading.enumerate()]


async def test_a_stopped_worker_lets_go_of_its_detectors_without_the_cycle_collector():
    detector = Loudness()
    gone = weakref.ref(detector)
    worker = CaptureWorker("test", path(confirm=detector), lambda _: None)
    del detector
    worker.start(asyncio.get_running_loop())
    gc.disable()
    try:
        worker.stop()
        assert gone() is None
    finally:
        gc.enable()
    assert worker.counters()["faults"] == 0


class Deaf(Subtraction):
    """A canceller that lets nothing through while something is played."""

    def near_end(self, pcm):
        return bytes(len(pcm)) if any(self.far) else pcm


def test_who_talks_over_what_is_played_is_told_though_the_canceller_hides_it():
    under_test = path(canceller=Deaf(), double_talk=DoubleTalk(Vad(), Loudness()))
    played = talk(3)
    near = bytes(2 * RATE * 2) + talk(1)
    out = under_test.process(near, 0.0, played)
    assert not any(item.speech for item in out)
    assert [item.over for item in out].index(True) == pytest.approx(2_000 / 20 + 3, abs=1)
    talked = [item for item in out if item.over]
    assert len(talked) > 20
    assert all(item.frame.pcm in near for item in talked)
    assert not any(item.over for item in under_test.process(near, 0.0, bytes(len(near)))[30:])


def test_a_broken_detector_of_double_talk_is_passed_over_and_counted():
    under_test = path(canceller=Deaf(), double_talk=DoubleTalk(Vad(), BrokenDetector()))
    assert len(under_test.process(talk(0.1), 0.0, talk(0.1))) == 5
    assert under_test.faults == 5
