"""A conversation with a chain: what is said is understood, thought about, and answered aloud."""

import asyncio
import json

import pytest

from appliance.errors import CredentialsRejected, ProviderUnavailable, QuotaExhausted
from appliance.frames import Frame, milliseconds_of
from appliance.interfaces import (
    CalledTool,
    Delivery,
    DiscardTurn,
    HistoryItem,
    ProviderTrouble,
    ProviderUsage,
    ResponseAudio,
    ResponseFinished,
    ResponseStarted,
    ResponseText,
    SendAudio,
    ToolCall,
    ToolDeclaration,
    TurnEnded,
    UserHeard,
)
from appliance.stages import AnswerCut, AnswerText, AnswerUsage, Ended, Said, Spent, ToolUse, Transcript
from tests.fakes.stages import FakeLanguageModel, FakeSpeechToText, FakeTextToSpeech, level_of
from tests.rig.virtual_time import virtual_time
from tests.unit.chain.talker import Talker

LONG = "The second sentence is long enough to be a piece of its own, I should think."
TIME = ToolDeclaration("get_time", "the time", {"type": "object", "properties": {}})


@virtual_time
async def test_a_question_is_understood_and_answered_aloud():
    async with Talker() as talker:
        talker.stt[0].will_hear("what time is it")
        talker.llm[0].will_say("It is ", "noon.")
        await talker.says(1)
        finished = await talker.answered()
        assert talker.understood() == ["what time is it"]
        assert (finished.turn, finished.status) == (1, "completed")
        assert talker.text() == "It is noon."
        assert talker.levels() == [level_of("It is noon.")]
        assert talker.llm[0].prompts[0].items == (Said("user", "what time is it"),)


@virtual_time
async def test_all_events_of_an_answer_name_it_and_come_in_order():
    async with Talker() as talker:
        talker.llm[0].will_say("One is here. Two is there.")
        await talker.types(1, "count")
        finished = await talker.answered()
        kinds = [type(event) for _, event in talker.events]
        assert kinds[0] is UserHeard
        assert kinds[1] is ResponseStarted
        assert kinds[-1] is ResponseFinished
        assert {event.response for event in talker.all(ResponseAudio)} == {finished.response}


@virtual_time
async def test_the_voice_begins_before_the_model_has_ended():
    async with Talker() as talker:
        talker.llm[0].will_say("The first sentence is here. ", "Then ", "come ", "more. ", pause=1.0)
        await talker.types(1, "go on")
        await talker.next(ResponseAudio)
        assert talker.llm[0].under_way == 1
        await talker.answered()
        assert talker.text() == "The first sentence is here. Then come more."


@virtual_time
async def test_pieces_are_fetched_side_by_side_and_spoken_in_order():
    async with Talker(tts=(FakeTextToSpeech(think=0.5),)) as talker:
        sentences = [f"Number {n} of an answer that has some of them, and all are alike." for n in range(5)]
        talker.llm[0].will_say(" ".join(sentences))
        await talker.types(1, "tell me")
        await talker.answered()
        assert talker.text() == " ".join(sentences)
        assert talker.tts[0].most_at_once == 2
        assert talker.levels() == [level_of(piece.text) for piece in talker.tts[0].pieces]


@virtual_time
async def test_nothing_said_is_no_turn():
    async with Talker() as talker:
        talker.stt[0].will_hear("")
        await talker.says(1)
        assert (await talker.answered()).status == "silent"
        assert talker.llm[0].prompts == []


@virtual_time
async def test_a_turn_without_any_sound_is_answered_with_silence():
    async with Talker() as talker:
        await talker.says(1, seconds=0)
        assert (await talker.answered()).status == "silent"


@virtual_time
async def test_a_discarded_turn_is_forgotten():
    async with Talker() as talker:
        talker.stt[0].will_hear("second")
        await talker.says(1, commit=False)
        await talker.connection.send(DiscardTurn(1))
        await talker.says(2)
        await talker.answered()
        assert talker.understood() == ["second"]
        assert talker.stt[0].connections[0].turns[1].discarded


@virtual_time
async def test_who_goes_on_is_answered_once_to_all():
    async with Talker() as talker:
        talker.stt[0].think = 0.3
        talker.stt[0].will_hear("what is", "the time")
        await talker.says(1)
        await talker.says(2)
        finished = await talker.answered()
        assert finished.turn == 2
        assert [item.text for item in talker.llm[0].prompts[0].items if isinstance(item, Said)] == [
            "what is",
            "the time",
        ]
        await asyncio.sleep(5)
        assert len(talker.all(ResponseFinished)) == 1


@virtual_time
async def test_a_model_that_says_nothing_is_a_silent_answer():
    async with Talker() as talker:
        for _ in range(2):
            talker.llm[0].will_say()
        await talker.types(1, "hello")
        assert (await talker.answered()).status == "silent"


@virtual_time
async def test_a_model_that_never_ends_is_cut_off():
    async with Talker(tts=(FakeTextToSpeech(think=0.0),)) as talker:
        talker.llm[0].will_say("Well. ", endless=True)
        await talker.types(1, "tell me all")
        await talker.next(ProviderTrouble, seconds=600)
        assert talker.all(ProviderTrouble)[0].code == "answer_too_long"
        await talker.answered(seconds=7_200)
        assert talker.llm[0].under_way == 0


@virtual_time
async def test_what_was_cut_by_the_service_is_told_and_stands():
    async with Talker() as talker:
        talker.llm[0].will_give(AnswerText("So it"), AnswerCut("length"))
        await talker.types(1, "why")
        assert (await talker.answered()).status == "completed"
        assert talker.text() == "So it"
        assert [trouble.code for trouble in talker.all(ProviderTrouble)] == ["answer_cut"]


@virtual_time
async def test_usage_is_told_of_model_and_ear():
    async with Talker() as talker:
        talker.llm[0].will_give(AnswerText("Yes."), AnswerUsage(120, 7))
        await talker.types(1, "really")
        await talker.answered()
        talker.stt[0].connections[0].tell(Spent(2.5))
        await talker.next(ProviderUsage, 2)
        assert talker.all(ProviderUsage) == [
            ProviderUsage(120, 7, "tokens"),
            ProviderUsage(2.5, 0.0, "seconds"),
        ]


# --- barge-in ---


@virtual_time
async def test_after_a_barge_in_the_model_is_shown_what_was_heard():
    async with Talker() as talker:
        talker.llm[0].will_say("The museum opens at nine, and it closes at five in the evening, every day.")
        await talker.types(1, "when")
        started = await talker.next(ResponseStarted)
        await talker.next(ResponseAudio, 3)
        await talker.cancels(started.response, "The museum opens", 900)
        await talker.answered()
        await talker.types(2, "what was that")
        await talker.answered(2)
        assert talker.llm[0].prompts[1].items == (
            Said("user", "when"),
            Said("assistant", "The museum opens"),
            Said("user", "what was that"),
        )


@virtual_time
async def test_after_a_cancel_no_sound_of_the_answer_comes_and_its_requests_are_given_up():
    async with Talker() as talker:
        talker.llm[0].will_say("Well. ", endless=True)
        await talker.types(1, "go on")
        started = await talker.next(ResponseStarted)
        await talker.next(ResponseAudio, 3)
        await talker.cancels(started.response, "")
        count = len(talker.all(ResponseAudio))
        await asyncio.sleep(10)
        assert len(talker.all(ResponseAudio)) <= count
        assert talker.llm[0].under_way == 0
        assert talker.llm[0].cancelled == 1


@virtual_time
async def test_an_answer_of_which_nothing_was_heard_is_not_remembered():
    async with Talker() as talker:
        talker.llm[0].will_say("Never mind what this is.")
        await talker.types(1, "one")
        await talker.cancels((await talker.next(ResponseStarted)).response, "")
        await talker.answered()
        await talker.types(2, "two")
        await talker.answered(2)
        assert talker.llm[0].prompts[-1].items == (Said("user", "one"), Said("user", "two"))


@virtual_time
async def test_cancels_twice_too_late_and_of_nothing_are_harmless():
    async with Talker() as talker:
        talker.llm[0].will_say("It is noon.")
        await talker.types(1, "time")
        finished = await talker.answered()
        for _ in range(2):
            await talker.cancels(finished.response, "It is", 300)
        await talker.cancels("nothing", "x")
        await talker.types(2, "again")
        await talker.answered(2)
        assert talker.llm[0].prompts[-1].items[1] == Said("assistant", "It is")


@virtual_time
async def test_a_cancel_before_the_model_said_anything_ends_the_request():
    async with Talker() as talker:
        talker.llm[0].will_say("Late.", think=30.0)
        await talker.types(1, "slow")
        await talker.cancels((await talker.next(ResponseStarted)).response, "")
        assert (await talker.answered()).status == "cancelled"
        assert talker.llm[0].under_way == 0


@virtual_time
async def test_an_item_of_the_history_can_be_cut_by_its_name():
    history = (HistoryItem("user", "tell me"), HistoryItem("assistant", "A long story indeed", "old-1"))
    async with Talker(history=history) as talker:
        await talker.cancels("old-1", "A long")
        await talker.types(1, "and")
        await talker.answered()
        assert talker.llm[0].prompts[0].items[1] == Said("assistant", "A long")


@virtual_time
async def test_words_that_are_timed_are_told_where_they_sound():
    async with Talker(tts=(FakeTextToSpeech(timed=True),)) as talker:
        talker.llm[0].will_say("Good morning to you. ")
        await talker.types(1, "hi")
        await talker.answered()
        told = [(event.text, event.audio_from_ms) for event in talker.all(ResponseText)]
        assert told == [("Good ", 0.0), ("morning ", 250.0), ("to ", 650.0), ("you. ", 800.0)]


# --- tools ---


@virtual_time
async def test_a_tool_is_called_and_its_result_spoken_about():
    async with Talker(tools=(TIME,)) as talker:
        talker.llm[0].will_call("get_time", '{"zone": "utc"}', first="Let me look.")
        talker.llm[0].will_say("It is ten.")
        await talker.types(1, "time")
        call = await talker.next(ToolCall)
        assert (call.tool, call.arguments, call.turn) == ("get_time", '{"zone": "utc"}', 1)
        await talker.gives(call, {"time": "10:00"})
        assert (await talker.answered(2)).turn == 1
        assert talker.text() == "Let me look. It is ten."
        used = talker.llm[0].prompts[1].items[-1]
        assert isinstance(used, ToolUse)
        assert json.loads(used.outcome) == {"time": "10:00"}
        assert [type(item) for item in talker.llm[0].prompts[1].items] == [Said, Said, ToolUse]


@virtual_time
async def test_two_calls_with_the_same_id_are_two_calls():
    async with Talker(tools=(TIME,)) as talker:
        for _ in range(2):
            talker.llm[0].will_call("get_time", call_id="call_0")
            talker.llm[0].will_say("Ten.")
        for turn in (1, 2):
            await talker.types(turn, "time")
            call = await talker.next(ToolCall, turn)
            await talker.gives(call, {"time": "10:00"})
            await talker.answered(turn * 2)
        assert len({call.call_id for call in talker.all(ToolCall)}) == 2


@virtual_time
async def test_a_silent_result_is_known_and_not_spoken_about():
    tool = ToolDeclaration("note", "", {"type": "object"}, Delivery.SILENT)
    async with Talker(tools=(tool,)) as talker:
        talker.llm[0].will_call("note", first="Noted.")
        await talker.types(1, "note it")
        await talker.gives(await talker.next(ToolCall), {"ok": True}, delivery=Delivery.SILENT)
        await talker.answered()
        await asyncio.sleep(5)
        assert len(talker.llm[0].prompts) == 1


@virtual_time
async def test_while_a_result_is_not_there_the_person_is_answered():
    tool = ToolDeclaration("search", "", {"type": "object"}, Delivery.WHEN_IDLE)
    async with Talker(tools=(tool,)) as talker:
        talker.llm[0].will_call("search", first="I am searching.")
        await talker.types(1, "search")
        call = await talker.next(ToolCall)
        await talker.answered(1)
        talker.llm[0].will_say("Fine.")
        await talker.types(2, "how are you")
        await talker.answered(2)
        talker.llm[0].will_say("I found it.")
        await talker.gives(call, {"found": 1}, delivery=Delivery.WHEN_IDLE)
        await talker.answered(3)
        items = talker.llm[0].prompts[-1].items
        assert isinstance(items[-1], ToolUse)
        assert talker.text().endswith("I found it.")


@virtual_time
async def test_a_call_of_the_history_gets_its_one_result():
    history = (HistoryItem("user", "time"), CalledTool("old-call", "get_time", "{}", None, 1))
    async with Talker(history=history, tools=(TIME,)) as talker:
        talker.llm[0].will_say("It was ten.")
        await talker.gives(ToolCall("old-call", "get_time", "{}", 1), {"time": "10:00"})
        assert (await talker.answered()).turn == 1
        used = talker.llm[0].prompts[0].items[-1]
        assert isinstance(used, ToolUse)
        assert json.loads(used.outcome) == {"time": "10:00"}


@virtual_time
async def test_a_model_that_only_calls_is_made_to_speak():
    async with Talker(tools=(TIME,)) as talker:
        for number in range(20):
            talker.llm[0].will_call("get_time", call_id=f"c{number}")
        await talker.types(1, "loop")
        for number in range(1, 9):
            await talker.gives(await talker.next(ToolCall, number), {"time": "10:00"})
        await asyncio.sleep(1)
        assert talker.llm[0].prompts[7].tools == (TIME,)
        assert talker.llm[0].prompts[8].tools == ()


# --- faults of one stage stay there ---


@virtual_time
async def test_a_model_that_fails_once_is_asked_again_unnoticed():
    async with Talker() as talker:
        talker.llm[0].fail(ProviderUnavailable("busy"))
        talker.llm[0].will_say("Here I am.")
        await talker.types(1, "hello")
        assert (await talker.answered()).status == "completed"
        assert talker.text() == "Here I am."


@virtual_time
async def test_the_next_model_answers_when_the_first_cannot():
    async with Talker(llm=(FakeLanguageModel("a"), FakeLanguageModel("b"))) as talker:
        talker.llm[0].fail(QuotaExhausted("empty"))
        talker.llm[1].will_say("Here I am.")
        await talker.types(1, "hello")
        assert (await talker.answered()).status == "completed"
        talker.llm[1].will_say("Still here.")
        await talker.types(2, "hello")
        await talker.answered(2)
        assert len(talker.llm[0].prompts) == 1


@virtual_time
async def test_a_model_that_cannot_answer_is_a_failed_answer_and_the_turn_is_kept():
    async with Talker() as talker:
        talker.llm[0].fail(ProviderUnavailable("busy"), times=2)
        await talker.types(1, "hello")
        assert (await talker.answered()).status == "failed"
        talker.llm[0].will_say("Hello twice.")
        await talker.types(2, "hello again")
        await talker.answered(2)
        assert talker.llm[0].prompts[-1].items == (Said("user", "hello"), Said("user", "hello again"))


@virtual_time
async def test_a_model_that_fails_turn_after_turn_ends_the_connection():
    async with Talker() as talker:
        talker.llm[0].fail(ProviderUnavailable("busy"), times=4)
        await talker.types(1, "hello")
        await talker.answered()
        await talker.types(2, "hello")
        await talker.ended()
        assert isinstance(talker.fault, ProviderUnavailable)


@virtual_time
async def test_where_there_is_no_other_provider_each_turn_is_tried():
    async with Talker(alone=True) as talker:
        talker.llm[0].fail(ProviderUnavailable("busy"), times=6)
        for turn in (1, 2, 3):
            await talker.types(turn, "hello")
            assert (await talker.answered(turn, seconds=5)).status == "failed"
        talker.llm[0].will_say("Here I am.")
        await talker.types(4, "hello")
        assert (await talker.answered(4)).status == "completed"


@virtual_time
async def test_a_refused_key_ends_the_connection_at_once():
    async with Talker() as talker:
        talker.llm[0].fail(CredentialsRejected("no"))
        await talker.types(1, "hello")
        await talker.ended()
        assert isinstance(talker.fault, CredentialsRejected)


@virtual_time
async def test_a_stream_that_breaks_off_is_not_begun_again():
    async with Talker() as talker:
        talker.llm[0].will_give(AnswerText("It begins well. It goes"), ProviderUnavailable("gone"))
        await talker.types(1, "hello")
        assert (await talker.answered()).status == "failed"
        assert talker.text() == "It begins well."
        assert len(talker.llm[0].prompts) == 1


@virtual_time
async def test_a_piece_that_fails_is_spoken_at_the_second_try():
    async with Talker() as talker:
        talker.tts[0].fail(ProviderUnavailable("busy"))
        talker.llm[0].will_say("All is well.")
        await talker.types(1, "hello")
        assert (await talker.answered()).status == "completed"
        assert talker.levels() == [level_of("All is well.")]


@virtual_time
async def test_the_next_voice_speaks_when_the_first_cannot_and_goes_on():
    async with Talker(tts=(FakeTextToSpeech("a", parallel=1), FakeTextToSpeech("b"))) as talker:
        talker.tts[0].fail(*[ProviderUnavailable("busy")] * 2)
        talker.llm[0].will_say(f"All is well. {LONG}")
        await talker.types(1, "hello")
        await talker.answered()
        assert talker.tts[1].pieces[0].text == "All is well."
        assert talker.text().startswith("All is well. The second")


@virtual_time
async def test_a_piece_that_breaks_off_is_gone_on_with_and_not_begun_again():
    text = "This sentence has quite a number of words in it to be broken off somewhere in the middle."
    async with Talker(tts=(FakeTextToSpeech(timed=True),)) as talker:
        talker.tts[0].fail(ProviderUnavailable("gone"), after_ms=2_000)
        talker.llm[0].will_say(text)
        await talker.types(1, "hello")
        await talker.answered()
        second = talker.tts[0].pieces[1].text
        assert text.endswith(second)
        assert 30 <= len(text) - len(second) <= 42
        assert talker.text() == text


@virtual_time
async def test_a_piece_that_nothing_can_speak_is_skipped_aloud():
    async with Talker(tts=(FakeTextToSpeech(parallel=1),)) as talker:
        talker.tts[0].fail(*[ProviderUnavailable("busy")] * 2)
        talker.llm[0].will_say(f"This is lost. {LONG}")
        await talker.types(1, "hello")
        assert (await talker.answered()).status == "completed"
        assert "piece_skipped" in [trouble.code for trouble in talker.all(ProviderTrouble)]
        first = talker.all(ResponseAudio)[0]
        assert 100 < milliseconds_of(first.pcm, first.rate) < 400
        assert talker.text().startswith("The second sentence")
        await talker.types(2, "and")
        await talker.answered(2)
        assert talker.llm[0].prompts[-1].items[1] == Said("assistant", talker.tts[0].pieces[2].text)


@virtual_time
async def test_a_voice_that_falls_silent_is_not_waited_for_for_ever():
    async with Talker() as talker:
        talker.tts[0].stall()
        talker.llm[0].will_say("All is well.")
        await talker.types(1, "hello")
        assert (await talker.answered(seconds=60)).status == "completed"
        assert talker.levels() == [level_of("All is well.")]


# --- the ear ---


@virtual_time
async def test_a_turn_survives_the_loss_of_its_connection():
    async with Talker() as talker:
        talker.stt[0].will_hear("what time is it")
        speaking = asyncio.create_task(talker.says(1, 2.0))
        await asyncio.sleep(1.0)
        talker.stt[0].drop()
        await speaking
        await talker.answered()
        assert talker.understood() == ["what time is it"]
        assert len(talker.stt[0].connections) == 2
        assert len(talker.stt[0].connections[1].turns[1].pcm) == 2 * 32_000


@virtual_time
async def test_a_turn_waits_for_a_service_that_is_away_and_nothing_of_it_is_lost():
    async with Talker() as talker:
        talker.stt[0].will_hear("what time is it")
        talker.stt[0].go_down()
        await talker.says(1, 1.0)
        talker.stt[0].come_up()
        await talker.answered()
        assert talker.understood() == ["what time is it"]
        assert len(talker.stt[0].connections[-1].turns[1].pcm) == 32_000


@virtual_time
async def test_the_next_ear_listens_when_the_first_stays_away():
    async with Talker(stt=(FakeSpeechToText("a"), FakeSpeechToText("b"))) as talker:
        talker.stt[1].will_hear("hello", "again")
        talker.stt[0].go_down()
        await talker.says(1, 5.0)
        await talker.answered()
        assert talker.understood() == ["hello"]
        assert len(talker.stt[1].connections[0].turns[1].pcm) == 5 * 32_000


@virtual_time
async def test_the_first_ear_is_gone_back_to_in_silence():
    async with Talker(stt=(FakeSpeechToText("a"), FakeSpeechToText("b"))) as talker:
        talker.stt[1].will_hear("hello")
        talker.stt[0].go_down()
        await talker.says(1, 5.0)
        await talker.answered()
        talker.stt[0].come_up()
        talker.stt[0].will_hear("there")
        await asyncio.sleep(60)
        await talker.says(2)
        await talker.answered(2)
        assert talker.understood() == ["hello", "there"]


@virtual_time
async def test_when_no_ear_is_left_the_connection_ends_and_says_why():
    async with Talker() as talker:
        talker.stt[0].go_down()
        speaking = asyncio.create_task(talker.says(1, 10.0))
        await talker.ended()
        assert isinstance(talker.fault, ProviderUnavailable)
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)


@virtual_time
async def test_an_ear_that_is_lost_while_nobody_speaks_is_dialled_again_for_ever():
    async with Talker() as talker:
        talker.stt[0].will_hear("hello")
        talker.stt[0].go_down()
        await asyncio.sleep(3_600)
        assert not talker.over
        talker.stt[0].come_up()
        await talker.says(1)
        await talker.answered()
        assert talker.understood() == ["hello"]


@virtual_time
async def test_a_final_transcript_that_never_comes_is_asked_for_anew():
    async with Talker() as talker:
        talker.stt[0].will_hear("hello")
        talker.stt[0].hang_in_final()
        await talker.says(1)
        await talker.answered()
        assert talker.understood() == ["hello"]


@virtual_time
async def test_a_turn_that_ends_every_connection_is_given_up():
    async with Talker() as talker:
        talker.stt[0].hang_in_final(9)
        await talker.says(1)
        assert (await talker.answered()).status == "silent"
        codes = [trouble.code for trouble in talker.all(ProviderTrouble)]
        assert "turn_not_understood" in codes


@virtual_time
async def test_a_turn_beyond_the_journal_loses_its_oldest_sound_and_counts_it():
    async with Talker() as talker:
        talker.stt[0].go_down()
        talker.stt[0].come_up()
        for _ in range(70 * 50):
            await talker.connection.send(SendAudio(1, Frame(bytes(640), 16_000, 0.0)))
        assert talker.connection.counters()["stt_dropped_ms"] == 10_000


# --- an answer that is begun early ---


@virtual_time
async def test_an_answer_is_prepared_when_the_turn_has_probably_ended():
    async with Talker() as talker:
        talker.stt[0].will_hear("what time is it")
        talker.llm[0].will_say("Noon.", think=0.5)
        await talker.says(1, commit=False)
        talker.stt[0].eager(1, "what time is it")
        await asyncio.sleep(0.55)
        await talker.says(1, seconds=0)
        await talker.answered()
        assert len(talker.llm[0].prompts) == 1
        assert talker.text() == "Noon."
        assert talker.connection.counters()["drafts_used"] == 1


@virtual_time
@pytest.mark.parametrize("resumed", [True, False])
async def test_a_prepared_answer_to_something_else_is_dropped(resumed: bool):
    async with Talker() as talker:
        talker.stt[0].will_hear("what time is it in rome")
        talker.llm[0].will_say("Noon.", think=5.0)
        talker.llm[0].will_say("In Rome it is one.")
        await talker.says(1, commit=False)
        talker.stt[0].eager(1, "what time is it")
        await asyncio.sleep(0.1)
        if resumed:
            talker.stt[0].resumed(1)
            await asyncio.sleep(0.01)
        await talker.says(1)
        await talker.answered()
        assert talker.text() == "In Rome it is one."
        assert talker.llm[0].cancelled == 1


@virtual_time
async def test_closing_in_the_midst_of_everything_leaves_nothing_behind():
    async with Talker() as talker:
        talker.llm[0].will_say("Well. ", endless=True)
        await talker.types(1, "go on")
        await talker.next(ResponseAudio, 2)
        await talker.says(2, commit=False)


# --- turns that the service ends ---


@virtual_time
async def test_a_turn_that_the_service_ends_is_answered_at_once_and_only_once():
    async with Talker() as talker:
        talker.llm[0].will_say("Noon.")
        speaking = asyncio.create_task(talker.says(1, 3.0))
        await asyncio.sleep(1.0)
        service = talker.stt[0].connections[0]
        service.tell(Transcript(1, "what time is it", final=True))
        service.tell(Ended(1))
        await talker.answered()
        assert not speaking.done()
        await speaking
        await asyncio.sleep(5)
        assert len(talker.all(ResponseFinished)) == 1
        assert talker.all(TurnEnded) == [TurnEnded(1)]
        assert talker.text() == "Noon."


@virtual_time
async def test_what_is_said_after_a_premature_end_is_not_lost():
    async with Talker() as talker:
        speaking = asyncio.create_task(talker.says(1, 3.0))
        await asyncio.sleep(1.0)
        service = talker.stt[0].connections[0]
        service.tell(Transcript(1, "what time", final=True))
        service.tell(Ended(1))
        talker.stt[0].will_hear("what time is it in rome")
        await speaking
        await asyncio.sleep(5)
        assert talker.understood() == ["what time", "what time is it in rome"]
        assert Said("user", "what time is it in rome") in talker.llm[0].prompts[-1].items
        assert len(service.turns[1].pcm) == 3 * 32_000
