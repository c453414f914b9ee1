"""What the appliance says by itself, what is typed, and the push-to-talk key."""

import pytest

from appliance.config.schema import Room
from appliance.errors import NotPossible, RequestInvalid
from appliance.events import Interrupted, Notified, SessionStateChanged, Transcript, Warned
from appliance.interfaces import DiscardTurn, HistoryItem, LineKind, SendText, UserHeard
from appliance.session.turn import Phase
from tests.rig.booth import Booth
from tests.rig.virtual_time import virtual_time

LONG = "one two three four five six seven eight nine ten"


@virtual_time
async def test_say_is_spoken_word_for_word_and_its_end_is_told():
    async with Booth() as booth:
        booth.session.say("Dinner is ready. Come down.")
        await booth.state("speaking")
        await booth.idle()
        assert booth.heard(booth.voice.level("Dinner is ready. Come down.")) == 50 * 26
        [said] = [event for event in booth.of(Transcript) if event.final]
        assert (said.role, said.heard) == ("assistant", "Dinner is ready. Come down.")


@virtual_time
async def test_say_waits_for_the_answer_that_sounds():
    async with Booth() as booth:
        booth.provider.will_say(LONG, 2.0)
        await booth.speak(0.5)
        await booth.state("speaking")
        booth.session.say("And dinner is ready.")
        await booth.idle()
        answer = booth.provider.answers[0].level
        said = booth.voice.level("And dinner is ready.")
        assert booth.heard(answer) == 2000
        first_said = min(at for at, block in booth.speaker.blocks if (block == said).any())
        last_answer = max(at for at, block in booth.speaker.blocks if (block == answer).any())
        assert last_answer <= first_said


@virtual_time
async def test_what_is_said_with_high_priority_goes_before_what_waits():
    async with Booth() as booth:
        booth.session.say("First of all.")
        booth.session.say("Second.")
        booth.session.say("Fire!", priority="high")
        await booth.state("speaking")
        await booth.idle()
        assert booth.voice.spoken == ["First of all.", "Fire!", "Second."]


@virtual_time
async def test_a_notification_waits_until_the_answer_has_been_heard():
    async with Booth() as booth:
        booth.provider.will_say(LONG, 2.0)
        await booth.speak(0.5)
        booth.session.notify("The tea is ready.", label="timer")
        await booth.state("speaking")
        assert booth.voice.spoken == []
        await booth.until(lambda: booth.voice.spoken == ["The tea is ready."])
        assert booth.heard(booth.provider.answers[0].level) == 2000
        assert [(event.text, event.label) for event in booth.of(Notified)] == [("The tea is ready.", "timer")]
        await booth.idle()


@virtual_time
async def test_urgent_notifications_come_first_and_too_many_drop_the_oldest_of_the_others():
    async with Booth() as booth:
        booth.microphone.voiced = True
        await booth.state("listening")
        for number in range(17):
            booth.session.notify(f"Number {number}.")
        booth.session.notify("The alarm!", urgent=True)
        booth.microphone.voiced = False
        await booth.until(lambda: len(booth.voice.spoken) == 16, seconds=120)
        assert booth.voice.spoken == ["The alarm!", *(f"Number {number}." for number in range(2, 17))]
        assert [event.code for event in booth.of(Warned)] == ["announcement_dropped"] * 2
        await booth.idle()


@virtual_time
async def test_a_notification_that_has_not_begun_gives_way_to_the_person_and_comes_later():
    async with Booth() as booth:
        booth.microphone.voiced = True
        await booth.wait(0.05)
        booth.session.notify("The tea is ready.")
        await booth.state("listening")
        await booth.wait(0.5)
        booth.microphone.voiced = False
        assert booth.heard(-1000) == 0
        await booth.until(lambda: booth.heard(-1000) == 50 * 17)
        assert booth.heard(booth.provider.answers[0].level) == 1000


@virtual_time
async def test_a_voice_that_fails_is_told_and_the_talk_goes_on():
    async with Booth() as booth:
        booth.voice.broken = True
        booth.session.say("Hello.")
        await booth.wait(0.5)
        assert [event.code for event in booth.of(Warned)] == ["voice_failed"]
        await booth.answered(0.5)


@virtual_time
async def test_the_greeting_is_said_first():
    async with Booth(greeting="Good morning.") as booth:
        await booth.state("speaking")
        await booth.idle()
        assert booth.voice.spoken == ["Good morning."]
        assert booth.words() == ["Good morning."]


@virtual_time
async def test_typed_text_is_answered():
    async with Booth() as booth:
        turn = booth.session.send_text("What time is it?")
        assert booth.session.phase is Phase.THINKING
        await booth.idle()
        assert booth.provider.connection.commands == [SendText(turn, "What time is it?")]
        assert booth.heard(booth.provider.answers[0].level) == 1000
        [typed] = [event for event in booth.of(Transcript) if event.role == "user"]
        assert (typed.turn, typed.text, typed.final) == (turn, "What time is it?", True)


@virtual_time
async def test_typing_interrupts_an_answer():
    async with Booth() as booth:
        booth.provider.will_say(LONG, 5.0)
        booth.session.send_text("Tell me a story.")
        await booth.state("speaking")
        await booth.wait(1.0)
        booth.session.send_text("A shorter one.")
        await booth.idle()
        assert [event.reason for event in booth.of(Interrupted)] == ["text"]
        assert booth.heard(booth.provider.answers[0].level) < 1100
        assert booth.heard(booth.provider.answers[1].level) == 1000


@virtual_time
async def test_texts_typed_while_the_appliance_thinks_are_answered_one_after_the_other():
    async with Booth() as booth:
        turns = [booth.session.send_text(text) for text in ("One?", "Two?", "Three?")]
        await booth.until(lambda: len(booth.provider.answers) == 3)
        await booth.idle()
        assert [answer.turn for answer in booth.provider.answers] == turns
        assert [booth.heard(answer.level) for answer in booth.provider.answers] == [1000] * 3


@virtual_time
async def test_what_cannot_be_said_is_refused():
    async with Booth() as booth:
        with pytest.raises(RequestInvalid):
            booth.session.say("  ")
        with pytest.raises(RequestInvalid):
            booth.session.send_text("x" * 5000)
        for _ in range(9):
            booth.session.send_text("Again!")
        with pytest.raises(NotPossible):
            booth.session.send_text("Again!")
        session = booth.session
        await session.close("enough")
        with pytest.raises(NotPossible):
            session.say("Hello?")


class TestPushToTalk:
    ROOM = Room(mode="push-to-talk")

    @virtual_time
    async def test_speech_without_the_key_is_no_turn(self):
        async with Booth(kind=LineKind.ROOM, room=self.ROOM) as booth:
            await booth.speak(2.0)
            await booth.wait(1.0)
            assert booth.session.phase is Phase.IDLE
            assert booth.provider.connection.commands == []

    @virtual_time
    async def test_what_is_said_between_press_and_release_is_the_turn_and_nothing_else(self):
        async with Booth(kind=LineKind.ROOM, room=self.ROOM) as booth:
            booth.microphone.voiced = True
            await booth.wait(0.5)
            first = booth.microphone.frames
            booth.line.press()
            await booth.wait(2.0)
            last = booth.microphone.frames
            booth.line.release()
            await booth.wait(0.5)
            booth.microphone.voiced = False
            numbers = [int.from_bytes(frame[:2], "little") - 1 for frame in booth.provider.turns[1].frames]
            assert numbers == list(range(first + 1, last + 1)) or numbers == list(range(first + 1, last + 2))
            assert booth.provider.turns[1].committed
            await booth.idle()

    @virtual_time
    async def test_a_pause_does_not_end_the_turn_while_the_key_is_down(self):
        async with Booth(kind=LineKind.ROOM, room=self.ROOM) as booth:
            booth.line.press()
            await booth.speak(0.5)
            await booth.wait(3.0)
            await booth.speak(0.5)
            assert booth.session.phase is Phase.LISTENING
            booth.line.release()
            await booth.state("thinking")
            assert abs(booth.provider.turns[1].ms - 4000) <= 60
            await booth.idle()

    @virtual_time
    async def test_the_key_silences_the_appliance_at_once_also_what_is_uninterruptible(self):
        async with Booth() as booth:
            text = "This call is recorded for your own good."
            booth.session.say(text, interruptible=False)
            await booth.state("speaking")
            await booth.wait(0.5)
            pressed = booth.loop.time()
            booth.line.press()
            assert booth.session.phase is Phase.LISTENING
            await booth.wait(0.5)
            assert booth.speaker.silent_since() - pressed <= 0.03
            booth.line.release()
            await booth.idle()
            assert [event.reason for event in booth.of(Interrupted)] == ["push-to-talk"]

    @virtual_time
    async def test_a_tap_of_the_key_only_silences(self):
        async with Booth(kind=LineKind.ROOM, room=self.ROOM) as booth:
            booth.line.press()
            await booth.wait(0.1)
            booth.line.release()
            await booth.wait(0.5)
            assert booth.session.phase is Phase.IDLE
            assert booth.provider.connection.commands[-1] == DiscardTurn(1)

    @virtual_time
    async def test_the_key_takes_over_a_turn_that_the_voice_began(self):
        async with Booth() as booth:
            booth.microphone.voiced = True
            await booth.state("listening")
            booth.line.press()
            await booth.wait(0.5)
            booth.microphone.voiced = False
            await booth.wait(2.0)
            assert booth.session.phase is Phase.LISTENING
            booth.line.release()
            await booth.state("thinking")
            assert list(booth.provider.turns) == [1]
            await booth.idle()

    @pytest.mark.slow
    @virtual_time
    async def test_a_key_that_is_stuck_is_let_go_after_a_minute(self):
        async with Booth() as booth:
            booth.line.press()
            await booth.speak(1.0)
            took = await booth.state("thinking", seconds=90)
            assert 58 <= took <= 61
            await booth.idle()


@virtual_time
async def test_after_the_idle_time_out_the_session_closes_and_the_line_is_told():
    async with Booth(kind=LineKind.ROOM, idle_timeout=30.0) as booth:
        await booth.answered(0.5)
        session = booth.session
        await booth.wait(29)
        assert session.state == "active"
        await booth.wait(2)
        assert session.state == "closed"
        assert booth.closed == [("room", session.id, "idle_timeout")]
        assert booth.of(SessionStateChanged)[-1].reason == "idle_timeout"


@virtual_time
async def test_typed_text_that_the_provider_echoes_is_told_once():
    async with Booth() as booth:
        turn = booth.session.send_text("What time is it?")
        booth.provider.connection.tell(UserHeard(turn, "What time is it?", final=True))
        await booth.idle()
        [typed] = [event for event in booth.of(Transcript) if event.role == "user"]
        assert (typed.turn, typed.text, typed.final) == (turn, "What time is it?", True)


@virtual_time
async def test_half_a_character_of_a_provider_reaches_neither_programs_nor_the_history():
    async with Booth() as booth:
        booth.provider.will_say("Here is \ud83c your cake.", 1.0)
        await booth.speak(0.5)
        await booth.state("speaking")
        await booth.idle()
        said = [event.text for event in booth.of(Transcript) if event.role == "assistant" and event.final]
        assert said == ["Here is ? your cake."]
        kept = [item.text for item in booth.session.history if isinstance(item, HistoryItem)]
        assert kept[-1] == "Here is ? your cake."
