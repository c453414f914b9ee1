"""The thread that captures: what is fed arrives on the loop, nothing passes while it is shut, and no thread is left."""

import asyncio
import gc
import logging
import threading
import time
import weakref

import pytest

from appliance.audio.capture import Captured, CapturePath, CaptureWorker
from appliance.audio.ring import Ring
from appliance.audio.vad import Edge
from tests.unit.audio.captures import BLOCK, Broken, Loudness, Subtraction, path, pcm_out, talk


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
