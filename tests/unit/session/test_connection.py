"""The provider fails in every way: the person's turn is kept, and answered once."""

from collections.abc import Sequence
from typing import ClassVar

import pytest

from appliance.events import Failed, ProviderChanged, SessionStateChanged, Transcript, Warned
from appliance.interfaces import CalledTool, Capabilities, HistoryItem, SendText
from appliance.session.turn import Phase
from tests.fakes.provider import FakeProvider
from tests.rig.booth import Booth
from tests.rig.virtual_time import virtual_time

LONG = "one two three four five six seven eight nine ten"


def said(history: Sequence[HistoryItem | CalledTool]) -> list[tuple[str, str]]:
    return [(item.role, item.text) for item in history if isinstance(item, HistoryItem)]


def numbers(frames: list[bytes]) -> list[int]:
    return [int.from_bytes(frame[:2], "little") for frame in frames]


@virtual_time
async def test_words_said_before_the_provider_is_there_are_sent_when_it_is():
    async with Booth(open_session=False) as booth:
        booth.provider.refuse(3)
        booth.lines.open_session(booth.line)
        await booth.speak(0.8)
        await booth.state("thinking")
        await booth.state("speaking")
        assert set(booth.microphone.voiced_frames) <= set(numbers(booth.provider.turns[1].frames))
        await booth.idle()


@virtual_time
async def test_a_drop_in_the_middle_of_an_utterance_loses_nothing_and_repeats_nothing():
    async with Booth() as booth:
        booth.microphone.voiced = True
        await booth.wait(1.0)
        booth.provider.go_down()
        await booth.wait(1.5)
        booth.provider.come_up()
        await booth.wait(1.5)
        booth.microphone.voiced = False
        await booth.state("speaking")
        got = numbers(booth.provider.turns[1].frames)
        assert set(booth.microphone.voiced_frames) <= set(got)
        assert got == list(range(got[0], got[0] + len(got)))
        assert len(booth.provider.answers) == 1
        await booth.idle()


@virtual_time
async def test_a_drop_while_thinking_has_the_turn_answered_by_the_next_connection():
    async with Booth() as booth:
        booth.provider.will_say("Never heard.", 2.0, think=5.0)
        booth.provider.will_say("Here.", 1.0)
        await booth.speak(0.8)
        await booth.state("thinking")
        await booth.wait(0.5)
        booth.provider.drop()
        await booth.idle()
        assert len(booth.provider.connections) == 2
        assert booth.provider.turns[1].committed
        assert [answer.say.text for answer in booth.provider.answers] == ["Here."]
        assert [event.to for event in booth.of(SessionStateChanged)] == [
            "connecting",
            "active",
            "reconnecting",
            "active",
        ]


@virtual_time
async def test_what_was_received_before_a_drop_plays_on_and_is_not_asked_for_again():
    async with Booth() as booth:
        booth.provider.will_say(LONG, 5.0, speed=4.0)
        await booth.speak(0.8)
        await booth.state("speaking")
        await booth.wait(0.5)
        booth.provider.drop()
        await booth.idle()
        assert 1900 <= booth.heard(booth.provider.answers[0].level) <= 2300
        assert len(booth.provider.connections) == 2
        assert booth.provider.turns == {}
        assert booth.session.phase is Phase.IDLE


@virtual_time
async def test_a_new_connection_is_given_the_history_with_what_was_heard():
    async with Booth() as booth:
        booth.provider.will_say(LONG, 5.0)
        await booth.speak(0.8)
        await booth.state("speaking")
        await booth.wait(1.0)
        await booth.speak(0.6)
        await booth.idle()
        booth.provider.drop()
        await booth.redialled()
        assert said(booth.provider.connection.setup.history) == [
            ("user", "turn 1"),
            ("assistant", "one two"),
            ("user", "turn 2"),
            ("assistant", "Yes."),
        ]


@virtual_time
async def test_typed_text_survives_a_drop():
    async with Booth() as booth:
        booth.provider.will_not_answer()
        turn = booth.session.send_text("What time is it?")
        await booth.wait(0.5)
        booth.provider.drop()
        await booth.idle()
        assert booth.provider.connection.commands == [SendText(turn, "What time is it?")]
        assert booth.heard(booth.provider.answers[0].level) == 1000


@virtual_time
async def test_a_dial_that_hangs_is_given_up_and_made_again():
    async with Booth(open_session=False) as booth:
        booth.provider.hang_in_connect(2)
        booth.lines.open_session(booth.line)
        took = await booth.active(seconds=60)
        assert 5 <= took <= 6
        assert booth.provider.dials == 3


@pytest.mark.slow
@virtual_time
async def test_dials_come_at_once_then_ever_slower_up_to_ten_seconds_and_never_cease():
    async with Booth(idle_timeout=5000.0) as booth:
        booth.provider.go_down()
        await booth.wait(1.0)
        assert booth.provider.dials in (5, 6)
        await booth.wait(600)
        before = booth.provider.dials
        await booth.wait(100)
        assert 8 <= booth.provider.dials - before <= 13
        booth.provider.come_up()
        await booth.active()


@virtual_time
async def test_a_connection_that_does_not_answer_is_given_up_and_the_next_one_asked():
    async with Booth() as booth:
        booth.provider.will_not_answer()
        await booth.speak(0.8)
        await booth.state("thinking")
        took = await booth.state("speaking")
        assert 19 <= took <= 21
        await booth.idle()
        assert booth.voice.spoken == []
        first, second = booth.provider.connections
        assert first.closed
        assert second.turns[1].frames == first.turns[1].frames
        assert booth.words() == ["turn 1", "Yes."]
        assert [event.reason for event in booth.of(ProviderChanged) if event.state == "down"] == [
            "fake did not answer"
        ]


@virtual_time
async def test_a_provider_that_never_answers_is_apologised_for_and_the_floor_is_free():
    async with Booth() as booth:
        booth.provider.will_not_answer()
        booth.provider.will_not_answer()
        await booth.speak(0.8)
        await booth.state("thinking")
        took = await booth.state("speaking", seconds=60.0)
        assert 39 <= took <= 42
        assert booth.voice.spoken == ["Sorry, I did not get an answer. Please try again."]
        await booth.idle()
        assert "no_answer" in [event.code for event in booth.of(Warned)]
        await booth.answered()
        assert booth.heard(booth.provider.answers[0].level) == 1000
        assert len(booth.provider.connections) == 3


@virtual_time
async def test_an_answer_that_breaks_off_without_an_end_frees_the_floor_and_the_next_turn():
    async with Booth() as booth:
        booth.provider.never_finish(1.0)
        await booth.speak(0.8)
        await booth.state("speaking")
        took = await booth.idle()
        assert took < 25
        assert booth.heard(booth.provider.answers[0].level) == 1000
        assert booth.voice.spoken == ["Sorry, I was cut off there."]
        assert booth.provider.connections[0].closed
        assert len(booth.provider.connections) == 2


@virtual_time
async def test_an_answer_that_fails_is_apologised_for():
    async with Booth() as booth:
        booth.provider.will_be_silent("failed")
        await booth.answered()
        assert booth.voice.spoken == ["Sorry, I did not get an answer. Please try again."]


@virtual_time
async def test_an_answer_without_a_word_frees_the_floor():
    async with Booth() as booth:
        booth.provider.will_be_silent()
        await booth.speak(0.8)
        await booth.state("thinking")
        assert await booth.idle() < 0.5
        assert booth.voice.spoken == []


@virtual_time
async def test_a_provider_whose_library_is_missing_gives_way_at_once_and_is_told():
    far, near = FakeProvider("far"), FakeProvider("near")
    far.lack_library()
    async with Booth(providers=[far, near]) as booth:
        assert booth.session.provider == "near"
        assert [event.code for event in booth.of(Failed)] == ["driver_missing"]


@virtual_time
async def test_a_provider_that_breaks_in_connect_is_dialled_again():
    async with Booth(open_session=False) as booth:
        booth.provider.break_in_connect()
        booth.lines.open_session(booth.line)
        await booth.active()
        assert booth.provider.dials == 2


@virtual_time
async def test_a_provider_out_of_reach_gives_way_to_the_next_with_the_turn_and_the_history():
    far, near = FakeProvider("far"), FakeProvider("near", first_level=9000)
    async with Booth(providers=[far, near]) as booth:
        await booth.answered()
        far.go_down()
        await booth.speak(0.8)
        await booth.until(lambda: near.answers != [])
        await booth.idle()
        assert [text for _, text in said(near.connection.setup.history)] == ["turn 1", "Yes."]
        assert near.turns[2].committed
        assert booth.heard(near.answers[0].level) == 1000
        assert booth.session.provider == "near"
        down = booth.when(ProviderChanged, provider="far", state="down")
        assert 2.9 <= booth.when(ProviderChanged, provider="near", state="up") - down <= 4.5
        assert "I have lost the connection and go on another way." in booth.voice.spoken


@virtual_time
async def test_a_provider_that_refuses_the_credentials_gives_way_at_once():
    far, near = FakeProvider("far"), FakeProvider("near")
    far.reject_credentials()
    async with Booth(providers=[far, near]) as booth:
        assert booth.session.provider == "near"
        assert far.dials == 1


class Slow(FakeProvider):
    paced: ClassVar = Capabilities(input_rate=16_000, output_rate=16_000, paced=True, local=True)


@pytest.mark.slow
@virtual_time
async def test_a_local_engine_is_held_back_ten_seconds_ahead():
    provider = FakeProvider("local", Slow.paced)
    async with Booth(providers=[provider]) as booth:
        provider.will_say(LONG, 60.0, speed=1000.0)
        await booth.speak(0.6)
        await booth.state("speaking")
        most = 0.0
        for _ in range(300):
            await booth.wait(0.1)
            most = max(most, booth.line.playout.queued_ms())
        assert 9_000 <= most <= 10_300
        await booth.idle()
        assert booth.heard(provider.answers[0].level) == 60_000


@virtual_time
async def test_a_speaker_that_takes_nothing_frees_the_floor_after_five_seconds():
    async with Booth() as booth:
        booth.provider.will_say(LONG, 5.0)
        await booth.speak(0.6)
        await booth.state("speaking")
        booth.speaker.gone = True
        assert await booth.idle() <= 6


@virtual_time
async def test_a_microphone_that_falls_silent_in_mid_speech_ends_the_turn():
    async with Booth() as booth:
        booth.microphone.voiced = True
        await booth.wait(0.8)
        booth.microphone._sink = lambda captured: None  # noqa: SLF001 - the cable is pulled
        assert await booth.state("thinking") <= 1.3
        await booth.idle()
        assert len(booth.of(Transcript)) > 0


@pytest.mark.slow
@virtual_time
async def test_speech_that_never_ends_is_answered_after_a_minute():
    async with Booth() as booth:
        booth.microphone.voiced = True
        await booth.state("listening")
        took = await booth.state("thinking", seconds=90)
        assert 59 <= took <= 61
        assert booth.provider.turns[1].ms <= 61_000
        await booth.idle()
        booth.microphone.voiced = False
