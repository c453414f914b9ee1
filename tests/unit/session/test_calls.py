"""Tool calls over broken connections, results that wait for the floor, answers that nobody asked for."""

import pytest

from appliance.events import Interrupted, ToolCancelled, ToolFinished, Transcript, Warned
from appliance.interfaces import CalledTool, CancelResponse, CommitTurn, Delivery, HistoryItem, ToolResult
from appliance.session.turn import Phase
from tests.fakes.answers import Say
from tests.fakes.provider import RESTORING
from tests.rig.booth import Booth
from tests.rig.virtual_time import virtual_time

LONG = "one two three four five six seven eight nine ten"
AGAIN = "Sorry, the connection broke. Please say that again."
CUT_OFF = "Sorry, I was cut off there."


def results(booth: Booth) -> list[ToolResult]:
    return [command for command in booth.provider.connection.commands if isinstance(command, ToolResult)]


async def calling(booth: Booth, tool: str, seconds: float, then: Say | None = None, **how: bool) -> None:
    """The person asks, and the tool has begun."""
    booth.clock.seconds = seconds
    begun = booth.clock.begun
    booth.provider.will_call(tool, {}, then, **how)
    await booth.speak(0.6)
    await booth.until(lambda: booth.clock.begun == begun + 1)


class TestADropDuringATool:
    @pytest.mark.parametrize("outage", [0.0, 1.0, 8.0])
    @virtual_time
    async def test_it_runs_on_and_its_result_is_answered_over_the_next_connection(self, outage):
        async with Booth(capabilities=RESTORING) as booth:
            await calling(booth, "time_now", 3.0)
            booth.provider.go_down()
            await booth.wait(outage)
            booth.provider.come_up()
            await booth.idle()
            assert (booth.clock.begun, booth.clock.ended) == (1, 1)
            assert [result.result for result in booth.provider.tool_results] == [{"time": "noon"}]
            assert booth.heard(booth.provider.answers[0].level) == 1000
            assert AGAIN not in booth.voice.spoken
            assert booth.provider.turns == {}

    @virtual_time
    async def test_the_next_connection_is_told_of_the_call_and_the_one_after_of_its_outcome(self):
        async with Booth(capabilities=RESTORING) as booth:
            await calling(booth, "time_now", 3.0)
            booth.provider.drop()
            await booth.idle()
            told = booth.provider.connection.setup.history[-1]
            assert isinstance(told, CalledTool)
            assert (told.tool, told.arguments, told.outcome, told.turn) == ("time_now", "{}", None, 1)
            booth.provider.drop()
            await booth.wait(1.0)
            history = booth.provider.connection.setup.history
            assert [getattr(item, "outcome", "said") for item in history] == [
                "said",
                '{"time": "noon"}',
                "said",
            ]

    @virtual_time
    async def test_a_result_that_nobody_answered_before_the_drop_is_given_again(self):
        async with Booth(capabilities=RESTORING) as booth:
            await calling(booth, "time_now", 1.0, Say("It is noon.", 1.0, think=2.0))
            await booth.until(lambda: booth.provider.tool_results != [])
            booth.provider.drop()
            await booth.idle()
            assert booth.clock.begun == 1
            assert len(results(booth)) == 1
            assert booth.heard(booth.provider.answers[-1].level) == 1000

    @virtual_time
    async def test_a_result_that_breaks_every_connection_is_not_given_for_ever(self):
        async with Booth(capabilities=RESTORING) as booth:
            await calling(booth, "time_now", 0.5, Say("It is noon.", 1.0, think=5.0))
            for _ in range(3):
                given = len(booth.provider.tool_results)
                while len(booth.provider.tool_results) == given:
                    await booth.wait(0.05)
                booth.provider.drop()
            await booth.until(lambda: booth.voice.spoken == [AGAIN])
            await booth.idle()
            assert len(booth.provider.tool_results) == 3

    @virtual_time
    async def test_talking_over_it_during_the_outage_cancels_it_with_one_result(self):
        async with Booth(capabilities=RESTORING) as booth:
            await calling(booth, "time_now", 9.0)
            booth.provider.hang_in_connect()
            booth.provider.drop()
            await booth.wait(0.3)
            await booth.speak(0.6)
            assert len(booth.of(ToolCancelled)) == 1
            await booth.idle()
            assert booth.clock.ended == 0
            assert [event.error for event in booth.of(ToolFinished)] == ["The call was cancelled."]
            assert [booth.heard(answer.level) for answer in booth.provider.answers] == [1000]

    @virtual_time
    async def test_a_provider_that_cannot_go_on_with_it_has_the_person_say_it_again(self):
        async with Booth() as booth:
            await calling(booth, "time_now", 9.0)
            booth.provider.drop()
            await booth.until(lambda: booth.voice.spoken == [AGAIN])
            await booth.idle()
            assert booth.clock.ended == 0
            assert booth.provider.tool_results == []
            assert [event.error for event in booth.of(ToolFinished)] == ["The call was cancelled."]

    @virtual_time
    async def test_a_call_that_is_made_again_over_the_next_connection_runs_once(self):
        async with Booth(capabilities=RESTORING) as booth:
            await calling(booth, "time_now", 3.0)
            call = booth.provider.connection.made[-1]
            booth.provider.drop()
            await booth.until(lambda: len(booth.provider.connections) == 2)
            booth.provider.connection.make(call)
            await booth.idle()
            assert booth.clock.begun == 1
            assert len(booth.provider.tool_results) == 1
            booth.provider.drop()
            await booth.until(lambda: len(booth.provider.connections) == 3)
            booth.provider.connection.make(call)
            await booth.wait(1.0)
            assert booth.clock.begun == 1
            assert [result.result for result in booth.provider.tool_results] == [{"time": "noon"}] * 2
            await booth.idle()


class TestDelivery:
    @virtual_time
    async def test_a_turn_whose_only_reaction_is_a_silent_call_ends(self):
        async with Booth() as booth:
            await calling(booth, "note", 0.5)
            assert await booth.idle() < 1.0
            assert [result.delivery for result in booth.provider.tool_results] == [Delivery.SILENT]
            assert (booth.provider.answers, booth.voice.spoken) == ([], [])

    @virtual_time
    async def test_a_result_for_an_idle_moment_waits_until_the_answer_was_heard(self):
        async with Booth() as booth:
            await calling(booth, "look_up", 3.0, Say("Found it.", 1.0), unasked=True)
            booth.provider.will_say(LONG, 5.0, speed=100.0)
            await booth.speak(0.6)
            await booth.state("speaking")
            await booth.wait(3.0)
            assert booth.clock.ended == 1
            assert booth.provider.tool_results == []
            await booth.until(lambda: booth.provider.tool_results != [])
            spoken, found = booth.provider.answers[0].level, None
            assert booth.heard(spoken) == 5000
            await booth.until(lambda: len(booth.provider.answers) == 2)
            await booth.idle()
            found = booth.provider.answers[1].level
            assert booth.heard(found) == 1000

    @virtual_time
    async def test_it_does_not_wait_for_ever(self):
        async with Booth() as booth:
            await calling(booth, "look_up", 1.0, unasked=True)
            booth.microphone.voiced = True
            took = await booth.until(lambda: booth.provider.tool_results != [], seconds=60)
            assert 29 <= took <= 33
            booth.microphone.voiced = False
            await booth.idle()

    @virtual_time
    async def test_a_result_that_interrupts_silences_what_sounds_and_tells_what_was_heard(self):
        async with Booth() as booth:
            await calling(booth, "watch", 3.0, Say("It burns!", 1.0), unasked=True)
            booth.provider.will_say(LONG, 5.0, speed=100.0)
            await booth.speak(0.6)
            await booth.state("speaking")
            await booth.until(lambda: booth.provider.tool_results != [])
            cut, answer = booth.loop.time(), booth.provider.answers[0]
            assert answer.cancelled is not None
            assert abs(answer.cancelled.heard_ms - booth.heard(answer.level)) <= 25
            commands = booth.provider.connection.commands
            assert [type(command) for command in commands[-2:]] == [CancelResponse, ToolResult]
            await booth.until(lambda: len(booth.provider.answers) == 2)
            await booth.idle()
            assert booth.heard(answer.level, since=cut + 0.03) == 0
            assert booth.heard(booth.provider.answers[1].level) == 1000
            assert [event.reason for event in booth.of(Interrupted)][-1] == "tool"

    @virtual_time
    async def test_what_runs_in_the_background_goes_on_while_the_person_does(self):
        async with Booth() as booth:
            await calling(booth, "look_up", 6.0, Say("Found it.", 1.0))
            booth.provider.will_say("Meanwhile this.", 1.0)
            await booth.speak(0.6)
            await booth.until(lambda: len(booth.provider.answers) == 2)
            await booth.idle()
            assert booth.clock.ended == 1
            assert [booth.heard(answer.level) for answer in booth.provider.answers] == [1000, 1000]

    @virtual_time
    async def test_a_call_that_is_withdrawn_is_cancelled_with_one_result(self):
        async with Booth() as booth:
            await calling(booth, "time_now", 9.0)
            booth.provider.withdraw_calls()
            await booth.until(lambda: booth.provider.tool_results != [])
            assert len(booth.of(ToolCancelled)) == 1
            await booth.until(lambda: booth.voice.spoken != [])
            await booth.idle()
            assert [result.error for result in booth.provider.tool_results] == ["The call was cancelled."]


class TestUnasked:
    @virtual_time
    async def test_it_is_heard_when_the_floor_is_free(self):
        async with Booth() as booth:
            booth.provider.speak("By the way.", 1.0)
            await booth.state("speaking")
            await booth.idle()
            assert booth.heard(booth.provider.answers[0].level) == 1000

    @virtual_time
    async def test_it_waits_until_the_person_has_their_answer_and_does_not_count_as_that(self):
        async with Booth() as booth:
            booth.provider.will_say("Your answer.", 1.0, think=3.0)
            await booth.speak(0.6)
            await booth.state("thinking")
            booth.provider.speak("By the way.", 1.0)
            await booth.idle()
            aside, answer = booth.provider.answers
            assert booth.heard(aside.level) == booth.heard(answer.level) == 1000
            said = [event.turn for event in booth.of(Transcript) if event.role == "assistant" and event.final]
            assert said == [1, 0]

    @virtual_time
    async def test_talking_over_one_leaves_the_next_wanted(self):
        async with Booth() as booth:
            booth.provider.speak(LONG, 5.0)
            await booth.state("speaking")
            await booth.speak(0.6)
            await booth.idle()
            assert booth.provider.answers[0].cancelled is not None
            booth.provider.speak("By the way.", 1.0)
            await booth.state("speaking")
            await booth.idle()
            assert booth.heard(booth.provider.answers[-1].level) == 1000

    @virtual_time
    async def test_one_that_never_ends_frees_the_floor(self):
        async with Booth() as booth:
            booth.provider.speak("And then", 1.0, finish=False)
            await booth.state("speaking")
            assert await booth.idle() < 25
            assert booth.voice.spoken == [CUT_OFF]


class TestTheProviderEndsATurn:
    @virtual_time
    async def test_the_turn_is_over_before_the_devices_detector_says_so(self):
        async with Booth(capabilities=RESTORING) as booth:
            await booth.speak(0.8)
            await booth.wait(0.1)
            booth.provider.end_turn()
            assert await booth.state("thinking") < 0.05
            assert booth.provider.connection.commands[-1] == CommitTurn(1)
            await booth.idle()
            assert booth.heard(booth.provider.answers[0].level) == 1000

    @virtual_time
    async def test_who_goes_on_within_the_hangover_is_heard_whole(self):
        async with Booth(capabilities=RESTORING) as booth:
            booth.provider.will_say("Too soon.", 1.0, think=2.0)
            booth.microphone.voiced = True
            await booth.wait(0.8)
            booth.provider.end_turn()
            await booth.wait(0.8)
            booth.microphone.voiced = False
            await booth.idle()
            frames = [frame for turn in (1, 2) for frame in booth.provider.turns[turn].frames]
            numbers = [int.from_bytes(frame[:2], "little") for frame in frames]
            assert set(booth.microphone.voiced_frames) <= set(numbers)
            assert numbers == sorted(set(numbers))
            late, answer = booth.provider.answers
            assert (late.turn, answer.turn) in ((1, 2), (2, 1))
            assert sorted(booth.heard(one.level) for one in (late, answer)) == [0, 1000]

    @virtual_time
    async def test_late_and_unknown_ones_are_counted(self):
        async with Booth(capabilities=RESTORING) as booth:
            await booth.speak(0.6)
            await booth.state("speaking")
            booth.provider.end_turn(1)
            booth.provider.end_turn(99)
            await booth.idle()
            assert booth.session.counters()["late_turn_ends"] == 2

    @virtual_time
    async def test_a_turn_by_key_ends_with_the_key(self):
        async with Booth(capabilities=RESTORING) as booth:
            booth.line.press()
            await booth.speak(0.6)
            booth.provider.end_turn(1)
            await booth.wait(0.1)
            assert booth.session.phase is Phase.LISTENING
            booth.line.release()
            await booth.state("thinking")
            await booth.idle()


@virtual_time
async def test_trouble_of_the_providers_is_counted_by_code_and_told_now_and_then():
    async with Booth() as booth:
        for _ in range(5):
            booth.provider.have_trouble("bad_audio")
        booth.provider.have_trouble("bad_json")
        await booth.wait(0.1)
        counters = booth.session.counters()
        assert (counters["provider_trouble_bad_audio"], counters["provider_trouble_bad_json"]) == (5, 1)
        assert counters["provider_troubles"] == 6
        assert [event.code for event in booth.of(Warned)] == ["bad_audio", "bad_json"]


class TestWhatWasHeard:
    @virtual_time
    async def test_an_answer_that_the_connection_cut_off_says_so_and_only_what_was_heard_is_history(self):
        async with Booth() as booth:
            booth.provider.will_say(LONG, 5.0)
            await booth.speak(0.6)
            await booth.state("speaking")
            await booth.wait(0.5)
            booth.provider.drop()
            await booth.until(lambda: booth.voice.spoken == [CUT_OFF])
            await booth.idle()
            said = booth.words()[1]
            assert 0 < len(said) < len(LONG)
            assert LONG.startswith(said)
            heard_ms = booth.heard(booth.provider.answers[0].level)
            assert abs(len(said.split()) * 500 - heard_ms) <= 700

    @pytest.mark.parametrize("outage", [0.0, 0.7])
    @virtual_time
    async def test_talking_over_it_after_the_drop_corrects_what_the_next_connection_believes(self, outage):
        async with Booth() as booth:
            booth.provider.will_say(LONG, 5.0, speed=100.0)
            await booth.speak(0.6)
            await booth.state("speaking")
            await booth.wait(0.5)
            booth.provider.go_down()
            await booth.wait(outage)
            booth.provider.come_up()
            if not outage:
                await booth.until(lambda: len(booth.provider.connections) == 2)
            await booth.speak(0.6)
            await booth.idle()
            level = booth.provider.answers[0].level
            connection = booth.provider.connection
            told = [item for item in connection.setup.history if isinstance(item, HistoryItem)][1]
            [heard] = [e.heard for e in booth.of(Transcript) if e.turn == 1 and e.role != "user" and e.final]
            if told.response:
                [correction] = connection.corrections
                assert correction.heard == heard
                assert abs(correction.heard_ms - booth.heard(level)) <= 25
            else:
                assert told.text == heard
            assert heard == booth.words()[1]

    @virtual_time
    async def test_talking_over_it_while_the_dial_is_under_way_is_told_as_soon_as_it_is_through(self):
        async with Booth() as booth:
            booth.provider.will_say(LONG, 5.0, speed=100.0)
            await booth.speak(0.6)
            await booth.state("speaking")
            booth.microphone.voiced = True
            await booth.wait(0.2)
            booth.provider.drop()
            await booth.wait(0.03)
            booth.session.interrupt("test")
            assert len(booth.provider.connections) == 1
            booth.microphone.voiced = False
            await booth.idle()
            [correction] = booth.provider.connection.corrections
            assert abs(correction.heard_ms - booth.heard(booth.provider.answers[0].level)) <= 25

    @virtual_time
    async def test_words_that_are_understood_late_have_their_place_in_the_history(self):
        async with Booth() as booth:
            booth.provider.understand_late(3.0)
            await booth.speak(0.6)
            await booth.idle()
            await booth.wait(3.0)
            assert booth.words() == ["turn 1", "Yes."]

    @virtual_time
    async def test_what_was_asked_before_the_person_went_on_is_history_too(self):
        async with Booth() as booth:
            booth.provider.will_not_answer()
            await booth.speak(0.6)
            await booth.state("thinking")
            await booth.speak(0.6)
            await booth.idle()
            assert booth.words() == ["turn 1", "turn 2", "Yes."]
