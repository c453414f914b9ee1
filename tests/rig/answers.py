"""What a recorded answer says, by a recogniser that knows several answers and must choose."""

import datetime
from collections.abc import Sequence

from tests.rig.listener import recognise

from tests.rig.sounds import Samples

_UNITS = (
    *(
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
    ),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty")
_OTHER_MINUTES = (-300, -180, -120, -60, -31, -22, -13, -7, 7, 13, 22, 31, 60, 120, 180, 300)


def recognised(samples: Samples, rate: int, phrases: Sequence[str]) -> str:
    """The one of `phrases` that it is, or nothing."""
    return recognise(samples.astype("<i2").tobytes(), rate, list(phrases))


def assert_tells_the_time(samples: Samples, rate: int, asked_at: float) -> None:
    """The time of now is said, to a minute; other times are on offer."""
    asked = datetime.datetime.fromtimestamp(asked_at)  # noqa: DTZ006 - people ask for local time
    right = {said(asked + datetime.timedelta(minutes=by)) for by in (-1, 0, 1)}
    wrong = {said(asked + datetime.timedelta(minutes=by)) for by in _OTHER_MINUTES} - right
    heard = recognised(samples, rate, [spoken for time in sorted(right | wrong) for spoken in ways(time)])
    assert heard, "no time was recognised in the answer"
    assert heard in {spoken for time in right for spoken in ways(time)}, (
        f"{heard!r} was heard, not one of {right}"
    )


def ways(time: str) -> list[str]:
    """How a voice may put it."""
    return [f"{lead}{time}{half}" for lead in ("it's ", "it is ") for half in ("", " a m", " p m")]


def said(when: datetime.datetime) -> str:
    """The words of a clock time."""
    hour = _UNITS[when.hour % 12 or 12]
    if when.minute == 0:
        return f"{hour} o'clock"
    return f"{hour} oh {_UNITS[when.minute]}" if when.minute < 10 else f"{hour} {_number(when.minute)}"


def _number(value: int) -> str:
    if value < 20:
        return _UNITS[value]
    tens, unit = divmod(value, 10)
    return f"{_TENS[tens]} {_UNITS[unit]}" if unit else _TENS[tens]
