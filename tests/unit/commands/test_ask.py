"""What `ask` takes for the answer to its question, told event by event."""

from typing import Any

import pytest

from appliance.commands.ask import SETTLE_SECONDS, Answer

TIMEOUT = 60.0


def heard(*events: dict[str, Any], turn: int = 1) -> tuple[Answer, bool]:
    """The answer after these events, one each second, and whether that was all."""
    answer = Answer("s1", turn, TIMEOUT)
    over = False
    for at, event in enumerate(events):
        assert not over, "it was over before"
        over = answer.take(event, float(at))
    return answer, over


def said(text: str, turn: int = 1, *, final: bool = True, role: str = "assistant") -> dict[str, Any]:
    return {"type": "transcript", "role": role, "text": text, "turn": turn, "final": final}


def phase(state: str, turn: int = 1) -> dict[str, Any]:
    return {"type": "turn", "state": state, "turn": turn}


def provider(name: str, state: str) -> dict[str, Any]:
    return {"type": "provider", "provider": name, "state": state}


REFUSED = {"type": "error", "code": "credentials_missing", "message": "openai has no key", "hint": "set it"}


def test_an_answer_is_over_when_the_floor_is_free():
    answer, over = heard(
        said("what time is it", role="user"),
        phase("thinking"),
        said("It", final=False),
        said("It is noon."),
        phase("idle"),
    )
    assert over
    assert answer.text == "It is noon."
    assert not answer.asks


def test_a_provider_that_refuses_leaves_the_answer_to_the_one_after_it():
    answer, over = heard(
        REFUSED, provider("offline", "up"), phase("thinking"), said("It is noon."), phase("idle")
    )
    assert over
    assert answer.text == "It is noon."


def test_what_the_appliance_says_of_a_refusal_is_no_answer():
    line = "There is no key for a speech service."
    warning = {"type": "warning", "code": "credentials_missing", "message": line}
    answer, _ = heard(warning, said(line), phase("idle"), phase("thinking"))
    assert answer.pieces == []
    assert answer.until == TIMEOUT


def test_where_a_provider_only_apologised_its_trouble_says_why():
    sorry = "Sorry, I did not get an answer."
    trouble = {"type": "warning", "provider": "chain", "code": "llm_failed", "message": "nothing listens"}
    skipped = {
        "type": "warning",
        "provider": "chain",
        "code": "stage_skipped",
        "message": "piper is left out",
    }
    apology = {"type": "warning", "code": "no_answer", "message": sorry}
    answer, _ = heard(skipped, trouble, apology, said(sorry), phase("idle"))
    assert answer.silent
    assert answer.reason(TIMEOUT) == "nothing listens"
    assert heard(skipped, phase("idle"))[0].fault == ""


def test_where_nobody_answered_the_refusal_says_why():
    answer, _ = heard(REFUSED)
    assert answer.reason(TIMEOUT) == "openai has no key"
    assert answer.hint == "set it"


def test_a_turn_that_ends_in_silence_is_waited_for_a_moment_only():
    answer, over = heard(phase("thinking"), phase("idle"))
    assert not over
    assert answer.silent
    assert answer.until == 1.0 + SETTLE_SECONDS


def test_the_end_of_an_earlier_turn_is_not_that_of_the_answer():
    answer, over = heard(phase("idle", turn=1), turn=2)
    assert not over
    assert not answer.silent


@pytest.mark.parametrize(("text", "asks"), [("Shall I call 201?", True), ("Calling 201.", False)])
def test_a_question_is_one_by_its_mark(text: str, asks: bool):
    assert heard(said(text), phase("idle"))[0].asks is asks


def test_a_session_that_ends_first_says_why():
    closed = {"type": "session.state", "to": "closed", "reason": "limit"}
    answer, over = heard(closed)
    assert over
    assert answer.ended
    assert answer.reason(TIMEOUT) == "the session ended without an answer: limit"
