"""The client thread's side of a call's audio, against a SIP process played by the test."""

from hypothesis import given
from hypothesis import strategies as st

from drivers.sip_pjsua2.audio import AHEAD, Routes
from drivers.sip_pjsua2.wire import Audio

FRAME = bytes(640)
CALL = 7


class FarEnd:
    """A child's port: what it has queued, and what it reports at each tick."""

    def __init__(self, routes: Routes) -> None:
        self.routes = routes
        self.queued: list[bytes] = []
        self.stream = 1
        self.seq = self.taken = 0
        self.full = False
        self.underruns = 0

    def accept(self, call: int, stream: int, seq: int, pcm: bytes) -> bool:
        if self.full:
            return False
        assert stream == self.stream
        self.queued.append(pcm)
        return True

    def tick(self, *, lost: bool = False) -> None:
        if self.queued:
            self.queued.pop(0)
            self.taken += 1
        elif self.seq > 1:
            self.underruns += 1
        self.seq += 1
        if not lost:
            self.routes.carry(
                Audio(CALL, self.stream, self.seq, self.seq * 20_000_000, FRAME, self.taken), self.accept
            )

    def restart(self) -> None:
        self.stream += 1
        self.seq = self.taken = 0
        self.queued.clear()


def attached() -> tuple[FarEnd, list[float]]:
    routes, times = Routes(16_000), []
    routes.attach(CALL, lambda pcm, at: times.append(at), lambda samples: bytes(2 * samples))
    return FarEnd(routes), times


def test_each_tick_gives_one_frame_and_takes_one():
    far, times = attached()
    for _ in range(50):
        far.tick()
    assert len(times) == 50
    assert times[1] - times[0] == 0.02
    assert len(far.queued) == AHEAD
    assert far.underruns == 0
    assert far.routes.lag_ms(CALL) == AHEAD * 20


def test_a_tick_that_got_lost_is_made_good():
    far, _ = attached()
    for tick in range(50):
        far.tick(lost=tick == 20)
    assert len(far.queued) == AHEAD
    assert far.routes.counters()["capture_lost"] == 1


def test_a_process_that_does_not_read_costs_frames_and_no_more():
    far, _ = attached()
    far.tick()
    far.full = True
    for _ in range(10):
        far.tick()
    far.full = False
    far.tick()
    assert far.routes.counters()["playout_dropped"] == 10
    assert len(far.queued) == AHEAD


def test_a_new_stream_of_the_same_call_starts_over():
    far, _ = attached()
    for _ in range(30):
        far.tick()
    far.restart()
    for _ in range(30):
        far.tick()
    assert len(far.queued) == AHEAD


@given(st.lists(st.sampled_from(["tick", "lost", "restart", "full", "empty"]), max_size=80))
def test_whatever_happens_the_queue_is_right_again_within_three_ticks(story):
    far, _ = attached()
    for event in story:
        match event:
            case "tick":
                far.tick()
            case "lost":
                far.tick(lost=True)
            case "restart":
                far.restart()
            case "full":
                far.full = True
            case _:
                far.full = False
    far.full = False
    for _ in range(3):
        far.tick()
    assert len(far.queued) == AHEAD


def test_audio_of_a_call_that_nobody_attached_is_counted():
    far = FarEnd(Routes(16_000))
    far.tick()
    assert far.routes.counters()["capture_unclaimed"] == 1
    assert far.queued == []


def test_a_sink_or_source_that_fails_is_counted_and_the_far_end_hears_silence():
    def deaf(pcm: bytes, at: float) -> None:
        raise RuntimeError

    def dumb(samples: int) -> bytes:
        raise RuntimeError

    routes = Routes(16_000)
    routes.attach(CALL, deaf, dumb)
    far = FarEnd(routes)
    far.tick()
    assert far.queued == [FRAME] * AHEAD
    assert routes.counters()["audio_faults"] == 1 + AHEAD


def test_a_source_that_gives_too_little_is_filled_with_silence():
    routes = Routes(16_000)
    routes.attach(CALL, lambda pcm, at: None, lambda samples: b"\x01\x01")
    far = FarEnd(routes)
    far.tick()
    assert {len(pcm) for pcm in far.queued} == {640}
    assert far.queued[0].startswith(b"\x01\x01\x00")


def test_after_detaching_nothing_is_asked_for():
    far, times = attached()
    far.tick()
    far.routes.detach(CALL)
    far.tick()
    assert len(times) == 1
    assert far.routes.lag_ms(CALL) == 0
