"""Numbers in words become digits, and what is no number stays as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.providers.offline.spelling import (
    cardinal,
    clock_words,
    compact,
    digits_joined,
    with_digits,
    words_of,
)


@pytest.mark.parametrize(
    ("spoken", "read"),
    [
        ("twenty five minutes", "25 minutes"),
        ("one hundred and five", "105"),
        ("a hundred", "100"),
        ("two thousand three hundred", "2300"),
        ("seven thirty", "7 30"),
        ("three point five", "3.5"),
        ("minus four", "-4"),
        ("ten minus four", "10 minus 4"),
        ("a minute", "a minute"),
        ("", ""),
    ],
)
def test_numbers_are_read_as_people_say_them(spoken: str, read: str) -> None:
    assert " ".join(with_digits(spoken.split())) == read


@pytest.mark.parametrize(
    ("spoken", "read"),
    [("two oh one", "201"), ("double four one", "441"), ("zero one two", "012"), ("one", "one")],
)
def test_a_run_of_digits_is_one_number(spoken: str, read: str) -> None:
    assert " ".join(digits_joined(spoken.split())) == read


@pytest.mark.parametrize("spoken", ["seven oh five", "7:05", "7 05"])
def test_a_clock_time_is_hour_and_minute(spoken: str) -> None:
    assert " ".join(clock_words(spoken.split())) == "7 05"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("What TIME is it?!", "what time is it"),
        ("12*7", "12 times 7"),
        ("20°C", "20 celsius"),
        ("50%", "50 percent"),
        ("7:30am", "7:30 a m"),
        ("1,000", "1000"),
        ("3 km", "3 kilometers"),
    ],
)
def test_typed_text_becomes_words(typed: str, words: str) -> None:
    assert " ".join(words_of(typed)) == words


def test_an_address_survives_and_separators_in_a_number_do_not() -> None:
    assert compact("Call +49 (30) 123-45, please!") == ["call", "+493012345", "please"]
    assert compact("call sip:bob@example.com.") == ["call", "sip:bob@example.com"]


@given(st.text(max_size=80))
def test_any_text_can_be_read(text: str) -> None:
    for read in (with_digits, clock_words, digits_joined):
        read(words_of(text))
        read(compact(text))


@given(st.integers(0, 999_999))
def test_digits_come_through_unchanged(number: int) -> None:
    assert with_digits([str(number)]) == [str(number)]


@pytest.mark.parametrize(
    ("value", "text"),
    [(84.0, "84"), (5280.0, "5,280"), (0.5, "0.5"), (-3.25, "minus 3.25"), (0.00123, "0.0012"), (0.0, "0")],
)
def test_a_result_is_written_for_a_voice(value: float, text: str) -> None:
    assert cardinal(value) == text
