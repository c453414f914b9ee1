"""Commands and the service's messages, to messages and events."""

import json
from typing import Any

import pytest

from appliance.frames import Frame
from appliance.interfaces import (
    CalledTool,
    CancelResponse,
    CommitTurn,
    Delivery,
    DiscardTurn,
    ProviderCommand,
    RenewalDue,
    ResponseAudio,
    ResponseFinished,
    ResponseStarted,
    ResponseText,
    ResumptionHandle,
    SendAudio,
    SendText,
    ToolCall,
    ToolCallWithdrawn,
    ToolResult,
    TurnEnded,
    UserHeard,
)
from tests.unit.realtime.gemini_log import BROKEN, DONE, SOUND, Log, asked, audio, called, content


class TestToTheService:
    def test_a_turn_is_an_activity(self) -> None:
        sent = Log().say(audio(1), audio(1), CommitTurn(1)).sent
        assert sent[0] == {"realtimeInput": {"activityStart": {}}}
        assert sent[1] == sent[2]
        assert sent[1]["realtimeInput"]["audio"]["mimeType"] == "audio/pcm;rate=16000"
        assert sent[3:] == [{"realtimeInput": {"activityEnd": {}}}]

    def test_with_server_turns_there_are_no_marks(self) -> None:
        sent = Log(server_turns=True).say(audio(1), CommitTurn(1)).sent
        assert [list(one["realtimeInput"]) for one in sent] == [["audio"]]

    def test_a_turn_that_nobody_ended_ends_with_the_next(self) -> None:
        marks = [next(iter(one["realtimeInput"])) for one in Log().say(audio(1), audio(2)).sent]
        assert marks == ["activityStart", "audio", "activityEnd", "activityStart", "audio"]

    @pytest.mark.parametrize(
        "command",
        [
            SendAudio(1, Frame(b"", 16_000, 0.0)),
            SendAudio(1, Frame(b"\1", 16_000, 0.0)),
            DiscardTurn(3),
            CancelResponse("response-9", "", 0),
            ToolResult("nobody"),
            SendText(1, " "),
            CommitTurn(1),
        ],
    )
    def test_what_makes_no_sense_sends_nothing(self, command: ProviderCommand) -> None:
        assert Log().say(command).sent == []

    def test_half_a_sample_is_not_sent(self) -> None:
        sent = Log().say(SendAudio(1, Frame(b"\1\2\3", 16_000, 0.0))).sent
        assert sent[1]["realtimeInput"]["audio"]["data"] == "AQI="

    def test_late_sound_of_a_turn_is_not_sent(self) -> None:
        log = asked()
        count = len(log.sent)
        assert len(log.say(audio(1), CommitTurn(1), DiscardTurn(1)).sent) == count

    def test_text_without_utf8_is_mended(self) -> None:
        sent = Log().say(SendText(1, "a\ud800b")).sent
        assert sent[0]["clientContent"]["turns"][0]["parts"] == [{"text": "a?b"}]

    def test_a_call_is_answered_once_with_its_name(self) -> None:
        log = asked().hear(called("a")).say(ToolResult("a", {"x": 1}), ToolResult("a", {"x": 2}))
        assert log.sent[-1] == {
            "toolResponse": {
                "functionResponses": [
                    {
                        "id": "a",
                        "name": "get_time",
                        "response": {"output": {"x": 1}},
                        "scheduling": "INTERRUPT",
                    }
                ]
            }
        }
        assert sum("toolResponse" in one for one in log.sent) == 1

    def test_a_result_of_before_is_text_and_a_silent_one_asks_for_nothing(self) -> None:
        old = [CalledTool("a", "get_time", "{}"), CalledTool("b", "get_time", "{}", '{"x":1}')]
        log = Log(restored=old).say(ToolResult("a", {"x": 1}, delivery=Delivery.SILENT), ToolResult("b", {}))
        assert [one["clientContent"]["turnComplete"] for one in log.sent] == [False]
        assert log.dialogue.counters() == {"result_unknown": 1}


class TestFromTheService:
    def test_an_answer(self) -> None:
        log = asked().hear(
            content(inputTranscription={"text": " what time"}),
            content(inputTranscription={"text": " is it", "finished": True}),
            content(outputTranscription={"text": "It is"}, **SOUND),
            content(outputTranscription={"text": " ten."}),
            content(generationComplete=True),
            content(**DONE),
        )
        assert log.events == [
            UserHeard(1, "what time", final=False),
            UserHeard(1, "what time is it", final=False),
            UserHeard(1, "what time is it", final=True),
            ResponseStarted("response-1", 1),
            ResponseAudio("response-1", bytes(4), 24_000),
            ResponseText("response-1", "It is", 2 / 24),
            ResponseText("response-1", " ten.", 2 / 24),
            ResponseFinished("response-1", 1, "completed"),
        ]

    def test_words_that_come_before_their_sound_wait_for_it(self) -> None:
        log = asked().hear(content(outputTranscription={"text": "Yes"}))
        assert log.events == []
        log.hear(content(**SOUND))
        assert log.kinds() == ["ResponseStarted", "ResponseText", "ResponseAudio"]
        assert log.of(ResponseText) == [ResponseText("response-1", "Yes", 0.0)]

    def test_words_that_come_behind_their_answer_are_not_the_next_ones(self) -> None:
        log = asked().hear(content(**SOUND), content(**DONE), content(outputTranscription={"text": "late"}))
        log.hear(content(**DONE)).say(SendText(2, "x")).hear(content(**SOUND))
        assert not log.of(ResponseText)

    def test_several_parts_in_one_message_are_one_answer(self) -> None:
        part = SOUND["modelTurn"]["parts"][0]
        parts = [{"text": "thinking", "thought": True}, part, {"executableCode": {}}, part]
        log = asked().hear(content(modelTurn={"parts": parts}, turnComplete=True))
        assert len(log.of(ResponseAudio)) == 2
        assert len(log.of(ResponseFinished)) == 1

    def test_sound_after_the_whole_was_generated_is_another_answer(self) -> None:
        log = asked().hear(
            content(**SOUND), content(generationComplete=True), content(**SOUND), content(**DONE)
        )
        assert log.of(ResponseStarted, ResponseFinished) == [
            ResponseStarted("response-1", 1),
            ResponseFinished("response-1", 1),
            ResponseStarted("response-2", 0),
            ResponseFinished("response-2", 0),
        ]

    def test_a_model_that_goes_on_after_a_turn_still_answers_it(self) -> None:
        log = asked().hear(
            content(**SOUND),
            content(**DONE, interactionStatus="IN_PROGRESS"),
            content(**SOUND),
            content(**DONE),
        )
        assert [one.turn for one in log.of(ResponseStarted)] == [1, 1]  # type: ignore[attr-defined]

    def test_an_interrupted_turn_complete_ends_nothing_else(self) -> None:
        log = asked().hear(content(**SOUND)).say(audio(2), CommitTurn(2))
        log.hear(content(**BROKEN), content(**DONE), content(**SOUND), content(**DONE))
        assert log.of(ResponseStarted, ResponseFinished) == [
            ResponseStarted("response-1", 1),
            ResponseFinished("response-1", 1, "cancelled"),
            ResponseStarted("response-2", 2),
            ResponseFinished("response-2", 2, "completed"),
        ]

    def test_both_in_one_message_too(self) -> None:
        log = asked().hear(content(**SOUND)).say(SendText(2, "stop")).hear(content(**BROKEN, **DONE))
        log.hear(content(**SOUND, **DONE))
        assert log.of(ResponseFinished) == [
            ResponseFinished("response-1", 1, "cancelled"),
            ResponseFinished("response-2", 2, "completed"),
        ]

    def test_an_answer_in_flight_when_another_was_asked_for_is_not_taken_for_its_answer(self) -> None:
        log = Log().say(SendText(1, "a"), SendText(2, "b"))
        log.hear(content(**SOUND), content(**BROKEN), content(**DONE), content(**SOUND), content(**DONE))
        assert log.of(ResponseFinished) == [
            ResponseFinished("response-1", 2, "cancelled"),
            ResponseFinished("response-2", 2, "completed"),
        ]

    def test_an_interruption_of_nothing_settles_nothing(self) -> None:
        log = asked().hear(content(**BROKEN), content(**DONE))
        assert not log.of(ResponseFinished)
        assert log.hear(content(**SOUND), content(**DONE)).of(ResponseFinished) == [
            ResponseFinished("response-1", 1, "completed")
        ]

    def test_a_stale_discarded_turn_does_not_swallow_the_answer_to_a_tool(self) -> None:
        log = asked().hear(called("a"), content(**DONE)).say(ToolResult("a", {}))
        log.say(audio(2), DiscardTurn(2)).hear(content(**SOUND), content(**DONE))
        assert log.of(ResponseStarted) == [ResponseStarted("response-1", 1)]

    def test_silence_beside_a_running_tool_settles_nothing(self) -> None:
        log = asked().hear(called("a"), content(**DONE))
        assert not log.of(ResponseFinished)
        log.say(ToolResult("a", {}, delivery=Delivery.SILENT))
        assert log.of(ResponseFinished) == [ResponseFinished("response-1", 1, "silent")]

    def test_of_two_silent_calls_the_last_result_settles(self) -> None:
        log = asked().hear(called("a"), called("b"), content(**DONE))
        log.say(ToolResult("a", {}, delivery=Delivery.SILENT))
        assert not log.of(ResponseFinished)
        log.say(ToolResult("b", {}, delivery=Delivery.SILENT))
        assert len(log.of(ResponseFinished)) == 1

    def test_results_before_the_model_turn_ends_settle_at_its_end(self) -> None:
        log = asked().hear(called("a")).say(ToolResult("a", {}, delivery=Delivery.SILENT))
        assert not log.of(ResponseFinished)
        assert log.hear(content(**DONE)).of(ResponseFinished) == [ResponseFinished("response-1", 1, "silent")]

    def test_a_withdrawal_names_what_it_withdraws_once(self) -> None:
        withdrawn = b'{"toolCallCancellation":{"ids":["a","a2",7]}}'
        log = asked().hear(called("a"), withdrawn, withdrawn)
        assert log.of(ToolCallWithdrawn) == [ToolCallWithdrawn(("a",))]

    def test_a_call_in_a_cancelled_answer_is_refused_without_asking(self) -> None:
        log = asked().hear(content(**SOUND)).say(CancelResponse("response-1", "", 0)).hear(called("a"))
        assert not log.of(ToolCall)
        response = log.sent[-1]["toolResponse"]["functionResponses"][0]
        assert (response["id"], response["scheduling"], list(response["response"])) == (
            "a",
            "SILENT",
            ["error"],
        )

    def test_server_turns_end_with_the_answer_or_the_services_word(self) -> None:
        log = Log(server_turns=True).say(audio(1)).hear(b'{"voiceActivity":{"type":"ACTIVITY_END"}}')
        log.hear(content(**SOUND), content(**DONE)).say(CommitTurn(1))
        assert log.of(TurnEnded, ResponseFinished) == [TurnEnded(1), ResponseFinished("response-1", 1)]

    @pytest.mark.parametrize(
        ("update", "handles"),
        [
            ({"newHandle": "h", "resumable": True}, ["h"]),
            ({"newHandle": "h"}, []),
            ({"newHandle": "h", "resumable": False}, []),
            ({"resumable": True}, []),
            ({"newHandle": 4, "resumable": True}, []),
        ],
    )
    def test_a_handle_counts_only_when_it_is_resumable(self, update: Any, handles: list[str]) -> None:
        message = json.dumps({"sessionResumptionUpdate": update}).encode()
        assert Log().hear(message, message).of(ResumptionHandle) == [ResumptionHandle(one) for one in handles]

    @pytest.mark.parametrize(
        ("left", "seconds"),
        [("10s", 10), ("9.5s", 9.5), ("-4s", 0), ({"seconds": 3, "nanos": 500_000_000}, 3.5), ("x", 5), (None, 5),
         ("99999999999s", 3_600), ({"seconds": "nan"}, 5), ({"seconds": []}, 5), ({"seconds": 10**400}, 5)],
    )  # fmt: skip
    def test_the_time_left_is_read_as_far_as_it_makes_sense(self, left: Any, seconds: float) -> None:
        log = Log().hear(json.dumps({"goAway": {"timeLeft": left}}).encode())
        assert log.of(RenewalDue) == [RenewalDue(seconds)]
        assert log.dialogue.leaving

    @pytest.mark.parametrize("status", [["IDLE"], {"is": "IDLE"}, 4, None])
    def test_a_status_of_no_kind_ends_the_answer_all_the_same(self, status: Any) -> None:
        log = asked().hear(content(**SOUND), content(turnComplete=True, interactionStatus=status))
        assert log.of(ResponseFinished) == [ResponseFinished("response-1", 1)]

    def test_use_within_a_turn_is_told_as_differences(self) -> None:
        def used(prompt: int, response: int) -> bytes:
            counts = {"promptTokenCount": prompt, "responseTokenCount": response}
            return json.dumps({"usageMetadata": counts}).encode()

        log = asked().hear(content(**SOUND), used(100, 10), used(100, 25), content(**DONE), used(100, 25))
        log.say(SendText(2, "x")).hear(content(**SOUND), used(130, 5))
        assert [(one.input, one.output) for one in log.events if type(one).__name__ == "ProviderUsage"] == [  # type: ignore[attr-defined]
            (100, 10),
            (0, 15),
            (130, 5),
        ]
