"""Which answer is owed, and whose sound is still wanted."""

from appliance.interfaces import Delivery
from appliance.session.answers import Answers


def begun() -> Answers:
    """Turn 1 is owed an answer, and response r1 to it has begun."""
    answers = Answers()
    answers.expect(1)
    assert answers.began("r1", 1)
    return answers


class TestAnswers:
    def test_an_answer_settles_its_turn(self):
        answers = begun()
        answers.ended("r1")
        assert answers.owed is None

    def test_a_word_before_the_tool_is_not_yet_the_answer(self):
        answers = begun()
        answers.tool_called("c1", 1, Delivery.IMMEDIATE)
        answers.ended("r1")
        assert answers.owed == 1
        answers.tool_answered("c1", 1, Delivery.IMMEDIATE)
        assert answers.owed == 1
        answers.began("r2", 1)
        answers.ended("r2")
        assert answers.owed is None

    def test_a_quick_tool_does_not_make_the_word_before_it_the_answer(self):
        answers = begun()
        answers.tool_called("c1", 1, Delivery.IMMEDIATE)
        answers.tool_answered("c1", 1, Delivery.IMMEDIATE)
        answers.ended("r1")
        assert answers.owed == 1

    def test_one_response_around_a_tool_call_is_the_answer(self):
        answers = begun()
        answers.tool_called("c1", 1, Delivery.IMMEDIATE)
        answers.tool_answered("c1", 1, Delivery.IMMEDIATE)
        answers.gave("r1")
        answers.ended("r1")
        assert answers.owed is None

    def test_what_is_withdrawn_is_not_wanted_and_what_comes_after_is(self):
        answers = begun()
        answers.withdraw()
        assert answers.turn_of("r1") is None
        assert not answers.began("r2", 1)
        answers.expect(2)
        assert answers.began("r3", 2)

    def test_what_is_owed_outlives_a_connection(self):
        answers = Answers()
        answers.expect(1)
        answers.began("1:r1", 1)
        assert answers.lost() == ("1:r1",)
        assert answers.owed == 1
        assert answers.began("2:r1", 1)
