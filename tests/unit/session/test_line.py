"""One line: when it listens while it speaks, when it is at ease, how loud it is, and its mute."""

import asyncio
import threading

import pytest

from appliance.audio.capture import Captured, CapturePath
from appliance.audio.playout import Playout
from appliance.bus import EventBus
from appliance.config.schema import Vad
from appliance.events import MuteChanged, SpeechStarted, VolumeChanged
from appliance.interfaces import LineKind
from appliance.session.line import Line
from appliance.session.turn import Phase
from tests.fakes.canceller import NoEcho
from tests.rig.booth import RATE, Booth
from tests.rig.virtual_time import virtual_time


class Held:
    """A detector that is not done with its first frame until it is let go."""

    rate = RATE
    frame_samples = 320

    def __init__(self) -> None:
        self.began, self.free = threading.Event(), threading.Event()

    def likelihood(self, pcm: bytes) -> float:
        self.began.set()
        return float(not self.free.wait(10))

    def reset(self) -> None:
        return


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "cut"), [(LineKind.CLIENT, False), (LineKind.PHONE, True)])
async def test_a_programs_burst_is_heard_whole_where_a_devices_is_cut(kind: LineKind, cut: bool):
    detector, heard = Held(), list[bytes]()
    path = CapturePath(RATE, Vad(), detector)
    line = Line("one", kind, path, Playout(RATE), EventBus(), lambda _: pytest.fail("no session is wanted"))
    frames = [bytes([number, 0]) * 320 for number in range(1, 52)]
    hear = line.hear

    def listen(captured: Captured) -> None:
        heard.append(captured.frame.pcm)
        hear(captured)

    setattr(line.capture, "_sink", listen)  # noqa: B010 - a tap on the wire, which changes nothing
    line.start()
    line.capture.feed(frames[0], 0.0)
    await asyncio.to_thread(detector.began.wait, 10)
    for frame in frames[1:]:
        line.capture.feed(frame, 0.0)
    detector.free.set()
    async with asyncio.timeout(10):
        while heard[-1:] != frames[-1:]:  # noqa: ASYNC110  a thread works, and wakes nobody
            await asyncio.sleep(0.001)
    assert (heard != frames) == cut
    assert bool(line.capture.counters()["backlog_dropped_ms"]) == cut
    await line.close()


@virtual_time
async def test_in_half_duplex_the_appliance_does_not_hear_itself():
    async with Booth(kind=LineKind.ROOM) as booth:
        assert booth.line.duplex == "half"
        booth.provider.will_say("one two three four", 3.0)
        await booth.speak(0.6)
        await booth.state("speaking")
        await booth.speak(1.0)
        assert booth.session.phase is Phase.SPEAKING
        booth.microphone.voiced = True
        await booth.idle()
        booth.microphone.voiced = False
        assert booth.heard(booth.provider.answers[0].level) == 3000
        assert len(booth.of(SpeechStarted)) <= 2


@virtual_time
async def test_a_room_is_at_ease_until_somebody_speaks_or_something_sounds():
    async with Booth(kind=LineKind.ROOM, open_session=False) as booth:
        at_ease = booth.line.capture.at_ease
        assert at_ease()
        await booth.speak(0.6)
        assert not at_ease()
        await booth.state("speaking")
        assert not at_ease()
        await booth.until(lambda: not booth.line.playout.active())
        assert not at_ease()
        await booth.wait(0.5)
        assert at_ease()
        booth.line.press()
        assert not at_ease()


@virtual_time
async def test_who_else_listens_to_a_line_gets_each_frame_at_once():
    async with Booth(kind=LineKind.ROOM, open_session=False) as booth:
        booth.line.lend()
        assert not booth.line.capture.at_ease()
        booth.line.reclaim()
        assert booth.line.capture.at_ease()


@virtual_time
async def test_in_half_duplex_the_echo_is_not_taken_for_speech_when_it_listens_again():
    async with Booth(kind=LineKind.ROOM) as booth:
        booth.provider.will_say("one two three four", 3.0)
        await booth.speak(0.6)
        await booth.state("speaking")
        booth.microphone.voiced = True
        await booth.until(lambda: not booth.line.playout.active())
        await booth.wait(0.1)
        booth.microphone.voiced = False
        await booth.wait(2.0)
        assert len(booth.of(SpeechStarted)) == 1
        await booth.speak(0.6)
        await booth.state("thinking")
        await booth.idle()


@virtual_time
async def test_the_key_works_in_half_duplex_too():
    async with Booth(kind=LineKind.ROOM) as booth:
        booth.provider.will_say("one two three four", 3.0)
        await booth.speak(0.6)
        await booth.state("speaking")
        booth.line.press()
        await booth.speak(1.0)
        booth.line.release()
        await booth.state("thinking")
        assert booth.provider.turns[2].ms >= 960
        await booth.idle()


@virtual_time
async def test_with_an_echo_canceller_the_room_is_full_duplex_and_has_its_far_end():
    async with Booth(kind=LineKind.ROOM, canceller=NoEcho, open_session=False) as booth:
        assert booth.line.duplex == "full"
        assert booth.line.playout.reference is not None


@virtual_time
async def test_muting_ends_what_was_being_said_and_is_told_once():
    async with Booth() as booth:
        booth.microphone.voiced = True
        await booth.wait(1.0)
        booth.line.set_muted(True)
        assert booth.session.phase is Phase.THINKING
        booth.line.set_muted(True)
        assert booth.line.capture.muted
        booth.microphone.voiced = False
        await booth.idle()
        booth.line.set_muted(False)
        assert [event.on for event in booth.of(MuteChanged)] == [True, False]


@virtual_time
async def test_a_muted_microphone_has_no_level():
    async with Booth() as booth:
        await booth.speak(1.0)
        assert booth.line.level().input_dbfs == -20.0
        booth.line.set_muted(True)
        assert booth.line.level().input_dbfs == -96.0
        booth.line.set_muted(False)


@virtual_time
async def test_volume_is_bounded_and_told_when_it_changes():
    async with Booth() as booth:
        assert booth.line.set_volume(-5) == 0
        assert booth.line.set_volume(0) == 0
        assert booth.line.set_volume(300) == 100
        assert [event.level for event in booth.of(VolumeChanged)] == [0, 100]
