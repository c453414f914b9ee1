"""Lines: when a session begins, what they share, and that nothing is left of one that is closed."""

import asyncio
import threading

import pytest

from appliance.config.schema import Room
from appliance.errors import LineBusy, UnknownName
from appliance.events import AudioLevel, SpeechStarted, Warned
from appliance.interfaces import LineKind
from tests.rig.booth import RATE, Booth, Microphone, Speaker
from tests.rig.virtual_time import virtual_time


def numbers(frames: list[bytes]) -> list[int]:
    return [int.from_bytes(frame[:2], "little") for frame in frames]


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
