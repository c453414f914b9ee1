"""Answers from pieces: whatever way they are cut, the same comes out."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from appliance.providers.llm.answering import ARGUMENTS_BOUND, CALLS_BOUND, TEXT_BOUND, Answer
from appliance.providers.llm.openai_responses import Reader
from appliance.providers.llm.server_sent import LINE_BOUND, EventReader
from appliance.providers.llm.unspoken import UnspokenFilter
from appliance.stages import AnswerCall, AnswerCut, AnswerOdd, AnswerText, AnswerUsage

tags = st.sampled_from(
    ["<think>", "</think>", "<THINKING>", "</thinking>", "[THINK]", "[/THINK]", "<", "</", "[", ">"]
)
prose = st.lists(tags | st.text(" \nabcİß<", max_size=6), max_size=12).map("".join)
cuts = st.lists(st.integers(1, 9), min_size=1, max_size=30)


def _pieces(whole, sizes):
    at = 0
    while at < len(whole):
        for size in sizes:
            yield whole[at : at + size]
            at += size


@pytest.mark.slow
@settings(deadline=None)
@given(prose, cuts, st.booleans())
def test_thoughts_are_taken_out_however_the_text_is_chopped(text, sizes, inside):
    at_once, chopped = UnspokenFilter(inside=inside), UnspokenFilter(inside=inside)
    expected = at_once.feed(text) + at_once.end()
    found = "".join(chopped.feed(piece) for piece in _pieces(text, sizes)) + chopped.end()
    assert found == expected
    assert "think>" not in found.lower() or "<think>" not in found.lower()


@settings(deadline=None)
@given(st.text("abc <>[]/\n", max_size=60))
def test_text_without_thoughts_is_left_as_it_is(text):
    found = UnspokenFilter()
    assert found.feed(text) + found.end() == text.lstrip()


def test_a_gap_is_left_where_a_thought_was():
    found = UnspokenFilter()
    assert found.feed("Yes.<think>hm</think>\n\nIt is.") == "Yes. It is."


def test_an_end_without_a_beginning_is_not_spoken():
    found = UnspokenFilter()
    assert found.feed("hm</think>Yes.") + found.end() == "hmYes."


@pytest.mark.parametrize(("text", "told"), [("hm</think>Yes.", 1), ("<think>hm</think>Yes.", 0), ("Yes.", 0)])
def test_a_thought_that_the_template_began_is_told_of_with_the_setting_that_hides_it(text, told):
    answer = Answer()
    parts = [*answer.text(text), *answer.finish()]
    odd = [part for part in parts if isinstance(part, AnswerOdd)]
    assert len(odd) == told
    assert all("llm_starts_thinking" in part.message for part in odd)


EVENTS = [{"a": 1}, {"text": "Zwölf 🕛\n"}, {"b": {"c": [1, 2]}}]
STREAM = (
    b": hello\n\n"
     b"event: x\r\ndata: " + json.dumps(EVENTS[0]).encode() + b"\r\n\r\n"
    + b"data:" + json.dumps(EVENTS[1], ensure_ascii=False).encode() + b"\n\n"
    + b'data: {"b":\r\ndata: {"c": [1,\r\ndata: 2]}}\r\n\r\n'
    + b"data: none {\n\ndata: 7\n\ndata: [DONE]\n\n"
)  # fmt: skip


@example([1])
@settings(deadline=None)
@given(cuts)
def test_events_are_read_however_the_bytes_are_chopped(sizes):
    reader = EventReader()
    found = [event for piece in _pieces(STREAM, sizes) for event in reader.feed(piece)] + reader.end()
    assert found == EVENTS
    assert reader.done
    assert reader.passed_over == 2


@pytest.mark.slow
@settings(deadline=None)
@given(st.binary(max_size=300), cuts)
def test_no_bytes_stop_the_reading(noise, sizes):
    reader = EventReader()
    for piece in _pieces(noise, sizes):
        reader.feed(piece)
    reader.feed(b'\n\n\ndata: {"a": 1}\n\n')
    assert isinstance(reader.end(), list)


def test_a_line_without_end_takes_no_memory_and_the_next_event_is_read():
    reader = EventReader()
    reader.feed(b"data: ")
    for _ in range(40):
        reader.feed(b"x" * (LINE_BOUND // 10))
    assert reader.feed(b'\n\ndata: {"a": 1}\n\n') == [{"a": 1}]
    assert reader.passed_over == 1


def test_a_body_that_is_no_stream_is_one_event():
    reader = EventReader(stream=False)
    assert reader.feed(b'{"a":\n') == []
    reader.feed(b"1}")
    assert reader.end() == [{"a": 1}]


# --- bounds ---


def test_a_text_without_end_is_cut():
    answer = Answer()
    told = [part for _ in range(30) for part in answer.text("x" * (TEXT_BOUND // 20))]
    assert sum(len(part.text) for part in told if isinstance(part, AnswerText)) == TEXT_BOUND
    assert answer.full
    assert answer.finish() == [AnswerCut("length")]


def test_calls_and_arguments_without_end_are_bounded():
    answer = Answer()
    for number in range(CALLS_BOUND + 50):
        answer.call_piece(number, f"call_number_{number}", "look", "{}")
        answer.whole_call(number, f"call_number_{number}", "look", "{}")
    for _ in range(30):
        answer.call_piece(0, "", "", "x" * (ARGUMENTS_BOUND // 10))
    found = [part for part in answer.finish() if isinstance(part, AnswerCall)]
    assert len(found) == CALLS_BOUND
    assert len(found[0].arguments) <= ARGUMENTS_BOUND + 1


def test_thoughts_are_no_progress():
    answer = Answer()
    assert answer.text("<think>hm hm hm ") == []
    assert not answer.progressed
    assert answer.text("</think>Yes") == [AnswerText("Yes")]
    assert answer.progressed


def test_a_name_of_the_conversation_is_not_given_again():
    answer = Answer(frozenset({"call_123456"}))
    answer.call_piece(0, "call_123456", "look", "{}")
    answer.call_piece(1, "call_654321", "look", "{}")
    first, second = (part for part in answer.finish() if isinstance(part, AnswerCall))
    assert first.call_id not in ("call_123456", "call_654321")
    assert second.call_id == "call_654321"
    assert first.opaque["step"] == second.opaque["step"]


def test_what_was_thought_before_a_call_is_sealed_into_it():
    reader = Reader(Answer(), "gpt-6-luna")
    thought = {"type": "reasoning", "id": "rs_1", "encrypted_content": "sealed-1", "summary": []}
    call = {"type": "function_call", "call_id": "call_123456", "name": "look", "arguments": "{}"}
    for place, item in enumerate((thought, call, {**call, "call_id": "call_654321"})):
        reader.feed({"type": "response.output_item.done", "output_index": place, "item": item})
    usage = {"input_tokens": 3, "output_tokens": 4}
    parts = reader.feed({"type": "response.completed", "response": {"status": "completed", "usage": usage}})
    first, second = (part for part in parts if isinstance(part, AnswerCall))
    assert first.opaque["openai"] == {
        "model": "gpt-6-luna",
        "reasoning": [{"id": "rs_1", "sealed": "sealed-1"}],
    }
    assert "openai" not in second.opaque
    assert reader.end(told=False) == [AnswerUsage(3, 4)]


def test_two_messages_of_one_answer_are_not_run_together():
    reader = Reader(Answer(), "m")
    parts = []
    for place, said in enumerate(("Let me see.", "It is noon.")):
        parts += reader.feed({"type": "response.output_text.delta", "output_index": place, "delta": said})
    assert "".join(part.text for part in parts if isinstance(part, AnswerText)) == "Let me see.\nIt is noon."
