"""Texts as a service takes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.providers.tts.plain import (
    nearest_rate,
    plain,
    portions,
    primary,
    says_nothing,
    untagged,
)


@pytest.mark.parametrize("text", ["", " \n", "...", "🙂", "—!?", "\u200b\u2060", "\x07"])
def test_there_is_nothing_to_say(text):
    assert says_nothing(text)


@pytest.mark.parametrize("text", ["a", "7", "я", "ש", "你", "½", "🙂 ok"])
def test_there_is_something_to_say(text):
    assert not says_nothing(text)


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("<break time='1s'/>", "break time='1s'/"),
        ("</speak>", "/speak"),
        ("<!-- x -->", "!-- x --"),
        ("<<b>>", "b"),
        ("3 < 4 > 2", "3 < 4 > 2"),
        ("a <3 b", "a <3 b"),
    ],
)
def test_tags_lose_their_brackets(text, bare):
    assert untagged(text).strip() == bare


@given(st.text("<>/ab!? '="))
def test_no_tag_is_left_however_they_are_nested(text):
    bare = untagged(text)
    assert untagged(bare) == bare


@given(st.text())
def test_a_plain_text_can_be_sent(text):
    assert plain(text).encode() is not None


def test_lone_surrogates_become_question_marks():
    assert plain("a\ud83db") == "a?b"


@given(st.text(), st.integers(1, 40))
def test_portions_are_short_and_join_to_the_text(text, longest):
    parts = portions(text, longest)
    assert "".join(parts) == text
    assert all(0 < len(part) <= longest for part in parts)


def test_a_text_is_cut_behind_a_sentence_where_there_is_one():
    assert portions("One two. Three four five.", 12) == ["One two. ", "Three four ", "five."]


@pytest.mark.parametrize(("wanted", "given"), [(8, 8), (9, 16), (16, 16), (99, 24)])
def test_the_nearest_rate_above_or_the_highest(wanted, given):
    assert nearest_rate({16, 8, 24}, wanted) == given


@pytest.mark.parametrize(("language", "bare"), [("en", "en"), ("pt-BR", "pt"), ("zh_Hant", "zh"), ("", "")])
def test_the_primary_language(language, bare):
    assert primary(language) == bare
