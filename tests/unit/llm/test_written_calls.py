"""Calls that a model writes as text are calls, and never said."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.providers.llm.answering import WRITTEN_BOUND, Answer
from appliance.providers.llm.written_calls import calls_in
from appliance.stages import AnswerCall, AnswerCut, AnswerOdd, AnswerPart, AnswerText

TOOLS = frozenset({"get_time", "set_timer"})
TIME = ("get_time", {"zone": "UTC"})
JSON_CALL = '{"name": "get_time", "arguments": {"zone": "UTC"}}'
MARKED = [
    f"<tool_call>\n{JSON_CALL}\n</tool_call>",
    f"<TOOL_CALL>{JSON_CALL}",
    '<tool_call>{"name": "get_time", "arguments": "{\\"zone\\": \\"UTC\\"}"}</tool_call>',
    f"<function_call>{JSON_CALL}</function_call>",
    f"[TOOL_CALLS] [{JSON_CALL}]",
    '[TOOL_CALLS]get_time[ARGS]{"zone": "UTC"}',
    '<|python_tag|>{"name": "get_time", "parameters": {"zone": "UTC"}}',
    '<function=get_time>{"zone": "UTC"}</function>',
    "<tool_call>\n<function=get_time>\n<parameter=zone>\nUTC\n</parameter>\n</function>\n</tool_call>",
    f"<tool_call>[{json.dumps({'type': 'function', 'function': json.loads(JSON_CALL)})}]</tool_call>",
]
BARE = [JSON_CALL, f" \n{JSON_CALL}\n", f"[{JSON_CALL}]", f"```json\n{JSON_CALL}\n```"]
UNREAD = [
    "<tool_call>{broken</tool_call>",
    '<tool_call>{"name": "open_door", "arguments": {}}</tool_call>',
    "<tool_call>I shall look at the clock</tool_call>",
    f'<tool_call>{JSON_CALL}{{"name": "open_door"}}</tool_call>',
    "<tool_call></tool_call>",
    "<|python_tag|>get_time.call(zone='UTC')",
]


def answered(text: str, size: int = 1_000, *, tools: frozenset[str] = TOOLS) -> list[AnswerPart]:
    answer = Answer(tools=tools)
    parts = [part for at in range(0, len(text), size) for part in answer.text(text[at : at + size])]
    return parts + answer.finish()


def calls(parts: list[AnswerPart]) -> list[tuple[str, object]]:
    return [(part.tool, json.loads(part.arguments)) for part in parts if isinstance(part, AnswerCall)]


def said(parts: list[AnswerPart]) -> str:
    return "".join(part.text for part in parts if isinstance(part, AnswerText))


@pytest.mark.parametrize("size", [1, 3, 7, 1_000])
@pytest.mark.parametrize("written", MARKED)
def test_a_call_between_marks_is_a_call_and_not_said(written: str, size: int):
    parts = answered(f"Let me look. {written}", size)
    assert calls(parts) == [TIME]
    assert said(parts).strip() == "Let me look."


@pytest.mark.parametrize("size", [1, 5, 1_000])
@pytest.mark.parametrize("written", BARE)
def test_an_answer_that_is_nothing_but_a_call_is_one(written: str, size: int):
    parts = answered(written, size)
    assert calls(parts) == [TIME]
    assert said(parts) == ""


@pytest.mark.parametrize("written", UNREAD)
def test_what_is_no_call_of_a_known_tool_is_counted_and_not_said(written: str):
    parts = answered(f"Let me look. {written}")
    assert [part.code for part in parts if isinstance(part, AnswerOdd)] == ["call_not_understood"]
    assert calls(parts) == []
    assert said(parts).strip() == "Let me look."


def test_two_calls_in_a_row_are_two_and_what_stands_around_them_is_said():
    parts = answered(f"One. <tool_call>{JSON_CALL}</tool_call>\n<tool_call>{JSON_CALL}</tool_call> Two.")
    assert calls(parts) == [TIME, TIME]
    assert said(parts) == "One. Two."
    assert len({part.call_id for part in parts if isinstance(part, AnswerCall)}) == 2


def test_a_call_that_the_server_read_too_is_made_once():
    answer = Answer(tools=TOOLS)
    answer.text(f"<tool_call>{JSON_CALL}</tool_call>")
    answer.call_piece(0, "call_123456", "get_time", '{"zone": "UTC"}')
    assert calls(answer.finish()) == [TIME]


def test_where_no_tool_may_be_called_none_is():
    parts = answered(f"Well. <tool_call>{JSON_CALL}</tool_call>", tools=frozenset())
    assert calls(parts) == []
    assert said(parts).strip() == "Well."


def test_an_outcome_that_the_model_makes_up_is_not_said():
    parts = answered('It is <tool_response>{"name": "get_time", "content": "noon"}</tool_response>noon.')
    assert said(parts) == "It is noon."
    assert calls(parts) == []


@pytest.mark.parametrize(
    "text", ['{"a": 1} is an object.', "[laughs] Well.", "{", "`code` is here.", "```json"]
)
def test_what_only_begins_as_a_call_does_is_said(text: str):
    assert said(answered(text, 2)) == text


def test_braces_are_not_held_back_for_ever():
    answer = Answer(tools=TOOLS)
    told = [part for _ in range(WRITTEN_BOUND // 10 + 1) for part in answer.text("{ and then ")]
    assert told


def test_a_call_that_was_cut_off_is_not_made():
    answer = Answer(tools=TOOLS)
    answer.text('<tool_call>{"name": "set_timer", "arguments": {"sec')
    parts = answer.finish("length")
    assert calls(parts) == []
    assert AnswerCut("length") in parts


def test_a_call_that_is_being_written_is_progress_and_a_thought_is_none():
    answer = Answer(tools=TOOLS)
    answer.text("<think>")
    assert not answer.progressed
    answer.text("</think><tool_call>")
    assert answer.progressed


@settings(deadline=None)
@given(st.text('{}[]",:<>/abc', max_size=80))
def test_no_text_breaks_it(text: str):
    calls_in(text, TOOLS)
    answered(f"<tool_call>{text}</tool_call>{text}", 3)
