"""What became of calls that were dialled and not answered."""

import pytest

from appliance.call.outcome import Outcome, outcome_of, sentence


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (486, "busy"),
        (600, "busy"),
        (408, "no_answer"),
        (480, "no_answer"),
        (603, "declined"),
        (404, "unknown_number"),
        (604, "unknown_number"),
        (302, "moved"),
        (403, "forbidden"),
        (488, "incompatible"),
        (487, "cancelled"),
        (503, "unreachable"),
        (0, "unreachable"),
    ],
)
def test_each_code_has_its_word(code: int, outcome: str) -> None:
    assert outcome_of(code) == outcome


@pytest.mark.parametrize("outcome", list(Outcome))
def test_each_word_has_a_sentence_with_the_name_that_was_asked_for(outcome: Outcome) -> None:
    assert "Carol" in sentence(outcome, "Carol")


def test_an_address_is_told_by_its_user() -> None:
    assert sentence(Outcome.BUSY, "sip:201@pbx.example.org") == "201 is busy."
