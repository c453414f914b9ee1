"""Talking over the appliance: paused at once, confirmed or resumed, and told what was heard."""

from appliance.events import Interrupted, SpeechStarted, Transcript, TurnChanged
from appliance.interfaces import CancelResponse, CommitTurn, DiscardTurn
from appliance.session.turn import Phase
from tests.rig.booth import Booth
from tests.rig.virtual_time import virtual_time

WORDS = "one two three four five six seven eight nine ten"


async def answering(booth: Booth, text: str = WORDS, seconds: float = 5.0, **how: object) -> int:
    """The person asks, and the answer has been sounding for a second; return its level."""
    booth.provider.will_say(text, seconds, **how)
    await booth.speak(0.6)
    await booth.state("speaking")
    await booth.wait(1.0)
    return booth.provider.answers[-1].level


@virtual_time
async def test_talking_over_an_answer_silences_it_within_a_frame_of_the_onset():
    async with Booth() as booth:
        level = await answering(booth)
        began = booth.loop.time()
        await booth.speak(1.0)
        assert booth.session.phase is Phase.LISTENING
        assert booth.heard(level, since=began + 0.1) == 0
        assert booth.speaker.silent_since() - began <= 0.1


@virtual_time
async def test_the_provider_is_told_what_was_heard():
    async with Booth() as booth:
        level = await answering(booth)
        await booth.speak(1.0)
        answer = booth.provider.answers[0]
        assert answer.cancelled is not None
        assert abs(answer.cancelled.heard_ms - booth.heard(level)) <= 20
        assert answer.cancelled.heard == "one two"
        assert [
            event.heard for event in booth.of(Transcript) if event.role == "assistant" and event.final
        ] == ["one two"]
        assert booth.words()[-1] == "one two"


@virtual_time
async def test_an_interruption_is_told_once():
    async with Booth() as booth:
        await answering(booth)
        await booth.speak(1.0)
        [event] = booth.of(Interrupted)
        assert (event.turn, event.reason) == (1, "speech")
        assert abs(event.heard_ms - 1000) <= 80


@virtual_time
async def test_a_cough_pauses_the_answer_and_nothing_of_it_is_lost():
    async with Booth() as booth:
        level = await answering(booth)
        began = booth.loop.time()
        await booth.speak(0.15)
        assert booth.session.phase is Phase.PAUSED
        resumed = await booth.until(lambda: booth.session.phase is Phase.SPEAKING)
        assert resumed < 0.3
        await booth.idle()
        # Two fades of 5 ms have other values; nothing else is missing.
        assert 4985 <= booth.heard(level) <= 5000
        assert booth.heard(level, since=began) > 3900
        assert booth.of(Interrupted) == []
        assert booth.provider.answers[0].cancelled is None


@virtual_time
async def test_nothing_of_a_cough_reaches_the_provider():
    async with Booth() as booth:
        await answering(booth)
        sent = len(booth.provider.connection.commands)
        await booth.speak(0.15)
        await booth.idle()
        assert booth.provider.connection.commands[sent:] == []
        assert len(booth.of(SpeechStarted)) == 1


@virtual_time
async def test_a_word_after_a_cough_in_the_same_breath_is_a_barge_in():
    async with Booth() as booth:
        await answering(booth)
        await booth.speak(0.12)
        await booth.until(lambda: booth.session.phase is Phase.SPEAKING)
        await booth.wait(0.1)
        await booth.speak(0.5)
        assert booth.session.phase is Phase.LISTENING


@virtual_time
async def test_the_interrupting_words_reach_the_provider_whole():
    async with Booth() as booth:
        await answering(booth)
        before = len(booth.microphone.voiced_frames)
        await booth.speak(1.0)
        said = booth.microphone.voiced_frames[before:]
        await booth.state("thinking")
        turn = booth.provider.turns[2]
        numbers = [int.from_bytes(frame[:2], "little") for frame in turn.frames]
        assert set(said) <= set(numbers)
        assert numbers == sorted(numbers)
        assert numbers[0] <= said[0] - 10


@virtual_time
async def test_an_answer_is_interrupted_after_the_provider_said_it_was_done():
    async with Booth() as booth:
        level = await answering(booth, speed=100.0)
        assert booth.provider.connection.commands[-1] == CommitTurn(1)
        began = booth.loop.time()
        await booth.speak(0.6)
        assert booth.heard(level, since=began + 0.1) == 0
        [cancel] = [c for c in booth.provider.connection.commands if isinstance(c, CancelResponse)]
        assert abs(cancel.heard_ms - booth.heard(level)) <= 20


@virtual_time
async def test_two_barge_ins_in_a_row_each_tell_what_was_heard():
    async with Booth() as booth:
        first = await answering(booth)
        booth.provider.will_say(WORDS, 5.0)
        booth.provider.will_say("At last.", 1.0)
        await booth.speak(0.6)
        await booth.state("speaking")
        await booth.wait(0.5)
        second = booth.provider.answers[1].level
        cut = booth.loop.time()
        await booth.speak(0.6)
        await booth.idle()
        assert booth.heard(first, since=cut) == booth.heard(second, since=cut + 0.1) == 0
        assert [event.turn for event in booth.of(Interrupted)] == [1, 2]
        assert booth.heard(booth.provider.answers[2].level) == 1000


@virtual_time
async def test_speech_while_thinking_supersedes_the_answer():
    async with Booth() as booth:
        booth.provider.will_say("Too late.", 2.0, think=3.0)
        booth.provider.will_say("In time.", 1.0)
        await booth.speak(0.6)
        await booth.state("thinking")
        await booth.speak(0.6)
        await booth.idle()
        await booth.wait(3.0)
        late = [answer for answer in booth.provider.answers if answer.say.text == "Too late."]
        assert [answer.cancelled is not None for answer in late] == [True]
        assert booth.heard(late[0].level) == 0
        assert [
            event.text for event in booth.of(Transcript) if event.role == "assistant" and event.final
        ] == ["In time."]


@virtual_time
async def test_a_cough_while_thinking_leaves_the_answer_to_come():
    async with Booth() as booth:
        booth.provider.will_say("Here I am.", 1.0, think=0.3)
        await booth.speak(0.6)
        await booth.state("thinking")
        await booth.speak(0.14)
        assert booth.session.phase is Phase.DOUBTING
        await booth.idle()
        assert booth.heard(booth.provider.answers[0].level) == 1000
        assert len(booth.of(SpeechStarted)) == 1


@virtual_time
async def test_an_uninterruptible_utterance_plays_on_while_the_person_talks_and_their_turn_is_answered_after():
    async with Booth() as booth:
        booth.provider.will_say("I heard you.", 1.0)
        text = "This call is recorded for your own good."
        booth.session.say(text, interruptible=False)
        await booth.state("speaking")
        await booth.speak(0.8)
        assert booth.session.phase is Phase.OVERTALK
        await booth.idle()
        assert booth.heard(booth.voice.level(text)) == 50 * len(text)
        assert booth.heard(booth.provider.answers[0].level) == 1000


@virtual_time
async def test_a_cough_over_an_uninterruptible_utterance_changes_nothing():
    async with Booth() as booth:
        text = "This call is recorded for your own good."
        booth.session.say(text, interruptible=False)
        await booth.state("speaking")
        await booth.speak(0.12)
        assert booth.session.phase is Phase.CAUTIOUS
        assert not booth.line.playout.paused()
        await booth.idle()
        assert booth.heard(booth.voice.level(text)) == 50 * len(text)


@virtual_time
async def test_an_announcement_is_interrupted_like_an_answer_but_the_provider_is_not_told():
    async with Booth() as booth:
        booth.session.say("There is so much that I would like to tell you today.")
        await booth.state("speaking")
        await booth.wait(0.5)
        await booth.speak(0.6)
        await booth.idle()
        assert [event.turn for event in booth.of(Interrupted)] == [0]
        assert not any(isinstance(c, CancelResponse) for c in booth.provider.connection.commands)
        [said] = [e for e in booth.of(Transcript) if e.role == "assistant" and e.turn == 0 and e.final]
        assert said.heard == "There is so"


@virtual_time
async def test_a_sound_below_a_tenth_of_a_second_is_no_turn():
    async with Booth() as booth:
        await booth.speak(0.08)
        await booth.wait(1.0)
        assert booth.session.phase is Phase.IDLE
        assert booth.provider.connection.commands[-1] == DiscardTurn(1)
        assert booth.provider.answers == []


@virtual_time
async def test_the_interrupt_command_stops_an_answer_and_the_floor_is_free():
    async with Booth() as booth:
        level = await answering(booth)
        began = booth.loop.time()
        booth.session.interrupt("kiosk")
        assert booth.session.phase is Phase.IDLE
        await booth.wait(2.0)
        assert booth.heard(level, since=began + 0.03) == 0
        assert [event.reason for event in booth.of(Interrupted)] == ["kiosk"]
        assert booth.provider.answers[0].cancelled is not None


@virtual_time
async def test_the_interrupt_command_while_thinking_withdraws_the_answer():
    async with Booth() as booth:
        booth.provider.will_say("Too late.", 2.0, think=1.0)
        await booth.speak(0.6)
        await booth.state("thinking")
        booth.session.interrupt("kiosk")
        await booth.wait(3.0)
        assert booth.heard(booth.provider.answers[0].level) == 0
        assert booth.session.phase is Phase.IDLE
        assert booth.provider.answers[0].cancelled is not None


@virtual_time
async def test_the_interrupt_command_with_nothing_to_interrupt_is_harmless():
    async with Booth() as booth:
        booth.session.interrupt("kiosk")
        assert booth.of(Interrupted) == []


@virtual_time
async def test_the_states_told_are_idle_listening_thinking_speaking_in_order():
    async with Booth() as booth:
        await answering(booth)
        await booth.speak(0.6)
        await booth.idle()
        assert [event.state for event in booth.of(TurnChanged)] == [
            "listening",
            "thinking",
            "speaking",
            "listening",
            "thinking",
            "speaking",
            "idle",
        ]
