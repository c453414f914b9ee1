"""What is still to be said of a text whose sound broke off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.providers.chain.remainder import CHARACTER_MS, WIDE_CHARACTER_MS, remainder
from appliance.stages import Word

TEXT = "one two three four"


@pytest.mark.parametrize(("characters", "left"), [(0, TEXT), (5, "two three four"), (16, "four"), (18, "")])
def test_without_times_it_is_reckoned_from_the_beginning_of_a_word(characters: int, left: str):
    assert remainder(TEXT, characters * CHARACTER_MS, ()) == left


def test_with_times_the_word_that_was_begun_last_is_said_again():
    words = [Word("one", 0.0), Word("two", 300.0), Word("three", 600.0)]
    assert remainder(TEXT, 500.0, words) == "two three four"


def test_a_language_without_blanks_goes_on_behind_a_clause():
    text = "今天天气很好，我们去公园，然后喝茶。"  # noqa: RUF001
    assert remainder(text, 9 * WIDE_CHARACTER_MS, ()) == text[7:]
    assert remainder(text, 9 * WIDE_CHARACTER_MS, [Word(text, 0.0)]) == text[7:]


@given(st.text("ab，。 ", max_size=40), st.floats(0, 20_000), st.lists(st.floats(0, 5_000), max_size=8))  # noqa: RUF001
def test_it_is_always_an_end_of_the_text(text: str, came_ms: float, starts: list[float]):
    words = [Word("x", start) for start in sorted(starts)]
    assert text.endswith(remainder(text, came_ms, words))
