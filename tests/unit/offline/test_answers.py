"""Answers are short, spoken English."""

import pytest

from appliance.providers.offline.answers import Shown, cancelled, clock, clock_aloud, duration, fill, timers


@pytest.mark.parametrize(
    ("time", "written", "spoken"),
    [
        ("10:32", "10:32 AM", "10 32 A M"),
        ("19:05", "7:05 PM", "7 oh 5 P M"),
        ("19:20", "7:20 PM", "7 20 P M"),
        ("12:00", "noon", "noon"),
        ("00:00", "midnight", "midnight"),
        ("00:30", "12:30 AM", "12 30 A M"),
        ("15:00", "3 PM", "3 P M"),
    ],
)
def test_a_time_is_written_and_said_as_people_do(time: str, written: str, spoken: str) -> None:
    assert clock(time) == written
    assert clock_aloud(time) == spoken


@pytest.mark.parametrize(
    ("seconds", "spoken"),
    [
        (1, "1 second"),
        (60, "1 minute"),
        (90, "1 minute and 30 seconds"),
        (3661, "1 hour and 1 minute"),
        (0, "no time"),
        (-5, "no time"),
    ],
)
def test_a_duration_is_told_in_its_two_largest_parts(seconds: float, spoken: str) -> None:
    assert duration(seconds) == spoken


def row(label: str, left: int) -> dict[str, object]:
    return {
        "kind": "timer",
        "label": label,
        "seconds": 600,
        "seconds_left": left,
        "due": "2026-11-22T07:30:00",
    }


def test_timers_are_listed_with_what_they_have_left() -> None:
    assert timers([]) == "There is no timer running."
    assert timers([row("egg", 60)]) == "The egg timer has 1 minute left."
    assert timers([row("egg", 60), row("", 120)]) == (
        "There are 2 timers: the egg timer has 1 minute left, and the timer has 2 minutes left."
    )
    assert timers([row("egg", 60)] * 6).endswith("And 2 more.")


def test_what_was_cancelled_is_told() -> None:
    assert cancelled([row("egg", 1)]) == "Egg timer cancelled."
    assert cancelled([row("", 1)] * 3) == "3 timers cancelled."
    assert cancelled([]) == "Okay."


def test_a_field_without_a_value_is_spoken_as_nothing() -> None:
    assert fill("Calling {to}, {other}.", {"to": "Alice"}) == "Calling Alice, ."
    assert fill("{to:digits}", {"to": "201"}) == "201"
    assert fill("{to:digits}", {"to": "201"}, aloud=True) == "2 0 1"


def test_what_is_shown_follows_the_voice_sentence_by_sentence_in_its_own_words() -> None:
    shown = Shown("It's 7:05 PM. Calling 201.", "It's 7 oh 5 P M. Calling 2 0 1.")
    assert [shown.of(piece) for piece in ("It's 7 oh 5 P M.", "", "Calling 2 0 1.")] == [
        "It's 7:05 PM.",
        "",
        "Calling 201.",
    ]
    assert shown.rest() == ""


def test_a_voice_that_pauses_elsewhere_loses_no_word_of_what_is_shown() -> None:
    shown = Shown("It's noon. Good.", "It's 12. Good.")
    assert [shown.of("It's 12. Good."), shown.rest()] == ["It's noon.", "Good."]
    assert Shown("It is noon.", "").of("It is noon.") == "It is noon."
