"""Lines: when a session begins, what they share, and that nothing is left of one that is closed."""

import asyncio
import threading

import pytest

from appliance.audio.capture import Captured, CapturePath
from appliance.audio.playout import Playout
from appliance.config.schema import Room, Vad
from appliance.errors import LineBusy, UnknownName
from appliance.events import AudioLevel, EventBus, MuteChanged, SpeechStarted, VolumeChanged, Warned
from appliance.interfaces import LineKind
from appliance.session.line import Line
from appliance.session.turn import Phase
from tests.rig.booth import Booth, Microphone, Speaker
from tests.rig.virtual_time import virtual_time

RATE = 16_000


def numbers(frames: list[bytes]) -> list[int]:
    return [int.from_bytes(frame[:2], "little") for frame in frames]


class Canceller:
    def far_end(self, pcm: bytes) -> None:
        return

    def near_end(self, pcm: bytes) -> bytes:
        return pcm

    def close(self) -> None:
        return


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
async def test_speech_in_the_room_opens_a_session_and_not_a_sample_of_it_is_lost():
    async with Booth(kind=LineKind.ROOM, open_session=False, greeting="Welcome.") as booth:
        await booth.wait(3.0)
        assert booth.line.session is None
        await booth.speak(0.8)
        await booth.state("thinking")
        got = numbers(booth.provider.turns[1].frames)
        assert set(booth.microphone.voiced_frames) <= set(got)
        assert got[0] <= booth.microphone.voiced_frames[0] - 10
        await booth.idle()
        assert booth.voice.spoken == []


@virtual_time
async def test_a_phone_line_waits_for_its_session():
    async with Booth(open_session=False) as booth:
        await booth.speak(1.0)
        assert booth.line.session is None
        assert booth.lines.status()["sessions"] == []


@virtual_time
async def test_the_push_to_talk_key_opens_a_session_in_the_room():
    async with Booth(kind=LineKind.ROOM, room=Room(mode="push-to-talk"), open_session=False) as booth:
        await booth.speak(1.0)
        assert booth.line.session is None
        booth.line.press()
        await booth.speak(1.0)
        booth.line.release()
        await booth.state("speaking")
        await booth.idle()


@virtual_time
async def test_above_max_sessions_a_line_is_busy_and_speech_in_the_room_is_told_of_it():
    async with Booth(kind=LineKind.ROOM, open_session=False, max_sessions=1) as booth:
        phone = booth.lines.open_line(LineKind.PHONE, capture_rate=RATE, playout_rate=RATE)
        session = booth.lines.open_session(phone)
        with pytest.raises(LineBusy):
            booth.lines.open_session(booth.line)
        await booth.speak(0.5)
        assert [event.code for event in booth.of(Warned)] == ["line_busy"]
        await session.close("enough")
        booth.lines.open_session(booth.line)


@virtual_time
async def test_sessions_side_by_side_share_nothing():
    async with Booth() as booth:
        other = booth.lines.open_line(LineKind.PHONE, capture_rate=RATE, playout_rate=RATE)
        booth.lines.open_session(other)
        assert other.session is not None
        speaker = Speaker(other)
        booth.provider.will_say("one two three four", 3.0)
        await booth.speak(0.6)
        await booth.state("speaking")
        microphone = Microphone(other.hear)
        microphone.voiced = True
        for tick in range(200):
            microphone.voiced = tick < 40
            microphone.tick(booth.loop.time())
            speaker.tick(booth.loop.time())
            await booth.wait(0.02)
        first, second = booth.provider.answers
        assert booth.heard(first.level) == 3000
        assert booth.heard(second.level) == 0
        assert speaker.heard_ms(second.level) == 1000
        assert speaker.heard_ms(first.level) == 0
        assert {event.line for event in booth.of(SpeechStarted)} == {"phone-1", "phone-2"}


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
    async with Booth(kind=LineKind.ROOM, canceller=Canceller, open_session=False) as booth:
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


@virtual_time
async def test_levels_are_told_ten_times_a_second_while_somebody_listens():
    async with Booth() as booth:
        await booth.wait(1.0)
        assert booth.of(AudioLevel) == []
        leave = booth.lines.watch_levels()
        await booth.speak(1.0)
        leave()
        leave()
        await booth.wait(1.0)
        levels = booth.of(AudioLevel)
        assert 10 <= len(levels) <= 11
        assert (levels[-1].line, levels[-1].input_dbfs) == ("phone-1", -20.0)
        await booth.idle()


@virtual_time
async def test_the_status_shows_lines_and_sessions():
    async with Booth() as booth:
        status = booth.lines.status()
        [line], [session] = status["lines"], status["sessions"]
        assert line == {
            "id": "phone-1",
            "kind": "phone",
            "muted": False,
            "shut_by": [],
            "volume": 100,
            "duplex": "full",
            "session": booth.session.id,
            "device": {},
        }
        assert session.pop("started_at") > 0
        assert session == {
            "id": booth.session.id,
            "line": "phone-1",
            "state": "active",
            "turn": 0,
            "turn_state": "idle",
            "agent": "assistant",
            "provider": "fake",
            "rung": 0,
        }


@virtual_time
async def test_names_that_there_are_not_are_refused():
    async with Booth() as booth:
        with pytest.raises(UnknownName):
            booth.lines.line("cellar")
        with pytest.raises(UnknownName):
            booth.lines.session("s-none")
        other = booth.lines.open_line(LineKind.CLIENT, capture_rate=RATE, playout_rate=RATE)
        with pytest.raises(UnknownName):
            booth.lines.open_session(other, agent="nobody")
        assert len(booth.lines.status()["sessions"]) == 1
        with pytest.raises(LineBusy):
            booth.lines.open_line(LineKind.PHONE, capture_rate=RATE, playout_rate=RATE, line_id="phone-1")
        with pytest.raises(LineBusy):
            booth.lines.open_session(booth.line)


@virtual_time
async def test_counters_are_summed_and_outlive_their_sessions():
    async with Booth() as booth:
        await booth.lines.close_line("phone-1", "hung up")
        for _ in range(3):
            line = booth.lines.open_line(LineKind.PHONE, capture_rate=RATE, playout_rate=RATE)
            booth.lines.open_session(line)
            await booth.wait(0.2)
            await booth.lines.close_line(line.id, "hung up")
        counters = booth.lines.counters()
        assert counters["dials"] == 4
        assert (counters["sessions"], counters["lines"]) == (0, 0)


@virtual_time
async def test_a_session_that_ends_by_itself_is_told_and_one_that_is_closed_with_its_line_is_not():
    async with Booth() as booth:
        session = booth.session
        await session.close("enough")
        assert booth.closed == [("phone-1", session.id, "enough")]
        booth.lines.open_session(booth.line)
        await booth.lines.close_line("phone-1", "hung up")
        assert len(booth.closed) == 1
        assert booth.shelf.rows[-1][2] == "hung up"


@pytest.mark.parametrize("moment", [0.0, 0.3, 0.7, 1.4, 1.6, 2.4])
@virtual_time
async def test_closing_at_any_moment_takes_no_time_and_leaves_no_task_and_no_thread(moment):
    async with Booth(open_session=False) as booth:
        threads = {thread.name for thread in threading.enumerate()}
        line = booth.lines.open_line(LineKind.PHONE, capture_rate=RATE, playout_rate=RATE, line_id="leaver")
        microphone = Microphone(line.hear)
        booth.provider.will_call("time_now", {})
        booth.lines.open_session(line)
        session = line.session
        assert session is not None
        session.say("Please wait a moment, while I find out.")
        for tick in range(round(moment / 0.02)):
            microphone.voiced = tick < 40
            microphone.tick(booth.loop.time())
            line.playout.pull(320)
            await booth.wait(0.02)
        before = booth.loop.time()
        await asyncio.gather(booth.lines.close_line("leaver", "one"), booth.lines.close_line("leaver", "two"))
        assert booth.loop.time() - before <= 2.0
        assert session.state == "closed"
        assert {thread.name for thread in threading.enumerate() if thread.name == "capture-leaver"} == set()
        assert threads <= {thread.name for thread in threading.enumerate()}
        session.press()
        session.interrupt("late")
        await session.close("again")


@virtual_time
async def test_a_line_is_closed_to_its_end_though_who_asked_for_it_hangs_up_meanwhile():
    async with Booth() as booth:
        session = booth.session
        asking = asyncio.create_task(booth.lines.close_line("phone-1", "closed by the client"))
        await booth.wait(0.0)
        asking.cancel()
        await booth.until(lambda: booth.lines.lines() == ())
        assert session.state == "closed"
        assert [thread.name for thread in threading.enumerate() if thread.name == "capture-phone-1"] == []


@virtual_time
async def test_the_second_session_on_a_line_is_heard_as_the_first_one_was():
    async with Booth(kind=LineKind.ROOM, open_session=False) as booth:
        for words in ("The tea is ready.", "The bread is done."):
            booth.lines.notify_room(words)
            await booth.wait(3.0)
            assert booth.heard(booth.voice.level(words)) == 50 * len(words)
            await booth.session.close("hang-up")
