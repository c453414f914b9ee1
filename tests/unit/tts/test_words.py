"""The words that a service tells become those of the text."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.providers.tts.words import Words
from appliance.stages import Word


def told(text, *spoken):
    words = Words(text)
    return [word for said, at in spoken for word in words.spoken(said, at)] + words.rest()


def test_words_are_told_as_they_are_written():
    assert told("Hello, World!", ("hello", 0), ("world", 300)) == [Word("Hello,", 0), Word("World!", 300)]


def test_a_number_that_is_spoken_in_words_begins_where_the_first_of_them_does():
    found = told(
        "It costs $3.50 today.", ("it", 0), ("costs", 200), ("three", 400), ("fifty", 600), ("today", 900)
    )
    assert found == [Word("It", 0), Word("costs", 200), Word("$3.50", 400), Word("today.", 900)]


def test_a_strange_word_at_the_end_is_told_with_the_rest():
    assert told("Call 112", ("call", 0), ("one", 200), ("twelve", 300)) == [Word("Call", 0), Word("112", 200)]


def test_one_sign_after_another_is_one_word_where_the_text_has_no_blanks():
    assert told("你好世界。", ("你", 0), ("好", 100), ("世", 200), ("界", 300)) == [Word("你好世界。", 0)]


def test_several_words_in_one_are_told_apart():
    assert told("in New York now", ("in", 0), ("New York", 200), ("now", 500)) == [
        Word("in", 0),
        Word("New", 200),
        Word("York", 200),
        Word("now", 500),
    ]


def test_what_is_no_word_is_told_with_its_neighbour():
    assert told("Yes — 🙂 no", ("yes", 0), ("no", 300)) == [
        Word("Yes", 0),
        Word("—", 300),
        Word("🙂", 300),
        Word("no", 300),
    ]


def test_times_never_run_backwards():
    assert [word.start_ms for word in told("a b c", ("a", 500), ("b", 100), ("c", 600))] == [500, 500, 600]


def test_senseless_times_are_passed_over():
    assert told("a b", ("a", math.nan), ("a", -1), ("a", math.inf), ("a", 1e12)) == []


def test_a_service_that_tells_nothing_leaves_nothing_to_tell():
    assert told("Hello there.") == []


@pytest.mark.slow
@given(st.text(), st.lists(st.tuples(st.text(), st.floats())))
def test_whatever_comes_the_words_are_those_of_the_text_in_order(text, spoken):
    found = told(text, *spoken)
    assert [word.text for word in found] in ([], text.split()[: len(found)])
    starts = [word.start_ms for word in found]
    assert starts == sorted(starts)


@given(st.lists(st.text("abcdefgh'", min_size=1), min_size=1).map(" ".join))
def test_a_service_that_speaks_the_very_words_tells_each_of_them(text):
    spoken = [(word, 100.0 * number) for number, word in enumerate(text.split())]
    assert " ".join(word.text for word in told(text, *spoken)) in ("", text)
